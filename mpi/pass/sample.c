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

/* Elements that lie so close together are read in one piece: where each of two reads would fetch
 * this much anyway. */
#define NEAR_BYTES 16384

/* The most that is read in one piece. */
#define PIECE_BYTES ((int64_t)1 << 20)

/* The samples that are looked up here: those in the shard, or where none is held an equal share of
 * every n. */
static bool is_mine(const struct walk *walk, int64_t n, int64_t j, int64_t i)
{
    if (walk->plan.is_held)
        return walk->shard.begin <= i && i < walk->shard.end;
    int rank = walk->comm->rank, size = walk->comm->size;
    return n * rank / size <= j && j < n * (rank + 1) / size;
}

/* Samples first to first + n - 1 of `count`, some of which this rank reads. */
struct wanted {
    const struct walk *walk;
    int64_t count, first, n;
    const bool *mine; /* [n] */
};

/* The place of a sample in the vector. */
static int64_t place_of(const struct wanted *wanted, int64_t j)
{
    return sample_index(wanted->walk->info->n, wanted->count, wanted->first + j);
}

/* The samples from j on that lie close together and are this rank's: returns the first that is not
 * among them; *last is the place of the last that is. */
static int64_t end_of_piece(const struct wanted *wanted, int64_t j, int64_t *last)
{
    int64_t size = (int64_t)element_size(wanted->walk->info->type);
    int64_t begin = place_of(wanted, j), end = j + 1;
    *last = begin;
    for (; end < wanted->n && wanted->mine[end]; end++) {
        int64_t i = place_of(wanted, end);
        if ((i - *last) * size > NEAR_BYTES || (i + 1 - begin) * size > PIECE_BYTES)
            break;
        *last = i;
    }
    return end;
}

/* Single elements of a large vector are many reads, which a disk serves faster side by side. */
static void expect_samples(const struct wanted *wanted)
{
    const struct walk *walk = wanted->walk;
    for (int64_t j = 0, end, last; j < wanted->n; j = end) {
        end = j + 1;
        if (!wanted->mine[j])
            continue;
        end = end_of_piece(wanted, j, &last);
        source_expect(walk->source, walk->index, place_of(wanted, j), last + 1);
    }
}

/* Reads this rank's samples from the source. */
static enum status read_samples(const struct wanted *wanted, uint64_t *bits)
{
    const struct walk *walk = wanted->walk;
    char *piece;
    enum status status = memory_alloc("samples", PIECE_BYTES, 1, &piece);
    if (status == QO_OK)
        expect_samples(wanted);
    for (int64_t j = 0, end, last; j < wanted->n && status == QO_OK; j = end) {
        end = j + 1;
        if (!wanted->mine[j])
            continue;
        int64_t begin = place_of(wanted, j);
        end = end_of_piece(wanted, j, &last);
        status = source_read(walk->source, walk->index, begin, last + 1, piece);
        for (int64_t k = j; k < end && status == QO_OK; k++)
            bits[k] = element_bits(walk->info->type, piece, place_of(wanted, k) - begin);
    }
    memory_free(piece);
    return status;
}

enum status sample_look_up(const struct walk *walk, int64_t count, int64_t first, int64_t n,
                           uint64_t *bits, bool *mine)
{
    for (int64_t j = 0; j < n; j++) {
        int64_t i = sample_index(walk->info->n, count, first + j);
        mine[j] = is_mine(walk, n, j, i);
        bool is_held = mine[j] && walk->plan.is_held;
        bits[j] = is_held ? element_bits(walk->info->type, walk->x, i - walk->shard.begin) : 0;
    }
    struct wanted wanted = {walk, count, first, n, mine};
    return walk->plan.is_held ? QO_OK : read_samples(&wanted, bits);
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
static enum status deal_out(struct sample *sample, const struct walk *walk, uint64_t *bits,
                            bool *mine)
{
    enum status status = QO_OK;
    for (int64_t first = 0; first < sample->info.n && status == QO_OK; first += CHUNK) {
        int64_t n = sample->info.n - first < CHUNK ? sample->info.n - first : CHUNK;
        status = sample_look_up(walk, sample->info.n, first, n, bits, mine);
        if ((status = comm_agree(walk->comm, status)) != QO_OK)
            return status;
        reduce_sum(walk->comm, (int64_t *)bits, n);
        keep_slots(sample, first, n, bits);
    }
    return status;
}

enum status sample_open(struct sample *sample, const struct walk *walk, int64_t count)
{
    enum status status;
    uint64_t *bits = NULL;
    bool *is_here = NULL;
    *sample = (struct sample){.info = *walk->info};
    sample->info.n = count;
    sample->info.num_dims = 1;
    sample->info.shape[0] = count;
    struct walk *mine = &sample->walk;
    *mine = *walk;
    mine->info = &sample->info;
    mine->shard = shard_of(count, walk->comm->rank, walk->comm->size);
    mine->plan = (struct walk_plan){
        .is_held = true, .span = count, .tile = shard_largest(count, walk->comm->size)};
    mine->x = mine->buffer[0] = mine->buffer[1] = NULL; /* the vector's are its own walk's */
    mine->tile = (struct tile){.n = 0};
    int64_t n = mine->shard.end - mine->shard.begin;
    QO_TRY(memory_alloc("slots of the sample", CHUNK, sizeof *bits, &bits));
    QO_TRY(memory_alloc("owners of the sample", CHUNK, sizeof *is_here, &is_here));
    QO_TRY(memory_alloc_large("sample", n, element_size(sample->info.type), &mine->x));
    mine->tile = (struct tile){sample->info.type, mine->x, n, mine->shard.begin};
done:
    if ((status = comm_agree(walk->comm, status)) == QO_OK)
        status = deal_out(sample, walk, bits, is_here);
    if (status == QO_OK)
        status = comm_agree(walk->comm, mine->engine->kernels->hold(mine->engine, &mine->tile));
    memory_free(bits);
    memory_free(is_here);
    return status;
}

void sample_close(struct sample *sample)
{
    walk_close(&sample->walk);
    *sample = (struct sample){0};
}
