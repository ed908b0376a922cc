/* SPDX-License-Identifier: Apache-2.0 */
#include "timer.h"

#include "clock.h"

const char *phase_name(enum phase phase)
{
    static const char *const names[NUM_PHASES] = {"startup", "read",  "measure",     "solve",
                                                  "encode",  "write", "communicate", "total"};
    return names[phase];
}

void timer_start(struct timer *timer)
{
    *timer = (struct timer){.phase = PHASE_STARTUP};
    timer->begun = timer->switched = clock_seconds();
}

double timer_switch(struct timer *timer, enum phase phase)
{
    double time = clock_seconds(), seconds = time - timer->switched;
    timer->seconds[timer->phase] += seconds;
    timer->phase = phase;
    timer->switched = time;
    return seconds;
}

void timer_move(struct timer *timer, enum phase from, enum phase to, double seconds)
{
    timer->seconds[from] -= seconds;
    timer->seconds[to] += seconds;
}

void timer_spread(struct timer *timer, const struct comm *comm, struct spread spread[NUM_PHASES])
{
    timer_switch(timer, timer->phase);
    timer->seconds[PHASE_COMMUNICATE] = reduce_seconds();
    timer->seconds[PHASE_TOTAL] = timer->switched - timer->begun;
    reduce_spread(comm, timer->seconds, NUM_PHASES, spread);
}
