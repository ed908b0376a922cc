/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_DIST_SHARD_H
#define QO_DIST_SHARD_H

#include <stdint.h>

/*
 * The part of a vector one rank holds: elements [begin, end) in global indices. begin is a multiple
 * of QO_BLOCK, and so is end unless it is the vector's. A shard may be empty (begin == end): with
 * more ranks than blocks that is normal.
 */
struct shard {
    int64_t begin, end;
};

/* Pure. The shard of a rank among `size`: blocks are dealt as evenly as they can be, in rank order.
 */
struct shard shard_of(int64_t n, int rank, int size);

/* Pure. The rank that holds element i of n; 0 <= i < n. */
int shard_owner(int64_t n, int64_t i, int size);

/* Pure. The largest shard of any rank, in elements: the same on all, so it can set the number of
 * calls. */
int64_t shard_largest(int64_t n, int size);

#endif
