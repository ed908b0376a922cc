/* SPDX-License-Identifier: Apache-2.0 */
/* Walks that find levels on a sample, measure again, or score several quantizers at once. */
#include "pass_fixture.h"

#include "memory.h"
#include "reduce.h"
#include "sample.h"
#include "score.h"

#define SAMPLE 70000 /* more than a block, so that the sample is sharded too */

static void test_a_sample_that_depends_on_the_ranks(void **state)
{
    (void)state;
    struct subject subject;
    struct sample sample;
    draw(values);
    subject_open(&subject, values);
    assert_int_equal(sample_open(&sample, &subject.walk, SAMPLE), QO_OK);
    assert_true(sample.info.n == SAMPLE && sample.info.type == ELEMENT_F32);
    struct shard shard = shard_of(SAMPLE, comm.rank, comm.size);
    assert_true(sample.walk.tile.n == shard.end - shard.begin);
    assert_true(sample.walk.tile.first == shard.begin);
    const float *x = sample.walk.x;
    for (int64_t j = shard.begin; j < shard.end; j++)
        assert_true(x[j - shard.begin] == values[sample_index(N, SAMPLE, j)]);
    sample_close(&sample);
    sample_close(&sample);
    subject_close(&subject);
}

static void test_strata_that_are_skipped_or_shared(void **state)
{
    (void)state;
    for (int64_t n = 1; n < 3000; n = n * 5 / 3 + 1) {
        for (int64_t count = 1; count <= n; count = count * 3 / 2 + 1) {
            int64_t last = -1;
            for (int64_t j = 0; j < count; j++) {
                int64_t i = sample_index(n, count, j);
                /* One of each stratum [n j / count, n (j + 1) / count). */
                assert_true(i > last && i < n);
                assert_true(i >= n * j / count && i < n * (j + 1) / count);
                last = i;
            }
        }
    }
    /* Not the first, nor any fixed place, of its stratum. */
    int64_t sum = 0;
    for (int64_t j = 0; j < 1000; j++)
        sum += sample_index(1000000, 1000, j) % 1000;
    assert_true(sum > 450000 && sum < 550000);
}

/* A quantizer of evenly spaced levels. */
static void make_table(struct level_table *table, int bits, double reach)
{
    double level[QO_MAX_LEVELS];
    struct keep keep = {-reach, reach, 0, {0, 0}};
    for (int i = 0; i < 1 << bits; i++)
        level[i] = -4 + 8.0 * i / ((1 << bits) - 1);
    level_table_init(table, bits, level, 1 << bits, &keep, -reach, reach);
}

static void test_scores_that_differ_from_encodings(void **state)
{
    (void)state;
    enum { NUM = 11 };
    struct subject subject;
    struct level_table *table = calloc(NUM, sizeof *table);
    struct encoding scored[NUM], encoded;
    draw(values);
    subject_open(&subject, values);
    struct given *given = calloc(1, sizeof *given);
    assert_true(table && given);
    for (int i = 0; i < NUM; i++)
        make_table(&table[i], i % 8 + 1, i % 3 ? 2.5 : 10);
    assert_int_equal(score_vector(&subject.walk, table, NUM, scored), QO_OK);
    int64_t outliers = 0;
    for (int i = 0; i < N; i++)
        outliers += fabs((double)values[i]) > 2.5;
    for (int i = 0; i < NUM; i++) {
        struct encode_job job = encode_job_of(&subject, &table[i], 1, given, &encoded);
        assert_int_equal(encode_vector(&job), QO_OK);
        assert_true(scored[i].error == encoded.error && scored[i].error > 0);
        assert_true(scored[i].max_error == encoded.max_error);
        assert_true(scored[i].num_outliers == (i % 3 ? outliers : 0));
    }
    free(given);
    free(table);
    subject_close(&subject);
}

static void test_moments_that_depend_on_the_cells(void **state)
{
    (void)state;
    struct subject subject;
    struct measurement full, coarse;
    draw(values);
    values[3] = NAN;
    subject_open(&subject, values);
    assert_int_equal(measure_vector(&subject.walk, 3.0, &full), QO_OK);
    assert_int_equal(measure_moments(&subject.walk, &coarse), QO_OK);
    assert_true(coarse.histogram.map.num_cells < full.histogram.map.num_cells);
    assert_true(coarse.moments.count == N - 1 && full.moments.count == N - 1);
    assert_true(coarse.moments.mean == full.moments.mean);
    assert_true(coarse.moments.std == full.moments.std);
    assert_true(coarse.moments.norm == full.moments.norm);
    assert_true(coarse.min == full.min && coarse.max == full.max);
    assert_true(coarse.num_nonfinite == 1 && coarse.first_nonfinite == 3);
    measurement_clear(&full);
    measurement_clear(&coarse);
    subject_close(&subject);
}

/* The value of a cell's first key; that of the first cell is a NaN and counts as the lowest. */
static double first_value(const struct cell_map *map, int64_t cell)
{
    double x = element_value(map->type, element_unkey(map->type, map->low[cell]));
    return isnan(x) ? -INFINITY : x;
}

static void test_a_second_walk_that_loses_elements(void **state)
{
    (void)state;
    struct subject subject;
    struct measurement m;
    draw(values);
    subject_open(&subject, values);
    assert_int_equal(measure_vector(&subject.walk, 3.0, &m), QO_OK);
    const double level[] = {-1.5, -0.25, 0.5, 1.75};
    const struct refinement refinement = {-2.0, 2.0, level, 4, 1.0, 1e-3, 1e-9};
    struct moments before = m.moments;
    int64_t cells = m.histogram.map.num_cells;
    struct cell_map finer;
    assert_int_equal(histogram_refine(&m.histogram, &refinement, 1, &finer), QO_OK);
    assert_true(finer.num_cells > cells);
    assert_int_equal(measure_again(&subject.walk, &finer, &m), QO_OK);
    assert_true(finer.num_cells == 0 && m.histogram.map.num_cells > cells);
    assert_memory_equal(&before, &m.moments, sizeof before);
    uint64_t below = 0, counted = 0;
    /* No cell lies on both sides of a bound: those below it hold what is below it. */
    for (int64_t c = 0; first_value(&m.histogram.map, c) < -2.0; c++)
        counted += m.histogram.cells[c].count;
    for (int i = 0; i < N; i++)
        below += (double)values[i] < -2.0;
    assert_true(counted == below);
    measurement_clear(&m);
    subject_close(&subject);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sample_that_depends_on_the_ranks),
        cmocka_unit_test(test_strata_that_are_skipped_or_shared),
        cmocka_unit_test(test_scores_that_differ_from_encodings),
        cmocka_unit_test(test_moments_that_depend_on_the_cells),
        cmocka_unit_test(test_a_second_walk_that_loses_elements),
    };
    return run_on_all_ranks(argc, argv, tests, sizeof tests / sizeof *tests);
}
