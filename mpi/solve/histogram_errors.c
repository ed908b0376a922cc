/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the errors of a quantizer spread, from the histogram: no walk over the data. Cells come in
 * ascending order, so one step from level to level serves all of them. A cell of one value is a
 * point; the elements of any other are taken as spread evenly over it, and are cut where the level
 * changes. Cost: cells + levels + bins touched.
 */
#include <math.h>

#include "histogram.h"
#include "histogram_cell.h"

#define BINS HISTOGRAM_ERROR_BINS

struct spreading {
    const double *level; /* [k] */
    int k, at;           /* the level of what comes next */
    double reach;
    double weight[BINS]; /* elements */
};

/* Up to where elements have the present level. */
static double end_of_level(const struct spreading *s)
{
    return s->at + 1 < s->k ? 0.5 * s->level[s->at] + 0.5 * s->level[s->at + 1] : INFINITY;
}

/* Where an error lies among the bins: 0 to BINS. What rounding has put outside is at an end. */
static double place_of(const struct spreading *s, double error)
{
    double place = (error / s->reach + 1) * (BINS / 2.0);
    return !(place > 0) ? 0 : place < BINS ? place : BINS;
}

static int bin_of(double place)
{
    return place < BINS ? (int)place : BINS - 1;
}

static void add_point(struct spreading *s, double x, double count)
{
    while (end_of_level(s) < x)
        s->at++;
    s->weight[bin_of(place_of(s, x - s->level[s->at]))] += count;
}

/* Elements of one level, evenly between two errors. */
static void add_piece(struct spreading *s, double from, double to, double count)
{
    double p = place_of(s, from), q = place_of(s, to);
    int first = bin_of(p), last = bin_of(q);
    if (first == last) {
        s->weight[first] += count;
        return;
    }
    double density = count / (q - p);
    s->weight[first] += density * (first + 1 - p);
    for (int b = first + 1; b < last; b++)
        s->weight[b] += density;
    s->weight[last] += density * (q - last);
}

/* How much of [a, b] lies in [from, to]. Large numbers are halved, as the whole may overflow; small
 * ones are not, as the smallest has no half. */
static double part_of(double from, double to, double a, double b)
{
    double width = b - a;
    return isfinite(width) ? (to - from) / width : (0.5 * to - 0.5 * from) / (0.5 * b - 0.5 * a);
}

/* Elements evenly between a < b. */
static void add_interval(struct spreading *s, double a, double b, double count)
{
    double from = a;
    while (end_of_level(s) < a)
        s->at++;
    while (from < b) {
        double level = s->level[s->at], end = end_of_level(s);
        double to = end < b ? end : b;
        add_piece(s, from - level, to - level, count * part_of(from, to, a, b));
        from = to;
        if (from < b)
            s->at++;
    }
}

/* A cell's elements, if they lie within [lo, hi]: a cell that a bound cuts is taken as a whole. */
static void add_cell(struct spreading *s, const struct histogram *histogram, int64_t i, double lo,
                     double hi)
{
    const struct cell_map *map = &histogram->map;
    const struct cell *cell = &histogram->cells[i];
    uint64_t first = map->low[i], last = histogram_last_key(map, i);
    if (first == last || histogram_is_single(cell)) {
        double x =
            first == last ? histogram_key_value(map->type, first) : histogram_mean(histogram, i);
        if (lo <= x && x <= hi)
            add_point(s, x, (double)cell->count);
        return;
    }
    double a = histogram_key_value(map->type, first), b = histogram_key_value(map->type, last);
    a = a > lo ? a : lo; /* what begins a cell may be infinite */
    b = b < hi ? b : hi;
    if (a < b)
        add_interval(s, a, b, (double)cell->count);
}

void histogram_errors(const struct histogram *histogram, double lo, double hi, const double *level,
                      int k, double reach, float *share)
{
    struct spreading s = {.level = level, .k = k, .reach = reach > 0 ? reach : 1};
    double total = 0;
    for (int64_t i = 0; i < histogram->map.num_cells && isfinite(reach); i++)
        if (histogram->cells[i].count > 0)
            add_cell(&s, histogram, i, lo, hi);
    for (int b = 0; b < BINS; b++)
        total += s.weight[b];
    for (int b = 0; b < BINS; b++)
        share[b] = total > 0 ? (float)(s.weight[b] / total) : 0.0F;
}
