/* SPDX-License-Identifier: Apache-2.0 */
/* Even grids against numpy.linspace, bit for bit. */
#include <float.h>

#include "cmocka_all.h"
#include <math.h>
#include <string.h>

#include "solver.h"

/* What every even grid must be; the range that is not asked for is set to something else. */
static struct solution solve(int bits, enum range_kind range, double lo, double hi)
{
    struct problem problem = {.bits = bits,
                              .kind = LEVELS_EVEN,
                              .range = range,
                              .min = range == RANGE_MINMAX ? lo : -1000,
                              .max = range == RANGE_MINMAX ? hi : 1000,
                              .range_lo = range == RANGE_GIVEN ? lo : -2000,
                              .range_hi = range == RANGE_GIVEN ? hi : 2000};
    struct solution solution;
    const struct solver *solver = solver_find("uniform", &problem);
    assert_non_null(solver);
    assert_string_equal("uniform", solver->name);
    assert_int_equal(QO_OK, solver->solve(&problem, &solution));
    assert_true(solution.converged);
    assert_int_equal(0, solution.iterations);
    assert_int_equal(0, solution.num_steps);
    assert_in_range(solution.k, 1, 1 << bits);
    for (int i = 0; i < solution.k; i++) {
        assert_true(isfinite(solution.level[i]));
        assert_true(i == 0 || solution.level[i] > solution.level[i - 1]);
    }
    return solution;
}

static void check(int bits, double lo, double hi, const double *expected)
{
    for (enum range_kind range = RANGE_GIVEN; range <= RANGE_MINMAX; range++) {
        struct solution solution = solve(bits, range, lo, hi);
        assert_int_equal(1 << bits, solution.k);
        assert_memory_equal(expected, solution.level, sizeof(double) << bits);
    }
}

static void test_levels_differ_from_linspace(void **state)
{
    (void)state;
    const double four[] = {-0x1.0000000000000p+2, -0x1.6db6db6db6db7p+1, -0x1.b6db6db6db6dcp+0,
                           -0x1.2492492492494p-1, 0x1.2492492492490p-1,  0x1.b6db6db6db6d8p+0,
                           0x1.6db6db6db6db6p+1,  0x1.0000000000000p+2};
    const double tenths[] = {0x1.999999999999ap-4, 0x1.3333333333333p-2, 0x1.0000000000000p-1,
                             0x1.6666666666666p-1};
    const double small[] = {-0x1.d99999999999ap+1, -0x1.4cccccccccccdp+1, -0x1.8000000000000p+0,
                            -0x1.9999999999998p-2, 0x1.6666666666668p-1,  0x1.cccccccccccccp+0,
                            0x1.7333333333334p+1,  0x1.0000000000000p+2};
    check(3, -4, 4, four);
    check(2, 0.1, 0.7, tenths);
    check(3, -3.7, 4.0, small);
}

static void test_256_levels_differ_from_linspace(void **state)
{
    (void)state;
    struct solution solution = solve(8, RANGE_GIVEN, -0.3, 1.1);
    assert_int_equal(256, solution.k);
    assert_true(solution.level[0] == -0.3);
    assert_true(solution.level[1] == -0x1.2d93fa60c72d9p-2);
    assert_true(solution.level[77] == 0x1.f6c3905d29f6cp-4);
    assert_true(solution.level[100] == 0x1.fdfdfdfdfdfe2p-3);
    assert_true(solution.level[201] == 0x1.9b683501ce9b6p-1);
    assert_true(solution.level[254] == 0x1.1831cb64fe983p+0);
    assert_true(solution.level[255] == 1.1);
}

/* linspace gives 1 1 2 2 3 3 4 4 times the smallest number here. */
static void test_levels_coincide_in_a_narrow_range(void **state)
{
    (void)state;
    struct solution solution = solve(3, RANGE_GIVEN, 5e-324, 2e-323);
    assert_int_equal(4, solution.k);
    for (int i = 0; i < 4; i++)
        assert_true(solution.level[i] == (i + 1) * 5e-324);
    solution = solve(4, RANGE_MINMAX, 1, 0x1.0000000000003p+0);
    assert_int_equal(4, solution.k);
    solution = solve(8, RANGE_GIVEN, 2.5, 2.5);
    assert_int_equal(1, solution.k);
    assert_true(solution.level[0] == 2.5);
}

/* hi - lo is infinite, and so is what linspace gives. */
static void test_widest_range_overflows(void **state)
{
    (void)state;
    struct solution solution = solve(3, RANGE_MINMAX, -DBL_MAX, DBL_MAX);
    assert_int_equal(8, solution.k);
    for (int i = 0; i < 8; i++) {
        double exact = (i - 3.5) / 3.5; /* of DBL_MAX */
        assert_true(fabs(solution.level[i] / DBL_MAX - exact) < 1e-15);
    }
    assert_true(solution.level[0] == -DBL_MAX && solution.level[7] == DBL_MAX);
}

static void test_no_elements_have_no_level(void **state)
{
    (void)state;
    struct solution solution = solve(5, RANGE_MINMAX, INFINITY, -INFINITY);
    assert_int_equal(1, solution.k);
    assert_true(solution.level[0] == 0);
}

/* What is not in this build has no solver, and says so by NULL. */
static void test_solver_takes_what_it_cannot_solve(void **state)
{
    (void)state;
    struct problem problem = {.bits = 3, .kind = LEVELS_EVEN, .range = RANGE_OPTIMAL};
    assert_null(solver_find("uniform", &problem));
    assert_null(solver_find("lloyd", &problem));
    problem.range = RANGE_GIVEN;
    assert_non_null(solver_find("uniform", &problem));
    assert_null(solver_find("Uniform", &problem));
    problem.kind = LEVELS_FREE;
    problem.init = INIT_OPTIMAL;
    assert_null(solver_find("uniform", &problem));
    assert_null(solver_find("lloyd", &problem));
    problem.init = INIT_QUANTILE;
    assert_string_equal("lloyd", solver_find("lloyd", &problem)->name);
    assert_null(solver_find("optimal", &problem));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels_differ_from_linspace),
        cmocka_unit_test(test_256_levels_differ_from_linspace),
        cmocka_unit_test(test_levels_coincide_in_a_narrow_range),
        cmocka_unit_test(test_widest_range_overflows),
        cmocka_unit_test(test_no_elements_have_no_level),
        cmocka_unit_test(test_solver_takes_what_it_cannot_solve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
