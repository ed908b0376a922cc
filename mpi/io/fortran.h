/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_FORTRAN_H
#define QO_IO_FORTRAN_H

#include <stdint.h>

#include "reader.h"
#include "status.h"

/*
 * Local. Reads elements [begin, end), counted in C order, of an array that lies in the file in
 * Fortran order from entry->offset on, into x in C order; bytes are not swapped. Takes at most 8
 * MiB beside x. QO_DATA, QO_IO as input_file_read; QO_NO_MEMORY.
 */
QO_MUST_USE enum status fortran_read(int fd, const struct entry *entry, int64_t begin, int64_t end,
                                     void *x);

#endif
