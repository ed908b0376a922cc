/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include "element.h"
#include "shard.h"

static const int64_t sizes[] = {1,
                                2,
                                QO_BLOCK - 1,
                                QO_BLOCK,
                                QO_BLOCK + 1,
                                3 * (int64_t)QO_BLOCK,
                                7 * (int64_t)QO_BLOCK + 5,
                                10000000,
                                ((int64_t)1 << 31) + 65536,
                                ((int64_t)1 << 60) + 12345};
static const int ranks[] = {1, 2, 3, 8, 100, 65536};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void test_a_gap_or_an_overlap_between_shards(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (size_t j = 0; j < COUNT(ranks); j++) {
            int64_t end = 0;
            for (int r = 0; r < ranks[j]; r++) {
                struct shard shard = shard_of(sizes[i], r, ranks[j]);
                assert_true(shard.begin == end && shard.end >= shard.begin);
                end = shard.end;
            }
            assert_true(end == sizes[i]);
        }
    }
}

static void test_a_shard_that_cuts_a_block(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (size_t j = 0; j < COUNT(ranks); j++) {
            for (int r = 0; r < ranks[j]; r++) {
                struct shard shard = shard_of(sizes[i], r, ranks[j]);
                assert_true(shard.end == sizes[i] || shard.end % QO_BLOCK == 0);
            }
        }
    }
}

static void test_an_uneven_deal(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (size_t j = 0; j < COUNT(ranks); j++) {
            int64_t largest = shard_largest(sizes[i], ranks[j]), seen = 0;
            for (int r = 0; r < ranks[j]; r++) {
                struct shard shard = shard_of(sizes[i], r, ranks[j]);
                int64_t n = shard.end - shard.begin;
                seen = n > seen ? n : seen;
                assert_true(n <= largest);
                /* No rank has two blocks less than another. */
                if (r < ranks[j] - 1)
                    assert_true(n + 2 * (int64_t)QO_BLOCK > largest);
            }
            assert_true(seen == largest);
        }
    }
}

static void test_an_owner_that_does_not_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (size_t j = 0; j < COUNT(ranks); j++) {
            for (int step = 0; step <= 64; step++) {
                int64_t element = (int64_t)((__int128)(sizes[i] - 1) * step / 64);
                int owner = shard_owner(sizes[i], element, ranks[j]);
                struct shard shard = shard_of(sizes[i], owner, ranks[j]);
                assert_true(shard.begin <= element && element < shard.end);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_gap_or_an_overlap_between_shards),
        cmocka_unit_test(test_a_shard_that_cuts_a_block),
        cmocka_unit_test(test_an_uneven_deal),
        cmocka_unit_test(test_an_owner_that_does_not_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
