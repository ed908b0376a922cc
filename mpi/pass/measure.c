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
static uint64_t countable_key(const struct walk *walk, uint64_t bits)
{
    double x = element_value(walk->info->type, bits);
    if (!element_is_finite(walk->info->type, bits))
        return 0;
    for (int f = 0; f < walk->all.num_fills; f++)
        if (x == walk->all.fill[f])
            return 0;
    return element_key(walk->info->type, bits);
}

/* Local. The keys of the samples this rank looks up, each in its slot; the other slots are 0. */
static enum status fill_slots(const struct walk *walk, uint64_t *key, int64_t slots)
{
    enum status status;
    bool *mine = NULL;
    QO_TRY(memory_alloc("owners of the sample", slots, sizeof *mine, &mine));
    QO_TRY(sample_look_up(walk, slots, 0, slots, key, mine));
    for (int64_t j = 0; j < slots; j++)
        if (mine[j])
            key[j] = countable_key(walk, key[j]);
done:
    memory_free(mine);
    return status;
}

/* Collective. Places the cells from the sample. */
static enum status plan_cells(const struct walk *walk, struct cell_map *map)
{
    enum status status;
    int64_t n = walk->info->n, slots = n < HISTOGRAM_SAMPLE ? n : HISTOGRAM_SAMPLE, count = 0;
    uint64_t *key = NULL;
    QO_TRY(memory_alloc("sample", slots, sizeof *key, &key));
    QO_TRY(fill_slots(walk, key, slots));
done:
    if ((status = comm_agree(walk->comm, status)) == QO_OK) {
        reduce_sum(walk->comm, (int64_t *)key, slots); /* every slot is filled by one rank */
        for (int64_t j = 0; j < slots; j++)
            if (key[j])
                key[count++] = key[j];
        status = histogram_plan(map, walk->info->type, key, count, n <= HISTOGRAM_SAMPLE);
        status = comm_agree(walk->comm, status);
    }
    memory_free(key);
    return status;
}

/* A walk that measures. */
struct measuring {
    const struct walk *walk;
    const struct cell_map *map;
    struct cell_packing packing;
    struct measure_totals totals;
};

/* Words behind those of the cells: what was counted; and of the extremes. */
#define COUNT_WORDS   3
#define EXTREME_WORDS 3

static enum status measure_tile(void *context, const struct tile *tile)
{
    struct measuring *m = context;
    struct engine *engine = m->walk->engine;
    return engine->kernels->measure(engine, tile, &m->walk->all, m->map, &m->totals);
}

/* Maps unsigned to signed order, for maxima over int64. */
static int64_t ordered(uint64_t u)
{
    return (int64_t)(u ^ (uint64_t)INT64_MIN);
}

/* And back. */
static uint64_t unordered(int64_t i)
{
    return (uint64_t)i ^ (uint64_t)INT64_MIN;
}

static void pack(void *context, int64_t *sums, int64_t *maxima)
{
    struct measuring *m = context;
    const struct measure_totals *totals = &m->totals;
    int64_t num_cells = m->map->num_cells, *counts = sums + num_cells * m->packing.words;
    pack_cells(&m->packing, totals->cells, num_cells, sums);
    counts[0] = totals->num_measured;
    counts[1] = totals->num_nonfinite;
    counts[2] = totals->num_fill;
    maxima[0] = -totals->first_nonfinite;
    maxima[1] = ordered(~totals->min_key);
    maxima[2] = ordered(totals->max_key);
}

/* The totals of all ranks from their words. */
static void unpack(struct measuring *m, const int64_t *words)
{
    struct measure_totals *totals = &m->totals;
    int64_t num_cells = m->map->num_cells;
    const int64_t *counts = words + num_cells * m->packing.words, *maxima = counts + COUNT_WORDS;
    unpack_cells(&m->packing, words, num_cells, totals->cells);
    totals->num_measured = counts[0];
    totals->num_nonfinite = counts[1];
    totals->num_fill = counts[2];
    totals->first_nonfinite = -maxima[0];
    totals->min_key = ~unordered(maxima[1]);
    totals->max_key = unordered(maxima[2]);
}

/* Collective. The walk: makes the totals those of all ranks. */
static enum status walk_and_count(struct measuring *m)
{
    int64_t *words = NULL;
    struct visit visit = {.what = "measuring",
                          .context = m,
                          .num_sums = m->map->num_cells * m->packing.words + COUNT_WORDS,
                          .num_maxima = EXTREME_WORDS,
                          .look = measure_tile,
                          .pack = pack};
    enum status status = memory_alloc_large("histogram to be reduced",
                                            WALK_CONTROLS + visit.num_sums + visit.num_maxima,
                                            sizeof *words, &words);
    if ((status = comm_agree(m->walk->comm, status)) == QO_OK)
        status = walk_over(m->walk, &visit, words);
    if (status == QO_OK)
        unpack(m, words + WALK_CONTROLS);
    memory_free(words);
    return status;
}

/* What the totals say of the vector. */
static void note_totals(struct measurement *m, enum element_type type,
                        const struct measure_totals *totals)
{
    bool any = totals->num_measured > 0;
    m->min = any ? element_value(type, element_unkey(type, totals->min_key)) : NAN;
    m->max = any ? element_value(type, element_unkey(type, totals->max_key)) : NAN;
    m->num_nonfinite = totals->num_nonfinite;
    m->first_nonfinite = totals->first_nonfinite;
    m->num_fill = totals->num_fill;
}

/* Collective. One walk: fills the cells of a map, which it takes over. */
static enum status fill_cells(const struct walk *walk, struct cell_map *map, struct measurement *m)
{
    enum status status;
    struct histogram *histogram = &m->histogram;
    struct measuring measuring = {.walk = walk, .map = &histogram->map};
    histogram_clear(histogram);
    histogram->map = *map;
    *map = (struct cell_map){0};
    measuring.packing = pack_cells_plan(&histogram->map, walk->info->n);
    status = memory_alloc("histogram", histogram->map.num_cells, sizeof *histogram->cells,
                          &histogram->cells);
    QO_TRY(comm_agree(walk->comm, status));
    measure_totals_init(&measuring.totals, histogram->cells);
    QO_TRY(walk_and_count(&measuring));
    note_totals(m, walk->info->type, &measuring.totals);
    QO_TRY(comm_agree(walk->comm, histogram_moments(histogram, &m->moments)));
done:
    return status;
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
