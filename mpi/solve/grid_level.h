/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_GRID_LEVEL_H
#define QO_SOLVE_GRID_LEVEL_H

#include "solver.h"

/* Local. Makes the levels of a solution k equally spaced numbers from lo to hi, both finite, both
 * included, as NumPy's linspace computes them; those that coincide after rounding are one. */
void grid_level_fill(struct solution *solution, double lo, double hi, int k);

#endif
