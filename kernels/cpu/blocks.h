/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_BLOCKS_H
#define QO_KERNELS_BLOCKS_H

#include "cpu.h"

/* The block functions of each level, one file a function; struct cpu_blocks says what they do. */
#define BLOCKS_DECLARE(level)                                                                      \
    void measure_##level(const struct lookup *lookup, const struct sorter *fills,                  \
                         enum element_type type, const void *x, int64_t n,                         \
                         struct measure_part *part);                                               \
    void assign_##level(const struct sorter *sorter, enum element_type type, const void *x,        \
                        int64_t n, struct assign_sums *sums);                                      \
    void encode_##level(const struct sorter *sorter, enum element_type type, const void *x,        \
                        int64_t n, uint8_t *codes, struct encode_sums *sums);                      \
    uint64_t encode_kept_##level(const struct sorter *sorter, enum element_type type,              \
                                 const void *x, int64_t n);                                        \
    void decode_##level(const uint8_t *codes, int64_t n, int bits, const uint64_t *value,          \
                        enum element_type type, void *x)

BLOCKS_DECLARE(portable);
BLOCKS_DECLARE(avx2);
BLOCKS_DECLARE(avx512);

#endif
