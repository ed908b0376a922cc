/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_QUANTIZE_H
#define QO_APP_QUANTIZE_H

#include "kernels.h"
#include "progress.h"
#include "report.h"
#include "result_file.h"
#include "walk.h"

struct parcel;

/* A vector's elements that are NaN or infinite, where they stop the run. */
struct nonfinite {
    int64_t count, first; /* 0: there are none; the index of the first */
};

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
    int num_bad;                   /* vectors whose non-finite elements stop the run */
    struct nonfinite *nonfinite;   /* [source_count], borrowed; NULL: of no interest */
};

/* Local. Sets up a job whose source, file and journal are still to come; it must not be moved. */
void quantize_init(struct job *job, const struct options *options, const struct comm *comm,
                   struct timer *timer, struct engine *engine);

/*
 * Collective. One trip of vector `index`: read, measure, and for each bit width and approach solve,
 * encode, write; or, where an earlier run has finished the vector, its results from there. Fills
 * out->stats and out->results. QO_STOPPED if the run is to end. A vector with non-finite elements
 * that must not have any is only measured and noted in job->nonfinite, and so are all after it. The
 * same status on every rank.
 */
QO_MUST_USE enum status quantize_vector(struct job *job, int index, struct report_vector *out);

/*
 * Local. The trip of a vector in a job whose comm is this rank alone, without a file or a journal:
 * the parcel, which is empty, takes what is to be written, if it takes codes. out->results stay on
 * any rank.
 */
QO_MUST_USE enum status quantize_alone(struct job *job, int index, struct report_vector *out,
                                       struct parcel *parcel);

/* Local. Notes that a vector has elements which stop the run. */
void quantize_note_nonfinite(struct job *job, int index, const struct nonfinite *nonfinite);

/* Local. One message for all vectors that must not be quantized: QO_DATA if there are any. The same
 * on all ranks. */
QO_MUST_USE enum status quantize_check(const struct job *job);

#endif
