/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "number.h"
#include "spelling.h"

/* What Python 3 printed for repr() of these; hexadecimal, so that no decimal reader has a say. */
static void test_a_repr_that_is_not_pythons(void **state)
{
    (void)state;
    static const struct {
        double x;
        const char *repr;
    } cases[] = {
        {0x0.0p+0, "0.0"},
        {-0x0.0p+0, "-0.0"},
        {0x1.0000000000000p+0, "1.0"},
        {-0x1.8000000000000p+1, "-3.0"},
        {0x1.9000000000000p+6, "100.0"},
        {0x1.999999999999ap-4, "0.1"},
        {0x1.5555555555555p-2, "0.3333333333333333"},
        {0x1.a36e2eb1c432dp-14, "0.0001"},
        {0x1.a36371ea531a8p-14, "9.999e-05"},
        {0x1.4f8b588e368f1p-17, "1e-05"},
        {0x1.ad7f29abcaf48p-24, "1e-07"},
        {0x1.c6bf526340000p+49, "1000000000000000.0"},
        {0x1.1c37937e07fffp+53, "9999999999999998.0"},
        {0x1.1c37937e08000p+53, "1e+16"},
        {-0x1.1c37937e08000p+53, "-1e+16"},
        {0x1.aa535d3d0c000p+53, "1.5e+16"},
        {0x1.c12218377de40p+46, "123456789012345.0"},
        {0x1.18b54f22aeb00p+50, "1234567890123456.0"},
        {0x1.d0000d93deb95p-4, "0.1132813005805658"},
        {0x1.ed0e2fd33d156p-15, "5.877678600000001e-05"},
        {0x1.6e5b7d16657e1p-6, "0.022360679774997897"},
        {-0x1.02e85be180b74p-13, "-0.00012345678901234567"},
        {0x1.0f0cf064dd592p+73, "1e+22"},
        {0x1.52d02c7e14af6p+76, "1e+23"},
        {0x1.0000000000000p+53, "9007199254740992.0"},
        {0x1.0000000000000p-44, "5.684341886080802e-14"},
        {0x0.0000000000001p-1022, "5e-324"},
        {0x1.0000000000000p-1022, "2.2250738585072014e-308"},
        {-0x1.fffffffffffffp+1023, "-1.7976931348623157e+308"},
        {0x1.0000000000000p+63, "9.223372036854776e+18"},
        {0x1.0000000000000p+70, "1.1805916207174113e+21"},
        {0x1.0000000000000p-25, "2.9802322387695312e-08"},
        {0x1.c7e83209e90b2p+72, "8.41e+21"},
        {0x1.374bc6a7ef9dbp-7, "0.0095"},
        {0x1.0000000000002p+52, "4503599627370498.0"},
        {0x1.249ad2594c37dp+332, "1e+100"},
        {0x0.0000000000001p-1022, "5e-324"},
        {-INFINITY, "-inf"},
        {INFINITY, "inf"},
        {NAN, "nan"},
        {-NAN, "nan"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[25]; /* as promised, so that a sanitizer sees a byte too much */
        number_print_repr(cases[i].x, text, sizeof text);
        assert_string_equal(text, cases[i].repr);
    }
}

static void test_an_echo_with_an_exponent_or_a_point_too_many(void **state)
{
    (void)state;
    static const struct {
        double x;
        const char *text;
    } cases[] = {{100, "100"},    {3, "3"},         {0, "0"},         {-4, "-4"},
                 {2.5, "2.5"},    {1e6, "1000000"}, {0.001, "0.001"}, {1e-7, "1e-07"},
                 {1e16, "1e+16"}, {10.05, "10.05"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[25];
        number_print_real(cases[i].x, text, sizeof text);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_a_number_that_does_not_come_back(void **state)
{
    (void)state;
    static const double nasty[] = {0,
                                   0.1,
                                   1.0 / 3,
                                   1e-7,
                                   5e-324,
                                   2.2250738585072014e-308,
                                   1e23,
                                   -1.5e300,
                                   1.7976931348623157e308,
                                   4503599627370497.5};
    for (size_t i = 0; i < sizeof nasty / sizeof *nasty; i++) {
        char text[32];
        double back;
        number_print_real(nasty[i], text, sizeof text);
        assert_int_equal(number_read_real(text, &back), NUMBER_OK);
        assert_true(back == nasty[i]);
    }
    char text[32];
    number_print_real(0.1, text, sizeof text);
    assert_string_equal(text, "0.1");
}

static void test_a_count_read_wrongly(void **state)
{
    (void)state;
    uint64_t x;
    assert_true(number_read_count("3G", &x) == NUMBER_OK && x == 3000000000u);
    assert_true(number_read_count("18446744073709551615", &x) == NUMBER_OK && x == UINT64_MAX);
    assert_int_equal(number_read_count("18446744073709551616", &x), NUMBER_BEYOND);
    assert_int_equal(number_read_count("99999999999999999999x", &x), NUMBER_WRONG);
    static const char *const bad[] = {"", " 3", "3 ", "+3", "K", "3T", "3 K", "-", "1e3", "0b1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(number_read_count(bad[i], &x), NUMBER_WRONG);
    double real;
    static const char *const unreal[] = {"",   " 3",  "3 ",    "0x1p3", "infinity",
                                         "1e", "--1", "1.2.3", ".",     "1,5"};
    for (size_t i = 0; i < sizeof unreal / sizeof *unreal; i++)
        assert_int_equal(number_read_real(unreal[i], &real), NUMBER_WRONG);
}

static void test_a_size_read_wrongly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t size;
        const char *printed;
    } cases[] = {{"0", 0, "0"},
                 {"1536", 1536, "1536"},
                 {"1024", 1024, "1K"},
                 {"16M", 1 << 24, "16M"},
                 {"16MB", 1 << 24, "16M"},
                 {"16MiB", 1 << 24, "16M"},
                 {"1536K", 1536 << 10, "1536K"},
                 {"2048GiB", (uint64_t)1 << 41, "2T"},
                 {"1025T", (uint64_t)1025 << 40, "1025T"},
                 {"18446744073709551615", UINT64_MAX, "18446744073709551615"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[32];
        uint64_t x;
        assert_int_equal(number_read_size(cases[i].text, &x), NUMBER_OK);
        assert_true(x == cases[i].size);
        number_print_size(x, text, sizeof text);
        assert_string_equal(text, cases[i].printed);
    }
    static const char *const bad[] = {"",    "K",    "1B",   "1iB",  "1KiBx", "1 K", "1k",
                                      "1Ki", "1KBB", "1e3K", "1.5G", "+1K",   "1KM", "-"};
    uint64_t x;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(number_read_size(bad[i], &x), NUMBER_WRONG);
    assert_int_equal(number_read_size("16777216T", &x), NUMBER_BEYOND);
    assert_int_equal(number_read_size("-1K", &x), NUMBER_BEYOND);
}

static void test_a_time_read_wrongly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double seconds;
    } cases[] = {{"90", 90},         {"0.25", 0.25},    {"1e3", 1000},  {"1:30", 90},
                 {"90:00", 5400},    {"1:00:00", 3600}, {"0:00:01", 1}, {"48:00:00", 172800},
                 {"2:59:59", 10799}, {"007:05", 425},   {"-1", -1}};
    double x;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(number_read_time(cases[i].text, &x), NUMBER_OK);
        assert_true(x == cases[i].seconds);
    }
    static const char *const bad[] = {
        "",       ":",     ":30",        "1:",       "1:3", "1:60", "1:60:00", "1:300", "1.5:00",
        "1:30.5", "1:2:3", "1:00:00:00", "-1:00:00", "1h",  "nan",  "1: 0",    "1:30 "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(number_read_time(bad[i], &x), NUMBER_WRONG);
    assert_int_equal(number_read_time("9999999999999999999:00", &x), NUMBER_BEYOND);
    assert_int_equal(number_read_time("99999999999999999999:00:0x", &x), NUMBER_WRONG);
}

static void test_bytes_taken_for_printable(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int at;
    } cases[] = {
        {"plain ~", -1},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", -1},
        {"a\tb", 1},
        {"ab\x7f", 2},
        {"\xc2\x85", 0},
        {"x\xe2\x80\xa8", 1},
        {"\xef\xbb\xbf", 0},
        {"\xc0\xaf", 0},
        {"\xe0\x80\xaf", 0},
        {"\xed\xa0\x80", 0},
        {"\xf4\x90\x80\x80", 0},
        {"\xf0\x80\x80\x80", 0},
        {"a\xc3", 1},
        {"\xe2\x82", 0},
        {"\xef\xbf\xbf", 0},
        {"\x80", 0},
        {"\xf0\x9f\xbf\xbf", 0},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(spelling_unprintable(cases[i].text), cases[i].at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_repr_that_is_not_pythons),
        cmocka_unit_test(test_an_echo_with_an_exponent_or_a_point_too_many),
        cmocka_unit_test(test_a_number_that_does_not_come_back),
        cmocka_unit_test(test_a_count_read_wrongly),
        cmocka_unit_test(test_a_size_read_wrongly),
        cmocka_unit_test(test_a_time_read_wrongly),
        cmocka_unit_test(test_bytes_taken_for_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
