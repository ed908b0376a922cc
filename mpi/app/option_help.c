/* SPDX-License-Identifier: Apache-2.0 */
/* --help, made from the table of options. */
#include <stdio.h>
#include <string.h>

#include "option.h"

/* Columns: where texts begin, behind nearly all names, and where lines end, so that a terminal of
 * 100 columns has some to spare. */
#define INDENT 26
#define WIDTH  94

static const char *const group_titles[OPTION_NUM_GROUPS] = {
    [GROUP_INPUT] = "INPUT: a vector, or many",
    [GROUP_QUANTIZER] = "QUANTIZERS: every approach with every number of bits",
    [GROUP_MACHINE] = "MACHINE",
    [GROUP_OUTPUT] = "OUTPUT",
    [GROUP_RESTORE] = "RESTORING, the way back",
    [GROUP_GENERAL] = "GENERAL",
};

static const char intro[] =
    "Usage: mpirun -np P quantopt_mpi [INPUT...] [OPTIONS]\n"
    "       mpirun -np P quantopt_mpi --restore FILE --output FILE [OPTIONS]\n"
    "\n"
    "Finds the scalar quantizers of a vector on P ranks and writes levels, codes, outliers and "
    "errors.\n"
    "'-' and '_' are the same inside a name; --name value and --name=value are the same; names "
    "are\n"
    "written in full; -- ends the options. Counts take K, M and G (10^3, 10^6, 10^9).\n";

/* Here and not in a manual alone: the table that a run prints names them. */
static const char figures[] =
    "\nFIGURES OF MERIT, of the errors e = x - restored x over all n elements; outliers have none\n"
    "  mse, rmse               mean of e^2, and its square root\n"
    "  l2_norm                 ||e|| / n\n"
    "  relative_error          ||e|| / ||x||\n"
    "  sqnr_db                 20 log10(||x|| / ||e||)\n"
    "  max_abs_error           largest |e|\n"
    "  bits_per_value          bits of codes, levels, outlier values and indices, over n\n"
    "  compression_ratio       bits of an element over bits_per_value\n"
    "  optimality_gap          rmse / (a proven lower bound on that of any such levels) - 1\n";

/* Scripts go by these; each line is what a user can do something about. */
static const struct {
    enum status status;
    const char *text;
} exits[] = {
    {QO_OK, "good: complete, and what was written is verified"},
    {QO_USAGE, "wrong usage"},
    {QO_DATA, "an input is not what it claims, or holds NaN or infinities"},
    {QO_NO_INPUT, "an input is missing or unreadable"},
    {QO_UNAVAILABLE, "a device or communication was asked for and cannot be used"},
    {QO_INTERNAL, "a fault of the program"},
    {QO_NO_MEMORY, "out of memory"},
    {QO_CANT_CREATE, "output cannot be created, or another run holds it"},
    {QO_IO, "a read or write failed: disk full, verification"},
    {QO_STOPPED, "stopped early on purpose; --resume goes on"},
    {QO_CONFIG, "bad configuration file"},
};

/* Commands that work as they stand, on files that come with the source: a test runs them. */
static const struct {
    const char *title, *before, *arguments;
} examples[] = {
    {"ten million normal values, every approach", "", "--vector_size large --num_bits 2,3,4"},
    {"a model's weights, outliers kept", "",
     "data/EEGNet-8-2-weights.h5 \\\n      --approach easyquant --num_bits 4"},
    {"a vector of any size, drawn", "", "--generate normal:10M --dtype float32 --num_bits 8"},
    {"a raw file", "head -c 1M /dev/zero > field.raw\n  ",
     "field.raw --dtype float32 --shape 64x64x64"},
    {"what a run would read, need and write", "",
     "--config configs/field_easyquant.yaml --dry_run"},
    {"a whole run from a file, with other widths", "",
     "--config configs/large_all.yaml --num_bits 3"},
    {"and the vector back", "",
     "--restore results/quantized.h5 \\\n      --result easyquant_3bit --output restored.h5"},
};

/* Prints text wrapped between INDENT and WIDTH, the cursor being at `column`. */
static void print_wrapped(FILE *out, const char *text, size_t column)
{
    while (*text) {
        size_t word = strcspn(text, " ");
        bool fits = column + 1 + word <= WIDTH;
        if (column > INDENT && !fits) {
            fprintf(out, "\n%*s", INDENT, "");
            column = INDENT;
        }
        column += (size_t)fprintf(out, "%s%.*s", column > INDENT ? " " : "", (int)word, text);
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

/* "--name VALUE" in the first column; of a choice, its words. Returns the width. */
static size_t print_head(FILE *out, const struct option *option)
{
    if (option->type == TYPE_INPUTS)
        return (size_t)fprintf(out, "  INPUT...");
    size_t width = (size_t)fprintf(out, "  --%s", option->name);
    if (option->type == TYPE_FLAG)
        return width;
    if (option->metavar)
        return width + (size_t)fprintf(out, " %s", option->metavar);
    for (int i = 0; option->words[i]; i++)
        width += (size_t)fprintf(out, "%s%s", i ? "|" : " ", option->words[i]);
    return width;
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

void options_help(FILE *out)
{
    fputs(intro, out);
    for (int group = 0; group < OPTION_NUM_GROUPS; group++) {
        fprintf(out, "\n%s\n", group_titles[group]);
        for (int id = 0; id < OPTION_NUM; id++)
            if ((int)option_at((enum option_id)id)->group == group)
                print_option(out, option_at((enum option_id)id));
    }
    fputs(figures, out);
    fputs("\nEXIT CODES\n", out);
    for (size_t i = 0; i < sizeof exits / sizeof *exits; i++)
        fprintf(out, "  %-4d%s\n", (int)exits[i].status, exits[i].text);
    fputs("\nEXAMPLES, from the top of the source tree\n", out);
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        fprintf(out, "  # %s\n  %smpirun -np 2 --bind-to none build/quantopt_mpi %s\n",
                examples[i].title, examples[i].before, examples[i].arguments);
}
