/* SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "stop.h"

/* Seconds between two looks, in nanoseconds too. */
#define TICK_NANOSECONDS 100000000L

/* A look that comes later than this was not late but stopped with its process; that time counts as
 * this much. */
#define LONGEST_TICK 1.0

/* Seconds after signals: see the header. */
#define AFTER_TERM   25.0
#define AFTER_USR1   240.0
#define AFTER_SECOND 3.0

/* What the rank waits in: written by it, read by the watch. */
static _Atomic(const char *) waiting_in;
static _Atomic double waiting_since; /* by clock_seconds; 0: it does not wait */

/* How deep pairs of begin and end are nested; of the thread that calls MPI. */
static int depth;

/* Set before the thread starts, and not while it runs. */
static struct {
    bool is_running;
    int rank;
    char host[256];
    double timeout;
    double stop_deadline; /* 0: the built-in ones */
    pthread_t thread;
} watch = {.timeout = WATCH_TIMEOUT};

/* How the thread is woken to end. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake;
static bool must_end; /* under the mutex */

void watch_begin(const char *what)
{
    if (depth++ > 0)
        return;
    atomic_store(&waiting_in, what);
    atomic_store(&waiting_since, clock_seconds());
}

void watch_end(void)
{
    if (--depth == 0)
        atomic_store(&waiting_since, 0);
}

double watch_timeout(void)
{
    return watch.timeout;
}

/* ---- Ending the process ---- */

/* One line by one system call: no lock can be in the way. On a terminal it takes the place of the
 * progress. Nothing is flushed or unloaded, which could wait again. */
static _Noreturn void end_process(enum status status, const char *what)
{
    char line[1024];
    const char *erase = isatty(STDERR_FILENO) ? "\r\033[K" : "";
    int n = snprintf(line, sizeof line, "%squantopt_mpi: error: rank %d on %s: %s\n", erase,
                     watch.rank, watch.host, what);
    size_t length = n < (int)sizeof line ? (size_t)n : sizeof line - 1;
    ssize_t written = write(STDERR_FILENO, line, length);
    (void)written; /* nobody is left to be told */
    _exit((int)status);
}

/* Ends the process if it has waited too long; `waited` is what this thread has counted. */
static void check_wait(double waited)
{
    char text[512];
    const char *what = atomic_load(&waiting_in);
    if (waited <= watch.timeout)
        return;
    snprintf(text, sizeof text,
             "has waited %.0f seconds for other ranks in %s; find the rank that says nothing, or "
             "give more time with --comm_timeout",
             waited, what);
    end_process(QO_UNAVAILABLE, text);
}

/* Seconds that a signal leaves. */
static double allowed(double built_in)
{
    return watch.stop_deadline > 0 ? watch.stop_deadline : built_in;
}

/* Ends the process if it was told to stop and is still there. */
static void check_stop(double now)
{
    char text[512];
    struct stop_signals signals = stop_signals();
    if (signals.first == 0)
        return;
    double end = signals.first + allowed(signals.number == SIGUSR1 ? AFTER_USR1 : AFTER_TERM);
    if (signals.second > 0)
        end = fmin(end, signals.second + allowed(AFTER_SECOND));
    if (now <= end)
        return;
    snprintf(text, sizeof text,
             "could not stop in time, %.0f seconds after a signal; the last checkpoint stays",
             now - signals.first);
    end_process(QO_STOPPED, text);
}

/* ---- The thread ---- */

/* Sleeps for a tick; false if it is time to end. */
static bool sleep_on(void)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK_NANOSECONDS;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    pthread_mutex_lock(&mutex);
    if (!must_end)
        pthread_cond_timedwait(&wake, &mutex, &until);
    bool goes_on = !must_end;
    pthread_mutex_unlock(&mutex);
    return goes_on;
}

/* The time of a wait is added up from looks rather than read off the clock, which goes on while the
 * process is stopped. */
static void *run(void *unused)
{
    double last = clock_seconds(), seen = 0, waited = 0;
    while (sleep_on()) {
        double now = clock_seconds(), since = atomic_load(&waiting_since);
        waited = since == 0 || since != seen ? 0 : waited + fmin(now - last, LONGEST_TICK);
        seen = since;
        last = now;
        check_wait(waited);
        check_stop(now);
    }
    return unused;
}

/* Signals are for the other threads: the handlers' system calls shall not be this one's. */
static bool start_thread(void)
{
    sigset_t all, before;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    must_end = false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&watch.thread, NULL, run, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

/* 0 where the environment does not say. */
static double read_stop_deadline(void)
{
    const char *text = getenv("QUANTOPT_STOP_DEADLINE");
    char *end;
    if (!text || !text[0])
        return 0;
    double seconds = strtod(text, &end);
    if (*end == '\0' && seconds > 0)
        return seconds;
    log_warn("QUANTOPT_STOP_DEADLINE=%s: not a number of seconds above 0; it is passed over", text);
    return 0;
}

void watch_setup(const struct comm *comm, double timeout)
{
    watch_close();
    watch.rank = comm->rank;
    watch.timeout = timeout;
    watch.stop_deadline = read_stop_deadline();
    gethostname(watch.host, sizeof watch.host - 1); /* "" where the host has none */
    watch.is_running = start_thread();
    if (!watch.is_running)
        log_warn("rank %d: no thread for the watch; a rank that does not answer is waited for",
                 comm->rank);
}

void watch_close(void)
{
    if (!watch.is_running)
        return;
    pthread_mutex_lock(&mutex);
    must_end = true;
    pthread_cond_signal(&wake);
    pthread_mutex_unlock(&mutex);
    pthread_join(watch.thread, NULL);
    pthread_cond_destroy(&wake);
    watch.is_running = false;
}
