/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_DEAL_H
#define QO_APP_DEAL_H

#include <stdint.h>

#include "status.h"

/*
 * Local. Deals work onto ranks: rank[i] becomes the one of `size` that gets piece i, which costs
 * cost[i], not negative. The dearest piece goes first, each to the rank that has the least so far:
 * the dearest share is at most 4/3 of that of the best dealing (R. L. Graham, "Bounds on
 * multiprocessing timing anomalies", SIAM J. Appl. Math. 17, 1969). Equal costs go by number, equal
 * loads to the lowest rank: all ranks come to the same. O((num + size) log(num size)).
 * QO_NO_MEMORY.
 */
QO_MUST_USE enum status deal_by_cost(const int64_t *cost, int num, int size, int *rank);

#endif
