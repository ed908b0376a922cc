/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_TOTALS_H
#define QO_KERNELS_TOTALS_H

#include "sorter.h"

/* What the backends share of measuring: how counts become totals. Of a sorter only the fills count.
 */

/* Bit patterns of a 16-bit type. */
#define TOTALS_PATTERNS 65536

/*
 * Local. Adds `count` elements of one bit pattern of a 16-bit type. Returns how many of them are
 * neither finite nor a fill, and then adds nothing: for totals_add_nonfinite.
 */
int64_t totals_add_pattern(struct measure_totals *totals, uint64_t bits, uint64_t count,
                           const struct cell_map *map, const struct sorter *fills);

/* Local. Adds the `count` elements of a tile that are neither finite nor a fill: they are rare
 * enough to look for the first one again. */
void totals_add_nonfinite(struct measure_totals *totals, int64_t count, const struct tile *tile,
                          const struct sorter *fills);

#endif
