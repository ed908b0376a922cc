/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_SOLVER_TABLE_H
#define QO_SOLVE_SOLVER_TABLE_H

#include "solver.h"

/* Every solver, each from the file of its name; solver.c lists them in order of preference. */
extern const struct solver solver_uniform;
extern const struct solver solver_lloyd;
extern const struct solver solver_optimal;
extern const struct solver solver_grid;
extern const struct solver solver_codebook;

#endif
