/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include <assert.h>

/*
 * From a tile in the host's memory to pieces on the device. A tile that is held is there already.
 * Else its pieces go through two slots: while the kernels of one run, the next one is copied, and
 * while that is copied, the one after it is read into pinned memory.
 */

/* Bytes of a streamed piece: copying it takes a few milliseconds, many times as long as a launch.
 */
#define PIECE_BYTES ((int64_t)128 << 20)

/* Memory that is left to others, and to later needs, when a copy is kept. */
#define HELD_RESERVE ((size_t)512 << 20)

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Bytes of n elements and their padding. */
static size_t padded_bytes(enum element_type type, int64_t n)
{
    return (size_t)((n + LAUNCH_PAD - 1) / LAUNCH_PAD * LAUNCH_PAD) * element_size(type);
}

static const char *element_at(const struct tile *tile, int64_t i)
{
    return (const char *)tile->x + i * (int64_t)element_size(tile->type);
}

/* Copies elements to the device and sets what is behind them. */
static enum status upload(struct engine_state *state, void *to, const struct tile *tile,
                          int64_t first, int64_t n, cudaStream_t stream)
{
    enum status status;
    size_t bytes = (size_t)n * element_size(tile->type), padded = padded_bytes(tile->type, n);
    QO_TRY(stage_up(state, to, element_at(tile, first), bytes, stream));
    if (padded > bytes)
        QO_TRY(cuda_check(state, cudaMemsetAsync((char *)to + bytes, 0xff, padded - bytes, stream),
                          "the padding of a piece"));
done:
    return status;
}

/* The copy that is kept of a tile; NULL if there is none. */
static struct cuda_held *find_held(struct engine_state *state, const struct tile *tile)
{
    for (int i = 0; i < CUDA_HELD; i++) {
        const struct tile *held = &state->held[i].tile;
        if (held->n > 0 && held->x == tile->x && held->n == tile->n && held->type == tile->type)
            return &state->held[i];
    }
    return NULL;
}

bool device_holds(const struct engine *engine, const struct tile *tile)
{
    return find_held(engine->state, tile) != NULL;
}

static void drop(struct cuda_held *held)
{
    cuda_release(&held->copy);
    held->tile = (struct tile){.n = 0};
}

enum status pieces_hold(struct engine *engine, const struct tile *tile)
{
    struct engine_state *state = engine->state;
    size_t bytes = padded_bytes(tile->type, tile->n), free = 0, total = 0;
    struct cuda_held *place = NULL;
    for (int i = 0; i < CUDA_HELD && !place; i++)
        if (state->held[i].tile.n == 0)
            place = &state->held[i];
    if (!place || tile->n == 0)
        return QO_OK;
    if (cudaMemGetInfo(&free, &total) != cudaSuccess || free < bytes + HELD_RESERVE ||
        !cuda_try(&place->copy, bytes)) {
        (void)cudaGetLastError(); /* it will go through in pieces */
        return QO_OK;
    }
    enum status status = upload(state, place->copy.memory, tile, 0, tile->n, state->slot[0].stream);
    if (status == QO_OK)
        status = cuda_check(state, cudaStreamSynchronize(state->slot[0].stream), "copying a shard");
    if (status == QO_OK)
        place->tile = *tile;
    else
        drop(place);
    return status;
}

void pieces_release(struct engine *engine, const struct tile *tile)
{
    struct cuda_held *held = engine->state ? find_held(engine->state, tile) : NULL;
    if (held)
        drop(held);
}

/* What a slot needs for a piece of n elements. */
struct need {
    size_t x; /* 0 where the tile is held */
    size_t codes;
};

static struct need need_of(enum element_type type, int bits, bool held, int64_t n)
{
    int64_t padded = (n + LAUNCH_PAD - 1) / LAUNCH_PAD * LAUNCH_PAD;
    return (struct need){held ? 0 : padded_bytes(type, n), (size_t)(padded / 8 * bits)};
}

/* Makes room in so many slots, or frees what it made. */
static bool try_slots(struct engine_state *state, struct need need, int slots)
{
    int made = 0;
    while (made < slots && cuda_try(&state->slot[made].x, need.x) &&
           cuda_try(&state->slot[made].codes, need.codes))
        made++;
    for (int i = 0; made < slots && i < CUDA_SLOTS; i++) {
        cuda_release(&state->slot[i].x);
        cuda_release(&state->slot[i].codes);
    }
    return made == slots;
}

enum status pieces_make_room(struct engine_state *state, enum element_type type, int bits,
                             bool held, int64_t n, int64_t *each)
{
    enum status status = QO_OK;
    bool made = try_slots(state, need_of(type, bits, held, *each), *each < n ? CUDA_SLOTS : 1);
    while (!made && *each > QO_BLOCK) {
        *each = (*each / 2 + QO_BLOCK - 1) / QO_BLOCK * QO_BLOCK;
        made = try_slots(state, need_of(type, bits, held, *each), CUDA_SLOTS);
    }
    struct need need = need_of(type, bits, held, *each);
    for (int i = 0; !made && i < (*each < n ? CUDA_SLOTS : 1); i++) {
        QO_TRY(cuda_reserve(state, &state->slot[i].x, need.x, "a piece of the vector"));
        QO_TRY(cuda_reserve(state, &state->slot[i].codes, need.codes, "codes"));
    }
done:
    return status;
}

/* Elements of a piece that is streamed, of n. */
static int64_t streamed(enum element_type type, int64_t n)
{
    return least(n, PIECE_BYTES / (int64_t)element_size(type));
}

/* A tile under way. */
struct pieces {
    struct engine_state *state;
    const struct tile *tile;
    const struct piece_work *work;
    const struct cuda_held *held;
    int64_t each; /* elements of a piece */
};

/* Piece number i. */
static struct piece piece_at(const struct pieces *all, int64_t i)
{
    int64_t first = i * all->each, n = least(all->tile->n - first, all->each);
    struct cuda_slot *slot = &all->state->slot[i % CUDA_SLOTS];
    const char *x = all->held ? (const char *)all->held->copy.memory +
                                    first * (int64_t)element_size(all->tile->type)
                              : (const char *)slot->x.memory;
    return (struct piece){{all->tile->type, x, n}, first, slot};
}

/* Puts a piece and its kernels on its slot's stream. */
static enum status begin(const struct pieces *all, int64_t i)
{
    enum status status = QO_OK;
    struct engine_state *state = all->state;
    struct piece piece = piece_at(all, i);
    cudaStream_t stream = piece.slot->stream;
    if (!all->held)
        QO_TRY(upload(state, piece.slot->x.memory, all->tile, piece.first, piece.tile.n, stream));
    QO_TRY(cuda_clock_start(state, piece.slot));
    QO_TRY(all->work->begin(state, &piece, all->work->context));
    QO_TRY(cuda_clock_stop(state, piece.slot));
done:
    return status;
}

/* Waits for a piece's kernels, notes their time, and fetches what there is to fetch. */
static enum status end(const struct pieces *all, int64_t i)
{
    enum status status;
    struct engine_state *state = all->state;
    struct piece piece = piece_at(all, i);
    QO_TRY(cuda_clock_read(state, piece.slot));
    if (all->work->end)
        QO_TRY(all->work->end(state, &piece, all->work->context));
done:
    return status;
}

enum status pieces_walk(struct engine_state *state, const struct tile *tile,
                        const struct piece_work *work)
{
    enum status status = QO_OK;
    struct pieces pieces = {.state = state, .tile = tile, .work = work};
    assert(tile->n >= 1);
    do { /* once more if it was the tile's own copy that was given up for room */
        pieces.held = find_held(state, tile);
        pieces.each = pieces.held ? tile->n : streamed(tile->type, tile->n);
        QO_TRY(pieces_make_room(state, tile->type, work->bits, pieces.held, tile->n, &pieces.each));
    } while (pieces.held && !find_held(state, tile));
    int64_t count = (tile->n + pieces.each - 1) / pieces.each;
    QO_TRY(begin(&pieces, 0));
    for (int64_t i = 0; i < count; i++) {
        if (i + 1 < count)
            QO_TRY(begin(&pieces, i + 1));
        QO_TRY(end(&pieces, i));
    }
done:
    for (int i = 0; i < CUDA_SLOTS; i++)
        (void)cudaStreamSynchronize(state->slot[i].stream); /* a failure was told, or will be */
    return status;
}

enum status pieces_fetch(struct engine_state *state, const struct tile *tile, int64_t begin,
                         int64_t *end, struct piece *piece)
{
    enum status status = QO_OK;
    struct cuda_slot *slot = &state->slot[0];
    const struct cuda_held *held = find_held(state, tile);
    int64_t n = *end - begin;
    if (held) {
        const char *x = (const char *)held->copy.memory + begin * (int64_t)element_size(tile->type);
        *piece = (struct piece){{tile->type, x, n}, begin, slot};
        return QO_OK;
    }
    n = streamed(tile->type, n);
    QO_TRY(pieces_make_room(state, tile->type, 0, false, n, &n));
    QO_TRY(upload(state, slot->x.memory, tile, begin, n, slot->stream));
    *end = begin + n;
    *piece = (struct piece){{tile->type, slot->x.memory, n}, begin, slot};
done:
    return status;
}
