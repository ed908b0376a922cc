/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_SORTER_H
#define QO_KERNELS_SORTER_H

#include "kernels.h"

/*
 * Where many levels are looked up: the elements' range is divided into slots so narrow that none
 * holds two cuts. An element's slot tells its code but for one comparison, with the slot's cut.
 *
 * An element's slot is the integer part of the sum of `num` ramps, clamp((x - start) * rate, 0,
 * SLOTS_TOP). In floating point, too, that never falls while x rises, so whatever the rounding, a
 * cut in a lower slot is below x and one in a higher slot is not. More than one ramp is needed
 * where cuts are denser in places; each further one stands where the ones before it are too coarse.
 */
#define SLOTS_RAMPS 3
#define SLOTS_TOP   2047
struct slots {
    int num;                                      /* of ramps; 0: too crowded, search (sorter.c) */
    double start[SLOTS_RAMPS], rate[SLOTS_RAMPS]; /* for up to 32 bits these are float32 */
    uint8_t base[SLOTS_RAMPS * (SLOTS_TOP + 1)];  /* cuts in lower slots */
};

/* What an element that has `code` cuts in lower slots needs next: row[code] and row[code + 1]. */
struct sorter_row {
    double cut, level;
};

/*
 * A level table made ready for one element type. Elements of up to 32 bits are compared in float32,
 * which decides the same: x > cut just when x > the largest float32 not above the cut, x >= lo just
 * when x >= the smallest float32 not below lo. Bounds are clamped to finite numbers, so NaN and
 * infinities fail them.
 */
struct sorter {
    int bits, k;
    int steps; /* of a bisection: 3 to 8, 2^steps >= k */
    bool has_fills;
    float lo_f32, hi_f32, fill_f32[2]; /* a fill that is not there is NaN and equals nothing */
    double lo_f64, hi_f64, fill_f64[2];
    float cut_f32[QO_MAX_LEVELS + 16];  /* ascending, then +inf; a vector may be read from any */
    double cut_f64[QO_MAX_LEVELS + 16]; /* of the first QO_MAX_LEVELS on */
    float tree_f32[QO_MAX_LEVELS];      /* the same as ops_code_f32 wants them */
    double tree_f64[QO_MAX_LEVELS];
    double level[QO_MAX_LEVELS];     /* above k: the last level again */
    double scale[QO_MAX_LEVELS + 1]; /* likewise */
    struct sorter_row row[QO_MAX_LEVELS + 1];
    struct slots slots; /* none for few levels, which are bisected in registers */
};

/* More levels than these are looked up by slots. */
#define SORTER_FEW 8

/* Local. Makes a sorter for elements of a type; cheap beside one block. */
void sorter_init(struct sorter *sorter, const struct level_table *table, enum element_type type);

/* Local. Makes the fills ready, and nothing else: for measuring. */
void sorter_init_fills(struct sorter *sorter, const struct keep *keep);

#endif
