/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_BASE_ELEMENT_H
#define QO_BASE_ELEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Element types and the arithmetic of one element. The inline functions stand once, for the C and
 * the CUDA compiler; both compile without FMA contraction, so that CPU and GPU agree bit for bit.
 */
#ifdef __CUDACC__
#    define QO_INLINE static __host__ __device__ inline
#else
#    define QO_INLINE static inline
#endif

/* Elements of a block: the unit of sharding, and of what is summed in floating point. A block's
 * codes fill whole bytes for any bit width. */
#define QO_BLOCK 65536

/* Lanes of the float64 error sums inside a block: element i of the vector adds to lane i %
 * QO_LANES. */
#define QO_LANES 16

enum element_type { ELEMENT_F16, ELEMENT_BF16, ELEMENT_F32, ELEMENT_F64, ELEMENT_NUM_TYPES };

/* Pure. "float16", "bfloat16", "float32" or "float64". */
const char *element_name(enum element_type type);

/* Pure. Sets *type from its name; false if there is no such type. */
bool element_find(const char *name, enum element_type *type);

/* Pure. The nearest element to x, ties to even: the low element_size(type) bytes of the result. */
uint64_t element_from_double(enum element_type type, double x);

/* Local. Reverses the bytes of each of x[n], in place. */
void element_swap_bytes(enum element_type type, void *x, int64_t n);

/* Pure. Bytes of an element. */
QO_INLINE size_t element_size(enum element_type type)
{
    return type == ELEMENT_F64 ? 8 : type == ELEMENT_F32 ? 4 : 2;
}

/* Pure. Explicit bits of the mantissa: the numbers of a binade share all bits above these. */
QO_INLINE int element_mantissa_bits(enum element_type type)
{
    return type == ELEMENT_F64 ? 52 : type == ELEMENT_F32 ? 23 : type == ELEMENT_F16 ? 10 : 7;
}

/* Pure. The bit pattern of element i of x. */
QO_INLINE uint64_t element_bits(enum element_type type, const void *x, int64_t i)
{
    uint64_t wide;
    uint32_t word;
    uint16_t half;
    switch (type) {
    case ELEMENT_F64:
        memcpy(&wide, (const char *)x + 8 * i, 8);
        return wide;
    case ELEMENT_F32:
        memcpy(&word, (const char *)x + 4 * i, 4);
        return word;
    default:
        memcpy(&half, (const char *)x + 2 * i, 2);
        return half;
    }
}

/* Pure. The float64 of a bit pattern. */
QO_INLINE double element_f64(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, 8);
    return x;
}

/* Pure. 2^exponent, -1022 <= exponent <= 1023, by its bit pattern: no library function has a say in
 * it. */
QO_INLINE double element_power_of_two(int exponent)
{
    return element_f64((uint64_t)(exponent + 1023) << 52);
}

/* Pure. The float32 of a bit pattern. */
QO_INLINE float element_f32(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

/* Pure. float16 to float32; exact, NaN payloads kept. */
QO_INLINE float element_f16(uint32_t bits)
{
    uint32_t sign = (bits & 0x8000u) << 16;
    uint32_t exponent = (bits >> 10) & 0x1fu, mantissa = bits & 0x3ffu;
    if (exponent == 0) { /* zero or subnormal: mantissa * 2^-24 */
        float x = (float)mantissa * 0x1p-24f;
        return sign ? -x : x;
    }
    if (exponent == 0x1f)
        return element_f32(sign | 0x7f800000u | mantissa << 13);
    return element_f32(sign | (exponent + 112) << 23 | mantissa << 13);
}

/* Pure. The value of a bit pattern; exact. */
QO_INLINE double element_value(enum element_type type, uint64_t bits)
{
    switch (type) {
    case ELEMENT_F64:
        return element_f64(bits);
    case ELEMENT_F32:
        return (double)element_f32((uint32_t)bits);
    case ELEMENT_BF16:
        return (double)element_f32((uint32_t)bits << 16);
    default:
        return (double)element_f16((uint32_t)bits);
    }
}

/* Pure. The sign bit of a type. */
QO_INLINE uint64_t element_sign(enum element_type type)
{
    return (uint64_t)1 << (8 * element_size(type) - 1);
}

/*
 * Pure. The order-preserving key of a bit pattern: all bits of a negative flipped, the sign bit of
 * a positive. Keys compare as the values do; -0.0 and +0.0 are neighbours. Within a binade, that is
 * while key >> mantissa bits stays the same, a step of 1 in the key is a step of one ulp in the
 * value.
 */
QO_INLINE uint64_t element_key(enum element_type type, uint64_t bits)
{
    uint64_t sign = element_sign(type);
    return bits & sign ? ~bits & (sign | (sign - 1)) : bits | sign;
}

/* Pure. The bit pattern of a key. */
QO_INLINE uint64_t element_unkey(enum element_type type, uint64_t key)
{
    uint64_t sign = element_sign(type);
    return key & sign ? key & ~sign : ~key & (sign | (sign - 1));
}

/* Pure. The largest key of a type: the bit pattern with all bits set. */
QO_INLINE uint64_t element_last_key(enum element_type type)
{
    return element_sign(type) | (element_sign(type) - 1);
}

/* Pure. Whether a bit pattern is neither an infinity nor NaN. */
QO_INLINE bool element_is_finite(enum element_type type, uint64_t bits)
{
    uint64_t mantissa = ((uint64_t)1 << element_mantissa_bits(type)) - 1;
    uint64_t exponent = (element_sign(type) - 1) & ~mantissa;
    return (bits & exponent) != exponent;
}

#endif
