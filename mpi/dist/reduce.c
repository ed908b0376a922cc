/* SPDX-License-Identifier: Apache-2.0 */
#include "reduce.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "comm_mpi.h"
#include "log.h"
#include "memory.h"
#include "reduce_nccl.h"
#include "watch.h"

/* At most 1 GiB a call: MPI counts are int, and some transports fail beyond 2 GiB. */
#define MAX_CALL (((int64_t)1 << 30) / (int64_t)sizeof(int64_t))

/* Room for a UUID of a device and its zero: a prefix and 36 characters, or 40 with a part's number.
 */
#define UUID_BYTES 64

/* Seconds in reductions: only ever added to, by the one thread that calls MPI. */
static double seconds;

/* ---- MPI or NCCL ---- */

struct rank_device {
    char uuid[UUID_BYTES];
    int rank;
};

/* By UUID, and then by rank. */
static int compare_devices(const void *a, const void *b)
{
    const struct rank_device *x = a, *y = b;
    int order = strcmp(x->uuid, y->uuid);
    return order ? order : x->rank - y->rank;
}

/* Local. Raises it if two ranks have the same device, naming the lowest two that do. Sorted, as a
 * comparison of each with each would take minutes on 65,536 ranks. */
static enum status check_apart(struct rank_device *devices, int count)
{
    const struct rank_device *first = NULL;
    qsort(devices, (size_t)count, sizeof *devices, compare_devices);
    for (int i = 0; i + 1 < count; i++)
        if (strcmp(devices[i].uuid, devices[i + 1].uuid) == 0 &&
            (!first || devices[i].rank < first->rank))
            first = &devices[i];
    if (!first)
        return QO_OK;
    return status_raise(QO_UNAVAILABLE,
                        "ranks %d and %d share the GPU %s, and NCCL takes one rank a GPU; use "
                        "--comm mpi, or as many ranks as GPUs",
                        first[0].rank, first[1].rank, first->uuid);
}

/* Local, rank 0. Whether NCCL would take these devices, an UUID of UUID_BYTES a rank. */
static enum status check_uuids(const char *uuids, int count)
{
    struct rank_device *devices = NULL;
    enum status status = memory_alloc("devices of the ranks", count, sizeof *devices, &devices);
    for (int r = 0; r < count && status == QO_OK; r++) {
        devices[r].rank = r;
        memcpy(devices[r].uuid, uuids + (size_t)r * UUID_BYTES, UUID_BYTES);
        if (!devices[r].uuid[0])
            status = status_raise(
                QO_UNAVAILABLE, "rank %d computes on the CPU; use --comm mpi, or --device cuda", r);
    }
    if (status == QO_OK)
        status = check_apart(devices, count);
    memory_free(devices);
    return status;
}

/* Collective. NCCL refuses two ranks on a device, or hangs: it is not asked before this is known.
 */
static enum status check_devices(const struct comm *comm, const char *uuid)
{
    enum status status = QO_OK;
    char *uuids = NULL;
    if (comm->rank == 0)
        status = memory_alloc("UUIDs of the ranks' devices", comm->size, UUID_BYTES, &uuids);
    QO_TRY(comm_agree(comm, status));
    comm_gather_text(comm, uuid, UUID_BYTES, uuids);
    if (comm->rank == 0)
        status = check_uuids(uuids, comm->size);
    status = comm_agree(comm, status);
done:
    memory_free(uuids);
    return status;
}

/* Collective. A build without NCCL says so, whatever the devices are. */
static enum status open_nccl(struct comm *comm, const char *uuid)
{
    enum status status;
    if (reduce_nccl_is_built())
        QO_TRY(check_devices(comm, uuid));
    status = reduce_nccl_open(comm, &comm->nccl);
done:
    return status;
}

/* Collective. Whether somebody might expect NCCL of --comm auto. */
static bool is_worth_trying(const struct comm *comm, const char *uuid)
{
    int64_t has_device = uuid[0] != '\0';
    reduce_max(comm, &has_device, 1);
    return has_device && comm->size > 1;
}

enum status reduce_open(struct comm *comm, enum reduce_choice choice, const char *device_uuid)
{
    char why[1024];
    assert(!comm->nccl && strlen(device_uuid) < UUID_BYTES);
    if (choice == REDUCE_MPI || (choice == REDUCE_AUTO && !is_worth_trying(comm, device_uuid)))
        return QO_OK;
    enum status status = open_nccl(comm, device_uuid);
    if (status == QO_OK)
        return QO_OK;
    snprintf(why, sizeof why, "%s", status_text());
    if (choice == REDUCE_NCCL)
        return status_raise(status, "--comm nccl: %s", why);
    log_info("comm      mpi (no NCCL: %s)", why);
    status_clear();
    return QO_OK;
}

void reduce_close(struct comm *comm)
{
    reduce_nccl_close(comm->nccl);
    comm->nccl = NULL;
}

const char *reduce_name(const struct comm *comm)
{
    return comm->nccl ? "nccl" : "mpi";
}

/* ---- Reductions ---- */

static void run_mpi(const struct comm *comm, int64_t *x, int64_t n, enum reduction reduction)
{
    bool is_sum = reduction == REDUCTION_SUM;
    MPI_Datatype type = is_sum ? MPI_UINT64_T : MPI_INT64_T; /* unsigned: a sum may wrap */
    watch_begin("a reduction");
    for (int64_t done = 0; done < n; done += MAX_CALL) {
        int64_t part = n - done < MAX_CALL ? n - done : MAX_CALL;
        MPI_Allreduce(MPI_IN_PLACE, x + done, (int)part, type, is_sum ? MPI_SUM : MPI_MAX,
                      comm_mpi(comm));
    }
    watch_end();
}

static void reduce(const struct comm *comm, int64_t *x, int64_t n, enum reduction reduction)
{
    if (comm->size == 1 && !comm->nccl)
        return;
    double start = MPI_Wtime();
    if (comm->nccl)
        reduce_nccl_run(comm, x, n, reduction);
    else
        run_mpi(comm, x, n, reduction);
    seconds += MPI_Wtime() - start;
}

void reduce_sum(const struct comm *comm, int64_t *x, int64_t n)
{
    reduce(comm, x, n, REDUCTION_SUM);
}

void reduce_max(const struct comm *comm, int64_t *x, int64_t n)
{
    reduce(comm, x, n, REDUCTION_MAX);
}

int64_t reduce_sum_before(const struct comm *comm, int64_t x)
{
    int64_t before = 0;
    if (comm->size == 1)
        return 0;
    watch_begin("a sum over the ranks below");
    MPI_Exscan(&x, &before, 1, MPI_INT64_T, MPI_SUM, comm_mpi(comm));
    watch_end();
    return comm->rank == 0 ? 0 : before;
}

double reduce_seconds(void)
{
    return seconds;
}

void reduce_spread(const struct comm *comm, const double *x, int n, struct spread *out)
{
    for (int i = 0; comm->size == 1 && i < n; i++)
        out[i] = (struct spread){.min = x[i], .mean = x[i], .max = x[i]};
    if (comm->size == 1)
        return;
    watch_begin("figures of all ranks");
    for (int i = 0; i < n; i++) {
        struct {
            double value;
            int rank;
        } mine = {x[i], comm->rank}, largest;
        double sum;
        MPI_Allreduce(&x[i], &out[i].min, 1, MPI_DOUBLE, MPI_MIN, comm_mpi(comm));
        MPI_Allreduce(&x[i], &sum, 1, MPI_DOUBLE, MPI_SUM, comm_mpi(comm));
        MPI_Allreduce(&mine, &largest, 1, MPI_DOUBLE_INT, MPI_MAXLOC, comm_mpi(comm));
        out[i].mean = sum / comm->size;
        out[i].max = largest.value;
        out[i].max_rank = largest.rank;
    }
    watch_end();
}
