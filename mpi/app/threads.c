/* SPDX-License-Identifier: Apache-2.0 */
#include "threads.h"

#include <sched.h>
#include <stddef.h>

/* Cores that the kernel's widest mask can name here. */
#define MAX_CORES 8192

/* A number for a set of cores (FNV-1a): equal sets are equal, others almost surely not. */
static uint64_t fingerprint(const unsigned char *mask, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ mask[i]) * 0x100000001b3u;
    return hash;
}

int threads_auto(const struct comm *comm)
{
    static unsigned char mask[MAX_CORES / 8];
    int cores = 1;
    if (sched_getaffinity(0, sizeof mask, (cpu_set_t *)(void *)mask) == 0)
        cores = CPU_COUNT_S(sizeof mask, (cpu_set_t *)(void *)mask);
    int ranks = comm_count_equal(comm, fingerprint(mask, sizeof mask));
    return cores > ranks ? cores / ranks : 1;
}
