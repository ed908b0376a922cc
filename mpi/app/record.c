/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "memory.h"
#include "result_file.h"
#include "solver_table.h"

/*
 * One list of fields serves for counting, packing and unpacking, so that the three cannot get out
 * of step: each pass_ function moves a value to its words, or from them.
 */
enum direction { COUNT, PACK, UNPACK };

struct stream {
    enum direction direction;
    const struct options *options; /* not to COUNT */
    int64_t *to;                   /* PACK */
    const int64_t *from;           /* UNPACK: [n] */
    int64_t at, n;
    int64_t num_elements; /* of the vector: what is counted is not more */
    bool is_bad;          /* UNPACK: a value that cannot be, or no more words */
};

/* Behind a bad value there are zeros. */
static void pass_word(struct stream *stream, int64_t *value)
{
    if (stream->direction == PACK)
        stream->to[stream->at] = *value;
    if (stream->direction == UNPACK) {
        stream->is_bad |= stream->at >= stream->n;
        *value = stream->is_bad ? 0 : stream->from[stream->at];
    }
    stream->at++;
}

/* An integer within bounds; a bad one becomes the lower one, so that it can be gone on with. */
static void pass_integer(struct stream *stream, int64_t *value, int64_t lo, int64_t hi)
{
    assert(stream->direction == UNPACK || (lo <= *value && *value <= hi));
    pass_word(stream, value);
    if (stream->direction == UNPACK && (*value < lo || *value > hi)) {
        stream->is_bad = true;
        *value = lo;
    }
}

/* A number of elements of the vector. */
static void pass_count(struct stream *stream, int64_t *value)
{
    pass_integer(stream, value, 0, stream->num_elements);
}

static void pass_int(struct stream *stream, int *value, int lo, int hi)
{
    int64_t word = *value;
    pass_integer(stream, &word, lo, hi);
    if (stream->direction == UNPACK)
        *value = (int)word;
}

static void pass_bool(struct stream *stream, bool *value)
{
    int64_t word = *value;
    pass_integer(stream, &word, 0, 1);
    if (stream->direction == UNPACK)
        *value = word != 0;
}

static void pass_real(struct stream *stream, double *value)
{
    int64_t word;
    memcpy(&word, value, sizeof word);
    pass_word(stream, &word);
    if (stream->direction == UNPACK)
        memcpy(value, &word, sizeof word);
}

/* Approaches, and behind them the codebooks of this run. */
static const char *name_of(const struct options *options, int64_t index)
{
    return index < NUM_APPROACHES ? approach_name((enum approach)index)
                                  : options->audits[index - NUM_APPROACHES].name;
}

/* Addresses differ from rank to rank: an approach travels as its number. */
static void pass_approach(struct stream *stream, const char **name)
{
    const struct options *options = stream->options;
    int64_t index = 0, num = options ? NUM_APPROACHES + options->num_audits : 1;
    if (stream->direction == PACK)
        while (index < num && strcmp(name_of(options, index), *name) != 0)
            index++;
    pass_integer(stream, &index, 0, num - 1);
    if (stream->direction == UNPACK)
        *name = name_of(options, index);
}

/* And a solver as its place in this list, which only grows at its end: checkpoints hold it. */
static void pass_solver(struct stream *stream, const char **name)
{
    const char *const names[] = {solver_uniform.name, solver_lloyd.name, solver_optimal.name};
    const int64_t num_names = sizeof names / sizeof *names;
    int64_t index = 0;
    if (stream->direction != UNPACK)
        while (index < num_names && strcmp(names[index], *name) != 0)
            index++;
    pass_integer(stream, &index, 0, num_names - 1);
    if (stream->direction == UNPACK)
        *name = names[index];
}

/* Bytes x[n], n a multiple of 8. */
static void pass_bytes(struct stream *stream, void *x, size_t n)
{
    for (size_t i = 0; i < n; i += sizeof(int64_t)) {
        int64_t word;
        memcpy(&word, (char *)x + i, sizeof word);
        pass_word(stream, &word);
        if (stream->direction == UNPACK)
            memcpy((char *)x + i, &word, sizeof word);
    }
}

/* The elements of a small vector, as if they were of 8 bytes. */
static void pass_original(struct stream *stream, struct vector_stats *stats)
{
    int64_t n = stream->num_elements;
    int most = n < RESULT_MOST_ORIGINAL ? (int)n : RESULT_MOST_ORIGINAL;
    pass_int(stream, &stats->num_original, 0, most);
    pass_bytes(stream, stats->original, 8 * (size_t)stats->num_original);
}

static void pass_stats(struct stream *stream, struct vector_stats *stats)
{
    pass_count(stream, &stats->nonfinite_count);
    pass_count(stream, &stats->fill_count);
    pass_real(stream, &stats->min);
    pass_real(stream, &stats->max);
    pass_real(stream, &stats->mean);
    pass_real(stream, &stats->std);
    pass_real(stream, &stats->norm);
    pass_original(stream, stats);
}

/* As many levels as there are: a result of 3 bits is not 256 of them. */
static void pass_levels(struct stream *stream, struct solution *solution, int num_bits)
{
    pass_int(stream, &solution->k, 1, 1 << num_bits);
    for (int i = 0; i < solution->k; i++) {
        double *level = &solution->level[i];
        pass_real(stream, level);
        if (stream->direction == UNPACK)
            stream->is_bad |= !isfinite(*level) || (i > 0 && !(level[-1] < *level));
    }
}

/* The words of a step. */
enum { STEP_WORDS = 3 };

/* A history is never longer than the words that are left: no memory is asked for that could not be
 * filled. */
static enum status pass_steps(struct stream *stream, struct solution *solution)
{
    enum status status = QO_OK;
    int num_steps = solution->num_steps, most = INT_MAX;
    int64_t left = (stream->n - stream->at - 1) / STEP_WORDS;
    if (stream->direction == UNPACK)
        most = left < 0 ? 0 : left < INT_MAX ? (int)left : INT_MAX;
    pass_int(stream, &num_steps, 0, most);
    if (stream->direction == UNPACK && num_steps > 0) {
        QO_TRY(memory_alloc("Lloyd steps", num_steps, sizeof *solution->steps, &solution->steps));
        solution->num_steps = num_steps;
    }
    for (int i = 0; i < num_steps; i++) {
        pass_int(stream, &solution->steps[i].iteration, 0, INT_MAX);
        pass_real(stream, &solution->steps[i].mse);
        pass_real(stream, &solution->steps[i].max_move);
    }
done:
    return status;
}

static void pass_figures(struct stream *stream, struct result *result)
{
    pass_real(stream, &result->mse);
    pass_real(stream, &result->rmse);
    pass_real(stream, &result->l2_norm);
    pass_real(stream, &result->relative_error);
    pass_real(stream, &result->sqnr_db);
    pass_real(stream, &result->max_abs_error);
    pass_count(stream, &result->outlier_count);
    pass_real(stream, &result->bits_per_value);
    pass_real(stream, &result->compression_ratio);
    pass_real(stream, &result->optimality_gap);
    pass_count(stream, &result->sample_size);
    pass_real(stream, &result->sample_excess);
    pass_real(stream, &result->solve_seconds);
    pass_real(stream, &result->encode_seconds);
}

static enum status pass_result(struct stream *stream, struct result *result)
{
    enum status status;
    struct solution *solution = &result->solution;
    pass_approach(stream, &result->approach);
    pass_int(stream, &result->num_bits, 1, 8);
    pass_solver(stream, &result->solver);
    pass_real(stream, &result->threshold);
    pass_levels(stream, solution, result->num_bits);
    pass_real(stream, &solution->scale);
    pass_int(stream, &solution->iterations, 0, INT_MAX);
    pass_bool(stream, &solution->converged);
    QO_TRY(pass_steps(stream, solution));
    pass_figures(stream, result);
    pass_bool(stream, &result->has_codes);
    pass_word(stream, (int64_t *)&result->digest);
    pass_bytes(stream, result->error_share, sizeof result->error_share);
done:
    return status;
}

static enum status pass_vector(struct stream *stream, struct report_vector *vector)
{
    enum status status = QO_OK;
    int num_results = vector->num_results;
    pass_stats(stream, &vector->stats);
    pass_int(stream, &num_results, 0, RESULT_FILE_MAX_RESULTS);
    if (stream->direction == UNPACK && num_results > 0) {
        QO_TRY(memory_alloc("results", num_results, sizeof *vector->results, &vector->results));
        vector->num_results = num_results;
    }
    for (int r = 0; r < num_results && !stream->is_bad; r++)
        QO_TRY(pass_result(stream, &vector->results[r]));
done:
    return status;
}

/* Counts or packs: only unpacking writes to the vector, or fails. */
static int64_t pass_out(struct stream *stream, const struct report_vector *vector)
{
    struct report_vector copy = *vector;
    stream->num_elements = INT64_MAX;
    enum status status = pass_vector(stream, &copy);
    assert(status == QO_OK);
    (void)status;
    return stream->at;
}

int64_t record_vector_words(const struct report_vector *vector)
{
    return pass_out(&(struct stream){.direction = COUNT}, vector);
}

void record_vector_pack(const struct options *options, const struct report_vector *vector,
                        int64_t *words)
{
    (void)pass_out(&(struct stream){.direction = PACK, .options = options, .to = words}, vector);
}

enum status record_vector_unpack(const struct options *options, const int64_t *words, int64_t n,
                                 struct report_vector *out)
{
    enum status status;
    struct stream stream = {.direction = UNPACK, .options = options, .from = words, .n = n};
    stream.num_elements = out->info ? out->info->n : INT64_MAX;
    *out = (struct report_vector){.info = out->info};
    QO_TRY(pass_vector(&stream, out));
    QO_CHECK(!stream.is_bad && stream.at == n, QO_DATA,
             "%s: what was recorded of its results cannot be; run without --resume to start anew",
             out->info ? out->info->name : "a vector");
done:
    if (status != QO_OK)
        report_vector_clear(out);
    return status;
}
