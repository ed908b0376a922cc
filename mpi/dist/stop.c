/* SPDX-License-Identifier: Apache-2.0 */
#include "stop.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"

/* Signals within so many seconds are one: mpirun passes a signal on to ranks that a batch system's
 * or a terminal's group signal reaches as well, well within a second. */
#define ONE_SIGNAL 2.0

/* How long before the end leaving begins: a part of the time for short runs, and what a file
 * system under load may take longer than the last time. */
#define MARGIN_PART      20.0
#define MARGIN_MOST      60.0
#define MARGIN_OF_COST   2.0
#define INTERVAL_OF_COST 20.0

#define CHECKPOINT_SECONDS 300.0

/* What a rank wants and why in one number, so that the largest one of all ranks tells both. */
#define WHY 256

/* Handlers can set nothing but globals. */
static atomic_int signal_number;
static _Atomic double first_at, second_at;

/* Of the thread that calls MPI. The zeroed state wants nothing. */
static struct {
    bool is_set;
    double limit, margin; /* the former by clock_seconds */
    double every, saved;  /* the latter when, by clock_seconds */
    double cost;
    int agreed;
} state;

/* The number comes first: who sees the time sees it. */
static void on_signal(int number)
{
    int none = 0;
    double now = clock_seconds();
    if (atomic_compare_exchange_strong(&signal_number, &none, number)) {
        atomic_store(&first_at, now);
        return;
    }
    double first = atomic_load(&first_at); /* 0 where a handler interrupts the first one */
    if (first > 0 && now - first > ONE_SIGNAL && atomic_load(&second_at) == 0)
        atomic_store(&second_at, now);
}

/* SA_RESTART: what MPI and HDF5 call in the system must not fail for it. */
static void install(int number)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

void stop_setup(double seconds_left, double every)
{
    double now = clock_seconds();
    state.is_set = true;
    state.limit = now + seconds_left;
    state.margin = fmin(seconds_left / MARGIN_PART, MARGIN_MOST);
    state.every = every;
    state.saved = now;
    state.cost = 0;
    state.agreed = 0;
    atomic_store(&first_at, 0);
    atomic_store(&second_at, 0);
    atomic_store(&signal_number, 0);
    install(SIGUSR1);
    install(SIGTERM);
    install(SIGINT);
    stop_release();
}

/* Threads that MPI starts meanwhile keep it put off, which does not matter: any one thread takes
 * it. */
static void mask(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(how, &set, NULL);
}

void stop_hold(void)
{
    mask(SIG_BLOCK);
}

void stop_release(void)
{
    mask(SIG_UNBLOCK);
}

void stop_saved(double seconds)
{
    state.saved = clock_seconds();
    state.cost = seconds;
}

enum stop stop_wanted(void)
{
    if (!state.is_set)
        return STOP_NOT;
    if (atomic_load(&second_at) > 0)
        return STOP_AT_ONCE;
    double now = clock_seconds();
    double margin = fmax(state.margin, MARGIN_OF_COST * state.cost);
    double interval = fmax(state.every, INTERVAL_OF_COST * state.cost);
    if (atomic_load(&signal_number) || now > state.limit - margin)
        return STOP_LEAVE;
    return now - state.saved >= interval ? STOP_SAVE : STOP_NOT;
}

/* What this rank wants, and the signal that says so. */
static int wanted_and_why(void)
{
    return WHY * (int)stop_wanted() + atomic_load(&signal_number) % WHY;
}

enum status stop_agree(const struct comm *comm, enum status status, enum stop *stop)
{
    state.agreed = wanted_and_why();
    status = comm_agree_max(comm, status, &state.agreed);
    *stop = (enum stop)(state.agreed / WHY);
    return status;
}

static const char *name_of(int number)
{
    switch (number) {
    case SIGUSR1:
        return "signal SIGUSR1";
    case SIGTERM:
        return "signal SIGTERM";
    case SIGINT:
        return "signal SIGINT";
    default:
        return "the time limit";
    }
}

const char *stop_reason(void)
{
    int mine = wanted_and_why(), most = state.agreed > mine ? state.agreed : mine;
    switch ((enum stop)(most / WHY)) {
    case STOP_NOT:
        return "nothing";
    case STOP_SAVE:
        return "the time between checkpoints";
    case STOP_LEAVE:
        return name_of(most % WHY);
    default:
        return "a second signal";
    }
}

double stop_job_seconds(void)
{
    const char *text = getenv("SLURM_JOB_END_TIME");
    if (!text || text[0] < '0' || text[0] > '9')
        return INFINITY;
    char *end;
    errno = 0;
    long long until = strtoll(text, &end, 10);
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    double left = (double)until - (double)now.tv_sec - 1e-9 * (double)now.tv_nsec;
    return *end != '\0' || errno != 0 || left <= 0 ? INFINITY : left;
}

double stop_checkpoint_seconds(void)
{
    const char *text = getenv("QUANTOPT_CHECKPOINT_SECONDS");
    char *end;
    if (!text || !text[0])
        return CHECKPOINT_SECONDS;
    double seconds = strtod(text, &end);
    return *end == '\0' && seconds > 0 ? seconds : CHECKPOINT_SECONDS;
}

struct stop_signals stop_signals(void)
{
    struct stop_signals signals = {.first = atomic_load(&first_at),
                                   .second = atomic_load(&second_at)};
    signals.number = atomic_load(&signal_number);
    return signals;
}
