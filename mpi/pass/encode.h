/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_PASS_ENCODE_H
#define QO_PASS_ENCODE_H

#include "result_file.h"
#include "walk.h"

/* What an encoding walk found, the same on all ranks. */
struct encoding {
    double error; /* sum of squared errors */
    double max_error;
    int64_t num_outliers;
    uint64_t digest;     /* of the codes */
    double seconds;      /* of the slowest rank */
    int64_t my_outliers; /* this rank's, and those of the ranks before it */
    int64_t outliers_before;
};

/*
 * Collective. Encodes the shard into codes[ceil(shard elements * bits / 8)] and adds up errors and
 * outliers. The same status on every rank.
 */
QO_MUST_USE enum status encode_vector(const struct walk *walk, const struct level_table *table,
                                      uint8_t *codes, struct encoding *encoding);

/*
 * Collective. Walks over the shard once more, if there are outliers, to write them in index order
 * to the file's current result (file may be NULL: then they are only digested). Adds their digest
 * to *digest. The same status on every rank.
 */
QO_MUST_USE enum status encode_outliers(const struct walk *walk, const struct level_table *table,
                                        const struct encoding *encoding, struct result_file *file,
                                        uint64_t *digest);

#endif
