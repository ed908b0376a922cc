/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "blocks.h"
#include "vector.h"

/* A block's running sums: error lanes 0 to 7 and 8 to 15, the largest errors, elements with a
 * level. */
struct running {
    __m512d lane[2], most[2];
    int64_t num_kept;
};

/* Sums go on from where an earlier part of the block left them. */
CPU_INLINE struct running running_from(const struct encode_sums *sums)
{
    struct running run = {.num_kept = 0};
    for (int h = 0; h < 2; h++) {
        run.lane[h] = _mm512_loadu_pd(sums->lane + 8 * h);
        run.most[h] = _mm512_set1_pd(sums->max_error);
    }
    return run;
}

static void running_finish(const struct running *run, int64_t n, struct encode_sums *sums)
{
    sums->num_outliers += n - run->num_kept;
    sums->max_error = fmax(_mm512_reduce_max_pd(run->most[0]), _mm512_reduce_max_pd(run->most[1]));
    _mm512_storeu_pd(sums->lane, run->lane[0]);
    _mm512_storeu_pd(sums->lane + 8, run->lane[1]);
}

CPU_INLINE void add_vector(const struct vector *v, struct running *run)
{
    for (int h = 0; h < 2; h++) {
        __m512d error = _mm512_maskz_sub_pd(v->kept[h], v->x[h], v->level[h]);
        run->lane[h] = _mm512_add_pd(run->lane[h], _mm512_mul_pd(error, error));
        run->most[h] = _mm512_range_pd(run->most[h], error, 0x0b); /* the larger magnitude */
    }
    run->num_kept += vector_count(v);
}

/* Packs 64 codes as ops_pack does and stores 8 * bits bytes, and up to 14 more. */
CPU_INLINE void pack_vector(const uint8_t *code, int bits, uint8_t *out)
{
    __m512i v = _mm512_loadu_si512(code), mask, shifted;
    for (int field = 8; field <= 32; field *= 2) {
        int width = bits * (field / 8);
        mask = _mm512_set1_epi64((int64_t)ops_fields(2 * field, width));
        shifted = _mm512_srl_epi64(v, _mm_cvtsi32_si128(field - width));
        v = _mm512_ternarylogic_epi64(mask, v, shifted, 0xca); /* mask ? v : shifted */
    }
    /* The two words of a lane hold `bits` bytes each: move them together. */
    __m128i byte = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m128i second = _mm_add_epi8(byte, _mm_set1_epi8((char)(8 - bits)));
    byte = _mm_blendv_epi8(byte, second, _mm_cmpgt_epi8(byte, _mm_set1_epi8((char)(bits - 1))));
    v = _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(byte));
    _mm_storeu_si128((__m128i *)out, _mm512_castsi512_si128(v));
    _mm_storeu_si128((__m128i *)(out + 2 * bits), _mm512_extracti32x4_epi32(v, 1));
    _mm_storeu_si128((__m128i *)(out + 4 * bits), _mm512_extracti32x4_epi32(v, 2));
    _mm_storeu_si128((__m128i *)(out + 6 * bits), _mm512_extracti32x4_epi32(v, 3));
}

/* Packs code[n], n rounded up to 16 with zeros, into ceil(n * bits / 8) bytes and not one more. */
static void pack_chunk(const uint8_t *code, int64_t n, int bits, uint8_t *out)
{
    uint8_t last[64 + 16];
    int64_t bytes = (n * bits + 7) / 8, group = 8 * bits;
    for (; bytes >= group + 16; bytes -= group, code += 64, out += group)
        pack_vector(code, bits, out);
    for (; bytes > 0; bytes -= group, code += 64, out += group) {
        pack_vector(code, bits, last);
        memcpy(out, last, (size_t)(bytes < group ? bytes : group));
    }
}

/* Errors of a span, and its codes where they are wanted. */
CPU_INLINE void encode_span(const struct vector_tables *t, enum element_type type, int steps,
                            struct vector_span span, const uint16_t *slot, uint8_t *code,
                            struct running *run)
{
    __m512i found[VECTOR_ABREAST][2];
    if (steps != VECTOR_MANY)
        vector_codes(t, type, steps, span, found);
#pragma GCC unroll 4
    for (int a = 0; a < span.abreast; a++, span.i += CPU_GROUP) {
        const uint16_t *mine = slot + a * CPU_GROUP;
        struct vector v;
        if (steps == VECTOR_MANY)
            vector_many(t, type, span.x, span.i, span.valid, mine, false, &v);
        else
            vector_few(t, type, steps, span.x, span.i, span.valid, found[a], &v);
        add_vector(&v, run);
        if (code)
            _mm_storeu_si128((__m128i *)(code + a * CPU_GROUP), v.code);
    }
}

/* Errors of elements begin to end - 1, a chunk, and their codes where they are wanted. */
CPU_INLINE void encode_chunk(const struct vector_tables *t, enum element_type type, int steps,
                             const void *x, int64_t begin, int64_t end, uint8_t *code,
                             struct running *run)
{
    uint16_t slot[CPU_CHUNK];
    int64_t i = begin;
    if (steps == VECTOR_MANY)
        vector_fill_slots(t->sorter, type, x, begin, end, slot);
    for (; i + VECTOR_ABREAST * CPU_GROUP <= end; i += VECTOR_ABREAST * CPU_GROUP)
        encode_span(t, type, steps, vector_span_whole(x, i), slot + (i - begin),
                    code ? code + (i - begin) : NULL, run);
    for (; i < end; i += CPU_GROUP)
        encode_span(t, type, steps, vector_span_last(x, i, end), slot + (i - begin),
                    code ? code + (i - begin) : NULL, run);
}

CPU_INLINE void encode_elements(enum element_type type, int steps, const struct sorter *sorter,
                                const void *x, int64_t n, uint8_t *codes, struct encode_sums *sums)
{
    uint8_t code[CPU_CHUNK] __attribute__((aligned(QO_ALIGNMENT))) = {0};
    const struct vector_tables t = vector_tables_of(sorter, steps);
    struct running run = running_from(sums);
    for (int64_t begin = 0; begin < n; begin += CPU_CHUNK) {
        int64_t end = n - begin < CPU_CHUNK ? n : begin + CPU_CHUNK;
        encode_chunk(&t, type, steps, x, begin, end, codes ? code : NULL, &run);
        if (codes)
            pack_chunk(code, end - begin, sorter->bits, codes + begin / 8 * sorter->bits);
    }
    running_finish(&run, n, sums);
}

/* A copy for each depth of search, whose steps are then unrolled. */
CPU_INLINE void encode_type(enum element_type type, const struct sorter *sorter, const void *x,
                            int64_t n, uint8_t *codes, struct encode_sums *sums)
{
    if (sorter->steps == 3)
        encode_elements(type, 3, sorter, x, n, codes, sums);
    else if (sorter->steps == 4)
        encode_elements(type, 4, sorter, x, n, codes, sums);
    else
        encode_elements(type, VECTOR_MANY, sorter, x, n, codes, sums);
}

/* Without codes there is a copy that neither makes nor packs them. */
void encode_avx512(const struct sorter *sorter, enum element_type type, const void *x, int64_t n,
                   uint8_t *codes, struct encode_sums *sums)
{
    if (codes)
        CPU_BY_TYPE(type, encode_type, sorter, x, n, codes, sums);
    else
        CPU_BY_TYPE(type, encode_type, sorter, x, n, NULL, sums);
}

/* Whether elements i to i + 15 get a level. */
CPU_INLINE uint64_t kept_vector(const struct vector_tables *t, enum element_type type,
                                const void *x, int64_t i, __mmask16 valid)
{
    struct vector v;
    vector_values(t, type, x, i, valid, &v);
    return _mm512_kunpackb(v.kept[1], v.kept[0]);
}

/* Bit i: whether element i of up to 64 gets a level. */
CPU_INLINE void kept_elements(enum element_type type, const struct sorter *sorter, const void *x,
                              int64_t n, uint64_t *mask)
{
    struct vector_tables t = {.sorter = sorter};
    vector_set_bounds(&t);
    for (int64_t i = 0; i < n; i += CPU_GROUP)
        *mask |= kept_vector(&t, type, x, i, vector_valid(i, n)) << i;
}

/* Only compares: outliers are collected without looking for codes. */
uint64_t encode_kept_avx512(const struct sorter *sorter, enum element_type type, const void *x,
                            int64_t n)
{
    uint64_t mask = 0;
    CPU_BY_TYPE(type, kept_elements, sorter, x, n, &mask);
    return mask;
}
