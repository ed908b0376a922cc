/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_CATALOG_H
#define QO_IO_CATALOG_H

#include "comm.h"
#include "reader.h"
#include "status.h"

/*
 * Inside io/: what source.c does with a catalog that readers do not; the rest is in reader.h.
 */

/* Local. Frees the entries [first, num_entries) for which keep is false; keep[0] is entry `first`.
 */
void catalog_keep(struct catalog *catalog, int first, const bool *keep);

/*
 * Collective. Gives rank 0's catalog to all; elsewhere it must be empty. The same status on every
 * rank; after a failure each rank still clears its own.
 */
QO_MUST_USE enum status catalog_broadcast(const struct comm *comm, struct catalog *catalog);

#endif
