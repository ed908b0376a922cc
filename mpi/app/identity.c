/* SPDX-License-Identifier: Apache-2.0 */
#include "identity.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "fault.h"
#include "memory.h"

/* No line can be forged: arguments, values in a file of --config and names of vectors have no
 * control characters. */

static void write_option(const char *name, const char *value, void *context)
{
    FILE *out = context;
    fprintf(out, "%s = %s\n", name, value);
}

static void write_file(const struct source_file *file, void *context)
{
    FILE *out = context;
    char when[64];
    struct tm utc;
    time_t seconds = (time_t)file->seconds;
    if (!gmtime_r(&seconds, &utc) || strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc) == 0)
        snprintf(when, sizeof when, "%" PRId64, file->seconds); /* a year past all calendars */
    fprintf(out, "input %s = %" PRId64 " bytes, modified %s.%09" PRId64 "Z\n", file->path,
            file->num_bytes, when, file->nanoseconds);
}

static void write_vector(FILE *out, const struct vector_info *info)
{
    fprintf(out, "vector %s = %s [", info->name, element_name(info->type));
    for (int d = 0; d < info->num_dims; d++)
        fprintf(out, d ? " x %" PRId64 : "%" PRId64, info->shape[d]);
    fputs("]\n", out);
}

/* A stream into memory; QO_NO_MEMORY. */
static enum status open_text(char **text, size_t *size, FILE **out)
{
    *out = fault_here() ? NULL : open_memstream(text, size);
    return *out ? QO_OK
                : status_raise(QO_NO_MEMORY, "what the run is: no memory for its text; free some");
}

/* Closes it; only then are all bytes known to have found room. */
static enum status close_text(FILE *out)
{
    bool failed = ferror(out) != 0;
    failed |= fclose(out) != 0;
    return failed ? status_raise(QO_NO_MEMORY, "what the run is: no memory for its text; free some")
                  : QO_OK;
}

/* Codebooks that are read from files: which values they have is more than their files' names say.
 */
static void write_codebooks(FILE *out, const struct options *options)
{
    for (int i = 0; i < options->num_audits; i++) {
        const struct audit *audit = &options->audits[i];
        const size_t bytes = (size_t)audit->book.k * sizeof *audit->book.value;
        if (audit_file(audit))
            fprintf(out, "codebook %s = %d values with the digest %016" PRIx64 "\n",
                    audit_file(audit), audit->book.k,
                    (uint64_t)XXH3_64bits(audit->book.value, bytes));
    }
}

/* The number of vectors, and all or the first of them with a digest of all. */
static enum status write_vectors(FILE *out, const struct source *source)
{
    enum status status;
    FILE *list = NULL;
    char *text = NULL;
    size_t size = 0, shown = 0;
    int num_vectors = source_count(source);
    QO_TRY(open_text(&text, &size, &list));
    for (int i = 0; i < num_vectors; i++) {
        write_vector(list, source_vector(source, i));
        if (i + 1 == IDENTITY_MAX_VECTORS && fflush(list) == 0)
            shown = size;
    }
    QO_TRY(close_text(list));
    if (num_vectors <= IDENTITY_MAX_VECTORS)
        shown = size;
    fprintf(out, "vectors = %d\n", num_vectors);
    fwrite(text, 1, shown, out);
    if (shown < size)
        fprintf(out, "vectors_digest = %016" PRIx64 "\n", (uint64_t)XXH3_64bits(text, size));
done:
    free(text);
    return status;
}

/* In the order in which differences are to be told: a change of options explains those of files,
 * and one of files those of vectors. */
static enum status write_all(FILE *out, const struct options *options, const struct source *source)
{
    enum status status;
    fprintf(out, "resume_version = %d\n", RESUME_VERSION);
    options_visit_results(options, write_option, out);
    write_codebooks(out, options);
    /* Where codes go is no matter, but a run that writes none makes other walks. */
    fprintf(out, "codes = %s\n", options->no_output ? "none" : "written");
    QO_TRY(source_visit_files(source, write_file, out));
    QO_TRY(write_vectors(out, source));
done:
    return status;
}

enum status identity_make(const struct options *options, const struct source *source,
                          char **identity)
{
    enum status status, closed;
    FILE *out;
    char *text = NULL;
    size_t size;
    *identity = NULL;
    QO_TRY(open_text(&text, &size, &out));
    status = write_all(out, options, source);
    closed = close_text(out);
    if (status == QO_OK)
        status = closed;
    if (status == QO_OK)
        status = memory_copy_text(text, identity);
done:
    free(text);
    return status;
}
