/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_PASS_SAMPLE_H
#define QO_PASS_SAMPLE_H

#include "walk.h"

/*
 * Pure. The global index of sample j of `count` <= n: one element, by a fixed hash, of each of
 * `count` equal strata of the vector; whatever the number of ranks.
 */
int64_t sample_index(int64_t n, int64_t count, int64_t j);

/*
 * Local. Of the samples first to first + n - 1 of `count`, those that this rank is to look up:
 * mine[j] tells which, bits[j] holds the element (0 elsewhere). Each is one rank's; all ranks pass
 * the same arguments. Where the shard is not in memory the elements are read from the source, which
 * is not to be read by anybody else meanwhile. As source_read.
 */
QO_MUST_USE enum status sample_look_up(const struct walk *walk, int64_t count, int64_t first,
                                       int64_t n, uint64_t *bits, bool *mine);

/* A sample as a vector of its own, sharded over the ranks like any other. */
struct sample {
    struct vector_info info; /* of the vector, but for n and the shape */
    struct walk walk;
};

/*
 * Collective. Takes `count` elements of the vector under way, 1 <= count <= n, in index order; its
 * shards are held in memory. The same status on every rank. To be closed after a failure too;
 * `walk` must outlive it.
 */
QO_MUST_USE enum status sample_open(struct sample *sample, const struct walk *walk, int64_t count);

/* Local. Frees; a zeroed or closed sample may be closed again. */
void sample_close(struct sample *sample);

#endif
