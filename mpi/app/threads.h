/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_THREADS_H
#define QO_APP_THREADS_H

#include "comm.h"

/*
 * Collective. Threads for this rank when none are asked for: the cores it may run on, shared among
 * the ranks of its node that may run on the same ones. At least 1; may differ between ranks.
 */
int threads_auto(const struct comm *comm);

#endif
