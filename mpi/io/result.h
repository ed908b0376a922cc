/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_RESULT_H
#define QO_IO_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "histogram.h"
#include "solver.h"

/* What is known of a vector and of each result: the attributes of the result file, of results.json
 * and of the table. Figures of merit are over all elements of the vector (DESIGN: "Figures of
 * merit"). */

/* Vectors of at most so many elements are kept whole beside their codes: for pictures of both. */
#define RESULT_MOST_ORIGINAL 100

struct vector_stats {
    int64_t nonfinite_count;
    int64_t fill_count;
    double min, max, mean, std; /* NaN where no element is finite */
    double norm;                /* sqrt of the sum of squares */
    int num_original;           /* n where that is at most RESULT_MOST_ORIGINAL; else 0 */
    unsigned char original[RESULT_MOST_ORIGINAL * 8]; /* the elements, in the vector's own type */
    int plot_bins;
    double *plot_edges;    /* [plot_bins + 1]; the caller's, as the counts */
    uint64_t *plot_counts; /* [plot_bins] */
};

struct result {
    const char *approach; /* "uniform", "non-uniform", "easyquant", "easyquant-uniform",
                           * or a codebook's name of at most 63 bytes */
    int num_bits;
    const char *solver;
    double threshold; /* of --threshold, whatever the approach */
    struct solution solution;
    double mse, rmse, l2_norm, relative_error, sqnr_db, max_abs_error;
    int64_t outlier_count;
    double bits_per_value, compression_ratio;
    /* How the errors of elements that are no outliers spread over +-max_abs_error: see
     * histogram_errors. */
    float error_share[HISTOGRAM_ERROR_BINS];
    double optimality_gap; /* NaN where nothing is certified */
    int64_t sample_size;   /* elements on which the levels were found; 0: all */
    double sample_excess; /* by how much of itself the rmse is above that of the sample; at least 0;
                           * NaN where all elements were used */
    double solve_seconds, encode_seconds;
    bool has_codes;  /* false with --output none: then there is no digest either */
    uint64_t digest; /* of codes, levels and outliers: the same for any number of ranks */
};

#endif
