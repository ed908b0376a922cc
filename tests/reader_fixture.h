/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_TESTS_READER_FIXTURE_H
#define QO_TESTS_READER_FIXTURE_H

#include "cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "log.h"
#include "memory.h"
#include "reader.h"

/* For the tests of readers: files made from bytes, and a reader driven as source.c drives it. */

/* Fails unless |x - want| <= bound; cmocka's own compares as floats. */
#define assert_near(x, want, bound)                                                                \
    do {                                                                                           \
        double have_ = (double)(x), want_ = (want);                                                \
        if (!(fabs(have_ - want_) <= (bound)))                                                     \
            fail_msg("%s is %.17g, want %.17g", #x, have_, want_);                                 \
    } while (0)

/* A growing file in memory. */
struct bytes {
    unsigned char at[16384];
    size_t n;
};

static inline void bytes_add(struct bytes *bytes, const void *data, size_t n)
{
    assert_true(bytes->n + n <= sizeof bytes->at);
    if (n > 0)
        memcpy(bytes->at + bytes->n, data, n);
    bytes->n += n;
}

/* The file that all tests of a program write anew; its name ends with the suffix. */
static inline const char *fixture_path(const char *suffix)
{
    static char path[256];
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/quantopt_test_%ld%s", folder ? folder : "/tmp", (long)getpid(),
             suffix);
    return path;
}

static inline void fixture_write(const char *path, const void *data, size_t n)
{
    unlink(path); /* some file systems wait for the disk when an old file is overwritten */
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static const struct source_request fixture_plain = {.num_dims = -1, .builtin = "small", .seed = 42};

/* Reads elements [begin, end) of an entry into memory of exactly that size, which is to be freed.
 */
static inline enum status fixture_read(const struct entry *entry, int64_t begin, int64_t end,
                                       void **x)
{
    struct handle handle = {.fd = -1, .file_id = -1, .dataset_id = -1};
    enum status status = QO_OK;
    *x = malloc((size_t)(end - begin) * element_size(entry->info.type) + (begin == end));
    assert_non_null(*x);
    status = entry->reader->open(&handle, entry);
    if (status == QO_OK && begin < end)
        status = entry->reader->read(&handle, entry, begin, end, *x);
    entry->reader->close(&handle);
    return status;
}

/* Scans a file and reads all of each vector; whatever is wrong with it, the answer must be a
 * status. */
static inline enum status fixture_try(const struct reader *reader, const char *path)
{
    struct catalog catalog = {0};
    void *x = NULL;
    enum status status = reader->scan(&fixture_plain, path, NULL, &catalog);
    for (int i = 0; status == QO_OK && i < catalog.num_entries; i++) {
        status = fixture_read(&catalog.entry[i], 0, catalog.entry[i].info.n, &x);
        free(x);
    }
    catalog_clear(&catalog);
    return status;
}

/* Fails unless a file is refused with this status and a message that names it and says `what`. */
static inline void fixture_refuse(const struct reader *reader, const char *path, enum status want,
                                  const char *what)
{
    status_clear();
    enum status status = fixture_try(reader, path);
    if (status != want || !strstr(status_text(), what) || !strstr(status_text(), path) ||
        strchr(status_text(), '\n'))
        fail_msg("want %d \"%s\", have %d \"%s\"", (int)want, what, (int)status, status_text());
}

/* Tries the file cut behind each byte, and with each byte of the first num_flipped changed in
 * several ways. */
static inline void fixture_damage(const struct reader *reader, const char *path,
                                  const struct bytes *good, size_t num_flipped)
{
    static const unsigned char flips[] = {0x01, 0x02, 0x08, 0x20, 0x80, 0xff};
    for (size_t n = 0; n < good->n; n++) {
        fixture_write(path, good->at, n);
        assert_int_equal(fixture_try(reader, path), QO_DATA);
    }
    struct bytes bad = *good;
    for (size_t i = 0; i < num_flipped; i++) {
        for (size_t f = 0; f < sizeof flips; f++) {
            bad.at[i] ^= flips[f];
            fixture_write(path, bad.at, bad.n);
            enum status status = fixture_try(reader, path);
            assert_true(status == QO_OK || status == QO_DATA);
            bad.at[i] = good->at[i];
        }
    }
}

/* Makes the 1st, 2nd, ... fallible call of a scan and a read fail until none is left; returns how
 * many there were. */
static inline int fixture_walk_faults(const struct reader *reader, const char *path)
{
    for (int n = 1;; n++) {
        char plan[16];
        snprintf(plan, sizeof plan, "%d", n);
        setenv("QUANTOPT_FAULT", plan, 1);
        fault_setup(0);
        status_clear();
        enum status status = fixture_try(reader, path);
        setenv("QUANTOPT_FAULT", "0", 1);
        fault_setup(0);
        if (status == QO_OK)
            return n - 1;
        assert_true(status == QO_NO_INPUT || status == QO_NO_MEMORY || status == QO_IO);
        assert_true(status_text()[0] != '\0');
        assert_true(n < 1000);
    }
}

#endif
