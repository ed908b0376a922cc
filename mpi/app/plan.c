/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

int plan_code_bits(const struct options *options)
{
    int bits = options->no_output ? 0 : 8;
    while (bits > 1 && !options->bits[bits])
        bits--;
    return bits;
}

int64_t plan_sample_bytes(const struct options *options, const struct vector_info *info, int size)
{
    if (options->sample_size == 0 || options->sample_size >= info->n)
        return 0;
    return shard_largest(options->sample_size, size) * (int64_t)element_size(info->type);
}

struct walk_plan plan_vector(const struct options *options, const struct source *source, int index,
                             int size, int64_t limit)
{
    limit -= plan_sample_bytes(options, source_vector(source, index), size);
    return walk_plan_of(source, index, size, limit > 0 ? limit : 0, plan_code_bits(options));
}

int plan_readings(const struct options *options)
{
    const bool *approach = options->approach;
    bool outliers = approach[APPROACH_EASYQUANT] || approach[APPROACH_EASYQUANT_UNIFORM] ||
                    options->keep_nonfinite;
    return 2 + (outliers && !options->no_output);
}
