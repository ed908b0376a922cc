/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include <math.h>
#include <stdlib.h>

#include "bench.h"

/* The vectors of quantopt_bench are of the shapes that it names. */

#define N 200000

static double *filled(enum bench_shape shape, int64_t n, int threads)
{
    double *x = malloc((size_t)n * sizeof *x);
    assert_non_null(x);
    bench_data_fill(shape, ELEMENT_F64, x, n, threads);
    for (int64_t i = 0; i < n; i++)
        assert_true(isfinite(x[i]));
    return x;
}

/* The fraction of elements within +-bound. */
static double within(const double *x, double bound)
{
    int64_t count = 0;
    for (int64_t i = 0; i < N; i++)
        count += fabs(x[i]) <= bound;
    return (double)count / N;
}

static bool is_ascending(const double *x)
{
    for (int64_t i = 1; i < N; i++)
        if (x[i] < x[i - 1])
            return false;
    return true;
}

/* Five standard deviations of a fraction are 0.0056. */
static void check_fraction(const double *x, double bound, double expected)
{
    assert_true(fabs(within(x, bound) - expected) < 0.006);
}

static void test_normal_numbers_are_of_another_shape(void **state)
{
    (void)state;
    static const enum bench_shape shapes[] = {SHAPE_NORMAL, SHAPE_SORTED};
    for (int s = 0; s < 2; s++) {
        double *x = filled(shapes[s], N, 2), sum = 0;
        for (int i = 0; i < N; i++)
            sum += x[i];
        assert_true(fabs(sum / N) < 0.012);
        check_fraction(x, 0.6744897502, 0.5);
        check_fraction(x, 1, 0.6826894921);
        check_fraction(x, 3, 0.9973002039);
        assert_true(within(x, 3.5) < 1 && within(x, 7) == 1);
        assert_true(is_ascending(x) == (shapes[s] == SHAPE_SORTED));
        free(x);
    }
}

static void test_other_shapes_are_not_what_they_say(void **state)
{
    (void)state;
    double *x = filled(SHAPE_UNIFORM, N, 2);
    check_fraction(x, 0.25, 0.25);
    assert_true(within(x, 1) == 1 && within(x, 0.999) < 1);
    free(x);
    x = filled(SHAPE_HEAVY, N, 2); /* |t| <= a has probability a / sqrt(2 + a^2) */
    check_fraction(x, 1, 0.5773502692);
    check_fraction(x, 7, 0.9801960588);
    assert_true(within(x, 100) < 1);
    free(x);
    x = filled(SHAPE_EQUAL, N, 2);
    for (int i = 1; i < N; i++)
        assert_true(x[i] == x[0]);
    free(x);
}

static void test_threads_or_length_change_an_element(void **state)
{
    (void)state;
    double *one = filled(SHAPE_NORMAL, N, 1), *three = filled(SHAPE_NORMAL, N, 3);
    double *shorter = filled(SHAPE_NORMAL, N / 2 + 1, 2);
    assert_memory_equal(one, three, N * sizeof *one);
    assert_memory_equal(one, shorter, (N / 2 + 1) * sizeof *one);
    free(one);
    free(three);
    free(shorter);
}

static void test_a_type_gets_other_numbers(void **state)
{
    (void)state;
    uint16_t half[1000];
    float single[1000];
    double wide[1000];
    bench_data_fill(SHAPE_HEAVY, ELEMENT_F16, half, 1000, 2);
    bench_data_fill(SHAPE_HEAVY, ELEMENT_F32, single, 1000, 2);
    bench_data_fill(SHAPE_HEAVY, ELEMENT_F64, wide, 1000, 2);
    for (int i = 0; i < 1000; i++) {
        assert_true(single[i] == (float)wide[i]);
        assert_true(half[i] == element_from_double(ELEMENT_F16, wide[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normal_numbers_are_of_another_shape),
        cmocka_unit_test(test_other_shapes_are_not_what_they_say),
        cmocka_unit_test(test_threads_or_length_change_an_element),
        cmocka_unit_test(test_a_type_gets_other_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
