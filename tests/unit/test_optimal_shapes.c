/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties that the optimal quantizer has for any vector, vectors made to break it, and Lloyd and
 * the even grid beside it. Each distinct value has a cell of its own.
 */
#include <time.h>

#include "lloyd_fixture.h"
#include "optimal_fixture.h"

static void test_power_of_two_changes_more_than_the_scale(void **state)
{
    (void)state;
    static const int power[] = {1, 400, -400, -3};
    static const int levels[] = {1, 2, 3, 7, 16, 100, 256};
    enum { N = 1500 };
    double *x = new_normals(N, 22), *y = new_array(N, sizeof *y);
    for (int j = 0; j < 7; j++) {
        struct optimum plain = optimum_of(ELEMENT_F64, x, N, levels[j]);
        for (int p = 0; p < 4; p++) {
            for (int i = 0; i < N; i++)
                y[i] = ldexp(x[i], power[p]);
            struct optimum scaled = optimum_of(ELEMENT_F64, y, N, levels[j]);
            assert_int_equal(plain.k, scaled.k);
            for (int i = 0; i < plain.k; i++)
                assert_true(scaled.level[i] == ldexp(plain.level[i], power[p]));
            double upper = ldexp(scaled.upper, -2 * power[p]);
            assert_true(fabs(upper / plain.upper - 1) < 1e-12);
        }
    }
    free(x);
    free(y);
}

/* 10^6 standard deviations; what rounding the shifted numbers has lost is lost on both sides. */
static void test_offset_costs_accuracy(void **state)
{
    (void)state;
    static const int levels[] = {1, 2, 3, 4, 5, 8, 13, 16, 32, 64, 256};
    enum { N = 3000 };
    double *x = new_normals(N, 23), *y = new_array(N, sizeof *y);
    for (int i = 0; i < N; i++) {
        y[i] = x[i] + 1e6;
        x[i] = y[i] - 1e6; /* exact: y is within a factor of two of 10^6 */
    }
    for (int j = 0; j < 11; j++) {
        struct optimum plain = optimum_of(ELEMENT_F64, x, N, levels[j]);
        struct optimum shifted = optimum_of(ELEMENT_F64, y, N, levels[j]);
        assert_int_equal(plain.k, shifted.k);
        for (int i = 0; i < plain.k; i++)
            assert_true(fabs(plain.level[i] + 1e6 - shifted.level[i]) <= 0x1p-33);
        assert_true(fabs(shifted.upper / plain.upper - 1) < 1e-9);
        assert_true(fabs(shifted.lower / plain.lower - 1) < 1e-9);
    }
    free(x);
    free(y);
}

/* Some thousand numbers a shape. */
enum { LARGE = 20000, SHAPES = 7 };

static double shape_value(struct dice *dice, int shape, int i)
{
    double u = dice_uniform(dice), z = dice_normal(dice);
    switch (shape) {
    case 0:
        return z;
    case 1: /* Student's t with 2 degrees of freedom, by its quantile function */
        return (2 * u - 1) / sqrt(2 * u * (1 - u));
    case 2:
        return (u < 0.5 ? -1000 : 1000) + 1e-3 * z;
    case 3:
        return u < 0.9 ? 0 : z;
    case 4:
        return 1.5;
    case 5:
        return u < 0.2 ? -3 : 7.25;
    default: /* Laplace */
        return (i % 2 ? 1 : -1) * log(u);
    }
}

static double *new_shape(int shape, enum element_type type, uint64_t seed)
{
    struct dice dice = {seed};
    double *x = new_array(LARGE, sizeof *x);
    for (int i = 0; i < LARGE; i++)
        x[i] = shape_value(&dice, shape, i);
    round_to(type, x, LARGE);
    qsort(x, LARGE, sizeof *x, order_doubles);
    return x;
}

static double look_error(double *x, const double *level, int k)
{
    struct vector v = vector_of(x, LARGE);
    struct level_sums sums;
    assert_int_equal(QO_OK, vector_assign(&v, level, k, &sums));
    return sums.error;
}

/* The true error of an even grid from the smallest to the largest element. */
static double uniform_error(double *x, int bits)
{
    struct problem problem = {
        .bits = bits, .kind = LEVELS_EVEN, .range = RANGE_MINMAX, .min = x[0], .max = x[LARGE - 1]};
    struct solution solution;
    assert_int_equal(QO_OK, solver_find("uniform", &problem)->solve(&problem, &solution));
    double error = look_error(x, solution.level, solution.k);
    solution_clear(&solution);
    return error;
}

static void test_lloyd_or_an_even_grid_is_better(void **state)
{
    (void)state;
    for (int shape = 0; shape < SHAPES; shape++) {
        double *x = new_shape(shape, ELEMENT_F32, 41), before = INFINITY;
        struct histogram histogram = value_histogram(ELEMENT_F32, x, LARGE);
        struct extent extent = extent_of(x, LARGE, -INFINITY, INFINITY);
        struct optimal *optimal = open_extent(&histogram, &extent);
        for (int bits = 1; bits <= 5; bits++) {
            struct optimum optimum = find_levels(optimal, 1 << bits);
            struct solution solution = solve(x, LARGE, ELEMENT_F32, bits, INIT_QUANTILE);
            double best = look_error(x, optimum.level, optimum.k);
            double lloyd = look_error(x, solution.level, solution.k);
            assert_true(optimum.exact && best <= lloyd * (1 + 1e-12));
            assert_true(lloyd <= uniform_error(x, bits) * (1 + 1e-12));
            assert_true(optimum.lower <= best * (1 + 1e-12) && best <= optimum.upper * (1 + 1e-12));
            assert_true(optimum.upper <= best * (1 + 1e-9) && optimum.lower >= best * (1 - 1e-6));
            assert_true(best < before || best == 0);
            before = best;
            solution_clear(&solution);
        }
        optimal_close(optimal);
        histogram_clear(&histogram);
        free(x);
    }
}

/* All equal, two values and one element: as many levels as values, and no error. */
static void test_few_values_get_more_levels_than_values(void **state)
{
    (void)state;
    for (int shape = 4; shape <= 5; shape++) {
        double *x = new_shape(shape, ELEMENT_F64, 42);
        for (int64_t n = 1; n <= LARGE; n = n == 1 ? LARGE : n + 1) {
            for (int k = 1; k <= 256; k += 51) {
                int distinct = count_distinct(x, n);
                struct optimum optimum = optimum_of(ELEMENT_F64, x, n, k);
                assert_int_equal(k < distinct ? k : distinct, optimum.k);
                if (k >= distinct) {
                    assert_true(optimum.upper == 0);
                    assert_true(optimum.level[0] == x[0]);
                    assert_true(optimum.level[optimum.k - 1] == x[n - 1]);
                }
            }
        }
        free(x);
    }
}

static void test_more_levels_hurt(void **state)
{
    (void)state;
    for (int shape = 0; shape < 4; shape++) {
        double *x = new_shape(shape, ELEMENT_F32, 43), upper = INFINITY, lower = INFINITY;
        struct histogram histogram = value_histogram(ELEMENT_F32, x, LARGE);
        struct extent extent = extent_of(x, LARGE, -INFINITY, INFINITY);
        struct optimal *optimal = open_extent(&histogram, &extent);
        for (int k = 1; k <= 256; k += 1 + k / 4) {
            struct optimum optimum = find_levels(optimal, k);
            assert_int_equal(k, optimum.k);
            assert_true(optimum.upper < upper && optimum.lower < lower);
            upper = optimum.upper;
            lower = optimum.lower;
        }
        optimal_close(optimal);
        histogram_clear(&histogram);
        free(x);
    }
}

static void check_same(const struct optimum *a, const struct optimum *b)
{
    assert_int_equal(a->k, b->k);
    assert_memory_equal(a->level, b->level, (size_t)a->k * sizeof *a->level);
    assert_memory_equal(&a->upper, &b->upper, sizeof a->upper);
    assert_memory_equal(&a->lower, &b->lower, sizeof a->lower);
    assert_int_equal(a->exact, b->exact);
}

/* Ascending, descending, from the middle, and alone. */
static void test_what_was_found_before_changes_the_levels(void **state)
{
    (void)state;
    enum { COUNT = 9 };
    static const int levels[COUNT] = {1, 2, 3, 4, 7, 16, 33, 128, 256};
    static const int order[COUNT] = {4, 8, 0, 5, 3, 7, 1, 6, 2};
    for (int shape = 0; shape < 4; shape++) {
        double *x = new_shape(shape, ELEMENT_F32, 44);
        struct histogram histogram = value_histogram(ELEMENT_F32, x, LARGE);
        struct extent extent = extent_of(x, LARGE, -INFINITY, INFINITY);
        struct optimal *up = open_extent(&histogram, &extent);
        struct optimal *down = open_extent(&histogram, &extent);
        struct optimal *mixed = open_extent(&histogram, &extent);
        struct optimum first[COUNT], second[COUNT], third[COUNT];
        for (int i = 0; i < COUNT; i++) {
            int j = COUNT - 1 - i;
            first[i] = find_levels(up, levels[i]);
            second[j] = find_levels(down, levels[j]);
            third[order[i]] = find_levels(mixed, levels[order[i]]);
        }
        for (int i = 0; i < COUNT; i++) {
            struct optimum alone = optimum_of(ELEMENT_F32, x, LARGE, levels[i]);
            check_same(&first[i], &second[i]);
            check_same(&first[i], &third[i]);
            check_same(&first[i], &alone);
        }
        optimal_close(up);
        optimal_close(down);
        optimal_close(mixed);
        histogram_clear(&histogram);
        free(x);
    }
}

/* Two seconds are far more than it needs, and far less than the square of 20,000 would take. */
static void test_256_levels_take_quadratic_time(void **state)
{
    (void)state;
    double *x = new_shape(0, ELEMENT_F64, 45);
    clock_t start = clock();
    struct optimum optimum = optimum_of(ELEMENT_F64, x, LARGE, 256);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    assert_int_equal(256, optimum.k);
    assert_true(seconds < 2);
    optimal_close(NULL);
    free(x);
}

/* One value so far away that it takes a level whatever it costs: the others must be quantized as if
 * they were alone. With it come prices of very different sizes. */
static void test_a_far_value_spoils_the_others(void **state)
{
    (void)state;
    static const double far[] = {1e3, 1e9, -1e20, 9.97e36, -1e60, 1e100, 1e110, -1e120, 1e140};
    enum { ALONE = 1000 };
    for (int f = 0; f < 9; f++) {
        for (int k = 2; k <= 32; k *= 2) {
            double *x = new_normals(ALONE, 71), *y = new_array(ALONE + 1, sizeof *y);
            memcpy(y, x, ALONE * sizeof *x);
            y[ALONE] = far[f];
            struct optimum alone = optimum_of(ELEMENT_F64, x, ALONE, k - 1);
            struct optimum both = optimum_of(ELEMENT_F64, y, ALONE + 1, k);
            const double *level = both.level + (far[f] < 0);
            assert_int_equal(k, both.k);
            assert_true(both.level[far[f] < 0 ? 0 : k - 1] == far[f]);
            for (int i = 0; i < alone.k; i++)
                assert_true(fabs(level[i] - alone.level[i]) <= 1e-15);
            assert_true(fabs(both.upper / alone.upper - 1) < 1e-9);
            free(x);
            free(y);
        }
    }
}

/* Beside the largest number the squares of others are too small for one scale: their levels need
 * not be the best, but must be levels, and what is said of them must hold. */
static void test_largest_numbers_make_no_levels(void **state)
{
    (void)state;
    static const double far[] = {1e160, -1e200, 1e300, -DBL_MAX};
    enum { SOME = 300 };
    for (int f = 0; f < 4; f++) {
        for (int k = 1; k <= 64; k *= 2) {
            double *x = new_normals(SOME, 72);
            struct level_sums sums;
            x[SOME / 2] = far[f];
            struct optimum optimum = optimum_of(ELEMENT_F64, x, SOME, k);
            struct vector v = vector_of(x, SOME);
            assert_int_equal(QO_OK, vector_assign(&v, optimum.level, optimum.k, &sums));
            assert_true(optimum.lower <= sums.error && sums.error <= optimum.upper * (1 + 1e-15));
            free(x);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_of_two_changes_more_than_the_scale),
        cmocka_unit_test(test_offset_costs_accuracy),
        cmocka_unit_test(test_lloyd_or_an_even_grid_is_better),
        cmocka_unit_test(test_few_values_get_more_levels_than_values),
        cmocka_unit_test(test_more_levels_hurt),
        cmocka_unit_test(test_what_was_found_before_changes_the_levels),
        cmocka_unit_test(test_256_levels_take_quadratic_time),
        cmocka_unit_test(test_a_far_value_spoils_the_others),
        cmocka_unit_test(test_largest_numbers_make_no_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
