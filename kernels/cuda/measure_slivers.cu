/* SPDX-License-Identifier: Apache-2.0 */
#include "measure.cuh"

/*
 * float32 in great numbers: cells in shared memory. Additions to cells in the device's memory are
 * what limits the plain kernel (measure.cu): some 10^11 a second in all. Shared memory takes one a
 * cycle and multiprocessor for each of its 32 banks, but does not hold a histogram of 65,536 cells.
 *
 * So cells are cut into slivers of at most SLIVER_KEYS keys (slivers.c), of 8 bytes each, and slivers are
 * dealt to `parts` blocks of threads in runs of equal length. The blocks of a group go over the same
 * elements, which all but the first find in the second-level cache, and each counts those whose keys
 * are its own: about two thirds are rejected after a few instructions. What is left would keep few
 * lanes of a warp busy: it is put into a queue, and counted when there are 32 of it.
 *
 * A sliver has two words: count << SLIVER_SUM_BITS | sum of offsets, and the sum of squared distances
 * from the sliver's middle. They hold 1,023 elements. An addition to the first gives it as it was;
 * whoever sees SLIVER_FULL elements empties the sliver into the device's memory before the thread adds
 * anything else. So at most SLIVER_FULL + SLIVER_THREADS elements are in a sliver at any time: 1,023.
 *
 * Elements of other cells - wide ones, where few elements lie, and single keys - go to the cells in
 * the device's memory directly.
 */
#define SLIVER_THREADS  768
#define SLIVER_WARPS    (SLIVER_THREADS / WARP)
#define SLIVER_FULL     255
#define SLIVER_SUM_BITS 22

/* Entries of a warp's queue: less than 32 wait when a vector of 4 elements a lane comes. */
#define QUEUE_ENTRIES 256

/* The slivers of one block of threads. */
struct sliver_part {
    unsigned *word;                  /* [2][each] */
    int64_t first, each;             /* first sliver */
    uint32_t first_key, span;        /* keys first_key to first_key + span */
    struct lookup lookup;            /* of all slivers */
    struct sliver_device_sums *totals; /* [lookup.num_cells] */
    struct cell *cells;              /* the same */
    kernel_keep<float> fills;
};

/* The order-preserving key, in 32 bits. */
__device__ __forceinline__ uint32_t sliver_key(uint32_t bits)
{
    return bits ^ ((uint32_t)((int32_t)bits >> 31) | 0x80000000u);
}

/* Moves what a sliver holds to the device's memory. */
__device__ void sliver_empty(const sliver_part &part, int64_t sliver)
{
    unsigned *at = part.word + (sliver - part.first);
    unsigned first = atomicExch(at, 0u), square = atomicExch(at + part.each, 0u);
    struct sliver_device_sums *to = &part.totals[sliver];
    if (first == 0 && square == 0)
        return;
    atomicAdd(&to->count, (word64)(first >> SLIVER_SUM_BITS));
    atomicAdd(&to->sum, (word64)(first & ((1u << SLIVER_SUM_BITS) - 1)));
    atomicAdd(&to->square, (word64)square);
}

/* Counts one element, or several that are equal, whose key is one of the part. */
__device__ __forceinline__ void sliver_count(const sliver_part &part, uint32_t bits, unsigned times,
                                           measure_part *found)
{
    uint32_t key = sliver_key(bits);
    uint32_t word = part.lookup.word[key >> (23 - LOOKUP_TOP_BITS)], shift = word & 63;
    if (part.fills.has_fills && kernel_is_fill(part.fills, element_f32(bits))) {
        found->num_fill += times;
        return;
    }
    if (key - 0x00800000u > 0xfeffffffu) { /* not from -FLT_MAX to FLT_MAX */
        found->num_nonfinite += times;
        return;
    }
    if (word >= LOOKUP_SEARCH || shift > SLIVER_SHIFT) {
        measure_add<ELEMENT_F32>(bits, times, part.lookup, part.cells, part.fills, found);
        return;
    }
    int64_t sliver = lookup_place(word, key);
    uint32_t offset = key & ((1u << shift) - 1);
    int32_t away = (int32_t)offset - (int32_t)(1u << shift >> 1);
    found->min_key = key < found->min_key ? key : found->min_key;
    found->max_key = key > found->max_key ? key : found->max_key;
    if (times > 1) {
        struct sliver_device_sums *to = &part.totals[sliver];
        atomicAdd(&to->count, (word64)times);
        atomicAdd(&to->sum, (word64)times * offset);
        atomicAdd(&to->square, (word64)times * (word64)(away * away));
        return;
    }
    unsigned *at = part.word + (sliver - part.first);
    unsigned seen = atomicAdd(at, (1u << SLIVER_SUM_BITS) + offset);
    atomicAdd(at + part.each, (unsigned)(away * away));
    if (seen >> SLIVER_SUM_BITS >= SLIVER_FULL)
        sliver_empty(part, sliver);
}

/* A warp's elements that wait to be counted: a ring. */
struct sliver_queue {
    uint32_t *entry; /* [QUEUE_ENTRIES] */
    unsigned head, waiting;
};

/* Puts the elements of those lanes that have one into the queue. */
__device__ __forceinline__ void queue_put(sliver_queue *queue, bool has, uint32_t bits)
{
    unsigned lanes = __ballot_sync(ALL_LANES, has);
    unsigned before = (unsigned)__popc(lanes & ((1u << threadIdx.x % WARP) - 1));
    if (has)
        queue->entry[(queue->head + queue->waiting + before) % QUEUE_ENTRIES] = bits;
    queue->waiting += (unsigned)__popc(lanes);
}

/* Counts 32 elements of the queue, or the rest. */
__device__ __forceinline__ void queue_take(sliver_queue *queue, const sliver_part &part,
                                           measure_part *found)
{
    unsigned lane = threadIdx.x % WARP, some = queue->waiting < WARP ? queue->waiting : WARP;
    __syncwarp();
    uint32_t bits = queue->entry[(queue->head + lane) % QUEUE_ENTRIES];
    __syncwarp();
    if (lane < some)
        sliver_count(part, bits, 1, found);
    __syncwarp();
    queue->head += some;
    queue->waiting -= some;
}

/* Whether an element is one of the part, and not the one held, which is counted. */
__device__ __forceinline__ bool sliver_wants(const sliver_part &part, uint32_t bits,
                                           measure_held *held)
{
    bool takes = bits == (uint32_t)held->bits;
    held->times += takes;
    return !takes & (sliver_key(bits) - part.first_key <= part.span);
}

/* Four elements of each lane. Another one is held where that has not come for a while; only
 * elements of the part are. */
__device__ __forceinline__ void sliver_vector(const sliver_part &part, const uint4 &vector, bool there,
                                            measure_held *held, sliver_queue *queue,
                                            measure_part *found)
{
    const uint32_t bits[4] = {vector.x, vector.y, vector.z, vector.w};
    unsigned before = held->times;
#pragma unroll
    for (int i = 0; i < 4; i++)
        queue_put(queue, there && sliver_wants(part, bits[i], held), bits[i]);
    held->missed = held->times == before ? held->missed + 4 : 0;
    if (held->missed >= HELD_PATIENCE && sliver_key(bits[3]) - part.first_key <= part.span) {
        if (held->times > 0)
            sliver_count(part, (uint32_t)held->bits, held->times, found);
        *held = measure_held{bits[3], 0, 0};
    }
    __syncwarp();
}

/* A part as a block of threads begins with it. */
__device__ sliver_part sliver_open(const struct sorter *sorter, const struct lookup &lookup,
                               unsigned parts, int64_t each, unsigned *word,
                               struct sliver_device_sums *totals, struct cell *cells)
{
    sliver_part part = {word, (int64_t)(blockIdx.x % parts) * each, each, 0, 0, lookup, totals, cells,
                      kernel_keep<float>()};
    int64_t end = part.first + each < lookup.num_cells ? part.first + each : lookup.num_cells;
    uint64_t last = end < lookup.num_cells ? lookup.before[end] : element_last_key(ELEMENT_F32);
    part.first_key = (uint32_t)(lookup.before[part.first] + 1);
    part.span = (uint32_t)last - part.first_key;
    kernel_load(sorter, &part.fills);
    return part;
}

__global__ void __launch_bounds__(SLIVER_THREADS)
    slivers_kernel(const void *x, int64_t n, const struct sorter *sorter, struct lookup lookup,
                 unsigned parts, int64_t each, struct sliver_device_sums *totals,
                 struct cell *cells, struct measure_device_sums *sums)
{
    QO_SHARED(shared);
    sliver_part part =
        sliver_open(sorter, lookup, parts, each, (unsigned *)shared, totals, cells);
    sliver_queue queue = {(uint32_t *)(part.word + 2 * each) + threadIdx.x / WARP * QUEUE_ENTRIES, 0,
                        0};
    measure_part found = {UINT64_MAX, 0, 0, 0};
    measure_held held = {element_unkey(ELEMENT_F32, part.first_key), 0, 0};
    for (int64_t i = threadIdx.x; i < 2 * each; i += blockDim.x)
        part.word[i] = 0;
    __syncthreads();

    const uint4 *vectors = (const uint4 *)x;
    int64_t count = n / 4, step = (int64_t)(gridDim.x / parts) * blockDim.x;
    int64_t first = (int64_t)(blockIdx.x / parts) * blockDim.x + threadIdx.x, at = first;
    uint4 next = at < count ? vectors[at] : uint4();
    for (int64_t round = first - threadIdx.x; round < count; round += step) {
        uint4 vector = next;
        bool there = at < count;
        at += step;
        if (at < count)
            next = vectors[at];
        sliver_vector(part, vector, there, &held, &queue, &found);
        while (queue.waiting >= WARP)
            queue_take(&queue, part, &found);
    }
    /* The last few elements, one a thread; and what was held. */
    bool has = 4 * count + first < n;
    uint32_t bits = has ? ((const uint32_t *)x)[4 * count + first] : 0;
    queue_put(&queue, has && sliver_key(bits) - part.first_key <= part.span, bits);
    while (queue.waiting > 0)
        queue_take(&queue, part, &found);
    if (held.times > 0)
        sliver_count(part, (uint32_t)held.bits, held.times, &found);
    __syncthreads();
    for (int64_t i = threadIdx.x; i < each; i += blockDim.x)
        if (part.first + i < lookup.num_cells)
            sliver_empty(part, part.first + i);
    measure_finish(found, sums);
}

cudaError_t measure_slivers_launch(const struct launch *launch, const struct device_tile *tile,
                                 const struct sorter *fills, const struct lookup *lookup,
                                 struct sliver_device_sums *totals, struct cell *cells,
                                 struct measure_device_sums *sums)
{
    const size_t queues = SLIVER_WARPS * QUEUE_ENTRIES * sizeof(uint32_t);
    const struct lookup there = *lookup;
    int64_t room = (int64_t)((launch->shared - queues) / (2 * sizeof(unsigned)));
    int64_t parts = (lookup->num_cells + room - 1) / room;
    int64_t each = (lookup->num_cells + parts - 1) / parts;
    int64_t groups = launch->multiprocessors / parts > 1 ? launch->multiprocessors / parts : 1;
    size_t shared = queues + (size_t)each * 2 * sizeof(unsigned);
    cudaError_t error = kernel_allow(slivers_kernel, shared);
    if (error != cudaSuccess)
        return error;
    return QO_LAUNCH(slivers_kernel, (unsigned)(groups * parts), SLIVER_THREADS, shared,
                     launch->stream, tile->x, tile->n, fills, there, (unsigned)parts, each, totals,
                     cells, sums);
}
