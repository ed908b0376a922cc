/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line and the file of --config become struct options, by the table in option_table.c.
 * The command line is looked at first, to learn the file's name; then come defaults, file and
 * command line, each over the one before; then what must not stand together is refused.
 */
#include "options.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "memory.h"
#include "number.h"
#include "option.h"
#include "spelling.h"
#include "yaml_file.h"

/* Longer than any name. */
#define NAME_BYTES 64

enum origin { FROM_NOWHERE, FROM_FILE, FROM_LINE };

struct reading {
    struct options *options;
    enum origin given[OPTION_NUM];
    const char *value[OPTION_NUM]; /* on the command line */
    int line[OPTION_NUM];          /* in the file, from 1; 0: not there */
    const char *config;            /* the file, or NULL */
    int num_inputs;                /* on the command line */
    const char **inputs;
};

/* Options of which one at most may be given. */
static const struct {
    enum option_id a, b;
} rivals[] = {
    {OPTION_INPUTS, OPTION_GENERATE},      {OPTION_INPUTS, OPTION_VECTOR_SIZE},
    {OPTION_GENERATE, OPTION_VECTOR_SIZE}, {OPTION_THREADS, OPTION_USE_MULTIPROCESSING},
    {OPTION_VERBOSE, OPTION_QUIET},
};

#define NUM_RIVALS (sizeof rivals / sizeof *rivals)

const char *approach_name(enum approach approach)
{
    return option_at(OPTION_APPROACH)->words[approach];
}

/* The table is in the order of the ids. */
static enum option_id id_of(const struct option *option)
{
    return (enum option_id)(option - option_at(0));
}

/* For a message about an option that was read earlier. */
static struct option_place place_of(const struct reading *reading, enum option_id id)
{
    struct option_place place = {.option = option_at(id)};
    if (reading->given[id] == FROM_FILE) {
        place.file = reading->config;
        place.line = reading->line[id];
    }
    return place;
}

/* The value as it was before anything was given. Defaults go the way of values, so that the table
 * cannot hold one that a user could not give. */
static enum status set_default(struct options *options, enum option_id id)
{
    struct option_place place = {.option = option_at(id)};
    option_clear(place.option, options);
    return place.option->fallback ? option_add(&place, place.option->fallback, options) : QO_OK;
}

/* ---- The command line ---- */

/* --help and --version count wherever they stand, whatever else is wrong. */
static enum action find_action(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return ACTION_HELP;
        if (strcmp(argv[i], "--version") == 0)
            return ACTION_VERSION;
    }
    return ACTION_RUN;
}

/* Finds the option of "NAME" or "NAME=VALUE", and its value or NULL. Names are not abbreviated:
 * what is clear today may be the beginning of two names in a later build. */
static enum status find_option(const char *text, const struct option **option, const char **value)
{
    char name[NAME_BYTES];
    size_t length = strcspn(text, "=");
    *value = text[length] ? text + length + 1 : NULL;
    size_t kept = length < NAME_BYTES ? length : NAME_BYTES - 1;
    memcpy(name, text, kept);
    name[kept] = '\0';
    *option = kept == length ? option_find(name) : NULL;
    if (!*option)
        return status_raise(QO_USAGE, "unknown option --%s; did you mean --%s? See --help", name,
                            option_nearest(name, false));
    return QO_OK;
}

/* Refuses what no value could mend, before a value is asked for. Twice is refused and not decided
 * by the order: the two often come from different hands, a script and its caller. */
static enum status check_option(const struct reading *reading, const struct option *option)
{
    struct option_place place = {.option = option};
    if (option->type == TYPE_INPUTS)
        return option_refuse(&place, NULL, "goes without --%s on the command line; give FILE alone",
                             option->name);
    if (reading->given[id_of(option)])
        return option_refuse(&place, NULL, "given twice; leave one out");
    return QO_OK;
}

/* Takes the option at argv[*i], and its value, which may be the next argument. One dash may begin a
 * value, such as -4:4; two dashes begin an option, and the value was forgotten. */
static enum status scan_option(struct reading *reading, int argc, char **argv, int *i)
{
    enum status status = QO_OK;
    const struct option *option;
    const char *value;
    QO_TRY(find_option(argv[*i] + 2, &option, &value));
    QO_TRY(check_option(reading, option));
    struct option_place place = {.option = option};
    if (option->type == TYPE_FLAG) {
        if (value)
            return option_refuse(&place, NULL, "takes no value; leave out =%s", value);
        value = "true";
    } else if (!value) {
        if (*i + 1 == argc || strncmp(argv[*i + 1], "--", 2) == 0)
            return option_refuse(&place, NULL, "needs a value; give --%s=%s", option->name,
                                 option->metavar ? option->metavar : option->words[0]);
        value = argv[++*i];
    }
    reading->given[id_of(option)] = FROM_LINE;
    reading->value[id_of(option)] = value;
done:
    return status;
}

/* No short options: one dash is a slip, or a file, which then needs ./ in front. */
static enum status scan_argument(struct reading *reading, int argc, char **argv, int *i)
{
    const char *argument = argv[*i];
    if (strncmp(argument, "--", 2) == 0)
        return scan_option(reading, argc, argv, i);
    if (argument[0] == '-')
        return status_raise(QO_USAGE,
                            "unknown option %s; did you mean --%s? A file of that name is ./%s",
                            argument, option_nearest(argument + 1, false), argument);
    reading->inputs[reading->num_inputs++] = argument;
    reading->given[OPTION_INPUTS] = FROM_LINE;
    return QO_OK;
}

/* Before anything of them can get into a message, where it could move the cursor or fake a line. */
static enum status check_texts(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int64_t wrong = spelling_unprintable(argv[i]);
        if (wrong >= 0)
            return status_raise(
                QO_USAGE,
                "argument %d: byte %lld is no printable UTF-8; rename the file or retype it", i,
                (long long)wrong + 1);
    }
    return QO_OK;
}

/* Notes which options are given and their values, that are looked at later. */
static enum status scan_line(struct reading *reading, int argc, char **argv)
{
    enum status status = QO_OK;
    bool only_inputs = false;
    for (int i = 1; i < argc; i++) {
        if (!only_inputs && strcmp(argv[i], "--") == 0) {
            only_inputs = true;
        } else if (only_inputs) {
            reading->inputs[reading->num_inputs++] = argv[i];
            reading->given[OPTION_INPUTS] = FROM_LINE;
        } else {
            QO_TRY(scan_argument(reading, argc, argv, &i));
        }
    }
    if (reading->given[OPTION_CONFIG])
        reading->config = reading->value[OPTION_CONFIG];
done:
    return status;
}

/* Lists too are replaced as a whole: one who gives --num_bits 8 does not want the file's as well.
 */
static enum status apply_line(struct reading *reading)
{
    enum status status = QO_OK;
    for (int id = 0; id < OPTION_NUM; id++) {
        if (reading->given[id] != FROM_LINE)
            continue;
        struct option_place place = {.option = option_at((enum option_id)id)};
        option_clear(place.option, reading->options);
        if (id != OPTION_INPUTS)
            QO_TRY(option_add(&place, reading->value[id], reading->options));
        for (int i = 0; id == OPTION_INPUTS && i < reading->num_inputs; i++)
            QO_TRY(option_add(&place, reading->inputs[i], reading->options));
    }
done:
    return status;
}

/* ---- The file ---- */

/* Refuses a key that must not be there, or not again. */
static enum status check_key(const struct reading *reading, const struct option_place *place,
                             const char *key)
{
    if (!place->option)
        return status_raise(QO_CONFIG, "%s:%d: unknown key %s; did you mean %s? See --help",
                            place->file, place->line, key, option_nearest(key, true));
    if (place->option->line_only)
        return option_refuse(place, NULL, "not in a file; give --%s on the command line",
                             place->option->name);
    int first = reading->line[id_of(place->option)];
    if (first)
        return option_refuse(place, NULL, "given twice, first in line %d; leave one out", first);
    return QO_OK;
}

/* Takes a value of the file; the first of a key replaces the default. A flag that is false was not
 * given: it excludes nothing. */
static enum status take_item(void *context, const struct yaml_item *item)
{
    struct reading *reading = context;
    struct option_place place = {
        .option = option_find(item->key), .file = reading->config, .line = item->line};
    enum status status = QO_OK;
    if (item->index <= 0) {
        QO_TRY(check_key(reading, &place, item->key));
        option_clear(place.option, reading->options);
        reading->line[id_of(place.option)] = item->line;
    }
    if (item->index >= 0 && !option_is_list(place.option))
        return option_refuse(&place, NULL, "takes one value; give it without a list");
    /* A flag that is false is as good as left out. */
    if (place.option->type != TYPE_FLAG || strcmp(item->value, "false") != 0)
        reading->given[id_of(place.option)] = FROM_FILE;
    QO_TRY(option_add(&place, item->value, reading->options));
done:
    return status;
}

/* Forgets what the file gave; what the command line gave stays. */
static enum status drop_from_file(struct reading *reading, enum option_id id)
{
    if (reading->given[id] != FROM_FILE)
        return QO_OK;
    reading->given[id] = FROM_NOWHERE;
    return set_default(reading->options, id);
}

/* Where the vector comes from, as far as `from` says so. */
static bool names_source(const struct reading *reading, enum origin from)
{
    return reading->given[OPTION_INPUTS] == from || reading->given[OPTION_GENERATE] == from ||
           reading->given[OPTION_VECTOR_SIZE] == from;
}

/*
 * The file's type and shape describe the file's own source, and go with it. Where the file names
 * none they were meant for the one of the command line, unless that has a type of its own.
 */
static enum status drop_description(struct reading *reading, bool file_had_source)
{
    enum status status = QO_OK;
    bool builtin = reading->given[OPTION_VECTOR_SIZE] == FROM_LINE;
    if (!names_source(reading, FROM_LINE) || !(file_had_source || builtin))
        return QO_OK;
    QO_TRY(drop_from_file(reading, OPTION_DTYPE));
    QO_TRY(drop_from_file(reading, OPTION_SHAPE));
done:
    return status;
}

/* What the command line gives takes the place of the file's rivals of it. Each pair is looked at
 * both ways round. */
static enum status drop_rivals(struct reading *reading)
{
    enum status status = QO_OK;
    for (size_t i = 0; i < 2 * NUM_RIVALS; i++) {
        enum option_id line = i % 2 ? rivals[i / 2].b : rivals[i / 2].a;
        enum option_id file = i % 2 ? rivals[i / 2].a : rivals[i / 2].b;
        if (reading->given[line] == FROM_LINE)
            QO_TRY(drop_from_file(reading, file));
    }
done:
    return status;
}

/* The origin of what the command line gives stays: it is applied after the file. The file is read
 * and checked in full all the same, so that a wrong one is found before the run that needs it. */
static enum status apply_file(struct reading *reading)
{
    enum status status = QO_OK;
    enum origin line[OPTION_NUM];
    if (!reading->config)
        return QO_OK;
    struct option_place place = {.option = option_at(OPTION_CONFIG)};
    if (reading->config[0] == '\0')
        return option_refuse(&place, NULL, "the value is empty; give a file");
    memcpy(line, reading->given, sizeof line);
    QO_TRY(yaml_file_read(reading->config, take_item, reading));
    bool had_source = names_source(reading, FROM_FILE); /* before the line hides it */
    for (int id = 0; id < OPTION_NUM; id++)
        if (line[id] == FROM_LINE)
            reading->given[id] = FROM_LINE;
    QO_TRY(drop_rivals(reading));
    QO_TRY(drop_description(reading, had_source));
done:
    return status;
}

/* ---- What must not stand together ---- */

/* Rivals of file and command line were settled before; these stand beside each other. */
static enum status check_rivals(const struct reading *reading)
{
    for (size_t i = 0; i < NUM_RIVALS; i++) {
        if (!reading->given[rivals[i].a] || !reading->given[rivals[i].b])
            continue;
        struct option_place place = place_of(reading, rivals[i].b);
        const char *other = option_at(rivals[i].a)->name;
        bool is_input = rivals[i].a == OPTION_INPUTS;
        return option_refuse(&place, NULL, "excludes %s%s; give one of them",
                             is_input || place.file ? "" : "--", is_input ? "INPUT" : other);
    }
    return QO_OK;
}

/* A run that quantizes and a run that restores share few options. These are refused rather than
 * warned about: who gives both has two runs in mind. */
static enum status check_action(const struct reading *reading)
{
    bool restore = reading->options->action == ACTION_RESTORE;
    bool selftest = reading->options->action == ACTION_SELFTEST;
    for (int id = 0; id < OPTION_NUM; id++) {
        struct option_place place = place_of(reading, (enum option_id)id);
        if (!reading->given[id])
            continue;
        if (restore && place.option->run_only)
            return option_refuse(&place, NULL, "means nothing to --restore; leave one of them out");
        if (selftest && (place.option->run_only || id == OPTION_RESTORE || id == OPTION_OUTPUT))
            return option_refuse(&place, NULL,
                                 "means nothing to --selftest; leave one of them out");
        if (!restore && place.option->restore_only)
            return option_refuse(&place, NULL,
                                 "means nothing without --restore; give --restore FILE");
    }
    struct option_place place = place_of(reading, OPTION_RESTORE);
    if (restore && !reading->options->output)
        return option_refuse(&place, reading->options->restore,
                             "needs a file to restore to; give --output FILE");
    return QO_OK;
}

/* --dtype and --shape describe raw files and drawn vectors. Whether an INPUT is raw is known to the
 * source alone, which looks into it. */
static enum status check_shape(const struct reading *reading)
{
    const struct options *options = reading->options;
    struct option_place dtype = place_of(reading, OPTION_DTYPE),
                        shape = place_of(reading, OPTION_SHAPE);
    if (options->num_dims >= 0 && !options->has_dtype)
        return option_refuse(&shape, NULL,
                             "needs the element type too; give --dtype float32 or another");
    if (options->has_dtype && options->num_inputs == 0 && !options->generate)
        return option_refuse(&dtype, NULL,
                             "built-in vectors have their own type; give an INPUT or --generate");
    if (options->num_dims < 0 || !options->generate)
        return QO_OK;
    uint64_t n, elements = 1;
    if (number_read_count(strchr(options->generate, ':') + 1, &n) != NUMBER_OK)
        return status_raise(QO_INTERNAL, "--generate %s: not checked; report it",
                            options->generate);
    for (int d = 0; d < options->num_dims; d++)
        elements *= (uint64_t)options->shape[d]; /* within int64, as each was added */
    if (elements != n)
        return option_refuse(
            &shape, NULL, "has %llu elements, --generate %s has %llu; make them agree",
            (unsigned long long)elements, options->generate, (unsigned long long)n);
    return QO_OK;
}

/* ---- What does nothing in this run ---- */

/* A file that a run saved names every option, most with their defaults: these ask for nothing. */
static bool asks_for_default(const struct option *option, const struct options *options)
{
    char buffer[OPTION_VALUE_BYTES];
    const char *value = option_print(option, options, buffer);
    return value && option->fallback && strcmp(value, option->fallback) == 0;
}

/* Last of all: a run that is refused has heard enough. */
static void warn_unmet(const struct reading *reading)
{
    for (int id = 0; id < OPTION_NUM; id++) {
        struct option_place place = place_of(reading, (enum option_id)id);
        const char *unmet = option_unmet(place.option, reading->options);
        if (!reading->given[id] || !unmet)
            continue;
        if (!place.file)
            log_warn("--%s: has no effect %s", place.option->name, unmet);
        else if (!asks_for_default(place.option, reading->options))
            log_warn("%s:%d: %s: has no effect %s", place.file, place.line, place.option->name,
                     unmet);
    }
}

/* Refusals come in the order of the work, so that a message never depends on a later stage: names,
 * the file, values, what does not go together. */
enum status options_read(struct options *options, int argc, char **argv)
{
    enum status status = QO_OK;
    struct reading reading = {.options = options};
    memset(options, 0, sizeof *options);
    QO_TRY(memory_alloc("arguments", argc, sizeof *reading.inputs, &reading.inputs));
    for (int id = 0; id < OPTION_NUM; id++)
        QO_TRY(set_default(options, (enum option_id)id));
    options->action = find_action(argc, argv);
    if (options->action != ACTION_RUN)
        goto done;
    QO_TRY(check_texts(argc, argv));
    QO_TRY(scan_line(&reading, argc, argv));
    QO_TRY(apply_file(&reading));
    QO_TRY(apply_line(&reading));
    options->action = options->selftest  ? ACTION_SELFTEST
                      : options->restore ? ACTION_RESTORE
                                         : ACTION_RUN;
    QO_TRY(check_rivals(&reading));
    QO_TRY(check_action(&reading));
    QO_TRY(check_shape(&reading));
    warn_unmet(&reading);
done:
    memory_free(reading.inputs);
    return status;
}

/* By the table, so that a new option cannot be forgotten. */
void options_clear(struct options *options)
{
    for (int id = 0; id < OPTION_NUM; id++)
        option_clear(option_at((enum option_id)id), options);
}

/* ---- Showing them ---- */

/* All of them, or without those that no result depends on. INPUTs always count. */
static void visit_told(const struct options *options, bool results_only,
                       void (*visit)(const char *name, const char *value, void *context),
                       void *context)
{
    char buffer[OPTION_VALUE_BYTES];
    for (int i = 0; i < options->num_inputs; i++) {
        snprintf(buffer, sizeof buffer, i ? "input_%d" : "input", i + 1);
        visit(buffer, options->inputs[i], context);
    }
    for (int id = 0; id < OPTION_NUM; id++) {
        const struct option *option = option_at((enum option_id)id);
        const char *value = option_told((enum option_id)id, options, buffer);
        if (value && !(results_only && option->is_how))
            visit(option->name, value, context);
    }
}

void options_visit(const struct options *options,
                   void (*visit)(const char *name, const char *value, void *context), void *context)
{
    visit_told(options, false, visit, context);
}

void options_visit_results(const struct options *options,
                           void (*visit)(const char *name, const char *value, void *context),
                           void *context)
{
    visit_told(options, true, visit, context);
}

/* A text in single quotes, where nothing but the quote itself means anything to YAML. */
static void write_quoted(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text; text++)
        fputs(*text == '\'' ? "''" : (char[]){*text, '\0'}, out);
    fputc('\'', out);
}

/* To YAML these are no texts; in quotes, another program would read them as such. */
static bool is_number(const struct option *option)
{
    return option->type == TYPE_COUNT || option->type == TYPE_SEED || option->type == TYPE_REAL ||
           option->type == TYPE_TIME;
}

/* What YAML may take for something else, such as a file's name, is quoted. */
static void write_list(FILE *out, const char *value)
{
    static const char plain[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-";
    char part[OPTION_VALUE_BYTES];
    fputc('[', out);
    for (size_t length; *value; value += length) {
        length = strcspn(value, ",");
        snprintf(part, sizeof part, "%.*s", (int)length, value);
        if (strspn(part, plain) == length)
            fputs(part, out);
        else
            write_quoted(out, part);
        length += value[length] == ',';
        if (value[length] != '\0')
            fputc(',', out);
    }
    fputc(']', out);
}

static void write_value(FILE *out, const struct option *option, const char *value)
{
    fprintf(out, "%s: ", option->name);
    if (option_is_list(option))
        write_list(out, value);
    else if (is_number(option) || option->type == TYPE_FLAG)
        fputs(value, out);
    else
        write_quoted(out, value);
    fputc('\n', out);
}

/* Every value is written, defaults too: the file repeats the run when defaults have changed. */
static void write_yaml(FILE *out, const struct options *options)
{
    char buffer[OPTION_VALUE_BYTES];
    fputs("# quantopt_mpi --config THIS_FILE repeats the run.\n", out);
    if (options->num_inputs > 0)
        fputs("inputs:\n", out);
    for (int i = 0; i < options->num_inputs; i++) {
        fputs("  - ", out);
        write_quoted(out, options->inputs[i]);
        fputc('\n', out);
    }
    for (int id = 0; id < OPTION_NUM; id++) {
        const char *value = option_told((enum option_id)id, options, buffer);
        if (value)
            write_value(out, option_at((enum option_id)id), value);
    }
}

/* A stream in memory grows by itself; its end is checked as that of a file, because only then are
 * all bytes known to have found room. */
enum status options_to_yaml(const struct options *options, char **yaml)
{
    char *text = NULL;
    size_t size;
    *yaml = NULL;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return status_raise(QO_NO_MEMORY, "options: no memory for their text; free some");
    write_yaml(out, options);
    bool failed = ferror(out) != 0;
    failed |= fclose(out) != 0;
    enum status status =
        failed ? status_raise(QO_NO_MEMORY, "options: no memory for their text; free some")
               : memory_copy_text(text, yaml);
    free(text);
    return status;
}
