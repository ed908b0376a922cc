/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_OPTIONS_H
#define QO_APP_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "audit.h"
#include "reduce.h"
#include "solver.h"
#include "source.h"
#include "status.h"

/* Approaches of this build, in the order of reports. */
enum approach {
    APPROACH_UNIFORM,
    APPROACH_NON_UNIFORM,
    APPROACH_EASYQUANT,
    APPROACH_EASYQUANT_UNIFORM,
    NUM_APPROACHES,
    APPROACH_CODEBOOK = NUM_APPROACHES /* a fixed codebook; several may be wanted */
};

enum when { WHEN_AUTO, WHEN_ALWAYS, WHEN_NEVER };

enum device_choice { DEVICE_AUTO, DEVICE_CPU, DEVICE_CUDA };

enum action { ACTION_RUN, ACTION_RESTORE, ACTION_SELFTEST, ACTION_HELP, ACTION_VERSION };

/* What the user asked for, complete: every option has its value or its default. */
struct options {
    enum action action;
    const char **inputs; /* [num_inputs] */
    int num_inputs;
    char *vector_size; /* "small" or "large" */
    char *generate;    /* or NULL */
    uint64_t seed;
    bool has_dtype;
    enum element_type dtype;
    int num_dims; /* of --shape; -1: not given */
    int64_t shape[SOURCE_MAX_DIMS];
    char *include, *exclude; /* or NULL */
    bool ignore_fills;       /* --fill_values use */
    bool approach[NUM_APPROACHES];
    struct audit *audits; /* [num_audits], or NULL: fixed codebooks that are wanted too */
    int num_audits;
    bool bits[9]; /* bits[b]: b bits are wanted */
    double threshold;
    bool has_range; /* else: -4:4 for built-in vectors, minmax for others */
    enum range_kind range;
    double range_lo, range_hi;
    char *solver;
    enum init init;
    int max_iterations;
    double tolerance;
    double gap;
    int sample_size; /* 0: all elements */
    enum device_choice device;
    enum reduce_choice comm;
    int threads;          /* 0: auto */
    int64_t memory_limit; /* bytes of a rank; 0: not given */
    double max_walltime;  /* seconds; 0: not given */
    bool resume;
    double comm_timeout; /* seconds */
    bool keep_nonfinite;
    char *save_dir;
    char *output;                    /* NULL: save_dir/quantized.h5 */
    bool no_output;                  /* --output none */
    char *restore, *select, *result; /* or NULL */
    char *config;
    enum when progress;
    bool verbose, quiet, dry_run, selftest;
};

/* Pure. "uniform", "non-uniform", "easyquant", "easyquant-uniform". Codebooks have names of their
 * own. */
const char *approach_name(enum approach approach);

/*
 * Local. Reads the command line and the file of --config, the command line winning. QO_USAGE or
 * QO_CONFIG with one message that names the option, the value and the nearest valid name. `options`
 * is to be cleared after a failure too. What is kept of argv is copied. --help or --version
 * anywhere is the action, whatever else is wrong. Whether a device or a communication can be used
 * is known where they are tried.
 *
 * Nothing is ignored silently: an option that this run has no use for is refused where it
 * contradicts the run, and else warned about in the log, one line each. Defaults in the file are
 * passed over, as a saved run names them all.
 */
QO_MUST_USE enum status options_read(struct options *options, int argc, char **argv);

/* Local. Frees; a zeroed or cleared struct may be cleared again. */
void options_clear(struct options *options);

/* Local. Prints the help, made from the table, ending in commands that work. */
void options_help(FILE *out);

/* Local. *yaml = a file for --config that repeats this run from its start, inputs included;
 * memory_free it. */
QO_MUST_USE enum status options_to_yaml(const struct options *options, char **yaml);

/*
 * Local. Calls visit(name, value, context) for each option that a run depends on, in the table's
 * order, values as on a command line: for the echo and results.json. Each INPUT comes first, as
 * "input", "input_2", "input_3" and so on; a flag that is set has the value "true".
 */
void options_visit(const struct options *options,
                   void (*visit)(const char *name, const char *value, void *context),
                   void *context);

/*
 * Local. The same for those alone that results may depend on: two runs that agree in all of these,
 * and in what their inputs hold, have the same results. What only says how a run goes (its ranks'
 * device, threads, memory and time, what it shows) may differ in a run that goes on from a
 * checkpoint.
 */
void options_visit_results(const struct options *options,
                           void (*visit)(const char *name, const char *value, void *context),
                           void *context);

#endif
