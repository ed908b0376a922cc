/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <stdarg.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

#define SECONDS_BETWEEN_REDRAWS 0.2
#define SECONDS_BETWEEN_LINES   30.0

/* What is left is not told before so many seconds, and so much of the work: it would jump. */
#define LEAST_SECONDS 3.0
#define LEAST_PART    0.02

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

void progress_begin(struct progress *progress, double total)
{
    progress->begun = clock_seconds();
    progress->total = total;
    progress->finished = 0;
}

void progress_begin_vector(struct progress *progress, double work)
{
    progress->vector_work = work;
    progress->walked = 0;
}

void progress_end_vector(struct progress *progress)
{
    progress->finished += progress->vector_work;
    progress->vector_work = progress->walked = 0;
}

/* "12 s", "3 min", "5.1 h" */
static void write_duration(double seconds, char *text, size_t size)
{
    if (seconds < 100)
        snprintf(text, size, "%.0f s", seconds);
    else if (seconds < 6000)
        snprintf(text, size, "%.0f min", seconds / 60);
    else
        snprintf(text, size, "%.1f h", seconds / 3600);
}

void progress_rest(double spent, double part, char *text, size_t size)
{
    char duration[32];
    text[0] = '\0';
    if (spent < LEAST_SECONDS || part < LEAST_PART || part >= 1)
        return;
    write_duration(spent / part - spent, duration, sizeof duration);
    snprintf(text, size, "; %.0f %% of the run, about %s left", 100 * part, duration);
}

void progress_walk(struct progress *progress, const char *name, const char *what, int64_t n,
                   int64_t done)
{
    char rest[96];
    double walked = progress->walked + (double)done;
    if (walked > progress->vector_work)
        walked = progress->vector_work;
    double part = progress->total > 0 ? (progress->finished + walked) / progress->total : 0;
    progress_rest(clock_seconds() - progress->begun, part, rest, sizeof rest);
    progress_show(progress, "%s: %s, %.0f %%%s", name, what, 100.0 * (double)done / (double)n,
                  rest);
    if (done == n)
        progress->walked = walked;
}

void progress_end(struct progress *progress)
{
    if (progress->redraw)
        log_progress("%s", "");
}
