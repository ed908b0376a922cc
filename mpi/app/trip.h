/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_TRIP_H
#define QO_APP_TRIP_H

#include "measure.h"
#include "optimal.h"
#include "plan.h"
#include "quantize.h"
#include "sample.h"
#include "encode.h"

/* The trip of one vector, for quantize.c and the stages that it calls. */

/* The elements that get levels: every one that can, or those within the outlier bounds. */
enum kept { KEPT_ALL, KEPT_INLIERS, NUM_KEPT };

/* The best levels of one bit width for such elements, and what finding them took. */
struct certificate {
    struct optimum optimum;
    double seconds; /* rank 0's, on all ranks */
};

/* One vector under way. */
struct trip {
    struct job *job;
    struct report_vector *out;
    struct parcel *parcel; /* takes what is to be written; NULL: the file does, if there is one */
    struct walk walk;
    struct measurement measurement;
    struct keep keep[NUM_KEPT];
    /* Where levels are found: the vector itself, or a sample of it. */
    struct sample sample;
    struct measurement sample_measurement;
    const struct walk *found_on;
    struct measurement *found_in;
    double gap_left; /* the widest certificate, where it stays above --gap; else 0 */
    struct certificate *certificate; /* [NUM_KEPT * 9], at trip_certificate */
    struct level_table *table;       /* [out->num_results] */
    enum approach *approach;         /* [out->num_results] */
};

/* Pure. Which elements an approach gives levels. */
enum kept kept_of(enum approach approach);

/* Pure. The certificate of a bit width. */
struct certificate *trip_certificate(const struct trip *trip, enum kept kept, int bits);

/* Pure. Whether a result asked for gives levels of this width to these elements. */
bool trip_needs(const struct trip *trip, enum kept kept, int bits);

/*
 * Collective. Finds the optimum for all elements that some approach gives levels, for every bit
 * width; and walks again over finer cells while the widest certificate is above --gap. The same
 * status and certificates on every rank.
 */
QO_MUST_USE enum status certify_vector(struct trip *trip);

/*
 * Collective. Finds the levels of one result as it is planned: the solution and solve_seconds. The
 * same status and levels on every rank.
 */
QO_MUST_USE enum status solve_result(struct trip *trip, const struct plan_result *plan,
                                     struct result *result, struct level_table *table);

/* Local. Tells that a vector's certificate stays above --gap; 0 says that none does. */
void trip_log_gap(const struct job *job, const struct vector_info *info, double gap_left);

/* Local. What walks of a phase have waited for data is counted as time of reading. */
void trip_count_reading(struct job *job, enum phase phase);

/* Pure. Whether codes are wanted. */
bool trip_has_codes(const struct trip *trip);

/*
 * Collective. Codes and outliers of all results where they are wanted, and the figures of all. The
 * same status and figures on every rank.
 */
QO_MUST_USE enum status finish_results(struct trip *trip);

/* Pure. A sink that is the job's file; of functions that do nothing where there is none. */
struct encode_sink trip_sink(const struct job *job);

/*
 * Collective. The results of a vector that an earlier run has finished: fills out->stats and
 * out->results, and writes them to the job's file from the blocks that it has left. False in
 * *replayed if there are none, or they are damaged. The same status on every rank.
 */
QO_MUST_USE enum status replay_vector(struct job *job, int index, struct report_vector *out,
                                      bool *replayed);

/*
 * Local. The same by a rank alone, whose job has no file and no journal: from the words[n] that
 * journal_find_vector gave, and the blocks of `encoded`, which go to the parcel if it takes codes.
 * Where they are damaged the parcel says so.
 */
QO_MUST_USE enum status replay_alone(struct job *job, const struct encoded *encoded, int64_t n,
                                     const int64_t *words, struct report_vector *out,
                                     struct parcel *parcel, bool *replayed);

/* Local. Warns that a vector has to be quantized again. */
void replay_log_damage(const struct vector_info *info);

/* Local. Records a finished vector: histogram_place[2] and place[3 * num_results] are where its
 * histogram and results lie in the file. The run goes on if there is no memory for that. */
void replay_record(struct job *job, int index, const struct report_vector *vector,
                   const int64_t *histogram_place, const int64_t *place);

/* Local. The figures of merit, over all n elements: an outlier's error is zero. */
void fill_figures(const struct trip *trip, enum approach approach, const struct encoding *encoding,
                  struct result *result);

#endif
