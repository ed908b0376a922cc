/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The optimal quantizer where each distinct value has a cell of its own, so that nothing but
 * rounding may part it from the truth: small vectors against all partitions in exact integers,
 * larger ones against a dynamic programme on integers and against closed forms.
 */
#include "lloyd_fixture.h"
#include "optimal_fixture.h"

/* ---- Small vectors against all partitions. */

/* A random vector, and what is to be solved of it. */
struct trial {
    int family, n;
    enum element_type type;
    double x[EXACT_MOST];
    struct extent extent;
};

enum family {
    UNIT,
    FEW,
    COPIES,
    TINY,
    OFFSET,
    MIXED,
    ZEROS,
    NORMAL,
    WIDE,
    EDGE,
    HUGE_ONES,
    FAMILIES
};

/* A number of a family; integers that a type cannot hold beside each other become equal. */
static double draw(struct dice *dice, enum family family, enum element_type type)
{
    static const int tiny[] = {-24, -133, -149, -1074}, offset[] = {10, 7, 23, 52};
    static const int wide[] = {28, 120, 120, 400}, top[] = {14, 126, 126, 1022};
    double u = dice_uniform(dice), v = dice_uniform(dice), sign = u < 0.5 ? -1 : 1;
    double large = type == ELEMENT_F16 ? 1e4 : 1e20, small = type == ELEMENT_F16 ? 1e-6 : 1e-3;
    switch (family) {
    case UNIT:
        return 10 * u - 5;
    case FEW:
        return floor(6 * u);
    case COPIES:
        return exp(floor(3 * u));
    case TINY:
        return ldexp(sign * floor(9 * v), tiny[type]);
    case OFFSET:
        return ldexp(1, offset[type]) + floor(40 * v);
    case MIXED:
        return floor(10 * v - 5) * (u < 0.3 ? large : u < 0.6 ? 1 : small);
    case ZEROS:
        return u < 0.6 ? sign * 0.0 : v - 0.5;
    case NORMAL:
        return dice_normal(dice);
    case WIDE:
        return sign * ldexp(1 + v, -(int)(dice_uniform(dice) * wide[type] / 2));
    case EDGE: /* squares of float64 are about the smallest numbers */
        return sign * ldexp(1 + v, type == ELEMENT_F64 ? -538 : tiny[type] + 5);
    default: /* and here they overflow */
        return sign * ldexp(1 + v, top[type]);
    }
}

static struct trial draw_trial(struct dice *dice, enum element_type type)
{
    struct trial trial = {.type = type, .n = 1 + (int)(12 * dice_uniform(dice))};
    double bound[2] = {-INFINITY, INFINITY};
    trial.family = (int)(FAMILIES * dice_uniform(dice));
    for (int i = 0; i < trial.n; i++)
        trial.x[i] = draw(dice, (enum family)trial.family, type);
    round_to(type, trial.x, trial.n);
    qsort(trial.x, (size_t)trial.n, sizeof *trial.x, order_doubles);
    if (dice_uniform(dice) < 0.25) {
        for (int i = 0; i < 2; i++)
            bound[i] = trial.x[(int)(trial.n * dice_uniform(dice))];
        if (dice_uniform(dice) < 0.5)
            bound[0] = bound[0] * 0.75 + 0.25 * trial.x[0];
    }
    trial.extent = extent_of(trial.x, trial.n, bound[0], bound[1]);
    return trial;
}

/* Fails with all that is needed to see it again. */
static void fail_trial(const struct trial *trial, const struct optimum *optimum, const char *what)
{
    const struct extent *e = &trial->extent;
    fprintf(stderr, "%s: %s, family %d, [%a, %a], %d levels asked:\n", what,
            element_name(trial->type), trial->family, e->lo, e->hi, optimum->asked);
    for (int i = 0; i < trial->n; i++)
        fprintf(stderr, " %a", trial->x[i]);
    fprintf(stderr, "\ngive %d levels, error %a to %a, exact %d:\n", optimum->k, optimum->lower,
            optimum->upper, optimum->exact);
    for (int i = 0; i < optimum->k; i++)
        fprintf(stderr, " %a", optimum->level[i]);
    fprintf(stderr, "\n");
    fail();
}

/* Whether the true error is at most 1 + 1e-12 times the least there is, and what rounding the
 * levels costs. */
static bool is_least(struct exact *exact, int k)
{
    mpz_mul_ui(exact->a, exact->best[k][exact->n], 1000000000001u);
    mpz_sub(exact->b, exact->error, exact->slack);
    mpz_mul_ui(exact->b, exact->b, 1000000000000u);
    return mpz_cmp(exact->b, exact->a) <= 0;
}

static void check_optimum(struct exact *exact, const struct trial *trial, const struct optimum *o)
{
    int distinct = count_distinct(trial->x + trial->extent.first, trial->extent.n);
    int k = o->asked < distinct ? o->asked : distinct;
    if (o->k != k)
        fail_trial(trial, o, "number of levels");
    if (!o->exact)
        fail_trial(trial, o, "not exact");
    exact_levels(exact, o->level, o->k);
    if (!is_least(exact, o->asked))
        fail_trial(trial, o, "not optimal");
    if (!exact_are_means(exact, o->level, o->k))
        fail_trial(trial, o, "not means");
    if (exact_compare(exact, o->lower, exact->best[o->asked][exact->n]) > 0)
        fail_trial(trial, o, "lower is above the optimum");
    if (exact_compare(exact, o->upper, exact->error) < 0)
        fail_trial(trial, o, "upper is below the error of the levels");
}

static void check_empty(const struct trial *trial, const struct optimum *o)
{
    if (o->k != 1 || o->level[0] != 0 || o->upper != 0 || o->lower != 0)
        fail_trial(trial, o, "not the level 0 of no elements");
}

enum { FINDS = 4 };

/* A few numbers of levels from one histogram, small ones more often. */
static void check_trial(struct exact *exact, struct dice *dice, const struct trial *trial,
                        struct histogram *histogram)
{
    const struct extent *extent = &trial->extent;
    struct optimal *optimal = open_extent(histogram, extent);
    struct optimum optimum[FINDS];
    int unit = common_unit(INT16_MAX, trial->x, trial->n);
    for (int i = 0; i < FINDS; i++) {
        double u = dice_uniform(dice);
        optimum[i] = find_levels(optimal, 1 + (int)(16 * u * u));
        unit = common_unit(unit, optimum[i].level, optimum[i].k);
    }
    exact_load(exact, trial->x + extent->first, (int)extent->n, unit == INT16_MAX ? 0 : unit);
    for (int i = 0; i < FINDS; i++) {
        if (extent->n > 0)
            check_optimum(exact, trial, &optimum[i]);
        else
            check_empty(trial, &optimum[i]);
    }
    optimal_close(optimal);
    histogram_clear(histogram);
}

static void check_trials(enum element_type type, int trials, uint64_t seed)
{
    struct dice dice = {seed};
    struct exact *exact = exact_new();
    for (int i = 0; i < trials; i++) {
        struct trial trial = draw_trial(&dice, type);
        struct histogram histogram = value_histogram(type, trial.x, trial.n);
        check_trial(exact, &dice, &trial, &histogram);
    }
    exact_free(exact);
}

static void test_another_partition_of_float64_is_better(void **state)
{
    (void)state;
    check_trials(ELEMENT_F64, 4000, 101);
}

static void test_another_partition_of_float32_is_better(void **state)
{
    (void)state;
    check_trials(ELEMENT_F32, 5000, 102);
}

static void test_another_partition_of_16_bits_is_better(void **state)
{
    (void)state;
    check_trials(ELEMENT_F16, 4000, 103);
    check_trials(ELEMENT_BF16, 1000, 104);
}

/* The map as the program plans it. */
static void test_planned_cells_hide_a_better_partition(void **state)
{
    (void)state;
    struct dice dice = {105};
    struct exact *exact = exact_new();
    for (int i = 0; i < 160; i++) {
        enum element_type type = i % 20 ? ELEMENT_F32 + (enum element_type)(i % 2) : ELEMENT_F16;
        struct trial trial = draw_trial(&dice, type);
        struct histogram histogram = new_histogram(type, trial.x, trial.n);
        check_trial(exact, &dice, &trial, &histogram);
    }
    exact_free(exact);
}

/* ---- Larger vectors. */

static void test_means_are_not_the_nearest_numbers(void **state)
{
    (void)state;
    const double expected[] = {-3.7, -1.35, -0.9, 0, 1.8, 2.35, 3.2, 4.0};
    double x[10], pair[] = {2.2, 2.5};
    memcpy(x, ten_values, sizeof x);
    struct optimum optimum = optimum_of(ELEMENT_F64, x, 10, 8);
    assert_int_equal(8, optimum.k);
    assert_memory_equal(expected, optimum.level, sizeof expected);
    assert_true(fabs(sqrt(optimum.upper / 10) / sqrt(0.005) - 1) < 1e-12);
    assert_true(optimum_of(ELEMENT_F64, pair, 2, 1).level[0] == 2.35);
}

static void test_gap_is_not_of_the_rmse(void **state)
{
    (void)state;
    struct optimum optimum = {.asked = 1, .k = 1, .lower = 1, .upper = 1.21};
    assert_true(fabs(optimum_gap(&optimum) - 0.1) < 1e-15);
    optimum.lower = 0;
    assert_true(isinf(optimum_gap(&optimum)));
    optimum.upper = INFINITY; /* squares overflow: nothing is known */
    assert_true(isinf(optimum_gap(&optimum)));
    optimum.lower = DBL_MAX;
    assert_true(isinf(optimum_gap(&optimum)));
    optimum.exact = true;
    assert_true(optimum_gap(&optimum) == 0);
}

/* A cut at every k makes the least error an exact fraction: segments differ by at most one. */
static void test_ties_of_even_spacing_are_cut_unevenly(void **state)
{
    (void)state;
    double x[40];
    for (int n = 1; n <= 40; n++) {
        for (int i = 0; i < n; i++)
            x[i] = i;
        struct histogram histogram = value_histogram(ELEMENT_F32, x, n);
        struct extent extent = extent_of(x, n, -INFINITY, INFINITY);
        struct optimal *optimal = open_extent(&histogram, &extent);
        for (int k = 1; k <= n; k++) {
            struct optimum optimum = find_levels(optimal, k);
            double error = 0;
            assert_int_equal(k, optimum.k);
            for (int i = 0, first = 0, end; i < k; i++, first = end) {
                end =
                    (int)(2 * optimum.level[i]) - first + 1; /* the mean is (first + end - 1) / 2 */
                assert_true(end - first == n / k || end - first == (n + k - 1) / k);
                assert_true(2 * optimum.level[i] == first + end - 1);
                error += (end - first) * ((end - first) * (end - first) - 1) / 12.0;
                assert_true(i + 1 < k || end == n);
            }
            assert_true(optimum.exact && fabs(optimum.upper - error) <= 1e-12 * error);
            assert_true(optimum.lower <= error && optimum.upper >= error); /* halves: exact */
        }
        optimal_close(optimal);
        histogram_clear(&histogram);
    }
}

enum { MEDIUM = 300, MEDIUM_LEVELS = 64 };

/* The error of the best partitions of ascending integers x[MEDIUM]: integer sums, one rounding a
 * segment. best[k] for k from 1 on. */
static void integer_optimum(const int64_t *x, long double *best)
{
    int64_t sum[MEDIUM + 1] = {0}, square[MEDIUM + 1] = {0};
    long double row[2][MEDIUM + 1];
    for (int i = 0; i < MEDIUM; i++) {
        sum[i + 1] = sum[i] + x[i];
        square[i + 1] = square[i] + x[i] * x[i];
        row[0][i] = INFINITY;
    }
    row[0][MEDIUM] = INFINITY;
    row[0][0] = 0;
    for (int k = 1; k <= MEDIUM_LEVELS; k++) {
        long double *from = row[(k + 1) % 2], *to = row[k % 2];
        for (int j = 0; j <= MEDIUM; j++) {
            to[j] = from[j];
            for (int i = 0; i < j; i++) {
                __int128 s = sum[j] - sum[i], m = j - i;
                __int128 cost = m * (square[j] - square[i]) - s * s;
                long double error = from[i] + (long double)cost / (long double)m;
                to[j] = error < to[j] ? error : to[j];
            }
        }
        best[k] = to[MEDIUM];
    }
}

/* Normal, lognormal, clustered, evenly spaced with holes, and few distinct ones. */
static int64_t medium_value(struct dice *dice, int shape, int i)
{
    switch (shape) {
    case 0:
        return (int64_t)(1e5 * dice_normal(dice));
    case 1:
        return (int64_t)(1e3 * exp(2 * dice_normal(dice)));
    case 2:
        return 1000000 * (int64_t)(7 * dice_uniform(dice)) + (int64_t)(10 * dice_normal(dice));
    case 3:
        return i + 20 * (i / 50);
    default:
        return (int64_t)(90 * dice_uniform(dice));
    }
}

static void test_a_better_partition_of_hundreds_is_missed(void **state)
{
    (void)state;
    struct dice dice = {11};
    for (int shape = 0; shape < 5; shape++) {
        int64_t whole[MEDIUM];
        double x[MEDIUM];
        long double best[MEDIUM_LEVELS + 1];
        for (int i = 0; i < MEDIUM; i++)
            x[i] = (double)medium_value(&dice, shape, i);
        qsort(x, MEDIUM, sizeof *x, order_doubles);
        for (int i = 0; i < MEDIUM; i++)
            whole[i] = (int64_t)x[i];
        integer_optimum(whole, best);
        struct histogram histogram = value_histogram(ELEMENT_F32, x, MEDIUM);
        struct extent extent = extent_of(x, MEDIUM, -INFINITY, INFINITY);
        struct optimal *optimal = open_extent(&histogram, &extent);
        for (int k = 1; k <= MEDIUM_LEVELS; k++) {
            struct optimum optimum = find_levels(optimal, k);
            struct vector v = vector_of(x, MEDIUM);
            struct level_sums sums;
            assert_int_equal(QO_OK, vector_assign(&v, optimum.level, optimum.k, &sums));
            assert_true(optimum.exact && (long double)sums.error <= best[k] * (1 + 1e-12L));
            assert_true((long double)optimum.lower <= best[k] * (1 + 1e-17L));
            assert_true(optimum.lower >= (double)best[k] * (1 - 1e-6));
            assert_true(optimum.upper >= sums.error * (1 - 1e-15));
        }
        optimal_close(optimal);
        histogram_clear(&histogram);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_partition_of_float64_is_better),
        cmocka_unit_test(test_another_partition_of_float32_is_better),
        cmocka_unit_test(test_another_partition_of_16_bits_is_better),
        cmocka_unit_test(test_planned_cells_hide_a_better_partition),
        cmocka_unit_test(test_means_are_not_the_nearest_numbers),
        cmocka_unit_test(test_gap_is_not_of_the_rmse),
        cmocka_unit_test(test_ties_of_even_spacing_are_cut_unevenly),
        cmocka_unit_test(test_a_better_partition_of_hundreds_is_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
