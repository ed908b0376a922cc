/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "blocks.h"
#include "decode_block.h"

/* Codes of up to 3 bits: eight float32 are a register, and so is the table. */
static int64_t decode_f32(const uint8_t *codes, int64_t n, int bits, const uint64_t *value,
                          float *x)
{
    uint32_t narrow[8];
    int64_t bytes = (n * bits + 7) / 8, i = 0;
    for (int c = 0; c < 8; c++)
        narrow[c] = (uint32_t)value[c];
    __m256i table = _mm256_loadu_si256((const __m256i *)narrow);
    for (int64_t at = 0; i + 8 <= n; i += 8, at += bits) {
        uint64_t code = ops_unpack(cpu_load_word(codes + at, bytes - at, bits), bits);
        __m256i index = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)code));
        _mm256_storeu_si256((__m256i *)(x + i), _mm256_permutevar8x32_epi32(table, index));
    }
    return i;
}

/* A permute where the table fits a register; the common loop for the rest and the tail. */
void decode_avx2(const uint8_t *codes, int64_t n, int bits, const uint64_t *value,
                 enum element_type type, void *x)
{
    int64_t i = 0; /* elements done, a multiple of 8 */
    if (bits <= 3 && type == ELEMENT_F32)
        i = decode_f32(codes, n, bits, value, x);
    codes += i / 8 * bits;
    switch (element_size(type)) {
    case 8:
        decode_elements(codes, n, bits, value, 8, x);
        break;
    case 4:
        decode_elements(codes, n - i, bits, value, 4, (float *)x + i);
        break;
    default:
        decode_elements(codes, n, bits, value, 2, x);
    }
}
