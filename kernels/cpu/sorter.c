/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>

#include "cpu.h"

/* The largest float32 not above x; NaN stays NaN. */
static float float_below(double x)
{
    float f = (float)x;
    return (double)f > x ? nextafterf(f, -INFINITY) : f;
}

/* The smallest float32 not below x; NaN stays NaN. */
static float float_above(double x)
{
    float f = (float)x;
    return (double)f < x ? nextafterf(f, INFINITY) : f;
}

/* Hangs cut[k-1] into a tree of 2^steps - 1 nodes: at depth d they stand at odd multiples of
 * 2^(steps-1-d). */
static void hang_cuts(struct sorter *sorter, const struct level_table *table)
{
    for (int depth = 0; depth < sorter->steps; depth++) {
        for (int p = 0; p < 1 << depth; p++) {
            int node = (1 << depth) + p;
            int cut = ((2 * p + 1) << (sorter->steps - 1 - depth)) - 1;
            double value = cut < table->k - 1 ? table->cut[cut] : INFINITY;
            sorter->tree_f64[node] = value;
            sorter->tree_f32[node] = isinf(value) ? INFINITY : float_below(value);
        }
    }
}

static void set_bounds(struct sorter *sorter, const struct keep *keep)
{
    float lo = float_above(keep->lo), hi = float_below(keep->hi);
    sorter->lo_f32 =
        lo < -FLT_MAX ? -FLT_MAX : lo; /* written so that NaN stays: it keeps nothing */
    sorter->hi_f32 = hi > FLT_MAX ? FLT_MAX : hi;
    sorter->lo_f64 = keep->lo < -DBL_MAX ? -DBL_MAX : keep->lo;
    sorter->hi_f64 = keep->hi > DBL_MAX ? DBL_MAX : keep->hi;
}

void sorter_init_fills(struct sorter *sorter, const struct keep *keep)
{
    sorter->has_fills = keep->num_fills > 0;
    for (int i = 0; i < 2; i++) {
        double fill = i < keep->num_fills ? keep->fill[i] : (double)NAN;
        float narrow = (float)fill;
        sorter->fill_f64[i] = fill;
        sorter->fill_f32[i] = (double)narrow == fill ? narrow : NAN;
    }
}

void sorter_init(struct sorter *sorter, const struct level_table *table)
{
    *sorter = (struct sorter){.bits = table->bits, .k = table->k, .steps = 3};
    while (1 << sorter->steps < table->k)
        sorter->steps++;
    hang_cuts(sorter, table);
    set_bounds(sorter, &table->keep);
    sorter_init_fills(sorter, &table->keep);
    for (int i = 0; i < QO_MAX_LEVELS; i++) {
        int level = i < table->k ? i : table->k - 1;
        sorter->level[i] = table->level[level];
        sorter->scale[i] = table->scale[level];
    }
}
