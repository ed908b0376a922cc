/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include <string.h>

#include "deal.h"

enum { MOST_PIECES = 5000, MOST_RANKS = 700 };

static int64_t cost[MOST_PIECES], load[MOST_RANKS];
static int rank[MOST_PIECES];

/* Costs as different as those of vectors are; the same each time. */
static int64_t draw(int i)
{
    uint64_t x = (uint64_t)(i + 1) * 0x9e3779b97f4a7c15u;
    return (int64_t)(x >> 50) << (x & 7);
}

/* Deals, adds up, and returns the largest load. */
static int64_t deal(int num, int size)
{
    int64_t most = 0;
    memset(load, 0, sizeof load);
    assert_int_equal(deal_by_cost(cost, num, size, rank), QO_OK);
    for (int i = 0; i < num; i++) {
        assert_in_range(rank[i], 0, size - 1);
        load[rank[i]] += cost[i];
    }
    for (int r = 0; r < size; r++)
        most = load[r] > most ? load[r] : most;
    return most;
}

static void test_one_rank_has_more_than_its_share(void **state)
{
    (void)state;
    const int sizes[] = {1, 2, 3, 8, 64, MOST_RANKS};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t sum = 0, dearest = 0;
        for (int i = 0; i < MOST_PIECES; i++) {
            cost[i] = draw(i);
            sum += cost[i];
            dearest = cost[i] > dearest ? cost[i] : dearest;
        }
        int64_t ideal = (sum + sizes[s] - 1) / sizes[s];
        int64_t least = ideal > dearest ? ideal : dearest; /* no dealing is better than this */
        assert_true(3 * deal(MOST_PIECES, sizes[s]) <= 4 * least);
    }
}

/* The example at which taking pieces as they come is worst: the dearest one last. */
static void test_the_dearest_piece_comes_last(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++)
        cost[i] = 1;
    cost[6] = 3;
    assert_int_equal(deal(7, 3), 3);
}

static void test_ranks_deal_differently_where_costs_are_equal(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        cost[i] = 5;
    deal(10, 4);
    for (int i = 0; i < 10; i++)
        assert_int_equal(rank[i], i % 4);
}

static void test_more_ranks_than_pieces(void **state)
{
    (void)state;
    cost[0] = 1, cost[1] = 0, cost[2] = 9;
    assert_int_equal(deal(3, 8), 9);
    assert_true(rank[2] == 0 && rank[0] == 1 && rank[1] == 2);
    assert_int_equal(deal(0, 8), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_rank_has_more_than_its_share),
        cmocka_unit_test(test_the_dearest_piece_comes_last),
        cmocka_unit_test(test_ranks_deal_differently_where_costs_are_equal),
        cmocka_unit_test(test_more_ranks_than_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
