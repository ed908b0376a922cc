/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_RECORD_H
#define QO_APP_RECORD_H

#include <stdint.h>

#include "report.h"

/*
 * The results of a vector as words: for a checkpoint, and from the rank that has quantized a vector
 * to the others. Doubles are kept bit for bit. Not among the words are the plot's arrays in the
 * stats, and `info`, which each rank has from its source.
 */

/* Pure. The words of a vector that is finished, or has no results. */
int64_t record_vector_words(const struct report_vector *vector);

/* Local. Fills words[record_vector_words(vector)]. The options are those of the run: codebooks are
 * known by their place among them. */
void record_vector_pack(const struct options *options, const struct report_vector *vector,
                        int64_t *words);

/*
 * Local. Sets the stats and results of *out from words[n]; out->info is not touched, and may be
 * NULL. Names point to constants or into the options, and levels behind the k-th are 0. QO_DATA:
 * the words are not what record_vector_pack makes, or say what no result can be; QO_NO_MEMORY. For
 * report_vector_clear; after a failure there are no results.
 */
QO_MUST_USE enum status record_vector_unpack(const struct options *options, const int64_t *words,
                                             int64_t n, struct report_vector *out);

#endif
