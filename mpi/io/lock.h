/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_LOCK_H
#define QO_IO_LOCK_H

#include "status.h"

/*
 * FILE.lock: who is making FILE. A text file made with O_CREAT|O_EXCL that names host, process, the
 * process's start, the time and the job; it is there as long as the output is in the making.
 *
 * A lock is stale if its process is gone on this host (or its number went to another process), or
 * if another host made it under our own job: then the job was started again. Stale locks are taken
 * over with a line in the log. Inside io/; rank 0 only.
 */
#define LOCK_TEXT_SIZE 640

struct lock {
    char *path;                /* of the lock; NULL while none is held */
    char text[LOCK_TEXT_SIZE]; /* its content */
};

/*
 * Local. Takes the lock of `file`. QO_CANT_CREATE: held by another run (the text names it), no such
 * directory, no permission, name too long; QO_IO: the disk is full. Leaves nothing behind after a
 * failure. Of several that try at once exactly one wins, a stale lock in the way or not; only on
 * file systems without flock a stale lock is never taken over.
 */
QO_MUST_USE enum status lock_take(struct lock *lock, const char *file);

/* Local. Removes the lock if it is still ours; one that was never taken is allowed. */
void lock_release(struct lock *lock);

#endif
