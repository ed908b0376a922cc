/* SPDX-License-Identifier: Apache-2.0 */
#include "packed.h"

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
struct packed {
    struct job *job;
    struct report_vector *vectors; /* of the source */
    struct comm alone;
    struct job lone;           /* the job of this rank alone */
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
static struct report_vector *vector_of(const struct packed *packed, int i)
{
    return &packed->vectors[packed->index[i]];
}

/* Collective. The list of small vectors. */
static enum status open(struct packed *packed, struct job *job, struct report_vector *vectors)
{
    enum status status;
    int num = source_count(job->source), size = job->comm->size;
    *packed = (struct packed){.job = job, .vectors = vectors};
    QO_TRY(memory_alloc("small vectors", num, sizeof *packed->index, &packed->index));
    for (int i = 0; i < num; i++)
        if (plan_is_small(job->options, source_vector(job->source, i)))
            packed->index[packed->num++] = i;
    num = packed->num;
    QO_TRY(memory_alloc("small vectors", num, sizeof *packed->finished, &packed->finished));
    QO_TRY(memory_alloc("small vectors", num, sizeof *packed->rank, &packed->rank));
    QO_TRY(memory_alloc("small vectors", num, sizeof *packed->cost, &packed->cost));
    QO_TRY(memory_alloc("small vectors", num, sizeof *packed->size, &packed->size));
    QO_TRY(memory_alloc("small vectors", num, sizeof *packed->parcel, &packed->parcel));
    QO_TRY(memory_alloc("small vectors", num, sizeof *packed->record, &packed->record));
    QO_TRY(memory_alloc("shares of ranks", size, sizeof *packed->count, &packed->count));
    QO_TRY(memory_alloc("shares of ranks", size, sizeof *packed->start, &packed->start));
done:
    return comm_agree(job->comm, status);
}

/* Local. The job of this rank alone; *packed must not be moved from here on. */
static void make_lone_job(struct packed *packed)
{
    comm_alone(packed->job->comm, &packed->alone);
    packed->lone = *packed->job;
    packed->lone.comm = &packed->alone;
    packed->lone.file = NULL;
    packed->lone.journal = NULL;
    packed->lone.nonfinite = NULL;
    packed->lone.observer.context = &packed->lone;
}

/* Local. Frees what a batch holds. */
static void end_batch(struct packed *packed)
{
    for (int i = 0; i < packed->num_batch; i++)
        parcel_clear(&packed->parcel[i]);
    memory_free(packed->mine);
    memory_free(packed->all);
    packed->mine = packed->all = NULL;
    packed->num_batch = 0;
}

/* Local. */
static void close(struct packed *packed)
{
    end_batch(packed);
    for (int i = 0; packed->finished && i < packed->num; i++)
        memory_free(packed->finished[i].words);
    memory_free(packed->finished);
    memory_free(packed->index);
    memory_free(packed->rank);
    memory_free(packed->cost);
    memory_free(packed->size);
    memory_free(packed->parcel);
    memory_free(packed->record);
    memory_free(packed->count);
    memory_free(packed->start);
}

/* ---- A batch, each rank for itself ---- */

/* Collective. The next batch, and who has what of it. */
static enum status begin_batch(struct packed *packed)
{
    const struct job *job = packed->job;
    const struct comm *comm = job->comm;
    int n = 0, results = plan_num_results(job->options);
    double cost = 0, most = BATCH_SECONDS * 1e9;
    double writing = job->file ? (double)results * RESULT_COST : 0;
    int64_t room = RESULTS_BYTES / (results * (int64_t)sizeof(struct result)) + 1;
    /* Every rank is to have something, if the batch does not take far too long for it. */
    for (; n < packed->num && n < room && cost < (n < comm->size ? 5 : 1) * most; n++) {
        packed->cost[n] = cost_of(source_vector(job->source, packed->index[n])->n);
        cost += (double)packed->cost[n] / comm->size + writing;
        packed->size[n] = 0;
    }
    packed->num_batch = n;
    return comm_agree(comm, deal_by_cost(packed->cost, n, comm->size, packed->rank));
}

/* Collective. What an earlier run has finished of the batch. */
static enum status find_finished(struct packed *packed)
{
    enum status status = QO_OK;
    for (int i = 0; i < packed->num_batch; i++) {
        struct finished *finished = &packed->finished[i];
        if (!finished->words)
            QO_TRY(journal_find_vector(packed->job->journal, packed->index[i], &finished->n,
                                       &finished->words));
    }
done:
    return status;
}

/* Local. One vector of this rank's share, from what an earlier run has left or else anew. */
static enum status quantize_one(struct packed *packed, int i)
{
    enum status status = QO_OK;
    const struct job *job = packed->job;
    const struct finished *finished = &packed->finished[i];
    struct parcel *parcel = &packed->parcel[i];
    struct report_vector *vector = vector_of(packed, i);
    bool replayed = false;
    parcel->takes_codes = job->file != NULL;
    vector->info = source_vector(job->source, packed->index[i]);
    if (finished->words) {
        timer_switch(job->timer, PHASE_WRITE);
        QO_TRY(replay_alone(&packed->lone, journal_encoded(job->journal), finished->n,
                            finished->words, vector, parcel, &replayed));
    }
    if (!replayed)
        QO_TRY(quantize_alone(&packed->lone, packed->index[i], vector, parcel));
    packed->size[i] = NUM_HEAD_WORDS + record_vector_words(vector);
done:
    return status;
}

/* Local. Whether what is left of the share can wait: for time, memory, or because the run is to
 * end. */
static bool is_full(const struct packed *packed, double start, int64_t bytes)
{
    int64_t limit = packed->job->memory_limit / 2;
    return clock_seconds() - start > BATCH_SECONDS ||
           bytes > (limit < BATCH_BYTES ? limit : BATCH_BYTES) || stop_wanted() >= STOP_LEAVE;
}

/* Local. Quantizes this rank's share, or as much of it as goes into a batch: one at least. */
static enum status quantize_share(struct packed *packed)
{
    double start = clock_seconds();
    int64_t bytes = 0;
    bool full = false;
    enum status status = QO_OK;
    for (int i = 0; i < packed->num_batch && !full; i++) {
        if (packed->rank[i] != packed->job->comm->rank)
            continue;
        QO_TRY(quantize_one(packed, i));
        bytes += packed->parcel[i].num_bytes;
        full = is_full(packed, start, bytes);
    }
done:
    return status;
}

/* ---- Results to all ranks ---- */

/* Local. This rank's results as words, one vector behind the other. */
static void pack_share(const struct packed *packed)
{
    int64_t *words = packed->mine;
    for (int i = 0; i < packed->num_batch; i++) {
        const struct parcel *parcel = &packed->parcel[i];
        if (packed->rank[i] != packed->job->comm->rank || packed->size[i] == 0)
            continue;
        words[HEAD_NONFINITE] = parcel->num_nonfinite;
        words[HEAD_FIRST] = parcel->first_nonfinite;
        words[HEAD_BINS] = parcel->plot_bins;
        words[HEAD_GAP] = reduce_bits(parcel->gap_left);
        words[HEAD_DAMAGED] = parcel->is_damaged;
        record_vector_pack(vector_of(packed, i), words + NUM_HEAD_WORDS);
        words += packed->size[i];
    }
}

/* Local. Where the words of each rank and vector will be; QO_NO_MEMORY if MPI could not count them.
 */
static enum status lay_out(struct packed *packed)
{
    int size = packed->job->comm->size;
    int64_t total = 0;
    for (int r = 0; r < size; r++)
        packed->count[r] = 0;
    for (int i = 0; i < packed->num_batch; i++)
        total += packed->size[i];
    if (total > INT_MAX)
        return status_raise(QO_NO_MEMORY,
                            "the results of %d vectors take %lld MiB; lower --max_iterations",
                            packed->num_batch, (long long)(total >> 17));
    for (int i = 0; i < packed->num_batch; i++)
        packed->count[packed->rank[i]] += (int)packed->size[i];
    for (int r = 0, start = 0; r < size; r++) {
        packed->start[r] = start;
        start += packed->count[r];
    }
    int mine = packed->count[packed->job->comm->rank];
    enum status status = memory_alloc("results", total, sizeof *packed->all, &packed->all);
    if (status == QO_OK)
        status = memory_alloc("results", mine, sizeof *packed->mine, &packed->mine);
    return status;
}

/* Local. The words of the others as results; and what all words say. */
static enum status unpack_all(struct packed *packed)
{
    struct job *job = packed->job;
    bool is_needed = job->file || job->comm->rank == 0; /* for the file, or the reports */
    for (int i = 0; i < packed->num_batch; i++) {
        struct report_vector *vector = vector_of(packed, i);
        const int64_t *words = packed->all + packed->start[packed->rank[i]];
        packed->start[packed->rank[i]] += (int)packed->size[i];
        packed->record[i] = words;
        if (packed->size[i] == 0)
            continue;
        vector->info = source_vector(job->source, packed->index[i]);
        if (is_needed && packed->rank[i] != job->comm->rank) {
            enum status status = record_vector_unpack(words + NUM_HEAD_WORDS,
                                                      packed->size[i] - NUM_HEAD_WORDS, vector);
            if (status != QO_OK)
                return status;
        }
        vector->stats.plot_bins = (int)words[HEAD_BINS];
    }
    return QO_OK;
}

/* Local. Vectors that must not be quantized, for the message; and for the log what certificates
 * say. */
static void note_all(struct packed *packed)
{
    struct job *job = packed->job;
    for (int i = 0; i < packed->num_batch; i++) {
        const int64_t *words = packed->record[i];
        if (packed->size[i] == 0)
            continue;
        struct nonfinite nonfinite = {.count = words[HEAD_NONFINITE], .first = words[HEAD_FIRST]};
        if (nonfinite.count > 0)
            quantize_note_nonfinite(job, packed->index[i], &nonfinite);
        if (words[HEAD_DAMAGED])
            replay_log_damage(vector_of(packed, i)->info);
        trip_log_gap(job, vector_of(packed, i)->info, reduce_number(words[HEAD_GAP]));
    }
    packed->lone.num_bad = job->num_bad;
}

/* Collective. All results of the batch to all ranks; `status` is of this rank's share. */
static enum status exchange(struct packed *packed, enum status status)
{
    const struct comm *comm = packed->job->comm;
    QO_TRY(comm_agree(comm, status));
    reduce_sum(comm, packed->size, packed->num_batch); /* each is of one rank */
    QO_TRY(comm_agree(comm, lay_out(packed)));
    pack_share(packed);
    comm_gather_words(comm, packed->mine, packed->count, packed->start, packed->all);
    QO_TRY(comm_agree(comm, unpack_all(packed)));
    note_all(packed);
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
static enum status write_vector(struct packed *packed, int i)
{
    enum status status;
    struct job *job = packed->job;
    struct report_vector *vector = vector_of(packed, i);
    struct vector_stats stats = vector->stats;
    struct parcel *parcel = packed->rank[i] == job->comm->rank ? &packed->parcel[i] : NULL;
    int64_t place[3 * RESULT_FILE_MAX_RESULTS], histogram[2];
    stats.plot_edges = parcel ? parcel->plot_edges : NULL;
    stats.plot_counts = parcel ? parcel->plot_counts : NULL;
    result_file_set_writer(job->file, packed->rank[i]);
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
    replay_record(job, packed->index[i], vector, histogram, place);
done:
    return status;
}

/* Pure. What the file is to make room for. */
static struct result_batch batch_of(const struct packed *packed)
{
    struct result_batch batch = {0};
    for (int i = 0; i < packed->num_batch; i++) {
        const struct report_vector *vector = vector_of(packed, i);
        if (packed->size[i] == 0)
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
static enum status write_all(struct packed *packed)
{
    enum status status;
    struct result_batch batch = batch_of(packed);
    QO_TRY(result_file_begin_batch(packed->job->file, &batch));
    for (int i = 0; i < packed->num_batch && status == QO_OK; i++)
        if (packed->size[i] > 0)
            status = write_vector(packed, i);
    QO_TRY(result_file_end_batch(packed->job->file));
done:
    return status;
}

/* Local. Without a file: the results are all there is to go on from. */
static void record_all(struct packed *packed)
{
    for (int i = 0; i < packed->num_batch; i++)
        if (packed->size[i] > 0)
            replay_record(packed->job, packed->index[i], vector_of(packed, i), NULL, NULL);
}

/* ---- All ---- */

/* Local. Drops what is done from the list. */
static void drop_done(struct packed *packed)
{
    struct job *job = packed->job;
    int num_left = 0, num_waiting = 0;
    for (int i = 0; i < packed->num; i++) {
        bool is_done = i < packed->num_batch && packed->size[i] > 0;
        if (!is_done) {
            num_waiting += packed->finished[i].words != NULL;
            packed->finished[num_left] = packed->finished[i];
            packed->index[num_left++] = packed->index[i];
            continue;
        }
        progress_begin_vector(&job->progress,
                              (double)vector_of(packed, i)->info->n * plan_readings(job->options));
        progress_end_vector(&job->progress);
        memory_free(packed->finished[i].words);
        if (job->comm->rank != 0) /* only rank 0 reports */
            report_vector_clear(vector_of(packed, i));
    }
    for (int i = num_left; i < packed->num; i++)
        packed->finished[i] = (struct finished){0};
    packed->num = num_left;
    packed->lone.progress.finished = job->progress.finished;
    journal_set_waiting(job->journal, num_waiting);
}

/* Collective. One batch. */
static enum status make_batch(struct packed *packed)
{
    enum status status;
    struct job *job = packed->job;
    QO_TRY(begin_batch(packed));
    QO_TRY(find_finished(packed));
    status = quantize_share(packed);
    timer_switch(job->timer, PHASE_WRITE);
    QO_TRY(exchange(packed, status));
    if (job->num_bad == 0 && job->file)
        QO_TRY(write_all(packed));
    else if (job->num_bad == 0)
        record_all(packed);
    drop_done(packed);
    end_batch(packed);
    QO_TRY(journal_pause(job->journal));
done:
    return status;
}

enum status packed_quantize(struct job *job, struct report_vector *vectors, bool *done)
{
    struct packed packed;
    enum status status = open(&packed, job, vectors);
    if (status != QO_OK || packed.num < 2)
        goto done;
    make_lone_job(&packed);
    for (int i = 0; i < packed.num; i++)
        done[packed.index[i]] = true;
    while (packed.num > 0)
        QO_TRY(make_batch(&packed));
done:
    close(&packed);
    return status;
}
