/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_DIST_REDUCE_H
#define QO_DIST_REDUCE_H

#include <stdint.h>
#include <string.h>

#include "comm.h"

/*
 * Sums and maxima over ranks, of integers only: any order of adding gives the same bits. Every rank
 * leaves with the result in its buffer. n is the same on all ranks, derived from global sizes; one
 * call moves at most 1 GiB, more is cut. Time spent is kept for the report.
 */

/* Collective. x[n] becomes the sum over ranks, modulo 2^64. */
void reduce_sum(const struct comm *comm, int64_t *x, int64_t n);

/* Collective. x[n] becomes the maximum over ranks. */
void reduce_max(const struct comm *comm, int64_t *x, int64_t n);

/* Pure. A double >= 0 as an integer that compares as it does, for reduce_max; and back. */
static inline int64_t reduce_bits(double x)
{
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double reduce_number(int64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Collective. The sum of x over the ranks below this one; 0 on rank 0. */
int64_t reduce_sum_before(const struct comm *comm, int64_t x);

/* Local. Seconds this rank has spent in reductions since the start. */
double reduce_seconds(void);

/* Spread of a figure over ranks, for the report: never part of a result. */
struct spread {
    double min, mean, max;
    int max_rank;
};

/* Collective. The spread of each of x[n]; n small. The same on all ranks. */
void reduce_spread(const struct comm *comm, const double *x, int n, struct spread *out);

#endif
