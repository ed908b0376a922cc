/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_MEASURE_BLOCK_H
#define QO_KERNELS_MEASURE_BLOCK_H

#include "cpu.h"

/*
 * Measuring a block: integers only, so that no SIMD level can differ from another. What stands here
 * is the same C for all, compiled with a level's instructions; a level brings the loop that counts,
 * which takes nearly all of the time, for float32 and float64.
 *
 * Equal neighbours are a case of their own, because each would wait for the store of the one
 * before. Where a chunk has some, in the next one a value that neighbours share is taken out and
 * counted at once, so that zeros or fills are faster than other numbers.
 */

/* Elements of a chunk: what a level puts aside of it stays in a first-level cache. */
#define MEASURE_CHUNK 1024

/*
 * How a level counts bits[n], n <= MEASURE_CHUNK: cells and extremes. Returns whether it saw equal
 * neighbours. `ahead` is the address of the elements that come a chunk later: they may be asked for
 * meanwhile, an element an element. It may lie beyond the array.
 */
struct measure_counters {
    bool (*f32)(const struct lookup *lookup, const uint32_t *bits, int n, uintptr_t ahead,
                struct measure_part *part);
    bool (*f64)(const struct lookup *lookup, const uint64_t *bits, int n, uintptr_t ahead,
                struct measure_part *part);
};

/* Folds the extremes of finite elements into a part's. */
CPU_INLINE void measure_extremes(struct measure_part *part, uint64_t min, uint64_t max)
{
    part->min_key = min < part->min_key ? min : part->min_key;
    part->max_key = max > part->max_key ? max : part->max_key;
}

/* float32 */

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

/* The signed key: the order-preserving one with its top bit flipped. Every SIMD level can compare
 * it. */
CPU_INLINE int32_t measure_order_f32(uint32_t bits)
{
    int32_t word = (int32_t)bits;
    return word ^ (int32_t)((uint32_t)(word >> 31) >> 1);
}

/* Folds extremes, as signed keys over all n >= 1 elements, into a part's: where there are
 * infinities or NaN, once more without them. */
CPU_INLINE void measure_fold_f32(const uint32_t *bits, int n, int32_t min, int32_t max,
                                 struct measure_part *part)
{
    const int32_t first = (int32_t)0x80800000, last = 0x7f7fffff; /* -FLT_MAX, FLT_MAX */
    if (min < first || max > last) {
        min = INT32_MAX;
        max = INT32_MIN;
        for (int i = 0; i < n; i++) {
            int32_t order = measure_order_f32(bits[i]);
            bool finite = (order >= first) & (order <= last);
            int32_t low = finite ? order : INT32_MAX, high = finite ? order : INT32_MIN;
            min = low < min ? low : min;
            max = high > max ? high : max;
        }
    }
    if (min <= max) /* else nothing was finite */
        measure_extremes(part, (uint32_t)min ^ 0x80000000u, (uint32_t)max ^ 0x80000000u);
}

/* Makes keys of bits[n] and folds their extremes; returns whether neighbours are equal. */
CPU_INLINE bool measure_keys_f32(const uint32_t *bits, int n, uint32_t *key,
                                 struct measure_part *part)
{
    int32_t min = INT32_MAX, max = INT32_MIN;
    uint32_t equal = 0;
    for (int i = 0; i < n; i++) {
        int32_t order = measure_order_f32(bits[i]);
        min = order < min ? order : min;
        max = order > max ? order : max;
        key[i] = (uint32_t)order ^ 0x80000000u;
    }
    for (int i = 0; i + 1 < n; i++)
        equal |= key[i] == key[i + 1];
    if (n > 0)
        measure_fold_f32(bits, n, min, max, part);
    return equal != 0;
}

/* Counts `copies` elements of one key, in a cell of any kind. */
CPU_INLINE void measure_add_f32(const struct lookup *lookup, uint64_t key, uint64_t copies,
                                struct measure_part *part)
{
    int64_t cell = lookup_find(lookup, key);
    uint64_t offset = key - lookup->before[cell] - 1;
    struct slim_cell *slim = &part->slim[cell];
    slim->count_sum += copies * (((uint64_t)1 << 40) + offset);
    slim->square += copies * offset * offset;
    if (offset >> LOOKUP_SLIM_BITS && slim->count_sum >> 40 >= MEASURE_FULL)
        measure_empty_cell(part, cell);
}

/* Takes what the first equal neighbours share, if there are any, out of bits[n] and counts it;
 * returns how many elements are left. */
CPU_INLINE int measure_take_f32(const struct lookup *lookup, uint32_t *bits, int n,
                                struct measure_part *part)
{
    int at = 0;
    while (at + 1 < n && bits[at] != bits[at + 1])
        at++;
    if (at + 1 >= n)
        return n;
    uint32_t taken = bits[at];
    int32_t order = measure_order_f32(taken);
    int left = at;
    for (int i = at; i < n; i++) {
        bits[left] = bits[i];
        left += bits[i] != taken;
    }
    measure_add_f32(lookup, (uint32_t)order ^ 0x80000000u, (uint64_t)(n - left), part);
    measure_fold_f32(&taken, 1, order, order, part);
    return left;
}

/* A block of float32. */
CPU_INLINE void measure_block_f32(const struct lookup *lookup, const struct sorter *fills,
                                  const uint32_t *x, int64_t n, struct measure_part *part,
                                  const struct measure_counters *count)
{
    uint32_t bits[MEASURE_CHUNK];
    bool equal = false;
    for (int64_t i = 0; i < n; i += MEASURE_CHUNK) {
        int m = n - i < MEASURE_CHUNK ? (int)(n - i) : MEASURE_CHUNK, left = m;
        const uint32_t *source = x + i;
        if (fills->has_fills || equal) {
            memcpy(bits, source, (size_t)m * sizeof *bits);
            source = bits;
        }
        if (fills->has_fills)
            part->num_fill += measure_hide_f32(fills, bits, m);
        if (equal)
            left = measure_take_f32(lookup, bits, m, part);
        equal = count->f32(lookup, source, left, (uintptr_t)(x + i) + sizeof bits, part);
        equal |= left < m;
    }
}

/* float64: the same. */

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

CPU_INLINE int64_t measure_order_f64(uint64_t bits)
{
    int64_t word = (int64_t)bits;
    return word ^ (int64_t)((uint64_t)(word >> 63) >> 1);
}

CPU_INLINE void measure_fold_f64(const uint64_t *bits, int n, int64_t min, int64_t max,
                                 struct measure_part *part)
{
    const int64_t last = INT64_C(0x7fefffffffffffff), first = -last - 1; /* DBL_MAX, -DBL_MAX */
    if (min < first || max > last) {
        min = INT64_MAX;
        max = INT64_MIN;
        for (int i = 0; i < n; i++) {
            int64_t order = measure_order_f64(bits[i]);
            bool finite = (order >= first) & (order <= last);
            int64_t low = finite ? order : INT64_MAX, high = finite ? order : INT64_MIN;
            min = low < min ? low : min;
            max = high > max ? high : max;
        }
    }
    if (min <= max) /* else nothing was finite */
        measure_extremes(part, (uint64_t)min ^ ((uint64_t)1 << 63),
                         (uint64_t)max ^ ((uint64_t)1 << 63));
}

CPU_INLINE bool measure_keys_f64(const uint64_t *bits, int n, uint64_t *key,
                                 struct measure_part *part)
{
    int64_t min = INT64_MAX, max = INT64_MIN;
    uint64_t equal = 0;
    for (int i = 0; i < n; i++) {
        int64_t order = measure_order_f64(bits[i]);
        min = order < min ? order : min;
        max = order > max ? order : max;
        key[i] = (uint64_t)order ^ ((uint64_t)1 << 63);
    }
    for (int i = 0; i + 1 < n; i++)
        equal |= key[i] == key[i + 1];
    if (n > 0)
        measure_fold_f64(bits, n, min, max, part);
    return equal != 0;
}

/* Adds `copies` elements at an offset to a cell. */
CPU_INLINE void measure_sum_f64(struct broad_cell *broad, uint64_t offset, uint64_t copies)
{
    unsigned __int128 sum = (unsigned __int128)broad->count_sum[1] << 64 | broad->count_sum[0];
    unsigned __int128 square = (unsigned __int128)broad->square[1] << 64 | broad->square[0];
    sum += (((unsigned __int128)1 << 80) + offset) * copies;
    square += (unsigned __int128)offset * offset * copies;
    broad->count_sum[0] = (uint64_t)sum;
    broad->count_sum[1] = (uint64_t)(sum >> 64);
    broad->square[0] = (uint64_t)square;
    broad->square[1] = (uint64_t)(square >> 64);
}

CPU_INLINE void measure_add_f64(const struct lookup *lookup, uint64_t key, uint64_t copies,
                                struct measure_part *part)
{
    int64_t cell = lookup_find(lookup, key);
    measure_sum_f64(&part->broad[cell], key - lookup->before[cell] - 1, copies);
}

CPU_INLINE int measure_take_f64(const struct lookup *lookup, uint64_t *bits, int n,
                                struct measure_part *part)
{
    int at = 0;
    while (at + 1 < n && bits[at] != bits[at + 1])
        at++;
    if (at + 1 >= n)
        return n;
    uint64_t taken = bits[at];
    int64_t order = measure_order_f64(taken);
    int left = at;
    for (int i = at; i < n; i++) {
        bits[left] = bits[i];
        left += bits[i] != taken;
    }
    measure_add_f64(lookup, (uint64_t)order ^ ((uint64_t)1 << 63), (uint64_t)(n - left), part);
    measure_fold_f64(&taken, 1, order, order, part);
    return left;
}

CPU_INLINE void measure_block_f64(const struct lookup *lookup, const struct sorter *fills,
                                  const uint64_t *x, int64_t n, struct measure_part *part,
                                  const struct measure_counters *count)
{
    uint64_t bits[MEASURE_CHUNK];
    bool equal = false;
    for (int64_t i = 0; i < n; i += MEASURE_CHUNK) {
        int m = n - i < MEASURE_CHUNK ? (int)(n - i) : MEASURE_CHUNK, left = m;
        const uint64_t *source = x + i;
        if (fills->has_fills || equal) {
            memcpy(bits, source, (size_t)m * sizeof *bits);
            source = bits;
        }
        if (fills->has_fills)
            part->num_fill += measure_hide_f64(fills, bits, m);
        if (equal)
            left = measure_take_f64(lookup, bits, m, part);
        equal = count->f64(lookup, source, left, (uintptr_t)(x + i) + sizeof bits, part);
        equal |= left < m;
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

/* A block of any type. */
CPU_INLINE void measure_block(const struct lookup *lookup, const struct sorter *fills,
                              enum element_type type, const void *x, int64_t n,
                              struct measure_part *part, const struct measure_counters *count)
{
    if (type == ELEMENT_F64)
        measure_block_f64(lookup, fills, x, n, part, count);
    else if (type == ELEMENT_F32)
        measure_block_f32(lookup, fills, x, n, part, count);
    else
        measure_block_16(x, n, part);
}

#endif
