/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_START_H
#define QO_SOLVE_START_H

#include "points.h"

/*
 * Local. Sets level[] to where Lloyd steps start, by problem->init (not INIT_OPTIMAL): 2^bits
 * levels, strictly ascending, or fewer if there are fewer points, and *k to their number, at
 * least 1.
 */
QO_MUST_USE enum status start_levels(const struct problem *problem, const struct points *points,
                                     double *level, int *k);

#endif
