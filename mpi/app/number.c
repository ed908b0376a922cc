/* SPDX-License-Identifier: Apache-2.0 */
#include "number.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits, of at most 2^64-1; *end is behind them. */
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

enum number number_read_whole(const char *text, uint64_t *x)
{
    bool negative = *text == '-';
    const char *end;
    enum number result = read_digits(text + negative, &end, x);
    if (result == NUMBER_WRONG || *end != '\0')
        return NUMBER_WRONG;
    return negative ? NUMBER_BEYOND : result;
}

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

/* strtod alone would take blanks, hexadecimals, inf and nan too. */
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

void number_print_real(double x, char *out, size_t size)
{
    for (int digits = 1; digits <= DBL_DECIMAL_DIG; digits++) {
        snprintf(out, size, "%.*g", digits, x);
        if (strtod(out, NULL) == x)
            return;
    }
}
