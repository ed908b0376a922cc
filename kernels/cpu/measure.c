/* SPDX-License-Identifier: Apache-2.0 */
#include "blocks.h"
#include "measure_block.h"

/* Counting, element by element: what every level must do. */
static bool count_f32(const struct lookup *lookup, const uint32_t *bits, int n, uintptr_t ahead,
                      struct measure_part *part)
{
    uint32_t key[MEASURE_CHUNK];
    bool equal = measure_keys_f32(bits, n, key, part);
    (void)ahead;
    for (int i = 0; i < n; i++) {
        uint32_t word = lookup->word[key[i] >> (23 - LOOKUP_TOP_BITS)];
        if (__builtin_expect(word >= LOOKUP_SEARCH, 0)) {
            measure_add_f32(lookup, key[i], 1, part);
            continue;
        }
        struct slim_cell *slim = &part->slim[lookup_place(word, key[i])];
        uint64_t offset = key[i] & (((uint64_t)1 << (word & 63)) - 1);
        slim->count_sum += ((uint64_t)1 << 40) + offset;
        slim->square += offset * offset;
    }
    return equal;
}

static bool count_f64(const struct lookup *lookup, const uint64_t *bits, int n, uintptr_t ahead,
                      struct measure_part *part)
{
    uint64_t key[MEASURE_CHUNK];
    bool equal = measure_keys_f64(bits, n, key, part);
    (void)ahead;
    for (int i = 0; i < n; i++) {
        uint32_t word = lookup->word[key[i] >> (52 - LOOKUP_TOP_BITS)];
        if (__builtin_expect(word >= LOOKUP_SEARCH, 0)) {
            measure_add_f64(lookup, key[i], 1, part);
            continue;
        }
        measure_sum_f64(&part->broad[lookup_place(word, key[i])],
                        key[i] & (((uint64_t)1 << (word & 63)) - 1), 1);
    }
    return equal;
}

void measure_portable(const struct lookup *lookup, const struct sorter *fills,
                      enum element_type type, const void *x, int64_t n, struct measure_part *part)
{
    static const struct measure_counters count = {count_f32, count_f64};
    measure_block(lookup, fills, type, x, n, part, &count);
}
