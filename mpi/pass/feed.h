/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_PASS_FEED_H
#define QO_PASS_FEED_H

#include "shard.h"
#include "source.h"
#include "status.h"

/*
 * Reading ahead: while one tile of a vector is looked at, a thread reads the next one into the
 * other of two buffers. Inside pass/; all functions are Local.
 *
 * The vector is cut into spans, which all ranks look at together; a span is cut like a vector, and
 * each rank's part of it is its tile, which may be empty.
 */
struct feed_plan {
    struct source *source;
    int index;           /* of the vector in the source */
    int64_t n, span;     /* elements of the vector and of a span: whole blocks, at least 1 */
    int rank, size;      /* which part of each span is read here */
    void *const *buffer; /* [2], the caller's: each has room for shard_largest(span, size) */
};

struct feed;

/* Pure. This rank's part of the span that begins with element `begin`. */
struct shard feed_part(const struct feed_plan *plan, int64_t begin);

/* Starts reading the span that begins with element `begin`, a multiple of the span or n; the plan
 * is copied. QO_NO_MEMORY: no memory or no thread; *feed is NULL then. */
QO_MUST_USE enum status feed_open(const struct feed_plan *plan, int64_t begin, struct feed **feed);

/*
 * Waits for the tile of the next span, and lets the tile before it go. *x is this rank's part in
 * memory. A failure of the reading thread is raised here, and again in every later call. Must not
 * be called after the last span.
 */
QO_MUST_USE enum status feed_next(struct feed *feed, const void **x);

/* Seconds that feed_next has waited for so far. */
double feed_waited(const struct feed *feed);

/* Stops reading; NULL is allowed. */
void feed_close(struct feed *feed);

#endif
