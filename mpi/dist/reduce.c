/* SPDX-License-Identifier: Apache-2.0 */
#include "reduce.h"

#include "comm_mpi.h"

#include <stddef.h>

/* At most 1 GiB a call: MPI counts are int, and some transports fail beyond 2 GiB. */
#define MAX_CALL (((int64_t)1 << 30) / (int64_t)sizeof(int64_t))

/* Seconds in reductions: only ever added to, by the one thread that calls MPI. */
static double seconds;

static void reduce(const struct comm *comm, int64_t *x, int64_t n, MPI_Datatype type,
                   MPI_Op operation)
{
    double start = MPI_Wtime();
    for (int64_t done = 0; done < n; done += MAX_CALL) {
        int64_t part = n - done < MAX_CALL ? n - done : MAX_CALL;
        MPI_Allreduce(MPI_IN_PLACE, x + done, (int)part, type, operation, comm_mpi(comm));
    }
    seconds += MPI_Wtime() - start;
}

void reduce_sum(const struct comm *comm, int64_t *x, int64_t n)
{
    reduce(comm, x, n, MPI_UINT64_T, MPI_SUM); /* unsigned: it may wrap */
}

void reduce_max(const struct comm *comm, int64_t *x, int64_t n)
{
    reduce(comm, x, n, MPI_INT64_T, MPI_MAX);
}

int64_t reduce_sum_before(const struct comm *comm, int64_t x)
{
    int64_t before = 0;
    MPI_Exscan(&x, &before, 1, MPI_INT64_T, MPI_SUM, comm_mpi(comm));
    return comm->rank == 0 ? 0 : before;
}

double reduce_seconds(void)
{
    return seconds;
}

void reduce_spread(const struct comm *comm, const double *x, int n, struct spread *out)
{
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
}
