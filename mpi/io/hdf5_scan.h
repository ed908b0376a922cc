/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_HDF5_SCAN_H
#define QO_IO_HDF5_SCAN_H

#include "reader.h"

/* Local. struct reader's scan for HDF5. Inside io/. */
QO_MUST_USE enum status hdf5_scan(const struct source_request *request, const char *path,
                                  const char *dataset, struct catalog *catalog);

#endif
