/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_MEASURE_BLOCK_H
#define QO_KERNELS_MEASURE_BLOCK_H

#include "cpu.h"

/*
 * Measuring a block: integers only, so that no SIMD level can differ from another. What stands here
 * is the same C for all, compiled with a level's instructions; a level brings the loop that counts,
 * which takes nearly all of the time, for float32 and float64.
 *
 * A chunk goes through three loops. The first makes keys and extremes. If neighbours are equal, a
 * second takes the key that they share out of the chunk and counts it at once: else each of many
 * equal elements would wait for the store of the one before. The third finds cells and counts.
 */

/*
 * How a level counts key[n] <= MEASURE_CHUNK. It may write there, and MEASURE_SPARE keys beyond.
 * `ahead` is the address of the elements that come two chunks later: they may be asked for
 * meanwhile, an element a key. (The processor's own guess stops while a chunk is counted.) It may
 * lie beyond the array.
 */
struct measure_counters {
    void (*f32)(const struct lookup *lookup, uint32_t *key, int n, uintptr_t ahead,
                struct measure_part *part);
    void (*f64)(const struct lookup *lookup, uint64_t *key, int n, uintptr_t ahead,
                struct measure_part *part);
};

/* Elements of a chunk: keys and what a level puts aside stay in half of a first-level cache. */
#define MEASURE_CHUNK 512

/* Folds the extremes of finite elements, as signed keys that were seen or not, into a part's. */
CPU_INLINE void measure_extremes(struct measure_part *part, uint64_t min, uint64_t max)
{
    part->min_key = min < part->min_key ? min : part->min_key;
    part->max_key = max > part->max_key ? max : part->max_key;
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

/*
 * Keys of float32, and their extremes. Signed keys (the order-preserving key with its top bit
 * flipped) are compared, because every SIMD level can.
 */
CPU_INLINE void measure_keys_f32(const uint32_t *bits, int n, uint32_t *key, int32_t *min,
                                 int32_t *max)
{
    int32_t least = INT32_MAX, most = INT32_MIN;
    for (int i = 0; i < n; i++) {
        int32_t word = (int32_t)bits[i];
        int32_t order = word ^ (int32_t)((uint32_t)(word >> 31) >> 1);
        least = order < least ? order : least;
        most = order > most ? order : most;
        key[i] = (uint32_t)order ^ 0x80000000u;
    }
    *min = least;
    *max = most;
}

/* The extremes of the finite among n >= 1 keys, once infinities or NaN have been seen. */
CPU_INLINE void measure_finite_f32(const uint32_t *key, int n, struct measure_part *part)
{
    const uint32_t first = 0x00800000, last = 0xff7fffff; /* -FLT_MAX, FLT_MAX */
    uint32_t least = UINT32_MAX, most = 0;
    for (int i = 0; i < n; i++) {
        bool finite = (key[i] >= first) & (key[i] <= last);
        least = finite && key[i] < least ? key[i] : least;
        most = finite && key[i] > most ? key[i] : most;
    }
    if (least <= most)
        measure_extremes(part, least, most);
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

/* Takes the key that two neighbours share, if there is one, out of key[n] and counts it; returns
 * how many are left. */
CPU_INLINE int measure_take_f32(const struct lookup *lookup, uint32_t *key, int n,
                                struct measure_part *part)
{
    uint32_t equal = 0;
    for (int i = 0; i + 1 < n; i++)
        equal |= key[i] == key[i + 1];
    if (!equal)
        return n;
    int at = 0;
    while (key[at] != key[at + 1])
        at++;
    uint32_t taken = key[at];
    int left = at;
    for (int i = at; i < n; i++) {
        key[left] = key[i];
        left += key[i] != taken;
    }
    measure_add_f32(lookup, taken, (uint64_t)(n - left), part);
    return left;
}

/* A block of float32. */
CPU_INLINE void measure_block_f32(const struct lookup *lookup, const struct sorter *fills,
                                  const uint32_t *x, int64_t n, struct measure_part *part,
                                  const struct measure_counters *count)
{
    uint32_t bits[MEASURE_CHUNK], key[MEASURE_CHUNK + MEASURE_SPARE];
    for (int64_t i = 0; i < n; i += MEASURE_CHUNK) {
        int m = n - i < MEASURE_CHUNK ? (int)(n - i) : MEASURE_CHUNK;
        const uint32_t *source = x + i;
        int32_t min, max;
        if (fills->has_fills) {
            memcpy(bits, source, (size_t)m * sizeof *bits);
            part->num_fill += measure_hide_f32(fills, bits, m);
            source = bits;
        }
        measure_keys_f32(source, m, key, &min, &max);
        if (min >= (int32_t)0x80800000 && max <= 0x7f7fffff)
            measure_extremes(part, (uint32_t)min ^ 0x80000000u, (uint32_t)max ^ 0x80000000u);
        else
            measure_finite_f32(key, m, part);
        m = measure_take_f32(lookup, key, m, part);
        count->f32(lookup, key, m, (uintptr_t)(x + i) + 2 * sizeof bits, part);
    }
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

/* As for float32. */
CPU_INLINE void measure_keys_f64(const uint64_t *bits, int n, uint64_t *key, int64_t *min,
                                 int64_t *max)
{
    int64_t least = INT64_MAX, most = INT64_MIN;
    for (int i = 0; i < n; i++) {
        int64_t word = (int64_t)bits[i];
        int64_t order = word ^ (int64_t)((uint64_t)(word >> 63) >> 1);
        least = order < least ? order : least;
        most = order > most ? order : most;
        key[i] = (uint64_t)order ^ ((uint64_t)1 << 63);
    }
    *min = least;
    *max = most;
}

CPU_INLINE void measure_finite_f64(const uint64_t *key, int n, struct measure_part *part)
{
    const uint64_t first = (uint64_t)1 << 52, last = ~first; /* -DBL_MAX, DBL_MAX */
    uint64_t least = UINT64_MAX, most = 0;
    for (int i = 0; i < n; i++) {
        bool finite = (key[i] >= first) & (key[i] <= last);
        least = finite && key[i] < least ? key[i] : least;
        most = finite && key[i] > most ? key[i] : most;
    }
    if (least <= most)
        measure_extremes(part, least, most);
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

CPU_INLINE int measure_take_f64(const struct lookup *lookup, uint64_t *key, int n,
                                struct measure_part *part)
{
    uint64_t equal = 0;
    for (int i = 0; i + 1 < n; i++)
        equal |= key[i] == key[i + 1];
    if (!equal)
        return n;
    int at = 0;
    while (key[at] != key[at + 1])
        at++;
    uint64_t taken = key[at];
    int left = at;
    for (int i = at; i < n; i++) {
        key[left] = key[i];
        left += key[i] != taken;
    }
    measure_add_f64(lookup, taken, (uint64_t)(n - left), part);
    return left;
}

/* A block of float64. */
CPU_INLINE void measure_block_f64(const struct lookup *lookup, const struct sorter *fills,
                                  const uint64_t *x, int64_t n, struct measure_part *part,
                                  const struct measure_counters *count)
{
    const uint64_t sign = (uint64_t)1 << 63;
    const int64_t last = INT64_C(0x7fefffffffffffff), first = -last - 1; /* DBL_MAX, -DBL_MAX */
    uint64_t bits[MEASURE_CHUNK], key[MEASURE_CHUNK + MEASURE_SPARE];
    for (int64_t i = 0; i < n; i += MEASURE_CHUNK) {
        int m = n - i < MEASURE_CHUNK ? (int)(n - i) : MEASURE_CHUNK;
        const uint64_t *source = x + i;
        int64_t min, max;
        if (fills->has_fills) {
            memcpy(bits, source, (size_t)m * sizeof *bits);
            part->num_fill += measure_hide_f64(fills, bits, m);
            source = bits;
        }
        measure_keys_f64(source, m, key, &min, &max);
        if (min >= first && max <= last)
            measure_extremes(part, (uint64_t)min ^ sign, (uint64_t)max ^ sign);
        else
            measure_finite_f64(key, m, part);
        m = measure_take_f64(lookup, key, m, part);
        count->f64(lookup, key, m, (uintptr_t)(x + i) + 2 * sizeof bits, part);
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
