/* SPDX-License-Identifier: Apache-2.0 */
/* Lloyd's steps: published figures, every way to have too few values, and every way to end. */
#include "fault.h"
#include "lloyd_fixture.h"

static const char *const init_name[] = {"optimal", "quantile", "kmeans++", "random"};

/* Published: 0.0502 by an exercise's own Lloyd, 0.0224 at best. */
static void test_small_misses_the_published_error(void **state)
{
    (void)state;
    double best = INFINITY, x[10];
    for (enum init init = INIT_QUANTILE; init <= INIT_RANDOM; init++) {
        memcpy(x, ten_values, sizeof x);
        struct solution solution = solve(x, 10, ELEMENT_F64, 3, init);
        double l2_norm = sqrt(mse_of(&solution, x, 10) * 10) / 10;
        print_message("small, 3 bits, %s: l2_norm %.17g\n", init_name[init], l2_norm);
        assert_int_equal(8, solution.k);
        assert_true(l2_norm >= 0.022360679774997897 * (1 - 1e-14));
        best = l2_norm < best ? l2_norm : best;
        solution_clear(&solution);
    }
    assert_true(best <= 0.05016708719707913);
}

/* The optima of the normal density; 200,000 draws have 1 % of noise in them. The start alone is
 * within a tenth for 8 levels. */
static void test_normal_sample_is_far_from_the_literature(void **state)
{
    (void)state;
    enum { N = 200000 };
    const struct {
        int bits;
        double mse, start;
    } cases[] = {
        {1, 0.3633802, 1.25}, {2, 0.1174818, 1.15}, {3, 0.03454776, 1.1}, {4, 0.009501008, 1.1}};
    double *x = new_normals(N, 11);
    round_to(ELEMENT_F32, x, N);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct solution solution = solve(x, N, ELEMENT_F32, cases[c].bits, INIT_QUANTILE);
        double mse = solution.steps[solution.num_steps - 1].mse / cases[c].mse;
        double start = solution.steps[0].mse / cases[c].mse;
        if (!(fabs(mse - 1) < 0.01 && start < cases[c].start))
            fail_msg("%d bits: %g times the optimum, %g at the start", cases[c].bits, mse, start);
        solution_clear(&solution);
    }
    free(x);
}

/* Repeated values and both zeros: four values for four levels, whatever the start. */
static void test_fewer_values_than_levels_are_not_the_levels(void **state)
{
    (void)state;
    const double expected[] = {-7, 0, 2.5, 1e300};
    for (enum init init = INIT_QUANTILE; init <= INIT_RANDOM; init++) {
        double x[] = {2.5, 0, 1e300, -7, 2.5, -0.0, -7};
        struct solution solution = solve(x, 7, ELEMENT_F64, 2, init);
        assert_int_equal(4, solution.k);
        assert_memory_equal(expected, solution.level, sizeof expected);
        assert_true(solution.converged);
        assert_int_equal(0, solution.iterations);
        solution_clear(&solution);
    }
}

static void test_no_element_has_no_level(void **state)
{
    (void)state;
    double x[] = {1, 2, 3};
    struct vector v = vector_of(x, 3);
    struct solution solution;
    v.lo = 5;
    assert_int_equal(QO_OK, vector_solve(&v, ELEMENT_F32, problem_of(3, INIT_RANDOM), &solution));
    assert_int_equal(1, solution.k);
    assert_true(solution.level[0] == 0 && solution.converged);
    assert_int_equal(0, v.looks);
    solution_clear(&solution);
}

/* One element in a hundred is an outlier of a million: it must not be seen. */
static void test_elements_outside_the_bounds_attract_levels(void **state)
{
    (void)state;
    enum { N = 100000 };
    double *x = new_normals(N, 12);
    for (int i = 0; i < N; i += 100)
        x[i] *= 1e6;
    for (enum init init = INIT_QUANTILE; init <= INIT_RANDOM; init++) {
        struct vector v = vector_of(x, N);
        struct solution solution;
        v.lo = -3;
        v.hi = 3;
        assert_int_equal(QO_OK, vector_solve(&v, ELEMENT_F64, problem_of(4, init), &solution));
        assert_int_equal(16, solution.k);
        assert_true(solution.level[0] > -3 && solution.level[15] < 3);
        solution_clear(&solution);
    }
    free(x);
}

/* All elements in cells that the bounds cut: no cell's mean lies between them. */
static void test_bounds_inside_a_cell_leave_no_start(void **state)
{
    (void)state;
    enum { N = 70000 };
    double *x = new_array(N, sizeof *x); /* the sample of every element but these sees zeros */
    x[N - 3] = 1.25;
    x[N - 2] = 1.26;
    x[N - 1] = 1.75;
    struct vector v = vector_of(x, N);
    struct solution solution;
    v.lo = 1.2;
    v.hi = 1.3;
    assert_int_equal(QO_OK, vector_solve(&v, ELEMENT_F64, problem_of(3, INIT_QUANTILE), &solution));
    assert_int_equal(2, solution.k);
    assert_true(solution.level[0] == 1.25 && solution.level[1] == 1.26);
    solution_clear(&solution);
    free(x);
}

/* From this start a level loses its elements to its neighbours on the way. */
static void test_lost_level_stays_lost(void **state)
{
    (void)state;
    double x[] = {33, 2, 20, 10, 19, 0, 0, 2, 22, 24, 0, 2, 11};
    struct vector v = vector_of(x, 13);
    struct solution solution;
    assert_int_equal(QO_OK, vector_solve(&v, ELEMENT_F64, problem_of(2, INIT_RANDOM), &solution));
    assert_true(v.empty > 0);
    assert_int_equal(4, solution.k);
    v.empty = 0;
    struct level_sums sums;
    assert_int_equal(QO_OK, vector_assign(&v, solution.level, 4, &sums));
    assert_int_equal(0, v.empty);
    for (int i = 0; i < 4; i++) /* and the steps went on until levels are means */
        assert_true(fabs(sums.mean[i] - solution.level[i]) <= 33e-7);
    solution_clear(&solution);
}

/* As many entries as states, falling errors, and the last error is that of the solution. */
static void test_history_is_not_what_happened(void **state)
{
    (void)state;
    enum { N = 3000 };
    double *x = new_normals(N, 13);
    for (enum init init = INIT_QUANTILE; init <= INIT_RANDOM; init++) {
        struct solution solution = solve(x, N, ELEMENT_F64, 3, init);
        const struct step *steps = solution.steps;
        assert_int_equal(solution.iterations + 1, solution.num_steps);
        for (int i = 0; i < solution.num_steps; i++) {
            bool last = i + 1 == solution.num_steps;
            assert_int_equal(i, steps[i].iteration);
            assert_true(last ? steps[i].max_move == 0 : steps[i].max_move > 0);
            assert_true(last || steps[i + 1].mse < steps[i].mse);
        }
        assert_true(steps[solution.num_steps - 1].mse == mse_of(&solution, x, N));
        solution_clear(&solution);
    }
    free(x);
}

/* A limit of m steps is m + 1 looks: one for the start. */
static void test_limit_of_steps_is_passed(void **state)
{
    (void)state;
    enum { N = 3000 };
    double *x = new_normals(N, 14);
    for (int most = 0; most < 4; most++) {
        struct vector v = vector_of(x, N);
        struct problem problem = problem_of(5, INIT_KMEANS_PP);
        struct solution solution;
        problem.max_iterations = most;
        assert_int_equal(QO_OK, vector_solve(&v, ELEMENT_F64, problem, &solution));
        assert_int_equal(most, solution.iterations);
        assert_int_equal(most + 1, v.looks);
        assert_false(solution.converged);
        solution_clear(&solution);
    }
    free(x);
}

/* An element of 1e20 spreads the levels so far that all moves among ordinary numbers are within the
 * tolerance: the error must then say whether it is time to stop. */
static void test_far_fill_stops_the_steps_early(void **state)
{
    (void)state;
    enum { N = 20000 };
    double *x = new_normals(N, 15);
    struct problem problem = problem_of(3, INIT_KMEANS_PP);
    struct solution solution;
    problem.max_iterations = 1000;
    x[N / 2] = 1e20;
    struct vector v = vector_of(x, N);
    assert_int_equal(QO_OK, vector_solve(&v, ELEMENT_F64, problem, &solution));
    assert_true(solution.converged && solution.level[7] == 1e20);
    /* Seven levels for the rest: the literature's optimum for them is 0.04400. */
    assert_true(fabs(solution.steps[solution.num_steps - 1].mse / 0.04400 - 1) < 0.03);
    solution_clear(&solution);
    free(x);
}

/* The same seed gives the same start and another seed another. */
static void test_seed_is_ignored_or_not_the_only_chance(void **state)
{
    (void)state;
    enum { N = 2000 };
    double *x = new_normals(N, 16), level[2][8];
    for (enum init init = INIT_KMEANS_PP; init <= INIT_RANDOM; init++) {
        for (int run = 0; run < 3; run++) { /* seeds 1, 2, 1 */
            struct vector v = vector_of(x, N);
            struct problem problem = problem_of(3, init);
            struct solution solution;
            problem.max_iterations = 0;
            problem.seed = 1 + (uint64_t)run % 2;
            assert_int_equal(QO_OK, vector_solve(&v, ELEMENT_F64, problem, &solution));
            assert_int_equal(8, solution.k);
            if (run == 2)
                assert_memory_equal(level[0], solution.level, sizeof level[0]);
            else
                memcpy(level[run], solution.level, sizeof level[run]);
            solution_clear(&solution);
        }
        assert_memory_not_equal(level[0], level[1], sizeof level[0]);
    }
    free(x);
}

/* The first look, and later ones: the failure comes out and nothing is leaked. */
static void test_failed_look_is_swallowed(void **state)
{
    (void)state;
    double *x = new_normals(500, 17);
    for (int look = 1; look <= 3; look++) {
        struct vector v = vector_of(x, 500);
        struct solution solution;
        v.fail_at = look;
        assert_int_equal(QO_IO,
                         vector_solve(&v, ELEMENT_F64, problem_of(3, INIT_RANDOM), &solution));
        assert_int_equal(look, v.looks);
        solution_clear(&solution);
    }
    free(x);
}

static void set_fault(int call)
{
    char text[12];
    snprintf(text, sizeof text, "%d", call);
    setenv("QUANTOPT_FAULT", text, 1);
    fault_setup(0);
}

/* Each allocation fails once. The calls of the plan come first; the solver's must all be met too.
 */
static void test_memory_failure_is_swallowed(void **state)
{
    (void)state;
    double *x = new_normals(500, 18);
    struct histogram histogram = new_histogram(ELEMENT_F64, x, 500);
    for (enum init init = INIT_QUANTILE; init <= INIT_RANDOM; init++) {
        int failures = 0;
        for (enum status status = QO_NO_MEMORY; status != QO_OK; failures++) {
            struct vector v = vector_of(x, 500);
            struct problem problem = problem_of(3, init);
            struct solution solution;
            problem.histogram = &histogram;
            problem.lo = problem.min = -5;
            problem.hi = problem.max = 5;
            problem.num_elements = 500;
            problem.kind = LEVELS_FREE;
            problem.look = (struct look){.assign = vector_assign, .context = &v};
            set_fault(failures + 1);
            status = solver_find("lloyd", &problem)->solve(&problem, &solution);
            set_fault(0);
            assert_true(status == QO_OK || status == QO_NO_MEMORY);
            solution_clear(&solution);
        }
        assert_in_range(failures, 5, 12);
    }
    histogram_clear(&histogram);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_misses_the_published_error),
        cmocka_unit_test(test_normal_sample_is_far_from_the_literature),
        cmocka_unit_test(test_fewer_values_than_levels_are_not_the_levels),
        cmocka_unit_test(test_no_element_has_no_level),
        cmocka_unit_test(test_elements_outside_the_bounds_attract_levels),
        cmocka_unit_test(test_bounds_inside_a_cell_leave_no_start),
        cmocka_unit_test(test_lost_level_stays_lost),
        cmocka_unit_test(test_history_is_not_what_happened),
        cmocka_unit_test(test_limit_of_steps_is_passed),
        cmocka_unit_test(test_far_fill_stops_the_steps_early),
        cmocka_unit_test(test_seed_is_ignored_or_not_the_only_chance),
        cmocka_unit_test(test_failed_look_is_swallowed),
        cmocka_unit_test(test_memory_failure_is_swallowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
