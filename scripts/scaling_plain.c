/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the machine itself gains from ranks, for scripts/scaling.sh: each of P ranks reads, and
 * copies, its part of a vector of N float32 as plainly as can be, and the ranks add up 1 and 65,536
 * words. Prints a JSON object: seconds for the slowest rank, best of 7.
 *
 *     mpirun -np P scaling_plain N
 */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEATS = 7, WORDS = 65536, SMALL_CALLS = 100 };

/* A read that is all memory: sixteen sums, so that no addition waits for the one before. */
static int64_t read_all(const int32_t *x, int64_t n)
{
    int32_t sum[16] = {0};
    int64_t total = 0;
    for (int64_t i = 0; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++)
            sum[j] ^= x[i + j];
    for (int j = 0; j < 16; j++)
        total += sum[j];
    return total;
}

/* Seconds since start, of the slowest rank. */
static double slowest(double start)
{
    double mine = MPI_Wtime() - start, all;
    MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return all;
}

static double better(double a, double b)
{
    return a < b ? a : b;
}

int main(int argc, char **argv)
{
    int rank, size;
    double read = 1e9, copy = 1e9, small = 1e9, large = 1e9, start;
    static int64_t words[WORDS];
    volatile int64_t sink = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    int64_t n = (argc > 1 ? atoll(argv[1]) : 1 << 25) / size;
    int32_t *x = malloc((size_t)n * sizeof *x), *y = malloc((size_t)n * sizeof *y);
    if (!x || !y)
        MPI_Abort(MPI_COMM_WORLD, 71);
    memset(x, 1, (size_t)n * sizeof *x);
    memset(y, 2, (size_t)n * sizeof *y);
    for (int r = 0; r < REPEATS; r++) {
        MPI_Barrier(MPI_COMM_WORLD);
        start = MPI_Wtime();
        sink += read_all(x, n);
        read = better(read, slowest(start));
        MPI_Barrier(MPI_COMM_WORLD);
        start = MPI_Wtime();
        memcpy(y, x, (size_t)n * sizeof *x);
        copy = better(copy, slowest(start));
        MPI_Barrier(MPI_COMM_WORLD);
        start = MPI_Wtime();
        for (int i = 0; i < SMALL_CALLS; i++)
            MPI_Allreduce(MPI_IN_PLACE, words, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
        small = better(small, slowest(start) / SMALL_CALLS);
        MPI_Barrier(MPI_COMM_WORLD);
        start = MPI_Wtime();
        MPI_Allreduce(MPI_IN_PLACE, words, WORDS, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
        large = better(large, slowest(start));
    }
    if (rank == 0)
        printf("{\"plain_read\": %.6f, \"plain_copy\": %.6f, \"allreduce_8\": %.7f, "
               "\"allreduce_524288\": %.6f}\n",
               read, copy, small, large);
    free(x);
    free(y);
    MPI_Finalize();
    return sink == 1;
}
