/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_PASS_SCORE_H
#define QO_PASS_SCORE_H

#include "encode.h"

/*
 * Collective. The errors of several quantizers in one walk over the vector, without codes: fills
 * encoding[num] as encode_vector does for each table[num], bit for bit, but for the digest, which
 * is 0, and the seconds, which are each one's share of the walk. num is the same on all ranks. The
 * same status on every rank.
 */
QO_MUST_USE enum status score_vector(const struct walk *walk, const struct level_table *table,
                                     int num, struct encoding *encoding);

#endif
