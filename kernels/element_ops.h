/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_ELEMENT_OPS_H
#define QO_KERNELS_ELEMENT_OPS_H

#include "element.h"

/*
 * The arithmetic of one element, or of eight codes, that every backend repeats: it stands once,
 * here. A vector version computes the same thing on more numbers at a time, rounding where this
 * rounds.
 */

/* Before a loop that is not to be unrolled: nvcc makes 16 copies of each of 16, and spills. */
#ifdef __CUDA_ARCH__
#    define OPS_ROLLED _Pragma("unroll 1")
#else
#    define OPS_ROLLED
#endif

/* Adding it rounds a float64 below 2^51 in magnitude to an integer, ties to even, in its last bits.
 */
#define OPS_ROUNDER 0x1.8p52

/* The bit pattern of OPS_ROUNDER: rounder + integer is this pattern + integer. */
#define OPS_ROUNDER_BITS INT64_C(0x4338000000000000)

/* Pure. The bit pattern of rint(residual * scale) + OPS_ROUNDER, for |residual * scale| < 2^51: the
 * integer plus OPS_ROUNDER_BITS. */
QO_INLINE uint64_t ops_pattern(double residual, double scale)
{
    double rounded = residual * scale + OPS_ROUNDER;
    uint64_t bits;
    memcpy(&bits, &rounded, 8);
    return bits;
}

/* Pure. rint(residual * scale), for |residual * scale| < 2^51. */
QO_INLINE int64_t ops_fixed(double residual, double scale)
{
    return (int64_t)(ops_pattern(residual, scale) - (uint64_t)OPS_ROUNDER_BITS);
}

/*
 * Pure. The number of cuts below x, for cuts that are the nodes of a complete binary search tree:
 * tree[1] is the root, the children of tree[i] are tree[2i] and tree[2i + 1], missing cuts are
 * +inf. NaN gives 0.
 */
QO_INLINE int ops_code_f32(const float *tree, int steps, float x)
{
    unsigned node = 1;
    OPS_ROLLED
    for (int s = 0; s < steps; s++)
        node = 2 * node + (x > tree[node]);
    return (int)(node - (1u << steps));
}

/* Pure. The number of cuts below x, by the same tree in float64. */
QO_INLINE int ops_code_f64(const double *tree, int steps, double x)
{
    unsigned node = 1;
    OPS_ROLLED
    for (int s = 0; s < steps; s++)
        node = 2 * node + (x > tree[node]);
    return (int)(node - (1u << steps));
}

/* Pure. The sum of the error lanes of a block, as the fixed tree that kernels.h names. */
QO_INLINE double ops_lane_sum(const double *lane)
{
    double sum[QO_LANES];
    memcpy(sum, lane, sizeof sum);
    for (int half = QO_LANES / 2; half >= 1; half /= 2)
        for (int i = 0; i < half; i++)
            sum[i] += sum[i + half];
    return sum[0];
}

/*
 * Pure. Bits with `width` low bits set in every field of `field` bits: the masks of the packing
 * steps below.
 */
QO_INLINE uint64_t ops_fields(int field, int width)
{
    uint64_t one = ((uint64_t)1 << width) - 1, all = one; /* width <= 32 */
    for (int i = field; i < 64; i += field)
        all |= one << i;
    return all;
}

/*
 * Pure. Packs eight codes that stand in pairs, each pair in the low 2 * bits of 16 bits, into the
 * low 8 * bits bits; what lies above is undefined.
 */
QO_INLINE uint64_t ops_join(uint64_t v, int bits)
{
    uint64_t mask = ops_fields(32, 2 * bits);
    v = (v & mask) | (v >> (16 - 2 * bits) & ~mask);
    mask = ops_fields(64, 4 * bits);
    return (v & mask) | (v >> (32 - 4 * bits) & ~mask);
}

/*
 * Pure. Packs eight codes, one a byte, into the low 8 * bits bits; what lies above is undefined.
 * Neighbours are joined three times: two codes, four codes, eight codes.
 */
QO_INLINE uint64_t ops_pack(uint64_t v, int bits)
{
    uint64_t mask = ops_fields(16, bits);
    v = (v & mask) | (v >> (8 - bits) & ~mask);
    return ops_join(v, bits);
}

/* Pure. The reverse of ops_pack; bits above the low 8 * bits are ignored. */
QO_INLINE uint64_t ops_unpack(uint64_t v, int bits)
{
    uint64_t mask = ops_fields(64, 32);
    v = (v & mask) | (v << (32 - 4 * bits) & ~mask);
    mask = ops_fields(32, 16);
    v = (v & mask) | (v << (16 - 2 * bits) & ~mask);
    mask = ops_fields(16, 8);
    v = (v & mask) | (v << (8 - bits) & ~mask);
    return v & ops_fields(8, bits);
}

#endif
