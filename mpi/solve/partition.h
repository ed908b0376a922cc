/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_PARTITION_H
#define QO_SOLVE_PARTITION_H

#include "segments.h"
#include "solver.h"

/* The cheapest cut of n points into k segments. */
struct partition {
    int64_t
        end[SOLVER_MAX_LEVELS]; /* segment i is points end[i-1] (0 for the first) .. end[i] - 1 */
    double lower;               /* no k segments cost less: proven, rounding included */
};

/*
 * Local. The cheapest partition into k segments, 1 <= k <= SOLVER_MAX_LEVELS and k < n; `price` > 0
 * is a guess of what one more segment would save, on which nothing but time depends. QO_NO_MEMORY.
 */
QO_MUST_USE enum status partition_find(const struct segments *segments, int k, double price,
                                       struct partition *partition);

#endif
