/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_MANUAL_H
#define QO_APP_MANUAL_H

#include <stdio.h>

#include "option.h"

/*
 * What the manual says beside the options, in lists that --help and the man page are both made
 * from: a text that both show stands here once. Each list ends with a NULL.
 */

/* A name and what it means, as one paragraph without line breaks. */
struct manual_entry {
    const char *name, *text;
};

/* How the program ends; scripts go by the code. */
struct manual_exit {
    enum status status;
    const char *text;
};

/* A command that works as it stands, from the top of the source tree: a test runs them. */
struct manual_example {
    const char *title;
    const char *before;    /* what has to be run first, on a line of its own; "": nothing */
    const char *arguments; /* of quantopt_mpi; long ones have a backslash and a line break */
};

/* What mpirun is given, with quantopt_mpi behind it. */
#define MANUAL_COMMAND "mpirun -np 2 --bind-to none build/quantopt_mpi "

extern const char manual_name[];        /* what the program does, in half a line */
extern const char manual_purpose[];     /* and in a sentence */
extern const char manual_syntax[];      /* how options are written */
extern const char *const manual_uses[]; /* command lines */
extern const char *const manual_groups[OPTION_NUM_GROUPS + 1];
extern const char manual_errors[]; /* what the figures are of */
extern const struct manual_entry manual_figures[];
extern const struct manual_exit manual_exits[];
extern const struct manual_example manual_examples[];

/* In the man page alone. */
extern const char *const manual_about[]; /* paragraphs */
extern const struct manual_entry manual_inputs[], manual_files[], manual_signals[],
    manual_variables[];

#define MANUAL_VALUE_BYTES 128

/* Pure. What stands for the value of an option, as in "KIND:N" and "cpu|cuda"; of a choice its
 * words, in `buffer`; "" for a flag. */
const char *manual_value(const struct option *option, char buffer[MANUAL_VALUE_BYTES]);

/*
 * Local. Prints the man page, troff of the macros man(7), as it stands on `date`, which is written
 * as it is given: YYYY-MM-DD. Whether it has arrived is for the caller to ask the stream.
 */
void manual_print(FILE *out, const char *date);

#endif
