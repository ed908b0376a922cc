/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Counts what a run tells the other ranks: preloaded in front of MPI (scripts/scaling.sh), it adds
 * up calls, bytes and seconds of the collectives over MPI_COMM_WORLD, which are the program's own:
 * HDF5 and MPI-IO use duplicates. Rank 0 writes them to $SCALING_COUNTS, a JSON object, when MPI is
 * finalized.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum kind { ALLREDUCE, BROADCAST, EXSCAN, GATHER, BARRIER, NUM_KINDS };

/* Of one kind of collective, on this rank. */
static struct count {
    const char *name;
    long long calls, bytes, largest;
    double seconds;
} counts[NUM_KINDS] = {{.name = "allreduce"},
                       {.name = "broadcast"},
                       {.name = "exscan"},
                       {.name = "gather"},
                       {.name = "barrier"}};

/* Notes a call that began at `start`; passes rc on. */
static int note(enum kind kind, MPI_Comm comm, int n, MPI_Datatype type, double start, int rc)
{
    int size = 0;
    if (comm != MPI_COMM_WORLD)
        return rc;
    if (n > 0)
        PMPI_Type_size(type, &size);
    long long bytes = (long long)n * size;
    struct count *count = &counts[kind];
    count->calls++;
    count->bytes += bytes;
    count->largest = bytes > count->largest ? bytes : count->largest;
    count->seconds += PMPI_Wtime() - start;
    return rc;
}

int MPI_Allreduce(const void *from, void *to, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm)
{
    double start = PMPI_Wtime();
    return note(ALLREDUCE, comm, n, type, start, PMPI_Allreduce(from, to, n, type, op, comm));
}

int MPI_Bcast(void *x, int n, MPI_Datatype type, int root, MPI_Comm comm)
{
    double start = PMPI_Wtime();
    return note(BROADCAST, comm, n, type, start, PMPI_Bcast(x, n, type, root, comm));
}

int MPI_Exscan(const void *from, void *to, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm)
{
    double start = PMPI_Wtime();
    return note(EXSCAN, comm, n, type, start, PMPI_Exscan(from, to, n, type, op, comm));
}

int MPI_Gather(const void *from, int n, MPI_Datatype type, void *to, int to_n, MPI_Datatype to_type,
               int root, MPI_Comm comm)
{
    double start = PMPI_Wtime();
    int rc = PMPI_Gather(from, n, type, to, to_n, to_type, root, comm);
    return note(GATHER, comm, n, type, start, rc);
}

int MPI_Barrier(MPI_Comm comm)
{
    double start = PMPI_Wtime();
    return note(BARRIER, comm, 0, MPI_BYTE, start, PMPI_Barrier(comm));
}

/* One line a kind. */
static void write_counts(const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file)
        return;
    for (int k = 0; k < NUM_KINDS; k++)
        fprintf(file,
                "%s\"%s\": {\"calls\": %lld, \"bytes\": %lld, \"largest\": %lld, "
                "\"seconds\": %.6f}",
                k ? ",\n" : "{", counts[k].name, counts[k].calls, counts[k].bytes,
                counts[k].largest, counts[k].seconds);
    fputs("}\n", file);
    fclose(file);
}

int MPI_Finalize(void)
{
    int rank;
    const char *path = getenv("SCALING_COUNTS");
    PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (path && rank == 0)
        write_counts(path);
    return PMPI_Finalize();
}
