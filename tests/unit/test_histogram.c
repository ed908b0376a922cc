/* SPDX-License-Identifier: Apache-2.0 */
/* What a histogram's integers say: means, single cells, distinct values, finer maps, plots. */
#include <float.h>

#include "solve_fixture.h"

/* A histogram whose cells are the binades: as coarse as one can be. */
static struct histogram new_coarse(enum element_type type, const double *x, int64_t n)
{
    struct histogram histogram = {0};
    assert_int_equal(QO_OK, histogram_plan(&histogram.map, type, NULL, 0, true));
    fill_cells(&histogram, x, n);
    return histogram;
}

/* Cells of one to five elements over all exponents and both signs, against long double. */
static void test_mean_and_single_differ_from_the_elements(void **state)
{
    (void)state;
    struct dice dice = {3};
    for (int trial = 0; trial < 200; trial++) {
        double x[5], sign = trial % 2 ? -1 : 1;
        int64_t n = 1 + trial % 5;
        bool equal = trial % 3 == 0;
        long double sum = 0;
        for (int64_t i = 0; i < n; i++) {
            x[i] = equal && i > 0 ? x[0] : sign * ldexp(1 + dice_uniform(&dice), trial * 10 - 1074);
            sum += x[i];
        }
        struct histogram histogram = new_coarse(ELEMENT_F64, x, n);
        int64_t cell = cell_map_find(&histogram.map, key_of(ELEMENT_F64, x[0]));
        double mean = histogram_mean(&histogram, cell), exact = (double)(sum / n);
        bool single = true;
        for (int64_t i = 1; i < n; i++)
            single = single && x[i] == x[0];
        assert_int_equal(single, histogram_is_single(&histogram.cells[cell]));
        assert_true(fabs(mean - exact) <= fabs(exact) * 0x1p-52 + 5e-324);
        assert_true(!single || mean == x[0]);
        histogram_clear(&histogram);
    }
}

/* Both zeros, a subnormal and repeated values; and the three answers of a scan. */
static void test_distinct_values_are_missed(void **state)
{
    (void)state;
    const double x[] = {2, -0.0, 0.0, -7, 2, 5e-324, -7, 1e300};
    const double expected[] = {-7, 0, 5e-324, 2, 1e300};
    double value[8];
    int count;
    struct histogram histogram = new_histogram(ELEMENT_F64, x, 8);
    histogram_distinct(&histogram, -INFINITY, INFINITY, 5, value, &count);
    assert_int_equal(5, count);
    assert_memory_equal(expected, value, sizeof expected); /* 0 is +0.0 */
    histogram_distinct(&histogram, -INFINITY, INFINITY, 4, value, &count);
    assert_int_equal(0, count);
    histogram_distinct(&histogram, 0, 2, 3, value, &count); /* the bounds belong to it */
    assert_int_equal(3, count);
    assert_memory_equal(expected + 1, value, 3 * sizeof *value);
    histogram_distinct(&histogram, 3, 4, 3, value, &count);
    assert_int_equal(0, count);
    histogram_clear(&histogram);
}

static void test_cell_of_several_values_counts_as_one(void **state)
{
    (void)state;
    const double x[] = {1, 1.5, 8};
    double value[8];
    int count;
    struct histogram histogram = new_coarse(ELEMENT_F32, x, 3);
    histogram_distinct(&histogram, -INFINITY, INFINITY, 4, value, &count);
    assert_int_equal(-1, count);
    /* At least three values in sight: two are too few for them, whatever the cell holds. */
    histogram_distinct(&histogram, -INFINITY, INFINITY, 2, value, &count);
    assert_int_equal(0, count);
    histogram_distinct(&histogram, 2, 9, 2, value, &count);
    assert_int_equal(1, count);
    histogram_distinct(&histogram, 1.25, 9, 4, value, &count); /* the bound cuts the cell */
    assert_int_equal(-1, count);
    histogram_clear(&histogram);
}

/* -0.0 in a cell of several values and +0.0 in its own are one value: two levels are enough here.
 */
static void test_both_zeros_count_twice(void **state)
{
    (void)state;
    const double x[] = {-0x1p-149, -0.0, 0.0};
    double value[2];
    int count;
    struct histogram histogram = new_coarse(ELEMENT_F32, x, 3);
    histogram_distinct(&histogram, -INFINITY, INFINITY, 2, value, &count);
    assert_int_equal(-1, count);
    histogram_clear(&histogram);
}

/* Values that share a binade, some of them neighbours, told apart by splitting again and again. */
static void test_splitting_never_names_the_values(void **state)
{
    (void)state;
    double x[12], value[16];
    struct dice dice = {8};
    for (int i = 0; i < 12; i++)
        x[i] = i < 6 ? 1 + dice_uniform(&dice) : -3 - i * 0x1p-51;
    struct histogram histogram = new_coarse(ELEMENT_F64, x, 12);
    int count = -1, rounds = 0;
    for (; count < 0 && rounds < 20; rounds++) {
        struct histogram finer = {0};
        histogram_distinct(&histogram, -INFINITY, INFINITY, 16, value, &count);
        assert_int_equal(QO_OK, histogram_split(&histogram, -INFINITY, INFINITY, &finer.map));
        assert_true((finer.map.num_cells == 0) == (count >= 0)); /* nothing is left to be cut */
        if (count >= 0)
            break;
        fill_cells(&finer, x, 12);
        histogram_clear(&histogram);
        histogram = finer;
    }
    /* A round divides a cell by up to 4096 = 2^12, and 52 bits are to be told apart. */
    assert_in_range(rounds, 2, 6);
    qsort(x, 12, sizeof *x, order_doubles);
    assert_int_equal(12, count);
    assert_memory_equal(x, value, sizeof x);
    histogram_clear(&histogram);
}

/* A finer map begins cells where the old one does, and more of them only where values differ. */
static void test_finer_map_loses_or_moves_cells(void **state)
{
    (void)state;
    enum { N = 100000 };
    double *x = new_normals(N, 4);
    struct cell_map finer;
    round_to(ELEMENT_F32, x, N);
    struct histogram histogram = new_histogram(ELEMENT_F32, x, N);
    assert_int_equal(QO_OK, histogram_split(&histogram, -INFINITY, INFINITY, &finer));
    assert_in_range(finer.num_cells, histogram.map.num_cells + 1, 131072 + 65536);
    for (int64_t i = 1; i < finer.num_cells; i++)
        assert_true(finer.low[i] > finer.low[i - 1]);
    for (int64_t i = 0; i + 1 < histogram.map.num_cells; i++) {
        int64_t at = cell_map_find(&finer, histogram.map.low[i]);
        assert_true(finer.low[at] == histogram.map.low[i]);
        bool cut = finer.low[at + 1] != histogram.map.low[i + 1];
        assert_int_equal(cut, !histogram_is_single(&histogram.cells[i]));
    }
    cell_map_clear(&finer);
    histogram_clear(&histogram);
    free(x);
}

/* Counts x[n] into bins as NumPy does: the last bin has both its ends. */
static void check_plot(enum element_type type, const double *x, int64_t n, int fewest)
{
    double edges[HISTOGRAM_PLOT_BINS + 1], min = INFINITY, max = -INFINITY;
    uint64_t counts[HISTOGRAM_PLOT_BINS], expected[HISTOGRAM_PLOT_BINS] = {0};
    struct histogram histogram = new_histogram(type, x, n);
    for (int64_t i = 0; i < n; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    int bins = histogram_plot(&histogram, min, max, edges, counts);
    assert_in_range(bins, fewest, HISTOGRAM_PLOT_BINS);
    assert_true(edges[0] <= min && edges[bins] >= max);
    assert_true(min == max || (edges[0] == min && edges[bins] == max));
    for (int b = 0; b < bins; b++)
        assert_true(edges[b] < edges[b + 1]);
    for (int64_t i = 0; i < n; i++) {
        int b = bins - 1;
        while (b > 0 && x[i] < edges[b])
            b--;
        expected[b]++;
    }
    assert_memory_equal(expected, counts, (size_t)bins * sizeof *counts);
    histogram_clear(&histogram);
}

/* Every type, a vector of more and of fewer elements than a sample, and the ranges that overflow.
 */
static void test_plot_counts_elements_in_the_wrong_bin(void **state)
{
    (void)state;
    enum { N = 70000 };
    const double one[] = {-1e308}, zeros[] = {0.0, -0.0}, wide[] = {-DBL_MAX, DBL_MAX, 0};
    double *x = new_normals(N, 6);
    check_plot(ELEMENT_F64, x, N, 500);
    round_to(ELEMENT_F32, x, N);
    check_plot(ELEMENT_F32, x, N, 500);
    check_plot(ELEMENT_F32, x, 1000, 100);
    round_to(ELEMENT_F16, x, N);
    check_plot(ELEMENT_F16, x, N, 400);
    check_plot(ELEMENT_F64, one, 1, 1);
    check_plot(ELEMENT_F64, zeros, 2, 1);
    check_plot(ELEMENT_F64, wide, 3, 2);
    check_plot(ELEMENT_F64, ten_values, 10, 9);
    free(x);
}

static void test_plot_of_nothing_has_bins(void **state)
{
    (void)state;
    double edges[HISTOGRAM_PLOT_BINS + 1] = {0};
    uint64_t counts[HISTOGRAM_PLOT_BINS];
    struct histogram histogram = new_histogram(ELEMENT_F32, edges, 0);
    assert_int_equal(0, histogram_plot(&histogram, INFINITY, -INFINITY, edges, counts));
    histogram_clear(&histogram);
    histogram_clear(&histogram); /* a cleared one may be cleared again */
}

/* Errors of x[n] within [lo, hi], counted bin by bin. */
static void count_errors(const double *x, int64_t n, const double bound[2], const double *level,
                         int k, double reach, double *share)
{
    double total = 0;
    for (int b = 0; b < HISTOGRAM_ERROR_BINS; b++)
        share[b] = 0;
    for (int64_t i = 0; i < n; i++) {
        int at = 0;
        while (at + 1 < k && 0.5 * level[at] + 0.5 * level[at + 1] < x[i])
            at++;
        int b = (int)(((x[i] - level[at]) / reach + 1) * (HISTOGRAM_ERROR_BINS / 2.0));
        if (bound[0] <= x[i] && x[i] <= bound[1]) {
            share[b < HISTOGRAM_ERROR_BINS ? b : HISTOGRAM_ERROR_BINS - 1]++;
            total++;
        }
    }
    for (int b = 0; b < HISTOGRAM_ERROR_BINS; b++)
        share[b] /= total;
}

/* Cells of one value count exactly; others to within what a cell holds, at any bin. */
static void check_errors(const double *x, int64_t n, const double bound[2], const double *level,
                         int k, double slack)
{
    double reach = 0, want[HISTOGRAM_ERROR_BINS], far = 0, sum = 0;
    float share[HISTOGRAM_ERROR_BINS];
    struct histogram histogram = new_histogram(ELEMENT_F64, x, n);
    for (int64_t i = 0; i < n; i++) {
        double nearest = INFINITY;
        for (int j = 0; j < k && bound[0] <= x[i] && x[i] <= bound[1]; j++)
            nearest = fmin(nearest, fabs(x[i] - level[j]));
        reach = nearest < INFINITY ? fmax(reach, nearest) : reach;
    }
    count_errors(x, n, bound, level, k, reach, want);
    histogram_errors(&histogram, bound[0], bound[1], level, k, reach, share);
    for (int b = 0; b < HISTOGRAM_ERROR_BINS; b++) {
        far += (double)share[b] - want[b];
        sum += (double)share[b];
        assert_true(fabs(far) <= slack);
    }
    assert_true(fabs(sum - 1) < 1e-5);
    histogram_clear(&histogram);
}

static void test_errors_are_in_the_wrong_bin(void **state)
{
    (void)state;
    enum { N = 200000 };
    const double level[] = {-1.7, -0.6, 0.1, 0.9, 2.0}, zero[] = {0};
    const double all[] = {-10, 10}, some[] = {-1.2, 0.75};
    double *x = new_normals(N, 8);
    check_errors(x, 60000, all, level, 5, 1e-5);
    check_errors(x, 60000, some, level, 5, 1e-5);
    check_errors(x, N, all, level, 5, 1e-3);
    check_errors(x, N, some, level, 5, 1e-3);
    check_errors(x, N, all, zero, 1, 1e-3);
    free(x);
}

/* Of a cell that holds a few of the smallest numbers the half is rounded, to nothing at times. */
static void test_errors_of_the_smallest_numbers_are_lost(void **state)
{
    (void)state;
    enum { N = 300000 };
    const double level[] = {0, 40000 * DBL_TRUE_MIN, 90000 * DBL_TRUE_MIN}, all[] = {0, 1};
    double *x = new_normals(N, 9);
    for (int i = 0; i < N; i++)
        x[i] = floor(fabs(x[i]) * 40000) * DBL_TRUE_MIN;
    check_errors(x, N, all, level, 3, 1e-3);
    free(x);
}

static void test_errors_of_nothing_or_without_bound(void **state)
{
    (void)state;
    const double x[] = {-1, 0, 3}, level[] = {-1, 0, 3}, far[] = {-DBL_MAX, DBL_MAX};
    float share[HISTOGRAM_ERROR_BINS];
    struct histogram histogram = new_histogram(ELEMENT_F64, x, 3);
    histogram_errors(&histogram, -5, 5, level, 3, 0, share);
    for (int b = 0; b < HISTOGRAM_ERROR_BINS; b++) /* no error lies in the middle */
        assert_true(share[b] == (b == HISTOGRAM_ERROR_BINS / 2 ? 1 : 0));
    histogram_errors(&histogram, 4, 5, level, 3, 1, share);
    for (int b = 0; b < HISTOGRAM_ERROR_BINS; b++)
        assert_true(share[b] == 0);
    histogram_errors(&histogram, -5, 5, level, 3, INFINITY, share);
    for (int b = 0; b < HISTOGRAM_ERROR_BINS; b++)
        assert_true(share[b] == 0);
    histogram_clear(&histogram);
    histogram = new_histogram(ELEMENT_F64, far, 2);
    histogram_errors(&histogram, -DBL_MAX, DBL_MAX, level, 1, DBL_MAX, share);
    assert_true(share[0] == 0.5F && share[HISTOGRAM_ERROR_BINS - 1] == 0.5F);
    histogram_clear(&histogram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mean_and_single_differ_from_the_elements),
        cmocka_unit_test(test_distinct_values_are_missed),
        cmocka_unit_test(test_cell_of_several_values_counts_as_one),
        cmocka_unit_test(test_both_zeros_count_twice),
        cmocka_unit_test(test_splitting_never_names_the_values),
        cmocka_unit_test(test_finer_map_loses_or_moves_cells),
        cmocka_unit_test(test_plot_counts_elements_in_the_wrong_bin),
        cmocka_unit_test(test_plot_of_nothing_has_bins),
        cmocka_unit_test(test_errors_are_in_the_wrong_bin),
        cmocka_unit_test(test_errors_of_the_smallest_numbers_are_lost),
        cmocka_unit_test(test_errors_of_nothing_or_without_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
