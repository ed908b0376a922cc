/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_QUANTIZE_H
#define QO_APP_QUANTIZE_H

#include "kernels.h"
#include "progress.h"
#include "report.h"
#include "result_file.h"

/* What the trips of all vectors share. */
struct job {
    const struct options *options;
    const struct comm *comm;
    struct timer *timer;
    struct engine *engine;
    struct source *source;
    struct result_file *file; /* NULL with --output none */
    struct progress progress;
    int num_unnamed; /* of them, those that `bad` has no room for */
    int num_bad;     /* vectors whose non-finite elements stop the run */
    char bad[4096];  /* their names and counts, for the one message */
};

/*
 * Collective. One trip of vector `index`: read, measure, and for each bit width and approach solve,
 * encode, write. Fills out->stats and out->results. A vector with non-finite elements that must not
 * have any is only measured and noted in job->bad, and so are all after it. The same status on
 * every rank.
 */
QO_MUST_USE enum status quantize_vector(struct job *job, int index, struct report_vector *out);

#endif
