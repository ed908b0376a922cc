/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "fault.h"

/* engine_open's answers, level_table_init's promises, and what happens where there is no memory. */

static const struct keep keep_all = {-INFINITY, INFINITY, 0, {0, 0}};

static void test_missing_backend_does_not_say_so(void **state)
{
    (void)state;
    struct engine engine;
    if (engine_supports(BACKEND_CUDA))
        skip();
    status_clear();
    assert_int_equal(engine_open(&engine, BACKEND_CUDA, 1), QO_UNAVAILABLE);
    const char *text = status_text(), *reason = "--device cuda: ", *remedy = "; use --device cpu";
    assert_memory_equal(text, reason, strlen(reason));
    assert_string_equal(text + strlen(text) - strlen(remedy), remedy);
    assert_true(strlen(text) > strlen(reason) + strlen(remedy) + 8);
    engine_close(&engine);
    engine_close(&engine);
}

static void test_environment_ignored(void **state)
{
    (void)state;
    static const char *const names[] = {"portable", "avx2", "avx512"};
    for (int i = 0; i < 3; i++) {
        struct engine engine;
        enum backend backend = (enum backend)(BACKEND_PORTABLE + i);
        setenv("QUANTOPT_SIMD", names[i], 1);
        enum status status = engine_open(&engine, BACKEND_CPU, 2);
        assert_int_equal(status, engine_supports(backend) ? QO_OK : QO_UNAVAILABLE);
        if (status == QO_OK) {
            assert_string_equal(engine.kernels->name, names[i]);
            assert_int_equal(engine.threads, 2);
        }
        engine_close(&engine);
    }
    unsetenv("QUANTOPT_SIMD");
}

static void test_unknown_simd_level_falls_back(void **state)
{
    (void)state;
    struct engine engine;
    setenv("QUANTOPT_SIMD", "sse9", 1);
    assert_int_equal(engine_open(&engine, BACKEND_CPU, 1), QO_USAGE);
    assert_non_null(strstr(status_text(), "sse9"));
    engine_close(&engine);
    unsetenv("QUANTOPT_SIMD");
}

static void test_default_is_not_the_best_level(void **state)
{
    (void)state;
    struct engine engine;
    const char *best = engine_supports(BACKEND_AVX512) ? "avx512"
                       : engine_supports(BACKEND_AVX2) ? "avx2"
                                                       : "portable";
    unsetenv("QUANTOPT_SIMD");
    assert_int_equal(engine_open(&engine, BACKEND_CPU, 1), QO_OK);
    assert_string_equal(engine.kernels->name, best);
    engine_close(&engine);
}

/* One walk with everything that allocates; QO_OK or QO_NO_MEMORY. */
static enum status measure_once(const struct cell_map *map, struct measure_totals *totals)
{
    float x[100];
    struct engine engine;
    struct tile tile = {ELEMENT_F32, x, 100, 0};
    support_fill(KIND_NORMAL, ELEMENT_F32, x, 100, NULL, 0, 5);
    enum status status = engine_open(&engine, BACKEND_CPU, 2);
    if (status == QO_OK)
        status = engine.kernels->measure(&engine, &tile, &keep_all, map, totals);
    engine_close(&engine);
    return status;
}

static void test_refused_memory_is_not_survived(void **state)
{
    (void)state;
    uint64_t low[512];
    struct cell cells[512] = {0};
    struct cell_map map;
    struct measure_totals totals;
    enum status status = QO_NO_MEMORY;
    int call = 0;
    for (uint64_t i = 0; i < 512; i++)
        low[i] = i << 23;
    assert_int_equal(cell_map_init(&map, ELEMENT_F32, low, 512, 0, low[511]), QO_OK);
    while (status != QO_OK && call < 100) {
        char plan[16];
        snprintf(plan, sizeof plan, "%d", ++call);
        setenv("QUANTOPT_FAULT", plan, 1);
        fault_setup(0);
        memset(cells, 0, sizeof cells);
        measure_totals_init(&totals, cells);
        status = measure_once(&map, &totals);
        assert_true(status == QO_OK || status == QO_NO_MEMORY);
    }
    setenv("QUANTOPT_FAULT", "0", 1);
    fault_setup(0);
    unsetenv("QUANTOPT_FAULT");
    assert_true(call > 5 && call < 100); /* five for the engine, others for the walk */
    assert_int_equal(totals.num_measured, 100);
    cell_map_clear(&map);
}

/* Checks one scale: a power of two, residuals within 2^FIXED_BITS, and the largest such. */
static void check_scale(double scale, double residual)
{
    int exponent;
    assert_true(frexp(scale, &exponent) == 0.5);
    if (residual == 0) {
        assert_true(scale == 1);
        return;
    }
    assert_true(residual * scale <= 0x1p40);
    assert_true(scale == 0x1p1023 || residual * scale > 0x1p39);
}

static void test_scale_lets_residuals_out_or_wastes_bits(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int round = 0; round < 2000; round++) {
        struct level_table table;
        double level[8],
            size = ldexp(1 + support_uniform(&seed), (int)(support_random(&seed) % 2000) - 1000);
        for (int i = 0; i < 8; i++)
            level[i] = size * (i - 3.5 + 0.5 * support_uniform(&seed));
        double min = size * -5 * support_uniform(&seed), max = size * 5 * support_uniform(&seed);
        level_table_init(&table, 3, level, 8, &keep_all, min, max);
        for (int i = 0; i < 8; i++) {
            double first = i > 0 && table.cut[i - 1] > min ? table.cut[i - 1] : min;
            double last = i < 7 && table.cut[i] < max ? table.cut[i] : max;
            double most = fmax(fabs(first - level[i]), fabs(last - level[i]));
            check_scale(table.scale[i], first <= last ? most : 0);
        }
    }
}

static void test_scale_of_extremes_is_wrong(void **state)
{
    (void)state;
    static const double residual[] = {0x1p40,   0x1.8p40, 1,         0x1.fffffffffffffp0,
                                      0x1p-983, 0x1p-982, 0x1p-1022, 0x1p-1074,
                                      DBL_MAX,  3,        0x1p1023};
    for (size_t i = 0; i < sizeof residual / sizeof *residual; i++) {
        struct level_table table;
        double level = 0;
        level_table_init(&table, 1, &level, 1, &keep_all, 0, residual[i]);
        check_scale(table.scale[0], residual[i]);
    }
}

static void test_cut_between_huge_levels_overflows(void **state)
{
    (void)state;
    struct level_table table;
    double level[3] = {-DBL_MAX, 0.9 * DBL_MAX, DBL_MAX};
    level_table_init(&table, 2, level, 3, &keep_all, -DBL_MAX, DBL_MAX);
    assert_true(isfinite(table.cut[0]) && isfinite(table.cut[1]));
    assert_true(table.cut[1] > level[1] && table.cut[1] < level[2]);
    assert_int_equal(table.k, 3);
    assert_int_equal(table.bits, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_backend_does_not_say_so),
        cmocka_unit_test(test_environment_ignored),
        cmocka_unit_test(test_unknown_simd_level_falls_back),
        cmocka_unit_test(test_default_is_not_the_best_level),
        cmocka_unit_test(test_refused_memory_is_not_survived),
        cmocka_unit_test(test_scale_lets_residuals_out_or_wastes_bits),
        cmocka_unit_test(test_scale_of_extremes_is_wrong),
        cmocka_unit_test(test_cut_between_huge_levels_overflows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
