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
CPU_INLINE void assign_vector(const struct vector_tables *t, enum element_type type, int steps,
                              const void *x, int64_t at, struct sums_chunk *chunk,
                              struct running *run, struct assign_sums *sums)
{
    struct vector v = vector_at(t, type, steps, x, chunk->code + at);
    const __m256d rounder = _mm256_set1_pd(OPS_ROUNDER);
    for (int q = 0; q < 4; q++) {
        __m256d error = vector_error(t, type, steps, &v, q);
        __m256d scale = vector_look_up(t->scale, t->sorter->scale, type, steps, &v, q);
        run->lane[q] = _mm256_add_pd(run->lane[q], _mm256_mul_pd(error, error));
        __m256i fixed = _mm256_castpd_si256(_mm256_add_pd(_mm256_mul_pd(error, scale), rounder));
        fixed = _mm256_sub_epi64(fixed, _mm256_castpd_si256(rounder));
        _mm256_store_si256((__m256i *)(chunk->residual + at + 4 * q), fixed);
    }
    run->num_kept += __builtin_popcount(v.mask);
    if (v.mask != 0xffff)
        sums_take_back(sums, chunk->code + at, v.mask);
}

/* The elements of a block, vector by vector, in chunks that the tables add up; the tail is padded.
 */
CPU_INLINE void assign_elements(const struct sorter *sorter, enum element_type type, int steps,
                                const void *x, int64_t n, struct assign_sums *sums)
{
    const struct vector_tables t = vector_tables_of(sorter);
    struct running run = {0};
    struct sums_tables tables = {0};
    struct sums_chunk chunk;
    for (int64_t begin = 0; begin < n; begin += CPU_CHUNK) {
        int64_t m = n - begin < CPU_CHUNK ? n - begin : CPU_CHUNK, i = 0;
        const void *source = cpu_element(type, x, begin);
        for (; i + CPU_GROUP <= m; i += CPU_GROUP)
            assign_vector(&t, type, steps, cpu_element(type, source, i), i, &chunk, &run, sums);
        if (i < m) {
            struct vector_tail tail;
            vector_pad(&tail, type, cpu_element(type, source, i), m - i);
            assign_vector(&t, type, steps, tail.bytes, i, &chunk, &run, sums);
            i += CPU_GROUP;
        }
        sums_add(&tables, &chunk, i);
    }
    sums_finish(&tables, sums);
    sums->num_outliers = n - run.num_kept;
    for (int q = 0; q < 4; q++)
        _mm256_storeu_pd(sums->lane + 4 * q, run.lane[q]);
}

CPU_INLINE void assign_type(const struct sorter *sorter, enum element_type type, const void *x,
                            int64_t n, struct assign_sums *sums)
{
    if (sorter->steps == 3)
        assign_elements(sorter, type, 3, x, n, sums);
    else
        assign_elements(sorter, type, VECTOR_MANY, x, n, sums);
}

/* A copy for each type and the commonest depth of search: what is constant is folded in. */
void assign_avx2(const struct sorter *sorter, enum element_type type, const void *x, int64_t n,
                 struct assign_sums *sums)
{
    switch (type) {
    case ELEMENT_F64:
        assign_type(sorter, ELEMENT_F64, x, n, sums);
        break;
    case ELEMENT_F32:
        assign_type(sorter, ELEMENT_F32, x, n, sums);
        break;
    case ELEMENT_BF16:
        assign_type(sorter, ELEMENT_BF16, x, n, sums);
        break;
    default:
        assign_type(sorter, ELEMENT_F16, x, n, sums);
    }
}
