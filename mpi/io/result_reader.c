/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reading a result file. Every rank walks over /vectors by itself: the groups are few and small,
 * and equal files give equal lists. Outlier indices are checked where they are read, so that a
 * damaged file cannot lead outside a shard.
 */
#include "result_reader.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fault.h"
#include "hdf5_dataset.h"
#include "memory.h"

/* As for inputs: a damaged file must not exhaust the stack or the patience. */
#define MAX_DEPTH  256
#define MAX_GROUPS 10000000

/* So much of a list of names is shown in a message. */
#define LIST_SIZE 1024

/* A result to be restored, and where it is. */
struct chosen {
    struct stored_result result;
    char *origin; /* "FILE:/vectors/NAME/RESULT" */
};

struct result_reader {
    char *path;
    const char *select, *wanted; /* the caller's texts, while opening */
    hid_t file;
    struct chosen *chosen;
    int num_chosen, capacity;
    int64_t num_groups;      /* visited */
    char vectors[LIST_SIZE]; /* names of all vectors, for messages */
    int current;             /* the result whose datasets are open, or -1 */
    /* One result at a time is open: handles must not grow with the number of vectors. */
    hid_t codes, outlier_index, outlier_value, value_type;
    bool is_swapped; /* of outlier_value */
};

/* Appends ", name" to a list, or "..." once where it is full. */
static void list_add(char list[LIST_SIZE], const char *name)
{
    size_t used = strlen(list);
    /* 8: the separator, and room for the dots. */
    if (used + strlen(name) + 8 < LIST_SIZE)
        snprintf(list + used, LIST_SIZE - used, "%s%s", used ? ", " : "", name);
    else if (used + 6 < LIST_SIZE && (used < 3 || strcmp(list + used - 3, "...") != 0))
        snprintf(list + used, LIST_SIZE - used, ", ...");
}

/* *joined = front + between + back. */
static enum status join(const char *front, const char *between, const char *back, char **joined)
{
    size_t size = strlen(front) + strlen(between) + strlen(back) + 1;
    /* Of any length: names in a file are limited at 64 KiB each, and a path has many. */
    enum status status = memory_alloc("an HDF5 path", (int64_t)size, 1, joined);
    if (status == QO_OK)
        snprintf(*joined, size, "%s%s%s", front, between, back);
    return status;
}

/* Opens a dataset of one dimension; *length is its size. */
static enum status open_line(hid_t group, const char *origin, const char *name, hid_t *dataset,
                             int64_t *length)
{
    enum status status = QO_OK;
    hid_t space = H5I_INVALID_HID;
    QO_H5(*dataset = H5Dopen2(group, name, H5P_DEFAULT), QO_DATA, "%s: dataset %s cannot be opened",
          origin, name);
    QO_H5(space = H5Dget_space(*dataset), QO_DATA, "%s: dataset %s is damaged", origin, name);
    /* A later format has a list of levels a group; decoding it with one would be wrong in
     * silence. */
    QO_CHECK(H5Sget_simple_extent_ndims(space) == 1, QO_DATA,
             "%s: dataset %s has not one dimension; only one list of levels a vector is restored",
             origin, name);
    /* One dimension: its length is the number of elements, 0 included. */
    *length = H5Sget_simple_extent_npoints(space);
done:
    h5_close(&space);
    return status;
}

/* Whether a dataset has elements of a class and size. Integers must have no sign: the library would
 * quietly read -1 as 0 and so turn one code or index into another. */
static bool has_type(hid_t dataset, H5T_class_t class, size_t size)
{
    hid_t type = H5Dget_type(dataset);
    bool it_has = type >= 0 && H5Tget_class(type) == class && H5Tget_size(type) == size &&
                  (class != H5T_INTEGER || H5Tget_sign(type) == H5T_SGN_NONE);
    h5_close(&type);
    return it_has;
}

/* Reads [first, first + n) of a dataset of one dimension, at most READER_MAX_CALL bytes a call. */
static enum status read_line(hid_t dataset, const char *origin, hid_t type, int64_t first,
                             int64_t n, void *x)
{
    enum status status = QO_OK;
    char *to = x;
    hid_t space = H5I_INVALID_HID, memory = H5I_INVALID_HID;
    int64_t size = (int64_t)H5Tget_size(type);
    QO_H5(space = H5Dget_space(dataset), QO_DATA, "%s: damaged", origin);
    /* The library would take all at once; file systems and MPI layers below may not. */
    for (int64_t done = 0; done < n;) {
        int64_t rest = n - done, most = READER_MAX_CALL / size;
        hsize_t start = (hsize_t)(first + done), count = (hsize_t)(rest < most ? rest : most);
        QO_CHECK(!fault_here(), QO_IO, "%s: a read failed", origin);
        QO_H5(memory = H5Screate_simple(1, &count, NULL), QO_NO_MEMORY, "%s: no memory", origin);
        QO_H5(H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, NULL, &count, NULL), QO_DATA,
              "%s: damaged", origin);
        QO_H5(H5Dread(dataset, type, memory, space, H5P_DEFAULT, to), QO_DATA,
              "%s: cannot be read; the file is damaged", origin);
        h5_close(&memory);
        to += (int64_t)count * size;
        done += (int64_t)count;
    }
done:
    h5_close(&space);
    h5_close(&memory);
    return status;
}

/* dtype, shape and num_elements of a vector's group. */
static enum status read_vector(hid_t group, const char *origin, struct vector_info *info)
{
    enum status status = QO_OK;
    char type[32];
    int64_t product;
    /* The room in shape[], which a longer attribute must not pass. */
    int64_t rank = SOURCE_MAX_DIMS;
    QO_TRY(h5_read_text(group, origin, "dtype", type, sizeof type));
    QO_CHECK(element_find(type, &info->type), QO_DATA,
             "%s: its dtype is \"%s\", which is no type of ours", origin, type);
    QO_TRY(h5_read_integers(group, origin, "shape", &rank, info->shape));
    /* A scalar has a shape without numbers. */
    info->num_dims = (int)rank;
    QO_TRY(h5_read_integer(group, origin, "num_elements", &info->n));
    /* Eight times n must not overflow either: that is how bits of codes are counted. */
    QO_CHECK(shape_product(info->shape, info->num_dims, 8, &product) && product == info->n &&
                 info->n >= 1,
             QO_DATA, "%s: num_elements is %lld, which its shape does not have", origin,
             (long long)info->n);
done:
    return status;
}

/* The levels: one list, strictly ascending, no more than the bits can tell apart. */
static enum status read_levels(hid_t group, const char *origin, struct stored_result *result)
{
    enum status status = QO_OK;
    int64_t k = 0;
    hid_t levels = H5I_INVALID_HID;
    QO_TRY(open_line(group, origin, "levels", &levels, &k));
    QO_CHECK(has_type(levels, H5T_FLOAT, 8), QO_DATA, "%s: levels are not float64", origin);
    /* Before the read: level[] has room for 256. */
    QO_CHECK(k >= 1 && k <= (int64_t)1 << result->bits, QO_DATA,
             "%s: %lld levels do not fit %d bits", origin, (long long)k, result->bits);
    QO_TRY(read_line(levels, origin, H5T_NATIVE_DOUBLE, 0, k, result->level));
    result->k = (int)k;
    /* Checked once here, so that decoding need not ask. */
    for (int i = 0; i < result->k; i++)
        QO_CHECK(isfinite(result->level[i]) && (i == 0 || result->level[i - 1] < result->level[i]),
                 QO_DATA, "%s: levels[%d] is %.17g; levels must be finite and ascending", origin, i,
                 result->level[i]);
    /* A damaged code beyond the last level gives that level, not whatever lies behind it. */
    for (int i = result->k; i < 256; i++)
        result->level[i] = result->level[result->k - 1];
done:
    h5_close(&levels);
    return status;
}

/* Of the current result; there is none afterwards. */
static void close_datasets(struct result_reader *reader)
{
    h5_close(&reader->codes);
    h5_close(&reader->outlier_index);
    h5_close(&reader->outlier_value);
    h5_close(&reader->value_type);
    reader->current = -1;
}

/* The type in which outlier values are read: as they are stored, but bfloat16, which HDF5 does not
 * know. */
static enum status find_value_type(struct result_reader *reader, const char *origin,
                                   enum element_type type)
{
    enum status status = QO_OK;
    if (type == ELEMENT_BF16) {
        QO_CHECK(has_type(reader->outlier_value, H5T_INTEGER, 2), QO_DATA,
                 "%s: outlier_value is not uint16, the bit patterns of bfloat16", origin);
        reader->is_swapped = false;
        QO_H5(reader->value_type = H5Tcopy(H5T_NATIVE_UINT16), QO_NO_MEMORY, "%s: no memory",
              origin);
        return QO_OK;
    }
    QO_H5(reader->value_type = H5Dget_type(reader->outlier_value), QO_DATA,
          "%s: outlier_value is damaged", origin);
    struct hdf5_type found = hdf5_type_find(reader->value_type);
    QO_CHECK(found.kind == HDF5_ELEMENT && found.element == type, QO_DATA,
             "%s: outlier_value has %s elements, the vector %s", origin, found.text,
             element_name(type));
    /* A file written on another kind of machine is turned after reading, as inputs are. */
    reader->is_swapped = found.is_swapped;
done:
    return status;
}

/* Opens codes and outliers of a result and compares their sizes with n and bits. */
static enum status open_datasets(struct result_reader *reader, hid_t group, const char *origin,
                                 struct stored_result *result)
{
    enum status status = QO_OK;
    int64_t bytes = 0, values = 0;
    /* Eight times n was found not to overflow. */
    int64_t needed = (result->vector.n * result->bits + 7) / 8;
    QO_TRY(open_line(group, origin, "codes", &reader->codes, &bytes));
    QO_CHECK(has_type(reader->codes, H5T_INTEGER, 1), QO_DATA, "%s: codes are not uint8", origin);
    /* Exactly: with other bits or another n every code would be another one. */
    QO_CHECK(bytes == needed, QO_DATA, "%s: codes are not uint8[%lld] but have %lld elements",
             origin, (long long)needed, (long long)bytes);
    QO_TRY(
        open_line(group, origin, "outlier_index", &reader->outlier_index, &result->num_outliers));
    QO_TRY(open_line(group, origin, "outlier_value", &reader->outlier_value, &values));
    QO_CHECK(has_type(reader->outlier_index, H5T_INTEGER, 8), QO_DATA,
             "%s: outlier_index is not uint64", origin);
    /* Buffers are made from this number, so it is bounded by what was checked already. */
    QO_CHECK(values == result->num_outliers && values <= result->vector.n, QO_DATA,
             "%s: %lld outlier indices, %lld values and %lld elements do not fit together", origin,
             (long long)result->num_outliers, (long long)values, (long long)result->vector.n);
    QO_TRY(find_value_type(reader, origin, result->vector.type));
done:
    return status;
}

/* Reads and checks all of a result but its codes and outliers. */
static enum status load_result(struct result_reader *reader, hid_t vector, struct chosen *chosen)
{
    enum status status = QO_OK;
    struct stored_result *result = &chosen->result;
    /* Read in full width, since it is checked before it is believed. */
    int64_t bits = 0;
    hid_t group = H5I_INVALID_HID;
    QO_H5(group = H5Gopen2(vector, result->result, H5P_DEFAULT), QO_DATA,
          "%s: damaged, cannot be opened", chosen->origin);
    QO_TRY(read_vector(vector, result->vector.origin, &result->vector));
    QO_TRY(h5_read_integer(group, chosen->origin, "num_bits", &bits));
    QO_CHECK(bits >= 1 && bits <= 8, QO_DATA, "%s: num_bits is %lld, not 1 to 8", chosen->origin,
             (long long)bits);
    result->bits = (int)bits;
    QO_TRY(read_levels(group, chosen->origin, result));
    /* Opened to be checked and closed again: wrong sizes and types show before any output. */
    QO_TRY(open_datasets(reader, group, chosen->origin, result));
done:
    close_datasets(reader);
    h5_close(&group);
    return status;
}

/* Doubles the room for results. */
static enum status grow(struct result_reader *reader)
{
    struct chosen *larger;
    int capacity = reader->capacity ? 2 * reader->capacity : 16;
    enum status status = memory_alloc("the list of results", capacity, sizeof *larger, &larger);
    if (status != QO_OK)
        return status;
    if (reader->num_chosen > 0)
        memcpy(larger, reader->chosen, (size_t)reader->num_chosen * sizeof *larger);
    memory_free(reader->chosen);
    reader->chosen = larger;
    reader->capacity = capacity;
    return QO_OK;
}

/* Adds a result of the vector `name` to those chosen. */
static enum status choose(struct result_reader *reader, hid_t vector, const char *name,
                          const char *origin, const char *result)
{
    enum status status = QO_OK;
    if (reader->num_chosen == reader->capacity)
        QO_TRY(grow(reader));
    /* Counted before it is complete, so that closing frees what there is of it. */
    struct chosen *chosen = &reader->chosen[reader->num_chosen++];
    *chosen = (struct chosen){.origin = NULL};
    QO_TRY(memory_copy_text(name, &chosen->result.vector.name));
    QO_TRY(memory_copy_text(origin, &chosen->result.vector.origin));
    QO_TRY(memory_copy_text(result, &chosen->result.result));
    QO_TRY(join(origin, "/", result, &chosen->origin));
    QO_TRY(load_result(reader, vector, chosen));
done:
    return status;
}

/* Whether a child of a vector's group is a result: it has num_bits. -1 where it is damaged. */
static htri_t is_result(hid_t vector, const char *name)
{
    H5O_info_t info;
    /* The histogram is a group too; whatever later versions add is passed over. */
    if (H5Oget_info_by_name2(vector, name, &info, H5O_INFO_BASIC, H5P_DEFAULT) < 0)
        return -1;
    if (info.type != H5O_TYPE_GROUP)
        return 0;
    return H5Aexists_by_name(vector, name, "num_bits", H5P_DEFAULT);
}

/* Chooses among the results of a vector. */
static enum status visit_vector(struct result_reader *reader, hid_t vector, const char *name,
                                const char *origin, const struct h5_names *children)
{
    enum status status = QO_OK;
    /* The last one that fits: the only one, if all is well. */
    const char *found = NULL;
    char all[LIST_SIZE] = "";
    int num_results = 0;
    for (int64_t i = 0; i < children->count; i++) {
        htri_t is_one = is_result(vector, children->name[i]);
        QO_H5(is_one, QO_DATA, "%s/%s: damaged, cannot be opened", origin, children->name[i]);
        if (is_one == 0)
            continue;
        num_results++;
        list_add(all, children->name[i]);
        if (!reader->wanted || strcmp(reader->wanted, children->name[i]) == 0)
            found = children->name[i];
    }
    QO_CHECK(num_results > 0, QO_DATA, "%s: no result in it", origin);
    QO_CHECK(found, QO_USAGE, "%s: no result %s; it has %s", origin, reader->wanted, all);
    QO_CHECK(reader->wanted || num_results == 1, QO_USAGE,
             "%s: %d results, %s; choose one with --result", origin, num_results, all);
    status = choose(reader, vector, name, origin, found);
done:
    return status;
}

static enum status visit(struct result_reader *reader, hid_t group, const char *name, int depth);

/* Goes into the groups of a group that is no vector. */
static enum status visit_children(struct result_reader *reader, hid_t group, const char *name,
                                  const struct h5_names *children, int depth)
{
    enum status status = QO_OK;
    char *path = NULL;
    hid_t child = H5I_INVALID_HID;
    for (int64_t i = 0; i < children->count; i++) {
        QO_TRY(join(name, name[0] ? "/" : "", children->name[i], &path));
        QO_H5(child = H5Gopen2(group, children->name[i], H5P_DEFAULT), QO_DATA,
              "%s:/vectors/%s: not a group, or damaged", reader->path, path);
        QO_TRY(visit(reader, child, path, depth + 1));
        h5_close(&child);
        memory_free(path);
        path = NULL;
    }
done:
    h5_close(&child);
    memory_free(path);
    return status;
}

/* A group below /vectors: a vector, or a part of the names of several. */
static enum status visit(struct result_reader *reader, hid_t group, const char *name, int depth)
{
    enum status status = QO_OK;
    char *origin = NULL;
    struct h5_names children = {0};
    QO_TRY(join(reader->path, name[0] ? ":/vectors/" : ":/vectors", name, &origin));
    /* Hard links may make a cycle; and a tree that is only wide could take for ever, too. */
    QO_CHECK(depth < MAX_DEPTH && reader->num_groups++ < MAX_GROUPS, QO_DATA,
             "%s: groups within groups without end; the file is damaged", origin);
    /* Names of vectors may have several parts, so a group is a vector only if it says so. */
    htri_t is_vector = H5Aexists(group, "num_elements");
    QO_H5(is_vector, QO_DATA, "%s: damaged", origin);
    if (is_vector)
        list_add(reader->vectors, name);
    if (is_vector && reader->select && fnmatch(reader->select, name, 0) != 0)
        goto done;
    QO_TRY(h5_names_read(group, origin, &children));
    status = is_vector ? visit_vector(reader, group, name, origin, &children)
                       : visit_children(reader, group, name, &children, depth);
done:
    h5_names_clear(&children);
    memory_free(origin);
    return status;
}

/* The root attributes tell whether the file is ours. */
static enum status check_format(struct result_reader *reader)
{
    enum status status = QO_OK;
    char format[32];
    int64_t version = 0;
    /* The most likely mistake is an input given for a result: it gets a message of its own. */
    if (H5Aexists(reader->file, "format") <= 0)
        return status_raise(QO_DATA,
                            "%s: not a quantopt result file (no attribute format); give the "
                            "quantized.h5 of a run",
                            reader->path);
    QO_TRY(h5_read_text(reader->file, reader->path, "format", format, sizeof format));
    QO_CHECK(strcmp(format, "quantopt") == 0, QO_DATA, "%s: its format is \"%s\", not quantopt",
             reader->path, format);
    QO_TRY(h5_read_integer(reader->file, reader->path, "format_version", &version));
    QO_CHECK(version == 1, QO_DATA, "%s: format_version is %lld; this program reads version 1",
             reader->path, (long long)version);
done:
    return status;
}

/* All that this rank does by itself; what it opened is closed with the reader. */
static enum status open_here(const char *path, struct result_reader *reader)
{
    enum status status = QO_OK;
    hid_t vectors = H5I_INVALID_HID;
    QO_TRY(memory_copy_text(path, &reader->path));
    QO_TRY(h5_open(path, &reader->file));
    QO_TRY(check_format(reader));
    QO_H5(vectors = H5Gopen2(reader->file, "/vectors", H5P_DEFAULT), QO_DATA,
          "%s: it has no group /vectors", path);
    QO_TRY(visit(reader, vectors, "", 0));
    /* An empty result is damage; a glob that fits nothing is a mistake of the user. */
    QO_CHECK(reader->vectors[0] != '\0', QO_DATA, "%s: no vector in it", path);
    QO_CHECK(reader->num_chosen > 0, QO_USAGE, "%s: no vector matches %s; it has %s", path,
             reader->select, reader->vectors);
done:
    h5_close(&vectors);
    return status;
}

enum status result_reader_open(const struct comm *comm, const char *path, const char *select,
                               const char *result, struct result_reader **reader)
{
    struct result_reader *made;
    enum status status = memory_alloc("a result file's reader", 1, sizeof *made, &made);
    *reader = NULL;
    if (status == QO_OK) {
        *made = (struct result_reader){.select = select,
                                       .wanted = result,
                                       .file = H5I_INVALID_HID,
                                       .current = -1,
                                       .codes = H5I_INVALID_HID,
                                       .outlier_index = H5I_INVALID_HID,
                                       .outlier_value = H5I_INVALID_HID,
                                       .value_type = H5I_INVALID_HID};
        status = open_here(path, made);
    }
    /* One rank that fails, by its memory or its file system, is all ranks that fail. */
    status = comm_agree(comm, status);
    if (status == QO_OK)
        *reader = made;
    else
        result_reader_close(made);
    return status;
}

int result_reader_count(const struct result_reader *reader)
{
    return reader->num_chosen;
}

const struct stored_result *result_reader_result(const struct result_reader *reader, int index)
{
    return &reader->chosen[index].result;
}

/* Opens the datasets of a result, unless they are open. */
static enum status turn_to(struct result_reader *reader, int index)
{
    enum status status = QO_OK;
    struct chosen *chosen = &reader->chosen[index];
    /* A copy: sizes were checked when the file was opened, and are checked again. */
    struct stored_result now = chosen->result;
    hid_t group = H5I_INVALID_HID;
    if (reader->current == index)
        return QO_OK;
    close_datasets(reader);
    /* The origin without "FILE:" is the path of the group. */
    QO_H5(group = H5Gopen2(reader->file, chosen->origin + strlen(reader->path) + 1, H5P_DEFAULT),
          QO_DATA, "%s: cannot be opened any more", chosen->origin);
    QO_TRY(open_datasets(reader, group, chosen->origin, &now));
    QO_CHECK(now.num_outliers == chosen->result.num_outliers, QO_DATA,
             "%s: has changed since the start; run again once it stays as it is", chosen->origin);
    reader->current = index;
done:
    if (status != QO_OK)
        close_datasets(reader);
    h5_close(&group);
    return status;
}

enum status result_reader_codes(struct result_reader *reader, int index, int64_t first, int64_t n,
                                uint8_t *codes)
{
    enum status status = turn_to(reader, index);
    if (status != QO_OK)
        return status;
    return read_line(reader->codes, reader->chosen[index].origin, H5T_NATIVE_UINT8, first, n,
                     codes);
}

enum status result_reader_find_outlier(struct result_reader *reader, int index, int64_t element,
                                       int64_t *first)
{
    const struct chosen *chosen = &reader->chosen[index];
    int64_t low = 0, high = chosen->result.num_outliers;
    enum status status = QO_OK;
    QO_TRY(turn_to(reader, index));
    /* All before `low` was seen below the element, and all from `high` on was not. */
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        /* One index a step, 63 steps at most: all of them would take 8 bytes an outlier. */
        uint64_t at;
        QO_TRY(read_line(reader->outlier_index, chosen->origin, H5T_NATIVE_UINT64, middle, 1, &at));
        /* Unsigned, as the file says it: an index above 2^63 sorts last. */
        if (element > 0 && at < (uint64_t)element)
            low = middle + 1;
        else
            high = middle;
    }
    *first = low;
done:
    return status;
}

/* Whether outliers ascend, from the one before the first on, and are below n. */
static enum status check_outliers(struct result_reader *reader, const struct chosen *chosen,
                                  int64_t first, int64_t n, const uint64_t *outlier_index)
{
    enum status status = QO_OK;
    /* The one before belongs to another call or rank, which checks its own part only. */
    /* Ascending, because a repeated index would hide a missing one from every count. */
    uint64_t last = 0;
    bool has_last = first > 0;
    if (has_last)
        QO_TRY(read_line(reader->outlier_index, chosen->origin, H5T_NATIVE_UINT64, first - 1, 1,
                         &last));
    for (int64_t i = 0; i < n; i++) {
        uint64_t at = outlier_index[i];
        QO_CHECK(
            at < (uint64_t)chosen->result.vector.n && (!has_last || at > last), QO_DATA,
            "%s: outlier_index[%lld] is %llu, not ascending or not below %lld; the file is damaged",
            chosen->origin, (long long)(first + i), (unsigned long long)at,
            (long long)chosen->result.vector.n);
        last = at;
        has_last = true;
    }
done:
    return status;
}

enum status result_reader_outliers(struct result_reader *reader, int index, int64_t first,
                                   int64_t n, uint64_t *outlier_index, void *value)
{
    const struct chosen *chosen = &reader->chosen[index];
    enum status status = QO_OK;
    /* A shard without outliers opens nothing. */
    if (n == 0)
        return QO_OK;
    QO_TRY(turn_to(reader, index));
    QO_TRY(read_line(reader->outlier_index, chosen->origin, H5T_NATIVE_UINT64, first, n,
                     outlier_index));
    QO_TRY(check_outliers(reader, chosen, first, n, outlier_index));
    QO_TRY(read_line(reader->outlier_value, chosen->origin, reader->value_type, first, n, value));
    if (reader->is_swapped)
        element_swap_bytes(chosen->result.vector.type, value, n);
done:
    return status;
}

void result_reader_close(struct result_reader *reader)
{
    if (!reader)
        return;
    close_datasets(reader);
    h5_close(&reader->file);
    for (int i = 0; i < reader->num_chosen; i++) {
        struct chosen *chosen = &reader->chosen[i];
        memory_free(chosen->result.vector.name);
        memory_free(chosen->result.vector.origin);
        memory_free(chosen->result.result);
        memory_free(chosen->origin);
    }
    memory_free(reader->chosen);
    memory_free(reader->path);
    memory_free(reader);
}
