/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a trip: the levels of all results are found; now their codes, outliers and true
 * errors, to the file, to a parcel, or as figures alone.
 */
#include <math.h>

#include "memory.h"
#include "parcel.h"
#include "score.h"
#include "trip.h"

/* Local. Codes and outliers to the file. */
static enum status put_codes(void *file, int r, const uint8_t *codes, int64_t first, int64_t n)
{
    return result_file_write_codes(file, r, codes, first, n);
}

static enum status put_outliers(void *file, int r, const uint64_t *index, const void *value,
                                int64_t first, int64_t n)
{
    return result_file_write_outliers(file, r, index, value, first, n);
}

struct encode_sink trip_sink(const struct job *job)
{
    return (struct encode_sink){.context = job->file, .codes = put_codes, .outliers = put_outliers};
}

/* Where all results of the vector lie in the file. */
static void list_places(const struct trip *trip, int64_t *place)
{
    for (int r = 0; r < trip->out->num_results; r++)
        result_file_places(trip->job->file, r, &place[3 * (int64_t)r]);
}

/* What a sample implies: levels do a little worse on the whole vector than on the elements they
 * were fitted to, and those they fit as well as any levels can. */
static void fill_excess(const struct trip *trip, double sample_error, struct result *result)
{
    double sample_rmse = sqrt(sample_error / (double)trip->sample.info.n);
    result->sample_size = trip->sample.info.n;
    result->sample_excess = result->rmse > 0 ? fmax(0, result->rmse / sample_rmse - 1) : 0;
}

/* Local. The figures of all results. */
static void fill_all(struct trip *trip, const struct encoding *encoding,
                     const struct encoding *sampled)
{
    for (int r = 0; r < trip->out->num_results; r++) {
        struct result *result = &trip->out->results[r];
        fill_figures(trip, trip->approach[r], &encoding[r], result);
        if (trip->found_on != &trip->walk)
            fill_excess(trip, sampled[r].error, result);
    }
}

/* Collective. Encodes every result in one walk, and fills in the figures. */
static enum status encode_all(struct trip *trip, struct encode_job *encode, int64_t *place,
                              const struct encoding *sampled)
{
    enum status status = QO_OK;
    struct job *job = trip->job;
    timer_switch(job->timer, PHASE_WRITE);
    for (int r = 0; r < encode->num; r++)
        QO_TRY(result_file_begin_result(job->file, &trip->out->results[r]));
    list_places(trip, place);
    journal_set_places(job->journal, trip->walk.index, encode->num, place);
    timer_switch(job->timer, PHASE_ENCODE);
    QO_TRY(encode_vector(encode));
    trip_count_reading(job, PHASE_ENCODE);
    timer_move(job->timer, PHASE_ENCODE, PHASE_WRITE, encode->sink_seconds);
    fill_all(trip, encode->encoding, sampled);
done:
    return status;
}

/* Local. The digests of all results. */
static void fill_digests(struct trip *trip, const struct encode_job *encode)
{
    for (int r = 0; r < encode->num; r++) {
        struct result *result = &trip->out->results[r];
        const struct solution *solution = &result->solution;
        result->digest =
            encode->encoding[r].digest + result_digest_levels(solution->level, solution->k);
    }
}

/* Collective. The outliers of every result, the digests, and the end of each. */
static enum status end_all(struct trip *trip, struct encode_job *encode, int64_t *place)
{
    enum status status = QO_OK;
    struct job *job = trip->job;
    timer_switch(job->timer, PHASE_WRITE);
    for (int r = 0; r < encode->num; r++)
        QO_TRY(result_file_begin_outliers(job->file, r, trip->out->results[r].outlier_count));
    list_places(trip, place);
    journal_set_places(job->journal, trip->walk.index, encode->num, place);
    QO_TRY(encode_outliers(encode));
    trip_count_reading(job, PHASE_WRITE);
    fill_digests(trip, encode);
    for (int r = 0; r < encode->num; r++)
        QO_TRY(result_file_end_result(job->file, r, &trip->out->results[r]));
done:
    return status;
}

/* Collective. Codes, outliers and figures of all results, to the file. */
static enum status write_all(struct trip *trip, struct encoding *encoding,
                             const struct encoding *sampled)
{
    enum status status;
    struct job *job = trip->job;
    int64_t *place = NULL, *old = NULL, histogram[2];
    int num = trip->out->num_results;
    struct encode_job encode = {.walk = &trip->walk,
                                .num = num,
                                .table = trip->table,
                                .sink = trip_sink(job),
                                .encoding = encoding};
    QO_TRY(memory_alloc("places of results", 3 * (int64_t)num, sizeof *place, &place));
    QO_TRY(memory_alloc("earlier places of results", 3 * (int64_t)num, sizeof *old, &old));
done:
    if ((status = comm_agree(job->comm, status)) == QO_OK)
        status = journal_old_places(job->journal, trip->walk.index, num, old);
    encode.old_place = old;
    if (status == QO_OK)
        status = encode_all(trip, &encode, place, sampled);
    if (status == QO_OK)
        status = end_all(trip, &encode, place);
    if (status == QO_OK) {
        result_file_histogram_places(job->file, histogram);
        replay_record(job, trip->walk.index, trip->out, histogram, place);
    }
    memory_free(place);
    memory_free(old);
    return status;
}

/* Local. Codes, outliers and figures of all results, to the parcel. */
static enum status fill_parcel(struct trip *trip, struct encoding *encoding)
{
    enum status status;
    struct parcel *parcel = trip->parcel;
    const struct vector_info *info = trip->walk.info;
    struct encode_job encode = {.walk = &trip->walk,
                                .num = trip->out->num_results,
                                .table = trip->table,
                                .sink = parcel_sink(parcel),
                                .encoding = encoding};
    timer_switch(trip->job->timer, PHASE_ENCODE);
    QO_TRY(parcel_begin(parcel, encode.num, info->type));
    for (int r = 0; r < encode.num; r++)
        QO_TRY(parcel_begin_codes(parcel, r, (info->n * encode.table[r].bits + 7) / 8));
    QO_TRY(encode_vector(&encode));
    fill_all(trip, encoding, NULL);
    for (int r = 0; r < encode.num; r++)
        QO_TRY(parcel_begin_outliers(parcel, r, trip->out->results[r].outlier_count));
    QO_TRY(encode_outliers(&encode));
    fill_digests(trip, &encode);
done:
    return status;
}

/* Collective. The errors of all results in one walk: nothing is to be written. */
static enum status score_all(struct trip *trip, struct encoding *encoding,
                             const struct encoding *sampled)
{
    enum status status;
    int num = trip->out->num_results;
    timer_switch(trip->job->timer, PHASE_ENCODE);
    QO_TRY(score_vector(&trip->walk, trip->table, num, encoding));
    trip_count_reading(trip->job, PHASE_ENCODE);
    fill_all(trip, encoding, sampled);
    replay_record(trip->job, trip->walk.index, trip->out, NULL, NULL);
done:
    return status;
}

enum status finish_results(struct trip *trip)
{
    enum status status;
    int num = trip->out->num_results;
    struct encoding *sampled = NULL, *encoding = NULL;
    QO_TRY(memory_alloc("encodings", num, sizeof *encoding, &encoding));
    QO_TRY(memory_alloc("encodings of the sample", num, sizeof *sampled, &sampled));
done:
    status = comm_agree(trip->job->comm, status);
    if (status == QO_OK && trip->found_on != &trip->walk)
        status = score_vector(trip->found_on, trip->table, num, sampled);
    if (status == QO_OK)
        status = !trip_has_codes(trip) ? score_all(trip, encoding, sampled)
                 : trip->parcel        ? fill_parcel(trip, encoding)
                                       : write_all(trip, encoding, sampled);
    memory_free(encoding);
    memory_free(sampled);
    return status;
}
