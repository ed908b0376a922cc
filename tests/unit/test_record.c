/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "record.h"

/* The results of a vector as words, and back. */

enum { NUM_RESULTS = 3, NUM_STEPS = 5 };

/* Words of the stats and of the number of results, and of a result but for levels and steps. */
enum { NUM_ORIGINAL = 2, VECTOR_WORDS = 9 + NUM_ORIGINAL, RESULT_WORDS = 25 + 32 };

/* The options of the run, which has two codebooks. */
static struct audit audits[2] = {{.name = "nf4", .book = {.k = 16}},
                                 {.name = "fixed-x.y", .book = {.k = 2}}};
static const struct options options = {.audits = audits, .num_audits = 2};

/* A vector with three results: of few levels, of 256, and of one with a history. */
struct scene {
    struct vector_info info;
    struct step steps[NUM_STEPS];
    struct result results[NUM_RESULTS];
    struct report_vector vector;
    int64_t num_words;
    int64_t *words; /* [num_words] */
};

/* A NaN whose payload says which. */
static double marked_nan(uint64_t mark)
{
    return element_f64(0x7ff8000000000000u | mark);
}

static void make_result(struct result *result, int r)
{
    static const char *const approaches[] = {"uniform", "easyquant", "easyquant-uniform"};
    static const char *const solvers[] = {"uniform", "lloyd", "optimal"};
    static const int bits[] = {3, 8, 1}, k[] = {5, 256, 1};
    *result = (struct result){.approach = approaches[r],
                              .num_bits = bits[r],
                              .solver = solvers[r],
                              .threshold = 3.1,
                              .mse = 0x1p-1074,
                              .rmse = -0.0,
                              .l2_norm = 1.0 / 3,
                              .relative_error = 1e300,
                              .sqnr_db = INFINITY,
                              .max_abs_error = 0.1 + r,
                              .outlier_count = 77 + r,
                              .bits_per_value = 3.25,
                              .compression_ratio = 9.5,
                              .optimality_gap = marked_nan(17),
                              .sample_size = 99 - r,
                              .sample_excess = marked_nan(18),
                              .solve_seconds = 0.25,
                              .encode_seconds = 0.75,
                              .has_codes = r != 1,
                              .digest = 0xfedcba9876543210u + (uint64_t)r};
    for (int b = 0; b < HISTOGRAM_ERROR_BINS; b++)
        result->error_share[b] = (float)(b + r) / 64;
    result->solution.k = k[r];
    result->solution.scale = r == 1 ? -0.75 : marked_nan(19);
    result->solution.iterations = 1000000 - r;
    result->solution.converged = r == 1;
    for (int i = 0; i < k[r]; i++)
        result->solution.level[i] = -1.5 + i / 3.0;
}

static void make_scene(struct scene *scene)
{
    *scene = (struct scene){.info = {.name = "a/w", .origin = "file", .n = 1000}};
    for (int r = 0; r < NUM_RESULTS; r++)
        make_result(&scene->results[r], r);
    for (int i = 0; i < NUM_STEPS; i++)
        scene->steps[i] = (struct step){.iteration = i, .mse = 1.0 / (i + 1), .max_move = 0.1 * i};
    scene->results[1].solution.steps = scene->steps;
    scene->results[1].solution.num_steps = NUM_STEPS;
    scene->vector.info = &scene->info;
    scene->vector.num_results = NUM_RESULTS;
    scene->vector.results = scene->results;
    scene->vector.stats = (struct vector_stats){.nonfinite_count = 5,
                                                .fill_count = 6,
                                                .min = -0.0,
                                                .max = 0x1p1023,
                                                .mean = marked_nan(1),
                                                .std = 1e-310,
                                                .norm = 2,
                                                .plot_bins = 0,
                                                .num_original = NUM_ORIGINAL};
    for (size_t i = 0; i < NUM_ORIGINAL * sizeof(double); i++)
        scene->vector.stats.original[i] = (unsigned char)(251 * i + 3);
    scene->num_words = record_vector_words(&scene->vector);
    scene->words = calloc((size_t)scene->num_words, sizeof *scene->words);
    assert_non_null(scene->words);
    record_vector_pack(&options, &scene->vector, scene->words);
}

/* Unpacks words that can be anything; whatever comes, nothing is left behind. */
static enum status try_words(const struct scene *scene, const int64_t *words, int64_t n)
{
    struct report_vector out = {.info = &scene->info, .num_results = 7}; /* not to be cleared */
    status_clear();
    enum status status = record_vector_unpack(&options, words, n, &out);
    assert_ptr_equal(out.info, &scene->info);
    if (status == QO_OK) {
        report_vector_clear(&out);
    } else {
        assert_int_equal(out.num_results, 0);
        assert_null(out.results);
        assert_true(status_text()[0] != '\0');
    }
    return status;
}

static void assert_same_bits(double a, double b)
{
    assert_memory_equal(&a, &b, sizeof a);
}

/* All but the names and the history, whose addresses differ. */
static void assert_same_result(const struct result *a, const struct result *b)
{
    struct result x = *a, y = *b;
    assert_string_equal(a->approach, b->approach);
    assert_string_equal(a->solver, b->solver);
    assert_int_equal(a->solution.num_steps, b->solution.num_steps);
    for (int i = 0; i < a->solution.num_steps; i++) {
        assert_int_equal(a->solution.steps[i].iteration, b->solution.steps[i].iteration);
        assert_same_bits(a->solution.steps[i].mse, b->solution.steps[i].mse);
        assert_same_bits(a->solution.steps[i].max_move, b->solution.steps[i].max_move);
    }
    x.approach = y.approach = x.solver = y.solver = NULL;
    x.solution.steps = y.solution.steps = NULL;
    /* Both were zeroed before they were filled, with their padding. */
    assert_memory_equal(x.solution.level, y.solution.level, sizeof x.solution.level);
    assert_int_equal(x.solution.k, y.solution.k);
    assert_same_bits(x.solution.scale, y.solution.scale);
    assert_int_equal(x.solution.iterations, y.solution.iterations);
    assert_int_equal(x.solution.converged, y.solution.converged);
    assert_int_equal(x.num_bits, y.num_bits);
    assert_same_bits(x.threshold, y.threshold);
    assert_same_bits(x.mse, y.mse);
    assert_same_bits(x.rmse, y.rmse);
    assert_same_bits(x.l2_norm, y.l2_norm);
    assert_same_bits(x.relative_error, y.relative_error);
    assert_same_bits(x.sqnr_db, y.sqnr_db);
    assert_same_bits(x.max_abs_error, y.max_abs_error);
    assert_int_equal(x.outlier_count, y.outlier_count);
    assert_same_bits(x.bits_per_value, y.bits_per_value);
    assert_same_bits(x.compression_ratio, y.compression_ratio);
    assert_same_bits(x.optimality_gap, y.optimality_gap);
    assert_int_equal(x.sample_size, y.sample_size);
    assert_same_bits(x.sample_excess, y.sample_excess);
    assert_same_bits(x.solve_seconds, y.solve_seconds);
    assert_same_bits(x.encode_seconds, y.encode_seconds);
    assert_int_equal(x.has_codes, y.has_codes);
    assert_int_equal(x.digest, y.digest);
    assert_memory_equal(x.error_share, y.error_share, sizeof x.error_share);
}

static void test_a_field_lost_on_the_way(void **state)
{
    (void)state;
    struct scene scene;
    make_scene(&scene);
    struct report_vector out = {.info = &scene.info};
    assert_int_equal(record_vector_unpack(&options, scene.words, scene.num_words, &out), QO_OK);
    assert_memory_equal(&out.stats, &scene.vector.stats, sizeof out.stats);
    assert_int_equal(out.num_results, NUM_RESULTS);
    for (int r = 0; r < NUM_RESULTS; r++)
        assert_same_result(&out.results[r], &scene.results[r]);
    /* Reports compare the addresses of approaches. */
    assert_ptr_equal(out.results[0].approach, approach_name(APPROACH_UNIFORM));
    report_vector_clear(&out);
    free(scene.words);
}

/* A field that is added to a struct must be added to the words too: this is where it is noticed. */
static void test_a_new_field_forgotten(void **state)
{
    (void)state;
    struct scene scene;
    make_scene(&scene);
    int64_t fixed = VECTOR_WORDS + NUM_RESULTS * RESULT_WORDS;
    assert_int_equal(scene.num_words, fixed + 5 + 256 + 1 + 3 * NUM_STEPS);
    assert_int_equal(sizeof(struct vector_stats), (10 + RESULT_MOST_ORIGINAL) * 8);
    assert_int_equal(sizeof(struct result),
                     20 * 8 + HISTOGRAM_ERROR_BINS * 4 + sizeof(struct solution));
    assert_int_equal(sizeof(struct solution), 5 * 8 + 256 * 8);
    assert_int_equal(sizeof(struct step), 3 * 8);
    free(scene.words);
}

static void test_a_vector_without_results(void **state)
{
    (void)state;
    struct scene scene;
    make_scene(&scene);
    struct report_vector none = {.info = &scene.info}, out = {.info = NULL};
    enum { NUM_WORDS = VECTOR_WORDS - NUM_ORIGINAL };
    int64_t words[NUM_WORDS];
    assert_int_equal(record_vector_words(&none), NUM_WORDS);
    record_vector_pack(&options, &none, words);
    assert_int_equal(record_vector_unpack(&options, words, NUM_WORDS, &out), QO_OK);
    assert_int_equal(out.num_results, 0);
    report_vector_clear(&out);
    free(scene.words);
}

static void test_an_approach_or_solver_that_has_no_number(void **state)
{
    (void)state;
    static const char *const solvers[] = {"uniform", "lloyd", "optimal"};
    struct scene scene;
    make_scene(&scene);
    for (int a = 0; a < NUM_APPROACHES + 2; a++) {
        const char *name =
            a < NUM_APPROACHES ? approach_name((enum approach)a) : audits[a - NUM_APPROACHES].name;
        for (int s = 0; s < 3; s++) {
            struct report_vector out = {.info = &scene.info};
            scene.results[0].approach = name;
            scene.results[0].solver = solvers[s];
            record_vector_pack(&options, &scene.vector, scene.words);
            assert_ptr_equal(scene.results[0].solver, solvers[s]);
            assert_int_equal(record_vector_unpack(&options, scene.words, scene.num_words, &out),
                             QO_OK);
            assert_ptr_equal(out.results[0].approach, name);
            assert_string_equal(out.results[0].solver, solvers[s]);
            report_vector_clear(&out);
        }
    }
    free(scene.words);
}

static void test_cut_words_taken_for_whole(void **state)
{
    (void)state;
    struct scene scene;
    make_scene(&scene);
    for (int64_t n = 0; n < scene.num_words; n++) {
        int64_t *cut = malloc((size_t)n * sizeof *cut + 1); /* so that a word too far is noticed */
        memcpy(cut, scene.words, (size_t)n * sizeof *cut);
        assert_int_equal(try_words(&scene, cut, n), QO_DATA);
        free(cut);
    }
    int64_t *longer = calloc((size_t)scene.num_words + 1, sizeof *longer);
    memcpy(longer, scene.words, (size_t)scene.num_words * sizeof *longer);
    assert_int_equal(try_words(&scene, longer, scene.num_words + 1), QO_DATA);
    assert_int_equal(try_words(&scene, longer, -1), QO_DATA);
    free(longer);
    free(scene.words);
}

static void test_words_that_cannot_be_are_believed(void **state)
{
    (void)state;
    const int64_t nan = 0x7ff8000000000000;
    const int64_t first = VECTOR_WORDS; /* of the first result, of 5 levels and 3 bits */
    const struct {
        int64_t at, value;
    } cases[] = {
        {0, -1},
        {0, 1001}, /* non-finite of 1000 elements */
        {1, -1},
        {7, -1}, /* original elements */
        {7, 101},
        {10, -1}, /* results */
        {10, 2},
        {10, 4},
        {10, 33},
        {10, INT64_MAX},
        {first + 0, -1}, /* approach */
        {first + 0, NUM_APPROACHES + 2},
        {first + 1, 0}, /* bits */
        {first + 1, 2},
        {first + 1, 9},
        {first + 1, (1ll << 32) + 3},
        {first + 2, -1}, /* solver */
        {first + 2, 3},
        {first + 4, 0}, /* k */
        {first + 4, 4},
        {first + 4, 6},
        {first + 4, 9},
        {first + 4, INT64_MIN},
        {first + 5, nan}, /* levels */
        {first + 6, nan},
        {first + 6, 0x7ff0000000000000},
        {first + 7, 0x4024000000000000}, /* 10: above the next */
        {first + 11, -1},                /* iterations */
        {first + 11, 1ll << 31},
        {first + 12, 2}, /* converged */
        {first + 13, 1}, /* steps */
        {first + 13, -1},
        {first + 13, INT64_MAX},
        {first + 13, INT32_MAX},
        {first + 20, 1001}, /* outliers */
        {first + 20, -1},
        {first + 24, 1001}, /* sample */
        {first + 28, 2},    /* has_codes */
    };
    struct scene scene;
    make_scene(&scene);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t *word = &scene.words[cases[i].at], old = *word;
        *word = cases[i].value;
        if (try_words(&scene, scene.words, scene.num_words) != QO_DATA)
            fail_msg("word %lld as %lld", (long long)cases[i].at, (long long)cases[i].value);
        *word = old;
    }
    assert_int_equal(try_words(&scene, scene.words, scene.num_words), QO_OK);
    free(scene.words);
}

/* Any word as anything, for the sanitizers. */
static void test_a_word_that_crashes(void **state)
{
    (void)state;
    static const int64_t nasty[] = {-1, 0, 1, 3, 255, 1 << 30, INT64_MAX, INT64_MIN, 1ll << 40};
    struct scene scene;
    make_scene(&scene);
    for (int64_t at = 0; at < scene.num_words; at++) {
        for (size_t i = 0; i < sizeof nasty / sizeof *nasty; i++) {
            int64_t old = scene.words[at];
            scene.words[at] = nasty[i];
            enum status status = try_words(&scene, scene.words, scene.num_words);
            assert_true(status == QO_OK || status == QO_DATA);
            scene.words[at] = old;
        }
    }
    free(scene.words);
}

static void test_a_failed_unpack_leaves_something(void **state)
{
    (void)state;
    struct scene scene;
    enum status status = QO_NO_MEMORY;
    make_scene(&scene);
    int n = 0;
    while (status != QO_OK) {
        char plan[16];
        snprintf(plan, sizeof plan, "%d", ++n);
        setenv("QUANTOPT_FAULT", plan, 1);
        fault_setup(0);
        status = try_words(&scene, scene.words, scene.num_words);
        assert_true(status == QO_OK || status == QO_NO_MEMORY);
    }
    setenv("QUANTOPT_FAULT", "0", 1);
    fault_setup(0);
    assert_int_equal(n, 3); /* results and one history, then none */
    free(scene.words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_field_lost_on_the_way),
        cmocka_unit_test(test_a_new_field_forgotten),
        cmocka_unit_test(test_a_vector_without_results),
        cmocka_unit_test(test_an_approach_or_solver_that_has_no_number),
        cmocka_unit_test(test_cut_words_taken_for_whole),
        cmocka_unit_test(test_words_that_cannot_be_are_believed),
        cmocka_unit_test(test_a_word_that_crashes),
        cmocka_unit_test(test_a_failed_unpack_leaves_something),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
