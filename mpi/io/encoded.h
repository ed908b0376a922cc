/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_ENCODED_H
#define QO_IO_ENCODED_H

#include <stdbool.h>
#include <stdint.h>

#include "comm.h"
#include "status.h"

/*
 * FILE.encoded: the encoded blocks that a run which stopped has left for the one that goes on. It
 * is the FILE.partial of that run, of which HDF5 must not be asked, as it may have been left at any
 * moment; where its codes and outliers lie is known from the checkpoint, and that they are whole
 * from their digests.
 */
struct encoded {
    char *path;
    int fd; /* -1: there is none */
};

/*
 * Collective. Opens FILE.encoded on all ranks, if it has the inode; else, or where a rank cannot
 * open it, there is none (encoded->fd is -1 on all ranks), with a line in the log: its blocks are
 * encoded again. QO_NO_MEMORY.
 */
QO_MUST_USE enum status encoded_open(struct encoded *encoded, const struct comm *comm,
                                     const char *file, int64_t inode);

/* Pure. Whether there is one; encoded may be NULL. */
bool encoded_is_there(const struct encoded *encoded);

/* Local. Reads n bytes at an offset; false if they are not there. */
QO_MUST_USE bool encoded_read(const struct encoded *encoded, int64_t offset, int64_t n, void *x);

/* Local. Closes; a zeroed or closed one may be closed again. The file stays. */
void encoded_close(struct encoded *encoded);

/* Local. Removes FILE.encoded, if it is there. */
void encoded_remove(const char *file);

#endif
