/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_BASE_SPELLING_H
#define QO_BASE_SPELLING_H

#include <stdint.h>

/* Pure. The word that needs the fewest edits to become `text`, a beginning counting as one; of
 * several the one that shares the longest beginning, then the first. NULL if there are no words. */
const char *spelling_nearest(const char *text, const char *const words[], int num_words);

/*
 * Pure. The offset of the first byte of `text` that is not part of a printable UTF-8 character; -1
 * if all are. Control characters, line separators and byte order marks do not count as printable:
 * they would break one-line messages and the YAML in the result file.
 */
int64_t spelling_unprintable(const char *text);

#endif
