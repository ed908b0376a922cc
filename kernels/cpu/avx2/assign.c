/* SPDX-License-Identifier: Apache-2.0 */
#include "blocks.h"
#include "sums.h"
#include "vector.h"

/* A block's running sums: four error lanes a vector, elements with a level. */
struct running {
    __m256d lane[4];
    int64_t num_kept;
};

/* Leaves codes and residuals of x[16] at place `at` of the chunk, and adds the squared errors. */
CPU_INLINE void assign_vector(const struct vector_tables *t, enum element_type type, bool few,
                              const void *x, int64_t at, struct sums_chunk *chunk,
                              struct running *run)
{
    struct vector v = vector_at(t, type, few, x, chunk->slot + at, true, chunk->code + at);
    for (int q = 0; q < 4; q++) {
        __m256d error = vector_error(&v, q);
        run->lane[q] = _mm256_add_pd(run->lane[q], _mm256_mul_pd(error, error));
        __m256d fixed =
            _mm256_add_pd(_mm256_mul_pd(error, v.scale[q]), _mm256_set1_pd(OPS_ROUNDER));
        fixed = _mm256_and_pd(fixed, v.kept[q]);
        _mm256_store_pd((double *)(void *)(chunk->residual + at + 4 * q), fixed);
    }
    run->num_kept += __builtin_popcount(v.mask);
}

/* The elements of a block, vector by vector, in chunks that the tables add up; the tail is padded.
 */
CPU_INLINE void assign_elements(enum element_type type, bool few, const struct sorter *sorter,
                                const void *x, int64_t n, struct assign_sums *sums)
{
    const struct vector_tables t = vector_tables_of(sorter);
    struct running run = {0};
    struct sums_tables tables = {0};
    struct sums_chunk chunk;
    for (int64_t begin = 0; begin < n; begin += SUMS_CHUNK) {
        int64_t m = n - begin < SUMS_CHUNK ? n - begin : SUMS_CHUNK, i = 0;
        const void *part = cpu_element(type, x, begin);
        if (!few)
            vector_fill_slots(sorter, type, part, m, chunk.slot);
        for (; i + CPU_GROUP <= m; i += CPU_GROUP)
            assign_vector(&t, type, few, cpu_element(type, part, i), i, &chunk, &run);
        if (i < m) {
            struct vector_tail tail;
            vector_pad(&tail, type, cpu_element(type, part, i), m - i);
            assign_vector(&t, type, few, tail.bytes, i, &chunk, &run);
        }
        sums_add_chunk(&tables, &chunk, scalar_round_up(m), sorter->k, sums);
    }
    sums_flush(&tables, sorter->k, sums);
    sums->num_outliers = n - run.num_kept;
    for (int q = 0; q < 4; q++)
        _mm256_storeu_pd(sums->lane + 4 * q, run.lane[q]);
}

CPU_INLINE void assign_type(enum element_type type, const struct sorter *sorter, const void *x,
                            int64_t n, struct assign_sums *sums)
{
    if (sorter->k <= SORTER_FEW)
        assign_elements(type, true, sorter, x, n, sums);
    else
        assign_elements(type, false, sorter, x, n, sums);
}

void assign_avx2(const struct sorter *sorter, enum element_type type, const void *x, int64_t n,
                 struct assign_sums *sums)
{
    CPU_BY_TYPE(type, assign_type, sorter, x, n, sums);
}
