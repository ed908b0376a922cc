/* SPDX-License-Identifier: Apache-2.0 */
#include "pack.h"

#include <string.h>

/* Bits that a number takes; 0 for 0. */
static int bit_length(uint64_t x)
{
    return x ? 64 - __builtin_clzll(x) : 0;
}

static int limbs_for(int bits, int most)
{
    int limbs = (bits + 31) / 32;
    return limbs < most ? limbs : most;
}

struct cell_packing pack_cells_plan(const struct cell_map *map, int64_t n)
{
    uint64_t widest = 1;
    for (int64_t i = 1; i <= map->num_cells; i++) {
        /* The last cell reaches to the last key. */
        uint64_t end = i < map->num_cells ? map->low[i] : element_last_key(map->type);
        if (end - map->low[i - 1] > widest)
            widest = end - map->low[i - 1];
    }
    int offset = bit_length(widest - 1), count = bit_length((uint64_t)n);
    struct cell_packing packing = {
        .sum_limbs = offset ? limbs_for(offset + count, 4) : 0,
        .square_limbs = offset ? limbs_for(2 * offset + count, 6) : 0,
    };
    packing.words = 1 + packing.sum_limbs + packing.square_limbs;
    return packing;
}

/* The first `limbs` limbs of a number of 64-bit words, one a word of int64. */
static void spread(const uint64_t *number, int limbs, int64_t *words)
{
    for (int i = 0; i < limbs; i++)
        words[i] = (int64_t)(number[i / 2] >> (i % 2 ? 32 : 0) & 0xffffffffu);
}

/* Carries limbs that were added over ranks back into 64-bit words. */
static void gather(const int64_t *words, int limbs, uint64_t *number, int num_words)
{
    uint64_t carry = 0;
    memset(number, 0, (size_t)num_words * sizeof *number);
    for (int i = 0; i < 2 * num_words; i++) {
        carry += i < limbs ? (uint64_t)words[i] : 0;
        number[i / 2] |= (carry & 0xffffffffu) << (i % 2 ? 32 : 0);
        carry >>= 32;
    }
}

void pack_cells(const struct cell_packing *packing, const struct cell *cells, int64_t count,
                int64_t *words)
{
    for (int64_t i = 0; i < count; i++, words += packing->words) {
        words[0] = (int64_t)cells[i].count;
        spread(cells[i].sum, packing->sum_limbs, words + 1);
        spread(cells[i].square, packing->square_limbs, words + 1 + packing->sum_limbs);
    }
}

void unpack_cells(const struct cell_packing *packing, const int64_t *words, int64_t count,
                  struct cell *cells)
{
    for (int64_t i = 0; i < count; i++, words += packing->words) {
        cells[i].count = (uint64_t)words[0];
        gather(words + 1, packing->sum_limbs, cells[i].sum, 2);
        gather(words + 1 + packing->sum_limbs, packing->square_limbs, cells[i].square, 3);
    }
}

void pack_wide(const struct wide_sum *sum, int64_t *words)
{
    words[0] = (int64_t)(sum->low & 0xffffffffu);
    words[1] = (int64_t)(sum->low >> 32);
    words[2] = sum->high; /* signed: it carries the sign */
}

__int128 unpack_wide(const int64_t *words)
{
    return (__int128)words[0] + (__int128)words[1] * ((__int128)1 << 32) +
           (__int128)words[2] * ((__int128)1 << 64);
}
