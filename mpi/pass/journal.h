/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_PASS_JOURNAL_H
#define QO_PASS_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "comm.h"
#include "encoded.h"
#include "result_file.h"
#include "status.h"
#include "stop.h"

/*
 * What the walks of a run have told so far, so that another run can go on from there.
 *
 * All that a run learns of its vectors comes from walks, and a walk ends in integers that are added
 * over the ranks ("words"); the rest follows from them, bit for bit. So a checkpoint is the words
 * of the walks of the vector under way, those of a walk that was interrupted with the number of
 * elements it had seen, the results of the vectors that are finished, and where in FILE.partial
 * their codes lie. A run that goes on repeats the program from its start; its walks are answered
 * from the record, and what was encoded is copied. Neither depends on the number of ranks.
 *
 * The record lives on rank 0. A NULL journal is allowed everywhere: nothing is recorded then.
 */
struct journal;

/*
 * Collective. Starts a record that is kept at `path`, the checkpoint of an output. `identity`
 * (rank 0's counts) tells what must be equal for a run to go on. With `resume` the record begins
 * with the checkpoint there, or is empty, with a line in the log, if there is none. QO_USAGE,
 * QO_DATA: the checkpoint is of another run (one message names the difference) or damaged. The same
 * status on every rank.
 */
QO_MUST_USE enum status journal_open(struct journal **journal, const struct comm *comm,
                                     const char *path, const char *identity, bool resume);

/* Pure. The inode of the file that holds the encoded blocks of the checkpoint; 0: none. The same
 * on all ranks. */
int64_t journal_data_inode(const struct journal *journal);

/*
 * Collective. From now on checkpoints tell of what is in this file, and keep it. `encoded` is what
 * an earlier run left. Both are borrowed. Where vectors are recorded as finished and what was
 * encoded of them is gone, the record is forgotten: else nothing could be saved before all of them
 * are done again.
 */
void journal_attach(struct journal *journal, struct result_file *file,
                    const struct encoded *encoded);

/* Pure. What an earlier run left of encoded blocks; NULL if nothing. */
const struct encoded *journal_encoded(const struct journal *journal);

/*
 * Collective. The words of the next walk of the vector, if they are recorded. *done is the number
 * of elements that it had seen, all of them or whole spans, and 0 where nothing is recorded.
 * QO_DATA: the record is of another walk.
 */
QO_MUST_USE enum status journal_replay(struct journal *journal, int vector, int64_t n,
                                       int64_t *words, int64_t *done);

/* Local. Records the words of a walk that has seen all of the vector. */
void journal_add(struct journal *journal, int vector, int64_t n, const int64_t *words);

/* Local. Records where the codes, indices and values of the outliers of the vector's results lie in
 * the file: place[3 * num_results], -1 where there are none yet. */
void journal_set_places(struct journal *journal, int vector, int num_results, const int64_t *place);

/* Collective. Where they lie in what an earlier run left: place[3 * num_results]; all -1 if that is
 * not recorded. */
QO_MUST_USE enum status journal_old_places(struct journal *journal, int vector, int num_results,
                                           int64_t *place);

/* Local. So many vectors whose words journal_find_vector has given are not finished here yet; the
 * same on all ranks. While there are any, nothing is saved: it would tell less. */
void journal_set_waiting(struct journal *journal, int num);

/* Local. The vector is finished: its words[n] take the place of its walks. */
void journal_end_vector(struct journal *journal, int vector, int64_t n, const int64_t *words);

/*
 * Collective. The words of a vector that an earlier run has finished, once: *words is allocated, to
 * be freed with memory_free, and NULL, with *n = 0, if there is no such record.
 */
QO_MUST_USE enum status journal_find_vector(struct journal *journal, int vector, int64_t *n,
                                            int64_t **words);

/* A walk that is under way: words[n] of the first `done` elements, over all ranks. */
struct journal_part {
    int vector;
    int64_t done, n;
    const int64_t *words; /* on rank 0 */
};

/*
 * Collective. Does what is wanted at a safe point: saves the record, with `part` if it is not
 * NULL, and returns QO_STOPPED, with the reason as its text, if the run is to end. A checkpoint
 * that would tell less than the one that the run goes on from is not written. A periodic one that
 * cannot be written is a warning; QO_IO where it was to be the last. The same status on all ranks.
 */
QO_MUST_USE enum status journal_save(struct journal *journal, enum stop stop,
                                     const struct journal_part *part);

/* Collective. A safe point between walks: asks whether anything is wanted, and does it. */
QO_MUST_USE enum status journal_pause(struct journal *journal);

/* Pure. Whether a checkpoint was saved in this run. */
bool journal_is_saved(const struct journal *journal);

/* Local. The run has ended well: the checkpoint is removed. */
void journal_finish(struct journal *journal);

/* Local. Frees; what is on the disk stays. NULL is allowed. */
void journal_close(struct journal *journal);

#endif
