/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_PASS_RECALL_H
#define QO_PASS_RECALL_H

#include "encode.h"
#include "encoded.h"

/*
 * Blocks that an earlier run has encoded, fetched from what it left: each rank fetches its share,
 * gives it to a sink, and digests it, so that all can see whether it is what was encoded.
 */
struct recall {
    const struct comm *comm;
    const struct encoded *encoded; /* NULL: nothing was left */
    enum element_type type;
    int bits;                       /* of the result's codes */
    const int64_t *place;           /* [3]: of codes, outlier indices and values; -1: nowhere */
    const struct encode_sink *sink; /* NULL: they are digested only */
    int r;                          /* the result's number for the sink */
};

/* Pure. For result r of a job. */
struct recall encode_recall(const struct encode_job *job, int r);

/*
 * Collective. Fetches the codes of the first n elements, whole blocks or all of the vector, or its
 * first n outliers. *digest is that of all ranks' shares; *found is false if some of it is not
 * there. The same on all ranks, and the same status.
 */
QO_MUST_USE enum status recall_codes(const struct recall *recall, int64_t n, uint64_t *digest,
                                     bool *found);
QO_MUST_USE enum status recall_outliers(const struct recall *recall, int64_t n, uint64_t *digest,
                                        bool *found);

#endif
