/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_DIST_STOP_H
#define QO_DIST_STOP_H

#include "comm.h"

/*
 * Asking a run to stop: by a signal, or because its time is over. Nothing is interrupted: a run
 * asks at places where its state can be saved.
 *
 * The first SIGUSR1, SIGTERM or SIGINT asks it to save and leave. Batch systems and users repeat
 * themselves when they are in a hurry: another signal more than 2 s later asks it to leave at once.
 * Signals closer together count as one, since launchers and scripts often deliver one twice. The
 * watch (watch.h) ends a process that does not obey in time.
 */

/* What is wanted at the next safe point, in ascending order. */
enum stop {
    STOP_NOT,
    STOP_SAVE,   /* time for a periodic checkpoint; then go on */
    STOP_LEAVE,  /* save, then leave with QO_STOPPED */
    STOP_AT_ONCE /* leave without saving */
};

/*
 * Local. Sets the clocks and installs the handlers; where it was not called nothing is ever wanted.
 * May be called again, and then forgets what came before.
 *
 * seconds_left  until the run must have left; INFINITY: no limit. Leaving is wanted earlier, by a
 *               twentieth of it, at most 60 s, but at least twice what the last checkpoint took.
 * every         seconds between periodic checkpoints, but at least 20 times what the last one took,
 *               so that they cost a run 5 % at most; INFINITY: none.
 */
void stop_setup(double seconds_left, double every);

/*
 * Local. Puts SIGUSR1 off until stop_setup or stop_release: it would end a process that has not
 * come to the former yet, and launchers send it at any time. To be called before threads start.
 */
void stop_hold(void);

/* Local. A SIGUSR1 that came since stop_hold arrives now. */
void stop_release(void);

/* Local. A checkpoint was saved, which took so many seconds: the clock of periodic ones starts
 * again. */
void stop_saved(double seconds);

/* Local. What this rank wants now; one look at the clock. */
enum stop stop_wanted(void);

/* Collective. comm_agree, and in its allreduce what the rank that wants most wants: *stop is the
 * same on every rank, after a failure too. */
QO_MUST_USE enum status stop_agree(const struct comm *comm, enum status status, enum stop *stop);

/* Local. Why, for the log: "signal SIGUSR1", "the time limit". On every rank what stop_agree saw
 * last, wherever the signal came. */
const char *stop_reason(void);

/* Local. Seconds until the end of the Slurm job, from SLURM_JOB_END_TIME (seconds since 1970).
 * INFINITY where that is unset, no number, or has passed: then the job was given more time. */
double stop_job_seconds(void);

/* Local. Seconds between checkpoints: QUANTOPT_CHECKPOINT_SECONDS where that is a number above 0,
 * else 300. */
double stop_checkpoint_seconds(void);

/* Signals so far. */
struct stop_signals {
    int number;           /* of the first; 0: none */
    double first, second; /* when they came, by clock_seconds; 0: not yet */
};

/* Local. For the watch; from any thread. */
struct stop_signals stop_signals(void);

#endif
