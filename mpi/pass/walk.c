/* SPDX-License-Identifier: Apache-2.0 */
#include "walk.h"

#include <math.h>
#include <string.h>

#include "clock.h"
#include "feed.h"
#include "memory.h"
#include "reduce.h"

/* A tile for each buffer at most: what the largest reads need to run at the disk's speed. */
#define LARGEST_TILE ((int64_t)32 << 20)

/* Of the memory that may be used, one part in so many is a tile: two are read into, the codes of
 * one are smaller, and a quarter is left. */
#define TILES_PER_LIMIT 4

/* Ranks ask each other whether to stop when each has seen so many bytes: some 30 ms, to which a
 * small allreduce adds nothing. */
#define BYTES_BETWEEN_STOPS ((int64_t)64 << 20)

/* A shard is read in parts of so many bytes, between which the run can stop. */
#define READ_PART ((int64_t)1 << 30)

/* ---- How ---- */

static int64_t round_to_blocks(int64_t n)
{
    return n < QO_BLOCK ? QO_BLOCK : n / QO_BLOCK * QO_BLOCK;
}

struct walk_plan walk_plan_of(const struct vector_info *info, int size, int64_t limit, int bits)
{
    int64_t element = (int64_t)element_size(info->type), shard = shard_largest(info->n, size);
    int64_t held = shard * element + (shard * bits + 7) / 8;
    if (held <= limit || info->is_sequential)
        return (struct walk_plan){.is_held = true, .span = info->n, .tile = shard, .memory = held};
    int64_t bytes = limit / TILES_PER_LIMIT < LARGEST_TILE ? limit / TILES_PER_LIMIT : LARGEST_TILE;
    int64_t tile = round_to_blocks(bytes / element);
    return (struct walk_plan){
        .span = tile * size, .tile = tile, .memory = 2 * tile * element + (tile * bits + 7) / 8};
}

/* ---- Opening ---- */

/* Collective. Reads the shard, part by part: all ranks as many. */
static enum status read_shard(struct walk *walk)
{
    enum status status = QO_OK;
    size_t size = element_size(walk->info->type);
    int64_t part = READ_PART / (int64_t)size;
    const struct shard *shard = &walk->shard;
    for (int64_t done = 0; done < walk->plan.tile && status == QO_OK; done += part) {
        int64_t begin = shard->begin + done < shard->end ? shard->begin + done : shard->end;
        int64_t end = shard->end - begin < part ? shard->end : begin + part;
        enum stop stop;
        status = source_read(walk->source, walk->index, begin, end,
                             (char *)walk->x + (size_t)(begin - shard->begin) * size);
        status = stop_agree(walk->comm, status, &stop);
        if (status == QO_OK)
            status = journal_save(walk->journal, stop, NULL);
    }
    return status;
}

/* Collective. Takes the shard into memory, to be looked at again and again. */
static enum status hold_shard(struct walk *walk)
{
    int64_t n = walk->shard.end - walk->shard.begin;
    enum status status =
        memory_alloc_large(walk->info->origin, n, element_size(walk->info->type), &walk->x);
    if ((status = comm_agree(walk->comm, status)) != QO_OK)
        return status;
    if ((status = read_shard(walk)) != QO_OK)
        return status;
    walk->tile = (struct tile){walk->info->type, walk->x, n, walk->shard.begin};
    return comm_agree(walk->comm, walk->engine->kernels->hold(walk->engine, &walk->tile));
}

enum status walk_open(struct walk *walk, const struct comm *comm, struct engine *engine,
                      struct source *source, int index, const struct walk_plan *plan,
                      struct journal *journal)
{
    enum status status = QO_OK;
    const struct vector_info *info = source_vector(source, index);
    *walk = (struct walk){.comm = comm,
                          .engine = engine,
                          .source = source,
                          .index = index,
                          .info = info,
                          .plan = *plan,
                          .journal = journal};
    walk->all = (struct keep){.lo = -INFINITY, .hi = INFINITY, .num_fills = info->num_fills};
    for (int i = 0; i < info->num_fills; i++)
        walk->all.fill[i] = info->fill[i];
    if (plan->is_held) {
        walk->shard = shard_of(info->n, comm->rank, comm->size);
        return hold_shard(walk);
    }
    for (int i = 0; i < 2 && status == QO_OK; i++)
        status = memory_alloc_large("tiles of a vector", plan->tile, element_size(info->type),
                                    &walk->buffer[i]);
    return comm_agree(comm, status);
}

void walk_close(struct walk *walk)
{
    if (walk->engine)
        walk->engine->kernels->release(walk->engine, &walk->tile);
    memory_free(walk->x);
    memory_free(walk->buffer[0]);
    memory_free(walk->buffer[1]);
    *walk = (struct walk){0};
}

/* ---- Walking ---- */

/* In front of the sums: how many ranks have failed, and how many want to stop in which way. */
enum control { CONTROL_FAILED, CONTROL_SAVE, CONTROL_LEAVE, CONTROL_AT_ONCE };

/* A walk on its way. */
struct round {
    const struct walk *walk;
    const struct visit *visit;
    struct feed *feed; /* NULL where the shard is held */
    int64_t done;      /* elements that were looked at, by all ranks together */
    int64_t *control;  /* the caller's words, the controls in front */
    int64_t *words;    /* those behind the controls */
    int64_t *base;     /* what an earlier run has told; NULL: nothing */
};

static int64_t num_words(const struct visit *visit)
{
    return visit->num_sums + visit->num_maxima;
}

/* Adds what an earlier run has told. */
static void add_base(const struct round *round)
{
    const struct visit *visit = round->visit;
    int64_t *words = round->words;
    if (!round->base)
        return;
    for (int64_t i = 0; i < visit->num_sums; i++)
        words[i] = (int64_t)((uint64_t)words[i] + (uint64_t)round->base[i]);
    for (int64_t i = visit->num_sums; i < num_words(visit); i++)
        words[i] = words[i] > round->base[i] ? words[i] : round->base[i];
}

/* The largest request of any rank. */
static enum stop stop_of(const int64_t *control)
{
    return control[CONTROL_AT_ONCE] ? STOP_AT_ONCE
           : control[CONTROL_LEAVE] ? STOP_LEAVE
           : control[CONTROL_SAVE]  ? STOP_SAVE
                                    : STOP_NOT;
}

/* Collective. What all ranks have told so far, an earlier run included, into round->words. */
static enum status add_up(const struct round *round, enum status status, enum stop *stop)
{
    const struct visit *visit = round->visit;
    const struct comm *comm = round->walk->comm;
    int64_t *control = round->control, *words = round->words;
    enum stop mine = stop_wanted();
    /* A device that failed takes no part in sums on devices: then it is to be told before. */
    if (comm->nccl && (status = comm_agree(comm, status)) != QO_OK)
        return status;
    memset(control, 0, (size_t)(WALK_CONTROLS + num_words(visit)) * sizeof *control);
    control[CONTROL_FAILED] = status != QO_OK;
    control[CONTROL_SAVE] = mine == STOP_SAVE;
    control[CONTROL_LEAVE] = mine == STOP_LEAVE;
    control[CONTROL_AT_ONCE] = mine == STOP_AT_ONCE;
    if (status == QO_OK)
        visit->pack(visit->context, words, words + visit->num_sums);
    reduce_sum(comm, control, WALK_CONTROLS + visit->num_sums);
    if (control[CONTROL_FAILED])
        return comm_agree(comm, status);
    *stop = stop_of(control);
    if (*stop != STOP_NOT) /* now all are to know why */
        status = stop_agree(comm, status, stop);
    if (visit->num_maxima)
        reduce_max(comm, words + visit->num_sums, visit->num_maxima);
    add_base(round);
    return status;
}

/* Collective. A safe point inside a walk: saves what all ranks have told so far, if that is wanted.
 */
static enum status pause(const struct round *round, enum status status)
{
    enum stop stop, again;
    const struct walk *walk = round->walk;
    QO_TRY(stop_agree(walk->comm, status, &stop));
    if (stop == STOP_NOT || !walk->journal)
        goto done;
    QO_TRY(add_up(round, QO_OK, &again));
    struct journal_part part = {.vector = walk->index,
                                .done = round->done,
                                .n = num_words(round->visit),
                                .words = round->words};
    QO_TRY(journal_save(walk->journal, stop, &part));
done:
    return status;
}

/* The part of a shard in memory that was not seen yet: an earlier run, which had to read the vector
 * in tiles, may have seen the vector's first elements. */
static struct tile unseen(const struct walk *walk, int64_t done)
{
    struct tile tile = walk->tile;
    int64_t seen = done - tile.first;
    if (seen <= 0)
        return tile;
    if (seen > tile.n)
        seen = tile.n;
    tile.x = (const char *)tile.x + (size_t)seen * element_size(tile.type);
    tile.n -= seen;
    tile.first += seen;
    return tile;
}

/* This rank's tile of the next span. */
static enum status next_tile(const struct round *round, const struct feed_plan *plan,
                             struct tile *tile)
{
    const struct walk *walk = round->walk;
    if (!round->feed) {
        *tile = unseen(walk, round->done);
        return QO_OK;
    }
    struct shard part = feed_part(plan, round->done);
    *tile =
        (struct tile){.type = walk->info->type, .n = part.end - part.begin, .first = part.begin};
    return feed_next(round->feed, &tile->x);
}

/* Collective. Looks at span after span; the status is this rank's own. */
static enum status look_at_spans(struct round *round, const struct feed_plan *plan)
{
    enum status status = QO_OK;
    const struct walk *walk = round->walk;
    const struct visit *visit = round->visit;
    int64_t n = walk->info->n, bytes = 0;
    int64_t span_bytes = walk->plan.tile * (int64_t)element_size(walk->info->type);
    while (round->done < n) {
        struct tile tile;
        if (status == QO_OK)
            status = next_tile(round, plan, &tile);
        if (visit->is_collective && (status = comm_agree(walk->comm, status)) != QO_OK)
            return status;
        if (status == QO_OK)
            status = visit->look(visit->context, &tile);
        round->done = n - round->done < walk->plan.span ? n : round->done + walk->plan.span;
        if (walk->observer)
            walk->observer->see(walk->observer->context, visit->what, walk->info, round->done);
        bytes += span_bytes;
        if (round->done == n || bytes < BYTES_BETWEEN_STOPS)
            continue;
        bytes = 0;
        if ((status = pause(round, status)) != QO_OK)
            return status;
    }
    return status;
}

/* Collective. Keeps what an earlier run has told, if the visit can go on from there. */
static enum status take_base(struct round *round)
{
    enum status status;
    const struct visit *visit = round->visit;
    int64_t n = num_words(visit);
    bool taken = true;
    QO_TRY(memory_alloc_large("words of an earlier run", n, sizeof *round->base, &round->base));
    memcpy(round->base, round->words, (size_t)n * sizeof *round->base);
done:
    status = comm_agree(round->walk->comm, status);
    if (status == QO_OK && visit->take_over)
        status = visit->take_over(visit->context, round->done, round->base, &taken);
    if (!taken) {
        memory_free(round->base);
        round->base = NULL;
        round->done = 0;
    }
    return status;
}

/* Collective. Goes on from what is recorded, if anything is. */
static enum status take_over(struct round *round)
{
    const struct walk *walk = round->walk;
    enum status status = journal_replay(walk->journal, walk->index, num_words(round->visit),
                                        round->words, &round->done);
    if (status != QO_OK || round->done == 0)
        return status;
    if (round->done > walk->info->n)
        round->done = walk->info->n;
    return take_base(round);
}

/* Collective. The spans that are left, and the sum over all. */
static enum status go_round(struct round *round)
{
    enum status status = QO_OK;
    const struct walk *walk = round->walk;
    struct feed_plan plan = {.source = walk->source,
                             .index = walk->index,
                             .n = walk->info->n,
                             .span = walk->plan.span,
                             .rank = walk->comm->rank,
                             .size = walk->comm->size,
                             .buffer = walk->buffer};
    bool is_whole = round->done == plan.n;
    enum stop stop = STOP_NOT;
    if (!walk->plan.is_held && !is_whole)
        QO_TRY(comm_agree(walk->comm, feed_open(&plan, round->done, &round->feed)));
    status = look_at_spans(round, &plan);
    if (round->feed && walk->observer)
        walk->observer->read_seconds += feed_waited(round->feed);
    QO_TRY(add_up(round, status, &stop));
    journal_add(walk->journal, walk->index, num_words(round->visit), round->words);
    QO_TRY(journal_save(walk->journal, stop, NULL));
done:
    return status;
}

enum status walk_over(const struct walk *walk, const struct visit *visit, int64_t *words)
{
    struct round round = {
        .walk = walk, .visit = visit, .control = words, .words = words + WALK_CONTROLS};
    enum status status = take_over(&round);
    if (status == QO_OK)
        status = go_round(&round);
    feed_close(round.feed);
    memory_free(round.base);
    return status;
}
