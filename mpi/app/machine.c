/* SPDX-License-Identifier: Apache-2.0 */
#include "machine.h"

#include <string.h>
#include <unistd.h>

#include "log.h"
#include "threads.h"

/* Local. This rank's GPU; where there are several nodes the reason names the one. */
static enum status select_device(const struct comm *comm, struct device *device)
{
    char host[64] = "";
    enum status status = device_select(comm->node_rank, device);
    if (status == QO_OK || comm->num_nodes == 1)
        return status;
    gethostname(host, sizeof host - 1);
    char reason[512];
    snprintf(reason, sizeof reason, "%s", status_text());
    return status_raise(status, "rank %d on %s: %s", comm->rank, host, reason);
}

/* Collective. GPUs for all ranks or for none. */
static enum status choose_device(struct machine *machine, const struct options *options,
                                 const struct comm *comm)
{
    char reason[1024];
    if (options->device == DEVICE_CPU)
        return QO_OK;
    enum status status = comm_agree(comm, select_device(comm, &machine->device));
    machine->on_device = status == QO_OK;
    if (status == QO_OK)
        return QO_OK;
    snprintf(reason, sizeof reason, "%s", status_text());
    if (options->device == DEVICE_CUDA)
        return status_raise(status, "--device cuda: %s; use --device cpu or auto", reason);
    log_info("device    cpu (no GPU: %s)", reason);
    status_clear();
    return QO_OK;
}

enum status machine_open(struct machine *machine, const struct options *options, struct comm *comm)
{
    enum status status;
    int threads = options->threads > 0 ? options->threads : threads_auto(comm);
    *machine = (struct machine){.on_device = false};
    QO_TRY(choose_device(machine, options, comm));
    enum backend backend = machine->on_device ? BACKEND_CUDA : BACKEND_CPU;
    QO_TRY(comm_agree(comm, engine_open(&machine->engine, backend, threads)));
    QO_TRY(reduce_open(comm, options->comm, machine->on_device ? machine->device.uuid : ""));
done:
    return status;
}

void machine_close(struct machine *machine, struct comm *comm)
{
    reduce_close(comm);
    engine_close(&machine->engine);
    *machine = (struct machine){.on_device = false};
}

const char *machine_device(const struct machine *machine)
{
    return machine->on_device ? "cuda" : "cpu";
}
