/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_WIDE_H
#define QO_SOLVE_WIDE_H

/*
 * Sums and products to about 106 bits, as two doubles (Dekker 1971, Knuth's TwoSum): where squared
 * errors come out as small differences of large sums. Only + - *, so the bits are the same
 * everywhere. All functions are Pure.
 */
struct wide {
    double high, low; /* the value is their sum; high is that sum rounded */
};

/* 2^27 + 1 cuts a double into two halves whose products are exact; values stay below 2^990. */
#define WIDE_HALVES 0x1.0000002p+27

/* Pure. a + b, exact. */
static inline struct wide wide_sum(double a, double b)
{
    double high = a + b, part = high - a;
    return (struct wide){high, (a - (high - part)) + (b - part)};
}

/* Pure. a * b, exact unless it underflows. */
static inline struct wide wide_product(double a, double b)
{
    double high = a * b, ca = WIDE_HALVES * a, cb = WIDE_HALVES * b;
    double ha = ca - (ca - a), hb = cb - (cb - b), la = a - ha, lb = b - hb;
    return (struct wide){high, ((ha * hb - high) + ha * lb + la * hb) + la * lb};
}

/* Pure. */
static inline struct wide wide_add(struct wide a, struct wide b)
{
    struct wide sum = wide_sum(a.high, b.high);
    return wide_sum(sum.high, sum.low + (a.low + b.low));
}

/* Pure. a - b. */
static inline struct wide wide_less(struct wide a, struct wide b)
{
    return wide_add(a, (struct wide){-b.high, -b.low});
}

/* Pure. */
static inline struct wide wide_times(struct wide a, double b)
{
    struct wide product = wide_product(a.high, b);
    return wide_sum(product.high, product.low + a.low * b);
}

#endif
