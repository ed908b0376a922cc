/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finer cells where a certificate wants them. A gap falls with the square of the number of cells a
 * level (docs/certificate.md), which says into how many parts a cell has to go. Cells next to the
 * cuts are not enough: moving all cuts together costs little when they are many, so the bound would
 * move them to where cells are still wide. So a window of as many cells as there are levels is
 * taken on both sides of each cut. Cells that an outlier bound cuts are cut at the bound itself.
 */
#include <math.h>

#include "histogram.h"
#include "histogram_cell.h"
#include "memory.h"

/* Cells on each side of a cut, at least. */
#define LEAST_WINDOW 64

/* Parts of a cell at most, as a power of two; further walks can cut again. */
#define MOST_PARTS_LOG2 12

/* More parts than the law of the gap asks for: windows end somewhere, and parts are not as well
 * placed as planned cells. */
#define MARGIN 1.1

/* A level's part of the error below which it does not matter what one cell hides. */
#define LEAST_HIDDEN 1e-4

/* Wishes in the making. */
struct wishes {
    const struct histogram *histogram;
    uint8_t *parts_log2; /* [num_cells] */
    uint64_t *bound;     /* [num_bounds], keys at which a cell must begin, ascending */
    int num_bounds;
};

static bool can_be_cut(const struct histogram *histogram, int64_t cell)
{
    const struct cell_map *map = &histogram->map;
    return histogram->cells[cell].count > 0 && !histogram_is_single(&histogram->cells[cell]) &&
           histogram_last_key(map, cell) > map->low[cell];
}

static uint64_t key_near(const struct wishes *wishes, double x)
{
    enum element_type type = wishes->histogram->map.type;
    return element_key(type, element_from_double(type, x));
}

/* Whether a cell can be cut and may hold elements within a refinement's bounds. */
static bool is_in_question(const struct histogram *histogram, const struct refinement *refinement,
                           int64_t cell)
{
    const struct cell_map *map = &histogram->map;
    return can_be_cut(histogram, cell) &&
           histogram_key_value(map->type, map->low[cell]) <= refinement->hi &&
           histogram_key_value(map->type, histogram_last_key(map, cell)) >= refinement->lo;
}

/* Wishes for parts of the next cells in question from `cell` on, upwards or downwards. */
static void wish_window(struct wishes *wishes, const struct refinement *refinement, int64_t cell,
                        int step, int parts_log2)
{
    int64_t num_cells = wishes->histogram->map.num_cells;
    int window = refinement->k > LEAST_WINDOW ? refinement->k : LEAST_WINDOW;
    for (int found = 0; found < window && cell >= 0 && cell < num_cells; cell += step) {
        if (!is_in_question(wishes->histogram, refinement, cell))
            continue;
        found++;
        if (wishes->parts_log2[cell] < parts_log2)
            wishes->parts_log2[cell] = (uint8_t)parts_log2;
    }
}

/* Wishes around every cut of a refinement. */
static void wish_cuts(struct wishes *wishes, const struct refinement *refinement)
{
    const struct cell_map *map = &wishes->histogram->map;
    double parts = MARGIN * sqrt(refinement->gap / refinement->gap_wanted);
    int parts_log2 = 0;
    while (parts_log2 < MOST_PARTS_LOG2 && parts > (double)(1 << parts_log2))
        parts_log2++;
    for (int i = 0; i + 1 < refinement->k; i++) {
        double cut = 0.5 * refinement->level[i] + 0.5 * refinement->level[i + 1];
        int64_t cell = cell_map_find(map, key_near(wishes, cut));
        wish_window(wishes, refinement, cell, -1, parts_log2);
        wish_window(wishes, refinement, cell, 1, parts_log2);
    }
}

/* Lets a cell begin at a key, if that parts elements. */
static void wish_bound(struct wishes *wishes, uint64_t key)
{
    const struct cell_map *map = &wishes->histogram->map;
    int64_t cell = cell_map_find(map, key);
    int at = wishes->num_bounds;
    if (map->low[cell] == key || !can_be_cut(wishes->histogram, cell))
        return;
    while (at > 0 && wishes->bound[at - 1] > key)
        at--;
    if (at > 0 && wishes->bound[at - 1] == key)
        return;
    memmove(wishes->bound + at + 1, wishes->bound + at,
            (size_t)(wishes->num_bounds - at) * sizeof *wishes->bound);
    wishes->bound[at] = key;
    wishes->num_bounds++;
}

/* Bounds at the first key not below lo and the first one above hi. -0.0 and +0.0 are two keys and
 * one value, so the nearest key may be one off on either side. */
static void wish_bounds(struct wishes *wishes, const struct refinement *refinement)
{
    enum element_type type = wishes->histogram->map.type;
    if (isfinite(refinement->lo)) {
        uint64_t key = key_near(wishes, refinement->lo);
        while (histogram_key_value(type, key) >= refinement->lo)
            key--;
        while (histogram_key_value(type, key) < refinement->lo)
            key++;
        wish_bound(wishes, key);
    }
    if (isfinite(refinement->hi)) {
        uint64_t key = key_near(wishes, refinement->hi);
        while (histogram_key_value(type, key) > refinement->hi)
            key--;
        while (histogram_key_value(type, key) <= refinement->hi)
            key++;
        wish_bound(wishes, key);
    }
}

/*
 * Wishes for cells that alone may hide a part of the error that matters: a cluster in a wide cell,
 * which the sample did not show. What a cell hides is at most count * below * above, with the
 * distances from its mean to its ends, and falls with the square of the parts.
 */
static void wish_hidden(struct wishes *wishes, const struct refinement *refinement)
{
    const struct cell_map *map = &wishes->histogram->map;
    double wanted = fmax(refinement->gap_wanted, LEAST_HIDDEN);
    double most = refinement->error * wanted / refinement->k;
    if (!(most > 0) || !isfinite(most))
        return;
    for (int64_t i = 0; i < map->num_cells; i++) {
        const struct cell *cell = &wishes->histogram->cells[i];
        if (!is_in_question(wishes->histogram, refinement, i))
            continue;
        double below = (double)histogram_sum(cell) / (double)cell->count;
        double above = (double)(histogram_last_key(map, i) - map->low[i]) - below;
        int ulp = histogram_ulp(map, i);
        double hidden = (double)cell->count * ldexp(below, ulp) * ldexp(above, ulp);
        int parts_log2 = 0;
        for (; hidden > most && parts_log2 < MOST_PARTS_LOG2; parts_log2++)
            hidden /= 4;
        if (wishes->parts_log2[i] < parts_log2)
            wishes->parts_log2[i] = (uint8_t)parts_log2;
    }
}

/* The distance of the first keys of a cell's parts; a power of two if the cell's width is one, so
 * that parts can be told by a shift. */
static uint64_t part_width(const struct wishes *wishes, int64_t cell, int less)
{
    const struct cell_map *map = &wishes->histogram->map;
    uint64_t width = histogram_last_key(map, cell) - map->low[cell] + 1;
    int parts_log2 = wishes->parts_log2[cell] - less;
    if (parts_log2 <= 0)
        return width;
    uint64_t step = (width + ((uint64_t)1 << parts_log2) - 1) >> parts_log2;
    return step > 0 ? step : 1;
}

/* Writes the first keys of the finer cells if low is not NULL; returns their number. All parts are
 * coarser by 2^less than wished. */
static int64_t write_lows(const struct wishes *wishes, int less, uint64_t *low)
{
    const struct cell_map *map = &wishes->histogram->map;
    int64_t n = 0;
    int bound = 0;
    for (int64_t i = 0; i < map->num_cells; i++) {
        uint64_t first = map->low[i], width = histogram_last_key(map, i) - first + 1;
        uint64_t step = part_width(wishes, i, less);
        for (uint64_t at = 0; at < width; at += step, n++) {
            for (; bound < wishes->num_bounds && wishes->bound[bound] <= first + at; bound++) {
                if (wishes->bound[bound] == first + at)
                    continue;
                if (low)
                    low[n] = wishes->bound[bound];
                n++;
            }
            if (low)
                low[n] = first + at;
        }
    }
    return n;
}

/* The map of the wishes, as far as there is room for them. */
static enum status make_map(const struct wishes *wishes, struct cell_map *finer)
{
    enum status status = QO_OK;
    const struct histogram *histogram = wishes->histogram;
    uint64_t *low = NULL;
    int less = 0;
    int64_t n = write_lows(wishes, less, NULL);
    while (n > HISTOGRAM_MOST_CELLS && less < MOST_PARTS_LOG2)
        n = write_lows(wishes, ++less, NULL);
    if (n <= histogram->map.num_cells || n > HISTOGRAM_MOST_CELLS)
        return QO_OK;
    QO_TRY(memory_alloc_large("finer cells", n, sizeof *low, &low));
    write_lows(wishes, less, low);
    QO_TRY(histogram_map(finer, histogram->map.type, low, n));
done:
    memory_free(low);
    return status;
}

enum status histogram_refine(const struct histogram *histogram, const struct refinement *refinement,
                             int count, struct cell_map *finer)
{
    enum status status;
    struct wishes wishes = {.histogram = histogram};
    *finer = (struct cell_map){0};
    QO_TRY(memory_alloc("wishes for cells", histogram->map.num_cells, 1, &wishes.parts_log2));
    QO_TRY(memory_alloc("bounds", 2 * (int64_t)count, sizeof(uint64_t), &wishes.bound));
    for (int i = 0; i < count; i++) {
        wish_cuts(&wishes, &refinement[i]);
        wish_hidden(&wishes, &refinement[i]);
        wish_bounds(&wishes, &refinement[i]);
    }
    QO_TRY(make_map(&wishes, finer));
done:
    memory_free(wishes.parts_log2);
    memory_free(wishes.bound);
    return status;
}
