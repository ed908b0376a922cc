/* SPDX-License-Identifier: Apache-2.0 */

/*
 * HDF5 inputs. What lies in a row in the file is read there (hdf5_direct.h), the rest by the
 * library: reading a range of the flattened array by hyperslabs. A range in C order is a few boxes
 * (rows that it cuts, and whole ones between), each box is read in as few calls as the limits
 * allow, cut where chunks end. Elements come as they are stored and are turned to this machine's
 * byte order here, so that every bit of a NaN arrives too.
 */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "hdf5_dataset.h"
#include "hdf5_direct.h"
#include "hdf5_scan.h"
#include "input_file.h"

/* The library keeps about 6 KiB for each chunk that a call touches; measured, more chunks a call
 * are slower. */
#define MAX_CHUNKS 256

/*
 * Rows that a range cuts lie in the same layer of chunks as the whole rows beside them. A layer
 * that fits is kept, so that each chunk is decoded once; of a larger one a part would be of no use.
 * From a rank's 64 MiB.
 */
#define MAX_CACHE ((hsize_t)16 << 20)

/* Slots of the cache, a prime as the library wants it, and well above the chunks that fit. */
#define CACHE_SLOTS 12421

/* Part of an array: count[d] indices from start[d] on, in each dimension. */
struct box {
    int rank; /* 1 or more */
    hsize_t start[SOURCE_MAX_DIMS], count[SOURCE_MAX_DIMS];
};

/* One dataset ready to be read. */
struct reading {
    hid_t dataset, type, space;
    int rank;
    size_t size;                    /* of an element */
    hsize_t chunk[SOURCE_MAX_DIMS]; /* all 1 where there are no chunks */
    hsize_t max_chunks;             /* in one call */
    const struct entry *entry;
};

/* By the signature, where the library looks for it: names of such files end in .h5, .nc, .mat ...
 */
static bool hdf5_recognises(const struct file_head *head)
{
    static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    unsigned char found[8];
    /* A user block of 512 bytes, or that times a power of two, may stand in front. */
    /* Some 50 places at most, as they double. */
    for (int64_t at = 0; at <= head->size - 8; at = at ? 2 * at : 512) {
        if (pread(head->fd, found, sizeof found, (off_t)at) != (ssize_t)sizeof found)
            return false;
        if (memcmp(found, signature, sizeof found) == 0)
            return true;
    }
    return false;
}

/* A descriptor for the vectors that are read without the library, from the first of them on; the
 * library opens the file when one needs it. */
static enum status hdf5_open(struct handle *handle, const struct entry *entry)
{
    bool wanted = entry->offset > 0 && handle->fd < 0;
    return wanted ? hdf5_direct_open(entry, &handle->fd) : QO_OK;
}

/* Without a word if it fails: nothing was written. */
static void close_dataset(struct handle *handle)
{
    hid_t dataset = handle->dataset_id;
    h5_close(&dataset);
    handle->dataset_id = H5I_INVALID_HID;
    handle->dataset = NULL;
}

/* The dataset first: HDF5 keeps a file open as long as something in it is. */
static void hdf5_close(struct handle *handle)
{
    hid_t file = handle->file_id;
    input_file_close(&handle->fd);
    if (file < 0)
        return;
    h5_lock();
    close_dataset(handle);
    h5_close(&file);
    h5_unlock();
    handle->file_id = H5I_INVALID_HID;
}

/* The file may have been written anew since the scan. */
static enum status check_unchanged(hid_t dataset, const struct entry *entry)
{
    const struct vector_info *info = &entry->info;
    struct entry now = {.info.n = 0};
    struct hdf5_type type = {.kind = HDF5_OTHER};
    enum status status = QO_OK;
    QO_TRY(hdf5_dataset_look(dataset, info->origin, &now, &type));
    /* Fields, not the address: a file may be repacked and still hold the same vector. */
    bool same =
        type.kind == HDF5_ELEMENT && type.element == info->type &&
        type.is_swapped == entry->is_swapped && now.info.num_dims == info->num_dims &&
        now.info.n == info->n &&
        memcmp(now.info.shape, info->shape, (size_t)info->num_dims * sizeof info->shape[0]) == 0;
    QO_CHECK(same, QO_DATA, "%s: has changed since the start; run again once it stays as it is",
             info->origin);
done:
    return status;
}

/* Sets chunk[] to the shape of a chunk, all 0 where the storage is of another kind. */
static enum status find_chunk(hid_t dataset, const struct vector_info *info,
                              hsize_t chunk[SOURCE_MAX_DIMS])
{
    enum status status = QO_OK;
    /* All of it: the library fills in as many as it finds. */
    memset(chunk, 0, SOURCE_MAX_DIMS * sizeof *chunk);
    hid_t plist = H5Dget_create_plist(dataset);
    QO_H5(plist, QO_DATA, "%s: its layout cannot be read", info->origin);
    if (H5Pget_layout(plist) == H5D_CHUNKED) {
        /* Divided by below, so a 0 in a damaged file must end here. */
        bool is_sound = H5Pget_chunk(plist, SOURCE_MAX_DIMS, chunk) == info->num_dims;
        for (int d = 0; d < info->num_dims; d++)
            is_sound &= chunk[d] > 0;
        QO_CHECK(is_sound, QO_DATA, "%s: its chunks are damaged", info->origin);
    }
done:
    h5_close(&plist);
    return status;
}

/* Bytes of the chunks with the same index in the first dimension, MAX_CACHE + 1 if there are more.
 */
static hsize_t layer_bytes(const struct vector_info *info, const hsize_t *chunk)
{
    hsize_t bytes = element_size(info->type);
    for (int d = 0; d < info->num_dims && bytes <= MAX_CACHE; d++) {
        hsize_t length = (hsize_t)info->shape[d];
        /* Chunks at the edge are stored whole, so lengths are rounded up to them. */
        hsize_t in_layer = d == 0 ? chunk[d] : length + (chunk[d] - length % chunk[d]) % chunk[d];
        /* Divided instead of multiplied: the product of hostile chunks could wrap. */
        bytes = in_layer > MAX_CACHE / bytes ? MAX_CACHE + 1 : bytes * in_layer;
    }
    return bytes;
}

/* Opens a dataset with a cache for a layer of its chunks. The library has a cache of 1 MiB by
 * itself. */
static enum status open_with_cache(hid_t file, const struct entry *entry, hid_t *dataset)
{
    enum status status = QO_OK;
    const char *origin = entry->info.origin;
    hsize_t chunk[SOURCE_MAX_DIMS];
    hid_t plist = H5I_INVALID_HID;
    QO_H5(*dataset = H5Dopen2(file, entry->dataset, H5P_DEFAULT), QO_DATA,
          "%s: cannot be opened any more; the file has changed or is damaged", origin);
    QO_TRY(check_unchanged(*dataset, entry));
    QO_TRY(find_chunk(*dataset, &entry->info, chunk));
    if (chunk[0] == 0)
        return QO_OK;
    hsize_t layer = layer_bytes(&entry->info, chunk);
    /* What fits the default cache needs no other one. */
    if (layer <= (1 << 20) || layer > MAX_CACHE)
        return QO_OK;
    /* A cache can be asked for only when a dataset that is not open yet is opened. */
    h5_close(dataset);
    QO_H5(plist = H5Pcreate(H5P_DATASET_ACCESS), QO_NO_MEMORY, "%s: no memory", origin);
    QO_H5(H5Pset_chunk_cache(plist, CACHE_SLOTS, layer, H5D_CHUNK_CACHE_W0_DEFAULT), QO_NO_MEMORY,
          "%s: no memory", origin);
    QO_H5(*dataset = H5Dopen2(file, entry->dataset, plist), QO_DATA,
          "%s: cannot be opened any more", origin);
done:
    h5_close(&plist);
    if (status != QO_OK)
        h5_close(dataset);
    return status;
}

/* Opens the entry's dataset, unless it is the open one. */
static enum status open_dataset(struct handle *handle, const struct entry *entry)
{
    /* By address: the text is the source's, one for each entry. */
    if (handle->dataset == entry->dataset && handle->dataset)
        return QO_OK;
    enum status status = QO_OK;
    hid_t dataset = H5I_INVALID_HID, file = handle->file_id;
    close_dataset(handle);
    /* Each rank opens the file by itself and for reading only: nothing has to be agreed upon. */
    if (file < 0)
        QO_TRY(h5_open(entry->file, &file));
    handle->file_id = file;
    QO_TRY(open_with_cache(file, entry, &dataset));
    handle->dataset_id = dataset;
    handle->dataset = entry->dataset;
done:
    return status;
}

/* What reading_init opened; the dataset is the handle's. */
static void reading_clear(struct reading *reading)
{
    h5_close(&reading->type);
    h5_close(&reading->space);
}

/* Looks up what each call needs. A dataset without chunks is one of chunks of one element, without
 * a limit to their number. */
static enum status reading_init(struct reading *reading, hid_t dataset, const struct entry *entry)
{
    enum status status = QO_OK;
    const char *origin = entry->info.origin;
    *reading = (struct reading){.dataset = dataset,
                                .type = H5I_INVALID_HID,
                                .space = H5I_INVALID_HID,
                                .rank = entry->info.num_dims,
                                .size = element_size(entry->info.type),
                                .max_chunks = MAX_CHUNKS,
                                .entry = entry};
    QO_H5(reading->type = H5Dget_type(dataset), QO_DATA, "%s: its type cannot be read", origin);
    QO_H5(reading->space = H5Dget_space(dataset), QO_DATA, "%s: its shape cannot be read", origin);
    QO_TRY(find_chunk(dataset, &entry->info, reading->chunk));
    if (reading->chunk[0] == 0) {
        reading->max_chunks = INT64_MAX;
        for (int d = 0; d < SOURCE_MAX_DIMS; d++)
            reading->chunk[d] = 1;
    }
done:
    return status;
}

/* One call of the library. Its driver puts zeros where a file has become shorter: that is looked
 * for. */
static enum status read_selection(const struct reading *reading, hid_t memory, hid_t space, void *x)
{
    enum status status = QO_OK;
    const char *origin = reading->entry->info.origin;
    char reason[H5_REASON_SIZE];
    struct stat now;
    hsize_t size = 0;
    hid_t file = H5I_INVALID_HID;
    QO_CHECK(!fault_here(), QO_IO, "%s: a read failed", origin);
    if (H5Dread(reading->dataset, reading->type, memory, space, H5P_DEFAULT, x) < 0) {
        h5_reason(reason);
        /* The system's refusals carry its number; all others are about what the file holds. */
        bool is_system = strstr(reason, "errno = ") != NULL;
        return status_raise(is_system ? QO_IO : QO_DATA, "%s: its data cannot be read%s (HDF5: %s)",
                            origin, is_system ? "" : "; the file is damaged", reason);
    }
    QO_H5(file = H5Iget_file_id(reading->dataset), QO_DATA, "%s: its file cannot be asked", origin);
    QO_H5(H5Fget_filesize(file, &size), QO_DATA, "%s: its file cannot be asked", origin);
    /* A file that was removed is still there for who has it open, so no stat is no failure. */
    QO_CHECK(stat(reading->entry->file, &now) != 0 || (hsize_t)now.st_size >= size, QO_DATA,
             "%s: the file was cut while it was read; run again on a complete one", origin);
done:
    h5_close(&file);
    return status;
}

/*
 * Sets tile[]: how much of the box one call reads. Chunks are taken whole, more of them from the
 * last dimension on, within READER_MAX_CALL bytes and max_chunks chunks.
 */
static void plan_tile(const struct reading *reading, const struct box *box,
                      hsize_t tile[SOURCE_MAX_DIMS])
{
    /* In elements. */
    hsize_t room = (hsize_t)READER_MAX_CALL / reading->size, chunks = reading->max_chunks;
    for (int d = 0; d < box->rank; d++) {
        tile[d] = reading->chunk[d] < room ? reading->chunk[d] : room;
        /* Never 0: each tile was cut to the room that was left. */
        room /= tile[d];
    }
    /* Outer dimensions grow only while all inner ones are whole: parts stay long runs. */
    bool is_whole = true;
    for (int d = box->rank - 1; d >= 0 && is_whole; d--) {
        /* One more than fit the count: the first and the last chunk may be cut by the box. */
        hsize_t wanted = box->count[d] / tile[d] + (tile[d] > 1) + (box->count[d] % tile[d] != 0);
        hsize_t times = wanted;
        if (times > room)
            times = room;
        if (times > chunks)
            times = chunks;
        if (times < 1)
            times = 1;
        is_whole = times == wanted;
        tile[d] *= times;
        room /= times;
        chunks /= times;
    }
}

/* Sets part to the tile that begins at start[], cut at multiples of the tile and by the box. */
static void cut_part(const struct box *box, const hsize_t *tile, const hsize_t *start,
                     struct box *part)
{
    part->rank = box->rank;
    for (int d = 0; d < box->rank; d++) {
        /* From the array's origin, not from the box's: that is where chunks begin. */
        hsize_t to_tile = tile[d] - start[d] % tile[d];
        hsize_t to_end = box->start[d] + box->count[d] - start[d];
        part->start[d] = start[d];
        part->count[d] = to_tile < to_end ? to_tile : to_end;
    }
}

/* Steps start[] behind a part, the last dimension first; false behind the last part. */
static bool next_part(const struct box *box, const struct box *part, hsize_t *start)
{
    /* As an odometer, so that parts come in the order of the file. */
    for (int d = box->rank - 1; d >= 0; d--) {
        start[d] = part->start[d] + part->count[d];
        if (start[d] < box->start[d] + box->count[d])
            return true;
        start[d] = box->start[d];
    }
    return false;
}

/* Reads a box, which lies in x as in an array of its own. */
static enum status read_box(const struct reading *reading, const struct box *box, void *x)
{
    enum status status = QO_OK;
    const char *origin = reading->entry->info.origin;
    struct box part;
    hsize_t tile[SOURCE_MAX_DIMS], start[SOURCE_MAX_DIMS], within[SOURCE_MAX_DIMS];
    /* x has the box's shape, so the library puts each part to its place: no copies here. */
    hid_t memory = H5Screate_simple(box->rank, box->count, NULL);
    QO_H5(memory, QO_NO_MEMORY, "%s: no memory to read it", origin);
    /* Parts are selected on both sides, in the array and in x. */
    plan_tile(reading, box, tile);
    memcpy(start, box->start, sizeof start);
    do {
        cut_part(box, tile, start, &part);
        for (int d = 0; d < box->rank; d++)
            within[d] = part.start[d] - box->start[d];
        QO_H5(
            H5Sselect_hyperslab(reading->space, H5S_SELECT_SET, part.start, NULL, part.count, NULL),
            QO_DATA, "%s: its shape is damaged", origin);
        QO_H5(H5Sselect_hyperslab(memory, H5S_SELECT_SET, within, NULL, part.count, NULL),
              QO_NO_MEMORY, "%s: no memory to read it", origin);
        QO_TRY(read_selection(reading, memory, reading->space, x));
    } while (next_part(box, &part, start));
done:
    h5_close(&memory);
    return status;
}

/* Sets box to the largest one that begins at element `at` and does not pass `end`; returns its
 * elements. */
static int64_t largest_box(const struct vector_info *info, int64_t at, int64_t end, struct box *box)
{
    /* Divided down from n, which is known to fit: no product is taken. */
    int64_t stride = info->n, rest = at; /* stride: elements of one index of dimension d */
    bool is_set = false;
    int64_t elements = 0;
    box->rank = info->num_dims;
    for (int d = 0; d < info->num_dims; d++) {
        int64_t length = info->shape[d];
        stride /= length;
        int64_t index = rest / stride;
        rest %= stride;
        box->start[d] = (hsize_t)index;
        box->count[d] = is_set ? (hsize_t)length : 1;
        /* The first dimension of which whole indices fit is the one that counts; before it there
         * is one index each, behind it all of them. */
        if (is_set || rest != 0 || end - at < stride)
            continue;
        int64_t count = (end - at) / stride;
        count = count < length - index ? count : length - index;
        box->count[d] = (hsize_t)count;
        elements = count * stride;
        is_set = true;
    }
    return elements;
}

/* A range of whole rows is one box; at worst there are two for each dimension but the first, and
 * one. Elements stay in the byte order of the file. */
static enum status read_stored(struct handle *handle, const struct entry *entry, int64_t begin,
                               int64_t end, void *x)
{
    struct reading reading;
    struct box box;
    enum status status = open_dataset(handle, entry);
    if (status != QO_OK)
        return status;
    /* Anew for each range: a few calls without a read, against keeping it in step with the
     * handle. */
    QO_TRY(reading_init(&reading, handle->dataset_id, entry));
    /* A scalar has no hyperslabs. */
    if (reading.rank == 0)
        QO_TRY(read_selection(&reading, H5S_ALL, H5S_ALL, x));
    for (int64_t at = begin; reading.rank > 0 && at < end;) {
        int64_t n = largest_box(&entry->info, at, end, &box);
        QO_TRY(read_box(&reading, &box, (char *)x + (size_t)(at - begin) * reading.size));
        at += n;
    }
done:
    reading_clear(&reading);
    return status;
}

/* Through the library with one hold of its lock for the range: a thread that wants it waits for a
 * tile at most, while a hold for each part could keep it waiting as long as there are parts. */
static enum status hdf5_read(struct handle *handle, const struct entry *entry, int64_t begin,
                             int64_t end, void *x)
{
    enum status status;
    QO_TRY(hdf5_open(handle, entry)); /* the file's first vector may have been of the other kind */
    if (entry->offset > 0 && handle->fd >= 0)
        return input_file_read_entry(handle, entry, begin, end, x);
    h5_lock();
    status = read_stored(handle, entry, begin, end, x);
    h5_unlock();
    /* At the end, in one go over memory that is at hand. */
    if (status == QO_OK && entry->is_swapped)
        element_swap_bytes(entry->info.type, x, end - begin);
done:
    return status;
}

const struct reader reader_hdf5 = {.name = "HDF5",
                                   .recognises = hdf5_recognises,
                                   .scan = hdf5_scan,
                                   .open = hdf5_open,
                                   .read = hdf5_read,
                                   .close = hdf5_close};
