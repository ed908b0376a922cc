/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The man page, made from the table of options and the manual's lists.
 *
 * It is troff of the few macros of man(7) that every reader of man pages knows. What troff would
 * take for a command is written so that it comes out as it stands here, and so that it can be
 * copied from the page into a shell.
 */
#include <ctype.h>
#include <string.h>

#include "manual.h"
#include "version.h"

/* Where lines of the source end, for those who look at it. */
#define WIDTH 78

/* ---- Text ---- */

/* A character that troff would change or obey has an escape. */
static const char *escape(char c, char before)
{
    switch (c) {
    case '\\':
        return "\\e";
    case '-': /* else a hyphen, which no option begins with */
        return "\\-";
    case '\'': /* an apostrophe stays one; a quote of code is straight */
        return isalpha((unsigned char)before) ? NULL : "\\(aq";
    case '^':
        return "\\(ha";
    case '~':
        return "\\(ti";
    case '`':
        return "\\(ga";
    case '"': /* within an argument of a macro */
        return "\\(dq";
    default:
        return NULL;
    }
}

/* Prints n characters; at the start of a line '.' and '\'' would begin a command. Returns the
 * columns. */
static size_t print_word(FILE *out, const char *word, size_t n)
{
    size_t columns = 0;
    if (n > 0 && (word[0] == '.' || word[0] == '\''))
        columns += (size_t)fprintf(out, "\\&");
    for (size_t i = 0; i < n; i++) {
        const char *escaped = escape(word[i], (char)(i ? word[i - 1] : ' '));
        columns += (size_t)(escaped ? fprintf(out, "%s", escaped) : fprintf(out, "%c", word[i]));
    }
    return columns;
}

/* A paragraph, each sentence on lines of its own: troff sets the space behind it. */
static void print_text(FILE *out, const char *text)
{
    size_t column = 0;
    bool is_new = false; /* a sentence */
    while (*text) {
        size_t n = strcspn(text, " ");
        if (column > 0)
            fputc(is_new || column + n >= WIDTH ? '\n' : ' ', out);
        column = is_new || column + n >= WIDTH ? 0 : column + 1;
        column += print_word(out, text, n);
        is_new = n > 0 && text[n - 1] == '.';
        text += n;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

/* A line that is to be copied: its spaces stay. */
static void print_line(FILE *out, const char *line, size_t n)
{
    print_word(out, line, n);
    fputc('\n', out);
}

static void print_section(FILE *out, const char *macro, const char *title)
{
    fprintf(out, ".%s \"", macro);
    print_word(out, title, strlen(title));
    fputs("\"\n", out);
}

/* ---- Options ---- */

/* A bound as one would type it: 16M rather than 16777216. */
static void print_bytes(FILE *out, double bytes)
{
    static const char suffixes[] = {' ', 'K', 'M', 'G', 'T'};
    size_t i = 0;
    for (; bytes >= 1024 && i + 1 < sizeof suffixes; i++)
        bytes /= 1024;
    fprintf(out, "%.0f%.*s", bytes, i > 0, &suffixes[i]);
}

/* What a value of each type is; bounds follow where the table has them. */
static const char *const types[OPTION_NUM_TYPES] = {
    [TYPE_TEXT] = "Text",
    [TYPE_OUTPUT] = "The name of a file, or a word",
    [TYPE_GENERATE] = "A word and a count",
    [TYPE_WORD] = "A word",
    [TYPE_CHOICE] = "A word",
    [TYPE_FLAG] = "A flag, without a value",
    [TYPE_COUNT] = "A count",
    [TYPE_THREADS] = "A count, or a word",
    [TYPE_SEED] = "A whole number, 0 to 18446744073709551615",
    [TYPE_REAL] = "A number",
    [TYPE_SIZE] = "Bytes",
    [TYPE_TIME] = "A time",
    [TYPE_RANGE] = "Two numbers, or a word",
    [TYPE_SHAPE] = "A list of counts",
    [TYPE_BITS] = "A list of whole numbers",
    [TYPE_APPROACH] = "A list of words",
    [TYPE_INPUTS] = "Names of files",
};

/* "A count, 1 to 4096", "A number, at least 0", "Bytes, 16M to 1024T". */
static void print_type(FILE *out, const struct option *option)
{
    fputs(types[option->type], out);
    if (option->type == TYPE_SIZE) {
        fputs(", ", out);
        print_bytes(out, option->lo);
        fputs(" to ", out);
        print_bytes(out, option->hi);
    } else if (option->type == TYPE_TIME) {
        fprintf(out, option->lo > 0 ? ", at least %.0f second" : ", above 0", option->lo);
    } else if (option->type == TYPE_REAL) {
        fprintf(out, ", at least %.0f", option->lo);
    } else if (option->hi > 0) {
        fprintf(out, ", %.0f to %.0f", option->lo, option->hi);
    }
}

/* Behind the help: type, bounds, default, and where the option counts. */
static void print_details(FILE *out, const struct option *option)
{
    const char *fallback = option->default_note ? option->default_note : option->fallback;
    const char *need = option_need_text(option);
    char text[256];
    fputs(".br\n", out);
    print_type(out, option);
    if (fallback) {
        fputs("; default: ", out);
        print_word(out, fallback, strlen(fallback));
    }
    fputs(".\n", out);
    if (need) {
        snprintf(text, sizeof text, "Has no effect %s.", need);
        print_text(out, text);
    }
    if (option->restore_only)
        print_text(out, "With --restore alone.");
    if (option->line_only)
        print_text(out, "On the command line alone, not in a file of --config.");
}

static void print_option(FILE *out, const struct option *option)
{
    char buffer[MANUAL_VALUE_BYTES];
    const char *value = manual_value(option, buffer);
    fputs(".TP\n", out);
    if (option->type == TYPE_INPUTS) {
        fprintf(out, ".I %s\n", value);
    } else {
        fprintf(out, ".BI \\-\\-%s \" ", option->name);
        print_word(out, value, strlen(value));
        fputs("\"\n", out);
    }
    print_text(out, option->help);
    print_details(out, option);
}

static void print_options(FILE *out)
{
    print_section(out, "SH", "OPTIONS");
    print_text(out, manual_syntax);
    for (int group = 0; group < OPTION_NUM_GROUPS; group++) {
        print_section(out, "SS", manual_groups[group]);
        for (int id = 0; id < OPTION_NUM; id++)
            if ((int)option_at((enum option_id)id)->group == group)
                print_option(out, option_at((enum option_id)id));
    }
}

/* ---- The rest ---- */

static void print_entries(FILE *out, const char *title, const char *about,
                          const struct manual_entry *entries)
{
    print_section(out, "SH", title);
    if (about)
        print_text(out, about);
    for (; entries->name; entries++) {
        fputs(".TP\n.B ", out);
        print_line(out, entries->name, strlen(entries->name));
        print_text(out, entries->text);
    }
}

/* The date stands where troff wants it and in the form that all readers know. */
static void print_top(FILE *out, const char *date)
{
    fputs(".\\\" Made from the table of options; see mpi/app/manual_page.c.\n", out);
    fprintf(out, ".TH QUANTOPT_MPI 1 \"%s\" \"quantopt %s\" \"User Commands\"\n", date, QO_VERSION);
    print_section(out, "SH", "NAME");
    fprintf(out, "quantopt_mpi \\- %s\n", manual_name);
    print_section(out, "SH", "SYNOPSIS");
    fputs(".nf\n", out);
    for (int i = 0; manual_uses[i]; i++)
        print_line(out, manual_uses[i], strlen(manual_uses[i]));
    fputs(".fi\n", out);
    print_section(out, "SH", "DESCRIPTION");
    for (int i = 0; manual_about[i]; i++) {
        fputs(i ? ".PP\n" : "", out);
        print_text(out, manual_about[i]);
    }
}

static void print_exits(FILE *out)
{
    print_section(out, "SH", "EXIT STATUS");
    for (const struct manual_exit *e = manual_exits; e->text; e++) {
        fprintf(out, ".TP\n.B %d\n", (int)e->status);
        print_text(out, e->text);
    }
}

static void print_lines(FILE *out, const char *lines)
{
    for (size_t n; *lines; lines += n + (lines[n] == '\n')) {
        n = strcspn(lines, "\n");
        print_line(out, lines, n);
    }
}

static void print_examples(FILE *out)
{
    print_section(out, "SH", "EXAMPLES");
    print_text(out, "From the top of the source tree:");
    for (const struct manual_example *e = manual_examples; e->title; e++) {
        fputs(".PP\n", out);
        print_text(out, e->title);
        fputs(".PP\n.RS 4\n.nf\n", out);
        print_lines(out, e->before);
        print_word(out, MANUAL_COMMAND, strlen(MANUAL_COMMAND));
        print_lines(out, e->arguments);
        fputs(".fi\n.RE\n", out);
    }
}

void manual_print(FILE *out, const char *date)
{
    print_top(out, date);
    print_entries(out, "INPUT", NULL, manual_inputs);
    print_options(out);
    print_entries(out, "FIGURES OF MERIT", manual_errors, manual_figures);
    print_entries(out, "FILES", NULL, manual_files);
    print_entries(out, "SIGNALS", NULL, manual_signals);
    print_entries(out, "ENVIRONMENT", NULL, manual_variables);
    print_exits(out);
    print_examples(out);
    print_section(out, "SH", "SEE ALSO");
    fputs(".BR mpirun (1),\n.BR h5dump (1),\n.BR sbatch (1)\n", out);
}
