/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Digests that add up: each block, and each outlier, is hashed together with its place, and the
 * hashes are added. So ranks add what they hold, however the vector is cut.
 */
#include "result_file.h"

#include <string.h>
#include <xxhash.h>

/* Keep levels and outliers apart from codes, whose seeds are block numbers. */
#define LEVELS_SEED  0x6c6576656c730000u
#define OUTLIER_SEED 0x6f75746c69657200u

uint64_t result_digest_codes(const uint8_t *codes, int64_t first, int64_t n, int64_t block_bytes)
{
    uint64_t sum = 0;
    for (int64_t done = 0; done < n; done += block_bytes) {
        int64_t size = n - done < block_bytes ? n - done : block_bytes;
        sum += XXH3_64bits_withSeed(codes + done, (size_t)size,
                                    (uint64_t)((first + done) / block_bytes));
    }
    return sum;
}

uint64_t result_digest_levels(const double *level, int k)
{
    return XXH3_64bits_withSeed(level, (size_t)k * sizeof *level, LEVELS_SEED);
}

uint64_t result_digest_outliers(enum element_type type, const uint64_t *index, const void *value,
                                int64_t n)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < n; i++) {
        uint64_t outlier[2] = {index[i], element_bits(type, value, i)};
        sum += XXH3_64bits_withSeed(outlier, sizeof outlier, OUTLIER_SEED);
    }
    return sum;
}
