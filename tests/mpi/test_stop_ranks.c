/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include <math.h>
#include <signal.h>
#include <string.h>

#include "comm.h"
#include "stop.h"

static struct comm comm;

/* Nobody leaves a loop that the others stay in. */
static void test_a_signal_that_reaches_one_rank(void **state)
{
    (void)state;
    for (int reached = 0; reached < comm.size; reached++) {
        enum stop stop = STOP_AT_ONCE;
        stop_setup(INFINITY, INFINITY);
        assert_int_equal(stop_agree(&comm, QO_OK, &stop), QO_OK);
        assert_int_equal(stop, STOP_NOT);
        comm_wait_all(&comm);
        if (comm.rank == reached)
            raise(SIGTERM);
        assert_int_equal(stop_agree(&comm, QO_OK, &stop), QO_OK);
        assert_int_equal(stop, STOP_LEAVE);
        assert_string_equal(stop_reason(), "signal SIGTERM");
    }
}

static void test_clocks_that_differ(void **state)
{
    (void)state;
    enum stop stop;
    int last = comm.size - 1;
    /* The last rank's interval is over, the others' is not. */
    stop_setup(INFINITY, comm.rank == last ? 0 : INFINITY);
    assert_int_equal(stop_agree(&comm, QO_OK, &stop), QO_OK);
    assert_int_equal(stop, STOP_SAVE);
    assert_string_equal(stop_reason(), "the time between checkpoints");
    /* The first one's time is over too: leaving is more than saving. */
    stop_setup(comm.rank == 0 ? -1 : INFINITY, comm.rank == last ? 0 : INFINITY);
    assert_int_equal(stop_agree(&comm, QO_OK, &stop), QO_OK);
    assert_int_equal(stop, STOP_LEAVE);
    assert_string_equal(stop_reason(), "the time limit");
    stop_setup(INFINITY, INFINITY);
    assert_int_equal(stop_agree(&comm, QO_OK, &stop), QO_OK);
    assert_int_equal(stop, STOP_NOT);
    assert_string_equal(stop_reason(), "nothing");
}

static void test_a_failure_hidden_by_a_stop(void **state)
{
    (void)state;
    int last = comm.size - 1;
    enum stop stop;
    enum status mine = QO_OK;
    stop_setup(INFINITY, INFINITY);
    if (comm.rank == 0)
        raise(SIGUSR1);
    if (comm.rank == last)
        mine = status_raise(QO_IO, "the disk of rank %d", last);
    assert_int_equal(stop_agree(&comm, mine, &stop), QO_IO);
    assert_int_equal(stop, STOP_LEAVE);
    assert_int_equal(strncmp(status_text(), "the disk of rank ", 17), 0);
}

static void test_a_maximum_lost_beside_a_failure(void **state)
{
    (void)state;
    int x = comm.rank;
    assert_int_equal(comm_agree_max(&comm, QO_OK, &x), QO_OK);
    assert_int_equal(x, comm.size - 1);
    x = 100 + comm.rank;
    enum status mine = comm.rank == 0 ? status_raise(QO_DATA, "zero") : QO_OK;
    assert_int_equal(comm_agree_max(&comm, mine, &x), QO_DATA);
    assert_int_equal(x, 99 + comm.size);
    assert_string_equal(status_text(), "zero");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_signal_that_reaches_one_rank),
        cmocka_unit_test(test_clocks_that_differ),
        cmocka_unit_test(test_a_failure_hidden_by_a_stop),
        cmocka_unit_test(test_a_maximum_lost_beside_a_failure),
    };
    comm_open(&comm, &argc, &argv);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    comm_close(&comm);
    return failed;
}
