/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include <stdio.h>

#include "backends.h"
#include "fault.h"
#include "memory.h"

#define MIB 1048576.0

enum status cuda_check(const struct engine_state *state, cudaError_t error, const char *what)
{
    if (error == cudaSuccess)
        return QO_OK;
    (void)cudaGetLastError();
    const struct device *device = &state->device;
    if (error == cudaErrorMemoryAllocation)
        return status_raise(QO_NO_MEMORY,
                            "GPU %d (%s): no memory for %s; use fewer ranks on this GPU or node, "
                            "or --device cpu",
                            device->ordinal, device->name, what);
    return status_raise(
        QO_UNAVAILABLE, "GPU %d (%s): %s failed: %s (%s); look at nvidia-smi, or use --device cpu",
        device->ordinal, device->name, what, cudaGetErrorString(error), cudaGetErrorName(error));
}

void cuda_release(struct cuda_buffer *buffer)
{
    if (buffer->memory)
        (void)cudaFree(buffer->memory);
    *buffer = (struct cuda_buffer){.size = 0};
}

bool cuda_try(struct cuda_buffer *buffer, size_t bytes)
{
    if (bytes <= buffer->size)
        return true;
    cuda_release(buffer);
    if (fault_here() || cudaMalloc(&buffer->memory, bytes) != cudaSuccess) {
        (void)cudaGetLastError();
        buffer->memory = NULL;
        return false;
    }
    buffer->size = bytes;
    return true;
}

void cuda_begin(struct engine_state *state, enum cuda_work work)
{
    state->work = work;
    state->seconds = 0;
}

/* Gives up a buffer that the operation under way does not use; false if there is none. */
static bool give_up_idle(struct engine_state *state)
{
    struct cuda_buffer *const of_cells[] = {&state->cells, &state->slivers_sums, &state->before,
                                            &state->words, NULL};
    struct cuda_buffer *const of_levels[] = {&state->slot[0].codes, &state->slot[1].codes,
                                             &state->list,          &state->values,
                                             &state->errors,        NULL};
    struct cuda_buffer *const *idle = state->work == WORK_CELLS ? of_levels : of_cells;
    while (*idle && !(*idle)->memory)
        idle++;
    if (!*idle)
        return false;
    cuda_release(*idle);
    if (state->work == WORK_LEVELS)
        lookup_clear(&state->lookup); /* what was brought of it may be gone */
    return true;
}

/* Gives up a held copy, which will go through in pieces from now on; false if there is none. */
static bool give_up_copy(struct engine_state *state)
{
    for (int i = CUDA_HELD - 1; i >= 0; i--) {
        if (state->held[i].tile.n > 0) {
            cuda_release(&state->held[i].copy);
            state->held[i].tile = (struct tile){.n = 0};
            return true;
        }
    }
    return false;
}

enum status cuda_reserve(struct engine_state *state, struct cuda_buffer *buffer, size_t bytes,
                         const char *what)
{
    bool made = cuda_try(buffer, bytes);
    while (!made && (give_up_idle(state) || give_up_copy(state)))
        made = cuda_try(buffer, bytes);
    if (made)
        return QO_OK;
    return status_raise(QO_NO_MEMORY,
                        "GPU %d (%s): no memory for %s (%.1f MiB); use fewer ranks on this GPU, or "
                        "--device cpu",
                        state->device.ordinal, state->device.name, what, (double)bytes / MIB);
}

enum status cuda_reserve_host(struct engine_state *state, size_t bytes)
{
    enum status status = QO_OK;
    if (bytes <= state->host_size)
        return QO_OK;
    memory_free(state->host);
    state->host = NULL;
    state->host_size = 0;
    QO_TRY(memory_alloc_large("sums of the GPU", (int64_t)bytes, 1, &state->host));
    state->host_size = bytes;
done:
    return status;
}

enum status cuda_reserve_sorters(struct engine_state *state, int64_t num)
{
    enum status status = QO_OK;
    if (num <= state->num_sorters)
        return QO_OK;
    memory_free(state->sorter);
    state->sorter = NULL;
    state->num_sorters = 0;
    QO_TRY(memory_alloc("levels", num, sizeof *state->sorter, &state->sorter));
    state->num_sorters = num;
done:
    return status;
}

struct launch cuda_launch(const struct engine_state *state, const struct cuda_slot *slot)
{
    return (struct launch){slot->stream, state->device.multiprocessors,
                           (size_t)state->device.shared_memory};
}

enum status cuda_clock_start(struct engine_state *state, struct cuda_slot *slot)
{
    return cuda_check(state, cudaEventRecord(slot->begun, slot->stream), "an event");
}

enum status cuda_clock_stop(struct engine_state *state, struct cuda_slot *slot)
{
    return cuda_check(state, cudaEventRecord(slot->done, slot->stream), "an event");
}

enum status cuda_clock_read(struct engine_state *state, struct cuda_slot *slot)
{
    enum status status;
    float milliseconds = 0;
    QO_TRY(cuda_check(state, cudaEventSynchronize(slot->done), "a kernel"));
    QO_TRY(cuda_check(state, cudaEventElapsedTime(&milliseconds, slot->begun, slot->done),
                      "an event"));
    state->seconds += 1e-3 * (double)milliseconds;
done:
    return status;
}

static enum status slot_open(struct engine_state *state, struct cuda_slot *slot)
{
    enum status status;
    QO_TRY(cuda_check(state, cudaStreamCreateWithFlags(&slot->stream, cudaStreamNonBlocking),
                      "a stream"));
    QO_TRY(cuda_check(state, cudaEventCreateWithFlags(&slot->begun, 0), "an event"));
    QO_TRY(cuda_check(state, cudaEventCreateWithFlags(&slot->done, 0), "an event"));
done:
    return status;
}

static void slot_close(struct cuda_slot *slot)
{
    cuda_release(&slot->x);
    cuda_release(&slot->codes);
    if (slot->begun)
        (void)cudaEventDestroy(slot->begun);
    if (slot->done)
        (void)cudaEventDestroy(slot->done);
    if (slot->stream)
        (void)cudaStreamDestroy(slot->stream);
    *slot = (struct cuda_slot){.stream = NULL};
}

/* The process's GPU, or a sentence around the reason why there is none. */
static enum status find_device(struct device *device)
{
    char reason[512];
    enum status status = device_current(device);
    if (status == QO_OK)
        return QO_OK;
    snprintf(reason, sizeof reason, "%s", status_text());
    return status_raise(status, "--device cuda: %s; use --device cpu", reason);
}

static enum status cuda_open(struct engine *engine)
{
    enum status status;
    struct device device;
    QO_TRY(find_device(&device));
    QO_TRY(memory_alloc("engine", 1, sizeof *engine->state, &engine->state));
    struct engine_state *state = engine->state;
    state->device = device;
    state->threads = engine->threads;
    for (int i = 0; i < CUDA_SLOTS; i++)
        QO_TRY(slot_open(state, &state->slot[i]));
    QO_TRY(stage_open(state, &state->up));
    QO_TRY(stage_open(state, &state->down));
done:
    return status;
}

static void cuda_close(struct engine *engine)
{
    struct engine_state *state = engine->state;
    if (!state)
        return;
    while (give_up_copy(state)) {
    }
    struct cuda_buffer *const buffers[] = {&state->sums,   &state->errors,       &state->sorters,
                                           &state->cells,  &state->slivers_sums, &state->words,
                                           &state->before, &state->list,         &state->values};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        cuda_release(buffers[i]);
    stage_close(&state->up);
    stage_close(&state->down);
    for (int i = 0; i < CUDA_SLOTS; i++)
        slot_close(&state->slot[i]);
    slivers_clear(&state->slivers);
    lookup_clear(&state->lookup);
    memory_free(state->sorter);
    memory_free(state->host);
    memory_free(state);
    engine->state = NULL;
}

const struct kernels kernels_cuda = {
    .name = "cuda",
    .open = cuda_open,
    .close = cuda_close,
    .hold = pieces_hold,
    .release = pieces_release,
    .measure = cuda_measure,
    .assign = cuda_assign,
    .encode = cuda_encode,
    .score = cuda_score,
    .collect = cuda_collect,
    .decode = cuda_decode,
};
