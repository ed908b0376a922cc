/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog.h"

#include <stdio.h>
#include <string.h>

#include "memory.h"

/*
 * The list of vectors, and its way from rank 0 to the others.
 */

/* The product is taken over the factors that are not 0, so that an empty shape cannot hide an
 * overflow. */
bool shape_product(const int64_t *shape, int num_dims, size_t size, int64_t *n)
{
    /* In bytes from the start: a product that fits in elements may not fit in bytes. */
    int64_t product = (int64_t)size;
    bool is_empty = false;
    for (int i = 0; i < num_dims; i++) {
        if (shape[i] < 0)
            return false;
        is_empty |= shape[i] == 0;
        /* A product that wrapped would pass every later check of sizes against the file. */
        if (shape[i] > 0 && __builtin_mul_overflow(product, shape[i], &product))
            return false;
    }
    *n = is_empty ? 0 : product / (int64_t)size;
    return true;
}

/* Messages are one line, so control characters of a file's own names do not get into them. */
static void show_controls(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

/* What messages call the vector. It is not its name: that is made later, and may get a prefix. */
static enum status make_origin(const struct entry *entry, char **origin)
{
    enum status status;
    const char *dataset = entry->dataset;
    /* The path is used as the user wrote it, so that he knows it again in a message. */
    size_t n = strlen(entry->file) + (dataset ? 1 + strlen(dataset) : 0) + 1;
    QO_TRY(memory_alloc("a name", (int64_t)n, 1, origin));
    snprintf(*origin, n, "%s%s%s", entry->file, dataset ? ":" : "", dataset ? dataset : "");
    show_controls(*origin);
done:
    return status;
}

/* A copied entry owns its texts; clearing it twice is harmless. */
static void entry_clear(struct entry *entry)
{
    memory_free(entry->info.name);
    memory_free(entry->info.origin);
    memory_free(entry->file);
    memory_free(entry->dataset);
    memory_free(entry->failure_text);
    *entry = (struct entry){0};
}

/* Twice the room each time: a model has thousands of tensors, and each is added by itself. */
static enum status grow(struct catalog *catalog)
{
    enum status status;
    struct entry *larger;
    int capacity = catalog->capacity ? 2 * catalog->capacity : 16;
    /* The old list stays until there is a new one: after a failure it is still to be freed. */
    QO_TRY(memory_alloc("the list of vectors", capacity, sizeof *larger, &larger));
    if (catalog->num_entries)
        memcpy(larger, catalog->entry, (size_t)catalog->num_entries * sizeof *larger);
    memory_free(catalog->entry);
    catalog->entry = larger;
    catalog->capacity = capacity;
done:
    return status;
}

enum status catalog_add(struct catalog *catalog, const struct entry *entry)
{
    enum status status = QO_OK;
    /* The texts are the caller's until they are copied: none may be freed if a copy fails. */
    struct entry copy = *entry;
    copy.info.name = copy.info.origin = copy.file = copy.dataset = copy.failure_text = NULL;
    if (catalog->num_entries == catalog->capacity)
        QO_TRY(grow(catalog));
    if (entry->info.name)
        QO_TRY(memory_copy_text(entry->info.name, &copy.info.name));
    QO_TRY(memory_copy_text(entry->file, &copy.file));
    if (entry->dataset)
        QO_TRY(memory_copy_text(entry->dataset, &copy.dataset));
    if (entry->failure_text)
        QO_TRY(memory_copy_text(entry->failure_text, &copy.failure_text));
    QO_TRY(make_origin(entry, &copy.info.origin));
    /* Only a complete entry counts. */
    catalog->entry[catalog->num_entries++] = copy;
done:
    if (status != QO_OK)
        entry_clear(&copy);
    return status;
}

void catalog_clear(struct catalog *catalog)
{
    for (int i = 0; i < catalog->num_entries; i++)
        entry_clear(&catalog->entry[i]);
    memory_free(catalog->entry);
    *catalog = (struct catalog){0};
}

/* In place, so that it cannot fail; the order stays, as all reports are in it. */
void catalog_keep(struct catalog *catalog, int first, const bool *keep)
{
    int kept = first;
    for (int i = first; i < catalog->num_entries; i++) {
        /* What is kept moves forward and never over an entry that is still needed. */
        if (keep[i - first])
            catalog->entry[kept++] = catalog->entry[i];
        else
            entry_clear(&catalog->entry[i]);
    }
    catalog->num_entries = kept;
}

/*
 * The texts of an entry, in the order in which they travel. failure_text is none of them: a vector
 * that cannot be read has ended the run, or was left out, before anything is sent.
 */
enum { NUM_TEXTS = 4 };

/* One list for packing, sizes and unpacking: they cannot get out of step. */
static char **text_of(struct entry *entry, int i)
{
    switch (i) {
    case 0:
        return &entry->info.name;
    case 1:
        return &entry->info.origin;
    case 2:
        return &entry->file;
    default:
        return &entry->dataset;
    }
}

/*
 * A packed catalog is its entries as they lie in memory, then their texts, each with its zero; a
 * text that is NULL takes no space. Pointers in the copied entries only tell whether there is a
 * text; `reader` is the same address on all ranks only by chance, so it travels as an index into
 * this table.
 */
static const struct reader *const readers[] = {&reader_hdf5, &reader_npy, &reader_raw,
                                               &reader_safetensors, &reader_synthetic};

/* All readers are in the table, so the search ends. */
static int64_t reader_index(const struct reader *reader)
{
    int64_t i = 0;
    while (readers[i] != reader)
        i++;
    return i;
}

/* Bytes of a packed catalog; an index, an entry and its texts each. */
static int64_t packed_size(const struct catalog *catalog)
{
    int64_t bytes = (int64_t)(sizeof(int64_t) + sizeof(struct entry)) * catalog->num_entries;
    for (int i = 0; i < catalog->num_entries; i++)
        for (int t = 0; t < NUM_TEXTS; t++) {
            const char *text = *text_of(&catalog->entry[i], t);
            bytes += text ? (int64_t)strlen(text) + 1 : 0;
        }
    return bytes;
}

/* Only rank 0 packs: the others learn the size from it. Copies and no casts, because texts of any
 * length stand in between and leave what follows unaligned. */
static void pack(const struct catalog *catalog, char *to)
{
    for (int i = 0; i < catalog->num_entries; i++) {
        struct entry *entry = &catalog->entry[i];
        int64_t index = reader_index(entry->reader);
        memcpy(to, &index, sizeof index);
        memcpy(to + sizeof index, entry, sizeof *entry);
        to += sizeof index + sizeof *entry;
        for (int t = 0; t < NUM_TEXTS; t++) {
            const char *text = *text_of(entry, t);
            if (text)
                to = stpcpy(to, text) + 1;
        }
    }
}

/*
 * On a failure the entries made so far are complete, so that they can be cleared: a foreign rank's
 * pointers are replaced before the entry counts. Nothing is checked, since rank 0 runs the same
 * program on the same kind of machine.
 */
static enum status unpack(const char *from, int num_entries, struct catalog *catalog)
{
    enum status status;
    QO_TRY(memory_alloc("the list of vectors", num_entries, sizeof(struct entry), &catalog->entry));
    catalog->capacity = num_entries;
    for (int i = 0; i < num_entries; i++) {
        struct entry *entry = &catalog->entry[i], packed;
        int64_t index;
        memcpy(&index, from, sizeof index);
        memcpy(&packed, from + sizeof index, sizeof packed);
        from += sizeof index + sizeof packed;
        *entry = packed;
        entry->reader = readers[index];
        for (int t = 0; t < NUM_TEXTS; t++)
            *text_of(entry, t) = NULL;
        catalog->num_entries++;
        for (int t = 0; t < NUM_TEXTS; t++) {
            if (!*text_of(&packed, t))
                continue;
            QO_TRY(memory_copy_text(from, text_of(entry, t)));
            from += strlen(from) + 1;
        }
    }
done:
    return status;
}

/*
 * Two messages whatever the number of vectors: a model has thousands, and one message for each text
 * would take longer than the scan.
 */
enum status catalog_broadcast(const struct comm *comm, struct catalog *catalog)
{
    enum status status;
    char *packed = NULL;
    /* The sizes first, so that all can make room; agreed before the bytes travel. */
    int64_t count[2] = {catalog->num_entries, packed_size(catalog)};
    comm_broadcast(comm, count, sizeof count);
    QO_TRY(comm_agree(comm, memory_alloc("the list of vectors", count[1], 1, &packed)));
    if (comm->rank == 0)
        pack(catalog, packed);
    comm_broadcast(comm, packed, count[1]);
    /* Agreed on once more: a rank without memory must not be the only one to leave. */
    status = comm->rank == 0 ? QO_OK : unpack(packed, (int)count[0], catalog);
    QO_TRY(comm_agree(comm, status));
done:
    memory_free(packed);
    return status;
}
