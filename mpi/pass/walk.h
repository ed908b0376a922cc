/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_PASS_WALK_H
#define QO_PASS_WALK_H

#include "comm.h"
#include "kernels.h"
#include "shard.h"
#include "source.h"
#include "status.h"

/*
 * One vector under way: this rank's shard of it in memory, and what every walk over it needs. A
 * walk goes over the shard with the engine's kernels and adds up integers over the ranks.
 */
struct walk {
    const struct comm *comm;
    struct engine *engine;
    const struct vector_info *info;
    struct shard shard;
    struct tile tile; /* the shard */
    void *x;          /* the shard's elements: owned */
    struct keep all;  /* every finite element but the fill values */
};

/*
 * Collective. Takes this rank's shard of a vector into memory. The same status on every rank. The
 * walk is to be closed after a failure too.
 */
QO_MUST_USE enum status walk_open(struct walk *walk, const struct comm *comm, struct engine *engine,
                                  struct source *source, int index);

/* Local. Frees the shard; a zeroed or closed walk may be closed again. */
void walk_close(struct walk *walk);

#endif
