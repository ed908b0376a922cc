/* SPDX-License-Identifier: Apache-2.0 */
#include "quantize.h"

#include <math.h>
#include <string.h>

#include "log.h"
#include "memory.h"
#include "score.h"
#include "trip.h"

static int largest_bits(const struct options *options)
{
    int bits = 8;
    while (bits > 1 && !options->bits[bits])
        bits--;
    return bits;
}

/* Notes a vector that holds non-finite elements: one message will name them all, or as many as fit
 * and the number of the others, which the log names too. */
static void note_bad(struct job *job, const struct vector_info *info, const struct measurement *m)
{
    long long count = (long long)m->num_nonfinite, first = (long long)m->first_nonfinite;
    size_t used = strlen(job->bad), room = sizeof job->bad - used;
    char text[512];
    if (job->num_bad++ == 0) {
        snprintf(job->bad, room,
                 "%s[%lld]: %lld of %lld elements %s NaN or infinite, the first at index %lld",
                 info->origin, first, count, (long long)info->n, count == 1 ? "is" : "are", first);
        return;
    }
    log_detail("%s: %lld elements are NaN or infinite, the first at index %lld", info->origin,
               count, first);
    int length =
        snprintf(text, sizeof text, ", and %lld in %s from index %lld", count, info->name, first);
    if (job->num_unnamed == 0 && (size_t)length < sizeof text && (size_t)length < room)
        memcpy(job->bad + used, text, (size_t)length + 1);
    else
        job->num_unnamed++;
}

/* Local. What the walks have told of the vector, for the report and for the stages to come. */
static void note_measurement(struct trip *trip)
{
    const struct measurement *m = &trip->measurement;
    trip->out->stats = (struct vector_stats){
        .nonfinite_count = m->num_nonfinite,
        .fill_count = m->num_fill,
        .min = m->min,
        .max = m->max,
        .mean = m->moments.mean,
        .std = m->moments.std,
        .norm = m->moments.norm,
    };
    struct keep *inliers = &trip->keep[KEPT_INLIERS];
    trip->keep[KEPT_ALL] = trip->walk.all;
    *inliers = trip->walk.all;
    measurement_bounds(m, trip->job->options->threshold, &inliers->lo, &inliers->hi);
}

/* Pure. Whether no element of the sample may get a level, for outliers or what is not finite. */
static bool is_void(const struct measurement *sampled, const struct keep *keep)
{
    for (int64_t i = 0; i < sampled->histogram.map.num_cells; i++) {
        if (sampled->histogram.cells[i].count == 0)
            continue;
        double mean = histogram_mean(&sampled->histogram, i);
        if (keep->lo <= mean && mean <= keep->hi)
            return false;
    }
    return true;
}

/* Collective. Measures a sample, and finds levels on it if it has elements for them. */
static enum status measure_sample(struct trip *trip)
{
    enum status status;
    const struct options *options = trip->job->options;
    QO_TRY(measure_moments(&trip->walk, &trip->measurement));
    note_measurement(trip);
    QO_TRY(sample_open(&trip->sample, &trip->walk, options->sample_size));
    QO_TRY(measure_vector(&trip->sample.walk, options->threshold, &trip->sample_measurement));
    if (is_void(&trip->sample_measurement, &trip->keep[KEPT_INLIERS])) {
        log_info("%s: no element of the sample can get a level; all elements are looked at",
                 trip->walk.info->name);
        measurement_clear(&trip->measurement);
        status = measure_vector(&trip->walk, options->threshold, &trip->measurement);
    } else {
        trip->found_on = &trip->sample.walk;
        trip->found_in = &trip->sample_measurement;
    }
done:
    return status;
}

/*
 * Collective. Measures the vector. If levels are to be found on a sample, the sample is measured in
 * full, and of the vector only what its statistics need.
 */
static enum status measure(struct trip *trip)
{
    enum status status;
    const struct options *options = trip->job->options;
    timer_switch(trip->job->timer, PHASE_MEASURE);
    if (options->sample_size == 0 || options->sample_size >= trip->walk.info->n)
        QO_TRY(measure_vector(&trip->walk, options->threshold, &trip->measurement));
    else
        QO_TRY(measure_sample(trip));
    note_measurement(trip);
done:
    return status;
}

/* Collective. Reads and measures; false in *go_on if the vector is not to be quantized. */
static enum status read_and_measure(struct trip *trip, int index, bool *go_on)
{
    enum status status;
    struct job *job = trip->job;
    const struct vector_info *info = source_vector(job->source, index);
    timer_switch(job->timer, PHASE_READ);
    progress_show(&job->progress, "%s: reading (vector %d of %d)", info->name, index + 1,
                  source_count(job->source));
    QO_TRY(walk_open(&trip->walk, job->comm, job->engine, job->source, index));
    QO_TRY(measure(trip));
    if (trip->measurement.num_nonfinite > 0 && !job->options->keep_nonfinite)
        note_bad(job, info, &trip->measurement);
    *go_on = job->num_bad == 0;
done:
    return status;
}

/* Collective. Begins the vector's group in the file. */
static enum status begin_vector(struct trip *trip)
{
    struct vector_stats *stats = &trip->out->stats;
    double edges[HISTOGRAM_PLOT_BINS + 1];
    uint64_t counts[HISTOGRAM_PLOT_BINS];
    stats->plot_edges = edges;
    stats->plot_counts = counts;
    stats->plot_bins =
        histogram_plot(&trip->measurement.histogram, stats->min, stats->max, edges, counts);
    enum status status = result_file_begin_vector(trip->job->file, trip->walk.info, stats);
    stats->plot_edges = NULL;
    stats->plot_counts = NULL;
    return status;
}

/* Collective. Makes room for the results, and for the codes of one where they are written. */
static enum status begin_results(struct trip *trip)
{
    enum status status;
    const struct options *options = trip->job->options;
    int count = 0;
    for (int bits = 1; bits <= 8; bits++)
        for (int a = 0; a < NUM_APPROACHES; a++)
            count += options->bits[bits] && options->approach[a];
    QO_TRY(memory_alloc("results", count, sizeof *trip->out->results, &trip->out->results));
    QO_TRY(memory_alloc("tables of levels", count, sizeof *trip->table, &trip->table));
    QO_TRY(memory_alloc("approaches", count, sizeof *trip->approach, &trip->approach));
    if (trip->job->file)
        QO_TRY(memory_alloc_large("codes", (trip->walk.tile.n * largest_bits(options) + 7) / 8, 1,
                                  &trip->codes));
done:
    return comm_agree(trip->job->comm, status);
}

/* Collective. The levels of all results. */
static enum status solve_all(struct trip *trip)
{
    enum status status = QO_OK;
    struct job *job = trip->job;
    for (int bits = 1; bits <= 8; bits++) {
        for (enum approach a = 0; a < NUM_APPROACHES; a++) {
            if (!job->options->bits[bits] || !job->options->approach[a])
                continue;
            int r = trip->out->num_results++;
            trip->approach[r] = a;
            struct result *result = &trip->out->results[r];
            *result = (struct result){.approach = approach_name(a),
                                      .num_bits = bits,
                                      .threshold = job->options->threshold,
                                      .sample_excess = NAN,
                                      .has_codes = job->file != NULL};
            progress_show(&job->progress, "%s: %s, %d bits", trip->walk.info->name,
                          result->approach, bits);
            QO_TRY(solve_result(trip, a, result, &trip->table[r]));
        }
    }
done:
    return status;
}

/* Collective. Writes codes and outliers, digesting them. */
static enum status write_result(struct trip *trip, const struct level_table *table,
                                const struct encoding *encoding, struct result *result)
{
    enum status status;
    struct result_file *file = trip->job->file;
    const struct walk *walk = &trip->walk;
    int64_t bytes = (walk->tile.n * table->bits + 7) / 8;
    int64_t largest = (shard_largest(walk->info->n, walk->comm->size) * table->bits + 7) / 8;
    result->digest =
        encoding->digest + result_digest_levels(result->solution.level, result->solution.k);
    QO_TRY(result_file_begin_result(file, result));
    QO_TRY(result_file_write_codes(file, trip->codes, walk->tile.first / 8 * table->bits, bytes,
                                   largest));
    QO_TRY(encode_outliers(walk, table, encoding, file, &result->digest));
    QO_TRY(result_file_end_result(file, result));
done:
    return status;
}

/* What a sample implies: levels do a little worse on the whole vector than on the elements they
 * were fitted to, and those they fit as well as any levels can. */
static void fill_excess(const struct trip *trip, double sample_error, struct result *result)
{
    double sample_rmse = sqrt(sample_error / (double)trip->sample.info.n);
    result->sample_size = trip->sample.info.n;
    result->sample_excess = result->rmse > 0 ? fmax(0, result->rmse / sample_rmse - 1) : 0;
}

/* Collective. Encodes and writes every result, a walk each. */
static enum status encode_all(struct trip *trip, const struct encoding *sampled)
{
    enum status status = QO_OK;
    struct job *job = trip->job;
    for (int r = 0; r < trip->out->num_results; r++) {
        struct result *result = &trip->out->results[r];
        struct encoding encoding;
        timer_switch(job->timer, PHASE_ENCODE);
        progress_show(&job->progress, "%s: %s, %d bits", trip->walk.info->name, result->approach,
                      result->num_bits);
        QO_TRY(encode_vector(&trip->walk, &trip->table[r], trip->codes, &encoding));
        fill_figures(trip, trip->approach[r], &encoding, result);
        if (trip->found_on != &trip->walk)
            fill_excess(trip, sampled[r].error, result);
        timer_switch(job->timer, PHASE_WRITE);
        QO_TRY(write_result(trip, &trip->table[r], &encoding, result));
    }
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
    for (int r = 0; r < num; r++) {
        struct result *result = &trip->out->results[r];
        fill_figures(trip, trip->approach[r], &encoding[r], result);
        if (trip->found_on != &trip->walk)
            fill_excess(trip, sampled[r].error, result);
    }
done:
    return status;
}

/* Collective. The true errors of all results, with codes where they are wanted. */
static enum status finish_results(struct trip *trip)
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
        status = trip->job->file ? encode_all(trip, sampled) : score_all(trip, encoding, sampled);
    memory_free(encoding);
    memory_free(sampled);
    return status;
}

/* Local. */
static void trip_clear(struct trip *trip)
{
    memory_free(trip->codes);
    memory_free(trip->table);
    memory_free(trip->approach);
    memory_free(trip->certificate);
    measurement_clear(&trip->sample_measurement);
    sample_close(&trip->sample);
    measurement_clear(&trip->measurement);
    walk_close(&trip->walk);
}

enum status quantize_vector(struct job *job, int index, struct report_vector *out)
{
    enum status status;
    bool go_on = false;
    struct trip trip = {.job = job, .out = out};
    trip.found_on = &trip.walk;
    trip.found_in = &trip.measurement;
    out->info = source_vector(job->source, index);
    QO_TRY(read_and_measure(&trip, index, &go_on));
    if (!go_on)
        goto done;
    QO_TRY(certify_vector(&trip));
    timer_switch(job->timer, PHASE_WRITE);
    if (job->file)
        QO_TRY(begin_vector(&trip));
    QO_TRY(begin_results(&trip));
    QO_TRY(solve_all(&trip));
    QO_TRY(finish_results(&trip));
done:
    if (job->comm->rank != 0) /* only rank 0 reports */
        report_vector_clear(out);
    trip_clear(&trip);
    return status;
}
