/* SPDX-License-Identifier: Apache-2.0 */
#include "backends.h"
#include "blocks.h"

/* Plain C: the truth that every other level is tested against. */
static const struct cpu_blocks blocks_portable = {
    .measure = measure_portable,
    .assign = assign_portable,
    .encode = encode_portable,
    .kept = encode_kept_portable,
    .decode = decode_portable,
};

static enum status portable_open(struct engine *engine)
{
    return cpu_open(engine, &blocks_portable);
}

const struct kernels kernels_portable = {
    .name = "portable",
    .open = portable_open,
    .close = cpu_close,
    .hold = cpu_hold,
    .release = cpu_release,
    .measure = cpu_measure,
    .assign = cpu_assign,
    .encode = cpu_encode,
    .score = cpu_score,
    .collect = cpu_collect,
    .decode = cpu_decode,
};
