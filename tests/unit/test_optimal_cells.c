/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The optimal quantizer where cells hold several values: what it claims of the data behind them.
 * Few elements in wide cells against all partitions in exact integers; large samples against a
 * look at the data and against published figures.
 */
#include "lloyd_fixture.h"
#include "optimal_fixture.h"

/* A random vector, wide cells for it, and what is to be solved of it. */
struct trial {
    enum element_type type;
    int n, num_cuts;
    double x[EXACT_MOST];
    uint64_t cut[8];
    struct extent extent;
};

enum { MOST_ELEMENTS = 14 };

/* Fails with all that is needed to see it again. */
static void fail_trial(const struct trial *trial, const struct optimum *optimum, const char *what)
{
    const struct extent *e = &trial->extent;
    fprintf(stderr, "%s: %s, [%a, %a], %d levels asked:\n", what, element_name(trial->type), e->lo,
            e->hi, optimum->asked);
    for (int i = 0; i < trial->n; i++)
        fprintf(stderr, " %a", trial->x[i]);
    fprintf(stderr, "\nin binades cut at:\n");
    for (int i = 0; i < trial->num_cuts; i++)
        fprintf(stderr, " 0x%llx", (unsigned long long)trial->cut[i]);
    fprintf(stderr, "\ngive %d levels, error %a to %a, exact %d:\n", optimum->k, optimum->lower,
            optimum->upper, optimum->exact);
    for (int i = 0; i < optimum->k; i++)
        fprintf(stderr, " %a", optimum->level[i]);
    fprintf(stderr, "\n");
    fail();
}

/* Elements that share cells in different ways: in one binade, in some on both sides of zero, many
 * equal, two clusters, a tail of binades, very large and very small ones, subnormals, an offset. */
static double draw(struct dice *dice, int family, int exponent, enum element_type type)
{
    double u = dice_uniform(dice), v = dice_uniform(dice);
    switch (family) {
    case 0:
        return 1 + u;
    case 1:
        return 8 * u - 4;
    case 2:
        return 4 + floor(5 * u) * (v < 0.5 ? 0.25 : 0.125);
    case 3:
        return (v < 0.5 ? 1 : 1.75) + 0.125 * u;
    case 4:
        return exp(4 * dice_normal(dice));
    case 5: /* squares overflow, or are about the smallest numbers */
        return ldexp(8 * u - 4, type == ELEMENT_F32 ? 120 : exponent);
    case 6:
        return ldexp(floor(1e5 * u), type == ELEMENT_F32 ? -149 : -1074);
    default:
        return 1e6 + 100 * u;
    }
}

static int order_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Up to eight cells that begin at an element, behind one, or between two. */
static void draw_cuts(struct trial *trial, struct dice *dice)
{
    trial->num_cuts = (int)(9 * dice_uniform(dice));
    for (int i = 0; i < trial->num_cuts; i++) {
        double a = trial->x[(int)(trial->n * dice_uniform(dice))];
        double b = trial->x[(int)(trial->n * dice_uniform(dice))];
        double u = dice_uniform(dice);
        trial->cut[i] = u < 0.2   ? key_of(trial->type, a)
                        : u < 0.4 ? key_of(trial->type, a) + 1
                                  : key_of(trial->type, 0.5 * a + 0.5 * b);
    }
    qsort(trial->cut, (size_t)trial->num_cuts, sizeof *trial->cut, order_keys);
}

/* A bound at, beside or between elements, or none. */
static double draw_bound(const struct trial *trial, struct dice *dice, double none)
{
    double a = trial->x[(int)(trial->n * dice_uniform(dice))];
    double b = trial->x[(int)(trial->n * dice_uniform(dice))], u = dice_uniform(dice);
    return u < 0.4 ? none : u < 0.6 ? a : u < 0.7 ? nextafter(a, b) : 0.5 * a + 0.5 * b;
}

static struct trial draw_trial(struct dice *dice)
{
    struct trial trial = {.n = 1 + (int)(MOST_ELEMENTS * dice_uniform(dice))};
    int family = (int)(8 * dice_uniform(dice));
    trial.type = dice_uniform(dice) < 0.7 ? ELEMENT_F32 : ELEMENT_F64;
    int exponent = dice_uniform(dice) < 0.5 ? -538 : 1018;
    for (int i = 0; i < trial.n; i++)
        trial.x[i] = draw(dice, family, exponent, trial.type);
    round_to(trial.type, trial.x, trial.n);
    qsort(trial.x, (size_t)trial.n, sizeof *trial.x, order_doubles);
    draw_cuts(&trial, dice);
    double lo = draw_bound(&trial, dice, -INFINITY), hi = draw_bound(&trial, dice, INFINITY);
    trial.extent = extent_of(trial.x, trial.n, lo, hi);
    return trial;
}

/* Whether a cell with elements in [lo, hi] holds several values. */
static bool is_uncertain(const struct histogram *histogram, const struct trial *trial)
{
    const struct extent *e = &trial->extent;
    for (int64_t i = e->first; i < e->first + e->n; i++) {
        int64_t cell = cell_map_find(&histogram->map, key_of(trial->type, trial->x[i]));
        if (!histogram_is_single(&histogram->cells[cell]))
            return true;
    }
    return false;
}

static void check_optimum(struct exact *exact, const struct trial *trial, const struct optimum *o,
                          bool uncertain)
{
    exact_levels(exact, o->level, o->k);
    bool bounded = isfinite(trial->extent.lo) || isfinite(trial->extent.hi);
    if (o->exact && uncertain)
        fail_trial(trial, o, "said to be exact");
    if (!o->exact && !uncertain && !bounded) /* a bound may hide elements beyond it */
        fail_trial(trial, o, "said not to be exact");
    if (exact_compare(exact, o->lower, exact->best[o->asked][exact->n]) > 0)
        fail_trial(trial, o, "lower is above the optimum");
    if (exact_compare(exact, o->upper, exact->error) < 0)
        fail_trial(trial, o, "upper is below the error of the levels");
}

/* All numbers of levels from 1 to 5 on one histogram. */
static void check_levels(struct exact *exact, const struct trial *trial,
                         const struct histogram *histogram)
{
    enum { LEVELS = 5 };
    const struct extent *extent = &trial->extent;
    struct optimum optimum[LEVELS];
    struct optimal *optimal = open_extent(histogram, extent);
    int unit = common_unit(0, trial->x, trial->n);
    for (int i = 0; i < LEVELS; i++) {
        optimum[i] = find_levels(optimal, i + 1);
        unit = common_unit(unit, optimum[i].level, optimum[i].k);
    }
    exact_load(exact, trial->x + extent->first, (int)extent->n, unit);
    for (int i = 0; extent->n > 0 && i < LEVELS; i++)
        check_optimum(exact, trial, &optimum[i], is_uncertain(histogram, trial));
    optimal_close(optimal);
}

static void test_bounds_do_not_enclose_the_optimum(void **state)
{
    (void)state;
    struct dice dice = {201};
    struct exact *exact = exact_new();
    for (int i = 0; i < 4000; i++) {
        struct trial trial = draw_trial(&dice);
        struct histogram histogram =
            hand_histogram(trial.type, trial.x, trial.n, trial.cut, trial.num_cuts);
        check_levels(exact, &trial, &histogram);
        histogram_clear(&histogram);
    }
    exact_free(exact);
}

/* One step towards certainty: the same elements in the refined cells. */
static bool refine(struct histogram *histogram, const struct trial *trial, int k)
{
    const struct extent *e = &trial->extent;
    struct optimal *optimal = open_extent(histogram, e);
    struct optimum optimum = find_levels(optimal, k);
    struct histogram finer = {0};
    struct refinement refinement = {.lo = e->lo,
                                    .hi = e->hi,
                                    .level = optimum.level,
                                    .k = optimum.k,
                                    .gap = optimum_gap(&optimum),
                                    .error = optimum.upper,
                                    .gap_wanted = 1e-6};
    optimal_close(optimal);
    if (refinement.gap <= refinement.gap_wanted)
        return false;
    assert_int_equal(QO_OK, histogram_refine(histogram, &refinement, 1, &finer.map));
    if (finer.map.num_cells == 0 && !(optimum.upper > 1e-300 && optimum.upper < 1e300))
        return false; /* squares overflow, or rounding is all that parts them */
    if (finer.map.num_cells == 0)
        fail_trial(trial, &optimum, "nothing to cut, yet in doubt");
    fill_cells(&finer, trial->x, trial->n);
    histogram_clear(histogram);
    *histogram = finer;
    return true;
}

/* The bounds hold at every step, and in the end nothing is in doubt. */
static void test_refined_bounds_do_not_enclose_the_optimum(void **state)
{
    (void)state;
    struct dice dice = {202};
    struct exact *exact = exact_new();
    for (int i = 0; i < 400; i++) {
        struct trial trial = draw_trial(&dice);
        struct histogram histogram =
            hand_histogram(trial.type, trial.x, trial.n, trial.cut, trial.num_cuts);
        int rounds = 0, k = 1 + i % 5;
        while (rounds < 20 && trial.extent.n > 0 && refine(&histogram, &trial, k)) {
            check_levels(exact, &trial, &histogram);
            rounds++;
        }
        assert_true(rounds < 20);
        histogram_clear(&histogram);
    }
    exact_free(exact);
}

/* ---- Large samples. */

static const int all_levels[] = {2, 3, 4, 8, 16, 32, 100, 256};
enum { NUM_LEVELS = sizeof all_levels / sizeof *all_levels };

/* What a look at sorted x[n] says of levels: sum of squares over the elements of an extent. */
static double look_error(double *x, int64_t n, const struct extent *extent,
                         const struct optimum *optimum)
{
    struct vector v = vector_of(x, n);
    struct level_sums sums;
    v.lo = extent->lo;
    v.hi = extent->hi;
    assert_int_equal(QO_OK, vector_assign(&v, optimum->level, optimum->k, &sums));
    return sums.error;
}

/* The gap that the program promises from one walk, and the truth between the bounds. */
static void check_sample(enum element_type type, double *x, int64_t n, double lo, double hi)
{
    round_to(type, x, n);
    struct histogram histogram = new_histogram(type, x, n);
    qsort(x, (size_t)n, sizeof *x, order_doubles);
    struct extent extent = extent_of(x, n, lo, hi);
    struct optimal *optimal = open_extent(&histogram, &extent);
    for (int i = 0; i < NUM_LEVELS; i++) {
        struct optimum optimum = find_levels(optimal, all_levels[i]);
        double error = look_error(x, n, &extent, &optimum), gap = optimum_gap(&optimum);
        assert_int_equal(all_levels[i], optimum.k);
        assert_true(optimum.lower <= error * (1 + 1e-15) && error <= optimum.upper * (1 + 1e-15));
        if (gap > (optimum.k <= 16 ? 1e-3 : 1e-2) && !isfinite(lo))
            fail_msg("%s, %d levels: gap %g", element_name(type), optimum.k, gap);
    }
    optimal_close(optimal);
    histogram_clear(&histogram);
}

enum { SAMPLE = 200000 };

static void test_gap_of_a_normal_sample_is_wide(void **state)
{
    (void)state;
    double *x = new_normals(SAMPLE, 51);
    check_sample(ELEMENT_F64, x, SAMPLE, -INFINITY, INFINITY);
    check_sample(ELEMENT_F32, x, SAMPLE, -INFINITY, INFINITY);
    for (int64_t i = 0; i < SAMPLE; i++)
        x[i] = 1e-3 * x[i] + 5;
    check_sample(ELEMENT_F64, x, SAMPLE, -INFINITY, INFINITY);
    free(x);
}

/* All that a price for one more segment has to do with is the distance of the peaks; what the
 * certificate must see is their widths. */
static void test_far_narrow_peaks_have_no_certificate(void **state)
{
    (void)state;
    for (double distance = 1e3; distance < 1e7; distance *= 1e3) {
        double *x = new_normals(SAMPLE, 54);
        for (int64_t i = 0; i < SAMPLE; i++)
            x[i] = (i % 3 ? distance : -distance) + 1e-3 * x[i];
        check_sample(ELEMENT_F64, x, SAMPLE, -INFINITY, INFINITY);
        free(x);
    }
}

/* The bounds need not be near each other, but must hold. */
static void test_outliers_break_the_bounds(void **state)
{
    (void)state;
    double *x = new_normals(SAMPLE, 52);
    check_sample(ELEMENT_F32, x, SAMPLE, -2.5, 3);
    free(x);
}

static void test_tails_break_the_bounds(void **state)
{
    (void)state;
    struct dice dice = {53};
    double *x = new_array(SAMPLE, sizeof *x);
    for (int64_t i = 0; i < SAMPLE; i++) {
        double u = dice_uniform(&dice);
        x[i] = i % 10 == 0 ? (2 * u - 1) / sqrt(2 * u * (1 - u)) : i % 10 == 1 ? log(u) : 0;
    }
    check_sample(ELEMENT_F32, x, SAMPLE, -1e300, INFINITY);
    free(x);
}

/* The quantiles (i + 0.5) / n of the normal distribution, ascending: Newton steps from a straight
 * line through the last one. */
static double *new_quantiles(int64_t n)
{
    double *x = new_array(n, sizeof *x), at = 0;
    for (int64_t i = n / 2; i < n; i++) {
        double upper = ((double)(n - i) - 0.5) / (double)n;
        for (int step = 0; step < 4; step++) {
            double density = exp(-0.5 * at * at) / sqrt(2 * acos(-1));
            at += (0.5 * erfc(at / sqrt(2)) - upper) / density;
        }
        x[i] = at;
        x[n - 1 - i] = -at;
    }
    return x;
}

/* Max (1960) and Lloyd (1957) for an infinite sample. */
static void test_normal_quantizers_differ_from_the_literature(void **state)
{
    (void)state;
    enum { N = 1000000 };
    static const int levels[] = {2, 4, 8, 16, 32};
    static const double expected[] = {0.3633802, 0.1174818, 0.03454776, 0.009501008, 0.002504668};
    double *x = new_quantiles(N), square = 0;
    round_to(ELEMENT_F32, x, N);
    for (int64_t i = 0; i < N; i++)
        square += x[i] * x[i];
    struct histogram histogram = new_histogram(ELEMENT_F32, x, N);
    struct extent extent = extent_of(x, N, -INFINITY, INFINITY);
    struct optimal *optimal = open_extent(&histogram, &extent);
    for (int i = 0; i < 5; i++) {
        struct optimum optimum = find_levels(optimal, levels[i]);
        double mse = look_error(x, N, &extent, &optimum) / square;
        assert_true(fabs(mse / expected[i] - 1) < 1e-3);
        assert_true(fabs(optimum.lower / square / expected[i] - 1) < 3e-3);
    }
    optimal_close(optimal);
    histogram_clear(&histogram);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds_do_not_enclose_the_optimum),
        cmocka_unit_test(test_refined_bounds_do_not_enclose_the_optimum),
        cmocka_unit_test(test_gap_of_a_normal_sample_is_wide),
        cmocka_unit_test(test_far_narrow_peaks_have_no_certificate),
        cmocka_unit_test(test_outliers_break_the_bounds),
        cmocka_unit_test(test_tails_break_the_bounds),
        cmocka_unit_test(test_normal_quantizers_differ_from_the_literature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
