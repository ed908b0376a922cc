/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of options: from text, strictly (the whole of it, no overflow, nothing that is not
 * finite), and back to text. One pair of functions a type; kinds[] lists them.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "memory.h"
#include "number.h"
#include "option_kind.h"

/* PATH_MAX: a message that names the value stays within what status.c keeps. */
#define MAX_VALUE_BYTES 4096

/*
 * Fields are reached by offset, so that the table can name them, and by memcpy, so that no pointer
 * of a wrong type is made. An offset of 0 means none: the first field of struct options is the
 * action, which no option sets.
 */
static void set_has(const struct option *option, struct options *options, bool value)
{
    if (option->has)
        memcpy((char *)options + option->has, &value, sizeof value);
}

/* What has no such bool has a default, and so always a value. */
static bool get_has(const struct option *option, const struct options *options)
{
    bool value = true;
    if (option->has)
        memcpy(&value, (const char *)options + option->has, sizeof value);
    return value;
}

/* ---- Texts: char * ---- */

static char *get_text(const struct option *option, const struct options *options)
{
    char *text = NULL;
    if (option->size)
        memcpy(&text, option_field_const(option, options), sizeof text);
    return text;
}

/* Freed and set to NULL, so that a second clearing does nothing. */
static void clear_text(const struct option *option, struct options *options)
{
    char *none = NULL;
    memory_free(get_text(option, options));
    if (option->size)
        memcpy(option_field(option, options), &none, sizeof none);
}

static enum status add_text(const struct option_place *place, const char *value,
                            struct options *options)
{
    char *copy;
    enum status status = memory_copy_text(value, &copy);
    if (status == QO_OK)
        memcpy(option_field(place->option, options), &copy, sizeof copy);
    return status;
}

static const char *print_text(const struct option *option, const struct options *options,
                              char *buffer)
{
    (void)buffer;
    return get_text(option, options);
}

/* The word is kept apart from names: a file called none is ./none. */
static enum status add_output(const struct option_place *place, const char *value,
                              struct options *options)
{
    if (strcmp(value, "none") != 0)
        return add_text(place, value, options);
    set_has(place->option, options, true);
    return QO_OK;
}

static const char *print_output(const struct option *option, const struct options *options,
                                char *buffer)
{
    (void)buffer;
    return get_has(option, options) ? "none" : get_text(option, options);
}

static enum status add_word(const struct option_place *place, const char *value,
                            struct options *options)
{
    int index;
    enum status status = option_find_word(place, value, &index);
    return status == QO_OK ? add_text(place, value, options) : status;
}

/* KIND:N is checked here, where a message can say where it was given, and read by the source. */
static enum status add_generate(const struct option_place *place, const char *value,
                                struct options *options)
{
    char kind[OPTION_PART_BYTES];
    const char *colon = strchr(value, ':');
    if (!colon || colon[1] == '\0' || colon - value >= OPTION_PART_BYTES)
        return option_refuse(place, value, "not KIND:N; give one such as normal:10M");
    memcpy(kind, value, (size_t)(colon - value));
    kind[colon - value] = '\0';
    int index;
    int64_t count;
    enum status status = QO_OK;
    QO_TRY(option_find_word(place, kind, &index));
    QO_TRY(option_read_count(place, colon + 1, &count));
    QO_TRY(add_text(place, value, options));
done:
    return status;
}

/* ---- Choices: an enum or a bool, and flags ---- */

/* The field's size tells a bool from an enum; both are set by the index of the word. */
static enum status add_choice(const struct option_place *place, const char *value,
                              struct options *options)
{
    int index;
    enum status status = option_find_word(place, value, &index);
    if (status != QO_OK)
        return status;
    bool truth = index != 0;
    if (place->option->size == sizeof truth)
        memcpy(option_field(place->option, options), &truth, sizeof truth);
    else if (place->option->size == sizeof index)
        memcpy(option_field(place->option, options), &index, sizeof index);
    set_has(place->option, options, true);
    return QO_OK;
}

static int get_choice(const struct option *option, const struct options *options)
{
    bool truth = false;
    int index = 0;
    if (option->size == sizeof truth)
        memcpy(&truth, option_field_const(option, options), sizeof truth);
    else if (option->size == sizeof index)
        memcpy(&index, option_field_const(option, options), sizeof index);
    return truth ? 1 : index;
}

static const char *print_choice(const struct option *option, const struct options *options,
                                char *buffer)
{
    (void)buffer;
    if (!option->size || !get_has(option, options))
        return NULL;
    return option->words[get_choice(option, options)];
}

static void clear_choice(const struct option *option, struct options *options)
{
    memset(option_field(option, options), 0, option->size);
    set_has(option, options, false);
}

/* A flag that is not set was not given: nothing to show. */
static const char *print_flag(const struct option *option, const struct options *options,
                              char *buffer)
{
    (void)buffer;
    return get_choice(option, options) ? "true" : NULL;
}

/* ---- Numbers: int, uint64_t and double ---- */

static void clear_field(const struct option *option, struct options *options)
{
    memset(option_field(option, options), 0, option->size);
}

static enum status add_count(const struct option_place *place, const char *value,
                             struct options *options)
{
    int64_t count;
    enum status status = option_read_count(place, value, &count);
    if (status != QO_OK)
        return status;
    int narrow = (int)count;
    memcpy(option_field(place->option, options), &narrow, sizeof narrow);
    return QO_OK;
}

static const char *print_count(const struct option *option, const struct options *options,
                               char *buffer)
{
    int count;
    memcpy(&count, option_field_const(option, options), sizeof count);
    snprintf(buffer, OPTION_VALUE_BYTES, "%d", count);
    return buffer;
}

/* 0 stands for auto in the field, and is therefore out of range as a number. */
static enum status add_threads(const struct option_place *place, const char *value,
                               struct options *options)
{
    if (strcmp(value, "auto") != 0)
        return add_count(place, value, options);
    clear_field(place->option, options);
    return QO_OK;
}

static const char *print_threads(const struct option *option, const struct options *options,
                                 char *buffer)
{
    return options->threads == 0 ? "auto" : print_count(option, options, buffer);
}

/* All of 64 bits, which double bounds could not tell apart; and no K, M or G, as it counts nothing.
 */
static enum status add_seed(const struct option_place *place, const char *value,
                            struct options *options)
{
    uint64_t seed;
    enum number number = number_read_whole(value, &seed);
    if (number != NUMBER_OK)
        return option_refuse(place, value, "%s 0 to %llu; give a number within it",
                             number == NUMBER_WRONG ? "not a whole number in" : "out of range",
                             (unsigned long long)UINT64_MAX);
    memcpy(option_field(place->option, options), &seed, sizeof seed);
    return QO_OK;
}

static const char *print_seed(const struct option *option, const struct options *options,
                              char *buffer)
{
    uint64_t seed;
    memcpy(&seed, option_field_const(option, options), sizeof seed);
    snprintf(buffer, OPTION_VALUE_BYTES, "%llu", (unsigned long long)seed);
    return buffer;
}

/* Only a lower bound: no use of these has a largest value. */
static enum status add_real(const struct option_place *place, const char *value,
                            struct options *options)
{
    double x;
    enum number number = number_read_real(value, &x);
    if (number == NUMBER_WRONG)
        return option_refuse(place, value, "not a finite decimal number; give one of at least %g",
                             place->option->lo);
    if (number == NUMBER_BEYOND || x < place->option->lo)
        return option_refuse(place, value, "out of range; give a float64 of at least %g",
                             place->option->lo);
    memcpy(option_field(place->option, options), &x, sizeof x);
    return QO_OK;
}

static const char *print_real_field(const struct option *option, const struct options *options,
                                    char *buffer)
{
    double x;
    memcpy(&x, option_field_const(option, options), sizeof x);
    number_print_real(x, buffer, OPTION_VALUE_BYTES);
    return buffer;
}

/* ---- Sizes and times: int64_t and double, of which 0 is not given ---- */

static enum status add_size(const struct option_place *place, const char *value,
                            struct options *options)
{
    char lo[OPTION_PART_BYTES], hi[OPTION_PART_BYTES];
    uint64_t bytes;
    enum number number = number_read_size(value, &bytes);
    number_print_size((uint64_t)place->option->lo, lo, sizeof lo);
    number_print_size((uint64_t)place->option->hi, hi, sizeof hi);
    if (number == NUMBER_WRONG)
        return option_refuse(place, value,
                             "not a size; give a whole number of bytes, or one with K, M, G or T");
    if (number == NUMBER_BEYOND || (double)bytes < place->option->lo ||
        (double)bytes > place->option->hi)
        return option_refuse(place, value, "out of range %s to %s; give a size within it", lo, hi);
    int64_t size = (int64_t)bytes;
    memcpy(option_field(place->option, options), &size, sizeof size);
    return QO_OK;
}

static const char *print_size(const struct option *option, const struct options *options,
                              char *buffer)
{
    int64_t size;
    memcpy(&size, option_field_const(option, options), sizeof size);
    number_print_size((uint64_t)size, buffer, OPTION_VALUE_BYTES);
    return size ? buffer : NULL;
}

static enum status add_time(const struct option_place *place, const char *value,
                            struct options *options)
{
    double seconds, lo = place->option->lo;
    enum number number = number_read_time(value, &seconds);
    if (number == NUMBER_WRONG)
        return option_refuse(place, value, "not a time; give seconds, MM:SS or H:MM:SS");
    if (number == NUMBER_BEYOND || seconds < lo || seconds <= 0)
        return option_refuse(place, value, "out of range; give %s %g seconds",
                             lo > 0 ? "at least" : "more than", lo);
    memcpy(option_field(place->option, options), &seconds, sizeof seconds);
    return QO_OK;
}

/* In seconds, however it was given. */
static const char *print_time(const struct option *option, const struct options *options,
                              char *buffer)
{
    double seconds;
    memcpy(&seconds, option_field_const(option, options), sizeof seconds);
    number_print_real(seconds, buffer, OPTION_VALUE_BYTES);
    return seconds > 0 ? buffer : NULL;
}

/* ---- The range of uniform levels ---- */

/* LO:HI; false if the text is not two numbers. */
static bool read_range(const char *value, double *lo, double *hi)
{
    char first[OPTION_PART_BYTES];
    const char *colon = strchr(value, ':');
    if (!colon || colon - value >= OPTION_PART_BYTES)
        return false;
    memcpy(first, value, (size_t)(colon - value));
    first[colon - value] = '\0';
    return number_read_real(first, lo) == NUMBER_OK && number_read_real(colon + 1, hi) == NUMBER_OK;
}

/*
 * A text with a colon or a digit was meant to be numbers, and is told so rather than compared with
 * words. The width must be finite too: levels are spread over it, and would become infinite.
 */
static enum status add_range(const struct option_place *place, const char *value,
                             struct options *options)
{
    double lo = 0, hi = 0;
    bool given = read_range(value, &lo, &hi);
    if (!given && strpbrk(value, ":0123456789"))
        return option_refuse(place, value,
                             "not LO:HI with two finite numbers; give one such as -4:4");
    if (given && lo > hi)
        return option_refuse(place, value, "LO is above HI; give the smaller one first");
    if (given && !isfinite(hi - lo))
        return option_refuse(place, value, "wider than float64 can hold; give a narrower one");
    int index = 0;
    enum status status = given ? QO_OK : option_find_word(place, value, &index);
    if (status != QO_OK)
        return status;
    options->range = given ? RANGE_GIVEN : index == 0 ? RANGE_MINMAX : RANGE_OPTIMAL;
    options->range_lo = lo;
    options->range_hi = hi;
    set_has(place->option, options, true);
    return QO_OK;
}

/* With the fewest digits that read back, so that a saved run has the same levels. */
static const char *print_range(const struct option *option, const struct options *options,
                               char *buffer)
{
    char lo[OPTION_PART_BYTES], hi[OPTION_PART_BYTES];
    if (!get_has(option, options))
        return NULL;
    if (options->range != RANGE_GIVEN)
        return option->words[options->range == RANGE_MINMAX ? 0 : 1];
    number_print_real(options->range_lo, lo, sizeof lo);
    number_print_real(options->range_hi, hi, sizeof hi);
    snprintf(buffer, OPTION_VALUE_BYTES, "%s:%s", lo, hi);
    return buffer;
}

/* ---- The types ---- */

static const struct option_kind text_kind = {clear_text, add_text, print_text, false};
static const struct option_kind output_kind = {clear_text, add_output, print_output, false};
static const struct option_kind generate_kind = {clear_text, add_generate, print_text, false};
static const struct option_kind word_kind = {clear_text, add_word, print_text, false};
static const struct option_kind choice_kind = {clear_choice, add_choice, print_choice, false};
static const struct option_kind flag_kind = {clear_choice, add_choice, print_flag, false};
static const struct option_kind count_kind = {clear_field, add_count, print_count, false};
static const struct option_kind threads_kind = {clear_field, add_threads, print_threads, false};
static const struct option_kind seed_kind = {clear_field, add_seed, print_seed, false};
static const struct option_kind real_kind = {clear_field, add_real, print_real_field, false};
static const struct option_kind size_kind = {clear_field, add_size, print_size, false};
static const struct option_kind time_kind = {clear_field, add_time, print_time, false};
static const struct option_kind range_kind = {clear_choice, add_range, print_range, false};

static const struct option_kind *const kinds[OPTION_NUM_TYPES] = {
    [TYPE_TEXT] = &text_kind,
    [TYPE_OUTPUT] = &output_kind,
    [TYPE_GENERATE] = &generate_kind,
    [TYPE_WORD] = &word_kind,
    [TYPE_CHOICE] = &choice_kind,
    [TYPE_FLAG] = &flag_kind,
    [TYPE_COUNT] = &count_kind,
    [TYPE_THREADS] = &threads_kind,
    [TYPE_SEED] = &seed_kind,
    [TYPE_REAL] = &real_kind,
    [TYPE_SIZE] = &size_kind,
    [TYPE_TIME] = &time_kind,
    [TYPE_RANGE] = &range_kind,
    [TYPE_SHAPE] = &option_kind_shape,
    [TYPE_BITS] = &option_kind_bits,
    [TYPE_APPROACH] = &option_kind_approach,
    [TYPE_INPUTS] = &option_kind_inputs,
};

bool option_is_list(const struct option *option)
{
    return kinds[option->type]->is_list;
}

void option_clear(const struct option *option, struct options *options)
{
    kinds[option->type]->clear(option, options);
    set_has(option, options, false);
}

/* What holds for every type is checked here once: no type has an empty value. */
enum status option_add(const struct option_place *place, const char *value, struct options *options)
{
    if (value[0] == '\0')
        return option_refuse(place, NULL, "the value is empty; give one or leave the option out");
    if (strlen(value) >= MAX_VALUE_BYTES)
        return option_refuse(place, NULL, "the value is longer than %d bytes; shorten it",
                             MAX_VALUE_BYTES - 1);
    struct option_place whole = *place;
    whole.whole = value; /* what refusals of its parts name */
    return kinds[place->option->type]->add(&whole, value, options);
}

const char *option_print(const struct option *option, const struct options *options,
                         char buffer[OPTION_VALUE_BYTES])
{
    return kinds[option->type]->print(option, options, buffer);
}

/* What the run depends on, with defaults: they may change in a later build. */
const char *option_told(enum option_id id, const struct options *options,
                        char buffer[OPTION_VALUE_BYTES])
{
    const struct option *option = option_at(id);
    bool restore = options->action == ACTION_RESTORE;
    if (option->line_only || (restore ? option->run_only : option->restore_only))
        return NULL;
    if (id == OPTION_VECTOR_SIZE && (options->num_inputs > 0 || options->generate))
        return NULL; /* its default is no part of this run */
    return option_print(option, options, buffer);
}
