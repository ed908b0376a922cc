/* SPDX-License-Identifier: Apache-2.0 */
#include "sorter.h"

#include <float.h>
#include <math.h>

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

/* Fills the tables of cuts, levels and scales, with what stands behind the last of them. */
static void set_levels(struct sorter *sorter, const struct level_table *table)
{
    for (int i = 0; i < QO_MAX_LEVELS + 16; i++) {
        double cut = i < table->k - 1 ? table->cut[i] : INFINITY;
        sorter->cut_f64[i] = cut;
        sorter->cut_f32[i] = isinf(cut) ? INFINITY : float_below(cut);
    }
    for (int i = 0; i <= QO_MAX_LEVELS; i++) {
        int level = i < table->k ? i : table->k - 1;
        sorter->scale[i] = table->scale[level];
        sorter->row[i] = (struct sorter_row){sorter->cut_f64[i], table->level[level]};
        if (i < QO_MAX_LEVELS)
            sorter->level[i] = table->level[level];
    }
}

/* Hangs the cuts into trees of 2^steps - 1 nodes: at depth d they stand at odd multiples of
 * 2^(steps-1-d). */
static void hang_cuts(struct sorter *sorter)
{
    for (int depth = 0; depth < sorter->steps; depth++) {
        for (int p = 0; p < 1 << depth; p++) {
            int node = (1 << depth) + p;
            int cut = ((2 * p + 1) << (sorter->steps - 1 - depth)) - 1;
            sorter->tree_f64[node] = sorter->cut_f64[cut];
            sorter->tree_f32[node] = sorter->cut_f32[cut];
        }
    }
}

/* The place of cut i on all ramps, in the arithmetic in which the elements' places are computed. */
static double place_of(const struct sorter *sorter, int i, bool narrow)
{
    const struct slots *slots = &sorter->slots;
    double place = 0;
    float single = 0;
    for (int r = 0; r < slots->num; r++) {
        double on = (sorter->cut_f64[i] - slots->start[r]) * slots->rate[r];
        float on_f32 = (sorter->cut_f32[i] - (float)slots->start[r]) * (float)slots->rate[r];
        place += fmin(fmax(on, 0), SLOTS_TOP);
        single += fminf(fmaxf(on_f32, 0), SLOTS_TOP);
    }
    return narrow ? (double)single : place;
}

/* Cuts first to last. */
struct run {
    int first, last;
};

/* Adds a ramp over a run of cuts; false if their distance is no number to compute with. */
static bool add_ramp(struct sorter *sorter, struct run run, bool narrow)
{
    struct slots *slots = &sorter->slots;
    double start = narrow ? (double)sorter->cut_f32[run.first] : sorter->cut_f64[run.first];
    double end = narrow ? (double)sorter->cut_f32[run.last] : sorter->cut_f64[run.last];
    double rate = SLOTS_TOP / (end - start);
    float rate_f32 = (float)rate;
    if (!isfinite(end - start) || !isnormal(rate) || (narrow && !isnormal(rate_f32)))
        return false;
    slots->start[slots->num] = start;
    slots->rate[slots->num] = narrow ? (double)rate_f32 : rate;
    slots->num++;
    return true;
}

/* The longest run of cuts less than a slot apart; one cut if there are none. */
static struct run find_crowd(const double *place, int num_cuts)
{
    struct run longest = {0, 0}, run = {0, 0};
    for (int i = 1; i < num_cuts; i++) {
        if (place[i] - place[i - 1] >= 1)
            run.first = i;
        run.last = i;
        if (run.last - run.first > longest.last - longest.first)
            longest = run;
    }
    return longest;
}

/* Counts the cuts in lower slots; false if a slot holds two. */
static bool fill_slots(struct slots *slots, const double *place, int num_cuts)
{
    int slot = 0;
    for (int i = 0; i < num_cuts; i++) {
        int next = (int)place[i] + 1;
        if (next <= slot)
            return false;
        memset(slots->base + slot, i, (size_t)(next - slot));
        slot = next;
    }
    memset(slots->base + slot, num_cuts, sizeof slots->base - (size_t)slot);
    return true;
}

/* No ramps: an element's code is searched for and is its slot, with itself as the base. */
static void set_no_slots(struct slots *slots)
{
    slots->num = 0;
    for (int i = 0; i < QO_MAX_LEVELS; i++)
        slots->base[i] = (uint8_t)i;
}

/* Lays ramps over the cuts until no slot holds two of them; none if that cannot be had. */
static void set_slots(struct sorter *sorter, bool narrow)
{
    struct slots *slots = &sorter->slots;
    double place[QO_MAX_LEVELS];
    int num_cuts = sorter->k - 1;
    struct run run = {0, num_cuts - 1};
    slots->num = 0;
    while (run.first < run.last && slots->num < SLOTS_RAMPS && add_ramp(sorter, run, narrow)) {
        for (int i = 0; i < num_cuts; i++)
            place[i] = place_of(sorter, i, narrow);
        run = find_crowd(place, num_cuts);
    }
    if (slots->num == 0 || !fill_slots(slots, place, num_cuts))
        set_no_slots(slots);
}

void sorter_init(struct sorter *sorter, const struct level_table *table, enum element_type type)
{
    *sorter = (struct sorter){.bits = table->bits, .k = table->k, .steps = 3};
    while (1 << sorter->steps < table->k)
        sorter->steps++;
    set_levels(sorter, table);
    hang_cuts(sorter);
    set_bounds(sorter, &table->keep);
    sorter_init_fills(sorter, &table->keep);
    if (table->k > SORTER_FEW)
        set_slots(sorter, type != ELEMENT_F64);
}
