/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_LOOKUP_H
#define QO_KERNELS_LOOKUP_H

#include "cells.h"

/*
 * From a key to its cell, without a search where cells are dyadic: equal parts, a power of two of
 * them, of a range of 2^s keys. The top bits of a key (sign, exponent and LOOKUP_TOP_BITS of the
 * mantissa) choose a word. A word of CELLS gives the cell by a shift and an addition, and the
 * element's offset in it by a mask: one load of four bytes. Where cells are not so even, a word
 * names a TABLE of more words, one a slot of keys, or the cells among which to SEARCH. histogram
 * plans are dyadic where most elements lie; any other map works, and costs a little more.
 */
#define LOOKUP_TOP_BITS 3

/*
 * A word: its kind, LOOKUP_AT_END, bits 6 to 28 `bias` and bits 0 to 5 `shift`.
 * CELLS (0): the cell is bias + (key >> shift), modulo 2^23; the cell has 2^shift keys.
 * TABLE: that is the place of the next word instead.
 * APART: of 2^shift keys the first is cell `bias`, the others are in the next cell; or, with
 *   LOOKUP_AT_END, the last is in the next cell. So are repeated round numbers found.
 * SEARCH: one of the 2^shift cells from `bias` on.
 */
#define LOOKUP_SEARCH ((uint32_t)1 << 30)
#define LOOKUP_TABLE  ((uint32_t)2 << 30)
#define LOOKUP_APART  ((uint32_t)3 << 30)
#define LOOKUP_AT_END ((uint32_t)1 << 29)
#define LOOKUP_PLACES 0x7fffffu

/* The most cells of a map: its words must have places. */
#define LOOKUP_MOST_CELLS (1 << 19)

/*
 * Offsets of float32 in a cell that a word gives directly have at most this many bits, so that
 * many of them and of their squares can be summed in one word each (struct slim_cell). Few elements
 * lie in wider cells, which are searched for.
 */
#define LOOKUP_SLIM_BITS 15

/* Entries behind the cells, for a search of two steps to look at. */
#define LOOKUP_BEYOND 4

struct lookup {
    enum element_type type;
    int64_t num_cells;
    int top_shift;
    int slots_log2;   /* slots a cell that a table has at most, as a power of two */
    uint64_t *before; /* [num_cells + LOOKUP_BEYOND]: the key before cell i, modulo 2^64; behind the
                         last cell, the last key, which is before no key */
    uint32_t *word;   /* [num_words]: one for each value of the top bits, then the tables */
    int64_t num_words;
};

/* Pure. Whether *lookup serves the map: then lookup_set leaves it as it is. */
bool lookup_serves(const struct lookup *lookup, const struct cell_map *map);

/* Local. Makes *lookup serve the map, at little cost if it already does. Starts zeroed. For a walk
 * over few elements, `n` of them, it is made sooner, and searches more. */
QO_MUST_USE enum status lookup_set(struct lookup *lookup, const struct cell_map *map, int64_t n);

/* Local. Frees; a zeroed or cleared lookup may be cleared again. */
void lookup_clear(struct lookup *lookup);

/* Pure. What a word of CELLS or a TABLE says of a key: its cell, or the place of its next word. */
QO_INLINE int64_t lookup_place(uint32_t word, uint64_t key)
{
    return (int64_t)(((word >> 6) + (uint32_t)(key >> (word & 63))) & LOOKUP_PLACES);
}

/* Pure. Which of the 2^steps cells from `first` on holds the key: the last that begins at or before
 * it. */
QO_INLINE int64_t lookup_search(const struct lookup *lookup, int64_t first, int steps, uint64_t key)
{
    while (steps-- > 0) {
        int64_t middle = first + ((int64_t)1 << steps);
        first = middle < lookup->num_cells && lookup->before[middle] < key ? middle : first;
    }
    return first;
}

/* Pure. The cell of a key below a word of any kind. */
QO_INLINE int64_t lookup_descend(const struct lookup *lookup, uint32_t word, uint64_t key)
{
    while ((word & LOOKUP_APART) == LOOKUP_TABLE)
        word = lookup->word[lookup_place(word, key)];
    int64_t cell = (word >> 6) & LOOKUP_PLACES;
    uint64_t mask = ((uint64_t)1 << (word & 63)) - 1;
    if (word < LOOKUP_SEARCH)
        return lookup_place(word, key);
    if (word < LOOKUP_TABLE)
        return lookup_search(lookup, cell, (int)(word & 63), key);
    return cell + (word & LOOKUP_AT_END ? (key & mask) == mask : (key & mask) != 0);
}

/* Pure. The cell of a key: what cell_map_find gives. */
QO_INLINE int64_t lookup_find(const struct lookup *lookup, uint64_t key)
{
    uint32_t word = lookup->word[key >> lookup->top_shift];
    return word < LOOKUP_SEARCH ? lookup_place(word, key) : lookup_descend(lookup, word, key);
}

#endif
