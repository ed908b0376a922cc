/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_PASS_STEP_H
#define QO_PASS_STEP_H

#include "solver.h"
#include "walk.h"

/* What a Lloyd step over the vector needs beside the levels. */
struct step_context {
    const struct walk *walk;
    struct keep keep;
    double min, max; /* of the elements that get a level */
    int bits;
};

/*
 * Collective. One Lloyd step, as struct look asks for it (context is a struct step_context):
 * assigns each element to its nearest level, and adds counts, residuals, squared errors and
 * failures over the ranks in one allreduce (and asks for failures before, over NCCL). The same
 * status and sums on every rank.
 */
QO_MUST_USE enum status step_assign(void *context, const double *level, int k,
                                    struct level_sums *sums);

/* Collective. comm_agree, as struct look asks for it. */
QO_MUST_USE enum status step_agree(void *context, enum status status);

#endif
