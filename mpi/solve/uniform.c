/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An even grid: 2^bits levels from one end of a range to the other, both included, each computed as
 * NumPy's linspace does, so that results can be held against it to the last bit. It has nothing to
 * search for; cost O(levels), and it never looks at the data.
 */
#include <math.h>

#include "grid_level.h"
#include "solver_table.h"

static bool uniform_applicable(const struct problem *problem)
{
    return problem->kind == LEVELS_EVEN && problem->range != RANGE_OPTIMAL;
}

/* Local. The range of no elements is the single level 0. */
static enum status uniform_solve(const struct problem *problem, struct solution *solution)
{
    double lo = problem->range_lo, hi = problem->range_hi;
    *solution = (struct solution){.converged = true};
    if (problem->range == RANGE_MINMAX) {
        bool any = problem->min <= problem->max;
        lo = any ? problem->min : 0;
        hi = any ? problem->max : 0;
    }
    grid_level_fill(solution, lo, hi, 1 << problem->bits);
    return QO_OK;
}

const struct solver solver_uniform = {
    .name = "uniform", .applicable = uniform_applicable, .solve = uniform_solve};
