/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_INPUT_FILE_H
#define QO_IO_INPUT_FILE_H

#include <stdint.h>

#include "reader.h"
#include "status.h"

/*
 * Inside io/: reading the bytes of an input file, for the readers that do so themselves.
 */

/*
 * Local. Opens a regular file for reading; *size = its bytes. QO_NO_INPUT, and *fd = -1: it is not
 * there, may not be read, or is a directory, pipe or device.
 */
QO_MUST_USE enum status input_file_open(const char *path, int *fd, int64_t *size);

/*
 * Local. Reads the bytes [offset, offset + n) of a file into x. `origin` names it in messages.
 * QO_DATA: the file ends before; QO_IO: the system says no.
 */
QO_MUST_USE enum status input_file_read(int fd, const char *origin, int64_t offset, int64_t n,
                                        void *x);

/* Local. Closes what input_file_open gave, and sets it to -1; -1 is allowed. */
void input_file_close(int *fd);

/* Local. The open, read and close of a reader whose vectors lie in C order from entry->offset on.
 */
enum status input_file_open_entry(struct handle *handle, const struct entry *entry);
enum status input_file_read_entry(struct handle *handle, const struct entry *entry, int64_t begin,
                                  int64_t end, void *x);
void input_file_close_entry(struct handle *handle);

/*
 * Pure. What a file of no known kind seems to be, and what to do about it, from its first bytes: "a
 * zip archive
 * (.npz?); unpack it first"; NULL if nothing comes to mind.
 */
const char *input_file_guess(const unsigned char *head, int num_bytes);

#endif
