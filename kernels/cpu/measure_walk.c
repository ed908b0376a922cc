/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <omp.h>

#include "cpu.h"
#include "totals.h"

/*
 * The walk that measures. Each thread counts into a table of its own, of narrow cells, which is
 * emptied into the totals before a sum can run over, and at the end. Numbers that are not finite
 * have keys, hence cells, of their own, which are left out then. Tables of all threads take at most
 * TABLE_BYTES; more threads than that do not walk.
 */
#define TABLE_BYTES ((int64_t)32 << 20)

/* Bytes of a thread's table. */
static int64_t table_size(enum element_type type, int64_t num_cells)
{
    switch (type) {
    case ELEMENT_F64:
        return (num_cells + MEASURE_SPARE) * (int64_t)sizeof(struct broad_cell);
    case ELEMENT_F32:
        return (num_cells + MEASURE_SPARE) * (int64_t)sizeof(struct slim_cell);
    default: /* two tables by turns: equal neighbours need not wait for each other's store */
        return 2 * TOTALS_PATTERNS * (int64_t)sizeof(uint32_t);
    }
}

/* Zeroed parts for *threads threads, or for as many as there may be tables. */
static enum status prepare_parts(struct engine *engine, const struct cell_map *map,
                                 struct measure_totals *totals, int *threads)
{
    enum status status = QO_OK;
    struct engine_state *state = engine->state;
    int64_t size = table_size(map->type, map->num_cells);
    size = (size + QO_ALIGNMENT - 1) / QO_ALIGNMENT * QO_ALIGNMENT;
    int64_t most = TABLE_BYTES / size > 1 ? TABLE_BYTES / size : 1;
    *threads = *threads < most ? *threads : (int)most;
    if (state->table_bytes < *threads * size) {
        memory_free(state->tables);
        state->tables = NULL;
        state->table_bytes = 0;
        QO_TRY(memory_alloc_large("histogram tables", *threads, (size_t)size, &state->tables));
        state->table_bytes = *threads * size;
    }
    for (int t = 0; t < *threads; t++)
        state->part[t] = (struct measure_part){
            .min_key = UINT64_MAX, .map = map, .totals = totals, .table = state->tables + t * size};
#pragma omp parallel for schedule(static) num_threads(*threads)
    for (int t = 0; t < *threads; t++)
        memset(state->part[t].table, 0, (size_t)size);
done:
    return status;
}

/* A cell of a thread's table as exact sums, which leaves it empty. */
static struct cell take_cell(struct measure_part *part, int64_t i)
{
    struct cell cell;
    if (part->map->type == ELEMENT_F64) {
        struct broad_cell *broad = &part->broad[i];
        uint64_t high = broad->count_sum[1];
        cell = (struct cell){
            high >> 16, {broad->count_sum[0], high & 0xffff}, {broad->square[0], broad->square[1]}};
        *broad = (struct broad_cell){{0}, {0}};
    } else {
        struct slim_cell *slim = &part->slim[i];
        uint64_t sum = slim->count_sum & (((uint64_t)1 << 40) - 1);
        cell = (struct cell){slim->count_sum >> 40, {sum}, {slim->square}};
        *slim = (struct slim_cell){0};
    }
    return cell;
}

/* Adds a cell of a thread's table to the totals, where no other thread may be at that cell, and its
 * elements to a thread's own counts. */
static void merge_cell(struct measure_part *part, int64_t i, struct measure_part *counts)
{
    const struct cell_map *map = part->map;
    struct cell cell = take_cell(part, i);
    if (cell.count == 0)
        return;
    if (element_is_finite(map->type, element_unkey(map->type, map->low[i]))) {
        counts->num_measured += (int64_t)cell.count;
        struct cell *total = &part->totals->cells[i];
        if (total->count == 0) /* mostly so: one thread, one tile */
            *total = cell;
        else
            cell_merge(total, &cell);
    } else {
        counts->num_nonfinite += (int64_t)cell.count;
    }
}

void measure_empty_cell(struct measure_part *part, int64_t cell)
{
#pragma omp critical(measure_totals)
    merge_cell(part, cell, part);
}

/* Empties a thread's table if another block could run over. */
static void empty_in_time(struct measure_part *part)
{
    if (++part->blocks < MEASURE_BLOCKS || element_size(part->map->type) == 2)
        return;
    part->blocks = 0;
#pragma omp critical(measure_totals)
    for (int64_t i = 0; i < part->map->num_cells; i++)
        merge_cell(part, i, part);
}

/* Merges what is left in the tables for float32 and float64, and the parts; returns the number of
 * elements in cells that are not finite, fills aside. */
static int64_t merge_parts(const struct engine_state *state, int threads,
                           const struct cell_map *map, struct measure_totals *totals)
{
    int64_t num_nonfinite = 0;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < map->num_cells; i++)
        for (int t = 0; t < threads; t++)
            merge_cell(&state->part[t], i, &state->part[omp_get_thread_num()]);
    for (int t = 0; t < threads; t++) {
        const struct measure_part *part = &state->part[t];
        totals->num_measured += part->num_measured;
        totals->num_fill += part->num_fill;
        totals->min_key = part->min_key < totals->min_key ? part->min_key : totals->min_key;
        totals->max_key = part->max_key > totals->max_key ? part->max_key : totals->max_key;
        num_nonfinite += part->num_nonfinite - part->num_fill; /* a fill was counted as NaN */
    }
    return num_nonfinite;
}

/* Merges the tables of 16-bit types, all patterns in order; returns as merge_parts does. */
static int64_t merge_patterns(const struct engine_state *state, int threads,
                              const struct cell_map *map, struct measure_totals *totals)
{
    int64_t num_nonfinite = 0;
    for (uint64_t bits = 0; bits < TOTALS_PATTERNS; bits++) {
        uint64_t count = 0;
        for (int t = 0; t < threads; t++)
            count += (uint64_t)state->part[t].pattern[bits] +
                     state->part[t].pattern[TOTALS_PATTERNS + bits];
        if (count)
            num_nonfinite += totals_add_pattern(totals, bits, count, map, &state->sorter);
    }
    return num_nonfinite;
}

/* Measures a tile that no counter of a thread is too small for. */
static enum status measure_piece(struct engine *engine, const struct tile *tile,
                                 const struct cell_map *map, struct measure_totals *totals)
{
    enum status status;
    struct engine_state *state = engine->state;
    int64_t num_blocks = (tile->n + QO_BLOCK - 1) / QO_BLOCK, num_nonfinite;
    int threads = num_blocks < engine->threads ? (int)num_blocks : engine->threads;
    QO_TRY(prepare_parts(engine, map, totals, &threads));
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t b = 0; b < num_blocks; b++) {
        struct measure_part *part = &state->part[omp_get_thread_num()];
        int64_t rest = tile->n - b * QO_BLOCK;
        empty_in_time(part);
        state->blocks->measure(&state->lookup, &state->sorter, tile->type,
                               cpu_element(tile->type, tile->x, b * QO_BLOCK),
                               rest < QO_BLOCK ? rest : QO_BLOCK, part);
    }
    num_nonfinite = element_size(tile->type) == 2 ? merge_patterns(state, threads, map, totals)
                                                  : merge_parts(state, threads, map, totals);
    totals_add_nonfinite(totals, num_nonfinite, tile, &state->sorter);
done:
    return status;
}

enum status cpu_measure(struct engine *engine, const struct tile *tile, const struct keep *keep,
                        const struct cell_map *map, struct measure_totals *totals)
{
    enum status status = QO_OK;
    assert(map->type == tile->type);
    if (element_size(tile->type) > 2)
        QO_TRY(lookup_set(&engine->state->lookup, map, tile->n));
    sorter_init_fills(&engine->state->sorter, keep);
    for (int64_t done = 0; done < tile->n; done += CPU_MEASURE_MOST) {
        struct tile piece = {tile->type, cpu_element(tile->type, tile->x, done), tile->n - done,
                             tile->first + done};
        piece.n = piece.n < CPU_MEASURE_MOST ? piece.n : CPU_MEASURE_MOST;
        QO_TRY(measure_piece(engine, &piece, map, totals));
    }
done:
    return status;
}
