/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "log.h"
#include "plan.h"
#include "report.h"
#include "result_file.h"
#include "shard.h"
#include "version.h"

/* Vectors listed one by one in the start-up block; of more, only the sums. */
#define LISTED_VECTORS 12

/* Likewise ranks with their GPUs. */
#define LISTED_RANKS 64

#define MIB 1048576.0

static const char *simd_level(void)
{
    return engine_supports(BACKEND_AVX512) ? "avx512"
           : engine_supports(BACKEND_AVX2) ? "avx2"
                                           : "portable";
}

void report_version(FILE *out)
{
    fprintf(out, "quantopt_mpi %s\n", QO_VERSION);
    fprintf(out, "compiler  %s\n", QO_COMPILER);
    fprintf(out, "MPI       %s\n", comm_library());
    fprintf(out, "HDF5      %s\n", result_file_library());
    fprintf(out, "SIMD      up to %s\n", simd_level());
    struct device device;
    bool usable = device_select(0, &device) == QO_OK;
    fprintf(out, "GPU       %s\n", usable ? device.name : status_text());
    status_clear();
}

/* Host names, each once, with the number of ranks on it: "n1 (4), n2 (4)". */
static void list_hosts(const struct report *report, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int r = 0; r < report->comm->size && used + HOST_NAME_BYTES + 32 < size;) {
        const char *host = report->hosts + (size_t)r * HOST_NAME_BYTES;
        int first = r;
        while (r < report->comm->size && !strcmp(host, report->hosts + (size_t)r * HOST_NAME_BYTES))
            r++;
        used += (size_t)snprintf(text + used, size - used, "%s%s (%d)", used ? ", " : "", host,
                                 r - first);
    }
}

/* "float32 [3 x 4], 12 elements" */
static void describe_vector(const struct vector_info *info, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "%s [", element_name(info->type));
    for (int d = 0; d < info->num_dims && used + 32 < size; d++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", d ? " x " : "",
                                 (long long)info->shape[d]);
    snprintf(text + used, size - used, "], %lld elements", (long long)info->n);
}

static void echo_option(const char *name, const char *value, void *context)
{
    (void)context;
    log_detail("option    %s = %s", name, value);
}

static int64_t total_elements(const struct report *report)
{
    int64_t total = 0;
    for (int i = 0; i < report->num_vectors; i++)
        total += report->vectors[i].info->n;
    return total;
}

/* How many vectors do not fit into memory. */
static void report_streamed(const struct report *report)
{
    int count = 0;
    for (int i = 0; i < report->num_vectors; i++)
        count += !report_walk_plan(report, i).is_held;
    if (count > 0)
        log_info("memory    %.0f MiB a rank: %d vector%s larger and %s read %d times, tile by tile",
                 (double)report->memory_limit / MIB, count, count == 1 ? " is" : "s are",
                 count == 1 ? "is" : "are", plan_readings(report->options));
}

void report_start(const struct report *report)
{
    const struct comm *comm = report->comm;
    const struct engine *engine = &report->machine->engine;
    char text[1024];
    if (comm->rank != 0)
        return;
    log_info("quantopt_mpi %s (%s, %s, %s)", QO_VERSION, QO_COMPILER, comm_library(),
             result_file_library());
    list_hosts(report, text, sizeof text);
    log_info("ranks     %d on %d node%s: %s", comm->size, comm->num_nodes,
             comm->num_nodes == 1 ? "" : "s", text);
    log_info("threads   %d per rank, kernels %s, sums over %s", engine->threads,
             engine->kernels->name, reduce_name(comm));
    if (!comm->is_threaded && engine->threads > 1)
        log_warn("this MPI library does not allow for threads; use --threads 1 if runs fail");
    for (int r = 0; report->devices && r < comm->size && r < LISTED_RANKS; r++)
        log_info("rank %d    on %s: %s", r, report->hosts + (size_t)r * HOST_NAME_BYTES,
                 report->devices + (size_t)r * DEVICE_LINE_BYTES);
    if (report->devices && comm->size > LISTED_RANKS)
        log_info("and %d more ranks with a GPU each", comm->size - LISTED_RANKS);
    log_info("input     %s: %d vector%s, %lld elements", report->input, report->num_vectors,
             report->num_vectors == 1 ? "" : "s", (long long)total_elements(report));
    for (int i = 0; i < report->num_vectors && i < LISTED_VECTORS; i++) {
        describe_vector(report->vectors[i].info, text, sizeof text);
        log_info("  %s: %s", report->vectors[i].info->name, text);
    }
    if (report->num_vectors > LISTED_VECTORS)
        log_info("  and %d more", report->num_vectors - LISTED_VECTORS);
    report_streamed(report);
    if (report->output)
        log_info("output    %s, %.1f MiB and outliers", report->output,
                 (double)report_output_bytes(report) / MIB);
    options_visit(report->options, echo_option, NULL);
}

/* How one vector will be read. */
static void print_readings(const struct report *report, int index)
{
    struct walk_plan plan = report_walk_plan(report, index);
    const struct options *options = report->options;
    int64_t size = (int64_t)element_size(report->vectors[index].info->type);
    if (plan.is_held) {
        printf("  walks: the vector is read once, into memory\n");
        return;
    }
    int64_t n = report->vectors[index].info->n, spans = (n + plan.span - 1) / plan.span;
    int readings = plan_readings(options);
    printf("  walks: the vector is larger than the memory limit and is read %d times (measuring, "
           "%s%s), in %lld tiles of %.1f MiB a rank\n",
           readings, report->output ? "encoding" : "scoring",
           readings > 2 ? ", listing outliers" : "", (long long)spans,
           (double)(plan.tile * size) / MIB);
    if (strcmp(options->solver, "lloyd") == 0)
        printf("  and once for each Lloyd step, at most %d a result\n",
               options->max_iterations + 1);
    else if (options->sample_size == 0)
        printf("  and once more for each further walk that --gap %g asks for\n", options->gap);
}

void report_plan(const struct report *report)
{
    const struct comm *comm = report->comm;
    char text[512];
    if (comm->rank != 0)
        return;
    for (int i = 0; i < report->num_vectors; i++) {
        const struct vector_info *info = report->vectors[i].info;
        describe_vector(info, text, sizeof text);
        printf("%s: %s from %s\n", info->name, text, info->origin);
        if (report_is_whole(report, i)) {
            printf("  whole, on one rank\n");
            print_readings(report, i);
            continue;
        }
        struct shard last = shard_of(info->n, comm->size - 1, comm->size);
        printf("  shards: %lld elements on rank 0", (long long)shard_largest(info->n, comm->size));
        if (comm->size > 1)
            printf(", %lld on rank %d", (long long)(last.end - last.begin), comm->size - 1);
        printf("\n");
        print_readings(report, i);
    }
    printf("memory of the largest rank: at most %.1f MiB\n",
           (double)report_memory_bytes(report) / MIB);
    if (report->output)
        printf("output: %s, %.1f MiB and the outliers\n", report->output,
               (double)report_output_bytes(report) / MIB);
    printf("nothing was computed or written (--dry_run)\n");
}
