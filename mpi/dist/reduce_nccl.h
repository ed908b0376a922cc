/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_DIST_REDUCE_NCCL_H
#define QO_DIST_REDUCE_NCCL_H

#include <stdbool.h>
#include <stdint.h>

#include "comm.h"

/*
 * Reductions over NCCL, for reduce.c alone, which decides whether they are taken. One of two files
 * is built: reduce_nccl.c, or reduce_no_nccl.c, which answers to the name and says so.
 */
enum reduction { REDUCTION_SUM, REDUCTION_MAX };

/*
 * Integers that go through a device at a time: 8 MiB of pinned and as much of device memory. The
 * copies of so much take hundreds of microseconds, against which the tens that a call costs are
 * little.
 */
#define REDUCE_NCCL_CHUNK ((int64_t)1 << 20)

/* Pure. Whether this build has NCCL. */
bool reduce_nccl_is_built(void);

/*
 * Collective. Loads NCCL and joins its communicator of all ranks; the calling thread's CUDA device
 * must be set, and be no other rank's. *nccl is to be closed; NULL after a failure, when nothing is
 * left behind. The same status on all ranks: QO_UNAVAILABLE, or QO_NO_MEMORY; the text names the
 * rank and says what to do.
 */
QO_MUST_USE enum status reduce_nccl_open(const struct comm *comm, struct nccl **nccl);

/* Collective. Leaves the communicator and frees; NULL is allowed. */
void reduce_nccl_close(struct nccl *nccl);

/*
 * Collective. x[n] becomes the sum modulo 2^64, or the maximum, over the ranks of comm->nccl. A
 * failure ends all ranks with QO_UNAVAILABLE, as comm_abort does.
 */
void reduce_nccl_run(const struct comm *comm, int64_t *x, int64_t n, enum reduction reduction);

#endif
