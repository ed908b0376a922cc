/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>
#include <jansson.h>

#include "report.h"
#include "version.h"

/*
 * Every json_ call that gets NULL passes it on, so a lack of memory anywhere shows as a missing
 * part; the two places that take parts in count such failures here.
 */
struct builder {
    int failures;
};

static void put(struct builder *builder, json_t *object, const char *key, json_t *value)
{
    builder->failures += json_object_set_new(object, key, value) != 0;
}

static void append(struct builder *builder, json_t *array, json_t *value)
{
    builder->failures += json_array_append_new(array, value) != 0;
}

/* A figure; JSON has no NaN or infinity: null. */
static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *spread(struct builder *b, const struct spread *s)
{
    json_t *object = json_object();
    put(b, object, "min", number(s->min));
    put(b, object, "mean", number(s->mean));
    put(b, object, "max", number(s->max));
    put(b, object, "max_rank", json_integer(s->max_rank));
    return object;
}

static json_t *history(struct builder *b, const struct solution *solution)
{
    json_t *array = json_array();
    for (int i = 0; i < solution->num_steps; i++) {
        const struct step *step = &solution->steps[i];
        json_t *object = json_object();
        put(b, object, "iteration", json_integer(step->iteration));
        put(b, object, "mse", number(step->mse));
        put(b, object, "max_move", number(step->max_move));
        append(b, array, object);
    }
    return array;
}

static json_t *result_object(struct builder *b, const struct result *r)
{
    json_t *object = json_object(), *levels = json_array();
    char digest[17];
    snprintf(digest, sizeof digest, "%016" PRIx64, r->digest);
    bool sampled = r->sample_size > 0;
    for (int i = 0; i < r->solution.k; i++)
        append(b, levels, number(r->solution.level[i]));
    put(b, object, "approach", json_string(r->approach));
    put(b, object, "num_bits", json_integer(r->num_bits));
    put(b, object, "solver", json_string(r->solver));
    put(b, object, "threshold", number(r->threshold));
    put(b, object, "levels", levels);
    put(b, object, "scale", number(r->solution.scale));
    put(b, object, "mse", number(r->mse));
    put(b, object, "rmse", number(r->rmse));
    put(b, object, "l2_norm", number(r->l2_norm));
    put(b, object, "relative_error", number(r->relative_error));
    put(b, object, "sqnr_db", number(r->sqnr_db));
    put(b, object, "max_abs_error", number(r->max_abs_error));
    put(b, object, "outlier_count", json_integer(r->outlier_count));
    put(b, object, "bits_per_value", number(r->bits_per_value));
    put(b, object, "compression_ratio", number(r->compression_ratio));
    put(b, object, "iterations", json_integer(r->solution.iterations));
    put(b, object, "converged", json_boolean(r->solution.converged));
    put(b, object, "optimality_gap", number(r->optimality_gap));
    put(b, object, "sample_size", json_integer(r->sample_size));
    put(b, object, "sample_excess", sampled ? number(r->sample_excess) : json_null());
    put(b, object, "history", history(b, &r->solution));
    put(b, object, "solve_seconds", number(r->solve_seconds));
    put(b, object, "encode_seconds", number(r->encode_seconds));
    put(b, object, "digest", r->has_codes ? json_string(digest) : json_null());
    return object;
}

static json_t *vector_object(struct builder *b, const struct report_vector *vector)
{
    const struct vector_info *info = vector->info;
    const struct vector_stats *stats = &vector->stats;
    json_t *object = json_object(), *shape = json_array(), *results = json_array();
    for (int d = 0; d < info->num_dims; d++)
        append(b, shape, json_integer(info->shape[d]));
    for (int r = 0; r < vector->num_results; r++)
        append(b, results, result_object(b, &vector->results[r]));
    put(b, object, "name", json_string(info->name));
    put(b, object, "dtype", json_string(element_name(info->type)));
    put(b, object, "shape", shape);
    put(b, object, "num_elements", json_integer(info->n));
    put(b, object, "nonfinite_count", json_integer(stats->nonfinite_count));
    put(b, object, "fill_count", json_integer(stats->fill_count));
    put(b, object, "min", number(stats->min));
    put(b, object, "max", number(stats->max));
    put(b, object, "mean", number(stats->mean));
    put(b, object, "std", number(stats->std));
    put(b, object, "results", results);
    return object;
}

struct option_sink {
    struct builder *builder;
    json_t *object;
};

static void add_option(const char *name, const char *value, void *context)
{
    struct option_sink *sink = context;
    put(sink->builder, sink->object, name, json_string(value));
}

static json_t *document(struct builder *b, const struct report *report)
{
    json_t *root = json_object(), *options = json_object(), *hosts = json_array();
    json_t *vectors = json_array(), *timings = json_array();
    struct option_sink sink = {b, options};
    options_visit(report->options, add_option, &sink);
    for (int r = 0; r < report->comm->size; r++)
        append(b, hosts, json_string(report->hosts + (size_t)r * HOST_NAME_BYTES));
    for (int i = 0; i < report->num_vectors; i++)
        append(b, vectors, vector_object(b, &report->vectors[i]));
    for (int p = 0; p < NUM_PHASES; p++) {
        json_t *timing = spread(b, &report->phases[p]);
        put(b, timing, "phase", json_string(phase_name((enum phase)p)));
        append(b, timings, timing);
    }
    put(b, root, "quantopt_version", json_string(QO_VERSION));
    put(b, root, "created", json_string(report->created));
    put(b, root, "command_line", json_string(report->command_line));
    put(b, root, "options", options);
    put(b, root, "ranks", json_integer(report->comm->size));
    put(b, root, "threads_per_rank", json_integer(report->machine->engine.threads));
    put(b, root, "device", json_string(machine_device(report->machine)));
    put(b, root, "comm", json_string(reduce_name(report->comm)));
    put(b, root, "hosts", hosts);
    put(b, root, "vectors", vectors);
    put(b, root, "timings", timings);
    put(b, root, "peak_memory_bytes", spread(b, &report->peak_memory));
    return root;
}

/* Writes beside the final name, under one that no other run has, and renames: a reader never sees
 * half a document. */
static enum status write_document(const json_t *root, const char *path)
{
    char partial[4096 + 64];
    snprintf(partial, sizeof partial, "%s.%ld.partial", path, (long)getpid());
    FILE *file = fopen(partial, "w");
    if (!file)
        return status_raise(QO_CANT_CREATE, "%s: cannot be created: %s; choose another --save_dir",
                            partial, strerror(errno));
    bool failed = json_dumpf(root, file, JSON_INDENT(1) | JSON_PRESERVE_ORDER) != 0;
    failed |= fputc('\n', file) == EOF;
    failed |= fflush(file) != 0 || fsync(fileno(file)) != 0;
    failed |= fclose(file) != 0;
    if (!failed && rename(partial, path) == 0)
        return QO_OK;
    int error = errno;
    unlink(partial);
    return status_raise(QO_IO, "%s: could not be written: %s; is the disk full?", path,
                        strerror(error));
}

enum status report_write_json(const struct report *report)
{
    struct builder builder = {0};
    char path[4096 + 16];
    snprintf(path, sizeof path, "%s/results.json", report->options->save_dir);
    json_t *root = document(&builder, report);
    enum status status = root && builder.failures == 0
                             ? write_document(root, path)
                             : status_raise(QO_NO_MEMORY, "%s: no memory for the document", path);
    json_decref(root);
    return status;
}
