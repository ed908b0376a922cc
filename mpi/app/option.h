/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_OPTION_H
#define QO_APP_OPTION_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"
#include "status.h"

/*
 * One option: the table that the parser, the reader of --config, --help, the echo and the copy in
 * the result file are made from. For options.c, option_value.c and option_help.c only.
 */

/* In the order of the table, of --help and of the echo. */
enum option_id {
    OPTION_INPUTS,
    OPTION_VECTOR_SIZE,
    OPTION_GENERATE,
    OPTION_SEED,
    OPTION_DTYPE,
    OPTION_SHAPE,
    OPTION_INCLUDE,
    OPTION_EXCLUDE,
    OPTION_FILL_VALUES,
    OPTION_NONFINITE,
    OPTION_APPROACH,
    OPTION_NUM_BITS,
    OPTION_THRESHOLD,
    OPTION_RANGE,
    OPTION_SOLVER,
    OPTION_INIT,
    OPTION_MAX_ITERATIONS,
    OPTION_TOLERANCE,
    OPTION_GAP,
    OPTION_SAMPLE_SIZE,
    OPTION_DEVICE,
    OPTION_COMM,
    OPTION_THREADS,
    OPTION_USE_MULTIPROCESSING,
    OPTION_MEMORY_LIMIT,
    OPTION_MAX_WALLTIME,
    OPTION_RESUME,
    OPTION_COMM_TIMEOUT,
    OPTION_SELFTEST,
    OPTION_SAVE_DIR,
    OPTION_OUTPUT,
    OPTION_RESTORE,
    OPTION_SELECT,
    OPTION_RESULT,
    OPTION_CONFIG,
    OPTION_PROGRESS,
    OPTION_VERBOSE,
    OPTION_QUIET,
    OPTION_DRY_RUN,
    OPTION_VERSION,
    OPTION_HELP,
    OPTION_NUM
};

enum option_group {
    GROUP_INPUT,
    GROUP_QUANTIZER,
    GROUP_MACHINE,
    GROUP_OUTPUT,
    GROUP_RESTORE,
    GROUP_GENERAL,
    OPTION_NUM_GROUPS
};

/* How a value is written and how it lands in struct options. */
enum option_type {
    TYPE_TEXT,     /* char *: any text that is not empty */
    TYPE_OUTPUT,   /* char *, or `none`, which sets the bool at `has` */
    TYPE_GENERATE, /* char *: KIND:N */
    TYPE_WORD,     /* char *: one of the words */
    TYPE_CHOICE,   /* enum or bool: the index of one of the words */
    TYPE_FLAG,     /* bool, without a value on the command line; true or false in a file */
    TYPE_COUNT,    /* int within lo and hi; K, M and G allowed */
    TYPE_THREADS,  /* the same, or auto, which is 0 */
    TYPE_SEED,     /* uint64_t */
    TYPE_REAL,     /* double, finite, at least lo */
    TYPE_SIZE,     /* int64_t: bytes within lo and hi; 0: not given */
    TYPE_TIME,     /* double: seconds, at least lo and above 0; 0: not given */
    TYPE_RANGE,    /* range, range_lo and range_hi, and the bool at `has` */
    TYPE_SHAPE,    /* num_dims and shape: a list */
    TYPE_BITS,     /* bool[9]: a list */
    TYPE_APPROACH, /* bool[NUM_APPROACHES], audits and num_audits: a list of words */
    TYPE_INPUTS,   /* inputs and num_inputs: a list, from a file or without a name */
    OPTION_NUM_TYPES
};

/* What must be there for an option to have an effect; option_need.c says when it is. */
enum option_need {
    NEED_NOTHING,
    NEED_WIDTH,       /* an approach that has no width of its own */
    NEED_UNIFORM,     /* the approach uniform */
    NEED_FREE_LEVELS, /* an approach whose levels are looked for */
    NEED_LLOYD,       /* such an approach, and the solver lloyd */
    NEED_SEARCH,      /* an approach whose levels depend on the data */
    NEED_WHOLE,       /* levels found on all elements */
    NEED_EASYQUANT,   /* an approach with outliers */
    NEED_CHANCE,      /* something drawn: the vector, or a start */
    NEED_FILE,        /* an INPUT */
    NEED_OVERFLOW,    /* a vector that may hold NaN or infinities */
    NEED_PROGRESS,    /* a run that shows progress */
    OPTION_NUM_NEEDS
};

struct option {
    const char *name; /* with '_' */
    enum option_group group;
    enum option_type type;
    size_t offset, size;      /* of its field in struct options; size 0: it has none */
    size_t has;               /* offset of the bool that tells that a value was given; 0: none */
    const char *metavar;      /* NULL: made from the words */
    const char *fallback;     /* the default, written as on a command line; NULL: none */
    const char *default_note; /* for --help, where the default is not a plain value */
    double lo, hi;
    const char *const *words; /* of a choice; NULL ends them */
    enum option_need need;
    bool run_only;     /* means nothing to --restore */
    bool restore_only; /* means nothing without --restore */
    bool line_only;    /* not in a file of --config, nor in the copy in the result file */
    /* Changes how a run goes, never its results: may differ in a run that goes on from a
     * checkpoint. */
    bool is_how;
    const char *help;
};

/* Pure. An entry of the table. */
const struct option *option_at(enum option_id id);

/* Pure. The option of a name, '-' and '_' being the same; NULL if there is none. */
const struct option *option_find(const char *name);

/*
 * Pure. The name nearest to one that does not exist, for a file of --config or for the command
 * line. Only what would be accepted there is proposed: a hint that leads to the next refusal helps
 * nobody.
 */
const char *option_nearest(const char *name, bool in_file);

/* Pure. Why the option has no effect in this run, to be read behind "has no effect"; NULL if it may
 * have one. */
const char *option_unmet(const struct option *option, const struct options *options);

/* Pure. When an option has no effect, to be read behind "has no effect"; NULL if it always may. */
const char *option_need_text(const struct option *option);

/* Where a value was given: for messages, and for the status of a refusal. */
struct option_place {
    const struct option *option;
    const char *file; /* of --config; NULL: the command line */
    int line;
    const char *whole; /* the value that a refused part belongs to; NULL: the value has none */
};

/*
 * Local. Raises "--NAME VALUE: what; remedy", or "FILE:LINE: NAME VALUE: ..." for a file: QO_USAGE
 * or QO_CONFIG. `value` may be NULL. A value that is but a part of what was given follows it:
 * "--NAME WHOLE: VALUE: what; remedy", so that the user finds what was typed.
 */
enum status option_refuse(const struct option_place *place, const char *value, const char *format,
                          ...) QO_PRINTF(3, 4);

/* Pure. Whether values may be given one by one, or separated by commas. */
bool option_is_list(const struct option *option);

/* Local. Takes the value back: texts are freed, lists empty, nothing counts as given. */
void option_clear(const struct option *option, struct options *options);

/* Local. Sets the value, or adds it to a list. The text is checked strictly and copied. */
QO_MUST_USE enum status option_add(const struct option_place *place, const char *value,
                                   struct options *options);

/* Room for a value that is not a text of the user's own, or is a list of approaches: they may name
 * files, one of them PATH_MAX long. */
#define OPTION_VALUE_BYTES 4608

/* Local. The value as on a command line, in `buffer` or in place; NULL where none is set. Not for
 * INPUTs. */
const char *option_print(const struct option *option, const struct options *options,
                         char buffer[OPTION_VALUE_BYTES]);

/* Local. option_print for an option that this run depends on; NULL for the others. */
const char *option_told(enum option_id id, const struct options *options,
                        char buffer[OPTION_VALUE_BYTES]);

#endif
