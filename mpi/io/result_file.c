/* SPDX-License-Identifier: Apache-2.0 */
#include "result_file.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "h5_output.h"
#include "log.h"
#include "memory.h"
#include "publish.h"
#include "result_verify.h"

#ifdef H5_HAVE_PARALLEL
#    define KIND "parallel"
#else
#    define KIND "not parallel"
#endif

/* A result that is being written. */
struct open_result {
    hid_t group, codes, outlier_index, outlier_value;
    int written; /* its place in the list of results */
};

/* Where names lie, one behind the other: they stay where they are as more are added. */
struct name_store {
    struct name_store *next;
    size_t size, used;
    char text[];
};

struct result_file {
    struct publication publication;
    struct h5_output output;
    char *path; /* [path_size]: "vectors/NAME" of the current vector */
    size_t path_size;
    enum element_type type;
    int64_t n;
    hid_t vector;
    hid_t value_type[ELEMENT_NUM_TYPES];
    int64_t histogram_place[2];
    struct open_result result[RESULT_FILE_MAX_RESULTS];
    int num_results;                /* of the current vector */
    struct written_result *written; /* [capacity] */
    int num_written, capacity;
    struct name_store *names; /* of `written`; the one in use first */
};

/* Groups, attributes and small datasets: what a batch reserves for each vector and each result,
 * some half of which they take. */
#define OBJECT_BYTES ((int64_t)24 << 10)

/* Behind the name of a vector in that of a result, and before it. */
#define RESULT_NAME_BYTES 96

/* Names are kept in pieces of so many bytes, or larger ones. */
#define NAME_STORE_BYTES ((size_t)64 << 10)

/* Makes sure that all that is in the file, and `more`, have their space; of a batch they have. */
static enum status reserve(struct result_file *file, int64_t more)
{
    if (file->output.is_deferred)
        return QO_OK;
    return publish_reserve(&file->publication, file->output.end + more + H5_OUTPUT_SLACK);
}

static void close_result(struct open_result *result)
{
    h5_close(&result->codes);
    h5_close(&result->outlier_index);
    h5_close(&result->outlier_value);
    h5_close(&result->group);
}

static void close_vector(struct result_file *file)
{
    for (int r = 0; r < file->num_results; r++)
        close_result(&file->result[r]);
    file->num_results = 0;
    h5_close(&file->vector);
}

static void close_types(struct result_file *file)
{
    for (int type = 0; type < ELEMENT_NUM_TYPES; type++)
        h5_close(&file->value_type[type]);
}

/* What a result will be known by when it is read back. */
static struct written_result *written_of(const struct result_file *file, int r)
{
    return &file->written[file->result[r].written];
}

static void clear(struct result_file *file)
{
    while (file->names) {
        struct name_store *next = file->names->next;
        memory_free(file->names);
        file->names = next;
    }
    memory_free(file->written);
    memory_free(file->path);
    memory_free(file);
}

/* The types in which outliers of vectors are stored. */
static enum status make_types(struct result_file *file)
{
    enum status status = QO_OK;
    for (int type = 0; type < ELEMENT_NUM_TYPES; type++)
        QO_H5(file->value_type[type] = h5_output_type((enum element_type)type), QO_NO_MEMORY,
              "%s: no memory", file->output.path);
done:
    return comm_agree(file->publication.comm, status);
}

/* The texts of the root that a user's input can make long. */
static enum status write_texts(struct result_file *file, const struct file_header *header)
{
    enum status status;
    struct h5_output *output = &file->output;
    QO_TRY(h5_output_long_text(output, "command_line", header->command_line));
    QO_TRY(h5_output_long_text(output, "options", header->options));
    QO_TRY(h5_output_long_text(output, "source", header->source));
done:
    return status;
}

static enum status write_header(struct result_file *file, const struct file_header *header)
{
    enum status status;
    struct h5_output *output = &file->output;
    hid_t root = output->file;
    QO_TRY(h5_output_text(output, root, "format", "quantopt"));
    QO_TRY(h5_output_integer(output, root, "format_version", 1));
    QO_TRY(h5_output_text(output, root, "quantopt_version", header->version));
    QO_TRY(h5_output_text(output, root, "created", header->created));
    QO_TRY(h5_output_integer(output, root, "ranks", header->ranks));
    QO_TRY(h5_output_integer(output, root, "threads_per_rank", header->threads_per_rank));
    QO_TRY(h5_output_text(output, root, "device", header->device));
    hid_t vectors = H5I_INVALID_HID;
    QO_TRY(h5_output_group(output, root, "vectors", &vectors));
    h5_close(&vectors);
done:
    return h5_output_agree(output, status);
}

enum status result_file_create(const struct comm *comm, const char *path,
                               const struct file_header *header, int64_t kept,
                               struct result_file **out)
{
    struct result_file *file;
    enum status status = comm_agree(comm, memory_alloc("result file", 1, sizeof *file, &file));
    *out = NULL;
    if (status != QO_OK)
        goto failed;
    file->vector = H5I_INVALID_HID;
    for (int type = 0; type < ELEMENT_NUM_TYPES; type++)
        file->value_type[type] = H5I_INVALID_HID;
    size_t text = strlen(header->command_line) + strlen(header->options) + strlen(header->source);
    QO_TRY(publish_begin(&file->publication, comm, path, kept));
    QO_TRY(h5_output_open(&file->output, comm, file->publication.path, file->publication.partial));
    QO_TRY(make_types(file));
    QO_TRY(reserve(file, (int64_t)text));
    QO_TRY(write_texts(file, header));
    QO_TRY(write_header(file, header));
    *out = file;
done:
    if (status != QO_OK)
        result_file_abandon(file);
    return status;
failed:
    memory_free(file); /* other ranks may have had no memory */
    return status;
}

static enum status write_stats(struct result_file *file, const struct vector_info *info,
                               const struct vector_stats *stats)
{
    enum status status = QO_OK;
    struct h5_output *output = &file->output;
    hid_t group = file->vector;
    const struct {
        const char *name;
        double value;
    } reals[] = {
        {"min", stats->min}, {"max", stats->max}, {"mean", stats->mean}, {"std", stats->std}};
    QO_TRY(h5_output_integers(output, group, "shape", info->shape, info->num_dims));
    QO_TRY(h5_output_text(output, group, "dtype", element_name(info->type)));
    QO_TRY(h5_output_integer(output, group, "num_elements", info->n));
    QO_TRY(h5_output_integer(output, group, "nonfinite_count", stats->nonfinite_count));
    QO_TRY(h5_output_integer(output, group, "fill_count", stats->fill_count));
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++)
        QO_TRY(h5_output_real(output, group, reals[i].name, reals[i].value));
    if (stats->num_original > 0)
        QO_TRY(h5_output_list(output, group, "original", file->value_type[info->type],
                              stats->num_original, stats->original));
done:
    return status;
}

/* The histogram for plots; none where no element is finite. */
static enum status write_histogram(struct result_file *file, const struct vector_stats *stats)
{
    enum status status;
    struct h5_output *output = &file->output;
    hid_t group = H5I_INVALID_HID;
    int bins = stats->plot_bins;
    file->histogram_place[0] = file->histogram_place[1] = -1;
    if (bins == 0)
        return QO_OK;
    status = h5_output_agree(output, h5_output_group(output, file->vector, "histogram", &group));
    if (status != QO_OK)
        return status;
    QO_TRY(h5_output_array(output, group, "edges", H5T_IEEE_F64LE, bins + 1, stats->plot_edges,
                           &file->histogram_place[0]));
    QO_TRY(h5_output_array(output, group, "counts", H5T_STD_U64LE, bins, stats->plot_counts,
                           &file->histogram_place[1]));
done:
    h5_close(&group);
    return status;
}

/* ---- Room, so that no memory is asked for between calls that all ranks have to make ---- */

/* Local. For the path of a vector's group. */
static enum status make_path_room(struct result_file *file, size_t name)
{
    size_t size = 2 * (name + sizeof "vectors/");
    if (size / 2 <= file->path_size)
        return QO_OK;
    memory_free(file->path);
    file->path_size = 0;
    enum status status = memory_alloc("a group's name", (int64_t)size, 1, &file->path);
    if (status == QO_OK)
        file->path_size = size;
    return status;
}

/* Local. For more results in the list. */
static enum status make_list_room(struct result_file *file, int64_t count)
{
    enum status status;
    struct written_result *larger;
    int64_t needed = file->num_written + count, capacity = 2 * (int64_t)file->capacity;
    if (needed <= file->capacity)
        return QO_OK;
    capacity = capacity > needed ? capacity : needed > 64 ? needed : 64;
    QO_CHECK(capacity <= INT_MAX, QO_NO_MEMORY, "%s: too many results", file->output.path);
    QO_TRY(memory_alloc("list of results", capacity, sizeof *larger, &larger));
    if (file->num_written)
        memcpy(larger, file->written, (size_t)file->num_written * sizeof *larger);
    memory_free(file->written);
    file->written = larger;
    file->capacity = (int)capacity;
done:
    return status;
}

/* Local. For the names of the groups of results. */
static enum status make_name_room(struct result_file *file, size_t bytes)
{
    struct name_store *store;
    if (file->names && file->names->size - file->names->used >= bytes)
        return QO_OK;
    size_t size = bytes > NAME_STORE_BYTES ? bytes : NAME_STORE_BYTES;
    enum status status =
        memory_alloc("names of groups", (int64_t)(sizeof *store + size), 1, &store);
    if (status != QO_OK)
        return status;
    store->size = size;
    store->next = file->names;
    file->names = store;
    return QO_OK;
}

/* Collective. All of these. */
static enum status make_room(struct result_file *file, const struct result_batch *batch)
{
    enum status status = QO_OK;
    size_t names = (size_t)(batch->name_bytes + batch->num_results * RESULT_NAME_BYTES);
    if (file->output.is_deferred) /* which is this, done before */
        return QO_OK;
    QO_TRY(make_path_room(file, (size_t)batch->longest_name));
    QO_TRY(make_list_room(file, batch->num_results));
    QO_TRY(make_name_room(file, names));
done:
    return comm_agree(file->publication.comm, status);
}

enum status result_file_begin_batch(struct result_file *file, const struct result_batch *batch)
{
    enum status status;
    int64_t num_objects = batch->num_vectors + batch->num_results;
    close_vector(file);
    QO_TRY(make_room(file, batch));
    QO_TRY(reserve(file, batch->data_bytes + num_objects * OBJECT_BYTES));
    h5_output_defer(&file->output);
done:
    return status;
}

void result_file_set_writer(struct result_file *file, int rank)
{
    file->output.writer = rank;
}

enum status result_file_end_batch(struct result_file *file)
{
    close_vector(file);
    return h5_output_catch_up(&file->output);
}

/* ---- Vectors and their results ---- */

enum status result_file_begin_vector(struct result_file *file, const struct vector_info *info,
                                     const struct vector_stats *stats)
{
    enum status status;
    struct h5_output *output = &file->output;
    struct result_batch room = {.longest_name = (int64_t)strlen(info->name)};
    close_vector(file);
    file->type = info->type;
    file->n = info->n;
    QO_TRY(make_room(file, &room));
    snprintf(file->path, file->path_size, "vectors/%s", info->name);
    status = h5_output_group(output, output->file, file->path, &file->vector);
    if (status == QO_OK)
        status = write_stats(file, info, stats);
    QO_TRY(h5_output_agree(output, status));
    QO_TRY(write_histogram(file, stats));
    QO_TRY(reserve(file, 0));
done:
    return status;
}

/* Adds a result, for which there is room, to the list. */
static void add_written(struct result_file *file, const struct result *result)
{
    struct name_store *names = file->names;
    struct written_result *last = &file->written[file->num_written++];
    assert(file->num_written <= file->capacity);
    *last = (struct written_result){.group = names->text + names->used,
                                    .type = file->type,
                                    .n = file->n,
                                    .bits = result->num_bits,
                                    .k = result->solution.k};
    int length = snprintf(names->text + names->used, names->size - names->used, "%s/%s_%dbit",
                          file->path, result->approach, result->num_bits);
    names->used += (size_t)length + 1;
    assert(names->used <= names->size);
}

/* The group of a result and the place of its codes. */
static enum status make_codes(struct result_file *file, struct open_result *open)
{
    enum status status;
    struct h5_output *output = &file->output;
    const struct written_result *written = &file->written[open->written];
    int64_t bytes = (written->n * written->bits + 7) / 8;
    QO_TRY(h5_output_group(output, output->file, written->group, &open->group));
    QO_TRY(h5_output_dataset(output, open->group, "codes", H5T_STD_U8LE, 1, &bytes, &open->codes));
done:
    return h5_output_agree(output, status);
}

enum status result_file_begin_result(struct result_file *file, const struct result *result)
{
    enum status status;
    assert(file->num_results < RESULT_FILE_MAX_RESULTS);
    struct open_result *open = &file->result[file->num_results];
    *open = (struct open_result){.group = H5I_INVALID_HID,
                                 .codes = H5I_INVALID_HID,
                                 .outlier_index = H5I_INVALID_HID,
                                 .outlier_value = H5I_INVALID_HID,
                                 .written = file->num_written};
    struct result_batch room = {.num_results = 1, .name_bytes = (int64_t)strlen(file->path)};
    QO_TRY(make_room(file, &room));
    add_written(file, result);
    file->num_results++;
    QO_TRY(reserve(file, (file->n * result->num_bits + 7) / 8));
    QO_TRY(make_codes(file, open));
    QO_TRY(h5_output_array(&file->output, open->group, "levels", H5T_IEEE_F64LE, result->solution.k,
                           result->solution.level, NULL));
done:
    return status;
}

enum status result_file_write_codes(struct result_file *file, int r, const uint8_t *codes,
                                    int64_t first, int64_t n)
{
    enum status status = QO_OK;
    for (int64_t done = 0; done < n && status == QO_OK; done += H5_OUTPUT_MAX_CALL) {
        int64_t part = n - done < H5_OUTPUT_MAX_CALL ? n - done : H5_OUTPUT_MAX_CALL;
        status = h5_output_put(&file->output, file->result[r].codes, "codes", H5T_NATIVE_UINT8,
                               first + done, part, codes + done);
    }
    return status;
}

/* The places of outliers. */
static enum status make_outliers(struct result_file *file, struct open_result *open, int64_t count)
{
    enum status status;
    struct h5_output *output = &file->output;
    QO_TRY(h5_output_dataset(output, open->group, "outlier_index", H5T_STD_U64LE, 1, &count,
                             &open->outlier_index));
    QO_TRY(h5_output_dataset(output, open->group, "outlier_value", file->value_type[file->type], 1,
                             &count, &open->outlier_value));
done:
    return h5_output_agree(output, status);
}

enum status result_file_begin_outliers(struct result_file *file, int r, int64_t count)
{
    int64_t size = 8 + (int64_t)element_size(file->type);
    written_of(file, r)->outlier_count = count;
    enum status status = reserve(file, count * size);
    return status == QO_OK ? make_outliers(file, &file->result[r], count) : status;
}

enum status result_file_write_outliers(struct result_file *file, int r, const uint64_t *index,
                                       const void *value, int64_t first, int64_t n)
{
    enum status status = QO_OK;
    const struct open_result *open = &file->result[r];
    if (n == 0)
        return QO_OK;
    QO_TRY(h5_output_put(&file->output, open->outlier_index, "outlier_index", H5T_NATIVE_UINT64,
                         first, n, index));
    QO_TRY(h5_output_put(&file->output, open->outlier_value, "outlier_value",
                         file->value_type[file->type], first, n, value));
done:
    return status;
}

void result_file_places(const struct result_file *file, int r, int64_t place[3])
{
    const struct open_result *open = &file->result[r];
    place[0] = h5_output_place(open->codes);
    place[1] = h5_output_place(open->outlier_index);
    place[2] = h5_output_place(open->outlier_value);
}

void result_file_histogram_places(const struct result_file *file, int64_t place[2])
{
    place[0] = file->histogram_place[0];
    place[1] = file->histogram_place[1];
}

int64_t result_file_inode(const struct result_file *file)
{
    return publish_inode(&file->publication);
}

enum status result_file_save(struct result_file *file)
{
    return publish_sync(&file->publication);
}

void result_file_keep(struct result_file *file)
{
    file->publication.is_kept = true;
}

static enum status write_figures(struct h5_output *output, hid_t group, const struct result *result)
{
    enum status status = QO_OK;
    const struct {
        const char *name;
        double value;
    } reals[] = {
        {"mse", result->mse},
        {"rmse", result->rmse},
        {"l2_norm", result->l2_norm},
        {"relative_error", result->relative_error},
        {"sqnr_db", result->sqnr_db},
        {"max_abs_error", result->max_abs_error},
        {"bits_per_value", result->bits_per_value},
        {"compression_ratio", result->compression_ratio},
        {"optimality_gap", result->optimality_gap},
        {"sample_excess", result->sample_excess},
        {"solve_seconds", result->solve_seconds},
        {"encode_seconds", result->encode_seconds},
        {"threshold", result->threshold},
        {"scale", result->solution.scale},
    };
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++)
        QO_TRY(h5_output_real(output, group, reals[i].name, reals[i].value));
done:
    return status;
}

static enum status write_attributes(struct h5_output *output, hid_t group,
                                    const struct result *result)
{
    enum status status;
    char digest[17];
    snprintf(digest, sizeof digest, "%016" PRIx64, result->digest);
    QO_TRY(h5_output_text(output, group, "approach", result->approach));
    QO_TRY(h5_output_integer(output, group, "num_bits", result->num_bits));
    QO_TRY(h5_output_text(output, group, "solver", result->solver));
    QO_TRY(write_figures(output, group, result));
    QO_TRY(h5_output_list(output, group, "error_histogram", H5T_IEEE_F32LE, HISTOGRAM_ERROR_BINS,
                          result->error_share));
    QO_TRY(h5_output_integer(output, group, "outlier_count", result->outlier_count));
    QO_TRY(h5_output_integer(output, group, "sample_size", result->sample_size));
    QO_TRY(h5_output_integer(output, group, "iterations", result->solution.iterations));
    QO_TRY(h5_output_byte(output, group, "converged", result->solution.converged));
    QO_TRY(h5_output_text(output, group, "digest", digest));
done:
    return status;
}

enum status result_file_end_result(struct result_file *file, int r, const struct result *result)
{
    struct open_result *open = &file->result[r];
    struct h5_output *output = &file->output;
    enum status status = h5_output_agree(output, write_attributes(output, open->group, result));
    written_of(file, r)->digest = result->digest;
    if (status == QO_OK)
        close_result(open);
    return status;
}

/* Rank 0's part of cut_slack: the file ends where it says it does. */
static enum status cut_at_end(const struct publication *publication)
{
    enum status status;
    hid_t file = H5I_INVALID_HID;
    haddr_t end = 0;
    QO_TRY(h5_output_reopen(publication->partial, &file));
    QO_H5(H5Fget_eoa(file, &end), QO_IO, "%s: cannot be read back; check the disk",
          publication->partial);
    QO_TRY(publish_cut(publication, (int64_t)end));
done:
    h5_close(&file);
    return status;
}

/* HDF5 cuts off what is left of the reserved space, but not where its last write ended the file. */
static enum status cut_slack(struct result_file *file)
{
    const struct publication *publication = &file->publication;
    enum status status = publication->comm->rank == 0 ? cut_at_end(publication) : QO_OK;
    return comm_agree(publication->comm, status);
}

enum status result_file_publish(struct result_file *file)
{
    enum status status;
    struct publication *publication = &file->publication;
    close_vector(file);
    close_types(file);
    QO_TRY(h5_output_close(&file->output));
    QO_TRY(cut_slack(file));
    QO_TRY(publish_sync(publication));
    QO_TRY(result_verify(publication->comm, publication->path, publication->partial, file->written,
                         file->num_written));
    QO_TRY(publish_finish(publication));
    clear(file);
done:
    return status;
}

void result_file_abandon(struct result_file *file)
{
    if (!file)
        return;
    const struct comm *comm = file->publication.comm;
    h5_output_settle(&file->output);
    if (file->output.broken == QO_OK)
        close_vector(file);
    close_types(file);
    h5_output_discard(&file->output);
    publish_abandon(&file->publication);
    h5_output_say(&file->output);
    comm_wait_all(comm); /* rank 0 has removed what was begun, and said why */
    h5_output_give_up(&file->output, comm);
    clear(file);
}

const char *result_file_library(void)
{
    static char text[64];
    unsigned major = 0, minor = 0, release = 0;
    H5get_libversion(&major, &minor, &release);
    snprintf(text, sizeof text, "HDF5 %u.%u.%u, %s", major, minor, release, KIND);
    return text;
}
