/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_HDF5_DATASET_H
#define QO_IO_HDF5_DATASET_H

#include "h5.h"
#include "reader.h"

/* What one HDF5 dataset is: its type, shape, storage and fill values. Inside io/. */

enum hdf5_kind {
    HDF5_ELEMENT,   /* one of our element types */
    HDF5_ODD_FLOAT, /* a float of another format, e.g. of 80 bits */
    HDF5_OTHER      /* integers, texts, compounds ... */
};

struct hdf5_type {
    enum hdf5_kind kind;
    enum element_type element; /* of HDF5_ELEMENT */
    bool is_swapped;           /* not in this machine's byte order */
    char text[40];             /* "64-bit float", "32-bit integer", "compound": for messages */
};

/* Local. Looks at a datatype. A float is ours only if each of its bit fields lies where the element
 * type's does. */
struct hdf5_type hdf5_type_find(hid_t type);

/*
 * Local. Fills in type, num_dims, shape, n and is_swapped of an entry. n = 0 where the dataset has
 * no elements. *type is what it holds; unless that is HDF5_ELEMENT the rest is not filled in.
 * uint16 with a text attribute dtype = "bfloat16" is bfloat16, as --restore writes it.
 * `origin` begins the messages. QO_DATA: damaged, or sizes that overflow.
 */
QO_MUST_USE enum status hdf5_dataset_look(hid_t dataset, const char *origin, struct entry *entry,
                                          struct hdf5_type *type);

/*
 * Local. Whether its data can be expected to be read: all filters are there, the storage has the
 * size of the shape, no part lies elsewhere. QO_DATA, and QO_NO_INPUT for an external raw file that
 * is missing.
 */
QO_MUST_USE enum status hdf5_dataset_check(hid_t dataset, const char *origin,
                                           const struct entry *entry);

/*
 * Local. Sets num_fills and fill from the attributes _FillValue and missing_value, rounded to
 * info->type; those that are no single number are passed over with a line in the log, those that
 * are NaN, or that the type cannot hold, silently: no element is equal to them. QO_DATA: damaged.
 */
QO_MUST_USE enum status hdf5_dataset_fills(hid_t dataset, const char *origin,
                                           struct vector_info *info);

#endif
