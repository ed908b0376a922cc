/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu.h"

#include <math.h>
#include <omp.h>

/*
 * The walks over the blocks of a tile. Threads take runs of blocks; each has totals of its own, and
 * totals are integers or exact sums, so neither the number of threads nor their order shows in the
 * result.
 */

static int64_t min_int64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t count_blocks(int64_t n)
{
    return (n + QO_BLOCK - 1) / QO_BLOCK;
}

enum status cpu_open(struct engine *engine, const struct cpu_blocks *blocks)
{
    enum status status;
    QO_TRY(memory_alloc("engine", 1, sizeof *engine->state, &engine->state));
    struct engine_state *state = engine->state;
    state->blocks = blocks;
    QO_TRY(memory_alloc("engine", engine->threads, sizeof *state->assign, &state->assign));
    QO_TRY(memory_alloc("engine", engine->threads, sizeof *state->encode, &state->encode));
    QO_TRY(memory_alloc("engine", engine->threads, sizeof *state->part, &state->part));
    QO_TRY(memory_alloc("engine", engine->threads + 1, sizeof *state->found, &state->found));
done:
    return status;
}

static void score_room_clear(struct score_room *room)
{
    memory_free(room->sorter);
    memory_free(room->sums);
    memory_free(room->totals);
    *room = (struct score_room){0};
}

void cpu_close(struct engine *engine)
{
    struct engine_state *state = engine->state;
    if (!state)
        return;
    memory_free(state->assign);
    memory_free(state->encode);
    memory_free(state->part);
    memory_free(state->found);
    memory_free(state->tables);
    lookup_clear(&state->lookup);
    score_room_clear(&state->score);
    memory_free(state);
    engine->state = NULL;
}

enum status cpu_hold(struct engine *engine, const struct tile *tile)
{
    (void)engine;
    (void)tile; /* it is where it is needed */
    return QO_OK;
}

void cpu_release(struct engine *engine, const struct tile *tile)
{
    (void)engine;
    (void)tile;
}

/* Adds a block's sums to a thread's totals. */
static void add_block(struct assign_totals *totals, const struct assign_sums *sums, int k)
{
    totals->num_outliers += sums->num_outliers;
    for (int i = 0; i < k; i++) {
        totals->count[i] += sums->count[i];
        wide_sum_add(&totals->residual[i], (int64_t)sums->residual[i]);
    }
    exact_sum_add(&totals->error, ops_lane_sum(sums->lane));
}

/* Adds an exact sum and carries both, so that their limbs do not depend on how a vector was cut. */
static void merge_error(struct exact_sum *sum, struct exact_sum *part)
{
    exact_sum_carry(part);
    exact_sum_merge(sum, part);
    exact_sum_carry(sum);
}

/* Adds a thread's totals to the caller's: integers, in any order. */
static void merge_assign(struct assign_totals *totals, struct assign_totals *part, int k)
{
    totals->num_outliers += part->num_outliers;
    for (int i = 0; i < k; i++) {
        struct wide_sum *sum = &totals->residual[i], *add = &part->residual[i];
        totals->count[i] += part->count[i];
        sum->low += add->low;
        sum->high += add->high + (sum->low < add->low);
    }
    merge_error(&totals->error, &part->error);
}

enum status cpu_assign(struct engine *engine, const struct tile *tile,
                       const struct level_table *table, struct assign_totals *totals)
{
    struct engine_state *state = engine->state;
    int64_t num_blocks = count_blocks(tile->n);
    sorter_init(&state->sorter, table, tile->type);
    memset(state->assign, 0, (size_t)engine->threads * sizeof *state->assign);
#pragma omp parallel for schedule(static) num_threads(engine->threads) if (num_blocks > 1)
    for (int64_t b = 0; b < num_blocks; b++) {
        struct assign_sums sums;
        int64_t n = min_int64(tile->n - b * QO_BLOCK, QO_BLOCK);
        const void *x = cpu_element(tile->type, tile->x, b * QO_BLOCK);
        memset(&sums, 0, sizeof sums);
        state->blocks->assign(&state->sorter, tile->type, x, n, &sums);
        add_block(&state->assign[omp_get_thread_num()], &sums, table->k);
    }
    for (int t = 0; t < engine->threads; t++)
        merge_assign(totals, &state->assign[t], table->k);
    return QO_OK;
}

/* Adds a block's sums to a thread's totals. */
static void add_encoded(struct encode_totals *totals, const struct encode_sums *sums)
{
    totals->num_outliers += sums->num_outliers;
    totals->max_error = fmax(totals->max_error, sums->max_error);
    exact_sum_add(&totals->error, ops_lane_sum(sums->lane));
}

/* Adds a thread's totals to the caller's. */
static void merge_encode(struct encode_totals *totals, struct encode_totals *part)
{
    totals->num_outliers += part->num_outliers;
    totals->max_error = fmax(totals->max_error, part->max_error);
    merge_error(&totals->error, &part->error);
}

enum status cpu_encode(struct engine *engine, const struct tile *tile,
                       const struct level_table *table, uint8_t *codes,
                       struct encode_totals *totals)
{
    struct engine_state *state = engine->state;
    int64_t num_blocks = count_blocks(tile->n);
    sorter_init(&state->sorter, table, tile->type);
    memset(state->encode, 0, (size_t)engine->threads * sizeof *state->encode);
#pragma omp parallel for schedule(static) num_threads(engine->threads) if (num_blocks > 1)
    for (int64_t b = 0; b < num_blocks; b++) {
        struct encode_sums sums = {0};
        int64_t n = min_int64(tile->n - b * QO_BLOCK, QO_BLOCK);
        const void *x = cpu_element(tile->type, tile->x, b * QO_BLOCK);
        state->blocks->encode(&state->sorter, tile->type, x, n,
                              codes + b * (QO_BLOCK / 8) * table->bits, &sums);
        add_encoded(&state->encode[omp_get_thread_num()], &sums);
    }
    for (int t = 0; t < engine->threads; t++)
        merge_encode(totals, &state->encode[t]);
    return QO_OK;
}

/* Makes room for `num` quantizers; QO_NO_MEMORY, with no room at all. */
static enum status score_room_make(struct score_room *room, int64_t num, int threads)
{
    enum status status = QO_OK;
    if (num <= room->num)
        return QO_OK;
    score_room_clear(room);
    QO_TRY(memory_alloc("scores", num, sizeof *room->sorter, &room->sorter));
    QO_TRY(memory_alloc("scores", num * threads, sizeof *room->sums, &room->sums));
    QO_TRY(memory_alloc("scores", num * threads, sizeof *room->totals, &room->totals));
    room->num = num;
done:
    if (status != QO_OK)
        score_room_clear(room);
    return status;
}

/*
 * Elements that one quantizer after the other looks at: few enough to be read from the second-level
 * cache by all but the first, and so many that a quantizer's tables are fetched seldom.
 */
#define SCORE_PART 4096

/* Adds block b of a tile to the totals of `num` quantizers. */
static void score_block(const struct engine_state *state, const struct tile *tile, int64_t b,
                        int num, struct encode_sums *sums, struct encode_totals *totals)
{
    int64_t end = min_int64(tile->n, (b + 1) * QO_BLOCK);
    memset(sums, 0, (size_t)num * sizeof *sums);
    for (int64_t i = b * QO_BLOCK; i < end; i += SCORE_PART)
        for (int q = 0; q < num; q++)
            state->blocks->encode(&state->score.sorter[q], tile->type,
                                  cpu_element(tile->type, tile->x, i),
                                  min_int64(end - i, SCORE_PART), NULL, &sums[q]);
    for (int q = 0; q < num; q++)
        add_encoded(&totals[q], &sums[q]);
}

enum status cpu_score(struct engine *engine, const struct tile *tile,
                      const struct level_table *table, int num, struct encode_totals *totals)
{
    enum status status;
    struct score_room *room = &engine->state->score;
    int64_t num_blocks = count_blocks(tile->n), num_parts = (int64_t)num * engine->threads;
    QO_TRY(score_room_make(room, num, engine->threads));
    memset(room->totals, 0, (size_t)num_parts * sizeof *room->totals);
    for (int q = 0; q < num; q++)
        sorter_init(&room->sorter[q], &table[q], tile->type);
#pragma omp parallel for schedule(static) num_threads(engine->threads) if (num_blocks > 1)
    for (int64_t b = 0; b < num_blocks; b++) {
        int64_t part = (int64_t)omp_get_thread_num() * num;
        score_block(engine->state, tile, b, num, room->sums + part, room->totals + part);
    }
    for (int64_t p = 0; p < num_parts; p++)
        merge_encode(&totals[p % num], &room->totals[p]);
done:
    return status;
}

/* Elements begin to end of a tile, searched for outliers. */
struct search {
    const struct cpu_blocks *blocks;
    const struct sorter *sorter;
    const struct tile *tile;
};

/* Bit i: element begin + i is an outlier, for the elements before `end`, 64 at most. */
static uint64_t outlier_mask(const struct search *search, int64_t begin, int64_t end)
{
    int64_t n = min_int64(end - begin, 64);
    const void *x = cpu_element(search->tile->type, search->tile->x, begin);
    uint64_t kept = search->blocks->kept(search->sorter, search->tile->type, x, n);
    return ~kept & (UINT64_MAX >> (64 - n));
}

/* Outliers among elements begin to end - 1. */
static int64_t count_outliers(const struct search *search, int64_t begin, int64_t end)
{
    int64_t count = 0;
    for (int64_t i = begin; i < end; i += 64)
        count += __builtin_popcountll(outlier_mask(search, i, end));
    return count;
}

/* Puts outliers into places `at` to `room` - 1 of the list; returns the element behind the last one
 * looked at. */
static int64_t list_outliers(const struct search *search, int64_t begin, int64_t end, int64_t at,
                             int64_t room, struct outlier_list *list)
{
    const struct tile *tile = search->tile;
    size_t size = element_size(tile->type);
    for (int64_t i = begin; i < end; i += 64) {
        for (uint64_t mask = outlier_mask(search, i, end); mask; mask &= mask - 1) {
            int64_t found = i + __builtin_ctzll(mask);
            list->index[at] = (uint64_t)(tile->first + found);
            memcpy((char *)list->value + (size_t)at * size, cpu_element(tile->type, tile->x, found),
                   size);
            if (++at == room)
                return found + 1;
        }
    }
    return end;
}

/* Collects from elements begin to end on all threads: each counts its part, then knows its place in
 * the list. False, and nothing done, if the list has no room for all. */
static bool collect_round(struct engine *engine, const struct search *search, int64_t begin,
                          int64_t end, struct outlier_list *list)
{
    int64_t *found = engine->state->found, parts = engine->threads;
    int64_t length = (end - begin + parts - 1) / parts;
    found[0] = list->count;
#pragma omp parallel for schedule(static) num_threads(engine->threads) if (parts > 1)
    for (int64_t p = 0; p < parts; p++)
        found[p + 1] = count_outliers(search, min_int64(begin + p * length, end),
                                      min_int64(begin + (p + 1) * length, end));
    for (int64_t p = 0; p < parts; p++)
        found[p + 1] += found[p];
    if (found[parts] > list->capacity)
        return false;
#pragma omp parallel for schedule(static) num_threads(engine->threads) if (parts > 1)
    for (int64_t p = 0; p < parts; p++)
        if (found[p] < found[p + 1])
            list_outliers(search, min_int64(begin + p * length, end),
                          min_int64(begin + (p + 1) * length, end), found[p], found[p + 1], list);
    list->count = found[parts];
    return true;
}

enum status cpu_collect(struct engine *engine, const struct tile *tile,
                        const struct level_table *table, int64_t *position,
                        struct outlier_list *list)
{
    struct engine_state *state = engine->state;
    struct search search = {state->blocks, &state->sorter, tile};
    /* A thread's part of a round should still be in its second-level cache when it is read again.
     */
    int64_t round = (int64_t)engine->threads * QO_BLOCK;
    sorter_init(&state->sorter, table, tile->type);
    while (*position < tile->n && list->count < list->capacity) {
        int64_t end = min_int64(*position + round, tile->n);
        if (collect_round(engine, &search, *position, end, list)) {
            *position = end;
        } else {
            *position = list_outliers(&search, *position, end, list->count, list->capacity, list);
            list->count = list->capacity;
        }
    }
    return QO_OK;
}

enum status cpu_decode(struct engine *engine, const uint8_t *codes, int64_t n,
                       const struct level_table *table, enum element_type type, void *x)
{
    const struct cpu_blocks *blocks = engine->state->blocks;
    int64_t num_blocks = count_blocks(n);
    uint64_t value[QO_MAX_LEVELS];
    for (int i = 0; i < QO_MAX_LEVELS;
         i++) /* a code that names no level is decoded as the last one */
        value[i] = element_from_double(type, table->level[i < table->k ? i : table->k - 1]);
#pragma omp parallel for schedule(static) num_threads(engine->threads) if (num_blocks > 1)
    for (int64_t b = 0; b < num_blocks; b++)
        blocks->decode(codes + b * (QO_BLOCK / 8) * table->bits,
                       min_int64(n - b * QO_BLOCK, QO_BLOCK), table->bits, value, type,
                       (char *)x + b * QO_BLOCK * (int64_t)element_size(type));
    return QO_OK;
}
