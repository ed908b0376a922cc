/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "identity.h"
#include "log.h"
#include "machine.h"
#include "memory.h"
#include "memory_limit.h"
#include "batch.h"
#include "plan.h"
#include "quantize.h"
#include "stop.h"
#include "version.h"

/* Memory of a rank beside its vectors: 64 MiB, and as much again twice for further walks. */
#define BESIDE_VECTORS ((int64_t)192 << 20)

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

/* Local. The checkpoint stands beside the result file, or where its folder would be. */
static enum status name_checkpoint(const struct report *report, char **path)
{
    return report->output
               ? memory_join_texts(report->output, ".checkpoint", path)
               : memory_join_texts(report->options->save_dir, "/results.checkpoint", path);
}

/* Collective. The record of the run, which begins with that of an earlier one if it is to go on. */
static enum status open_journal(const struct report *report, struct journal **journal)
{
    enum status status;
    char *path = NULL, *identity = NULL;
    QO_TRY(name_checkpoint(report, &path));
    if (report->comm->rank == 0)
        QO_TRY(identity_make(report->options, report->source, &identity));
done:
    if ((status = comm_agree(report->comm, status)) == QO_OK)
        status = journal_open(journal, report->comm, path, identity, report->options->resume);
    memory_free(path);
    memory_free(identity);
    return status;
}

/* Collective. The folder and the log. */
static enum status open_folder(const struct report *report)
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
    return comm_agree(report->comm, status);
}

/* Collective. Where results go: the result file, and what an earlier run has left of it. */
static enum status open_outputs(const struct report *report, struct journal *journal,
                                struct encoded *encoded, struct result_file **file)
{
    enum status status;
    int64_t inode = journal_data_inode(journal);
    if (!report->output)
        return QO_OK;
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
    QO_TRY(result_file_create(report->comm, report->output, &header, inode, file));
    QO_TRY(encoded_open(encoded, report->comm, report->output, inode));
    journal_attach(journal, *file, encoded);
done:
    return status;
}

/* Collective. The trips of all vectors, small ones first; then the one message for those that must
 * not be quantized. */
static enum status quantize_all(struct job *job, struct report *report)
{
    enum status status;
    int num = report->num_vectors;
    bool *done = NULL;
    double work = 0;
    for (int i = 0; i < num; i++)
        work += (double)report->vectors[i].info->n * plan_readings(job->options);
    progress_begin(&job->progress, work);
    QO_TRY(memory_alloc("vectors that are done", num, sizeof *done, &done));
    QO_TRY(memory_alloc("vectors with NaN", num, sizeof *job->nonfinite, &job->nonfinite));
done:
    status = comm_agree(job->comm, status);
    if (status == QO_OK)
        status = batch_quantize(job, report->vectors, done);
    for (int i = 0; i < num && status == QO_OK; i++)
        if (!done[i])
            status = quantize_vector(job, i, &report->vectors[i]);
    if (status == QO_OK) {
        progress_end(&job->progress);
        status = quantize_check(job);
    }
    memory_free(done);
    memory_free(job->nonfinite);
    job->nonfinite = NULL;
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

/* Collective. The run proper: outputs, trips, reports. What it has opened is closed or kept. */
static enum status make_run(struct job *job, struct report *report)
{
    enum status status;
    struct encoded encoded = {0};
    QO_TRY(open_folder(report));
    QO_TRY(open_journal(report, &job->journal));
    QO_TRY(open_outputs(report, job->journal, &encoded, &job->file));
    QO_TRY(quantize_all(job, report));
    timer_switch(job->timer, PHASE_WRITE);
    if (job->file)
        QO_TRY(result_file_publish(job->file));
    job->file = NULL;
    journal_finish(job->journal);
    if (report->output && job->comm->rank == 0)
        encoded_remove(report->output);
    QO_TRY(write_reports(report, job->timer));
done:
    if (status != QO_OK && status != QO_STOPPED && journal_is_saved(job->journal))
        log_info("the last checkpoint stays: --resume goes on once the cause is gone");
    result_file_abandon(job->file);
    encoded_close(&encoded);
    journal_close(job->journal);
    return status;
}

/* Collective. What a rank may use for a vector. A limit that was found, not given, is for all that
 * a rank needs: a part of it is for libraries, histograms and results. */
static int64_t memory_for_vectors(const struct options *options, const struct comm *comm)
{
    int64_t limit = memory_limit_of(options->memory_limit, comm);
    if (options->memory_limit > 0 || limit == INT64_MAX)
        return limit;
    return limit > 2 * BESIDE_VECTORS ? limit - BESIDE_VECTORS : limit / 2;
}

enum status run_quantize(const struct options *options, struct comm *comm, struct timer *timer,
                         int argc, char **argv)
{
    enum status status;
    struct source *source = NULL;
    struct machine machine = {.on_device = false};
    struct report report = {0};
    struct job job;
    struct source_request request = request_of(options);
    quantize_init(&job, options, comm, timer, &machine.engine);
    double limit = options->max_walltime > 0 ? options->max_walltime : INFINITY;
    stop_setup(fmin(limit, stop_job_seconds()), stop_checkpoint_seconds());
    job.memory_limit = memory_for_vectors(options, comm);
    QO_TRY(machine_open(&machine, options, comm));
    QO_TRY(source_open(comm, &request, &source));
    job.source = source;
    QO_TRY(report_init(&report, options, comm, &machine, source, job.memory_limit, argc, argv));
    report_start(&report);
    if (options->dry_run)
        report_plan(&report);
    else
        QO_TRY(make_run(&job, &report));
done:
    report_clear(&report);
    source_close(source);
    machine_close(&machine, comm);
    return status;
}
