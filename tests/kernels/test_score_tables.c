/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "fault.h"

/*
 * Levels of every shape that a look-up can stumble over, in every backend against the definition
 * (an element's code is the number of cuts below it), and score against encode bit for bit.
 */

enum shape {
    SHAPE_EVEN,     /* one ramp of slots */
    SHAPE_DENSE,    /* dense in the middle */
    SHAPE_TAILS,    /* over nine powers of ten: several ramps */
    SHAPE_PEAKS,    /* two narrow ones far from each other */
    SHAPE_MANY,     /* more of them than there are ramps */
    SHAPE_CROWDED,  /* 1e-12 apart beside 1e3: only a search parts them */
    SHAPE_HUGE,     /* to the ends of float64: distances overflow */
    SHAPE_FLOAT,    /* to the ends of float32 */
    SHAPE_TINY,     /* one step of float64 apart */
    SHAPE_TINY_F32, /* one step of float32 apart */
    NUM_SHAPES
};

static double level_of(enum shape shape, int i, int k)
{
    double u = (i + 0.5) / k, s = 2 * u - 1; /* 0 to 1 and -1 to 1 */
    switch (shape) {
    case SHAPE_EVEN:
        return 4 * s;
    case SHAPE_DENSE:
        return 2 * s + 6 * s * s * s;
    case SHAPE_TAILS:
        return (s < 0 ? -1e-3 : 1e-3) * (exp(20 * fabs(s)) - 0.9);
    case SHAPE_PEAKS:
        return (2 * i < k ? -1e6 : 1e6) + 1e-3 * i;
    case SHAPE_MANY:
        return 1e6 * (8 * i / k) + 1e-4 * i;
    case SHAPE_CROWDED:
        return 2 * i < k ? 1 + 1e-12 * i : 1e3 + i;
    case SHAPE_HUGE:
        return s * DBL_MAX;
    case SHAPE_FLOAT:
        return s * FLT_MAX;
    case SHAPE_TINY:
        return 0x1p-1074 * (i - k / 2);
    default:
        return 0x1p-149 * (i - k / 2);
    }
}

/* Bounds and fills that change from table to table. */
static struct keep keep_of(int turn, const double *level, int k)
{
    struct keep keep = {-INFINITY, INFINITY, 0, {0, 0}};
    if (turn % 3 == 1) {
        keep.lo = level[k / 8];
        keep.hi = level[k - 1 - k / 8];
    }
    if (turn % 4 == 2) {
        keep.num_fills = 2;
        keep.fill[0] = level[k / 2];
        keep.fill[1] = -0.0; /* must catch +0.0 */
    }
    return keep;
}

static struct level_table make_table(enum shape shape, int k, int turn)
{
    struct level_table table;
    double level[QO_MAX_LEVELS];
    int bits = 1;
    while (1 << bits < k)
        bits++;
    for (int i = 0; i < k; i++)
        level[i] = level_of(shape, i, k);
    struct keep keep = keep_of(turn, level, k);
    level_table_init(&table, bits, level, k, &keep, level[0], level[k - 1]);
    return table;
}

/* A cut or a level, or its neighbour in the element type, or what lies somewhere between. */
static double element_near(const struct level_table *table, enum element_type type, uint64_t *seed)
{
    int i = (int)(support_random(seed) % (uint64_t)table->k);
    double at = i < table->k - 1 && support_random(seed) % 4 ? table->cut[i] : table->level[i];
    if (support_random(seed) % 4 == 0) {
        double u = support_uniform(seed);
        at = u * table->level[0] + (1 - u) * table->level[table->k - 1];
    }
    uint64_t key = element_key(type, element_from_double(type, at));
    return element_value(type, element_unkey(type, key - 1 + support_random(seed) % 3));
}

/* Elements around the cuts, nasty values and, in the end, bit patterns of any kind. */
static void fill_near(const struct level_table *table, enum element_type type, void *x, int64_t n,
                      uint64_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits = support_random(&seed);
        if (i < n / 2)
            bits = element_from_double(type, element_near(table, type, &seed));
        else if (i < n * 3 / 4)
            bits = element_from_double(type, support_nasty((int)(bits >> 33), NULL, 0));
        support_put(type, x, i, bits);
    }
}

/* What assign and encode must find, but for the errors. */
struct wanted {
    int64_t num_outliers;
    int64_t count[QO_MAX_LEVELS];
    __int128 residual[QO_MAX_LEVELS];
};

static void check_codes(const struct level_table *table, const struct tile *tile,
                        const uint8_t *codes)
{
    for (int64_t i = 0; i < tile->n; i++) {
        int code = 0;
        for (int b = 0; b < table->bits; b++) {
            int64_t bit = i * table->bits + b;
            code |= (codes[bit / 8] >> bit % 8 & 1) << b;
        }
        assert_int_equal(code, truth_of(table, tile->type, tile->x, i).code);
    }
}

static void want_sums(const struct level_table *table, const struct tile *tile,
                      struct wanted *wanted)
{
    *wanted = (struct wanted){.num_outliers = 0};
    for (int64_t i = 0; i < tile->n; i++) {
        struct truth t = truth_of(table, tile->type, tile->x, i);
        if (!t.kept) {
            wanted->num_outliers++;
            continue;
        }
        double fixed = nearbyint((t.x - table->level[t.code]) * table->scale[t.code]);
        assert_true(fabs(fixed) <= 0x1p40);
        wanted->count[t.code]++;
        wanted->residual[t.code] += (__int128)fixed;
    }
}

static void check_sums(const struct assign_totals *got, const struct wanted *wanted)
{
    assert_int_equal(got->num_outliers, wanted->num_outliers);
    assert_memory_equal(got->count, wanted->count, sizeof got->count);
    for (int i = 0; i < QO_MAX_LEVELS; i++) {
        assert_true(got->residual[i].low == (uint64_t)wanted->residual[i]);
        assert_true(got->residual[i].high == (int64_t)(wanted->residual[i] >> 64));
    }
}

/* One backend on one table; *first is what the first backend found. */
static void check_backend(struct engine *engine, const struct level_table *table,
                          const struct tile *tile, const struct wanted *wanted,
                          struct encode_totals *first)
{
    struct assign_totals assigned = {0};
    struct encode_totals encoded = {0}, scored = {0};
    struct guarded codes = guarded_open((size_t)(tile->n * table->bits + 7) / 8);
    assert_int_equal(engine->kernels->encode(engine, tile, table, codes.bytes, &encoded), QO_OK);
    assert_int_equal(engine->kernels->assign(engine, tile, table, &assigned), QO_OK);
    assert_int_equal(engine->kernels->score(engine, tile, table, 1, &scored), QO_OK);
    check_codes(table, tile, codes.bytes);
    check_sums(&assigned, wanted);
    assert_int_equal(encoded.num_outliers, wanted->num_outliers);
    assert_memory_equal(&assigned.error, &encoded.error, sizeof encoded.error);
    assert_memory_equal(&scored, &encoded, sizeof encoded);
    if (first->num_outliers < 0)
        *first = encoded;
    assert_memory_equal(first, &encoded, sizeof encoded);
    guarded_close(&codes);
}

static void check_table(const struct level_table *shape, enum element_type type, int64_t n,
                        uint64_t seed)
{
    struct level_table table = *shape;
    struct guarded x = guarded_open((size_t)n * element_size(type));
    struct tile tile = {type, x.bytes, n, 0};
    struct wanted wanted;
    struct encode_totals first = {.num_outliers = -1};
    fill_near(&table, type, x.bytes, n, seed);
    support_set_range(&table, type, x.bytes, n);
    want_sums(&table, &tile, &wanted);
    for (int v = 0; v < SUPPORT_NUM_VARIANTS; v += 2) {
        struct engine engine;
        if (!support_open(&engine, v))
            continue;
        check_backend(&engine, &table, &tile, &wanted, &first);
        engine_close(&engine);
    }
    guarded_close(&x);
}

static void test_level_looked_up_wrongly(void **state)
{
    (void)state;
    static const int ks[] = {1, 2, 5, 8, 9, 16, 17, 32, 61, 128, 200, 256};
    int turn = 0;
    for (int shape = 0; shape < NUM_SHAPES; shape++) {
        for (size_t i = 0; i < sizeof ks / sizeof *ks; i++, turn++) {
            struct level_table table = make_table((enum shape)shape, ks[i], turn);
            check_table(&table, ELEMENT_F64, 1003, (uint64_t)turn);
            check_table(&table, ELEMENT_F32, 1003, (uint64_t)turn);
            check_table(&table, turn % 2 ? ELEMENT_F16 : ELEMENT_BF16, 509, (uint64_t)turn);
        }
    }
}

/* Sums of a block that is all in one level reach the most that a word of sums.h may hold. */
static void test_full_block_of_one_level_overflows(void **state)
{
    (void)state;
    static const int ks[] = {1, 8, 16, 256};
    double *x = malloc((size_t)QO_BLOCK * sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < 4; i++) {
        struct level_table table = make_table(SHAPE_EVEN, ks[i], 0);
        struct tile tile = {ELEMENT_F64, x, QO_BLOCK, 0};
        /* As far from the level as the range goes, so that each residual is 2^40 or just below. */
        double away = ldexp(1, 20);
        for (int64_t n = 0; n < QO_BLOCK; n++)
            x[n] = table.level[ks[i] - 1] + away;
        support_set_range(&table, ELEMENT_F64, x, QO_BLOCK);
        for (int v = 0; v < SUPPORT_NUM_VARIANTS; v++) {
            struct engine engine;
            struct assign_totals got = {0};
            struct wanted wanted;
            if (!support_open(&engine, v))
                continue;
            want_sums(&table, &tile, &wanted);
            assert_true(wanted.residual[ks[i] - 1] >= (__int128)QO_BLOCK << 39);
            assert_int_equal(engine.kernels->assign(&engine, &tile, &table, &got), QO_OK);
            check_sums(&got, &wanted);
            engine_close(&engine);
        }
    }
    free(x);
}

#define NUM_TABLES 13

/* Tables of all shapes and sizes, whose scales fit x[n]. */
static void make_tables(struct level_table *table, enum element_type type, const void *x, int64_t n)
{
    for (int q = 0; q < NUM_TABLES; q++) {
        table[q] = make_table((enum shape)(q % NUM_SHAPES), q % 3 ? 1 + 21 * q : 1 << q % 9, q);
        support_set_range(&table[q], type, x, n);
    }
}

/* Scores in one walk, or in tiles of a block, must be what encode finds for each table. */
static void check_scores(struct engine *engine, const struct tile *tile,
                         const struct level_table *table, const struct encode_totals *wanted)
{
    struct encode_totals whole[NUM_TABLES] = {{0}}, cut[NUM_TABLES] = {{0}};
    struct tile none = {tile->type, tile->x, 0, 0};
    /* Fewer first: the room for them must grow. */
    assert_int_equal(engine->kernels->score(engine, &none, table, 2, cut), QO_OK);
    assert_int_equal(engine->kernels->score(engine, tile, table, NUM_TABLES, whole), QO_OK);
    for (int64_t i = 0; i < tile->n; i += QO_BLOCK) {
        int64_t n = tile->n - i < QO_BLOCK ? tile->n - i : QO_BLOCK;
        const char *x = (const char *)tile->x + i * (int64_t)element_size(tile->type);
        struct tile piece = {tile->type, x, n, i};
        assert_int_equal(engine->kernels->score(engine, &piece, table, NUM_TABLES, cut), QO_OK);
    }
    assert_memory_equal(whole, wanted, sizeof whole);
    assert_memory_equal(cut, wanted, sizeof cut);
}

static void test_score_differs_from_encode(void **state)
{
    (void)state;
    static const int64_t n = 2 * QO_BLOCK + 4097;
    struct level_table *table = malloc(NUM_TABLES * sizeof *table);
    struct encode_totals *wanted = malloc(NUM_TABLES * sizeof *wanted);
    uint8_t *codes = malloc((size_t)n);
    assert_true(table && wanted && codes);
    for (int type = 0; type < ELEMENT_NUM_TYPES; type++) {
        struct guarded x = guarded_open((size_t)n * element_size((enum element_type)type));
        struct tile tile = {(enum element_type)type, x.bytes, n, 0};
        support_fill(KIND_NORMAL, tile.type, x.bytes, n, NULL, 0, 17);
        fill_near(&(struct level_table){.k = 1}, tile.type, x.bytes, 99, 18);
        make_tables(table, tile.type, x.bytes, n);
        for (int v = 0; v < SUPPORT_NUM_VARIANTS; v++) {
            struct engine engine;
            if (!support_open(&engine, v))
                continue;
            for (int q = 0; q < NUM_TABLES && v == 0; q++) {
                wanted[q] = (struct encode_totals){.num_outliers = 0};
                assert_int_equal(
                    engine.kernels->encode(&engine, &tile, &table[q], codes, &wanted[q]), QO_OK);
            }
            check_scores(&engine, &tile, table, wanted);
            engine_close(&engine);
        }
        guarded_close(&x);
    }
    free(table);
    free(wanted);
    free(codes);
}

/* Every allocation refused in turn: score says so and can be tried again on the same engine. */
static void test_refused_room_is_used(void **state)
{
    (void)state;
    float x[100];
    struct engine engine;
    struct tile tile = {ELEMENT_F32, x, 100, 0};
    struct level_table table[2] = {make_table(SHAPE_EVEN, 8, 0), make_table(SHAPE_EVEN, 100, 0)};
    enum status status = QO_NO_MEMORY;
    int call = 0;
    support_fill(KIND_NORMAL, ELEMENT_F32, x, 100, NULL, 0, 5);
    assert_int_equal(engine_open(&engine, BACKEND_CPU, 2), QO_OK);
    while (status != QO_OK && call < 20) {
        struct encode_totals totals[2] = {{0}};
        char plan[16];
        snprintf(plan, sizeof plan, "%d", ++call);
        setenv("QUANTOPT_FAULT", plan, 1);
        fault_setup(0);
        status = engine.kernels->score(&engine, &tile, table, 2, totals);
        assert_true(status == QO_OK || status == QO_NO_MEMORY);
    }
    setenv("QUANTOPT_FAULT", "0", 1);
    fault_setup(0);
    unsetenv("QUANTOPT_FAULT");
    engine_close(&engine);
    assert_int_equal(call, 4); /* three are refused */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_level_looked_up_wrongly),
        cmocka_unit_test(test_full_block_of_one_level_overflows),
        cmocka_unit_test(test_score_differs_from_encode),
        cmocka_unit_test(test_refused_room_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
