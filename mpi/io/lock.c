/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The race that matters is that of two runs which find the same stale lock. If one removed it and
 * made a new one, the other could remove that in turn. So a stale lock is never removed but
 * rewritten in place, by whoever holds flock on it; those who come later read the new text. Only
 * its owner removes a lock, so whoever has the flock checks that the name still leads to the file.
 */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fault.h"
#include "log.h"
#include "memory.h"

/* Another run has flock for microseconds; ten seconds of asking is plenty, on any file system. */
#define GUARD_PAUSE 2000000 /* ns */
#define GUARD_TRIES 5000

/* A lock that is released while we look is tried again; so often only runs in a loop could do it.
 */
#define ATTEMPTS 1000

/* Longest host name of Linux is 64; job ids are numbers with a suffix. */
#define FIELD_SIZE 128

/* What a lock's text says. */
struct holder {
    char host[FIELD_SIZE], since[FIELD_SIZE], job[FIELD_SIZE];
    int64_t process;
    uint64_t start; /* of the process, in clock ticks after boot */
};

/* The state and the start time of a process, fields 3 and 22; false if /proc does not tell. */
static bool read_process(int64_t process, char *state, uint64_t *start)
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", process);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    size_t n = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[n] = '\0';
    /* The name, field 2, may hold blanks and brackets: fields are counted from its last bracket. */
    const char *at = strrchr(line, ')');
    if (!at || sscanf(at + 1, " %c", state) != 1)
        return false;
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at && sscanf(at, "%" SCNu64, start) == 1;
}

static bool process_lives(int64_t process, uint64_t start)
{
    char state;
    uint64_t its_start;
    if (process <= 0 || (kill((pid_t)process, 0) != 0 && errno == ESRCH))
        return false;
    if (!read_process(process, &state, &its_start))
        return true; /* hidden from us: no proof that it is gone */
    return state != 'Z' && state != 'X' && its_start == start;
}

static void describe_self(struct holder *self)
{
    char state;
    time_t now = time(NULL);
    struct tm utc;
    const char *job = getenv("SLURM_JOB_ID");
    *self = (struct holder){.process = getpid()};
    if (gethostname(self->host, sizeof self->host - 1) != 0)
        snprintf(self->host, sizeof self->host, "unknown");
    if (!read_process(self->process, &state, &self->start))
        self->start = 0;
    strftime(self->since, sizeof self->since, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    snprintf(self->job, sizeof self->job, "%s", job ? job : "");
}

static void write_text(const struct holder *self, char text[LOCK_TEXT_SIZE])
{
    snprintf(text, LOCK_TEXT_SIZE,
             "quantopt lock\nhost: %s\nprocess: %" PRId64 "\nstart: %" PRIu64
             "\nsince: %s\njob: %s\n",
             self->host, self->process, self->start, self->since, self->job);
}

/* Copies the rest of the line that begins with `key`; false if there is none. */
static bool read_field(const char *text, const char *key, char field[FIELD_SIZE])
{
    const char *at = strstr(text, key);
    if (!at)
        return false;
    at += strlen(key);
    size_t n = strcspn(at, "\n");
    if (at[n] != '\n' || n >= FIELD_SIZE)
        return false;
    memcpy(field, at, n);
    field[n] = '\0';
    return true;
}

static bool read_text(const char *text, struct holder *holder)
{
    char process[FIELD_SIZE], start[FIELD_SIZE];
    bool whole =
        strncmp(text, "quantopt lock\n", 14) == 0 && read_field(text, "\nhost: ", holder->host) &&
        read_field(text, "\nprocess: ", process) && read_field(text, "\nstart: ", start) &&
        read_field(text, "\nsince: ", holder->since) && read_field(text, "\njob: ", holder->job);
    return whole && sscanf(process, "%" SCNd64, &holder->process) == 1 &&
           sscanf(start, "%" SCNu64, &holder->start) == 1;
}

static bool is_stale(const struct holder *holder, const struct holder *self)
{
    if (strcmp(holder->host, self->host) == 0)
        return !process_lives(holder->process, holder->start);
    return self->job[0] != '\0' && strcmp(holder->job, self->job) == 0;
}

static enum status write_ours(int fd, const struct lock *lock, bool is_made)
{
    size_t n = strlen(lock->text);
    bool fault = fault_here();
    if (fault)
        errno = EIO;
    if (!fault && pwrite(fd, lock->text, n, 0) == (ssize_t)n && ftruncate(fd, (off_t)n) == 0)
        return QO_OK;
    bool is_full = errno == ENOSPC || errno == EDQUOT;
    enum status status =
        status_raise(is_full ? QO_IO : QO_CANT_CREATE, "%s: cannot be written: %s; %s", lock->path,
                     strerror(errno),
                     is_full ? "free space or choose another --output" : "choose another --output");
    if (is_made) /* no empty lock is left behind */
        unlink(lock->path);
    return status;
}

/* Takes the lock that `fd` is open on, if it is new, empty or stale. */
static enum status judge(int fd, const struct lock *lock, const struct holder *self,
                         bool is_guarded, bool is_made)
{
    char text[LOCK_TEXT_SIZE];
    struct holder holder;
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    /* Empty: made a moment ago by a run that is still to write it, and will find ours; or by one
     * that died there. Without flock only its maker may write. */
    if (n == 0 && (is_guarded || is_made))
        return write_ours(fd, lock, is_made);
    if (n <= 0 || !read_text(text, &holder))
        return status_raise(QO_CANT_CREATE,
                            "%s: exists, and does not say who made it; if no other run is writing "
                            "this output, delete it",
                            lock->path);
    if (is_guarded && is_stale(&holder, self)) {
        log_warn("%s: taken over from process %" PRId64
                 " on %s, which held it since %s and is gone",
                 lock->path, holder.process, holder.host, holder.since);
        return write_ours(fd, lock, false);
    }
    return status_raise(QO_CANT_CREATE,
                        "%s: held by another run, process %" PRId64
                        " on host %s since %s; wait for it, or choose another --output, or, if "
                        "that run is gone, delete the lock",
                        lock->path, holder.process, holder.host, holder.since);
}

/*
 * Waits for flock; sets *is_guarded unless the file system has none, or its holder, which needs it
 * for a few calls only, was stopped in the middle: then the lock is not ours to take. False: the
 * name was removed meanwhile.
 */
static bool guard(int fd, const char *path, bool *is_guarded)
{
    struct stat opened, named;
    const struct timespec pause = {.tv_nsec = GUARD_PAUSE};
    int rc = flock(fd, LOCK_EX | LOCK_NB);
    for (int i = 0; rc != 0 && (errno == EWOULDBLOCK || errno == EINTR) && i < GUARD_TRIES; i++) {
        nanosleep(&pause, NULL);
        rc = flock(fd, LOCK_EX | LOCK_NB);
    }
    *is_guarded = rc == 0;
    return fstat(fd, &opened) == 0 && lstat(path, &named) == 0 && opened.st_dev == named.st_dev &&
           opened.st_ino == named.st_ino;
}

/* Makes the lock file or opens the one that is there; -1 with errno. */
static int open_lock(const char *path, bool *is_made)
{
    *is_made = false;
    if (fault_here()) {
        errno = EACCES;
        return -1;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    *is_made = fd >= 0;
    if (fd >= 0 || errno != EEXIST)
        return fd;
    fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == EACCES || errno == EROFS)) /* another user's: enough to name it */
        fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        errno = EAGAIN;
    return fd;
}

static enum status raise_open(const char *path)
{
    const char *remedy = "choose another --output";
    if (errno == ENOENT)
        remedy = "make the directory first";
    else if (errno == ENOSPC || errno == EDQUOT)
        return status_raise(QO_IO, "%s: cannot be created: %s; free space or %s", path,
                            strerror(errno), remedy);
    return status_raise(QO_CANT_CREATE, "%s: cannot be created: %s; %s", path, strerror(errno),
                        remedy);
}

/* One try. *is_gone: the lock was released while we looked, so that another try is due. */
static enum status attempt(const struct lock *lock, const struct holder *self, bool *is_gone)
{
    enum status status;
    bool is_made, is_guarded;
    int fd = open_lock(lock->path, &is_made);
    *is_gone = fd < 0 && errno == EAGAIN;
    if (*is_gone)
        return status_raise(QO_CANT_CREATE, "%s: comes and goes; other runs write this output",
                            lock->path);
    if (fd < 0)
        return raise_open(lock->path);
    *is_gone = !guard(fd, lock->path, &is_guarded);
    status = *is_gone ? status_raise(QO_CANT_CREATE, "%s: vanishes; other runs write this output",
                                     lock->path)
                      : judge(fd, lock, self, is_guarded, is_made);
    close(fd);
    return status;
}

enum status lock_take(struct lock *lock, const char *file)
{
    struct holder self;
    bool is_gone = true;
    enum status status = memory_join_texts(file, ".lock", &lock->path);
    if (status != QO_OK)
        return status;
    describe_self(&self);
    write_text(&self, lock->text);
    for (int i = 0; is_gone && i < ATTEMPTS; i++)
        status = attempt(lock, &self, &is_gone);
    if (status != QO_OK) {
        memory_free(lock->path);
        lock->path = NULL;
    }
    return status;
}

void lock_release(struct lock *lock)
{
    char text[LOCK_TEXT_SIZE];
    if (!lock->path)
        return;
    /* A run that was told to delete the lock may have made its own since. */
    int fd = open(lock->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof text, 0);
    if (n >= 0 && (size_t)n == strlen(lock->text) && memcmp(text, lock->text, (size_t)n) == 0 &&
        unlink(lock->path) != 0)
        log_warn("%s: cannot be removed: %s; delete it", lock->path, strerror(errno));
    if (fd >= 0)
        close(fd);
    memory_free(lock->path);
    lock->path = NULL;
}
