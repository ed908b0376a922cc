/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_MEMORY_LIMIT_H
#define QO_APP_MEMORY_LIMIT_H

#include <stdint.h>

#include "comm.h"

/*
 * Collective. How many bytes of memory a rank may use, the same on all ranks: `given`, the value of
 * --memory_limit, if that is not 0. Else nine tenths of what memory_limit_find sees on a node,
 * shared among the node's ranks, and at most nine tenths of the process's own limit (RLIMIT_AS); of
 * the rank that has least. INT64_MAX if nothing is known.
 */
int64_t memory_limit_of(int64_t given, const struct comm *comm);

/*
 * Local. The smallest of what a job and this node grant all ranks of the node together, in bytes;
 * INT64_MAX if nothing is known:
 *
 * - Slurm's SLURM_MEM_PER_NODE, or SLURM_MEM_PER_CPU times SLURM_CPUS_ON_NODE, in MiB; 0 is no
 *   limit, as Slurm means it. Not SLURM_MEM_PER_GPU, which is no more than how --mem was reckoned.
 * - The limits of this process's control groups and of all groups above them: memory.max (v2, also
 *   beside v1), memory.limit_in_bytes (v1).
 * - MemAvailable of /proc/meminfo.
 *
 * What is missing, or is no number, is passed over. `root` is put before /proc and /sys: "" but in
 * tests.
 */
int64_t memory_limit_find(const char *root);

#endif
