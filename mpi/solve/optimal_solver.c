/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The levels that the optimum has: what optimal.c found for all bit widths at once, as a solver
 * among others. It never looks at the data.
 */
#include <string.h>

#include "optimal.h"
#include "solver_table.h"

static bool optimal_applicable(const struct problem *problem)
{
    return problem->kind == LEVELS_FREE && problem->optimum;
}

/* Local. */
static enum status optimal_solve(const struct problem *problem, struct solution *solution)
{
    const struct optimum *optimum = problem->optimum;
    *solution = (struct solution){.k = optimum->k, .converged = true};
    memcpy(solution->level, optimum->level, (size_t)optimum->k * sizeof *solution->level);
    return QO_OK;
}

const struct solver solver_optimal = {
    .name = "optimal", .applicable = optimal_applicable, .solve = optimal_solve};
