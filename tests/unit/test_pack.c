/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include <string.h>

#include "pack.h"

/* A seeded generator for test data (xorshift64*). */
static uint64_t random_state = 1;

static uint64_t next_random(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1du;
}

#define CELLS 64
#define RANKS 37

/* A map with cells as wide as a binade of float64: 52-bit offsets. */
static void make_map(struct cell_map *map)
{
    uint64_t low[CELLS];
    for (uint64_t i = 0; i < CELLS; i++)
        low[i] = i << 52;
    assert_int_equal(cell_map_init(map, ELEMENT_F64, low, CELLS, 0, low[CELLS - 1]), QO_OK);
}

static void test_a_carry_lost_between_ranks(void **state)
{
    (void)state;
    static struct cell cells[CELLS], sum[CELLS], back[CELLS];
    static int64_t words[CELLS * 11], total[CELLS * 11];
    struct cell_map map;
    make_map(&map);
    struct cell_packing packing = pack_cells_plan(&map, INT64_MAX / 2);
    assert_int_equal(packing.words, 11);
    for (int rank = 0; rank < RANKS; rank++) {
        for (int i = 0; i < CELLS; i++) {
            cells[i].count = next_random() >> 8;
            for (int w = 0; w < 2; w++) /* all ones now and then: the longest carries */
                cells[i].sum[w] = next_random() % 4 ? next_random() : UINT64_MAX;
            for (int w = 0; w < 2; w++)
                cells[i].square[w] = next_random() % 4 ? next_random() : UINT64_MAX;
            cells[i].sum[1] >>= 16; /* the sum over ranks must fit, as it does in a run */
            cells[i].square[2] = next_random() >> 16;
            cell_merge(&sum[i], &cells[i]);
        }
        pack_cells(&packing, cells, CELLS, words);
        for (int w = 0; w < CELLS * packing.words; w++)
            total[w] += words[w];
    }
    unpack_cells(&packing, total, CELLS, back);
    assert_memory_equal(back, sum, sizeof back);
    cell_map_clear(&map);
}

static void test_limbs_too_few_for_the_vector(void **state)
{
    (void)state;
    struct cell_map map;
    make_map(&map);
    for (int log2_n = 0; log2_n < 40; log2_n++) {
        /* The worst that n elements can add up to: the last offset each time. */
        int64_t n = (int64_t)1 << log2_n;
        struct cell_packing packing = pack_cells_plan(&map, n);
        uint64_t offset = ((uint64_t)1 << 52) - 1;
        unsigned __int128 square = (unsigned __int128)offset * offset;
        struct cell cell = {.count = (uint64_t)n}, back;
        unsigned __int128 sum = (unsigned __int128)offset << log2_n;
        cell.sum[0] = (uint64_t)sum;
        cell.sum[1] = (uint64_t)(sum >> 64);
        cell.square[0] = (uint64_t)(square << log2_n);
        cell.square[1] = (uint64_t)(square << log2_n >> 64);
        cell.square[2] = log2_n ? (uint64_t)(square >> (128 - log2_n)) : 0;
        int64_t words[11];
        pack_cells(&packing, &cell, 1, words);
        unpack_cells(&packing, words, 1, &back);
        assert_memory_equal(&back, &cell, sizeof cell);
    }
    cell_map_clear(&map);
}

static void test_words_sent_for_offsets_that_cannot_be(void **state)
{
    (void)state;
    uint64_t low[1024];
    struct cell_map map;
    for (uint64_t i = 0; i < 1024; i++)
        low[i] = i;
    assert_int_equal(cell_map_init(&map, ELEMENT_F16, low, 1024, 0, 1023), QO_OK);
    map.low[1023] =
        element_last_key(ELEMENT_F16); /* as in a complete map: the last cell is one key */
    for (uint64_t i = 0; i < 1023; i++)
        map.low[i] = element_last_key(ELEMENT_F16) - 1023 + i;
    assert_int_equal(pack_cells_plan(&map, 1000000).words, 1);
    cell_map_clear(&map);
}

static void test_a_sign_lost_in_a_wide_sum(void **state)
{
    (void)state;
    __int128 truth = 0;
    int64_t total[PACK_WIDE_WORDS] = {0};
    for (int rank = 0; rank < RANKS; rank++) {
        struct wide_sum sum = {0};
        for (int i = 0; i < 100; i++) {
            int64_t x = (int64_t)next_random() >> (next_random() % 8);
            wide_sum_add(&sum, x);
            truth += x;
        }
        int64_t words[PACK_WIDE_WORDS];
        pack_wide(&sum, words);
        for (int w = 0; w < PACK_WIDE_WORDS; w++)
            total[w] += words[w];
        assert_true(unpack_wide(total) == truth);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_carry_lost_between_ranks),
        cmocka_unit_test(test_limbs_too_few_for_the_vector),
        cmocka_unit_test(test_words_sent_for_offsets_that_cannot_be),
        cmocka_unit_test(test_a_sign_lost_in_a_wide_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
