/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel.cuh"

/*
 * Codes to values. A thread takes sixteen codes, 2 * bits bytes, and writes their values in pieces
 * of 16 bytes.
 */
#define DECODE_THREADS 256
#define DECODE_CODES   16

/* The first or second eight of sixteen packed codes, in 16-bit words. */
__device__ __forceinline__ uint64_t decode_load(const uint16_t *words, int bits, int which)
{
    uint64_t low = 0, high = 0;
    for (int i = 0; i < bits; i++) {
        uint64_t word = words[i];
        low |= i < 4 ? word << (16 * i % 64) : 0;
        high |= i < 4 ? 0 : word << (16 * (i - 4) % 64);
    }
    if (which == 0)
        return low;
    return bits == 8 ? high : low >> (8 * bits) | high << (64 - 8 * bits);
}

/* The values of eight codes, one a byte, to a multiple of 16 bytes. */
template <class B>
__device__ __forceinline__ void decode_store(const B *value, uint64_t codes, B *x)
{
    const int each = 16 / (int)sizeof(B);
    union {
        B values[each];
        uint4 vector;
    } piece;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        piece.values[i % each] = value[codes >> (8 * i) & 0xff];
        if (i % each == each - 1)
            ((uint4 *)x)[i / each] = piece.vector;
    }
}

template <class B>
__global__ void __launch_bounds__(DECODE_THREADS)
    decode_kernel(const uint8_t *codes, int64_t n, int bits, const uint64_t *value, B *x)
{
    QO_SHARED(shared);
    B *table = (B *)shared;
    for (unsigned i = threadIdx.x; i < QO_MAX_LEVELS; i += blockDim.x)
        table[i] = (B)value[i];
    __syncthreads();
    int64_t at = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * DECODE_CODES;
    if (at >= n)
        return;
    const uint16_t *words = (const uint16_t *)(codes + at / 8 * bits);
    decode_store(table, ops_unpack(decode_load(words, bits, 0), bits), x + at);
    decode_store(table, ops_unpack(decode_load(words, bits, 1), bits), x + at + 8);
}

template <class B>
static cudaError_t launch_decode(const struct launch *launch, const uint8_t *codes, int64_t n,
                                 int bits, const uint64_t *value, void *x)
{
    const int64_t each = DECODE_THREADS * DECODE_CODES;
    return QO_LAUNCH((decode_kernel<B>), (unsigned)((n + each - 1) / each), DECODE_THREADS,
                     QO_MAX_LEVELS * sizeof(B), launch->stream, codes, n, bits, value, (B *)x);
}

cudaError_t decode_launch(const struct launch *launch, const uint8_t *codes, int64_t n, int bits,
                          const uint64_t *value, enum element_type type, void *x)
{
    switch (element_size(type)) {
    case 8:
        return launch_decode<uint64_t>(launch, codes, n, bits, value, x);
    case 4:
        return launch_decode<uint32_t>(launch, codes, n, bits, value, x);
    default:
        return launch_decode<uint16_t>(launch, codes, n, bits, value, x);
    }
}

cudaError_t decode_probe(void)
{
    struct cudaFuncAttributes attributes;
    return cudaFuncGetAttributes(&attributes, (const void *)decode_kernel<uint32_t>);
}
