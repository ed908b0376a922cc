/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_LOOKUP_H
#define QO_KERNELS_LOOKUP_H

#include "cells.h"

/*
 * From a key to its cell, faster than by bisection and for any map: a tree of tables. The top bits
 * of a key (sign, exponent and LOOKUP_TOP_BITS of the mantissa) choose a node; a node cuts its
 * range of keys into equal slots, two or more a cell; a slot names the first cell in it where it
 * holds the end of at most one, and else a node of its own. So a cell is found in two loads and one
 * comparison where cells follow the density of the data, and narrow peaks cost one or two loads
 * more.
 */
#define LOOKUP_TOP_BITS 3

/* A range of 2^span keys in slots of 2^shift keys. */
struct lookup_node {
    int64_t bias;  /* slot of a key: bias + (key >> shift) */
    int32_t shift; /* below 0: the cells from `bias` on are to be bisected */
    int32_t span;
};

/* A slot: its first cell, or ~node; and that cell's last key, beyond which lies the next cell. */
struct lookup_slot {
    uint32_t last; /* float32 only: of wider keys, lookup.before knows */
    int32_t cell;
};

struct lookup {
    enum element_type type;
    int64_t num_cells;
    int top_shift;
    uint64_t *before;         /* [num_cells + 1]: the key before cell i, modulo 2^64 */
    struct lookup_node *node; /* the top nodes, then others */
    struct lookup_slot *slot;
    int64_t num_nodes, num_slots;
};

/* Local. Makes *lookup serve the map, at little cost if it already does. Starts zeroed. */
QO_MUST_USE enum status lookup_set(struct lookup *lookup, const struct cell_map *map);

/* Local. Frees; a zeroed or cleared lookup may be cleared again. */
void lookup_clear(struct lookup *lookup);

/* Pure. The cell of a key whose slot names a node. */
int64_t lookup_descend(const struct lookup *lookup, int32_t slot, uint64_t key);

/* Pure. Where in lookup.slot the slot of a key under its top node is. */
static inline int64_t lookup_slot_of(const struct lookup *lookup, uint64_t key)
{
    const struct lookup_node *node = &lookup->node[key >> lookup->top_shift];
    return node->bias + (int64_t)(key >> node->shift);
}

/* Pure. The cell of a key from its slot: together with the above what cell_map_find gives. */
static inline int64_t lookup_cell_f32(const struct lookup *lookup, int64_t slot, uint32_t key)
{
    const struct lookup_slot *s = &lookup->slot[slot];
    if (__builtin_expect(s->cell < 0, 0))
        return lookup_descend(lookup, s->cell, key);
    return s->cell + (key > s->last);
}

static inline int64_t lookup_cell_f64(const struct lookup *lookup, int64_t slot, uint64_t key)
{
    int32_t cell = lookup->slot[slot].cell;
    if (__builtin_expect(cell < 0, 0))
        return lookup_descend(lookup, cell, key);
    return cell + (key > lookup->before[cell + 1]);
}

#endif
