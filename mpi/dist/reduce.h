/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_DIST_REDUCE_H
#define QO_DIST_REDUCE_H

#include <stdint.h>
#include <string.h>

#include "comm.h"

/*
 * Sums and maxima over ranks, of integers only: any order of adding gives the same bits, over MPI
 * and over NCCL. Every rank leaves with the result in its buffer. n is the same on all ranks,
 * derived from global sizes; one call moves at most 1 GiB, more is cut. Time spent is kept for the
 * report.
 *
 * Over MPI from comm_open on; reduce_open may change that.
 */
enum reduce_choice { REDUCE_AUTO, REDUCE_MPI, REDUCE_NCCL };

/*
 * Collective. Decides how ranks add up until reduce_close. The choice is the same on all ranks.
 * device_uuid is of the GPU that this rank computes on, which is the calling thread's CUDA device;
 * "" where it computes on the CPU; at most 63 bytes.
 *
 * REDUCE_MPI    over MPI.
 * REDUCE_NCCL   over NCCL, with one rank too. The same failure on all ranks where that cannot be:
 *               this build lacks it, a rank computes on the CPU, two ranks share a GPU, the library
 *               cannot be loaded or is older than 2.18, or its communicator cannot be made:
 *               QO_UNAVAILABLE, or QO_NO_MEMORY. comm is left as for REDUCE_MPI.
 * REDUCE_AUTO   over NCCL where each of several ranks has a GPU of its own and it can be, else over
 *               MPI, with a line in the log that says why. No line where there is one rank, or all
 *               compute on the CPU. Never fails.
 *
 * The environment: QUANTOPT_NCCL is the library's path or name, libnccl.so.2 if unset.
 * QUANTOPT_NCCL_DEADLINE is how many seconds a rank waits for the others, instead of 120 for the
 * communicator to be made and watch_timeout() for a reduction.
 *
 * Where a reduction over NCCL fails, or takes longer than that, agreement is impossible: one rank
 * says so and all end with QO_UNAVAILABLE.
 */
QO_MUST_USE enum status reduce_open(struct comm *comm, enum reduce_choice choice,
                                    const char *device_uuid);

/* Collective. Back to MPI; to be called while the CUDA device is still in use. A closed or zeroed
 * comm may be closed again. comm_close calls it, too. */
void reduce_close(struct comm *comm);

/* Pure. How ranks add up: "mpi" or "nccl"; the same on all ranks. */
const char *reduce_name(const struct comm *comm);

/* Collective. x[n] becomes the sum over ranks, modulo 2^64. */
void reduce_sum(const struct comm *comm, int64_t *x, int64_t n);

/* Collective. x[n] becomes the maximum over ranks. */
void reduce_max(const struct comm *comm, int64_t *x, int64_t n);

/* Pure. A double >= 0 as an integer that compares as it does, for reduce_max; and back. */
static inline int64_t reduce_bits(double x)
{
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double reduce_number(int64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Collective. The sum of x over the ranks below this one; 0 on rank 0. Always over MPI. */
int64_t reduce_sum_before(const struct comm *comm, int64_t x);

/* Local. Seconds this rank has spent in reductions since the start. */
double reduce_seconds(void);

/* Spread of a figure over ranks, for the report: never part of a result. */
struct spread {
    double min, mean, max;
    int max_rank;
};

/* Collective. The spread of each of x[n]; n small. The same on all ranks. Always over MPI. */
void reduce_spread(const struct comm *comm, const double *x, int n, struct spread *out);

#endif
