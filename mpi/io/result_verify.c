/* SPDX-License-Identifier: Apache-2.0 */
#include "result_verify.h"

#include <errno.h>
#include <string.h>

#include "fault.h"
#include "h5_output.h"
#include "memory.h"
#include "reduce.h"
#include "result_file.h"
#include "shard.h"

/* Read at a time: whole blocks of codes of any width, or as many outliers as fit with 16 bytes
 * each. More would not be faster, and every rank has this beside its shard. */
#define BUFFER_SIZE  ((int64_t)4 << 20)
#define OUTLIER_STEP (BUFFER_SIZE / 16)

/* Opening the datasets of a smaller vector takes longer than reading them: one rank does it. */
#define SMALL_VECTOR ((int64_t)1 << 20)

/* One rank's reading. */
struct check {
    const char *path;
    hid_t file, group; /* of the result looked at */
    uint8_t *buffer;   /* [BUFFER_SIZE] */
    int part, parts;   /* which part of each dataset is read here */
    const struct written_result *written;
};

/* Opens a dataset of the result and checks that it has `length` elements of a type. */
static enum status open_dataset(const struct check *check, const char *name, hid_t type,
                                int64_t length, hid_t *dataset)
{
    enum status status = QO_OK;
    const char *group = check->written->group, *path = check->path;
    hid_t space = H5I_INVALID_HID, stored = H5I_INVALID_HID;
    QO_H5(*dataset = H5Dopen2(check->group, name, H5P_DEFAULT), QO_IO,
          "%s:%s/%s: cannot be read back", path, group, name);
    QO_H5(space = H5Dget_space(*dataset), QO_IO, "%s:%s/%s: cannot be read back", path, group,
          name);
    QO_H5(stored = H5Dget_type(*dataset), QO_IO, "%s:%s/%s: cannot be read back", path, group,
          name);
    QO_CHECK(H5Sget_simple_extent_npoints(space) == length && H5Tequal(stored, type) > 0, QO_IO,
             "%s:%s/%s: has another size or type than was written; check the disk", path, group,
             name);
done:
    h5_close(&space);
    h5_close(&stored);
    return status;
}

/* Reads elements [first, first + n), n > 0, of a dataset of one dimension. */
static enum status read_part(const struct check *check, hid_t dataset, hid_t type, int64_t first,
                             int64_t n, void *x)
{
    enum status status = QO_OK;
    hsize_t start = (hsize_t)first, count = (hsize_t)n;
    const char *path = check->path, *group = check->written->group;
    hid_t space = H5I_INVALID_HID, memory = H5I_INVALID_HID;
    QO_CHECK(!fault_here(), QO_IO, "%s:%s: cannot be read back: %s; check the disk", path, group,
             strerror(EIO));
    QO_H5(space = H5Dget_space(dataset), QO_NO_MEMORY, "%s:%s: no memory to read back", path,
          group);
    QO_H5(memory = H5Screate_simple(1, &count, NULL), QO_NO_MEMORY, "%s:%s: no memory to read back",
          path, group);
    QO_H5(H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, NULL, &count, NULL), QO_NO_MEMORY,
          "%s:%s: no memory to read back", path, group);
    QO_H5(H5Dread(dataset, type, memory, space, H5P_DEFAULT, x), QO_IO,
          "%s:%s: cannot be read back; check the disk", path, group);
done:
    h5_close(&space);
    h5_close(&memory);
    return status;
}

static enum status digest_codes(const struct check *check, uint64_t *digest)
{
    enum status status;
    const struct written_result *written = check->written;
    struct shard shard = shard_of(written->n, check->part, check->parts);
    int64_t bits = written->bits, block = QO_BLOCK / 8 * bits;
    int64_t step = BUFFER_SIZE / block * block, end = (shard.end * bits + 7) / 8;
    hid_t dataset = H5I_INVALID_HID;
    QO_TRY(open_dataset(check, "codes", H5T_STD_U8LE, (written->n * bits + 7) / 8, &dataset));
    /* An empty shard begins at n, which may lie inside a byte: rounded up, as its end is. */
    int64_t begin = (shard.begin * bits + 7) / 8;
    for (int64_t first = begin; first < end; first += step) {
        int64_t n = end - first < step ? end - first : step;
        QO_TRY(read_part(check, dataset, H5T_NATIVE_UINT8, first, n, check->buffer));
        *digest += result_digest_codes(check->buffer, first, n, block);
    }
done:
    h5_close(&dataset);
    return status;
}

static enum status digest_outliers(const struct check *check, uint64_t *digest)
{
    enum status status = QO_OK;
    int64_t count = check->written->outlier_count;
    int64_t quotient = count / check->parts, rest = count % check->parts, part = check->part;
    int64_t first = quotient * part + (part < rest ? part : rest);
    int64_t end = first + quotient + (part < rest);
    uint64_t *at = (uint64_t *)(void *)check->buffer;
    uint8_t *x = check->buffer + BUFFER_SIZE / 2;
    hid_t index = H5I_INVALID_HID, value = H5I_INVALID_HID, type = H5I_INVALID_HID;
    QO_H5(type = h5_output_type(check->written->type), QO_NO_MEMORY, "%s: no memory to read back",
          check->path);
    QO_TRY(open_dataset(check, "outlier_index", H5T_STD_U64LE, count, &index));
    QO_TRY(open_dataset(check, "outlier_value", type, count, &value));
    for (; first < end; first += OUTLIER_STEP) {
        int64_t n = end - first < OUTLIER_STEP ? end - first : OUTLIER_STEP;
        QO_TRY(read_part(check, index, H5T_NATIVE_UINT64, first, n, at));
        QO_TRY(read_part(check, value, type, first, n, x));
        *digest += result_digest_outliers(check->written->type, at, x, n);
    }
done:
    h5_close(&index);
    h5_close(&value);
    h5_close(&type);
    return status;
}

static enum status digest_levels(const struct check *check, uint64_t *digest)
{
    enum status status;
    double *level = (double *)(void *)check->buffer;
    int k = check->written->k;
    hid_t dataset = H5I_INVALID_HID;
    QO_TRY(open_dataset(check, "levels", H5T_IEEE_F64LE, k, &dataset));
    QO_TRY(read_part(check, dataset, H5T_NATIVE_DOUBLE, 0, k, level));
    if (check->part == 0)
        *digest += result_digest_levels(level, k);
done:
    h5_close(&dataset);
    return status;
}

/* Adds this rank's part of a result to *digest. */
static enum status digest_result(struct check *check, uint64_t *digest)
{
    enum status status = QO_OK;
    const char *group = check->written->group;
    QO_H5(check->group = H5Gopen2(check->file, group, H5P_DEFAULT), QO_IO,
          "%s:%s: cannot be read back; check the disk", check->path, group);
    QO_TRY(digest_levels(check, digest));
    QO_TRY(digest_codes(check, digest));
    QO_TRY(digest_outliers(check, digest));
done:
    h5_close(&check->group);
    return status;
}

/* Which part of result i is this rank's; false if none is. */
static bool find_part(const struct comm *comm, int i, struct check *check)
{
    bool is_small = check->written->n < SMALL_VECTOR;
    check->part = is_small ? 0 : (comm->rank + 1) % comm->size;
    check->parts = is_small ? 1 : comm->size;
    return !is_small || i % comm->size == comm->rank;
}

/* digest[i] = of this rank's part of result i. */
static enum status read_back(const struct comm *comm, struct check *check, const char *partial,
                             const struct written_result *written, int count, uint64_t *digest)
{
    enum status status;
    QO_TRY(memory_alloc("read-back buffer", BUFFER_SIZE, 1, &check->buffer));
    QO_TRY(h5_output_reopen(partial, &check->file));
    for (int i = 0; i < count; i++) {
        check->written = &written[i];
        if (find_part(comm, i, check))
            QO_TRY(digest_result(check, &digest[i]));
    }
done:
    h5_close(&check->file);
    memory_free(check->buffer);
    return status;
}

enum status result_verify(const struct comm *comm, const char *path, const char *partial,
                          const struct written_result *written, int count)
{
    enum status status;
    uint64_t *digest = NULL;
    struct check check = {.path = path, .file = H5I_INVALID_HID, .group = H5I_INVALID_HID};
    QO_TRY(memory_alloc("digests", count, sizeof *digest, &digest));
    QO_TRY(read_back(comm, &check, partial, written, count, digest));
done:
    status = comm_agree(comm, status);
    if (status == QO_OK)
        reduce_sum(comm, (int64_t *)digest, count);
    for (int i = 0; status == QO_OK && i < count; i++)
        if (digest[i] != written[i].digest)
            status = status_raise(QO_IO,
                                  "%s:%s: what is read back is not what was written; check the "
                                  "disk, and choose another --output",
                                  path, written[i].group);
    memory_free(digest);
    return status;
}
