/* SPDX-License-Identifier: Apache-2.0 */
#include "sink_fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/wait.h>

#include "lock.h"

/* Each rank has its own output, unless a test wants them all at one. */
static const char *own_path(void)
{
    char name[32];
    snprintf(name, sizeof name, "out%d.h5", comm.rank);
    return in_folder(name);
}

static const char *lock_of(const char *path)
{
    char name[64];
    snprintf(name, sizeof name, "%s.lock", strrchr(path, '/') + 1);
    return in_folder(name);
}

/* This process's start time, by another way than the program's: counting blanks backwards is not
 * possible, so the name is known to hold none. */
static uint64_t start_of_self(void)
{
    FILE *file = fopen("/proc/self/stat", "r");
    char word[256];
    uint64_t start = 0;
    for (int field = 1; file && field <= 22 && fscanf(file, "%255s", word) == 1; field++)
        if (field == 22)
            start = strtoull(word, NULL, 10);
    if (file)
        fclose(file);
    return start;
}

static void make_lock(const char *path, const char *host, int64_t process, uint64_t start,
                      const char *job)
{
    char text[512], self[128] = "";
    gethostname(self, sizeof self - 1);
    snprintf(text, sizeof text,
             "quantopt lock\nhost: %s\nprocess: %" PRId64 "\nstart: %" PRIu64
             "\nsince: 2024-02-29T12:00:00Z\njob: %s\n",
             host ? host : self, process, start, job);
    write_file(lock_of(path), text);
}

/* The number of a process that has ended. */
static int64_t dead_process(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    return child;
}

static void test_two_runs_on_one_output(void **state)
{
    (void)state;
    struct lock first = {0}, second = {0};
    char want[64], host[128] = "";
    gethostname(host, sizeof host - 1);
    snprintf(want, sizeof want, "process %ld", (long)getpid());
    CHECK(lock_take(&first, own_path()) == QO_OK);
    CHECK(lock_take(&second, own_path()) == QO_CANT_CREATE);
    CHECK(strstr(status_text(), want) && strstr(status_text(), host));
    CHECK(strstr(status_text(), "since 20") && strstr(status_text(), "--output"));
    lock_release(&second);
    CHECK(exists(lock_of(own_path())));
    lock_release(&first);
    CHECK(!exists(lock_of(own_path())));
    CHECK(lock_take(&second, own_path()) == QO_OK);
    lock_release(&second);
    lock_release(&second);
}

static void test_a_killed_run_that_locks_for_ever(void **state)
{
    (void)state;
    struct lock lock = {0};
    int status;
    pid_t child = fork();
    if (child == 0) {
        if (lock_take(&lock, own_path()) != QO_OK)
            _exit(1);
        raise(SIGKILL);
    }
    waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK(exists(lock_of(own_path())));
    CHECK(lock_take(&lock, own_path()) == QO_OK);
    char want[64];
    snprintf(want, sizeof want, "\nprocess: %ld\n", (long)getpid());
    CHECK(strstr(read_file(lock_of(own_path())), want));
    lock_release(&lock);
}

static void test_a_zombie_that_counts_as_alive(void **state)
{
    (void)state;
    struct lock lock = {0};
    int ready[2];
    CHECK(pipe(ready) == 0);
    pid_t child = fork();
    if (child == 0) {
        char made = lock_take(&lock, own_path()) == QO_OK;
        _exit(write(ready[1], &made, 1) == 1 ? 0 : 1);
    }
    char made = 0;
    siginfo_t info;
    CHECK(read(ready[0], &made, 1) == 1 && made);
    CHECK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0); /* ended, and not reaped */
    CHECK(lock_take(&lock, own_path()) == QO_OK);
    waitpid(child, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    lock_release(&lock);
}

static void test_a_process_number_used_again(void **state)
{
    (void)state;
    struct lock lock = {0};
    uint64_t start = start_of_self();
    CHECK(start > 0);
    make_lock(own_path(), NULL, getpid(), start, "");
    CHECK(lock_take(&lock, own_path()) == QO_CANT_CREATE);
    CHECK(strstr(status_text(), "2024-02-29T12:00:00Z"));
    make_lock(own_path(), NULL, getpid(), start + 1, "");
    CHECK(lock_take(&lock, own_path()) == QO_OK);
    lock_release(&lock);
}

static void test_a_lock_of_another_host(void **state)
{
    (void)state;
    static const struct {
        const char *job, *ours;
        enum status status;
    } cases[] = {{"", "", QO_CANT_CREATE},
                 {"12", "", QO_CANT_CREATE},
                 {"12", "123", QO_CANT_CREATE},
                 {"12", "12", QO_OK}}; /* our own job, started again elsewhere */
    int64_t gone = dead_process();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lock lock = {0};
        make_lock(own_path(), "elsewhere", gone, 1, cases[i].job);
        setenv("SLURM_JOB_ID", cases[i].ours, 1);
        CHECK(lock_take(&lock, own_path()) == cases[i].status);
        CHECK(cases[i].status == QO_OK || strstr(status_text(), "elsewhere"));
        lock_release(&lock);
        unlink(lock_of(own_path()));
    }
    unsetenv("SLURM_JOB_ID");
}

static void test_a_lock_of_another_program(void **state)
{
    (void)state;
    struct lock lock = {0};
    static const char odd[] = "quantopt lock\nhost: x\nprocess: y\nstart: 1\nsince: z\njob: \n";
    static const char *const foreign[] = {"4711\n", "quantopt lock\nhost: x\n", odd};
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        write_file(lock_of(own_path()), foreign[i]);
        CHECK(lock_take(&lock, own_path()) == QO_CANT_CREATE);
        CHECK(strcmp(read_file(lock_of(own_path())), foreign[i]) == 0);
    }
    unlink(lock_of(own_path()));
}

static void test_a_release_of_somebody_elses_lock(void **state)
{
    (void)state;
    struct lock lock = {0};
    CHECK(lock_take(&lock, own_path()) == QO_OK);
    make_lock(own_path(), "elsewhere", 1, 1, "");
    lock_release(&lock);
    CHECK(exists(lock_of(own_path())));
    unlink(lock_of(own_path()));
}

/* All ranks at one lock, again and again: how it lies there, and how many win in all. */
static int64_t race(void (*prepare)(const char *path), int rounds)
{
    char path[512];
    snprintf(path, sizeof path, "%s", in_folder("out.h5"));
    int64_t winners = 0;
    for (int i = 0; i < rounds; i++) {
        struct lock lock = {0};
        if (comm.rank == 0 && prepare)
            prepare(path);
        comm_wait_all(&comm);
        bool won = lock_take(&lock, path) == QO_OK;
        winners += won;
        comm_wait_all(&comm); /* nobody releases before all have tried */
        lock_release(&lock);
        comm_wait_all(&comm);
    }
    reduce_sum(&comm, &winners, 1);
    return winners;
}

static int64_t gone;

static void leave_stale(const char *path)
{
    make_lock(path, NULL, gone, 1, "");
}

static void leave_empty(const char *path)
{
    write_file(lock_of(path), "");
}

static void test_two_winners(void **state)
{
    (void)state;
    gone = dead_process();
    CHECK(race(NULL, 100) == 100);
    CHECK(race(leave_stale, 100) == 100);
    CHECK(race(leave_empty, 100) == 100);
    CHECK(!exists(in_folder("out.h5.lock")));
}

static void test_winners_that_do_not_wait(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", in_folder("out.h5"));
    int64_t overlaps = 0, wins = 0;
    for (int i = 0; i < 300; i++) {
        struct lock lock = {0};
        if (lock_take(&lock, path) != QO_OK)
            continue;
        wins++;
        /* Who holds the lock is alone: a file that only the holder makes cannot be there. */
        FILE *alone = fopen(in_folder("alone"), "wx"); /* O_EXCL */
        overlaps += alone == NULL;
        if (alone)
            fclose(alone);
        unlink(in_folder("alone"));
        lock_release(&lock);
    }
    reduce_sum(&comm, &overlaps, 1);
    reduce_sum(&comm, &wins, 1);
    CHECK(overlaps == 0);
    CHECK(wins > 0);
}

static void test_a_place_that_cannot_be_written(void **state)
{
    (void)state;
    struct lock lock = {0};
    char longest[300];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    CHECK(lock_take(&lock, in_folder("missing/out.h5")) == QO_CANT_CREATE);
    CHECK(strstr(status_text(), "make the directory"));
    CHECK(lock_take(&lock, in_folder(longest)) == QO_CANT_CREATE);
    CHECK(strstr(status_text(), strerror(ENAMETOOLONG)));
    if (geteuid() == 0) { /* root may write anywhere: nobody tries */
        CHECK(seteuid(65534) == 0);
        enum status status = lock_take(&lock, "/out.h5");
        CHECK(seteuid(0) == 0);
        CHECK(status == QO_CANT_CREATE);
        CHECK(strstr(status_text(), strerror(EACCES)));
    }
}

static void test_a_link_that_leads_elsewhere(void **state)
{
    (void)state;
    struct lock lock = {0};
    char target[64];
    snprintf(target, sizeof target, "target%d", comm.rank);
    write_file(in_folder(target), "");
    CHECK(symlink(target, lock_of(own_path())) == 0);
    CHECK(lock_take(&lock, own_path()) == QO_CANT_CREATE);
    CHECK(strcmp(read_file(in_folder(target)), "") == 0);
    unlink(lock_of(own_path()));
    unlink(in_folder(target));
}

static void test_a_failure_that_leaves_a_lock(void **state)
{
    (void)state;
    enum status status = QO_IO;
    int n = 0;
    while (status != QO_OK && n < 20) {
        struct lock lock = {0};
        plan_fault(++n, -1);
        status = lock_take(&lock, own_path());
        CHECK(exists(lock_of(own_path())) == (status == QO_OK));
        lock_release(&lock);
    }
    plan_fault(0, -1);
    CHECK(n == 4); /* memory, making and writing can fail */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_two_runs_on_one_output, end_test),
        cmocka_unit_test_teardown(test_a_killed_run_that_locks_for_ever, end_test),
        cmocka_unit_test_teardown(test_a_zombie_that_counts_as_alive, end_test),
        cmocka_unit_test_teardown(test_a_process_number_used_again, end_test),
        cmocka_unit_test_teardown(test_a_lock_of_another_host, end_test),
        cmocka_unit_test_teardown(test_a_lock_of_another_program, end_test),
        cmocka_unit_test_teardown(test_a_release_of_somebody_elses_lock, end_test),
        cmocka_unit_test_teardown(test_two_winners, end_test),
        cmocka_unit_test_teardown(test_winners_that_do_not_wait, end_test),
        cmocka_unit_test_teardown(test_a_place_that_cannot_be_written, end_test),
        cmocka_unit_test_teardown(test_a_link_that_leads_elsewhere, end_test),
        cmocka_unit_test_teardown(test_a_failure_that_leaves_a_lock, end_test),
    };
    open_folder(&argc, &argv);
    return close_folder(cmocka_run_group_tests(tests, NULL, NULL));
}
