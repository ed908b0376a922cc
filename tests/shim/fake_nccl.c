/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A libnccl.so.2 for tests: what reduce_nccl.c uses of it, over MPI, on the device memory of the
 * shim. It is as late as it may be: a communicator and each operation are in progress until they
 * have been asked for a few times, and only then the operation is put on its stream.
 *
 * QUANTOPT_FAKE_NCCL=HOW[@RANK] lets that rank, or each, misbehave:
 *   old         is version 2.17.1
 *   no_id       makes no unique id
 *   refuse      fails at once when it is to join
 *   duplicate   is told, when it joins, that two ranks share a device
 *   stuck       never joins
 *   error       has an error in the middle of its second operation
 *   silent      never ends its second operation
 */
#include <mpi.h>
#include <nccl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_RANKS 16

/* Questions until something that is in progress goes on. */
#define LATE 3

/* Communicators that were joined and not left: for tests. */
int fake_nccl_live(void);

struct operation {
    const int64_t *send;
    int64_t *receive;
    size_t n;
    bool is_sum;
    struct ncclComm *comm;
    int64_t
        *all; /* [size * n]: what each rank brings; not device memory, as MPI works on it later */
    MPI_Request request;
};

struct ncclComm {
    int rank, size;
    ncclResult_t state;
    int questions; /* since it is in progress */
    bool is_joined, is_aborted;
    int num_operations, num_on_stream;
    cudaStream_t stream;
    struct operation *waiting; /* not yet on the stream */
    MPI_Request peers[2 * MAX_RANKS];
};

static int live;
static const char *last_error = "";

static bool misbehaves(const char *how, int rank)
{
    const char *plan = getenv("QUANTOPT_FAKE_NCCL");
    size_t length = strlen(how);
    if (!plan || strncmp(plan, how, length) != 0)
        return false;
    return plan[length] == '\0' || (plan[length] == '@' && atoi(plan + length + 1) == rank);
}

static int world_rank(void)
{
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    return rank;
}

static ncclResult_t fail(ncclResult_t result, const char *why)
{
    last_error = why;
    return result;
}

int fake_nccl_live(void)
{
    return live;
}

ncclResult_t ncclGetVersion(int *version)
{
    *version = misbehaves("old", world_rank()) ? NCCL_VERSION(2, 17, 1) : NCCL_VERSION_CODE;
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result)
{
    return result == ncclInvalidUsage ? "invalid usage" : "unhandled system error";
}

const char *ncclGetLastError(ncclComm_t comm)
{
    (void)comm;
    return last_error;
}

/* The id is a tag of its own, so that nothing left from an earlier communicator meets a later one.
 */
ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    static int tag = 100;
    if (misbehaves("no_id", world_rank()))
        return fail(ncclSystemError, "no socket\nis left");
    memset(id, 0, sizeof *id);
    memcpy(id, &tag, sizeof tag);
    tag++;
    return ncclSuccess;
}

/* Ranks greet each other, without waiting for it. */
static void greet(struct ncclComm *comm, int tag)
{
    for (int r = 0; r < comm->size; r++) {
        MPI_Isend(NULL, 0, MPI_BYTE, r, tag, MPI_COMM_WORLD, &comm->peers[2 * r]);
        MPI_Irecv(NULL, 0, MPI_BYTE, r, tag, MPI_COMM_WORLD, &comm->peers[2 * r + 1]);
    }
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *out, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t *config)
{
    int tag;
    memcpy(&tag, &id, sizeof tag);
    *out = NULL;
    if (config->blocking != 0 || config->magic != 0xcafebeef || size > MAX_RANKS || tag < 100)
        return fail(ncclInvalidArgument, "arguments that the fake does not take");
    if (misbehaves("refuse", rank))
        return fail(ncclSystemError, "refused");
    struct ncclComm *comm = calloc(1, sizeof *comm);
    if (!comm)
        return ncclSystemError;
    *comm = (struct ncclComm){.rank = rank, .size = size, .state = ncclInProgress};
    for (int i = 0; i < 2 * size; i++)
        comm->peers[i] = MPI_REQUEST_NULL;
    if (!misbehaves("stuck", rank))
        greet(comm, tag);
    live++;
    *out = comm;
    return ncclInProgress;
}

static void go_on_joining(struct ncclComm *comm)
{
    int all = 0;
    if (misbehaves("stuck", comm->rank))
        return;
    if (misbehaves("duplicate", comm->rank)) {
        comm->state = fail(ncclInvalidUsage, "Duplicate GPU detected");
        return;
    }
    MPI_Testall(2 * comm->size, comm->peers, &all, MPI_STATUSES_IGNORE);
    if (!all)
        return;
    comm->is_joined = true;
    comm->state = ncclSuccess;
}

/* In an order of its own, which is not MPI's. */
static void add_up(const struct operation *operation)
{
    for (size_t i = 0; i < operation->n; i++) {
        const int64_t *of_last =
            operation->all + (size_t)(operation->comm->size - 1) * operation->n + i;
        uint64_t sum = 0;
        int64_t max = *of_last;
        for (int r = 0; r < operation->comm->size; r++) {
            int64_t x = *(of_last - (size_t)r * operation->n);
            sum += (uint64_t)x;
            max = x > max ? x : max;
        }
        operation->receive[i] = operation->is_sum ? (int64_t)sum : max;
    }
}

/* What is on a stream still looks at a communicator that was aborted: the last one frees it. */
static int end_work(struct operation *operation)
{
    struct ncclComm *comm = operation->comm;
    free(operation->all);
    free(operation);
    comm->num_on_stream--;
    if (comm->is_aborted && comm->num_on_stream == 0)
        free(comm);
    return 1;
}

/* On the stream: begins, and is called again until the other ranks have brought theirs. */
static int work(void *context)
{
    struct operation *operation = context;
    int done = 0, n = (int)operation->n;
    if (operation->comm->is_aborted)
        return end_work(operation);
    if (!operation->all) {
        size_t size = operation->n * sizeof(int64_t);
        operation->all = malloc(size * (size_t)operation->comm->size);
        int64_t *mine = operation->all + (size_t)operation->comm->rank * operation->n;
        memcpy(mine, operation->send, size);
        MPI_Iallgather(MPI_IN_PLACE, n, MPI_INT64_T, operation->all, n, MPI_INT64_T, MPI_COMM_WORLD,
                       &operation->request);
    }
    MPI_Test(&operation->request, &done, MPI_STATUS_IGNORE);
    if (!done)
        return 0;
    add_up(operation);
    return end_work(operation);
}

static void go_on_launching(struct ncclComm *comm)
{
    bool is_second = comm->num_operations == 2;
    if (is_second && misbehaves("silent", comm->rank))
        return;
    if (is_second && misbehaves("error", comm->rank)) {
        comm->state = fail(ncclRemoteError, "a peer\nhas gone");
        return;
    }
    comm->num_on_stream++;
    shim_enqueue(comm->stream, work, comm->waiting);
    comm->waiting = NULL;
    comm->state = ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *state)
{
    if (comm->state == ncclInProgress && ++comm->questions >= LATE) {
        if (!comm->is_joined)
            go_on_joining(comm);
        else if (comm->waiting)
            go_on_launching(comm);
    }
    *state = comm->state;
    return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void *send, void *receive, size_t n, ncclDataType_t type,
                           ncclRedOp_t operation, ncclComm_t comm, cudaStream_t stream)
{
    bool is_sum = type == ncclUint64 && operation == ncclSum;
    if (comm->state != ncclSuccess || (!is_sum && (type != ncclInt64 || operation != ncclMax)))
        return fail(ncclInvalidArgument, "arguments that the fake does not take");
    struct operation *next = calloc(1, sizeof *next);
    if (!next)
        return ncclSystemError;
    *next = (struct operation){
        .send = send, .receive = receive, .n = n, .is_sum = is_sum, .comm = comm};
    comm->num_operations++;
    comm->waiting = next;
    comm->stream = stream;
    comm->questions = 0;
    comm->state = ncclInProgress;
    return ncclInProgress;
}

static void forget(struct ncclComm *comm)
{
    for (int i = 0; i < 2 * comm->size; i++) {
        if (comm->peers[i] == MPI_REQUEST_NULL)
            continue;
        if (i % 2 == 1)
            MPI_Cancel(&comm->peers[i]);
        MPI_Wait(&comm->peers[i], MPI_STATUS_IGNORE);
    }
    live--;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    if (comm->state != ncclSuccess)
        return fail(ncclInvalidArgument, "the communicator is not ready");
    forget(comm);
    free(comm);
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    forget(comm);
    comm->is_aborted = true;
    free(comm->waiting);
    comm->waiting = NULL;
    if (comm->num_on_stream == 0)
        free(comm);
    return ncclSuccess;
}
