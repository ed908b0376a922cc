/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_CODEBOOK_FILE_H
#define QO_IO_CODEBOOK_FILE_H

#include "codebook.h"
#include "status.h"

/*
 * Local. Reads a codebook from a file, in any order: a text of decimal numbers between white space
 * or commas, in which '#' begins a comment; or a .npy of one dimension. Equal numbers are merged,
 * with a line in the log. QO_NO_INPUT: the file cannot be opened; QO_DATA: it holds something else,
 * no number, one that is not finite, or more than SOLVER_MAX_LEVELS different ones; QO_IO;
 * QO_NO_MEMORY.
 */
QO_MUST_USE enum status codebook_file_read(const char *path, struct codebook *book);

#endif
