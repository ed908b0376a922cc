/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_TESTS_SHIM_CUDA_RUNTIME_API_H
#define QO_TESTS_SHIM_CUDA_RUNTIME_API_H

#include <stddef.h>

/*
 * A CUDA runtime without a GPU, for tests: as much of its interface as the backend uses, with its
 * names. shim.cpp runs it on the CPU; what is not here, the backend may not use unseen.
 *
 * - Work on a stream is put off until somebody waits for it, so that a buffer that is used again
 *   too early, or a result that is read too early, shows.
 * - Device memory cannot be touched but by kernels and copies, ends at a guard page, and is
 * limited.
 *
 * The environment makes it what a test needs:
 * QUANTOPT_SHIM_DEVICES=N       so many devices (default 1)
 * QUANTOPT_SHIM_MEMORY=BYTES    of each (default 1 GiB)
 * QUANTOPT_SHIM_SHARED=BYTES    shared memory a block may have (default 232448, as an H100)
 * QUANTOPT_SHIM_FAIL=driver|image|launch|copy    no driver; no code for this device; every
 *                               launch fails; every copy to the host fails
 * QUANTOPT_SHIM_DEAD=N          the N-th launch fails, and with it all that comes after
 * QUANTOPT_SHIM_ATOMICS=1       other threads may run between two atomic operations of one
 * QUANTOPT_SHIM_SEED=S          of the order in which the threads of a kernel run
 */
#ifdef __cplusplus
extern "C" {
#endif

typedef enum cudaError {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInsufficientDriver = 35,
    cudaErrorInvalidDeviceFunction = 98,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorNoKernelImageForDevice = 209,
    cudaErrorNotReady = 600,
    cudaErrorLaunchFailure = 719
} cudaError_t;

enum cudaMemcpyKind {
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };

typedef struct shim_stream *cudaStream_t;
typedef struct shim_event *cudaEvent_t;
typedef struct {
    char bytes[16];
} cudaUUID_t;

struct cudaDeviceProp {
    char name[256];
    cudaUUID_t uuid;
    size_t totalGlobalMem, sharedMemPerBlockOptin;
    int major, minor, multiProcessorCount;
};

struct cudaFuncAttributes {
    int binaryVersion;
};

const char *cudaGetErrorName(cudaError_t error);
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError(void);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device);
cudaError_t cudaMemGetInfo(size_t *free, size_t *total);
cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *function);
cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value);

cudaError_t cudaMalloc(void **memory, size_t size);
cudaError_t cudaFree(void *memory);
cudaError_t cudaMallocHost(void **memory, size_t size);
cudaError_t cudaFreeHost(void *memory);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, enum cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *memory, int byte, size_t size, cudaStream_t stream);

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end);

/* Not of CUDA: puts work on a stream, for a fake library. It may touch device memory, and is called
 * again in its turn until it returns nonzero. */
void shim_enqueue(cudaStream_t stream, int (*work)(void *context), void *context);

#ifdef __cplusplus
}
#endif

#endif
