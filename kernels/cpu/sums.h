/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_SUMS_H
#define QO_KERNELS_SUMS_H

#include "cpu.h"

/*
 * Sums per level. Vector code leaves the codes and residuals of a chunk in the first-level cache,
 * and these add them up one by one: that keeps the load and store units busy while the arithmetic
 * units are at the next chunk, and costs the same for any number of levels.
 *
 * A residual is left as the bit pattern of residual * scale + OPS_ROUNDER, which is the integer
 * plus OPS_ROUNDER_BITS, so that its sum holds the count as well: the pattern is an odd multiple of
 * 2^51, and as long as the integers sum to less than 2^50 what is above is count times that, modulo
 * 2^13. An element without a level leaves 0, which adds nothing to either.
 */
#define SUMS_COUNT_BIT 51

/* The inverse of OPS_ROUNDER_BITS >> 51 modulo 2^13. */
#define SUMS_INVERSE    0x1357u
#define SUMS_COUNT_MASK 0x1fffu

/* Terms of up to 2^FIXED_BITS that a sum may have: less than 2^50 in all. */
#define SUMS_MOST ((1 << (SUMS_COUNT_BIT - 1 - FIXED_BITS)) - 1)

/*
 * Tables that are used by turns, so that an addition need not wait for the store of the one before
 * it when neighbours have the same level. Their distance is no multiple of 4096 bytes, which would
 * make loads wait for stores to other tables.
 */
#define SUMS_COPIES 4
#define SUMS_STRIDE (QO_MAX_LEVELS + 8)

/* Elements of a chunk: they must leave room for the tables in the first-level cache. */
#define SUMS_CHUNK 256

/* Slots, codes and residuals of a chunk. */
struct sums_chunk {
    uint16_t slot[SUMS_CHUNK];
    uint8_t code[SUMS_CHUNK] __attribute__((aligned(QO_ALIGNMENT)));
    uint64_t residual[SUMS_CHUNK] __attribute__((aligned(QO_ALIGNMENT)));
};

struct sums_tables {
    uint64_t sum[SUMS_COPIES][SUMS_STRIDE];
    int num_terms; /* at most, of any sum */
};

/* Adds n elements, n rounded up to whole groups. */
CPU_INLINE void sums_add(struct sums_tables *tables, const struct sums_chunk *chunk, int64_t n)
{
    for (int64_t i = 0; i < n; i += SUMS_COPIES)
        for (int c = 0; c < SUMS_COPIES; c++)
            tables->sum[c][chunk->code[i + c]] += chunk->residual[i + c];
    tables->num_terms += SUMS_CHUNK / SUMS_COPIES;
}

/* Adds a sum of up to SUMS_MOST patterns to level i of the block. */
CPU_INLINE void sums_split(uint64_t sum, int i, struct assign_sums *sums)
{
    uint64_t times = (sum + ((uint64_t)1 << (SUMS_COUNT_BIT - 1))) >> SUMS_COUNT_BIT;
    sums->count[i] += (int64_t)((uint32_t)times * SUMS_INVERSE & SUMS_COUNT_MASK);
    sums->residual[i] += sum - (times << SUMS_COUNT_BIT); /* all modulo 2^64 */
}

/* Moves the tables' sums to those of the block. */
static void sums_flush(struct sums_tables *tables, int k, struct assign_sums *sums)
{
    for (int c = 0; c < SUMS_COPIES; c++)
        for (int i = 0; i < k; i++)
            sums_split(tables->sum[c][i], i, sums);
    memset(tables, 0, sizeof *tables);
}

/* Adds n elements, and moves the sums on before they can overflow. */
CPU_INLINE void sums_add_chunk(struct sums_tables *tables, const struct sums_chunk *chunk,
                               int64_t n, int k, struct assign_sums *sums)
{
    sums_add(tables, chunk, n);
    if (tables->num_terms + SUMS_CHUNK / SUMS_COPIES > SUMS_MOST)
        sums_flush(tables, k, sums);
}

#endif
