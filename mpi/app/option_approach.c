/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of approaches: those of the program by their names, and fixed codebooks, which are named
 * after who published them, made for a number of levels, or read from a file.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "memory.h"
#include "number.h"
#include "option_kind.h"
#include "spelling.h"

static const char file_prefix[] = "fixed:";

/* Words that a slip is compared with. */
enum { MOST_WORDS = 32 };

static enum status refuse_unknown(const struct option_place *place, const char *value)
{
    const char *words[MOST_WORDS];
    char list[512];
    size_t used = 0;
    int n = 0;
    for (int i = 0; place->option->words[i]; i++)
        words[n++] = place->option->words[i];
    for (int i = 0; codebook_names[i]; i++)
        words[n++] = codebook_names[i];
    words[n++] = "max16";
    words[n++] = "fixed:FILE";
    for (int i = 0; i < n - 2; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s, ", words[i]);
    return option_refuse(place, value,
                         "no such value; did you mean %s? It is one of %smax2 to max%d, fixed:FILE",
                         spelling_nearest(value, words, n), list, SOLVER_MAX_LEVELS);
}

/* max16 and the like. */
static enum status make_max(const struct option_place *place, const char *value,
                            struct audit *audit)
{
    uint64_t k;
    enum number number = number_read_whole(value + strlen("max"), &k);
    if (number == NUMBER_WRONG)
        return option_refuse(place, value,
                             "max is followed by the number of levels; give max2 to max%d",
                             SOLVER_MAX_LEVELS);
    if (number == NUMBER_BEYOND || k < 2 || k > SOLVER_MAX_LEVELS)
        return option_refuse(place, value, "out of range max2 to max%d; give one of them",
                             SOLVER_MAX_LEVELS);
    codebook_fill_max((int)k, &audit->book);
    snprintf(audit->name, sizeof audit->name, "max%d", (int)k);
    return memory_copy_text(audit->name, &audit->word);
}

/* Results are named after the file, without folder and last suffix; what is no letter or digit of
 * ASCII, nor one of "_-.", becomes "_". */
static enum status make_fixed(const struct option_place *place, const char *value,
                              struct audit *audit)
{
    const char *slash = strrchr(value, '/'), *file = slash ? slash + 1 : strchr(value, ':') + 1;
    const char *dot = strrchr(file, '.');
    size_t length = dot && dot != file ? (size_t)(dot - file) : strlen(file);
    const size_t most = AUDIT_NAME_BYTES - sizeof "fixed-";
    if (length == 0)
        return option_refuse(place, value, "names no file; give fixed:FILE");
    if (length > most)
        return option_refuse(place, value,
                             "the file's name is longer than %d bytes; rename it or link to it",
                             (int)most);
    int used = snprintf(audit->name, sizeof audit->name, "fixed-%.*s", (int)length, file);
    for (int i = 0; i < used; i++)
        if (!isalnum((unsigned char)audit->name[i]) && !strchr("_-.", audit->name[i]))
            audit->name[i] = '_';
    return memory_copy_text(value, &audit->word);
}

/* Reads the word of a codebook; audit->word is to be freed after a failure too. */
static enum status make_audit(const struct option_place *place, const char *value,
                              struct audit *audit)
{
    *audit = (struct audit){.word = NULL};
    if (strncmp(value, file_prefix, strlen(file_prefix)) == 0 || strcmp(value, "fixed") == 0)
        return strchr(value, ':') ? make_fixed(place, value, audit)
                                  : option_refuse(place, value, "names no file; give fixed:FILE");
    bool is_max =
        strncmp(value, "max", 3) == 0 && (value[3] == '\0' || strchr("+-0123456789", value[3]));
    if (is_max)
        return make_max(place, value, audit);
    if (!codebook_find(value, &audit->book))
        return refuse_unknown(place, value);
    snprintf(audit->name, sizeof audit->name, "%s", value);
    return memory_copy_text(value, &audit->word);
}

/* How long the list is that a saved run will show. */
static size_t length_with(const struct option_place *place, const struct options *options,
                          const struct audit *audit)
{
    size_t length = strlen(audit->word) + 2;
    for (int i = 0; place->option->words[i]; i++)
        length += strlen(place->option->words[i]) + 1;
    for (int i = 0; i < options->num_audits; i++)
        length += strlen(options->audits[i].word) + 1;
    return length;
}

/* Whether the list has room for one more, that is none of those in it; *is_there if it is one. */
static enum status check_audit(const struct option_place *place, const struct options *options,
                               const struct audit *audit, bool *is_there)
{
    *is_there = false;
    for (int i = 0; i < options->num_audits; i++) {
        const struct audit *other = &options->audits[i];
        if (strcmp(other->word, audit->word) == 0)
            *is_there = true;
        else if (strcmp(other->name, audit->name) == 0)
            return option_refuse(place, audit->word,
                                 "its results would be called %s, as those of %s; rename a file",
                                 audit->name, other->word);
    }
    if (*is_there)
        return QO_OK;
    if (options->num_audits == AUDIT_MOST)
        return option_refuse(place, audit->word, "more than %d codebooks; leave some out",
                             AUDIT_MOST);
    if (length_with(place, options, audit) > OPTION_VALUE_BYTES)
        return option_refuse(place, audit->word,
                             "the files' names have more than %d bytes together; shorten them",
                             OPTION_VALUE_BYTES);
    return QO_OK;
}

/* One that is named twice counts once. */
static enum status add_audit(const struct option_place *place, const char *value,
                             struct options *options)
{
    enum status status;
    struct audit audit;
    bool is_there;
    QO_TRY(make_audit(place, value, &audit));
    QO_TRY(check_audit(place, options, &audit, &is_there));
    if (is_there)
        goto done;
    if (!options->audits)
        QO_TRY(memory_alloc("codebooks", AUDIT_MOST, sizeof audit, &options->audits));
    options->audits[options->num_audits++] = audit;
    audit.word = NULL;
done:
    memory_free(audit.word);
    return status;
}

/* The words are the approaches in their order, then `all`. */
static enum status add_approach(const struct option_place *place, const char *value,
                                struct options *options)
{
    int index = 0;
    const char *const *words = place->option->words;
    while (words[index] && strcmp(words[index], value) != 0)
        index++;
    if (!words[index])
        return add_audit(place, value, options);
    for (int a = 0; a < NUM_APPROACHES; a++)
        options->approach[a] |= index == a || index == NUM_APPROACHES;
    return QO_OK;
}

static enum status add_approaches(const struct option_place *place, const char *value,
                                  struct options *options)
{
    return option_add_parts(place, value, ',', options, add_approach);
}

static void clear_approaches(const struct option *option, struct options *options)
{
    memset(option_field(option, options), 0, option->size);
    for (int i = 0; i < options->num_audits; i++)
        memory_free(options->audits[i].word);
    memory_free(options->audits);
    options->audits = NULL;
    options->num_audits = 0;
}

/* All of them are spelt out: what `all` means may differ in a later build, and a saved run is to be
 * repeated as it was. */
static const char *print_approaches(const struct option *option, const struct options *options,
                                    char *buffer)
{
    size_t used = 0;
    buffer[0] = '\0';
    for (int a = 0; a < NUM_APPROACHES; a++)
        if (options->approach[a])
            used += (size_t)snprintf(buffer + used, OPTION_VALUE_BYTES - used, "%s%s",
                                     used ? "," : "", option->words[a]);
    for (int i = 0; i < options->num_audits; i++)
        used += (size_t)snprintf(buffer + used, OPTION_VALUE_BYTES - used, "%s%s", used ? "," : "",
                                 options->audits[i].word);
    return used ? buffer : NULL;
}

const struct option_kind option_kind_approach = {clear_approaches, add_approaches, print_approaches,
                                                 true};
