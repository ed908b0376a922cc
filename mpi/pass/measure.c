/* SPDX-License-Identifier: Apache-2.0 */
#include "measure.h"

#include <math.h>

#include "memory.h"
#include "pack.h"
#include "reduce.h"
#include "sample.h"

/* A cell of 52 bits is parted into 2^12 at a time at best, 2^8 where many need it: 7 walks at most.
 */
#define MAX_SPLITS 8

/* The key of an element that counts in the histogram, else 0, which is the key of a NaN. */
static uint64_t countable_key(const struct walk *walk, int64_t i)
{
    uint64_t bits = element_bits(walk->info->type, walk->x, i);
    double x = element_value(walk->info->type, bits);
    if (!element_is_finite(walk->info->type, bits))
        return 0;
    for (int f = 0; f < walk->all.num_fills; f++)
        if (x == walk->all.fill[f])
            return 0;
    return element_key(walk->info->type, bits);
}

/* Local. The keys of the samples this rank holds, each in its slot; the other slots stay 0. */
static void fill_slots(const struct walk *walk, uint64_t *key, int64_t slots)
{
    for (int64_t j = 0; j < slots; j++) {
        int64_t i = sample_index(walk->info->n, slots, j);
        if (walk->shard.begin <= i && i < walk->shard.end)
            key[j] = countable_key(walk, i - walk->shard.begin);
    }
}

/* Collective. Places the cells from the sample. */
static enum status plan_cells(const struct walk *walk, struct cell_map *map)
{
    enum status status;
    int64_t n = walk->info->n, slots = n < HISTOGRAM_SAMPLE ? n : HISTOGRAM_SAMPLE, count = 0;
    uint64_t *key = NULL;
    QO_TRY(comm_agree(walk->comm, memory_alloc("sample", slots, sizeof *key, &key)));
    fill_slots(walk, key, slots);
    reduce_sum(walk->comm, (int64_t *)key, slots); /* every slot is filled by one rank */
    for (int64_t j = 0; j < slots; j++)
        if (key[j])
            key[count++] = key[j];
    status = histogram_plan(map, walk->info->type, key, count, n <= HISTOGRAM_SAMPLE);
    status = comm_agree(walk->comm, status);
done:
    memory_free(key);
    return status;
}

/* Maps unsigned to signed order, for maxima over int64. */
static int64_t ordered(uint64_t u)
{
    return (int64_t)(u ^ (uint64_t)INT64_MIN);
}

/* Collective. Makes the sums and extremes those of all ranks. */
static enum status reduce_totals(const struct walk *walk, const struct cell_map *map,
                                 struct measure_totals *totals)
{
    struct cell_packing packing = pack_cells_plan(map, walk->info->n);
    int64_t words = map->num_cells * packing.words + 3, *buffer = NULL;
    enum status status =
        memory_alloc_large("histogram to be reduced", words, sizeof *buffer, &buffer);
    if ((status = comm_agree(walk->comm, status)) == QO_OK) {
        pack_cells(&packing, totals->cells, map->num_cells, buffer);
        int64_t *counts = buffer + words - 3;
        counts[0] = totals->num_measured;
        counts[1] = totals->num_nonfinite;
        counts[2] = totals->num_fill;
        reduce_sum(walk->comm, buffer, words);
        unpack_cells(&packing, buffer, map->num_cells, totals->cells);
        totals->num_measured = counts[0];
        totals->num_nonfinite = counts[1];
        totals->num_fill = counts[2];
        int64_t extremes[3] = {-totals->first_nonfinite, ordered(~totals->min_key),
                               ordered(totals->max_key)};
        reduce_max(walk->comm, extremes, 3);
        totals->first_nonfinite = -extremes[0];
        totals->min_key = ~((uint64_t)extremes[1] ^ (uint64_t)INT64_MIN);
        totals->max_key = (uint64_t)extremes[2] ^ (uint64_t)INT64_MIN;
    }
    memory_free(buffer);
    return status;
}

/* Collective. One walk: fills the cells of a map, which it takes over. */
static enum status fill_cells(const struct walk *walk, struct cell_map *map, struct measurement *m)
{
    enum status status;
    struct measure_totals totals;
    struct histogram *histogram = &m->histogram;
    histogram_clear(histogram);
    histogram->map = *map;
    *map = (struct cell_map){0};
    QO_TRY(memory_alloc("histogram", histogram->map.num_cells, sizeof *histogram->cells,
                        &histogram->cells));
    measure_totals_init(&totals, histogram->cells);
    QO_TRY(walk->engine->kernels->measure(walk->engine, &walk->tile, &walk->all, &histogram->map,
                                          &totals));
done:
    if ((status = comm_agree(walk->comm, status)) != QO_OK)
        return status;
    if ((status = reduce_totals(walk, &histogram->map, &totals)) != QO_OK)
        return status;
    enum element_type type = walk->info->type;
    bool any = totals.num_measured > 0;
    m->min = any ? element_value(type, element_unkey(type, totals.min_key)) : NAN;
    m->max = any ? element_value(type, element_unkey(type, totals.max_key)) : NAN;
    m->num_nonfinite = totals.num_nonfinite;
    m->first_nonfinite = totals.first_nonfinite;
    m->num_fill = totals.num_fill;
    return comm_agree(walk->comm, histogram_moments(histogram, &m->moments));
}

enum status measure_again(const struct walk *walk, struct cell_map *finer,
                          struct measurement *measurement)
{
    return fill_cells(walk, finer, measurement);
}

enum status measure_moments(const struct walk *walk, struct measurement *measurement)
{
    enum status status;
    struct cell_map map = {0};
    *measurement = (struct measurement){0};
    status = histogram_plan(&map, walk->info->type, NULL, 0, false);
    if ((status = comm_agree(walk->comm, status)) == QO_OK)
        status = fill_cells(walk, &map, measurement);
    cell_map_clear(&map);
    return status;
}

/* Whether the distinct values, of all elements or of those within the outlier bounds, may be few
 * enough to be the levels, but share cells; and between which bounds. Pure: the same on all ranks.
 */
static bool hides_few_values(const struct measurement *m, double threshold, double *lo, double *hi)
{
    double value[QO_MAX_LEVELS];
    int count;
    *lo = -INFINITY;
    *hi = INFINITY;
    histogram_distinct(&m->histogram, *lo, *hi, QO_MAX_LEVELS, value, &count);
    if (count < 0)
        return true;
    measurement_bounds(m, threshold, lo, hi);
    histogram_distinct(&m->histogram, *lo, *hi, QO_MAX_LEVELS, value, &count);
    return count < 0;
}

enum status measure_vector(const struct walk *walk, double threshold,
                           struct measurement *measurement)
{
    enum status status;
    struct cell_map map = {0};
    *measurement = (struct measurement){0};
    QO_TRY(plan_cells(walk, &map));
    QO_TRY(fill_cells(walk, &map, measurement));
    double lo, hi;
    for (int i = 0; i < MAX_SPLITS && hides_few_values(measurement, threshold, &lo, &hi); i++) {
        status = histogram_split(&measurement->histogram, lo, hi, &map);
        QO_TRY(comm_agree(walk->comm, status));
        if (map.num_cells == 0) /* too many for parts: levels are found on the cells as they are */
            break;
        QO_TRY(fill_cells(walk, &map, measurement));
    }
done:
    cell_map_clear(&map);
    return status;
}

void measurement_clear(struct measurement *measurement)
{
    histogram_clear(&measurement->histogram);
    *measurement = (struct measurement){0};
}

void measurement_bounds(const struct measurement *measurement, double threshold, double *lo,
                        double *hi)
{
    const struct moments *m = &measurement->moments;
    *lo = m->mean - threshold * m->std;
    *hi = m->mean + threshold * m->std;
}
