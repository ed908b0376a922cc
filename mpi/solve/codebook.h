/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_CODEBOOK_H
#define QO_SOLVE_CODEBOOK_H

#include <stdbool.h>

#include "solver.h"

/*
 * Fixed codebooks: levels that somebody has published or chosen, up to one scale. What they cost on
 * a vector, with the best scale that there is for it, is held against the best free levels.
 */
struct codebook {
    int k;                           /* 1 to SOLVER_MAX_LEVELS */
    double value[SOLVER_MAX_LEVELS]; /* [k], finite, strictly ascending */
};

/* The names of published codebooks; NULL ends them. */
extern const char *const codebook_names[];

/* Local. Sets *book to the published codebook of a name; false if there is none. */
bool codebook_find(const char *name, struct codebook *book);

/*
 * Local. Sets *book to the k levels of least squared error for the normal distribution of mean 0
 * and variance 1 (Max 1960, "Quantizing for minimum distortion", IRE Trans. IT-6), k from 2 to
 * SOLVER_MAX_LEVELS: to a few units in the last place, the same bits on every machine.
 */
void codebook_fill_max(int k, struct codebook *book);

/* Pure. The bits of a code: ceil(log2 k), at least 1. */
int codebook_bits(const struct codebook *book);

#endif
