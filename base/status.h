/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_BASE_STATUS_H
#define QO_BASE_STATUS_H

/*
 * What a function that can fail returns, and the text that goes with it.
 *
 * The values are the exit codes of the program (sysexits.h: launchers use 1, 137 and 205
 * themselves). The text is made where the failure is known and kept here until somebody prints it;
 * it is one line "FILE[:DATASET][[INDEX]]: what; remedy" without the program's name in front.
 *
 * The text is kept per thread and is gone when the thread ends. A thread that fails copies its text
 * to where the one that joins it finds it, which raises it again as its own.
 */
enum status {
    QO_OK = 0,
    QO_USAGE = 64,       /* wrong command line */
    QO_DATA = 65,        /* an input that opened is not what it claims, or holds what it must not */
    QO_NO_INPUT = 66,    /* an input that cannot be opened, or a dataset that is not there */
    QO_UNAVAILABLE = 69, /* device or communication asked for and not usable */
    QO_INTERNAL = 70,    /* a fault of this program */
    QO_NO_MEMORY = 71,   /* host or device memory exhausted */
    QO_CANT_CREATE = 73, /* output cannot be created, or is locked by another run */
    QO_IO = 74,          /* a read or write failed: disk full, verification */
    QO_STOPPED = 75,     /* stopped early on purpose; may be resumed */
    QO_CONFIG = 78       /* bad configuration file */
};

#define QO_MUST_USE            __attribute__((warn_unused_result))
#define QO_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))

/*
 * Local. Keeps the text of a failure, replacing an older one, and returns code, so that
 * `return status_raise(...)` reads well. Thread-safe, as all here.
 */
enum status status_raise(enum status code, const char *format, ...) QO_PRINTF(2, 3);

/* Local. The text this thread kept last, "" if there is none. Valid until its next status_ call. */
const char *status_text(void);

/* Local. Forgets the text: the failure was dealt with. */
void status_clear(void);

/* Pass a failure on to the label `done`; needs `enum status status` in scope. */
#define QO_TRY(call)                                                                               \
    do {                                                                                           \
        if ((status = (call)) != QO_OK)                                                            \
            goto done;                                                                             \
    } while (0)

/* Raise a failure and go to the label `done` unless the condition holds. */
#define QO_CHECK(condition, ...)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            status = status_raise(__VA_ARGS__);                                                    \
            goto done;                                                                             \
        }                                                                                          \
    } while (0)

#endif
