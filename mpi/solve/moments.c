/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact moments. All numbers of a binade have one sign and are integers times one ulp, so a cell's
 * sums of offsets give the sums of x and x^2 as integers. They are added per binade in words, then
 * over binades as integers times the smallest subnormal, and each figure is rounded once, at the
 * end.
 */
#include <gmp.h>
#include <math.h>

#include "histogram.h"
#include "histogram_cell.h"

/* Bits of a quotient or root before it is rounded: a mantissa, one to round by, and some to spare.
 */
#define QUOTIENT_BITS 66

/* The sums of |x| and x^2 over one binade, in its ulp: below 2^63 * 2^53 and 2^63 * 2^106. */
struct binade {
    bool negative;
    int ulp;
    unsigned __int128 sum;
    uint64_t square[3];
};

/* The sums over all binades, in units of 2^unit and its square. */
struct totals {
    int unit;
    uint64_t count;
    mpz_t sum, square;
};

/* With m = |value of the cell's first key| in ulp: |x| = m + offset, or m - offset for negative x.
 */
static void binade_add(struct binade *binade, const struct cell *cell, uint64_t m)
{
    unsigned __int128 sum = histogram_sum(cell);
    unsigned __int128 base = (unsigned __int128)cell->count * m;
    binade->sum += binade->negative ? base - sum : base + sum;
    histogram_add_product(binade->square, (unsigned __int128)m * m, cell->count, false);
    if (sum == 0) /* all at the first key, as in every cell of a small vector */
        return;
    histogram_add_product(binade->square, sum, 2 * m, binade->negative);
    unsigned __int128 carry = 0;
    for (int i = 0; i < 3; i++) {
        carry += (unsigned __int128)binade->square[i] + cell->square[i];
        binade->square[i] = (uint64_t)carry;
        carry >>= 64;
    }
}

static void totals_add(struct totals *totals, const struct binade *binade)
{
    mpz_t term;
    uint64_t sum[2] = {(uint64_t)binade->sum, (uint64_t)(binade->sum >> 64)};
    mp_bitcnt_t shift = (mp_bitcnt_t)(binade->ulp - totals->unit);
    mpz_init(term);
    mpz_import(term, 2, -1, sizeof *sum, 0, 0, sum);
    mpz_mul_2exp(term, term, shift);
    if (binade->negative)
        mpz_sub(totals->sum, totals->sum, term);
    else
        mpz_add(totals->sum, totals->sum, term);
    mpz_import(term, 3, -1, sizeof *binade->square, 0, 0, binade->square);
    mpz_mul_2exp(term, term, 2 * shift);
    mpz_add(totals->square, totals->square, term);
    mpz_clear(term);
}

/* |value of a key| in the ulp of its binade. */
static uint64_t magnitude(enum element_type type, uint64_t key)
{
    uint64_t bits = element_unkey(type, key) & (element_sign(type) - 1);
    uint64_t hidden = cell_map_binade(type);
    return bits < hidden ? bits : (bits & (hidden - 1)) | hidden;
}

/* Walks the cells, a binade at a time. */
static void totals_collect(struct totals *totals, const struct histogram *histogram)
{
    const struct cell_map *map = &histogram->map;
    int64_t i = 0;
    while (i < map->num_cells) {
        uint64_t key = map->low[i], prefix = key / cell_map_binade(map->type), count = 0;
        struct binade binade = {.negative = key < element_sign(map->type),
                                .ulp = histogram_ulp(map, i)};
        /* Cells do not cross binades, so each belongs to one as a whole. */
        for (; i < map->num_cells && map->low[i] / cell_map_binade(map->type) == prefix; i++) {
            const struct cell *cell = &histogram->cells[i];
            if (cell->count > 0)
                binade_add(&binade, cell, magnitude(map->type, map->low[i]));
            count += cell->count;
        }
        totals->count += count;
        if (count > 0)
            totals_add(totals, &binade);
    }
}

/*
 * (t + rest) * 2^exponent to nearest even, where 0 <= rest < 1 is 0 unless `inexact`; t has
 * QUOTIENT_BITS then, so that the rest lies below every bit that rounding looks at. Changes t.
 */
static double round_even(mpz_t t, bool inexact, long exponent)
{
    if (mpz_sgn(t) == 0)
        return 0;
    mpz_mul_2exp(t, t, 1); /* the rest as a last bit that can break a tie */
    if (inexact)
        mpz_setbit(t, 0);
    exponent--;
    long lowest = exponent + (long)mpz_sizeinbase(t, 2) - 53;
    if (lowest < -1074)
        lowest = -1074;
    if (lowest > exponent) {
        mp_bitcnt_t drop = (mp_bitcnt_t)(lowest - exponent);
        bool half = mpz_tstbit(t, drop - 1), beyond = mpz_scan1(t, 0) < drop - 1;
        mpz_fdiv_q_2exp(t, t, drop);
        if (half && (beyond || mpz_odd_p(t)))
            mpz_add_ui(t, t, 1);
        exponent = lowest;
    }
    return ldexp(mpz_get_d(t), (int)exponent); /* at most 53 bits: both are exact */
}

/* x / n * 2^exponent. */
static double round_quotient(const mpz_t x, const mpz_t n, long exponent)
{
    mpz_t quotient, rest;
    long bits = QUOTIENT_BITS + (long)mpz_sizeinbase(n, 2) - (long)mpz_sizeinbase(x, 2);
    mp_bitcnt_t shift = bits > 0 ? (mp_bitcnt_t)bits : 0;
    mpz_inits(quotient, rest, NULL);
    mpz_abs(quotient, x);
    mpz_mul_2exp(quotient, quotient, shift);
    mpz_fdiv_qr(quotient, rest, quotient, n);
    double result = round_even(quotient, mpz_sgn(rest) != 0, exponent - (long)shift);
    mpz_clears(quotient, rest, NULL);
    return mpz_sgn(x) < 0 ? -result : result;
}

/* sqrt(x) / n * 2^exponent, from floor(sqrt(floor(4^shift * x / n^2))). */
static double round_root(const mpz_t x, const mpz_t n, long exponent)
{
    mpz_t root, rest, square;
    long bits = 2 * QUOTIENT_BITS + 2 * (long)mpz_sizeinbase(n, 2) - (long)mpz_sizeinbase(x, 2);
    mp_bitcnt_t shift = bits > 0 ? (mp_bitcnt_t)(bits / 2 + 1) : 0;
    mpz_inits(root, rest, square, NULL);
    mpz_mul(square, n, n);
    mpz_mul_2exp(root, x, 2 * shift);
    mpz_fdiv_qr(root, rest, root, square);
    bool inexact = mpz_sgn(rest) != 0;
    mpz_sqrtrem(root, rest, root);
    inexact = inexact || mpz_sgn(rest) != 0;
    double result = round_even(root, inexact, exponent - (long)shift);
    mpz_clears(root, rest, square, NULL);
    return result;
}

enum status histogram_moments(const struct histogram *histogram, struct moments *moments)
{
    struct totals totals = {.unit = histogram_unit(histogram->map.type)};
    mpz_t n, one, spread;
    *moments = (struct moments){.mean = NAN, .std = NAN, .norm = NAN};
    /* GMP ends the program if it gets no memory; these numbers have a few hundred bytes. */
    mpz_inits(totals.sum, totals.square, n, one, spread, NULL);
    totals_collect(&totals, histogram);
    moments->count = (int64_t)totals.count;
    if (totals.count > 0) {
        mpz_set_ui(one, 1);
        mpz_set_ui(n, totals.count);
        mpz_mul(spread, n, totals.square); /* n^2 times the variance */
        mpz_submul(spread, totals.sum, totals.sum);
        moments->mean = round_quotient(totals.sum, n, totals.unit);
        moments->std = round_root(spread, n, totals.unit);
        moments->norm = round_root(totals.square, one, totals.unit);
    }
    mpz_clears(totals.sum, totals.square, n, one, spread, NULL);
    return QO_OK;
}
