/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_CHECKPOINT_H
#define QO_IO_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

/*
 * The file from which a run that stopped goes on. All functions are Local, on rank 0.
 *
 * The file is 64-bit words, little-endian: the magic "quantopt checkpoint\n" with the 32-bit format
 * version behind it; the bytes of the file; data_inode; the bytes of the identity; the number of
 * records; the identity, filled up with zeros; of each record kind, vector, done, n and word[n];
 * and the XXH3-64 digest of all before it. Magic, version, size and digest are in these places in
 * every version.
 */

/* One thing that is recorded: what it is about is the caller's business. */
struct checkpoint_record {
    int64_t kind, vector, done, n;
    int64_t *word; /* [n], from memory_alloc or memory_alloc_large: freed with the image */
};

struct checkpoint_image {
    char *identity; /* lines "name = value", '\n'-ended: what must be equal for the run to go on;
                       from memory_alloc, NULL is "" to checkpoint_write */
    int64_t data_inode; /* of the file that holds the encoded blocks; 0: none */
    int num_records;
    struct checkpoint_record *record; /* [num_records], from memory_alloc */
};

/*
 * Local. Makes the image what stands under PATH, and what stood there PATH.previous. Once there was
 * a checkpoint a whole one stands under one of the two names, whenever the run is killed or the
 * power fails. QO_IO (disk full, no permission), QO_NO_MEMORY: PATH is as it was, and so is
 * PATH.previous unless it was the last of the renames that failed: then it is gone. PATH.new is the
 * name for the time of writing; it is not left behind.
 */
QO_MUST_USE enum status checkpoint_write(const char *path, const struct checkpoint_image *image);

/*
 * Local. Reads PATH or, with a warning, where that is not there, not whole or not readable,
 * PATH.previous. In place of one that is not whole it becomes PATH: else the next checkpoint_write
 * would replace it with that.
 * *found = false with QO_OK if neither is there. QO_DATA: none that is there is whole, or of this
 * format version; QO_NO_INPUT or QO_IO where the system keeps it from being read; QO_NO_MEMORY.
 * The struct need not be initialised; it is to be cleared after success, and empty after a failure.
 * What records say is the caller's to check.
 */
QO_MUST_USE enum status checkpoint_read(const char *path, struct checkpoint_image *image,
                                        bool *found);

/* Local. Frees; a zeroed or cleared image may be cleared again. */
void checkpoint_image_clear(struct checkpoint_image *image);

/*
 * Local. Whether a run may go on: whether its identity `mine` is the `stored` one. The first line
 * that differs is told, with the value then and now. QO_DATA where that is of the inputs, names
 * "input ...", "vector ..." and "vectors..."; QO_USAGE for any other. A name ends at the first
 * " = "; `path` is for the message.
 */
QO_MUST_USE enum status checkpoint_compare(const char *path, const char *stored, const char *mine);

/* Local. Removes PATH, PATH.previous and PATH.new, those that are there. QO_IO, after having tried
 * all. */
QO_MUST_USE enum status checkpoint_remove(const char *path);

#endif
