/* SPDX-License-Identifier: Apache-2.0 */
#include "lookup.h"

#include <assert.h>

#include "memory.h"

/* Nodes on a way down before bisection takes over: it bounds the tables by a few slots a cell and
 * level. */
#define MAX_DEPTH 3

/* Slots a cell that a node aims at, as a power of two. */
#define SLOTS_LOG2 1

/* The last cell in first..last that begins at or before the key. */
static int64_t bisect(const struct lookup *lookup, int64_t first, int64_t last, uint64_t key)
{
    while (first < last) {
        int64_t middle = (first + last + 1) / 2;
        if (lookup->before[middle] < key) /* middle >= 1: no wrapped word is read */
            first = middle;
        else
            last = middle - 1;
    }
    return first;
}

/*
 * The node for 2^span keys from `base` on, in which cells first..last lie; its slots go to the end
 * of the table.
 */
static struct lookup_node plan_node(struct lookup *lookup, uint64_t base, int span, int64_t first,
                                    int64_t last, int depth)
{
    if (depth == MAX_DEPTH)
        return (struct lookup_node){.bias = first, .shift = -1};
    int split = 0;
    int64_t slots = last - first > 1 ? (last - first) << SLOTS_LOG2 : 1;
    while (split < span && slots > (int64_t)1 << split)
        split++;
    int64_t bias = lookup->num_slots - (int64_t)(base >> (span - split));
    lookup->num_slots += (int64_t)1 << split;
    return (struct lookup_node){bias, span - split, span};
}

/*
 * Fills node `index` for 2^span keys from `base` on; cell `first` holds that key. While there are
 * no tables yet it only counts what they will need.
 */
static void fill_node(struct lookup *lookup, int64_t index, uint64_t base, int span, int64_t first,
                      int depth)
{
    uint64_t size = (uint64_t)1 << span;
    int64_t last = bisect(lookup, first, lookup->num_cells - 1, base + (size - 1));
    struct lookup_node node = plan_node(lookup, base, span, first, last, depth);
    if (lookup->node)
        lookup->node[index] = node;
    if (node.shift < 0)
        return;
    uint64_t step = (uint64_t)1 << node.shift;
    for (uint64_t at = 0; at < size; at += step) {
        uint64_t key = base + at;
        first = bisect(lookup, first, last, key);
        int64_t end = bisect(lookup, first, last, key + (step - 1));
        bool leaf = end - first <= 1;
        if (lookup->slot)
            lookup->slot[node.bias + (int64_t)(key >> node.shift)] = (struct lookup_slot){
                (uint32_t)lookup->before[first + 1], (int32_t)(leaf ? first : ~lookup->num_nodes)};
        if (!leaf)
            fill_node(lookup, lookup->num_nodes++, key, node.shift, first, depth + 1);
    }
}

/* Fills, or counts, the whole tree. */
static void fill(struct lookup *lookup)
{
    int64_t top = (int64_t)(element_last_key(lookup->type) >> lookup->top_shift) + 1;
    lookup->num_nodes = top;
    lookup->num_slots = 0;
    for (int64_t i = 0, first = 0; i < top; i++) {
        uint64_t base = (uint64_t)i << lookup->top_shift;
        first = bisect(lookup, first, lookup->num_cells - 1, base);
        fill_node(lookup, i, base, lookup->top_shift, first, 0);
    }
}

/* Whether the tables stand for this map: compared in full, as an address may have been used again.
 */
static bool serves(const struct lookup *lookup, const struct cell_map *map)
{
    if (!lookup->slot || lookup->type != map->type || lookup->num_cells != map->num_cells)
        return false;
    for (int64_t i = 0; i < map->num_cells; i++)
        if (lookup->before[i] + 1 != map->low[i])
            return false;
    return true;
}

enum status lookup_set(struct lookup *lookup, const struct cell_map *map)
{
    enum status status = QO_OK;
    if (serves(lookup, map))
        return QO_OK;
    lookup_clear(lookup);
    lookup->type = map->type;
    lookup->num_cells = map->num_cells;
    lookup->top_shift = element_mantissa_bits(map->type) - LOOKUP_TOP_BITS;
    QO_TRY(memory_alloc_large("cell lookup", map->num_cells + 1, sizeof *lookup->before,
                              &lookup->before));
    for (int64_t i = 0; i <= map->num_cells; i++)
        lookup->before[i] = i < map->num_cells ? map->low[i] - 1 : UINT64_MAX;
    fill(lookup);
    assert(lookup->num_slots <= INT32_MAX && lookup->num_nodes <= INT32_MAX);
    QO_TRY(
        memory_alloc_large("cell lookup", lookup->num_nodes, sizeof *lookup->node, &lookup->node));
    QO_TRY(
        memory_alloc_large("cell lookup", lookup->num_slots, sizeof *lookup->slot, &lookup->slot));
    fill(lookup);
done:
    if (status != QO_OK)
        lookup_clear(lookup);
    return status;
}

void lookup_clear(struct lookup *lookup)
{
    memory_free(lookup->before);
    memory_free(lookup->node);
    memory_free(lookup->slot);
    *lookup = (struct lookup){0};
}

int64_t lookup_descend(const struct lookup *lookup, int32_t slot, uint64_t key)
{
    int64_t cell = slot;
    while (cell < 0) {
        const struct lookup_node *node = &lookup->node[~cell];
        if (node->shift < 0)
            return bisect(lookup, node->bias, lookup->num_cells - 1, key);
        cell = lookup->slot[node->bias + (int64_t)(key >> node->shift)].cell;
    }
    return cell + (key > lookup->before[cell + 1]);
}
