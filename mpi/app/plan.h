/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_PLAN_H
#define QO_APP_PLAN_H

#include "options.h"
#include "source.h"
#include "walk.h"

/* What a run will do with a vector. All functions are Pure and give the same on all ranks. */

/* Bytes that a rank needs for a sample of the vector; 0 where levels are found on all elements. */
int64_t plan_sample_bytes(const struct options *options, const struct vector_info *info, int size);

/* How it is walked over by `size` ranks that may use `limit` bytes each. */
struct walk_plan plan_vector(const struct options *options, const struct vector_info *info,
                             int size, int64_t limit);

/*
 * How often a vector that is not held in memory is read from beginning to end: to measure it, to
 * encode it, and to list outliers. A look at a sample, further walks that --gap may ask for and
 * Lloyd steps are not counted.
 */
int plan_readings(const struct options *options);

/* A result that a vector is to have. */
struct plan_result {
    enum approach approach;
    const char *name; /* of the approach */
    int num_bits;
    const struct codebook *codebook; /* of APPROACH_CODEBOOK; else NULL */
};

/* How many results a vector has; and one of them: they come in the order of bits, then approaches,
 * then codebooks as they were asked for. At most RESULT_FILE_MAX_RESULTS. */
int plan_num_results(const struct options *options);
struct plan_result plan_result(const struct options *options, int r);

/*
 * Whether a vector is one of those that, if there are two or more, are dealt onto ranks whole
 * (batches.h). It does not depend on ranks or memory: what a run leaves for another one to go on
 * from must mean the same with more of them, or with one.
 */
bool plan_is_small(const struct options *options, const struct vector_info *info);

/* The largest number of bits that a code has, codebooks included; 0 where no codes are written. */
int plan_code_bits(const struct options *options);

#endif
