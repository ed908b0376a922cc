/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct {
    bool speaker;
    enum log_level level;
    FILE *file;
    bool progress_shown;
    char *early; /* lines logged before there was a file */
    size_t early_length;
    FILE *early_stream;
} log_state = {.speaker = true, .level = LOG_NORMAL};

void log_setup(bool speaker, enum log_level level)
{
    log_state.speaker = speaker;
    log_state.level = level;
}

enum status log_open_file(const char *path)
{
    if (!log_state.speaker)
        return QO_OK;
    log_state.file = fopen(path, "a");
    if (!log_state.file)
        return status_raise(QO_CANT_CREATE,
                            "%s: cannot open the log: %s; choose another --save_dir", path,
                            strerror(errno));
    setvbuf(log_state.file, NULL, _IOLBF, BUFSIZ);
    if (log_state.early_stream) {
        fclose(log_state.early_stream);
        fwrite(log_state.early, 1, log_state.early_length, log_state.file);
        free(log_state.early);
        log_state.early_stream = NULL;
        log_state.early = NULL;
    }
    return QO_OK;
}

enum status log_close_file(void)
{
    FILE *file = log_state.file;
    log_state.file = NULL;
    if (log_state.early_stream) {
        fclose(log_state.early_stream);
        free(log_state.early);
        log_state.early_stream = NULL;
        log_state.early = NULL;
    }
    if (!file)
        return QO_OK;
    bool failed = ferror(file) != 0;
    failed |= fclose(file) != 0;
    return failed ? status_raise(QO_IO, "logs.txt: a line could not be written; is the disk full?")
                  : QO_OK;
}

/* Where a line for the file goes: the file, or memory until there is one. */
static FILE *file_or_early(void)
{
    if (log_state.file)
        return log_state.file;
    if (!log_state.early_stream)
        log_state.early_stream = open_memstream(&log_state.early, &log_state.early_length);
    return log_state.early_stream;
}

static void write_line(bool on_screen, const char *mark, const char *format, va_list arguments)
{
    if (!log_state.speaker)
        return;
    FILE *file = file_or_early();
    if (file) {
        va_list again;
        va_copy(again, arguments);
        char stamp[32];
        time_t now = time(NULL);
        struct tm utc;
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
        fprintf(file, "%s %s", stamp, mark);
        vfprintf(file, format, again);
        fputc('\n', file);
        va_end(again);
    }
    if (!on_screen)
        return;
    log_progress("%s", "");
    fputs(mark[0] ? "quantopt_mpi: " : "", stderr);
    fputs(mark, stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

void log_info(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(log_state.level >= LOG_NORMAL, "", format, arguments);
    va_end(arguments);
}

void log_detail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(log_state.level >= LOG_VERBOSE, "", format, arguments);
    va_end(arguments);
}

void log_warn(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(true, "warning: ", format, arguments);
    va_end(arguments);
}

void log_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(true, "error: ", format, arguments);
    va_end(arguments);
}

void log_progress(const char *format, ...)
{
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (!log_state.speaker || (!line[0] && !log_state.progress_shown))
        return;
    fprintf(stderr, "\r%s\033[K",
            line); /* back to the margin, the line, erase what is left of the old */
    fflush(stderr);
    log_state.progress_shown = line[0] != '\0';
}
