/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The best even grids against brute force: every assignment of a few points to levels, each with
 * its own best grid, in long double. And what must hold for any vector.
 */
#include <float.h>

#include "grid_fixture.h"

/* The error of the least squares fit of x by a + s * q, a being 0 unless it is free. */
static long double fit_error(const double *x, const int *q, int n, bool free)
{
    long double mean = 0, centre = 0, qq = 0, qx = 0, error = 0;
    for (int i = 0; free && i < n; i++) {
        mean += (long double)x[i] / n;
        centre += (long double)q[i] / n;
    }
    for (int i = 0; i < n; i++) {
        qq += (q[i] - centre) * (q[i] - centre);
        qx += (q[i] - centre) * (x[i] - mean);
    }
    long double s = qq > 0 ? qx / qq : 0;
    for (int i = 0; i < n; i++) {
        long double e = x[i] - mean - s * (q[i] - centre);
        error += e * e;
    }
    return error;
}

/* Every way to give ascending x[n] ascending q that begin with 0: the lowest level is in use. */
static long double best_even(const double *x, int n, int bits)
{
    int q[10] = {0}, most = (1 << bits) - 1, at;
    long double best = INFINITY;
    do {
        best = fminl(best, fit_error(x, q, n, true));
        for (at = n - 1; at > 0 && q[at] == most; at--)
            ;
        int next = q[at] + 1;
        for (int i = at; at > 0 && i < n; i++)
            q[i] = next;
    } while (at > 0);
    return best;
}

/* The scales at which some element passes from one level to the next, and a fit between any two. */
static long double best_scaled(const double *x, int n, int bits)
{
    static double pass[10 * 128 + 2];
    int half = 1 << (bits - 1), count = 0, q[10];
    double largest = 0;
    for (int i = 0; i < n; i++) {
        int most = x[i] > 0 ? half : half - 1;
        for (int j = 0; j < most && x[i] != 0; j++)
            pass[count++] = fabs(x[i]) / (j + 0.5);
        largest = fmax(largest, fabs(x[i]));
    }
    pass[count++] = 0;
    pass[count++] = 3 * largest;
    qsort(pass, (size_t)count, sizeof *pass, order_doubles);
    long double best = INFINITY;
    for (int p = 1; p < count; p++) {
        double s = 0.5 * (pass[p - 1] + pass[p]);
        for (int i = 0; i < n; i++)
            q[i] = s > 0 ? (int)fmin(fmax(nearbyint(x[i] / s), 1 - half), half) : 0;
        best = fminl(best, fit_error(x, q, n, false));
    }
    return best;
}

/* Small vectors of all sorts; ascending. */
static void make_small(struct dice *dice, int kind, double *x, int n)
{
    for (int i = 0; i < n; i++) {
        double u = dice_uniform(dice), z = dice_normal(dice);
        const double made[] = {floor(u * 17) - 8, /* ties, zeros */
                               u,
                               -u - 0.25,
                               z,
                               z * z * z,
                               1e6 + z,
                               300 * (u < 0.5 ? -1 : 1) + 1e-3 * z,
                               ldexp(floor(1e6 * z), -1070), /* subnormal */
                               ldexp(z, 1000),
                               u < 0.6 ? 0 : floor(z * 4) / 3};
        x[i] = made[kind] + 0.0;
    }
    qsort(x, (size_t)n, sizeof *x, order_doubles);
}

enum { KINDS = 10 };

/* Levels are rounded, and so are the sums; neither may cost more than this. */
static void check_small(const struct histogram *histogram, const double *x, int n, int bits,
                        enum levels_kind kind)
{
    struct problem problem = problem_of(histogram, x, n, bits, kind);
    struct solution solution = solve_problem(&problem);
    long double error = error_of(x, n, solution.level, solution.k);
    long double best = kind == LEVELS_EVEN ? best_even(x, n, bits) : best_scaled(x, n, bits);
    long double size = fmaxl(fabsl(x[0]), fabsl(x[n - 1])), rounding = 3 * size * DBL_EPSILON;
    rounding += DBL_TRUE_MIN * (1 << bits);
    long double allowed = 1e-9L * best + 4 * sqrtl(best * n) * rounding + n * rounding * rounding;
    if (fabsl(error - best) > allowed) {
        print_error("bits %d kind %d: %.15Lg, possible is %.15Lg:", bits, (int)kind, error, best);
        for (int i = 0; i < n; i++)
            print_error(" %.17g", x[i]);
        print_error("\n");
    }
    assert_true(fabsl(error - best) <= allowed);
}

/* Thousands of problems; a histogram takes longer than all that is asked of it. */
static void test_another_grid_is_better(void **state)
{
    (void)state;
    struct dice dice = {11};
    const int most[] = {0, 9, 8, 7, 5, 4, 3, 3, 3}; /* points, so that brute force can */
    double x[10];
    for (int round = 0; round < 400; round++) {
        double u = dice_uniform(&dice);
        int n = 1 + (int)(10 * u * sqrt(u));
        make_small(&dice, round % KINDS, x, n);
        struct histogram histogram = new_histogram(ELEMENT_F64, x, n);
        for (int bits = 1; bits <= 8; bits++) {
            check_small(&histogram, x, n, bits, LEVELS_SCALED);
            if (n <= most[bits] && (bits < 5 || round % 8 == bits - 1))
                check_small(&histogram, x, n, bits, LEVELS_EVEN);
        }
        histogram_clear(&histogram);
    }
}

/* Where Lloyd steps and coordinate-wise descents stop early: many points, few of them heavy. */
static void test_heavy_point_hides_the_rest(void **state)
{
    (void)state;
    struct dice dice = {13};
    double x[6 + 40];
    for (int round = 0; round < 100; round++) {
        make_small(&dice, 3, x, 6);
        struct histogram histogram = {0};
        for (int i = 6; i < 46; i++)
            x[i] = x[round % 6];
        histogram = new_histogram(ELEMENT_F64, x, 46);
        struct problem problem = problem_of(&histogram, x, 46, 2, LEVELS_EVEN);
        struct solution solution = solve_problem(&problem);
        /* Among many grids none is better. */
        long double error = error_of(x, 46, solution.level, solution.k);
        for (int i = 0; i < 2000; i++) {
            double level[4], lo = 3 * dice_normal(&dice), step = 3 * dice_uniform(&dice);
            for (int q = 0; q < 4; q++)
                level[q] = lo + step * q;
            assert_true(error <= error_of(x, 46, level, 4) * (1 + 1e-9L));
        }
        histogram_clear(&histogram);
    }
}

/* Max 1960, table 2: the best equal steps for N(0,1). */
static void test_normal_step_is_not_that_of_max(void **state)
{
    (void)state;
    const double mse[] = {0.3634, 0.1188, 0.03744, 0.01154, 0.003490};
    const double step[] = {1.596, 0.9957, 0.5860, 0.3352, 0.1881};
    int n = 60001;
    double *x = new_ideal_normals(n);
    for (int bits = 1; bits <= 5; bits++) {
        struct solution even = solve(x, n, bits, LEVELS_EVEN);
        double error = (double)error_of(x, n, even.level, even.k) / n;
        double mean_step = (even.level[even.k - 1] - even.level[0]) / (even.k - 1);
        assert_true(fabs(error / mse[bits - 1] - 1) < 3e-3);
        assert_true(fabs(mean_step / step[bits - 1] - 1) < 5e-3);
        assert_true(fabs(even.level[0] + even.level[even.k - 1]) < 0.01);
    }
    free(x);
}

static void check_equal(const struct solution *a, const struct solution *b, double factor,
                        double shift, double tolerance)
{
    assert_int_equal(a->k, b->k);
    for (int i = 0; i < a->k; i++) {
        double other = b->level[factor < 0 ? b->k - 1 - i : i];
        assert_true(fabs(factor * a->level[i] + shift - other) <= tolerance);
    }
}

static void test_power_of_two_changes_more_than_the_scale(void **state)
{
    (void)state;
    const int power[] = {1, 400, -400, -3};
    double *x = new_nasty(1, NASTY_N), *y = new_array(NASTY_N, sizeof *y);
    for (int bits = 1; bits <= 6; bits++) {
        for (int p = 0; p < 4; p++) {
            for (int i = 0; i < NASTY_N; i++)
                y[i] = ldexp(x[i], power[p]);
            struct solution a = solve(x, NASTY_N, bits, LEVELS_EVEN);
            struct solution b = solve(y, NASTY_N, bits, LEVELS_EVEN);
            check_equal(&a, &b, ldexp(1, power[p]), 0, 0);
            a = solve(x, NASTY_N, bits, LEVELS_SCALED);
            b = solve(y, NASTY_N, bits, LEVELS_SCALED);
            check_equal(&a, &b, ldexp(1, power[p]), 0, 0);
        }
    }
    free(x);
    free(y);
}

/* By 10^6 standard deviations. Values are multiples of 2^-20, so that shifting them is exact. */
static void test_shift_changes_more_than_the_place(void **state)
{
    (void)state;
    double *x = new_nasty(0, NASTY_N), *y = new_array(NASTY_N, sizeof *y);
    for (int i = 0; i < NASTY_N; i++) {
        x[i] = nearbyint(x[i] * 0x1p20) * 0x1p-20;
        y[i] = x[i] - 0x1p22;
    }
    for (int bits = 1; bits <= 6; bits++) {
        struct solution a = solve(x, NASTY_N, bits, LEVELS_EVEN);
        struct solution b = solve(y, NASTY_N, bits, LEVELS_EVEN);
        check_equal(&a, &b, 1, -0x1p22, 1e-8);
        long double plain = error_of(x, NASTY_N, a.level, a.k);
        long double shifted = error_of(y, NASTY_N, b.level, b.k);
        assert_true(fabsl(shifted / plain - 1) < 1e-9L);
    }
    free(x);
    free(y);
}

static void test_mirror_changes_more_than_the_sign(void **state)
{
    (void)state;
    double *y = new_array(NASTY_N, sizeof *y);
    for (int kind = 0; kind < NASTY; kind++) {
        double *x = new_nasty(kind, NASTY_N);
        for (int i = 0; i < NASTY_N; i++)
            y[i] = -x[i];
        for (int bits = 1; bits <= 6; bits++) {
            struct solution a = solve(x, NASTY_N, bits, LEVELS_EVEN);
            struct solution b = solve(y, NASTY_N, bits, LEVELS_EVEN);
            check_equal(&a, &b, -1, 0, 1e-9 * (x[NASTY_N - 1] - x[0]));
        }
        free(x);
    }
    free(y);
}

/* The levels must be s * q, q from 1 - h to h, or what is left of them after rounding. */
static void test_scaled_levels_are_no_multiples(void **state)
{
    (void)state;
    double *x = new_nasty(0, NASTY_N);
    for (int bits = 1; bits <= 8; bits++) {
        int half = 1 << bits >> 1;
        struct solution solution = solve(x, NASTY_N, bits, LEVELS_SCALED);
        assert_int_equal(2 * half, solution.k);
        for (int i = 0; i < solution.k; i++)
            assert_true(solution.level[i] == solution.level[half] * (i + 1 - half));
    }
    free(x);
}

static void test_no_elements_have_no_level(void **state)
{
    (void)state;
    for (enum levels_kind kind = LEVELS_EVEN; kind <= LEVELS_SCALED; kind++) {
        if (kind == LEVELS_FREE)
            continue;
        const double one = 1;
        struct histogram histogram = new_histogram(ELEMENT_F32, &one, 1);
        struct problem problem = problem_of(&histogram, &one, 0, 3, kind);
        struct solution solution = solve_problem(&problem);
        assert_int_equal(1, solution.k);
        assert_true(solution.level[0] == 0);
        histogram_clear(&histogram);
    }
}

/* One value is met exactly wherever a grid can: not below 0 if there is no level below 0. */
static void test_one_value_is_missed(void **state)
{
    (void)state;
    const double values[] = {0, 0.1, -0.1, DBL_MAX, -DBL_MAX, DBL_TRUE_MIN, -DBL_TRUE_MIN, 1e-310};
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
        for (int bits = 1; bits <= 8; bits++) {
            const double x[3] = {values[v], values[v], values[v]};
            struct solution even = solve(x, 3, bits, LEVELS_EVEN);
            assert_int_equal(1, even.k);
            assert_true(even.level[0] == x[0]);
            struct solution scaled = solve(x, 3, bits, LEVELS_SCALED);
            double expected = bits == 1 && x[0] < 0 ? 0 : x[0];
            bool met = false;
            for (int i = 0; i < scaled.k; i++)
                met = met || scaled.level[i] == expected;
            assert_true(met);
            assert_true(x[0] != 0 || scaled.k == 1);
        }
    }
}

/* Levels beyond the data must not overflow, nor a range longer than the largest number. */
static void test_largest_numbers_overflow(void **state)
{
    (void)state;
    const double x[] = {-DBL_MAX, -DBL_MAX, DBL_MAX, 0.5 * DBL_MAX};
    for (int n = 2; n <= 4; n++) {
        for (int bits = 1; bits <= 8; bits++) {
            struct solution solution = solve(x, n, bits, LEVELS_EVEN);
            long double error = error_of(x, n, solution.level, solution.k);
            if (n < 4 || bits > 2)
                assert_true(error <= 1e-25L * DBL_MAX * DBL_MAX);
            (void)solve(x, n, bits, LEVELS_SCALED);
        }
    }
}

/* Two values are the ends of the grid. */
static void test_two_values_are_missed(void **state)
{
    (void)state;
    const double x[] = {-0.1, 0.7};
    for (int bits = 1; bits <= 8; bits++) {
        struct solution solution = solve(x, 2, bits, LEVELS_EVEN);
        assert_int_equal(1 << bits, solution.k);
        assert_true(fabs(solution.level[0] + 0.1) < 1e-16);
        assert_true(fabs(solution.level[solution.k - 1] - 0.7) < 2e-16);
    }
}

/* Elements beyond the bounds have no level, and must not move any. */
static void test_outliers_move_the_levels(void **state)
{
    (void)state;
    double *x = new_nasty(0, NASTY_N);
    struct histogram histogram = new_histogram(ELEMENT_F64, x, NASTY_N);
    int first = 0, last = NASTY_N;
    while (x[first] < -2)
        first++;
    while (x[last - 1] > 2)
        last--;
    for (enum levels_kind kind = LEVELS_EVEN; kind <= LEVELS_SCALED; kind++) {
        if (kind == LEVELS_FREE)
            continue;
        struct problem problem = problem_of(&histogram, x + first, last - first, 3, kind);
        problem.lo = -2;
        problem.hi = 2;
        struct solution within = solve_problem(&problem);
        struct solution alone = solve(x + first, last - first, 3, kind);
        check_equal(&within, &alone, 1, 0, 0);
    }
    histogram_clear(&histogram);
    free(x);
}

/* Each allocation fails once; the sanitizers see what is not freed. */
static void test_failed_allocation_leaks(void **state)
{
    (void)state;
    double *x = new_normals(50, 41);
    struct histogram histogram = new_histogram(ELEMENT_F64, x, 50);
    for (enum levels_kind kind = LEVELS_EVEN; kind <= LEVELS_SCALED; kind++) {
        if (kind == LEVELS_FREE)
            continue;
        struct problem problem = problem_of(&histogram, x, 50, 3, kind);
        check_failed_allocations(&problem, 5);
    }
    histogram_clear(&histogram);
    free(x);
}

static void test_solver_takes_what_it_cannot_solve(void **state)
{
    (void)state;
    struct problem problem = {.bits = 3, .kind = LEVELS_EVEN, .range = RANGE_OPTIMAL};
    assert_non_null(solver_find("optimal", &problem));
    problem.range = RANGE_MINMAX;
    assert_null(solver_find("optimal", &problem));
    problem.kind = LEVELS_SCALED;
    assert_non_null(solver_find("optimal", &problem));
    assert_null(solver_find("uniform", &problem));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_grid_is_better),
        cmocka_unit_test(test_heavy_point_hides_the_rest),
        cmocka_unit_test(test_normal_step_is_not_that_of_max),
        cmocka_unit_test(test_power_of_two_changes_more_than_the_scale),
        cmocka_unit_test(test_shift_changes_more_than_the_place),
        cmocka_unit_test(test_mirror_changes_more_than_the_sign),
        cmocka_unit_test(test_scaled_levels_are_no_multiples),
        cmocka_unit_test(test_no_elements_have_no_level),
        cmocka_unit_test(test_one_value_is_missed),
        cmocka_unit_test(test_largest_numbers_overflow),
        cmocka_unit_test(test_two_values_are_missed),
        cmocka_unit_test(test_outliers_move_the_levels),
        cmocka_unit_test(test_failed_allocation_leaks),
        cmocka_unit_test(test_solver_takes_what_it_cannot_solve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
