/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_HDF5_DIRECT_H
#define QO_IO_HDF5_DIRECT_H

#include "h5.h"
#include "reader.h"

/* HDF5 datasets whose elements lie in a row in the file, read without the library. Inside io/. */

/*
 * Local. Sets entry->offset and entry->look of a dataset that hdf5_dataset_check has passed, if its
 * elements lie in a row in entry->file as they are stored; else offset stays 0, and the library is
 * to read them: chunks, data in the object's header or in raw files of their own, storage that does
 * not exist yet, a dataset of another file behind a link. Never fails.
 */
void hdf5_direct_find(hid_t dataset, struct entry *entry);

/*
 * Local. *fd = a descriptor of entry->file, by which entries with an offset may be read, or -1 if
 * the file does not look as the scan found it: then the library has to be asked. QO_NO_INPUT: it
 * cannot be opened.
 */
QO_MUST_USE enum status hdf5_direct_open(const struct entry *entry, int *fd);

#endif
