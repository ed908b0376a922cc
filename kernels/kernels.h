/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_KERNELS_H
#define QO_KERNELS_KERNELS_H

#include "cells.h"
#include "element.h"
#include "exact.h"
#include "status.h"

/*
 * The arithmetic on a tile of numbers: five operations behind one struct, a folder a backend.
 *
 * What holds for every backend, SIMD level, number of threads and cut of a vector into tiles: each
 * result below is the same bits. Integers are exact; error sums are formed per block of QO_BLOCK
 * elements by global index, in QO_LANES lanes of float64 (lane = index mod QO_LANES, in index
 * order, a lane adding (x - level)^2 rounded after each operation, no FMA; an element without a
 * level adds nothing), the lanes added pairwise (lane i + lane i+8, then +4, +2, +1), and the
 * blocks exactly.
 */

/* The largest number of levels: 8 bits. */
#define QO_MAX_LEVELS 256

/*
 * Part of a vector in memory: x[n] elements, the first with global index `first`, which is a
 * multiple of QO_BLOCK. Only the last tile of a vector may have a size that is not. n may be 0.
 */
struct tile {
    enum element_type type;
    const void *x;
    int64_t n;
    int64_t first;
};

/*
 * Which elements get a level: finite ones with lo <= x <= hi (compared as float64) that equal no
 * fill value. All others are outliers, kept exactly.
 */
struct keep {
    double lo, hi; /* -inf and +inf where there is no bound */
    int num_fills; /* 0 to 2 */
    double
        fill[2]; /* as float64 values of the vector's own type; compared as values, so -0 == +0 */
};

/*
 * A quantizer made ready for the kernels. An element's code is the number of cuts strictly below
 * it, outliers included; NaN has code 0.
 */
struct level_table {
    int bits;                    /* of a code, 1 to 8 */
    int k;                       /* levels in use, 1 to 2^bits */
    double level[QO_MAX_LEVELS]; /* [k], finite, strictly ascending */
    double cut[QO_MAX_LEVELS];   /* [k-1], 0.5*level[i] + 0.5*level[i+1] */
    double
        scale[QO_MAX_LEVELS]; /* [k], powers of two: residuals (x - level) * scale fit FIXED_BITS */
    struct keep keep;
};

/*
 * Residuals are summed in fixed point with this many bits: a level's mean is right to 2^-40 of its
 * width. Fewer bits than float64 has leave room, in one 64-bit word, for the sum of many residuals
 * and their count (cpu/sums.h), and a block of 2^16 of them fits int64.
 */
#define FIXED_BITS 40

/*
 * Pure. Fills a table from level[k]. min and max are the smallest and largest element that can get
 * a level; they and the cuts bound each level's residuals and so set its scale: the largest power
 * of two, at most 2^1023, by which they stay within +-2^FIXED_BITS.
 */
void level_table_init(struct level_table *table, int bits, const double *level, int k,
                      const struct keep *keep, double min, double max);

/* A signed 128-bit sum, as two words. */
struct wide_sum {
    uint64_t low;
    int64_t high;
};

/* Local. Adds x to a wide sum. */
QO_INLINE void wide_sum_add(struct wide_sum *sum, int64_t x)
{
    uint64_t old = sum->low;
    sum->low += (uint64_t)x;
    sum->high += (x < 0 ? -1 : 0) + (sum->low < old);
}

/* What measure adds to. `cells` is the caller's array of map->num_cells. */
struct measure_totals {
    int64_t num_measured; /* elements in the cells: finite and no fill value */
    int64_t num_nonfinite;
    int64_t first_nonfinite; /* smallest global index of one; INT64_MAX if none */
    int64_t num_fill;        /* elements equal to a fill value */
    uint64_t min_key;        /* over measured elements; UINT64_MAX if none */
    uint64_t max_key;        /* 0 if none */
    struct cell *cells;
};

/* Local. Totals of nothing, with the caller's zeroed cells. */
void measure_totals_init(struct measure_totals *totals, struct cell *cells);

/* What assign adds to; zeroed before the first tile. */
struct assign_totals {
    int64_t num_outliers;
    int64_t count[QO_MAX_LEVELS];            /* elements of each level */
    struct wide_sum residual[QO_MAX_LEVELS]; /* sum of rint((x - level) * scale) */
    struct exact_sum error;                  /* sum of squared errors */
};

/* What encode adds to; zeroed before the first tile. */
struct encode_totals {
    int64_t num_outliers;
    double max_error;       /* largest |x - level| over elements that get a level */
    struct exact_sum error; /* sum of squared errors */
};

/* A run of outliers, in index order; index[capacity] and value[capacity] are the caller's. */
struct outlier_list {
    int64_t capacity;
    int64_t count;
    uint64_t *index; /* global */
    void *value;     /* in the vector's own type */
};

struct engine_state;

/* A backend at work: what engine_open gives. */
struct engine {
    const struct kernels *kernels;
    int threads;                /* of this rank, at least 1 */
    struct engine_state *state; /* the backend's own: scratch tables, device buffers */
};

/*
 * A backend. All functions are Local, called by one thread, and run on engine->threads threads or
 * the device. They return QO_OK, QO_NO_MEMORY, or (devices only) QO_UNAVAILABLE; after a failure
 * the totals are undefined. n = 0 is allowed everywhere and adds nothing.
 */
struct kernels {
    const char *name; /* "portable", "avx2", "avx512", "cuda" */

    /* Makes engine->state; called by engine_open. close frees it, and may be called twice. */
    enum status (*open)(struct engine *engine);
    void (*close)(struct engine *engine);

    /*
     * Tells that a tile will be looked at again and again, and that its elements do not change
     * until it is released: a device may keep a copy of it. QO_OK too where it keeps none.
     */
    enum status (*hold)(struct engine *engine, const struct tile *tile);
    void (*release)(struct engine *engine, const struct tile *tile);

    /* Adds the tile's cells, extremes and counts. keep->lo and hi are not looked at; its fills are.
     */
    enum status (*measure)(struct engine *engine, const struct tile *tile, const struct keep *keep,
                           const struct cell_map *map, struct measure_totals *totals);

    /* One Lloyd step: adds, per level, the count and the fixed-point residuals, and the squared
     * error. Counts and residuals are defined if the table's min and max are true. */
    enum status (*assign)(struct engine *engine, const struct tile *tile,
                          const struct level_table *table, struct assign_totals *totals);

    /*
     * Writes code i of the tile into bits [i*bits, (i+1)*bits) of the little-endian bit stream
     * codes[ceil(n*bits/8)], unused bits of the last byte 0, and adds the errors.
     */
    enum status (*encode)(struct engine *engine, const struct tile *tile,
                          const struct level_table *table, uint8_t *codes,
                          struct encode_totals *totals);

    /*
     * What encode adds to its totals, for several quantizers in one walk and without codes:
     * table[num] to totals[num].
     */
    enum status (*score)(struct engine *engine, const struct tile *tile,
                         const struct level_table *table, int num, struct encode_totals *totals);

    /*
     * Lists the outliers of the tile from its element *position on, until the list is full or the
     * tile ends; list->count starts at 0. Moves *position behind the last element looked at.
     */
    enum status (*collect)(struct engine *engine, const struct tile *tile,
                           const struct level_table *table, int64_t *position,
                           struct outlier_list *list);

    /* x[i] = level[code i], rounded to nearest even in `type`, for n codes from the start of a
     * byte. */
    enum status (*decode)(struct engine *engine, const uint8_t *codes, int64_t n,
                          const struct level_table *table, enum element_type type, void *x);
};

/* Which backend: the best SIMD level of this machine, a certain one, or a GPU. */
enum backend { BACKEND_CPU, BACKEND_PORTABLE, BACKEND_AVX2, BACKEND_AVX512, BACKEND_CUDA };

/*
 * Local. Opens a backend. QO_UNAVAILABLE, and the reason, if this build or machine lacks it.
 * BACKEND_CPU takes the level that QUANTOPT_SIMD=portable|avx2|avx512 in the environment names,
 * else the best one; QO_USAGE for another value. BACKEND_CUDA takes the GPU that device_select
 * chose, else the first, and does not look at that variable; `threads` >= 1 copy for it.
 */
QO_MUST_USE enum status engine_open(struct engine *engine, enum backend backend, int threads);

/* Local. Frees everything; a zeroed or closed engine may be closed again. */
void engine_close(struct engine *engine);

/* Pure. Whether this machine can run a backend of this build. */
bool engine_supports(enum backend backend);

#endif
