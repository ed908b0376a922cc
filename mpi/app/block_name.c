/* SPDX-License-Identifier: Apache-2.0 */
#include "block_name.h"

#include <errno.h>
#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

static const char HEAD[] = "Vector Size: ";

/* Digits of a number behind a name that are read: what has more is part of the name. */
enum { MAX_DIGITS = 17 };

struct block_name {
    const char *name;
    bool taken;     /* a block has the name as it is */
    long long last; /* the largest N of a block <name>_N; 0 without one */
    char text[];    /* the name; an entry to look one up by has it elsewhere */
};

static int compare(const void *one, const void *other)
{
    return strcmp(((const struct block_name *)one)->name, ((const struct block_name *)other)->name);
}

void block_names_init(struct block_names *names, const char *tail)
{
    *names = (struct block_names){.tail = tail};
}

void block_names_clear(struct block_names *names)
{
    tdestroy(names->tree, free);
    *names = (struct block_names){0};
}

static struct block_name *find(const struct block_names *names, const char *name)
{
    struct block_name wanted = {.name = name};
    struct block_name *const *found = tfind(&wanted, &names->tree, compare);
    return found ? *found : NULL;
}

enum status block_names_want(struct block_names *names, const char *name)
{
    if (find(names, name))
        return QO_OK;
    size_t size = strlen(name) + 1;
    struct block_name *entry = malloc(sizeof *entry + size);
    if (entry) {
        *entry = (struct block_name){.name = entry->text};
        memcpy(entry->text, name, size);
        if (tsearch(entry, &names->tree, compare))
            return QO_OK;
    }
    free(entry);
    return status_raise(QO_NO_MEMORY, "out of memory for names in results.txt");
}

/* The N of a name that ends in _N, and where the _ is; 0 for any other name. */
static long long number_behind(const char *name, size_t *length)
{
    const char *line = strrchr(name, '_');
    size_t digits = line ? strspn(line + 1, "0123456789") : 0;
    if (!digits || digits > MAX_DIGITS || line[1 + digits] != '\0')
        return 0;
    *length = (size_t)(line - name);
    return strtoll(line + 1, NULL, 10);
}

/* Remembers that a block has this name: in its own entry, and where it is another one's _N. The
 * text is as before afterwards. */
static void note(const struct block_names *names, char *name)
{
    struct block_name *entry = find(names, name);
    if (entry)
        entry->taken = true;
    size_t length = 0;
    long long number = number_behind(name, &length);
    if (!number)
        return;
    name[length] = '\0';
    entry = find(names, name);
    name[length] = '_';
    if (entry && entry->last < number)
        entry->last = number;
}

enum status block_names_scan(struct block_names *names, FILE *file, const char *path)
{
    char *line = NULL;
    size_t capacity = 0, head = strlen(HEAD), tail = strlen(names->tail);
    ssize_t length;
    errno = 0;
    while ((length = getline(&line, &capacity, file)) >= 0) {
        size_t end = (size_t)length;
        while (end && strchr("\r\n", line[end - 1]))
            line[--end] = '\0';
        if (end < head + tail || strncmp(line, HEAD, head) != 0 ||
            strcmp(line + end - tail, names->tail) != 0)
            continue;
        line[end - tail] = '\0';
        note(names, line + head);
    }
    int error = errno;
    free(line);
    if (feof(file))
        return QO_OK;
    return status_raise(error == ENOMEM ? QO_NO_MEMORY : QO_IO,
                        "%s: could not be read: %s; choose another --save_dir", path,
                        strerror(error ? error : EIO));
}

enum status block_names_take(struct block_names *names, const char *name, char **out)
{
    const struct block_name *entry = find(names, name);
    char number[32] = "";
    if (entry->taken)
        snprintf(number, sizeof number, "_%lld", entry->last < 2 ? 2 : entry->last + 1);
    enum status status = memory_join_texts(name, number, out);
    if (status == QO_OK)
        note(names, *out);
    return status;
}
