/* SPDX-License-Identifier: Apache-2.0 */
#include <cpuid.h>

#include "backends.h"
#include "blocks.h"

/* The SIMD levels of x86-64. This file is compiled for any such machine: it asks before the others
 * run. */

static const struct cpu_blocks blocks_avx2 = {
    .measure = measure_avx2,
    .assign = assign_avx2,
    .encode = encode_avx2,
    .kept = encode_kept_avx2,
    .decode = decode_avx2,
};

static const struct cpu_blocks blocks_avx512 = {
    .measure = measure_avx512,
    .assign = assign_avx512,
    .encode = encode_avx512,
    .kept = encode_kept_avx512,
    .decode = decode_avx512,
};

bool backends_have_avx2(void)
{
    unsigned a, b, c, d; /* F16C by hand: not every compiler's __builtin_cpu_supports knows it */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("popcnt") && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

bool backends_have_avx512(void)
{
    return backends_have_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

static enum status avx2_open(struct engine *engine)
{
    if (!backends_have_avx2())
        return status_raise(QO_UNAVAILABLE,
                            "avx2: this machine lacks AVX2, BMI2 or F16C; use portable");
    return cpu_open(engine, &blocks_avx2);
}

static enum status avx512_open(struct engine *engine)
{
    if (!backends_have_avx512())
        return status_raise(QO_UNAVAILABLE,
                            "avx512: this machine lacks AVX-512 F, BW, DQ or VL; use avx2");
    return cpu_open(engine, &blocks_avx512);
}

const struct kernels kernels_avx2 = {
    .name = "avx2",
    .open = avx2_open,
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

const struct kernels kernels_avx512 = {
    .name = "avx512",
    .open = avx512_open,
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
