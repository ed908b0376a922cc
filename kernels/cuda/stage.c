/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "host.h"

/*
 * Copies between the host's memory and the device's go through two halves of pinned memory by
 * turns: while the device copies one, the host's threads fill or empty the other. Only from pinned
 * memory does a copy run beside kernels, and pinning a whole shard takes longer than this.
 */

/* The least size of a half: pinning takes the system long, and many vectors are small. */
#define STAGE_LEAST ((size_t)64 << 10)

/* Less than this is copied by one thread. */
#define SERIAL_BYTES ((size_t)1 << 20)

static void copy_host(char *to, const char *from, size_t bytes, int threads)
{
    if (bytes < SERIAL_BYTES || threads == 1) {
        memcpy(to, from, bytes);
        return;
    }
    size_t part = bytes / (size_t)threads + 1;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int t = 0; t < threads; t++) {
        size_t begin = (size_t)t * part, end = begin + part < bytes ? begin + part : bytes;
        if (begin < end)
            memcpy(to + begin, from + begin, end - begin);
    }
}

enum status stage_open(struct engine_state *state, struct stage *stage)
{
    enum status status = QO_OK;
    for (int i = 0; i < 2; i++)
        QO_TRY(cuda_check(state, cudaEventCreateWithFlags(&stage->free[i], cudaEventDisableTiming),
                          "an event"));
done:
    return status;
}

static void free_halves(struct stage *stage)
{
    for (int i = 0; i < 2; i++) {
        if (stage->half[i])
            (void)cudaFreeHost(stage->half[i]);
        stage->half[i] = NULL;
    }
    stage->size = 0;
}

/* Makes the halves large enough for a copy, as far as they get. */
static enum status make_halves(struct engine_state *state, struct stage *stage, size_t bytes)
{
    enum status status = QO_OK;
    size_t size = STAGE_LEAST;
    while (size < bytes && size < STAGE_BYTES)
        size *= 2;
    if (size <= stage->size)
        return QO_OK;
    for (int i = 0; i < 2; i++)
        QO_TRY(cuda_check(state, cudaEventSynchronize(stage->free[i]), "a copy"));
    free_halves(stage);
    for (int i = 0; i < 2; i++)
        QO_TRY(cuda_check(state, cudaMallocHost((void **)&stage->half[i], size), "pinned memory"));
    stage->size = size;
done:
    return status;
}

void stage_close(struct stage *stage)
{
    for (int i = 0; i < 2; i++)
        if (stage->free[i])
            (void)cudaEventDestroy(stage->free[i]);
    free_halves(stage);
    *stage = (struct stage){.next = 0};
}

enum status stage_up(struct engine_state *state, void *to, const void *from, size_t bytes,
                     cudaStream_t stream)
{
    enum status status = QO_OK;
    struct stage *stage = &state->up;
    QO_TRY(make_halves(state, stage, bytes));
    for (size_t done = 0; done < bytes; done += stage->size) {
        size_t part = bytes - done < stage->size ? bytes - done : stage->size;
        int half = stage->next;
        stage->next = 1 - half;
        QO_TRY(cuda_check(state, cudaEventSynchronize(stage->free[half]), "a copy to the GPU"));
        copy_host(stage->half[half], (const char *)from + done, part, state->threads);
        QO_TRY(cuda_check(state,
                          cudaMemcpyAsync((char *)to + done, stage->half[half], part,
                                          cudaMemcpyHostToDevice, stream),
                          "a copy to the GPU"));
        QO_TRY(cuda_check(state, cudaEventRecord(stage->free[half], stream), "an event"));
    }
done:
    return status;
}

/* Asks for the part from `done` on, into a half. */
static enum status ask(struct engine_state *state, int half, const char *from, size_t bytes,
                       size_t done, cudaStream_t stream)
{
    enum status status = QO_OK;
    struct stage *stage = &state->down;
    size_t part = bytes - done < stage->size ? bytes - done : stage->size;
    if (done >= bytes)
        return QO_OK;
    QO_TRY(cuda_check(
        state,
        cudaMemcpyAsync(stage->half[half], from + done, part, cudaMemcpyDeviceToHost, stream),
        "a copy from the GPU"));
    QO_TRY(cuda_check(state, cudaEventRecord(stage->free[half], stream), "an event"));
done:
    return status;
}

enum status stage_down(struct engine_state *state, void *to, const void *from, size_t bytes,
                       cudaStream_t stream)
{
    enum status status = QO_OK;
    struct stage *stage = &state->down;
    QO_TRY(make_halves(state, stage, bytes));
    QO_TRY(ask(state, 0, from, bytes, 0, stream));
    for (size_t done = 0; done < bytes; done += stage->size) {
        size_t part = bytes - done < stage->size ? bytes - done : stage->size;
        int half = (int)(done / stage->size % 2);
        QO_TRY(ask(state, 1 - half, from, bytes, done + stage->size, stream));
        QO_TRY(cuda_check(state, cudaEventSynchronize(stage->free[half]), "a copy from the GPU"));
        copy_host((char *)to + done, stage->half[half], part, state->threads);
    }
done:
    return status;
}
