/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_GRID_SEARCH_H
#define QO_SOLVE_GRID_SEARCH_H

#include "grid_error.h"

/* Where to search, and for how long. */
struct grid_task {
    bool free;             /* both parameters are; else the centre is 0 */
    struct grid corner[4]; /* free: the convex domain, in order around it; else the two ends */
    struct grid start;     /* a grid that the result must not be worse than */
    double work;           /* about so many steps of a loop end the search */
};

struct grid_found {
    struct grid grid;
    double error; /* of the grid */
    double bound; /* no grid in the domain has an error below this */
    int64_t looks;
};

/* How near to the bound a search ends: a relative difference of errors. */
#define GRID_SEARCH_GAP 1e-9

/* Local. The best grid in a domain, see grid_search.c. QO_NO_MEMORY. */
QO_MUST_USE enum status grid_search(const struct grid_error *error, const struct grid_task *task,
                                    struct grid_found *found);

#endif
