/* SPDX-License-Identifier: Apache-2.0 */
#include "cells.h"

#include <assert.h>

#include "memory.h"

/* Buckets of the search table: 256 KiB of int32, so that it stays in a core's second-level cache.
 */
#define MAX_BUCKETS 65536

/* The last cell that begins at or before the key. */
static int64_t bisect(const uint64_t *low, int64_t n, uint64_t key)
{
    int64_t first = 0, last = n - 1;
    while (first < last) {
        int64_t middle = (first + last + 1) / 2;
        if (low[middle] <= key)
            first = middle;
        else
            last = middle - 1;
    }
    return first;
}

enum status cell_map_init(struct cell_map *map, enum element_type type, const uint64_t *low,
                          int64_t n, uint64_t dense_first, uint64_t dense_last)
{
    enum status status;
    assert(n >= 1 && n <= INT32_MAX && low[0] == 0 && dense_first <= dense_last);
    *map = (struct cell_map){.type = type, .num_cells = n, .origin = dense_first};
    while ((dense_last - dense_first) >> map->shift >= MAX_BUCKETS)
        map->shift++;
    map->num_buckets = (int64_t)((dense_last - dense_first) >> map->shift) + 1;
    QO_TRY(memory_alloc_large("cell map", n, sizeof *low, &map->low));
    memcpy(map->low, low, (size_t)n * sizeof *low);
    QO_TRY(memory_alloc_large("cell map buckets", map->num_buckets + 1, sizeof *map->bucket,
                              &map->bucket));
    for (int64_t b = 1; b < map->num_buckets; b++)
        map->bucket[b] = (int32_t)bisect(low, n, map->origin + ((uint64_t)b << map->shift));
    map->bucket[0] = 0;
    map->bucket[map->num_buckets] = (int32_t)(n - 1);
done:
    if (status != QO_OK)
        cell_map_clear(map);
    return status;
}

void cell_map_clear(struct cell_map *map)
{
    memory_free(map->low);
    memory_free(map->bucket);
    *map = (struct cell_map){0};
}

/* Adds source[n] to target[n] as one number, little-endian words. */
static void add_words(uint64_t *target, const uint64_t *source, int n)
{
    unsigned __int128 carry = 0;
    for (int i = 0; i < n; i++) {
        carry += (unsigned __int128)target[i] + source[i];
        target[i] = (uint64_t)carry;
        carry >>= 64;
    }
}

void cell_merge(struct cell *cell, const struct cell *other)
{
    cell->count += other->count;
    add_words(cell->sum, other->sum, 2);
    add_words(cell->square, other->square, 3);
}
