/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"

#include <limits.h>
#include <string.h>

#include "clock.h"
#include "deal.h"
#include "memory.h"
#include "parcel.h"
#include "plan.h"
#include "record.h"
#include "reduce.h"
#include "trip.h"

/* What a vector takes, and an element of it, in nanoseconds. Measured for 3 bits on one core: 0.05
 * ms for 10 elements, 0.3 ms for 1,000, 2.5 ms for 10,000 and 18 ms for 100,000. Only their ratio
 * matters where the options make vectors dearer. */
#define VECTOR_COST  50000
#define ELEMENT_COST 200

/* What making the objects of a result in the file takes: on all ranks at the same time. */
#define RESULT_COST 300000

/* A batch is as many vectors as are thought to take so long; a rank that has come to this leaves
 * the rest of its share to the next batch. */
#define BATCH_SECONDS 1.0

/* And as have so many bytes of results, which all ranks hold. */
#define RESULTS_BYTES ((int64_t)16 << 20)

/* And that holds so many bytes of codes and outliers for the file, or half of what it may use. */
#define BATCH_BYTES ((int64_t)16 << 20)

/* In front of the words of a vector (record.h) that its rank sends to the others. */
enum { HEAD_NONFINITE, HEAD_FIRST, HEAD_BINS, HEAD_GAP, HEAD_DAMAGED, NUM_HEAD_WORDS };

/* A vector that an earlier run has finished: words[n]; NULL: it has not, or nobody has asked. */
struct finished {
    int64_t n, *words;
};

/* All small vectors, and the batch at their head. */
struct batches {
    struct job *job;
    struct report_vector *vectors; /* of the source */
    struct comm alone;
    struct job own_job;        /* the job of this rank alone */
    int *index, num;           /* those that are left, in order */
    struct finished *finished; /* [num]: what an earlier run tells of them */
    int num_batch;             /* of them, the first ones */
    int *rank;                 /* [num_batch]: who has it */
    int64_t *cost;             /* [num_batch] */
    int64_t *size;             /* [num_batch]: words of its results; 0: not done in this batch */
    struct parcel *parcel;     /* [num_batch]: of this rank's own */
    int *count, *start;        /* [comm->size]: words of each rank, and where they begin */
    int64_t *mine, *all;       /* the words of a batch, of this rank and of all */
    const int64_t **record;    /* [num_batch]: where in `all` */
};

/* About how many nanoseconds a rank takes for a vector of n elements; for dealing. */
static int64_t cost_of(int64_t n)
{
    return VECTOR_COST + ELEMENT_COST * n;
}

/* Local. Vector i of the batch. */
static struct report_vector *vector_of(const struct batches *batches, int i)
{
    return &batches->vectors[batches->index[i]];
}

/* Collective. The list of small vectors. */
static enum status open(struct batches *batches, struct job *job, struct report_vector *vectors)
{
    enum status status;
    int num = source_count(job->source), size = job->comm->size;
    *batches = (struct batches){.job = job, .vectors = vectors};
    QO_TRY(memory_alloc("small vectors", num, sizeof *batches->index, &batches->index));
    for (int i = 0; i < num; i++)
        if (plan_is_small(job->options, source_vector(job->source, i)))
            batches->index[batches->num++] = i;
    num = batches->num;
    QO_TRY(memory_alloc("small vectors", num, sizeof *batches->finished, &batches->finished));
    QO_TRY(memory_alloc("small vectors", num, sizeof *batches->rank, &batches->rank));
    QO_TRY(memory_alloc("small vectors", num, sizeof *batches->cost, &batches->cost));
    QO_TRY(memory_alloc("small vectors", num, sizeof *batches->size, &batches->size));
    QO_TRY(memory_alloc("small vectors", num, sizeof *batches->parcel, &batches->parcel));
    QO_TRY(memory_alloc("small vectors", num, sizeof *batches->record, &batches->record));
    QO_TRY(memory_alloc("shares of ranks", size, sizeof *batches->count, &batches->count));
    QO_TRY(memory_alloc("shares of ranks", size, sizeof *batches->start, &batches->start));
done:
    return comm_agree(job->comm, status);
}

/* Local. The job of this rank alone; *batches must not be moved from here on. */
static void make_own_job(struct batches *batches)
{
    comm_alone(batches->job->comm, &batches->alone);
    batches->own_job = *batches->job;
    batches->own_job.comm = &batches->alone;
    batches->own_job.file = NULL;
    batches->own_job.journal = NULL;
    batches->own_job.nonfinite = NULL;
    batches->own_job.observer.context = &batches->own_job;
}

/* Local. Frees what a batch holds. */
static void end_batch(struct batches *batches)
{
    for (int i = 0; i < batches->num_batch; i++)
        parcel_clear(&batches->parcel[i]);
    memory_free(batches->mine);
    memory_free(batches->all);
    batches->mine = batches->all = NULL;
    batches->num_batch = 0;
}

/* Local. */
static void close(struct batches *batches)
{
    end_batch(batches);
    for (int i = 0; batches->finished && i < batches->num; i++)
        memory_free(batches->finished[i].words);
    memory_free(batches->finished);
    memory_free(batches->index);
    memory_free(batches->rank);
    memory_free(batches->cost);
    memory_free(batches->size);
    memory_free(batches->parcel);
    memory_free(batches->record);
    memory_free(batches->count);
    memory_free(batches->start);
}

/* ---- A batch, each rank for itself ---- */

/* Collective. The next batch, and who has what of it. */
static enum status begin_batch(struct batches *batches)
{
    const struct job *job = batches->job;
    const struct comm *comm = job->comm;
    int n = 0, results = plan_num_results(job->options);
    double cost = 0, most = BATCH_SECONDS * 1e9;
    double writing = job->file ? (double)results * RESULT_COST : 0;
    int64_t room = RESULTS_BYTES / (results * (int64_t)sizeof(struct result)) + 1;
    /* Every rank is to have something, if the batch does not take far too long for it. */
    for (; n < batches->num && n < room && cost < (n < comm->size ? 5 : 1) * most; n++) {
        batches->cost[n] = cost_of(source_vector(job->source, batches->index[n])->n);
        cost += (double)batches->cost[n] / comm->size + writing;
        batches->size[n] = 0;
    }
    batches->num_batch = n;
    return comm_agree(comm, deal_by_cost(batches->cost, n, comm->size, batches->rank));
}

/* Collective. What an earlier run has finished of the batch. */
static enum status find_finished(struct batches *batches)
{
    enum status status = QO_OK;
    for (int i = 0; i < batches->num_batch; i++) {
        struct finished *finished = &batches->finished[i];
        if (!finished->words)
            QO_TRY(journal_find_vector(batches->job->journal, batches->index[i], &finished->n,
                                       &finished->words));
    }
done:
    return status;
}

/* Local. One vector of this rank's share, from what an earlier run has left or else anew. */
static enum status quantize_one(struct batches *batches, int i)
{
    enum status status = QO_OK;
    const struct job *job = batches->job;
    const struct finished *finished = &batches->finished[i];
    struct parcel *parcel = &batches->parcel[i];
    struct report_vector *vector = vector_of(batches, i);
    bool replayed = false;
    parcel->takes_codes = job->file != NULL;
    vector->info = source_vector(job->source, batches->index[i]);
    if (finished->words) {
        timer_switch(job->timer, PHASE_WRITE);
        QO_TRY(replay_alone(&batches->own_job, journal_encoded(job->journal), finished->n,
                            finished->words, vector, parcel, &replayed));
    }
    if (!replayed)
        QO_TRY(quantize_alone(&batches->own_job, batches->index[i], vector, parcel));
    batches->size[i] = NUM_HEAD_WORDS + record_vector_words(vector);
done:
    return status;
}

/* Local. Whether what is left of the share can wait: for time, memory, or because the run is to
 * end. */
static bool is_full(const struct batches *batches, double start, int64_t bytes)
{
    int64_t limit = batches->job->memory_limit / 2;
    return clock_seconds() - start > BATCH_SECONDS ||
           bytes > (limit < BATCH_BYTES ? limit : BATCH_BYTES) || stop_wanted() >= STOP_LEAVE;
}

/* Local. Quantizes this rank's share, or as much of it as goes into a batch: one at least. */
static enum status quantize_share(struct batches *batches)
{
    double start = clock_seconds();
    int64_t bytes = 0;
    bool full = false;
    enum status status = QO_OK;
    for (int i = 0; i < batches->num_batch && !full; i++) {
        if (batches->rank[i] != batches->job->comm->rank)
            continue;
        QO_TRY(quantize_one(batches, i));
        bytes += batches->parcel[i].num_bytes;
        full = is_full(batches, start, bytes);
    }
done:
    return status;
}

/* ---- Results to all ranks ---- */

/* Local. This rank's results as words, one vector behind the other. */
static void pack_share(const struct batches *batches)
{
    int64_t *words = batches->mine;
    for (int i = 0; i < batches->num_batch; i++) {
        const struct parcel *parcel = &batches->parcel[i];
        if (batches->rank[i] != batches->job->comm->rank || batches->size[i] == 0)
            continue;
        words[HEAD_NONFINITE] = parcel->num_nonfinite;
        words[HEAD_FIRST] = parcel->first_nonfinite;
        words[HEAD_BINS] = parcel->plot_bins;
        words[HEAD_GAP] = reduce_bits(parcel->gap_left);
        words[HEAD_DAMAGED] = parcel->is_damaged;
        record_vector_pack(batches->job->options, vector_of(batches, i), words + NUM_HEAD_WORDS);
        words += batches->size[i];
    }
}

/* Local. Where the words of each rank and vector will be; QO_NO_MEMORY if MPI could not count them.
 */
static enum status lay_out(struct batches *batches)
{
    int size = batches->job->comm->size;
    int64_t total = 0;
    for (int r = 0; r < size; r++)
        batches->count[r] = 0;
    for (int i = 0; i < batches->num_batch; i++)
        total += batches->size[i];
    if (total > INT_MAX)
        return status_raise(QO_NO_MEMORY,
                            "the results of %d vectors take %lld MiB; lower --max_iterations",
                            batches->num_batch, (long long)(total >> 17));
    for (int i = 0; i < batches->num_batch; i++)
        batches->count[batches->rank[i]] += (int)batches->size[i];
    for (int r = 0, start = 0; r < size; r++) {
        batches->start[r] = start;
        start += batches->count[r];
    }
    int mine = batches->count[batches->job->comm->rank];
    enum status status = memory_alloc("results", total, sizeof *batches->all, &batches->all);
    if (status == QO_OK)
        status = memory_alloc("results", mine, sizeof *batches->mine, &batches->mine);
    return status;
}

/* Local. The words of the others as results; and what all words say. */
static enum status unpack_all(struct batches *batches)
{
    struct job *job = batches->job;
    bool is_needed = job->file || job->comm->rank == 0; /* for the file, or the reports */
    for (int i = 0; i < batches->num_batch; i++) {
        struct report_vector *vector = vector_of(batches, i);
        const int64_t *words = batches->all + batches->start[batches->rank[i]];
        batches->start[batches->rank[i]] += (int)batches->size[i];
        batches->record[i] = words;
        if (batches->size[i] == 0)
            continue;
        vector->info = source_vector(job->source, batches->index[i]);
        if (is_needed && batches->rank[i] != job->comm->rank) {
            enum status status = record_vector_unpack(job->options, words + NUM_HEAD_WORDS,
                                                      batches->size[i] - NUM_HEAD_WORDS, vector);
            if (status != QO_OK)
                return status;
        }
        vector->stats.plot_bins = (int)words[HEAD_BINS];
    }
    return QO_OK;
}

/* Local. Vectors that must not be quantized, for the message; and for the log what certificates
 * say. */
static void note_all(struct batches *batches)
{
    struct job *job = batches->job;
    for (int i = 0; i < batches->num_batch; i++) {
        const int64_t *words = batches->record[i];
        if (batches->size[i] == 0)
            continue;
        struct nonfinite nonfinite = {.count = words[HEAD_NONFINITE], .first = words[HEAD_FIRST]};
        if (nonfinite.count > 0)
            quantize_note_nonfinite(job, batches->index[i], &nonfinite);
        if (words[HEAD_DAMAGED])
            replay_log_damage(vector_of(batches, i)->info);
        trip_log_gap(job, vector_of(batches, i)->info, reduce_number(words[HEAD_GAP]));
    }
    batches->own_job.num_bad = job->num_bad;
}

/* Collective. All results of the batch to all ranks; `status` is of this rank's share. */
static enum status exchange(struct batches *batches, enum status status)
{
    const struct comm *comm = batches->job->comm;
    QO_TRY(comm_agree(comm, status));
    reduce_sum(comm, batches->size, batches->num_batch); /* each is of one rank */
    QO_TRY(comm_agree(comm, lay_out(batches)));
    pack_share(batches);
    comm_gather_words(comm, batches->mine, batches->count, batches->start, batches->all);
    QO_TRY(comm_agree(comm, unpack_all(batches)));
    note_all(batches);
done:
    return status;
}

/* ---- Results to the file ---- */

/* Local. Codes and outliers of a result that this rank has. */
static enum status put_result(struct result_file *file, int r, const struct result *result,
                              int64_t n, const struct parcel *parcel)
{
    enum status status;
    const struct parcel_result *data = &parcel->result[r];
    QO_TRY(result_file_write_codes(file, r, data->codes, 0, (n * result->num_bits + 7) / 8));
    QO_TRY(result_file_write_outliers(file, r, data->index, data->value, 0, result->outlier_count));
done:
    return status;
}

/* Collective. A vector with its results, within a batch of the file: what fails is told at the
 * batch's end. */
static enum status write_vector(struct batches *batches, int i)
{
    enum status status;
    struct job *job = batches->job;
    struct report_vector *vector = vector_of(batches, i);
    struct vector_stats stats = vector->stats;
    struct parcel *parcel = batches->rank[i] == job->comm->rank ? &batches->parcel[i] : NULL;
    int64_t place[3 * RESULT_FILE_MAX_RESULTS], histogram[2];
    stats.plot_edges = parcel ? parcel->plot_edges : NULL;
    stats.plot_counts = parcel ? parcel->plot_counts : NULL;
    result_file_set_writer(job->file, batches->rank[i]);
    QO_TRY(result_file_begin_vector(job->file, vector->info, &stats));
    for (int r = 0; r < vector->num_results; r++) {
        const struct result *result = &vector->results[r];
        QO_TRY(result_file_begin_result(job->file, result));
        QO_TRY(result_file_begin_outliers(job->file, r, result->outlier_count));
        result_file_places(job->file, r, &place[3 * (int64_t)r]);
        if (parcel)
            QO_TRY(put_result(job->file, r, result, vector->info->n, parcel));
        QO_TRY(result_file_end_result(job->file, r, result));
    }
    result_file_histogram_places(job->file, histogram);
    replay_record(job, batches->index[i], vector, histogram, place);
done:
    return status;
}

/* Pure. What the file is to make room for. */
static struct result_batch batch_of(const struct batches *batches)
{
    struct result_batch batch = {0};
    for (int i = 0; i < batches->num_batch; i++) {
        const struct report_vector *vector = vector_of(batches, i);
        if (batches->size[i] == 0)
            continue;
        int64_t name = (int64_t)strlen(vector->info->name), n = vector->info->n;
        int64_t outlier = 8 + (int64_t)element_size(vector->info->type);
        batch.num_vectors++;
        batch.num_results += vector->num_results;
        batch.longest_name = name > batch.longest_name ? name : batch.longest_name;
        batch.name_bytes += name * vector->num_results;
        for (int r = 0; r < vector->num_results; r++)
            batch.data_bytes += (n * vector->results[r].num_bits + 7) / 8 +
                                outlier * vector->results[r].outlier_count;
    }
    return batch;
}

/* Collective. The batch to the file. */
static enum status write_all(struct batches *batches)
{
    enum status status;
    struct result_batch batch = batch_of(batches);
    QO_TRY(result_file_begin_batch(batches->job->file, &batch));
    for (int i = 0; i < batches->num_batch && status == QO_OK; i++)
        if (batches->size[i] > 0)
            status = write_vector(batches, i);
    QO_TRY(result_file_end_batch(batches->job->file));
done:
    return status;
}

/* Local. Without a file: the results are all there is to go on from. */
static void record_all(struct batches *batches)
{
    for (int i = 0; i < batches->num_batch; i++)
        if (batches->size[i] > 0)
            replay_record(batches->job, batches->index[i], vector_of(batches, i), NULL, NULL);
}

/* ---- All ---- */

/* Local. Drops what is done from the list. */
static void drop_done(struct batches *batches)
{
    struct job *job = batches->job;
    int num_left = 0, num_waiting = 0;
    for (int i = 0; i < batches->num; i++) {
        bool is_done = i < batches->num_batch && batches->size[i] > 0;
        if (!is_done) {
            num_waiting += batches->finished[i].words != NULL;
            batches->finished[num_left] = batches->finished[i];
            batches->index[num_left++] = batches->index[i];
            continue;
        }
        progress_begin_vector(&job->progress,
                              (double)vector_of(batches, i)->info->n * plan_readings(job->options));
        progress_end_vector(&job->progress);
        memory_free(batches->finished[i].words);
        if (job->comm->rank != 0) /* only rank 0 reports */
            report_vector_clear(vector_of(batches, i));
    }
    for (int i = num_left; i < batches->num; i++)
        batches->finished[i] = (struct finished){0};
    batches->num = num_left;
    batches->own_job.progress.finished = job->progress.finished;
    journal_set_waiting(job->journal, num_waiting);
}

/* Collective. One batch. */
static enum status make_batch(struct batches *batches)
{
    enum status status;
    struct job *job = batches->job;
    QO_TRY(begin_batch(batches));
    QO_TRY(find_finished(batches));
    status = quantize_share(batches);
    timer_switch(job->timer, PHASE_WRITE);
    QO_TRY(exchange(batches, status));
    if (job->num_bad == 0 && job->file)
        QO_TRY(write_all(batches));
    else if (job->num_bad == 0)
        record_all(batches);
    drop_done(batches);
    end_batch(batches);
    QO_TRY(journal_pause(job->journal));
done:
    return status;
}

enum status batch_quantize(struct job *job, struct report_vector *vectors, bool *done)
{
    struct batches batches;
    enum status status = open(&batches, job, vectors);
    if (status != QO_OK || batches.num < 2)
        goto done;
    make_own_job(&batches);
    for (int i = 0; i < batches.num; i++)
        done[batches.index[i]] = true;
    while (batches.num > 0)
        QO_TRY(make_batch(&batches));
done:
    close(&batches);
    return status;
}
