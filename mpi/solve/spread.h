/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_SPREAD_H
#define QO_SOLVE_SPREAD_H

#include "pieces.h"

/*
 * Points whose best quantizer bounds the error of any quantizer of the pieces from below: a piece
 * of several values is moved to its two ends, count and mean kept, which for levels that cut it
 * costs less than the elements do but for a known amount (docs/certificate.md).
 */
struct spread {
    int64_t n;
    double *value; /* [n] strictly ascending, scaled as the pieces are */
    double *count; /* [n] > 0 */
    double excess; /* error of any levels on the points <= that on the pieces + excess */
};

/*
 * Local. The spread of pieces, joined where they are finer than k levels need: until one level has
 * about `resolution` of them. To be cleared after a failure too.
 */
QO_MUST_USE enum status spread_init(struct spread *spread, const struct pieces *pieces, int k,
                                    int resolution);

/* Local. Frees; a zeroed or cleared spread may be cleared again. */
void spread_clear(struct spread *spread);

/* Pure. (count * width^2)^(1/3): by it pieces and levels compare, since both follow
 * density^(1/3). */
double spread_weight(double count, double width);

#endif
