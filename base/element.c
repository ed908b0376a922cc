/* SPDX-License-Identifier: Apache-2.0 */
#include "element.h"

static const char *const names[ELEMENT_NUM_TYPES] = {
    [ELEMENT_F16] = "float16",
    [ELEMENT_BF16] = "bfloat16",
    [ELEMENT_F32] = "float32",
    [ELEMENT_F64] = "float64",
};

const char *element_name(enum element_type type)
{
    return names[type];
}

bool element_find(const char *name, enum element_type *type)
{
    for (int i = 0; i < ELEMENT_NUM_TYPES; i++) {
        if (strcmp(name, names[i]) == 0) {
            *type = (enum element_type)i;
            return true;
        }
    }
    return false;
}

/*
 * Rounds the magnitude of a finite double to `mantissa` bits with exponents of `width` bits. The
 * bits of the double are shifted right and rounded to even once; a carry out of the mantissa lands
 * in the exponent, as it should. Going through float32 would round twice.
 */
static uint64_t narrow(double x, int mantissa, int width)
{
    uint64_t bits, fraction;
    memcpy(&bits, &x, 8);
    bits &= INT64_MAX;
    int bias = (1 << (width - 1)) - 1;
    int exponent = (int)(bits >> 52) - 1023 + bias;
    uint64_t infinity = (((uint64_t)1 << width) - 1) << mantissa;
    if (exponent >= (1 << width) - 1)
        return infinity;
    fraction = (bits & 0xfffffffffffffu) | 0x10000000000000u;
    int drop = 52 - mantissa;
    uint64_t base = 0;
    if (exponent <= 0) { /* the result is subnormal: more bits fall off, and no implicit one */
        drop += 1 - exponent;
        if (drop > 54)
            return 0;
    } else {
        base = (uint64_t)(exponent - 1) << mantissa; /* the implicit one adds the last 1 */
    }
    uint64_t kept = fraction >> drop, rest = fraction & (((uint64_t)1 << drop) - 1);
    uint64_t half = (uint64_t)1 << (drop - 1);
    kept += rest > half || (rest == half && (kept & 1));
    return base + kept;
}

uint64_t element_from_double(enum element_type type, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, 8);
    if (type == ELEMENT_F64)
        return bits;
    if (type == ELEMENT_F32) {
        float single = (float)x;
        uint32_t word;
        memcpy(&word, &single, 4);
        return word;
    }
    int mantissa = element_mantissa_bits(type), width = 15 - mantissa;
    uint64_t sign = bits >> 63 << 15;
    if (x != x) /* a quiet NaN */
        return sign | ((((uint64_t)1 << width) - 1) << mantissa) | (uint64_t)1 << (mantissa - 1);
    return sign | narrow(x, mantissa, width);
}

void element_swap_bytes(enum element_type type, void *x, int64_t n)
{
    char *byte = x;
    switch (element_size(type)) {
    case 8:
        for (int64_t i = 0; i < n; i++) {
            uint64_t v;
            memcpy(&v, byte + 8 * i, 8);
            v = __builtin_bswap64(v);
            memcpy(byte + 8 * i, &v, 8);
        }
        break;
    case 4:
        for (int64_t i = 0; i < n; i++) {
            uint32_t v;
            memcpy(&v, byte + 4 * i, 4);
            v = __builtin_bswap32(v);
            memcpy(byte + 4 * i, &v, 4);
        }
        break;
    default:
        for (int64_t i = 0; i < n; i++) {
            uint16_t v;
            memcpy(&v, byte + 2 * i, 2);
            v = __builtin_bswap16(v);
            memcpy(byte + 2 * i, &v, 2);
        }
    }
}
