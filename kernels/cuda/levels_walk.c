/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "host.h"

/*
 * The operations that look up levels: assign, encode, score, collect, decode. Kernels leave
 * integers and, block by block, sums of squared errors; the host adds the latter exactly.
 */

static int64_t count_blocks(int64_t n)
{
    return (n + QO_BLOCK - 1) / QO_BLOCK;
}

/* The levels of table i, whose sorter was brought. */
static struct device_levels levels_at(const struct engine_state *state, int i,
                                      const struct level_table *table)
{
    const struct sorter *sorters = state->sorters.memory;
    return (struct device_levels){sorters + i, table->k, table->bits,
                                  state->sorter[i].slots.num > 0};
}

/* Brings the sorters of table[num] to the device. */
static enum status bring_sorters(struct engine_state *state, const struct level_table *table,
                                 int num, enum element_type type)
{
    enum status status;
    size_t bytes = (size_t)num * sizeof *state->sorter;
    QO_TRY(cuda_reserve_sorters(state, num));
    for (int i = 0; i < num; i++)
        sorter_init(&state->sorter[i], &table[i], type);
    QO_TRY(cuda_reserve(state, &state->sorters, bytes, "levels"));
    QO_TRY(stage_up(state, state->sorters.memory, state->sorter, bytes, state->slot[0].stream));
done:
    return status;
}

/* Room on both sides for sums of `bytes`, zeroed on the device, and for a number a block. */
static enum status prepare_sums(struct engine_state *state, size_t bytes, int64_t blocks)
{
    enum status status;
    cudaStream_t stream = state->slot[0].stream;
    size_t errors = (size_t)blocks * sizeof(double);
    QO_TRY(cuda_reserve_host(state, bytes > errors ? bytes : errors));
    QO_TRY(cuda_reserve(state, &state->errors, errors, "errors of blocks"));
    QO_TRY(cuda_reserve(state, &state->sums, bytes, "sums"));
    QO_TRY(
        cuda_check(state, cudaMemsetAsync(state->sums.memory, 0, bytes, stream), "clearing sums"));
    /* The other slot's kernels must find all this. */
    QO_TRY(cuda_check(state, cudaStreamSynchronize(stream), "preparing a walk"));
done:
    return status;
}

/* Adds the errors of the blocks from `first` on, and carries, so that the limbs of the sum do not
 * depend on how a vector was cut. */
static enum status add_errors(struct engine_state *state, int64_t first, int64_t blocks,
                              struct exact_sum *error)
{
    enum status status;
    const double *from = (const double *)state->errors.memory + first, *sum = state->host;
    QO_TRY(
        stage_down(state, state->host, from, (size_t)blocks * sizeof *sum, state->slot[0].stream));
    for (int64_t b = 0; b < blocks; b++)
        exact_sum_add(error, sum[b]);
    exact_sum_carry(error);
done:
    return status;
}

/* --- assign --- */

static enum status begin_assign(struct engine_state *state, const struct piece *piece,
                                void *context)
{
    struct launch launch = cuda_launch(state, piece->slot);
    struct device_levels levels = levels_at(state, 0, context);
    double *error = (double *)state->errors.memory + piece->first / QO_BLOCK;
    return cuda_check(state,
                      assign_launch(&launch, &piece->tile, &levels, state->sums.memory, error),
                      "a Lloyd step");
}

/* Adds low + 2^32 * high, modulo 2^128. */
static void add_residual(struct wide_sum *sum, unsigned long long low, unsigned long long high)
{
    uint64_t shifted = high << 32;
    int64_t upper = (int64_t)high >> 32;
    sum->low += low;
    sum->high += sum->low < low;
    sum->low += shifted;
    sum->high += upper + (sum->low < shifted);
}

enum status cuda_assign(struct engine *engine, const struct tile *tile,
                        const struct level_table *table, struct assign_totals *totals)
{
    enum status status;
    struct engine_state *state = engine->state;
    struct assign_device_sums sums;
    struct level_table there = *table;
    struct piece_work work = {.begin = begin_assign, .context = &there};
    int64_t blocks = count_blocks(tile->n), kept = 0;
    cuda_begin(state, WORK_LEVELS);
    if (tile->n == 0)
        return QO_OK;
    QO_TRY(bring_sorters(state, table, 1, tile->type));
    QO_TRY(prepare_sums(state, sizeof sums, blocks));
    QO_TRY(pieces_walk(state, tile, &work));
    QO_TRY(stage_down(state, &sums, state->sums.memory, sizeof sums, state->slot[0].stream));
    QO_TRY(add_errors(state, 0, blocks, &totals->error));
    for (int i = 0; i < table->k; i++) {
        kept += (int64_t)sums.count[i];
        totals->count[i] += (int64_t)sums.count[i];
        add_residual(&totals->residual[i], sums.low[i], sums.high[i]);
    }
    totals->num_outliers += tile->n - kept;
done:
    return status;
}

/* --- encode and score --- */

/* Several quantizers, or one with codes. */
struct encoding {
    const struct level_table *table; /* [num] */
    int num;
    int64_t blocks; /* of the tile */
    uint8_t *codes; /* the caller's, or NULL */
};

static enum status begin_encode(struct engine_state *state, const struct piece *piece,
                                void *context)
{
    enum status status = QO_OK;
    const struct encoding *encoding = context;
    struct encode_device_sums *sums = state->sums.memory;
    struct launch launch = cuda_launch(state, piece->slot);
    for (int q = 0; q < encoding->num; q++) {
        struct device_levels levels = levels_at(state, q, &encoding->table[q]);
        double *error =
            (double *)state->errors.memory + q * encoding->blocks + piece->first / QO_BLOCK;
        uint8_t *codes = encoding->codes ? piece->slot->codes.memory : NULL;
        QO_TRY(cuda_check(state,
                          encode_launch(&launch, &piece->tile, &levels, codes, sums + q, error),
                          "encoding"));
    }
done:
    return status;
}

static enum status end_encode(struct engine_state *state, const struct piece *piece, void *context)
{
    const struct encoding *encoding = context;
    int bits = encoding->table->bits;
    size_t bytes = (size_t)((piece->tile.n * bits + 7) / 8);
    return stage_down(state, encoding->codes + piece->first / 8 * bits, piece->slot->codes.memory,
                      bytes, piece->slot->stream);
}

/* Encodes by all quantizers in one walk. */
static enum status encode_all(struct engine *engine, const struct tile *tile,
                              struct encoding *encoding, struct encode_totals *totals)
{
    enum status status;
    struct engine_state *state = engine->state;
    const struct encode_device_sums *sums;
    size_t bytes = (size_t)encoding->num * sizeof *sums;
    struct piece_work work = {.begin = begin_encode, .context = encoding};
    cuda_begin(state, WORK_LEVELS);
    if (tile->n == 0)
        return QO_OK;
    encoding->blocks = count_blocks(tile->n);
    QO_TRY(bring_sorters(state, encoding->table, encoding->num, tile->type));
    QO_TRY(prepare_sums(state, bytes, encoding->num * encoding->blocks));
    if (encoding->codes) {
        work.end = end_encode;
        work.bits = encoding->table->bits;
    }
    QO_TRY(pieces_walk(state, tile, &work));
    QO_TRY(stage_down(state, state->host, state->sums.memory, bytes, state->slot[0].stream));
    sums = state->host;
    for (int q = 0; q < encoding->num; q++) {
        double max_error;
        memcpy(&max_error, &sums[q].max_error, sizeof max_error);
        totals[q].num_outliers += tile->n - (int64_t)sums[q].kept;
        totals[q].max_error = max_error > totals[q].max_error ? max_error : totals[q].max_error;
    }
    for (int q = 0; q < encoding->num; q++)
        QO_TRY(add_errors(state, q * encoding->blocks, encoding->blocks, &totals[q].error));
done:
    return status;
}

enum status cuda_encode(struct engine *engine, const struct tile *tile,
                        const struct level_table *table, uint8_t *codes,
                        struct encode_totals *totals)
{
    struct encoding encoding = {.table = table, .num = 1, .codes = codes};
    return encode_all(engine, tile, &encoding, totals);
}

enum status cuda_score(struct engine *engine, const struct tile *tile,
                       const struct level_table *table, int num, struct encode_totals *totals)
{
    struct encoding encoding = {.table = table, .num = num};
    return encode_all(engine, tile, &encoding, totals);
}

/* --- collect --- */

/* Elements that are searched at a time: few enough that a list which is full soon does not cost a
 * walk over all. */
#define COLLECT_MOST ((int64_t)1 << 26)

/* Outliers that are brought to the host at a time: 16 MiB of indices and float64 values. */
#define COLLECT_ROOM ((int64_t)1 << 20)

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Makes places of counts: place[p] is the number of outliers before piece p, count[] itself.
 * Returns how many there are in all. */
static int64_t make_places(unsigned *count, int64_t pieces)
{
    int64_t total = 0;
    for (int64_t p = 0; p < pieces; p++) {
        unsigned here = count[p];
        count[p] = (unsigned)total;
        total += here;
    }
    return total;
}

/* Lists the first `room` outliers of a piece, whose places are known, into the caller's list. */
static enum status list_outliers(struct engine_state *state, const struct tile *tile,
                                 const struct piece *piece, int64_t room, struct outlier_list *list)
{
    enum status status;
    struct launch launch = cuda_launch(state, piece->slot);
    size_t size = element_size(tile->type);
    int64_t pieces = (piece->tile.n + COLLECT_PIECE - 1) / COLLECT_PIECE;
    uint64_t *index = list->index + list->count;
    QO_TRY(stage_up(state, state->sums.memory, state->host, (size_t)pieces * sizeof(unsigned),
                    launch.stream));
    QO_TRY(cuda_check(state,
                      collect_list_launch(&launch, &piece->tile, state->sorters.memory,
                                          state->sums.memory, (unsigned)room, state->list.memory,
                                          state->values.memory),
                      "listing outliers"));
    QO_TRY(
        stage_down(state, index, state->list.memory, (size_t)room * sizeof *index, launch.stream));
    QO_TRY(stage_down(state, (char *)list->value + (size_t)list->count * size, state->values.memory,
                      (size_t)room * size, launch.stream));
    for (int64_t i = 0; i < room; i++)
        index[i] += (uint64_t)(tile->first + piece->first);
    list->count += room;
done:
    return status;
}

/* Collects from elements *position to `end`, or as far as the list or the device has room. */
static enum status collect_some(struct engine_state *state, const struct tile *tile, int64_t end,
                                int64_t *position, struct outlier_list *list)
{
    enum status status;
    struct piece piece;
    QO_TRY(pieces_fetch(state, tile, *position, &end, &piece));
    struct launch launch = cuda_launch(state, piece.slot);
    int64_t pieces = (piece.tile.n + COLLECT_PIECE - 1) / COLLECT_PIECE;
    int64_t room = least(list->capacity - list->count, COLLECT_ROOM);
    QO_TRY(cuda_check(
        state,
        collect_count_launch(&launch, &piece.tile, state->sorters.memory, state->sums.memory),
        "counting outliers"));
    QO_TRY(stage_down(state, state->host, state->sums.memory, (size_t)pieces * sizeof(unsigned),
                      launch.stream));
    int64_t total = make_places(state->host, pieces);
    *position = end;
    if (total > 0)
        QO_TRY(list_outliers(state, tile, &piece, least(total, room), list));
    if (total > room) /* on from behind the last one listed */
        *position = (int64_t)list->index[list->count - 1] - tile->first + 1;
done:
    return status;
}

enum status cuda_collect(struct engine *engine, const struct tile *tile,
                         const struct level_table *table, int64_t *position,
                         struct outlier_list *list)
{
    enum status status = QO_OK;
    struct engine_state *state = engine->state;
    cuda_begin(state, WORK_LEVELS);
    if (*position >= tile->n)
        return QO_OK;
    int64_t most = least(tile->n - *position, COLLECT_MOST);
    size_t room = (size_t)least(least(list->capacity, most), COLLECT_ROOM);
    size_t counts = (size_t)(most / COLLECT_PIECE + 1) * sizeof(unsigned);
    QO_TRY(bring_sorters(state, table, 1, tile->type));
    QO_TRY(prepare_sums(state, counts, 1));
    QO_TRY(cuda_reserve(state, &state->list, room * sizeof(uint64_t), "outliers"));
    QO_TRY(cuda_reserve(state, &state->values, room * element_size(tile->type), "outliers"));
    while (*position < tile->n && list->count < list->capacity) {
        QO_TRY(collect_some(state, tile, least(tile->n, *position + most), position, list));
    }
done:
    for (int i = 0; i < CUDA_SLOTS; i++)
        (void)cudaStreamSynchronize(state->slot[i].stream);
    return status;
}

/* --- decode --- */

/* Elements that are decoded at a time: a multiple of QO_BLOCK. */
#define DECODE_MOST ((int64_t)1 << 24)

/* Decodes elements for which there is room in the first slot. */
static enum status decode_some(struct engine_state *state, const uint8_t *codes, int64_t n,
                               int bits, enum element_type type, void *x)
{
    enum status status;
    struct cuda_slot *slot = &state->slot[0];
    struct launch launch = cuda_launch(state, slot);
    size_t size = element_size(type);
    QO_TRY(stage_up(state, slot->codes.memory, codes, (size_t)((n * bits + 7) / 8), slot->stream));
    QO_TRY(cuda_clock_start(state, slot));
    QO_TRY(cuda_check(state,
                      decode_launch(&launch, slot->codes.memory, n, bits, state->values.memory,
                                    type, slot->x.memory),
                      "decoding"));
    QO_TRY(cuda_clock_stop(state, slot));
    QO_TRY(stage_down(state, x, slot->x.memory, (size_t)n * size, slot->stream));
    QO_TRY(cuda_clock_read(state, slot));
done:
    return status;
}

enum status cuda_decode(struct engine *engine, const uint8_t *codes, int64_t n,
                        const struct level_table *table, enum element_type type, void *x)
{
    enum status status = QO_OK;
    struct engine_state *state = engine->state;
    uint64_t value[QO_MAX_LEVELS];
    for (int i = 0; i < QO_MAX_LEVELS;
         i++) /* a code that names no level is decoded as the last one */
        value[i] = element_from_double(type, table->level[i < table->k ? i : table->k - 1]);
    cuda_begin(state, WORK_LEVELS);
    QO_TRY(cuda_reserve(state, &state->values, sizeof value, "levels"));
    QO_TRY(stage_up(state, state->values.memory, value, sizeof value, state->slot[0].stream));
    int64_t each = least(n, DECODE_MOST);
    if (n > 0)
        QO_TRY(pieces_make_room(state, type, table->bits, false, each, &each));
    for (int64_t i = 0; i < n; i += each) {
        int64_t part = least(n - i, each);
        QO_TRY(decode_some(state, codes + i / 8 * table->bits, part, table->bits, type,
                           (char *)x + i * (int64_t)element_size(type)));
    }
done:
    (void)cudaStreamSynchronize(state->slot[0].stream);
    return status;
}
