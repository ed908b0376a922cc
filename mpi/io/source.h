/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_SOURCE_H
#define QO_IO_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "comm.h"
#include "element.h"
#include "status.h"

/* HDF5's own limit, and NumPy's. */
#define SOURCE_MAX_DIMS 32

/* One vector of a source. */
struct vector_info {
    char *name; /* below /vectors in the result file: no leading '/', unique, no empty, "." or ".."
                   part */
    char *origin; /* "FILE", "FILE:DATASET", "FILE:TENSOR", or the name: for messages */
    enum element_type type;
    int num_dims; /* 0 for a scalar */
    int64_t shape[SOURCE_MAX_DIMS];
    int64_t n;     /* product of the shape; at least 1 */
    int num_fills; /* 0 to 2: values of _FillValue and missing_value that are not NaN */
    double fill[2];
    bool is_sequential; /* each element follows from all before it: the built-in vector `large` */
};

/* What to read; all texts are the caller's. */
struct source_request {
    const char *const *inputs; /* [num_inputs] FILE[:DATASET] */
    int num_inputs;            /* 0: `generate` if set, else `builtin` */
    const char *builtin;       /* "small" or "large" */
    const char *generate;      /* KIND:N, or NULL */
    uint64_t seed;
    bool has_type; /* --dtype was given */
    enum element_type type;
    int num_dims; /* --shape; -1: not given */
    int64_t shape[SOURCE_MAX_DIMS];
    const char *include, *exclude; /* globs on names, or NULL */
    bool ignore_fills;             /* --fill_values use */
};

struct source;

/*
 * Collective. Finds the vectors: rank 0 looks into the files, all ranks get the same list.
 * QO_NO_INPUT: a file cannot be opened or has no such dataset; QO_DATA: it opened and is not what
 * it claims; QO_USAGE: names collide, or nothing is selected. *source is NULL after a failure.
 */
QO_MUST_USE enum status source_open(const struct comm *comm, const struct source_request *request,
                                    struct source **source);

/* Pure. The number of vectors, at least 1, and one of them, valid until source_close. */
int source_count(const struct source *source);
const struct vector_info *source_vector(const struct source *source, int index);

/*
 * Local. Reads elements [begin, end) of a vector, in C order, into x, in the machine's byte order.
 * Calls move at most 1 GiB each. begin == end is allowed and reads nothing. QO_NO_INPUT, QO_DATA
 * (the file has changed or is cut), QO_IO (a read failed).
 */
QO_MUST_USE enum status source_read(struct source *source, int index, int64_t begin, int64_t end,
                                    void *x);

/*
 * Local. Elements [begin, end) will be read soon: the system may fetch them meanwhile, where they
 * lie in a row in a file. Opens it as source_read would, and says nothing of failures, which the
 * read will tell.
 */
void source_expect(struct source *source, int index, int64_t begin, int64_t end);

/*
 * Local. Whether the vector's file looks as it did when the source was opened, by its size and the
 * time of its last change: else what was read of it may be of two files. QO_DATA, QO_NO_INPUT.
 */
QO_MUST_USE enum status source_check_unchanged(const struct source *source, int index);

/* A file that vectors are read from. */
struct source_file {
    const char *path; /* as the user named it; valid until source_close */
    int64_t num_bytes;
    int64_t seconds, nanoseconds; /* of its last change, since 1970 in UTC */
};

/*
 * Local. Calls visit(file, context) for each file of the vectors, in their order, with what the
 * system says of it now; a file that is named between others comes again. Vectors that are made
 * have none. QO_NO_INPUT: one is there no more.
 */
QO_MUST_USE enum status
source_visit_files(const struct source *source,
                   void (*visit)(const struct source_file *file, void *context), void *context);

/* Local. Closes files and frees all; NULL is allowed. */
void source_close(struct source *source);

#endif
