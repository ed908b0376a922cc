/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reductions over NCCL: a chunk goes to the device, is added up between devices, and comes back.
 *
 * The library is loaded when it is asked for, so that the program starts where there is none. Its
 * communicator does not block: joining and reductions have a deadline, and a rank that fails does
 * not leave the others waiting for ever.
 */
#include "reduce_nccl.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <nccl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "comm_mpi.h"
#include "log.h"
#include "memory.h"
#include "watch.h"

/* Seconds for which ranks wait for each other while a communicator is made, which takes seconds on
 * thousands of ranks. For a reduction it is as long as the watch allows. */
#define OPEN_SECONDS 120.0

/* How long a rank that failed waits for rank 0 to say so, in seconds: far longer than rank 0 needs
 * if it waits in the same reduction. */
#define TELL_SECONDS 5.0

/* Of the message from a rank that failed to rank 0, and its length; it goes without an answer. */
#define TAG_FAILED 1
#define TEXT_BYTES 1024

/* Communicators that do not block came before it, but with this version they can be aborted while
 * they are made. */
#define OLDEST NCCL_VERSION(2, 18, 0)

/* The functions of the library, with the types of nccl.h. */
struct library {
    __typeof__(ncclGetVersion) *get_version;
    __typeof__(ncclGetErrorString) *get_error_string;
    __typeof__(ncclGetLastError) *get_last_error;
    __typeof__(ncclGetUniqueId) *get_unique_id;
    __typeof__(ncclCommInitRankConfig) *comm_init;
    __typeof__(ncclCommGetAsyncError) *comm_get_async_error;
    __typeof__(ncclCommAbort) *comm_abort;
    __typeof__(ncclCommDestroy) *comm_destroy;
    __typeof__(ncclAllReduce) *all_reduce;
};

static const struct {
    const char *name;
    size_t offset; /* in struct library */
} symbols[] = {
    {"ncclGetVersion", offsetof(struct library, get_version)},
    {"ncclGetErrorString", offsetof(struct library, get_error_string)},
    {"ncclGetLastError", offsetof(struct library, get_last_error)},
    {"ncclGetUniqueId", offsetof(struct library, get_unique_id)},
    {"ncclCommInitRankConfig", offsetof(struct library, comm_init)},
    {"ncclCommGetAsyncError", offsetof(struct library, comm_get_async_error)},
    {"ncclCommAbort", offsetof(struct library, comm_abort)},
    {"ncclCommDestroy", offsetof(struct library, comm_destroy)},
    {"ncclAllReduce", offsetof(struct library, all_reduce)},
};

struct nccl {
    struct library call;
    ncclComm_t comm; /* NULL: not joined */
    cudaStream_t stream;
    void *host, *device; /* a chunk each; the host's is pinned */
    double open_seconds, run_seconds;
};

bool reduce_nccl_is_built(void)
{
    return true;
}

/* ---- What the outside world says ---- */

static enum status check_cuda(cudaError_t error, const char *what)
{
    if (error == cudaSuccess)
        return QO_OK;
    cudaGetLastError(); /* dealt with: nobody else shall find it */
    return status_raise(error == cudaErrorMemoryAllocation ? QO_NO_MEMORY : QO_UNAVAILABLE,
                        "%s: %s; use --comm mpi", what, cudaGetErrorString(error));
}

/* NCCL's last error is the more precise one, and may have several lines. */
static enum status check_nccl(const struct nccl *nccl, ncclResult_t result, const char *what)
{
    char detail[TEXT_BYTES / 2];
    if (result == ncclSuccess || result == ncclInProgress)
        return QO_OK;
    snprintf(detail, sizeof detail, "%s", nccl->call.get_last_error(NULL));
    for (char *at = detail; (at = strchr(at, '\n'));)
        *at = ' ';
    return status_raise(QO_UNAVAILABLE, "%s: %s%s%s; use --comm mpi", what,
                        nccl->call.get_error_string(result), detail[0] ? ": " : "", detail);
}

/* Local. *over = whether the communicator has done what it was told last. */
static enum status ask_comm(const struct nccl *nccl, const char *what, bool *over)
{
    ncclResult_t state = ncclSuccess;
    ncclResult_t result = nccl->call.comm_get_async_error(nccl->comm, &state);
    *over = state == ncclSuccess;
    return check_nccl(nccl, result == ncclSuccess ? state : result, what);
}

/* Local. *over = whether the stream has done all that was put on it. NCCL is asked too: it knows
 * why a stream does not go on. */
static enum status ask_stream(const struct nccl *nccl, const char *what, bool *over)
{
    bool ready;
    cudaError_t error = cudaStreamQuery(nccl->stream);
    enum status status = ask_comm(nccl, what, &ready);
    *over = error == cudaSuccess;
    if (error == cudaErrorNotReady)
        cudaGetLastError(); /* no failure: the next check of a launch shall not find it */
    else if (status == QO_OK)
        status = check_cuda(error, what);
    return status;
}

/* Local. Whether somebody still may be waited for. */
static enum status check_clock(double start, double seconds, const char *what)
{
    if (clock_seconds() - start <= seconds)
        return QO_OK;
    return status_raise(QO_UNAVAILABLE, "%s: not done in %g seconds; use --comm mpi", what,
                        seconds);
}

/* Local. Puts the rank in front of the text of a failure; the text must still fit a message. */
static enum status name_rank(const struct comm *comm, enum status status)
{
    char text[TEXT_BYTES - 32];
    snprintf(text, sizeof text, "%s", status_text());
    return status_raise(status, "rank %d: %s", comm->rank, text);
}

/* ---- Opening ---- */

static enum status check_version(const char *name, const struct library *library)
{
    int version = 0;
    library->get_version(&version);
    if (version >= OLDEST)
        return QO_OK;
    int major = version < 10000 ? 1000 : 10000; /* as nccl.h composes it */
    return status_raise(QO_UNAVAILABLE,
                        "%s is NCCL %d.%d and has to be 2.18 or newer; give a newer one in "
                        "QUANTOPT_NCCL, or use --comm mpi",
                        name, version / major, version % major / 100);
}

/* Local. Loads the library. It is never unloaded: threads of its own may outlive communicators. */
static enum status load(struct library *library)
{
    static const char remedy[] = "give the library's path in QUANTOPT_NCCL, or use --comm mpi";
    const char *given = getenv("QUANTOPT_NCCL");
    const char *name = given && given[0] ? given : "libnccl.so.2";
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return status_raise(QO_UNAVAILABLE, "cannot load NCCL: %s; %s", dlerror(), remedy);
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *symbol = dlsym(handle, symbols[i].name);
        if (!symbol)
            return status_raise(QO_UNAVAILABLE, "%s has no %s; %s", name, symbols[i].name, remedy);
        memcpy((char *)library + symbols[i].offset, &symbol, sizeof symbol);
    }
    return check_version(name, library);
}

static enum status read_deadline(struct nccl *nccl)
{
    const char *text = getenv("QUANTOPT_NCCL_DEADLINE");
    char *end;
    nccl->open_seconds = OPEN_SECONDS;
    nccl->run_seconds = watch_timeout();
    if (!text || !text[0])
        return QO_OK;
    double given = strtod(text, &end);
    if (*end || !(given > 0))
        return status_raise(QO_UNAVAILABLE,
                            "QUANTOPT_NCCL_DEADLINE=%s: not a number of seconds above 0; unset it",
                            text);
    nccl->open_seconds = given;
    nccl->run_seconds = given;
    return QO_OK;
}

/* Local. All that can fail before the communicator is joined, where others would wait. */
static enum status prepare(struct nccl **out)
{
    static const char stream[] = "a stream for reductions", host[] = "pinned memory for reductions",
                      device[] = "device memory for reductions";
    size_t bytes = (size_t)REDUCE_NCCL_CHUNK * sizeof(int64_t);
    enum status status = memory_alloc("NCCL", 1, sizeof **out, out);
    struct nccl *nccl = *out;
    if (status != QO_OK)
        return status;
    QO_TRY(read_deadline(nccl));
    QO_TRY(load(&nccl->call));
    QO_TRY(check_cuda(cudaStreamCreateWithFlags(&nccl->stream, cudaStreamNonBlocking), stream));
    QO_TRY(check_cuda(cudaMallocHost(&nccl->host, bytes), host));
    QO_TRY(check_cuda(cudaMalloc(&nccl->device, bytes), device));
done:
    return status;
}

/* Collective. Whether to go on waiting: somebody is not ready, and nobody has failed. Between two
 * looks the core is left to NCCL's own threads. */
static bool must_wait(const struct comm *comm, enum status status, bool ready)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int mine = status != QO_OK ? 2 : !ready, worst;
    watch_begin("joining NCCL");
    MPI_Allreduce(&mine, &worst, 1, MPI_INT, MPI_MAX, comm_mpi(comm));
    watch_end();
    if (worst == 1)
        nanosleep(&pause, NULL);
    return worst == 1;
}

/* Collective. Joins the communicator. A rank that fails would be waited for by the others until the
 * deadline, so ranks tell each other how far they are. */
static enum status join(const struct comm *comm, struct nccl *nccl, ncclUniqueId id)
{
    static const char what[] = "joining the others";
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    bool ready = false;
    double start = clock_seconds();
    enum status status = check_nccl(
        nccl, nccl->call.comm_init(&nccl->comm, comm->size, id, comm->rank, &config), what);
    do {
        if (status == QO_OK)
            status = ask_comm(nccl, what, &ready);
        if (status == QO_OK && !ready)
            status = check_clock(start, nccl->open_seconds, what);
    } while (must_wait(comm, status, ready));
    return status;
}

static enum status get_id(const struct nccl *nccl, ncclUniqueId *id)
{
    return check_nccl(nccl, nccl->call.get_unique_id(id), "making an id for all ranks");
}

/* Collective. As comm_agree, with the rank in the text. */
static enum status agree(const struct comm *comm, enum status status)
{
    return comm_agree(comm, status == QO_OK ? QO_OK : name_rank(comm, status));
}

/* Local. Leaves a communicator at once, whatever it is doing. */
static void leave(struct nccl *nccl)
{
    if (nccl->comm)
        nccl->call.comm_abort(nccl->comm);
    nccl->comm = NULL;
}

enum status reduce_nccl_open(const struct comm *comm, struct nccl **out)
{
    enum status status;
    struct nccl *nccl = NULL;
    ncclUniqueId id = {{0}};
    QO_TRY(agree(comm, prepare(&nccl)));
    QO_TRY(agree(comm, comm->rank == 0 ? get_id(nccl, &id) : QO_OK));
    comm_broadcast(comm, &id, sizeof id);
    QO_TRY(agree(comm, join(comm, nccl, id)));
done:
    if (status != QO_OK && nccl) {
        leave(nccl);
        reduce_nccl_close(nccl);
        nccl = NULL;
    }
    *out = nccl;
    return status;
}

/* What fails here has no bearing on results any more. */
void reduce_nccl_close(struct nccl *nccl)
{
    if (!nccl)
        return;
    watch_begin("leaving NCCL");
    if (nccl->comm)
        nccl->call.comm_destroy(nccl->comm);
    if (nccl->stream)
        cudaStreamDestroy(nccl->stream);
    cudaFree(nccl->device);
    cudaFreeHost(nccl->host);
    watch_end();
    memory_free(nccl);
}

/* ---- Failing while others reduce ---- */

/* Local. The message comes first, as leaving may wait for a device that hangs; rank 0 or not,
 * whoever comes here is the speaker. */
static _Noreturn void speak(const struct comm *comm, const char *text)
{
    log_setup(true, LOG_NORMAL);
    log_error("%s", text);
    watch_begin("leaving NCCL");
    leave(comm->nccl);
    comm_abort(comm, QO_UNAVAILABLE);
}

/* Local. Rank 0 speaks for the rank that failed first. On the others it lets MPI work. */
static void listen(const struct comm *comm)
{
    char text[TEXT_BYTES];
    int has_come;
    MPI_Iprobe(MPI_ANY_SOURCE, TAG_FAILED, comm_mpi(comm), &has_come, MPI_STATUS_IGNORE);
    if (!has_come)
        return;
    MPI_Recv(text, sizeof text, MPI_CHAR, MPI_ANY_SOURCE, TAG_FAILED, comm_mpi(comm),
             MPI_STATUS_IGNORE);
    speak(comm, text);
}

/* Local. Leaves the message to rank 0, who has the log file, and says one of many that fail
 * together. Returns only if rank 0 does not listen. */
static void tell(const struct comm *comm, const char *text)
{
    int sent;
    MPI_Request request;
    double patience =
        comm->nccl->run_seconds < TELL_SECONDS ? comm->nccl->run_seconds : TELL_SECONDS;
    double deadline = clock_seconds() + patience;
    MPI_Isend(text, TEXT_BYTES, MPI_CHAR, 0, TAG_FAILED, comm_mpi(comm), &request);
    while (clock_seconds() < deadline)
        MPI_Test(&request, &sent, MPI_STATUS_IGNORE);
}

static _Noreturn void give_up(const struct comm *comm)
{
    char text[TEXT_BYTES] = "";
    name_rank(comm, QO_UNAVAILABLE);
    snprintf(text, sizeof text, "NCCL, %s", status_text());
    if (comm->rank != 0)
        tell(comm, text);
    speak(comm, text);
}

/* ---- Reducing ---- */

/* Local. Waits until `ask` says that it is over. It has a deadline of its own, that of the watch or
 * a shorter one, but what it calls may not come back. */
static enum status wait_until(const struct comm *comm, const char *what,
                              enum status (*ask)(const struct nccl *, const char *, bool *))
{
    enum status status = QO_OK;
    double start = clock_seconds();
    watch_begin("a reduction over NCCL");
    for (bool over = false; !over && status == QO_OK;) {
        status = ask(comm->nccl, what, &over);
        if (status == QO_OK && !over)
            status = check_clock(start, comm->nccl->run_seconds, what);
        listen(comm);
    }
    watch_end();
    return status;
}

/* Local. One chunk there and back. NCCL may put its work on the stream after it has returned; the
 * copy back must not get there before. */
static enum status run_chunk(const struct comm *comm, int64_t *x, size_t n, ncclDataType_t type,
                             ncclRedOp_t operation)
{
    static const char what[] = "a reduction";
    enum status status;
    const struct nccl *nccl = comm->nccl;
    void *host = nccl->host, *device = nccl->device;
    memcpy(host, x, n * sizeof *x);
    QO_TRY(check_cuda(
        cudaMemcpyAsync(device, host, n * sizeof *x, cudaMemcpyHostToDevice, nccl->stream), what));
    QO_TRY(check_nccl(
        nccl, nccl->call.all_reduce(device, device, n, type, operation, nccl->comm, nccl->stream),
        what));
    QO_TRY(wait_until(comm, what, ask_comm));
    QO_TRY(check_cuda(
        cudaMemcpyAsync(host, device, n * sizeof *x, cudaMemcpyDeviceToHost, nccl->stream), what));
    QO_TRY(wait_until(comm, what, ask_stream));
    memcpy(x, host, n * sizeof *x);
done:
    return status;
}

void reduce_nccl_run(const struct comm *comm, int64_t *x, int64_t n, enum reduction reduction)
{
    bool is_sum = reduction == REDUCTION_SUM;
    ncclDataType_t type = is_sum ? ncclUint64 : ncclInt64; /* unsigned: a sum may wrap */
    for (int64_t done = 0; done < n; done += REDUCE_NCCL_CHUNK) {
        int64_t part = n - done < REDUCE_NCCL_CHUNK ? n - done : REDUCE_NCCL_CHUNK;
        if (run_chunk(comm, x + done, (size_t)part, type, is_sum ? ncclSum : ncclMax) != QO_OK)
            give_up(comm);
    }
}
