/* SPDX-License-Identifier: Apache-2.0 */
#include "shard.h"

#include <assert.h>

#include "element.h"

static int64_t num_blocks(int64_t n)
{
    return n / QO_BLOCK + (n % QO_BLOCK != 0);
}

/* The block at which a rank begins; in integers, so that it is exact at any size. */
static int64_t first_block(int64_t blocks, int rank, int size)
{
    int64_t extra = blocks % size;
    return blocks / size * rank + (rank < extra ? rank : extra);
}

static int64_t first_element(int64_t n, int rank, int size)
{
    int64_t begin = first_block(num_blocks(n), rank, size) * QO_BLOCK;
    return begin < n ? begin : n;
}

struct shard shard_of(int64_t n, int rank, int size)
{
    assert(n >= 0 && 0 <= rank && rank < size);
    return (struct shard){first_element(n, rank, size), first_element(n, rank + 1, size)};
}

int shard_owner(int64_t n, int64_t i, int size)
{
    assert(0 <= i && i < n);
    int64_t blocks = num_blocks(n), block = i / QO_BLOCK;
    int64_t each = blocks / size, extra = blocks % size;
    int64_t large = extra * (each + 1); /* blocks of the ranks that have one more */
    return (int)(block < large ? block / (each + 1) : extra + (block - large) / each);
}

int64_t shard_largest(int64_t n, int size)
{
    struct shard first = shard_of(n, 0, size);
    return first.end - first.begin;
}
