/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels.h"

/* The largest exponent of a scale: 2^1023 is the largest power of two in float64. */
#define MAX_SCALE_EXPONENT 1023

/*
 * The largest power of two, at most 2^1023, that brings `residual` >= 0 to at most 2^FIXED_BITS.
 * With residual = m * 2^e, 1 <= m < 2, that is 2^(FIXED_BITS - e) for m = 1 and half of it for a
 * larger m.
 */
static double scale_for(double residual)
{
    if (!(residual > 0))
        return 1.0;
    uint64_t bits;
    memcpy(&bits, &residual, 8);
    int exponent = (int)(bits >> 52) - 1023; /* -1023 for a subnormal, 1024 for +inf */
    int scale = FIXED_BITS - exponent - ((bits & 0xfffffffffffffu) != 0);
    return element_power_of_two(scale < MAX_SCALE_EXPONENT ? scale : MAX_SCALE_EXPONENT);
}

/*
 * The largest residual of a level as the kernels round it. Rounded subtraction is monotone, so the
 * ends of the level's cell bound all that lies between.
 */
static double largest_residual(const struct level_table *table, int i, double min, double max)
{
    double first = i > 0 ? fmax(min, table->cut[i - 1]) : min;
    double last = i < table->k - 1 ? fmin(max, table->cut[i]) : max;
    if (!(first <= last)) /* no element can get this level */
        return 0.0;
    return fmax(fabs(first - table->level[i]), fabs(last - table->level[i]));
}

void level_table_init(struct level_table *table, int bits, const double *level, int k,
                      const struct keep *keep, double min, double max)
{
    assert(bits >= 1 && bits <= 8 && k >= 1 && k <= 1 << bits);
    *table = (struct level_table){.bits = bits, .k = k, .keep = *keep};
    memcpy(table->level, level, (size_t)k * sizeof *level);
    for (int i = 0; i + 1 < k; i++) /* halves first: the sum of two huge levels would overflow */
        table->cut[i] = 0.5 * level[i] + 0.5 * level[i + 1];
    for (int i = 0; i < k; i++)
        table->scale[i] = scale_for(largest_residual(table, i, min, max));
}
