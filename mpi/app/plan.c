/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include "result_file.h"

/* A vector is small up to so many elements. Finding levels, most of the work, is not cut anyway;
 * measuring and encoding are, by blocks, but no more than four ranks could share these, and two or
 * more such vectors keep as many ranks busy without. */
#define SMALL_VECTOR (4 * (int64_t)QO_BLOCK)

/* And as its codes and outliers take so many bytes, were all elements outliers of all results: the
 * rank that has it keeps them in memory. */
#define SMALL_BYTES ((int64_t)32 << 20)

int plan_code_bits(const struct options *options)
{
    int bits = 0, num = options->no_output ? 0 : plan_num_results(options);
    for (int r = 0; r < num; r++) {
        struct plan_result result = plan_result(options, r);
        bits = result.num_bits > bits ? result.num_bits : bits;
    }
    return bits;
}

int64_t plan_sample_bytes(const struct options *options, const struct vector_info *info, int size)
{
    if (options->sample_size == 0 || options->sample_size >= info->n)
        return 0;
    return shard_largest(options->sample_size, size) * (int64_t)element_size(info->type);
}

_Static_assert(8 * NUM_APPROACHES + AUDIT_MOST <= RESULT_FILE_MAX_RESULTS,
               "a file has no room for all results of a vector");

int plan_num_results(const struct options *options)
{
    int count = options->num_audits;
    for (int bits = 1; bits <= 8; bits++)
        for (int a = 0; a < NUM_APPROACHES; a++)
            count += options->bits[bits] && options->approach[a];
    return count;
}

/* Result r of those of one width, if there are so many; *r becomes what is left to be skipped. */
static bool find_result(const struct options *options, int bits, int *r, struct plan_result *result)
{
    for (enum approach a = 0; a < NUM_APPROACHES; a++) {
        if (!options->bits[bits] || !options->approach[a] || (*r)-- > 0)
            continue;
        *result = (struct plan_result){.approach = a, .name = approach_name(a), .num_bits = bits};
        return true;
    }
    for (int i = 0; i < options->num_audits; i++) {
        const struct audit *audit = &options->audits[i];
        if (codebook_bits(&audit->book) != bits || (*r)-- > 0)
            continue;
        *result = (struct plan_result){APPROACH_CODEBOOK, audit->name, bits, &audit->book};
        return true;
    }
    return false;
}

struct plan_result plan_result(const struct options *options, int r)
{
    struct plan_result result = {.num_bits = 0};
    for (int bits = 1; bits <= 8 && !find_result(options, bits, &r, &result); bits++)
        ;
    return result;
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
