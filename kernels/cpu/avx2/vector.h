/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_AVX2_VECTOR_H
#define QO_KERNELS_AVX2_VECTOR_H

#include <immintrin.h>

#include "scalar.h"

/*
 * Sixteen elements at a time, as four vectors of float64. `type` and `few` are constants wherever
 * these functions are inlined: up to SORTER_FEW levels stay in registers and are bisected there,
 * more are looked up by slots (cpu.h).
 */
struct vector {
    __m256d x[4], level[4], scale[4];
    __m256d kept[4]; /* all bits set for an element that gets a level */
    unsigned mask;   /* the same, a bit an element */
};

/* Eight numbers of float64: as they are, and as words of 32 bits for permutations. */
struct vector_table {
    const double *wide;
    __m256i lower, upper;
};

/* What stays in registers during a walk over a block: the cuts of each step of the bisection. */
struct vector_tables {
    __m256 cut[3];
    struct vector_table level, scale;
    const struct sorter *sorter;
};

CPU_INLINE struct vector_table vector_table_of(const double *table)
{
    uint32_t word[2][8];
    for (int i = 0; i < 8; i++) {
        memcpy(&word[0][i], &table[i], 4);
        memcpy(&word[1][i], (const char *)&table[i] + 4, 4);
    }
    return (struct vector_table){table, _mm256_loadu_si256((const __m256i *)word[0]),
                                 _mm256_loadu_si256((const __m256i *)word[1])};
}

/* Step s looks up one of 2^s cuts, which stand together in the tree. */
CPU_INLINE struct vector_tables vector_tables_of(const struct sorter *sorter)
{
    struct vector_tables t = {.sorter = sorter};
    for (int s = 0; s < 3; s++)
        t.cut[s] = _mm256_loadu_ps(sorter->tree_f32 + (1 << s));
    t.level = vector_table_of(sorter->level);
    t.scale = vector_table_of(sorter->scale);
    return t;
}

/* x[8] as float32. */
CPU_INLINE __m256 vector_load(enum element_type type, const void *x)
{
    if (type == ELEMENT_F32)
        return _mm256_loadu_ps(x);
    if (type == ELEMENT_F16)
        return _mm256_cvtph_ps(_mm_loadu_si128(x));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(x)), 16));
}

/* Codes of eight float32 for at most 8 levels: the search of ops_code_f32. */
CPU_INLINE __m256i vector_code(const struct vector_tables *t, __m256 x)
{
    __m256i p = _mm256_setzero_si256();
    for (int s = 0; s < 3; s++) {
        __m256 above = _mm256_cmp_ps(x, _mm256_permutevar8x32_ps(t->cut[s], p), _CMP_GT_OQ);
        p = _mm256_sub_epi32(_mm256_add_epi32(p, p), _mm256_castps_si256(above));
    }
    return p;
}

/* table[index] for the lower (0) or upper (1) half of eight indices. */
CPU_INLINE __m256d vector_look_up(const struct vector_table *table, __m256i index, int upper)
{
    __m256i low = _mm256_permutevar8x32_epi32(table->lower, index);
    __m256i high = _mm256_permutevar8x32_epi32(table->upper, index);
    __m256i a = _mm256_unpacklo_epi32(low, high), b = _mm256_unpackhi_epi32(low, high);
    return _mm256_castsi256_pd(upper ? _mm256_permute2x128_si256(a, b, 0x31)
                                     : _mm256_permute2x128_si256(a, b, 0x20));
}

/* What the steps of a bisection of four float64 found: all bits set where x is above the cut. */
struct vector_path {
    __m256d above[3];
};

/* table[j * stride], j being the number that the first `steps` steps of a path spell. */
CPU_INLINE __m256d vector_follow(const struct vector_path *path, int steps, const double *table,
                                 int stride)
{
    __m256d node[8];
    for (int j = 0; j < 1 << steps; j++)
        node[j] = _mm256_set1_pd(table[j * stride]);
    for (int s = steps - 1; s >= 0; s--)
        for (int j = 0; j < 1 << s; j++)
            node[j] = _mm256_blendv_pd(node[2 * j], node[2 * j + 1], path->above[s]);
    return node[0];
}

/* The same of four float64, for which no permutation reaches far enough. */
CPU_INLINE struct vector_path vector_path_of(const struct sorter *sorter, __m256d x)
{
    struct vector_path path;
    for (int s = 0; s < 3; s++) {
        int half = 4 >> s;
        __m256d cut = vector_follow(&path, s, sorter->cut_f64 + half - 1, 2 * half);
        path.above[s] = _mm256_cmp_pd(x, cut, _CMP_GT_OQ);
    }
    return path;
}

CPU_INLINE __m256 vector_kept(const struct sorter *s, __m256 x)
{
    __m256 kept = _mm256_and_ps(_mm256_cmp_ps(x, _mm256_set1_ps(s->lo_f32), _CMP_GE_OQ),
                                _mm256_cmp_ps(x, _mm256_set1_ps(s->hi_f32), _CMP_LE_OQ));
    for (int i = 0; i < 2 && s->has_fills; i++)
        kept = _mm256_and_ps(kept, _mm256_cmp_ps(x, _mm256_set1_ps(s->fill_f32[i]), _CMP_NEQ_UQ));
    return kept;
}

CPU_INLINE __m256d vector_kept_wide(const struct sorter *s, __m256d x)
{
    __m256d kept = _mm256_and_pd(_mm256_cmp_pd(x, _mm256_set1_pd(s->lo_f64), _CMP_GE_OQ),
                                 _mm256_cmp_pd(x, _mm256_set1_pd(s->hi_f64), _CMP_LE_OQ));
    for (int i = 0; i < 2 && s->has_fills; i++)
        kept = _mm256_and_pd(kept, _mm256_cmp_pd(x, _mm256_set1_pd(s->fill_f64[i]), _CMP_NEQ_UQ));
    return kept;
}

/* Bytes 0 and 8 of each half: four int64 below 256 as four bytes. */
CPU_INLINE void vector_put_codes(__m256i code, uint8_t *to)
{
    const __m256i low_bytes =
        _mm256_setr_epi8(0, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 8,
                         -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    code = _mm256_shuffle_epi8(code, low_bytes);
    __m128i four = _mm_or_si128(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
    uint32_t word = (uint32_t)_mm_cvtsi128_si32(four);
    memcpy(to, &word, 4);
}

/* Eight int32 below 256 as bytes: two packs that stay within the halves, which then are joined. */
CPU_INLINE void vector_put_narrow_codes(__m256i code, uint8_t *to)
{
    __m256i bytes = _mm256_packus_epi16(_mm256_packus_epi32(code, code), code);
    __m128i joined =
        _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
    _mm_storel_epi64((__m128i *)to, joined);
}

/* Levels, scales and codes of vector q, float64, for at most 8 levels. */
CPU_INLINE void vector_few_wide(const struct vector_tables *t, int q, struct vector *v,
                                uint8_t *code)
{
    struct vector_path path = vector_path_of(t->sorter, v->x[q]);
    v->level[q] = vector_follow(&path, 3, t->sorter->level, 1);
    v->scale[q] = vector_follow(&path, 3, t->sorter->scale, 1);
    __m256i p = _mm256_setzero_si256();
    for (int s = 0; s < 3; s++)
        p = _mm256_or_si256(
            p, _mm256_and_si256(_mm256_castpd_si256(path.above[s]), _mm256_set1_epi64x(4 >> s)));
    vector_put_codes(p, code);
}

/* The same of vectors 2h and 2h + 1 of a narrow type. */
CPU_INLINE void vector_few_narrow(const struct vector_tables *t, __m256 single, int h,
                                  struct vector *v, uint8_t *code)
{
    __m256i p = vector_code(t, single);
    for (int upper = 0; upper < 2; upper++) {
        v->level[2 * h + upper] = vector_look_up(&t->level, p, upper);
        v->scale[2 * h + upper] = vector_look_up(&t->scale, p, upper);
    }
    vector_put_narrow_codes(p, code);
}

/* Four pairs of numbers, the first of each in one register and the second in the other. */
struct vector_pairs {
    __m256d first, second;
};

/* Loads pairs of numbers from at[4]: cheaper than two gathers. */
CPU_INLINE struct vector_pairs vector_pairs_at(const double *const *at)
{
    __m256d even = _mm256_castpd128_pd256(_mm_loadu_pd(at[0]));
    __m256d odd = _mm256_castpd128_pd256(_mm_loadu_pd(at[1]));
    even = _mm256_insertf128_pd(even, _mm_loadu_pd(at[2]), 1);
    odd = _mm256_insertf128_pd(odd, _mm_loadu_pd(at[3]), 1);
    return (struct vector_pairs){_mm256_unpacklo_pd(even, odd), _mm256_unpackhi_pd(even, odd)};
}

/* Levels, scales and codes of vector q from slot[4]. */
CPU_INLINE void vector_rows(const struct sorter *sorter, const uint16_t *slot, int q,
                            bool with_scales, struct vector *v, uint8_t *code)
{
    const double *row[4], *next[4], *scale[4];
    uint32_t codes = 0;
    for (int j = 3; j >= 0; j--) {
        uint32_t base = sorter->slots.base[slot[j]];
        row[j] = &sorter->row[base].cut;
        next[j] = &sorter->row[base + 1].cut;
        scale[j] = &sorter->scale[base];
        codes = codes << 8 | base;
    }
    struct vector_pairs here = vector_pairs_at(row), above = vector_pairs_at(next);
    __m256d up = _mm256_cmp_pd(v->x[q], here.first, _CMP_GT_OQ);
    v->level[q] = _mm256_blendv_pd(here.second, above.second, up);
    if (with_scales) {
        struct vector_pairs scales = vector_pairs_at(scale);
        v->scale[q] = _mm256_blendv_pd(scales.first, scales.second, up);
    }
    codes += _pdep_u32((uint32_t)_mm256_movemask_pd(up), 0x01010101u); /* no byte overflows */
    memcpy(code, &codes, 4);
}

/* Values of four float64 and which get a level. */
CPU_INLINE void vector_set_wide(const struct sorter *sorter, const double *x, int q,
                                struct vector *v)
{
    v->x[q] = _mm256_loadu_pd(x);
    v->kept[q] = vector_kept_wide(sorter, v->x[q]);
    v->mask |= (unsigned)_mm256_movemask_pd(v->kept[q]) << 4 * q;
}

/* The same of eight numbers of a narrow type, as vectors 2h and 2h + 1. */
CPU_INLINE void vector_set_narrow(const struct sorter *sorter, __m256 single, int h,
                                  struct vector *v)
{
    __m256 kept = vector_kept(sorter, single);
    __m256i keep = _mm256_castps_si256(kept);
    __m256i low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(keep));
    __m256i high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256(keep, 1));
    v->mask |= (unsigned)_mm256_movemask_ps(kept) << 8 * h;
    v->x[2 * h] = _mm256_cvtps_pd(_mm256_castps256_ps128(single));
    v->x[2 * h + 1] = _mm256_cvtps_pd(_mm256_extractf128_ps(single, 1));
    v->kept[2 * h] = _mm256_castsi256_pd(low);
    v->kept[2 * h + 1] = _mm256_castsi256_pd(high);
}

/* x[16]; writes code[16]. slot[16] is looked at with many levels only. */
CPU_INLINE struct vector vector_at(const struct vector_tables *t, enum element_type type, bool few,
                                   const void *x, const uint16_t *slot, bool with_scales,
                                   uint8_t *code)
{
    struct vector v;
    v.mask = 0;
    for (int q = 0; q < 4 && type == ELEMENT_F64; q++) {
        vector_set_wide(t->sorter, (const double *)x + 4 * q, q, &v);
        if (few)
            vector_few_wide(t, q, &v, code + 4 * q);
    }
    for (int h = 0; h < 2 && type != ELEMENT_F64; h++) {
        __m256 single = vector_load(type, cpu_element(type, x, 8 * h));
        vector_set_narrow(t->sorter, single, h, &v);
        if (few)
            vector_few_narrow(t, single, h, &v, code + 8 * h);
    }
    for (int q = 0; q < 4 && !few; q++)
        vector_rows(t->sorter, slot + 4 * q, q, with_scales, &v, code + 4 * q);
    return v;
}

/* x - level in vector q; 0 for elements without a level. */
CPU_INLINE __m256d vector_error(const struct vector *v, int q)
{
    return _mm256_and_pd(_mm256_sub_pd(v->x[q], v->level[q]), v->kept[q]);
}

/* Slots of eight elements of a narrow type, as int32; NaN has slot 0. */
CPU_INLINE __m256i vector_slots(const struct slots *slots, __m256 x)
{
    __m256 place = _mm256_setzero_ps();
    for (int r = 0; r < slots->num; r++) {
        __m256 on = _mm256_sub_ps(x, _mm256_set1_ps((float)slots->start[r]));
        on = _mm256_mul_ps(on, _mm256_set1_ps((float)slots->rate[r]));
        on = _mm256_max_ps(on, _mm256_setzero_ps()); /* the second one if there is a NaN */
        place = _mm256_add_ps(place, _mm256_min_ps(on, _mm256_set1_ps(SLOTS_TOP)));
    }
    return _mm256_cvttps_epi32(place);
}

/* Slots of four float64. */
CPU_INLINE __m128i vector_slots_wide(const struct slots *slots, __m256d x)
{
    __m256d place = _mm256_setzero_pd();
    for (int r = 0; r < slots->num; r++) {
        __m256d on = _mm256_sub_pd(x, _mm256_set1_pd(slots->start[r]));
        on = _mm256_mul_pd(on, _mm256_set1_pd(slots->rate[r]));
        on = _mm256_max_pd(on, _mm256_setzero_pd());
        place = _mm256_add_pd(place, _mm256_min_pd(on, _mm256_set1_pd(SLOTS_TOP)));
    }
    return _mm256_cvttpd_epi32(place);
}

/* Slots of x[16]. */
CPU_INLINE void vector_slots_at(const struct slots *slots, enum element_type type, const void *x,
                                uint16_t *slot)
{
    __m128i part[4]; /* int32 */
    for (int q = 0; q < 4 && type == ELEMENT_F64; q++)
        part[q] = vector_slots_wide(slots, _mm256_loadu_pd((const double *)x + 4 * q));
    for (int h = 0; h < 2 && type != ELEMENT_F64; h++) {
        __m256i eight = vector_slots(slots, vector_load(type, cpu_element(type, x, 8 * h)));
        part[2 * h] = _mm256_castsi256_si128(eight);
        part[2 * h + 1] = _mm256_extracti128_si256(eight, 1);
    }
    _mm_storeu_si128((__m128i *)slot, _mm_packus_epi32(part[0], part[1]));
    _mm_storeu_si128((__m128i *)(slot + 8), _mm_packus_epi32(part[2], part[3]));
}

/*
 * The last n < 16 elements of a block, padded with NaN, which has code 0 and gets no level: all
 * bits set are a NaN in every type.
 */
struct vector_tail {
    char bytes[CPU_GROUP * sizeof(double)];
};

/* Copies the last elements of a block to where a whole vector can be read. */
CPU_INLINE void vector_pad(struct vector_tail *tail, enum element_type type, const void *x,
                           int64_t n)
{
    memset(tail->bytes, 0xff, sizeof tail->bytes);
    memcpy(tail->bytes, x, (size_t)n * element_size(type));
}

/* Slots of x[n], and of what fills the last group. */
CPU_INLINE void vector_fill_slots(const struct sorter *sorter, enum element_type type,
                                  const void *x, int64_t n, uint16_t *slot)
{
    int64_t i = 0;
    if (sorter->slots.num == 0) {
        scalar_slots(sorter, type, x, 0, n, slot);
        return;
    }
    for (; i + CPU_GROUP <= n; i += CPU_GROUP)
        vector_slots_at(&sorter->slots, type, cpu_element(type, x, i), slot + i);
    if (i < n) {
        struct vector_tail tail;
        vector_pad(&tail, type, cpu_element(type, x, i), n - i);
        vector_slots_at(&sorter->slots, type, tail.bytes, slot + i);
    }
}

#endif
