/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_BLOCK_NAME_H
#define QO_APP_BLOCK_NAME_H

#include <stdio.h>

#include "status.h"

/*
 * The names of the blocks of results.txt, each of which stands there once: the exercise's analysis
 * cannot tell two blocks with the same header apart, and stops. A name that is taken gets _2, _3
 * and so on behind it.
 *
 * Only names that this run asks for are kept, so a file of many runs takes time, not memory.
 */
struct block_names {
    const char *tail; /* what follows a name in the header lines of this run; borrowed */
    void *tree;       /* of tsearch */
};

/* Local. No names yet. */
void block_names_init(struct block_names *names, const char *tail);

/* Local. Frees; a zeroed or cleared struct may be cleared again. */
void block_names_clear(struct block_names *names);

/* Local. Says that a block wants this name; all names before the scan. QO_NO_MEMORY. */
QO_MUST_USE enum status block_names_want(struct block_names *names, const char *name);

/* Local. Notes the names in the header lines "Vector Size: <name><tail>" from the file's position
 * to its end; path is for messages. QO_NO_MEMORY, QO_IO. */
QO_MUST_USE enum status block_names_scan(struct block_names *names, FILE *file, const char *path);

/* Local. Takes a name that was wanted: *out is what a block is to be called, the name or <name>_N,
 * to be freed with memory_free. Logarithmic in the wanted names, whatever the number of older
 * blocks. QO_NO_MEMORY. */
QO_MUST_USE enum status block_names_take(struct block_names *names, const char *name, char **out);

#endif
