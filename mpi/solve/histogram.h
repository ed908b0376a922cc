/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_HISTOGRAM_H
#define QO_SOLVE_HISTOGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "cells.h"
#include "status.h"

/*
 * The exact integer histogram, seen as mathematics: where its cells lie, what its integers say of
 * the vector. All functions are Local or Pure and depend on nothing but their arguments, so ranks
 * that hold the same integers get the same bits. Floating point is + - * / and sqrt only.
 */

/* Elements looked at to place the cells. A vector of at most this many is looked at whole, and then
 * each distinct value has a cell of its own. */
#define HISTOGRAM_SAMPLE 65536

/* Cells that a plan aims at, placed by density^(1/3). */
#define HISTOGRAM_CELLS 65536

/*
 * Local. Places the cells from key[n], the keys of a sample (finite elements, no fill values; any
 * order; sorted in place). `whole` says that the sample is the vector. 16-bit types get a cell a
 * key whatever the sample. Values that stand out in a sample (repeated ones) get a cell of their
 * own; the rest follows density^(1/3), which makes the error of a quantizer that cuts cells least
 * (Panter and Dite 1951). n may be 0. The map is to be cleared by the caller.
 */
QO_MUST_USE enum status histogram_plan(struct cell_map *map, enum element_type type, uint64_t *key,
                                       int64_t n, bool whole);

/* What one vector's histogram is: the global sums in cells[map.num_cells]. */
struct histogram {
    struct cell_map map;
    struct cell *cells;
};

/* Local. Frees map and cells; a zeroed or cleared histogram may be cleared again. */
void histogram_clear(struct histogram *histogram);

/* Moments, each correctly rounded from exact integers. NaN where there is no element. */
struct moments {
    int64_t count;
    double mean;
    double std;  /* population */
    double norm; /* sqrt of the sum of squares */
};

/* Local. QO_NO_MEMORY aside it cannot fail. */
QO_MUST_USE enum status histogram_moments(const struct histogram *histogram,
                                          struct moments *moments);

/* Pure. Whether a cell holds one value: count * sum of squares == (sum of offsets)^2. */
bool histogram_is_single(const struct cell *cell);

/* Pure. The mean of the elements of a non-empty cell; exact where the cell is single. */
double histogram_mean(const struct histogram *histogram, int64_t cell);

/*
 * Local. Lists the distinct values with lo <= value <= hi (-0.0 and +0.0 are one), ascending, if
 * there are at most `capacity`. Sets *count to their number, to 0 if there are more, or to -1 if a
 * cell with several values stands in the way: then histogram_split and another walk over the data
 * will tell.
 */
void histogram_distinct(const struct histogram *histogram, double lo, double hi, int capacity,
                        double *value, int *count);

/*
 * Local. A finer map: each cell that holds several values and reaches into [lo, hi] is cut into up
 * to 4096 equal parts, all others stay. Returns QO_OK with *finer cleared (no cells) if these are
 * so many that there is no room for parts.
 */
QO_MUST_USE enum status histogram_split(const struct histogram *histogram, double lo, double hi,
                                        struct cell_map *finer);

/* Where a finer map is wanted: around the cuts of these levels, and at the bounds lo and hi, beyond
 * which elements get no level. */
struct refinement {
    double lo, hi;
    const double *level; /* [k], ascending */
    int k;
    double error;      /* sum of squared errors of the levels, about */
    double gap;        /* what was certified */
    double gap_wanted; /* less than gap */
};

/* Cells of a refined map at most: 12 MiB of sums. */
#define HISTOGRAM_MOST_CELLS 262144

/*
 * Local. A finer map for another walk: cells of several values near the cuts of each refinement are
 * cut as finely as its gaps ask, and at its bounds; all others stay. At most HISTOGRAM_MOST_CELLS
 * cells: where that is too few, all parts are coarser. Returns QO_OK with *finer cleared (no cells)
 * if nothing can be cut further.
 */
QO_MUST_USE enum status histogram_refine(const struct histogram *histogram,
                                         const struct refinement *refinement, int count,
                                         struct cell_map *finer);

/* Bins of the histogram for plots; at most this many. */
#define HISTOGRAM_PLOT_BINS 512

/*
 * Local. Counts for plots: edges[bins + 1] at the ends of cells, as near as they come to an even
 * grid over [min, max], and counts[bins], whose sum is the number of measured elements. Returns
 * bins, 0 for a histogram of nothing. Edges ascend strictly; all equal elements give one bin around
 * them.
 */
int histogram_plot(const struct histogram *histogram, double min, double max, double *edges,
                   uint64_t *counts);

/* Bins of the errors of a quantizer. */
#define HISTOGRAM_ERROR_BINS 64

/*
 * Local. How the errors x - level of the elements in [lo, hi], each at the nearest of level[k]
 * (ascending), spread over even bins between -reach and reach, the largest error: share[b] of these
 * elements, HISTOGRAM_ERROR_BINS numbers that add up to 1. All are 0 where there is no such element
 * or reach is not finite. Elements of a cell that holds several values are taken as spread evenly
 * over it; what would lie beyond reach then counts in the bins at the ends.
 */
void histogram_errors(const struct histogram *histogram, double lo, double hi, const double *level,
                      int k, double reach, float *share);

#endif
