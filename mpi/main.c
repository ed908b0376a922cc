/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>

#include "comm.h"
#include "fault.h"
#include "log.h"
#include "options.h"
#include "report.h"
#include "run.h"
#include "stop.h"
#include "watch.h"

/* Collective. Does what the options ask for. */
static enum status act(const struct options *options, struct comm *comm, struct timer *timer,
                       int argc, char **argv)
{
    switch (options->action) {
    case ACTION_HELP:
        if (comm->rank == 0)
            options_help(stdout);
        return QO_OK;
    case ACTION_VERSION:
        if (comm->rank == 0)
            report_version(stdout);
        return QO_OK;
    case ACTION_RESTORE:
        return run_restore(options, comm);
    case ACTION_SELFTEST:
        return run_selftest(options, comm, timer);
    default:
        return run_quantize(options, comm, timer, argc, argv);
    }
}

/* Collective. Whether what was printed has arrived: a lost table is not a good end. */
static enum status check_printed(const struct comm *comm)
{
    enum status status = QO_OK;
    if (comm->rank == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        status = status_raise(QO_IO, "standard output: could not be written; files are complete");
    return comm_agree(comm, status);
}

/* Every rank runs to the end and leaves with the same code. */
int main(int argc, char **argv)
{
    struct timer timer;
    struct comm comm;
    struct options options = {0};
    timer_start(&timer);
    stop_hold();
    comm_open(&comm, &argc, &argv);
    fault_setup(comm.rank);
    /* A closed reader of our output, or a file at its size limit, is an error to be told, not a
     * signal. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);

    log_setup(comm.rank == 0, LOG_NORMAL);
    enum status status = comm_agree(&comm, options_read(&options, argc, argv));
    if (status == QO_OK) {
        if (options.action != ACTION_RUN) /* the others cannot go on later */
            stop_release();
        watch_setup(&comm, options.comm_timeout);
        status = run_check_options(&options, &comm);
    }
    if (status == QO_OK) {
        log_setup(comm.rank == 0, options.quiet     ? LOG_QUIET
                                  : options.verbose ? LOG_VERBOSE
                                                    : LOG_NORMAL);
        if (options.action == ACTION_RUN)
            status = audit_load(&options, &comm);
        if (status == QO_OK)
            status = act(&options, &comm, &timer, argc, argv);
        if (status == QO_OK)
            status = check_printed(&comm);
    }
    if (status != QO_OK) {
        if (status == QO_STOPPED) /* which was asked for */
            log_warn("%s", status_text());
        else
            log_error("%s", status_text());
        if (log_close_file() != QO_OK) /* the first failure is the one to tell */
            status_clear();
    }
    options_clear(&options);
    comm_close(&comm);
    return (int)status;
}
