/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An even grid: 2^bits levels from one end of a range to the other, both included, each computed as
 * NumPy's linspace does, so that results can be held against it to the last bit. It has nothing to
 * search for; cost O(levels), and it never looks at the data.
 */
#include <math.h>

#include "solver_table.h"

static bool uniform_applicable(const struct problem *problem)
{
    return problem->kind == LEVELS_EVEN && problem->range != RANGE_OPTIMAL;
}

/* Level i of k. A range longer than the largest number is walked at half its length. */
static double grid_level(double lo, double hi, int i, int k)
{
    if (i == k - 1)
        return hi;
    double length = hi - lo;
    if (isfinite(length)) {
        double step = length / (k - 1);
        /* A step that underflows would put all levels on lo: divide last. */
        return step != 0 ? i * step + lo : (double)i / (k - 1) * length + lo;
    }
    double half_step = (0.5 * hi - 0.5 * lo) / (k - 1);
    return 2 * (i * half_step + 0.5 * lo);
}

/* Local. The range of no elements is the single level 0. */
static enum status uniform_solve(const struct problem *problem, struct solution *solution)
{
    double lo = problem->range_lo, hi = problem->range_hi;
    *solution = (struct solution){.converged = true, .lower_bound = NAN};
    if (problem->range == RANGE_MINMAX) {
        bool any = problem->min <= problem->max;
        lo = any ? problem->min : 0;
        hi = any ? problem->max : 0;
    }
    int k = 1 << problem->bits;
    for (int i = 0; i < k; i++) {
        double level = grid_level(lo, hi, i, k);
        /* In a range too narrow for k numbers some coincide; and rounding must not pass the end. */
        if (solution->k > 0 && !(level > solution->level[solution->k - 1]))
            continue;
        if (level <= hi)
            solution->level[solution->k++] = level;
    }
    return QO_OK;
}

const struct solver solver_uniform = {
    .name = "uniform", .applicable = uniform_applicable, .solve = uniform_solve};
