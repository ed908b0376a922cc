/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_HISTOGRAM_DEAL_H
#define QO_SOLVE_HISTOGRAM_DEAL_H

#include <stdint.h>

#include "element.h"
#include "status.h"

/* A stretch of keys, first < last, over whose values `cells` cells are wanted, evenly. */
struct wish {
    uint64_t first, last;
    double cells;
};

/* First keys of cells, in the caller's array low[room]; num of them are set. */
struct low_list {
    uint64_t *low;
    int64_t room, num;
};

/*
 * Local. Fulfils wish[n], ascending and disjoint but for their ends, by dyadic cells: blocks of 2^s
 * keys cut into a power of two of equal cells, because these are found fast. cut[num_cuts],
 * ascending, are keys at which cells begin in any case; beside them no wish is lost but that for a
 * cell or two. `cells` are to be made in all, or up to a block's fewer. Writes first keys of cells,
 * in no order and some twice, to the list.
 */
QO_MUST_USE enum status histogram_deal(enum element_type type, const struct wish *wish, int64_t n,
                                       const uint64_t *cut, int64_t num_cuts, int64_t cells,
                                       struct low_list *list);

#endif
