/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

/* A vector is small up to so many elements. Finding levels, most of the work, is not cut anyway;
 * measuring and encoding are, by blocks, but no more than four ranks could share these, and two or
 * more such vectors keep as many ranks busy without. */
#define SMALL_VECTOR (4 * (int64_t)QO_BLOCK)

/* And as its codes and outliers take so many bytes, were all elements outliers of all results: the
 * rank that has it keeps them in memory. */
#define SMALL_BYTES ((int64_t)32 << 20)

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

int plan_num_results(const struct options *options)
{
    int count = 0;
    for (int bits = 1; bits <= 8; bits++)
        for (int a = 0; a < NUM_APPROACHES; a++)
            count += options->bits[bits] && options->approach[a];
    return count;
}

bool plan_is_small(const struct options *options, const struct vector_info *info)
{
    int64_t element = 1 + 8 + (int64_t)element_size(info->type); /* a code, an index, a value */
    return info->n <= SMALL_VECTOR && plan_sample_bytes(options, info, 1) == 0 &&
           info->n * element * plan_num_results(options) <= SMALL_BYTES;
}

struct walk_plan plan_vector(const struct options *options, const struct vector_info *info,
                             int size, int64_t limit)
{
    limit -= plan_sample_bytes(options, info, size);
    return walk_plan_of(info, size, limit > 0 ? limit : 0, plan_code_bits(options));
}

int plan_readings(const struct options *options)
{
    const bool *approach = options->approach;
    bool outliers = approach[APPROACH_EASYQUANT] || approach[APPROACH_EASYQUANT_UNIFORM] ||
                    options->keep_nonfinite;
    return 2 + (outliers && !options->no_output);
}
