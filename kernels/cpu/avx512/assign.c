/* SPDX-License-Identifier: Apache-2.0 */
#include "blocks.h"
#include "sums.h"
#include "vector.h"

/*
 * Up to FEW levels: each has a register of residual sums, and every vector is added to each of them
 * under the mask of its elements with that level; that costs no trip through memory. Beyond, the
 * masked additions would be more than the walk itself, and a table in the first-level cache is
 * cheaper (sums.h).
 */
#define FEW 8

/* A block's running sums: error lanes 0 to 7 and 8 to 15, elements with a level. */
struct running {
    __m512d lane[2];
    int64_t num_kept;
    struct assign_sums *sums; /* where counts and residuals go */
};

/* Residuals of half h in fixed point, plus OPS_ROUNDER_BITS; adds the squared errors. */
CPU_INLINE __m512i assign_half(const struct vector_tables *t, int steps, const struct vector *v,
                               int h, struct running *run)
{
    __m512d error = vector_error(t, steps, v, h);
    __m512d scale = vector_look_up(t->scale, t->sorter->scale, steps, v->index[h]);
    run->lane[h] = _mm512_add_pd(run->lane[h], _mm512_mul_pd(error, error));
    __m512d fixed = _mm512_mul_pd(error, scale);
    return _mm512_castpd_si512(_mm512_add_pd(fixed, _mm512_set1_pd(OPS_ROUNDER)));
}

/* Sums of up to FEW levels: residuals, each with OPS_ROUNDER_BITS still in it, and counts. */
struct few {
    __m512i residual[FEW];
    int64_t count[FEW];
};

/* Adds sixteen elements but for the counts; gives their codes and which of them get a level. */
CPU_INLINE __m128i add_few(const struct vector_tables *t, enum element_type type, const void *x,
                           int64_t i, __mmask16 valid, struct few *few, struct running *run,
                           __mmask16 *kept)
{
    struct vector v = vector_at(t, type, 3, x, i, valid);
    __m512i low = assign_half(t, 3, &v, 0, run), high = assign_half(t, 3, &v, 1, run);
    for (int level = 0; level < FEW; level++) {
        __m512i *sum = &few->residual[level];
        __mmask16 here = _mm_mask_cmpeq_epi8_mask(v.kept, v.code, _mm_set1_epi8((char)level));
        *sum = _mm512_mask_add_epi64(*sum, (__mmask8)here, *sum, low);
        *sum = _mm512_mask_add_epi64(*sum, (__mmask8)(here >> 8), *sum, high);
    }
    *kept = v.kept;
    return v.code;
}

/* Counts 64 codes: four times fewer steps than by sixteen. */
CPU_INLINE void count_few(__m512i code, __mmask64 kept, struct few *few, struct running *run)
{
    for (int level = 0; level < FEW; level++) {
        __mmask64 here = _mm512_mask_cmpeq_epi8_mask(kept, code, _mm512_set1_epi8((char)level));
        few->count[level] += __builtin_popcountll(here);
    }
    run->num_kept += __builtin_popcountll(kept);
}

/* Four vectors at a time, so that the codes of 64 elements are counted by one mask a level. */
CPU_INLINE void add_64(const struct vector_tables *t, enum element_type type, const void *x,
                       int64_t i, struct few *few, struct running *run)
{
    __mmask16 kept[4];
    __m128i first = add_few(t, type, x, i, 0xffff, few, run, &kept[0]);
    __m512i code = _mm512_castsi128_si512(first);
    code = _mm512_inserti32x4(code, add_few(t, type, x, i + 16, 0xffff, few, run, &kept[1]), 1);
    code = _mm512_inserti32x4(code, add_few(t, type, x, i + 32, 0xffff, few, run, &kept[2]), 2);
    code = _mm512_inserti32x4(code, add_few(t, type, x, i + 48, 0xffff, few, run, &kept[3]), 3);
    __mmask32 lower = _mm512_kunpackw(kept[1], kept[0]), upper = _mm512_kunpackw(kept[3], kept[2]);
    count_few(code, _mm512_kunpackd(upper, lower), few, run);
}

/* The sum of eight lanes modulo 2^64; the intrinsic for it adds signed numbers, which must not
 * wrap. */
CPU_INLINE uint64_t sum_lanes(__m512i lanes)
{
    uint64_t lane[8], sum = 0;
    _mm512_storeu_si512(lane, lanes);
    for (int i = 0; i < 8; i++)
        sum += lane[i];
    return sum;
}

/* Up to 8 levels: each has a register of residuals, which are added up at the end of the block. */
CPU_INLINE void assign_few(const struct sorter *sorter, enum element_type type, const void *x,
                           int64_t n, struct running *run)
{
    const struct vector_tables t = vector_tables_of(sorter);
    struct few few = {0};
    int64_t i = 0;
    for (; i + 64 <= n; i += 64)
        add_64(&t, type, x, i, &few, run);
    for (; i < n; i += CPU_GROUP) {
        __mmask16 kept;
        __m128i code = add_few(&t, type, x, i, vector_valid(i, n), &few, run, &kept);
        count_few(_mm512_zextsi128_si512(code), kept, &few, run);
    }
    for (int level = 0; level < FEW; level++) {
        uint64_t residual = sum_lanes(few.residual[level]);
        residual -= (uint64_t)few.count[level] * (uint64_t)OPS_ROUNDER_BITS; /* all modulo 2^64 */
        run->sums->residual[level] = residual;
        run->sums->count[level] = few.count[level];
    }
}

/* Leaves codes and residuals of elements i to i + 15 of the block in the chunk. */
CPU_INLINE void add_many(const struct vector_tables *t, enum element_type type, int steps,
                         const void *x, int64_t i, __mmask16 valid, struct sums_chunk *chunk,
                         struct running *run)
{
    struct vector v = vector_at(t, type, steps, x, i, valid);
    const __m512i rounder = _mm512_set1_epi64(OPS_ROUNDER_BITS);
    int64_t at = i % CPU_CHUNK;
    for (int h = 0; h < 2; h++) {
        __m512i fixed = assign_half(t, steps, &v, h, run);
        _mm512_storeu_si512(chunk->residual + at + 8 * h, _mm512_sub_epi64(fixed, rounder));
    }
    _mm_storeu_si128((__m128i *)(chunk->code + at), v.code);
    run->num_kept += __builtin_popcount(v.kept);
    if (v.kept != 0xffff)
        sums_take_back(run->sums, chunk->code + at, v.kept);
}

/* More levels than registers hold sums for: chunk by chunk into tables in memory. */
CPU_INLINE void assign_many(const struct sorter *sorter, enum element_type type, int steps,
                            const void *x, int64_t n, struct running *run)
{
    const struct vector_tables t = vector_tables_of(sorter);
    struct sums_tables tables = {0};
    struct sums_chunk chunk;
    for (int64_t begin = 0; begin < n; begin += CPU_CHUNK) {
        int64_t end = n - begin < CPU_CHUNK ? n : begin + CPU_CHUNK, i = begin;
        for (; i < end; i += CPU_GROUP)
            add_many(&t, type, steps, x, i, vector_valid(i, end), &chunk, run);
        sums_add(&tables, &chunk, i - begin);
    }
    sums_finish(&tables, run->sums);
}

/* A copy for each depth of search; up to 8 levels keep all sums in registers. */
CPU_INLINE void assign_type(const struct sorter *sorter, enum element_type type, const void *x,
                            int64_t n, struct assign_sums *sums)
{
    struct running run = {.sums = sums};
    if (sorter->steps == 3)
        assign_few(sorter, type, x, n, &run);
    else if (sorter->steps == 4)
        assign_many(sorter, type, 4, x, n, &run);
    else
        assign_many(sorter, type, VECTOR_MANY, x, n, &run);
    sums->num_outliers = n - run.num_kept;
    _mm512_storeu_pd(sums->lane, run.lane[0]);
    _mm512_storeu_pd(sums->lane + 8, run.lane[1]);
}

/* The element type becomes a constant in each copy. */
void assign_avx512(const struct sorter *sorter, enum element_type type, const void *x, int64_t n,
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
