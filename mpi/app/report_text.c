/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block_name.h"
#include "log.h"
#include "memory.h"
#include "number.h"
#include "report.h"

/* The width of the exercise: its blocks have the vector's own name, those of others
 * <name>_<b>bit. */
enum { PLAIN_BITS = 3, MAX_BITS = 8 };

/* What a block of a vector at a bit width would like to be called: word characters only, as the
 * exercise's analysis script matches them. To be freed with memory_free. */
static enum status make_name(const char *vector, int bits, char **out)
{
    char width[16] = "";
    if (bits != PLAIN_BITS)
        snprintf(width, sizeof width, "_%dbit", bits);
    enum status status = memory_join_texts(vector, width, out);
    for (char *c = *out; status == QO_OK && *c; c++)
        if (!isalnum((unsigned char)*c))
            *c = '_';
    return status;
}

/* The heading of an approach there: "Non-Uniform", "Nf4". */
static void print_heading(FILE *file, const char *approach)
{
    for (const char *c = approach; *c; c++)
        fputc(c == approach || c[-1] == '-' ? toupper((unsigned char)*c) : *c, file);
    fputs(" Quantization:\n", file);
}

/* Whether a vector has results of this width. */
static bool has_width(const struct report_vector *vector, int bits)
{
    for (int r = 0; r < vector->num_results; r++)
        if (vector->results[r].num_bits == bits)
            return true;
    return false;
}

/* As repr, but without the + of an exponent: the script reads "1e+16" as far as "1e" and stops. */
static void print_figure(FILE *file, double x)
{
    char text[32];
    number_print_repr(x, text, sizeof text);
    for (const char *c = text; *c; c++)
        if (*c != '+')
            fputc(*c, file);
}

/* One block: the results of a vector at one bit width. */
static void print_block(FILE *file, const char *name, const char *tail,
                        const struct report_vector *vector, int bits)
{
    fprintf(file, "Vector Size: %s%s\n", name, tail);
    for (int r = 0; r < vector->num_results; r++) {
        const struct result *result = &vector->results[r];
        if (result->num_bits != bits)
            continue;
        print_heading(file, result->approach);
        fputs("L2 Norm: ", file);
        print_figure(file, result->l2_norm);
        fprintf(file, "\nLatency: %.4f seconds\n\n",
                result->solve_seconds + result->encode_seconds);
    }
    fputs("--------------------------------------------------\n\n\n", file);
}

/* Moves on to the next block, from bits = 0 of vector 0; false after the last one. */
static bool next_block(const struct report *report, int *vector, int *bits)
{
    for (; *vector < report->num_vectors; (*vector)++, *bits = 0)
        while (++*bits <= MAX_BITS)
            if (has_width(&report->vectors[*vector], *bits))
                return true;
    return false;
}

static enum status want_names(const struct report *report, struct block_names *names)
{
    enum status status = QO_OK;
    for (int i = 0, bits = 0; status == QO_OK && next_block(report, &i, &bits);) {
        char *name = NULL;
        status = make_name(report->vectors[i].info->name, bits, &name);
        if (status == QO_OK)
            status = block_names_want(names, name);
        memory_free(name);
    }
    return status;
}

static enum status print_blocks(const struct report *report, struct block_names *names, FILE *file)
{
    enum status status = QO_OK;
    for (int i = 0, bits = 0; status == QO_OK && next_block(report, &i, &bits);) {
        char *wanted = NULL, *name = NULL;
        status = make_name(report->vectors[i].info->name, bits, &wanted);
        if (status == QO_OK)
            status = block_names_take(names, wanted, &name);
        if (status == QO_OK)
            print_block(file, name, names->tail, &report->vectors[i], bits);
        memory_free(wanted);
        memory_free(name);
    }
    return status;
}

/* Whether the last line of a file was cut, by a run that was killed or by an editor: a header
 * behind it would be none. Leaves the file's position anywhere. */
static bool is_cut_short(FILE *file, const struct stat *info)
{
    return info->st_size > 0 && fseeko(file, -1, SEEK_END) == 0 && fgetc(file) != '\n';
}

/* The blocks behind what the file holds, each under a name that is not there. */
static enum status append(const struct report *report, FILE *file, const struct stat *info,
                          const char *path)
{
    struct block_names names;
    char tail[64];
    bool several = report->comm->size > 1 || report->machine->engine.threads > 1;
    snprintf(tail, sizeof tail, "___multiprocess: %s__device: %s", several ? "True" : "False",
             machine_device(report->machine));
    block_names_init(&names, tail);
    enum status status = want_names(report, &names);
    /* A device or a pipe has no older blocks to read. */
    if (status == QO_OK && S_ISREG(info->st_mode)) {
        rewind(file);
        status = block_names_scan(&names, file, path);
        bool is_cut = is_cut_short(file, info);
        fseeko(file, 0, SEEK_END);
        if (is_cut)
            fputc('\n', file);
    }
    if (status == QO_OK)
        status = print_blocks(report, &names, file);
    block_names_clear(&names);
    return status;
}

enum status report_write_text(const struct report *report)
{
    char path[4096 + 16];
    snprintf(path, sizeof path, "%s/results.txt", report->options->save_dir);
    FILE *file = fopen(path, "a+"); /* reads from its beginning, writes at its end */
    if (!file)
        return status_raise(QO_CANT_CREATE, "%s: cannot be opened: %s; choose another --save_dir",
                            path, strerror(errno));
    struct stat info = {0};
    fstat(fileno(file), &info);
    enum status status = append(report, file, &info, path);
    errno = 0;
    bool failed = fflush(file) != 0 || ferror(file) || fsync(fileno(file)) != 0;
    int error = errno;
    failed |= fclose(file) != 0;
    if (failed && status == QO_OK)
        status = status_raise(QO_IO, "%s: could not be written: %s; is the disk full?", path,
                              strerror(error ? error : EIO));
    /* Half a block would spoil the next one. */
    if (status != QO_OK && truncate(path, info.st_size) != 0)
        log_warn("%s: ends in half a block", path);
    return status;
}
