/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_CUDA_LANES_CUH
#define QO_KERNELS_CUDA_LANES_CUH

#include "kernel.cuh"

/*
 * The walk of assign and encode. The squared errors of a block are summed in QO_LANES lanes, each
 * in index order: a serial chain, so a thread owns lanes and goes through the block row by row. A
 * team of eight threads, two neighbouring lanes each, shares a block; a warp has four of them. A
 * row of a team is one load of 4, 8 or 16 bytes a thread, 32 to 128 bytes in one piece, and eight
 * rows are under way at any time. 10^9 elements are 122,000 threads: an H100 holds 270,000.
 *
 * What is computed is float64 without FMA, as on the CPU: five such operations an element, of
 * which a multiprocessor does 64 a cycle and memory brings four elements.
 */
#define LANES_TEAM    8
#define LANES_ROWS    8
#define LANES_BATCHES (QO_BLOCK / LAUNCH_PAD) /* of a block */

/* How an element's code is found; lanes_look_of chooses. */
enum lanes_look {
    LOOK_FEW,   /* at most SORTER_FEW levels: bisection over cuts in registers */
    LOOK_SLOTS, /* by the sorter's slots and one comparison */
    LOOK_SEARCH /* crowded cuts: bisection over a tree in shared memory */
};

/* What a block of threads keeps in shared memory of a sorter. */
template <class N, enum lanes_look L> struct lanes_table;

template <class N> struct lanes_table<N, LOOK_FEW> {
    double level[SORTER_FEW];
    uint32_t scale[SORTER_FEW]; /* high words: the low ones of a power of two are 0 */
};

template <class N> struct lanes_table<N, LOOK_SLOTS> {
    double level[QO_MAX_LEVELS];
    uint32_t scale[QO_MAX_LEVELS];
    N cut[QO_MAX_LEVELS];
    uint8_t base[SLOTS_RAMPS * (SLOTS_TOP + 1)];
};

template <class N> struct lanes_table<N, LOOK_SEARCH> {
    double level[QO_MAX_LEVELS];
    uint32_t scale[QO_MAX_LEVELS];
    N tree[QO_MAX_LEVELS];
};

/* What a thread keeps in registers. */
template <class N> struct lanes_find {
    N cut[SORTER_FEW - 1];
    N start[SLOTS_RAMPS], rate[SLOTS_RAMPS];
    int ramps, steps;
};

__device__ __forceinline__ const float *lanes_cuts(const struct sorter *sorter, float)
{
    return sorter->cut_f32;
}

__device__ __forceinline__ const double *lanes_cuts(const struct sorter *sorter, double)
{
    return sorter->cut_f64;
}

__device__ __forceinline__ const float *lanes_tree(const struct sorter *sorter, float)
{
    return sorter->tree_f32;
}

__device__ __forceinline__ const double *lanes_tree(const struct sorter *sorter, double)
{
    return sorter->tree_f64;
}

/* The parts of a table that depend on how it is looked up. */
template <class N>
__device__ void lanes_load_rest(const struct sorter *, lanes_table<N, LOOK_FEW> *)
{
}

template <class N>
__device__ void lanes_load_rest(const struct sorter *sorter, lanes_table<N, LOOK_SLOTS> *table)
{
    int bases = sorter->slots.num * (SLOTS_TOP + 1);
    for (unsigned i = threadIdx.x; i < QO_MAX_LEVELS; i += blockDim.x)
        table->cut[i] = lanes_cuts(sorter, N())[i];
    for (unsigned i = threadIdx.x; i < (unsigned)bases; i += blockDim.x)
        table->base[i] = sorter->slots.base[i];
}

template <class N>
__device__ void lanes_load_rest(const struct sorter *sorter, lanes_table<N, LOOK_SEARCH> *table)
{
    for (unsigned i = threadIdx.x; i < QO_MAX_LEVELS; i += blockDim.x)
        table->tree[i] = lanes_tree(sorter, N())[i];
}

/* Fills a table and a thread's registers; whoever reads the table waits for all threads first. */
template <class N, enum lanes_look L>
__device__ void lanes_load(const struct sorter *sorter, lanes_table<N, L> *table,
                           lanes_find<N> *find)
{
    const unsigned levels = sizeof table->level / sizeof *table->level;
    for (unsigned i = threadIdx.x; i < levels; i += blockDim.x) {
        double scale = sorter->scale[i];
        uint64_t bits;
        memcpy(&bits, &scale, sizeof bits);
        table->level[i] = sorter->level[i];
        table->scale[i] = (uint32_t)(bits >> 32);
    }
    lanes_load_rest(sorter, table);
    for (int i = 0; i < SORTER_FEW - 1; i++)
        find->cut[i] = lanes_cuts(sorter, N())[i];
    for (int i = 0; i < SLOTS_RAMPS; i++) {
        find->start[i] = (N)sorter->slots.start[i];
        find->rate[i] = (N)sorter->slots.rate[i];
    }
    find->ramps = sorter->slots.num;
    find->steps = sorter->steps;
}

/* The number of cuts below x; NaN gives 0. */
template <class N>
__device__ __forceinline__ int lanes_code(const lanes_table<N, LOOK_FEW> *,
                                          const lanes_find<N> &find, N x)
{
    bool upper = x > find.cut[3];
    bool middle = x > (upper ? find.cut[5] : find.cut[1]);
    N low = middle ? find.cut[2] : find.cut[0], high = middle ? find.cut[6] : find.cut[4];
    return (upper ? 4 : 0) + (middle ? 2 : 0) + (x > (upper ? high : low));
}

/* The same arithmetic as place_of in sorter.c, so that a cut's slot is what it is there. */
template <class N>
__device__ __forceinline__ int lanes_code(const lanes_table<N, LOOK_SLOTS> *table,
                                          const lanes_find<N> &find, N x)
{
    const N top = SLOTS_TOP;
    N place = 0;
#pragma unroll
    for (int r = 0; r < SLOTS_RAMPS; r++) {
        if (r >= find.ramps)
            break;
        N on = (x - find.start[r]) * find.rate[r];
        on = on > 0 ? on : 0; /* NaN is in slot 0, below all cuts */
        place += on < top ? on : top;
    }
    int code = table->base[(int)place];
    return code + (x > table->cut[code]);
}

__device__ __forceinline__ int lanes_code(const lanes_table<float, LOOK_SEARCH> *table,
                                          const lanes_find<float> &find, float x)
{
    return ops_code_f32(table->tree, find.steps, x);
}

__device__ __forceinline__ int lanes_code(const lanes_table<double, LOOK_SEARCH> *table,
                                          const lanes_find<double> &find, double x)
{
    return ops_code_f64(table->tree, find.steps, x);
}

/* A thread's place in the walk: its block's rows, and how many batches of them there are. */
struct lanes_place {
    int64_t block;
    int team, thread; /* in the block of threads, in the team */
    int mine;         /* batches of this team; 0: its block is beyond the tile */
    int most;         /* of any team of these threads: the first has the most */
};

__device__ __forceinline__ int lanes_clamp(int64_t batches)
{
    return batches < 0 ? 0 : batches < LANES_BATCHES ? (int)batches : LANES_BATCHES;
}

__device__ __forceinline__ lanes_place lanes_start(int64_t n)
{
    int64_t batches = (n + LAUNCH_PAD - 1) / LAUNCH_PAD;
    int64_t first = (int64_t)blockIdx.x * (blockDim.x / LANES_TEAM);
    lanes_place place;
    place.team = (int)(threadIdx.x / LANES_TEAM);
    place.thread = (int)(threadIdx.x % LANES_TEAM);
    place.block = first + place.team;
    place.mine = lanes_clamp(batches - place.block * LANES_BATCHES);
    place.most = lanes_clamp(batches - first * LANES_BATCHES);
    return place;
}

/* A thread's elements, loaded eight rows ahead of their use. */
template <enum element_type T> struct lanes_loads {
    typedef typename kernel_type<T>::pair pair;
    const pair *at; /* the thread's pair in the first row to be loaded */
    pair ahead[LANES_ROWS];
};

template <enum element_type T>
__device__ __forceinline__ void lanes_open(lanes_loads<T> *loads, const void *x,
                                           const lanes_place &place)
{
    loads->at =
        (const typename kernel_type<T>::pair *)x + place.block * (QO_BLOCK / 2) + place.thread;
    if (place.mine > 0)
#pragma unroll
        for (int row = 0; row < LANES_ROWS; row++)
            loads->ahead[row] = __ldcs(loads->at + row * LANES_TEAM);
    loads->at += LANES_ROWS * LANES_TEAM;
}

/* The pair of a row of this batch; in its place the same row of the next one is asked for. */
template <enum element_type T>
__device__ __forceinline__ typename kernel_type<T>::pair lanes_take(lanes_loads<T> *loads, int row,
                                                                    bool more)
{
    typename kernel_type<T>::pair pair = loads->ahead[row];
    if (more)
        loads->ahead[row] = __ldcs(loads->at + row * LANES_TEAM);
    return pair;
}

/* The sum of a team's lanes, in its first thread, as ops_lane_sum adds them: lane i + 8, + 4, + 2,
 * + 1. lane[2] are lanes 2 * thread and 2 * thread + 1. */
__device__ __forceinline__ double lanes_sum(const double *lane)
{
    double even = lane[0], odd = lane[1];
    for (unsigned distance = LANES_TEAM / 2; distance >= 1; distance /= 2) {
        even += __shfl_down_sync(ALL_LANES, even, distance, LANES_TEAM);
        odd += __shfl_down_sync(ALL_LANES, odd, distance, LANES_TEAM);
    }
    return even + odd;
}

/* --- launches --- */

static inline enum lanes_look lanes_look_of(const struct device_levels *levels)
{
    return levels->k <= SORTER_FEW ? LOOK_FEW : levels->slots ? LOOK_SLOTS : LOOK_SEARCH;
}

/* Calls function<TYPE, LOOK> of a call, a copy of it for each way in which levels are looked up. */
#define LANES_BY_LOOK(type, function, call)                                                        \
    (lanes_look_of((call).levels) == LOOK_FEW     ? function<type, LOOK_FEW>(call)                 \
     : lanes_look_of((call).levels) == LOOK_SLOTS ? function<type, LOOK_SLOTS>(call)               \
                                                  : function<type, LOOK_SEARCH>(call))

static inline unsigned lanes_grid(int64_t n, int threads)
{
    int64_t blocks = (n + QO_BLOCK - 1) / QO_BLOCK, teams = threads / LANES_TEAM;
    return (unsigned)((blocks + teams - 1) / teams);
}

#endif
