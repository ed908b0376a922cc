/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_SEGMENTS_H
#define QO_SOLVE_SEGMENTS_H

#include <stdint.h>

#include "status.h"

/*
 * The cost of giving consecutive weighted points one level, their mean: the sum of count * (value -
 * mean)^2 over points first..last, in constant time and without cancellation.
 */

/* Points from the middle of a block to one place on one of its sides. */
struct side {
    double distance; /* sum of count * |value - middle| */
    double scatter;  /* sum of count * (value - mean of the side)^2 */
};

#define SEGMENTS_MAX_DEPTH 32

struct segments {
    int64_t n;
    const double *value; /* [n] strictly ascending */
    const double *count; /* [n] > 0 */
    double *total;       /* [n + 1] counts before a point, as the sum of this and `rest` */
    double *rest;
    struct side *side[SEGMENTS_MAX_DEPTH]; /* [d][n]: blocks of 2^(d+1) points; NULL: not used */
};

/*
 * Local. Makes ready for points, which must outlive it. Squares times counts cubed must neither
 * overflow nor underflow: bring values near 2^300. To be cleared after a failure too.
 */
QO_MUST_USE enum status segments_init(struct segments *segments, const double *value,
                                      const double *count, int64_t n);

/* Local. Frees; zeroed or cleared segments may be cleared again. */
void segments_clear(struct segments *segments);

/* Pure. The cost of points first..last - 1; 0 <= first < last <= n. Its relative error is below
 * segments_rounding. */
double segments_cost(const struct segments *segments, int64_t first, int64_t last);

/* Pure. */
double segments_rounding(const struct segments *segments);

#endif
