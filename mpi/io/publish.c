/* SPDX-License-Identifier: Apache-2.0 */
#include "publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fault.h"
#include "log.h"
#include "memory.h"

/* The failure of a call on `path`, from errno. A full disk is a failed write, whatever the call. */
static enum status raise_errno(enum status code, const char *path, const char *what)
{
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
        return status_raise(QO_IO, "%s: %s: %s; free space or choose another --output", path, what,
                            strerror(errno));
    return status_raise(code, "%s: %s: %s; choose another --output", path, what, strerror(errno));
}

/* Renaming over a device or a directory would replace or fail to replace it: told beforehand. */
static enum status check_name(const char *path)
{
    struct stat old;
    if (stat(path, &old) != 0 || S_ISREG(old.st_mode))
        return QO_OK;
    return status_raise(QO_CANT_CREATE, "%s: is %s; name a file with --output", path,
                        S_ISDIR(old.st_mode) ? "a directory" : "not a plain file");
}

/* FILE.partial to FILE.encoded; false, with errno, if that fails. */
static bool rename_to_encoded(const struct publication *publication)
{
    char *encoded;
    if (memory_join_texts(publication->path, ".encoded", &encoded) != QO_OK) {
        errno = ENOMEM;
        return false;
    }
    int rc = rename(publication->partial, encoded), error = errno;
    memory_free(encoded);
    errno = error;
    return rc == 0;
}

/* A run that was killed has left FILE.partial, and a checkpoint tells of it. */
static void save_killed(const struct publication *publication, int64_t kept)
{
    struct stat old;
    if (kept && stat(publication->partial, &old) == 0 && (int64_t)old.st_ino == kept &&
        !rename_to_encoded(publication))
        log_warn("%s: cannot be kept: %s; its blocks are encoded again", publication->partial,
                 strerror(errno));
}

/* Rank 0's part of publish_begin. */
static enum status begin(struct publication *publication, int64_t kept)
{
    enum status status;
    const char *partial = publication->partial;
    QO_TRY(check_name(publication->path));
    QO_TRY(lock_take(&publication->lock, publication->path));
    save_killed(publication, kept);
    if (unlink(partial) != 0 && errno != ENOENT) {
        status = raise_errno(QO_CANT_CREATE, partial, "cannot be removed");
        goto done;
    }
    bool fault = fault_here();
    if (fault)
        errno = EACCES;
    else
        publication->fd = open(partial, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (publication->fd < 0)
        status = raise_errno(QO_CANT_CREATE, partial, "cannot be created");
done:
    return status;
}

enum status publish_begin(struct publication *publication, const struct comm *comm,
                          const char *path, int64_t kept)
{
    enum status status;
    *publication = (struct publication){.comm = comm, .fd = -1};
    QO_TRY(memory_copy_text(path, &publication->path));
    QO_TRY(memory_join_texts(path, ".partial", &publication->partial));
    if (comm->rank == 0)
        QO_TRY(begin(publication, kept));
done:
    return comm_agree(comm, status);
}

int64_t publish_inode(const struct publication *publication)
{
    struct stat found;
    return fstat(publication->fd, &found) == 0 ? (int64_t)found.st_ino : 0;
}

/* A size for people. */
static void write_size(char text[32], int64_t bytes)
{
    static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double amount = (double)bytes;
    int i = 0;
    for (; amount >= 1024 && i < 4; i++)
        amount /= 1024;
    snprintf(text, 32, "%.*f %s", i > 0, amount, unit[i]);
}

static enum status raise_full(const struct publication *publication, int64_t needed, int64_t free,
                              int error)
{
    char needed_text[32], free_text[32];
    write_size(needed_text, needed);
    write_size(free_text, free);
    return status_raise(QO_IO, "%s: needs %s, %s free: %s; free space or choose another --output",
                        publication->path, needed_text, free_text, strerror(error));
}

enum status publish_reserve_alone(struct publication *publication, int64_t size)
{
    struct statvfs disk;
    int64_t needed = size - publication->reserved, free = 0;
    int error;
    if (needed <= 0)
        return QO_OK;
    if (fstatvfs(publication->fd, &disk) == 0)
        free = (int64_t)disk.f_bavail * (int64_t)disk.f_frsize;
    do {
        error = fault_here()
                    ? ENOSPC
                    : posix_fallocate(publication->fd, (off_t)publication->reserved, (off_t)needed);
    } while (error == EINTR);
    /* A file system that cannot reserve: what is free now is all that can be known. */
    if (error == EOPNOTSUPP || error == EINVAL || error == ENOSYS)
        error = needed <= free ? 0 : ENOSPC;
    if (error != 0)
        return raise_full(publication, needed, free, error);
    publication->reserved = size;
    return QO_OK;
}

enum status publish_reserve(struct publication *publication, int64_t size)
{
    enum status status = QO_OK;
    if (publication->comm->rank == 0)
        status = publish_reserve_alone(publication, size);
    return comm_agree(publication->comm, status);
}

enum status publish_cut(const struct publication *publication, int64_t size)
{
    struct stat found;
    bool fault = fault_here();
    if (fault)
        errno = EIO;
    if (fault || fstat(publication->fd, &found) != 0 ||
        (found.st_size > (off_t)size && ftruncate(publication->fd, (off_t)size) != 0))
        return raise_errno(QO_IO, publication->partial, "cannot be cut to its size");
    return QO_OK;
}

/* fsync of a file or directory by name; -1 with errno. */
static int sync_path(const char *path, int flags)
{
    if (fault_here()) {
        errno = EIO;
        return -1;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0)
        return -1;
    int rc = fsync(fd), error = errno;
    close(fd);
    errno = error;
    return rc;
}

enum status publish_sync(struct publication *publication)
{
    enum status status = QO_OK;
    /* What a node has written waits in that node's memory: each syncs for itself, once. */
    if (publication->comm->node_rank == 0 && sync_path(publication->partial, 0) != 0)
        status = raise_errno(QO_IO, publication->path, "cannot be brought to the disk");
    return comm_agree(publication->comm, status);
}

void publish_sync_directory(const char *path)
{
    char directory[4096];
    const char *slash = strrchr(path, '/');
    int n = slash == path ? 1 : slash ? (int)(slash - path) : 1;
    snprintf(directory, sizeof directory, "%.*s", n, slash ? path : ".");
    if (sync_path(directory, O_DIRECTORY) != 0 && errno != EINVAL)
        log_warn("%s: is complete, but its directory cannot be synced: %s", path, strerror(errno));
}

/* Frees what memory holds and closes the descriptor. */
static void clear(struct publication *publication)
{
    if (publication->fd >= 0)
        close(publication->fd);
    memory_free(publication->path);
    memory_free(publication->partial);
    *publication = (struct publication){.fd = -1};
}

enum status publish_finish(struct publication *publication)
{
    const struct comm *comm = publication->comm;
    enum status status = QO_OK;
    if (comm->rank == 0) {
        bool fault = fault_here();
        if (fault)
            errno = EIO;
        if (fault || rename(publication->partial, publication->path) != 0)
            status = raise_errno(QO_IO, publication->path, "cannot be renamed to this");
    }
    if ((status = comm_agree(comm, status)) != QO_OK)
        return status;
    if (comm->rank == 0) {
        publish_sync_directory(publication->path);
        lock_release(&publication->lock);
    }
    clear(publication);
    return QO_OK;
}

void publish_abandon(struct publication *publication)
{
    if (!publication->comm)
        return;
    /* Only who made it may remove it: it can be another run's. */
    bool is_saved = publication->fd >= 0 && publication->is_kept && rename_to_encoded(publication);
    if (publication->fd >= 0 && !is_saved && unlink(publication->partial) != 0 && errno != ENOENT)
        log_warn("%s: cannot be removed: %s; delete it", publication->partial, strerror(errno));
    lock_release(&publication->lock);
    clear(publication);
}
