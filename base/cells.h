/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_BASE_CELLS_H
#define QO_BASE_CELLS_H

#include <stdint.h>

#include "element.h"
#include "status.h"

/*
 * Cells: the bins of the exact integer histogram, and the way from a key to its cell.
 *
 * A cell is an interval of keys [low[i], low[i+1]) within one binade, so each value in it is
 * value(low[i]) + offset * ulp with an integer offset = key - low[i]. Its count, sum of offsets and
 * sum of squared offsets are exact integers, whatever the order, the number of ranks, the device.
 */
struct cell {
    uint64_t count;
    uint64_t sum[2];    /* of offsets: 128 bits, little-endian words */
    uint64_t square[3]; /* of squared offsets: 192 bits; an offset has at most 52 */
};

/*
 * Which keys make which cell. A table of buckets, equal steps of the key between the first and the
 * last cell that matter, narrows the search; inside a bucket the cell is found by bisection.
 */
struct cell_map {
    enum element_type type;
    int64_t num_cells;
    uint64_t *low;   /* [num_cells], ascending, low[0] = 0 */
    uint64_t origin; /* first key of bucket 0; smaller keys count as this one */
    int shift;       /* log2 of the keys in a bucket */
    int64_t num_buckets;
    int32_t *bucket; /* [num_buckets + 1]: the cell in which a bucket begins; last: num_cells - 1 */
};

/*
 * Local. Makes a map from the first keys of its cells, low[n], strictly ascending with low[0] = 0;
 * no cell may cross a binade (the multiples of cell_map_binade must be among them). dense_first and
 * dense_last are the keys between which most elements lie; they set the buckets. Copies low.
 */
QO_MUST_USE enum status cell_map_init(struct cell_map *map, enum element_type type,
                                      const uint64_t *low, int64_t n, uint64_t dense_first,
                                      uint64_t dense_last);

/* Local. Frees a map; a zeroed or cleared one may be cleared again. */
void cell_map_clear(struct cell_map *map);

/* Pure. Keys per binade: each multiple of it begins a binade and so must begin a cell. */
QO_INLINE uint64_t cell_map_binade(enum element_type type)
{
    return (uint64_t)1 << element_mantissa_bits(type);
}

/* Pure. The cell of a key. */
QO_INLINE int64_t cell_map_find(const struct cell_map *map, uint64_t key)
{
    uint64_t b = key < map->origin ? 0 : (key - map->origin) >> map->shift;
    if (b >= (uint64_t)map->num_buckets)
        b = (uint64_t)map->num_buckets - 1;
    int64_t first = map->bucket[b], last = map->bucket[b + 1];
    while (first < last) {
        int64_t middle = (first + last + 1) >> 1;
        if (map->low[middle] <= key)
            first = middle;
        else
            last = middle - 1;
    }
    return first;
}

/* Local. Adds an element to a cell. */
QO_INLINE void cell_add(struct cell *cell, uint64_t offset)
{
    uint64_t high, low, old = cell->sum[0];
    cell->count++;
    cell->sum[0] += offset;
    cell->sum[1] += cell->sum[0] < old;
    uint64_t a = offset >> 32, b = offset & 0xffffffffu; /* offset < 2^52: a < 2^20 */
    uint64_t middle = 2 * a * b;                         /* < 2^53 */
    low = b * b + (middle << 32);
    high = a * a + (middle >> 32) + (low < b * b);
    old = cell->square[0];
    cell->square[0] += low;
    uint64_t carry = cell->square[0] < old;
    old = cell->square[1];
    cell->square[1] += high + carry; /* high < 2^41: high + carry cannot wrap */
    cell->square[2] += cell->square[1] < old;
}

/* Local. Adds a cell's sums to another. */
void cell_merge(struct cell *cell, const struct cell *other);

#endif
