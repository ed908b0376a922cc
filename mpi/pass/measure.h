/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_PASS_MEASURE_H
#define QO_PASS_MEASURE_H

#include "histogram.h"
#include "walk.h"

/* What a vector is, the same on all ranks. */
struct measurement {
    struct histogram histogram; /* of finite elements that are no fill values */
    struct moments moments;
    double min, max; /* of the same; NaN where there is none */
    int64_t num_nonfinite, first_nonfinite, num_fill;
};

/*
 * Collective. Measures the vector: a look at a sample chosen by global index places the cells, a
 * walk fills them; where few distinct values share cells, further walks over finer cells part them.
 * `threshold` sets the outlier bounds within which that is seen to, beside the whole vector. The
 * same status on every rank; the measurement is to be cleared after a failure too.
 */
QO_MUST_USE enum status measure_vector(const struct walk *walk, double threshold,
                                       struct measurement *measurement);

/*
 * Collective. Measures again, over finer cells (histogram_refine), which it takes over. The same
 * status on every rank.
 */
QO_MUST_USE enum status measure_again(const struct walk *walk, struct cell_map *finer,
                                      struct measurement *measurement);

/*
 * Collective. Measures with a few cells a binade: enough for moments, extremes and counts, and
 * faster, but not for finding levels. Else as measure_vector.
 */
QO_MUST_USE enum status measure_moments(const struct walk *walk, struct measurement *measurement);

/* Local. Frees; a zeroed or cleared measurement may be cleared again. */
void measurement_clear(struct measurement *measurement);

/* Pure. The bounds beyond which an element is an outlier: mean -+ threshold * std. */
void measurement_bounds(const struct measurement *measurement, double threshold, double *lo,
                        double *hi);

#endif
