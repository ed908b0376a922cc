/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_PASS_PACK_H
#define QO_PASS_PACK_H

#include "cells.h"
#include "kernels.h"

/*
 * Sums on their way through an allreduce: wide integers travel as limbs of 32 bits in int64 words,
 * so that 2^31 ranks can be added word by word.
 */

/* How a cell is packed: 1 word for its count and so many limbs for its sums, as n and the widest
 * cell ask. */
struct cell_packing {
    int sum_limbs;    /* 0 to 4 */
    int square_limbs; /* 0 to 6 */
    int words;        /* of a cell */
};

/* Pure. The packing for the cells of a map that hold at most n elements. */
struct cell_packing pack_cells_plan(const struct cell_map *map, int64_t n);

/* Local. cells[count] to words[count * packing->words], and back after they were added over ranks.
 */
void pack_cells(const struct cell_packing *packing, const struct cell *cells, int64_t count,
                int64_t *words);
void unpack_cells(const struct cell_packing *packing, const int64_t *words, int64_t count,
                  struct cell *cells);

/* Words of a packed wide_sum. */
#define PACK_WIDE_WORDS 3

/* Local. A signed 128-bit sum of less than 2^95 in magnitude to 3 words, and back. */
void pack_wide(const struct wide_sum *sum, int64_t *words);
__int128 unpack_wide(const int64_t *words);

#endif
