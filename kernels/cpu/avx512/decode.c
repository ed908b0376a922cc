/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "blocks.h"
#include "decode_block.h"

/* Codes of up to 4 bits in a table of float32 that fits a register: 16 elements at a time. */
static int64_t decode_f32(const uint8_t *codes, int64_t n, int bits, const uint64_t *value,
                          float *x)
{
    uint32_t narrow[16];
    int64_t bytes = (n * bits + 7) / 8, i = 0;
    for (int c = 0; c < 16; c++)
        narrow[c] = (uint32_t)value[c];
    __m512i table = _mm512_loadu_si512(narrow);
    for (; i + 16 <= n; i += 16) {
        int64_t at = i / 8 * bits;
        uint64_t word = cpu_load_word(codes + at, bytes - at, 2 * bits);
        uint64_t low = ops_unpack(word, bits), high = ops_unpack(word >> 8 * bits, bits);
        __m128i code = _mm_set_epi64x((int64_t)high, (int64_t)low);
        __m512i found = _mm512_permutexvar_epi32(_mm512_cvtepu8_epi32(code), table);
        _mm512_storeu_si512(x + i, found);
    }
    return i;
}

/* The same for 16-bit elements: 32 values fit a register. */
static int64_t decode_16(const uint8_t *codes, int64_t n, int bits, const uint64_t *value,
                         uint16_t *x)
{
    uint16_t narrow[16];
    int64_t bytes = (n * bits + 7) / 8, i = 0;
    for (int c = 0; c < 16; c++)
        narrow[c] = (uint16_t)value[c];
    __m256i table = _mm256_loadu_si256((const __m256i *)narrow);
    for (; i + 16 <= n; i += 16) {
        int64_t at = i / 8 * bits;
        uint64_t word = cpu_load_word(codes + at, bytes - at, 2 * bits);
        uint64_t low = ops_unpack(word, bits), high = ops_unpack(word >> 8 * bits, bits);
        __m128i code = _mm_set_epi64x((int64_t)high, (int64_t)low);
        __m256i found = _mm256_permutexvar_epi16(_mm256_cvtepu8_epi16(code), table);
        _mm256_storeu_si256((__m256i *)(x + i), found);
    }
    return i;
}

/* A permute where the table fits a register; the common loop for the rest and the tail. */
void decode_avx512(const uint8_t *codes, int64_t n, int bits, const uint64_t *value,
                   enum element_type type, void *x)
{
    int64_t i = 0; /* elements done, a multiple of 16 */
    if (bits <= 4 && type == ELEMENT_F32)
        i = decode_f32(codes, n, bits, value, x);
    else if (bits <= 4 && element_size(type) == 2)
        i = decode_16(codes, n, bits, value, x);
    codes += i / 8 * bits;
    switch (element_size(type)) {
    case 8:
        decode_elements(codes, n, bits, value, 8, x);
        break;
    case 4:
        decode_elements(codes, n - i, bits, value, 4, (float *)x + i);
        break;
    default:
        decode_elements(codes, n - i, bits, value, 2, (uint16_t *)x + i);
    }
}
