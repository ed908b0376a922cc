/* SPDX-License-Identifier: Apache-2.0 */
#include "source.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "catalog.h"
#include "fault.h"
#include "input_file.h"
#include "log.h"
#include "memory.h"
#include "names.h"

/*
 * From the user's INPUTs to a list of vectors, and from there to elements.
 *
 * Only rank 0 looks into files while it makes the list: a thousand ranks that open the same file at
 * the same moment are a burden to a file server, and what one rank has found cannot differ from
 * what another has. The list is broadcast, and then each rank reads its own part of a vector by
 * itself.
 *
 * The steps of rank 0, in order: split each INPUT, tell its kind, scan it, drop its empty vectors;
 * name all vectors, with a prefix where names collide; take those that --include and --exclude
 * leave; see that their names do not collide. Globs come before the last step, so that a user can
 * choose a way out of a collision, and behind the names, so that they apply to what reports show.
 */
struct source {
    struct catalog catalog; /* the same on all ranks */
    struct handle handle;   /* what this rank has open */
};

/* Those that know their own files, in the order in which they are asked. */
static const struct reader *const self_describing[] = {&reader_hdf5, &reader_npy,
                                                       &reader_safetensors};

/* No descriptor and no HDF5 id is negative, so this is nobody's. */
static const struct handle closed = {.fd = -1, .file_id = -1, .dataset_id = -1};

/* Splits FILE[:DATASET] at the first colon whose left side is a file; without one all of it is the
 * file. */
static enum status split_argument(const char *argument, struct input *input)
{
    enum status status;
    struct stat about;
    QO_TRY(memory_copy_text(argument, &input->path));
    for (char *colon = strchr(input->path, ':'); colon; colon = strchr(colon + 1, ':')) {
        *colon = '\0';
        if (stat(input->path, &about) == 0 && !S_ISDIR(about.st_mode)) {
            input->dataset = colon + 1;
            break;
        }
        *colon = ':';
    }
    QO_CHECK(!input->dataset || input->dataset[0], QO_USAGE,
             "%s: names no dataset behind the colon; leave the colon out to take all of the file",
             argument);
done:
    return status;
}

/*
 * Opens a file and takes its first bytes. What is not there, a directory, a pipe or an empty file
 * ends here, with the same message whatever kind the user meant.
 */
static enum status read_head(const char *path, struct file_head *head)
{
    enum status status;
    head->path = path;
    QO_TRY(input_file_open(path, &head->fd, &head->size));
    QO_CHECK(head->size > 0, QO_DATA, "%s: is empty; it should hold numbers", path);
    head->num_bytes =
        (int)(head->size < (int64_t)sizeof head->byte ? head->size : (int64_t)sizeof head->byte);
    QO_TRY(input_file_read(head->fd, path, 0, head->num_bytes, head->byte));
done:
    return status;
}

/* Finds who reads a file: by its first bytes, or because --dtype says that it is raw. */
static enum status find_reader(const struct source_request *request, const char *path,
                               const struct reader **reader)
{
    enum status status;
    struct file_head head = {.fd = -1};
    QO_TRY(read_head(path, &head));
    *reader = NULL;
    for (size_t i = 0; !*reader && i < sizeof self_describing / sizeof self_describing[0]; i++)
        if (self_describing[i]->recognises(&head))
            *reader = self_describing[i];
    if (!*reader && request->has_type)
        *reader = &reader_raw;
    const char *guess = input_file_guess(head.byte, head.num_bytes);
    QO_CHECK(*reader || !guess, QO_DATA, "%s: is not HDF5, .npy or .safetensors; it looks like %s",
             path, guess);
    QO_CHECK(*reader, QO_DATA,
             "%s: is not HDF5, .npy or .safetensors; if it is raw numbers, say which with --dtype",
             path);
done:
    input_file_close(&head.fd);
    return status;
}

/* Drops the empty vectors of one input; nothing left is bad data. */
static enum status drop_empty(struct catalog *catalog, const struct input *input)
{
    enum status status;
    bool *keep = NULL;
    int num_kept = 0, n = catalog->num_entries - input->first;
    QO_TRY(memory_alloc("the list of vectors", n, sizeof *keep, &keep));
    for (int i = 0; i < n; i++) {
        const struct vector_info *info = &catalog->entry[input->first + i].info;
        /* One that cannot be read is not empty: it stays until somebody wants it or not. */
        keep[i] = info->n > 0 || catalog->entry[input->first + i].failure != QO_OK;
        num_kept += keep[i];
        QO_CHECK(keep[i] || n > 1, QO_DATA, "%s: holds no elements; there is nothing to quantize",
                 info->origin);
        if (!keep[i])
            log_info("%s: skipped: it holds no elements", info->origin);
    }
    QO_CHECK(num_kept > 0, QO_DATA,
             "%s: all its %d vectors are empty; there is nothing to quantize", input->path, n);
    catalog_keep(catalog, input->first, keep);
done:
    memory_free(keep);
    return status;
}

/* Tells the user who gave --dtype or --shape to files that all know better. */
static enum status check_raw_options(const struct source_request *request, int num_raw)
{
    if (num_raw > 0 || (!request->has_type && request->num_dims < 0))
        return QO_OK;
    return status_raise(
        QO_USAGE,
        "--%s: is for raw files and drawn vectors, and %s says its own; leave the option out",
        request->has_type ? "dtype" : "shape", request->inputs[0]);
}

/* Scans the inputs one after the other, in the user's order, which is the order of all reports. */
static enum status scan_inputs(const struct source_request *request, struct input *input,
                               struct catalog *catalog)
{
    enum status status = QO_OK;
    int num_raw = 0;
    for (int i = 0; i < request->num_inputs; i++) {
        const struct reader *reader;
        QO_TRY(split_argument(request->inputs[i], &input[i]));
        QO_TRY(find_reader(request, input[i].path, &reader));
        num_raw += reader == &reader_raw;
        input[i].first = catalog->num_entries;
        QO_TRY(reader->scan(request, input[i].path, input[i].dataset, catalog));
        QO_TRY(drop_empty(catalog, &input[i]));
        input[i].end = catalog->num_entries;
    }
    QO_TRY(check_raw_options(request, num_raw));
    status = names_make(catalog, input, request->num_inputs);
done:
    return status;
}

/* "a, b, c and 7 more": some names, for a message. */
static void list_names(const struct catalog *catalog, char *text, size_t size)
{
    const int most = 5;
    size_t n = 0;
    text[0] = '\0';
    for (int i = 0; i < catalog->num_entries && i < most && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%s", i ? ", " : "",
                              catalog->entry[i].info.name);
    if (catalog->num_entries > most && n < size)
        snprintf(text + n, size - n, " and %d more", catalog->num_entries - most);
}

/* Whether --include and --exclude leave a vector in; '*' takes any '/' too, as users of tensor
 * names expect. */
static bool is_selected(const struct source_request *request, const char *name)
{
    return (!request->include || fnmatch(request->include, name, 0) == 0) &&
           (!request->exclude || fnmatch(request->exclude, name, 0) != 0);
}

/*
 * Keeps what --include and --exclude leave. Here, where names are final, it is known which vectors
 * are wanted: one among them that cannot be read ends the run, and any other is of no importance.
 */
static enum status select_vectors(const struct source_request *request, struct catalog *catalog)
{
    enum status status;
    bool *keep = NULL;
    int num_kept = 0;
    char names[1024];
    QO_TRY(memory_alloc("the list of vectors", catalog->num_entries, sizeof *keep, &keep));
    for (int i = 0; i < catalog->num_entries; i++) {
        const struct entry *entry = &catalog->entry[i];
        keep[i] = is_selected(request, entry->info.name);
        num_kept += keep[i];
        QO_CHECK(!keep[i] || entry->failure == QO_OK, entry->failure, "%s", entry->failure_text);
        if (entry->failure != QO_OK)
            log_detail("%s; not asked for", entry->failure_text);
    }
    /* Made before the catalog is thinned out: the message shows what there was to choose from. */
    list_names(catalog, names, sizeof names);
    QO_CHECK(num_kept > 0, QO_USAGE, "--%s %s: leaves no vector; there are %s",
             request->include ? "include" : "exclude",
             request->include ? request->include : request->exclude, names);
    catalog_keep(catalog, 0, keep);
done:
    memory_free(keep);
    return status;
}

/* What the system says of a file now. */
static enum status look_at(const char *path, struct source_file *file)
{
    struct stat about;
    bool fault = fault_here();
    if (fault)
        errno = EIO;
    if (fault || stat(path, &about) != 0)
        return status_raise(QO_NO_INPUT, "%s: cannot be looked at: %s; check the path", path,
                            strerror(errno));
    *file = (struct source_file){path, about.st_size, about.st_mtim.tv_sec, about.st_mtim.tv_nsec};
    return QO_OK;
}

/* Notes how the files of all vectors look, where the scan has not done so: what is read later has
 * to be of the same file. */
static enum status look_at_files(struct catalog *catalog)
{
    enum status status = QO_OK;
    for (int i = 0; i < catalog->num_entries; i++) {
        struct entry *entry = &catalog->entry[i];
        struct source_file file = {0};
        if (entry->reader == &reader_synthetic || entry->look.size != 0)
            continue;
        QO_TRY(look_at(entry->file, &file));
        entry->look = (struct file_look){file.num_bytes, file.seconds, file.nanoseconds};
    }
done:
    return status;
}

/* On rank 0: all that is found without the others. */
static enum status find_vectors(const struct source_request *request, struct catalog *catalog)
{
    enum status status;
    struct input *input = NULL;
    QO_TRY(memory_alloc("the list of inputs", request->num_inputs, sizeof *input, &input));
    if (request->num_inputs > 0)
        QO_TRY(scan_inputs(request, input, catalog));
    else
        QO_TRY(reader_synthetic.scan(request, NULL, NULL, catalog));
    QO_TRY(select_vectors(request, catalog));
    QO_TRY(names_check(catalog));
    QO_TRY(look_at_files(catalog));
done:
    for (int i = 0; input && i < request->num_inputs; i++) {
        memory_free(input[i].path);
        memory_free(input[i].stem);
    }
    memory_free(input);
    return status;
}

/*
 * Each step that only some ranks take ends in an agreement, so that nobody waits for a rank that
 * has left: memory on all, the search on rank 0, memory for the copy on all others.
 */
enum status source_open(const struct comm *comm, const struct source_request *request,
                        struct source **source)
{
    enum status status;
    QO_TRY(comm_agree(comm, memory_alloc("the source", 1, sizeof **source, source)));
    (*source)->handle = closed;
    status = comm->rank == 0 ? find_vectors(request, &(*source)->catalog) : QO_OK;
    QO_TRY(comm_agree(comm, status));
    QO_TRY(catalog_broadcast(comm, &(*source)->catalog));
done:
    if (status != QO_OK) {
        source_close(*source);
        *source = NULL;
    }
    return status;
}

int source_count(const struct source *source)
{
    return source->catalog.num_entries;
}

const struct vector_info *source_vector(const struct source *source, int index)
{
    assert(index >= 0 && index < source->catalog.num_entries);
    return &source->catalog.entry[index].info;
}

static void handle_close(struct handle *handle)
{
    if (handle->reader)
        handle->reader->close(handle);
    *handle = closed;
}

/* Makes the handle hold the entry's file. */
static enum status handle_open(struct handle *handle, const struct entry *entry)
{
    if (handle->reader == entry->reader && strcmp(handle->file, entry->file) == 0)
        return QO_OK;
    handle_close(handle);
    handle->reader = entry->reader;
    handle->file = entry->file;
    enum status status = entry->reader->open(handle, entry);
    if (status != QO_OK)
        handle_close(handle);
    return status;
}

/*
 * The file stays open until another one is read: vectors are read one after the other, mostly from
 * the same file, and many tensors of a model must not mean as many calls to open it.
 *
 * Any one thread at a time may be in here while another writes a result: all state is in *source,
 * nothing is communicated or logged, and the HDF5 reader holds the lock of h5.h.
 */
enum status source_read(struct source *source, int index, int64_t begin, int64_t end, void *x)
{
    assert(index >= 0 && index < source->catalog.num_entries);
    const struct entry *entry = &source->catalog.entry[index];
    assert(0 <= begin && begin <= end && end <= entry->info.n);
    if (begin == end)
        return QO_OK;
    enum status status = handle_open(&source->handle, entry);
    return status == QO_OK ? entry->reader->read(&source->handle, entry, begin, end, x) : status;
}

void source_expect(struct source *source, int index, int64_t begin, int64_t end)
{
    const struct entry *entry = &source->catalog.entry[index];
    int64_t size = (int64_t)element_size(entry->info.type);
    bool is_direct = entry->reader != &reader_hdf5 || entry->offset != 0;
    if (begin == end || entry->is_fortran || !is_direct)
        return;
    if (handle_open(&source->handle, entry) != QO_OK)
        status_clear();
    else if (source->handle.fd >= 0)
        posix_fadvise(source->handle.fd, (off_t)(entry->offset + begin * size),
                      (off_t)((end - begin) * size), POSIX_FADV_WILLNEED);
}

enum status source_check_unchanged(const struct source *source, int index)
{
    const struct entry *entry = &source->catalog.entry[index];
    struct source_file now = {0};
    if (entry->reader == &reader_synthetic)
        return QO_OK;
    enum status status = look_at(entry->file, &now);
    if (status != QO_OK)
        return status;
    if (now.num_bytes == entry->look.size && now.seconds == entry->look.seconds &&
        now.nanoseconds == entry->look.nanoseconds)
        return QO_OK;
    return status_raise(QO_DATA,
                        "%s: has changed while it was read; run again once it stays as it is",
                        entry->file);
}

/* The vectors of a file stand together, so looking at the one before is enough. */
enum status source_visit_files(const struct source *source,
                               void (*visit)(const struct source_file *file, void *context),
                               void *context)
{
    enum status status = QO_OK;
    const struct catalog *catalog = &source->catalog;
    for (int i = 0; i < catalog->num_entries; i++) {
        const struct entry *entry = &catalog->entry[i];
        struct source_file file = {0};
        if (entry->reader == &reader_synthetic ||
            (i > 0 && strcmp(entry->file, entry[-1].file) == 0))
            continue;
        QO_TRY(look_at(entry->file, &file));
        visit(&file, context);
    }
done:
    return status;
}

void source_close(struct source *source)
{
    if (!source)
        return;
    handle_close(&source->handle);
    catalog_clear(&source->catalog);
    memory_free(source);
}
