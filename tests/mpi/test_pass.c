/* SPDX-License-Identifier: Apache-2.0 */
#include "pass_fixture.h"

#include "fault.h"
#include "memory.h"
#include "reduce.h"
#include "step.h"

static void test_moments_that_depend_on_the_ranks(void **state)
{
    (void)state;
    struct subject subject;
    struct measurement m;
    draw(values);
    subject_open(&subject, values);
    assert_int_equal(measure_vector(&subject.walk, 3.0, &m), QO_OK);
    /* The sums of these float32 values fit 64 bits of mantissa well enough to tell the nearest
     * double. */
    long double sum = 0, square = 0;
    float min = INFINITY, max = -INFINITY;
    for (int i = 0; i < N; i++) {
        sum += (long double)values[i];
        square += (long double)values[i] * (long double)values[i];
        min = fminf(min, values[i]);
        max = fmaxf(max, values[i]);
    }
    long double mean = sum / N, variance = square / N - mean * mean;
    assert_true(m.moments.count == N && m.num_nonfinite == 0 && m.num_fill == 0);
    assert_true(m.min == (double)min && m.max == (double)max);
    assert_true(fabs(m.moments.mean - (double)mean) <= 0x1p-52 * fabs((double)mean));
    assert_true(fabs(m.moments.std - sqrt((double)variance)) <= 0x1p-50);
    assert_true(fabs(m.moments.norm - sqrt((double)square)) <= 0x1p-51 * m.moments.norm);
    uint64_t counted = 0;
    for (int64_t c = 0; c < m.histogram.map.num_cells; c++)
        counted += m.histogram.cells[c].count;
    assert_true(counted == N);
    measurement_clear(&m);
    subject_close(&subject);
}

static void test_rare_values_hidden_in_the_cells_of_others(void **state)
{
    (void)state;
    struct subject subject;
    struct measurement m;
    /* Two values that differ in the last bit: the rare one is missed by almost any sample. */
    for (int i = 0; i < N; i++)
        values[i] = i % 2 ? 1.0f : -2.0f;
    values[5] = nextafterf(1.0f, 2.0f);
    values[N - 4] = 1.5f;
    subject_open(&subject, values);
    assert_int_equal(measure_vector(&subject.walk, 3.0, &m), QO_OK);
    double found[8];
    int count;
    histogram_distinct(&m.histogram, -INFINITY, INFINITY, 8, found, &count);
    assert_int_equal(count, 4);
    assert_true(found[0] == -2.0 && found[1] == 1.0 && found[2] == (double)values[5] &&
                found[3] == 1.5);
    measurement_clear(&m);
    subject_close(&subject);
}

static void test_nonfinite_elements_counted_at_the_wrong_place(void **state)
{
    (void)state;
    struct subject subject;
    struct measurement m;
    draw(values);
    values[QO_BLOCK + 3] = NAN;
    values[N - 1] = -INFINITY;
    subject_open(&subject, values);
    assert_int_equal(measure_vector(&subject.walk, 3.0, &m), QO_OK);
    assert_true(m.num_nonfinite == 2 && m.first_nonfinite == QO_BLOCK + 3);
    assert_true(m.moments.count == N - 2 && isfinite(m.min) && isfinite(m.moments.std));
    measurement_clear(&m);
    subject_close(&subject);
}

static const double level[4] = {-1.5, -0.25, 0.5, 1.75};

static int nearest(double x)
{
    int code = 0;
    for (int i = 0; i < 3; i++)
        code += x > 0.5 * level[i] + 0.5 * level[i + 1];
    return code;
}

static bool is_kept(const struct keep *keep, double x)
{
    return x >= keep->lo && x <= keep->hi;
}

/* The squared error by the rule of blocks and lanes; blocks are few, so their sum is exact in long
 * double. */
static double true_error(const struct keep *keep)
{
    long double total = 0;
    for (int begin = 0; begin < N; begin += QO_BLOCK) {
        double lane[QO_LANES] = {0};
        for (int i = begin; i < begin + QO_BLOCK && i < N; i++) {
            double e = (double)values[i] - level[nearest((double)values[i])];
            if (is_kept(keep, (double)values[i]))
                lane[i % QO_LANES] += e * e;
        }
        for (int width = QO_LANES / 2; width; width /= 2)
            for (int i = 0; i < width; i++)
                lane[i] += lane[i + width];
        total += (long double)lane[0];
    }
    return (double)total;
}

static void test_a_step_that_depends_on_the_ranks(void **state)
{
    (void)state;
    struct subject subject;
    struct level_sums sums;
    draw(values);
    subject_open(&subject, values);
    struct step_context step = {
        .walk = &subject.walk, .keep = {.lo = -2.0, .hi = 2.0}, .min = -2.0, .max = 2.0, .bits = 2};
    assert_int_equal(step_assign(&step, level, 4, &sums), QO_OK);
    int64_t count[4] = {0};
    long double sum[4] = {0};
    for (int i = 0; i < N; i++) {
        int code = nearest((double)values[i]);
        if (is_kept(&step.keep, (double)values[i])) {
            count[code]++;
            sum[code] += (long double)values[i];
        }
    }
    for (int i = 0; i < 4; i++) {
        assert_true(sums.count[i] == count[i]);
        /* Residuals are rounded at 2^-46 of a cell; so close must their mean be. */
        assert_true(fabs(sums.mean[i] - (double)(sum[i] / count[i])) < 0x1p-44);
    }
    assert_true(sums.error == true_error(&step.keep));
    subject_close(&subject);
}

/* Whether codes and digest are those of the whole vector, made in one piece. */
static void check_codes(const struct given *given, uint64_t digest)
{
    uint8_t *all = calloc(1, N / 4 + 1);
    assert_non_null(all);
    for (int i = 0; i < N; i++)
        all[i / 4] = (uint8_t)(all[i / 4] | nearest((double)values[i]) << (i % 4 * 2));
    assert_memory_equal(given->codes, all, (N + 3) / 4);
    assert_true(result_digest_codes(all, 0, (N + 3) / 4, QO_BLOCK / 4) == digest);
    free(all);
}

/* Whether all outliers were given, in the order of their indices; returns their digest. */
static uint64_t check_outliers(const struct given *given, const struct keep *keep)
{
    uint64_t digest = 0;
    int64_t count = 0;
    for (int i = 0; i < N; i++) {
        uint64_t index = (uint64_t)i;
        if (is_kept(keep, (double)values[i]))
            continue;
        assert_true(given->index[count++] == i);
        digest += result_digest_outliers(ELEMENT_F32, &index, &values[i], 1);
    }
    assert_true(given->num_outliers == count);
    return digest;
}

static void test_an_encoding_that_depends_on_the_ranks(void **state)
{
    (void)state;
    enum { NUM = 3 }; /* two of them with the same outliers */
    struct subject subject;
    struct encoding encoding[NUM];
    struct level_table table[NUM];
    struct keep keep[NUM] = {
        {.lo = -2.0, .hi = 2.0}, {.lo = -INFINITY, .hi = INFINITY}, {.lo = -2.0, .hi = 2.0}};
    struct given *given = calloc(NUM, sizeof *given);
    assert_non_null(given);
    draw(values);
    subject_open(&subject, values);
    for (int r = 0; r < NUM; r++)
        level_table_init(&table[r], 2, level, 4, &keep[r], -2.0, 2.0);
    struct encode_job job = encode_job_of(&subject, table, NUM, given, encoding);
    assert_int_equal(encode_vector(&job), QO_OK);
    uint64_t digest = encoding[0].digest;
    assert_int_equal(encode_outliers(&job), QO_OK);
    int64_t outliers = 0;
    double largest = 0;
    for (int i = 0; i < N; i++) {
        double x = (double)values[i], e = fabs(x - level[nearest(x)]);
        bool kept = is_kept(&keep[0], x);
        outliers += !kept;
        largest = kept && e > largest ? e : largest;
    }
    assert_true(outliers > 0 && encoding[0].num_outliers == outliers);
    assert_true(encoding[0].max_error == largest && encoding[1].max_error > largest);
    assert_true(encoding[0].error == true_error(&keep[0]));
    assert_true(encoding[1].error == true_error(&keep[1]) && encoding[1].num_outliers == 0);
    for (int r = 0; r < NUM; r++) {
        given_reduce(&given[r]);
        check_codes(&given[r], digest);
        uint64_t more = check_outliers(&given[r], &keep[r]);
        assert_true(encoding[r].digest == digest + more);
    }
    free(given);
    subject_close(&subject);
}

/* Collective. Solves for 2 bits between the bounds by Lloyd steps over the subject's shards. */
static enum status solve(const struct subject *subject, const struct measurement *m, double lo,
                         double hi, struct solution *solution)
{
    struct step_context step = {
        .walk = &subject->walk, .keep = {.lo = lo, .hi = hi}, .min = lo, .max = hi, .bits = 2};
    struct problem problem = {
        .histogram = &m->histogram,
        .lo = lo,
        .hi = hi,
        .min = lo,
        .max = hi,
        .num_elements = N,
        .bits = 2,
        .kind = LEVELS_FREE,
        .init = INIT_QUANTILE,
        .max_iterations = 3,
        .look = {.assign = step_assign, .context = &step, .agree = step_agree},
    };
    return solver_find("lloyd", &problem)->solve(&problem, solution);
}

static void test_levels_for_elements_that_are_all_outliers(void **state)
{
    (void)state;
    struct subject subject;
    struct measurement m;
    struct solution solution;
    for (int i = 0; i < N; i++)
        values[i] = i % 2 ? 1.0f : -1.0f;
    subject_open(&subject, values);
    assert_int_equal(measure_vector(&subject.walk, 0.5, &m), QO_OK);
    assert_int_equal(solve(&subject, &m, -0.5, 0.5, &solution), QO_OK);
    assert_true(solution.k == 1 && solution.level[0] == 0.0 && solution.converged);
    solution_clear(&solution);
    /* Bounds inside the one cell between two values: the histogram alone cannot tell. */
    draw(values);
    measurement_clear(&m);
    subject_close(&subject);
    subject_open(&subject, values);
    assert_int_equal(measure_vector(&subject.walk, 3.0, &m), QO_OK);
    double between = nextafter((double)values[0], 10.0);
    assert_int_equal(solve(&subject, &m, between, between, &solution), QO_OK);
    assert_true(solution.k == 1 && solution.level[0] == 0.0);
    solution_clear(&solution);
    measurement_clear(&m);
    subject_close(&subject);
}

static void test_a_rank_out_of_memory_that_leaves_the_others_waiting(void **state)
{
    (void)state;
    struct subject subject;
    struct measurement m;
    struct solution solution;
    int64_t worst = QO_NO_MEMORY;
    draw(values);
    subject_open(&subject, values);
    for (int call = 1; worst != QO_OK; call++) {
        char plan[32];
        snprintf(plan, sizeof plan, "%d@%d", call, comm.size - 1);
        setenv("QUANTOPT_FAULT", plan, 1);
        fault_setup(comm.rank);
        solution = (struct solution){0};
        enum status status = measure_vector(&subject.walk, 3.0, &m);
        if (status == QO_OK)
            status = solve(&subject, &m, -3.0, 3.0, &solution);
        int64_t extremes[2] = {status, -(int64_t)status};
        reduce_max(&comm, extremes, 2);
        worst = extremes[0];
        assert_true(worst == -extremes[1]); /* the same on every rank */
        bool is_read = memory_limit != INT64_MAX && (worst == QO_IO || worst == QO_NO_INPUT);
        assert_true(worst == QO_OK || worst == QO_NO_MEMORY || is_read);
        assert_true(call < 200);
        solution_clear(&solution);
        measurement_clear(&m);
    }
    unsetenv("QUANTOPT_FAULT");
    fault_setup(comm.rank);
    subject_close(&subject);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moments_that_depend_on_the_ranks),
        cmocka_unit_test(test_rare_values_hidden_in_the_cells_of_others),
        cmocka_unit_test(test_nonfinite_elements_counted_at_the_wrong_place),
        cmocka_unit_test(test_a_step_that_depends_on_the_ranks),
        cmocka_unit_test(test_levels_for_elements_that_are_all_outliers),
        cmocka_unit_test(test_a_rank_out_of_memory_that_leaves_the_others_waiting),
        cmocka_unit_test(test_an_encoding_that_depends_on_the_ranks),
    };
    return run_on_all_ranks(argc, argv, tests, sizeof tests / sizeof *tests);
}
