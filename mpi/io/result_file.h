/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_IO_RESULT_FILE_H
#define QO_IO_RESULT_FILE_H

#include "comm.h"
#include "result.h"
#include "source.h"
#include "status.h"

/*
 * Writing the HDF5 result file: complete and verified under its final name, or not there at all.
 *
 * FILE.lock (O_CREAT|O_EXCL: host, process, start time, job) keeps other runs away; the data go to
 * FILE.partial, whose space is reserved before they are written (on some MPI-IO layers a collective
 * write to a full disk returns success); then the file is read back and its digests compared,
 * synced and renamed. An older FILE stays until then. One rank uses HDF5's plain driver, several
 * use MPI-IO.
 *
 * All functions are Collective and return the same status on every rank. Arguments are the same on
 * all ranks, but for parts of codes and outliers.
 */
struct result_file;

/* Attributes of the root group. */
struct file_header {
    const char *version, *created, *command_line, *options, *device, *source;
    int ranks, threads_per_rank;
};

/*
 * Takes the lock and begins FILE.partial. One that an earlier run has left is removed; if it has
 * the inode `kept`, it becomes FILE.encoded instead (encoded.h). QO_CANT_CREATE: no permission, no
 * such directory, or another run holds the lock; a stale lock (its process is gone on this host, or
 * it names our own job) is taken over with a line in the log.
 */
QO_MUST_USE enum status result_file_create(const struct comm *comm, const char *path,
                                           const struct file_header *header, int64_t kept,
                                           struct result_file **file);

/* Begins the group of a vector: attributes and plot histogram. */
QO_MUST_USE enum status result_file_begin_vector(struct result_file *file,
                                                 const struct vector_info *info,
                                                 const struct vector_stats *stats);

/* Results of one vector at most: every width of every approach, and to spare. */
#define RESULT_FILE_MAX_RESULTS 64

/*
 * Begins the group of the next result of the current vector, with its levels, and reserves the
 * space of its codes. Results are numbered from 0 in this order, and stay open side by side. QO_IO,
 * saying how much is needed and free, if the disk is too full.
 */
QO_MUST_USE enum status result_file_begin_result(struct result_file *file,
                                                 const struct result *result);

/* Local. Writes bytes [first, first + n) of the codes of result r; ranks write disjoint parts. */
QO_MUST_USE enum status result_file_write_codes(struct result_file *file, int r,
                                                const uint8_t *codes, int64_t first, int64_t n);

/* Makes and reserves the place of the outliers of result r. */
QO_MUST_USE enum status result_file_begin_outliers(struct result_file *file, int r, int64_t count);

/* Local. Writes outliers [first, first + n) of result r, in the vector's own type; ranks write
 * disjoint parts. */
QO_MUST_USE enum status result_file_write_outliers(struct result_file *file, int r,
                                                   const uint64_t *index, const void *value,
                                                   int64_t first, int64_t n);

/* Writes the attributes of result r, its digest among them, and closes its group. */
QO_MUST_USE enum status result_file_end_result(struct result_file *file, int r,
                                               const struct result *result);

/* ---- Many small vectors ---- */

/* What is to come between result_file_begin_batch and result_file_end_batch, at most. */
struct result_batch {
    int64_t num_vectors, num_results;
    int64_t longest_name; /* of a vector, in bytes */
    int64_t name_bytes;   /* of the names of the results' vectors, added up over the results */
    int64_t data_bytes;   /* of codes and outliers */
};

/*
 * From here to result_file_end_batch ranks agree on nothing, and the space of all that is to come
 * is reserved at once. The functions that write vectors and results return QO_OK and do what they
 * still can: all ranks have to call all of them. What is written of data is the writer's alone.
 */
QO_MUST_USE enum status result_file_begin_batch(struct result_file *file,
                                                const struct result_batch *batch);

/* Local. Which rank has what comes next: plot histograms and levels are read there only. The same
 * on all ranks. */
void result_file_set_writer(struct result_file *file, int rank);

/* The first failure since result_file_begin_batch. */
QO_MUST_USE enum status result_file_end_batch(struct result_file *file);

/* ---- For runs that go on later ---- */

/* Pure. Where codes, outlier indices and outlier values of the open result r lie in FILE.partial,
 * in bytes; -1 for what is not made yet or empty. */
void result_file_places(const struct result_file *file, int r, int64_t place[3]);

/* Pure. Where edges and counts of the current vector's histogram lie; -1 where there is none. */
void result_file_histogram_places(const struct result_file *file, int64_t place[2]);

/* Local, rank 0. The inode of FILE.partial. */
int64_t result_file_inode(const struct result_file *file);

/* What was written so far is brought to the disk. QO_IO. */
QO_MUST_USE enum status result_file_save(struct result_file *file);

/* Local. A checkpoint tells of FILE.partial: result_file_abandon makes FILE.encoded of it. */
void result_file_keep(struct result_file *file);

/* ---- The end ---- */

/*
 * Closes, reads every code, level and outlier back through the plain driver (each rank its
 * neighbour's part; a small result one rank), compares digests, syncs, renames, removes the lock and frees the file. QO_IO if
 * anything differs; then, as with every failure, result_file_abandon is still to be called.
 */
QO_MUST_USE enum status result_file_publish(struct result_file *file);

/*
 * Removes FILE.partial, or keeps it as FILE.encoded, removes the lock and frees the file; NULL is
 * allowed. Where HDF5 or MPI-IO
 * itself has failed to write, the file can neither be closed nor left open until MPI ends (ranks
 * would hang or crash there): then this prints status_text() and ends the program with that
 * failure's code.
 */
void result_file_abandon(struct result_file *file);

/* Pure. The digest of a part of a result: codes of whole blocks (but the vector's last), first byte
 * at `first`, are hashed block by block (XXH3), so digests of parts add up modulo 2^64.
 * `block_bytes` is QO_BLOCK * bits / 8. */
uint64_t result_digest_codes(const uint8_t *codes, int64_t first, int64_t n, int64_t block_bytes);

/* Pure. The HDF5 library's name and version, and whether it is parallel, one line. */
const char *result_file_library(void);

/* Pure. The digest of levels and of a run of outliers; add them to that of the codes. */
uint64_t result_digest_levels(const double *level, int k);
uint64_t result_digest_outliers(enum element_type type, const uint64_t *index, const void *value,
                                int64_t n);

#endif
