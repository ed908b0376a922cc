/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_CUDA_MEASURE_CUH
#define QO_KERNELS_CUDA_MEASURE_CUH

#include "kernel.cuh"

/*
 * A value that comes again and again, as the zeros of pruned weights or a fill, would make all
 * threads wait at one counter. So each thread holds a bit pattern and counts how often it comes in
 * a register; when it has not come for HELD_PATIENCE elements another one is held. A value that is
 * every tenth element is nearly always caught by this.
 */
#define HELD_PATIENCE 16

struct measure_held {
    uint64_t bits;
    unsigned times, missed;
};

/* Whether the element is the one held, and then counts it. */
__device__ __forceinline__ bool held_takes(measure_held *held, uint64_t bits)
{
    bool takes = bits == held->bits;
    held->times += takes;
    held->missed = takes ? 0 : held->missed + 1;
    return takes;
}

/* Elements of 16 bytes. */
template <enum element_type T> struct measure_vector {
    static const int count = 16 / (int)sizeof(typename kernel_type<T>::bits);
};

template <enum element_type T>
__device__ __forceinline__ uint64_t measure_element(const uint4 &vector, int i)
{
    const unsigned word[4] = {vector.x, vector.y, vector.z, vector.w};
    if (T == ELEMENT_F64)
        return word[2 * i % 4] | (uint64_t)word[(2 * i + 1) % 4] << 32;
    if (T == ELEMENT_F32)
        return word[i % 4];
    return i % 2 ? word[i / 2 % 4] >> 16 : word[i / 2 % 4] & 0xffff;
}

/* What a thread finds beside the cells. */
struct measure_part {
    uint64_t min_key, max_key;
    word64 num_fill, num_nonfinite;
};

/* Adds a warp's findings to the sums; all lanes come here. */
__device__ static inline void measure_finish(measure_part part, struct measure_device_sums *sums)
{
    for (unsigned lanes = WARP / 2; lanes >= 1; lanes /= 2) {
        word64 min = __shfl_xor_sync(ALL_LANES, (word64)part.min_key, lanes);
        word64 max = __shfl_xor_sync(ALL_LANES, (word64)part.max_key, lanes);
        part.min_key = min < part.min_key ? min : part.min_key;
        part.max_key = max > part.max_key ? max : part.max_key;
        part.num_fill += __shfl_xor_sync(ALL_LANES, part.num_fill, lanes);
        part.num_nonfinite += __shfl_xor_sync(ALL_LANES, part.num_nonfinite, lanes);
    }
    if (threadIdx.x % WARP != 0)
        return;
    atomicMin(&sums->min_key, (word64)part.min_key);
    atomicMax(&sums->max_key, (word64)part.max_key);
    if (part.num_fill)
        atomicAdd(&sums->num_fill, part.num_fill);
    if (part.num_nonfinite)
        atomicAdd(&sums->num_nonfinite, part.num_nonfinite);
}

/*
 * Adds a number of up to `words` words to one in memory, to which others add at the same time: a
 * word that wraps, for whoever makes it wrap, is a carry of one, and in the end all carries are in.
 */
__device__ static inline void measure_add_words(uint64_t *to, const uint64_t *number, int words)
{
    word64 carry = 0;
    for (int i = 0; i < words; i++) {
        word64 add = number[i] + carry;
        carry = add < carry;
        if (add != 0)
            carry += atomicAdd((word64 *)&to[i], add) + add < add;
    }
}

/* The product of two words, in two. */
__device__ static inline void measure_multiply(uint64_t a, uint64_t b, uint64_t *product)
{
    uint64_t low = (a & 0xffffffffu) * (b & 0xffffffffu);
    uint64_t cross = (a >> 32) * (b & 0xffffffffu) + (low >> 32);
    uint64_t middle = (a & 0xffffffffu) * (b >> 32) + (cross & 0xffffffffu);
    product[0] = middle << 32 | (low & 0xffffffffu);
    product[1] = (a >> 32) * (b >> 32) + (cross >> 32) + (middle >> 32);
}

/* Adds `times` elements at one offset, below 2^52, to a cell in memory. */
__device__ static inline void measure_add_cell(struct cell *cell, uint64_t offset, uint64_t times)
{
    uint64_t sum[2], square[3], once[2], upper[2];
    atomicAdd((word64 *)&cell->count, (word64)times);
    if (offset == 0)
        return;
    measure_multiply(offset, times, sum);
    measure_multiply(offset, offset, once);
    measure_multiply(once[0], times, square);
    measure_multiply(once[1], times, upper); /* below 2^40 * 2^64 */
    square[1] += upper[0];
    square[2] = upper[1] + (square[1] < upper[0]);
    measure_add_words(cell->sum, sum, 2);
    measure_add_words(cell->square, square, 3);
}

/* Everything that is asked of one element, or of several that are equal. */
template <enum element_type T>
__device__ __forceinline__ void
measure_add(uint64_t bits, uint64_t times, const struct lookup &lookup, struct cell *cells,
            const kernel_keep<typename kernel_type<T>::number> &fills, measure_part *part)
{
    if (fills.has_fills && kernel_is_fill(fills, kernel_number<T>(bits))) {
        part->num_fill += times;
        return;
    }
    if (!element_is_finite(T, bits)) {
        part->num_nonfinite += times;
        return;
    }
    uint64_t key = element_key(T, bits);
    part->min_key = key < part->min_key ? key : part->min_key;
    part->max_key = key > part->max_key ? key : part->max_key;
    int64_t cell = lookup_find(&lookup, key);
    measure_add_cell(&cells[cell], key - lookup.before[cell] - 1, times);
}

#endif
