/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "backends.h"
#include "host.h"

/* Raises the reason why there is no GPU, and forgets CUDA's. */
static enum status refuse(cudaError_t error)
{
    int version = 0;
    (void)cudaGetLastError();
    if (error == cudaErrorMemoryAllocation)
        return status_raise(QO_NO_MEMORY, "the GPU has no memory left to start on; use fewer "
                                          "ranks on it");
    if (cudaDriverGetVersion(&version) != cudaSuccess || version == 0)
        return status_raise(QO_UNAVAILABLE, "no NVIDIA driver on this machine");
    if (error == cudaErrorInsufficientDriver)
        return status_raise(QO_UNAVAILABLE,
                            "the NVIDIA driver is for CUDA %d.%d, which is too old for this build",
                            version / 1000, version % 1000 / 10);
    if (error == cudaErrorNoDevice)
        return status_raise(QO_UNAVAILABLE, "no GPU is visible (is CUDA_VISIBLE_DEVICES set?)");
    return status_raise(QO_UNAVAILABLE, "the GPU cannot be used: %s (%s)",
                        cudaGetErrorString(error), cudaGetErrorName(error));
}

/* As nvidia-smi writes it. */
static void print_uuid(const cudaUUID_t *uuid, char text[DEVICE_UUID_BYTES])
{
    size_t used = (size_t)snprintf(text, DEVICE_UUID_BYTES, "GPU");
    for (size_t i = 0; i < sizeof uuid->bytes; i++)
        used += (size_t)snprintf(text + used, DEVICE_UUID_BYTES - used, "%s%02x",
                                 i == 0 || i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                                 (unsigned char)uuid->bytes[i]);
}

enum status device_current(struct device *device)
{
    struct cudaDeviceProp properties;
    size_t free = 0, total = 0;
    int count = 0;
    *device = (struct device){.ordinal = 0};
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess)
        error = cudaGetDevice(&device->ordinal);
    if (error == cudaSuccess)
        error = cudaGetDeviceProperties(&properties, device->ordinal);
    if (error != cudaSuccess)
        return refuse(error);
    snprintf(device->name, sizeof device->name, "%.127s", properties.name);
    print_uuid(&properties.uuid, device->uuid);
    device->major = properties.major;
    device->minor = properties.minor;
    device->multiprocessors = properties.multiProcessorCount;
    device->shared_memory = (int64_t)properties.sharedMemPerBlockOptin;
    error = decode_probe();
    if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction) {
        (void)cudaGetLastError();
        return status_raise(QO_UNAVAILABLE,
                            "GPU %d (%s) has compute capability %d.%d, for which this build has no "
                            "code; build with -DCMAKE_CUDA_ARCHITECTURES=%d%d",
                            device->ordinal, device->name, device->major, device->minor,
                            device->major, device->minor);
    }
    if (error == cudaSuccess)
        error = cudaMemGetInfo(&free, &total);
    if (error != cudaSuccess)
        return refuse(error);
    device->memory = (int64_t)total;
    device->free_memory = (int64_t)free;
    return QO_OK;
}

enum status device_select(int node_rank, struct device *device)
{
    int count = 0;
    *device = (struct device){.ordinal = 0};
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count == 0)
        error = cudaErrorNoDevice;
    if (error == cudaSuccess)
        error = cudaSetDevice(node_rank % count);
    return error == cudaSuccess ? device_current(device) : refuse(error);
}

bool backends_have_cuda(void)
{
    struct device device;
    if (device_current(&device) == QO_OK)
        return true;
    status_clear();
    return false;
}

double device_seconds(const struct engine *engine)
{
    return engine->state->seconds;
}

/* One copy between two buffers, timed by events. */
static enum status copy_once(struct engine_state *state, struct cuda_buffer *from,
                             struct cuda_buffer *to, size_t bytes, double *seconds)
{
    enum status status;
    struct cuda_slot *slot = &state->slot[0];
    state->seconds = 0;
    QO_TRY(cuda_clock_start(state, slot));
    QO_TRY(cuda_check(
        state,
        cudaMemcpyAsync(to->memory, from->memory, bytes, cudaMemcpyDeviceToDevice, slot->stream),
        "a copy in device memory"));
    QO_TRY(cuda_clock_stop(state, slot));
    QO_TRY(cuda_clock_read(state, slot));
    *seconds = state->seconds;
done:
    return status;
}

enum status device_copy_seconds(struct engine *engine, int64_t n, int repeats, double *seconds)
{
    enum status status;
    struct engine_state *state = engine->state;
    struct cuda_buffer from = {0}, to = {0};
    double once;
    QO_TRY(cuda_reserve(state, &from, (size_t)n, "a copy"));
    QO_TRY(cuda_reserve(state, &to, (size_t)n, "a copy"));
    *seconds = 1e300;
    for (int i = 0; i < repeats + 1; i++) { /* the first one warms up */
        QO_TRY(copy_once(state, &from, &to, (size_t)n, &once));
        if (i > 0 && once < *seconds)
            *seconds = once;
    }
done:
    cuda_release(&from);
    cuda_release(&to);
    return status;
}
