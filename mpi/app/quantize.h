/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_QUANTIZE_H
#define QO_APP_QUANTIZE_H

#include "kernels.h"
#include "progress.h"
#include "report.h"
#include "result_file.h"
#include "walk.h"

/* What the trips of all vectors share. */
struct job {
    const struct options *options;
    const struct comm *comm;
    struct timer *timer;
    struct engine *engine;
    struct source *source;
    struct result_file *file; /* NULL with --output none */
    struct journal *journal;
    int64_t memory_limit; /* bytes a rank may use for a vector */
    struct progress progress;
    struct walk_observer observer; /* shows progress, and times reading */
    int num_unnamed;               /* of them, those that `bad` has no room for */
    int num_bad;                   /* vectors whose non-finite elements stop the run */
    char bad[4096];                /* their names and counts, for the one message */
};

/* Local. Sets up a job whose source, file and journal are still to come; it must not be moved. */
void quantize_init(struct job *job, const struct options *options, const struct comm *comm,
                   struct timer *timer, struct engine *engine);

/*
 * Collective. One trip of vector `index`: read, measure, and for each bit width and approach solve,
 * encode, write; or, where an earlier run has finished the vector, its results from there. Fills
 * out->stats and out->results. QO_STOPPED if the run is to end. A vector with non-finite elements
 * that must not have any is only measured and noted in job->bad, and so are all after it. The same
 * status on every rank.
 */
QO_MUST_USE enum status quantize_vector(struct job *job, int index, struct report_vector *out);

#endif
