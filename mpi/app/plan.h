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
struct walk_plan plan_vector(const struct options *options, const struct source *source, int index,
                             int size, int64_t limit);

/*
 * How often a vector that is not held in memory is read from beginning to end: to measure it, to
 * encode it, and to list outliers. A look at a sample, further walks that --gap may ask for and
 * Lloyd steps are not counted.
 */
int plan_readings(const struct options *options);

/* The largest number of bits that a code has; 0 where no codes are written. */
int plan_code_bits(const struct options *options);

#endif
