/* SPDX-License-Identifier: Apache-2.0 */
/* Where cells lie: what a plan must hold for any vector, and how finely it resolves difficult ones.
 */
#include <float.h>

#include "fault.h"
#include "solve_fixture.h"

/* Vectors that a plan could fail on; element i of kind c. */
enum kind {
    NORMAL,
    NARROW,
    TWO_PEAKS,
    FILLS,
    SPARSE,
    CAUCHY,
    LOGNORMAL,
    INTEGERS,
    WILD,
    HUGE_ONES,
    TINY_ONES,
    NUM_KINDS
};

static double draw(enum kind kind, struct dice *dice)
{
    double z = dice_normal(dice), u = dice_uniform(dice);
    switch (kind) {
    case NARROW:
        return 300 + 0.001 * z;
    case TWO_PEAKS:
        return u < 0.5 ? 0.001 * z : 1e6 + 0.001 * z;
    case FILLS:
        return u < 0.1 ? 1e20 : z;
    case SPARSE:
        return u < 0.9 ? 0 : z;
    case CAUCHY:
        return z / dice_normal(dice);
    case LOGNORMAL:
        return exp(5 * z);
    case INTEGERS:
        return floor(1000 * z);
    case WILD:
        return u < 0.001 ? 1000 * z : z;
    case HUGE_ONES:
        return 1e308 * sin(z);
    case TINY_ONES: /* subnormal, of some ten bits */
        return 0x1p-1064 * z;
    default:
        return z;
    }
}

/* More than a sample, so that most elements are not seen by the plan. */
enum { LARGE = 300000 };

static double *new_vector(enum kind kind, enum element_type type)
{
    struct dice dice = {1 + (uint64_t)kind};
    double *x = new_array(LARGE, sizeof *x);
    for (int i = 0; i < LARGE; i++)
        x[i] = draw(kind, &dice);
    round_to(type, x, LARGE);
    return x;
}

/* What cell_map_init asks for, and the limit on memory. */
static void check_map(const struct cell_map *map)
{
    assert_true(map->low[0] == 0);
    assert_in_range(map->num_cells, 1, 80000);
    for (int64_t i = 1; i < map->num_cells; i++)
        assert_true(map->low[i] > map->low[i - 1]);
    uint64_t binade = cell_map_binade(map->type);
    for (uint64_t j = 0; j <= element_last_key(map->type) / binade; j++)
        assert_true(map->low[cell_map_find(map, j * binade)] == j * binade);
}

/* From one element to more than a sample. */
static void test_cells_cross_binades(void **state)
{
    (void)state;
    for (enum kind kind = NORMAL; kind < NUM_KINDS; kind++) {
        for (enum element_type type = ELEMENT_F32; type <= ELEMENT_F64; type++) {
            if (kind >= HUGE_ONES && type == ELEMENT_F32)
                continue;
            double *x = new_vector(kind, type);
            for (int64_t n = 1; n <= LARGE; n *= 60) { /* whole, whole, whole, sampled */
                struct histogram histogram = new_histogram(type, x, n);
                check_map(&histogram.map);
                histogram_clear(&histogram);
            }
            free(x);
        }
    }
}

static void test_16_bit_keys_share_cells(void **state)
{
    (void)state;
    struct cell_map map;
    uint64_t key[1] = {12345};
    for (enum element_type type = ELEMENT_F16; type <= ELEMENT_BF16; type++) {
        assert_int_equal(QO_OK, histogram_plan(&map, type, key, 1, true));
        assert_int_equal(65536, map.num_cells);
        for (uint64_t i = 0; i < 65536; i++)
            assert_true(map.low[i] == i && cell_map_find(&map, i) == (int64_t)i);
        cell_map_clear(&map);
    }
}

/* The certificate of a small vector is exact only if no cell has two values. */
static void test_distinct_values_share_a_cell_of_a_whole_vector(void **state)
{
    (void)state;
    const double nasty[] = {0.0,     -0.0,     5e-324, -5e-324, DBL_MIN,
                            DBL_MAX, -DBL_MAX, 1,      -1,      0x1.0000000000001p+0};
    for (enum kind kind = NORMAL; kind < NUM_KINDS; kind++) {
        double *x = new_vector(kind, ELEMENT_F64);
        memcpy(x, nasty, sizeof nasty);
        struct histogram histogram = new_histogram(ELEMENT_F64, x, HISTOGRAM_SAMPLE);
        for (int64_t i = 0; i < histogram.map.num_cells; i++)
            assert_true(histogram_is_single(&histogram.cells[i]));
        histogram_clear(&histogram);
        free(x);
    }
}

/* The cell of a fill, of zeros among numbers, and of one integer among many. */
static void test_repeated_value_shares_a_cell(void **state)
{
    (void)state;
    const struct {
        enum kind kind;
        double value;
    } cases[] = {{FILLS, 1e20}, {SPARSE, 0}, {INTEGERS, 17}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        double *x = new_vector(cases[c].kind, ELEMENT_F64);
        struct histogram histogram = new_histogram(ELEMENT_F64, x, LARGE);
        uint64_t key = key_of(ELEMENT_F64, cases[c].value);
        int64_t cell = cell_map_find(&histogram.map, key);
        assert_true(histogram.map.low[cell] == key && histogram.map.low[cell + 1] == key + 1);
        histogram_clear(&histogram);
        free(x);
    }
}

/* Root mean square distance of the elements within +-bound of `centre` from the means of their
 * cells, computed from the elements. */
static double blur(const struct histogram *histogram, const double *x, double centre, double bound)
{
    int64_t n = histogram->map.num_cells, count = 0;
    double *sum = new_array(n, sizeof *sum), *number = new_array(n, sizeof *number), squares = 0;
    for (int i = 0; i < LARGE; i++) {
        int64_t cell = cell_map_find(&histogram->map, key_of(histogram->map.type, x[i]));
        sum[cell] += x[i] - centre;
        number[cell]++;
    }
    for (int i = 0; i < LARGE; i++) {
        int64_t cell = cell_map_find(&histogram->map, key_of(histogram->map.type, x[i]));
        double d = x[i] - centre - sum[cell] / number[cell];
        if (fabs(x[i] - centre) <= bound) {
            squares += d * d;
            count++;
        }
    }
    free(sum);
    free(number);
    return sqrt(squares / (double)count);
}

/*
 * With N cells placed by density^(1/3) a normal vector's blur is sqrt(32.6 / 12) / N, 3.4e-5
 * standard deviations for 49,000 cells (Panter and Dite); a bound of 5e-5 leaves room for the
 * sample's noise and fails for any plan that spends its cells elsewhere. The others have the same
 * bulk, and share cells with peaks, fills, zeros or outliers; these get what is theirs by density,
 * so the bounds differ.
 */
static void test_bulk_gets_too_few_cells(void **state)
{
    (void)state;
    const struct {
        enum kind kind;
        double centre, bound, limit;
    } cases[] = {{NORMAL, 0, 10, 5e-5},       {NARROW, 300, 1, 5e-8}, {TWO_PEAKS, 0, 1, 1.5e-7},
                 {TWO_PEAKS, 1e6, 1, 1.5e-7}, {FILLS, 0, 10, 5e-5},   {SPARSE, 0, 10, 5e-5},
                 {INTEGERS, 0, 3000, 1e-9},   {WILD, 0, 3, 5e-4},     {CAUCHY, 0, 3, 1e-3}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        double *x = new_vector(cases[c].kind, ELEMENT_F64);
        struct histogram histogram = new_histogram(ELEMENT_F64, x, LARGE);
        double is = blur(&histogram, x, cases[c].centre, cases[c].bound);
        if (!(is <= cases[c].limit))
            fail_msg("kind %d: blur %g > %g", cases[c].kind, is, cases[c].limit);
        histogram_clear(&histogram);
        free(x);
    }
}

/* Whether a cell is dyadic: 2^s keys from a multiple of 2^s on. */
static bool is_dyadic(const struct cell_map *map, int64_t cell)
{
    uint64_t end = cell + 1 < map->num_cells ? map->low[cell + 1] : 0, low = map->low[cell];
    return ((end - low) & (end - low - 1)) == 0 && (low & (end - low - 1)) == 0;
}

/* A walk finds dyadic cells by a shift; float32 offsets beyond 15 bits cost it more, too. Repeated
 * values and the elements next to them, to gaps and to the ends may lie in other cells. */
static void test_most_elements_are_slow_to_find(void **state)
{
    (void)state;
    const enum kind kinds[] = {NORMAL, NARROW, TWO_PEAKS, FILLS, SPARSE, CAUCHY, LOGNORMAL, WILD};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (enum element_type type = ELEMENT_F32; type <= ELEMENT_F64; type++) {
            double *x = new_vector(kinds[k], type);
            struct histogram histogram = new_histogram(type, x, LARGE);
            const struct cell_map *map = &histogram.map;
            int slow = 0;
            for (int i = 0; i < LARGE; i++) {
                int64_t cell = cell_map_find(map, key_of(type, x[i]));
                uint64_t width = map->low[cell + 1] - map->low[cell];
                slow += !is_dyadic(map, cell) || (type == ELEMENT_F32 && width > 32768);
            }
            if (slow > LARGE / 100)
                fail_msg("kind %d, type %d: %d of %d", kinds[k], type, slow, LARGE);
            histogram_clear(&histogram);
            free(x);
        }
    }
}

/* An adversary's sample: 5,000 clusters of deviation 1e-6, each with some 13 elements in the
 * sample, and gaps of 1 between. Ten cells a cluster are to be had; with cells in the gaps the blur
 * is 0.1. */
static void test_gaps_take_all_cells(void **state)
{
    (void)state;
    struct dice dice = {99};
    double *x = new_array(LARGE, sizeof *x);
    for (int i = 0; i < LARGE; i++)
        x[i] = floor(5000 * dice_uniform(&dice)) + 1e-6 * dice_normal(&dice);
    struct histogram histogram = new_histogram(ELEMENT_F64, x, LARGE);
    check_map(&histogram.map);
    double is = blur(&histogram, x, 2500, 3000);
    if (!(is < 5e-7))
        fail_msg("blur %g", is);
    histogram_clear(&histogram);
    free(x);
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* A vector that is known as a whole has one cell for each of its keys, however often it occurs, and
 * one for the rest of each binade; also where a key begins a binade, and where the keys differ in
 * one byte only. */
static void test_whole_vector_loses_or_repeats_a_cell(void **state)
{
    (void)state;
    enum { MOST = 3000 };
    for (enum element_type type = ELEMENT_F32; type <= ELEMENT_F64; type++) {
        for (int n = 1; n <= MOST; n = 3 * n + 1) {
            struct dice dice = {(uint64_t)n};
            uint64_t key[MOST], binade = cell_map_binade(type), last = element_last_key(type);
            struct cell_map map;
            int64_t distinct = (int64_t)(last / binade) + 1;
            for (int i = 0; i < n; i++) {
                double x = i % 3 ? dice_normal(&dice) : floor(8 * dice_uniform(&dice)) / 4;
                key[i] = key_of(type, n == 13 ? 1 + 0x1p-20 * (i % 7) : x);
            }
            uint64_t *sorted = new_array(n, sizeof *sorted);
            memcpy(sorted, key, (size_t)n * sizeof *sorted);
            qsort(sorted, (size_t)n, sizeof *sorted, compare_keys);
            for (int i = 0; i < n; i++)
                distinct += sorted[i] % binade != 0 && (i == 0 || sorted[i] != sorted[i - 1]);
            assert_int_equal(QO_OK, histogram_plan(&map, type, key, n, true));
            check_map(&map);
            assert_int_equal(map.num_cells, distinct);
            for (int i = 0; i < n; i++)
                assert_true(map.low[cell_map_find(&map, sorted[i])] == sorted[i]);
            cell_map_clear(&map);
            free(sorted);
        }
    }
}

static void test_plan_of_nothing(void **state)
{
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        for (enum element_type type = ELEMENT_F32; type <= ELEMENT_F64; type++) {
            struct cell_map map;
            assert_int_equal(QO_OK, histogram_plan(&map, type, NULL, 0, whole));
            check_map(&map);
            cell_map_clear(&map);
        }
    }
}

/* Each allocation fails once; no map may be left, nor memory lost (the sanitizer looks). */
static void test_memory_failure_leaves_a_map(void **state)
{
    (void)state;
    int failures = 0;
    for (enum status status = QO_NO_MEMORY; status != QO_OK; failures++) {
        char call[12];
        struct cell_map map;
        uint64_t key[100];
        for (uint64_t i = 0; i < 100; i++)
            key[i] = key_of(ELEMENT_F32, (double)i);
        snprintf(call, sizeof call, "%d", failures + 1);
        setenv("QUANTOPT_FAULT", call, 1);
        fault_setup(0);
        status = histogram_plan(&map, ELEMENT_F32, key, 100, false);
        setenv("QUANTOPT_FAULT", "0", 1);
        fault_setup(0);
        assert_true(status == QO_OK || status == QO_NO_MEMORY);
        assert_true(status == QO_OK || (map.low == NULL && map.bucket == NULL));
        cell_map_clear(&map);
    }
    assert_in_range(failures, 4, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells_cross_binades),
        cmocka_unit_test(test_16_bit_keys_share_cells),
        cmocka_unit_test(test_distinct_values_share_a_cell_of_a_whole_vector),
        cmocka_unit_test(test_repeated_value_shares_a_cell),
        cmocka_unit_test(test_bulk_gets_too_few_cells),
        cmocka_unit_test(test_most_elements_are_slow_to_find),
        cmocka_unit_test(test_gaps_take_all_cells),
        cmocka_unit_test(test_whole_vector_loses_or_repeats_a_cell),
        cmocka_unit_test(test_plan_of_nothing),
        cmocka_unit_test(test_memory_failure_leaves_a_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
