/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_BASE_EXACT_H
#define QO_BASE_EXACT_H

#include <stdint.h>

/*
 * A sum of non-negative doubles without rounding: a fixed-point number with its unit at 2^-1074,
 * the smallest subnormal, in limbs of 32 bits that are kept in int64, so that sums on many ranks
 * are added limb by limb, in any order, by one integer allreduce. Rounded once, at the end.
 *
 * 2098 bits reach the largest double; 68 limbs leave room for 2^78 of them.
 */
#define EXACT_LIMBS 68

struct exact_sum {
    int64_t limb[EXACT_LIMBS]; /* little-endian; a limb may exceed 32 bits until it is carried */
    int64_t num_infinite;      /* terms that were infinite or NaN */
};

/* Words of int64 in an exact_sum, for reductions: limbs and num_infinite in one array. */
#define EXACT_WORDS ((int)(sizeof(struct exact_sum) / sizeof(int64_t)))

/*
 * Local. Adds x >= 0. At most 2^30 terms may be added before exact_sum_carry. A zeroed struct is a
 * sum of nothing.
 */
void exact_sum_add(struct exact_sum *sum, double x);

/* Local. Adds another sum, carried or not. */
void exact_sum_merge(struct exact_sum *sum, const struct exact_sum *other);

/* Local. Brings every limb into [0, 2^32): then up to 2^30 such sums can be added. */
void exact_sum_carry(struct exact_sum *sum);

/* Pure. The sum rounded to nearest even; +inf if a term was infinite. */
double exact_sum_round(const struct exact_sum *sum);

#endif
