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

/* For a message: "quantile, kmeans++, random". */
static void list_words(const char *const *words, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (; *words && used < size; words++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", *words);
}

static const char *nearest_word(const char *const *words, const char *text)
{
    int count = 0;
    while (words[count])
        count++;
    return spelling_nearest(text, words, count);
}

/* Words are compared in full and in case: an abbreviation that is clear today may mean two things
 * in a later build. */
enum status option_find_word(const struct option_place *place, const char *value, int *index)
{
    const struct option *option = place->option;
    const char *const *words = option->words;
    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], value) == 0) {
            *index = i;
            return QO_OK;
        }
    }
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
