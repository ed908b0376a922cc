/* SPDX-License-Identifier: Apache-2.0 */
#include "quantize.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "log.h"
#include "memory.h"
#include "parcel.h"
#include "plan.h"
#include "trip.h"

/* Local. Shows how far a walk has come. */
static void see(void *context, const char *what, const struct vector_info *info, int64_t done)
{
    struct job *job = context;
    progress_walk(&job->progress, info->name, what, info->n, done);
}

void quantize_init(struct job *job, const struct options *options, const struct comm *comm,
                   struct timer *timer, struct engine *engine)
{
    *job = (struct job){.options = options, .comm = comm, .timer = timer, .engine = engine};
    job->memory_limit = INT64_MAX;
    job->observer = (struct walk_observer){.context = job, .see = see};
    progress_init(&job->progress, options);
}

/* ---- Vectors that must not be quantized ---- */

void quantize_note_nonfinite(struct job *job, int index, const struct nonfinite *nonfinite)
{
    job->num_bad++;
    if (job->nonfinite)
        job->nonfinite[index] = *nonfinite;
}

/* The message that is to come: as many vectors as fit, and the number of the others. */
struct bad_list {
    char text[4096];
    int num_named, num_unnamed;
};

/* Adds a vector; the log names each one but the first, too. */
static void add_bad(struct bad_list *list, const struct vector_info *info,
                    const struct nonfinite *nonfinite)
{
    long long count = (long long)nonfinite->count, first = (long long)nonfinite->first;
    size_t used = strlen(list->text), room = sizeof list->text - used;
    char text[512];
    if (list->num_named == 0) {
        list->num_named = 1;
        snprintf(list->text, room,
                 "%s[%lld]: %lld of %lld elements %s NaN or infinite, the first at index %lld",
                 info->origin, first, count, (long long)info->n, count == 1 ? "is" : "are", first);
        return;
    }
    log_detail("%s: %lld elements are NaN or infinite, the first at index %lld", info->origin,
               count, first);
    int length =
        snprintf(text, sizeof text, ", and %lld in %s from index %lld", count, info->name, first);
    if (list->num_unnamed == 0 && (size_t)length < sizeof text && (size_t)length < room)
        memcpy(list->text + used, text, (size_t)length + 1);
    else
        list->num_unnamed++;
}

enum status quantize_check(const struct job *job)
{
    struct bad_list list = {.num_named = 0};
    char more[64] = "";
    if (job->num_bad == 0)
        return QO_OK;
    for (int i = 0; i < source_count(job->source); i++)
        if (job->nonfinite[i].count > 0)
            add_bad(&list, source_vector(job->source, i), &job->nonfinite[i]);
    if (list.num_unnamed > 0)
        snprintf(more, sizeof more, ", and %d more vectors", list.num_unnamed);
    return status_raise(QO_DATA,
                        "%s%s; clean the data, or keep such elements exactly with --nonfinite keep",
                        list.text, more);
}

/* ---- Measuring ---- */

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

/* Pure. Samples are held in memory, beside the vector or its tiles. */
static enum status check_sample(const struct trip *trip)
{
    const struct walk *walk = &trip->walk;
    const struct options *options = trip->job->options;
    int64_t bytes = plan_sample_bytes(options, walk->info, walk->comm->size) + walk->plan.memory;
    if (bytes <= trip->job->memory_limit || walk->plan.is_held)
        return QO_OK;
    return status_raise(QO_NO_MEMORY,
                        "--sample_size %lld: it and tiles of the vector take %lld MiB of memory a "
                        "rank, and %lld may be used; take a smaller one, more ranks, or a larger "
                        "--memory_limit",
                        (long long)options->sample_size, (long long)(bytes >> 20),
                        (long long)(trip->job->memory_limit >> 20));
}

/* Collective. Measures a sample, and finds levels on it if it has elements for them. */
static enum status measure_sample(struct trip *trip)
{
    enum status status;
    const struct options *options = trip->job->options;
    QO_TRY(check_sample(trip));
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
    if (plan_sample_bytes(options, trip->walk.info, trip->job->comm->size) == 0)
        QO_TRY(measure_vector(&trip->walk, options->threshold, &trip->measurement));
    else
        QO_TRY(measure_sample(trip));
    note_measurement(trip);
done:
    return status;
}

void trip_count_reading(struct job *job, enum phase phase)
{
    timer_move(job->timer, phase, PHASE_READ, job->observer.read_seconds);
    job->observer.read_seconds = 0;
}

/* The elements that stop the run, for the one message at its end. */
static void note_nonfinite(struct trip *trip)
{
    const struct measurement *m = &trip->measurement;
    struct nonfinite nonfinite = {.count = m->num_nonfinite, .first = m->first_nonfinite};
    if (trip->parcel) {
        trip->parcel->num_nonfinite = nonfinite.count;
        trip->parcel->first_nonfinite = nonfinite.first;
    }
    quantize_note_nonfinite(trip->job, trip->walk.index, &nonfinite);
}

/* Collective. Reads and measures; false in *go_on if the vector is not to be quantized. */
static enum status read_and_measure(struct trip *trip, int index, bool *go_on)
{
    enum status status;
    struct job *job = trip->job;
    const struct vector_info *info = source_vector(job->source, index);
    struct walk_plan plan = plan_vector(job->options, info, job->comm->size, job->memory_limit);
    timer_switch(job->timer, PHASE_READ);
    progress_show(&job->progress, "%s: reading (vector %d of %d)", info->name, index + 1,
                  source_count(job->source));
    QO_TRY(walk_open(&trip->walk, job->comm, job->engine, job->source, index, &plan, job->journal));
    trip->walk.observer = &job->observer;
    QO_TRY(measure(trip));
    if (trip->measurement.num_nonfinite > 0 && !job->options->keep_nonfinite)
        note_nonfinite(trip);
    *go_on = job->num_bad == 0;
done:
    return status;
}

/* ---- Finding levels ---- */

void trip_log_gap(const struct job *job, const struct vector_info *info, double gap_left)
{
    if (gap_left > 0)
        log_info("%s: certified to %.3g, not to --gap %g", info->name, gap_left, job->options->gap);
}

/* Local. What the certificate says, now or, of a vector that a rank has quantized alone, later. */
static void tell_gap(struct trip *trip)
{
    if (trip->parcel)
        trip->parcel->gap_left = trip->gap_left;
    else
        trip_log_gap(trip->job, trip->walk.info, trip->gap_left);
}

bool trip_has_codes(const struct trip *trip)
{
    return trip->parcel ? trip->parcel->takes_codes : trip->job->file != NULL;
}

/* Collective. Keeps the elements of a small vector, for pictures: they are rank 0's. */
static void keep_original(const struct trip *trip)
{
    const struct walk *walk = &trip->walk;
    struct vector_stats *stats = &trip->out->stats;
    int64_t n = walk->info->n;
    size_t bytes = (size_t)n * element_size(walk->info->type);
    if (n > RESULT_MOST_ORIGINAL)
        return;
    assert(walk->plan.is_held && (walk->comm->rank > 0 || walk->tile.n == n));
    if (walk->comm->rank == 0)
        memcpy(stats->original, walk->tile.x, bytes);
    comm_broadcast(walk->comm, stats->original, (int64_t)bytes);
    stats->num_original = (int)n;
}

/* Collective. Begins the vector's group in the file, or what the parcel keeps for it. */
static enum status begin_vector(struct trip *trip)
{
    struct vector_stats *stats = &trip->out->stats;
    double edges[HISTOGRAM_PLOT_BINS + 1];
    uint64_t counts[HISTOGRAM_PLOT_BINS];
    keep_original(trip);
    stats->plot_edges = edges;
    stats->plot_counts = counts;
    stats->plot_bins =
        histogram_plot(&trip->measurement.histogram, stats->min, stats->max, edges, counts);
    enum status status = trip->parcel
                             ? parcel_take_plot(trip->parcel, stats->plot_bins, edges, counts)
                             : result_file_begin_vector(trip->job->file, trip->walk.info, stats);
    stats->plot_edges = NULL;
    stats->plot_counts = NULL;
    return status;
}

/* Collective. Makes room for the results. */
static enum status begin_results(struct trip *trip)
{
    enum status status;
    int count = plan_num_results(trip->job->options);
    QO_TRY(memory_alloc("results", count, sizeof *trip->out->results, &trip->out->results));
    QO_TRY(memory_alloc("tables of levels", count, sizeof *trip->table, &trip->table));
    QO_TRY(memory_alloc("approaches", count, sizeof *trip->approach, &trip->approach));
done:
    return comm_agree(trip->job->comm, status);
}

/* Collective. The levels of all results. */
static enum status solve_all(struct trip *trip)
{
    enum status status = QO_OK;
    struct job *job = trip->job;
    int num = plan_num_results(job->options);
    while (trip->out->num_results < num) {
        int r = trip->out->num_results++;
        struct plan_result plan = plan_result(job->options, r);
        struct result *result = &trip->out->results[r];
        trip->approach[r] = plan.approach;
        *result = (struct result){.approach = plan.name,
                                  .num_bits = plan.num_bits,
                                  .threshold = job->options->threshold,
                                  .sample_excess = NAN,
                                  .has_codes = trip_has_codes(trip)};
        progress_show(&job->progress, "%s: %s, %d bits", trip->walk.info->name, plan.name,
                      plan.num_bits);
        QO_TRY(solve_result(trip, &plan, result, &trip->table[r]));
    }
done:
    return status;
}

/* ---- The trip ---- */

/* Local. */
static void trip_clear(struct trip *trip)
{
    memory_free(trip->table);
    memory_free(trip->approach);
    memory_free(trip->certificate);
    measurement_clear(&trip->sample_measurement);
    sample_close(&trip->sample);
    measurement_clear(&trip->measurement);
    walk_close(&trip->walk);
}

/* Collective. The trip itself. */
static enum status make_trip(struct trip *trip, int index)
{
    enum status status;
    struct job *job = trip->job;
    bool go_on = false;
    QO_TRY(read_and_measure(trip, index, &go_on));
    if (!go_on)
        goto done;
    QO_TRY(certify_vector(trip));
    trip_count_reading(job, PHASE_MEASURE);
    tell_gap(trip);
    timer_switch(job->timer, PHASE_WRITE);
    if (trip_has_codes(trip))
        QO_TRY(begin_vector(trip));
    QO_TRY(begin_results(trip));
    QO_TRY(solve_all(trip));
    trip_count_reading(job, PHASE_SOLVE);
    QO_TRY(finish_results(trip));
    if (!trip->walk.plan.is_held && job->comm->rank == 0) /* it was read several times */
        status = source_check_unchanged(job->source, index);
    status = comm_agree(job->comm, status);
done:
    return status;
}

/* Collective. The trip, from its beginning to its end. */
static enum status travel(struct job *job, int index, struct report_vector *out,
                          struct parcel *parcel)
{
    struct trip trip = {.job = job, .out = out, .parcel = parcel};
    trip.found_on = &trip.walk;
    trip.found_in = &trip.measurement;
    enum status status = make_trip(&trip, index);
    trip_clear(&trip);
    return status;
}

enum status quantize_alone(struct job *job, int index, struct report_vector *out,
                           struct parcel *parcel)
{
    out->info = source_vector(job->source, index);
    return travel(job, index, out, parcel);
}

enum status quantize_vector(struct job *job, int index, struct report_vector *out)
{
    enum status status;
    bool replayed = false;
    out->info = source_vector(job->source, index);
    progress_begin_vector(&job->progress, (double)out->info->n * plan_readings(job->options));
    QO_TRY(replay_vector(job, index, out, &replayed));
    if (!replayed)
        QO_TRY(travel(job, index, out, NULL));
    QO_TRY(journal_pause(job->journal));
    progress_end_vector(&job->progress);
done:
    if (job->comm->rank != 0) /* only rank 0 reports */
        report_vector_clear(out);
    return status;
}
