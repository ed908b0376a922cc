/* SPDX-License-Identifier: Apache-2.0 */
#include "quantize.h"

#include <math.h>
#include <string.h>

#include "encode.h"
#include "log.h"
#include "measure.h"
#include "memory.h"
#include "step.h"

/* One vector under way. */
struct trip {
    struct job *job;
    struct walk walk;
    struct measurement measurement;
    struct report_vector *out;
    uint8_t *codes; /* of one result of this rank's shard */
};

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

/* Collective. Reads and measures; false in *go_on if the vector is not to be quantized. */
static enum status measure(struct trip *trip, int index, bool *go_on)
{
    enum status status;
    struct job *job = trip->job;
    const struct vector_info *info = source_vector(job->source, index);
    struct measurement *m = &trip->measurement;
    struct vector_stats *stats = &trip->out->stats;
    timer_switch(job->timer, PHASE_READ);
    progress_show(&job->progress, "%s: reading (vector %d of %d)", info->name, index + 1,
                  source_count(job->source));
    QO_TRY(walk_open(&trip->walk, job->comm, job->engine, job->source, index));
    timer_switch(job->timer, PHASE_MEASURE);
    QO_TRY(measure_vector(&trip->walk, job->options->threshold, m));
    *stats = (struct vector_stats){
        .nonfinite_count = m->num_nonfinite,
        .fill_count = m->num_fill,
        .min = m->min,
        .max = m->max,
        .mean = m->moments.mean,
        .std = m->moments.std,
        .norm = m->moments.norm,
    };
    if (m->num_nonfinite > 0 && !job->options->keep_nonfinite)
        note_bad(job, info, m);
    *go_on = job->num_bad == 0;
done:
    return status;
}

/* Which elements an approach gives a level. */
static struct keep kept_by(const struct trip *trip, enum approach approach)
{
    struct keep keep = trip->walk.all;
    if (approach == APPROACH_EASYQUANT)
        measurement_bounds(&trip->measurement, trip->job->options->threshold, &keep.lo, &keep.hi);
    return keep;
}

/* The problem that an approach poses; min > max where no element gets a level. */
static struct problem problem_of(const struct trip *trip, enum approach approach, int bits,
                                 const struct keep *keep)
{
    const struct options *options = trip->job->options;
    const struct measurement *m = &trip->measurement;
    bool any = m->moments.count > 0, builtin = options->num_inputs == 0 && !options->generate;
    struct problem problem = {
        .histogram = &m->histogram,
        .lo = keep->lo,
        .hi = keep->hi,
        .min = any ? fmax(m->min, keep->lo) : 1.0,
        .max = any ? fmin(m->max, keep->hi) : 0.0,
        .num_elements = trip->walk.info->n,
        .bits = bits,
        .kind = approach == APPROACH_UNIFORM ? LEVELS_EVEN : LEVELS_FREE,
        .range = options->range,
        .range_lo = options->range_lo,
        .range_hi = options->range_hi,
        .init = options->init,
        .max_iterations = options->max_iterations,
        .tolerance = options->tolerance,
        .seed = options->seed,
    };
    if (!options->has_range) { /* the exercise's range for its own vectors */
        problem.range = builtin ? RANGE_GIVEN : RANGE_MINMAX;
        problem.range_lo = -4.0;
        problem.range_hi = 4.0;
    }
    return problem;
}

/* Collective. Finds the levels of one result. */
static enum status solve(struct trip *trip, const struct problem *posed, const struct keep *keep,
                         struct result *result)
{
    struct problem problem = *posed;
    struct step_context step = {&trip->walk, *keep, problem.min, problem.max, problem.bits};
    problem.look = (struct look){.assign = step_assign, .agree = step_agree, .context = &step};
    const char *name = problem.kind == LEVELS_EVEN ? "uniform" : trip->job->options->solver;
    const struct solver *solver = solver_find(name, &problem);
    if (!solver)
        return status_raise(QO_INTERNAL, "%s: no solver named %s for this problem",
                            trip->walk.info->origin, name);
    result->solver = solver->name;
    return comm_agree(trip->job->comm, solver->solve(&problem, &result->solution));
}

/* Local. The figures of merit, over all n elements: an outlier's error is zero. */
static void fill_figures(const struct trip *trip, const struct encoding *encoding,
                         struct result *result)
{
    double n = (double)trip->walk.info->n, norm = trip->measurement.moments.norm;
    double error = sqrt(encoding->error); /* ||e|| */
    size_t element = element_size(trip->walk.info->type);
    int64_t bytes = (trip->walk.info->n * result->num_bits + 7) / 8 +
                    8 * (int64_t)result->solution.k +
                    encoding->num_outliers * (int64_t)(8 + element);
    result->mse = encoding->error / n;
    result->rmse = sqrt(result->mse);
    result->l2_norm = error / n;
    result->relative_error = norm > 0 ? error / norm : 0.0;
    result->sqnr_db = error > 0 ? 20.0 * log10(norm / error) : INFINITY;
    result->max_abs_error = encoding->max_error;
    result->outlier_count = encoding->num_outliers;
    result->bits_per_value = 8.0 * (double)bytes / n;
    result->compression_ratio = 8.0 * (double)element / result->bits_per_value;
    /* Without a proven lower bound the distance from the optimum is not known, but for no error at
     * all. */
    result->optimality_gap = result->rmse > 0 ? NAN : 0.0;
    result->encode_seconds = encoding->seconds;
}

/* Collective. Writes codes and outliers; digests them either way. */
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
    if (file) {
        QO_TRY(result_file_begin_result(file, result));
        QO_TRY(result_file_write_codes(file, trip->codes, walk->tile.first / 8 * table->bits, bytes,
                                       largest));
    }
    QO_TRY(encode_outliers(walk, table, encoding, file, &result->digest));
    if (file)
        QO_TRY(result_file_end_result(file, result));
done:
    return status;
}

/* Collective. One result: solve, encode, write. */
static enum status quantize(struct trip *trip, enum approach approach, int bits,
                            struct result *result)
{
    enum status status;
    struct job *job = trip->job;
    struct keep keep = kept_by(trip, approach);
    struct problem problem = problem_of(trip, approach, bits, &keep);
    struct level_table table;
    struct encoding encoding;
    *result = (struct result){.approach = approach_name(approach),
                              .num_bits = bits,
                              .threshold = job->options->threshold};
    timer_switch(job->timer, PHASE_SOLVE);
    progress_show(&job->progress, "%s: %s, %d bits", trip->walk.info->name, result->approach, bits);
    QO_TRY(solve(trip, &problem, &keep, result));
    result->solve_seconds = timer_switch(job->timer, PHASE_ENCODE);
    comm_broadcast(job->comm, &result->solve_seconds, sizeof result->solve_seconds);

    level_table_init(&table, bits, result->solution.level, result->solution.k, &keep, problem.min,
                     problem.max);
    QO_TRY(encode_vector(&trip->walk, &table, trip->codes, &encoding));
    fill_figures(trip, &encoding, result);
    timer_switch(job->timer, PHASE_WRITE);
    QO_TRY(write_result(trip, &table, &encoding, result));
done:
    return status;
}

/* Collective. Begins the vector's group and makes room for its results. */
static enum status begin_results(struct trip *trip)
{
    enum status status;
    const struct options *options = trip->job->options;
    struct vector_stats *stats = &trip->out->stats;
    double edges[HISTOGRAM_PLOT_BINS + 1];
    uint64_t counts[HISTOGRAM_PLOT_BINS];
    int count = 0;
    timer_switch(trip->job->timer, PHASE_WRITE);
    for (int bits = 1; bits <= 8; bits++)
        for (int a = 0; a < NUM_APPROACHES; a++)
            count += options->bits[bits] && options->approach[a];
    QO_TRY(memory_alloc("results", count, sizeof *trip->out->results, &trip->out->results));
    QO_TRY(memory_alloc_large("codes", (trip->walk.tile.n * largest_bits(options) + 7) / 8, 1,
                              &trip->codes));
done:
    if ((status = comm_agree(trip->job->comm, status)) != QO_OK || !trip->job->file)
        return status;
    stats->plot_edges = edges;
    stats->plot_counts = counts;
    stats->plot_bins =
        histogram_plot(&trip->measurement.histogram, stats->min, stats->max, edges, counts);
    status = result_file_begin_vector(trip->job->file, trip->walk.info, stats);
    stats->plot_edges = NULL;
    stats->plot_counts = NULL;
    return status;
}

enum status quantize_vector(struct job *job, int index, struct report_vector *out)
{
    enum status status;
    bool go_on = false;
    struct trip trip = {.job = job, .out = out};
    out->info = source_vector(job->source, index);
    QO_TRY(measure(&trip, index, &go_on));
    if (!go_on)
        goto done;
    QO_TRY(begin_results(&trip));
    for (int bits = 1; bits <= 8; bits++) {
        for (enum approach a = 0; a < NUM_APPROACHES; a++) {
            if (!job->options->bits[bits] || !job->options->approach[a])
                continue;
            out->num_results++;
            QO_TRY(quantize(&trip, a, bits, &out->results[out->num_results - 1]));
        }
    }
done:
    if (job->comm->rank != 0) /* only rank 0 reports */
        report_vector_clear(out);
    memory_free(trip.codes);
    measurement_clear(&trip.measurement);
    walk_close(&trip.walk);
    return status;
}
