/* SPDX-License-Identifier: Apache-2.0 */
#include "blocks.h"
#include "scalar.h"

CPU_INLINE void assign_elements(enum element_type type, const struct sorter *sorter, const void *x,
                                int64_t n, struct assign_sums *sums)
{
    for (int64_t i = 0; i < n; i++) {
        struct scalar s = scalar_at(sorter, type, x, i);
        if (!s.kept) {
            sums->num_outliers++;
            continue;
        }
        double error = s.value - sorter->level[s.code];
        sums->lane[i % QO_LANES] += error * error;
        sums->count[s.code]++;
        sums->residual[s.code] += (uint64_t)ops_fixed(error, sorter->scale[s.code]);
    }
}

/* The truth that the other levels are held against. */
void assign_portable(const struct sorter *sorter, enum element_type type, const void *x, int64_t n,
                     struct assign_sums *sums)
{
    CPU_BY_TYPE(type, assign_elements, sorter, x, n, sums);
}
