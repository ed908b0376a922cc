/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_POINTS_H
#define QO_SOLVE_POINTS_H

#include "solver.h"

/*
 * A histogram as a solver's starts see it: a point a non-empty cell, at its mean. The values are
 * multiplied by a power of two that brings the largest near 2^POINTS_TOP: then no square of a
 * difference overflows, none that matters underflows, and scaling a vector by a power of two
 * changes no decision.
 */
#define POINTS_TOP 400

struct points {
    int64_t n;     /* at least 1 */
    double *value; /* [n] strictly ascending; times 2^-scale they are values of the vector */
    double *count; /* [n] > 0 */
    int scale;
};

/*
 * Local. The points of a problem that has elements (min <= max). Cells whose mean lies outside [lo,
 * hi] are left out. If cells are fewer than levels, cells of several values give two points each.
 * The points are to be cleared by the caller, after a failure too.
 */
QO_MUST_USE enum status points_init(struct points *points, const struct problem *problem);

/* Local. Frees points; zeroed or cleared ones may be cleared again. */
void points_clear(struct points *points);

/* Pure. The vector's value of a scaled one. */
double points_unscale(const struct points *points, double value);

/*
 * Pure. Adds levels to level[k], ascending with room for `most`, where the points have the largest
 * squared error: the upper part of such a level's points, those above it, gets a level at its mean.
 * Returns the new k, less than `most` if no error is left that a level could lower. The levels stay
 * strictly ascending.
 */
int points_fill(const struct points *points, double *level, int k, int most);

#endif
