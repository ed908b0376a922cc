/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <stdarg.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

#define SECONDS_BETWEEN_REDRAWS 0.2
#define SECONDS_BETWEEN_LINES   30.0

void progress_init(struct progress *progress, const struct options *options)
{
    bool terminal = isatty(STDERR_FILENO) == 1;
    *progress = (struct progress){
        .redraw = options->progress == WHEN_ALWAYS || (options->progress == WHEN_AUTO && terminal),
        .silent = options->progress == WHEN_NEVER || options->quiet,
        .shown = clock_seconds(),
    };
}

void progress_show(struct progress *progress, const char *format, ...)
{
    double time = clock_seconds();
    double pause = progress->redraw ? SECONDS_BETWEEN_REDRAWS : SECONDS_BETWEEN_LINES;
    if (progress->silent || time - progress->shown < pause)
        return;
    progress->shown = time;
    char line[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (progress->redraw)
        log_progress("%s", line);
    else
        log_info("%s", line);
}

void progress_end(struct progress *progress)
{
    if (progress->redraw)
        log_progress("%s", "");
}
