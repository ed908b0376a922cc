/* SPDX-License-Identifier: Apache-2.0 */
#include "comm_mpi.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "reduce.h"
#include "watch.h"

/* MPI counts are int: at most this many bytes a call. */
#define MAX_CALL ((int64_t)1 << 30)

void comm_open(struct comm *comm, int *argc, char ***argv)
{
    int started, provided;
    *comm = (struct comm){0};
    MPI_Initialized(&started);
    if (!started)
        MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided);
    MPI_Query_thread(&provided);
    MPI_Comm_rank(comm_mpi(comm), &comm->rank);
    MPI_Comm_size(comm_mpi(comm), &comm->size);

    MPI_Comm node;
    MPI_Comm_split_type(comm_mpi(comm), MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &node);
    MPI_Comm_rank(node, &comm->node_rank);
    MPI_Comm_size(node, &comm->node_size);
    MPI_Comm_free(&node);
    comm->is_threaded = provided >= MPI_THREAD_FUNNELED;
    int first = comm->node_rank == 0;
    MPI_Allreduce(&first, &comm->num_nodes, 1, MPI_INT, MPI_SUM, comm_mpi(comm));
}

void comm_alone(const struct comm *comm, struct comm *alone)
{
    *alone =
        (struct comm){.size = 1, .node_size = 1, .num_nodes = 1, .is_threaded = comm->is_threaded};
}

void comm_close(struct comm *comm)
{
    int ended;
    MPI_Finalized(&ended);
    if (!ended) {
        reduce_close(comm);
        watch_begin("the end of MPI");
        MPI_Finalize();
        watch_end();
    }
    watch_close();
    *comm = (struct comm){0};
}

/* Collective. All leave with the status and the text of the speaker. */
static enum status spread_failure(const struct comm *comm, enum status status, int speaker)
{
    struct {
        enum status status;
        char text[8192];
    } failure = {.status = status};
    if (comm->rank == speaker)
        strncpy(failure.text, status_text(), sizeof failure.text - 1);
    MPI_Bcast(&failure, (int)sizeof failure, MPI_BYTE, speaker, comm_mpi(comm));
    return status_raise(failure.status, "%s", failure.text);
}

enum status comm_agree_max(const struct comm *comm, enum status status, int *x)
{
    if (comm->size == 1)
        return status;
    /* The lowest failing rank is the largest size - rank. */
    int largest[2] = {status == QO_OK ? 0 : comm->size - comm->rank, *x};
    watch_begin("an agreement");
    MPI_Allreduce(MPI_IN_PLACE, largest, 2, MPI_INT, MPI_MAX, comm_mpi(comm));
    *x = largest[1];
    status = largest[0] == 0 ? QO_OK : spread_failure(comm, status, comm->size - largest[0]);
    watch_end();
    return status;
}

enum status comm_agree(const struct comm *comm, enum status status)
{
    int unused = 0;
    return comm_agree_max(comm, status, &unused);
}

void comm_broadcast(const struct comm *comm, void *data, int64_t n)
{
    if (comm->size == 1)
        return;
    watch_begin("a broadcast");
    for (int64_t done = 0; done < n; done += MAX_CALL) {
        int64_t part = n - done < MAX_CALL ? n - done : MAX_CALL;
        MPI_Bcast((char *)data + done, (int)part, MPI_BYTE, 0, comm_mpi(comm));
    }
    watch_end();
}

void comm_wait_all(const struct comm *comm)
{
    if (comm->size == 1)
        return;
    watch_begin("a barrier");
    MPI_Barrier(comm_mpi(comm));
    watch_end();
}

void comm_gather_text(const struct comm *comm, const char *text, int n, char *all)
{
    char mine[COMM_MAX_TEXT] = "";
    assert(n <= COMM_MAX_TEXT);
    strncpy(mine, text, (size_t)n - 1);
    if (comm->size == 1) {
        memcpy(all, mine, (size_t)n);
        return;
    }
    watch_begin("gathering texts");
    MPI_Gather(mine, n, MPI_CHAR, all, n, MPI_CHAR, 0, comm_mpi(comm));
    watch_end();
}

void comm_gather_words(const struct comm *comm, const int64_t *mine, const int *count,
                       const int *start, int64_t *all)
{
    int n = count[comm->rank];
    if (comm->size == 1) {
        if (n > 0)
            memcpy(all + start[0], mine, (size_t)n * sizeof *all);
        return;
    }
    watch_begin("gathering words");
    MPI_Allgatherv(mine, n, MPI_INT64_T, all, count, start, MPI_INT64_T, comm_mpi(comm));
    watch_end();
}

int comm_count_equal(const struct comm *comm, uint64_t key)
{
    MPI_Comm node;
    int count = 0;
    if (comm->size == 1)
        return 1;
    watch_begin("counting the ranks of a node");
    MPI_Comm_split_type(comm_mpi(comm), MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &node);
    for (int i = 0; i < comm->node_size; i++) {
        uint64_t other = key;
        MPI_Bcast(&other, 1, MPI_UINT64_T, i, node);
        count += other == key;
    }
    MPI_Comm_free(&node);
    watch_end();
    return count;
}

_Noreturn void comm_abort(const struct comm *comm, enum status status)
{
    watch_begin("the end of all ranks");
    MPI_Abort(comm_mpi(comm), (int)status);
    __builtin_unreachable();
}

const char *comm_library(void)
{
    static char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    MPI_Get_library_version(text, &length);
    text[strcspn(text, ",\n")] = '\0';
    return text;
}
