/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Finding the vectors of an HDF5 file: a walk over its groups, in the order of names, through hard
 * links only. Each object is taken once, under its first name, so groups that contain themselves
 * end the walk too.
 */
#include "hdf5_scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "hdf5_dataset.h"
#include "hdf5_direct.h"
#include "log.h"
#include "memory.h"

/* Groups within groups: files of people have tens; a damaged file must not exhaust the stack. */
#define MAX_DEPTH 256

/* So many names are shown to somebody whose dataset does not exist. */
#define MAX_SHOWN 5

/* Addresses of objects seen: open addressing, never more than half full; 0 is an empty slot. */
struct address_set {
    uint64_t *slot;
    /* num_slots is a power of two, so that a mask takes the place of a division. */
    int64_t num_slots, num_used;
};

/* One file while it is walked over. */
struct hdf5_scan {
    const struct source_request *request;
    const char *path; /* of the file */
    struct catalog *catalog;
    struct address_set seen;
    bool is_listing;       /* only names are wanted: no checks, no words */
    int64_t num_unusable;  /* datasets of other types, */
    char unusable[40];     /* the type of the first of them, */
    char *unusable_origin; /* and where it is */
};

/* The slot of a key, or the empty one where it belongs. Addresses are multiples of 8 or so, hence
 * the multiplication by 2^64 / golden ratio, whose upper bits are well mixed. */
static uint64_t *address_slot(const struct address_set *set, uint64_t key)
{
    uint64_t mask = (uint64_t)set->num_slots - 1;
    /* The upper half of the product, cut to the table. */
    uint64_t at = (key * 0x9e3779b97f4a7c15u) >> 32 & mask;
    while (set->slot[at] != 0 && set->slot[at] != key)
        at = (at + 1) & mask;
    return &set->slot[at];
}

/* A new table of twice the size; the old one stays if there is no memory. */
static enum status address_grow(struct address_set *set)
{
    struct address_set larger = {.num_slots = set->num_slots ? 2 * set->num_slots : 1024,
                                 .num_used = set->num_used};
    enum status status = memory_alloc("the list of HDF5 objects", larger.num_slots,
                                      sizeof *larger.slot, &larger.slot);
    if (status != QO_OK)
        return status;
    for (int64_t i = 0; i < set->num_slots; i++)
        if (set->slot[i] != 0)
            *address_slot(&larger, set->slot[i]) = set->slot[i];
    memory_free(set->slot);
    *set = larger;
    return QO_OK;
}

/* Adds an address; *is_new is false if it was there. */
static enum status address_add(struct address_set *set, haddr_t address, bool *is_new)
{
    /* Half full at most: an empty slot ends each search, and there is always one near. */
    if (2 * set->num_used >= set->num_slots) {
        enum status status = address_grow(set);
        if (status != QO_OK)
            return status;
    }
    /* Objects of one file differ in their addresses; links into others are not followed. */
    uint64_t key = (uint64_t)address + 1; /* address 0 is possible */
    uint64_t *slot = address_slot(set, key);
    *is_new = *slot == 0;
    set->num_used += *is_new;
    *slot = key;
    return QO_OK;
}

/* *joined = "group/name"; the root group is "". */
static enum status join(const char *group, const char *name, char **joined)
{
    /* Any length: HDF5 limits names only at 64 KiB each. */
    size_t size = strlen(group) + strlen(name) + 2;
    enum status status = memory_alloc("an HDF5 path", (int64_t)size, 1, joined);
    if (status == QO_OK)
        snprintf(*joined, size, "%s/%s", group, name);
    return status;
}

/* *origin = "FILE:/path", as messages begin; they are one line, whatever a damaged file calls its
 * datasets. */
static enum status make_origin(const char *file, const char *dataset, char **origin)
{
    size_t size = strlen(file) + strlen(dataset) + 2;
    enum status status = memory_alloc("an HDF5 path", (int64_t)size, 1, origin);
    if (status != QO_OK)
        return status;
    snprintf(*origin, size, "%s:%s", file, dataset);
    for (char *c = *origin; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    return QO_OK;
}

/* A dataset that is no vector: counted, and said. */
static enum status pass_over(struct hdf5_scan *scan, const char *origin,
                             const struct hdf5_type *type)
{
    if (scan->is_listing)
        return QO_OK;
    /* A float that is left out may surprise; integers beside the data do not. */
    if (type->kind == HDF5_ODD_FLOAT)
        log_info("%s: skipped, %s elements of no IEEE format", origin, type->text);
    else
        log_detail("%s: skipped, %s elements", origin, type->text);
    /* The first one is named if nothing else is found: it tells what kind of file this is. */
    scan->num_unusable++;
    if (scan->unusable_origin)
        return QO_OK;
    snprintf(scan->unusable, sizeof scan->unusable, "%s", type->text);
    return memory_copy_text(origin, &scan->unusable_origin);
}

/* Adds an open dataset of a type of ours to the catalog. */
static enum status add_vector(struct hdf5_scan *scan, hid_t dataset, const char *origin,
                              struct entry *entry)
{
    enum status status = QO_OK;
    /* Empty vectors have no data that could be damaged; the source decides what to do with them. */
    if (!scan->is_listing && entry->info.n > 0) {
        QO_TRY(hdf5_dataset_check(dataset, origin, entry));
        if (!scan->request->ignore_fills)
            QO_TRY(hdf5_dataset_fills(dataset, origin, &entry->info));
        hdf5_direct_find(dataset, entry);
    }
    QO_TRY(catalog_add(scan->catalog, entry));
done:
    return status;
}

static enum status look_at_dataset(struct hdf5_scan *scan, hid_t group, const char *name,
                                   const char *path, const char *origin)
{
    enum status status = QO_OK;
    /* catalog_add copies these texts and changes none of them. */
    struct entry entry = {.info.name = (char *)(uintptr_t)path,
                          .reader = &reader_hdf5,
                          .file = (char *)(uintptr_t)scan->path,
                          .dataset = (char *)(uintptr_t)path};
    /* Stays so where the dataset cannot be opened. */
    struct hdf5_type type = {.kind = HDF5_OTHER};
    /* By its name in the open group: a path from the root would be walked anew each time. */
    hid_t dataset = fault_here() ? H5I_INVALID_HID : H5Dopen2(group, name, H5P_DEFAULT);
    QO_H5(dataset, QO_DATA,
          "%s: damaged, cannot be opened; name the datasets to be read (FILE:DATASET)", origin);
    QO_TRY(hdf5_dataset_look(dataset, origin, &entry, &type));
    /* The type first: what is no vector is not held to a vector's checks. */
    status = type.kind == HDF5_ELEMENT ? add_vector(scan, dataset, origin, &entry)
                                       : pass_over(scan, origin, &type);
done:
    h5_close(&dataset);
    return status;
}

/* Adds a vector of which nothing is known but that it cannot be read, and why. */
static enum status add_failure(struct hdf5_scan *scan, const char *path, enum status failure)
{
    struct entry entry = {.info.name = (char *)(uintptr_t)path,
                          .reader = &reader_hdf5,
                          .file = (char *)(uintptr_t)scan->path,
                          .dataset = (char *)(uintptr_t)path,
                          .failure = failure,
                          .failure_text = (char *)(uintptr_t)status_text()};
    return catalog_add(scan->catalog, &entry);
}

/*
 * A dataset of the walk. One that cannot be read matters only if it is wanted; that is decided by
 * its name, and a name may still get a prefix from other inputs, so the failure is kept until then.
 * A group or an object of unknown kind that cannot be opened is not kept: what it would have held
 * has no names by which somebody could want it or not.
 */
static enum status visit_dataset(struct hdf5_scan *scan, hid_t group, const char *name,
                                 const char *path, const char *origin)
{
    enum status status = look_at_dataset(scan, group, name, path, origin);
    /* Everything else, as a lack of memory, is no property of the dataset. */
    if (status != QO_DATA && status != QO_NO_INPUT)
        return status;
    status = scan->is_listing ? QO_OK : add_failure(scan, path, status);
    if (status == QO_OK)
        status_clear();
    return status;
}

static enum status visit_group(struct hdf5_scan *scan, hid_t group, const char *path, int depth);

/* Opens a group and goes on in it. Its handle stays open meanwhile, so depth is limited here. */
static enum status visit_child_group(struct hdf5_scan *scan, hid_t group, const char *name,
                                     const char *path, const char *origin, int depth)
{
    enum status status = QO_OK;
    hid_t child = H5I_INVALID_HID;
    QO_CHECK(depth < MAX_DEPTH, QO_DATA, "%s: groups nested deeper than %d; the file is damaged",
             origin, MAX_DEPTH);
    QO_H5(child = H5Gopen2(group, name, H5P_DEFAULT), QO_DATA, "%s: the group cannot be opened",
          origin);
    status = visit_group(scan, child, path, depth + 1);
done:
    h5_close(&child);
    return status;
}

/* An object of a group: a group, a dataset, or a datatype, which is nothing to us. */
static enum status visit_object(struct hdf5_scan *scan, hid_t group, const char *name,
                                const char *path, int depth)
{
    enum status status = QO_OK;
    char *origin = NULL;
    bool is_new = false;
    H5O_info_t info;
    QO_TRY(make_origin(scan->path, path, &origin));
    /* Basic fields only; the library would count attributes and messages for the others. */
    herr_t found =
        fault_here() ? -1 : H5Oget_info_by_name2(group, name, &info, H5O_INFO_BASIC, H5P_DEFAULT);
    QO_H5(found, QO_DATA,
          "%s: damaged, cannot be opened; name the datasets to be read (FILE:DATASET)", origin);
    /* An object seen before is one with a second name, or a group above this one. */
    QO_TRY(address_add(&scan->seen, info.addr, &is_new));
    /* Seen is seen, even if it failed: a second name would only fail again. */
    if (is_new && info.type == H5O_TYPE_DATASET)
        status = visit_dataset(scan, group, name, path, origin);
    if (is_new && info.type == H5O_TYPE_GROUP)
        status = visit_child_group(scan, group, name, path, origin, depth);
done:
    memory_free(origin);
    return status;
}

/* All objects of a group, in the order of their names. The root group's path is "". */
static enum status visit_group(struct hdf5_scan *scan, hid_t group, const char *path, int depth)
{
    enum status status = QO_OK;
    struct h5_names names = {0};
    char *child = NULL, *origin = NULL;
    QO_TRY(make_origin(scan->path, path[0] ? path : "/", &origin));
    /* All names before the first object: nothing is opened from within the library's walk. */
    QO_TRY(h5_names_read(group, origin, &names));
    if (names.num_others > 0 && !scan->is_listing)
        log_detail("%s: %lld links in it are not followed", origin, (long long)names.num_others);
    for (int64_t i = 0; i < names.count; i++) {
        QO_TRY(join(path, names.name[i], &child));
        status = visit_object(scan, group, names.name[i], child, depth);
        /* Who only wants names is served with those that can be had. */
        QO_TRY(scan->is_listing && status == QO_DATA ? QO_OK : status);
        memory_free(child);
        child = NULL;
    }
done:
    memory_free(child);
    memory_free(origin);
    h5_names_clear(&names);
    return status;
}

/* The whole file, from its root group; begins with nothing seen. */
static enum status visit_file(struct hdf5_scan *scan, hid_t file)
{
    enum status status = QO_OK;
    hid_t root = H5I_INVALID_HID;
    bool is_new;
    H5O_info_t info;
    QO_H5(root = H5Gopen2(file, "/", H5P_DEFAULT), QO_DATA, "%s: its root group is damaged",
          scan->path);
    QO_H5(H5Oget_info2(root, &info, H5O_INFO_BASIC), QO_DATA, "%s: its root group is damaged",
          scan->path);
    /* A link back to the root is then one to an object already seen. */
    QO_TRY(address_add(&scan->seen, info.addr, &is_new));
    status = visit_group(scan, root, "", 0);
done:
    h5_close(&root);
    memory_free(scan->seen.slot);
    scan->seen = (struct address_set){0};
    return status;
}

/* All floating-point datasets of a file. */
static enum status scan_all(const struct source_request *request, hid_t file, const char *path,
                            struct catalog *catalog)
{
    enum status status = QO_OK;
    int before = catalog->num_entries;
    struct hdf5_scan scan = {.request = request, .path = path, .catalog = catalog};
    QO_TRY(visit_file(&scan, file));
    /* Nothing at all, and nothing of use, are different mistakes. */
    QO_CHECK(catalog->num_entries > before || scan.num_unusable > 0, QO_DATA,
             "%s: no dataset in it (links are not followed); give a file with float16, float32 or "
             "float64 datasets",
             path);
    QO_CHECK(
        catalog->num_entries > before, QO_DATA,
        "%s: no floating-point dataset in it, only %lld of other types (%s: %s); convert what you "
        "want to float32 or float64",
        path, (long long)scan.num_unusable, scan.unusable_origin + strlen(path) + 1, scan.unusable);
    if (scan.num_unusable > 0)
        log_info("%s: %lld datasets of other types are skipped", path,
                 (long long)scan.num_unusable);
done:
    memory_free(scan.unusable_origin);
    return status;
}

/* Writes "; it has A, B, ..." from the file's vectors, or "" where nothing can be found out. */
static void list_vectors(const struct source_request *request, hid_t file, const char *path,
                         char *text, size_t size)
{
    /* A catalog of its own: what is found here is shown and not read. */
    struct catalog catalog = {0};
    struct hdf5_scan scan = {
        .request = request, .path = path, .catalog = &catalog, .is_listing = true};
    size_t used = 0;
    text[0] = '\0';
    /* A walk over the whole file for a message: only after a mistake, and once. */
    if (visit_file(&scan, file) != QO_OK)
        status_clear(); /* what was found until then still helps */
    for (int i = 0; i < catalog.num_entries && i < MAX_SHOWN && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "; it has ",
                                 catalog.entry[i].dataset);
    if (catalog.num_entries > MAX_SHOWN && used < size)
        snprintf(text + used, size - used, " and %d more", catalog.num_entries - MAX_SHOWN);
    catalog_clear(&catalog);
}

/* *clean = the path with one '/' in front of each part and no "." parts; what HDF5 takes for the
 * same. */
static enum status clean_path(const char *path, char **clean)
{
    enum status status = memory_alloc("an HDF5 path", (int64_t)strlen(path) + 2, 1, clean);
    if (status != QO_OK)
        return status;
    char *to = *clean;
    for (const char *part = path + strspn(path, "/"); *part;) {
        size_t n = strcspn(part, "/");
        /* ".." is an ordinary name in HDF5, and none that the result file can have; the source
         * looks at that. */
        if (n != 1 || part[0] != '.') {
            *to++ = '/';
            memcpy(to, part, n);
            to += n;
        }
        part += n;
        part += strspn(part, "/");
    }
    return QO_OK;
}

/* Whether there is a hard link of that path: what it names should then be there. Cuts the path, and
 * mends it. */
static bool is_hard_link(hid_t file, char *path)
{
    H5L_info_t link;
    /* Asking for a/b where a is missing is an error for the library: each part in turn. */
    bool exists = true;
    for (char *end = strchr(path + 1, '/'); end && exists; end = strchr(end + 1, '/')) {
        *end = '\0';
        exists = H5Lexists(file, path, H5P_DEFAULT) > 0;
        *end = '/';
    }
    return exists && H5Lexists(file, path, H5P_DEFAULT) > 0 &&
           H5Lget_info(file, path, &link, H5P_DEFAULT) >= 0 && link.type == H5L_TYPE_HARD;
}

/* Opens a named dataset, or says why not. */
static enum status open_named(const struct source_request *request, hid_t file, const char *path,
                              char *name, const char *origin, hid_t *dataset)
{
    enum status status = QO_OK;
    char others[1024], reason[H5_REASON_SIZE] = "";
    H5O_info_t info = {.type = H5O_TYPE_GROUP};
    /* The library would take "" for an error and not for the root. */
    bool is_root = name[0] == '\0';
    herr_t found =
        is_root ? 0 : H5Oget_info_by_name2(file, name, &info, H5O_INFO_BASIC, H5P_DEFAULT);
    if (found < 0)
        h5_reason(reason);
    /* Two failures with two remedies: a name that is wrong, and a file that is. */
    QO_CHECK(found >= 0 || !is_hard_link(file, name), QO_DATA,
             "%s: damaged, cannot be opened (HDF5: %s)", origin, reason);
    /* A name that is not there is a mistake of the user, who gets some that are. */
    if (found < 0 || info.type != H5O_TYPE_DATASET) {
        list_vectors(request, file, path, others, sizeof others);
        return status_raise(QO_NO_INPUT, "%s: %s%s", origin,
                            found < 0                     ? "no such dataset"
                            : info.type == H5O_TYPE_GROUP ? "a group, not a dataset"
                                                          : "a datatype, not a dataset",
                            others);
    }
    *dataset = fault_here() ? H5I_INVALID_HID : H5Dopen2(file, name, H5P_DEFAULT);
    QO_H5(*dataset, QO_DATA, "%s: damaged, cannot be opened", origin);
done:
    return status;
}

/* One dataset, by its path; links on the way are what the user asked for. */
static enum status scan_one(const struct source_request *request, hid_t file, const char *path,
                            const char *dataset, struct catalog *catalog)
{
    enum status status = QO_OK;
    hid_t id = H5I_INVALID_HID;
    char *name = NULL, *origin = NULL;
    struct entry entry = {.reader = &reader_hdf5, .file = (char *)(uintptr_t)path};
    struct hdf5_type type;
    /* So that a dataset has one name however the user writes it. */
    QO_TRY(clean_path(dataset, &name));
    QO_TRY(make_origin(path, name[0] ? name : "/", &origin));
    QO_TRY(open_named(request, file, path, name, origin, &id));
    QO_TRY(hdf5_dataset_look(id, origin, &entry, &type));
    /* Passed over in a whole file, but here it was asked for: as every failure below. */
    QO_CHECK(type.kind == HDF5_ELEMENT, QO_DATA, "%s: %s elements are not read; convert it to %s",
             origin, type.text, type.kind == HDF5_ODD_FLOAT ? "float64" : "float32 or float64");
    if (entry.info.n > 0) {
        QO_TRY(hdf5_dataset_check(id, origin, &entry));
        if (!request->ignore_fills)
            QO_TRY(hdf5_dataset_fills(id, origin, &entry.info));
        hdf5_direct_find(id, &entry);
    }
    /* Only now: messages above name the dataset by its origin. */
    entry.info.name = name;
    entry.dataset = name;
    status = catalog_add(catalog, &entry);
done:
    h5_close(&id);
    memory_free(name);
    memory_free(origin);
    return status;
}

enum status hdf5_scan(const struct source_request *request, const char *path, const char *dataset,
                      struct catalog *catalog)
{
    hid_t file;
    enum status status = h5_open(path, &file);
    if (status != QO_OK)
        return status;
    /* The file is closed again: ranks open it for themselves, and only when they read. */
    status = dataset ? scan_one(request, file, path, dataset, catalog)
                     : scan_all(request, file, path, catalog);
    h5_close(&file);
    return status;
}
