/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "trip.h"

/* How far the error can be from the smallest possible one: as an optimum that no cell blurs has
 * none but rounding errors, it is 0 there; and rounding must not make it negative elsewhere. */
static double certified_gap(const struct trip *trip, enum approach approach, double error,
                            const struct result *result)
{
    const struct optimum *optimum =
        &trip_certificate(trip, kept_of(approach), result->num_bits)->optimum;
    bool free_levels = approach == APPROACH_NON_UNIFORM || approach == APPROACH_EASYQUANT;
    if (error == 0)
        return 0;
    if (trip->found_on != &trip->walk) /* what was not seen is not certified */
        return NAN;
    if (optimum->exact && free_levels && strcmp(result->solver, "optimal") == 0)
        return 0;
    return fmax(0, sqrt(error / optimum->lower) - 1);
}

/* Bytes that are stored for a result: codes, levels, outlier values and indices. */
static int64_t stored_bytes(const struct trip *trip, const struct result *result)
{
    int64_t element = (int64_t)element_size(trip->walk.info->type);
    return (trip->walk.info->n * result->num_bits + 7) / 8 + 8 * (int64_t)result->solution.k +
           result->outlier_count * (8 + element);
}

/* How the errors spread, as the elements show on which the levels were found. */
static void fill_error_share(const struct trip *trip, enum approach approach, struct result *result)
{
    const struct keep *keep = &trip->keep[kept_of(approach)];
    const struct measurement *m = &trip->measurement;
    if (m->moments.count > 0)
        histogram_errors(&trip->found_in->histogram, fmax(m->min, keep->lo), fmin(m->max, keep->hi),
                         result->solution.level, result->solution.k, result->max_abs_error,
                         result->error_share);
}

void fill_figures(const struct trip *trip, enum approach approach, const struct encoding *encoding,
                  struct result *result)
{
    double n = (double)trip->walk.info->n, norm = trip->measurement.moments.norm;
    double error = sqrt(encoding->error); /* ||e|| */
    result->mse = encoding->error / n;
    result->rmse = sqrt(result->mse);
    result->l2_norm = error / n;
    result->relative_error = norm > 0 ? error / norm : 0.0;
    result->sqnr_db = error > 0 ? 20.0 * log10(norm / error) : INFINITY;
    result->max_abs_error = encoding->max_error;
    result->outlier_count = encoding->num_outliers;
    result->bits_per_value = 8.0 * (double)stored_bytes(trip, result) / n;
    result->compression_ratio =
        8.0 * (double)element_size(trip->walk.info->type) / result->bits_per_value;
    result->optimality_gap = certified_gap(trip, approach, encoding->error, result);
    result->encode_seconds = encoding->seconds;
    if (trip_has_codes(trip)) /* the file alone has them */
        fill_error_share(trip, approach, result);
}
