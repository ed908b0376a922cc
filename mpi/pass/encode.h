/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_PASS_ENCODE_H
#define QO_PASS_ENCODE_H

#include "walk.h"

/* What an encoding walk found for one quantizer, the same on all ranks. */
struct encoding {
    double error; /* sum of squared errors */
    double max_error;
    int64_t num_outliers;
    uint64_t digest; /* of the codes; of the outliers too, after encode_outliers */
    double seconds;  /* of the slowest rank */
};

/* Where codes and outliers go; all functions are Local, and called for ever later parts. */
struct encode_sink {
    void *context;
    /* Bytes [first, first + n) of the codes of result r. */
    enum status (*codes)(void *context, int r, const uint8_t *codes, int64_t first, int64_t n);
    /* Outliers [first, first + n) of result r, in the vector's own type. */
    enum status (*outliers)(void *context, int r, const uint64_t *index, const void *value,
                            int64_t first, int64_t n);
};

/* The results of one vector that are encoded together. */
struct encode_job {
    const struct walk *walk;
    int num;
    const struct level_table *table; /* [num] */
    struct encode_sink sink;
    const int64_t *old_place;  /* [3 * num]: journal_old_places; NULL: nothing was encoded before */
    struct encoding *encoding; /* [num]: filled in */
    double sink_seconds;       /* this rank's in the sink: added to */
};

/*
 * Collective. One walk over the vector: encodes it for every quantizer and adds up errors and
 * outliers. Blocks that an earlier run has encoded are taken from there. The same status on every
 * rank.
 */
QO_MUST_USE enum status encode_vector(struct encode_job *job);

/*
 * Collective. Walks over the vector once more, if there are outliers, to give them to the sink in
 * index order, and adds their digest. The same status on every rank.
 */
QO_MUST_USE enum status encode_outliers(struct encode_job *job);

/* Words in which the sums of one quantizer travel. */
#define ENCODING_SUMS (2 + EXACT_WORDS)

/* Local. This rank's totals as sums, the digest being 0, and a maximum; and an encoding, without
 * seconds, from those of all ranks. */
void encoding_pack(struct encode_totals *totals, int64_t *sums, int64_t *maximum);
void encoding_unpack(const int64_t *sums, int64_t maximum, struct encoding *encoding);

#endif
