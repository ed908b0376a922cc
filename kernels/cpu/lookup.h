/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_LOOKUP_H
#define QO_KERNELS_LOOKUP_H

#include "cells.h"

/*
 * From a key to its cell, faster than by bisection and for any map: a tree of tables. The top bits of a key
 * (sign, exponent and LOOKUP_TOP_BITS of the mantissa) choose a node; a node cuts its range of keys into equal
 * slots, two or more a cell; a slot names the first cell in it where it holds the ends of at most
 * LOOKUP_STEPS cells, and else a node of its own. So a cell is found in two loads and two comparisons where
 * cells follow the density of the data, and narrow peaks cost one or two loads more.
 */
#define LOOKUP_TOP_BITS 3
#define LOOKUP_STEPS    2

/* A range of keys in slots of 2^shift keys. A shift below 0 marks a range whose cells are bisected. */
struct lookup_node {
    int32_t slot;  /* the first slot; for bisection the first cell */
    int16_t shift;
    int16_t span;  /* log2 of the keys in the range */
};

struct lookup {
    enum element_type type;
    int64_t num_cells;
    int top_shift;
    uint64_t *before;         /* [num_cells + 1 + LOOKUP_STEPS]: the key before cell i, modulo 2^64; beyond
                               * the last cell the largest of all */
    struct lookup_node *node; /* the top nodes, then others */
    int32_t *slot;            /* a cell, or ~node */
    int64_t num_nodes, num_slots;
};

/* Local. Makes *lookup serve the map, at little cost if it already does. Starts zeroed. */
QO_MUST_USE enum status lookup_set(struct lookup *lookup, const struct cell_map *map);

/* Local. Frees; a zeroed or cleared lookup may be cleared again. */
void lookup_clear(struct lookup *lookup);

/* Pure. The way down from a slot that names a node. */
int64_t lookup_descend(const struct lookup *lookup, int32_t slot, uint64_t key);

/* Pure. The cell of a key; what cell_map_find gives. */
static inline int64_t lookup_find(const struct lookup *lookup, uint64_t key)
{
    const struct lookup_node *node = &lookup->node[key >> lookup->top_shift];
    uint64_t rest = key & (((uint64_t)1 << lookup->top_shift) - 1);
    int64_t cell = lookup->slot[node->slot + (int64_t)(rest >> node->shift)];
    if (__builtin_expect(cell < 0, 0))
        cell = lookup_descend(lookup, (int32_t)cell, key);
    return cell + (key > lookup->before[cell + 1]) + (key > lookup->before[cell + 2]);
}

#endif
