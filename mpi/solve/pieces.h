/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_PIECES_H
#define QO_SOLVE_PIECES_H

#include "histogram.h"
#include "status.h"

/*
 * The non-empty cells of a histogram as the certificate sees them (docs/certificate.md): intervals
 * that hold `count` elements, whose mean and scatter are known, each figure to a few units in its
 * last place. Values are multiplied by a power of two that brings the largest near 2^PIECES_TOP:
 * then squares times cubes of counts neither overflow nor, if they matter, underflow.
 */
#define PIECES_TOP 300

struct piece {
    double first, last;  /* no element lies outside [first, last]; equal for a single value */
    double below, above; /* from `first` to the mean, and from the mean to `last` */
    double count;        /* > 0 */
    double scatter;      /* sum of squared distances from the mean */
};

struct pieces {
    int64_t n;
    struct piece *piece; /* [n], ascending; those in [lo, hi] as a whole */
    int num_cut;
    struct piece cut[2]; /* cells of which only some elements may lie in [lo, hi] */
    bool exact;          /* every piece is a single value and none is cut */
    int scale;           /* log2 of the factor */
};

/* Local. The pieces within [lo, hi] of a histogram whose elements there lie within [min, max]. To
 * be cleared after a failure too. */
QO_MUST_USE enum status pieces_init(struct pieces *pieces, const struct histogram *histogram,
                                    double lo, double hi, double min, double max);

/* Local. Frees; zeroed or cleared pieces may be cleared again. */
void pieces_clear(struct pieces *pieces);

/* Pure. The mean of a piece. */
static inline double piece_mean(const struct piece *piece)
{
    return piece->first + piece->below;
}

#endif
