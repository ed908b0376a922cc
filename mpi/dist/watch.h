/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_DIST_WATCH_H
#define QO_DIST_WATCH_H

#include "comm.h"

/*
 * The watch: a thread of each rank that ends its process where the rank itself cannot, with one
 * line on stderr and at once. What MPI offers to end a job may wait for the very rank that does not
 * answer; a launcher ends the other ranks when one has ended.
 *
 * It ends a rank
 * - that waits for others longer than the timeout, with QO_UNAVAILABLE. All that wait speak, each
 *   for itself; the one that is missing is the one that does not. Time for which this process was
 *   stopped itself, such as by a suspended job, does not count.
 * - that goes on too long after a signal (stop.h), with QO_STOPPED: 25 s after SIGTERM or SIGINT,
 *   since Slurm kills 30 s after it; 240 s after SIGUSR1, which scripts ask for 300 s before the
 *   end; 3 s after the second one. QUANTOPT_STOP_DEADLINE in the environment is how many seconds it
 *   has in each of these cases: for tests, and where a system kills sooner.
 *
 * The thread wakes ten times a second and shares nothing with the others but atomic numbers.
 */

/* Seconds a rank waits for others where nobody said otherwise: as long as one may need that reads
 * its share from a slow disk. */
#define WATCH_TIMEOUT 600.0

/* Local. Starts the watch, until watch_close; timeout in seconds, INFINITY: never. Where the system
 * has no thread left there is a warning and no watch. */
void watch_setup(const struct comm *comm, double timeout);

/* Local. Ends the thread; comm_close calls it. Without watch_setup, or again, it does nothing. */
void watch_close(void);

/* Pure. The timeout that was set last, or WATCH_TIMEOUT. */
double watch_timeout(void);

/*
 * Local. Around every call in which a rank may wait for others, by the thread that calls MPI. Pairs
 * nest; the outermost counts. `what` is a literal that reads well behind "waits in ". Without
 * watch_setup nothing happens.
 */
void watch_begin(const char *what);
void watch_end(void);

#endif
