/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "stop.h"

/* Time has to pass here: the clocks are what is tested. */
static void pass(double seconds)
{
    struct timespec t = {.tv_sec = (time_t)seconds};
    t.tv_nsec = (long)(1e9 * (seconds - (double)t.tv_sec));
    while (nanosleep(&t, &t) != 0) {
    }
}

/* First of all: nothing was set up yet. */
static void test_a_program_that_never_asked_is_stopped(void **state)
{
    (void)state;
    assert_int_equal(stop_wanted(), STOP_NOT);
    stop_saved(1e9);
    assert_int_equal(stop_wanted(), STOP_NOT);
    assert_string_equal(stop_reason(), "nothing");
}

static void test_a_signal_that_is_not_heard(void **state)
{
    (void)state;
    static const struct {
        int number;
        const char *reason;
    } signals[] = {
        {SIGUSR1, "signal SIGUSR1"}, {SIGTERM, "signal SIGTERM"}, {SIGINT, "signal SIGINT"}};
    for (int i = 0; i < 3; i++) {
        stop_setup(INFINITY, INFINITY);
        assert_int_equal(stop_wanted(), STOP_NOT);
        raise(signals[i].number);
        assert_int_equal(stop_wanted(), STOP_LEAVE);
        assert_string_equal(stop_reason(), signals[i].reason);
        assert_int_equal(stop_signals().number, signals[i].number);
    }
}

/* A launcher and a batch system deliver the same signal twice. */
static void test_one_signal_taken_for_two(void **state)
{
    (void)state;
    stop_setup(INFINITY, INFINITY);
    raise(SIGTERM);
    raise(SIGTERM);
    pass(0.2);
    raise(SIGUSR1);
    assert_int_equal(stop_wanted(), STOP_LEAVE);
    assert_string_equal(stop_reason(), "signal SIGTERM");
    assert_true(stop_signals().first > 0 && stop_signals().second == 0);
    pass(2);
    raise(SIGTERM);
    assert_int_equal(stop_wanted(), STOP_AT_ONCE);
    assert_string_equal(stop_reason(), "a second signal");
    assert_true(stop_signals().second - stop_signals().first > 2);
    stop_setup(INFINITY, INFINITY);
    assert_int_equal(stop_wanted(), STOP_NOT);
}

/* The margin is a twentieth: 10 s before the end of 200. */
static void test_a_limit_that_is_reached_too_late(void **state)
{
    (void)state;
    stop_setup(1, INFINITY);
    assert_int_equal(stop_wanted(), STOP_NOT);
    pass(1);
    assert_int_equal(stop_wanted(), STOP_LEAVE);
    assert_string_equal(stop_reason(), "the time limit");
    stop_setup(200, INFINITY);
    stop_saved(90); /* twice that is less than what is left */
    assert_int_equal(stop_wanted(), STOP_NOT);
    stop_saved(101);
    assert_int_equal(stop_wanted(), STOP_LEAVE);
    stop_setup(0, INFINITY);
    pass(0.01);
    assert_int_equal(stop_wanted(), STOP_LEAVE);
}

static void test_checkpoints_that_come_too_often(void **state)
{
    (void)state;
    stop_setup(INFINITY, 0.5);
    assert_int_equal(stop_wanted(), STOP_NOT);
    pass(0.5);
    assert_int_equal(stop_wanted(), STOP_SAVE);
    assert_string_equal(stop_reason(), "the time between checkpoints");
    stop_saved(0);
    assert_int_equal(stop_wanted(), STOP_NOT);
    stop_saved(1); /* the next one not before 20 s have passed */
    pass(0.6);
    assert_int_equal(stop_wanted(), STOP_NOT);
    stop_saved(0.001);
    pass(0.5);
    assert_int_equal(stop_wanted(), STOP_SAVE);
    raise(SIGUSR1); /* leaving is more than saving */
    assert_int_equal(stop_wanted(), STOP_LEAVE);
}

static void test_the_end_of_a_job_read_wrongly(void **state)
{
    (void)state;
    static const char *const none[] = {
        "", "x", "12x", "-5", " 99999999999", "1e12", "1000", "99999999999999999999999"};
    char text[32];
    unsetenv("SLURM_JOB_END_TIME");
    assert_true(isinf(stop_job_seconds()));
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        setenv("SLURM_JOB_END_TIME", none[i], 1);
        assert_true(isinf(stop_job_seconds()));
    }
    snprintf(text, sizeof text, "%lld", (long long)time(NULL) + 100);
    setenv("SLURM_JOB_END_TIME", text, 1);
    assert_true(stop_job_seconds() > 60 && stop_job_seconds() <= 100);
    unsetenv("SLURM_JOB_END_TIME");
}

static void test_an_interval_read_wrongly(void **state)
{
    (void)state;
    static const char *const none[] = {"", "x", "5x", "0", "-5", "nan"};
    unsetenv("QUANTOPT_CHECKPOINT_SECONDS");
    assert_true(stop_checkpoint_seconds() == 300);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        setenv("QUANTOPT_CHECKPOINT_SECONDS", none[i], 1);
        assert_true(stop_checkpoint_seconds() == 300);
    }
    setenv("QUANTOPT_CHECKPOINT_SECONDS", "0.25", 1);
    assert_true(stop_checkpoint_seconds() == 0.25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_program_that_never_asked_is_stopped),
        cmocka_unit_test(test_a_signal_that_is_not_heard),
        cmocka_unit_test(test_one_signal_taken_for_two),
        cmocka_unit_test(test_a_limit_that_is_reached_too_late),
        cmocka_unit_test(test_checkpoints_that_come_too_often),
        cmocka_unit_test(test_the_end_of_a_job_read_wrongly),
        cmocka_unit_test(test_an_interval_read_wrongly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
