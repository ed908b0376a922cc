/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_BASE_MEMORY_H
#define QO_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* A cache line, and the width of an AVX-512 register. */
#define QO_ALIGNMENT 64

/*
 * Local. Sets *out to count * size zeroed bytes, aligned to QO_ALIGNMENT; for 0 bytes a valid
 * pointer too. QO_NO_MEMORY, with the amount in the text and *out = NULL, if there is no such
 * memory or the product overflows. `what` names the purpose in that text.
 */
QO_MUST_USE enum status memory_alloc(const char *what, int64_t count, size_t size, void *out);

/*
 * Local. As memory_alloc, but the content is undefined, and large blocks ask for huge pages. For
 * shards and codes, that are written before they are read.
 */
QO_MUST_USE enum status memory_alloc_large(const char *what, int64_t count, size_t size, void *out);

/* Local. Frees what memory_alloc or memory_alloc_large gave; NULL is allowed. */
void memory_free(void *block);

/* Local. *out = a copy of the text; to be freed with memory_free. */
QO_MUST_USE enum status memory_copy_text(const char *text, char **out);

/* Local. *out = two texts in one; to be freed with memory_free. */
QO_MUST_USE enum status memory_join_texts(const char *first, const char *second, char **out);

/* Local. The largest resident size of this process so far, in bytes; 0 if the system does not say.
 */
int64_t memory_peak(void);

#endif
