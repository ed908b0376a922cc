/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"
#include "machine.h"
#include "memory.h"
#include "quantize.h"
#include "version.h"

/* Local, rank 0. Makes a folder and those above it. */
static enum status make_folder(const char *path)
{
    char part[4096];
    size_t length = strlen(path);
    if (length >= sizeof part)
        return status_raise(QO_CANT_CREATE, "%s: the path is too long; choose another --save_dir",
                            path);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return status_raise(QO_CANT_CREATE,
                                "%s: cannot make the folder: %s; choose another --save_dir", part,
                                strerror(errno));
    }
    return QO_OK;
}

/* Collective. Where results go: the folder, the log, the result file. */
static enum status open_outputs(const struct report *report, struct result_file **file)
{
    enum status status = QO_OK;
    const struct options *options = report->options;
    if (report->comm->rank == 0) {
        char log_path[4096 + sizeof "/logs.txt"];
        QO_TRY(make_folder(options->save_dir));
        snprintf(log_path, sizeof log_path, "%s/logs.txt", options->save_dir);
        QO_TRY(log_open_file(log_path));
    }
done:
    if ((status = comm_agree(report->comm, status)) != QO_OK || !report->output)
        return status;
    struct file_header header = {
        .version = QO_VERSION,
        .created = report->created,
        .command_line = report->command_line,
        .options = report->yaml,
        .device = machine_device(report->machine),
        .source = report->input,
        .ranks = report->comm->size,
        .threads_per_rank = report->machine->engine.threads,
    };
    return result_file_create(report->comm, report->output, &header, file);
}

/* Collective. The trips of all vectors; then the one message for those that must not be quantized.
 */
static enum status quantize_all(struct job *job, struct report *report)
{
    enum status status = QO_OK;
    char more[64] = "";
    for (int i = 0; i < report->num_vectors; i++)
        QO_TRY(quantize_vector(job, i, &report->vectors[i]));
    progress_end(&job->progress);
    if (job->num_unnamed > 0)
        snprintf(more, sizeof more, ", and %d more vectors", job->num_unnamed);
    QO_CHECK(job->num_bad == 0, QO_DATA,
             "%s%s; clean the data, or keep such elements exactly with --nonfinite keep", job->bad,
             more);
done:
    return status;
}

/* Collective. The reports of a finished run. */
static enum status write_reports(struct report *report, struct timer *timer)
{
    enum status status = QO_OK;
    double peak = (double)memory_peak();
    timer_spread(timer, report->comm, report->phases);
    reduce_spread(report->comm, &peak, 1, &report->peak_memory);
    if (report->comm->rank == 0) {
        report_results(report);
        report_times(report);
        QO_TRY(report_write_text(report));
        QO_TRY(report_write_json(report));
        QO_TRY(log_close_file());
    }
done:
    return comm_agree(report->comm, status);
}

/* What the options ask the source for. */
static struct source_request request_of(const struct options *options)
{
    struct source_request request = {
        .inputs = options->inputs,
        .num_inputs = options->num_inputs,
        .builtin = options->vector_size,
        .generate = options->generate,
        .seed = options->seed,
        .has_type = options->has_dtype,
        .type = options->dtype,
        .num_dims = options->num_dims,
        .include = options->include,
        .exclude = options->exclude,
        .ignore_fills = options->ignore_fills,
    };
    memcpy(request.shape, options->shape, sizeof request.shape);
    return request;
}

enum status run_check_options(const struct options *options, const struct comm *comm)
{
    enum status status;
    char *mine = NULL, *first = NULL;
    int64_t size = 0;
    if (!options->config)
        return QO_OK;
    QO_TRY(comm_agree(comm, options_to_yaml(options, &mine)));
    if (comm->rank == 0)
        size = (int64_t)strlen(mine) + 1;
    comm_broadcast(comm, &size, sizeof size);
    QO_TRY(comm_agree(comm, memory_alloc("options of rank 0", size, 1, &first)));
    if (comm->rank == 0)
        memcpy(first, mine, (size_t)size);
    comm_broadcast(comm, first, size);
    if (strcmp(first, mine) != 0)
        status = status_raise(QO_CONFIG,
                              "%s: rank %d reads another file than rank 0; wait until "
                              "all nodes see the same",
                              options->config, comm->rank);
    status = comm_agree(comm, status);
done:
    memory_free(mine);
    memory_free(first);
    return status;
}

enum status run_quantize(const struct options *options, struct comm *comm, struct timer *timer,
                         int argc, char **argv)
{
    enum status status;
    struct source *source = NULL;
    struct machine machine = {.on_device = false};
    struct report report = {0};
    struct job job = {.options = options, .comm = comm, .timer = timer, .engine = &machine.engine};
    struct source_request request = request_of(options);
    QO_TRY(machine_open(&machine, options, comm));
    QO_TRY(source_open(comm, &request, &source));
    job.source = source;
    QO_TRY(report_init(&report, options, comm, &machine, source, argc, argv));
    report_start(&report);
    if (options->dry_run) {
        report_plan(&report);
        goto done;
    }
    QO_TRY(open_outputs(&report, &job.file));
    progress_init(&job.progress, options);
    QO_TRY(quantize_all(&job, &report));
    timer_switch(timer, PHASE_WRITE);
    if (job.file)
        QO_TRY(result_file_publish(job.file));
    job.file = NULL;
    QO_TRY(write_reports(&report, timer));
done:
    result_file_abandon(job.file);
    report_clear(&report);
    source_close(source);
    machine_close(&machine, comm);
    return status;
}
