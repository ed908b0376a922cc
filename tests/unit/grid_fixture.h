/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_TESTS_GRID_FIXTURE_H
#define QO_TESTS_GRID_FIXTURE_H

#include "fault.h"
#include "solve_fixture.h"
#include "solver.h"

/* Problems with free even grids, their solutions and true errors. */

static inline struct problem problem_of(const struct histogram *histogram, const double *x,
                                        int64_t n, int bits, enum levels_kind kind)
{
    struct problem problem = {.histogram = histogram,
                              .lo = -INFINITY,
                              .hi = INFINITY,
                              .min = INFINITY,
                              .max = -INFINITY,
                              .num_elements = n,
                              .bits = bits,
                              .kind = kind,
                              .range = RANGE_OPTIMAL};
    for (int64_t i = 0; i < n; i++) {
        problem.min = fmin(problem.min, x[i]);
        problem.max = fmax(problem.max, x[i]);
    }
    return problem;
}

/* Solves, and checks what every solution must be. */
static inline struct solution solve_problem(const struct problem *problem)
{
    struct solution solution;
    const struct solver *solver = solver_find("optimal", problem);
    assert_non_null(solver);
    assert_int_equal(QO_OK, solver->solve(problem, &solution));
    assert_true(solution.converged);
    assert_int_equal(0, solution.iterations);
    assert_int_equal(0, solution.num_steps);
    assert_in_range(solution.k, 1, 1 << problem->bits);
    for (int i = 0; i < solution.k; i++) {
        assert_true(isfinite(solution.level[i]));
        assert_true(solution.level[i] != 0 || !signbit(solution.level[i]));
        assert_true(i == 0 || solution.level[i] > solution.level[i - 1]);
    }
    return solution;
}

static inline struct solution solve(const double *x, int64_t n, int bits, enum levels_kind kind)
{
    struct histogram histogram = new_histogram(ELEMENT_F64, x, n);
    struct problem problem = problem_of(&histogram, x, n, bits, kind);
    struct solution solution = solve_problem(&problem);
    histogram_clear(&histogram);
    return solution;
}

/* Each element at its nearest level. */
static inline long double error_of(const double *x, int64_t n, const double *level, int k)
{
    long double error = 0;
    for (int64_t i = 0; i < n; i++) {
        int first = 0, last = k - 1;
        while (first < last) {
            int middle = (first + last) / 2;
            if ((long double)x[i] - level[middle] <= (long double)level[middle + 1] - x[i])
                last = middle;
            else
                first = middle + 1;
        }
        long double e = (long double)x[i] - level[first];
        error += e * e;
    }
    return error;
}

/* Vectors on which ranges matter; ascending. */
static inline double *new_nasty(int kind, int n)
{
    struct dice dice = {77 + (uint64_t)kind};
    double *x = new_array(n, sizeof *x);
    for (int i = 0; i < n; i++) {
        double u = dice_uniform(&dice), z = dice_normal(&dice);
        const double made[] = {z / sqrt(-log(u)), /* Student's t, 2 degrees of freedom */
                               (u < 0.3 ? -3 : 2) + 0.2 * z, u < 0.9 ? 0 : z, floor(40 * z)};
        x[i] = made[kind];
    }
    qsort(x, (size_t)n, sizeof *x, order_doubles);
    return x;
}

enum { NASTY = 4, NASTY_N = 1000 };

/* x[n] that stand for the normal distribution: quantiles at the middles of n equal parts. */
static inline double *new_ideal_normals(int n)
{
    double *x = new_array(n, sizeof *x);
    for (int i = 0; i < n; i++) {
        double p = (i + 0.5) / n, lo = -9, hi = 9;
        for (int j = 0; j < 50; j++) {
            double middle = 0.5 * (lo + hi);
            if (0.5 * erfc(-middle / sqrt(2)) < p)
                lo = middle;
            else
                hi = middle;
        }
        x[i] = 0.5 * (lo + hi);
    }
    return x;
}

/* Each allocation of a solve fails in turn, until a run has more than `fewest` of them and ends
 * well; leaks are the sanitizer's to find. */
static inline void check_failed_allocations(const struct problem *problem, int fewest)
{
    enum status status = QO_NO_MEMORY;
    for (int n = 1; status != QO_OK; n++) {
        char text[16];
        struct solution solution;
        (void)snprintf(text, sizeof text, "%d", n);
        setenv("QUANTOPT_FAULT", text, 1);
        fault_setup(0);
        status = solver_find("optimal", problem)->solve(problem, &solution);
        assert_true(status == QO_OK ? n > fewest : status == QO_NO_MEMORY);
        solution_clear(&solution);
    }
    unsetenv("QUANTOPT_FAULT");
    fault_setup(0);
}

#endif
