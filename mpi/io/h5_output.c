/* SPDX-License-Identifier: Apache-2.0 */
#include "h5_output.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "comm_mpi.h"
#include "fault.h"
#include "log.h"
#include "watch.h"

/* Of a path and the name of a link. */
#define ALIAS_SIZE 4096

static const struct h5_output closed = {.file = H5I_INVALID_HID,
                                        .transfer = H5I_INVALID_HID,
                                        .link_list = H5I_INVALID_HID,
                                        .group_list = H5I_INVALID_HID,
                                        .dataset_list = H5I_INVALID_HID,
                                        .scalar = H5I_INVALID_HID};

/* Keeps the first failure for h5_output_catch_up. */
static enum status keep(struct h5_output *output, enum status status, bool breaks)
{
    if (status == QO_OK || output->deferred != QO_OK)
        return QO_OK;
    output->deferred = status;
    output->breaks = breaks;
    snprintf(output->deferred_text, sizeof output->deferred_text, "%s", status_text());
    return QO_OK;
}

/* comm_agree, or of one process alone; nothing yet where agreements are deferred. */
static enum status agree(struct h5_output *output, enum status status)
{
    if (output->is_deferred)
        return keep(output, status, false);
    return output->comm ? comm_agree(output->comm, status) : status;
}

/* Whether this is the rank that writes what all have. */
static bool is_writer(const struct h5_output *output)
{
    return !output->comm || output->comm->rank == (output->is_deferred ? output->writer : 0);
}

/* The failure of a call that was not made, on purpose. */
static enum status raise_unwritten(const struct h5_output *output, const char *what)
{
    return status_raise(QO_IO, "%s: %s cannot be written: %s; check the disk", output->path, what,
                        strerror(EIO));
}

/* The same where the call is collective: said before any rank makes it, since a
 * collective call that one rank leaves out would hang the others. */
static enum status ready(struct h5_output *output, const char *what)
{
    return agree(output, fault_here() ? raise_unwritten(output, what) : QO_OK);
}

/* Around calls in which ranks may wait for each other. One process alone waits for the disk. */
static void wait_begin(const struct h5_output *output)
{
    if (output->is_parallel)
        watch_begin("writing the output file");
}

static void wait_end(const struct h5_output *output)
{
    if (output->is_parallel)
        watch_end();
}

/* A property list of a class, without time stamps where objects are created. */
static hid_t plain_list(hid_t class, bool creates)
{
    hid_t list = H5Pcreate(class);
    if (list >= 0 && creates && H5Pset_obj_track_times(list, false) < 0)
        h5_close(&list);
    return list;
}

/* A list for links: names in UTF-8, groups on the way made. */
static hid_t link_list(void)
{
    hid_t list = H5Pcreate(H5P_LINK_CREATE);
    if (list >= 0 && (H5Pset_create_intermediate_group(list, 1) < 0 ||
                      H5Pset_char_encoding(list, H5T_CSET_UTF8) < 0))
        h5_close(&list);
    return list;
}

/* A list for datasets: space is allocated when they are made, so that it can be reserved before
 * the data, and not filled, which would write everything twice. */
static hid_t dataset_list(void)
{
    hid_t list = plain_list(H5P_DATASET_CREATE, true);
    if (list >= 0 && (H5Pset_layout(list, H5D_CONTIGUOUS) < 0 ||
                      H5Pset_alloc_time(list, H5D_ALLOC_TIME_EARLY) < 0 ||
                      H5Pset_fill_time(list, H5D_FILL_TIME_NEVER) < 0))
        h5_close(&list);
    return list;
}

/* What objects are made with; to be closed after a failure too. */
static enum status make_lists(struct h5_output *output)
{
    enum status status = QO_OK;
    const char *path = output->path;
    QO_H5(output->link_list = link_list(), QO_NO_MEMORY, "%s: no memory", path);
    QO_H5(output->group_list = plain_list(H5P_GROUP_CREATE, true), QO_NO_MEMORY, "%s: no memory",
          path);
    QO_H5(output->dataset_list = dataset_list(), QO_NO_MEMORY, "%s: no memory", path);
    QO_H5(output->scalar = H5Screate(H5S_SCALAR), QO_NO_MEMORY, "%s: no memory", path);
done:
    return status;
}

static enum status set_driver(const struct h5_output *output, hid_t access_list)
{
    enum status status = QO_OK;
    const char *path = output->path;
    QO_H5(H5Pset_libver_bounds(access_list, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18), QO_INTERNAL,
          "%s: no HDF5 1.8 format", path);
    if (output->is_parallel) {
        MPI_Comm comm = comm_mpi(output->comm);
        QO_H5(H5Pset_fapl_mpio(access_list, comm, MPI_INFO_NULL), QO_INTERNAL,
              "%s: no HDF5 over MPI-IO", path);
        /* Each rank writes for itself, which costs nothing as its part is one run of bytes: in a
         * collective write that fails on one rank HDF5 leaves the others in MPI_File_set_view. */
        QO_H5(H5Pset_dxpl_mpio(output->transfer, H5FD_MPIO_INDEPENDENT), QO_INTERNAL,
              "%s: no HDF5 over MPI-IO", path);
    } else {
        /* Nothing is kept back: what was written can be brought to the disk at any time. */
        QO_H5(H5Pset_sieve_buf_size(access_list, 0), QO_INTERNAL, "%s: no plain writing", path);
        QO_H5(H5Pset_fapl_sec2(access_list), QO_INTERNAL, "%s: no plain HDF5 driver", path);
    }
done:
    return status;
}

/*
 * Open MPI's own MPI-IO opens, with each file, a semaphore that is named after the last part of the
 * path alone. A run that is killed while it holds it stops all later runs on this machine that open
 * a file of that name, wherever it lies, and another user's cannot be opened. So the ranks open the
 * file by a link of a name of its own, which is removed at once. No link, no harm: then by its
 * name.
 */
static void make_alias(const char *partial, char alias[ALIAS_SIZE])
{
    struct timespec now = {0};
    const char *slash = strrchr(partial, '/');
    const char *name = slash ? slash + 1 : partial;
    clock_gettime(CLOCK_REALTIME, &now);
    int n = snprintf(alias, ALIAS_SIZE, "%.*s.quantopt-%ld-%lld%09ld", (int)(name - partial),
                     partial, (long)getpid(), (long long)now.tv_sec, now.tv_nsec);
    if (n >= ALIAS_SIZE || symlink(name, alias) != 0)
        alias[0] = '\0';
}

/* Removes the link; and what Open MPI's shared file pointers, which HDF5 does not use, keep beside
 * it where ranks are on several nodes: a run that is killed would leave that behind. */
static void remove_alias(const char *alias)
{
    char pattern[ALIAS_SIZE + sizeof "-*.lock"];
    glob_t found;
    if (unlink(alias) != 0)
        log_warn("%s: cannot be removed: %s; delete it", alias, strerror(errno));
    snprintf(pattern, sizeof pattern, "%s-*.lock", alias);
    if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++)
        (void)unlink(found.gl_pathv[i]);
    globfree(&found);
}

/* Makes the file; collective for several ranks. */
static enum status create_file(struct h5_output *output, const char *partial, hid_t create_list,
                               hid_t access_list)
{
    enum status status = QO_OK;
    char alias[ALIAS_SIZE] = "";
    if (output->is_parallel) {
        if (is_writer(output))
            make_alias(partial, alias);
        comm_broadcast(output->comm, alias, sizeof alias);
    }
    wait_begin(output);
    output->file = H5Fcreate(alias[0] ? alias : partial, H5F_ACC_TRUNC, create_list, access_list);
    wait_end(output);
    if (output->file < 0)
        status = h5_raise(QO_CANT_CREATE, "%s: cannot be created", partial);
    status = h5_output_agree(output, status);
    if (is_writer(output) && alias[0])
        remove_alias(alias);
    return status;
}

enum status h5_output_open(struct h5_output *output, const struct comm *comm, const char *path,
                           const char *partial)
{
    enum status status;
    hid_t create_list = H5I_INVALID_HID, access_list = H5I_INVALID_HID;
    *output = closed;
    output->comm = comm;
    output->path = path;
    output->is_parallel = comm && comm->size > 1;
    QO_TRY(h5_setup());
    QO_H5(create_list = plain_list(H5P_FILE_CREATE, true), QO_NO_MEMORY, "%s: no memory", path);
    QO_H5(access_list = plain_list(H5P_FILE_ACCESS, false), QO_NO_MEMORY, "%s: no memory", path);
    QO_H5(output->transfer = plain_list(H5P_DATASET_XFER, false), QO_NO_MEMORY, "%s: no memory",
          path);
    QO_TRY(make_lists(output));
    QO_TRY(set_driver(output, access_list));
done:
    status = agree(output, status);
    if (status == QO_OK)
        status = ready(output, "the file");
    if (status == QO_OK)
        status = create_file(output, partial, create_list, access_list);
    h5_close(&create_list);
    h5_close(&access_list);
    return status;
}

enum status h5_output_agree(struct h5_output *output, enum status status)
{
    if (output->is_deferred)
        return keep(output, status, true);
    status = agree(output, status);
    if (status != QO_OK && output->is_parallel && output->broken == QO_OK)
        output->broken = status;
    return status;
}

void h5_output_defer(struct h5_output *output)
{
    output->is_deferred = true;
    output->writer = 0;
    output->deferred = QO_OK;
    output->breaks = false;
}

enum status h5_output_catch_up(struct h5_output *output)
{
    int breaks = output->breaks;
    enum status status = output->deferred;
    output->is_deferred = false;
    if (status != QO_OK)
        status = status_raise(status, "%s", output->deferred_text);
    if (output->comm)
        status = comm_agree_max(output->comm, status, &breaks);
    if (status != QO_OK && breaks && output->is_parallel && output->broken == QO_OK)
        output->broken = status;
    if (status != QO_OK)
        h5_output_settle(output);
    return status;
}

/* Closes; what HDF5 could not close stays half open in it, whatever the driver. */
static enum status close_file(struct h5_output *output)
{
    wait_begin(output);
    enum status status = h5_close(&output->file) ? QO_OK : QO_IO;
    wait_end(output);
    h5_close(&output->transfer);
    h5_close(&output->link_list);
    h5_close(&output->group_list);
    h5_close(&output->dataset_list);
    h5_close(&output->scalar);
    return status;
}

/* Notes a failed close, of which all ranks know. */
static enum status end(struct h5_output *output, enum status status)
{
    status = agree(output, status);
    output->broken = status;
    if (status == QO_OK)
        *output = closed;
    return status;
}

enum status h5_output_close(struct h5_output *output)
{
    enum status status = close_file(output);
    if (status != QO_OK)
        status = h5_raise(status, "%s: cannot be closed; check the disk", output->path);
    return end(output, status);
}

void h5_output_discard(struct h5_output *output)
{
    /* The agreement passes the earlier text on. */
    if (output->path && output->broken == QO_OK)
        (void)(end(output, close_file(output)) == QO_OK);
}

void h5_output_say(const struct h5_output *output)
{
    if (output->broken != QO_OK)
        log_error("%s", status_text());
}

void h5_output_give_up(const struct h5_output *output, const struct comm *comm)
{
    if (output->broken != QO_OK)
        comm_abort(comm, output->broken);
}

enum status h5_output_group(struct h5_output *output, hid_t parent, const char *name, hid_t *group)
{
    enum status status = QO_OK;
    wait_begin(output);
    QO_H5(*group = H5Gcreate2(parent, name, output->link_list, output->group_list, H5P_DEFAULT),
          QO_IO, "%s: group %s cannot be made", output->path, name);
done:
    wait_end(output);
    return status;
}

/* A dataspace for n elements of one dimension, n 0 or more, or with rank 0 for one. */
static hid_t make_space(int rank, const int64_t *dims)
{
    hsize_t size[H5S_MAX_RANK];
    for (int i = 0; i < rank; i++)
        size[i] = (hsize_t)dims[i];
    return rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(rank, size, NULL);
}

/* The size of a file that is being written through MPI-IO is not known to HDF5; where its datasets
 * lie is. */
static void note_end(struct h5_output *output, hid_t dataset)
{
    haddr_t offset = H5Dget_offset(dataset); /* undefined where there are no elements */
    int64_t end = offset == HADDR_UNDEF ? 0 : (int64_t)(offset + H5Dget_storage_size(dataset));
    output->end = end > output->end ? end : output->end;
}

enum status h5_output_dataset(struct h5_output *output, hid_t parent, const char *name, hid_t type,
                              int rank, const int64_t *dims, hid_t *dataset)
{
    enum status status = QO_OK;
    hid_t space = H5I_INVALID_HID;
    const char *path = output->path;
    wait_begin(output);
    QO_H5(space = make_space(rank, dims), QO_NO_MEMORY, "%s: no memory for dataset %s", path, name);
    QO_H5(*dataset = H5Dcreate2(parent, name, type, space, output->link_list, output->dataset_list,
                                H5P_DEFAULT),
          QO_IO, "%s: dataset %s cannot be made", path, name);
    note_end(output, *dataset);
done:
    wait_end(output);
    h5_close(&space);
    return status;
}

/* Selects [first, first + n) of the file's space, and as much memory. */
static hid_t select_part(hid_t file_space, int64_t first, int64_t n)
{
    hsize_t start = (hsize_t)first, count = (hsize_t)n;
    hid_t memory = H5Screate_simple(1, &count, NULL);
    bool is_scalar = H5Sget_simple_extent_ndims(file_space) == 0;
    if (!is_scalar &&
        H5Sselect_hyperslab(file_space, H5S_SELECT_SET, &start, NULL, &count, NULL) < 0)
        h5_close(&memory);
    return memory;
}

/* Writes by HDF5; one that fails leaves the file in a state that no close can mend. */
static enum status write_part(struct h5_output *output, hid_t dataset, const char *name, hid_t type,
                              int64_t first, int64_t n, const void *data)
{
    enum status status = QO_OK;
    hid_t file_space = H5I_INVALID_HID, memory = H5I_INVALID_HID;
    const char *path = output->path;
    QO_H5(file_space = H5Dget_space(dataset), QO_NO_MEMORY, "%s: no memory for %s", path, name);
    QO_H5(memory = select_part(file_space, first, n), QO_NO_MEMORY, "%s: no memory for %s", path,
          name);
    wait_begin(output);
    if (H5Dwrite(dataset, type, memory, file_space, output->transfer, data) < 0) {
        status = h5_raise(QO_IO, "%s: %s cannot be written; check the disk", path, name);
        output->has_failed = true;
    }
    wait_end(output);
done:
    h5_close(&file_space);
    h5_close(&memory);
    return status;
}

enum status h5_output_put(struct h5_output *output, hid_t dataset, const char *name, hid_t type,
                          int64_t first, int64_t n, const void *data)
{
    enum status status = QO_OK;
    if (output->is_deferred && output->deferred != QO_OK)
        return QO_OK;
    if (fault_here()) {
        status = raise_unwritten(output, name);
    } else {
        h5_lock(); /* a thread may be reading another file */
        status = write_part(output, dataset, name, type, first, n, data);
        h5_unlock();
    }
    return output->is_deferred ? keep(output, status, false) : status;
}

void h5_output_settle(struct h5_output *output)
{
    if (output->broken != QO_OK || !output->is_parallel)
        return;
    output->broken = agree(output, output->has_failed ? QO_IO : QO_OK);
}

/* Collective. Agrees on what a rank's h5_output_put gave. */
static enum status agree_on_put(struct h5_output *output, enum status status)
{
    if ((status = agree(output, status)) != QO_OK)
        h5_output_settle(output);
    return status;
}

int64_t h5_output_place(hid_t dataset)
{
    haddr_t place = dataset >= 0 ? H5Dget_offset(dataset) : HADDR_UNDEF;
    return place == HADDR_UNDEF ? -1 : (int64_t)place;
}

enum status h5_output_array(struct h5_output *output, hid_t parent, const char *name, hid_t type,
                            int64_t n, const void *x, int64_t *place)
{
    hid_t dataset = H5I_INVALID_HID;
    enum status status = h5_output_dataset(output, parent, name, type, 1, &n, &dataset);
    status = h5_output_agree(output, status);
    if (status == QO_OK) {
        if (is_writer(output))
            status = h5_output_put(output, dataset, name, type, 0, n, x);
        status = agree_on_put(output, status);
        if (place)
            *place = h5_output_place(dataset);
    }
    h5_close(&dataset);
    return status;
}

/* An attribute x of `type`, scalar for n < 0, else x[n]. */
static enum status put(struct h5_output *output, hid_t object, const char *name, hid_t type,
                       int64_t n, const void *x)
{
    enum status status = QO_OK;
    hid_t space = H5I_INVALID_HID, attribute = H5I_INVALID_HID;
    const char *path = output->path;
    wait_begin(output);
    if (n >= 0)
        QO_H5(space = make_space(1, &n), QO_NO_MEMORY, "%s: no memory for %s", path, name);
    QO_H5(attribute = H5Acreate2(object, name, type, n >= 0 ? space : output->scalar, H5P_DEFAULT,
                                 H5P_DEFAULT),
          QO_IO, "%s: attribute %s cannot be made", path, name);
    if (n != 0)
        QO_H5(H5Awrite(attribute, type, x), QO_IO, "%s: attribute %s cannot be written", path,
              name);
done:
    wait_end(output);
    h5_close(&space);
    h5_close(&attribute);
    return status;
}

enum status h5_output_real(struct h5_output *output, hid_t object, const char *name, double x)
{
    return put(output, object, name, H5T_IEEE_F64LE, -1, &x);
}

enum status h5_output_integer(struct h5_output *output, hid_t object, const char *name, int64_t x)
{
    return put(output, object, name, H5T_STD_I64LE, -1, &x);
}

enum status h5_output_integers(struct h5_output *output, hid_t object, const char *name,
                               const int64_t *x, int n)
{
    return put(output, object, name, H5T_STD_I64LE, n, x);
}

enum status h5_output_list(struct h5_output *output, hid_t object, const char *name, hid_t type,
                           int64_t n, const void *x)
{
    return put(output, object, name, type, n, x);
}

enum status h5_output_byte(struct h5_output *output, hid_t object, const char *name, uint8_t x)
{
    return put(output, object, name, H5T_STD_U8LE, -1, &x);
}

/* A fixed-length string of n bytes in UTF-8, at least 1: HDF5 has no empty ones. */
static hid_t text_type(size_t n)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && (H5Tset_size(type, n ? n : 1) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0 ||
                      H5Tset_strpad(type, H5T_STR_NULLPAD) < 0))
        h5_close(&type);
    return type;
}

enum status h5_output_text(struct h5_output *output, hid_t object, const char *name,
                           const char *text)
{
    enum status status = QO_OK;
    hid_t type = H5I_INVALID_HID;
    QO_H5(type = text_type(strlen(text)), QO_NO_MEMORY, "%s: no memory for %s", output->path, name);
    QO_TRY(put(output, object, name, type, -1, text));
done:
    h5_close(&type);
    return status;
}

/* The text as a scalar dataset of the root. */
static enum status put_text_dataset(struct h5_output *output, const char *name, const char *text)
{
    enum status status = QO_OK;
    hid_t type = H5I_INVALID_HID, dataset = H5I_INVALID_HID;
    QO_H5(type = text_type(strlen(text)), QO_NO_MEMORY, "%s: no memory for %s", output->path, name);
    QO_TRY(h5_output_dataset(output, output->file, name, type, 0, NULL, &dataset));
done:
    status = h5_output_agree(output, status);
    if (status == QO_OK) {
        if (is_writer(output))
            status = h5_output_put(output, dataset, name, type, 0, 1, text);
        status = agree_on_put(output, status);
    }
    h5_close(&dataset);
    h5_close(&type);
    return status;
}

enum status h5_output_long_text(struct h5_output *output, const char *name, const char *text)
{
    char where[64];
    if (strlen(text) > H5_OUTPUT_MAX_TEXT) {
        enum status status = put_text_dataset(output, name, text);
        if (status != QO_OK)
            return status;
        snprintf(where, sizeof where, "in the dataset /%s", name);
        text = where;
    }
    return h5_output_agree(output, h5_output_text(output, output->file, name, text));
}

enum status h5_output_reopen(const char *partial, hid_t *file)
{
    char why[1024];
    enum status status = h5_open(partial, file);
    if (status == QO_OK)
        return QO_OK;
    snprintf(why, sizeof why, "%s", status_text()); /* which the next call overwrites */
    return status_raise(QO_IO, "%s", why);
}

/* IEEE binary16: HDF5 has named it since 1.14 only. */
static hid_t half_type(void)
{
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    if (type >= 0 && (H5Tset_fields(type, 15, 10, 5, 0, 10) < 0 || H5Tset_size(type, 2) < 0 ||
                      H5Tset_ebias(type, 15) < 0))
        h5_close(&type);
    return type;
}

hid_t h5_output_type(enum element_type type)
{
    switch (type) {
    case ELEMENT_F64:
        return H5Tcopy(H5T_IEEE_F64LE);
    case ELEMENT_F32:
        return H5Tcopy(H5T_IEEE_F32LE);
    case ELEMENT_BF16:
        return H5Tcopy(H5T_STD_U16LE);
    default:
        return half_type();
    }
}
