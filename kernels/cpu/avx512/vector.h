/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_AVX512_VECTOR_H
#define QO_KERNELS_AVX512_VECTOR_H

#include <immintrin.h>
#include <math.h>

#include "scalar.h"

/*
 * Sixteen elements at a time. `type` and `steps` are constants wherever these functions are
 * inlined: 3 steps for up to 8 levels and 4 for up to 16, where a bisection and the levels stay in
 * registers, and VECTOR_MANY for more, which are looked up by slots (cpu.h).
 */
#define VECTOR_MANY 8

/* Sixteen elements: value, level and scale as two halves, codes as bytes, and which get a level. */
struct vector {
    __m512d x[2], level[2], scale[2];
    __m128i code;
    __mmask8 kept[2];
};

/* Sixteen numbers of float64 in two registers, looked up by one permutation. */
struct vector_table {
    __m512d low, high;
};

/* What stays in registers during a walk over a block. */
struct vector_tables {
    __m512 cut[4]; /* of each step of the bisection */
    struct vector_table cut_wide[4], level, scale;
    __m256 lo, hi, fill[2];
    __m512d lo_wide, hi_wide, fill_wide[2];
    const struct sorter *sorter;
};

/* Spreads bounds and fill values over registers. */
CPU_INLINE void vector_set_bounds(struct vector_tables *t)
{
    const struct sorter *sorter = t->sorter;
    t->lo = _mm256_set1_ps(sorter->lo_f32);
    t->hi = _mm256_set1_ps(sorter->hi_f32);
    t->lo_wide = _mm512_set1_pd(sorter->lo_f64);
    t->hi_wide = _mm512_set1_pd(sorter->hi_f64);
    for (int i = 0; i < 2; i++) {
        t->fill[i] = _mm256_set1_ps(sorter->fill_f32[i]);
        t->fill_wide[i] = _mm512_set1_pd(sorter->fill_f64[i]);
    }
}

CPU_INLINE struct vector_table vector_table_of(const double *table)
{
    return (struct vector_table){_mm512_loadu_pd(table), _mm512_loadu_pd(table + 8)};
}

/*
 * All that a block needs in registers, loaded once. With p the part of the code that is known, the
 * next step compares with cut[p + half - 1]: each step's table begins that far into the cuts.
 */
CPU_INLINE struct vector_tables vector_tables_of(const struct sorter *sorter, int steps)
{
    struct vector_tables t = {.sorter = sorter};
    for (int s = 0; s < steps && steps != VECTOR_MANY; s++) {
        int half = 1 << (steps - 1 - s);
        t.cut[s] = _mm512_loadu_ps(sorter->cut_f32 + half - 1);
        t.cut_wide[s] = vector_table_of(sorter->cut_f64 + half - 1);
    }
    t.level = vector_table_of(sorter->level);
    t.scale = vector_table_of(sorter->scale);
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

/* Half h of elements i to i + 15 of float64, likewise. */
CPU_INLINE __m512d vector_load_wide(const void *x, int64_t i, __mmask16 valid, int h)
{
    const double *at = (const double *)x + i + 8 * h;
    return _mm512_mask_loadu_pd(_mm512_set1_pd(NAN), (__mmask8)(valid >> 8 * h), at);
}

/* table[index], of 8 numbers with 3 steps and of 16 with 4. */
CPU_INLINE __m512d vector_look_up(const struct vector_table *table, int steps, __m512i index)
{
    if (steps == 3)
        return _mm512_permutexvar_pd(index, table->low);
    return _mm512_permutex2var_pd(table->low, index, table->high);
}

/* One step of a bisection of sixteen float32: p with the next bit of the code. */
CPU_INLINE __m512i vector_step(const struct vector_tables *t, int steps, int s, __m512 x, __m512i p)
{
    __m512 cut = _mm512_permutexvar_ps(p, t->cut[s]);
    __mmask16 above = _mm512_cmp_ps_mask(x, cut, _CMP_GT_OQ);
    return _mm512_mask_or_epi32(p, above, p, _mm512_set1_epi32(1 << (steps - 1 - s)));
}

/* The same of eight float64. */
CPU_INLINE __m512i vector_step_wide(const struct vector_tables *t, int steps, int s, __m512d x,
                                    __m512i p)
{
    __m512d cut = vector_look_up(&t->cut_wide[s], steps, p);
    __mmask8 above = _mm512_cmp_pd_mask(x, cut, _CMP_GT_OQ);
    return _mm512_mask_or_epi64(p, above, p, _mm512_set1_epi64(1 << (steps - 1 - s)));
}

/*
 * A step of a bisection waits for the one before it, and a processor does not look far enough ahead
 * to find other work: so several vectors take each step together.
 */
#define VECTOR_ABREAST 4

/* Vectors that are worked on together: `abreast` of them from x[i] on. One may be the last, with
 * elements that are not valid. */
struct vector_span {
    const void *x;
    int64_t i;
    __mmask16 valid;
    int abreast;
};

/* The mask of the elements i to i + 15 that are below n. */
CPU_INLINE __mmask16 vector_valid(int64_t i, int64_t n)
{
    unsigned all = 0xffff, some = n - i < CPU_GROUP ? (1u << (n - i)) - 1 : all;
    return (__mmask16)some;
}

/* Whole vectors from x[i] on. */
CPU_INLINE struct vector_span vector_span_whole(const void *x, int64_t i)
{
    return (struct vector_span){x, i, 0xffff, VECTOR_ABREAST};
}

/* The vector from x[i] on, of elements below `end`. */
CPU_INLINE struct vector_span vector_span_last(const void *x, int64_t i, int64_t end)
{
    return (struct vector_span){x, i, vector_valid(i, end), 1};
}

/* Codes of a span: of sixteen int32 in code[.][0], or for float64 of eight int64 in each half. */
CPU_INLINE void vector_codes(const struct vector_tables *t, enum element_type type, int steps,
                             struct vector_span span, __m512i code[VECTOR_ABREAST][2])
{
    for (int a = 0; a < span.abreast; a++)
        code[a][0] = code[a][1] = _mm512_setzero_si512();
    for (int s = 0; s < steps; s++) {
        for (int a = 0; a < span.abreast; a++) {
            int64_t i = span.i + a * CPU_GROUP;
            if (type != ELEMENT_F64)
                code[a][0] =
                    vector_step(t, steps, s, vector_load(type, span.x, i, span.valid), code[a][0]);
            for (int h = 0; h < 2 && type == ELEMENT_F64; h++)
                code[a][h] = vector_step_wide(
                    t, steps, s, vector_load_wide(span.x, i, span.valid, h), code[a][h]);
        }
    }
}

/* Which of 8 float32 get a level; ordered compares leave NaN out. */
CPU_INLINE __mmask8 vector_kept(const struct vector_tables *t, __m256 x)
{
    __mmask8 kept = _mm256_cmp_ps_mask(x, t->lo, _CMP_GE_OQ);
    kept = _mm256_mask_cmp_ps_mask(kept, x, t->hi, _CMP_LE_OQ);
    if (t->sorter->has_fills) {
        kept = _mm256_mask_cmp_ps_mask(kept, x, t->fill[0], _CMP_NEQ_UQ);
        kept = _mm256_mask_cmp_ps_mask(kept, x, t->fill[1], _CMP_NEQ_UQ);
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

/* Values of elements i to i + 15 and which get a level. */
CPU_INLINE void vector_values(const struct vector_tables *t, enum element_type type, const void *x,
                              int64_t i, __mmask16 valid, struct vector *v)
{
    if (type == ELEMENT_F64) {
        for (int h = 0; h < 2; h++) {
            v->x[h] = vector_load_wide(x, i, valid, h);
            v->kept[h] = vector_kept_wide(t, v->x[h]);
        }
        return;
    }
    __m512 narrow = vector_load(type, x, i, valid);
    for (int h = 0; h < 2; h++) {
        __m256 half = h ? _mm512_extractf32x8_ps(narrow, 1) : _mm512_castps512_ps256(narrow);
        v->x[h] = _mm512_cvtps_pd(half);
        v->kept[h] = vector_kept(t, half);
    }
}

/* Up to 16 levels: elements i to i + 15 of x[], with their codes; those not in `valid` are not read
 * and get no level. */
CPU_INLINE void vector_few(const struct vector_tables *t, enum element_type type, int steps,
                           const void *x, int64_t i, __mmask16 valid, const __m512i *code,
                           struct vector *v)
{
    __m512i index[2] = {code[0], code[1]};
    vector_values(t, type, x, i, valid, v);
    if (type == ELEMENT_F64) {
        v->code = _mm_unpacklo_epi64(_mm512_cvtepi64_epi8(code[0]), _mm512_cvtepi64_epi8(code[1]));
    } else {
        v->code = _mm512_cvtepi32_epi8(code[0]);
        index[0] = _mm512_cvtepu32_epi64(_mm512_castsi512_si256(code[0]));
        index[1] = _mm512_cvtepu32_epi64(_mm512_extracti32x8_epi32(code[0], 1));
    }
    for (int h = 0; h < 2; h++) {
        v->level[h] = vector_look_up(&t->level, steps, index[h]);
        v->scale[h] = vector_look_up(&t->scale, steps, index[h]);
    }
}

/* Eight pairs of numbers, the first of each in one register and the second in the other. */
struct vector_pairs {
    __m512d first, second;
};

/* A pair of numbers `bytes` behind the start of a table. */
CPU_INLINE __m128d vector_pair(const void *table, uint64_t bytes)
{
    return _mm_loadu_pd((const double *)(const void *)((const char *)table + bytes));
}

/* Loads pairs of numbers, bytes[8] behind the start of a table: cheaper than two gathers. */
CPU_INLINE struct vector_pairs vector_pairs_at(const void *table, const uint64_t *bytes)
{
    __m512d pair[2]; /* of even and odd elements */
    for (int odd = 0; odd < 2; odd++) {
        __m256d low = _mm256_castpd128_pd256(vector_pair(table, bytes[odd]));
        __m256d high = _mm256_castpd128_pd256(vector_pair(table, bytes[odd + 4]));
        low = _mm256_insertf128_pd(low, vector_pair(table, bytes[odd + 2]), 1);
        high = _mm256_insertf128_pd(high, vector_pair(table, bytes[odd + 6]), 1);
        pair[odd] = _mm512_insertf64x4(_mm512_castpd256_pd512(low), high, 1);
    }
    return (struct vector_pairs){_mm512_unpacklo_pd(pair[0], pair[1]),
                                 _mm512_unpackhi_pd(pair[0], pair[1])};
}

/* Levels, scales and codes of half h from slot[8]; returns the codes. */
CPU_INLINE uint64_t vector_rows(const struct sorter *sorter, const uint16_t *slot, int h,
                                bool with_scales, struct vector *v)
{
    uint64_t row[8], scale[8], codes = 0; /* where they stand, in bytes: 16 a row and 8 a scale */
    for (int j = 7; j >= 0; j--) {
        uint64_t base = sorter->slots.base[slot[j]];
        row[j] = 16 * base;
        scale[j] = 8 * base;
        codes = codes << 8 | base;
    }
    struct vector_pairs here = vector_pairs_at(sorter->row, row);
    struct vector_pairs above = vector_pairs_at(sorter->row + 1, row);
    __mmask8 up = _mm512_cmp_pd_mask(v->x[h], here.first, _CMP_GT_OQ);
    v->level[h] = _mm512_mask_mov_pd(here.second, up, above.second);
    if (with_scales) {
        struct vector_pairs scales = vector_pairs_at(sorter->scale, scale);
        v->scale[h] = _mm512_mask_mov_pd(scales.first, up, scales.second);
    }
    return codes + _pdep_u64(up, 0x0101010101010101u); /* no byte overflows */
}

/* Many levels: elements i to i + 15 of x[], with their slots. */
CPU_INLINE void vector_many(const struct vector_tables *t, enum element_type type, const void *x,
                            int64_t i, __mmask16 valid, const uint16_t *slot, bool with_scales,
                            struct vector *v)
{
    vector_values(t, type, x, i, valid, v);
    uint64_t low = vector_rows(t->sorter, slot, 0, with_scales, v);
    uint64_t high = vector_rows(t->sorter, slot + 8, 1, with_scales, v);
    v->code = _mm_set_epi64x((int64_t)high, (int64_t)low);
}

/* How many of the sixteen get a level. */
CPU_INLINE int vector_count(const struct vector *v)
{
    return __builtin_popcount((unsigned)_mm512_kunpackb(v->kept[1], v->kept[0]));
}

/* Slots of sixteen elements of a narrow type; NaN has slot 0. */
CPU_INLINE __m256i vector_slots(const struct slots *slots, __m512 x)
{
    __m512 place = _mm512_setzero_ps();
    for (int r = 0; r < slots->num; r++) {
        __m512 on = _mm512_sub_ps(x, _mm512_set1_ps((float)slots->start[r]));
        on = _mm512_mul_ps(on, _mm512_set1_ps((float)slots->rate[r]));
        on = _mm512_max_ps(on, _mm512_setzero_ps()); /* the second one if there is a NaN */
        place = _mm512_add_ps(place, _mm512_min_ps(on, _mm512_set1_ps(SLOTS_TOP)));
    }
    return _mm512_cvtepi32_epi16(_mm512_cvttps_epi32(place));
}

/* Slots of eight float64. */
CPU_INLINE __m128i vector_slots_wide(const struct slots *slots, __m512d x)
{
    __m512d place = _mm512_setzero_pd();
    for (int r = 0; r < slots->num; r++) {
        __m512d on = _mm512_sub_pd(x, _mm512_set1_pd(slots->start[r]));
        on = _mm512_mul_pd(on, _mm512_set1_pd(slots->rate[r]));
        on = _mm512_max_pd(on, _mm512_setzero_pd());
        place = _mm512_add_pd(place, _mm512_min_pd(on, _mm512_set1_pd(SLOTS_TOP)));
    }
    return _mm256_cvtepi32_epi16(_mm512_cvttpd_epi32(place));
}

/* Slots of elements i to i + 15. */
CPU_INLINE void vector_slots_at(const struct slots *slots, enum element_type type, const void *x,
                                int64_t i, __mmask16 valid, uint16_t *slot)
{
    if (type == ELEMENT_F64) {
        __m512d low = vector_load_wide(x, i, valid, 0), high = vector_load_wide(x, i, valid, 1);
        _mm_storeu_si128((__m128i *)slot, vector_slots_wide(slots, low));
        _mm_storeu_si128((__m128i *)(slot + 8), vector_slots_wide(slots, high));
    } else {
        __m512 narrow = vector_load(type, x, i, valid);
        _mm256_storeu_si256((__m256i *)slot, vector_slots(slots, narrow));
    }
}

/* Slots of elements begin to end - 1 of x, and of what fills the last vector. */
CPU_INLINE void vector_fill_slots(const struct sorter *sorter, enum element_type type,
                                  const void *x, int64_t begin, int64_t end, uint16_t *slot)
{
    int64_t i = begin;
    if (sorter->slots.num == 0) {
        scalar_slots(sorter, type, x, begin, end, slot);
        return;
    }
    for (; i + CPU_GROUP <= end; i += CPU_GROUP, slot += CPU_GROUP)
        vector_slots_at(&sorter->slots, type, x, i, 0xffff, slot);
    if (i < end)
        vector_slots_at(&sorter->slots, type, x, i, vector_valid(i, end), slot);
}

#endif
