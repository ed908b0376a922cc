/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_PROGRESS_H
#define QO_APP_PROGRESS_H

#include "options.h"

/*
 * How far a run has come: on a terminal one line, redrawn at most five times a second; in a log
 * file a plain line every half minute, since people watch those too, but do not want to drown.
 */
struct progress {
    bool redraw;  /* a terminal, or --progress always */
    bool silent;  /* --progress never, or --quiet */
    double shown; /* when the last line was */
};

/* Local. Decides how to show progress. */
void progress_init(struct progress *progress, const struct options *options);

/* Local. Says what is being done, if it is time to. */
void progress_show(struct progress *progress, const char *format, ...) QO_PRINTF(2, 3);

/* Local. Takes the redrawn line away. */
void progress_end(struct progress *progress);

#endif
