/* SPDX-License-Identifier: Apache-2.0 */
/* --help, made from the table of options. */
#include <stdio.h>
#include <string.h>

#include "manual.h"

/* Columns: where texts begin, behind nearly all names, and where lines end, so that a terminal of
 * 100 columns has some to spare. */
#define INDENT 26
#define WIDTH  94

/* Prints text wrapped between `indent`, where the cursor is, and WIDTH. */
static void print_wrapped(FILE *out, const char *text, size_t indent)
{
    size_t column = indent;
    while (*text) {
        size_t word = strcspn(text, " ");
        bool fits = column + 1 + word <= WIDTH;
        if (column > indent && !fits) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        }
        column += (size_t)fprintf(out, "%s%.*s", column > indent ? " " : "", (int)word, text);
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

/* "--name VALUE" in the first column. Returns the width. */
static size_t print_head(FILE *out, const struct option *option)
{
    char buffer[MANUAL_VALUE_BYTES];
    const char *value = manual_value(option, buffer);
    if (option->type == TYPE_INPUTS)
        return (size_t)fprintf(out, "  %s", value);
    return (size_t)fprintf(out, "  --%s%s%s", option->name, *value ? " " : "", value);
}

/* A name too long for its column gets a line to itself. */
static void print_option(FILE *out, const struct option *option)
{
    char text[1024];
    size_t used = (size_t)snprintf(text, sizeof text, "%s", option->help);
    const char *shown = option->default_note ? option->default_note : option->fallback;
    if (shown)
        snprintf(text + used, sizeof text - used, " (default: %s)", shown);
    size_t width = print_head(out, option);
    if (width + 2 > INDENT) {
        fputc('\n', out);
        width = 0;
    }
    fprintf(out, "%*s", (int)(INDENT - width), "");
    print_wrapped(out, text, INDENT);
}

static void print_intro(FILE *out)
{
    for (int i = 0; manual_uses[i]; i++)
        fprintf(out, "%s%s\n", i ? "       " : "Usage: ", manual_uses[i]);
    fputc('\n', out);
    print_wrapped(out, manual_purpose, 0);
    print_wrapped(out, manual_syntax, 0);
}

static void print_ends(FILE *out)
{
    fprintf(out, "\nFIGURES OF MERIT, %s\n", manual_errors);
    for (const struct manual_entry *f = manual_figures; f->name; f++)
        fprintf(out, "  %-*s%s\n", INDENT - 2, f->name, f->text);
    fputs("\nEXIT CODES\n", out);
    for (const struct manual_exit *e = manual_exits; e->text; e++)
        fprintf(out, "  %-4d%s\n", (int)e->status, e->text);
    fputs("\nEXAMPLES, from the top of the source tree\n", out);
    for (const struct manual_example *e = manual_examples; e->title; e++)
        fprintf(out, "  # %s\n  %s%s" MANUAL_COMMAND "%s\n", e->title, e->before,
                *e->before ? "\n  " : "", e->arguments);
}

void options_help(FILE *out)
{
    print_intro(out);
    for (int group = 0; group < OPTION_NUM_GROUPS; group++) {
        fprintf(out, "\n%s\n", manual_groups[group]);
        for (int id = 0; id < OPTION_NUM; id++)
            if ((int)option_at((enum option_id)id)->group == group)
                print_option(out, option_at((enum option_id)id));
    }
    print_ends(out);
}
