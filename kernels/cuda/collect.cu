/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel.cuh"

/*
 * Outliers in the order of their indices, whatever the grid: a warp goes through a piece of the
 * tile in order. A first launch counts the outliers of each piece, the host adds the counts up to
 * places, and a second launch writes them there.
 */
#define COLLECT_WARPS 8

/* Where the outliers of a piece go. */
template <enum element_type T> struct collect_list {
    unsigned place, room;
    word64 *index;
    typename kernel_type<T>::bits *value;
};

/* Goes through elements begin to end of x; returns how many are outliers. All lanes come here. */
template <enum element_type T, bool LIST>
__device__ unsigned collect_piece(const void *x, int64_t begin, int64_t end,
                                  const kernel_keep<typename kernel_type<T>::number> &keep,
                                  const collect_list<T> &list)
{
    unsigned lane = threadIdx.x % WARP, count = 0;
    for (int64_t at = begin; at < end; at += WARP) {
        int64_t i = at + lane;
        uint64_t bits = i < end ? element_bits(T, x, i) : 0;
        bool outlier = i < end && !kernel_is_kept<true>(keep, kernel_number<T>(bits));
        unsigned outliers = __ballot_sync(ALL_LANES, outlier);
        if (LIST && outlier) {
            unsigned place = list.place + count + (unsigned)__popc(outliers & ((1u << lane) - 1));
            if (place < list.room) {
                list.index[place] = (word64)i;
                list.value[place] = (typename kernel_type<T>::bits)bits;
            }
        }
        count += (unsigned)__popc(outliers);
    }
    return count;
}

template <enum element_type T>
__global__ void __launch_bounds__(COLLECT_WARPS *WARP)
    count_kernel(const void *x, int64_t n, const struct sorter *sorter, unsigned *count)
{
    int64_t piece = (int64_t)blockIdx.x * COLLECT_WARPS + threadIdx.x / WARP;
    int64_t begin = piece * COLLECT_PIECE;
    int64_t end = n - begin < COLLECT_PIECE ? n : begin + COLLECT_PIECE;
    kernel_keep<typename kernel_type<T>::number> keep;
    kernel_load(sorter, &keep);
    unsigned found = collect_piece<T, false>(x, begin, end, keep, collect_list<T>());
    if (begin < n && threadIdx.x % WARP == 0)
        count[piece] = found;
}

template <enum element_type T>
__global__ void __launch_bounds__(COLLECT_WARPS *WARP)
    list_kernel(const void *x, int64_t n, const struct sorter *sorter, const unsigned *place,
                unsigned room, word64 *index, void *value)
{
    int64_t piece = (int64_t)blockIdx.x * COLLECT_WARPS + threadIdx.x / WARP;
    int64_t begin = piece * COLLECT_PIECE;
    int64_t end = n - begin < COLLECT_PIECE ? n : begin + COLLECT_PIECE;
    if (begin >= n)
        return;
    kernel_keep<typename kernel_type<T>::number> keep;
    kernel_load(sorter, &keep);
    collect_list<T> list = {place[piece], room, index, (typename kernel_type<T>::bits *)value};
    collect_piece<T, true>(x, begin, end, keep, list);
}

static unsigned collect_grid(int64_t n)
{
    const int64_t each = (int64_t)COLLECT_WARPS * COLLECT_PIECE;
    return (unsigned)((n + each - 1) / each);
}

template <enum element_type T>
static cudaError_t launch_count(const struct launch *launch, const struct device_tile *tile,
                                const struct sorter *sorter, unsigned *count)
{
    return QO_LAUNCH((count_kernel<T>), collect_grid(tile->n), COLLECT_WARPS * WARP, 0,
                     launch->stream, tile->x, tile->n, sorter, count);
}

template <enum element_type T>
static cudaError_t launch_list(const struct launch *launch, const struct device_tile *tile,
                               const struct sorter *sorter, const unsigned *place, unsigned room,
                               word64 *index, void *value)
{
    return QO_LAUNCH((list_kernel<T>), collect_grid(tile->n), COLLECT_WARPS * WARP, 0,
                     launch->stream, tile->x, tile->n, sorter, place, room, index, value);
}

cudaError_t collect_count_launch(const struct launch *launch, const struct device_tile *tile,
                                 const struct sorter *sorter, unsigned *count)
{
    return KERNEL_BY_TYPE(tile->type, launch_count, launch, tile, sorter, count);
}

cudaError_t collect_list_launch(const struct launch *launch, const struct device_tile *tile,
                                const struct sorter *sorter, const unsigned *place, unsigned room,
                                unsigned long long *index, void *value)
{
    return KERNEL_BY_TYPE(tile->type, launch_list, launch, tile, sorter, place, room, index, value);
}
