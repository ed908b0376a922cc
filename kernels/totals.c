/* SPDX-License-Identifier: Apache-2.0 */
#include "totals.h"

/* `count` elements at one offset. */
static struct cell repeat(uint64_t count, uint64_t offset)
{
    unsigned __int128 square = (unsigned __int128)offset * offset * count; /* < 2^32 * 2^32 */
    return (struct cell){
        count, {offset * count, 0}, {(uint64_t)square, (uint64_t)(square >> 64), 0}};
}

int64_t totals_add_pattern(struct measure_totals *totals, uint64_t bits, uint64_t count,
                           const struct cell_map *map, const struct sorter *fills)
{
    double value = element_value(map->type, bits);
    uint64_t key = element_key(map->type, bits);
    if (value == fills->fill_f64[0] || value == fills->fill_f64[1]) {
        totals->num_fill += (int64_t)count;
        return 0;
    }
    if (!element_is_finite(map->type, bits))
        return (int64_t)count;
    int64_t i = map->num_cells == TOTALS_PATTERNS ? (int64_t)key : cell_map_find(map, key);
    struct cell cell = repeat(count, key - map->low[i]);
    cell_merge(&totals->cells[i], &cell);
    totals->num_measured += (int64_t)count;
    totals->min_key = key < totals->min_key ? key : totals->min_key;
    totals->max_key = key > totals->max_key ? key : totals->max_key;
    return 0;
}

/* Whether element i is neither finite nor a fill. */
static bool is_bad(const struct tile *tile, const struct sorter *fills, int64_t i)
{
    uint64_t bits = element_bits(tile->type, tile->x, i);
    double value = element_value(tile->type, bits);
    return !element_is_finite(tile->type, bits) && value != fills->fill_f64[0] &&
           value != fills->fill_f64[1];
}

void totals_add_nonfinite(struct measure_totals *totals, int64_t count, const struct tile *tile,
                          const struct sorter *fills)
{
    totals->num_nonfinite += count;
    if (count == 0 || totals->first_nonfinite < tile->first)
        return;
    int64_t i = 0;
    while (i < tile->n && !is_bad(tile, fills, i))
        i++;
    if (tile->first + i < totals->first_nonfinite)
        totals->first_nonfinite = tile->first + i;
}

void measure_totals_init(struct measure_totals *totals, struct cell *cells)
{
    *totals = (struct measure_totals){
        .first_nonfinite = INT64_MAX, .min_key = UINT64_MAX, .cells = cells};
}
