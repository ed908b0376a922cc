/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_RESULT_READER_H
#define QO_IO_RESULT_READER_H

#include "comm.h"
#include "source.h"
#include "status.h"

/*
 * Reading a result file, for --restore. What the file says is checked before it is believed: sizes
 * against n and bits, levels finite and ascending, outlier indices ascending and in range.
 */
struct result_reader;

/* A result chosen to be restored. */
struct stored_result {
    struct vector_info vector; /* as in the file; no fills */
    char *result;              /* e.g. "easyquant_3bit" */
    int bits, k;
    double level[256];
    int64_t num_outliers;
};

/*
 * Collective. Opens a file and chooses: vectors whose name matches `select` (NULL: all), and of
 * each the result named `result` (NULL: its only one). QO_NO_INPUT, QO_DATA (not a quantopt file,
 * damaged), or QO_USAGE where nothing matches or there are several results, listing them.
 */
QO_MUST_USE enum status result_reader_open(const struct comm *comm, const char *path,
                                           const char *select, const char *result,
                                           struct result_reader **reader);

/* Pure. How many results were chosen, and one of them. */
int result_reader_count(const struct result_reader *reader);
const struct stored_result *result_reader_result(const struct result_reader *reader, int index);

/* Local. Bytes [first, first + n) of the codes. */
QO_MUST_USE enum status result_reader_codes(struct result_reader *reader, int index, int64_t first,
                                            int64_t n, uint8_t *codes);

/* Local. *first = the number of outliers with an index below `element`: where those of a shard
 * begin. */
QO_MUST_USE enum status result_reader_find_outlier(struct result_reader *reader, int index,
                                                   int64_t element, int64_t *first);

/* Local. Outliers [first, first + n): indices, and values in the vector's type. */
QO_MUST_USE enum status result_reader_outliers(struct result_reader *reader, int index,
                                               int64_t first, int64_t n, uint64_t *outlier_index,
                                               void *value);

/* Local. Closes and frees; NULL is allowed. */
void result_reader_close(struct result_reader *reader);

#endif
