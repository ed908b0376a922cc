/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_REPORT_H
#define QO_APP_REPORT_H

#include <stdio.h>

#include "comm.h"
#include "machine.h"
#include "options.h"
#include "result.h"
#include "source.h"
#include "timer.h"
#include "walk.h"

/* What a run tells: filled while it goes on, written at its end by rank 0. */

/* A vector and its results. */
struct report_vector {
    const struct vector_info *info;
    struct vector_stats stats;
    int num_results;
    struct result *results; /* [num_results] */
};

struct report {
    const struct options *options;
    const struct comm *comm;
    const struct machine *machine;
    const struct source *source;
    char *yaml; /* options that repeat the run */
    char *command_line;
    char *hosts;          /* rank 0: a name of HOST_NAME_BYTES a rank */
    char *devices;        /* rank 0: a line of DEVICE_LINE_BYTES a rank; NULL on CPUs */
    char created[32];     /* ISO 8601, UTC */
    char *input;          /* the inputs in one line */
    char *output;         /* the result file, or NULL */
    int64_t memory_limit; /* bytes that a rank may use for a vector */
    bool deals_small;     /* small vectors go to ranks whole: there are two or more */
    int num_vectors;
    struct report_vector *vectors; /* [num_vectors] */
    struct spread phases[NUM_PHASES];
    struct spread peak_memory; /* bytes */
};

#define HOST_NAME_BYTES   64
#define DEVICE_LINE_BYTES 256

/* Collective. Fills all that is known before the vectors are; vectors[] is allocated. To be cleared
 * after a failure too. */
QO_MUST_USE enum status report_init(struct report *report, const struct options *options,
                                    const struct comm *comm, const struct machine *machine,
                                    const struct source *source, int64_t memory_limit, int argc,
                                    char **argv);

/* Local. Frees; a zeroed or cleared report, or vector of it, may be cleared again. */
void report_clear(struct report *report);
void report_vector_clear(struct report_vector *vector);

/* Local. "quantopt_mpi 0.1.0", and below it compiler, MPI, HDF5 and SIMD level, a line each. */
void report_version(FILE *out);

/* Local, rank 0. The start-up block in the log: versions, ranks, hosts, threads, input, plan. */
void report_start(const struct report *report);

/* Local, rank 0. What a run would do, on stdout: vectors, shards, memory a rank, output bytes. */
void report_plan(const struct report *report);

/* Pure. Whether a vector goes to one rank whole. */
bool report_is_whole(const struct report *report, int index);

/* Pure. How a vector is walked over in this run. */
struct walk_plan report_walk_plan(const struct report *report, int index);

/* Pure. Bytes of the result file but for outliers and HDF5's own, and of the largest rank's memory.
 */
int64_t report_output_bytes(const struct report *report);
int64_t report_memory_bytes(const struct report *report);

/* Local, rank 0. The table of results on stdout; the tables of times and memory in the log. */
void report_results(const struct report *report);
void report_times(const struct report *report);

/* Local, rank 0. Appends to results.txt in save_dir, in the layout of the exercise, each block
 * under a header that is not there; after a failure the file is as before. QO_IO, QO_CANT_CREATE,
 * QO_NO_MEMORY. */
QO_MUST_USE enum status report_write_text(const struct report *report);

/* Local, rank 0. Writes results.json in save_dir. QO_IO, QO_CANT_CREATE. */
QO_MUST_USE enum status report_write_json(const struct report *report);

#endif
