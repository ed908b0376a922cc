/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <cmocka.h>
#include <pthread.h>

#include "cells.h"
#include "element.h"
#include "exact.h"
#include "fault.h"
#include "memory.h"

/* base/ against independent arithmetic: element types, keys, exact sums, cells, memory. */

/* splitmix64 */
static uint64_t random_bits(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* The value of a small format from its definition, by ldexp. */
static double plain_value(uint64_t bits, int mantissa_bits, int width)
{
    int64_t mantissa = (int64_t)(bits & (((uint64_t)1 << mantissa_bits) - 1));
    int exponent = (int)(bits >> mantissa_bits) & ((1 << width) - 1), bias = (1 << (width - 1)) - 1;
    double sign = bits >> (mantissa_bits + width) & 1 ? -1 : 1;
    if (exponent == (1 << width) - 1)
        return mantissa ? NAN : sign * INFINITY;
    if (exponent > 0)
        mantissa += (int64_t)1 << mantissa_bits;
    return sign * ldexp((double)mantissa, (exponent > 0 ? exponent : 1) - bias - mantissa_bits);
}

static void test_sixteen_bit_value_wrong(void **state)
{
    (void)state;
    for (uint64_t bits = 0; bits < 65536; bits++) {
        double half = plain_value(bits, 10, 5), brain = plain_value(bits, 7, 8);
        double a = element_value(ELEMENT_F16, bits), b = element_value(ELEMENT_BF16, bits);
        assert_true(isnan(half) ? isnan(a) : a == half && signbit(a) == signbit(half));
        assert_true(isnan(brain) ? isnan(b) : b == brain && signbit(b) == signbit(brain));
        assert_int_equal(element_is_finite(ELEMENT_F16, bits), isfinite(half));
        assert_int_equal(element_is_finite(ELEMENT_BF16, bits), isfinite(brain));
    }
}

static void test_value_does_not_come_back(void **state)
{
    (void)state;
    for (int type = 0; type < 2; type++)
        for (uint64_t bits = 0; bits < 65536; bits++) {
            double x = element_value((enum element_type)type, bits);
            uint64_t back = element_from_double((enum element_type)type, x);
            if (isnan(x))
                assert_true(isnan(element_value((enum element_type)type, back)));
            else
                assert_int_equal(back, bits);
        }
}

/*
 * Rounding by definition: of the two neighbours around x the nearer one, of equals the even one.
 * Neighbours are found by the keys of all finite values; beyond the largest stands what would
 * follow it.
 */
static uint64_t plain_round(enum element_type type, double x)
{
    int mantissa = element_mantissa_bits(type), width = 15 - mantissa;
    uint64_t infinity = (((uint64_t)1 << width) - 1) << mantissa;
    uint64_t below = 0, above = infinity; /* magnitudes are ordered as their bits are */
    double size = fabs(x), beyond = ldexp(1, 1 << (width - 1));
    if (size >= beyond)
        return infinity;
    while (above - below > 1) {
        uint64_t middle = (below + above) / 2;
        if (plain_value(middle, mantissa, width) <= size)
            below = middle;
        else
            above = middle;
    }
    double low = plain_value(below, mantissa, width);
    double high = above == infinity ? beyond : plain_value(above, mantissa, width);
    double down = size - low, up = high - size; /* both exact: neighbours are close */
    return down < up || (down == up && below % 2 == 0) ? below : above;
}

static void test_double_rounded_twice_or_wrongly(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int type = 0; type < 2; type++) {
        enum element_type t = (enum element_type)type;
        for (uint64_t bits = 0; bits < 65536; bits += 1 + random_bits(&seed) % 7) {
            double x = element_value(t, bits), next = element_value(t, (bits + 1) & 0xffff);
            double half = x / 2 + next / 2; /* a tie */
            double tries[5] = {x, half, nextafter(half, INFINITY), nextafter(half, -INFINITY),
                               half * (1 + 0x1p-30)};
            for (int i = 0; i < 5 && !isnan(half); i++) {
                uint64_t got = element_from_double(t, tries[i]);
                assert_int_equal(got & 0x7fff, plain_round(t, tries[i]));
                assert_int_equal(got >> 15, signbit(tries[i]) != 0);
            }
        }
    }
}

static void test_tricky_double_rounded_wrongly(void **state)
{
    (void)state;
    static const struct {
        double x;
        uint16_t half, brain;
    } cases[] = {
        {65504, 0x7bff, 0x4780},
        {65519.999, 0x7bff, 0x4780},
        {65520, 0x7c00, 0x4780},
        {0x1p-24, 0x0001, 0x3380},
        {0x1p-25, 0x0000, 0x3300},
        {0x1.000001p-25, 0x0001, 0x3300},
        {0x1.8p-24, 0x0002, 0x33c0},
        {0x1p-1074, 0, 0},
        {-0.0, 0x8000, 0x8000},
        {-INFINITY, 0xfc00, 0xff80},
        {DBL_MAX, 0x7c00, 0x7f80},
        {1.00390625, 0x3c04, 0x3f80},
        {1.01171875, 0x3c0c, 0x3f82},
        {0x1p-133, 0, 0x0001},
        {0x1p-134, 0, 0},
        {0x1.000001p-134, 0, 0x0001},
        {0x1.ffcp-15, 0x0400, 0x3880},
        {3.3895313892515355e38, 0x7c00, 0x7f7f},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(element_from_double(ELEMENT_F16, cases[i].x), cases[i].half);
        assert_int_equal(element_from_double(ELEMENT_BF16, cases[i].x), cases[i].brain);
    }
    assert_int_equal(element_from_double(ELEMENT_F32, 1 + 0x1p-24), 0x3f800000);
    assert_int_equal(element_from_double(ELEMENT_F32, 1 + 0x1.8p-23), 0x3f800002);
    assert_int_equal(element_from_double(ELEMENT_F32, 1e39), 0x7f800000);
    assert_true(element_from_double(ELEMENT_F64, -0.5) == 0xbfe0000000000000u);
}

static void test_keys_do_not_order_as_values(void **state)
{
    (void)state;
    uint64_t seed = 2;
    for (int type = 0; type < ELEMENT_NUM_TYPES; type++) {
        enum element_type t = (enum element_type)type;
        for (int i = 0; i < 100000; i++) {
            uint64_t a = random_bits(&seed) & element_last_key(t),
                     b = random_bits(&seed) & element_last_key(t);
            if (i % 2) /* neighbours too */
                b = (a + 1) & element_last_key(t);
            double x = element_value(t, a), y = element_value(t, b);
            assert_true(element_unkey(t, element_key(t, a)) == a);
            if (x < y)
                assert_true(element_key(t, a) < element_key(t, b));
        }
        uint64_t minus = element_key(t, element_sign(t)), plus = element_key(t, 0);
        assert_true(minus + 1 == plus);
    }
}

static void test_step_of_a_key_is_not_an_ulp(void **state)
{
    (void)state;
    uint64_t one = element_key(ELEMENT_F32, element_from_double(ELEMENT_F32, 1.0));
    for (uint64_t offset = 0; offset < cell_map_binade(ELEMENT_F32); offset += 4097) {
        double x = element_value(ELEMENT_F32, element_unkey(ELEMENT_F32, one + offset));
        assert_true(x == 1 + (double)offset * 0x1p-23);
    }
}

static void test_bytes_swapped_wrongly(void **state)
{
    (void)state;
    unsigned char x[16], want[16];
    for (int type = 0; type < ELEMENT_NUM_TYPES; type++) {
        size_t size = element_size((enum element_type)type);
        for (size_t i = 0; i < 16; i++) {
            x[i] = (unsigned char)(i + 1);
            want[i] = (unsigned char)(i / size * size + (size - 1 - i % size) + 1);
        }
        element_swap_bytes((enum element_type)type, x, (int64_t)(16 / size));
        assert_memory_equal(x, want, 16);
    }
}

static void test_type_names(void **state)
{
    (void)state;
    enum element_type found;
    for (int type = 0; type < ELEMENT_NUM_TYPES; type++) {
        assert_true(element_find(element_name((enum element_type)type), &found));
        assert_int_equal(found, type);
    }
    assert_false(element_find("float8", &found));
    assert_false(element_find("float", &found));
}

/* Doubles of similar size: their sum as a 128-bit integer, rounded by the compiler's conversion. */
static void test_exact_sum_rounds(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int round = 0; round < 300; round++) {
        struct exact_sum sum = {{0}, 0};
        unsigned __int128 truth = 0;
        int shift = (int)(random_bits(&seed) % 1000) - 500;
        for (int i = 0; i < 200; i++) {
            uint64_t term = random_bits(&seed) >> (11 + random_bits(&seed) % 50);
            int up = (int)(random_bits(&seed) % 60);
            truth += (unsigned __int128)term << up;
            exact_sum_add(&sum, ldexp((double)term, up + shift));
        }
        assert_true(exact_sum_round(&sum) == ldexp((double)truth, shift));
    }
}

static void test_exact_sum_depends_on_order(void **state)
{
    (void)state;
    enum { N = 3000 };
    uint64_t seed = 4;
    static double x[N];
    struct exact_sum all = {{0}, 0}, parts[7] = {{{0}, 0}};
    for (int i = 0; i < N; i++) {
        uint64_t bits = random_bits(&seed) >> 1; /* non-negative, any exponent */
        memcpy(&x[i], &bits, 8);
        x[i] = isfinite(x[i]) ? x[i] * 0x1p-13 : 1;
        exact_sum_add(&all, x[i]);
    }
    for (int i = N - 1; i > 0; i--) { /* shuffle */
        int j = (int)(random_bits(&seed) % (uint64_t)(i + 1));
        double swap = x[i];
        x[i] = x[j];
        x[j] = swap;
    }
    for (int i = 0; i < N; i++)
        exact_sum_add(&parts[i % 7], x[i]);
    for (int p = 1; p < 7; p++) {
        if (p % 2)
            exact_sum_carry(&parts[p]);
        exact_sum_merge(&parts[0], &parts[p]);
    }
    assert_true(exact_sum_round(&all) == exact_sum_round(&parts[0]));
    exact_sum_carry(&all);
    exact_sum_carry(&parts[0]);
    assert_memory_equal(&all, &parts[0], sizeof all);
}

static void test_exact_sum_of_extremes(void **state)
{
    (void)state;
    struct exact_sum sum = {{0}, 0};
    assert_true(exact_sum_round(&sum) == 0);
    exact_sum_add(&sum, 0x1p-1074);
    assert_true(exact_sum_round(&sum) == 0x1p-1074);
    for (int i = 0; i < 3; i++)
        exact_sum_add(&sum, 0x1p-1074);
    assert_true(exact_sum_round(&sum) == 0x1p-1072);
    exact_sum_add(&sum, 1);
    assert_true(exact_sum_round(&sum) == 1);
    exact_sum_add(&sum, 0x1p-53); /* a tie, but the four subnormals break it */
    assert_true(exact_sum_round(&sum) == 1 + 0x1p-52);
    struct exact_sum tie = {{0}, 0};
    exact_sum_add(&tie, 1);
    exact_sum_add(&tie, 0x1p-53);
    assert_true(exact_sum_round(&tie) == 1);
    exact_sum_add(&tie, 0x1p-52);
    assert_true(exact_sum_round(&tie) == 1 + 0x1p-51);
    exact_sum_add(&sum, DBL_MAX);
    assert_true(exact_sum_round(&sum) == DBL_MAX);
    exact_sum_add(&sum, DBL_MAX);
    assert_true(isinf(exact_sum_round(&sum)));
    exact_sum_add(&tie, INFINITY);
    assert_true(isinf(exact_sum_round(&tie)));
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Ascending and distinct, 0 first. */
static int64_t random_lows(uint64_t *low, int n, uint64_t most, uint64_t *seed)
{
    int64_t distinct = 1;
    for (int i = 1; i < n; i++)
        low[i] = random_bits(seed) % most;
    low[0] = 0;
    qsort(low, (size_t)n, sizeof *low, compare_keys);
    for (int i = 1; i < n; i++)
        if (low[i] != low[distinct - 1])
            low[distinct++] = low[i];
    return distinct;
}

static void test_cell_of_a_key_wrong(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int round = 0; round < 200; round++) {
        enum element_type type = (enum element_type)(round % ELEMENT_NUM_TYPES);
        uint64_t last = element_last_key(type), low[300];
        uint64_t most = round % 3 ? last : 400; /* crowded at the start, too */
        struct cell_map map;
        int64_t n = random_lows(low, 1 + (int)(random_bits(&seed) % 300), most, &seed);
        uint64_t a = random_bits(&seed) & last, b = random_bits(&seed) & last;
        assert_int_equal(cell_map_init(&map, type, low, n, a < b ? a : b, a < b ? b : a), QO_OK);
        for (int i = 0; i < 500; i++) {
            uint64_t key = random_bits(&seed) & last;
            if (i % 2) /* first keys and their neighbours */
                key = (low[i % n] + (uint64_t)(i % 3) - 1) & last;
            int64_t cell = n - 1;
            while (low[cell] > key)
                cell--;
            assert_int_equal(cell_map_find(&map, key), cell);
        }
        cell_map_clear(&map);
        cell_map_clear(&map);
    }
}

static void test_cell_sums_lose_a_carry(void **state)
{
    (void)state;
    uint64_t seed = 6;
    for (int round = 0; round < 50; round++) {
        struct cell cells[3] = {{0, {0}, {0}}};
        unsigned __int128 sum = 0, square = 0;
        for (int i = 0; i < 60000; i++) { /* squares up to 2^104: 128 bits hold all */
            uint64_t offset =
                random_bits(&seed) >> (12 + random_bits(&seed) % (uint64_t)(1 + round));
            sum += offset;
            square += (unsigned __int128)offset * offset;
            cell_add(&cells[i % 3], offset);
        }
        cell_merge(&cells[0], &cells[1]);
        cell_merge(&cells[0], &cells[2]);
        assert_int_equal(cells[0].count, 60000);
        assert_true(cells[0].sum[0] == (uint64_t)sum && cells[0].sum[1] == (uint64_t)(sum >> 64));
        assert_true(cells[0].square[0] == (uint64_t)square);
        assert_true(cells[0].square[1] == (uint64_t)(square >> 64) && cells[0].square[2] == 0);
    }
}

static void test_merged_words_lose_a_carry(void **state)
{
    (void)state;
    struct cell a = {1, {UINT64_MAX, 0}, {UINT64_MAX, UINT64_MAX, 4}}, b = {2, {1, 7}, {1, 0, 0}};
    cell_merge(&a, &b);
    assert_true(a.count == 3 && a.sum[0] == 0 && a.sum[1] == 8);
    assert_true(a.square[0] == 0 && a.square[1] == 0 && a.square[2] == 5);
}

static void test_impossible_memory_granted(void **state)
{
    (void)state;
    void *block = &block;
    assert_int_equal(memory_alloc("too much", INT64_MAX, 16, &block), QO_NO_MEMORY);
    assert_null(block);
    assert_non_null(strstr(status_text(), "too much"));
    assert_int_equal(memory_alloc("negative", -1, 1, &block), QO_NO_MEMORY);
    assert_int_equal(memory_alloc("nothing", 0, 8, &block), QO_OK);
    assert_non_null(block);
    memory_free(block);
}

static void test_memory_neither_zeroed_nor_aligned(void **state)
{
    (void)state;
    for (int64_t n = 1; n < 300000; n = n * 3 + 1) {
        unsigned char *block;
        assert_int_equal(memory_alloc("block", n, 1, &block), QO_OK);
        assert_int_equal((uintptr_t)block % QO_ALIGNMENT, 0);
        for (int64_t i = 0; i < n; i++)
            assert_int_equal(block[i], 0);
        memset(block, 0xff, (size_t)n);
        memory_free(block);
    }
    assert_true(memory_peak() > 0);
}

/* Raises, and gives back a copy of what it kept, to be freed. */
static void *raise_elsewhere(void *code)
{
    *(enum status *)code = status_raise(QO_IO, "of the other thread");
    return strdup(status_text());
}

static void test_text_of_one_thread_in_another(void **state)
{
    (void)state;
    pthread_t thread;
    enum status code = QO_OK;
    void *text = NULL;
    assert_int_equal(status_raise(QO_DATA, "of this thread"), QO_DATA);
    assert_int_equal(pthread_create(&thread, NULL, raise_elsewhere, &code), 0);
    assert_int_equal(pthread_join(thread, &text), 0);
    assert_int_equal(code, QO_IO);
    assert_string_equal(text, "of the other thread");
    assert_string_equal(status_text(), "of this thread");
    free(text);
    status_clear();
}

/* Makes this many fallible calls; how many of them were to fail. */
static void *call_fallibly(void *num_failed)
{
    for (int i = 0; i < 100000; i++)
        *(int *)num_failed += fault_here();
    return NULL;
}

static void test_fault_lost_or_doubled_between_threads(void **state)
{
    (void)state;
    setenv("QUANTOPT_FAULT", "90000", 1);
    for (int round = 0; round < 20; round++) {
        pthread_t thread[3];
        int failed[3] = {0};
        fault_setup(0);
        for (int i = 0; i < 3; i++)
            assert_int_equal(pthread_create(&thread[i], NULL, call_fallibly, &failed[i]), 0);
        for (int i = 0; i < 3; i++)
            assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(failed[0] + failed[1] + failed[2], 1);
    }
    unsetenv("QUANTOPT_FAULT");
    fault_setup(0);
}

static void test_fault_comes_at_the_wrong_call(void **state)
{
    (void)state;
    setenv("QUANTOPT_FAULT", "3@1", 1);
    fault_setup(0); /* another rank's */
    for (int i = 0; i < 10; i++)
        assert_false(fault_here());
    fault_setup(1);
    for (int i = 1; i <= 10; i++)
        assert_int_equal(fault_here(), i == 3);
    unsetenv("QUANTOPT_FAULT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sixteen_bit_value_wrong),
        cmocka_unit_test(test_value_does_not_come_back),
        cmocka_unit_test(test_double_rounded_twice_or_wrongly),
        cmocka_unit_test(test_tricky_double_rounded_wrongly),
        cmocka_unit_test(test_keys_do_not_order_as_values),
        cmocka_unit_test(test_step_of_a_key_is_not_an_ulp),
        cmocka_unit_test(test_bytes_swapped_wrongly),
        cmocka_unit_test(test_type_names),
        cmocka_unit_test(test_exact_sum_rounds),
        cmocka_unit_test(test_exact_sum_depends_on_order),
        cmocka_unit_test(test_exact_sum_of_extremes),
        cmocka_unit_test(test_cell_of_a_key_wrong),
        cmocka_unit_test(test_cell_sums_lose_a_carry),
        cmocka_unit_test(test_merged_words_lose_a_carry),
        cmocka_unit_test(test_impossible_memory_granted),
        cmocka_unit_test(test_memory_neither_zeroed_nor_aligned),
        cmocka_unit_test(test_fault_comes_at_the_wrong_call),
        cmocka_unit_test(test_text_of_one_thread_in_another),
        cmocka_unit_test(test_fault_lost_or_doubled_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
