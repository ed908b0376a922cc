/* SPDX-License-Identifier: Apache-2.0 */
#include "number.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* isdigit would ask the locale, and is undefined for a negative char. */
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits, of at most 2^64-1; *end is behind them, behind all of them even where they are too many:
 * the caller tells a number that is too large from a text that is none. */
static enum number read_digits(const char *text, const char **end, uint64_t *x)
{
    enum number result = is_digit(*text) ? NUMBER_OK : NUMBER_WRONG;
    *x = 0;
    for (; is_digit(*text); text++)
        if (__builtin_mul_overflow(*x, (uint64_t)10, x) ||
            __builtin_add_overflow(*x, (uint64_t)(*text - '0'), x))
            result = NUMBER_BEYOND;
    *end = text;
    return result;
}

/* What K, M and G multiply a count by; 0 for another letter. */
static uint64_t suffix_factor(char c)
{
    return c == 'K' ? 1000 : c == 'M' ? 1000000 : c == 'G' ? 1000000000 : 0;
}

/*
 * A sign of minus is read so that -3 is told to be out of range, which mends it, and not to be no
 * number, which would be wrong. A plus has no use where nothing is negative.
 */
enum number number_read_whole(const char *text, uint64_t *x)
{
    bool negative = *text == '-';
    const char *end;
    enum number result = read_digits(text + negative, &end, x);
    if (result == NUMBER_WRONG || *end != '\0')
        return NUMBER_WRONG;
    return negative ? NUMBER_BEYOND : result;
}

/* The suffixes are powers of ten, as counts of elements are spoken of, not of two as sizes. Beyond
 * 2^64 the rest of the text is still looked at: 99999999999999999999x is no number at all. */
enum number number_read_count(const char *text, uint64_t *x)
{
    bool negative = *text == '-';
    const char *end;
    enum number result = read_digits(text + negative, &end, x);
    if (result == NUMBER_WRONG)
        return result;
    if (suffix_factor(*end) && __builtin_mul_overflow(*x, suffix_factor(*end), x))
        result = NUMBER_BEYOND;
    if (end[suffix_factor(*end) != 0] != '\0')
        return NUMBER_WRONG;
    return negative ? NUMBER_BEYOND : result;
}

/* The suffixes of sizes in their order: each is 2^10 times the one before. */
static const char size_suffixes[] = "KMGT";

/* Powers of two only, as memory is counted. A B alone is no suffix: Kb, KB and kB mean too many
 * things to too many people for more spellings than these. */
enum number number_read_size(const char *text, uint64_t *x)
{
    bool negative = *text == '-';
    const char *end;
    enum number result = read_digits(text + negative, &end, x);
    if (result == NUMBER_WRONG)
        return result;
    const char *suffix = *end ? strchr(size_suffixes, *end) : NULL;
    if (suffix) {
        int power = 10 * (int)(suffix - size_suffixes + 1);
        if (__builtin_mul_overflow(*x, (uint64_t)1 << power, x))
            result = NUMBER_BEYOND;
        end++;
        end += strcmp(end, "iB") == 0 ? 2 : strcmp(end, "B") == 0 ? 1 : 0;
    }
    if (*end != '\0')
        return NUMBER_WRONG;
    return negative ? NUMBER_BEYOND : result;
}

/*
 * strtod alone would take blanks, hexadecimals, inf and nan too, so only what can be part of a
 * plain decimal reaches it. It reports ERANGE for subnormals as well: these are good; only what it
 * made infinite or zero is lost.
 */
enum number number_read_real(const char *text, double *x)
{
    bool any_digit = false;
    for (const char *c = text; *c; c++) {
        if (!is_digit(*c) && !strchr("+-.eE", *c))
            return NUMBER_WRONG;
        any_digit |= is_digit(*c);
    }
    char *end;
    errno = 0;
    *x = strtod(text, &end);
    if (!any_digit || *end != '\0')
        return NUMBER_WRONG;
    return errno == ERANGE && (!isfinite(*x) || *x == 0) ? NUMBER_BEYOND : NUMBER_OK;
}

/* With colons all parts are whole. The first part has no bound: 90:00 is an hour and a half, as the
 * limits of batch systems are written. */
enum number number_read_time(const char *text, double *x)
{
    uint64_t total;
    const char *end;
    int colons = 0;
    if (!strchr(text, ':'))
        return number_read_real(text, x);
    enum number result = read_digits(text, &end, &total);
    for (; *end == ':'; end += 3, colons++) {
        if (!is_digit(end[1]) || end[1] > '5' || !is_digit(end[2]))
            return NUMBER_WRONG;
        uint64_t part = (uint64_t)(10 * (end[1] - '0') + end[2] - '0');
        if (__builtin_mul_overflow(total, (uint64_t)60, &total) ||
            __builtin_add_overflow(total, part, &total))
            result = result == NUMBER_WRONG ? result : NUMBER_BEYOND;
    }
    *x = (double)total;
    return *end != '\0' || colons > 2 ? NUMBER_WRONG : result;
}

/* 17 significant digits tell any two doubles apart (DBL_DECIMAL_DIG). */
#define MAX_DIGITS DBL_DECIMAL_DIG

/* Room for those digits, a point, a sign and "e-324" in the works below. */
#define WORK_BYTES 40

/* A positive decimal d.ddd * 10^exponent: the digits without the point. */
struct decimal {
    char digits[MAX_DIGITS + 1];
    int exponent;
};

/* x rounded to so many digits; printf rounds correctly, so no other arithmetic is needed. */
static struct decimal round_to(double x, int precision)
{
    struct decimal decimal = {.exponent = 0};
    char text[WORK_BYTES];
    int used = 0;
    snprintf(text, sizeof text, "%.*e", precision - 1, x);
    for (const char *c = text; *c != 'e'; c++)
        if (is_digit(*c) && used < MAX_DIGITS)
            decimal.digits[used++] = *c;
    decimal.exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    return decimal;
}

static bool reads_back(const struct decimal *decimal, double x)
{
    char text[WORK_BYTES];
    int length = (int)strlen(decimal->digits);
    snprintf(text, sizeof text, "%se%d", decimal->digits, decimal->exponent - length + 1);
    return strtod(text, NULL) == x;
}

/* Adds one to the last digit. Nines all over stay: 10...0 is the same number with one digit, and
 * was tried before. */
static void step_up(struct decimal *decimal)
{
    size_t i = strlen(decimal->digits);
    if (strspn(decimal->digits, "9") == i)
        return;
    while (decimal->digits[--i] == '9')
        decimal->digits[i] = '0';
    decimal->digits[i]++;
}

/*
 * The shortest decimal that reads back as x > 0. The nearest one of a length is tried first, then
 * the one above it: doubles lie closer together below a power of two than above it, so that a
 * decimal farther above can still be taken for x where the nearest one, below, is not.
 */
static struct decimal shortest(double x)
{
    struct decimal decimal = round_to(x, MAX_DIGITS);
    for (int precision = 1; precision < MAX_DIGITS; precision++) {
        struct decimal shorter = round_to(x, precision);
        if (!reads_back(&shorter, x))
            step_up(&shorter);
        if (reads_back(&shorter, x))
            return shorter;
    }
    return decimal;
}

/* "123.0", "0.00123": without an exponent. */
static void print_fixed(const struct decimal *decimal, char *out, size_t size)
{
    int length = (int)strlen(decimal->digits), point = decimal->exponent + 1;
    if (point <= 0)
        snprintf(out, size, "0.%.*s%s", -point, "0000", decimal->digits); /* from 1e-4 on */
    else if (length <= point)
        snprintf(out, size, "%s%.*s.0", decimal->digits, point - length, "0000000000000000");
    else
        snprintf(out, size, "%.*s.%s", point, decimal->digits, decimal->digits + point);
}

/* "1e+16", "1.5e-07". */
static void print_scientific(const struct decimal *decimal, char *out, size_t size)
{
    const char *rest = decimal->digits + 1;
    snprintf(out, size, "%c%s%se%+03d", decimal->digits[0], *rest ? "." : "", rest,
             decimal->exponent);
}

void number_print_repr(double x, char *out, size_t size)
{
    if (isnan(x)) { /* Python shows no sign of it */
        snprintf(out, size, "nan");
        return;
    }
    bool negative = signbit(x) != 0;
    snprintf(out, size, "%s%s", negative ? "-" : "", isinf(x) ? "inf" : "0.0");
    if (isinf(x) || x == 0)
        return;
    struct decimal decimal = shortest(fabs(x));
    bool fixed = decimal.exponent >= -4 && decimal.exponent < 16;
    (fixed ? print_fixed : print_scientific)(&decimal, out + negative, size - negative);
}

/* Told apart from repr for the echo: a user who gave 3 reads 3. */
void number_print_real(double x, char *out, size_t size)
{
    number_print_repr(x, out, size);
    size_t length = strlen(out);
    if (length > 2 && strcmp(out + length - 2, ".0") == 0)
        out[length - 2] = '\0';
}

void number_print_size(uint64_t x, char *out, size_t size)
{
    int power = 0;
    while (x != 0 && x % 1024 == 0 && size_suffixes[power] != '\0') {
        x /= 1024;
        power++;
    }
    snprintf(out, size, "%llu%.*s", (unsigned long long)x, power > 0,
             power ? &size_suffixes[power - 1] : "");
}
