/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

/*
 * assign, encode, collect and decode against plain truth: all element types, SIMD levels, threads,
 * bit widths, sizes around vectors, chunks and blocks, and nasty values; every buffer ends at a
 * guard page.
 */

struct example {
    enum element_type type;
    int64_t n;
    struct guarded x;
    struct level_table table;
};

/* Levels of an example: k of them, uneven, some far away where `wild`. */
static int make_levels(double *level, int k, bool wild, uint64_t *seed)
{
    double at = -3.5;
    for (int i = 0; i < k; i++) {
        level[i] = at;
        at += (0.25 + support_uniform(seed)) * 7.0 / k;
    }
    if (wild && k > 4) {
        level[0] = -0.7 * DBL_MAX;
        level[1] = -1e30;
        level[k - 1] = 0.9 * DBL_MAX;
    }
    return k;
}

/* Values that must be met exactly, and their neighbours in the element type. */
static int special_values(const struct level_table *table, enum element_type type, double *special)
{
    int count = 0;
    double at[2 * QO_MAX_LEVELS + 4];
    for (int i = 0; i < table->k; i++)
        at[count++] = table->level[i];
    for (int i = 0; i + 1 < table->k; i++)
        at[count++] = table->cut[i];
    at[count++] = table->keep.lo;
    at[count++] = table->keep.hi;
    at[count++] = table->keep.fill[0];
    int total = 0;
    for (int i = 0; i < count; i++) {
        uint64_t key = element_key(type, element_from_double(type, at[i]));
        for (int step = -1; step <= 1; step++)
            special[total++] = element_value(type, element_unkey(type, key + (uint64_t)step));
    }
    return total;
}

static struct example example_open(enum element_type type, int64_t n, enum kind kind, int bits,
                                   int k, uint64_t seed)
{
    struct example e = {.type = type, .n = n, .x = guarded_open((size_t)n * element_size(type))};
    struct keep keep = {-INFINITY, INFINITY, 0, {0, 0}};
    double level[QO_MAX_LEVELS], special[6 * QO_MAX_LEVELS + 12];
    make_levels(level, k, seed % 3 == 0, &seed);
    if (seed % 2) {
        keep.lo = -2.1;
        keep.hi = 2.0000000001;
    }
    if (seed % 4 == 1) {
        keep.num_fills = 2;
        keep.fill[0] = element_value(type, element_from_double(type, 0.75));
    }
    /* -0.0 as a fill must catch +0.0 */
    keep.fill[1] = -0.0;
    level_table_init(&e.table, bits, level, k, &keep, -4, 4);
    int num_special = special_values(&e.table, type, special);
    support_fill(kind, type, e.x.bytes, n, special, num_special, seed);
    support_set_range(&e.table, type, e.x.bytes, n);
    return e;
}

static struct tile whole(const struct example *e)
{
    return (struct tile){e->type, e->x.bytes, e->n, 0};
}

/* What assign and encode must give. */
struct expected {
    int64_t num_outliers;
    int64_t count[QO_MAX_LEVELS];
    __int128 residual[QO_MAX_LEVELS];
    double max_error;
    int64_t num_infinite;
    mpz_t error;
    uint8_t *codes;
    int64_t num_bytes;
};

static void expect_block(const struct example *e, int64_t begin, struct expected *want)
{
    double lane[QO_LANES] = {0};
    int bits = e->table.bits;
    for (int64_t i = begin; i < e->n && i < begin + QO_BLOCK; i++) {
        struct truth t = truth_of(&e->table, e->type, e->x.bytes, i);
        for (int b = 0; b < bits; b++)
            want->codes[(i * bits + b) / 8] |= (uint8_t)((t.code >> b & 1) << (i * bits + b) % 8);
        if (!t.kept) {
            want->num_outliers++;
            continue;
        }
        double error = t.x - e->table.level[t.code];
        double fixed = nearbyint(error * e->table.scale[t.code]);
        lane[i % QO_LANES] += error * error;
        want->count[t.code]++;
        want->residual[t.code] += (__int128)fixed;
        want->max_error = fmax(want->max_error, fabs(error));
    }
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    if (isfinite(lane[0]))
        truth_add_exact(want->error, lane[0]);
    want->num_infinite += !isfinite(lane[0]);
}

static struct expected expect(const struct example *e)
{
    struct expected want = {.num_bytes = (e->n * e->table.bits + 7) / 8};
    want.codes = calloc((size_t)want.num_bytes + 1, 1);
    assert_non_null(want.codes);
    mpz_init(want.error);
    for (int64_t b = 0; b < e->n; b += QO_BLOCK)
        expect_block(e, b, &want);
    return want;
}

static void expected_clear(struct expected *want)
{
    mpz_clear(want->error);
    free(want->codes);
}

static void check_assign(struct engine *engine, const struct example *e,
                         const struct expected *want)
{
    struct assign_totals got = {0};
    struct tile tile = whole(e);
    assert_int_equal(engine->kernels->assign(engine, &tile, &e->table, &got), QO_OK);
    assert_int_equal(got.num_outliers, want->num_outliers);
    assert_memory_equal(got.count, want->count, sizeof got.count);
    for (int i = 0; i < e->table.k; i++) {
        assert_true(got.residual[i].low == (uint64_t)want->residual[i]);
        assert_true(got.residual[i].high == (int64_t)(want->residual[i] >> 64));
    }
    assert_true(truth_is_sum(&got.error, want->error));
    assert_int_equal(got.error.num_infinite, want->num_infinite);
}

static void check_encode(struct engine *engine, const struct example *e,
                         const struct expected *want)
{
    struct guarded codes = guarded_open((size_t)want->num_bytes);
    struct encode_totals got = {0};
    struct tile tile = whole(e);
    memset(codes.bytes, 0xa5, (size_t)want->num_bytes);
    assert_int_equal(engine->kernels->encode(engine, &tile, &e->table, codes.bytes, &got), QO_OK);
    assert_memory_equal(codes.bytes, want->codes, (size_t)want->num_bytes);
    assert_int_equal(got.num_outliers, want->num_outliers);
    assert_true(got.max_error == want->max_error);
    assert_true(truth_is_sum(&got.error, want->error));
    assert_int_equal(got.error.num_infinite, want->num_infinite);
    guarded_close(&codes);
}

/* Checks the outliers of elements begin to end against a list of them. */
static void check_list(const struct example *e, const struct outlier_list *list, int64_t begin,
                       int64_t end)
{
    int64_t at = 0;
    for (int64_t i = begin; i < end; i++) {
        if (truth_of(&e->table, e->type, e->x.bytes, i).kept)
            continue;
        assert_true(at < list->count);
        assert_int_equal(list->index[at], i);
        assert_true(element_bits(e->type, list->value, at) == element_bits(e->type, e->x.bytes, i));
        at++;
    }
    assert_int_equal(at, list->count);
}

static void check_collect(struct engine *engine, const struct example *e, int64_t capacity)
{
    struct guarded index = guarded_open((size_t)capacity * 8);
    struct guarded value = guarded_open((size_t)capacity * element_size(e->type));
    struct tile tile = whole(e);
    for (int64_t position = 0, begin = 0; begin < e->n; begin = position) {
        struct outlier_list list = {capacity, 0, index.bytes, value.bytes};
        assert_int_equal(engine->kernels->collect(engine, &tile, &e->table, &position, &list),
                         QO_OK);
        assert_true(position > begin);
        assert_true(position == e->n || list.count == capacity);
        check_list(e, &list, begin, position);
    }
    guarded_close(&index);
    guarded_close(&value);
}

static void check_decode(struct engine *engine, const struct example *e,
                         const struct expected *want)
{
    size_t size = element_size(e->type);
    struct guarded codes = guarded_open((size_t)want->num_bytes);
    struct guarded x = guarded_open((size_t)e->n * size);
    memcpy(codes.bytes, want->codes, (size_t)want->num_bytes);
    assert_int_equal(
        engine->kernels->decode(engine, codes.bytes, e->n, &e->table, e->type, x.bytes), QO_OK);
    for (int64_t i = 0; i < e->n; i++) {
        struct truth t = truth_of(&e->table, e->type, e->x.bytes, i);
        uint64_t bits = element_from_double(e->type, e->table.level[t.code]);
        assert_true(element_bits(e->type, x.bytes, i) == bits);
    }
    guarded_close(&codes);
    guarded_close(&x);
}

static void check_example(struct example *e)
{
    struct expected want = expect(e);
    for (int v = 0; v < SUPPORT_NUM_VARIANTS; v++) {
        struct engine engine;
        if (!support_open(&engine, v))
            continue;
        struct tile tile = whole(e);
        support_hold(&engine, &tile);
        check_assign(&engine, e, &want);
        check_encode(&engine, e, &want);
        check_collect(&engine, e, e->n / 3 + 1);
        check_decode(&engine, e, &want);
        engine.kernels->release(&engine, &tile);
        engine_close(&engine);
    }
    expected_clear(&want);
    guarded_close(&e->x);
}

static void test_small_tiles_differ_from_truth(void **state)
{
    static const int sizes[] = {0,  1,  2,  7,  8,   9,    15,   16,   17,   31,
                                33, 63, 64, 65, 127, 1000, 1023, 1024, 1025, 2111};
    (void)state;
    uint64_t seed = 1;
    for (int type = 0; type < ELEMENT_NUM_TYPES; type++) {
        for (int s = 0; s < (int)(sizeof sizes / sizeof *sizes); s++) {
            for (int bits = 1; bits <= 8; bits++) {
                enum kind kind = (enum kind)(seed % NUM_KINDS);
                int k = seed % 5 < 3 ? 1 << bits : 1 + (int)(seed * 7 % (1u << bits));
                struct example e =
                    example_open((enum element_type)type, sizes[s], kind, bits, k, seed++);
                check_example(&e);
            }
        }
    }
}

static void test_nasty_values_differ_from_truth(void **state)
{
    (void)state;
    for (int type = 0; type < ELEMENT_NUM_TYPES; type++) {
        for (uint64_t seed = 0; seed < 48; seed++) {
            int bits = 1 + (int)(seed % 8),
                k = seed % 5 ? 1 << bits : (1 << bits) - (1 << bits) / 3;
            enum kind kind = seed % 3 ? KIND_NASTY : KIND_BITS;
            struct example e =
                example_open((enum element_type)type, 5003, kind, bits, k, 100 + seed);
            check_example(&e);
        }
    }
}

static void test_block_boundary_shows(void **state)
{
    static const int64_t sizes[] = {QO_BLOCK - 1, QO_BLOCK, QO_BLOCK + 1, 3 * QO_BLOCK + 77};
    (void)state;
    uint64_t seed = 1000;
    for (int type = 0; type < ELEMENT_NUM_TYPES; type++) {
        for (int s = 0; s < 4; s++, seed++) {
            int bits = 1 + (int)(seed * 3 % 8);
            struct example e = example_open((enum element_type)type, sizes[s],
                                            (enum kind)(seed % NUM_KINDS), bits, 1 << bits, seed);
            check_example(&e);
        }
    }
}

/* The same vector as tiles of one or two blocks gives the same bits as in one piece. */
static void check_cut(struct engine *engine, const struct example *e, int64_t blocks)
{
    struct assign_totals one = {0}, many = {0};
    struct encode_totals whole_encoded = {0}, cut_encoded = {0};
    size_t bytes = (size_t)(e->n * e->table.bits + 7) / 8;
    struct guarded codes = guarded_open(bytes), pieces = guarded_open(bytes);
    struct tile tile = whole(e);
    assert_int_equal(engine->kernels->assign(engine, &tile, &e->table, &one), QO_OK);
    assert_int_equal(engine->kernels->encode(engine, &tile, &e->table, codes.bytes, &whole_encoded),
                     QO_OK);
    for (int64_t i = 0; i < e->n; i += blocks * QO_BLOCK) {
        int64_t n = e->n - i < blocks * QO_BLOCK ? e->n - i : blocks * QO_BLOCK;
        struct tile piece = {e->type, (char *)e->x.bytes + i * (int64_t)element_size(e->type), n,
                             i};
        uint8_t *to = (uint8_t *)pieces.bytes + i / 8 * e->table.bits;
        assert_int_equal(engine->kernels->assign(engine, &piece, &e->table, &many), QO_OK);
        assert_int_equal(engine->kernels->encode(engine, &piece, &e->table, to, &cut_encoded),
                         QO_OK);
    }
    assert_memory_equal(&one, &many, sizeof one);
    assert_memory_equal(&whole_encoded, &cut_encoded, sizeof cut_encoded);
    assert_memory_equal(codes.bytes, pieces.bytes, bytes);
    guarded_close(&codes);
    guarded_close(&pieces);
}

static void test_cut_into_tiles_changes_a_bit(void **state)
{
    (void)state;
    for (int type = 0; type < ELEMENT_NUM_TYPES; type++) {
        struct example e = example_open((enum element_type)type, 5 * QO_BLOCK + 4321, KIND_NORMAL,
                                        3, 8, 77 + (uint64_t)type);
        for (int v = 0; v < SUPPORT_NUM_VARIANTS; v++) {
            struct engine engine;
            if (!support_open(&engine, v))
                continue;
            check_cut(&engine, &e, 1);
            check_cut(&engine, &e, 2);
            engine_close(&engine);
        }
        guarded_close(&e.x);
    }
}

/* lo, hi and fill are compared as float64, also where float32 cannot hold them. */
static void test_bound_between_two_floats_keeps_the_wrong_one(void **state)
{
    (void)state;
    const float x[4] = {1.0f, nextafterf(1.0f, 2.0f), 2.0f, nextafterf(2.0f, 3.0f)};
    double level = 1.5;
    struct keep keep = {1.00000001, 2.00000001, 1, {2.0, 0}};
    struct level_table table;
    level_table_init(&table, 1, &level, 1, &keep, 1, 3);
    struct tile tile = {ELEMENT_F32, x, 4, 0};
    for (int v = 0; v < SUPPORT_NUM_VARIANTS; v++) {
        struct engine engine;
        struct encode_totals totals = {0};
        uint8_t codes;
        uint64_t index[4];
        float value[4];
        int64_t position = 0;
        struct outlier_list list = {4, 0, index, value};
        if (!support_open(&engine, v))
            continue;
        assert_int_equal(engine.kernels->encode(&engine, &tile, &table, &codes, &totals), QO_OK);
        assert_int_equal(totals.num_outliers,
                         3); /* 1 is below lo, 2 the fill, its neighbour above hi */
        assert_int_equal(engine.kernels->collect(&engine, &tile, &table, &position, &list), QO_OK);
        assert_int_equal(list.count, 3);
        assert_int_equal(index[0], 0);
        assert_int_equal(index[1], 2);
        assert_int_equal(index[2], 3);
        engine_close(&engine);
    }
}

/* Mean and std of nothing are NaN, and so are the bounds made of them: no element may pass. */
static void test_bound_that_is_nan_keeps_something(void **state)
{
    (void)state;
    const double x[3] = {0, INFINITY, NAN};
    const float single[3] = {0, INFINITY, NAN};
    double level = 0;
    struct keep keep = {NAN, NAN, 0, {0, 0}};
    struct level_table table;
    level_table_init(&table, 1, &level, 1, &keep, 1, 0);
    for (int v = 0; v < SUPPORT_NUM_VARIANTS; v++) {
        struct engine engine;
        struct encode_totals totals = {0};
        struct tile wide = {ELEMENT_F64, x, 3, 0}, narrow = {ELEMENT_F32, single, 3, 0};
        uint8_t codes;
        if (!support_open(&engine, v))
            continue;
        assert_int_equal(engine.kernels->encode(&engine, &wide, &table, &codes, &totals), QO_OK);
        assert_int_equal(engine.kernels->encode(&engine, &narrow, &table, &codes, &totals), QO_OK);
        assert_int_equal(totals.num_outliers, 6);
        engine_close(&engine);
    }
}

/* A damaged result file can hold codes beyond its levels: they decode as the last level, never as
 * stray memory. */
static void test_code_beyond_the_levels_reads_stray_memory(void **state)
{
    (void)state;
    double level[3] = {-1, 0, 5};
    struct keep keep = {-INFINITY, INFINITY, 0, {0, 0}};
    struct level_table table;
    uint8_t codes[8];
    memset(codes, 0xff, sizeof codes);
    for (int bits = 2; bits <= 8; bits++) {
        level_table_init(&table, bits, level, 3, &keep, -1, 5);
        for (int v = 0; v < SUPPORT_NUM_VARIANTS; v++) {
            struct engine engine;
            double x[8];
            float single[8];
            if (!support_open(&engine, v))
                continue;
            assert_int_equal(engine.kernels->decode(&engine, codes, 8, &table, ELEMENT_F64, x),
                             QO_OK);
            assert_int_equal(engine.kernels->decode(&engine, codes, 8, &table, ELEMENT_F32, single),
                             QO_OK);
            for (int i = 0; i < 8; i++)
                assert_true(x[i] == 5 && single[i] == 5);
            engine_close(&engine);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_tiles_differ_from_truth),
        cmocka_unit_test(test_nasty_values_differ_from_truth),
        cmocka_unit_test(test_block_boundary_shows),
        cmocka_unit_test(test_cut_into_tiles_changes_a_bit),
        cmocka_unit_test(test_bound_between_two_floats_keeps_the_wrong_one),
        cmocka_unit_test(test_bound_that_is_nan_keeps_something),
        cmocka_unit_test(test_code_beyond_the_levels_reads_stray_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
