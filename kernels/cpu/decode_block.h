/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_DECODE_BLOCK_H
#define QO_KERNELS_DECODE_BLOCK_H

#include "cpu.h"

/* Writes the values of eight codes, m of them wanted, by looking them up one by one. */
CPU_INLINE void decode_eight(uint64_t code, int64_t m, const uint64_t *value, size_t size, char *x)
{
    for (int64_t j = 0; j < m; j++, code >>= 8) /* little-endian: the low bytes are the value */
        memcpy(x + j * (int64_t)size, &value[code & 0xff], size);
}

/* Decodes n elements of `size` bytes; `size` should be a constant where this is inlined. */
CPU_INLINE void decode_elements(const uint8_t *codes, int64_t n, int bits, const uint64_t *value,
                                size_t size, void *x)
{
    int64_t bytes = (n * bits + 7) / 8;
    for (int64_t i = 0, at = 0; i < n; i += 8, at += bits) {
        int64_t m = n - i < 8 ? n - i : 8;
        uint64_t word = cpu_load_word(codes + at, bytes - at, (int)(m * bits + 7) / 8);
        decode_eight(ops_unpack(word, bits), m, value, size, (char *)x + i * (int64_t)size);
    }
}

#endif
