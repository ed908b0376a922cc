/* SPDX-License-Identifier: Apache-2.0 */
#include "encoded.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "memory.h"

/* The most that one call moves: Linux stops at 2 GiB. */
#define MAX_CALL ((int64_t)1 << 30)

enum status encoded_open(struct encoded *encoded, const struct comm *comm, const char *file,
                         int64_t inode)
{
    struct stat found;
    *encoded = (struct encoded){.fd = -1};
    enum status status = comm_agree(comm, memory_join_texts(file, ".encoded", &encoded->path));
    if (status != QO_OK || inode == 0)
        return status;
    encoded->fd = open(encoded->path, O_RDONLY | O_CLOEXEC);
    bool is_it =
        encoded->fd >= 0 && fstat(encoded->fd, &found) == 0 && (int64_t)found.st_ino == inode;
    if (comm_agree(comm, is_it ? QO_OK : QO_NO_INPUT) != QO_OK) {
        status_clear();
        if (encoded->fd >= 0)
            close(encoded->fd);
        encoded->fd = -1;
        log_warn("%s: is not there any more, or not on all nodes; its blocks are encoded again",
                 encoded->path);
    }
    return QO_OK;
}

bool encoded_is_there(const struct encoded *encoded)
{
    return encoded && encoded->path && encoded->fd >= 0;
}

bool encoded_read(const struct encoded *encoded, int64_t offset, int64_t n, void *x)
{
    char *bytes = x;
    if (!encoded_is_there(encoded) || offset < 0)
        return false;
    for (int64_t done = 0; done < n;) {
        size_t part = (size_t)(n - done < MAX_CALL ? n - done : MAX_CALL);
        ssize_t got = pread(encoded->fd, bytes + done, part, (off_t)(offset + done));
        if (got <= 0 && !(got < 0 && errno == EINTR))
            return false;
        done += got > 0 ? got : 0;
    }
    return true;
}

void encoded_close(struct encoded *encoded)
{
    if (encoded->path && encoded->fd >= 0)
        close(encoded->fd);
    memory_free(encoded->path);
    *encoded = (struct encoded){.fd = -1};
}

void encoded_remove(const char *file)
{
    char *path = NULL;
    if (memory_join_texts(file, ".encoded", &path) != QO_OK) {
        status_clear();
        return;
    }
    if (unlink(path) != 0 && errno != ENOENT)
        log_warn("%s: cannot be removed: %s; delete it", path, strerror(errno));
    memory_free(path);
}
