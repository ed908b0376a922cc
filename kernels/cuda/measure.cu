/* SPDX-License-Identifier: Apache-2.0 */
#include "measure.cuh"

/* --- 16-bit types: how often each bit pattern occurs --- */

/*
 * Counters of 16 bits, two a word, for all 65,536 patterns: 128 KiB of shared memory. Where a block
 * cannot have so much, two blocks see each element and count half of the patterns each. An addition
 * gives the word as it was; whoever sees a counter at PATTERNS_FULL or more takes that much out of
 * it. Between the sight and the taking each thread of the block adds at most eight elements and one
 * held one of PATTERNS_FEW: 1024 * 16 < 2^15, so that no counter wraps.
 */
#define PATTERNS        65536
#define PATTERNS_FULL   0x8000u
#define PATTERNS_FEW    8
#define PATTERN_THREADS 1024

struct pattern_counters {
    unsigned *word;       /* [half]: counters i and i + half of the patterns from `first` on */
    unsigned first, half; /* half is a power of two */
    word64 *total;        /* [PATTERNS] */
};

/* Adds a few; returns which halves of the word are full. */
__device__ __forceinline__ unsigned pattern_add(const pattern_counters &to, unsigned pattern,
                                                unsigned times)
{
    unsigned place = pattern - to.first;
    if (place >= 2 * to.half)
        return 0;
    unsigned add = place >= to.half ? times << 16 : times;
    unsigned seen = atomicAdd(&to.word[place & (to.half - 1)], add);
    return seen & (PATTERNS_FULL | PATTERNS_FULL << 16);
}

/* Takes PATTERNS_FULL out of what is full in a pattern's word. */
__device__ void pattern_empty(const pattern_counters &from, unsigned pattern)
{
    unsigned place = pattern - from.first;
    if (place >= 2 * from.half)
        return;
    unsigned word = place & (from.half - 1);
    unsigned seen = atomicAnd(&from.word[word], ~(PATTERNS_FULL | PATTERNS_FULL << 16));
    if (seen & PATTERNS_FULL)
        atomicAdd(&from.total[from.first + word], (word64)PATTERNS_FULL);
    if (seen & PATTERNS_FULL << 16)
        atomicAdd(&from.total[from.first + word + from.half], (word64)PATTERNS_FULL);
}

/* Counts what a thread holds, and makes it hold another pattern. */
__device__ void pattern_hold(const pattern_counters &to, measure_held *held, unsigned pattern)
{
    unsigned place = (unsigned)held->bits - to.first;
    if (held->times > PATTERNS_FEW) {
        if (place < 2 * to.half)
            atomicAdd(&to.total[held->bits], (word64)held->times);
    } else if (held->times > 0 && pattern_add(to, (unsigned)held->bits, held->times)) {
        pattern_empty(to, (unsigned)held->bits);
    }
    *held = measure_held{pattern, 0, 0};
}

/* Counts eight elements. */
__device__ __forceinline__ void pattern_vector(const pattern_counters &to, const uint4 &vector,
                                               measure_held *held)
{
    unsigned full = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        unsigned pattern = (unsigned)measure_element<ELEMENT_F16>(vector, i);
        if (!held_takes(held, pattern))
            full |= pattern_add(to, pattern, 1);
    }
    if (full)
        for (int i = 0; i < 8; i++)
            pattern_empty(to, (unsigned)measure_element<ELEMENT_F16>(vector, i));
    if (held->missed >= HELD_PATIENCE)
        pattern_hold(to, held, (unsigned)measure_element<ELEMENT_F16>(vector, 7));
}

__global__ void __launch_bounds__(PATTERN_THREADS)
    patterns_kernel(const void *x, int64_t n, unsigned parts, word64 *total)
{
    QO_SHARED(shared);
    unsigned half = PATTERNS / 2 / parts;
    pattern_counters to = {(unsigned *)shared, blockIdx.x % parts * 2 * half, half, total};
    measure_held held = {0, 0, 0};
    for (unsigned i = threadIdx.x; i < half; i += blockDim.x)
        to.word[i] = 0;
    __syncthreads();

    const uint4 *vectors = (const uint4 *)x;
    int64_t count = n / 8, step = (int64_t)(gridDim.x / parts) * blockDim.x;
    int64_t at = (int64_t)(blockIdx.x / parts) * blockDim.x + threadIdx.x;
    for (; at < count; at += step)
        pattern_vector(to, __ldcs(vectors + at), &held);
    /* The last few elements, one a thread. */
    int64_t last = 8 * count + threadIdx.x;
    if (blockIdx.x / parts == 0 && last < n) {
        unsigned pattern = ((const uint16_t *)x)[last];
        if (pattern_add(to, pattern, 1))
            pattern_empty(to, pattern);
    }
    pattern_hold(to, &held, 0);
    __syncthreads();
    for (unsigned i = threadIdx.x; i < half; i += blockDim.x) {
        unsigned word = to.word[i];
        if (word & 0xffff)
            atomicAdd(&total[to.first + i], (word64)(word & 0xffff));
        if (word >> 16)
            atomicAdd(&total[to.first + i + half], (word64)(word >> 16));
    }
}

cudaError_t measure_patterns_launch(const struct launch *launch, const struct device_tile *tile,
                                    unsigned long long *pattern)
{
    unsigned parts = launch->shared >= PATTERNS * sizeof(uint16_t) ? 1 : 2;
    size_t shared = PATTERNS * sizeof(uint16_t) / parts;
    int64_t useful = tile->n / (8 * PATTERN_THREADS) + 1, most = launch->multiprocessors;
    unsigned streams = (unsigned)(useful < most ? useful : most);
    cudaError_t error = kernel_allow(patterns_kernel, shared);
    if (error != cudaSuccess)
        return error;
    return QO_LAUNCH(patterns_kernel, streams * parts, PATTERN_THREADS, shared, launch->stream,
                     tile->x, tile->n, parts, pattern);
}

/* --- float32 and float64: cells in memory --- */

#define CELL_THREADS 256

/* Blocks of threads that a multiprocessor has at a time: enough to wait for memory together. */
#define CELL_BLOCKS 8

template <enum element_type T>
__global__ void __launch_bounds__(CELL_THREADS)
    cells_kernel(const void *x, int64_t n, const struct sorter *sorter, struct lookup lookup,
                 struct cell *cells, struct measure_device_sums *sums)
{
    const int each = measure_vector<T>::count;
    kernel_keep<typename kernel_type<T>::number> fills;
    measure_part part = {UINT64_MAX, 0, 0, 0};
    measure_held held = {0, 0, 0};
    kernel_load(sorter, &fills);

    const uint4 *vectors = (const uint4 *)x;
    int64_t count = n / each, step = (int64_t)gridDim.x * blockDim.x;
    int64_t first = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    for (int64_t at = first; at < count; at += step) {
        uint4 vector = __ldcs(vectors + at);
#pragma unroll
        for (int i = 0; i < each; i++) {
            uint64_t bits = measure_element<T>(vector, i);
            if (!held_takes(&held, bits))
                measure_add<T>(bits, 1, lookup, cells, fills, &part);
        }
        if (held.missed >= HELD_PATIENCE) {
            if (held.times > 0)
                measure_add<T>(held.bits, held.times, lookup, cells, fills, &part);
            held = measure_held{measure_element<T>(vector, each - 1), 0, 0};
        }
    }
    if (each * count + first < n)
        measure_add<T>(element_bits(T, x, each * count + first), 1, lookup, cells, fills, &part);
    if (held.times > 0)
        measure_add<T>(held.bits, held.times, lookup, cells, fills, &part);
    measure_finish(part, sums);
}

template <enum element_type T>
static cudaError_t launch_cells(const struct launch *launch, const struct device_tile *tile,
                                const struct sorter *fills, const struct lookup *lookup,
                                struct cell *cells, struct measure_device_sums *sums)
{
    int64_t useful = tile->n / (measure_vector<T>::count * CELL_THREADS) + 1;
    int64_t most = (int64_t)launch->multiprocessors * CELL_BLOCKS;
    const struct lookup there = *lookup;
    return QO_LAUNCH((cells_kernel<T>), (unsigned)(useful < most ? useful : most), CELL_THREADS, 0,
                     launch->stream, tile->x, tile->n, fills, there, cells, sums);
}

cudaError_t measure_cells_launch(const struct launch *launch, const struct device_tile *tile,
                                 const struct sorter *fills, const struct lookup *lookup,
                                 struct cell *cells, struct measure_device_sums *sums)
{
    return tile->type == ELEMENT_F64
               ? launch_cells<ELEMENT_F64>(launch, tile, fills, lookup, cells, sums)
               : launch_cells<ELEMENT_F32>(launch, tile, fills, lookup, cells, sums);
}
