/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_SUMS_H
#define QO_KERNELS_SUMS_H

#include "cpu.h"

/*
 * Sums per level for many levels: vector code leaves codes and residuals of a chunk in the
 * first-level cache, and these add them up one by one. SUMS_COPIES tables are used by turns, so
 * that an addition need not wait for the store of the one before it when neighbours have the same
 * level.
 */
#define SUMS_COPIES 4

/* Codes and residuals of a chunk; elements without a level have residual 0 and are counted, then
 * taken back. */
struct sums_chunk {
    uint8_t code[CPU_CHUNK] __attribute__((aligned(QO_ALIGNMENT)));
    uint64_t residual[CPU_CHUNK] __attribute__((aligned(QO_ALIGNMENT)));
};

struct sums_tables {
    uint64_t residual[QO_MAX_LEVELS][SUMS_COPIES];
    uint32_t count[QO_MAX_LEVELS][SUMS_COPIES];
};

/* Adds the residuals of n elements, n a multiple of SUMS_COPIES, and counts them. */
CPU_INLINE void sums_add(struct sums_tables *tables, const struct sums_chunk *chunk, int64_t n)
{
    for (int64_t i = 0; i < n; i += SUMS_COPIES) {
        for (int c = 0; c < SUMS_COPIES; c++) {
            tables->residual[chunk->code[i + c]][c] += chunk->residual[i + c];
            tables->count[chunk->code[i + c]][c]++;
        }
    }
}

/* Takes back the counts of elements that get no level: those not in `kept` of 16 from code[0]. */
CPU_INLINE void sums_take_back(struct assign_sums *sums, const uint8_t *code, unsigned kept)
{
    for (unsigned mask = ~kept & 0xffff; mask; mask &= mask - 1)
        sums->count[code[__builtin_ctz(mask)]]--;
}

/* Adds the tables up into the sums of the block. */
CPU_INLINE void sums_finish(const struct sums_tables *tables, struct assign_sums *sums)
{
    for (int i = 0; i < QO_MAX_LEVELS; i++) {
        for (int c = 0; c < SUMS_COPIES; c++) {
            sums->residual[i] += tables->residual[i][c];
            sums->count[i] += tables->count[i][c];
        }
    }
}

#endif
