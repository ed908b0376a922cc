/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_PUBLISH_H
#define QO_IO_PUBLISH_H

#include <stdbool.h>
#include <stdint.h>

#include "comm.h"
#include "lock.h"
#include "status.h"

/*
 * How an output file comes to be: whole under its final name, or not at all.
 *
 * FILE.lock keeps other runs away, the data go to FILE.partial, whose space is reserved before they
 * are written; when they are verified FILE.partial is renamed to FILE. What is in the file is the
 * caller's. Inside io/.
 *
 * Functions are Collective where they do not say otherwise and then return the same status
 * on every rank; after a failure publish_abandon is still to be called.
 */
struct publication {
    const struct comm *comm;
    char *path, *partial;
    struct lock lock; /* rank 0's */
    int fd;           /* FILE.partial on rank 0, for reserving and syncing; else -1 */
    int64_t reserved; /* bytes, on rank 0 */
    bool is_kept;     /* abandoned, FILE.partial becomes FILE.encoded */
};

/*
 * Takes the lock and makes an empty FILE.partial, removing one that a run left that was killed; one
 * with the inode `kept` becomes FILE.encoded. QO_CANT_CREATE: held by another run, no such
 * directory, no permission, FILE is a directory or a device. The struct need not be initialised.
 */
QO_MUST_USE enum status publish_begin(struct publication *publication, const struct comm *comm,
                                      const char *path, int64_t kept);

/* Local, rank 0. The inode of FILE.partial. */
int64_t publish_inode(const struct publication *publication);

/*
 * Makes sure that the first `size` bytes of FILE.partial have their space on the disk, content
 * kept. QO_IO, saying what is missing and what is free, if they do not fit. No rank may be writing.
 */
QO_MUST_USE enum status publish_reserve(struct publication *publication, int64_t size);

/* Local, on rank 0. The same without the others. */
QO_MUST_USE enum status publish_reserve_alone(struct publication *publication, int64_t size);

/* Local, on rank 0. Cuts what lies behind the first `size` bytes of FILE.partial. QO_IO. */
QO_MUST_USE enum status publish_cut(const struct publication *publication, int64_t size);

/* Brings FILE.partial to the disk, from each node. */
QO_MUST_USE enum status publish_sync(struct publication *publication);

/* Renames FILE.partial to FILE, releases the lock and frees. */
QO_MUST_USE enum status publish_finish(struct publication *publication);

/* Local. Brings a new name of a file that is in its place to the disk. A failure is no reason to
 * say otherwise of the file, and a warning: some file systems cannot sync a directory at all. */
void publish_sync_directory(const char *path);

/* Local. Removes FILE.partial, or renames it to FILE.encoded if it is kept, and the lock, and
 * frees; a zeroed or finished publication is allowed. */
void publish_abandon(struct publication *publication);

#endif
