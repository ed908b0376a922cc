/* SPDX-License-Identifier: Apache-2.0 */
#include "reduce_nccl.h"

#include <stddef.h>

/* Stands in for NCCL in a build without it: it answers to the name and says so. */
bool reduce_nccl_is_built(void)
{
    return false;
}

enum status reduce_nccl_open(const struct comm *comm, struct nccl **nccl)
{
    (void)comm;
    *nccl = NULL;
    return status_raise(QO_UNAVAILABLE, "not in this build; use --comm mpi");
}

void reduce_nccl_close(struct nccl *nccl)
{
    (void)nccl;
}

/* Never called: there is no communicator to call it with. */
void reduce_nccl_run(const struct comm *comm, int64_t *x, int64_t n, enum reduction reduction)
{
    (void)comm;
    (void)x;
    (void)n;
    (void)reduction;
}
