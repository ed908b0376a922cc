/* SPDX-License-Identifier: Apache-2.0 */
/* Finer cells around the cuts of quantizers: what must stay as it was, what must be cut, and how
 * soon the certificate is good enough. */
#include "optimal_fixture.h"

enum { N = 300000, MOST = 5 };

/* A sample with its histogram and refinements that were asked for it. */
struct sample {
    enum element_type type;
    double *x; /* [n] ascending */
    int64_t n;
    struct histogram histogram;
    struct extent extent[MOST];
    struct optimum optimum[MOST];
    struct refinement refinement[MOST];
};

static struct sample sample_of(enum element_type type, double *x, int64_t n)
{
    struct sample sample = {.type = type, .x = x, .n = n};
    round_to(type, x, n);
    sample.histogram = new_histogram(type, x, n);
    qsort(x, (size_t)n, sizeof *x, order_doubles);
    return sample;
}

static void sample_clear(struct sample *sample)
{
    histogram_clear(&sample->histogram);
    free(sample->x);
}

/* Solves for k levels within bounds, and writes down what a finer map should be asked for. */
static void sample_solve(struct sample *sample, int i, double lo, double hi, int k, double wanted)
{
    struct extent extent = extent_of(sample->x, sample->n, lo, hi);
    struct optimal *optimal = open_extent(&sample->histogram, &extent);
    sample->extent[i] = extent;
    sample->optimum[i] = find_levels(optimal, k);
    sample->refinement[i] = (struct refinement){.lo = lo,
                                                .hi = hi,
                                                .level = sample->optimum[i].level,
                                                .k = sample->optimum[i].k,
                                                .gap = optimum_gap(&sample->optimum[i]),
                                                .error = sample->optimum[i].upper,
                                                .gap_wanted = wanted};
    optimal_close(optimal);
}

/* Whether a cell of `map` begins at a key. */
static bool begins(const struct cell_map *map, uint64_t key)
{
    return map->low[cell_map_find(map, key)] == key;
}

/* Whether a bound lies in cell i: the only reason to cut a cell that is not in doubt. */
static bool is_bounded(const struct sample *sample, int count, int64_t i)
{
    const struct cell_map *map = &sample->histogram.map;
    uint64_t first = map->low[i];
    uint64_t last = i + 1 < map->num_cells ? map->low[i + 1] - 1 : element_last_key(map->type);
    for (int j = 0; j < count; j++) {
        const struct refinement *r = &sample->refinement[j];
        double a = element_value(map->type, element_unkey(map->type, first));
        double b = element_value(map->type, element_unkey(map->type, last));
        if ((a <= r->lo && r->lo <= b) || (a <= r->hi && r->hi <= b))
            return true;
    }
    return false;
}

/* All cells begin where they did; those that no bound nor doubt falls into have no new ones. */
static void check_map(const struct sample *sample, int count, const struct cell_map *finer)
{
    const struct cell_map *map = &sample->histogram.map;
    uint64_t binade = cell_map_binade(map->type);
    assert_int_equal(map->type, finer->type);
    assert_in_range(finer->num_cells, map->num_cells + 1, HISTOGRAM_MOST_CELLS);
    assert_true(finer->low[0] == 0);
    for (int64_t i = 1; i < finer->num_cells; i++)
        assert_true(finer->low[i] > finer->low[i - 1]);
    for (uint64_t key = 0; key < element_last_key(map->type) - binade; key += binade)
        assert_true(begins(finer, key));
    for (int64_t i = 0; i < map->num_cells; i++) {
        int64_t j = cell_map_find(finer, map->low[i]);
        assert_true(finer->low[j] == map->low[i]);
        bool whole = j + 1 == finer->num_cells ||
                     (i + 1 < map->num_cells && finer->low[j + 1] == map->low[i + 1]);
        if (histogram_is_single(&sample->histogram.cells[i]))
            assert_true(whole || is_bounded(sample, count, i));
    }
}

/* No cell has elements on both sides of a bound. */
static void check_bounds(const struct sample *sample, int count, const struct cell_map *map)
{
    for (int j = 0; j < count; j++) {
        const struct extent *e = &sample->extent[j];
        int64_t end = e->first + e->n;
        if (e->first > 0 && e->first < sample->n)
            assert_true(cell_map_find(map, key_of(map->type, sample->x[e->first - 1])) <
                        cell_map_find(map, key_of(map->type, sample->x[e->first])));
        if (end > 0 && end < sample->n)
            assert_true(cell_map_find(map, key_of(map->type, sample->x[end - 1])) <
                        cell_map_find(map, key_of(map->type, sample->x[end])));
    }
}

static int64_t count_all(const struct histogram *histogram)
{
    int64_t count = 0;
    for (int64_t i = 0; i < histogram->map.num_cells; i++)
        count += (int64_t)histogram->cells[i].count;
    return count;
}

/* Refines and walks again; false if there is nothing to cut. */
static bool sample_refine(struct sample *sample, int count)
{
    struct histogram finer = {0};
    assert_int_equal(QO_OK,
                     histogram_refine(&sample->histogram, sample->refinement, count, &finer.map));
    if (finer.map.num_cells == 0)
        return false;
    check_map(sample, count, &finer.map);
    check_bounds(sample, count, &finer.map);
    fill_cells(&finer, sample->x, sample->n);
    assert_int_equal(sample->n, count_all(&finer));
    histogram_clear(&sample->histogram);
    sample->histogram = finer;
    return true;
}

/* Rounds until every gap is as wanted, or `most`. */
static int rounds_to_gap(struct sample *sample, int count, int most)
{
    for (int round = 0; round <= most; round++) {
        bool done = true;
        for (int i = 0; i < count; i++) {
            struct refinement r = sample->refinement[i];
            sample_solve(sample, i, r.lo, r.hi, sample->optimum[i].asked, r.gap_wanted);
            done = done && sample->refinement[i].gap <= r.gap_wanted;
        }
        if (done)
            return round;
        /* Only what is not good enough yet may be asked for. */
        struct sample asked = *sample;
        int open = 0;
        for (int i = 0; i < count; i++) {
            if (sample->refinement[i].gap > sample->refinement[i].gap_wanted) {
                asked.extent[open] = sample->extent[i];
                asked.refinement[open++] = sample->refinement[i];
            }
        }
        assert_true(sample_refine(&asked, open));
        sample->histogram = asked.histogram;
    }
    return most + 1;
}

static void test_256_levels_need_many_walks(void **state)
{
    (void)state;
    struct sample sample = sample_of(ELEMENT_F32, new_normals(N, 61), N);
    sample_solve(&sample, 0, -INFINITY, INFINITY, 256, 1e-5);
    assert_true(sample.refinement[0].gap > 1e-5);
    assert_in_range(rounds_to_gap(&sample, 1, 3), 1, 3);
    sample_clear(&sample);
}

/* float64 numbers with few bits in doubt, and bounds inside cells. */
static void test_several_quantizers_need_many_walks(void **state)
{
    (void)state;
    static const int levels[MOST] = {2, 3, 8, 32, 128};
    struct sample sample = sample_of(ELEMENT_F64, new_normals(N, 62), N);
    for (int i = 0; i < MOST; i++)
        sample_solve(&sample, i, -3 - 0.01 * i, i % 2 ? INFINITY : 2.5, levels[i], 1e-5);
    assert_in_range(rounds_to_gap(&sample, MOST, 3), 1, 3);
    sample_clear(&sample);
}

/* A gap that no number of cells gives: the map is as large as it may be, and no larger. */
static void test_a_tiny_gap_makes_too_many_cells(void **state)
{
    (void)state;
    static const int levels[MOST] = {2, 4, 16, 64, 256};
    struct sample sample = sample_of(ELEMENT_F32, new_normals(N, 63), N);
    for (int i = 0; i < MOST; i++)
        sample_solve(&sample, i, -INFINITY, INFINITY, levels[i], 1e-300);
    assert_true(sample_refine(&sample, MOST));
    for (int i = 0; i < MOST; i++) {
        double before = sample.refinement[i].gap;
        sample_solve(&sample, i, -INFINITY, INFINITY, levels[i], 1e-300);
        /* Around 1e-8 rounding is as large as the gap. */
        assert_true(sample.refinement[i].gap < fmax(before, 1e-8));
    }
    sample_clear(&sample);
}

/* Bounds in thin tails, between elements, at elements, and beyond all. */
static void test_bounds_stay_inside_cells(void **state)
{
    (void)state;
    struct sample sample = sample_of(ELEMENT_F32, new_normals(N, 64), N);
    double *x = sample.x;
    sample_solve(&sample, 0, x[10], x[N - 10], 4, 1e-9);
    sample_solve(&sample, 1, -1, nextafter(x[N / 2], 9), 4, 1e-9);
    sample_solve(&sample, 2, nextafter(x[1000], -9), 1e-3, 16, 1e-9);
    sample_solve(&sample, 3, -1e30, 1e300, 4, 1e-9);
    sample_solve(&sample, 4, 0.1, 0.1003, 4, 1e-9);
    assert_true(sample_refine(&sample, 5));
    sample_clear(&sample);
}

/* A cell a value, a cell a key, and nothing at all: no walk would tell more. */
static void test_certain_cells_are_cut(void **state)
{
    (void)state;
    const enum element_type type[] = {ELEMENT_F16, ELEMENT_BF16, ELEMENT_F32, ELEMENT_F64};
    const int64_t count[] = {N, N, HISTOGRAM_SAMPLE, 1000};
    for (int i = 0; i < 4; i++) {
        struct sample sample = sample_of(type[i], new_normals(count[i], 65), count[i]);
        const double level[] = {-1, 0, 1};
        sample.refinement[0] = (struct refinement){.lo = -INFINITY,
                                                   .hi = INFINITY,
                                                   .level = level,
                                                   .k = 3,
                                                   .gap = 1e-3,
                                                   .gap_wanted = 1e-5};
        assert_false(sample_refine(&sample, 1));
        memset(sample.histogram.cells, 0,
               (size_t)sample.histogram.map.num_cells * sizeof(struct cell));
        assert_false(sample_refine(&sample, 1));
        assert_false(sample_refine(&sample, 0));
        sample_clear(&sample);
    }
}

/* Zeros, repeated values and a tail: those with a cell of their own keep it. */
static void test_repeated_values_are_cut(void **state)
{
    (void)state;
    struct dice dice = {66};
    double *x = new_array(N, sizeof *x);
    for (int64_t i = 0; i < N; i++) {
        double u = dice_uniform(&dice);
        x[i] = u < 0.5 ? 0 : u < 0.8 ? floor(10 * dice_normal(&dice)) : log(dice_uniform(&dice));
    }
    struct sample sample = sample_of(ELEMENT_F32, x, N);
    sample_solve(&sample, 0, -INFINITY, INFINITY, 200, 5e-7);
    sample_solve(&sample, 1, -20, 20, 256, 1e-6);
    assert_true(sample.refinement[0].gap > 5e-7 && sample.refinement[1].gap > 1e-6);
    assert_in_range(rounds_to_gap(&sample, 2, 3), 1, 3);
    sample_clear(&sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_256_levels_need_many_walks),
        cmocka_unit_test(test_several_quantizers_need_many_walks),
        cmocka_unit_test(test_a_tiny_gap_makes_too_many_cells),
        cmocka_unit_test(test_bounds_stay_inside_cells),
        cmocka_unit_test(test_certain_cells_are_cut),
        cmocka_unit_test(test_repeated_values_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
