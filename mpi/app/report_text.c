/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "number.h"
#include "report.h"

/* A name of word characters only, as the exercise's analysis script matches it. */
static void print_word(FILE *file, const char *name)
{
    for (const char *c = name; *c; c++)
        fputc(isalnum((unsigned char)*c) ? *c : '_', file);
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

/* One block: the results of a vector at one bit width. */
static void print_block(FILE *file, const struct report *report, const struct report_vector *vector,
                        int bits)
{
    char norm[32];
    bool several = report->comm->size > 1 || report->machine->engine.threads > 1;
    fputs("Vector Size: ", file);
    print_word(file, vector->info->name);
    fprintf(file, "___multiprocess: %s__device: %s\n", several ? "True" : "False",
            machine_device(report->machine));
    for (int r = 0; r < vector->num_results; r++) {
        const struct result *result = &vector->results[r];
        if (result->num_bits != bits)
            continue;
        number_print_repr(result->l2_norm, norm, sizeof norm);
        print_heading(file, result->approach);
        fprintf(file, "L2 Norm: %s\n", norm);
        fprintf(file, "Latency: %.4f seconds\n\n", result->solve_seconds + result->encode_seconds);
    }
    fputs("--------------------------------------------------\n\n\n", file);
}

enum status report_write_text(const struct report *report)
{
    char path[4096 + 16];
    snprintf(path, sizeof path, "%s/results.txt", report->options->save_dir);
    FILE *file = fopen(path, "a");
    if (!file || fseeko(file, 0, SEEK_END) != 0)
        return status_raise(QO_CANT_CREATE, "%s: cannot be opened: %s; choose another --save_dir",
                            path, strerror(errno));
    off_t before = ftello(file); /* where an append begins: the end */
    for (int i = 0; i < report->num_vectors; i++)
        for (int bits = 1; bits <= 8; bits++)
            if (has_width(&report->vectors[i], bits))
                print_block(file, report, &report->vectors[i], bits);
    errno = 0;
    bool failed = fflush(file) != 0 || ferror(file) || fsync(fileno(file)) != 0;
    int error = errno;
    if (failed && ftruncate(fileno(file), before) != 0) /* half a block would spoil the next one */
        log_warn("%s: ends in half a block", path);
    if (fclose(file) == 0 && !failed)
        return QO_OK;
    return status_raise(QO_IO, "%s: could not be written: %s; is the disk full?", path,
                        strerror(error ? error : EIO));
}
