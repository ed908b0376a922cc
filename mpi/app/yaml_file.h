/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_YAML_FILE_H
#define QO_APP_YAML_FILE_H

#include "status.h"

/* A value of a file. Texts are lent until `take` returns. */
struct yaml_item {
    const char *key;
    const char *value; /* printable */
    int line;          /* of the value, from 1 */
    int index;         /* within a list; -1 for a single value */
};

/*
 * Local. Reads a file that holds one mapping from names to values or lists of values, and hands
 * each value to `take`, whose failure ends the reading and is returned. QO_CONFIG, with file, line
 * and key, for all else that YAML knows (nested mappings and lists, anchors, aliases, tags, several
 * documents, values left out), and for a file that cannot be read. Keys are neither known nor
 * compared here.
 */
QO_MUST_USE enum status
yaml_file_read(const char *path, enum status (*take)(void *context, const struct yaml_item *item),
               void *context);

#endif
