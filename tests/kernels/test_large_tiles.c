/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

/*
 * Tiles so large that a backend works in many parts at once: buffers are used again, counters fill
 * and are emptied, cells are counted in parts. The portable backend, which the other tests hold
 * against plain truth, is the measure here.
 */

/* A map with cells of all widths: 2^span keys from `first` on, cut into so many parts. */
struct stretch {
    double first;
    int span, parts_log2;
};

/* All binades, and the stretches, which begin at the first of their keys in a multiple of 2^span.
 */
static void map_open(struct cell_map *map, enum element_type type, const struct stretch *stretch,
                     int num)
{
    uint64_t binade = cell_map_binade(type), last = element_last_key(type);
    int64_t n = 0, room = (int64_t)(last / binade) + 1;
    for (int s = 0; s < num; s++)
        room += ((int64_t)1 << stretch[s].parts_log2) + 1;
    uint64_t *low = malloc((size_t)room * sizeof *low);
    assert_non_null(low);
    for (uint64_t i = 0; i <= last / binade; i++)
        low[n++] = i * binade;
    for (int s = 0; s < num; s++) {
        uint64_t key = element_key(type, element_from_double(type, stretch[s].first));
        key = key >> stretch[s].span << stretch[s].span;
        for (uint64_t i = 0; i <= (uint64_t)1 << stretch[s].parts_log2; i++)
            low[n++] = key + (i << (stretch[s].span - stretch[s].parts_log2));
    }
    support_map_open(map, type, low, n);
    free(low);
}

static struct measure_totals measured(struct engine *engine, const struct tile *tile,
                                      const struct keep *keep, const struct cell_map *map)
{
    struct measure_totals totals;
    struct cell *cells = calloc((size_t)map->num_cells, sizeof *cells);
    assert_non_null(cells);
    measure_totals_init(&totals, cells);
    assert_int_equal(engine->kernels->measure(engine, tile, keep, map, &totals), QO_OK);
    return totals;
}

/* Every variant measures a tile as the portable backend does. */
static void check_measure(const struct tile *tile, const struct keep *keep,
                          const struct cell_map *map)
{
    struct engine plain;
    assert_int_equal(engine_open(&plain, BACKEND_PORTABLE, 2), QO_OK);
    struct measure_totals want = measured(&plain, tile, keep, map);
    for (int v = 0; v < SUPPORT_NUM_VARIANTS; v++) {
        struct engine engine;
        if (!support_open(&engine, v))
            continue;
        support_hold(&engine, tile);
        struct measure_totals got = measured(&engine, tile, keep, map);
        assert_memory_equal(got.cells, want.cells, (size_t)map->num_cells * sizeof *got.cells);
        free(got.cells);
        got.cells = want.cells;
        assert_memory_equal(&got, &want, sizeof got);
        engine.kernels->release(&engine, tile);
        engine_close(&engine);
    }
    free(want.cells);
    engine_close(&plain);
}

/* Cells of 2^4 to 2^17 keys, all of them met; fills and numbers that are not finite between. */
static void test_cells_cut_for_shared_memory_are_added_up_wrongly(void **state)
{
    (void)state;
    static const struct stretch stretches[] = {{1.0, 22, 8},   {2.0, 20, 16}, {4.0, 23, 6},
                                               {-1.0, 21, 9},  {-3.0, 21, 5}, {8.0, 23, 9},
                                               {-16.0, 22, 7}, {32.0, 12, 12}};
    const int num = (int)(sizeof stretches / sizeof *stretches);
    const int64_t n = 5 * QO_BLOCK + 3;
    struct cell_map map;
    struct keep keep = {-INFINITY, INFINITY, 1, {1.5, 0}};
    float *x = malloc((size_t)n * sizeof *x);
    uint64_t seed = 21;
    assert_non_null(x);
    map_open(&map, ELEMENT_F32, stretches, num);
    for (int64_t i = 0; i < n; i++) {
        const struct stretch *s = &stretches[support_random(&seed) % (uint64_t)num];
        uint64_t key = element_key(ELEMENT_F32, element_from_double(ELEMENT_F32, s->first));
        key += support_random(&seed) & (((uint64_t)1 << s->span) - 1);
        support_put(ELEMENT_F32, x, i, element_unkey(ELEMENT_F32, key));
        if (i % 1009 == 0)
            x[i] = i % 2 ? 1.5f : i % 4 ? INFINITY : NAN;
    }
    struct tile tile = {ELEMENT_F32, x, n, 3 * (int64_t)QO_BLOCK};
    check_measure(&tile, &keep, &map);
    keep.num_fills = 0;
    check_measure(&tile, &keep, &map);
    cell_map_clear(&map);
    free(x);
}

/* The last two keys of a cell by turns, so that neither is all there is, in numbers that no narrow
 * counter holds. The cells are even ones, as most elements find them. */
static void check_two_values(enum element_type type)
{
    const int64_t n = 9 * (int64_t)QO_BLOCK + 5;
    int span = element_mantissa_bits(type) - 3, parts_log2 = span < 8 ? span : 8;
    const struct stretch stretches[] = {{1.0, span, parts_log2}};
    struct cell_map map;
    struct keep keep = {-INFINITY, INFINITY, 0, {0, 0}};
    char *x = malloc((size_t)n * element_size(type));
    assert_non_null(x);
    map_open(&map, type, stretches, 1);
    uint64_t key = element_key(type, element_from_double(type, 1.0));
    key += ((uint64_t)1 << (span - parts_log2)) - 1;
    for (int64_t i = 0; i < n; i++)
        support_put(type, x, i, element_unkey(type, key - (uint64_t)(i % 2)));
    struct tile tile = {type, x, n, 0};
    check_measure(&tile, &keep, &map);
    cell_map_clear(&map);
    free(x);
}

static void test_a_narrow_counter_runs_over(void **state)
{
    (void)state;
    for (int type = 0; type < ELEMENT_NUM_TYPES; type++)
        check_two_values((enum element_type)type);
}

/* What the operations on levels give. */
struct outcome {
    struct assign_totals assigned;
    struct encode_totals encoded;
    uint8_t *codes;
    char *x; /* decoded */
};

static struct outcome outcome_of(struct engine *engine, const struct tile *tile,
                                 const struct level_table *table)
{
    struct outcome outcome = {.assigned = {0}};
    outcome.codes = malloc((size_t)(tile->n * table->bits + 7) / 8);
    outcome.x = malloc((size_t)tile->n * element_size(tile->type));
    assert_true(outcome.codes && outcome.x);
    assert_int_equal(engine->kernels->assign(engine, tile, table, &outcome.assigned), QO_OK);
    assert_int_equal(engine->kernels->encode(engine, tile, table, outcome.codes, &outcome.encoded),
                     QO_OK);
    assert_int_equal(
        engine->kernels->decode(engine, outcome.codes, tile->n, table, tile->type, outcome.x),
        QO_OK);
    return outcome;
}

static void outcome_clear(struct outcome *outcome)
{
    free(outcome->codes);
    free(outcome->x);
}

/* Every variant does with a tile what the portable backend does. */
static void check_levels(const struct tile *tile, const struct level_table *table)
{
    struct engine plain;
    assert_int_equal(engine_open(&plain, BACKEND_PORTABLE, 2), QO_OK);
    struct outcome want = outcome_of(&plain, tile, table);
    for (int v = 0; v < SUPPORT_NUM_VARIANTS; v++) {
        struct engine engine;
        if (!support_open(&engine, v))
            continue;
        support_hold(&engine, tile);
        struct outcome got = outcome_of(&engine, tile, table);
        assert_memory_equal(&got.assigned, &want.assigned, sizeof got.assigned);
        assert_memory_equal(&got.encoded, &want.encoded, sizeof got.encoded);
        assert_memory_equal(got.codes, want.codes, (size_t)(tile->n * table->bits + 7) / 8);
        assert_memory_equal(got.x, want.x, (size_t)tile->n * element_size(tile->type));
        outcome_clear(&got);
        engine.kernels->release(&engine, tile);
        engine_close(&engine);
    }
    outcome_clear(&want);
    engine_close(&plain);
}

/* Residuals of 2^40 - 1, all low bits set, in one level: the most that a narrow sum gets to add.
 * Many levels, for then the most threads share a sum. */
static void test_full_residuals_run_over(void **state)
{
    (void)state;
    const int64_t n = 66 * (int64_t)QO_BLOCK + 1;
    struct keep keep = {-INFINITY, INFINITY, 0, {0, 0}};
    struct level_table table;
    double level[200], *x = malloc((size_t)n * sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < 200; i++)
        level[i] = 4.0 * i - 796.0; /* the last one is 0 */
    for (int64_t i = 0; i < n; i++)
        x[i] = 0x1p20 - 0x1p-20;
    level_table_init(&table, 8, level, 200, &keep, -796, 0x1p20);
    struct tile tile = {ELEMENT_F64, x, n, 0};
    check_levels(&tile, &table);
    free(x);
}

/* More than what is copied at a time, so that buffers take turns. */
static void test_buffers_by_turns_are_used_too_early(void **state)
{
    (void)state;
    const int64_t n = 70 * (int64_t)QO_BLOCK + 4321;
    struct keep keep = {-2.5, 2.5, 0, {0, 0}};
    struct level_table table;
    double level[8], *x = malloc((size_t)n * sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < 8; i++)
        level[i] = 0.6 * i - 2.1;
    support_fill(KIND_NORMAL, ELEMENT_F64, x, n, NULL, 0, 33);
    level_table_init(&table, 3, level, 8, &keep, -2.5, 2.5);
    struct tile tile = {ELEMENT_F64, x, n, 0};
    check_levels(&tile, &table);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells_cut_for_shared_memory_are_added_up_wrongly),
        cmocka_unit_test(test_a_narrow_counter_runs_over),
        cmocka_unit_test(test_full_residuals_run_over),
        cmocka_unit_test(test_buffers_by_turns_are_used_too_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
