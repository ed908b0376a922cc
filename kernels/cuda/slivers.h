/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_CUDA_SLIVERS_H
#define QO_KERNELS_CUDA_SLIVERS_H

#include "launch.h"

/*
 * Slivers: the cells of a float32 map, those of more than SLIVER_KEYS keys cut into pieces of so
 * many, for kernels that count in shared memory. The pieces of a cell are added up again on the
 * host.
 */
struct slivers {
    struct cell_map map; /* its low[] are first keys of slivers; nothing else of it is set */
    int64_t room;        /* entries that low[] and cell[] have */
    int64_t *cell;       /* [map.num_cells]: the cell that a sliver is part of */
};

/* Local. The slivers of a map. Starts zeroed, and may be set again. QO_NO_MEMORY. */
QO_MUST_USE enum status slivers_set(struct slivers *slivers, const struct cell_map *map);

/* Pure. Whether any fits into shared memory: a plan for moments alone has none. */
bool slivers_help(const struct slivers *slivers);

/* Local. Frees; zeroed or cleared slivers may be cleared again. */
void slivers_clear(struct slivers *slivers);

/* Local. Adds what a sliver holds, in either way, to its cell. */
void slivers_add(const struct slivers *slivers, const struct cell_map *map, int64_t sliver,
                 const struct sliver_device_sums *sums, const struct cell *wide, struct cell *cell);

#endif
