/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_H5_OUTPUT_H
#define QO_IO_H5_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "comm.h"
#include "element.h"
#include "h5.h"
#include "status.h"

/*
 * Making an HDF5 file: what any reader since HDF5 1.8 understands, without time stamps in objects,
 * so that equal runs give equal files. Inside io/.
 *
 * A file is made by all ranks of `comm` through MPI-IO; where `comm` has one rank, or is NULL and
 * the file is this process' own, through the plain driver. Functions that create must be called by
 * all ranks with the same arguments; they bring no agreement of their own. Data move in collective
 * calls, which agree; each rank's part by itself.
 */
struct h5_output {
    const struct comm *comm; /* or NULL */
    const char *path;        /* for messages: the final name; borrowed */
    hid_t file;
    hid_t transfer; /* how data move */
    /* What objects are made with, once for all of them: a result takes some forty. */
    hid_t link_list, group_list, dataset_list, scalar;
    bool is_parallel;
    bool has_failed; /* a write of this rank has */
    int64_t end;     /* of the last dataset in the file, in bytes */
    /* Not QO_OK: MPI-IO failed so; the file can neither be closed nor left open. */
    enum status broken;
    /* Between h5_output_defer and h5_output_catch_up: */
    bool is_deferred;
    int writer;               /* the rank that writes the data of arrays */
    enum status deferred;     /* this rank's first failure, */
    bool breaks;              /* which breaks the output, */
    char deferred_text[8192]; /* and its text */
};

/* The most that one call moves: MPI counts in int, Linux stops at 2 GiB. */
#define H5_OUTPUT_MAX_CALL ((int64_t)1 << 30)

/* Texts longer than this go to a dataset: an object's header holds at most 64 KiB. */
#define H5_OUTPUT_MAX_TEXT 61440

/*
 * What is to be reserved beyond output->end and the datasets that are about to be made: groups and
 * attributes, of some 10 KiB a result. It is to be done before they are made: a file that HDF5
 * cannot write or bring to its size when it is closed is broken.
 */
#define H5_OUTPUT_SLACK ((int64_t)2 << 20)

/*
 * Collective. Starts the file `partial`, which exists and is empty. The same status on all ranks.
 * h5_output_close or h5_output_discard is to be called in any case.
 */
QO_MUST_USE enum status h5_output_open(struct h5_output *output, const struct comm *comm,
                                       const char *path, const char *partial);

/*
 * Collective. Closes the file; QO_IO on all ranks if that fails on one, and the output is broken
 * then. Not promised: that ranks come back where one of several alone cannot write the groups and
 * attributes that HDF5 has kept for the end; inside HDF5 the others wait for it.
 */
QO_MUST_USE enum status h5_output_close(struct h5_output *output);

/* Collective. Closes a file that is given up, the text of an earlier failure kept. A zeroed or
 * closed output is allowed; a broken one is left as it is. */
void h5_output_discard(struct h5_output *output);

/*
 * Local. Returns unless the output is broken. Then MPI_Finalize, in which HDF5 closes what is open,
 * would crash or hang: the program ends here, with that failure's code, once rank 0 has said why
 * by h5_output_say.
 */
void h5_output_say(const struct h5_output *output);
void h5_output_give_up(const struct h5_output *output, const struct comm *comm);

/* Collective. Agrees on what HDF5 calls of all ranks gave; a failure of several ranks breaks the
 * output. */
QO_MUST_USE enum status h5_output_agree(struct h5_output *output, enum status status);

/* Collective. A group below the file's root, those on the way to it included. */
QO_MUST_USE enum status h5_output_group(struct h5_output *output, hid_t parent, const char *name,
                                        hid_t *group);

/* Collective. A contiguous dataset dims[rank] (rank 0: a scalar), its space allocated, not filled.
 */
QO_MUST_USE enum status h5_output_dataset(struct h5_output *output, hid_t parent, const char *name,
                                          hid_t type, int rank, const int64_t *dims,
                                          hid_t *dataset);

/*
 * Local. Writes elements [first, first + n), n > 0, of a dataset of one dimension or, with first =
 * 0 and n = 1, a scalar, stored as `type` in memory; at most H5_OUTPUT_MAX_CALL bytes. After a
 * failure the ranks are to call h5_output_settle before the output is closed.
 */
QO_MUST_USE enum status h5_output_put(struct h5_output *output, hid_t dataset, const char *name,
                                      hid_t type, int64_t first, int64_t n, const void *data);

/*
 * Local. From here to h5_output_catch_up nothing is agreed upon: many small objects would wait for
 * the network more than for anything else. All functions return QO_OK, and each rank keeps its
 * first failure and goes on with its next objects, since all ranks have to make the same calls;
 * after a failure it writes no more data. `writer`, which may be set anew at any time and begins as
 * 0, is the rank that writes the data of arrays; on the others they may be NULL.
 *
 * Not promised: that ranks come back soon where HDF5 has no memory for an object on one of several
 * ranks; inside HDF5 the others may wait for it until the watch ends them.
 */
void h5_output_defer(struct h5_output *output);

/* Collective. The first failure of the lowest rank that has one, and agreements again. */
QO_MUST_USE enum status h5_output_catch_up(struct h5_output *output);

/* Collective. If h5_output_put has failed on a rank, the output is broken on all. */
void h5_output_settle(struct h5_output *output);

/* Local. Where the data of a dataset lie in the file, in bytes; -1 where there are none, or no
 * dataset. */
int64_t h5_output_place(hid_t dataset);

/* Collective. A small dataset x[n], n > 0, which rank 0 writes, or the writer (h5_output_defer);
 * *place, if it is not NULL, is where
 * its data lie. The same status on all ranks. */
QO_MUST_USE enum status h5_output_array(struct h5_output *output, hid_t parent, const char *name,
                                        hid_t type, int64_t n, const void *x, int64_t *place);

/* Collective. Attributes: one number, integers x[n] (n may be 0), x[n] of a type in the file whose
 * bytes x has, a text in UTF-8. */
QO_MUST_USE enum status h5_output_real(struct h5_output *output, hid_t object, const char *name,
                                       double x);
QO_MUST_USE enum status h5_output_integer(struct h5_output *output, hid_t object, const char *name,
                                          int64_t x);
QO_MUST_USE enum status h5_output_integers(struct h5_output *output, hid_t object, const char *name,
                                           const int64_t *x, int n);
QO_MUST_USE enum status h5_output_list(struct h5_output *output, hid_t object, const char *name,
                                       hid_t type, int64_t n, const void *x);
QO_MUST_USE enum status h5_output_byte(struct h5_output *output, hid_t object, const char *name,
                                       uint8_t x);
QO_MUST_USE enum status h5_output_text(struct h5_output *output, hid_t object, const char *name,
                                       const char *text);

/* Collective. A text of the root: an attribute, or a dataset of that name if it is long, and then
 * the attribute says where. The same status on all ranks. */
QO_MUST_USE enum status h5_output_long_text(struct h5_output *output, const char *name,
                                            const char *text);

/* Local. Opens a file of ours to read it back. QO_IO, whatever a reader would call the failure. */
QO_MUST_USE enum status h5_output_reopen(const char *partial, hid_t *file);

/* Local. The type in which elements are stored, little-endian: IEEE, and uint16 for bfloat16. To be
 * closed; negative if there is no memory. */
hid_t h5_output_type(enum element_type type);

#endif
