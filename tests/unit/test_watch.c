/* SPDX-License-Identifier: Apache-2.0 */
/* The watch ends processes: each case is a process of its own, without MPI. */
#include "cmocka_all.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "stop.h"
#include "watch.h"

/* What a case that is not ended by the watch ends with, and how long it stays, in seconds. */
#define SURVIVED 3
#define STAY     20.0

static const struct comm comm = {.rank = 5, .size = 8};

/* In steps, so that a signal's handler runs in time. */
static void pass(double seconds)
{
    const struct timespec step = {.tv_nsec = 10000000};
    for (double end = clock_seconds() + seconds; clock_seconds() < end;)
        nanosleep(&step, NULL);
}

/* Runs a case; returns its exit status, its stderr in text[size] and how long it took. */
static int run_case(void (*what)(void), char *text, size_t size, double *seconds)
{
    int ends[2], status;
    size_t used = 0;
    double start = clock_seconds();
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        what();
        watch_close();
        _exit(SURVIVED);
    }
    close(ends[1]);
    for (ssize_t n; (n = read(ends[0], text + used, size - 1 - used)) > 0;)
        used += (size_t)n;
    text[used] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    *seconds = clock_seconds() - start;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* One line, as all messages are. */
static void check_line(const char *text, const char *part)
{
    static const char begin[] = "quantopt_mpi: error: rank 5 on ";
    const char *end = strchr(text, '\n');
    if (strncmp(text, begin, strlen(begin)) != 0 || !end || end[1] != '\0' || !strstr(text, part))
        fail_msg("not a line with \"%s\": %s", part, text);
}

static void wait_for_ever(void)
{
    watch_setup(&comm, 0.4);
    watch_begin("a test");
    pass(STAY);
}

static void test_a_rank_that_waits_for_ever(void **state)
{
    (void)state;
    char text[1024];
    double seconds;
    assert_int_equal(run_case(wait_for_ever, text, sizeof text, &seconds), QO_UNAVAILABLE);
    check_line(text, "seconds for other ranks in a test; ");
    check_line(text, "--comm_timeout");
    assert_true(seconds >= 0.4 && seconds < STAY / 2);
}

/* The pair inside neither ends the wait nor begins it anew, nor names it. */
static void wait_nested(void)
{
    watch_setup(&comm, 0.4);
    watch_begin("the outer one");
    for (double end = clock_seconds() + STAY; clock_seconds() < end;) {
        watch_begin("the inner one");
        pass(0.1);
        watch_end();
    }
}

static void test_a_wait_ended_by_another_inside_it(void **state)
{
    (void)state;
    char text[1024];
    double seconds;
    assert_int_equal(run_case(wait_nested, text, sizeof text, &seconds), QO_UNAVAILABLE);
    check_line(text, " in the outer one; ");
}

static void wait_often(void)
{
    watch_setup(&comm, 2.0);
    for (int i = 0; i < 25; i++) {
        watch_begin("a short wait");
        pass(0.1);
        watch_end();
    }
    pass(2.2); /* work, not a wait */
    watch_close();
    watch_setup(&comm, INFINITY);
    watch_begin("a wait that may last");
    pass(0.5);
    watch_end();
}

static void test_many_short_waits_taken_for_a_long_one(void **state)
{
    (void)state;
    char text[1024];
    double seconds;
    assert_int_equal(run_case(wait_often, text, sizeof text, &seconds), SURVIVED);
    assert_string_equal(text, "");
}

/* A suspended job: the clock goes on, and it is not the others' fault. */
static void be_stopped(void)
{
    watch_setup(&comm, 2.5);
    watch_begin("a test");
    pid_t me = getpid(), helper = fork();
    if (helper == 0) {
        kill(me, SIGSTOP);
        pass(4);
        kill(me, SIGCONT);
        _exit(0);
    }
    waitpid(helper, NULL, 0);
    watch_end();
}

static void test_a_suspended_job_ended_when_it_goes_on(void **state)
{
    (void)state;
    char text[1024];
    double seconds;
    assert_int_equal(run_case(be_stopped, text, sizeof text, &seconds), SURVIVED);
    assert_true(seconds >= 4);
}

static void ignore_signal(void)
{
    setenv("QUANTOPT_STOP_DEADLINE", "0.5", 1);
    stop_setup(INFINITY, INFINITY);
    watch_setup(&comm, INFINITY);
    raise(SIGTERM);
    pass(STAY);
}

static void test_a_rank_that_does_not_stop(void **state)
{
    (void)state;
    char text[1024];
    double seconds;
    assert_int_equal(run_case(ignore_signal, text, sizeof text, &seconds), QO_STOPPED);
    check_line(text, "could not stop in time");
    check_line(text, "the last checkpoint stays");
    assert_true(seconds >= 0.5 && seconds < STAY / 2);
}

/* After the second one there are 3 s instead of 240. */
static void ignore_second_signal(void)
{
    unsetenv("QUANTOPT_STOP_DEADLINE");
    stop_setup(INFINITY, INFINITY);
    watch_setup(&comm, INFINITY);
    raise(SIGUSR1);
    pass(2.2);
    raise(SIGUSR1);
    pass(STAY);
}

static void test_a_second_signal_that_leaves_as_long_as_the_first(void **state)
{
    (void)state;
    char text[1024];
    double seconds;
    assert_int_equal(run_case(ignore_second_signal, text, sizeof text, &seconds), QO_STOPPED);
    check_line(text, "could not stop in time");
    assert_true(seconds >= 5.2 && seconds < STAY);
}

static void misspell_deadline(void)
{
    setenv("QUANTOPT_STOP_DEADLINE", "1 s", 1);
    stop_setup(INFINITY, INFINITY);
    watch_setup(&comm, INFINITY);
    raise(SIGUSR1);
    pass(1.5);
}

static void test_a_deadline_ignored_silently(void **state)
{
    (void)state;
    char text[1024];
    double seconds;
    assert_int_equal(run_case(misspell_deadline, text, sizeof text, &seconds), SURVIVED);
    assert_non_null(strstr(text, "warning: QUANTOPT_STOP_DEADLINE=1 s: "));
}

/* Closing must not wait for the next look, as every run closes; and leaks nothing, as sanitizers
 * see. */
static void test_a_watch_that_makes_runs_longer(void **state)
{
    (void)state;
    watch_close();
    assert_true(watch_timeout() == WATCH_TIMEOUT);
    double start = clock_seconds();
    for (int i = 0; i < 100; i++) {
        watch_setup(&comm, 7);
        if (i % 2)
            watch_setup(&comm, 7);
        watch_close();
    }
    watch_close();
    assert_true(clock_seconds() - start < 5);
    assert_true(watch_timeout() == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_watch_that_makes_runs_longer),
        cmocka_unit_test(test_a_rank_that_waits_for_ever),
        cmocka_unit_test(test_a_wait_ended_by_another_inside_it),
        cmocka_unit_test(test_many_short_waits_taken_for_a_long_one),
        cmocka_unit_test(test_a_suspended_job_ended_when_it_goes_on),
        cmocka_unit_test(test_a_rank_that_does_not_stop),
        cmocka_unit_test(test_a_second_signal_that_leaves_as_long_as_the_first),
        cmocka_unit_test(test_a_deadline_ignored_silently),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
