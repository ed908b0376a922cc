/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_PASS_WALK_H
#define QO_PASS_WALK_H

#include "comm.h"
#include "journal.h"
#include "kernels.h"
#include "shard.h"
#include "source.h"
#include "status.h"

/*
 * How a vector is walked over. In spans, which all ranks look at together, each at its part, the
 * tile: where shards fit into memory the vector is one span and the tile is the shard; else a walk
 * reads tile after tile, the next one while one is looked at. What a walk tells is the same, bit
 * for bit.
 */
struct walk_plan {
    bool is_held;   /* shards are in memory */
    int64_t span;   /* elements: n, or whole blocks */
    int64_t tile;   /* elements of the largest part of a span */
    int64_t memory; /* bytes that a rank needs for tiles and for the codes of one result */
};

/*
 * Pure. The plan for a vector on `size` ranks that may take `limit` bytes each, with codes of
 * `bits` bits, 0 where there are none. The same on all ranks if the limit is. A limit below 16 MiB
 * may be passed, as a tile is at least a block; the overhead of libraries and histograms comes on
 * top. A vector that is_sequential is always held.
 */
struct walk_plan walk_plan_of(const struct vector_info *info, int size, int64_t limit, int bits);

/* Who wants to know how far a walk has come. */
struct walk_observer {
    void *context;
    /* Local. The ranks together have seen `done` elements of the vector. */
    void (*see)(void *context, const char *what, const struct vector_info *info, int64_t done);
    double read_seconds; /* in which walks had to wait for data: added to */
};

/*
 * One vector under way: what every walk over it needs. A walk goes over the vector with the
 * engine's kernels and adds up integers over the ranks.
 */
struct walk {
    const struct comm *comm;
    struct engine *engine;
    struct source *source;
    int index; /* of the vector */
    const struct vector_info *info;
    struct walk_plan plan;
    struct journal *journal; /* what walks tell is recorded there; NULL: nowhere */
    struct shard shard;      /* held in memory; else begin == end */
    struct tile tile;        /* the shard; else of no elements */
    void *x;                 /* the shard's elements: owned */
    void *buffer[2];         /* of plan.tile elements each, where the shard is not held: owned */
    struct keep all;         /* every finite element but the fill values */
    struct walk_observer *observer; /* or NULL */
};

/*
 * Collective. Gets ready to walk over a vector, and takes this rank's shard into memory if the plan
 * says so. QO_STOPPED if the run is to end. The same status on every rank. The walk is to be closed
 * after a failure too.
 */
QO_MUST_USE enum status walk_open(struct walk *walk, const struct comm *comm, struct engine *engine,
                                  struct source *source, int index, const struct walk_plan *plan,
                                  struct journal *journal);

/* Local. Frees; a zeroed or closed walk may be closed again. */
void walk_close(struct walk *walk);

/* What a walk does at each tile, and what it brings home: words that are summed over the ranks, and
 * words of which the largest counts. */
struct visit {
    const char *what; /* "measuring" */
    void *context;
    int64_t num_sums, num_maxima;

    /* Local, or Collective where is_collective says so: looks at a tile, which may be empty, once
     * for each span. Collective ones return the same status on all ranks. */
    enum status (*look)(void *context, const struct tile *tile);
    bool is_collective;

    /* Local. What the looks of this rank have told so far, as words. */
    void (*pack)(void *context, int64_t *sums, int64_t *maxima);

    /*
     * Collective, or NULL. The walk goes on from element `done` with what an earlier run has told:
     * its sums and maxima. False in *taken if it has to begin anew instead.
     */
    enum status (*take_over)(void *context, int64_t done, const int64_t *sums, bool *taken);
};

/* Words of walk_over's own in front of the visit's. */
#define WALK_CONTROLS 4

/*
 * Collective. One walk over the vector: looks at each span, then adds up over the ranks, and over
 * what an earlier run may have told. words[WALK_CONTROLS + num_sums + num_maxima] is the caller's;
 * behind the controls it is the same on all ranks. One allreduce of the sums tells of failures and
 * of requests to stop, too; one more takes the maxima if there are any. The same status on every
 * rank; QO_STOPPED if the run is to end.
 */
QO_MUST_USE enum status walk_over(const struct walk *walk, const struct visit *visit,
                                  int64_t *words);

#endif
