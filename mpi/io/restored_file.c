/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Both formats store each vector as one run of bytes whose place is known before any data are
 * written. So rank 0 makes the file's frame with the plain driver, and each rank writes its
 * elements to their place through a descriptor of its own: no MPI-IO layer can lose them.
 */
#include "restored_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "h5_output.h"
#include "memory.h"
#include "publish.h"
#include "reduce.h"
#include "result_file.h"
#include "shard.h"

/* Read back at a time: whole blocks of any type. */
#define BUFFER_SIZE ((int64_t)4 << 20)

/* NumPy aligns data so; a header with 32 dimensions of 19 digits fits 1 KiB. */
#define NPY_ALIGNMENT   64
#define NPY_HEADER_SIZE 1024

/* A vector that is written. */
struct restored {
    const struct vector_info *info; /* the caller's, until publish */
    uint64_t digest;                /* of the blocks that this rank has written */
    int64_t elements;               /* that this rank has written */
};

struct restored_file {
    struct publication publication;
    struct h5_output output; /* while rank 0 makes the frame */
    int fd;                  /* FILE.partial on this rank, or -1 */
    int count;
    struct restored *vector; /* [count] */
    int64_t *offset;         /* [count + 1]: of element 0, in bytes; last: the size of the file */
    bool is_npy;
    int header_size; /* of a .npy file */
    char header[NPY_HEADER_SIZE];
};

static bool ends_in_npy(const char *path)
{
    size_t n = strlen(path);
    return n >= 4 && strcmp(path + n - 4, ".npy") == 0;
}

/* Fills in the header, version 1.0: the dictionary as NumPy writes it, blanks up to the alignment.
 */
static void write_npy_header(struct restored_file *file, const struct vector_info *info)
{
    static const char *const type[] = {
        [ELEMENT_F16] = "<f2", [ELEMENT_F32] = "<f4", [ELEMENT_F64] = "<f8"};
    char *text = file->header;
    size_t room = sizeof file->header - NPY_ALIGNMENT, at = 10;
    at += (size_t)snprintf(text + at, room - at,
                           "{'descr': '%s', 'fortran_order': False, 'shape': (", type[info->type]);
    for (int i = 0; i < info->num_dims; i++)
        at += (size_t)snprintf(text + at, room - at, "%s%" PRId64, i ? ", " : "", info->shape[i]);
    at += (size_t)snprintf(text + at, room - at, "%s), }", info->num_dims == 1 ? "," : "");
    while ((at + 1) % NPY_ALIGNMENT != 0)
        text[at++] = ' ';
    text[at++] = '\n';
    memcpy(text, "\x93NUMPY\x01\x00", 8);
    text[8] = (char)((at - 10) & 0xff);
    text[9] = (char)((at - 10) >> 8);
    file->header_size = (int)at;
}

static enum status check_request(const char *path, const struct vector_info *const *vectors,
                                 int count)
{
    if (!ends_in_npy(path))
        return QO_OK;
    if (count != 1)
        return status_raise(
            QO_USAGE,
            "%s: a .npy file holds one vector, not %d; choose one with --select, or "
            "name an HDF5 file",
            path, count);
    if (vectors[0]->type == ELEMENT_BF16)
        return status_raise(QO_USAGE,
                            "%s: NumPy has no bfloat16, the type of %s; name an HDF5 file", path,
                            vectors[0]->name);
    return QO_OK;
}

/* A dataset in the HDF5 file that rank 0 makes; *offset = where its data will be. */
static enum status make_dataset(struct h5_output *output, const struct vector_info *info,
                                int64_t *offset)
{
    enum status status = QO_OK;
    hid_t type = H5I_INVALID_HID, dataset = H5I_INVALID_HID;
    QO_CHECK(!fault_here(), QO_IO, "%s: dataset %s cannot be made: %s; check the disk",
             output->path, info->name, strerror(EIO));
    QO_H5(type = h5_output_type(info->type), QO_NO_MEMORY, "%s: no memory", output->path);
    QO_TRY(h5_output_dataset(output, output->file, info->name, type, info->num_dims, info->shape,
                             &dataset));
    if (info->type == ELEMENT_BF16)
        QO_TRY(h5_output_text(output, dataset, "dtype", element_name(info->type)));
    haddr_t place = H5Dget_offset(dataset);
    QO_CHECK(place != HADDR_UNDEF, QO_INTERNAL, "%s: dataset %s has no place", output->path,
             info->name);
    *offset = (int64_t)place;
done:
    h5_close(&type);
    h5_close(&dataset);
    return status;
}

/* Rank 0's frame of an HDF5 file: all but the data. */
static enum status make_hdf5(struct restored_file *file)
{
    enum status status;
    struct stat made;
    struct h5_output *output = &file->output;
    struct publication *publication = &file->publication;
    QO_TRY(h5_output_open(output, NULL, publication->path, publication->partial));
    for (int i = 0; i < file->count; i++) {
        const struct vector_info *info = file->vector[i].info;
        int64_t bytes = info->n * (int64_t)element_size(info->type);
        QO_TRY(publish_reserve_alone(publication, output->end + bytes + H5_OUTPUT_SLACK));
        QO_TRY(make_dataset(output, info, &file->offset[i]));
    }
    QO_TRY(h5_output_close(output));
    QO_CHECK(fstat(publication->fd, &made) == 0, QO_IO, "%s: %s; check the disk",
             publication->partial, strerror(errno));
    file->offset[file->count] = made.st_size;
done:
    h5_output_discard(output);
    return status;
}

/* Moves n bytes at `offset` of the file; short counts are normal, the end of the file is not. */
static enum status move(const struct restored_file *file, bool writes, char *x, int64_t n,
                        int64_t offset)
{
    for (int64_t done = 0; done < n;) {
        int64_t left = n - done;
        size_t part = (size_t)(left < H5_OUTPUT_MAX_CALL ? left : H5_OUTPUT_MAX_CALL);
        bool fault = fault_here();
        ssize_t moved = fault    ? -1
                        : writes ? pwrite(file->fd, x + done, part, (off_t)(offset + done))
                                 : pread(file->fd, x + done, part, (off_t)(offset + done));
        if (!fault && moved < 0 && errno == EINTR)
            continue;
        if (moved <= 0)
            return status_raise(QO_IO, "%s: cannot be %s: %s; check the disk",
                                file->publication.path, writes ? "written" : "read back",
                                fault       ? strerror(EIO)
                                : moved < 0 ? strerror(errno)
                                            : "it is cut");
        done += moved;
    }
    return QO_OK;
}

/* Rank 0's frame of a .npy file. */
static enum status make_npy(struct restored_file *file)
{
    const struct vector_info *info = file->vector[0].info;
    write_npy_header(file, info);
    file->offset[0] = file->header_size;
    file->offset[1] = file->header_size + info->n * (int64_t)element_size(info->type);
    return QO_OK;
}

/* Opens FILE.partial on this rank; writing by all, the header by rank 0. */
static enum status open_partial(struct restored_file *file)
{
    const char *partial = file->publication.partial;
    bool fault = fault_here();
    if (fault)
        errno = EACCES;
    else
        file->fd = open(partial, O_RDWR | O_CLOEXEC);
    if (file->fd < 0)
        return status_raise(QO_CANT_CREATE,
                            "%s: cannot be opened by all ranks: %s; choose an --output that all "
                            "nodes share",
                            partial, strerror(errno));
    if (!file->is_npy || file->publication.comm->rank != 0)
        return QO_OK;
    return move(file, true, file->header, file->header_size, 0);
}

static enum status make_lists(struct restored_file *file, const struct vector_info *const *vectors,
                              int count)
{
    enum status status;
    QO_TRY(memory_alloc("list of vectors", count, sizeof *file->vector, &file->vector));
    QO_TRY(memory_alloc("offsets", count + 1, sizeof *file->offset, &file->offset));
    for (int i = 0; i < count; i++)
        file->vector[i].info = vectors[i];
    file->count = count;
done:
    return status;
}

/* Rank 0 makes the frame; its offsets become known to all. */
static enum status make_frame(struct restored_file *file)
{
    const struct comm *comm = file->publication.comm;
    enum status status = QO_OK;
    if (comm->rank == 0)
        status = file->is_npy ? make_npy(file) : make_hdf5(file);
    if ((status = comm_agree(comm, status)) != QO_OK)
        return status;
    comm_broadcast(comm, file->offset, (file->count + 1) * (int64_t)sizeof *file->offset);
    return file->is_npy ? publish_reserve(&file->publication, file->offset[1]) : QO_OK;
}

enum status restored_file_create(const struct comm *comm, const char *path,
                                 const struct vector_info *const *vectors, int count,
                                 struct restored_file **out)
{
    struct restored_file *file = NULL;
    enum status status;
    *out = NULL;
    QO_TRY(check_request(path, vectors, count));
    QO_TRY(memory_alloc("restored file", 1, sizeof *file, &file));
    file->fd = -1;
    file->is_npy = ends_in_npy(path);
    QO_TRY(make_lists(file, vectors, count));
done:
    if ((status = comm_agree(comm, status)) == QO_OK)
        status = publish_begin(&file->publication, comm, path, 0);
    if (status == QO_OK)
        status = make_frame(file);
    if (status == QO_OK)
        status = comm_agree(comm, open_partial(file));
    if (status == QO_OK)
        *out = file;
    else
        restored_file_abandon(file);
    return status;
}

enum status restored_file_write(struct restored_file *file, int index, const void *x, int64_t first,
                                int64_t n)
{
    struct restored *vector = &file->vector[index];
    int64_t size = (int64_t)element_size(vector->info->type);
    enum status status =
        move(file, true, (char *)(uintptr_t)x, n * size, file->offset[index] + first * size);
    vector->elements += n;
    vector->digest += result_digest_codes(x, first * size, n * size, QO_BLOCK * size);
    return comm_agree(file->publication.comm, status);
}

/* Adds the digest of what this rank's neighbour wrote of a vector to *digest. */
static enum status read_back(const struct restored_file *file, int index, char *buffer,
                             uint64_t *digest)
{
    const struct comm *comm = file->publication.comm;
    const struct vector_info *info = file->vector[index].info;
    int64_t size = (int64_t)element_size(info->type), step = BUFFER_SIZE / size;
    struct shard part = shard_of(info->n, (comm->rank + 1) % comm->size, comm->size);
    for (int64_t first = part.begin; first < part.end; first += step) {
        int64_t n = part.end - first < step ? part.end - first : step;
        enum status status =
            move(file, false, buffer, n * size, file->offset[index] + first * size);
        if (status != QO_OK)
            return status;
        *digest +=
            result_digest_codes((const uint8_t *)buffer, first * size, n * size, QO_BLOCK * size);
    }
    return QO_OK;
}

/* Whether the HDF5 library finds a vector where it was written, in its type and shape. */
static enum status check_dataset(const struct restored_file *file, hid_t h5, int index)
{
    enum status status = QO_OK;
    const struct vector_info *info = file->vector[index].info;
    const char *path = file->publication.path;
    hid_t dataset = H5I_INVALID_HID, type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    hid_t stored = H5I_INVALID_HID;
    hsize_t dims[H5S_MAX_RANK] = {0};
    QO_H5(dataset = H5Dopen2(h5, info->name, H5P_DEFAULT), QO_IO, "%s:%s: cannot be read back",
          path, info->name);
    QO_H5(space = H5Dget_space(dataset), QO_IO, "%s:%s: cannot be read back", path, info->name);
    QO_H5(stored = H5Dget_type(dataset), QO_IO, "%s:%s: cannot be read back", path, info->name);
    QO_H5(type = h5_output_type(info->type), QO_NO_MEMORY, "%s: no memory", path);
    bool is_same = H5Tequal(stored, type) > 0 &&
                   H5Dget_offset(dataset) == (haddr_t)file->offset[index] &&
                   H5Sget_simple_extent_dims(space, dims, NULL) == info->num_dims;
    for (int i = 0; is_same && i < info->num_dims; i++)
        is_same = dims[i] == (hsize_t)info->shape[i];
    QO_CHECK(is_same, QO_IO, "%s:%s: is not what was written; check the disk", path, info->name);
done:
    h5_close(&dataset);
    h5_close(&type);
    h5_close(&space);
    h5_close(&stored);
    return status;
}

/* Rank 0's look at the frame. */
static enum status check_frame(const struct restored_file *file)
{
    enum status status = QO_OK;
    hid_t h5 = H5I_INVALID_HID;
    char header[NPY_HEADER_SIZE];
    if (file->is_npy) {
        QO_TRY(move(file, false, header, file->header_size, 0));
        QO_CHECK(memcmp(header, file->header, (size_t)file->header_size) == 0, QO_IO,
                 "%s: its header is not what was written; check the disk", file->publication.path);
    } else {
        QO_TRY(h5_output_reopen(file->publication.partial, &h5));
        for (int i = 0; i < file->count; i++)
            QO_TRY(check_dataset(file, h5, i));
    }
done:
    h5_close(&h5);
    return status;
}

/* Closes this rank's descriptor; an error that the system kept until now is told. */
static enum status close_partial(struct restored_file *file)
{
    int fd = file->fd;
    file->fd = -1;
    if (fd >= 0 && close(fd) != 0)
        return status_raise(QO_IO, "%s: cannot be closed: %s; check the disk",
                            file->publication.path, strerror(errno));
    return QO_OK;
}

/* This rank's part of the verification: figure[3 * i] = digest written, elements written, digest
 * read of vector i. */
static enum status fill_figures(struct restored_file *file, char *buffer, int64_t *figure)
{
    enum status status = QO_OK;
    file->fd = open(file->publication.partial, O_RDONLY | O_CLOEXEC);
    QO_CHECK(file->fd >= 0, QO_IO, "%s: cannot be opened to be read back: %s; check the disk",
             file->publication.partial, strerror(errno));
    if (file->publication.comm->rank == 0)
        QO_TRY(check_frame(file));
    for (int i = 0; i < file->count; i++) {
        uint64_t digest = 0;
        QO_TRY(read_back(file, i, buffer, &digest));
        figure[3 * i] = (int64_t)file->vector[i].digest;
        figure[3 * i + 1] = file->vector[i].elements;
        figure[3 * i + 2] = (int64_t)digest;
    }
done:
    return status;
}

/* Collective. Reads everything back and compares. */
static enum status verify(struct restored_file *file)
{
    enum status status;
    const struct comm *comm = file->publication.comm;
    char *buffer = NULL;
    int64_t *figure = NULL;
    QO_TRY(memory_alloc("read-back buffer", BUFFER_SIZE, 1, &buffer));
    QO_TRY(memory_alloc("digests", 3 * (int64_t)file->count, sizeof *figure, &figure));
    QO_TRY(fill_figures(file, buffer, figure));
done:
    status = comm_agree(comm, status);
    if (status == QO_OK)
        reduce_sum(comm, figure, 3 * (int64_t)file->count);
    for (int i = 0; status == QO_OK && i < file->count; i++)
        if (figure[3 * i] != figure[3 * i + 2] || figure[3 * i + 1] != file->vector[i].info->n)
            status = status_raise(QO_IO,
                                  "%s:%s: what is read back is not what was written; check the "
                                  "disk, and choose another --output",
                                  file->publication.path, file->vector[i].info->name);
    memory_free(buffer);
    memory_free(figure);
    return status;
}

static void clear(struct restored_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    memory_free(file->vector);
    memory_free(file->offset);
    memory_free(file);
}

enum status restored_file_publish(struct restored_file *file)
{
    enum status status;
    struct publication *publication = &file->publication;
    QO_TRY(comm_agree(publication->comm, close_partial(file)));
    QO_TRY(publish_sync(publication));
    QO_TRY(verify(file));
    QO_TRY(publish_finish(publication));
    clear(file);
done:
    return status;
}

void restored_file_abandon(struct restored_file *file)
{
    if (!file)
        return;
    const struct comm *comm = file->publication.comm;
    publish_abandon(&file->publication);
    h5_output_give_up(&file->output, comm);
    clear(file);
}
