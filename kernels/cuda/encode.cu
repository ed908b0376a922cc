/* SPDX-License-Identifier: Apache-2.0 */
#include "lanes.cuh"

/*
 * Codes, packed, and errors. A thread has two neighbouring codes of a row. Eight rows of a team,
 * 128 codes, change places in shared memory, so that each thread packs a row, and leave as whole
 * pieces of 16 bytes.
 */

/* Bytes of a team's rows of codes, two bytes a pair. Teams are 16 bytes further apart, so that the
 * four of a warp do not meet in the same banks. */
#define PAIRS_BYTES (LANES_ROWS * LANES_TEAM * 2)
#define TEAM_BYTES  (PAIRS_BYTES + 16)

/* Sixteen packed codes: 2 * bits bytes. */
struct packed_row {
    uint64_t low, high;
};

/* Pairs of codes, each in the low 2 * bits bits of 16, joined. */
template <int BITS> __device__ __forceinline__ packed_row pack_row(uint4 pairs)
{
    uint64_t first = ops_join(pairs.x | (uint64_t)pairs.y << 32, BITS);
    uint64_t second = ops_join(pairs.z | (uint64_t)pairs.w << 32, BITS);
    packed_row row = {first, second};
    if (BITS < 8) {
        const uint64_t mask = ((uint64_t)1 << (8 * BITS % 64)) - 1;
        row.low = (first & mask) | second << (8 * BITS % 64);
        row.high = (second & mask) >> (64 - 8 * BITS);
    }
    return row;
}

__device__ __forceinline__ packed_row pack_row_of(uint4 pairs, int bits)
{
    switch (bits) { /* the same for all threads */
    case 1:
        return pack_row<1>(pairs);
    case 2:
        return pack_row<2>(pairs);
    case 3:
        return pack_row<3>(pairs);
    case 4:
        return pack_row<4>(pairs);
    case 5:
        return pack_row<5>(pairs);
    case 6:
        return pack_row<6>(pairs);
    case 7:
        return pack_row<7>(pairs);
    default:
        return pack_row<8>(pairs);
    }
}

/* Packs the rows in a team's part of shared memory and writes them; all lanes of a warp come here.
 * codes = where the team's batch goes, NULL where there is none. */
__device__ __forceinline__ void write_rows(unsigned char *rows, int thread, int bits,
                                           uint8_t *codes)
{
    __syncwarp();
    packed_row row = pack_row_of(*(const uint4 *)(rows + 16 * thread), bits);
    __syncwarp(); /* all rows were read: their place is used again */
    uint16_t *packed = (uint16_t *)(rows + 2 * bits * thread);
    for (int i = 0; i < bits; i++)
        packed[i] = (uint16_t)((i < 4 ? row.low : row.high) >> (16 * (i % 4)));
    __syncwarp();
    if (codes && thread < bits)
        *(uint4 *)(codes + 16 * thread) = *(const uint4 *)(rows + 16 * thread);
    __syncwarp();
}

/* What a thread has found. */
struct encode_part {
    double lane[2];
    double max_error;
    int kept;
};

/* Adds a warp's kept elements and largest error to the totals. */
__device__ void encode_finish(const encode_part &part, struct encode_device_sums *sums)
{
    int kept = part.kept;
    uint64_t most; /* a double that is not negative compares as its bits do */
    memcpy(&most, &part.max_error, sizeof most);
    for (unsigned lanes = WARP / 2; lanes >= 1; lanes /= 2) {
        uint64_t other = __shfl_xor_sync(ALL_LANES, (word64)most, lanes);
        kept += __shfl_xor_sync(ALL_LANES, kept, lanes);
        most = other > most ? other : most;
    }
    if (threadIdx.x % WARP != 0)
        return;
    atomicAdd(&sums->kept, (word64)kept);
    atomicMax(&sums->max_error, (word64)most);
}

/* A thread's part of eight rows; its codes go to the team's rows, with CODES. */
template <enum element_type T, enum lanes_look L, bool CODES, bool FILLS>
__device__ __forceinline__ void
encode_batch(lanes_loads<T> *loads, bool more,
             const lanes_table<typename kernel_type<T>::number, L> *table,
             const lanes_find<typename kernel_type<T>::number> &find,
             const kernel_keep<typename kernel_type<T>::number> &keep, int bits, uint16_t *rows,
             encode_part *part)
{
#pragma unroll
    for (int row = 0; row < LANES_ROWS; row++) {
        uint64_t element[2];
        int code[2];
        kernel_split(lanes_take(loads, row, more), element);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            typename kernel_type<T>::number value = kernel_number<T>(element[i]);
            bool kept = kernel_is_kept<FILLS>(keep, value);
            code[i] = lanes_code(table, find, value);
            double error = kept ? (double)value - table->level[code[i]] : 0.0;
            double size = error < 0 ? -error : error;
            part->lane[i] += error * error;
            part->max_error = size > part->max_error ? size : part->max_error;
            part->kept += kept;
        }
        if (CODES)
            rows[row * LANES_TEAM] = (uint16_t)(code[0] | code[1] << bits);
    }
    loads->at += LANES_ROWS * LANES_TEAM;
}

template <enum element_type T, enum lanes_look L, bool CODES>
__global__ void __launch_bounds__(256)
    encode_kernel(const void *x, int64_t n, const struct sorter *sorter, int bits, uint8_t *codes,
                  struct encode_device_sums *sums, double *block_error)
{
    typedef typename kernel_type<T>::number number;
    QO_SHARED(shared);
    lanes_table<number, L> *table = (lanes_table<number, L> *)shared;
    lanes_place place = lanes_start(n);
    unsigned char *rows = (unsigned char *)(table + 1) + place.team * TEAM_BYTES;
    uint16_t *mine = (uint16_t *)rows + place.thread;
    lanes_find<number> find;
    kernel_keep<number> keep;
    lanes_loads<T> loads;
    encode_part part = {{0, 0}, 0, 0};
    lanes_load(sorter, table, &find);
    kernel_load(sorter, &keep);
    __syncthreads();

    lanes_open(&loads, x, place);
    codes += CODES ? place.block * (QO_BLOCK / 8) * bits : 0;
    for (int batch = 0; batch < place.most; batch++) {
        bool more = batch + 1 < place.mine;
        if (batch < place.mine && keep.has_fills)
            encode_batch<T, L, CODES, true>(&loads, more, table, find, keep, bits, mine, &part);
        else if (batch < place.mine)
            encode_batch<T, L, CODES, false>(&loads, more, table, find, keep, bits, mine, &part);
        if (CODES)
            write_rows(rows, place.thread, bits,
                       batch < place.mine ? codes + batch * (LAUNCH_PAD / 8) * bits : NULL);
    }
    double sum = lanes_sum(part.lane);
    if (place.mine > 0 && place.thread == 0)
        block_error[place.block] = sum;
    encode_finish(part, sums);
}

/* What one launch is about, for the functions that choose its copy. */
struct encode_call {
    const struct launch *launch;
    const struct device_tile *tile;
    const struct device_levels *levels;
    uint8_t *codes;
    struct encode_device_sums *sums;
    double *block_error;
};

template <enum element_type T, enum lanes_look L, bool CODES>
static cudaError_t launch_copy(const encode_call &call)
{
    const unsigned threads = L == LOOK_FEW ? 128 : 256;
    size_t shared = sizeof(lanes_table<typename kernel_type<T>::number, L>) +
                    (CODES ? threads / LANES_TEAM * TEAM_BYTES : 0);
    return QO_LAUNCH((encode_kernel<T, L, CODES>), lanes_grid(call.tile->n, (int)threads), threads,
                     shared, call.launch->stream, call.tile->x, call.tile->n, call.levels->sorter,
                     call.levels->bits, call.codes, call.sums, call.block_error);
}

template <enum element_type T, enum lanes_look L>
static cudaError_t launch_looked(const encode_call &call)
{
    return call.codes ? launch_copy<T, L, true>(call) : launch_copy<T, L, false>(call);
}

template <enum element_type T> static cudaError_t launch_typed(const encode_call &call)
{
    return LANES_BY_LOOK(T, launch_looked, call);
}

cudaError_t encode_launch(const struct launch *launch, const struct device_tile *tile,
                          const struct device_levels *levels, uint8_t *codes,
                          struct encode_device_sums *sums, double *block_error)
{
    encode_call call = {launch, tile, levels, codes, sums, block_error};
    return KERNEL_BY_TYPE(tile->type, launch_typed, call);
}
