/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_TESTS_SINK_FIXTURE_H
#define QO_TESTS_SINK_FIXTURE_H

#include "cmocka_all.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "comm.h"
#include "fault.h"
#include "log.h"
#include "reduce.h"
#include "status.h"

/*
 * For tests of files that all ranks write. An assert that fails leaves the test at once, and the
 * other ranks would wait in the next collective call for ever. So tests note what is wrong with
 * CHECK, go on, and the note is asserted at the end, on all ranks together.
 */
static struct comm comm;
static char folder[128]; /* of this test program's files, the same on all ranks */
static int64_t wrong;    /* checks of this test that did not hold on this rank */

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("rank %d, %s:%d: not so: %s (last failure: %s)\n", comm.rank, __FILE__,    \
                        __LINE__, #condition, status_text());                                      \
            wrong++;                                                                               \
        }                                                                                          \
    } while (0)

static inline int end_test(void **state)
{
    (void)state;
    reduce_sum(&comm, &wrong, 1);
    int64_t all = wrong;
    wrong = 0;
    return all == 0 ? 0 : -1;
}

/* Whether all ranks have the same status, as collective functions promise. */
static inline bool is_same(enum status status)
{
    int64_t extremes[2] = {status, -(int64_t)status};
    reduce_max(&comm, extremes, 2);
    return extremes[0] == -extremes[1];
}

/* folder/name, in one of a few buffers that take turns: for one expression, not to be kept. */
static inline const char *in_folder(const char *name)
{
    static char paths[8][512];
    static int turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* How many files the folder holds; 2 more are . and .. */
static inline int count_files(void)
{
    int count = -2;
    DIR *directory = opendir(folder);
    while (directory && readdir(directory))
        count++;
    if (directory)
        closedir(directory);
    return count;
}

static inline bool exists(const char *path)
{
    struct stat found;
    return lstat(path, &found) == 0;
}

/* Writes a text file, on the calling rank. */
static inline void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    if (file) {
        fputs(text, file);
        fclose(file);
    }
}

/* The content of a small file, zero-terminated; "" if there is none. */
static inline const char *read_file(const char *path)
{
    static char content[4096];
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(content, 1, sizeof content - 1, file) : 0;
    if (file)
        fclose(file);
    content[n] = '\0';
    return content;
}

/* The whole file; *n its size. To be freed. */
static inline unsigned char *read_whole(const char *path, size_t *n)
{
    struct stat found;
    *n = stat(path, &found) == 0 ? (size_t)found.st_size : 0;
    unsigned char *content = malloc(*n + 1);
    FILE *file = fopen(path, "rb");
    if (content && file)
        *n = fread(content, 1, *n, file);
    if (file)
        fclose(file);
    return content;
}

/* Inverts a byte of the first place in the file that holds these bytes; false if there is none. */
static inline bool damage(const char *path, const void *bytes, size_t n)
{
    size_t size;
    unsigned char *content = read_whole(path, &size);
    unsigned char *found = content ? memmem(content, size, bytes, n) : NULL;
    if (found) {
        unsigned char byte = (unsigned char)~found[n / 2];
        FILE *file = fopen(path, "r+b");
        fseek(file, found - content + (long)(n / 2), SEEK_SET);
        fwrite(&byte, 1, 1, file);
        fclose(file);
    }
    free(content);
    return found != NULL;
}

/* Plans the failure of call n on one rank, or on all for rank -1; n = 0 plans none. */
static inline void plan_fault(int n, int rank)
{
    char plan[32];
    if (rank < 0)
        snprintf(plan, sizeof plan, "%d", n);
    else
        snprintf(plan, sizeof plan, "%d@%d", n, rank);
    setenv("QUANTOPT_FAULT", plan, 1);
    fault_setup(comm.rank);
}

/* An empty folder for the ranks; each test leaves it empty. */
static inline void open_folder(int *argc, char ***argv)
{
    comm_open(&comm, argc, argv);
    log_setup(true, LOG_QUIET);
    const char *temporary = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.100s/quantopt_XXXXXX", temporary ? temporary : "/tmp");
    if (comm.rank == 0 && !mkdtemp(folder))
        comm_abort(&comm, QO_CANT_CREATE);
    comm_broadcast(&comm, folder, sizeof folder);
}

static inline int close_folder(int failed)
{
    comm_wait_all(&comm);
    if (comm.rank == 0 && rmdir(folder) != 0) {
        print_error("%s: not empty at the end\n", folder);
        failed++;
    }
    comm_close(&comm);
    return failed;
}

#endif
