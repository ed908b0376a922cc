/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_TIMER_H
#define QO_APP_TIMER_H

#include "comm.h"
#include "reduce.h"

/*
 * Wall time by phase, on a clock that never jumps. PHASE_COMMUNICATE is the part of the others that
 * was spent in reductions; all but it and PHASE_TOTAL exclude each other.
 */
enum phase {
    PHASE_STARTUP,
    PHASE_READ,
    PHASE_MEASURE,
    PHASE_SOLVE,
    PHASE_ENCODE,
    PHASE_WRITE,
    PHASE_COMMUNICATE,
    PHASE_TOTAL,
    NUM_PHASES
};

struct timer {
    double begun;    /* when the program started */
    double switched; /* when the current phase began */
    enum phase phase;
    double seconds[NUM_PHASES];
};

/* Pure. "startup", "read", … */
const char *phase_name(enum phase phase);

/* Local. Starts the clock in PHASE_STARTUP. */
void timer_start(struct timer *timer);

/* Local. Ends the current phase and begins another; returns the seconds since the last switch. */
double timer_switch(struct timer *timer, enum phase phase);

/* Local. Counts seconds of one phase as another's: what a phase did for it, or waited for. */
void timer_move(struct timer *timer, enum phase from, enum phase to, double seconds);

/* Collective. Ends the current phase and gives each phase's spread over the ranks. */
void timer_spread(struct timer *timer, const struct comm *comm, struct spread spread[NUM_PHASES]);

#endif
