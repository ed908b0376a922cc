/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

/* measure against plain truth, over maps from coarse to crowded, for all types, SIMD levels and
 * threads. */

enum crowd { CROWD_NONE, CROWD_EVERYWHERE, CROWD_PEAK, CROWD_SINGLES, NUM_CROWDS };

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* A key to begin a cell at: anywhere, in a narrow peak at 300, or within a few keys of 0.75. */
static uint64_t crowd_key(enum crowd crowd, enum element_type type, uint64_t *seed)
{
    uint64_t random = support_random(seed);
    if (crowd == CROWD_EVERYWHERE)
        return random & element_last_key(type);
    double at = crowd == CROWD_PEAK ? 300 + 1e-6 * support_normal(seed) : 0.75;
    uint64_t key = element_key(type, element_from_double(type, at));
    return crowd == CROWD_PEAK ? key + random % 3 : key + random % 6000 - 3000;
}

/* All binades, and 5000 cells more where the crowd is. */
static void map_open(struct cell_map *map, enum element_type type, enum crowd crowd, uint64_t seed)
{
    uint64_t binade = cell_map_binade(type), last = element_last_key(type);
    int64_t n = 0, distinct = 0, extra = crowd == CROWD_NONE ? 0 : 5000;
    uint64_t *low = malloc((size_t)(last / binade + 1 + (uint64_t)extra) * sizeof *low);
    assert_non_null(low);
    for (uint64_t key = 0, i = 0; i <= last / binade; i++, key += binade)
        low[n++] = key;
    for (int64_t i = 0; i < extra; i++)
        low[n++] = crowd_key(crowd, type, &seed) & last;
    qsort(low, (size_t)n, sizeof *low, compare_keys);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || low[i] != low[distinct - 1])
            low[distinct++] = low[i];
    assert_int_equal(cell_map_init(map, type, low, distinct, low[1], low[distinct - 1]), QO_OK);
    free(low);
}

struct truth_cell {
    uint64_t count;
    unsigned __int128 sum, square;
};

struct expected {
    struct measure_totals totals;
    struct truth_cell *cells;
};

/* The cell of a key, by bisection over the map's first keys. */
static int64_t plain_find(const struct cell_map *map, uint64_t key)
{
    int64_t first = 0, end = map->num_cells;
    while (end - first > 1) {
        int64_t middle = first + (end - first) / 2;
        if (map->low[middle] <= key)
            first = middle;
        else
            end = middle;
    }
    return first;
}

static void expect_element(const struct tile *tile, int64_t i, const struct keep *keep,
                           const struct cell_map *map, struct expected *want)
{
    uint64_t bits = element_bits(tile->type, tile->x, i), key = element_key(tile->type, bits);
    double x = element_value(tile->type, bits);
    for (int f = 0; f < keep->num_fills; f++) {
        if (x == keep->fill[f]) {
            want->totals.num_fill++;
            return;
        }
    }
    if (!isfinite(x)) {
        if (want->totals.num_nonfinite++ == 0)
            want->totals.first_nonfinite = tile->first + i;
        return;
    }
    int64_t cell = plain_find(map, key);
    uint64_t offset = key - map->low[cell];
    want->totals.num_measured++;
    want->totals.min_key = key < want->totals.min_key ? key : want->totals.min_key;
    want->totals.max_key = key > want->totals.max_key ? key : want->totals.max_key;
    want->cells[cell].count++;
    want->cells[cell].sum += offset;
    want->cells[cell].square += (unsigned __int128)offset * offset;
}

static struct expected expect(const struct tile *tile, const struct keep *keep,
                              const struct cell_map *map)
{
    struct expected want = {.totals = {.first_nonfinite = INT64_MAX, .min_key = UINT64_MAX}};
    want.cells = calloc((size_t)map->num_cells, sizeof *want.cells);
    assert_non_null(want.cells);
    for (int64_t i = 0; i < tile->n; i++)
        expect_element(tile, i, keep, map, &want);
    return want;
}

static void check_totals(const struct measure_totals *got, const struct expected *want,
                         const struct cell_map *map)
{
    assert_int_equal(got->num_measured, want->totals.num_measured);
    assert_int_equal(got->num_nonfinite, want->totals.num_nonfinite);
    assert_int_equal(got->first_nonfinite, want->totals.first_nonfinite);
    assert_int_equal(got->num_fill, want->totals.num_fill);
    assert_true(got->min_key == want->totals.min_key);
    assert_true(got->max_key == want->totals.max_key);
    for (int64_t i = 0; i < map->num_cells; i++) {
        const struct cell *a = &got->cells[i];
        const struct truth_cell *b = &want->cells[i];
        assert_true(a->count == b->count);
        assert_true(a->sum[0] == (uint64_t)b->sum && a->sum[1] == (uint64_t)(b->sum >> 64));
        assert_true(a->square[0] == (uint64_t)b->square);
        assert_true(a->square[1] == (uint64_t)(b->square >> 64) && a->square[2] == 0);
    }
}

/* Measures a tile in pieces of so many blocks (0: in one), by every level and number of threads. */
static void check_measure(const struct tile *tile, const struct keep *keep,
                          const struct cell_map *map, int64_t blocks)
{
    struct expected want = expect(tile, keep, map);
    struct cell *cells = malloc((size_t)map->num_cells * sizeof *cells);
    assert_non_null(cells);
    int64_t step = blocks ? blocks * QO_BLOCK : tile->n + 1;
    for (int v = 0; v < SUPPORT_NUM_VARIANTS; v++) {
        struct engine engine;
        struct measure_totals totals;
        if (!support_open(&engine, v))
            continue;
        memset(cells, 0, (size_t)map->num_cells * sizeof *cells);
        measure_totals_init(&totals, cells);
        for (int64_t i = 0; i < tile->n || i == 0; i += step) {
            struct tile piece = {tile->type,
                                 (const char *)tile->x + i * (int64_t)element_size(tile->type),
                                 tile->n - i < step ? tile->n - i : step, tile->first + i};
            assert_int_equal(engine.kernels->measure(&engine, &piece, keep, map, &totals), QO_OK);
        }
        check_totals(&totals, &want, map);
        engine_close(&engine);
    }
    free(cells);
    free(want.cells);
}

static void check_example(enum element_type type, enum crowd crowd, enum kind kind, int64_t n,
                          int64_t blocks, uint64_t seed)
{
    struct cell_map map;
    struct guarded x = guarded_open((size_t)n * element_size(type));
    struct tile tile = {type, x.bytes, n, (int64_t)(seed % 3) * QO_BLOCK};
    struct keep keep = {-1, 1, (int)(seed % 3), {0.75, -0.0}};
    double special[4] = {0.75, 300, 300 + 1e-6, INFINITY};
    map_open(&map, type, crowd, seed);
    support_fill(kind, type, x.bytes, n, special, 4, seed);
    if (crowd == CROWD_SINGLES || crowd == CROWD_PEAK) { /* most elements where the cells are */
        for (int64_t i = 0; i < n; i += 1 + (int64_t)(seed % 2))
            support_put(type, x.bytes, i, element_unkey(type, crowd_key(crowd, type, &seed)));
    }
    check_measure(&tile, &keep, &map, blocks);
    cell_map_clear(&map);
    guarded_close(&x);
}

static void test_small_tile_miscounted(void **state)
{
    static const int sizes[] = {0, 1, 2, 15, 16, 17, 255, 256, 257, 3000};
    (void)state;
    uint64_t seed = 1;
    for (int type = 0; type < ELEMENT_NUM_TYPES; type++)
        for (int s = 0; s < (int)(sizeof sizes / sizeof *sizes); s++)
            for (int crowd = 0; crowd < NUM_CROWDS; crowd++, seed++)
                check_example((enum element_type)type, (enum crowd)crowd,
                              (enum kind)(seed % NUM_KINDS), sizes[s], 0, seed);
}

static void test_blocks_or_cut_into_tiles_miscounted(void **state)
{
    static const int64_t sizes[] = {QO_BLOCK - 1, QO_BLOCK + 1, 4 * QO_BLOCK + 99};
    (void)state;
    uint64_t seed = 500;
    for (int type = 0; type < ELEMENT_NUM_TYPES; type++)
        for (int s = 0; s < 3; s++)
            for (int crowd = 0; crowd < NUM_CROWDS; crowd++, seed++)
                check_example((enum element_type)type, (enum crowd)crowd,
                              (enum kind)(seed % NUM_KINDS), sizes[s], (int64_t)(seed % 3), seed);
}

/* A cell a key, as 16-bit types are measured. */
static void test_cell_a_key_miscounted(void **state)
{
    (void)state;
    enum element_type types[2] = {ELEMENT_F16, ELEMENT_BF16};
    uint64_t *low = malloc(65536 * sizeof *low);
    assert_non_null(low);
    for (uint64_t i = 0; i < 65536; i++)
        low[i] = i;
    for (int t = 0; t < 2; t++) {
        struct cell_map map;
        int64_t n = 3 * QO_BLOCK + 5;
        struct guarded x = guarded_open((size_t)n * 2);
        struct tile tile = {types[t], x.bytes, n, 0};
        struct keep keep = {-INFINITY, INFINITY, 1, {0, 0}};
        assert_int_equal(cell_map_init(&map, types[t], low, 65536, 0, 65535), QO_OK);
        support_fill(KIND_BITS, types[t], x.bytes, n, NULL, 0, 9);
        check_measure(&tile, &keep, &map, 0);
        cell_map_clear(&map);
        guarded_close(&x);
    }
    free(low);
}

/* The engine remembers how a map was searched: another map with as many cells must not be taken for
 * it. */
static void test_map_of_the_call_before_is_used(void **state)
{
    (void)state;
    struct cell_map map[2];
    float x[1000];
    struct tile tile = {ELEMENT_F32, x, 1000, 0};
    struct keep keep = {-INFINITY, INFINITY, 0, {0, 0}};
    struct engine engine;
    support_fill(KIND_NORMAL, ELEMENT_F32, x, 1000, NULL, 0, 4);
    uint64_t low[600];
    for (int m = 0; m < 2; m++) {
        for (int i = 0; i < 512; i++)
            low[i] = (uint64_t)i << 23;
        low[512] = element_key(ELEMENT_F32, element_from_double(ELEMENT_F32, m ? 0.7 : 1.5));
        qsort(low, 513, sizeof *low, compare_keys);
        assert_int_equal(cell_map_init(&map[m], ELEMENT_F32, low, 513, low[1], low[512]), QO_OK);
    }
    assert_int_equal(engine_open(&engine, BACKEND_CPU, 1), QO_OK);
    for (int round = 0; round < 4; round++) {
        struct cell cells[513] = {0};
        struct measure_totals totals;
        struct expected want = expect(&tile, &keep, &map[round % 2]);
        measure_totals_init(&totals, cells);
        assert_int_equal(engine.kernels->measure(&engine, &tile, &keep, &map[round % 2], &totals),
                         QO_OK);
        check_totals(&totals, &want, &map[round % 2]);
        free(want.cells);
    }
    engine_close(&engine);
    cell_map_clear(&map[0]);
    cell_map_clear(&map[1]);
}

/* More threads than there may be tables: fewer walk, none writes beyond its own. */
static void test_many_threads_overrun_the_tables(void **state)
{
    (void)state;
    enum element_type type = ELEMENT_F64;
    int64_t n = 40 * QO_BLOCK;
    struct cell_map map;
    struct engine engine;
    struct measure_totals totals;
    struct keep keep = {-INFINITY, INFINITY, 0, {0, 0}};
    uint64_t binade = cell_map_binade(type), *low = malloc(300000 * sizeof *low);
    double *x = malloc((size_t)n * sizeof *x);
    struct cell *cells = calloc(300000, sizeof *cells);
    assert_true(low && x && cells);
    for (uint64_t i = 0; i < 300000; i++) /* 73 cells a binade */
        low[i] = (i / 73 < 4096 ? i / 73 : 4095) * binade +
                 (i / 73 < 4096 ? i % 73 : i - 73 * 4095) * 1000;
    assert_int_equal(cell_map_init(&map, type, low, 300000, 0, low[299999]), QO_OK);
    support_fill(KIND_NORMAL, type, x, n, NULL, 0, 12);
    struct tile tile = {type, x, n, 0};
    struct expected want = expect(&tile, &keep, &map);
    assert_int_equal(engine_open(&engine, BACKEND_CPU, 33), QO_OK);
    measure_totals_init(&totals, cells);
    assert_int_equal(engine.kernels->measure(&engine, &tile, &keep, &map, &totals), QO_OK);
    check_totals(&totals, &want, &map);
    engine_close(&engine);
    cell_map_clear(&map);
    free(want.cells);
    free(low);
    free(x);
    free(cells);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_tile_miscounted),
        cmocka_unit_test(test_blocks_or_cut_into_tiles_miscounted),
        cmocka_unit_test(test_cell_a_key_miscounted),
        cmocka_unit_test(test_map_of_the_call_before_is_used),
        cmocka_unit_test(test_many_threads_overrun_the_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
