/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "host.h"
#include "totals.h"

/* Elements for each multiprocessor from which cells in shared memory are worth the filling and
 * emptying of it. */
#define SLIVERS_FROM QO_BLOCK

/* What a piece of a tile needs to be measured. */
struct measuring {
    const struct sorter *fills; /* on the device */
    struct lookup lookup;       /* its arrays on the device */
    struct measure_device_sums *sums;
};

static enum status begin_patterns(struct engine_state *state, const struct piece *piece,
                                  void *context)
{
    struct launch launch = cuda_launch(state, piece->slot);
    (void)context;
    return cuda_check(state, measure_patterns_launch(&launch, &piece->tile, state->cells.memory),
                      "counting bit patterns");
}

static enum status begin_cells(struct engine_state *state, const struct piece *piece, void *context)
{
    const struct measuring *m = context;
    struct launch launch = cuda_launch(state, piece->slot);
    return cuda_check(state,
                      measure_cells_launch(&launch, &piece->tile, m->fills, &m->lookup,
                                           state->cells.memory, m->sums),
                      "filling cells");
}

static enum status begin_slivers(struct engine_state *state, const struct piece *piece,
                                 void *context)
{
    const struct measuring *m = context;
    struct launch launch = cuda_launch(state, piece->slot);
    return cuda_check(state,
                      measure_slivers_launch(&launch, &piece->tile, m->fills, &m->lookup,
                                             state->slivers_sums.memory, state->cells.memory,
                                             m->sums),
                      "filling cells");
}

/* Zeroes a buffer of sums before the first piece: both slots add to it, so it is waited for. */
static enum status zero(struct engine_state *state, void *memory, size_t bytes)
{
    cudaStream_t stream = state->slot[0].stream;
    cudaError_t error = cudaMemsetAsync(memory, 0, bytes, stream);
    if (error == cudaSuccess)
        error = cudaStreamSynchronize(stream);
    return cuda_check(state, error, "clearing sums");
}

/* 16-bit types: the count of each bit pattern, which the host gives to the cells. */
static enum status measure_patterns(struct engine_state *state, const struct tile *tile,
                                    const struct cell_map *map, struct measure_totals *totals)
{
    enum status status;
    const size_t bytes = TOTALS_PATTERNS * sizeof(unsigned long long);
    struct piece_work work = {.begin = begin_patterns};
    int64_t num_nonfinite = 0;
    QO_TRY(cuda_reserve_host(state, bytes));
    QO_TRY(cuda_reserve(state, &state->cells, bytes, "a histogram"));
    QO_TRY(zero(state, state->cells.memory, bytes));
    QO_TRY(pieces_walk(state, tile, &work));
    QO_TRY(stage_down(state, state->host, state->cells.memory, bytes, state->slot[0].stream));
    const unsigned long long *count = state->host;
    for (uint64_t bits = 0; bits < TOTALS_PATTERNS; bits++)
        if (count[bits])
            num_nonfinite += totals_add_pattern(totals, bits, count[bits], map, state->sorter);
    totals_add_nonfinite(totals, num_nonfinite, tile, state->sorter);
done:
    return status;
}

/* Brings the lookup of a map to the device, if it is not there. */
static enum status bring_lookup(struct engine_state *state, const struct cell_map *map,
                                struct lookup *there)
{
    enum status status = QO_OK;
    struct lookup *lookup = &state->lookup;
    cudaStream_t stream = state->slot[0].stream;
    if (!lookup_serves(lookup, map)) {
        QO_TRY(lookup_set(lookup, map, INT64_MAX));
        size_t before = (size_t)(lookup->num_cells + LOOKUP_BEYOND) * sizeof *lookup->before;
        size_t words = (size_t)lookup->num_words * sizeof *lookup->word;
        status = cuda_reserve(state, &state->before, before, "a map of cells");
        if (status == QO_OK)
            status = cuda_reserve(state, &state->words, words, "a map of cells");
        if (status == QO_OK)
            status = stage_up(state, state->before.memory, lookup->before, before, stream);
        if (status == QO_OK)
            status = stage_up(state, state->words.memory, lookup->word, words, stream);
        if (status != QO_OK)
            lookup_clear(lookup); /* so that the next call tries again */
    }
    *there = *lookup;
    there->before = state->before.memory;
    there->word = state->words.memory;
done:
    return status;
}

/* Adds what the device has found beside cells; returns the number of elements that are not finite.
 */
static int64_t add_sums(const struct measure_device_sums *sums, struct measure_totals *totals)
{
    totals->num_fill += (int64_t)sums->num_fill;
    totals->min_key = sums->min_key < totals->min_key ? sums->min_key : totals->min_key;
    totals->max_key = sums->max_key > totals->max_key ? sums->max_key : totals->max_key;
    return (int64_t)sums->num_nonfinite;
}

/* Brings the device's cells to the host and adds them. */
static enum status add_cells(struct engine_state *state, int64_t num_cells,
                             struct measure_totals *totals)
{
    enum status status;
    const struct cell *cells = state->host;
    QO_TRY(stage_down(state, state->host, state->cells.memory, (size_t)num_cells * sizeof *cells,
                      state->slot[0].stream));
    for (int64_t i = 0; i < num_cells; i++) {
        if (cells[i].count == 0)
            continue;
        cell_merge(&totals->cells[i], &cells[i]);
        totals->num_measured += (int64_t)cells[i].count;
    }
done:
    return status;
}

/* The same where cells were cut into slivers. */
static enum status add_slivers(struct engine_state *state, const struct cell_map *map,
                               struct measure_totals *totals)
{
    enum status status;
    int64_t num = state->slivers.map.num_cells;
    const struct cell *wide = state->host;
    const struct sliver_device_sums *sums = (const void *)(wide + num);
    cudaStream_t stream = state->slot[0].stream;
    QO_TRY(stage_down(state, state->host, state->cells.memory, (size_t)num * sizeof *wide, stream));
    QO_TRY(stage_down(state, (struct cell *)state->host + num, state->slivers_sums.memory,
                      (size_t)num * sizeof *sums, stream));
    for (int64_t i = 0; i < num; i++) {
        if (sums[i].count == 0 && wide[i].count == 0)
            continue;
        slivers_add(&state->slivers, map, i, &sums[i], &wide[i],
                    &totals->cells[state->slivers.cell[i]]);
        totals->num_measured += (int64_t)(sums[i].count + wide[i].count);
    }
done:
    return status;
}

/* Room for cells, and for slivers if there are any, zeroed on the device. */
static enum status prepare_cells(struct engine_state *state, int64_t num, bool slivers)
{
    enum status status;
    size_t cells = (size_t)num * sizeof(struct cell);
    size_t sums = slivers ? (size_t)num * sizeof(struct sliver_device_sums) : 0;
    QO_TRY(cuda_reserve_host(state, cells + sums));
    QO_TRY(cuda_reserve(state, &state->cells, cells, "a histogram"));
    QO_TRY(zero(state, state->cells.memory, cells));
    if (slivers) {
        QO_TRY(cuda_reserve(state, &state->slivers_sums, sums, "a histogram"));
        QO_TRY(zero(state, state->slivers_sums.memory, sums));
    }
done:
    return status;
}

/* Whether there is room for so many slivers without giving up a held copy. */
static bool have_room(struct engine_state *state, int64_t num)
{
    return cuda_try(&state->cells, (size_t)num * sizeof(struct cell)) &&
           cuda_try(&state->slivers_sums, (size_t)num * sizeof(struct sliver_device_sums));
}

/* Makes slivers ready where they are worth it and there is memory for them. */
static bool makes_slivers(struct engine_state *state, const struct tile *tile,
                          const struct cell_map *map)
{
    if (tile->type != ELEMENT_F32 ||
        tile->n < (int64_t)state->device.multiprocessors * SLIVERS_FROM)
        return false;
    if (slivers_set(&state->slivers, map) == QO_OK && slivers_help(&state->slivers) &&
        have_room(state, state->slivers.map.num_cells) &&
        prepare_cells(state, state->slivers.map.num_cells, true) == QO_OK)
        return true;
    status_clear();
    cuda_release(&state->slivers_sums);
    return false;
}

/* float32 and float64: the sums of each cell. */
static enum status measure_cells(struct engine_state *state, const struct tile *tile,
                                 const struct cell_map *map, struct measure_totals *totals)
{
    enum status status;
    struct measuring measuring = {.fills = NULL};
    struct measure_device_sums sums = {.min_key = UINT64_MAX};
    bool slivers = makes_slivers(state, tile, map);
    struct piece_work work = {.begin = slivers ? begin_slivers : begin_cells,
                              .context = &measuring};
    cudaStream_t stream = state->slot[0].stream;
    const struct cell_map *there = slivers ? &state->slivers.map : map;
    QO_TRY(cuda_reserve(state, &state->sums, sizeof sums, "sums"));
    QO_TRY(cuda_reserve(state, &state->sorters, sizeof *state->sorter, "fill values"));
    if (!slivers)
        QO_TRY(prepare_cells(state, map->num_cells, false));
    QO_TRY(bring_lookup(state, there, &measuring.lookup));
    measuring.fills = state->sorters.memory;
    measuring.sums = state->sums.memory;
    QO_TRY(stage_up(state, state->sorters.memory, state->sorter, sizeof *state->sorter, stream));
    QO_TRY(stage_up(state, state->sums.memory, &sums, sizeof sums, stream));
    QO_TRY(cuda_check(state, cudaStreamSynchronize(stream), "preparing a walk"));
    QO_TRY(pieces_walk(state, tile, &work));
    QO_TRY(stage_down(state, &sums, state->sums.memory, sizeof sums, stream));
    if (slivers)
        QO_TRY(add_slivers(state, map, totals));
    else
        QO_TRY(add_cells(state, map->num_cells, totals));
    totals_add_nonfinite(totals, add_sums(&sums, totals), tile, state->sorter);
done:
    return status;
}

enum status cuda_measure(struct engine *engine, const struct tile *tile, const struct keep *keep,
                         const struct cell_map *map, struct measure_totals *totals)
{
    enum status status = QO_OK;
    struct engine_state *state = engine->state;
    assert(map->type == tile->type);
    cuda_begin(state, WORK_CELLS);
    if (tile->n == 0)
        return QO_OK;
    QO_TRY(cuda_reserve_sorters(state, 1));
    sorter_init_fills(state->sorter, keep);
    status = element_size(tile->type) == 2 ? measure_patterns(state, tile, map, totals)
                                           : measure_cells(state, tile, map, totals);
done:
    return status;
}
