/* SPDX-License-Identifier: Apache-2.0 */
#include "walk.h"

#include <math.h>

#include "memory.h"

enum status walk_open(struct walk *walk, const struct comm *comm, struct engine *engine,
                      struct source *source, int index)
{
    enum status status;
    const struct vector_info *info = source_vector(source, index);
    *walk = (struct walk){.comm = comm, .engine = engine, .info = info};
    walk->shard = shard_of(info->n, comm->rank, comm->size);
    walk->all = (struct keep){.lo = -INFINITY, .hi = INFINITY, .num_fills = info->num_fills};
    for (int i = 0; i < info->num_fills; i++)
        walk->all.fill[i] = info->fill[i];

    int64_t n = walk->shard.end - walk->shard.begin;
    QO_TRY(memory_alloc_large(info->origin, n, element_size(info->type), &walk->x));
    QO_TRY(source_read(source, index, walk->shard.begin, walk->shard.end, walk->x));
    walk->tile = (struct tile){info->type, walk->x, n, walk->shard.begin};
    QO_TRY(engine->kernels->hold(engine, &walk->tile));
done:
    return comm_agree(comm, status);
}

void walk_close(struct walk *walk)
{
    if (walk->engine)
        walk->engine->kernels->release(walk->engine, &walk->tile);
    memory_free(walk->x);
    *walk = (struct walk){0};
}
