/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_MEASURE_BLOCK_H
#define QO_KERNELS_MEASURE_BLOCK_H

#include "cpu.h"

/*
 * Measuring a block: integers only, so that every SIMD level may compile the same C with its own
 * instructions and can differ in nothing. A level brings the two loops worth vector code, keys and
 * counting; or takes these.
 *
 * A chunk goes through four loops, keys, slots, cells, counting: each asks for the cache lines of
 * the next, and is short enough for the processor to have many elements in flight.
 */

/* Elements of a chunk: their cells, a cache line each, fill half of a first-level cache. */
#define MEASURE_CHUNK 256

/*
 * Keys of float32, and extremes over the finite. Signed keys (the order-preserving key with its top
 * bit flipped) are compared, because every SIMD level can.
 */
CPU_INLINE void measure_keys_f32(const uint32_t *bits, int n, uint32_t *key, int32_t *min,
                                 int32_t *max)
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

/* The slots of key[n]. */
CPU_INLINE void measure_slots_f32(const struct lookup *lookup, const uint32_t *key, int n,
                                  uint32_t *slot)
{
    for (int i = 0; i < n; i++) {
        slot[i] = (uint32_t)lookup_slot_of(lookup, key[i]);
        __builtin_prefetch(&lookup->slot[slot[i]]);
    }
}

/* The cells of key[n] from their slots, in place. */
CPU_INLINE void measure_cells_f32(const struct lookup *lookup, const uint32_t *key, int n,
                                  const struct slim_cell *table, uint32_t *slot)
{
    for (int i = 0; i < n; i++) {
        slot[i] = (uint32_t)lookup_cell_f32(lookup, slot[i], key[i]);
        __builtin_prefetch(&table[slot[i]], 1);
    }
}

/* Sums of whole mantissas: offsets from a cell's first key follow from them at the merge. */
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

/* The order-preserving unsigned key of a signed one, if any was seen, folded into a part's
 * extremes. */
CPU_INLINE void measure_extremes(struct measure_part *part, uint64_t min, uint64_t max)
{
    part->min_key = min < part->min_key ? min : part->min_key;
    part->max_key = max > part->max_key ? max : part->max_key;
}

/* A block of float32, chunk by chunk: keys, then cells, then their sums. */
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
        measure_slots_f32(lookup, key, m, cell);
        measure_cells_f32(lookup, key, m, part->slim, cell);
        measure_count_f32(key, cell, m, part->slim);
    }
    if (min <= max) /* else nothing was finite */
        measure_extremes(part, (uint32_t)min ^ 0x80000000u, (uint32_t)max ^ 0x80000000u);
}

/* As for float32. */
CPU_INLINE void measure_keys_f64(const uint64_t *bits, int n, uint64_t *key, int64_t *min,
                                 int64_t *max)
{
    const int64_t last = INT64_C(0x7fefffffffffffff), first = -last - 1; /* DBL_MAX, -DBL_MAX */
    int64_t least = *min, most = *max;
    for (int i = 0; i < n; i++) {
        int64_t word = (int64_t)bits[i];
        int64_t order = word ^ (int64_t)((uint64_t)(word >> 63) >> 1);
        bool finite = (order >= first) & (order <= last);
        int64_t low = finite ? order : INT64_MAX, high = finite ? order : INT64_MIN;
        least = low < least ? low : least;
        most = high > most ? high : most;
        key[i] = (uint64_t)order ^ ((uint64_t)1 << 63);
    }
    *min = least;
    *max = most;
}

/* Makes NaN of fill values, so that one test leaves both out; returns how many. */
CPU_INLINE int64_t measure_hide_f64(const struct sorter *fills, uint64_t *bits, int n)
{
    int64_t count = 0;
    for (int i = 0; i < n; i++) {
        double value = element_f64(bits[i]);
        bool fill = (value == fills->fill_f64[0]) | (value == fills->fill_f64[1]);
        bits[i] = fill ? (uint64_t)INT64_MAX : bits[i];
        count += fill;
    }
    return count;
}

/* The cell of each key, in two rounds: the cache misses of one overlap. */
CPU_INLINE void measure_cells_f64(const struct lookup *lookup, const uint64_t *key, int n,
                                  const struct cell *table, uint32_t *cell)
{
    for (int i = 0; i < n; i++) {
        cell[i] = (uint32_t)lookup_slot_of(lookup, key[i]);
        __builtin_prefetch(&lookup->slot[cell[i]]);
    }
    for (int i = 0; i < n; i++) {
        cell[i] = (uint32_t)lookup_cell_f64(lookup, cell[i], key[i]);
        __builtin_prefetch(&table[cell[i]], 1);
    }
}

/* A block of float64, chunk by chunk: keys, then cells, then their sums. */
CPU_INLINE void measure_block_f64(const struct lookup *lookup, const struct sorter *fills,
                                  const uint64_t *x, int64_t n, struct measure_part *part)
{
    const uint64_t sign = (uint64_t)1 << 63;
    uint64_t bits[MEASURE_CHUNK], key[MEASURE_CHUNK];
    uint32_t cell[MEASURE_CHUNK];
    int64_t min = INT64_MAX, max = INT64_MIN;
    for (int64_t i = 0; i < n; i += MEASURE_CHUNK) {
        int m = n - i < MEASURE_CHUNK ? (int)(n - i) : MEASURE_CHUNK;
        const uint64_t *source = x + i;
        if (fills->has_fills) {
            memcpy(bits, source, (size_t)m * sizeof *bits);
            part->num_fill += measure_hide_f64(fills, bits, m);
            source = bits;
        }
        measure_keys_f64(source, m, key, &min, &max);
        measure_cells_f64(lookup, key, m, part->cell, cell);
        for (int j = 0; j < m; j++)
            cell_add(&part->cell[cell[j]], key[j] - lookup->before[cell[j]] - 1);
    }
    if (min <= max)
        measure_extremes(part, (uint64_t)min ^ sign, (uint64_t)max ^ sign);
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

/* A block of any type; the type is a constant in each copy. */
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
