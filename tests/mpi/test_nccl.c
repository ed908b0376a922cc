/* SPDX-License-Identifier: Apache-2.0 */
/* reduce_nccl.c with a fake NCCL on a fake device: see tests/shim. */
#include "sink_fixture.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <time.h>

#include "clock.h"
#include "reduce_nccl.h"

/* ---- Fixture ---- */

/* As each rank would have it on a node with enough devices. */
static const char *own_uuid(void)
{
    static char uuid[64];
    snprintf(uuid, sizeof uuid, "GPU-of-rank-%d", comm.rank);
    return uuid;
}

/* Communicators of the fake that this rank has joined and not left. */
static int num_live(void)
{
    int (*live)(void);
    void *library = dlopen(FAKE_NCCL, RTLD_NOW);
    void *symbol = library ? dlsym(library, "fake_nccl_live") : NULL;
    if (!symbol)
        return -1;
    memcpy(&live, &symbol, sizeof live);
    return live();
}

static int begin_test(void **state)
{
    (void)state;
    unsetenv("QUANTOPT_FAKE_NCCL");
    unsetenv("QUANTOPT_SHIM_MEMORY");
    setenv("QUANTOPT_NCCL", FAKE_NCCL, 1);
    setenv("QUANTOPT_NCCL_DEADLINE", "60", 1);
    return 0;
}

static int close_test(void **state)
{
    size_t left = 0, total = 1;
    reduce_close(&comm);
    unsetenv("QUANTOPT_SHIM_MEMORY");
    CHECK(cudaMemGetInfo(&left, &total) == cudaSuccess && left == total);
    CHECK(num_live() == 0);
    CHECK(cudaGetLastError() == cudaSuccess); /* or a launch would be taken for a failed one */
    return end_test(state);
}

/* Lets one rank of the fake misbehave. */
static void misbehave(const char *how, int rank)
{
    char plan[64];
    snprintf(plan, sizeof plan, "%s@%d", how, rank);
    setenv("QUANTOPT_FAKE_NCCL", plan, 1);
}

/* Whether all ranks have the same text, as long as they are not longer than this. */
static bool is_same_text(const char *text)
{
    int64_t words[2 * 64] = {0};
    memcpy(words, text, strnlen(text, sizeof words / 2));
    for (int i = 0; i < 64; i++)
        words[64 + i] = ~words[i];
    reduce_max(&comm, words, 128);
    for (int i = 0; i < 64; i++)
        if (words[i] != ~words[64 + i])
            return false;
    return true;
}

/* Opens as --comm auto does; what it writes into the log, on rank 0. */
static const char *log_of_auto(const char *uuid)
{
    const char *path = in_folder("log");
    if (log_open_file(path) != QO_OK)
        return "the log cannot be opened";
    CHECK(reduce_open(&comm, REDUCE_AUTO, uuid) == QO_OK);
    CHECK(log_close_file() == QO_OK);
    const char *content = comm.rank == 0 ? read_file(path) : "";
    if (comm.rank == 0)
        unlink(path);
    return content;
}

/* --comm nccl fails with one line on all ranks, --comm auto adds up over MPI and says why. */
static void check_refused(const char *uuid, enum status want, const char *text)
{
    enum status status = reduce_open(&comm, REDUCE_NCCL, uuid);
    CHECK(status == want && is_same(status));
    CHECK(strncmp(status_text(), "--comm nccl: ", 13) == 0);
    CHECK(strstr(status_text(), text) && !strchr(status_text(), '\n'));
    CHECK(is_same_text(status_text()));
    CHECK(strcmp(reduce_name(&comm), "mpi") == 0 && num_live() == 0);
    if (comm.size == 1)
        return;
    const char *log = log_of_auto(uuid), *end = strchr(log, '\n');
    CHECK(comm.rank != 0 || (strstr(log, text) && end && end[1] == '\0'));
    CHECK(strcmp(reduce_name(&comm), "mpi") == 0 && num_live() == 0);
}

/* ---- Who may take part ---- */

static void test_nccl_where_nobody_asked_for_it(void **state)
{
    (void)state;
    CHECK(reduce_open(&comm, REDUCE_MPI, own_uuid()) == QO_OK);
    CHECK(strcmp(reduce_name(&comm), "mpi") == 0);
    CHECK(log_of_auto("")[0] == '\0'); /* nobody expects it of CPUs */
    CHECK(strcmp(reduce_name(&comm), "mpi") == 0);
}

static void test_auto_that_leaves_devices_unused_or_takes_nccl_for_one_rank(void **state)
{
    (void)state;
    CHECK(log_of_auto(own_uuid())[0] == '\0');
    CHECK(strcmp(reduce_name(&comm), comm.size > 1 ? "nccl" : "mpi") == 0);
}

static void test_a_close_that_is_not_the_last(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        int64_t x = comm.rank;
        CHECK(reduce_open(&comm, REDUCE_NCCL, own_uuid()) == QO_OK);
        CHECK(strcmp(reduce_name(&comm), "nccl") == 0 && num_live() == 1);
        reduce_sum(&comm, &x, 1);
        CHECK(x == (int64_t)comm.size * (comm.size - 1) / 2);
        reduce_close(&comm);
        reduce_close(&comm);
        CHECK(strcmp(reduce_name(&comm), "mpi") == 0 && num_live() == 0);
    }
    struct comm zeroed = {0};
    reduce_close(&zeroed);
}

static void test_a_rank_on_the_cpu_that_others_wait_for(void **state)
{
    (void)state;
    int last = comm.size - 1;
    char text[64];
    snprintf(text, sizeof text, "rank %d computes on the CPU; use --comm mpi", last);
    if (comm.size > 1)
        check_refused(comm.rank == last ? "" : own_uuid(), QO_UNAVAILABLE, text);
    CHECK(reduce_open(&comm, REDUCE_NCCL, "") == QO_UNAVAILABLE);
    CHECK(strstr(status_text(), "rank 0 computes on the CPU"));
}

static void test_ranks_that_share_a_device_and_hang(void **state)
{
    (void)state;
    char text[64];
    setenv("QUANTOPT_NCCL", "/nonexistent", 1); /* NCCL is not asked */
    snprintf(text, sizeof text, "ranks %d and %d share the GPU same,", comm.size - 2,
             comm.size - 1);
    if (comm.size > 1)
        check_refused(comm.rank >= comm.size - 2 ? "same" : own_uuid(), QO_UNAVAILABLE, text);
    if (comm.size > 1)
        check_refused("same", QO_UNAVAILABLE, "ranks 0 and 1 share the GPU same,");
}

/* ---- What may be wrong on one rank ---- */

static void test_a_library_that_one_rank_lacks(void **state)
{
    (void)state;
    for (int culprit = 0; culprit < comm.size; culprit++) {
        char text[64];
        snprintf(text, sizeof text, "rank %d: cannot load NCCL: /nonexistent: ", culprit);
        setenv("QUANTOPT_NCCL", comm.rank == culprit ? "/nonexistent" : FAKE_NCCL, 1);
        check_refused(own_uuid(), QO_UNAVAILABLE, text);
        CHECK(strstr(status_text(), "in QUANTOPT_NCCL") || comm.size > 1);
        setenv("QUANTOPT_NCCL", comm.rank == culprit ? "libanl.so.1" : FAKE_NCCL, 1);
        check_refused(own_uuid(), QO_UNAVAILABLE, "libanl.so.1 has no ncclGetVersion; give");
    }
}

static void test_a_library_too_old_for_one_rank(void **state)
{
    (void)state;
    misbehave("old", comm.size - 1);
    check_refused(own_uuid(), QO_UNAVAILABLE, "is NCCL 2.17 and has to be 2.18 or newer");
}

static void test_a_deadline_that_is_none(void **state)
{
    (void)state;
    setenv("QUANTOPT_NCCL_DEADLINE", comm.rank == comm.size - 1 ? "soon" : "60", 1);
    check_refused(own_uuid(), QO_UNAVAILABLE, "QUANTOPT_NCCL_DEADLINE=soon: not a number");
    setenv("QUANTOPT_NCCL_DEADLINE", "0", 1);
    check_refused(own_uuid(), QO_UNAVAILABLE, "QUANTOPT_NCCL_DEADLINE=0: not a number");
}

static void test_a_device_without_room_on_one_rank(void **state)
{
    (void)state;
    char text[64];
    snprintf(text, sizeof text, "rank %d: device memory for reductions: ", comm.size - 1);
    if (comm.rank == comm.size - 1)
        setenv("QUANTOPT_SHIM_MEMORY", "4096", 1);
    check_refused(own_uuid(), QO_NO_MEMORY, text);
}

static void test_memory_that_one_rank_lacks(void **state)
{
    (void)state;
    for (int culprit = 0; culprit < comm.size; culprit++) {
        enum status status;
        int n = 0;
        do {
            plan_fault(++n, culprit);
            status = reduce_open(&comm, REDUCE_NCCL, own_uuid());
            CHECK(status == QO_OK || status == QO_NO_MEMORY);
            CHECK(is_same(status));
        } while (status != QO_OK && n < 10);
        CHECK(n == (culprit == 0 ? 4 : 2)); /* rank 0 gathers what the devices are */
        plan_fault(0, -1);
        reduce_close(&comm);
    }
}

/* ---- What may go wrong together ---- */

static void test_an_id_that_cannot_be_made(void **state)
{
    (void)state;
    misbehave("no_id", 0);
    check_refused(own_uuid(), QO_UNAVAILABLE,
                  "rank 0: making an id for all ranks: unhandled system error: no socket is left");
}

static void test_a_rank_that_fails_to_join_and_is_waited_for(void **state)
{
    (void)state;
    double start = clock_seconds();
    for (int culprit = 0; culprit < comm.size; culprit++) {
        char text[64];
        snprintf(text, sizeof text, "rank %d: joining the others: unhandled system error", culprit);
        misbehave("refuse", culprit);
        check_refused(own_uuid(), QO_UNAVAILABLE, text);
        snprintf(text, sizeof text, "rank %d: joining the others: invalid usage: Dup", culprit);
        misbehave("duplicate", culprit);
        check_refused(own_uuid(), QO_UNAVAILABLE, text);
    }
    CHECK(clock_seconds() - start < 30); /* of a deadline of 60 */
}

static void test_a_communicator_that_is_never_ready(void **state)
{
    (void)state;
    setenv("QUANTOPT_NCCL_DEADLINE", "0.2", 1);
    misbehave("stuck", comm.size - 1);
    check_refused(own_uuid(), QO_UNAVAILABLE, "joining the others: not done in 0.2 seconds");
}

static void test_a_failure_that_spoils_the_next_try(void **state)
{
    (void)state;
    misbehave("refuse", comm.size - 1);
    CHECK(reduce_open(&comm, REDUCE_NCCL, own_uuid()) == QO_UNAVAILABLE);
    unsetenv("QUANTOPT_FAKE_NCCL");
    CHECK(reduce_open(&comm, REDUCE_NCCL, own_uuid()) == QO_OK);
    int64_t x = 1;
    reduce_sum(&comm, &x, 1);
    CHECK(x == comm.size);
}

/* ---- Sums ---- */

/* Any 64 bits, so that sums wrap; the first ones are the extremes of their type. */
static void fill(int64_t *x, int64_t n)
{
    static const int64_t extremes[] = {INT64_MAX, INT64_MIN, -1, 0, 1};
    for (int64_t i = 0; i < n; i++) {
        uint64_t z = ((uint64_t)i * 64 + (uint64_t)comm.rank + 1) * 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        x[i] = (int64_t)(z ^ (z >> 27));
    }
    for (int64_t i = 0; i < n && i < 5; i++)
        x[i] = extremes[i];
}

/* Both ways with the same numbers, and one element behind them that must stay. */
static void check_equal(int64_t n, void (*reduce)(const struct comm *, int64_t *, int64_t))
{
    struct comm over_mpi = comm;
    over_mpi.nccl = NULL;
    size_t size = (size_t)(n + 1) * sizeof(int64_t);
    int64_t *want = malloc(size), *have = malloc(size);
    if (want && have) {
        fill(want, n + 1);
        fill(have, n + 1);
        reduce(&over_mpi, want, n);
        reduce(&comm, have, n);
        CHECK(memcmp(want, have, size) == 0);
    }
    free(want);
    free(have);
}

static void test_sums_that_differ_from_those_of_mpi(void **state)
{
    (void)state;
    const int64_t sizes[] = {
        0, 1, 5, 1000, REDUCE_NCCL_CHUNK - 1, REDUCE_NCCL_CHUNK, REDUCE_NCCL_CHUNK + 1};
    CHECK(reduce_open(&comm, REDUCE_NCCL, own_uuid()) == QO_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_equal(sizes[i], reduce_sum);
        check_equal(sizes[i], reduce_max);
    }
}

static void test_what_stays_on_mpi_beside_nccl(void **state)
{
    (void)state;
    double seconds = reduce_seconds();
    CHECK(reduce_open(&comm, REDUCE_NCCL, own_uuid()) == QO_OK);
    for (int i = 0; i < 20; i++) {
        int64_t x = 1;
        reduce_sum(&comm, &x, 1);
        CHECK(comm_agree(&comm, QO_OK) == QO_OK);
        CHECK(reduce_sum_before(&comm, x) == (int64_t)comm.rank * comm.size);
    }
    CHECK(reduce_seconds() > seconds);
}

/* ---- Ends of all ranks: nccl_abort.sh looks at what is left of them ---- */

/* Fails in its second reduction, if the fake does. "absent": rank 0 does something else meanwhile.
 */
static int run_into_failure(const char *how, const char *log_path)
{
    const struct timespec minute = {.tv_sec = 60};
    log_setup(comm.rank == 0, LOG_NORMAL);
    if (log_open_file(log_path) != QO_OK || reduce_open(&comm, REDUCE_NCCL, own_uuid()) != QO_OK)
        return 1;
    for (int i = 0; i < 2; i++) {
        int64_t x[3] = {1, 2, 3};
        if (i == 1 && comm.rank == 0 && strcmp(how, "absent") == 0)
            nanosleep(&minute, NULL);
        reduce_sum(&comm, x, 3);
    }
    comm_close(&comm);
    return log_close_file() == QO_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, begin_test, close_test)
    const struct CMUnitTest tests[] = {
        TEST(test_nccl_where_nobody_asked_for_it),
        TEST(test_auto_that_leaves_devices_unused_or_takes_nccl_for_one_rank),
        TEST(test_a_close_that_is_not_the_last),
        TEST(test_a_rank_on_the_cpu_that_others_wait_for),
        TEST(test_ranks_that_share_a_device_and_hang),
        TEST(test_a_library_that_one_rank_lacks),
        TEST(test_a_library_too_old_for_one_rank),
        TEST(test_a_deadline_that_is_none),
        TEST(test_a_device_without_room_on_one_rank),
        TEST(test_memory_that_one_rank_lacks),
        TEST(test_an_id_that_cannot_be_made),
        TEST(test_a_rank_that_fails_to_join_and_is_waited_for),
        TEST(test_a_communicator_that_is_never_ready),
        TEST(test_a_failure_that_spoils_the_next_try),
        TEST(test_sums_that_differ_from_those_of_mpi),
        TEST(test_what_stays_on_mpi_beside_nccl),
    };
    if (argc > 2) {
        setenv("QUANTOPT_NCCL", FAKE_NCCL, 1);
        comm_open(&comm, &argc, &argv);
        return run_into_failure(argv[1], argv[2]);
    }
    open_folder(&argc, &argv);
    log_setup(comm.rank == 0, LOG_QUIET);
    return close_folder(cmocka_run_group_tests(tests, NULL, NULL));
}
