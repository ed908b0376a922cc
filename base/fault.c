/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Calls left until the one that fails; 0 means that none is planned. */
static atomic_long calls_left;

void fault_setup(int rank)
{
    const char *plan = getenv("QUANTOPT_FAULT");
    char *end = "";
    long call = plan ? strtol(plan, &end, 10) : 0;
    if (*end == '@' && strtol(end + 1, NULL, 10) != rank)
        call = 0;
    atomic_store(&calls_left, call);
}

bool fault_here(void)
{
    if (atomic_load_explicit(&calls_left, memory_order_relaxed) <= 0)
        return false;
    return atomic_fetch_sub(&calls_left, 1) == 1;
}
