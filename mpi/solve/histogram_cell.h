/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_HISTOGRAM_CELL_H
#define QO_SOLVE_HISTOGRAM_CELL_H

#include "histogram.h"

/* Cells as numbers, for this room. */

/* Pure. The value of a key. */
double histogram_key_value(enum element_type type, uint64_t key);

/* Pure. The last key of a cell. */
uint64_t histogram_last_key(const struct cell_map *map, int64_t cell);

/* Pure. log2 of the smallest positive number of a type: every number is an integer times it. */
int histogram_unit(enum element_type type);

/* Pure. log2 of the distance between neighbouring numbers in a cell. */
int histogram_ulp(const struct cell_map *map, int64_t cell);

#endif
