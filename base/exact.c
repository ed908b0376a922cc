/* SPDX-License-Identifier: Apache-2.0 */
#include "exact.h"

#include <math.h>
#include <string.h>

void exact_sum_add(struct exact_sum *sum, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, 8);
    unsigned exponent = (unsigned)(bits >> 52) & 0x7ff;
    if (exponent == 0x7ff) {
        sum->num_infinite++;
        return;
    }
    uint64_t mantissa = bits & 0xfffffffffffffu;
    unsigned shift = 0; /* x = mantissa * 2^(shift - 1074) */
    if (exponent > 0) {
        mantissa |= 0x10000000000000u;
        shift = exponent - 1;
    }
    unsigned limb = shift / 32, offset = shift % 32;
    unsigned __int128 wide = (unsigned __int128)mantissa << offset;
    sum->limb[limb] += (int64_t)(uint32_t)wide;
    sum->limb[limb + 1] += (int64_t)(uint32_t)(wide >> 32);
    sum->limb[limb + 2] += (int64_t)(uint32_t)(wide >> 64);
}

void exact_sum_merge(struct exact_sum *sum, const struct exact_sum *other)
{
    for (int i = 0; i < EXACT_LIMBS; i++)
        sum->limb[i] += other->limb[i];
    sum->num_infinite += other->num_infinite;
}

void exact_sum_carry(struct exact_sum *sum)
{
    int64_t carry = 0;
    for (int i = 0; i < EXACT_LIMBS; i++) {
        int64_t value = sum->limb[i] + carry;
        sum->limb[i] = value & 0xffffffff;
        carry = value >> 32;
    }
}

/* Bits [low, low + 64) of a carried sum. */
static uint64_t window(const struct exact_sum *sum, int low)
{
    uint64_t bits = 0;
    for (int i = low / 32, shift = -(low % 32); shift < 64 && i < EXACT_LIMBS; i++, shift += 32) {
        uint64_t limb = (uint64_t)sum->limb[i];
        bits |= shift < 0 ? limb >> -shift : limb << shift;
    }
    return bits;
}

double exact_sum_round(const struct exact_sum *sum)
{
    if (sum->num_infinite)
        return INFINITY;
    struct exact_sum carried = *sum;
    exact_sum_carry(&carried);
    int top = EXACT_LIMBS - 1;
    while (top >= 0 && carried.limb[top] == 0)
        top--;
    if (top < 0)
        return 0.0;
    int highest = 32 * top + 31 - __builtin_clz((unsigned)carried.limb[top]);
    if (highest <= 52) /* fits a mantissa: exact, subnormal or not */
        return ldexp((double)window(&carried, 0), -1074);
    int low = highest - 52;
    uint64_t mantissa = window(&carried, low) & 0x1fffffffffffffu;
    uint64_t half = window(&carried, low - 1) & 1;
    uint64_t rest = 0; /* is anything left below the half? */
    for (int i = 0; i < low - 1 && !rest; i += 32)
        rest = (uint64_t)carried.limb[i / 32] &
               (low - 1 - i >= 32 ? 0xffffffffu : (1u << (low - 1 - i)) - 1);
    mantissa += half && (rest || (mantissa & 1));
    return ldexp((double)mantissa, low - 1074);
}
