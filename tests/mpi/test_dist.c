/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

#include "comm.h"
#include "reduce.h"

static struct comm comm;

static void test_a_rank_that_fails_alone(void **state)
{
    (void)state;
    for (int culprit = 0; culprit < comm.size; culprit++) {
        enum status mine = QO_OK;
        if (comm.rank == culprit)
            mine = status_raise(QO_DATA, "file.h5[%d]: broken", culprit);
        assert_int_equal(comm_agree(&comm, mine), QO_DATA);
        char want[64];
        snprintf(want, sizeof want, "file.h5[%d]: broken", culprit);
        assert_string_equal(status_text(), want);
    }
}

static void test_the_first_of_many_failures_wins_everywhere(void **state)
{
    (void)state;
    /* All ranks but 0 fail, each in its own way; rank 1 is the first. */
    enum status mine = comm.rank == 0   ? QO_OK
                       : comm.rank == 1 ? status_raise(QO_IO, "one")
                                        : status_raise(QO_DATA, "%d", comm.rank);
    enum status agreed = comm_agree(&comm, mine);
    assert_int_equal(agreed, comm.size > 1 ? QO_IO : QO_OK);
    if (comm.size > 1)
        assert_string_equal(status_text(), "one");
}

static void test_agreement_on_success(void **state)
{
    (void)state;
    assert_int_equal(comm_agree(&comm, QO_OK), QO_OK);
}

static void test_a_sum_that_rounds(void **state)
{
    (void)state;
    /* 2^53 + 1 is the first integer that a double cannot hold. */
    int64_t x[2] = {((int64_t)1 << 53) + 1, -comm.rank};
    reduce_sum(&comm, x, 2);
    assert_true(x[0] == comm.size * (((int64_t)1 << 53) + 1));
    assert_true(x[1] == -(int64_t)comm.size * (comm.size - 1) / 2);
}

static void test_a_digest_that_overflows(void **state)
{
    (void)state;
    uint64_t x = 0xffffffffffffff00u + (uint64_t)comm.rank, truth = 0;
    for (int r = 0; r < comm.size; r++)
        truth += 0xffffffffffffff00u + (uint64_t)r;
    reduce_sum(&comm, (int64_t *)&x, 1);
    assert_true(x == truth);
}

static void test_extremes_and_prefix_sums(void **state)
{
    (void)state;
    int64_t x[2] = {comm.rank, -comm.rank};
    reduce_max(&comm, x, 2);
    assert_true(x[0] == comm.size - 1 && x[1] == 0);
    int64_t before = 0;
    for (int r = 0; r < comm.rank; r++)
        before += 10 + r;
    assert_true(reduce_sum_before(&comm, 10 + comm.rank) == before);
    assert_true((reduce_seconds() > 0) == (comm.size > 1)); /* one rank alone has nothing to add */
}

static void test_a_spread_at_the_wrong_rank(void **state)
{
    (void)state;
    double x[2] = {(double)comm.rank, (double)-comm.rank};
    struct spread spread[2];
    reduce_spread(&comm, x, 2, spread);
    assert_true(spread[0].min == 0 && spread[0].max == comm.size - 1);
    assert_true(spread[0].mean == (comm.size - 1) / 2.0);
    assert_int_equal(spread[0].max_rank, comm.size - 1);
    assert_int_equal(spread[1].max_rank, 0);
}

static void test_texts_and_bytes_that_do_not_arrive(void **state)
{
    (void)state;
    char mine[32], all[64 * 32] = "", sent[1000] = "";
    snprintf(mine, sizeof mine, "rank %d", comm.rank);
    comm_gather_text(&comm, mine, 32, all);
    for (int r = 0; comm.rank == 0 && r < comm.size; r++) {
        snprintf(mine, sizeof mine, "rank %d", r);
        assert_string_equal(all + 32 * r, mine);
    }
    if (comm.rank == 0)
        memset(sent, 'x', sizeof sent - 1);
    comm_broadcast(&comm, sent, sizeof sent);
    assert_int_equal(strlen(sent), sizeof sent - 1);
    /* Two kinds of key among the ranks of this one node. */
    int even = (comm.size + 1) / 2;
    assert_int_equal(comm_count_equal(&comm, (uint64_t)comm.rank % 2),
                     comm.rank % 2 ? comm.size - even : even);
}

static void test_words_in_the_wrong_place(void **state)
{
    (void)state;
    int count[64], start[64], total = 0;
    int64_t mine[64], all[64 * 64];
    for (int r = 0; r < comm.size; r++) {
        count[r] = r % 3 == 1 ? 0 : r + 1; /* some have nothing */
        start[r] = total;
        total += count[r];
    }
    for (int i = 0; i < count[comm.rank]; i++)
        mine[i] = 1000 * comm.rank + i;
    comm_gather_words(&comm, mine, count, start, all);
    for (int r = 0; r < comm.size; r++)
        for (int i = 0; i < count[r]; i++)
            assert_true(all[start[r] + i] == 1000 * r + i);
}

/* Each rank makes other calls, and as many as it likes: if one of them waited for another rank this
 * would hang, or a later agreement would see what it had not to. */
static void test_a_rank_alone_waits_for_others(void **state)
{
    (void)state;
    struct comm alone;
    comm_alone(&comm, &alone);
    assert_true(alone.rank == 0 && alone.size == 1 && alone.node_size == 1 && !alone.nccl);
    for (int i = 0; i < comm.rank; i++) {
        int64_t x[2] = {7, -3}, word = 5;
        int largest = 4, one = 1, zero = 0;
        char text[8] = "";
        double figure = 2.5;
        struct spread spread;
        reduce_sum(&alone, x, 2);
        reduce_max(&alone, x, 2);
        comm_broadcast(&alone, x, sizeof x);
        assert_true(x[0] == 7 && x[1] == -3);
        assert_true(reduce_sum_before(&alone, 9) == 0);
        assert_int_equal(comm_agree_max(&alone, QO_OK, &largest), QO_OK);
        assert_int_equal(largest, 4);
        comm_gather_text(&alone, "mine", sizeof text, text);
        assert_string_equal(text, "mine");
        comm_gather_words(&alone, &word, &one, &zero, x);
        assert_true(x[0] == 5);
        reduce_spread(&alone, &figure, 1, &spread);
        assert_true(spread.min == 2.5 && spread.mean == 2.5 && spread.max == 2.5);
        assert_int_equal(comm_count_equal(&alone, 3), 1);
        comm_wait_all(&alone);
        assert_int_equal(comm_agree(&alone, status_raise(QO_DATA, "rank %d", comm.rank)), QO_DATA);
    }
    char want[32];
    snprintf(want, sizeof want, "rank %d", comm.rank);
    assert_string_equal(comm.rank ? status_text() : want, want);
    assert_int_equal(comm_agree(&comm, QO_OK), QO_OK);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rank_that_fails_alone),
        cmocka_unit_test(test_the_first_of_many_failures_wins_everywhere),
        cmocka_unit_test(test_agreement_on_success),
        cmocka_unit_test(test_a_sum_that_rounds),
        cmocka_unit_test(test_a_digest_that_overflows),
        cmocka_unit_test(test_extremes_and_prefix_sums),
        cmocka_unit_test(test_a_spread_at_the_wrong_rank),
        cmocka_unit_test(test_texts_and_bytes_that_do_not_arrive),
        cmocka_unit_test(test_words_in_the_wrong_place),
        cmocka_unit_test(test_a_rank_alone_waits_for_others),
    };
    comm_open(&comm, &argc, &argv);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    comm_close(&comm);
    return failed;
}
