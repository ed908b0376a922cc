/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_H5_H
#define QO_IO_H5_H

/* Later releases of the library keep these names with the meaning they have in 1.10. */
#define H5_USE_110_API
#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

#include "status.h"

/*
 * What the HDF5 files of this room share: a library that is silent, its errors as one line of ours,
 * and handles that are closed on every path. Included by those files only.
 *
 * A handle is a hid_t that begins as H5I_INVALID_HID and is closed at `done:` by h5_close.
 */

/*
 * Local. One thread of the process at a time is between these two. The library is not thread-safe
 * as it is mostly built, its stack of errors included, so where a second thread reads, each stretch
 * of calls, with h5_raise or h5_reason behind it, lies between them: those of reader_hdf5, and of
 * h5_output_put, the only other calls that are made while a thread reads. All else, here too, is
 * for times when one thread is at work. Whoever holds it must not take it again, nor wait for
 * another rank that might wait for it.
 */
void h5_lock(void);
void h5_unlock(void);

/* Local. Starts the library and switches its error printing off; to be called before any other call
 * of it, as often as one likes. */
QO_MUST_USE enum status h5_setup(void);

/*
 * Local. Opens a file to read through the plain driver. QO_NO_INPUT: the system does not let us;
 * QO_DATA: it is not an intact HDF5 file. *file is H5I_INVALID_HID after a failure.
 */
QO_MUST_USE enum status h5_open(const char *path, hid_t *file);

/*
 * Local. Closes a file, group, dataset, attribute, datatype, dataspace or property list and sets
 * *id to H5I_INVALID_HID; an invalid one is left alone. False if closing failed: for a file that
 * was written, its data may be lost.
 */
bool h5_close(hid_t *id);

/* Local. Why the last HDF5 call failed, as the library's innermost layer says it, in one line. ""
 * if it did not fail. To be asked before the next HDF5 call. */
#define H5_REASON_SIZE 512
void h5_reason(char reason[H5_REASON_SIZE]);

/* Local. status_raise with " (HDF5: <reason>)" behind the text. */
enum status h5_raise(enum status code, const char *format, ...) QO_PRINTF(2, 3);

/* The hard links of a group in the order of their names; a zeroed struct is an empty list. */
struct h5_names {
    char **name; /* [count] */
    int64_t count, capacity;
    int64_t num_others; /* soft and external links, that this program does not follow */
    enum status status; /* of the last h5_names_read */
};

/* Local. Fills an empty list. `origin` begins the message. QO_DATA: the group is damaged;
 * QO_NO_MEMORY. */
QO_MUST_USE enum status h5_names_read(hid_t group, const char *origin, struct h5_names *names);

/* Local. Frees the list, after a failure too; a cleared one may be cleared again. */
void h5_names_clear(struct h5_names *names);

/*
 * Local. Read an attribute of an object: an integer; at most *count integers, *count becoming their
 * number; a text of fixed length, cut at size - 1 bytes. QO_DATA: not there, or of another type or
 * size.
 */
QO_MUST_USE enum status h5_read_integer(hid_t object, const char *origin, const char *name,
                                        int64_t *value);
QO_MUST_USE enum status h5_read_integers(hid_t object, const char *origin, const char *name,
                                         int64_t *count, int64_t *value);
QO_MUST_USE enum status h5_read_text(hid_t object, const char *origin, const char *name, char *text,
                                     size_t size);

/* Raise a failure and go to the label `done` if an HDF5 call (or an id it gave) is negative. Reads
 * QO_H5(space = H5Dget_space(id), QO_DATA, "%s: its shape cannot be read", origin). */
#define QO_H5(call, ...)                                                                           \
    do {                                                                                           \
        if ((call) < 0) {                                                                          \
            status = h5_raise(__VA_ARGS__);                                                        \
            goto done;                                                                             \
        }                                                                                          \
    } while (0)

#endif
