/* SPDX-License-Identifier: Apache-2.0 */
#include "lanes.cuh"

/*
 * One Lloyd step. Per level, the count and the fixed-point residuals are summed in shared memory by
 * 32-bit integer additions, the only ones that are native there: a residual of 41 bits and a sign
 * is added as its low and middle 16 bits and its high word. Each lane of a warp has a column of its
 * own, so that additions of a warp neither meet nor conflict; above SUMS_WIDE levels two share one.
 * Elements without a level go to a row behind the others: no branch parts the threads of a warp.
 *
 * A word holds SUMS_MOST additions of 16 bits; before a column could get more, the sums move to the
 * totals: less often than every thousandth row.
 */
#define SUMS_WORDS 4 /* count, low, middle, high: SUMS_WORDS rows of columns a level */
#define SUMS_MOST  65536
#define SUMS_WIDE  128

/* Adds an element to the thread's column, which begins at `column`. */
template <int COLUMNS>
__device__ __forceinline__ void columns_add(shared_word column, int level, double error,
                                            uint32_t scale)
{
    uint64_t pattern = ops_pattern(error, element_f64((uint64_t)scale << 32));
    shared_word at = shared_behind(column, level * (SUMS_WORDS * COLUMNS));
    unsigned low = (unsigned)pattern, high = (unsigned)(pattern >> 32);
    shared_add<0>(at, 1);
    shared_add<COLUMNS>(at, low & 0xffff);
    shared_add<2 * COLUMNS>(at, low >> 16);
    shared_add<3 * COLUMNS>(at, high); /* modulo 2^32 */
}

/*
 * Moves the sums of k levels to the totals; all threads of the block come here. They begin at
 * different columns, that is in different banks. What each pattern has beside its integer,
 * OPS_ROUNDER_BITS, is known by the count; what is left of the high words is less than 2^25.
 */
template <int COLUMNS>
__device__ void columns_flush(unsigned *columns, int k, struct assign_device_sums *sums)
{
    const unsigned rounder = (unsigned)(OPS_ROUNDER_BITS >> 32);
    __syncthreads();
    for (int level = (int)threadIdx.x; level < k; level += (int)blockDim.x) {
        word64 count = 0;
        int64_t residual = 0; /* < 2^62 */
#pragma unroll 1
        for (unsigned c = 0; c < COLUMNS; c++) {
            unsigned *at = columns + level * (SUMS_WORDS * COLUMNS) + (c + threadIdx.x) % COLUMNS;
            int64_t high = (int)(at[3 * COLUMNS] - at[0] * rounder);
            count += at[0];
            residual += high * ((int64_t)1 << 32) + ((int64_t)at[2 * COLUMNS] << 16) + at[COLUMNS];
            at[0] = at[COLUMNS] = at[2 * COLUMNS] = at[3 * COLUMNS] = 0;
        }
        if (count == 0)
            continue;
        atomicAdd(&sums->count[level], count);
        atomicAdd(&sums->low[level], (word64)(residual & 0xffffffff));
        atomicAdd(&sums->high[level], (word64)(residual >> 32));
    }
    __syncthreads();
}

/* A thread's part of eight rows. */
template <enum element_type T, enum lanes_look L, int COLUMNS, bool FILLS>
__device__ __forceinline__ void
assign_batch(lanes_loads<T> *loads, bool more,
             const lanes_table<typename kernel_type<T>::number, L> *table,
             const lanes_find<typename kernel_type<T>::number> &find,
             const kernel_keep<typename kernel_type<T>::number> &keep, int k, shared_word column,
             double *lane)
{
#pragma unroll
    for (int row = 0; row < LANES_ROWS; row++) {
        uint64_t bits[2];
        kernel_split(lanes_take(loads, row, more), bits);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            typename kernel_type<T>::number value = kernel_number<T>(bits[i]);
            bool kept = kernel_is_kept<FILLS>(keep, value);
            int code = lanes_code(table, find, value);
            double error = kept ? (double)value - table->level[code] : 0.0;
            lane[i] += error * error;
            columns_add<COLUMNS>(column, kept ? code : k, error, table->scale[code]);
        }
    }
    loads->at += LANES_ROWS * LANES_TEAM;
}

template <enum element_type T, enum lanes_look L, int COLUMNS>
__global__ void __launch_bounds__(512)
    assign_kernel(const void *x, int64_t n, const struct sorter *sorter, int k, int flush,
                  struct assign_device_sums *sums, double *block_error)
{
    typedef typename kernel_type<T>::number number;
    QO_SHARED(shared);
    lanes_table<number, L> *table = (lanes_table<number, L> *)shared;
    unsigned *columns = (unsigned *)(table + 1);
    shared_word mine = shared_word_of(columns + threadIdx.x % COLUMNS);
    lanes_place place = lanes_start(n);
    lanes_find<number> find;
    kernel_keep<number> keep;
    lanes_loads<T> loads;
    double lane[2] = {0, 0};
    lanes_load(sorter, table, &find);
    kernel_load(sorter, &keep);
    for (int i = (int)threadIdx.x; i < (k + 1) * SUMS_WORDS * COLUMNS; i += (int)blockDim.x)
        columns[i] = 0;
    __syncthreads();

    lanes_open(&loads, x, place);
    for (int batch = 0; batch < place.most; batch++) {
        bool more = batch + 1 < place.mine;
        if (batch > 0 && batch % flush == 0)
            columns_flush<COLUMNS>(columns, k, sums);
        if (batch >= place.mine)
            continue;
        if (keep.has_fills)
            assign_batch<T, L, COLUMNS, true>(&loads, more, table, find, keep, k, mine, lane);
        else
            assign_batch<T, L, COLUMNS, false>(&loads, more, table, find, keep, k, mine, lane);
    }
    columns_flush<COLUMNS>(columns, k, sums);
    double sum = lanes_sum(lane);
    if (place.mine > 0 && place.thread == 0)
        block_error[place.block] = sum;
}

/* What one launch is about, for the functions that choose its copy. */
struct assign_call {
    const struct launch *launch;
    const struct device_tile *tile;
    const struct device_levels *levels;
    struct assign_device_sums *sums;
    double *block_error;
};

template <enum element_type T, enum lanes_look L, int COLUMNS>
static cudaError_t launch_copy(const assign_call &call, int threads)
{
    int flush = SUMS_MOST / (threads / COLUMNS * LAUNCH_PAD / LANES_TEAM); /* batches */
    size_t shared = sizeof(lanes_table<typename kernel_type<T>::number, L>) +
                    (size_t)((call.levels->k + 1) * SUMS_WORDS * COLUMNS) * sizeof(unsigned);
    cudaError_t error = kernel_allow(assign_kernel<T, L, COLUMNS>, shared);
    if (error != cudaSuccess)
        return error;
    return QO_LAUNCH((assign_kernel<T, L, COLUMNS>), lanes_grid(call.tile->n, threads),
                     (unsigned)threads, shared, call.launch->stream, call.tile->x, call.tile->n,
                     call.levels->sorter, call.levels->k, flush, call.sums, call.block_error);
}

/* Where sums take much of a multiprocessor's shared memory, more threads share them. */
template <enum element_type T, enum lanes_look L>
static cudaError_t launch_looked(const assign_call &call)
{
    if (L == LOOK_FEW)
        return launch_copy<T, L, WARP>(call, 128);
    return call.levels->k <= SUMS_WIDE ? launch_copy<T, L, WARP>(call, 256)
                                       : launch_copy<T, L, WARP / 2>(call, 512);
}

template <enum element_type T> static cudaError_t launch_typed(const assign_call &call)
{
    return LANES_BY_LOOK(T, launch_looked, call);
}

cudaError_t assign_launch(const struct launch *launch, const struct device_tile *tile,
                          const struct device_levels *levels, struct assign_device_sums *sums,
                          double *block_error)
{
    assign_call call = {launch, tile, levels, sums, block_error};
    return KERNEL_BY_TYPE(tile->type, launch_typed, call);
}
