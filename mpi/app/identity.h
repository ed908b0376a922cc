/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_IDENTITY_H
#define QO_APP_IDENTITY_H

#include "options.h"
#include "source.h"
#include "status.h"

/*
 * What must be equal for a run to go on where another one stopped (checkpoint_compare).
 *
 * To be raised whenever the program's results, or what its walks record, change: a run then does
 * not go on from an older program's checkpoint.
 */
#define RESUME_VERSION 2

/* Vectors that stand by themselves in the identity; the rest are in a digest of all. */
#define IDENTITY_MAX_VECTORS 1000

/*
 * Local, on rank 0. *identity = lines "name = value", each ended by '\n', for memory_free: the
 * version, the options that bear on results, what the files of codebooks hold, size and time of
 * change of each input file, type and shape of each vector. The number of ranks and the machine are
 * no part of it. QO_NO_INPUT: an input file is there no more; QO_NO_MEMORY.
 */
QO_MUST_USE enum status identity_make(const struct options *options, const struct source *source,
                                      char **identity);

#endif
