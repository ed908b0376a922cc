/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_PROGRESS_H
#define QO_APP_PROGRESS_H

#include <stddef.h>

#include "options.h"

/*
 * How far a run has come: on a terminal one line, redrawn at most five times a second; in a log
 * file a plain line every half minute, since people watch those too, but do not want to drown.
 *
 * Work is counted in elements walked over. What is left is reckoned from what was done, and told
 * once that says something: walks that --gap or Lloyd steps may add are not foreseen.
 */
struct progress {
    bool redraw;        /* a terminal, or --progress always */
    bool silent;        /* --progress never, or --quiet */
    double shown;       /* when the last line was */
    double begun;       /* when work began */
    double total;       /* work of the run; 0: not known */
    double finished;    /* work of the vectors that are finished */
    double walked;      /* work of the walks of this vector that are finished */
    double vector_work; /* what this vector was expected to take */
};

/* Local. Decides how to show progress. */
void progress_init(struct progress *progress, const struct options *options);

/* Local. Says what is being done, if it is time to. */
void progress_show(struct progress *progress, const char *format, ...) QO_PRINTF(2, 3);

/* Local. The run's work begins: what all vectors are expected to take. */
void progress_begin(struct progress *progress, double total);

/* Local. A vector begins, and ends: what it is expected to take. */
void progress_begin_vector(struct progress *progress, double work);
void progress_end_vector(struct progress *progress);

/* Local. text = "; 61 % of the run, about 2 min left" for a part of the work that took `spent`
 * seconds, or "" where that is too early to say. */
void progress_rest(double spent, double part, char *text, size_t size);

/* Local. Shows that a walk over n elements has seen `done` of them. */
void progress_walk(struct progress *progress, const char *name, const char *what, int64_t n,
                   int64_t done);

/* Local. Takes the redrawn line away. */
void progress_end(struct progress *progress);

#endif
