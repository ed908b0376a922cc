/* SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"

#include <string.h>

#include "checkpoint.h"
#include "clock.h"
#include "log.h"
#include "memory.h"
#include "reduce.h"

/* What a record is about. Those of finished vectors come first, in any order; then those of the
 * vector under way: where its results lie, its walks in order, and at most one part of a walk.
 * KIND_TAKEN stands in what a run goes on from for what it has taken out. */
enum kind { KIND_TAKEN, KIND_VECTOR, KIND_PLACES, KIND_WALK, KIND_PART };

struct journal {
    const struct comm *comm;
    char *path;
    struct result_file *file;        /* borrowed, or NULL */
    const struct encoded *encoded;   /* borrowed, or NULL */
    struct checkpoint_image image;   /* rank 0's: what is recorded */
    int capacity;                    /* of image.record */
    struct checkpoint_image earlier; /* rank 0's: what the run goes on from */
    int first;                       /* of its records that was not taken yet */
    int num_left;                    /* of its records that were not asked for yet; on all ranks */
    int64_t data_inode;              /* of `earlier` */
    int num_waiting;                 /* of those asked for, not finished yet */
    bool is_saved;                   /* a checkpoint, in this run */
    bool is_full;                    /* there was no memory for a record: nothing is saved */
};

/* ---- The list of records, on rank 0 ---- */

/* Drops the records of a kind of the vector under way, which stand behind those of all finished
 * ones. */
static void drop_records(struct checkpoint_image *image, enum kind kind)
{
    int begin = image->num_records;
    while (begin > 0 && image->record[begin - 1].kind != KIND_VECTOR)
        begin--;
    int end = begin;
    for (int i = begin; i < image->num_records; i++) {
        if (image->record[i].kind == (int64_t)kind)
            memory_free(image->record[i].word);
        else
            image->record[end++] = image->record[i];
    }
    image->num_records = end;
}

/* The first record of a kind of one vector, from record `first` on; -1 if there is none. */
static int find_record(const struct checkpoint_image *image, int first, enum kind kind,
                       int64_t vector)
{
    for (int i = first; i < image->num_records; i++)
        if (image->record[i].kind == (int64_t)kind && image->record[i].vector == vector)
            return i;
    return -1;
}

/* Whether a vector is recorded as finished. */
static bool has_finished(const struct checkpoint_image *image)
{
    for (int i = 0; i < image->num_records; i++)
        if (image->record[i].kind == KIND_VECTOR)
            return true;
    return false;
}

static enum status grow(struct journal *journal)
{
    struct checkpoint_image *image = &journal->image;
    struct checkpoint_record *larger;
    int capacity = journal->capacity ? 2 * journal->capacity : 64;
    enum status status = memory_alloc("records of walks", capacity, sizeof *larger, &larger);
    if (status != QO_OK)
        return status;
    if (image->num_records)
        memcpy(larger, image->record, (size_t)image->num_records * sizeof *larger);
    memory_free(image->record);
    image->record = larger;
    journal->capacity = capacity;
    return QO_OK;
}

/* Adds a copy of the words. A run is not stopped by a lack of memory for its record. */
static void add_record(struct journal *journal, const struct checkpoint_record *record)
{
    enum status status = QO_OK;
    struct checkpoint_image *image = &journal->image;
    int64_t *word = NULL;
    if (journal->is_full)
        return;
    if (image->num_records == journal->capacity)
        QO_TRY(grow(journal));
    QO_TRY(memory_alloc("the record of a walk", record->n, sizeof *word, &word));
    if (record->n)
        memcpy(word, record->word, (size_t)record->n * sizeof *word);
    image->record[image->num_records] = *record;
    image->record[image->num_records++].word = word;
done:
    if (status == QO_OK)
        return;
    log_warn("%s; from here on no checkpoint can be made", status_text());
    status_clear();
    journal->is_full = true;
}

static bool is_recorded_here(const struct journal *journal)
{
    return journal && journal->comm->rank == 0;
}

/* ---- Opening ---- */

/* Rank 0's part of journal_open. */
static enum status load(struct journal *journal, const char *identity, bool resume)
{
    enum status status;
    bool found = false;
    QO_TRY(memory_copy_text(identity, &journal->image.identity));
    if (!resume)
        goto done;
    QO_TRY(checkpoint_read(journal->path, &journal->earlier, &found));
    if (!found) {
        log_info("resume    there is no %s: the run starts from its beginning", journal->path);
        goto done;
    }
    QO_TRY(checkpoint_compare(journal->path, journal->earlier.identity, identity));
    journal->num_left = journal->earlier.num_records;
    journal->data_inode = journal->earlier.data_inode;
    log_info("resume    from %s", journal->path);
done:
    return status;
}

enum status journal_open(struct journal **out, const struct comm *comm, const char *path,
                         const char *identity, bool resume)
{
    struct journal *journal = NULL;
    enum status status;
    *out = NULL;
    QO_TRY(memory_alloc("record of the run", 1, sizeof *journal, &journal));
    journal->comm = comm;
    QO_TRY(memory_copy_text(path, &journal->path));
    if (comm->rank == 0)
        QO_TRY(load(journal, identity, resume));
done:
    if ((status = comm_agree(comm, status)) != QO_OK) {
        journal_close(journal);
        return status;
    }
    comm_broadcast(comm, &journal->num_left, sizeof journal->num_left);
    comm_broadcast(comm, &journal->data_inode, sizeof journal->data_inode);
    *out = journal;
    return QO_OK;
}

int64_t journal_data_inode(const struct journal *journal)
{
    return journal ? journal->data_inode : 0;
}

void journal_attach(struct journal *journal, struct result_file *file,
                    const struct encoded *encoded)
{
    if (!journal)
        return;
    journal->file = file;
    journal->encoded = encoded;
    bool is_gone = journal->data_inode != 0 && !encoded_is_there(encoded);
    if (is_gone && journal->comm->rank == 0 && has_finished(&journal->earlier)) {
        log_warn("resume    all vectors are quantized anew");
        checkpoint_image_clear(&journal->earlier);
        journal->num_left = 0;
    }
    comm_broadcast(journal->comm, &journal->num_left, sizeof journal->num_left);
}

const struct encoded *journal_encoded(const struct journal *journal)
{
    return journal && encoded_is_there(journal->encoded) ? journal->encoded : NULL;
}

/* ---- Going on ---- */

/* Where a record of the vector is in what the run goes on from; -1 if there is none. */
static int find_earlier(const struct journal *journal, enum kind kind, int vector)
{
    return find_record(&journal->earlier, journal->first, kind, vector);
}

/* The record of the vector's next walk, whole or in part; -1 if there is none. */
static int next_walk(const struct journal *journal, int vector)
{
    int walk = find_earlier(journal, KIND_WALK, vector);
    return walk >= 0 ? walk : find_earlier(journal, KIND_PART, vector);
}

/* What rank 0 tells of a record. */
struct answer {
    int64_t n, done;
    int num_left;
};

/* Takes a record out of what the run goes on from; its words go to `words`, if they are n. */
static struct answer take_record(struct journal *journal, int i, int64_t n, int64_t *words)
{
    struct checkpoint_image *earlier = &journal->earlier;
    struct answer answer = {.n = -1, .num_left = journal->num_left};
    if (i < 0)
        return answer;
    struct checkpoint_record *record = &earlier->record[i];
    answer.n = record->n;
    answer.done = record->done;
    answer.num_left--;
    if (record->n == n && n)
        memcpy(words, record->word, (size_t)n * sizeof *words);
    memory_free(record->word);
    *record = (struct checkpoint_record){.kind = KIND_TAKEN};
    while (journal->first < earlier->num_records &&
           earlier->record[journal->first].kind == KIND_TAKEN)
        journal->first++;
    return answer;
}

enum status journal_replay(struct journal *journal, int vector, int64_t n, int64_t *words,
                           int64_t *done)
{
    struct answer answer = {.n = -1};
    *done = 0;
    if (!journal || journal->num_left == 0)
        return QO_OK;
    if (journal->comm->rank == 0)
        answer = take_record(journal, next_walk(journal, vector), n, words);
    comm_broadcast(journal->comm, &answer, sizeof answer);
    journal->num_left = answer.num_left;
    if (answer.n < 0)
        return QO_OK;
    if (answer.n != n)
        return status_raise(QO_DATA,
                            "%s: does not fit this run, though it says so; delete it, or run "
                            "without --resume",
                            journal->path);
    comm_broadcast(journal->comm, words, n * (int64_t)sizeof *words);
    *done = answer.done;
    return QO_OK;
}

enum status journal_old_places(struct journal *journal, int vector, int num_results, int64_t *place)
{
    struct answer answer = {.n = -1};
    int64_t n = 3 * (int64_t)num_results;
    for (int64_t i = 0; i < n; i++)
        place[i] = -1;
    if (!journal || journal->num_left == 0)
        return QO_OK;
    if (journal->comm->rank == 0)
        answer = take_record(journal, find_earlier(journal, KIND_PLACES, vector), n, place);
    comm_broadcast(journal->comm, &answer, sizeof answer);
    journal->num_left = answer.num_left;
    comm_broadcast(journal->comm, place, n * (int64_t)sizeof *place);
    return QO_OK;
}

enum status journal_find_vector(struct journal *journal, int vector, int64_t *n, int64_t **words)
{
    int64_t length = -1;
    int i = -1;
    *n = 0;
    *words = NULL;
    if (!journal || journal->num_left == 0)
        return QO_OK;
    if (journal->comm->rank == 0) {
        i = find_earlier(journal, KIND_VECTOR, vector);
        length = i >= 0 ? journal->earlier.record[i].n : -1;
    }
    comm_broadcast(journal->comm, &length, sizeof length);
    if (length < 0)
        return QO_OK;
    enum status status = memory_alloc("a finished vector", length, sizeof **words, words);
    if ((status = comm_agree(journal->comm, status)) != QO_OK)
        return status;
    struct answer answer = {.n = -1};
    if (journal->comm->rank == 0)
        answer = take_record(journal, i, length, *words);
    comm_broadcast(journal->comm, &answer, sizeof answer);
    comm_broadcast(journal->comm, *words, length * (int64_t)sizeof **words);
    journal->num_left = answer.num_left;
    *n = length;
    return QO_OK;
}

/* ---- Recording ---- */

void journal_add(struct journal *journal, int vector, int64_t n, const int64_t *words)
{
    if (!is_recorded_here(journal))
        return;
    struct checkpoint_record record = {
        .kind = KIND_WALK, .vector = vector, .done = INT64_MAX, .n = n, .word = (int64_t *)words};
    add_record(journal, &record);
}

void journal_set_places(struct journal *journal, int vector, int num_results, const int64_t *place)
{
    if (!is_recorded_here(journal))
        return;
    struct checkpoint_record record = {.kind = KIND_PLACES,
                                       .vector = vector,
                                       .n = 3 * (int64_t)num_results,
                                       .word = (int64_t *)place};
    drop_records(&journal->image, KIND_PLACES);
    add_record(journal, &record);
}

void journal_end_vector(struct journal *journal, int vector, int64_t n, const int64_t *words)
{
    if (!is_recorded_here(journal))
        return;
    struct checkpoint_record record = {
        .kind = KIND_VECTOR, .vector = vector, .n = n, .word = (int64_t *)words};
    drop_records(&journal->image, KIND_PLACES);
    drop_records(&journal->image, KIND_WALK);
    add_record(journal, &record);
}

void journal_set_waiting(struct journal *journal, int num)
{
    if (journal)
        journal->num_waiting = num;
}

/* ---- Saving ---- */

/* Rank 0's part: what is recorded, and the part of a walk at its end, to the disk. */
static enum status write_image(struct journal *journal, const struct journal_part *part)
{
    enum status status = QO_OK;
    struct checkpoint_image *image = &journal->image;
    image->data_inode = journal->file ? result_file_inode(journal->file) : 0;
    if (part) {
        struct checkpoint_record record = {.kind = KIND_PART,
                                           .vector = part->vector,
                                           .done = part->done,
                                           .n = part->n,
                                           .word = (int64_t *)part->words};
        add_record(journal, &record);
    }
    QO_CHECK(!journal->is_full, QO_NO_MEMORY, "%s: there was no memory for it", journal->path);
    QO_TRY(checkpoint_write(journal->path, image));
done:
    if (part)
        drop_records(image, KIND_PART);
    return status;
}

/* Collective. The encoded blocks first, then what tells of them. */
static enum status write_checkpoint(struct journal *journal, const struct journal_part *part)
{
    enum status status = QO_OK;
    double start = clock_seconds();
    if (journal->file)
        QO_TRY(result_file_save(journal->file));
    if (journal->comm->rank == 0)
        status = write_image(journal, part);
    QO_TRY(comm_agree(journal->comm, status));
    if (journal->file)
        result_file_keep(journal->file);
    journal->is_saved = true;
    stop_saved(clock_seconds() - start);
    log_detail("checkpoint %s written in %.2f s", journal->path, clock_seconds() - start);
done:
    return status;
}

/* What the user is told who has stopped a run. */
static enum status raise_stopped(const struct journal *journal, bool is_saved)
{
    return status_raise(QO_STOPPED, "stopped by %s; %s: %s; go on with --resume", stop_reason(),
                        journal->path,
                        is_saved ? "holds what was done" : "is left as it was, if it is there");
}

enum status journal_save(struct journal *journal, enum stop stop, const struct journal_part *part)
{
    enum status status = QO_OK;
    if (!journal || stop == STOP_NOT)
        return QO_OK;
    bool is_behind = journal->num_left > 0 || journal->num_waiting > 0;
    if (stop == STOP_AT_ONCE || (is_behind && stop == STOP_LEAVE))
        return raise_stopped(journal, false);
    if (!is_behind)
        status = write_checkpoint(journal, part);
    if (stop == STOP_LEAVE)
        return status == QO_OK ? raise_stopped(journal, true) : status;
    if (status != QO_OK) {
        log_warn("no checkpoint: %s", status_text());
        status_clear();
        stop_saved(0); /* the next one is tried when its time comes */
    }
    return QO_OK;
}

enum status journal_pause(struct journal *journal)
{
    enum stop stop;
    if (!journal)
        return QO_OK;
    enum status status = stop_agree(journal->comm, QO_OK, &stop);
    return status == QO_OK ? journal_save(journal, stop, NULL) : status;
}

/* ---- The end ---- */

bool journal_is_saved(const struct journal *journal)
{
    return journal && journal->is_saved;
}

void journal_finish(struct journal *journal)
{
    if (!is_recorded_here(journal))
        return;
    if (checkpoint_remove(journal->path) != QO_OK) {
        log_warn("%s; delete it", status_text());
        status_clear();
    }
}

void journal_close(struct journal *journal)
{
    if (!journal)
        return;
    checkpoint_image_clear(&journal->image);
    checkpoint_image_clear(&journal->earlier);
    memory_free(journal->path);
    memory_free(journal);
}
