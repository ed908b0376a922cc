/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_TESTS_LLOYD_FIXTURE_H
#define QO_TESTS_LLOYD_FIXTURE_H

#include "solve_fixture.h"
#include "solver.h"

/* A vector to solve for: sorted, so that the look below adds in one order whatever the vector's. */
struct vector {
    double *x; /* [n] */
    int64_t n;
    double lo, hi; /* only what lies between gets a level */
    int looks;     /* counted */
    int empty;     /* levels without elements, over all looks */
    int fail_at;   /* the look that fails, from 1 on; 0: none */
};

/* The look at the data that the program does on all ranks, here over a plain array. */
static inline enum status vector_assign(void *context, const double *level, int k,
                                        struct level_sums *sums)
{
    struct vector *v = context;
    long double error = 0;
    int64_t at = 0;
    if (++v->looks == v->fail_at)
        return QO_IO;
    assert_in_range(k, 1, SOLVER_MAX_LEVELS);
    while (at < v->n && v->x[at] < v->lo)
        at++;
    for (int i = 0; i < k; i++) {
        long double sum = 0;
        double cut = i + 1 < k ? 0.5 * level[i] + 0.5 * level[i + 1] : INFINITY;
        assert_true(isfinite(level[i]) && (i == 0 || level[i] > level[i - 1]));
        int64_t first = at;
        for (; at < v->n && v->x[at] <= cut && v->x[at] <= v->hi; at++) {
            long double d = (long double)v->x[at] - level[i];
            sum += d;
            error += d * d;
        }
        sums->count[i] = at - first;
        v->empty += at == first;
        sums->mean[i] = at > first ? (double)(level[i] + sum / (at - first)) : level[i];
    }
    sums->error = (double)error;
    return QO_OK;
}

/* Solves for the elements of v (sorted here) that lie in [lo, hi]; the caller clears the solution.
 */
static inline enum status vector_solve(struct vector *v, enum element_type type,
                                       struct problem problem, struct solution *solution)
{
    struct histogram histogram = new_histogram(type, v->x, v->n);
    qsort(v->x, (size_t)v->n, sizeof *v->x, order_doubles);
    problem.histogram = &histogram;
    problem.lo = v->lo;
    problem.hi = v->hi;
    problem.min = INFINITY;
    problem.max = -INFINITY;
    for (int64_t i = 0; i < v->n; i++) {
        if (v->x[i] >= v->lo && v->x[i] <= v->hi) {
            problem.min = v->x[i] < problem.min ? v->x[i] : problem.min;
            problem.max = v->x[i];
        }
    }
    problem.num_elements = v->n;
    problem.kind = LEVELS_FREE;
    problem.look = (struct look){.assign = vector_assign, .context = v};
    enum status status = solver_find("lloyd", &problem)->solve(&problem, solution);
    histogram_clear(&histogram);
    return status;
}

static inline struct problem problem_of(int bits, enum init init)
{
    return (struct problem){
        .bits = bits, .init = init, .max_iterations = 100, .tolerance = 1e-7, .seed = 42};
}

static inline struct vector vector_of(double *x, int64_t n)
{
    return (struct vector){.x = x, .n = n, .lo = -INFINITY, .hi = INFINITY};
}

static inline struct solution solve(double *x, int64_t n, enum element_type type, int bits,
                                    enum init init)
{
    struct vector v = vector_of(x, n);
    struct solution solution;
    assert_int_equal(QO_OK, vector_solve(&v, type, problem_of(bits, init), &solution));
    return solution;
}

/* The mean squared error of a solution, from a look of its own. */
static inline double mse_of(const struct solution *solution, double *x, int64_t n)
{
    struct vector v = vector_of(x, n);
    struct level_sums sums;
    assert_int_equal(QO_OK, vector_assign(&v, solution->level, solution->k, &sums));
    return sums.error / (double)n;
}

#endif
