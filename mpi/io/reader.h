/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_READER_H
#define QO_IO_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "source.h"
#include "status.h"

/*
 * Inside io/: what a kind of input implements, one `const struct reader` a kind. source.c drives
 * them: rank 0 scans each input into a catalog, the catalog is broadcast, and from then on each
 * rank reads by itself from an entry of it. No function here communicates; open and read may run in
 * a thread of their own, so they use nothing but the handle and the entry, and do not log.
 */

/* The most that one read of a file moves: MPI and HDF5 count in int, Linux stops at 2 GiB. */
#define READER_MAX_CALL ((int64_t)1 << 30)

/* How a file looks from outside: its size and when it was last written. One that looks the same on
 * two ranks, or at two times, holds the same. */
struct file_look {
    int64_t size, seconds, nanoseconds;
};

/* One vector and all that is needed to read it on any rank. */
struct entry {
    struct vector_info info; /* name: see catalog_add; origin is made there */
    const struct reader *reader;
    char *file;     /* path to be opened; the kind of a vector that has no file */
    char *dataset;  /* path inside the file (HDF5) or tensor, or NULL */
    int64_t offset; /* of element 0 in the file, in bytes, where the reader needs it; HDF5: 0 if
                       only the library can read it */
    struct file_look
        look; /* of the file at the scan; an HDF5 file's as it was open, if offset is not 0 */
    bool is_swapped; /* stored in the other byte order than this machine's */
    bool is_fortran; /* stored in Fortran order; never set for 0 or 1 dimensions */
    uint64_t seed;   /* of a vector that is made, not read */
    /*
     * Why the vector cannot be read, where that is known from the scan; QO_OK and NULL else. It is
     * raised only if the vector is asked for, which is known only once all vectors have their
     * names. What the scan could not find out about such a vector is 0.
     */
    enum status failure;
    char *failure_text;
};

/* A growing list; entries are in file order. A zeroed struct is an empty one. */
struct catalog {
    struct entry *entry; /* [num_entries] */
    int num_entries;
    int capacity;
};

/* What is open on this rank, one file at a time; each reader uses the fields it needs. */
struct handle {
    const struct reader *reader; /* NULL: nothing is open */
    const char *file;            /* the entry's text: as long-lived as the source */
    int fd;
    int64_t file_id, dataset_id; /* HDF5's hid_t, or -1 */
    const char *dataset;         /* which one dataset_id is; NULL: none */
};

/* The first bytes of a file, by which its kind is told. */
struct file_head {
    const char *path;
    int fd; /* open for reading, borrowed */
    int64_t size;
    unsigned char byte[4096]; /* [num_bytes] */
    int num_bytes;
};

struct reader {
    const char *name; /* "HDF5": for messages */

    /* Local. Whether the file is of this kind; never fails: a file that cannot be read is not. */
    bool (*recognises)(const struct file_head *head);

    /*
     * Local, on rank 0 only. Adds the vectors of the file to the catalog, empty ones too (n = 0:
     * source.c skips or refuses them); `dataset` is the part behind the colon, or NULL for all.
     * QO_NO_INPUT: cannot be opened, no such dataset; QO_DATA: not what it claims, or nothing of a
     * floating-point type in it. A vector of a whole file that alone cannot be read is no failure
     * of the scan but stands in its entry.
     */
    enum status (*scan)(const struct source_request *request, const char *path, const char *dataset,
                        struct catalog *catalog);

    /*
     * Local. Opens entry->file into the handle, whose fd, file_id and dataset_id are -1. Called on
     * the first read and when the file changes; after a failure close is called. The file may have
     * changed since the scan.
     */
    enum status (*open)(struct handle *handle, const struct entry *entry);

    /* Local. Reads elements [begin, end), begin < end, in C order and the machine's byte order,
     * into x. */
    enum status (*read)(struct handle *handle, const struct entry *entry, int64_t begin,
                        int64_t end, void *x);

    /* Local. Closes whatever of the handle is open; source.c resets the fields afterwards. */
    void (*close)(struct handle *handle);
};

/* The kinds there are. A new one is a line here, and in the tables of source.c and catalog.c. */
extern const struct reader reader_hdf5, reader_npy, reader_raw, reader_safetensors,
    reader_synthetic;

/*
 * Local. Appends a copy of an entry with copies of its texts, all but info.origin. info.name is the
 * path inside the file, or NULL if the vector is named after the file; source.c makes the final
 * name from it. info.origin becomes "file" or "file:dataset", without a leading '/' being doubled
 * or dropped. QO_NO_MEMORY.
 */
QO_MUST_USE enum status catalog_add(struct catalog *catalog, const struct entry *entry);

/* Local. Frees the entries; a cleared or zeroed catalog may be cleared again. */
void catalog_clear(struct catalog *catalog);

/*
 * Pure. *n = the product of shape[num_dims]; false, with *n undefined, if a factor is negative or
 * the product times `size` passes INT64_MAX. Factors of 0 do not hide an overflow of the others.
 */
QO_MUST_USE bool shape_product(const int64_t *shape, int num_dims, size_t size, int64_t *n);

#endif
