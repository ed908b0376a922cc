/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_BASE_LOG_H
#define QO_BASE_LOG_H

#include <stdbool.h>

#include "status.h"

/*
 * The log: lines for people on stderr, and the same lines with time stamps in a file. Only the
 * speaker (rank 0) writes; on every other rank each call is a no-op, so callers need not ask.
 */
enum log_level { LOG_QUIET, LOG_NORMAL, LOG_VERBOSE };

/* Local. Sets who speaks and how much reaches stderr. May be called again. */
void log_setup(bool speaker, enum log_level level);

/*
 * Local. Also appends every line, with the time in UTC, to the file; lines logged before are not
 * lost. QO_CANT_CREATE if it cannot be opened; the log then goes on without it.
 */
QO_MUST_USE enum status log_open_file(const char *path);

/* Local. Closes the file; QO_IO if a line could not be written. */
QO_MUST_USE enum status log_close_file(void);

/* Local. A line that is always shown but with LOG_QUIET; one shown with LOG_VERBOSE only; one that
 * is never hidden, with "warning: " or "error: " in front. No newline at the end. */
void log_info(const char *format, ...) QO_PRINTF(1, 2);
void log_detail(const char *format, ...) QO_PRINTF(1, 2);
void log_warn(const char *format, ...) QO_PRINTF(1, 2);
void log_error(const char *format, ...) QO_PRINTF(1, 2);

/* Local. Redraws one line on the terminal (stderr) and leaves the file alone; "" erases it. */
void log_progress(const char *format, ...) QO_PRINTF(1, 2);

#endif
