/* SPDX-License-Identifier: Apache-2.0 */
#include "backends.h"

/* Stands in for the CUDA backend in a build without it: it answers to the name and says so. */
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
