/* SPDX-License-Identifier: Apache-2.0 */
#include "blocks.h"
#include "scalar.h"

/* The codes of up to eight elements, whose bits make whole bytes, and their errors. */
CPU_INLINE void encode_eight(const struct sorter *sorter, enum element_type type, const void *x,
                             int64_t i, int n, uint8_t *code, struct encode_sums *sums)
{
    for (int j = 0; j < n; j++) {
        struct scalar s = scalar_at(sorter, type, x, i + j);
        code[j] = (uint8_t)s.code;
        if (!s.kept) {
            sums->num_outliers++;
            continue;
        }
        double error = s.value - sorter->level[s.code];
        double size = error < 0 ? -error : error;
        sums->lane[(i + j) % QO_LANES] += error * error;
        sums->max_error = size > sums->max_error ? size : sums->max_error;
    }
}

/* Eight codes fill `bits` bytes. */
CPU_INLINE void encode_elements(enum element_type type, const struct sorter *sorter, const void *x,
                                int64_t n, uint8_t *codes, struct encode_sums *sums)
{
    int bits = sorter->bits;
    int64_t bytes = (n * bits + 7) / 8;
    for (int64_t i = 0, at = 0; i < n; i += 8, at += bits) {
        int m = n - i < 8 ? (int)(n - i) : 8;
        uint8_t code[8] = {0};
        uint64_t word;
        encode_eight(sorter, type, x, i, m, code, sums);
        memcpy(&word, code, 8);
        if (codes)
            cpu_store_word(codes + at, bytes - at, ops_pack(word, bits), (m * bits + 7) / 8);
    }
}

/* The truth that the other levels are held against. */
void encode_portable(const struct sorter *sorter, enum element_type type, const void *x, int64_t n,
                     uint8_t *codes, struct encode_sums *sums)
{
    CPU_BY_TYPE(type, encode_elements, sorter, x, n, codes, sums);
}

/* Bit i: whether element i of up to 64 gets a level. */
uint64_t encode_kept_portable(const struct sorter *sorter, enum element_type type, const void *x,
                              int64_t n)
{
    uint64_t mask = 0;
    for (int64_t i = 0; i < n; i++)
        mask |= (uint64_t)scalar_at(sorter, type, x, i).kept << i;
    return mask;
}
