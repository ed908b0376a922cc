/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_PARCEL_H
#define QO_APP_PARCEL_H

#include <stdbool.h>
#include <stdint.h>

#include "element.h"
#include "encode.h"
#include "status.h"

/* Codes and outliers of one result, in memory. */
struct parcel_result {
    uint8_t *codes;
    uint64_t *index; /* of outliers, as their values */
    uint8_t *value;
};

/*
 * What a rank that has quantized a small vector alone keeps of it until all ranks write it to the
 * file, beside the stats and results. A zeroed parcel is an empty one.
 */
struct parcel {
    bool takes_codes; /* set by who wants them; else there are no results in it */
    int64_t num_nonfinite, first_nonfinite; /* elements that stop the run */
    double gap_left;                        /* of the trip */
    bool is_damaged;                        /* what an earlier run has left of the vector */
    int plot_bins;
    double *plot_edges;    /* [plot_bins + 1], of the histogram for plots, as the counts */
    uint64_t *plot_counts; /* [plot_bins] */
    int num_results;
    struct parcel_result *result; /* [num_results] */
    size_t element_size;          /* of the vector */
    int64_t num_bytes;            /* of all results together */
};

/* Local. Takes a histogram for plots. QO_NO_MEMORY. */
QO_MUST_USE enum status parcel_take_plot(struct parcel *parcel, int bins, const double *edges,
                                         const uint64_t *counts);

/* Local. Makes room for results of a vector of `type`, still without codes. QO_NO_MEMORY. */
QO_MUST_USE enum status parcel_begin(struct parcel *parcel, int num_results,
                                     enum element_type type);

/* Local. Makes room for the codes of result r, and for its outliers. QO_NO_MEMORY. */
QO_MUST_USE enum status parcel_begin_codes(struct parcel *parcel, int r, int64_t bytes);
QO_MUST_USE enum status parcel_begin_outliers(struct parcel *parcel, int r, int64_t count);

/* Pure. A sink that is the parcel. */
struct encode_sink parcel_sink(struct parcel *parcel);

/* Local. Frees; a zeroed or cleared parcel may be cleared again. */
void parcel_clear(struct parcel *parcel);

#endif
