/* SPDX-License-Identifier: Apache-2.0 */
#include "blocks.h"
#include "sums.h"
#include "vector.h"

/*
 * Up to FEW levels: each has a register of sums, and every vector is added to each of them under
 * the mask of its elements with that level; that costs no trip through memory. Beyond, the masked
 * additions would be more than the walk itself, and tables in the first-level cache are cheaper.
 */
#define FEW SORTER_FEW

/* Error lanes 0 to 7 and 8 to 15. */
struct running {
    __m512d lane[2];
};

/* The residuals of half h as sums.h wants them; adds the squared errors. */
CPU_INLINE __m512i assign_half(const struct vector *v, int h, struct running *run)
{
    __m512d error = _mm512_maskz_sub_pd(v->kept[h], v->x[h], v->level[h]);
    run->lane[h] = _mm512_add_pd(run->lane[h], _mm512_mul_pd(error, error));
    __m512d fixed = _mm512_mul_pd(error, v->scale[h]);
    fixed = _mm512_maskz_add_pd(v->kept[h], fixed, _mm512_set1_pd(OPS_ROUNDER));
    return _mm512_castpd_si512(fixed);
}

/* Adds elements i to i + 15 to the sums of up to FEW levels. */
CPU_INLINE void add_few(const struct vector *v, __m512i *sum, struct running *run)
{
    __m512i low = assign_half(v, 0, run), high = assign_half(v, 1, run);
    __m128i upper = _mm_srli_si128(v->code, 8);
    for (int level = 0; level < FEW; level++) {
        const __m128i wanted = _mm_set1_epi8((char)level);
        __mmask8 here = (__mmask8)_mm_cmpeq_epi8_mask(v->code, wanted);
        __mmask8 there = (__mmask8)_mm_cmpeq_epi8_mask(upper, wanted);
        sum[level] = _mm512_mask_add_epi64(sum[level], here, sum[level], low);
        sum[level] = _mm512_mask_add_epi64(sum[level], there, sum[level], high);
    }
}

/* Adds a span. */
CPU_INLINE void add_span(const struct vector_tables *t, enum element_type type,
                         struct vector_span span, __m512i *sum, struct running *run)
{
    __m512i code[VECTOR_ABREAST][2];
    vector_codes(t, type, 3, span, code);
#pragma GCC unroll 4
    for (int a = 0; a < span.abreast; a++) {
        struct vector v;
        vector_few(t, type, 3, span.x, span.i + a * CPU_GROUP, span.valid, code[a], &v);
        add_few(&v, sum, run);
    }
}

/* Adds up what the lanes of the registers held. */
static void flush_few(uint64_t lane[FEW][8], struct assign_sums *sums)
{
    for (int level = 0; level < FEW; level++)
        for (int i = 0; i < 8; i++)
            sums_split(lane[level][i], level, sums);
}

/* Elements whose sums the registers can hold: two of sixteen go to each lane. */
#define FEW_MOST (SUMS_MOST / 2 * CPU_GROUP)

CPU_INLINE void assign_few(enum element_type type, const struct sorter *sorter, const void *x,
                           int64_t n, struct running *run, struct assign_sums *sums)
{
    const struct vector_tables t = vector_tables_of(sorter, 3);
    for (int64_t begin = 0; begin < n; begin += FEW_MOST) {
        int64_t end = n - begin < FEW_MOST ? n : begin + FEW_MOST, i = begin;
        uint64_t lane[FEW][8];
        __m512i sum[FEW] = {0};
        for (; i + VECTOR_ABREAST * CPU_GROUP <= end; i += VECTOR_ABREAST * CPU_GROUP)
            add_span(&t, type, vector_span_whole(x, i), sum, run);
        for (; i < end; i += CPU_GROUP)
            add_span(&t, type, vector_span_last(x, i, end), sum, run);
        for (int level = 0; level < FEW; level++)
            _mm512_storeu_si512(lane[level], sum[level]);
        flush_few(lane, sums);
    }
}

/* Leaves codes and residuals of sixteen elements at place `at` of the chunk. */
CPU_INLINE void leave_vector(const struct vector *v, int64_t at, struct sums_chunk *chunk,
                             struct running *run)
{
    for (int h = 0; h < 2; h++)
        _mm512_store_si512(chunk->residual + at + 8 * h, assign_half(v, h, run));
    _mm_store_si128((__m128i *)(chunk->code + at), v->code);
}

/* Leaves a span. */
CPU_INLINE void leave_span(const struct vector_tables *t, enum element_type type, int steps,
                           struct vector_span span, int64_t at, struct sums_chunk *chunk,
                           struct running *run)
{
    __m512i code[VECTOR_ABREAST][2];
    if (steps != VECTOR_MANY)
        vector_codes(t, type, steps, span, code);
    for (int a = 0; a < span.abreast; a++, span.i += CPU_GROUP, at += CPU_GROUP) {
        struct vector v;
        if (steps == VECTOR_MANY)
            vector_many(t, type, span.x, span.i, span.valid, chunk->slot + at, true, &v);
        else
            vector_few(t, type, steps, span.x, span.i, span.valid, code[a], &v);
        leave_vector(&v, at, chunk, run);
    }
}

CPU_INLINE void assign_many(enum element_type type, int steps, const struct sorter *sorter,
                            const void *x, int64_t n, struct running *run, struct assign_sums *sums)
{
    const struct vector_tables t = vector_tables_of(sorter, steps);
    struct sums_tables tables = {0};
    struct sums_chunk chunk;
    for (int64_t begin = 0; begin < n; begin += SUMS_CHUNK) {
        int64_t end = n - begin < SUMS_CHUNK ? n : begin + SUMS_CHUNK, i = begin;
        if (steps == VECTOR_MANY)
            vector_fill_slots(sorter, type, x, begin, end, chunk.slot);
        for (; i + VECTOR_ABREAST * CPU_GROUP <= end; i += VECTOR_ABREAST * CPU_GROUP)
            leave_span(&t, type, steps, vector_span_whole(x, i), i - begin, &chunk, run);
        for (; i < end; i += CPU_GROUP)
            leave_span(&t, type, steps, vector_span_last(x, i, end), i - begin, &chunk, run);
        sums_add_chunk(&tables, &chunk, scalar_round_up(end - begin), sorter->k, sums);
    }
    sums_flush(&tables, sorter->k, sums);
}

/* A copy for each depth of search, whose steps are then unrolled. */
CPU_INLINE void assign_type(enum element_type type, const struct sorter *sorter, const void *x,
                            int64_t n, struct assign_sums *sums)
{
    struct running run = {0};
    if (sorter->steps == 3)
        assign_few(type, sorter, x, n, &run, sums);
    else if (sorter->steps == 4)
        assign_many(type, 4, sorter, x, n, &run, sums);
    else
        assign_many(type, VECTOR_MANY, sorter, x, n, &run, sums);
    sums->num_outliers = n;
    for (int i = 0; i < sorter->k; i++)
        sums->num_outliers -= sums->count[i];
    _mm512_storeu_pd(sums->lane, run.lane[0]);
    _mm512_storeu_pd(sums->lane + 8, run.lane[1]);
}

void assign_avx512(const struct sorter *sorter, enum element_type type, const void *x, int64_t n,
                   struct assign_sums *sums)
{
    CPU_BY_TYPE(type, assign_type, sorter, x, n, sums);
}
