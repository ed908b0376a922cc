/* SPDX-License-Identifier: Apache-2.0 */
#include "blocks.h"
#include "measure_block.h"

/* The same C as at every level, compiled for the least machine. */
void measure_portable(const struct lookup *lookup, const struct sorter *fills,
                      enum element_type type, const void *x, int64_t n, struct measure_part *part)
{
    measure_block(lookup, fills, type, x, n, part);
}
