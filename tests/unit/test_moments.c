/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moments against figures that Python's exact fractions gave, each rounded once to nearest even;
 * the test is for equal bits.
 */
#include "solve_fixture.h"

static void check(enum element_type type, const double *x, int64_t n, double mean, double std,
                  double norm)
{
    struct moments moments;
    struct histogram histogram = new_histogram(type, x, n);
    assert_int_equal(QO_OK, histogram_moments(&histogram, &moments));
    assert_int_equal(n, moments.count);
    assert_true(moments.mean == mean);
    assert_true(moments.std == std);
    assert_true(moments.norm == norm);
    histogram_clear(&histogram);
}

static void test_small_vector_is_off_by_a_bit(void **state)
{
    (void)state;
    double x[10];
    memcpy(x, ten_values, sizeof x);
    check(ELEMENT_F64, x, 10, 0x1.47ae147ae147bp-1, 0x1.2b28a4445ad0dp+1, 0x1.ea6cea2834b85p+2);
    round_to(ELEMENT_F32, x, 10);
    check(ELEMENT_F32, x, 10, 0x1.47ae14ccccccdp-1, 0x1.2b28a453ff059p+1, 0x1.ea6cea489c86fp+2);
}

/* The usual formula in float64 loses ten of sixteen digits here. */
static void test_narrow_spread_far_from_zero_cancels(void **state)
{
    (void)state;
    enum { N = 5000 };
    double *x = new_array(N, sizeof *x);
    for (int i = 0; i < N; i++)
        x[i] = 300 + ((i * 7919) % 2003 - 1001) * 1e-6;
    check(ELEMENT_F64, x, N, 0x1.2c00000600bd4p+8, 0x1.2f4a9a3d2b6c4p-11, 0x1.4b74d058104b0p+14);
    free(x);
}

/* Twelve uniform numbers less six: nearly normal, both signs, many binades. */
static double *new_bell(int64_t n)
{
    double *x = new_array(n, sizeof *x);
    uint64_t state = 42;
    for (int64_t i = 0; i < n; i++) {
        for (int j = 0; j < 12; j++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            x[i] += (double)(state >> 11) * 0x1p-53;
        }
        x[i] -= 6;
    }
    return x;
}

static void test_bell_of_both_signs(void **state)
{
    (void)state;
    enum { N = 20000 };
    double *x = new_bell(N);
    check(ELEMENT_F64, x, N, 0x1.b5a9b84414d2fp-10, 0x1.ff62fd59ff7f9p-1, 0x1.1a811940fe4c7p+7);
    free(x);
}

/* The figures depend on the elements alone: cells of many values must give what single ones give.
 */
static void test_wide_cells_change_the_figures(void **state)
{
    (void)state;
    enum { N = 20000 };
    double *x = new_bell(N);
    struct histogram histogram = {0};
    struct moments moments;
    assert_int_equal(QO_OK, histogram_plan(&histogram.map, ELEMENT_F64, NULL, 0, false));
    fill_cells(&histogram, x, N);
    assert_int_equal(QO_OK, histogram_moments(&histogram, &moments));
    assert_true(moments.mean == 0x1.b5a9b84414d2fp-10);
    assert_true(moments.std == 0x1.ff62fd59ff7f9p-1);
    assert_true(moments.norm == 0x1.1a811940fe4c7p+7);
    histogram_clear(&histogram);
    free(x);
}

/* Keys of negative numbers ascend towards zero: the offset lowers the magnitude. */
static void test_wide_negative_cell_has_its_offsets_turned(void **state)
{
    (void)state;
    enum { N = 1000 };
    double *x = new_array(N, sizeof *x);
    struct histogram histogram = {0};
    struct moments moments;
    for (int i = 0; i < N; i++)
        x[i] = -1 - i * 0x1p-40;
    assert_int_equal(QO_OK, histogram_plan(&histogram.map, ELEMENT_F64, NULL, 0, true));
    fill_cells(&histogram, x, N);
    assert_int_equal(QO_OK, histogram_moments(&histogram, &moments));
    assert_true(moments.mean == -0x1.00000001f3800p+0);
    assert_true(moments.std == 0x1.20accc2957d56p-32);
    assert_true(moments.norm == 0x1.f9f6e49cea5bbp+4);
    histogram_clear(&histogram);
    free(x);
}

/* 3,000 bit patterns of both signs over all exponents. */
static void test_16_bit_types(void **state)
{
    (void)state;
    enum { N = 3000 };
    double *x = new_array(N, sizeof *x);
    for (uint64_t i = 0; i < N; i++)
        x[i] = element_value(ELEMENT_F16, (i * 37) % 31744 | (i % 3 == 0 ? 0x8000u : 0));
    check(ELEMENT_F16, x, N, 0x1.d6bd7514c76c9p+9, 0x1.28475d5904af2p+13, 0x1.fd9d5f9e9cd7fp+18);
    for (uint64_t i = 0; i < N; i++)
        x[i] = element_value(ELEMENT_BF16, (i * 91) % 32640 | (i % 5 < 3 ? 0x8000u : 0));
    check(ELEMENT_BF16, x, N, -0x1.2e94cd67605d5p+118, 0x1.c4fa37d23ba28p+123,
          0x1.83bfffb77537fp+129);
    free(x);
}

/* Exact sums know no overflow before the end; only the norm may be beyond float64. */
static void test_extremes_overflow_or_vanish(void **state)
{
    (void)state;
    const double huge[] = {1e308, -1.5e308, 1.25e308};
    const double hugest[] = {0x1.fffffffffffffp+1023, 0x1.fffffffffffffp+1023,
                             0x1.fffffffffffffp+1023};
    const double subnormal[] = {5e-324, -1e-310, 2.2250738585072014e-308, -3e-320, 1.5e-323};
    const double mixed[] = {1e300, -1e-300, 5e-324, 1.0, -1e300, 3e-5};
    check(ELEMENT_F64, huge, 3, 0x1.1ccf385ebc8a0p+1021, 0x1.61a1648f8e722p+1023, INFINITY);
    check(ELEMENT_F64, hugest, 3, 0x1.fffffffffffffp+1023, 0, INFINITY);
    check(ELEMENT_F64, subnormal, 5, 0x0.32f84b0e966d3p-1022, 0x0.668419f00e675p-1022,
          0x1.0000a96eeeaa3p-1022);
    check(ELEMENT_F64, mixed, 6, 0x1.5557f46c0671cp-3, 0x1.b966be8dc6acbp+995,
          0x1.0e4d50f99b211p+997);
}

/* Means and deviations that lie halfway between two numbers. */
static void test_ties_round_away_from_even(void **state)
{
    (void)state;
    const double down[] = {1, 0x1.0000000000001p+0},
                 up[] = {0x1.0000000000001p+0, 0x1.0000000000002p+0};
    const double least[] = {5e-324, 0}, twice[] = {5e-324, 1e-323}, thrice[] = {0, 1.5e-323};
    check(ELEMENT_F64, down, 2, 1, 0x1p-53, 0x1.6a09e667f3bcdp+0);
    check(ELEMENT_F64, up, 2, 0x1.0000000000002p+0, 0x1p-53, 0x1.6a09e667f3bcfp+0);
    check(ELEMENT_F64, least, 2, 0, 0, 5e-324);
    check(ELEMENT_F64, twice, 2, 1e-323, 0, 1e-323);
    check(ELEMENT_F64, thrice, 2, 1e-323, 1e-323, 1.5e-323);
}

static void test_one_element_and_none(void **state)
{
    (void)state;
    const double one[] = {-2.5}, pair[] = {3, -4};
    struct moments moments;
    struct histogram histogram = new_histogram(ELEMENT_F32, one, 0);
    check(ELEMENT_F32, one, 1, -2.5, 0, 2.5);
    check(ELEMENT_F32, pair, 2, -0.5, 3.5, 5);
    assert_int_equal(QO_OK, histogram_moments(&histogram, &moments));
    assert_int_equal(0, moments.count);
    assert_true(isnan(moments.mean) && isnan(moments.std) && isnan(moments.norm));
    histogram_clear(&histogram);
}

/* 2^62 elements of 2^52 - 1 ulp offset each: the sums of the cell fill their words. */
static void test_largest_counts_overflow_words(void **state)
{
    (void)state;
    struct histogram histogram = {0};
    struct moments moments;
    double x = -0x1p+0; /* its key is the last of its binade: an offset of 2^52 - 1 */
    assert_int_equal(QO_OK, histogram_plan(&histogram.map, ELEMENT_F64, NULL, 0, true));
    fill_cells(&histogram, &x, 1);
    int64_t cell = cell_map_find(&histogram.map, key_of(ELEMENT_F64, x));
    for (int i = 0; i < 62; i++) {
        struct cell copy = histogram.cells[cell];
        cell_merge(&histogram.cells[cell], &copy);
    }
    assert_true(histogram.cells[cell].square[2] != 0);
    assert_true(histogram_is_single(&histogram.cells[cell]));
    assert_true(histogram_mean(&histogram, cell) == x);
    assert_int_equal(QO_OK, histogram_moments(&histogram, &moments));
    assert_true(moments.count == (int64_t)1 << 62);
    assert_true(moments.mean == -1 && moments.std == 0 && moments.norm == 0x1p+31);
    histogram_clear(&histogram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_vector_is_off_by_a_bit),
        cmocka_unit_test(test_narrow_spread_far_from_zero_cancels),
        cmocka_unit_test(test_bell_of_both_signs),
        cmocka_unit_test(test_wide_cells_change_the_figures),
        cmocka_unit_test(test_wide_negative_cell_has_its_offsets_turned),
        cmocka_unit_test(test_16_bit_types),
        cmocka_unit_test(test_extremes_overflow_or_vanish),
        cmocka_unit_test(test_ties_round_away_from_even),
        cmocka_unit_test(test_one_element_and_none),
        cmocka_unit_test(test_largest_counts_overflow_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
