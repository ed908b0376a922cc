/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_NAMES_H
#define QO_IO_NAMES_H

#include "reader.h"
#include "status.h"

/*
 * Inside io/: what vectors are called below /vectors in the result file.
 */

/* One INPUT: where it stands in the catalog, and the stem that its vectors are named after. */
struct input {
    char *path;
    const char *dataset; /* behind the colon, or NULL */
    int first, end;      /* entries [first, end) of the catalog */
    char *stem;
    bool is_ambiguous; /* some name of its vectors collides with another: all get the stem */
};

/*
 * Local. Gives every entry its name: the path inside its file without the leading '/', or the stem
 * if it has no path, as in a .npy file. Where names of the catalog are equal, or one is a group in
 * the path of another, all vectors of the inputs involved get "<stem>/" in front; that this tells
 * all apart is not promised: see names_check. The stem is the file's name without directory and
 * last suffix; one that repeats gets _2, _3. Parts of a path that no HDF5 link may have (empty, "."
 * and "..") and control characters become underscores. QO_NO_MEMORY.
 */
QO_MUST_USE enum status names_make(struct catalog *catalog, struct input *input, int num_inputs);

/* Local. QO_USAGE if two names are equal, or one is a group of another's path; QO_DATA if one is
 * not UTF-8; QO_NO_MEMORY. */
QO_MUST_USE enum status names_check(const struct catalog *catalog);

#endif
