/* SPDX-License-Identifier: Apache-2.0 */
#include "sample.h"

#include <string.h>

#include "memory.h"
#include "reduce.h"

/* Elements that change hands at a time: 512 KiB. */
#define CHUNK 65536

/* A well-mixed 64-bit number for each i (the finaliser of splitmix64): which element of a stratum
 * is looked at must not follow any pattern of the data. */
static uint64_t mix(uint64_t i)
{
    uint64_t z = (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int64_t sample_index(int64_t n, int64_t count, int64_t j)
{
    if (n <= count)
        return j;
    int64_t begin = (int64_t)((__int128)n * j / count);
    int64_t end = (int64_t)((__int128)n * (j + 1) / count);
    return begin + (int64_t)(mix((uint64_t)j) % (uint64_t)(end - begin));
}

/* Local. Bits of the elements first to first + n - 1 of the sample that this rank holds, each in
 * its slot; the other slots are 0. */
static void fill_slots(const struct sample *sample, const struct walk *walk, int64_t first,
                       int64_t n, uint64_t *bits)
{
    for (int64_t j = 0; j < n; j++) {
        int64_t i = sample_index(walk->info->n, sample->info.n, first + j);
        bool mine = walk->shard.begin <= i && i < walk->shard.end;
        bits[j] = mine ? element_bits(walk->info->type, walk->x, i - walk->shard.begin) : 0;
    }
}

/* Local. Keeps those of the slots that belong to this rank's shard of the sample. */
static void keep_slots(struct sample *sample, int64_t first, int64_t n, const uint64_t *bits)
{
    const struct shard *shard = &sample->walk.shard;
    size_t size = element_size(sample->info.type);
    for (int64_t j = 0; j < n; j++)
        if (shard->begin <= first + j && first + j < shard->end)
            memcpy((char *)sample->walk.x + (size_t)(first + j - shard->begin) * size, &bits[j],
                   size);
}

/* Collective. Every slot is filled by one rank, so that a sum brings it to all. */
static void deal_out(struct sample *sample, const struct walk *walk, uint64_t *bits)
{
    for (int64_t first = 0; first < sample->info.n; first += CHUNK) {
        int64_t n = sample->info.n - first < CHUNK ? sample->info.n - first : CHUNK;
        fill_slots(sample, walk, first, n, bits);
        reduce_sum(walk->comm, (int64_t *)bits, n);
        keep_slots(sample, first, n, bits);
    }
}

enum status sample_open(struct sample *sample, const struct walk *walk, int64_t count)
{
    enum status status;
    uint64_t *bits = NULL;
    *sample = (struct sample){.info = *walk->info};
    sample->info.n = count;
    sample->info.num_dims = 1;
    sample->info.shape[0] = count;
    struct walk *mine = &sample->walk;
    *mine = *walk;
    mine->info = &sample->info;
    mine->shard = shard_of(count, walk->comm->rank, walk->comm->size);
    mine->x = NULL; /* the vector's belongs to its own walk, and so does its tile */
    mine->tile = (struct tile){.n = 0};
    int64_t n = mine->shard.end - mine->shard.begin;
    QO_TRY(memory_alloc("slots of the sample", CHUNK, sizeof *bits, &bits));
    QO_TRY(memory_alloc_large("sample", n, element_size(sample->info.type), &mine->x));
    mine->tile = (struct tile){sample->info.type, mine->x, n, mine->shard.begin};
done:
    if ((status = comm_agree(walk->comm, status)) == QO_OK) {
        deal_out(sample, walk, bits);
        status = mine->engine->kernels->hold(mine->engine, &mine->tile);
        status = comm_agree(walk->comm, status);
    }
    memory_free(bits);
    return status;
}

void sample_close(struct sample *sample)
{
    walk_close(&sample->walk);
    *sample = (struct sample){0};
}
