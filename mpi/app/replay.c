/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vectors that an earlier run has finished. What a checkpoint holds of one: where its histogram for
 * plots lies in what that run has left, and where its results do, three places each; then its
 * statistics and results as words. Nothing is written before all of it has been read and digested.
 */
#include <string.h>

#include "log.h"
#include "memory.h"
#include "parcel.h"
#include "recall.h"
#include "record.h"
#include "trip.h"

/* In front of the places of results: bins of the histogram, where its edges and counts lie, and the
 * number of results. */
enum { WORD_BINS, WORD_EDGES, WORD_COUNTS, WORD_RESULTS, NUM_HEAD_WORDS };

/* One vector on its way from the record to the file. */
struct replay {
    struct job *job;
    const struct encoded *encoded; /* blocks of the earlier run; NULL: none */
    struct report_vector *out;
    const int64_t *words; /* the head, then the places of results */
    double edges[HISTOGRAM_PLOT_BINS + 1];
    uint64_t counts[HISTOGRAM_PLOT_BINS];
};

void replay_record(struct job *job, int index, const struct report_vector *vector,
                   const int64_t *histogram_place, const int64_t *place)
{
    int64_t *words, num = vector->num_results, head = NUM_HEAD_WORDS + 3 * num;
    int64_t n = head + record_vector_words(vector);
    if (!job->journal || job->comm->rank != 0)
        return;
    if (memory_alloc("the record of a vector", n, sizeof *words, &words) != QO_OK) {
        status_clear();
        return;
    }
    words[WORD_BINS] = vector->stats.plot_bins;
    words[WORD_EDGES] = histogram_place ? histogram_place[0] : -1;
    words[WORD_COUNTS] = histogram_place ? histogram_place[1] : -1;
    words[WORD_RESULTS] = num;
    for (int64_t i = 0; i < 3 * num; i++)
        words[NUM_HEAD_WORDS + i] = place ? place[i] : -1;
    record_vector_pack(job->options, vector, words + head);
    journal_end_vector(job->journal, index, n, words);
    memory_free(words);
}

/* Local. The words as results; QO_DATA if they are none. */
static enum status unpack(struct replay *replay, int64_t n)
{
    enum status status;
    const int64_t *words = replay->words;
    int64_t num = n > WORD_RESULTS ? words[WORD_RESULTS] : -1;
    int64_t bins = n > WORD_BINS ? words[WORD_BINS] : -1, head = NUM_HEAD_WORDS + 3 * num;
    QO_CHECK(0 <= num && num <= RESULT_FILE_MAX_RESULTS && head <= n && 0 <= bins &&
                 bins <= HISTOGRAM_PLOT_BINS,
             QO_DATA, "%s: its record is damaged", replay->out->info->name);
    QO_TRY(record_vector_unpack(replay->job->options, words + head, n - head, replay->out));
    QO_CHECK(replay->out->num_results == num, QO_DATA, "%s: its record is damaged",
             replay->out->info->name);
    replay->out->stats.plot_bins = (int)bins;
done:
    return status;
}

/* Local. Reads the histogram; whether it counts all that it must. */
static bool read_histogram(struct replay *replay)
{
    const struct encoded *encoded = replay->encoded;
    const struct vector_stats *stats = &replay->out->stats;
    int64_t bins = stats->plot_bins;
    uint64_t sum = 0;
    if (bins == 0)
        return true;
    if (!encoded_read(encoded, replay->words[WORD_EDGES],
                      (bins + 1) * (int64_t)sizeof *replay->edges, replay->edges) ||
        !encoded_read(encoded, replay->words[WORD_COUNTS], bins * (int64_t)sizeof *replay->counts,
                      replay->counts))
        return false;
    for (int64_t i = 0; i < bins; i++)
        sum += replay->counts[i];
    return (int64_t)sum == replay->out->info->n - stats->nonfinite_count - stats->fill_count;
}

/* How to fetch a result's blocks; to the sink, or just to look at them. */
static struct recall recall_of(const struct replay *replay, int r, const struct encode_sink *sink)
{
    return (struct recall){.comm = replay->job->comm,
                           .encoded = replay->encoded,
                           .type = replay->out->info->type,
                           .bits = replay->out->results[r].num_bits,
                           .place = &replay->words[NUM_HEAD_WORDS + 3 * (int64_t)r],
                           .sink = sink,
                           .r = r};
}

/* Collective. Fetches codes and outliers of a result; false in *is_whole if they are not those of
 * its digest. */
static enum status fetch(const struct replay *replay, int r, const struct encode_sink *sink,
                         bool *is_whole)
{
    enum status status;
    struct recall recall = recall_of(replay, r, sink);
    const struct result *result = &replay->out->results[r];
    uint64_t codes = 0, outliers = 0;
    bool has_codes = true, has_outliers = true;
    QO_TRY(recall_codes(&recall, replay->out->info->n, &codes, &has_codes));
    if (result->outlier_count > 0)
        QO_TRY(recall_outliers(&recall, result->outlier_count, &outliers, &has_outliers));
    uint64_t levels = result_digest_levels(result->solution.level, result->solution.k);
    *is_whole = has_codes && has_outliers && codes + outliers + levels == result->digest;
done:
    return status;
}

/* Collective. Whether all that the vector needs is there, and is what was written. */
static enum status look_through(struct replay *replay, bool *is_whole)
{
    enum status status =
        comm_agree(replay->job->comm, read_histogram(replay) ? QO_OK : QO_NO_INPUT);
    *is_whole = status == QO_OK;
    status_clear();
    status = QO_OK;
    for (int r = 0; r < replay->out->num_results && *is_whole && status == QO_OK; r++)
        status = fetch(replay, r, NULL, is_whole);
    return status;
}

/* Collective. Writes one result, in its turn; fills in where it lies. */
static enum status write_result(const struct replay *replay, int r, int64_t place[3])
{
    enum status status;
    struct result_file *file = replay->job->file;
    const struct result *result = &replay->out->results[r];
    struct encode_sink sink = trip_sink(replay->job);
    bool is_whole = false;
    QO_TRY(result_file_begin_result(file, result));
    QO_TRY(result_file_begin_outliers(file, r, result->outlier_count));
    result_file_places(file, r, place);
    QO_TRY(fetch(replay, r, &sink, &is_whole));
    QO_CHECK(is_whole, QO_IO, "%s: what an earlier run has encoded has changed while it was read",
             replay->out->info->name);
    QO_TRY(result_file_end_result(file, r, result));
done:
    return status;
}

/* Collective. Writes the vector with its results to the file, and records it there. */
static enum status write_vector(struct replay *replay, int index)
{
    enum status status;
    struct job *job = replay->job;
    struct vector_stats *stats = &replay->out->stats;
    int64_t place[3 * RESULT_FILE_MAX_RESULTS], histogram[2];
    stats->plot_edges = replay->edges;
    stats->plot_counts = replay->counts;
    status = result_file_begin_vector(job->file, replay->out->info, stats);
    stats->plot_edges = NULL;
    stats->plot_counts = NULL;
    for (int r = 0; r < replay->out->num_results && status == QO_OK; r++)
        status = write_result(replay, r, &place[3 * (int64_t)r]);
    if (status != QO_OK)
        return status;
    result_file_histogram_places(job->file, histogram);
    replay_record(job, index, replay->out, histogram, place);
    return QO_OK;
}

void replay_log_damage(const struct vector_info *info)
{
    log_warn("%s: what an earlier run has encoded is not there or damaged; it is quantized again",
             info->name);
}

/* Collective. The vector from its words. */
static enum status replay_words(struct replay *replay, int index, int64_t n, bool *replayed)
{
    enum status status;
    struct job *job = replay->job;
    timer_switch(job->timer, PHASE_WRITE);
    status = comm_agree(job->comm, unpack(replay, n));
    if (status != QO_OK && status != QO_DATA)
        goto done;
    *replayed = status == QO_OK;
    status = QO_OK;
    if (*replayed && job->file)
        QO_TRY(look_through(replay, replayed));
    if (*replayed && job->file)
        QO_TRY(write_vector(replay, index));
    else if (*replayed)
        replay_record(job, index, replay->out, NULL, NULL);
    else
        replay_log_damage(replay->out->info);
done:
    return status;
}

enum status replay_vector(struct job *job, int index, struct report_vector *out, bool *replayed)
{
    enum status status;
    int64_t n = 0, *words = NULL;
    struct replay *replay = NULL;
    *replayed = false;
    QO_TRY(journal_find_vector(job->journal, index, &n, &words));
    if (!words)
        return QO_OK;
    QO_TRY(comm_agree(job->comm, memory_alloc("a finished vector", 1, sizeof *replay, &replay)));
    *replay = (struct replay){
        .job = job, .encoded = journal_encoded(job->journal), .out = out, .words = words};
    QO_TRY(replay_words(replay, index, n, replayed));
done:
    if (!*replayed)
        report_vector_clear(out);
    memory_free(replay);
    memory_free(words);
    return status;
}

/* Local. All that the vector needs, to the parcel; false in *is_whole if some of it is not there.
 */
static enum status fill_parcel(struct replay *replay, struct parcel *parcel, bool *is_whole)
{
    enum status status = QO_OK;
    const struct report_vector *out = replay->out;
    struct encode_sink sink = parcel_sink(parcel);
    *is_whole = read_histogram(replay);
    if (!*is_whole)
        goto done;
    QO_TRY(parcel_take_plot(parcel, out->stats.plot_bins, replay->edges, replay->counts));
    QO_TRY(parcel_begin(parcel, out->num_results, out->info->type));
    for (int r = 0; r < out->num_results && *is_whole; r++) {
        const struct result *result = &out->results[r];
        QO_TRY(parcel_begin_codes(parcel, r, (out->info->n * result->num_bits + 7) / 8));
        QO_TRY(parcel_begin_outliers(parcel, r, result->outlier_count));
        QO_TRY(fetch(replay, r, &sink, is_whole));
    }
done:
    return status;
}

enum status replay_alone(struct job *job, const struct encoded *encoded, int64_t n,
                         const int64_t *words, struct report_vector *out, struct parcel *parcel,
                         bool *replayed)
{
    enum status status;
    struct replay *replay = NULL;
    bool takes_codes = parcel->takes_codes;
    *replayed = false;
    QO_TRY(memory_alloc("a finished vector", 1, sizeof *replay, &replay));
    *replay = (struct replay){.job = job, .encoded = encoded, .out = out, .words = words};
    status = unpack(replay, n);
    *replayed = status == QO_OK;
    if (status != QO_DATA)
        QO_TRY(status);
    status = QO_OK;
    if (*replayed && takes_codes)
        QO_TRY(fill_parcel(replay, parcel, replayed));
done:
    if (status == QO_OK && !*replayed) {
        report_vector_clear(out);
        parcel_clear(parcel);
        *parcel = (struct parcel){.takes_codes = takes_codes, .is_damaged = true};
    }
    memory_free(replay);
    return status;
}
