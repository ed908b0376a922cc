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

CPU_INLINE void encode_vector(const struct vector_tables *t, enum element_type type, int steps,
                              const void *x, int64_t i, __mmask16 valid, uint8_t *code,
                              struct running *run)
{
    struct vector v = vector_at(t, type, steps, x, i, valid);
    for (int h = 0; h < 2; h++) {
        __m512d error = vector_error(t, steps, &v, h);
        run->lane[h] = _mm512_add_pd(run->lane[h], _mm512_mul_pd(error, error));
        run->most[h] = _mm512_range_pd(run->most[h], error, 0x0b); /* the larger magnitude */
    }
    run->num_kept += __builtin_popcount(v.kept);
    _mm_storeu_si128((__m128i *)code, v.code);
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

CPU_INLINE void encode_elements(const struct sorter *sorter, enum element_type type, int steps,
                                const void *x, int64_t n, uint8_t *codes, struct encode_sums *sums)
{
    uint8_t code[CPU_CHUNK] __attribute__((aligned(QO_ALIGNMENT))) = {0};
    const struct vector_tables t = vector_tables_of(sorter);
    struct running run = {0};
    for (int64_t begin = 0; begin < n; begin += CPU_CHUNK) {
        int64_t end = n - begin < CPU_CHUNK ? n : begin + CPU_CHUNK, i = begin;
        for (; i + CPU_GROUP <= end; i += CPU_GROUP)
            encode_vector(&t, type, steps, x, i, 0xffff, code + (i - begin), &run);
        if (i < end)
            encode_vector(&t, type, steps, x, i, vector_valid(i, end), code + (i - begin), &run);
        pack_chunk(code, end - begin, sorter->bits, codes + begin / 8 * sorter->bits);
    }
    sums->num_outliers = n - run.num_kept;
    sums->max_error = fmax(_mm512_reduce_max_pd(run.most[0]), _mm512_reduce_max_pd(run.most[1]));
    _mm512_storeu_pd(sums->lane, run.lane[0]);
    _mm512_storeu_pd(sums->lane + 8, run.lane[1]);
}

/* A copy for each depth of search, whose steps are then unrolled. */
CPU_INLINE void encode_type(const struct sorter *sorter, enum element_type type, const void *x,
                            int64_t n, uint8_t *codes, struct encode_sums *sums)
{
    if (sorter->steps == 3)
        encode_elements(sorter, type, 3, x, n, codes, sums);
    else if (sorter->steps == 4)
        encode_elements(sorter, type, 4, x, n, codes, sums);
    else
        encode_elements(sorter, type, VECTOR_MANY, x, n, codes, sums);
}

/* The element type becomes a constant in each copy. */
void encode_avx512(const struct sorter *sorter, enum element_type type, const void *x, int64_t n,
                   uint8_t *codes, struct encode_sums *sums)
{
    switch (type) {
    case ELEMENT_F64:
        encode_type(sorter, ELEMENT_F64, x, n, codes, sums);
        break;
    case ELEMENT_F32:
        encode_type(sorter, ELEMENT_F32, x, n, codes, sums);
        break;
    case ELEMENT_BF16:
        encode_type(sorter, ELEMENT_BF16, x, n, codes, sums);
        break;
    default:
        encode_type(sorter, ELEMENT_F16, x, n, codes, sums);
    }
}

/* Whether elements i to i + 15 get a level. */
CPU_INLINE uint64_t kept_vector(const struct vector_tables *t, enum element_type type,
                                const void *x, int64_t i, __mmask16 valid)
{
    if (type != ELEMENT_F64)
        return vector_kept(t, vector_load(type, x, i, valid));
    const double *wide = (const double *)x + i;
    const __m512d nan = _mm512_set1_pd(NAN);
    __mmask8 low = vector_kept_wide(t, _mm512_mask_loadu_pd(nan, (__mmask8)valid, wide));
    __mmask8 high =
        vector_kept_wide(t, _mm512_mask_loadu_pd(nan, (__mmask8)(valid >> 8), wide + 8));
    return (uint64_t)low | (uint64_t)high << 8;
}

/* Bit i: whether element i of up to 64 gets a level. */
CPU_INLINE uint64_t kept_elements(const struct sorter *sorter, enum element_type type,
                                  const void *x, int64_t n)
{
    struct vector_tables t = {.sorter = sorter};
    uint64_t mask = 0;
    vector_set_bounds(&t);
    for (int64_t i = 0; i < n; i += CPU_GROUP)
        mask |= kept_vector(&t, type, x, i, vector_valid(i, n)) << i;
    return mask;
}

/* Only compares: outliers are collected without looking for codes. */
uint64_t encode_kept_avx512(const struct sorter *sorter, enum element_type type, const void *x,
                            int64_t n)
{
    switch (type) {
    case ELEMENT_F64:
        return kept_elements(sorter, ELEMENT_F64, x, n);
    case ELEMENT_F32:
        return kept_elements(sorter, ELEMENT_F32, x, n);
    case ELEMENT_BF16:
        return kept_elements(sorter, ELEMENT_BF16, x, n);
    default:
        return kept_elements(sorter, ELEMENT_F16, x, n);
    }
}
