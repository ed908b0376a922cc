/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_OPTIMAL_H
#define QO_SOLVE_OPTIMAL_H

#include "solver.h"

/*
 * The best quantizers of the elements of a histogram that lie in [lo, hi], for any number of
 * levels, and a proof of how good they are. What several numbers of levels share (points, sums,
 * partitions already seen) is made once: open, find as often as wanted, close.
 */

/* The best levels that the histogram lets one find, and what is certain of them. Errors are sums of
 * squares over the elements in [lo, hi], each at its nearest level, in the vector's own units. */
struct optimum {
    int asked;                       /* levels asked for */
    int k;                           /* 1 to asked: fewer where there are fewer distinct values */
    double level[SOLVER_MAX_LEVELS]; /* [k], finite, strictly ascending */
    double upper;                    /* the error of these levels is at most this */
    double lower; /* that of any `asked` levels is at least this; 0 <= lower <= upper */
    bool exact; /* no cell can be cut, so the levels are an optimum: only rounding parts the two */
};

struct optimal;

/*
 * Local. Makes ready for the elements of [lo, hi]; min and max are the smallest and the largest of
 * them, min > max where there is none. The histogram must outlive it. To be closed after a failure
 * too. QO_NO_MEMORY.
 */
QO_MUST_USE enum status optimal_open(const struct histogram *histogram, double lo, double hi,
                                     double min, double max, struct optimal **optimal);

/* Local. Makes certificates as sharp as this gap asks for, if cells are as fine: 1e-7 unless it is
 * called. Smaller ones take longer to find. */
void optimal_set_gap(struct optimal *optimal, double gap);

/* Local. The optimum for 1 <= k <= SOLVER_MAX_LEVELS levels; without elements the single level 0.
 * Does not depend on what was found before. QO_NO_MEMORY. */
QO_MUST_USE enum status optimal_find(struct optimal *optimal, int k, struct optimum *optimum);

/* Local. Frees; NULL may be closed. */
void optimal_close(struct optimal *optimal);

/* Pure. sqrt(upper / lower) - 1: how far the rmse of the levels can be from the smallest possible;
 * 0 where the optimum is exact, inf where lower is 0 and upper is not. */
double optimum_gap(const struct optimum *optimum);

#endif
