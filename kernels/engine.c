/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "backends.h"
#include "memory.h"

static bool always(void)
{
    return true;
}

/* Backends by enum backend; BACKEND_CPU is none of its own but the best of the three behind it. */
static const struct {
    const struct kernels *kernels;
    bool (*usable)(void);
} backends[] = {
    [BACKEND_PORTABLE] = {&kernels_portable, always},
    [BACKEND_AVX2] = {&kernels_avx2, backends_have_avx2},
    [BACKEND_AVX512] = {&kernels_avx512, backends_have_avx512},
    [BACKEND_CUDA] = {&kernels_cuda, backends_have_cuda},
};

/* Sets *backend to the CPU level that the environment names, or else to the best one. */
static enum status choose_cpu(enum backend *backend)
{
    const char *wanted = getenv("QUANTOPT_SIMD");
    if (!wanted || !wanted[0]) {
        *backend = BACKEND_AVX512;
        while (!backends[*backend].usable())
            (*backend)--;
        return QO_OK;
    }
    for (*backend = BACKEND_PORTABLE; *backend <= BACKEND_AVX512; (*backend)++)
        if (strcmp(wanted, backends[*backend].kernels->name) == 0)
            return QO_OK;
    return status_raise(
        QO_USAGE, "QUANTOPT_SIMD=%s: no such SIMD level; use portable, avx2 or avx512", wanted);
}

enum status engine_open(struct engine *engine, enum backend backend, int threads)
{
    enum status status = QO_OK;
    assert(threads >= 1);
    *engine = (struct engine){.threads = threads};
    if (backend == BACKEND_CPU)
        QO_TRY(choose_cpu(&backend));
    engine->kernels = backends[backend].kernels;
    QO_TRY(engine->kernels->open(engine));
done:
    if (status != QO_OK)
        engine_close(engine);
    return status;
}

void engine_close(struct engine *engine)
{
    if (engine->kernels)
        engine->kernels->close(engine);
    *engine = (struct engine){0};
}

bool engine_supports(enum backend backend)
{
    return backend == BACKEND_CPU || backends[backend].usable();
}
