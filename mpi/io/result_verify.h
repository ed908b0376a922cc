/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_RESULT_VERIFY_H
#define QO_IO_RESULT_VERIFY_H

#include <stdint.h>

#include "comm.h"
#include "element.h"
#include "status.h"

/* What a result must be when it is read back. Inside io/. */
struct written_result {
    const char *group; /* "vectors/NAME/APPROACH_Bbit" */
    enum element_type type;
    int64_t n; /* elements of the vector */
    int bits, k;
    int64_t outlier_count;
    uint64_t digest;
};

/*
 * Collective. Reads every level, code and outlier of the file `partial` through the plain driver,
 * each rank the part of a result that its neighbour wrote, or a small result as a whole, and
 * compares with written[count]. QO_IO, naming `path` and the first result that differs. The same
 * status on all ranks.
 */
QO_MUST_USE enum status result_verify(const struct comm *comm, const char *path,
                                      const char *partial, const struct written_result *written,
                                      int count);

#endif
