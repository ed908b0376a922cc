/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for the best even grid: against scans with descents, and whether its sums and bounds
 * are what they claim.
 */
#include "grid_search.h"

#include "grid_fixture.h"

/* Lloyd steps for even levels from lo + q * step; returns the error. */
static double descend(const double *x, int n, double lo, double step, int first, int last,
                      bool free, int steps)
{
    double error = INFINITY;
    for (int round = 0; round < steps; round++) {
        double sx = 0, sq = 0, sqq = 0, sqx = 0, sum = 0;
        for (int i = 0; i < n; i++) {
            double at = (x[i] - lo) / step;
            at = at < first ? first : at > last ? last : at;
            double q = (int)(at + 256.5) - 256; /* the nearest integer, without a call */
            double e = x[i] - lo - step * q;
            sum += e * e;
            sx += x[i];
            sq += q;
            sqq += q * q;
            sqx += q * x[i];
        }
        if (!(sum < error))
            break;
        error = sum;
        step = free ? (sqx - sq * sx / n) / (sqq - sq * sq / n) : sqx / sqq;
        lo = free ? (sx - step * sq) / n : 0;
        if (!(step > 0))
            break;
    }
    return error;
}

static void test_fine_scan_finds_a_better_scale(void **state)
{
    (void)state;
    for (int kind = 0; kind < NASTY; kind++) {
        double *x = new_nasty(kind, NASTY_N);
        double largest = fmax(fabs(x[0]), x[NASTY_N - 1]);
        for (int bits = 1; bits <= 8; bits++) {
            int half = 1 << bits >> 1;
            struct solution solution = solve(x, NASTY_N, bits, LEVELS_SCALED);
            double error = (double)error_of(x, NASTY_N, solution.level, solution.k);
            for (int i = 1; i <= 2000; i++) {
                double scale = 1.05 * largest * i / 2000 * (i % 2 ? 1.0 / half : 1);
                int steps = i % 20 ? 1 : 20;
                double other = descend(x, NASTY_N, 0, scale, 1 - half, half, false, steps);
                assert_true(error <= other * (1 + 1e-9));
            }
        }
        free(x);
    }
}

static void test_fine_scan_finds_a_better_range(void **state)
{
    (void)state;
    for (int kind = 0; kind < NASTY; kind++) {
        double *x = new_nasty(kind, NASTY_N), min = x[0], length = x[NASTY_N - 1] - min;
        for (int bits = 1; bits <= 8; bits++) {
            int last = (1 << bits) - 1;
            struct solution solution = solve(x, NASTY_N, bits, LEVELS_EVEN);
            double error = (double)error_of(x, NASTY_N, solution.level, solution.k);
            double minmax = descend(x, NASTY_N, min, length / last, 0, last, true, 100);
            assert_true(error <= minmax * (1 + 1e-9));
            for (int i = 0; i < 900; i++) {
                double lo = min + length * (i % 30) / 31, step = length / last * (i / 30 + 1) / 30;
                double other = descend(x, NASTY_N, lo, step, 0, last, true, i % 7 ? 1 : 10);
                assert_true(error <= other * (1 + 1e-9));
            }
        }
        free(x);
    }
}

/* The histogram's points alone, for the parts beneath the solver. */
static struct grid_error new_error(const double *x, int64_t n, int bits, double reference)
{
    struct histogram histogram = new_histogram(ELEMENT_F64, x, n);
    struct problem problem = problem_of(&histogram, x, n, bits, LEVELS_EVEN);
    struct points points;
    struct grid_error error;
    assert_int_equal(QO_OK, points_init(&points, &problem));
    reference = ldexp(reference, points.scale);
    assert_int_equal(QO_OK, grid_error_init(&error, &points, reference, false, bits));
    points_clear(&points);
    histogram_clear(&histogram);
    return error;
}

/* Both ways to see, by cuts and by points, against each point on its own; also for two narrow peaks
 * on levels, where the error is a difference of sums 10^10 times as large. */
static void test_sums_lose_small_errors(void **state)
{
    (void)state;
    struct dice dice = {14};
    for (int round = 0; round < 200; round++) {
        int bits = 1 + round % 8, n = round % 3 ? 400 : 12;
        double *x = new_normals(n, 100 + (uint64_t)round);
        bool peaks = round % 5 == 0;
        for (int i = 0; peaks && i < n; i++)
            x[i] = (i % 3 ? 300 : -300) + 1e-3 * x[i];
        struct grid_error error = new_error(x, n, bits, 0);
        double length = error.value[error.n - 1] - error.value[0];
        struct grid grid = {length * dice_uniform(&dice) / (1 << bits),
                            length * (dice_uniform(&dice) - 0.5) * 0.3};
        if (peaks && bits > 1)
            grid = (struct grid){error.value[error.n - 1] / (error.half - 1), 0};
        if (round % 50 == 49)
            grid.step = 0;
        struct grid_seen seen;
        grid_error_see(&error, grid, &seen);
        long double truth = 0;
        for (int64_t i = 0; i < error.n; i++) {
            int q = grid_error_nearest(&error, grid, error.value[i]);
            long double e = error.value[i] - grid.centre - (long double)grid.step * q;
            truth += e * e;
        }
        assert_true(fabsl(seen.error - truth) <= 1e-11L * truth);
        grid_error_clear(&error);
        free(x);
    }
}

/* Around the best grid, without a split: the bound must be below its error, and where no point
 * changes its level it must be that error. */
static void test_triangle_hides_the_best_grid(void **state)
{
    (void)state;
    struct dice dice = {16};
    double *x = new_normals(12, 17);
    for (int bits = 1; bits <= 5; bits++) {
        struct grid_error error = new_error(x, 12, bits, 0);
        double length = error.value[error.n - 1] - error.value[0], most = 2 * length / (1 << bits);
        struct grid_task whole = {.free = true,
                                  .corner = {{0, 0}, {most, -length}, {most, 0}, {most, length}},
                                  .start = {most, 0},
                                  .work = 1e6};
        struct grid_found best, found;
        assert_int_equal(QO_OK, grid_search(&error, &whole, &best));
        for (int round = 0; round < 200; round++) {
            double size = best.grid.step * (round % 3 == 0 ? 1e-4 : round % 3 == 1 ? 0.03 : 0.5);
            double s = best.grid.step - size * dice_uniform(&dice);
            double c = best.grid.centre - size * dice_uniform(&dice);
            struct grid_task task = {
                .free = true,
                .corner = {{s, c}, {s + size, c}, {s + size, c + size}, {s, c + size}},
                .start = {s, c}};
            assert_int_equal(QO_OK, grid_search(&error, &task, &found));
            assert_true(found.bound <= best.error * (1 + 1e-12));
            assert_true(round % 3 > 0 || found.bound >= best.error * (1 - 1e-8));
        }
        grid_error_clear(&error);
    }
    free(x);
}

/* A search whose time is up must still bound every grid of its domain from below. */
static void test_bound_is_above_a_grid(void **state)
{
    (void)state;
    struct dice dice = {15};
    for (int round = 0; round < 60; round++) {
        int bits = 1 + round % 8, n = round % 2 ? 500 : 9;
        double *x = new_normals(n, 200 + (uint64_t)round);
        struct grid_error error = new_error(x, n, bits, x[0]);
        double length = error.value[error.n - 1] - error.value[0], most = 2 * length / (1 << bits);
        struct grid_task task = {.free = round % 3 > 0,
                                 .corner = {{0, 0}, {most, 0}},
                                 .start = {most, 0},
                                 .work = round % 5 * 3000};
        if (task.free) {
            task.corner[1] = (struct grid){most, -length};
            task.corner[2] = (struct grid){most, length};
            task.corner[3] = (struct grid){0, length};
        }
        struct grid_found found;
        assert_int_equal(QO_OK, grid_search(&error, &task, &found));
        assert_true(found.bound <= found.error);
        for (int i = 0; i < 500; i++) {
            double step = most * dice_uniform(&dice), v = dice_uniform(&dice);
            double lo = -length * step / most;
            struct grid grid = {step, task.free ? lo + (length - lo) * v : 0};
            struct grid_seen seen;
            grid_error_see(&error, grid, &seen);
            assert_true(found.bound * (1 - 2e-9) <= seen.error);
        }
        grid_error_clear(&error);
        free(x);
    }
}

/* Up to 7 bits of a normal vector's grids are proven in the time there is. */
static void test_proof_takes_too_long(void **state)
{
    (void)state;
    double *x = new_normals(5000, 31);
    for (int bits = 1; bits <= 7; bits++) {
        struct grid_error error = new_error(x, 5000, bits, 0);
        double length = error.value[error.n - 1] - error.value[0], most = 2 * length / (1 << bits);
        struct grid_task task = {.free = true,
                                 .corner = {{0, 0}, {most, -length}, {most, 0}, {most, length}},
                                 .start = {length / (1 << bits), 0},
                                 .work = 5e6};
        struct grid_found found;
        assert_int_equal(QO_OK, grid_search(&error, &task, &found));
        assert_true(found.bound >= found.error * (1 - 1.001 * GRID_SEARCH_GAP));
        grid_error_clear(&error);
    }
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fine_scan_finds_a_better_scale),
        cmocka_unit_test(test_fine_scan_finds_a_better_range),
        cmocka_unit_test(test_sums_lose_small_errors),
        cmocka_unit_test(test_triangle_hides_the_best_grid),
        cmocka_unit_test(test_bound_is_above_a_grid),
        cmocka_unit_test(test_proof_takes_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
