/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_DEVICE_H
#define QO_KERNELS_DEVICE_H

#include "kernels.h"

/* The GPU of a rank. A build without CUDA answers here too, and says so. */

#define DEVICE_UUID_BYTES 48

/* A GPU, as the start-up block shows it. */
struct device {
    int ordinal; /* among the visible ones */
    char name[128];
    char uuid[DEVICE_UUID_BYTES]; /* "GPU-" and 32 hexadecimal digits in groups */
    int major, minor;             /* compute capability */
    int multiprocessors;
    int64_t memory, free_memory; /* bytes, the latter when this was asked */
    int64_t shared_memory;       /* bytes that a block of threads can have */
};

/*
 * Local. Makes GPU number node_rank, modulo the number of visible ones, this process's, for
 * engine_open and NCCL; so ranks of a node share a GPU where there are fewer. QO_NO_MEMORY if the
 * GPU is full, QO_UNAVAILABLE if none can be used; the text is the reason alone, to be put into a
 * sentence: no CUDA in this build, no driver or too old a one, no device, none that this build has
 * code for.
 */
QO_MUST_USE enum status device_select(int node_rank, struct device *device);

/* Local. Whether the device of an engine of BACKEND_CUDA keeps a copy of a tile that it was told to
 * hold. */
bool device_holds(const struct engine *engine, const struct tile *tile);

/* Local. Seconds for which the device of an engine of BACKEND_CUDA has computed in the last call,
 * copies to and from the host aside. */
double device_seconds(const struct engine *engine);

/*
 * Local. What kernels are measured against: *seconds that the device takes to copy n bytes of its
 * memory, the fastest of `repeats`. QO_NO_MEMORY, QO_UNAVAILABLE.
 */
QO_MUST_USE enum status device_copy_seconds(struct engine *engine, int64_t n, int repeats,
                                            double *seconds);

#endif
