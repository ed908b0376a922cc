/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_AVX2_VECTOR_H
#define QO_KERNELS_AVX2_VECTOR_H

#include <immintrin.h>

#include "cpu.h"

/*
 * Sixteen elements at a time, as four vectors of float64. `type` and `steps` are constants wherever
 * these functions are inlined: 3 steps for up to 8 levels, which stay in registers, and VECTOR_MANY
 * for more.
 */
#define VECTOR_MANY 8

struct vector {
    __m256d x[4];
    __m256i index[4]; /* level index, int64; with 3 steps only index[0] and [2], 8 of int32 each */
    __m256d kept[4];  /* all bits set for an element that gets a level */
    unsigned mask;    /* the same, a bit an element */
};

/* What stays in registers during a walk over a block: depths 0 to 3 of the tree, words of 8 levels.
 */
struct vector_tables {
    __m256 tree[4];
    __m256i level[2], scale[2]; /* lower and upper 32 bits */
    const struct sorter *sorter;
};

/* The lower (0) or upper (1) words of table[8]. */
CPU_INLINE __m256i vector_words(const double *table, int upper)
{
    uint32_t word[8];
    for (int i = 0; i < 8; i++)
        memcpy(&word[i], (const char *)&table[i] + 4 * upper, 4);
    return _mm256_loadu_si256((const __m256i *)word);
}

CPU_INLINE struct vector_tables vector_tables_of(const struct sorter *sorter)
{
    struct vector_tables t = {.sorter = sorter};
    for (int d = 0; d < 4; d++)
        t.tree[d] = _mm256_loadu_ps(sorter->tree_f32 + (1 << d));
    for (int upper = 0; upper < 2; upper++) {
        t.level[upper] = vector_words(sorter->level, upper);
        t.scale[upper] = vector_words(sorter->scale, upper);
    }
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

/* Codes of eight float32: the search of ops_code_f32. */
CPU_INLINE __m256i vector_code(const struct vector_tables *t, int steps, __m256 x)
{
    int depth = steps == VECTOR_MANY ? t->sorter->steps : steps;
    __m256i p = _mm256_setzero_si256();
    for (int d = 0; d < depth; d++) {
        __m256 node = d < 4 ? _mm256_permutevar8x32_ps(t->tree[d], p)
                            : _mm256_i32gather_ps(t->sorter->tree_f32 + (1 << d), p, 4);
        __m256 above = _mm256_cmp_ps(x, node, _CMP_GT_OQ);
        p = _mm256_sub_epi32(_mm256_add_epi32(p, p), _mm256_castps_si256(above));
    }
    return p;
}

/* Codes of four float64. */
CPU_INLINE __m256i vector_code_wide(const struct vector_tables *t, int steps, __m256d x)
{
    int depth = steps == VECTOR_MANY ? t->sorter->steps : steps;
    __m256i p = _mm256_setzero_si256();
    for (int d = 0; d < depth; d++) {
        __m256d node = _mm256_i64gather_pd(t->sorter->tree_f64 + (1 << d), p, 8);
        __m256d above = _mm256_cmp_pd(x, node, _CMP_GT_OQ);
        p = _mm256_sub_epi64(_mm256_add_epi64(p, p), _mm256_castpd_si256(above));
    }
    return p;
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

/* Fills vectors 2h and 2h + 1 of *v from x[8]; writes eight codes. */
CPU_INLINE void vector_narrow(const struct vector_tables *t, enum element_type type, int steps,
                              const void *x, int h, struct vector *v, uint8_t *code)
{
    __m256 single = vector_load(type, x);
    __m256i p = vector_code(t, steps, single);
    __m256 kept = vector_kept(t->sorter, single);
    __m256i keep = _mm256_castps_si256(kept);
    v->mask |= (unsigned)_mm256_movemask_ps(kept) << 8 * h;
    v->x[2 * h] = _mm256_cvtps_pd(_mm256_castps256_ps128(single));
    v->x[2 * h + 1] = _mm256_cvtps_pd(_mm256_extractf128_ps(single, 1));
    v->kept[2 * h] = _mm256_castsi256_pd(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(keep)));
    v->kept[2 * h + 1] =
        _mm256_castsi256_pd(_mm256_cvtepi32_epi64(_mm256_extracti128_si256(keep, 1)));
    v->index[2 * h] = steps == 3 ? p : _mm256_cvtepi32_epi64(_mm256_castsi256_si128(p));
    v->index[2 * h + 1] = steps == 3 ? p : _mm256_cvtepi32_epi64(_mm256_extracti128_si256(p, 1));
    /* int32 to bytes: two packs that stay within the halves, which then are joined */
    __m256i bytes = _mm256_packus_epi16(_mm256_packus_epi32(p, p), p);
    __m128i joined =
        _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
    _mm_storel_epi64((__m128i *)code, joined);
}

/* Fills vector q of *v from x[4]; writes four codes. */
CPU_INLINE void vector_wide(const struct vector_tables *t, int steps, const double *x, int q,
                            struct vector *v, uint8_t *code)
{
    __m256i p;
    v->x[q] = _mm256_loadu_pd(x);
    p = vector_code_wide(t, steps, v->x[q]);
    v->index[q] = p;
    v->kept[q] = vector_kept_wide(t->sorter, v->x[q]);
    v->mask |= (unsigned)_mm256_movemask_pd(v->kept[q]) << 4 * q;
    const __m256i low_bytes =
        _mm256_setr_epi8(0, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 8,
                         -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    p = _mm256_shuffle_epi8(p, low_bytes);
    __m128i four = _mm_or_si128(_mm256_castsi256_si128(p), _mm256_extracti128_si256(p, 1));
    uint32_t word = (uint32_t)_mm_cvtsi128_si32(four);
    memcpy(code, &word, 4);
}

/* x[16]; writes code[16]. */
CPU_INLINE struct vector vector_at(const struct vector_tables *t, enum element_type type, int steps,
                                   const void *x, uint8_t *code)
{
    struct vector v;
    v.mask = 0;
    for (int q = 0; q < 4 && type == ELEMENT_F64; q++)
        vector_wide(t, steps, (const double *)x + 4 * q, q, &v, code + 4 * q);
    for (int h = 0; h < 2 && type != ELEMENT_F64; h++)
        vector_narrow(t, type, steps, cpu_element(type, x, 8 * h), h, &v, code + 8 * h);
    return v;
}

/* table[index] in vector q; the table is the sorter's levels or scales, words[2] its first eight.
 */
CPU_INLINE __m256d vector_look_up(const __m256i *words, const double *table, enum element_type type,
                                  int steps, const struct vector *v, int q)
{
    if (type == ELEMENT_F64 || steps != 3)
        return _mm256_i64gather_pd(table, v->index[q], 8);
    __m256i low = _mm256_permutevar8x32_epi32(words[0], v->index[q]);
    __m256i high = _mm256_permutevar8x32_epi32(words[1], v->index[q]);
    __m256i a = _mm256_unpacklo_epi32(low, high), b = _mm256_unpackhi_epi32(low, high);
    return _mm256_castsi256_pd(q % 2 ? _mm256_permute2x128_si256(a, b, 0x31)
                                     : _mm256_permute2x128_si256(a, b, 0x20));
}

/* x - level in vector q; 0 for elements without a level. */
CPU_INLINE __m256d vector_error(const struct vector_tables *t, enum element_type type, int steps,
                                const struct vector *v, int q)
{
    __m256d level = vector_look_up(t->level, t->sorter->level, type, steps, v, q);
    return _mm256_and_pd(_mm256_sub_pd(v->x[q], level), v->kept[q]);
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

#endif
