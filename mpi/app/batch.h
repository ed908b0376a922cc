/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_BATCH_H
#define QO_APP_BATCH_H

#include <stdbool.h>

#include "quantize.h"

/*
 * Small vectors. Cut over all ranks a vector of a few thousand elements is all waiting: each of its
 * walks, solutions and objects in the file brings agreements, and an agreement takes longer than
 * the work. So whole small vectors are dealt onto the ranks by what they cost, in batches: each
 * rank quantizes its own alone, and at the end of a batch the ranks exchange results, make the
 * objects in the file together without an agreement an object, and write the data each for itself.
 * A batch is planned to take about a second, and there is a safe point after each. Results are the
 * same, bit for bit, as those of quantize_vector.
 */

/*
 * Collective. Quantizes all small vectors (plan_is_small), if there are two or more, and sets
 * done[source_count] for them; as quantize_vector does each, vectors[i] is filled. QO_STOPPED if
 * the run is to end. The same status on every rank.
 */
QO_MUST_USE enum status batch_quantize(struct job *job, struct report_vector *vectors, bool *done);

#endif
