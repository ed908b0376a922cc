/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_MACHINE_H
#define QO_APP_MACHINE_H

#include "device.h"
#include "options.h"
#include "reduce.h"

/* What a rank computes on, and how the ranks add up. */
struct machine {
    struct engine engine;
    bool on_device;       /* else on the CPU; the same on all ranks */
    struct device device; /* this rank's, if so */
};

/*
 * Collective. Opens what --device, --threads and --comm ask for, on all ranks alike. --device auto
 * takes GPUs where every rank can have one, shared or not, else the CPU, with a line in the log
 * that says why; a GPU that was taken and then fails is not changed for the CPU. QO_UNAVAILABLE for
 * --device cuda or --comm nccl where that cannot be; QO_NO_MEMORY. The same status on every rank.
 * To be closed after a failure too.
 */
QO_MUST_USE enum status machine_open(struct machine *machine, const struct options *options,
                                     struct comm *comm);

/* Collective. Frees; a zeroed or closed machine may be closed again. */
void machine_close(struct machine *machine, struct comm *comm);

/* Pure. "cpu" or "cuda". */
const char *machine_device(const struct machine *machine);

#endif
