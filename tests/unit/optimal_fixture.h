/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_TESTS_OPTIMAL_FIXTURE_H
#define QO_TESTS_OPTIMAL_FIXTURE_H

#include <float.h>
#include <gmp.h>

#include "optimal.h"
#include "solve_fixture.h"

/*
 * The truth about a few elements, in exact integers: errors are integers times
 * 4^unit / EXACT_MULTIPLE, so that the mean of any segment divides without a rest.
 */
enum { EXACT_MOST = 16, EXACT_MULTIPLE = 720720 };

struct exact {
    int n, unit;
    mpz_t x[EXACT_MOST];                          /* ascending, times 2^unit */
    mpz_t cost[EXACT_MOST][EXACT_MOST + 1];       /* [first][end]: of one level for a segment */
    mpz_t best[EXACT_MOST + 1][EXACT_MOST + 1];   /* [k][end]: of at most k levels for a start */
    mpz_t level[SOLVER_MAX_LEVELS], error, slack; /* of the levels that were loaded */
    mpz_t a, b, c;                                /* scratch */
};

static inline struct exact *exact_new(void)
{
    struct exact *exact = new_array(1, sizeof *exact);
    for (int i = 0; i <= EXACT_MOST; i++) {
        for (int j = 0; j <= EXACT_MOST; j++) {
            mpz_init(exact->best[i][j]);
            if (i < EXACT_MOST)
                mpz_init(exact->cost[i][j]);
        }
        if (i < EXACT_MOST)
            mpz_init(exact->x[i]);
    }
    for (int i = 0; i < SOLVER_MAX_LEVELS; i++)
        mpz_init(exact->level[i]);
    mpz_inits(exact->error, exact->slack, exact->a, exact->b, exact->c, NULL);
    return exact;
}

static inline void exact_free(struct exact *exact)
{
    for (int i = 0; i <= EXACT_MOST; i++) {
        for (int j = 0; j <= EXACT_MOST; j++) {
            mpz_clear(exact->best[i][j]);
            if (i < EXACT_MOST)
                mpz_clear(exact->cost[i][j]);
        }
        if (i < EXACT_MOST)
            mpz_clear(exact->x[i]);
    }
    for (int i = 0; i < SOLVER_MAX_LEVELS; i++)
        mpz_clear(exact->level[i]);
    mpz_clears(exact->error, exact->slack, exact->a, exact->b, exact->c, NULL);
    free(exact);
}

/* log2 of the unit in the last place of a double. */
static inline int ulp_exponent(double x)
{
    int e;
    frexp(x, &e);
    return x == 0 || e - 53 < -1074 ? -1074 : e - 53;
}

/* log2 of a power of two of which all x[n] are multiples, and their ulps too, at most `unit`. Zeros
 * do not count: what a zero was rounded from is a matter of the others. */
static inline int common_unit(int unit, const double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (x[i] != 0 && ulp_exponent(x[i]) < unit)
            unit = ulp_exponent(x[i]);
    }
    return unit;
}

/* z = x / 2^unit, which must be whole. */
static inline void exact_set(mpz_t z, double x, int unit)
{
    int e;
    mpz_set_d(z, ldexp(frexp(x, &e), 53));
    if (x == 0)
        return;
    if (e - 53 >= unit) {
        mpz_mul_2exp(z, z, (mp_bitcnt_t)(e - 53 - unit));
    } else {
        assert_true(mpz_divisible_2exp_p(z, (mp_bitcnt_t)(unit - e + 53)));
        mpz_tdiv_q_2exp(z, z, (mp_bitcnt_t)(unit - e + 53));
    }
}

/* MULTIPLE (sum x^2 - (sum x)^2 / m) for all segments. */
static inline void exact_costs(struct exact *exact)
{
    for (int i = 0; i < exact->n; i++) {
        mpz_set_ui(exact->a, 0);
        mpz_set_ui(exact->b, 0);
        for (int j = i; j < exact->n; j++) {
            unsigned long m = (unsigned long)(j - i + 1);
            mpz_add(exact->a, exact->a, exact->x[j]);
            mpz_addmul(exact->b, exact->x[j], exact->x[j]);
            mpz_mul_ui(exact->cost[i][j + 1], exact->b, m);
            mpz_submul(exact->cost[i][j + 1], exact->a, exact->a);
            mpz_mul_ui(exact->cost[i][j + 1], exact->cost[i][j + 1], EXACT_MULTIPLE / m);
        }
    }
}

/* Loads ascending x[n] and finds the error of the best of all partitions, for any k. */
static inline void exact_load(struct exact *exact, const double *x, int n, int unit)
{
    exact->n = n;
    exact->unit = unit;
    for (int i = 0; i < n; i++)
        exact_set(exact->x[i], x[i], unit);
    exact_costs(exact);
    for (int j = 0; j <= n; j++)
        mpz_set(exact->best[1][j], exact->cost[0][j]);
    mpz_set_ui(exact->best[1][0], 0);
    for (int k = 2; k <= EXACT_MOST; k++) {
        for (int j = 0; j <= n; j++) {
            mpz_set(exact->best[k][j], exact->best[k - 1][j]);
            for (int i = 1; i < j; i++) {
                mpz_add(exact->a, exact->best[k - 1][i], exact->cost[i][j]);
                if (mpz_cmp(exact->a, exact->best[k][j]) < 0)
                    mpz_swap(exact->best[k][j], exact->a);
            }
        }
    }
}

/* The ulp of a level. That of 0 is too small to count, but among subnormals. */
static inline void exact_ulp(const struct exact *exact, double level, mpz_t ulp)
{
    int shift = ulp_exponent(level) - exact->unit;
    mpz_set_ui(ulp, shift >= 0);
    mpz_mul_2exp(ulp, ulp, shift > 0 ? (mp_bitcnt_t)shift : 0);
}

/* Loads level[k], ascending: `error` becomes that of all elements at their nearest level, `slack`
 * what moving each level by an ulp from its mean would add. */
static inline void exact_levels(struct exact *exact, const double *level, int k)
{
    for (int i = 0; i < k; i++)
        exact_set(exact->level[i], level[i], exact->unit);
    mpz_set_ui(exact->error, 0);
    mpz_set_ui(exact->slack, 0);
    for (int i = 0, at = 0; i < exact->n; i++) {
        for (; at + 1 < k; at++) {
            mpz_add(exact->a, exact->level[at], exact->level[at + 1]);
            mpz_mul_2exp(exact->b, exact->x[i], 1);
            if (mpz_cmp(exact->b, exact->a) <= 0)
                break;
        }
        mpz_sub(exact->a, exact->x[i], exact->level[at]);
        mpz_addmul(exact->error, exact->a, exact->a);
        exact_ulp(exact, level[at], exact->a);
        mpz_mul(exact->a, exact->a, exact->a);
        mpz_addmul_ui(exact->slack, exact->a, EXACT_MULTIPLE);
    }
    mpz_mul_ui(exact->error, exact->error, EXACT_MULTIPLE);
}

/* Whether elements first to end - 1 have a mean within one ulp of a loaded level. Where large
 * elements cancel, 100 bits of them are enough. */
static inline bool exact_is_mean(struct exact *exact, int first, int end, const double *level,
                                 int i)
{
    unsigned long m = (unsigned long)(end - first);
    mpz_mul_ui(exact->a, exact->level[i], m);
    mpz_set_ui(exact->c, 0);
    for (int j = first; j < end; j++) {
        mpz_sub(exact->a, exact->a, exact->x[j]);
        if (mpz_cmpabs(exact->x[j], exact->c) > 0)
            mpz_abs(exact->c, exact->x[j]);
    }
    exact_ulp(exact, level[i], exact->b);
    mpz_tdiv_q_2exp(exact->c, exact->c, 100);
    mpz_add(exact->b, exact->b, exact->c);
    mpz_mul_ui(exact->b, exact->b, m);
    return mpz_cmpabs(exact->a, exact->b) <= 0;
}

/* Whether the loaded levels are, to an ulp, the means of consecutive segments of all elements. */
static inline bool exact_are_means(struct exact *exact, const double *level, int k)
{
    bool reached[EXACT_MOST + 1] = {true};
    for (int i = 0; i < k; i++) {
        bool next[EXACT_MOST + 1] = {false};
        for (int first = 0; first < exact->n; first++) {
            for (int end = first + 1; reached[first] && end <= exact->n; end++)
                next[end] = next[end] || exact_is_mean(exact, first, end, level, i);
        }
        memcpy(reached, next, sizeof reached);
    }
    return reached[exact->n];
}

/* The sign of error - exact, both as real numbers. */
static inline int exact_compare(struct exact *exact, double error, const mpz_t scaled)
{
    int e;
    if (isinf(error))
        return 1;
    mpz_set_d(exact->a, ldexp(frexp(error, &e), 53));
    mpz_mul_ui(exact->a, exact->a, EXACT_MULTIPLE);
    int shift = e - 53 - 2 * exact->unit;
    mpz_mul_2exp(exact->a, exact->a, shift > 0 ? (mp_bitcnt_t)shift : 0);
    mpz_mul_2exp(exact->b, scaled, shift < 0 ? (mp_bitcnt_t)-shift : 0);
    return mpz_cmp(exact->a, exact->b);
}

/* A histogram of x[n] on all binades and, besides, cells that begin at cut[num_cuts], ascending. */
static inline struct histogram hand_histogram(enum element_type type, const double *x, int64_t n,
                                              const uint64_t *cut, int64_t num_cuts)
{
    struct histogram histogram = {0};
    uint64_t binade = cell_map_binade(type), last = element_last_key(type);
    int64_t m = 0, at = 0, most = (int64_t)(last / binade) + 1 + num_cuts;
    uint64_t *low = new_array(most, sizeof *low), begin = 0;
    for (int64_t i = 0; i <= (int64_t)(last / binade); i++, begin += binade) {
        for (; at < num_cuts && cut[at] < begin; at++) {
            if (cut[at] != low[m - 1])
                low[m++] = cut[at];
        }
        low[m++] = begin;
    }
    for (; at < num_cuts; at++) {
        if (cut[at] != low[m - 1])
            low[m++] = cut[at];
    }
    assert_int_equal(QO_OK, cell_map_init(&histogram.map, type, low, m, 0, 0));
    free(low);
    fill_cells(&histogram, x, n);
    return histogram;
}

/* The same with a cell for each distinct value of ascending x[n]. */
static inline struct histogram value_histogram(enum element_type type, const double *x, int64_t n)
{
    uint64_t *cut = new_array(2 * n, sizeof *cut);
    int64_t m = 0;
    for (int64_t i = 0; i < n; i++) {
        uint64_t key = key_of(type, x[i]);
        for (uint64_t j = 0; j < 2; j++) {
            if (m == 0 || cut[m - 1] < key + j)
                cut[m++] = key + j;
        }
    }
    struct histogram histogram = hand_histogram(type, x, n, cut, m);
    free(cut);
    return histogram;
}

/* What optimal_open needs to know of ascending x[n]: the elements in [lo, hi]. */
struct extent {
    double lo, hi, min, max;
    int64_t first, n;
};

static inline struct extent extent_of(const double *x, int64_t n, double lo, double hi)
{
    struct extent extent = {.lo = lo, .hi = hi, .min = INFINITY, .max = -INFINITY};
    while (extent.first < n && x[extent.first] < lo)
        extent.first++;
    while (extent.first + extent.n < n && x[extent.first + extent.n] <= hi)
        extent.n++;
    if (extent.n > 0) {
        extent.min = x[extent.first];
        extent.max = x[extent.first + extent.n - 1];
    }
    return extent;
}

static inline struct optimal *open_extent(const struct histogram *histogram,
                                          const struct extent *extent)
{
    struct optimal *optimal = NULL;
    assert_int_equal(
        QO_OK, optimal_open(histogram, extent->lo, extent->hi, extent->min, extent->max, &optimal));
    assert_non_null(optimal);
    return optimal;
}

/* Finds, and checks what every optimum must be. */
static inline struct optimum find_levels(struct optimal *optimal, int k)
{
    struct optimum optimum;
    assert_int_equal(QO_OK, optimal_find(optimal, k, &optimum));
    assert_int_equal(k, optimum.asked);
    assert_in_range(optimum.k, 1, k);
    for (int i = 0; i < optimum.k; i++) {
        assert_true(isfinite(optimum.level[i]));
        assert_true(i == 0 || optimum.level[i] > optimum.level[i - 1]);
    }
    assert_true(optimum.lower >= 0 && optimum.lower <= optimum.upper);
    assert_true(optimum_gap(&optimum) >= 0);
    assert_true(!optimum.exact || optimum_gap(&optimum) == 0);
    return optimum;
}

/* Distinct values of ascending x[n]. */
static inline int count_distinct(const double *x, int64_t n)
{
    int count = n > 0;
    for (int64_t i = 1; i < n; i++)
        count += x[i] != x[i - 1];
    return count;
}

/* The optimum of x[n], sorted here, with a cell a value. */
static inline struct optimum optimum_of(enum element_type type, double *x, int64_t n, int k)
{
    qsort(x, (size_t)n, sizeof *x, order_doubles);
    struct histogram histogram = value_histogram(type, x, n);
    struct extent extent = extent_of(x, n, -INFINITY, INFINITY);
    struct optimal *optimal = open_extent(&histogram, &extent);
    struct optimum optimum = find_levels(optimal, k);
    optimal_close(optimal);
    histogram_clear(&histogram);
    return optimum;
}

#endif
