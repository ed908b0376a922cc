/* SPDX-License-Identifier: Apache-2.0 */
#include "backends.h"
#include "device.h"

/* Stands in for the CUDA backend in a build without it: it answers to its name and says so. */
static enum status weak_open(struct engine *engine)
{
    (void)engine;
    return status_raise(QO_UNAVAILABLE, "--device cuda: not in this build; use --device cpu");
}

static void weak_close(struct engine *engine)
{
    (void)engine;
}

const struct kernels kernels_cuda = {.name = "cuda", .open = weak_open, .close = weak_close};

bool backends_have_cuda(void)
{
    return false;
}

enum status device_select(int node_rank, struct device *device)
{
    (void)node_rank;
    *device = (struct device){.ordinal = 0};
    return status_raise(QO_UNAVAILABLE, "not in this build");
}

bool device_holds(const struct engine *engine, const struct tile *tile)
{
    (void)engine;
    (void)tile;
    return false;
}

double device_seconds(const struct engine *engine)
{
    (void)engine;
    return 0.0;
}

enum status device_copy_seconds(struct engine *engine, int64_t n, int repeats, double *seconds)
{
    (void)engine;
    (void)n;
    (void)repeats;
    *seconds = 0.0;
    return status_raise(QO_UNAVAILABLE, "not in this build");
}
