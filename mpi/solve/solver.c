/* SPDX-License-Identifier: Apache-2.0 */
#include "solver.h"

#include <string.h>

#include "memory.h"
#include "solver_table.h"

/* A solver that is not applicable is passed over, so several may serve one name. */
static const struct solver *const table[] = {&solver_uniform, &solver_lloyd, &solver_optimal,
                                             &solver_grid, &solver_codebook};

const struct solver *solver_find(const char *name, const struct problem *problem)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i]->name, name) == 0 && table[i]->applicable(problem))
            return table[i];
    }
    return NULL;
}

void solution_clear(struct solution *solution)
{
    memory_free(solution->steps);
    solution->steps = NULL;
    solution->num_steps = 0;
}
