/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_DIST_COMM_H
#define QO_DIST_COMM_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

/*
 * The ranks, and how they stay together. A collective function of this program returns the same
 * status on every rank, always: whoever fails takes part until the next comm_agree, where all get
 * the first error. MPI itself shows in comm_mpi.h only.
 */
struct comm {
    int rank, size;
    int node_rank, node_size; /* among the ranks that share this rank's memory */
    int num_nodes;
    bool is_threaded;  /* the rank may have threads beside the one that calls MPI */
    struct nccl *nccl; /* how reductions go if not over MPI: reduce.c's; NULL: over MPI */
};

/* Longest text that comm_gather_text takes, with its zero. */
#define COMM_MAX_TEXT 1024

/* Collective. Starts MPI (if nobody has) and fills comm. Ends the program where MPI does. */
void comm_open(struct comm *comm, int *argc, char ***argv);

/* Collective. Ends reductions, MPI and the watch. Nothing may be communicated afterwards. */
void comm_close(struct comm *comm);

/*
 * Local. This rank as if there were no other, for work that each does for itself: what is
 * Collective over `alone` communicates with nobody and returns at once. It has nothing to be
 * closed.
 */
void comm_alone(const struct comm *comm, struct comm *alone);

/*
 * Collective. Every rank brings its own status; all leave with the status of the lowest rank that
 * failed and its text in status_text(), or QO_OK. One small allreduce where all is well.
 */
QO_MUST_USE enum status comm_agree(const struct comm *comm, enum status status);

/* Collective. comm_agree, and in the same allreduce *x, which is not negative, becomes the largest
 * of all ranks; after a failure too. */
QO_MUST_USE enum status comm_agree_max(const struct comm *comm, enum status status, int *x);

/*
 * Collective. Copies the bytes data[n] from rank 0 to all; n is the same on all ranks and may pass
 * 2 GiB.
 */
void comm_broadcast(const struct comm *comm, void *data, int64_t n);

/* Collective. Waits for all ranks; for phases that must begin together, never for correctness. */
void comm_wait_all(const struct comm *comm);

/*
 * Collective. Gathers a text of at most n - 1 bytes from each rank: rank 0 gets all[size * n], each
 * text zero-terminated at a multiple of n, which is at most COMM_MAX_TEXT; elsewhere `all` may be
 * NULL.
 */
void comm_gather_text(const struct comm *comm, const char *text, int n, char *all);

/*
 * Collective. Every rank gets the words of all: those of rank r, count[r] of them, from
 * all[start[r]] on. mine[count[rank]] does not overlap with all; counts and starts are the same on
 * all ranks.
 */
void comm_gather_words(const struct comm *comm, const int64_t *mine, const int *count,
                       const int *start, int64_t *all);

/* Collective. How many ranks of this rank's node, itself included, bring the same key. */
int comm_count_equal(const struct comm *comm, uint64_t key);

/* Local. Ends all ranks at once, where agreement is impossible. Does not return. */
_Noreturn void comm_abort(const struct comm *comm, enum status status);

/* Pure. The MPI library's name and version, one line. */
const char *comm_library(void);

#endif
