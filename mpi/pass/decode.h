/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_PASS_DECODE_H
#define QO_PASS_DECODE_H

#include "kernels.h"
#include "restored_file.h"
#include "result_reader.h"

/*
 * Collective. Turns one stored result back into its vector, tile by tile: levels by code, then the
 * outliers over them, into vector `index` of the file. Memory is a few tiles, whatever the vector's
 * size. The same status on every rank.
 */
QO_MUST_USE enum status decode_result(const struct comm *comm, struct engine *engine,
                                      struct result_reader *reader, int index,
                                      struct restored_file *file);

#endif
