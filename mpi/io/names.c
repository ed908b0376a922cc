/* SPDX-License-Identifier: Apache-2.0 */
#include "names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/*
 * With several inputs the stem goes in front of every path, whether names collide or not: so a
 * vector's name does not change with what else happens to be in the other files.
 */
enum status names_make(struct catalog *catalog, struct input *input, int num_inputs)
{
    enum status status = QO_OK;
    for (int i = 0; i < num_inputs; i++) {
        QO_TRY(make_stem(input, i));
        for (int e = input[i].first; e < input[i].end; e++) {
            struct vector_info *info = &catalog->entry[e].info;
            char *path = info->name;
            info->name = NULL;
            /* Named after its file already: the stem in front would say the same again. */
            const char *prefix = num_inputs > 1 && path ? input[i].stem : NULL;
            status = make_name(prefix, path ? path + (path[0] == '/') : input[i].stem, &info->name);
            memory_free(path);
            QO_TRY(status);
        }
    }
done:
    return status;
}

/* Compares with '/' before every other character, so that what nests in a name follows right behind
 * it. */
static int by_name(const void *a, const void *b)
{
    const unsigned char *s = *(const unsigned char *const *)a,
                        *t = *(const unsigned char *const *)b;
    while (*s && *s == *t)
        s++, t++;
    int c = *s == '/' ? 1 : *s ? *s + 1 : 0, d = *t == '/' ? 1 : *t ? *t + 1 : 0;
    return (c > d) - (c < d);
}

/* After sorting, equal names and those that nest are neighbours, so n log n comparisons find any.
 */
enum status names_check(const struct catalog *catalog)
{
    enum status status;
    const char **name = NULL;
    QO_TRY(memory_alloc("the list of names", catalog->num_entries, sizeof *name, &name));
    for (int i = 0; i < catalog->num_entries; i++)
        name[i] = catalog->entry[i].info.name;
    qsort(name, (size_t)catalog->num_entries, sizeof *name, by_name);
    for (int i = 0; i + 1 < catalog->num_entries; i++) {
        size_t n = strlen(name[i]);
        bool begins = strncmp(name[i], name[i + 1], n) == 0;
        QO_CHECK(!begins || name[i + 1][n] != '\0', QO_USAGE,
                 "%s: two vectors would have this name; choose one with --include or --exclude",
                 name[i]);
        QO_CHECK(!begins || name[i + 1][n] != '/', QO_USAGE,
                 "%s: is a vector and also the group of %s; choose one with --include or --exclude",
                 name[i], name[i + 1]);
    }
done:
    memory_free(name);
    return status;
}
