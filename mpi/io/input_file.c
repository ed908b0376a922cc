/* SPDX-License-Identifier: Apache-2.0 */
#include "input_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"

/*
 * Plain POSIX reads. Not mapped: a file that shrinks under a mapping kills the process with SIGBUS,
 * while a read that comes back short is a message. Not collective MPI-IO either: each rank reads
 * one contiguous range of a file that nobody writes, which is what file systems are best at.
 */

static int open_or_fault(const char *path)
{
    if (fault_here()) {
        errno = EIO;
        return -1;
    }
    /* O_NONBLOCK: a pipe without a writer must be refused, not waited for. */
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

/* O_NONBLOCK means nothing for a regular file, and only such a one passes. */
enum status input_file_open(const char *path, int *fd, int64_t *size)
{
    enum status status = QO_OK;
    struct stat about;
    *fd = open_or_fault(path);
    QO_CHECK(*fd >= 0, QO_NO_INPUT, "%s: cannot be opened: %s; check the path and its permissions",
             path, strerror(errno));
    QO_CHECK(fstat(*fd, &about) == 0, QO_NO_INPUT, "%s: cannot be looked at: %s", path,
             strerror(errno));
    QO_CHECK(!S_ISDIR(about.st_mode), QO_NO_INPUT, "%s: is a directory; name the files in it",
             path);
    /* Its size is known and each place can be read twice: all readers build on that. */
    QO_CHECK(S_ISREG(about.st_mode), QO_NO_INPUT,
             "%s: is not a regular file; ranks read at many places, so copy it into one", path);
    *size = about.st_size;
done:
    if (status != QO_OK)
        input_file_close(fd);
    return status;
}

void input_file_close(int *fd)
{
    if (*fd >= 0)
        close(*fd); /* nothing was written: a failure could lose nothing */
    *fd = -1;
}

static ssize_t read_or_fault(int fd, void *x, int64_t n, int64_t offset)
{
    if (fault_here()) {
        errno = EIO;
        return -1;
    }
    /* pread, since ranks and readers share no position; a signal is no failure. */
    ssize_t got;
    do
        got = pread(fd, x, (size_t)n, offset);
    while (got < 0 && errno == EINTR);
    return got;
}

/*
 * A read may end early for many reasons (a signal, a network file system, the limit of a call), and
 * only one that brings nothing is the end of the file.
 */
enum status input_file_read(int fd, const char *origin, int64_t offset, int64_t n, void *x)
{
    for (int64_t at = 0; at < n;) {
        int64_t part = n - at < READER_MAX_CALL ? n - at : READER_MAX_CALL;
        ssize_t got = read_or_fault(fd, (char *)x + at, part, offset + at);
        if (got < 0)
            return status_raise(QO_IO, "%s: reading %lld bytes at byte %lld failed: %s", origin,
                                (long long)part, (long long)(offset + at), strerror(errno));
        /* The size was checked when the file was scanned: it has become shorter since. */
        if (got == 0)
            return status_raise(QO_DATA,
                                "%s: ends at byte %lld, before byte %lld; it is cut, or was "
                                "changed while being read",
                                origin, (long long)(offset + at), (long long)(offset + n));
        at += got;
    }
    return QO_OK;
}

enum status input_file_open_entry(struct handle *handle, const struct entry *entry)
{
    int64_t size;
    return input_file_open(entry->file, &handle->fd, &size);
}

/* Elements in C order are bytes in a row; the offset needs no alignment, as nothing is mapped. */
enum status input_file_read_entry(struct handle *handle, const struct entry *entry, int64_t begin,
                                  int64_t end, void *x)
{
    const struct vector_info *info = &entry->info;
    int64_t size = (int64_t)element_size(info->type);
    enum status status = input_file_read(handle->fd, info->origin, entry->offset + begin * size,
                                         (end - begin) * size, x);
    if (status == QO_OK && entry->is_swapped)
        element_swap_bytes(info->type, x, end - begin);
    return status;
}

void input_file_close_entry(struct handle *handle)
{
    input_file_close(&handle->fd);
}

/*
 * What users pass by mistake most: the pointer of a large file that was never fetched, archives,
 * and containers of the neighbouring fields. A message with the way out saves them a search.
 */
const char *input_file_guess(const unsigned char *head, int num_bytes)
{
    static const struct {
        const char *magic, *guess;
    } known[] = {
        {"version https://git-lfs", "a Git LFS pointer, not the file itself; run `git lfs pull`"},
        {"CDF\001", "a NetCDF classic file; convert it with `nccopy -k nc4`"},
        {"CDF\002", "a NetCDF classic file; convert it with `nccopy -k nc4`"},
        {"CDF\005", "a NetCDF classic file; convert it with `nccopy -k nc4`"},
        {"PK\003\004", "a zip archive, as .npz and .pt are; unpack it and name the .npy inside"},
        {"\037\213", "gzip-compressed; unpack it with `gunzip`"},
        {"BZh", "bzip2-compressed; unpack it with `bunzip2`"},
        {"\375"
         "7zXZ",
         "xz-compressed; unpack it with `unxz`"},
        {"\050\265\057\375", "zstd-compressed; unpack it with `unzstd`"},
        {"GGUF", "a GGUF model; convert it to safetensors"},
        {"SIMPLE  =", "a FITS file; convert it to HDF5 or .npy"},
        {"\200\002", "a Python pickle; save it as .npy or .safetensors"},
        {"\200\003", "a Python pickle; save it as .npy or .safetensors"},
        {"\200\004", "a Python pickle; save it as .npy or .safetensors"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t n = strlen(known[i].magic);
        if ((size_t)num_bytes >= n && memcmp(head, known[i].magic, n) == 0)
            return known[i].guess;
    }
    return NULL;
}
