/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_RESTORED_FILE_H
#define QO_IO_RESTORED_FILE_H

#include "comm.h"
#include "source.h"
#include "status.h"

/*
 * Where restored vectors go: HDF5, a dataset a vector under its name, or `.npy` for one vector. The
 * same protocol as for result files: lock, partial, reserve, write, verify, sync, rename. bfloat16
 * is stored as uint16 bit patterns with an attribute dtype = "bfloat16" (NumPy has no such type: as
 * `.npy` it is refused, QO_USAGE). All functions are Collective and return the same status on every
 * rank.
 */
struct restored_file;

/* `path` ends in .npy or is HDF5; *vectors[count] are all that will be written, and stay where they
 * are until the file is published or abandoned. QO_CANT_CREATE, QO_USAGE, QO_IO (disk full). */
QO_MUST_USE enum status restored_file_create(const struct comm *comm, const char *path,
                                             const struct vector_info *const *vectors, int count,
                                             struct restored_file **file);

/* Writes elements [first, first + n) of vector `index`, n 0 or more and at most 2^24; `first` is a
 * multiple of QO_BLOCK, and so is n unless the part ends the vector. Each element is written once.
 */
QO_MUST_USE enum status restored_file_write(struct restored_file *file, int index, const void *x,
                                            int64_t first, int64_t n);

/* Closes, verifies, syncs, renames, unlocks, frees. */
QO_MUST_USE enum status restored_file_publish(struct restored_file *file);

/* Removes what was begun and frees; NULL is allowed. */
void restored_file_abandon(struct restored_file *file);

#endif
