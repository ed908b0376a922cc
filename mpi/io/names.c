/* SPDX-License-Identifier: Apache-2.0 */
#include "names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "memory.h"

/*
 * A name becomes a path of HDF5 groups, so each of its parts must be a link that HDF5 can hold and
 * that tools can address: "." means the group itself and an empty part vanishes. Files say what
 * they like, so names are mended here, once, and told apart afterwards.
 */

/* Whether a part of a path is empty, "." or "..": what no link may be called. */
static bool is_bad_part(const char *part, size_t length)
{
    return length == 0 || (length == 1 && part[0] == '.') ||
           (length == 2 && part[0] == '.' && part[1] == '.');
}

/* Writes a path to `out` (NULL: only counts) with its bad parts and control characters replaced. */
static size_t clean_path(const char *path, char *out)
{
    size_t n = 0;
    /* An empty part becomes one underscore, "." one, ".." two: whatever was there leaves a trace.
     */
    while (true) {
        size_t length = strcspn(path, "/");
        bool is_bad = is_bad_part(path, length);
        for (size_t i = 0; i < length || (i == 0 && is_bad); i++) {
            unsigned char c = (unsigned char)path[i];
            if (out)
                out[n] = is_bad || c < 0x20 || c == 0x7f ? '_' : (char)c;
            n++;
        }
        if (path[length] == '\0')
            return n;
        if (out)
            out[n] = '/';
        n++;
        path += length + 1;
    }
}

/* *name = prefix/path, or path alone. */
static enum status make_name(const char *prefix, const char *path, char **name)
{
    enum status status;
    size_t front = prefix ? strlen(prefix) + 1 : 0, length = clean_path(path, NULL);
    QO_TRY(memory_alloc("a name", (int64_t)(front + length + 1), 1, name));
    if (prefix)
        snprintf(*name, front + 1, "%s/", prefix);
    clean_path(path, *name + front);
done:
    return status;
}

/* Looks at the stems given out so far, those with a number too: x, x and x_2 are three different
 * ones. */
static bool stem_is_taken(const struct input *input, int num_inputs, const char *stem)
{
    for (int i = 0; i < num_inputs; i++)
        if (strcmp(input[i].stem, stem) == 0)
            return true;
    return false;
}

/* The file's name without directory and last suffix; a leading dot is no suffix. */
static enum status make_stem(struct input *input, int index)
{
    enum status status;
    char *plain = NULL;
    const char *slash = strrchr(input[index].path, '/'),
               *file = slash ? slash + 1 : input[index].path;
    QO_TRY(make_name(NULL, file, &plain));
    /* ".npy" is a hidden file without a suffix, as for a shell. */
    char *dot = strrchr(plain, '.');
    if (dot && dot != plain)
        *dot = '\0';
    if (is_bad_part(plain, strlen(plain)))
        memset(plain, '_', strlen(plain));
    int64_t size = (int64_t)strlen(plain) + 16;
    QO_TRY(memory_alloc("a name", size, 1, &input[index].stem));
    strcpy(input[index].stem, plain);
    for (int i = 2; stem_is_taken(input, index, input[index].stem); i++)
        snprintf(input[index].stem, (size_t)size, "%s_%d", plain, i);
done:
    memory_free(plain);
    return status;
}

/* A name while names are compared, and the input that its vector is from. */
struct named {
    const char *name;
    struct input *input; /* NULL where nobody asks */
};

/*
 * Compares with '/' before every other character: behind a name come its equals, then what nests in
 * it, and only then what merely begins with the same letters ("a", "a/b", "a-b").
 */
static int by_name(const void *a, const void *b)
{
    const unsigned char *s = (const unsigned char *)((const struct named *)a)->name,
                        *t = (const unsigned char *)((const struct named *)b)->name;
    while (*s && *s == *t)
        s++, t++;
    int c = *s == '/' ? 1 : *s ? *s + 1 : 0, d = *t == '/' ? 1 : *t ? *t + 1 : 0;
    return (c > d) - (c < d);
}

/* *sorted = the names of all entries, to be freed. A model has thousands of tensors and a damaged
 * file may claim millions, so that comparing each with each is out of the question. */
static enum status sort_names(const struct catalog *catalog, struct input *input, int num_inputs,
                              struct named **sorted)
{
    enum status status =
        memory_alloc("the list of names", catalog->num_entries, sizeof **sorted, sorted);
    if (status != QO_OK)
        return status;
    for (int e = 0; e < catalog->num_entries; e++)
        (*sorted)[e].name = catalog->entry[e].info.name;
    for (int i = 0; i < num_inputs; i++)
        for (int e = input[i].first; e < input[i].end; e++)
            (*sorted)[e].input = &input[i];
    qsort(*sorted, (size_t)catalog->num_entries, sizeof **sorted, by_name);
    return QO_OK;
}

/* Whether `name` is `group`, or nests in it: one link of the result file cannot be both. */
static bool collides(const char *group, const char *name)
{
    size_t n = strlen(group);
    return strncmp(group, name, n) == 0 && (name[n] == '\0' || name[n] == '/');
}

/* Finds the inputs of which some vector's name collides with another one. */
static enum status find_ambiguous(const struct catalog *catalog, struct input *input,
                                  int num_inputs)
{
    struct named *sorted = NULL;
    enum status status = sort_names(catalog, input, num_inputs, &sorted);
    if (status != QO_OK)
        return status;
    /* All that collides with `first` follows it in one row, and none of the row with what is behind
     * the row; so one pass is enough, though a/b and a/c collide only with a. */
    int first = 0;
    for (int i = 1; i < catalog->num_entries; i++) {
        if (collides(sorted[first].name, sorted[i].name))
            sorted[first].input->is_ambiguous = sorted[i].input->is_ambiguous = true;
        else
            first = i;
    }
    memory_free(sorted);
    return QO_OK;
}

/* Replaces the path of each vector of an input by its name. */
static enum status name_vectors(struct catalog *catalog, const struct input *input)
{
    enum status status = QO_OK;
    for (int e = input->first; e < input->end; e++) {
        struct vector_info *info = &catalog->entry[e].info;
        char *path = info->name;
        info->name = NULL;
        status = make_name(NULL, path ? path + (path[0] == '/') : input->stem, &info->name);
        memory_free(path);
        QO_TRY(status);
    }
done:
    return status;
}

/* Puts the stem in front of each name of an input: of all, so that what belongs together stays in
 * one group. */
static enum status add_prefix(struct catalog *catalog, const struct input *input)
{
    enum status status = QO_OK;
    for (int e = input->first; e < input->end; e++) {
        struct vector_info *info = &catalog->entry[e].info;
        char *longer = NULL;
        QO_TRY(make_name(input->stem, info->name, &longer));
        memory_free(info->name);
        info->name = longer;
    }
done:
    return status;
}

/*
 * A name is as short as it can be, and only what is ambiguous gets longer. Whether it is depends on
 * all vectors and not on those that --include leaves: so a glob never changes a name that it is
 * held against. There is no second round: names that collide with a prefix, too, are for the user
 * to choose among.
 */
enum status names_make(struct catalog *catalog, struct input *input, int num_inputs)
{
    enum status status = QO_OK;
    for (int i = 0; i < num_inputs; i++) {
        QO_TRY(make_stem(input, i));
        QO_TRY(name_vectors(catalog, &input[i]));
    }
    QO_TRY(find_ambiguous(catalog, input, num_inputs));
    for (int i = 0; i < num_inputs; i++)
        if (input[i].is_ambiguous)
            QO_TRY(add_prefix(catalog, &input[i]));
done:
    return status;
}

/* Result file and reports promise UTF-8, which HDF5 does not see to. */
static enum status check_utf8(const struct catalog *catalog)
{
    for (int i = 0; i < catalog->num_entries; i++) {
        json_t *text = json_string(catalog->entry[i].info.name); /* NULL if it is not UTF-8 */
        if (!text)
            return status_raise(QO_DATA, "%s: the name is not UTF-8; rename it, or --exclude it",
                                catalog->entry[i].info.origin);
        json_decref(text);
    }
    return QO_OK;
}

/* Any collision leaves two neighbours that collide: what stands between a name and one that nests
 * in it nests in it, too. */
enum status names_check(const struct catalog *catalog)
{
    enum status status;
    struct named *sorted = NULL;
    QO_TRY(check_utf8(catalog));
    QO_TRY(sort_names(catalog, NULL, 0, &sorted));
    for (int i = 0; i + 1 < catalog->num_entries; i++) {
        const char *name = sorted[i].name, *next = sorted[i + 1].name;
        bool collide = collides(name, next);
        QO_CHECK(!collide || strcmp(name, next) != 0, QO_USAGE,
                 "%s: two vectors would have this name; choose one with --include or --exclude",
                 name);
        QO_CHECK(!collide, QO_USAGE,
                 "%s: is a vector and also the group of %s; choose one with --include or --exclude",
                 name, next);
    }
done:
    memory_free(sorted);
    return status;
}
