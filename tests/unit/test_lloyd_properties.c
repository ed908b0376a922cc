/* SPDX-License-Identifier: Apache-2.0 */
/* Properties that hold for any vector, and vectors made to break them. */
#include <float.h>

#include "lloyd_fixture.h"

enum { N = 4000 };

static void shuffle(double *x, int64_t n, uint64_t seed)
{
    struct dice dice = {seed};
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)(dice_uniform(&dice) * (double)(i + 1));
        double swap = x[i];
        x[i] = x[j];
        x[j] = swap;
    }
}

static void check_equal(const struct solution *a, const struct solution *b, double factor,
                        double shift, double tolerance)
{
    assert_int_equal(a->k, b->k);
    for (int i = 0; i < a->k; i++)
        assert_true(fabs(factor * a->level[i] + shift - b->level[i]) <= tolerance);
}

/* The histogram is the same, so every bit must be. */
static void test_order_changes_the_levels(void **state)
{
    (void)state;
    double *x = new_normals(N, 21);
    for (enum init init = INIT_QUANTILE; init <= INIT_RANDOM; init++) {
        struct solution sorted = solve(x, N, ELEMENT_F64, 4, init);
        shuffle(x, N, 5);
        struct solution shuffled = solve(x, N, ELEMENT_F64, 4, init);
        check_equal(&sorted, &shuffled, 1, 0, 0);
        solution_clear(&sorted);
        solution_clear(&shuffled);
    }
    free(x);
}

/* Scaling by a power of two is exact, so starts, steps and levels must be, too. */
static void test_power_of_two_changes_more_than_the_scale(void **state)
{
    (void)state;
    const int power[] = {1, 400, -400, -3};
    double *x = new_normals(N, 22), *y = new_array(N, sizeof *y);
    for (enum init init = INIT_QUANTILE; init <= INIT_RANDOM; init++) {
        struct solution plain = solve(x, N, ELEMENT_F64, 5, init);
        for (int p = 0; p < 4; p++) {
            for (int i = 0; i < N; i++)
                y[i] = ldexp(x[i], power[p]);
            struct solution scaled = solve(y, N, ELEMENT_F64, 5, init);
            check_equal(&plain, &scaled, ldexp(1, power[p]), 0, 0);
            assert_int_equal(plain.iterations, scaled.iterations);
            solution_clear(&scaled);
        }
        solution_clear(&plain);
    }
    free(x);
    free(y);
}

/* Integers, so that the shift itself is exact; the steps round in different places. */
static void test_shift_changes_more_than_the_place(void **state)
{
    (void)state;
    double *x = new_normals(N, 23), *y = new_array(N, sizeof *y);
    for (int i = 0; i < N; i++)
        x[i] = floor(x[i] * 1e6);
    for (enum init init = INIT_QUANTILE; init <= INIT_RANDOM; init++) {
        struct solution plain = solve(x, N, ELEMENT_F64, 4, init);
        for (int i = 0; i < N; i++)
            y[i] = x[i] + 1e9;
        struct solution shifted = solve(y, N, ELEMENT_F64, 4, init);
        check_equal(&plain, &shifted, 1, 1e9, 1e-6);
        solution_clear(&plain);
        solution_clear(&shifted);
    }
    free(x);
    free(y);
}

/* Normal, lognormal, and integers with many zeros. */
static void test_more_levels_hurt(void **state)
{
    (void)state;
    for (uint64_t seed = 31; seed < 34; seed++) {
        double *x = new_normals(N, seed), before[4] = {INFINITY, INFINITY, INFINITY, INFINITY};
        for (int i = 0; seed == 32 && i < N; i++)
            x[i] = exp(2 * x[i]);
        for (int i = 0; seed == 33 && i < N; i++)
            x[i] = i % 3 ? 0 : floor(20 * x[i]);
        for (int bits = 1; bits <= 8; bits++) {
            for (enum init init = INIT_QUANTILE; init <= INIT_KMEANS_PP; init++) {
                struct solution solution = solve(x, N, ELEMENT_F64, bits, init);
                double mse = mse_of(&solution, x, N);
                assert_true(mse < before[init] || mse == 0);
                before[init] = mse;
                solution_clear(&solution);
            }
        }
        free(x);
    }
}

/* Levels are means and no step is left: what a fixed point is. */
static void test_convergence_is_claimed_too_early(void **state)
{
    (void)state;
    double *x = new_normals(N, 24);
    struct vector v = vector_of(x, N);
    struct problem problem = problem_of(2, INIT_RANDOM);
    struct solution solution;
    struct level_sums sums;
    problem.max_iterations = 10000;
    problem.tolerance = 0;
    assert_int_equal(QO_OK, vector_solve(&v, ELEMENT_F64, problem, &solution));
    assert_true(solution.converged);
    assert_int_equal(QO_OK, vector_assign(&v, solution.level, solution.k, &sums));
    for (int i = 0; i < solution.k; i++)
        assert_true(fabs(sums.mean[i] - solution.level[i]) < 1e-12);
    solution_clear(&solution);
    free(x);
}

/* Vectors on which steps could go on for ever, levels coincide, or sums overflow. */
enum nasty {
    FAR_CLUSTERS,
    ZEROS,
    HUGE_ONES,
    TINY,
    FILLS,
    GEOMETRIC,
    NEIGHBOURS,
    TWO_VALUES,
    NUM_NASTY
};

static double draw(enum nasty nasty, struct dice *dice, int64_t i)
{
    double z = dice_normal(dice);
    switch (nasty) {
    case FAR_CLUSTERS:
        return z + (i % 2 ? 1e20 : 0);
    case ZEROS:
        return i % 10 ? 0 : z;
    case HUGE_ONES:
        return DBL_MAX * sin(z);
    case TINY:
        return floor(1000 * z) * 5e-324;
    case FILLS:
        return i % 7 ? z : -1e20;
    case GEOMETRIC:
        return ldexp(1, (int)(i % 1000) - 500);
    case NEIGHBOURS:
        return 1 + (double)(i % 300) * 0x1p-52;
    default:
        return i % 2 ? 1e300 : -1e300;
    }
}

/* As many levels as can be, in order, after no more looks than allowed, and no worse than the
 * start. */
static void check_nasty(enum nasty nasty, double *x, int64_t n, int bits, enum init init)
{
    struct vector v = vector_of(x, n);
    struct solution solution;
    assert_int_equal(QO_OK, vector_solve(&v, ELEMENT_F64, problem_of(bits, init), &solution));
    int distinct = 1;
    for (int64_t i = 1; i < n && distinct <= 256; i++)
        distinct += x[i] != x[i - 1];
    int most = 1 << bits < distinct ? 1 << bits : distinct;
    /* Where squares underflow beside the largest number's, levels may be left over. */
    if (solution.k > most || (nasty != GEOMETRIC && solution.k < most))
        fail_msg("vector %d, %d bits, start %d: %d levels of %d", (int)nasty, bits, (int)init,
                 solution.k, most);
    for (int i = 0; i < solution.k; i++) {
        assert_true(isfinite(solution.level[i]));
        assert_true(i == 0 || solution.level[i] > solution.level[i - 1]);
    }
    assert_true(solution.iterations <= 100 && v.looks <= 102);
    if (solution.num_steps > 0)
        assert_true(solution.steps[solution.num_steps - 1].mse <= solution.steps[0].mse);
    solution_clear(&solution);
}

static void test_nasty_vectors_never_end(void **state)
{
    (void)state;
    for (enum nasty nasty = FAR_CLUSTERS; nasty < NUM_NASTY; nasty++) {
        for (enum init init = INIT_QUANTILE; init <= INIT_RANDOM; init++) {
            for (int bits = 1; bits <= 8; bits += bits == 1 ? 2 : 5) {
                struct dice dice = {41};
                double *x = new_array(N, sizeof *x);
                for (int i = 0; i < N; i++)
                    x[i] = draw(nasty, &dice, i);
                check_nasty(nasty, x, N, bits, init);
                free(x);
            }
        }
    }
}

/* The largest numbers: squared errors are infinite, and the levels must find the clusters all the
 * same. */
static void test_infinite_error_stops_the_steps(void **state)
{
    (void)state;
    double x[] = {-1.7e308, -1.6e308, -1.5e308, 1e308, 1.1e308, 1.2e308, 1.3e308};
    for (enum init init = INIT_QUANTILE; init <= INIT_RANDOM; init++) {
        struct solution solution = solve(x, 7, ELEMENT_F64, 1, init);
        assert_int_equal(2, solution.k);
        assert_true(fabs(solution.level[0] / 1e308 + 1.6) < 1e-12);
        assert_true(fabs(solution.level[1] / 1e308 - 1.15) < 1e-12);
        solution_clear(&solution);
    }
}

/* A sample that shows zeros only leaves the other values in few wide cells, whose means are too
 * few. */
static void test_wide_cells_leave_levels_out(void **state)
{
    (void)state;
    enum { LARGE = 70000, OTHERS = 400 };
    for (enum init init = INIT_QUANTILE; init <= INIT_RANDOM; init++) {
        struct dice dice = {51};
        double *x = new_array(LARGE, sizeof *x);
        for (int i = 0, placed = 0; i < LARGE && placed < OTHERS; i++) {
            bool sampled = false; /* as new_histogram samples: j * LARGE / 65536 */
            for (int64_t j = (int64_t)i * 65536 / LARGE; j <= (int64_t)i * 65536 / LARGE + 1; j++)
                sampled = sampled || j * LARGE / 65536 == i;
            if (!sampled)
                x[i] = 1 + dice_uniform(&dice) * (placed++ % 2 ? 100 : 1);
        }
        struct solution solution = solve(x, LARGE, ELEMENT_F64, 4, init);
        assert_int_equal(16, solution.k);
        solution_clear(&solution);
        free(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_changes_the_levels),
        cmocka_unit_test(test_power_of_two_changes_more_than_the_scale),
        cmocka_unit_test(test_shift_changes_more_than_the_place),
        cmocka_unit_test(test_more_levels_hurt),
        cmocka_unit_test(test_convergence_is_claimed_too_early),
        cmocka_unit_test(test_nasty_vectors_never_end),
        cmocka_unit_test(test_infinite_error_stops_the_steps),
        cmocka_unit_test(test_wide_cells_leave_levels_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
