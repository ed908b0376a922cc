/* SPDX-License-Identifier: Apache-2.0 */
#include "measure.cuh"

/*
 * float32 in great numbers: cells in shared memory. Additions to cells in the device's memory are
 * what limits the plain kernel (measure.cu): some 10^11 a second in all. Shared memory takes one a
 * cycle and multiprocessor for each of its 32 banks, but does not hold a histogram of 65,536 cells.
 *
 * So cells are cut into slivers of at most SLIVER_KEYS keys (slivers.c), of 8 bytes each, and
 * slivers are dealt to `parts` blocks of threads in runs of equal length. The blocks of a group go
 * over the same elements, which all but the first find in the second-level cache, and each counts
 * those whose keys are its own: about two thirds are rejected after a few instructions. What is
 * left would keep few lanes of a warp busy: it is put into a queue, and counted when there are 32
 * of it.
 *
 * A sliver has two words: count << SLIVER_SUM_BITS | sum of offsets, and the sum of squared
 * distances from the sliver's middle. An addition gives a word as it was; whoever sees one of them
 * at SLIVER_FULL elements' worth empties the sliver into the device's memory before the thread adds
 * anything else. Each word is looked at for itself, for the two are neither added to nor emptied at
 * the same moment. So no thread adds more than one element beyond that: at most 1 + SLIVER_THREADS
 * of 2^22, with what was there less than 2^32.
 *
 * Elements of wider cells, where few lie, go to the cells in the device's memory directly.
 */
#define SLIVER_THREADS  768
#define SLIVER_WARPS    (SLIVER_THREADS / WARP)
#define SLIVER_FULL     255
#define SLIVER_SUM_BITS 22

/* Entries of a warp's queue: less than 32 wait when a vector of 4 elements a lane comes. Behind
 * them lies one that is written by lanes without an element. */
#define QUEUE_ENTRIES 256
#define QUEUE_WORDS   (QUEUE_ENTRIES + 4)

/* The slivers of one block of threads. */
struct sliver_part {
    unsigned *word;                    /* [2][each] */
    int64_t first, each;               /* first sliver */
    uint32_t first_key, span;          /* keys first_key to first_key + span */
    struct lookup lookup;              /* of all slivers */
    struct sliver_device_sums *totals; /* [lookup.num_cells] */
    struct cell *cells;                /* the same */
    kernel_keep<float> fills;
};

/* The order-preserving key, in 32 bits. */
__device__ __forceinline__ uint32_t sliver_key(uint32_t bits)
{
    return bits ^ ((uint32_t)((int32_t)bits >> 31) | 0x80000000u);
}

/* Where an element belongs: its sliver, its offset there, and the keys below the sliver's middle.
 */
struct sliver_place {
    int64_t sliver;
    uint32_t offset, half;
    bool wide; /* more keys than a sliver in shared memory has */
};

/* Mostly one word tells it; else the sliver is searched for. */
__device__ __forceinline__ sliver_place sliver_find(const struct lookup &lookup, uint32_t key)
{
    uint32_t word = lookup.word[key >> (23 - LOOKUP_TOP_BITS)], shift = word & 63;
    if (word < LOOKUP_SEARCH && shift <= SLIVER_SHIFT)
        return sliver_place{lookup_place(word, key), key & ((1u << shift) - 1), 1u << shift >> 1,
                            false};
    int64_t sliver = lookup_find(&lookup, key);
    uint64_t before = lookup.before[sliver], keys = lookup.before[sliver + 1] - before;
    return sliver_place{sliver, (uint32_t)(key - before - 1), (uint32_t)keys >> 1,
                        keys > SLIVER_KEYS};
}

/* Moves what a sliver holds to the device's memory. */
__device__ void sliver_empty(unsigned *at, int64_t each, struct sliver_device_sums *to)
{
    unsigned first = atomicExch(at, 0u), square = atomicExch(at + each, 0u);
    if (first == 0 && square == 0)
        return;
    atomicAdd(&to->count, (word64)(first >> SLIVER_SUM_BITS));
    atomicAdd(&to->sum, (word64)(first & ((1u << SLIVER_SUM_BITS) - 1)));
    atomicAdd(&to->square, (word64)square);
}

/* Notes what elements of a key are; whether they belong into a sliver or a cell. */
__device__ __forceinline__ bool sliver_note(const sliver_part &part, uint32_t bits, unsigned times,
                                            measure_part *found)
{
    uint32_t key = sliver_key(bits);
    if (part.fills.has_fills && kernel_is_fill(part.fills, element_f32(bits))) {
        found->num_fill += times;
        return false;
    }
    if (key - 0x00800000u > 0xfeffffffu) { /* not from -FLT_MAX to FLT_MAX */
        found->num_nonfinite += times;
        return false;
    }
    found->min_key = key < found->min_key ? key : found->min_key;
    found->max_key = key > found->max_key ? key : found->max_key;
    return true;
}

/* Counts one element, whose key is one of the part. */
__device__ __forceinline__ void sliver_count(const sliver_part &part, uint32_t bits,
                                             measure_part *found)
{
    uint32_t key = sliver_key(bits);
    if (!sliver_note(part, bits, 1, found))
        return;
    sliver_place place = sliver_find(part.lookup, key);
    if (place.wide) {
        measure_add_cell(&part.cells[place.sliver], place.offset, 1);
        return;
    }
    int32_t away = (int32_t)place.offset - (int32_t)place.half;
    unsigned *at = part.word + (place.sliver - part.first);
    unsigned seen = atomicAdd(at, (1u << SLIVER_SUM_BITS) + place.offset);
    unsigned square = atomicAdd(at + part.each, (unsigned)(away * away));
    if ((seen > square ? seen : square) >= (unsigned)SLIVER_FULL << SLIVER_SUM_BITS)
        sliver_empty(at, part.each, &part.totals[place.sliver]);
}

/* Counts equal elements. Seldom, and so not a copy of it where it is called. */
__device__ __noinline__ void sliver_count_equal(uint32_t key, word64 times, struct lookup lookup,
                                                struct sliver_device_sums *totals,
                                                struct cell *cells)
{
    sliver_place place = sliver_find(lookup, key);
    if (place.wide) {
        measure_add_cell(&cells[place.sliver], place.offset, times);
        return;
    }
    int64_t away = (int64_t)place.offset - place.half;
    struct sliver_device_sums *to = &totals[place.sliver];
    atomicAdd(&to->count, times);
    atomicAdd(&to->sum, times * place.offset);
    atomicAdd(&to->square, times * (word64)(away * away));
}

/* Counts what a thread held. */
__device__ __forceinline__ void sliver_count_held(const sliver_part &part, const measure_held &held,
                                                  measure_part *found)
{
    uint32_t bits = (uint32_t)held.bits;
    if (held.times > 0 && sliver_note(part, bits, held.times, found))
        sliver_count_equal(sliver_key(bits), held.times, part.lookup, part.totals, part.cells);
}

/* A warp's elements that wait to be counted: entries head to tail - 1 of a ring. */
struct sliver_queue {
    uint32_t *entry; /* [QUEUE_WORDS] */
    unsigned below;  /* a mask of the lanes below this one */
    unsigned head, tail;
};

/* Puts the elements of those lanes that have one into the queue. The others write, too: a store is
 * less than a branch. */
__device__ __forceinline__ void queue_put(sliver_queue *queue, bool has, uint32_t bits)
{
    unsigned lanes = __ballot_sync(ALL_LANES, has);
    unsigned place = (queue->tail + (unsigned)__popc(lanes & queue->below)) % QUEUE_ENTRIES;
    queue->entry[has ? place : QUEUE_ENTRIES] = bits;
    queue->tail += (unsigned)__popc(lanes);
}

/* Counts 32 elements of the queue, or the rest. */
__device__ __forceinline__ void queue_take(sliver_queue *queue, const sliver_part &part,
                                           measure_part *found)
{
    unsigned lane = threadIdx.x % WARP, waiting = queue->tail - queue->head;
    __syncwarp();
    uint32_t bits = queue->entry[(queue->head + lane) % QUEUE_ENTRIES];
    __syncwarp();
    if (lane < waiting)
        sliver_count(part, bits, found);
    __syncwarp();
    queue->head += waiting < WARP ? waiting : WARP;
}

/* Whether an element is one of the part. */
__device__ __forceinline__ bool sliver_is_mine(const sliver_part &part, uint32_t bits)
{
    return sliver_key(bits) - part.first_key <= part.span;
}

/* Four elements of each lane that has some; all lanes have some with ALL. */
template <bool ALL>
__device__ __forceinline__ void sliver_vector(const sliver_part &part, const uint4 &vector,
                                              bool there, measure_held *held, sliver_queue *queue)
{
    const uint32_t bits[4] = {vector.x, vector.y, vector.z, vector.w};
    unsigned before = held->times;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        bool takes = (bits[i] == (uint32_t)held->bits) & (ALL | there);
        held->times += takes;
        queue_put(queue, sliver_is_mine(part, bits[i]) & !takes & (ALL | there), bits[i]);
    }
    held->missed = held->times == before ? held->missed + 4 : 0;
}

/* Holds another element of the part where that of before has not come for a while. */
__device__ __forceinline__ void sliver_hold(const sliver_part &part, uint32_t bits,
                                            measure_held *held, measure_part *found)
{
    if (held->missed < HELD_PATIENCE || !sliver_is_mine(part, bits))
        return;
    sliver_count_held(part, *held, found);
    *held = measure_held{bits, 0, 0};
}

/* How slivers are dealt, and where they are added up in the device's memory. */
struct sliver_deal {
    unsigned parts;
    int64_t each;
    struct sliver_device_sums *totals;
    struct cell *cells;
};

/* A part as a block of threads begins with it. */
__device__ sliver_part sliver_open(const struct sorter *sorter, const struct lookup &lookup,
                                   const sliver_deal &deal, unsigned *word)
{
    sliver_part part;
    part.word = word;
    part.first = (int64_t)(blockIdx.x % deal.parts) * deal.each;
    part.each = deal.each;
    part.lookup = lookup;
    part.totals = deal.totals;
    part.cells = deal.cells;
    int64_t end = part.first + part.each;
    end = end < lookup.num_cells ? end : lookup.num_cells;
    uint64_t last = end < lookup.num_cells ? lookup.before[end] : element_last_key(ELEMENT_F32);
    part.first_key = (uint32_t)(lookup.before[part.first] + 1);
    part.span = (uint32_t)last - part.first_key;
    kernel_load(sorter, &part.fills);
    return part;
}

__global__ void __launch_bounds__(SLIVER_THREADS)
    slivers_kernel(const void *x, int64_t n, const struct sorter *sorter, struct lookup lookup,
                   sliver_deal deal, struct measure_device_sums *sums)
{
    QO_SHARED(shared);
    const int64_t each = deal.each;
    sliver_part part = sliver_open(sorter, lookup, deal, (unsigned *)shared);
    uint32_t *entries = (uint32_t *)(part.word + 2 * each) + threadIdx.x / WARP * QUEUE_WORDS;
    sliver_queue queue = {entries, (1u << threadIdx.x % WARP) - 1, 0, 0};
    measure_part found = {UINT64_MAX, 0, 0, 0};
    measure_held held = {element_unkey(ELEMENT_F32, part.first_key), 0, 0};
    for (int64_t i = threadIdx.x; i < 2 * each; i += blockDim.x)
        part.word[i] = 0;
    __syncthreads();

    const uint4 *vectors = (const uint4 *)x;
    int64_t count = n / 4, step = (int64_t)(gridDim.x / deal.parts) * blockDim.x;
    int64_t first = (int64_t)(blockIdx.x / deal.parts) * blockDim.x + threadIdx.x, at = first;
    uint4 next = at < count ? vectors[at] : uint4();
    for (int64_t round = first - threadIdx.x; round < count; round += step, at += step) {
        uint4 vector = next;
        if (at + step < count)
            next = vectors[at + step];
        if (round + blockDim.x <= count)
            sliver_vector<true>(part, vector, true, &held, &queue);
        else
            sliver_vector<false>(part, vector, at < count, &held, &queue);
        while (queue.tail - queue.head >= WARP)
            queue_take(&queue, part, &found);
        if (at < count)
            sliver_hold(part, vector.w, &held, &found);
    }
    /* The last few elements, one a thread; and what was held. */
    bool has = 4 * count + first < n;
    uint32_t bits = has ? ((const uint32_t *)x)[4 * count + first] : 0;
    queue_put(&queue, has && sliver_is_mine(part, bits), bits);
    while (queue.tail != queue.head)
        queue_take(&queue, part, &found);
    sliver_count_held(part, held, &found);
    __syncthreads();
    for (int64_t i = threadIdx.x; i < each && part.first + i < lookup.num_cells; i += blockDim.x)
        sliver_empty(part.word + i, each, &part.totals[part.first + i]);
    measure_finish(found, sums);
}

cudaError_t measure_slivers_launch(const struct launch *launch, const struct device_tile *tile,
                                   const struct sorter *fills, const struct lookup *lookup,
                                   struct sliver_device_sums *totals, struct cell *cells,
                                   struct measure_device_sums *sums)
{
    const size_t queues = SLIVER_WARPS * QUEUE_WORDS * sizeof(uint32_t);
    const struct lookup there = *lookup;
    int64_t room = (int64_t)((launch->shared - queues) / (2 * sizeof(unsigned)));
    int64_t parts = (lookup->num_cells + room - 1) / room;
    int64_t each = (lookup->num_cells + parts - 1) / parts;
    parts = (lookup->num_cells + each - 1) / each; /* none without slivers */
    int64_t groups = launch->multiprocessors / parts > 1 ? launch->multiprocessors / parts : 1;
    size_t shared = queues + (size_t)each * 2 * sizeof(unsigned);
    const sliver_deal deal = {(unsigned)parts, each, totals, cells};
    cudaError_t error = kernel_allow(slivers_kernel, shared);
    if (error != cudaSuccess)
        return error;
    return QO_LAUNCH(slivers_kernel, (unsigned)(groups * parts), SLIVER_THREADS, shared,
                     launch->stream, tile->x, tile->n, fills, there, deal, sums);
}
