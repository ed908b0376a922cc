/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "memory.h"
#include "plan.h"
#include "result_file.h"
#include "shard.h"
#include "version.h"

/* What a rank needs beside its shard and codes: libraries, histogram and buffers. */
#define OVERHEAD_BYTES ((int64_t)64 << 20)

/* Pinned memory of a rank on a GPU: for its copies, and for sums over NCCL. */
#define STAGING_BYTES ((int64_t)40 << 20)

/* Small vectors that a rank has whole wait in so much memory until they are written. */
#define BATCH_BYTES ((int64_t)48 << 20)

/* A walk over finer cells, and finding levels from them, takes so much more (measured). For gaps
 * above this one smooth densities need none. */
#define FURTHER_WALK_BYTES ((int64_t)128 << 20)
#define FURTHER_WALK_GAP   1e-4

/* Local. Joins words[n] with spaces, on top of a first one that may be NULL. */
static enum status join(const char *first, const char *const *words, int n, char **text)
{
    size_t length = 1, used = 0;
    if (first)
        length += strlen(first) + 1;
    for (int i = 0; i < n; i++)
        length += strlen(words[i]) + 1;
    enum status status = memory_alloc("text", (int64_t)length, 1, text);
    if (status != QO_OK)
        return status;
    if (first)
        used += (size_t)snprintf(*text, length, "%s", first);
    for (int i = 0; i < n; i++)
        used += (size_t)snprintf(*text + used, length - used, "%s%s", used ? " " : "", words[i]);
    return QO_OK;
}

/* Local. The inputs in one line. */
static enum status describe_input(const struct options *options, char **text)
{
    if (options->num_inputs > 0)
        return join(NULL, options->inputs, options->num_inputs, text);
    return memory_copy_text(options->generate ? options->generate : options->vector_size, text);
}

/* Local. The result file's path; NULL with --output none. */
static enum status name_output(const struct options *options, char **path)
{
    if (options->no_output)
        return QO_OK;
    if (options->output)
        return memory_copy_text(options->output, path);
    size_t length = strlen(options->save_dir) + sizeof "/quantized.h5";
    enum status status = memory_alloc("path", (int64_t)length, 1, path);
    if (status == QO_OK)
        snprintf(*path, length, "%s/quantized.h5", options->save_dir);
    return status;
}

/* "GPU 0 NVIDIA H100, GPU-..., 79.1 of 79.6 GiB free" */
static void describe_device(const struct device *device, char *line, size_t size)
{
    const double gib = 1073741824.0;
    snprintf(line, size, "GPU %d %s, %s, %.1f of %.1f GiB free", device->ordinal, device->name,
             device->uuid, (double)device->free_memory / gib, (double)device->memory / gib);
}

enum status report_init(struct report *report, const struct options *options,
                        const struct comm *comm, const struct machine *machine,
                        const struct source *source, int64_t memory_limit, int argc, char **argv)
{
    enum status status;
    char host[HOST_NAME_BYTES] = "", line[DEVICE_LINE_BYTES];
    *report = (struct report){.options = options,
                              .comm = comm,
                              .machine = machine,
                              .source = source,
                              .memory_limit = memory_limit};
    report->num_vectors = source_count(source);
    time_t now = time(NULL);
    struct tm utc;
    strftime(report->created, sizeof report->created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    QO_TRY(options_to_yaml(options, &report->yaml));
    QO_TRY(join(NULL, (const char *const *)argv, argc, &report->command_line));
    QO_TRY(describe_input(options, &report->input));
    QO_TRY(name_output(options, &report->output));
    QO_TRY(memory_alloc("list of vectors", report->num_vectors, sizeof *report->vectors,
                        &report->vectors));
    for (int i = 0; i < report->num_vectors; i++)
        report->vectors[i].info = source_vector(source, i);
    int num_small = 0;
    for (int i = 0; i < report->num_vectors; i++)
        num_small += plan_is_small(options, report->vectors[i].info);
    report->deals_small = num_small >= 2;
    if (comm->rank == 0)
        QO_TRY(memory_alloc("host names", comm->size, HOST_NAME_BYTES, &report->hosts));
    if (comm->rank == 0 && machine->on_device)
        QO_TRY(memory_alloc("device names", comm->size, DEVICE_LINE_BYTES, &report->devices));
done:
    if ((status = comm_agree(comm, status)) != QO_OK)
        return status;
    gethostname(host, sizeof host - 1);
    comm_gather_text(comm, host, HOST_NAME_BYTES, report->hosts);
    if (machine->on_device) {
        describe_device(&machine->device, line, sizeof line);
        comm_gather_text(comm, line, sizeof line, report->devices);
    }
    comm_broadcast(comm, report->created, sizeof report->created);
    return QO_OK;
}

void report_vector_clear(struct report_vector *vector)
{
    for (int r = 0; r < vector->num_results; r++)
        solution_clear(&vector->results[r].solution);
    memory_free(vector->results);
    vector->results = NULL;
    vector->num_results = 0;
}

void report_clear(struct report *report)
{
    for (int i = 0; report->vectors && i < report->num_vectors; i++)
        report_vector_clear(&report->vectors[i]);
    memory_free(report->vectors);
    memory_free(report->yaml);
    memory_free(report->command_line);
    memory_free(report->input);
    memory_free(report->output);
    memory_free(report->hosts);
    memory_free(report->devices);
    *report = (struct report){0};
}

int64_t report_output_bytes(const struct report *report)
{
    int64_t bytes = 0;
    int num_results = report->output ? plan_num_results(report->options) : 0;
    for (int r = 0; r < num_results; r++) {
        int b = plan_result(report->options, r).num_bits;
        for (int i = 0; i < report->num_vectors; i++)
            bytes += (report->vectors[i].info->n * b + 7) / 8 + ((int64_t)8 << b);
    }
    return bytes;
}

/* Bytes a result, and a Lloyd step, as JSON: a few hundred a figure; and what HDF5 keeps of the
 * group of a result. Measured. */
#define JSON_BYTES      2048
#define JSON_STEP_BYTES 512
#define GROUP_BYTES     14336

/* Pure. Lloyd steps of a result, as far as they are worth counting. */
static int num_steps(const struct options *options, const struct plan_result *result)
{
    bool is_free =
        result->approach == APPROACH_NON_UNIFORM || result->approach == APPROACH_EASYQUANT;
    if (!is_free || strcmp(options->solver, "lloyd") != 0)
        return 0;
    return options->max_iterations < 100 ? options->max_iterations : 100;
}

/* Rank 0 keeps every result until the reports are written. */
static int64_t result_bytes(const struct report *report)
{
    int64_t bytes = 0;
    for (int r = 0; r < plan_num_results(report->options); r++) {
        struct plan_result result = plan_result(report->options, r);
        bytes += (int64_t)sizeof(struct result) + JSON_BYTES + (report->output ? GROUP_BYTES : 0) +
                 JSON_STEP_BYTES * (int64_t)num_steps(report->options, &result);
    }
    return bytes * report->num_vectors;
}

bool report_is_whole(const struct report *report, int index)
{
    return report->deals_small && plan_is_small(report->options, report->vectors[index].info);
}

struct walk_plan report_walk_plan(const struct report *report, int index)
{
    int size = report_is_whole(report, index) ? 1 : report->comm->size;
    return plan_vector(report->options, report->vectors[index].info, size, report->memory_limit);
}

int64_t report_memory_bytes(const struct report *report)
{
    int64_t most = 0;
    for (int i = 0; i < report->num_vectors; i++) {
        int64_t bytes =
            report_walk_plan(report, i).memory +
            plan_sample_bytes(report->options, report->vectors[i].info, report->comm->size);
        most = bytes > most ? bytes : most;
    }
    if (report->options->gap < FURTHER_WALK_GAP && report->options->sample_size == 0)
        most += FURTHER_WALK_BYTES;
    if (report->deals_small)
        most += BATCH_BYTES;
    if (report->machine->on_device)
        most += STAGING_BYTES;
    /* What a few results take is within the overhead. */
    int64_t results = result_bytes(report);
    return most + OVERHEAD_BYTES + (results > OVERHEAD_BYTES / 16 ? results : 0);
}
