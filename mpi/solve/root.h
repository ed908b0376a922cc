/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_ROOT_H
#define QO_SOLVE_ROOT_H

/*
 * Pure. The cube root of a finite x >= 0, to a few units in the last place and the same bits on
 * every machine, which no libm promises.
 */
double root_cube(double x);

#endif
