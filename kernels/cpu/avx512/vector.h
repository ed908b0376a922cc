/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_AVX512_VECTOR_H
#define QO_KERNELS_AVX512_VECTOR_H

#include <immintrin.h>
#include <math.h>

#include "cpu.h"

/*
 * Sixteen elements at a time. `type` and `steps` are constants wherever these functions are
 * inlined: 3 steps for up to 8 levels and 4 for up to 16, where cuts and levels stay in registers,
 * and VECTOR_MANY for more.
 */
#define VECTOR_MANY 8

/* Sixteen elements: value and level index as two halves, codes as bytes, and which get a level. */
struct vector {
    __m512d x[2];
    __m512i index[2]; /* int64 */
    __m128i code;
    __mmask16 kept;
};

/* What stays in registers during a walk over a block. */
struct vector_tables {
    __m512 tree[5]; /* nodes of depth 0 to 4 */
    __m512d tree_wide[4];
    __m512d level[2], scale[2];
    __m512 lo, hi, fill[2];
    __m512d lo_wide, hi_wide, fill_wide[2];
    const struct sorter *sorter;
};

/* Spreads bounds and fill values over registers. */
CPU_INLINE void vector_set_bounds(struct vector_tables *t)
{
    const struct sorter *sorter = t->sorter;
    t->lo = _mm512_set1_ps(sorter->lo_f32);
    t->hi = _mm512_set1_ps(sorter->hi_f32);
    t->lo_wide = _mm512_set1_pd(sorter->lo_f64);
    t->hi_wide = _mm512_set1_pd(sorter->hi_f64);
    for (int i = 0; i < 2; i++) {
        t->fill[i] = _mm512_set1_ps(sorter->fill_f32[i]);
        t->fill_wide[i] = _mm512_set1_pd(sorter->fill_f64[i]);
    }
}

/* All that a block needs in registers, loaded once. */
CPU_INLINE struct vector_tables vector_tables_of(const struct sorter *sorter)
{
    struct vector_tables t = {.sorter = sorter};
    for (int d = 0; d < 5; d++)
        t.tree[d] = _mm512_loadu_ps(sorter->tree_f32 + (1 << d));
    for (int d = 0; d < 4; d++)
        t.tree_wide[d] = _mm512_loadu_pd(sorter->tree_f64 + (1 << d));
    for (int i = 0; i < 2; i++) {
        t.level[i] = _mm512_loadu_pd(sorter->level + 8 * i);
        t.scale[i] = _mm512_loadu_pd(sorter->scale + 8 * i);
    }
    vector_set_bounds(&t);
    return t;
}

/* Elements i to i + 15 of x as float32; those not in `valid` are not read and come as NaN. */
CPU_INLINE __m512 vector_load(enum element_type type, const void *x, int64_t i, __mmask16 valid)
{
    const char *at = (const char *)x + i * (int64_t)element_size(type);
    if (type == ELEMENT_F32)
        return _mm512_mask_loadu_ps(_mm512_set1_ps(NAN), valid, at);
    if (type == ELEMENT_F16)
        return _mm512_cvtph_ps(_mm256_mask_loadu_epi16(_mm256_set1_epi16(0x7e00), valid, at));
    __m256i half = _mm256_mask_loadu_epi16(_mm256_set1_epi16(0x7fc0), valid, at);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* Nodes of one depth beyond the reach of one permutation: 2^depth of them, 5 <= depth <= 7. */
CPU_INLINE __m512 vector_node(const float *tree, int depth, __m512i p)
{
    const float *row = tree + (1 << depth);
    __m512 found = _mm512_permutex2var_ps(_mm512_loadu_ps(row), p, _mm512_loadu_ps(row + 16));
    for (int i = 32; i < 1 << depth; i += 32) {
        __m512 next =
            _mm512_permutex2var_ps(_mm512_loadu_ps(row + i), p, _mm512_loadu_ps(row + i + 16));
        __mmask16 here = _mm512_cmpge_epi32_mask(p, _mm512_set1_epi32(i));
        found = _mm512_mask_mov_ps(found, here, next);
    }
    return found;
}

/* Codes of sixteen float32: the search of ops_code_f32. */
CPU_INLINE __m512i vector_code(const struct vector_tables *t, int steps, __m512 x)
{
    const __m512i one = _mm512_set1_epi32(1);
    int depth = steps == VECTOR_MANY ? t->sorter->steps : steps;
    __mmask16 above = _mm512_cmp_ps_mask(
        x, _mm512_broadcastss_ps(_mm512_castps512_ps128(t->tree[0])), _CMP_GT_OQ);
    __m512i p = _mm512_maskz_mov_epi32(above, one);
    for (int d = 1; d < (depth < 5 ? depth : 5); d++) {
        above = _mm512_cmp_ps_mask(x, _mm512_permutexvar_ps(p, t->tree[d]), _CMP_GT_OQ);
        p = _mm512_add_epi32(p, p);
        p = _mm512_mask_add_epi32(p, above, p, one);
    }
    for (int d = 5; d < depth; d++) {
        above = _mm512_cmp_ps_mask(x, vector_node(t->sorter->tree_f32, d, p), _CMP_GT_OQ);
        p = _mm512_add_epi32(p, p);
        p = _mm512_mask_add_epi32(p, above, p, one);
    }
    return p;
}

/* Codes of eight float64. */
CPU_INLINE __m512i vector_code_wide(const struct vector_tables *t, int steps, __m512d x)
{
    const __m512i one = _mm512_set1_epi64(1);
    int depth = steps == VECTOR_MANY ? t->sorter->steps : steps;
    __m512i p = _mm512_setzero_si512();
    for (int d = 0; d < depth; d++) {
        __m512d node = d < 4 ? _mm512_permutexvar_pd(p, t->tree_wide[d])
                             : _mm512_i64gather_pd(p, t->sorter->tree_f64 + (1 << d), 8);
        __mmask8 above = _mm512_cmp_pd_mask(x, node, _CMP_GT_OQ);
        p = _mm512_add_epi64(p, p);
        p = _mm512_mask_add_epi64(p, above, p, one);
    }
    return p;
}

/* Which of 16 float32 get a level; ordered compares leave NaN out. */
CPU_INLINE __mmask16 vector_kept(const struct vector_tables *t, __m512 x)
{
    __mmask16 kept = _mm512_cmp_ps_mask(x, t->lo, _CMP_GE_OQ);
    kept = _mm512_mask_cmp_ps_mask(kept, x, t->hi, _CMP_LE_OQ);
    if (t->sorter->has_fills) {
        kept = _mm512_mask_cmp_ps_mask(kept, x, t->fill[0], _CMP_NEQ_UQ);
        kept = _mm512_mask_cmp_ps_mask(kept, x, t->fill[1], _CMP_NEQ_UQ);
    }
    return kept;
}

/* The same of 8 float64. */
CPU_INLINE __mmask8 vector_kept_wide(const struct vector_tables *t, __m512d x)
{
    __mmask8 kept = _mm512_cmp_pd_mask(x, t->lo_wide, _CMP_GE_OQ);
    kept = _mm512_mask_cmp_pd_mask(kept, x, t->hi_wide, _CMP_LE_OQ);
    if (t->sorter->has_fills) {
        kept = _mm512_mask_cmp_pd_mask(kept, x, t->fill_wide[0], _CMP_NEQ_UQ);
        kept = _mm512_mask_cmp_pd_mask(kept, x, t->fill_wide[1], _CMP_NEQ_UQ);
    }
    return kept;
}

/* The upper half of sixteen float32. */
CPU_INLINE __m256 vector_upper(__m512 x)
{
    return _mm512_extractf32x8_ps(x, 1);
}

CPU_INLINE struct vector vector_narrow(const struct vector_tables *t, int steps, __m512 x)
{
    struct vector v;
    __m512i code = vector_code(t, steps, x);
    v.kept = vector_kept(t, x);
    v.code = _mm512_cvtepi32_epi8(code);
    v.x[0] = _mm512_cvtps_pd(_mm512_castps512_ps256(x));
    v.x[1] = _mm512_cvtps_pd(vector_upper(x));
    v.index[0] = _mm512_cvtepu32_epi64(_mm512_castsi512_si256(code));
    v.index[1] = _mm512_cvtepu32_epi64(_mm512_extracti32x8_epi32(code, 1));
    return v;
}

CPU_INLINE struct vector vector_wide(const struct vector_tables *t, int steps, const double *x,
                                     __mmask16 valid)
{
    struct vector v;
    __mmask8 half[2] = {(__mmask8)valid, (__mmask8)(valid >> 8)}, kept[2];
    for (int h = 0; h < 2; h++) {
        v.x[h] = _mm512_mask_loadu_pd(_mm512_set1_pd(NAN), half[h], x + 8 * h);
        v.index[h] = vector_code_wide(t, steps, v.x[h]);
        kept[h] = vector_kept_wide(t, v.x[h]);
    }
    v.kept = (__mmask16)(kept[0] | kept[1] << 8);
    v.code = _mm_unpacklo_epi64(_mm512_cvtepi64_epi8(v.index[0]), _mm512_cvtepi64_epi8(v.index[1]));
    return v;
}

/* Elements i to i + 15 of x[]; those not in `valid` are not read, have code 0 and get no level. */
CPU_INLINE struct vector vector_at(const struct vector_tables *t, enum element_type type, int steps,
                                   const void *x, int64_t i, __mmask16 valid)
{
    if (type == ELEMENT_F64)
        return vector_wide(t, steps, (const double *)x + i, valid);
    return vector_narrow(t, steps, vector_load(type, x, i, valid));
}

/* table[index], the table being level (0) or scale (1) of the sorter. */
CPU_INLINE __m512d vector_look_up(const __m512d *in_registers, const double *table, int steps,
                                  __m512i index)
{
    if (steps == 3)
        return _mm512_permutexvar_pd(index, in_registers[0]);
    if (steps == 4)
        return _mm512_permutex2var_pd(in_registers[0], index, in_registers[1]);
    return _mm512_i64gather_pd(index, table, 8);
}

/* x - level in half h; 0 for elements without a level. */
CPU_INLINE __m512d vector_error(const struct vector_tables *t, int steps, const struct vector *v,
                                int h)
{
    __m512d level = vector_look_up(t->level, t->sorter->level, steps, v->index[h]);
    return _mm512_maskz_sub_pd((__mmask8)(v->kept >> 8 * h), v->x[h], level);
}

/* The mask of the elements i to i + 15 that are below n. */
CPU_INLINE __mmask16 vector_valid(int64_t i, int64_t n)
{
    unsigned all = 0xffff, some = n - i < CPU_GROUP ? (1u << (n - i)) - 1 : all;
    return (__mmask16)some;
}

#endif
