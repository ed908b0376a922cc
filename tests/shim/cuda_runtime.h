/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_TESTS_SHIM_CUDA_RUNTIME_H
#define QO_TESTS_SHIM_CUDA_RUNTIME_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>

#include "cuda_runtime_api.h"

/*
 * What a .cu file sees of CUDA, on the CPU. A block runs on one thread of the system: each of its
 * CUDA threads is a fiber, run in an order drawn anew each round, and left at __syncthreads and at
 * operations of a warp, where lanes have to arrive in truth. Blocks run one after another; shared
 * memory is poisoned at the start of each.
 *
 * Not found here: what only threads at the same time can do (a plain += in place of an atomic
 * addition, an order of memory operations), limits of launches, alignment.
 */
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

struct dim3 {
    unsigned x;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) ulonglong2 {
    unsigned long long x, y;
};

/* The thread that runs. */
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

/* Puts a kernel on a stream. */
cudaError_t shim_launch(unsigned grid, unsigned block, size_t shared, cudaStream_t stream,
                        const std::function<void()> &kernel);
unsigned char *shim_shared();

void __syncthreads();
/* Lanes bring a value each and wait for the others of the mask; all[lane] are the values. */
const uint64_t *shim_exchange(unsigned mask, uint64_t value);

/* The arguments are those of the moment of the launch. */
template <class... P, class... A>
cudaError_t shim_call(void (*kernel)(P...), unsigned grid, unsigned block, size_t shared,
                      cudaStream_t stream, A... arguments)
{
    std::tuple<P...> values(arguments...);
    return shim_launch(grid, block, shared, stream, [=] { std::apply(kernel, values); });
}

#define QO_LAUNCH(kernel, grid, block, shared, stream, ...)                                        \
    shim_call(kernel, grid, block, shared, stream, __VA_ARGS__)
#define QO_SHARED(name) unsigned char *const name = shim_shared()

/* What kernels write in the device's own language. */
typedef unsigned *shared_word;

inline shared_word shared_word_of(unsigned *word)
{
    return word;
}

inline shared_word shared_behind(shared_word word, int words)
{
    return word + words;
}

float kernel_half(uint64_t bits);

template <int OFFSET> inline void shared_add(shared_word word, unsigned add)
{
    word[OFFSET] += add; /* nobody is told what it was, so nothing can depend on an order */
}

inline void __syncwarp(unsigned mask = ~0u)
{
    shim_exchange(mask, 0);
}

template <class T> inline T shim_value(uint64_t word)
{
    T value;
    std::memcpy(&value, &word, sizeof value);
    return value;
}

template <class T> inline T shim_shuffle(unsigned mask, T value, unsigned source)
{
    uint64_t word = 0;
    std::memcpy(&word, &value, sizeof value);
    return shim_value<T>(shim_exchange(mask, word)[source]);
}

template <class T> inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32)
{
    unsigned lane = threadIdx.x % 32, end = (lane & ~(unsigned)(width - 1)) + (unsigned)width;
    return shim_shuffle(mask, value, lane + delta < end ? lane + delta : lane);
}

template <class T> inline T __shfl_xor_sync(unsigned mask, T value, unsigned bits)
{
    return shim_shuffle(mask, value, (threadIdx.x % 32) ^ bits);
}

template <class T> inline T __shfl_sync(unsigned mask, T value, unsigned source)
{
    return shim_shuffle(mask, value, source % 32);
}

inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    const uint64_t *all = shim_exchange(mask, predicate != 0);
    unsigned ballot = 0;
    for (unsigned lane = 0; lane < 32; lane++)
        ballot |= (mask >> lane & 1) ? (unsigned)all[lane] << lane : 0;
    return ballot;
}

/* With QUANTOPT_SHIM_ATOMICS set, others may run between two atomic operations of a thread. */
extern bool shim_interleaves;
void shim_interleave();

/* Sets *memory to what `update` makes of it, in one piece; returns what it was. */
template <class T, class F> inline T shim_atomic(T *memory, F update)
{
    if (shim_interleaves)
        shim_interleave();
    T old = *memory;
    *memory = update(old);
    return old;
}

/* Addition wraps, as on a device. */
template <class T, class U> inline T atomicAdd(T *memory, U value)
{
    return shim_atomic(memory, [=](T old) { return (T)(old + (T)value); });
}

template <class T> inline T atomicMin(T *memory, T value)
{
    return shim_atomic(memory, [=](T old) { return std::min(old, value); });
}

template <class T> inline T atomicMax(T *memory, T value)
{
    return shim_atomic(memory, [=](T old) { return std::max(old, value); });
}

template <class T> inline T atomicAnd(T *memory, T value)
{
    return shim_atomic(memory, [=](T old) { return (T)(old & value); });
}

template <class T> inline T atomicExch(T *memory, T value)
{
    return shim_atomic(memory, [=](T) { return value; });
}

template <class T> inline T __ldcs(const T *memory)
{
    return *memory;
}

inline int __popc(unsigned word)
{
    return __builtin_popcount(word);
}

inline int __ffs(int word)
{
    return __builtin_ffs(word);
}

inline long long __double_as_longlong(double x)
{
    long long bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

using std::max;
using std::min;

#endif
