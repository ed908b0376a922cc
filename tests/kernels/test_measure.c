/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

/* measure against plain truth, over maps from coarse to crowded, for all types, SIMD levels and
 * threads. */

/*
 * Where a map has cells beside the binades: nowhere; at any keys; in a narrow peak; single keys; in
 * blocks of equal cells, as plans have them, some with single keys or another cut in them.
 */
enum crowd { CROWD_NONE, CROWD_EVERYWHERE, CROWD_PEAK, CROWD_SINGLES, CROWD_BLOCKS, NUM_CROWDS };

/* The levels, with as many threads as are asked for in all. */
static const struct variant variants[] = {
    {BACKEND_PORTABLE, 1}, {BACKEND_PORTABLE, 3}, {BACKEND_AVX2, 1},   {BACKEND_AVX2, 2},
    {BACKEND_AVX512, 1},   {BACKEND_AVX512, 2},   {BACKEND_AVX512, 4},
};

#define NUM_VARIANTS ((int)(sizeof variants / sizeof *variants))

/* The ones of the backend that is tested. */
static const struct variant cuda_variants[] = {{BACKEND_CUDA, 1}, {BACKEND_CUDA, 2}};

static int num_variants(void)
{
    return support_on_cuda() ? 2 : NUM_VARIANTS;
}

static struct variant variant_at(int v)
{
    return support_on_cuda() ? cuda_variants[v] : variants[v];
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

/* Writes the keys of a block of 2^span keys in 2^parts equal cells, near 1 or anywhere; returns how
 * many. */
static int64_t add_block(enum element_type type, uint64_t *low, uint64_t *seed)
{
    uint64_t random = support_random(seed), one = element_key(type, element_from_double(type, 1));
    int bits = element_mantissa_bits(type), span = (int)(random % (uint64_t)(bits + 1));
    int parts = (int)(random >> 8 & 7);
    uint64_t base = random & 0x10000 ? one + (support_random(seed) >> (64 - bits))
                                     : support_random(seed) & element_last_key(type);
    int64_t n = 0;
    parts = parts < span ? parts : span;
    base = base >> span << span;
    for (uint64_t i = 0; i <= (uint64_t)1 << parts; i++)
        low[n++] = base + (i << (span - parts));
    switch (random >> 20 & 7) { /* apart: the first key, the last one, one somewhere; or a cut */
    case 0:
        low[n++] = base + 1;
        break;
    case 1:
        low[n++] = base + ((uint64_t)1 << span) - 1;
        break;
    case 2:
        low[n++] = base + (random >> 30) % ((uint64_t)1 << span);
        low[n] = low[n - 1] + 1;
        n++;
        break;
    case 3:
        low[n++] = base + (random >> 30) % ((uint64_t)1 << span);
        break;
    default:
        break;
    }
    return n;
}

/* All binades, and `extra` cells more where the crowd is. */
static void map_open_with(struct cell_map *map, enum element_type type, enum crowd crowd,
                          int64_t extra, uint64_t seed)
{
    uint64_t binade = cell_map_binade(type), last = element_last_key(type);
    int64_t n = 0, end = (int64_t)(last / binade) + 1 + extra;
    uint64_t *low = malloc(((size_t)end + 200) * sizeof *low);
    assert_non_null(low);
    for (uint64_t key = 0, i = 0; i <= last / binade; i++, key += binade)
        low[n++] = key;
    while (n < end) {
        if (crowd == CROWD_BLOCKS)
            n += add_block(type, low + n, &seed);
        else
            low[n++] = crowd_key(crowd, type, &seed) & last;
    }
    for (int64_t i = 0; i < n; i++)
        low[i] &= last;
    support_map_open(map, type, low, n);
    free(low);
}

static void map_open(struct cell_map *map, enum element_type type, enum crowd crowd, uint64_t seed)
{
    map_open_with(map, type, crowd, crowd == CROWD_NONE ? 0 : 5000, seed);
}

struct truth_cell {
    uint64_t count;
    unsigned __int128 sum, square;
    uint64_t square_top; /* the bits above */
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
        assert_true(a->square[1] == (uint64_t)(b->square >> 64) && a->square[2] == b->square_top);
    }
}

/* Measures a tile in pieces of so many blocks (0: in one) by a variant; false if the machine lacks
 * it. */
static bool measure_pieces(const struct variant *variant, const struct tile *tile,
                           const struct keep *keep, const struct cell_map *map, int64_t blocks,
                           struct measure_totals *totals)
{
    struct engine engine;
    int64_t step = blocks ? blocks * QO_BLOCK : tile->n + 1;
    if (!engine_supports(variant->backend))
        return false;
    assert_int_equal(engine_open(&engine, variant->backend, variant->threads), QO_OK);
    if (blocks == 0 && tile->n > 0)
        support_hold(&engine, tile);
    memset(totals->cells, 0, (size_t)map->num_cells * sizeof *totals->cells);
    measure_totals_init(totals, totals->cells);
    for (int64_t i = 0; i < tile->n || i == 0; i += step) {
        struct tile piece = {tile->type,
                             (const char *)tile->x + i * (int64_t)element_size(tile->type),
                             tile->n - i < step ? tile->n - i : step, tile->first + i};
        assert_int_equal(engine.kernels->measure(&engine, &piece, keep, map, totals), QO_OK);
    }
    engine_close(&engine);
    return true;
}

/* Measures a tile by every level and number of threads. */
static void check_measure(const struct tile *tile, const struct keep *keep,
                          const struct cell_map *map, int64_t blocks)
{
    struct expected want = expect(tile, keep, map);
    struct measure_totals totals = {.cells = malloc((size_t)map->num_cells * sizeof(struct cell))};
    assert_non_null(totals.cells);
    for (int v = 0; v < num_variants(); v++) {
        struct variant variant = variant_at(v);
        if (measure_pieces(&variant, tile, keep, map, blocks, &totals))
            check_totals(&totals, &want, map);
    }
    free(totals.cells);
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
    static const int64_t sizes[] = {QO_BLOCK, 3 * QO_BLOCK + 99};
    (void)state;
    uint64_t seed = 500;
    for (int type = 0; type < ELEMENT_NUM_TYPES; type++)
        for (int s = 0; s < 2; s++)
            for (int crowd = 0; crowd < NUM_CROWDS; crowd++, seed++)
                check_example((enum element_type)type, (enum crowd)crowd,
                              (enum kind)(seed % NUM_KINDS), sizes[s] + crowd % 3 - 1,
                              (int64_t)(seed % 3), seed);
}

/* Fills x[n] with keys at the ends of cells, beside them, and inside: equal ones in runs, too. */
static void fill_edges(const struct cell_map *map, void *x, int64_t n, uint64_t seed)
{
    uint64_t key = 0;
    for (int64_t i = 0; i < n; i++) {
        uint64_t random = support_random(&seed);
        int64_t cell = (int64_t)(random >> 16) % map->num_cells;
        uint64_t end =
            cell + 1 < map->num_cells ? map->low[cell + 1] - 1 : element_last_key(map->type);
        switch (random & 7) {
        case 0:
            break; /* as before */
        case 1:
            key = map->low[cell];
            break;
        case 2:
            key = end;
            break;
        default:
            key = map->low[cell] + support_random(&seed) % (end - map->low[cell] + 1);
        }
        support_put(map->type, x, i, element_unkey(map->type, key));
    }
}

static void check_edges(enum element_type type, enum crowd crowd, int64_t extra, int64_t n,
                        uint64_t seed)
{
    struct cell_map map;
    struct guarded x = guarded_open((size_t)n * element_size(type));
    struct tile tile = {type, x.bytes, n, 0};
    struct keep keep = {-INFINITY, INFINITY, 0, {0, 0}};
    map_open_with(&map, type, crowd, extra, seed);
    fill_edges(&map, x.bytes, n, seed);
    check_measure(&tile, &keep, &map, 0);
    cell_map_clear(&map);
    guarded_close(&x);
}

static void test_edges_of_cells_miscounted(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        enum crowd crowd = seed % 2 ? CROWD_BLOCKS : (enum crowd)(seed / 2 % NUM_CROWDS);
        check_edges(ELEMENT_F32, crowd, 40 << seed % 9, 20000, seed);
        check_edges(ELEMENT_F64, crowd, 40 << seed % 9, 20000, seed);
    }
}

/* Maps as large as a refined one, and elements in them on several threads. */
static void test_large_map_miscounted(void **state)
{
    (void)state;
    for (enum element_type type = ELEMENT_F32; type <= ELEMENT_F64; type++) {
        check_edges(type, CROWD_EVERYWHERE, 255000, QO_BLOCK + 7, 5);
        check_edges(type, CROWD_BLOCKS, 255000, QO_BLOCK + 7, 6);
    }
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

/* A block of elements, again and again in memory, but there once. */
struct repeated {
    char *map;
    size_t mapped;
    int file;
};

static struct repeated repeated_open(const void *block, size_t size, int64_t times)
{
    struct repeated r = {.mapped = size * (size_t)times, .file = memfd_create("block", 0)};
    assert_true(r.file >= 0);
    assert_int_equal(write(r.file, block, size), (ssize_t)size);
    r.map = mmap(NULL, r.mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(r.map != MAP_FAILED);
    for (int64_t i = 0; i < times; i++)
        assert_true(mmap(r.map + (size_t)i * size, size, PROT_READ, MAP_SHARED | MAP_FIXED, r.file,
                         0) != MAP_FAILED);
    return r;
}

static void repeated_close(struct repeated *r)
{
    assert_int_equal(munmap(r->map, r->mapped), 0);
    assert_int_equal(close(r->file), 0);
}

/* Measures a block so many times over in one tile, by one thread; the truth is that of the block,
 * multiplied. */
static void check_repeated(enum backend backend, enum element_type type, const void *block,
                           const struct cell_map *map, int64_t times)
{
    size_t size = QO_BLOCK * element_size(type);
    struct repeated x = repeated_open(block, size, times);
    struct tile one = {type, block, QO_BLOCK, 0}, all = {type, x.map, times * QO_BLOCK, 0};
    struct keep keep = {-INFINITY, INFINITY, 0, {0, 0}};
    struct expected want = expect(&one, &keep, map);
    struct measure_totals totals = {.cells = malloc((size_t)map->num_cells * sizeof(struct cell))};
    assert_non_null(totals.cells);
    want.totals.num_measured *= times;
    for (int64_t i = 0; i < map->num_cells; i++) {
        struct truth_cell *cell = &want.cells[i];
        unsigned __int128 low = (cell->square & UINT64_MAX) * (unsigned __int128)times;
        unsigned __int128 high = (cell->square >> 64) * (unsigned __int128)times + (low >> 64);
        cell->count *= (uint64_t)times;
        cell->sum *= (unsigned __int128)times;
        cell->square = high << 64 | (uint64_t)low;
        cell->square_top = (uint64_t)(high >> 64);
    }
    if (measure_pieces(&(struct variant){backend, 1}, &all, &keep, map, 0, &totals))
        check_totals(&totals, &want, map);
    free(totals.cells);
    free(want.cells);
    repeated_close(&x);
}

/*
 * Sums that would run over if a thread's table were emptied too late: more than 2^24 elements in
 * one cell, equal or not, at the last keys of a cell of 2^15 or of 2^span keys.
 */
static void check_overrun(enum backend backend, enum element_type type, int span, int64_t times)
{
    struct cell_map map;
    uint64_t binade = cell_map_binade(type), last = element_last_key(type);
    uint64_t one = element_key(type, element_from_double(type, 1)), low[8200], seed = 3;
    char *block = malloc(QO_BLOCK * 8);
    int64_t n = 0;
    assert_non_null(block);
    for (uint64_t i = 0; i <= last / binade; i++) {
        low[n++] = i * binade;
        if (i * binade == one && binade >> span > 1)
            low[n++] = one + ((uint64_t)1 << span);
    }
    assert_int_equal(cell_map_init(&map, type, low, n, 0, last), QO_OK);
    for (int alike = 0; alike < 2; alike++) { /* else of 50 keys: no two neighbours are equal */
        for (int64_t i = 0; i < QO_BLOCK; i++) {
            uint64_t key = one + ((uint64_t)1 << span) - 1 - (alike ? 0 : (uint64_t)(i % 50));
            support_put(type, block, i, element_unkey(type, key));
        }
        check_repeated(backend, type, block, &map, times);
    }
    for (int64_t i = 0; i < QO_BLOCK; i++) {
        uint64_t key = one + (support_random(&seed) & (((uint64_t)1 << span) - 1));
        support_put(type, block, i, element_unkey(type, key));
    }
    check_repeated(backend, type, block, &map, times < 7 ? times : 7);
    cell_map_clear(&map);
    free(block);
}

static void test_sums_run_over(void **state)
{
    (void)state;
    /* 258 blocks are more than 2^24 elements; what is emptied one by one has far less room. */
    if (!support_on_cuda()) {
        check_overrun(BACKEND_CPU, ELEMENT_F32, 15, 258);
        check_overrun(BACKEND_CPU, ELEMENT_F64, 52, 258);
    }
    enum backend first = support_on_cuda() ? BACKEND_CUDA : BACKEND_PORTABLE;
    enum backend end = support_on_cuda() ? BACKEND_CUDA : BACKEND_AVX512;
    for (enum backend backend = first; backend <= end; backend++) {
        check_overrun(backend, ELEMENT_F32, 16, 7);
        check_overrun(backend, ELEMENT_F32, 23, 7);
        check_overrun(backend, ELEMENT_F64, 52, 7);
    }
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
        qsort(low, 513, sizeof *low, support_compare_keys);
        assert_int_equal(cell_map_init(&map[m], ELEMENT_F32, low, 513, low[1], low[512]), QO_OK);
    }
    assert_true(support_open(&engine, 0));
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
        cmocka_unit_test(test_edges_of_cells_miscounted),
        cmocka_unit_test(test_large_map_miscounted),
        cmocka_unit_test(test_cell_a_key_miscounted),
        cmocka_unit_test(test_sums_run_over),
        cmocka_unit_test(test_map_of_the_call_before_is_used),
        cmocka_unit_test(test_many_threads_overrun_the_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
