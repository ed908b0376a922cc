/* SPDX-License-Identifier: Apache-2.0 */
#include "histogram.h"

#include <float.h>
#include <math.h>

#include "histogram_cell.h"

/* Half the distance of two numbers: the whole one may overflow. */
static double half_distance(double a, double b)
{
    return fabs(0.5 * a - 0.5 * b);
}

/* One bin around equal elements, wide enough that the edges differ from them in float64. */
static void plot_point(double x, double *edges)
{
    double half = fabs(x) * 0x1p-10;
    if (half < 0.5)
        half = 0.5;
    edges[0] = x - half >= -DBL_MAX ? x - half : -DBL_MAX;
    edges[1] = x + half <= DBL_MAX ? x + half : DBL_MAX;
}

/* Elements in the cells from `first` to before `end`. */
static uint64_t count_cells(const struct histogram *histogram, int64_t first, int64_t end)
{
    uint64_t count = 0;
    for (int64_t i = first; i < end; i++)
        count += histogram->cells[i].count;
    return count;
}

int histogram_plot(const struct histogram *histogram, double min, double max, double *edges,
                   uint64_t *counts)
{
    const struct cell_map *map = &histogram->map;
    int64_t first = 0, last = map->num_cells - 1;
    /* Outside these, grid points have no cells to end at, and values may be infinite. */
    while (first <= last && histogram->cells[first].count == 0)
        first++;
    while (last > first && histogram->cells[last].count == 0)
        last--;
    if (first > last)
        return 0;
    if (!(min < max)) {
        plot_point(min, edges);
        counts[0] = count_cells(histogram, first, last + 1);
        return 1;
    }
    int bins = 0;
    int64_t begin = first, cut = first; /* of the open bin; the cell that may begin the next */
    edges[0] = min;
    for (int j = 1; j < HISTOGRAM_PLOT_BINS; j++) {
        double t = (double)j / HISTOGRAM_PLOT_BINS, target = min * (1 - t) + max * t;
        double value = histogram_key_value(map->type, map->low[cut]);
        /* Both grow, so the cell nearest to one grid point is where to begin for the next. */
        while (cut < last) {
            double next = histogram_key_value(map->type, map->low[cut + 1]);
            if (half_distance(next, target) > half_distance(value, target))
                break;
            value = next;
            cut++;
        }
        if (!(value > edges[bins] && value < max)) /* no cell ends near this grid point */
            continue;
        counts[bins] = count_cells(histogram, begin, cut);
        edges[++bins] = value;
        begin = cut;
    }
    counts[bins] = count_cells(histogram, begin, last + 1);
    edges[++bins] = max;
    return bins;
}
