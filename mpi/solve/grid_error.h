/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_GRID_ERROR_H
#define QO_SOLVE_GRID_ERROR_H

#include "points.h"
#include "wide.h"

/* What points call this (POINTS_TOP) is 1 here: products of errors must not overflow. */
#define GRID_UNIT 0x1p400

/*
 * The squared error of an even grid on a histogram's points, in O(levels) or O(points), whichever
 * is less. The levels are centre + step * q for the integers q from 1 - half to half; or, with a
 * table, step * q for its values q, and the centre is 0.
 */
struct grid {
    double step;   /* >= 0 */
    double centre; /* of q = 0, against the reference */
};

/* Values that stand for the integers q. */
struct grid_table {
    int k;
    double value[SOLVER_MAX_LEVELS];       /* [k], ascending, none beyond 1 */
    double middle[SOLVER_MAX_LEVELS];      /* [k - 1], between two values */
    struct wide square[SOLVER_MAX_LEVELS]; /* [k], of the values */
};

/* Sums over all points before one. */
struct grid_point {
    double count;
    struct wide sum; /* of count * value */
};

struct grid_error {
    int64_t n;
    double *value;            /* [n], ascending; then some of INFINITY */
    struct grid_point *point; /* [n + 1]; the last holds the sums over all */
    int32_t *bucket;          /* [num_buckets + 1]: the first point of each */
    int64_t num_buckets;
    double per_value; /* buckets in a unit of value */
    int half;
    const struct grid_table *table; /* the caller's; NULL: the integers */
    struct wide square;             /* sum of squares */
    double spread;                  /* sum of squares about the mean */
};

/* What a grid meets: sums over the points' counts n and values x, each point at its nearest q. */
struct grid_seen {
    struct grid grid;
    double q;         /* sum of n*q; not of a table */
    struct wide qq;   /* sum of n*q^2 */
    struct wide qx;   /* sum of n*q*x */
    struct wide rest; /* step*qq + 2*centre*q - 2*qx: concave in (step, centre) */
    double error;     /* sum of n*(x - centre)^2, plus step * rest */
    double work;      /* what it took to see: about so many steps of a loop */
};

/*
 * Local. Makes ready for 2^bits levels; for a table, `table` is to be set behind that. Values are
 * taken minus the reference, and then times -1 if `mirrored`. To be cleared by the caller, after a
 * failure too. QO_NO_MEMORY.
 */
QO_MUST_USE enum status grid_error_init(struct grid_error *error, const struct points *points,
                                        double reference, bool mirrored, int bits);

/* Local. Frees; a zeroed or cleared one may be cleared again. */
void grid_error_clear(struct grid_error *error);

/* Pure. What a grid meets. */
void grid_error_see(const struct grid_error *error, struct grid grid, struct grid_seen *seen);

/* Pure. The grid with the least error if every point kept its q; its centre is free or stays. */
struct grid grid_error_fit(const struct grid_error *error, const struct grid_seen *seen, bool free);

/* Pure. The error of a grid if every point kept the q it has in `seen`. */
double grid_error_kept(const struct grid_error *error, const struct grid_seen *seen,
                       struct grid grid);

/* Pure. The q of the level nearest to a value; of two the lower one. Not for a table. */
int grid_error_nearest(const struct grid_error *error, struct grid grid, double value);

#endif
