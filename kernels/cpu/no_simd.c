/* SPDX-License-Identifier: Apache-2.0 */
#include "backends.h"

/* Stands in for the SIMD levels on machines that are not x86-64. */
static enum status no_simd_open(struct engine *engine)
{
    return status_raise(QO_UNAVAILABLE,
                        "%s: not in this build, which is not for x86-64; use portable",
                        engine->kernels->name);
}

static void no_simd_close(struct engine *engine)
{
    (void)engine;
}

const struct kernels kernels_avx2 = {.name = "avx2", .open = no_simd_open, .close = no_simd_close};
const struct kernels kernels_avx512 = {
    .name = "avx512", .open = no_simd_open, .close = no_simd_close};

bool backends_have_avx2(void)
{
    return false;
}

bool backends_have_avx512(void)
{
    return false;
}
