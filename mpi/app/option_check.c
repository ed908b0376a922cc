/* SPDX-License-Identifier: Apache-2.0 */
/* Checks that several types of option share, and how a value is refused. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "number.h"
#include "option_kind.h"
#include "spelling.h"

/* A user looks for a slip where it was made: the status and the words in front say whether that is
 * the command line or a line of a file. */
enum status option_refuse(const struct option_place *place, const char *value, const char *format,
                          ...)
{
    char what[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    bool is_input = place->option->type == TYPE_INPUTS;
    bool is_part = value && place->whole && strcmp(value, place->whole) != 0;
    const char *blank = value ? " " : "", *colon = is_part ? ": " : "";
    const char *part = is_part ? value : "", *given = is_part ? place->whole : value;
    if (!given)
        given = "";
    if (place->file)
        return status_raise(QO_CONFIG, "%s:%d: %s%s%s: %s%s%s", place->file, place->line,
                            place->option->name, blank, given, part, colon, what);
    return status_raise(QO_USAGE, "%s%s%s%s: %s%s%s", is_input ? "" : "--",
                        is_input ? "INPUT" : place->option->name, blank, given, part, colon, what);
}

/* The words of this build, for a message: "quantile, kmeans++, random". */
static void list_words(const struct option_word *words, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (; words->text && used < size; words++)
        if (!words->instead)
            used +=
                (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", words->text);
}

/* Only words that would be accepted: the array holds more than any option has. */
static const char *nearest_word(const struct option_word *words, const char *text)
{
    const char *texts[16];
    int count = 0;
    for (; words->text && count < 16; words++)
        if (!words->instead)
            texts[count++] = words->text;
    return spelling_nearest(text, texts, count);
}

/*
 * Words are compared in full and in case: an abbreviation that is clear today may mean two things
 * in a later build. A word of a later build is refused by name, so that nobody takes it for a slip
 * of the keyboard.
 */
enum status option_find_word(const struct option_place *place, const char *value, int *index)
{
    const struct option *option = place->option;
    const struct option_word *words = option->words;
    for (int i = 0; words[i].text; i++) {
        if (strcmp(words[i].text, value) != 0)
            continue;
        *index = i;
        if (!words[i].instead)
            return QO_OK;
        enum status status =
            option_refuse(place, value, "not in this build; use %s", words[i].instead);
        return words[i].status ? words[i].status : status;
    }
    if (option->instead)
        return option_refuse(place, value, "not in this build; use %s", option->instead);
    if (option->type == TYPE_FLAG) /* the nearest to yes would be false */
        return option_refuse(place, value, "neither true nor false; give one of them");
    char list[256];
    list_words(words, list, sizeof list);
    return option_refuse(place, value, "no such value; did you mean %s? It is one of %s",
                         nearest_word(words, value), list);
}

/* The bounds are double in the table, as those of reals are; all of them are below 2^53, where
 * doubles are exact integers. */
enum status option_read_count(const struct option_place *place, const char *value, int64_t *count)
{
    double lo = place->option->lo, hi = place->option->hi;
    uint64_t x;
    enum number number = number_read_count(value, &x);
    if (number == NUMBER_WRONG)
        return option_refuse(place, value, "not a whole number; give one from %.0f to %.0f", lo,
                             hi);
    if (number == NUMBER_BEYOND || (double)x < lo || (double)x > hi)
        return option_refuse(place, value, "out of range %.0f to %.0f; give a number within it", lo,
                             hi);
    *count = (int64_t)x;
    return QO_OK;
}
