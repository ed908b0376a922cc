/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_SCALAR_H
#define QO_KERNELS_SCALAR_H

#include "cpu.h"

/* One element of a sorter's type: its value, its code, and whether it gets a level. */
struct scalar {
    double value;
    int code;
    bool kept;
};

/* One float64: its code, and whether it gets a level. */
CPU_INLINE struct scalar scalar_f64(const struct sorter *sorter, double x)
{
    bool fill = (x == sorter->fill_f64[0]) | (x == sorter->fill_f64[1]);
    bool kept = (x >= sorter->lo_f64) & (x <= sorter->hi_f64) & !fill;
    return (struct scalar){x, ops_code_f64(sorter->tree_f64, sorter->steps, x), kept};
}

/* One float32, compared as such: bounds and cuts were narrowed so that it decides the same. */
CPU_INLINE struct scalar scalar_f32(const struct sorter *sorter, float x)
{
    bool fill = (x == sorter->fill_f32[0]) | (x == sorter->fill_f32[1]);
    bool kept = (x >= sorter->lo_f32) & (x <= sorter->hi_f32) & !fill;
    return (struct scalar){(double)x, ops_code_f32(sorter->tree_f32, sorter->steps, x), kept};
}

/* Element i of x[]; `type` should be a constant where this is inlined. */
CPU_INLINE struct scalar scalar_at(const struct sorter *sorter, enum element_type type,
                                   const void *x, int64_t i)
{
    uint64_t bits = element_bits(type, x, i);
    switch (type) {
    case ELEMENT_F64:
        return scalar_f64(sorter, element_f64(bits));
    case ELEMENT_F32:
        return scalar_f32(sorter, element_f32((uint32_t)bits));
    case ELEMENT_BF16:
        return scalar_f32(sorter, element_f32((uint32_t)bits << 16));
    default:
        return scalar_f32(sorter, element_f16((uint32_t)bits));
    }
}

/* n rounded up to whole groups: what is computed where the last group is padded. */
CPU_INLINE int64_t scalar_round_up(int64_t n)
{
    return (n + CPU_GROUP - 1) / CPU_GROUP * CPU_GROUP;
}

/*
 * What stands in for the slots of elements begin to end - 1 where there are none: the codes
 * themselves, and 0 for what is missing of the last group.
 */
CPU_INLINE void scalar_slots(const struct sorter *sorter, enum element_type type, const void *x,
                             int64_t begin, int64_t end, uint16_t *slot)
{
    int64_t n = end - begin;
    memset(slot, 0, (size_t)scalar_round_up(n) * sizeof *slot);
    for (int64_t i = 0; i < n; i++)
        slot[i] = (uint16_t)scalar_at(sorter, type, x, begin + i).code;
}

#endif
