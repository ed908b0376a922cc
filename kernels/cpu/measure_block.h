/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_MEASURE_BLOCK_H
#define QO_KERNELS_MEASURE_BLOCK_H

#include "cpu.h"

/*
 * Measuring a block: integers only, so that every SIMD level may compile the same C with its own instructions and
 * can differ in nothing. A level brings the two loops worth vector code, keys and counting; or takes these.
 *
 * A chunk goes through three loops, because each then keeps many elements in flight: keys; cells, asking for their
 * cache lines; counting.
 */

/* Elements of a chunk: their cells, a cache line each, fill half of a first-level cache. */
#define MEASURE_CHUNK 256

/*
 * Keys of float32, and extremes over the finite. Signed keys (the order-preserving key with its top bit flipped) are
 * compared, because every SIMD level can.
 */
CPU_INLINE void measure_keys_f32(const uint32_t *bits, int n, uint32_t *key, int32_t *min, int32_t *max)
{
    const int32_t first = (int32_t)0x80800000, last = 0x7f7fffff; /* -FLT_MAX, FLT_MAX */
    int32_t least = *min, most = *max;
    for (int i = 0; i < n; i++) {
        int32_t word = (int32_t)bits[i];
        int32_t order = word ^ (int32_t)((uint32_t)(word >> 31) >> 1);
        bool finite = (order >= first) & (order <= last);
        int32_t low = finite ? order : INT32_MAX, high = finite ? order : INT32_MIN;
        least = low < least ? low : least;
        most = high > most ? high : most;
        key[i] = (uint32_t)order ^ 0x80000000u;
    }
    *min = least;
    *max = most;
}

/* Turns fills into NaN and counts them. */
CPU_INLINE int64_t measure_hide_f32(const struct sorter *fills, uint32_t *bits, int n)
{
    int64_t count = 0;
    for (int i = 0; i < n; i++) {
        float value = element_f32(bits[i]);
        bool fill = (value == fills->fill_f32[0]) | (value == fills->fill_f32[1]);
        bits[i] = fill ? 0x7fffffffu : bits[i];
        count += fill;
    }
    return count;
}

/* The cells of keys[n]. */
CPU_INLINE void measure_find_f32(const struct lookup *lookup, const uint32_t *key, int n,
                                 const struct slim_cell *table, uint32_t *cell)
{
    for (int i = 0; i < n; i++) {
        cell[i] = (uint32_t)lookup_find(lookup, key[i]);
        __builtin_prefetch(&table[cell[i]], 1);
    }
}

CPU_INLINE void measure_count_f32(const uint32_t *key, const uint32_t *cell, int n,
                                  struct slim_cell *table)
{
    for (int i = 0; i < n; i++) {
        uint64_t mantissa = key[i] & 0x7fffff, square = mantissa * mantissa;
        struct slim_cell *slim = &table[cell[i]];
        slim->count += 1;
        slim->sum += mantissa;
        slim->square_low += (uint32_t)square;
        slim->square_high += square >> 32;
    }
}

/* The order-preserving unsigned key of a signed one, if any was seen, folded into a part's extremes. */
CPU_INLINE void measure_extremes(struct measure_part *part, uint64_t min, uint64_t max)
{
    part->min_key = min < part->min_key ? min : part->min_key;
    part->max_key = max > part->max_key ? max : part->max_key;
}

CPU_INLINE void measure_block_f32(const struct lookup *lookup, const struct sorter *fills,
                                  const uint32_t *x, int64_t n, struct measure_part *part)
{
    uint32_t bits[MEASURE_CHUNK], key[MEASURE_CHUNK], cell[MEASURE_CHUNK];
    int32_t min = INT32_MAX, max = INT32_MIN;
    for (int64_t i = 0; i < n; i += MEASURE_CHUNK) {
        int m = n - i < MEASURE_CHUNK ? (int)(n - i) : MEASURE_CHUNK;
        const uint32_t *source = x + i;
        if (fills->has_fills) {
            memcpy(bits, source, (size_t)m * sizeof *bits);
            part->num_fill += measure_hide_f32(fills, bits, m);
            source = bits;
        }
        measure_keys_f32(source, m, key, &min, &max);
        measure_find_f32(lookup, key, m, part->slim, cell);
        measure_count_f32(key, cell, m, part->slim);
    }
    if (min <= max) /* else nothing was finite */
        measure_extremes(part, (uint32_t)min ^ 0x80000000u, (uint32_t)max ^ 0x80000000u);
}

/* Keys of float64; a fill becomes NaN and is counted. */
CPU_INLINE void measure_keys_f64(const struct sorter *fills, const uint64_t *x, int n,
                                 uint64_t *key, struct measure_part *part)
{
    for (int i = 0; i < n; i++) {
        uint64_t bits = x[i];
        double value = element_f64(bits);
        bool fill = (value == fills->fill_f64[0]) | (value == fills->fill_f64[1]);
        bits = fill ? (uint64_t)INT64_MAX : bits;
        part->num_fill += fill;
        key[i] = element_key(ELEMENT_F64, bits);
        if (element_is_finite(ELEMENT_F64, bits))
            measure_extremes(part, key[i], key[i]);
    }
}

CPU_INLINE void measure_block_f64(const struct lookup *lookup, const struct sorter *fills,
                                  const uint64_t *x, int64_t n, struct measure_part *part)
{
    uint64_t key[MEASURE_CHUNK];
    uint32_t cell[MEASURE_CHUNK];
    for (int64_t i = 0; i < n; i += MEASURE_CHUNK) {
        int m = n - i < MEASURE_CHUNK ? (int)(n - i) : MEASURE_CHUNK;
        measure_keys_f64(fills, x + i, m, key, part);
        for (int j = 0; j < m; j++) {
            cell[j] = (uint32_t)lookup_find(lookup, key[j]);
            __builtin_prefetch(&part->cell[cell[j]], 1);
        }
        for (int j = 0; j < m; j++)
            cell_add(&part->cell[cell[j]], key[j] - lookup->before[cell[j]] - 1);
    }
}

/* 16-bit types: how often each bit pattern occurs; what it means is asked once, when merging. */
CPU_INLINE void measure_block_16(const uint16_t *x, int64_t n, struct measure_part *part)
{
    uint32_t *even = part->pattern, *odd = part->pattern + 65536;
    int64_t i = 0;
    for (; i + 2 <= n; i += 2) {
        even[x[i]]++;
        odd[x[i + 1]]++;
    }
    if (i < n)
        even[x[i]]++;
}

CPU_INLINE void measure_block(const struct lookup *lookup, const struct sorter *fills,
                              enum element_type type, const void *x, int64_t n,
                              struct measure_part *part)
{
    if (type == ELEMENT_F64)
        measure_block_f64(lookup, fills, x, n, part);
    else if (type == ELEMENT_F32)
        measure_block_f32(lookup, fills, x, n, part);
    else
        measure_block_16(x, n, part);
}

#endif
