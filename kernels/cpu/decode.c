/* SPDX-License-Identifier: Apache-2.0 */
#include "blocks.h"
#include "decode_block.h"

/* The truth that the other levels are held against. */
void decode_portable(const uint8_t *codes, int64_t n, int bits, const uint64_t *value,
                     enum element_type type, void *x)
{
    switch (element_size(type)) {
    case 8:
        decode_elements(codes, n, bits, value, 8, x);
        break;
    case 4:
        decode_elements(codes, n, bits, value, 4, x);
        break;
    default:
        decode_elements(codes, n, bits, value, 2, x);
    }
}
