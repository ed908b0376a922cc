/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_CUDA_LAUNCH_H
#define QO_KERNELS_CUDA_LAUNCH_H

#include <cuda_runtime_api.h>

#include "cells.h"
#include "lookup.h"
#include "sorter.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The kernels as the host calls them: one function a .cu file exports, which chooses the copy of a
 * kernel, its grid and its shared memory, and puts it on a stream. Pointers are to device memory.
 * All of them are Local, return at once with what CUDA says of the launch, and add to what is there
 * but where they say otherwise. Sums are integers: neither the grid nor an order shows in them.
 */

/*
 * Part of a vector on the device: x[n], n >= 1, aligned to 256 bytes. Behind it, up to the next
 * multiple of LAUNCH_PAD elements, all bits are set: NaN of any type, which gets no level and has
 * code 0.
 */
struct device_tile {
    enum element_type type;
    const void *x;
    int64_t n;
};

/* Elements of 8 rows of error lanes, taken at a time by the threads that share a block. */
#define LAUNCH_PAD (8 * QO_LANES)

/* Where to launch, and what the device is like. */
struct launch {
    cudaStream_t stream;
    int multiprocessors;
    size_t shared; /* bytes of shared memory that a block can have at most */
};

/* Of assign: per level the count, and the sum of residuals as low + 2^32 * high, modulo 2^128. */
struct assign_device_sums {
    unsigned long long count[QO_MAX_LEVELS];
    unsigned long long low[QO_MAX_LEVELS];
    unsigned long long high[QO_MAX_LEVELS]; /* signed */
};

/* Of encode: how many elements got a level, and the largest error's bit pattern. */
struct encode_device_sums {
    unsigned long long kept;
    unsigned long long max_error;
};

/* Of measure, for float32 and float64; keys start as UINT64_MAX and 0. */
struct measure_device_sums {
    unsigned long long min_key, max_key;
    unsigned long long num_fill, num_nonfinite;
};

/* A level table made ready, and what the host has to know of it to choose a kernel. */
struct device_levels {
    const struct sorter *sorter; /* on the device */
    int k, bits;
    bool slots; /* the sorter has some */
};

/* block_error[blocks of the tile] is set: the sum of each block's squared errors. */
cudaError_t assign_launch(const struct launch *launch, const struct device_tile *tile,
                          const struct device_levels *levels, struct assign_device_sums *sums,
                          double *block_error);

/* The same, and codes, unless NULL, is set for all elements up to the padding. Aligned to 16 bytes.
 */
cudaError_t encode_launch(const struct launch *launch, const struct device_tile *tile,
                          const struct device_levels *levels, uint8_t *codes,
                          struct encode_device_sums *sums, double *block_error);

/* x[n] is set, up to the next multiple of 16; codes are readable up to there. value[256]: a level a
 * code, as bit patterns of the type. */
cudaError_t decode_launch(const struct launch *launch, const uint8_t *codes, int64_t n, int bits,
                          const uint64_t *value, enum element_type type, void *x);

/* 16-bit types: pattern[65536] counts bit patterns. */
cudaError_t measure_patterns_launch(const struct launch *launch, const struct device_tile *tile,
                                    unsigned long long *pattern);

/* float32, float64: cells[lookup->num_cells]. The lookup's arrays are on the device. */
cudaError_t measure_cells_launch(const struct launch *launch, const struct device_tile *tile,
                                 const struct sorter *fills, const struct lookup *lookup,
                                 struct cell *cells, struct measure_device_sums *sums);

/*
 * The same for float32 in great numbers, over the slivers of a map (slivers.h), whose lookup this
 * is. An element goes to totals[lookup->num_cells] where a word of the lookup gives its sliver and
 * that has at most SLIVER_KEYS keys, else to cells[lookup->num_cells].
 */
#define SLIVER_SHIFT 12
#define SLIVER_KEYS  (1 << SLIVER_SHIFT)

/* Of a sliver: count, sum of offsets, and of squared distances from its middle, which is at offset
 * keys / 2. */
struct sliver_device_sums {
    unsigned long long count, sum, square;
};

cudaError_t measure_slivers_launch(const struct launch *launch, const struct device_tile *tile,
                                   const struct sorter *fills, const struct lookup *lookup,
                                   struct sliver_device_sums *totals, struct cell *cells,
                                   struct measure_device_sums *sums);

/* Elements that are searched for outliers by one warp, and counted together. */
#define COLLECT_PIECE 4096

/* Both read x one element at a time, and nothing behind n: x is aligned to its elements alone.
 *
 * count[pieces] is set to the outliers of each piece of COLLECT_PIECE elements. */
cudaError_t collect_count_launch(const struct launch *launch, const struct device_tile *tile,
                                 const struct sorter *sorter, unsigned *count);

/*
 * Lists the outliers of the tile: those of piece p from place[p] on, where it is below `room`.
 * index[room] is relative to the tile, value[room] in the vector's own type; both are set.
 */
cudaError_t collect_list_launch(const struct launch *launch, const struct device_tile *tile,
                                const struct sorter *sorter, const unsigned *place, unsigned room,
                                unsigned long long *index, void *value);

/* Whether this device can run the code of this build: what CUDA says of one of the kernels. */
cudaError_t decode_probe(void);

#ifdef __cplusplus
}
#endif

#endif
