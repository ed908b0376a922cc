/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_BASE_FAULT_H
#define QO_BASE_FAULT_H

#include <stdbool.h>

/*
 * Failures on purpose. With QUANTOPT_FAULT=N[@RANK] in the environment the N-th fallible call
 * (memory, file) of that rank, or of every rank, fails as if the system had said no. Tests walk N
 * from 1 until a run ends well: each failure must give one message, the right exit code and no half
 * file.
 */

/* Local. Reads the environment, once the rank is known; without a plan there no call fails. */
void fault_setup(int rank);

/* Local. True if the call about to be made is the one to fail. Thread-safe. */
bool fault_here(void);

#endif
