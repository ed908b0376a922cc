/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_HISTOGRAM_CELL_H
#define QO_SOLVE_HISTOGRAM_CELL_H

#include "histogram.h"

/* Cells as numbers, for this room. */

/* Pure. The value of a key. */
double histogram_key_value(enum element_type type, uint64_t key);

/* Pure. The last key of a cell. */
uint64_t histogram_last_key(const struct cell_map *map, int64_t cell);

/* Pure. The sum of a cell's offsets as one number. */
static inline unsigned __int128 histogram_sum(const struct cell *cell)
{
    return (unsigned __int128)cell->sum[1] << 64 | cell->sum[0];
}

/* Pure. Adds or subtracts x * y modulo 2^192; the true result is never negative, intermediate ones
 * may be. */
void histogram_add_product(uint64_t words[3], unsigned __int128 x, uint64_t y, bool subtract);

/* Local. The map of cells low[n], as cell_map_init asks for them. It has one bucket: walks find
 * cells by a lookup (kernels/lookup.h), and what else asks for a cell asks for a few. */
QO_MUST_USE enum status histogram_map(struct cell_map *map, enum element_type type,
                                      const uint64_t *low, int64_t n);

/* Pure. log2 of the smallest positive number of a type: every number is an integer times it. */
int histogram_unit(enum element_type type);

/* Pure. log2 of the distance between neighbouring numbers in a cell. */
int histogram_ulp(const struct cell_map *map, int64_t cell);

#endif
