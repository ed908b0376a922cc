/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_CUDA_KERNEL_CUH
#define QO_KERNELS_CUDA_KERNEL_CUH

#include <cuda_runtime.h>

#include "element_ops.h"
#include "launch.h"

/*
 * What all kernels share. They are launched and get their shared memory by two macros, which the
 * tests replace (tests/shim): there the same kernels run on the CPU. Shared memory is dynamic, so
 * that it is new for each block there.
 *
 * shared_word is the address of a word in shared memory, and shared_add adds to one OFFSET words
 * behind it, without asking for what it was. Written as atomicAdd the compiler computes each of
 * several neighbouring addresses anew, two instructions each.
 */
#ifndef QO_LAUNCH
#    include <cuda_fp16.h>

#    define QO_LAUNCH(kernel, grid, block, shared, stream, ...)                                    \
        (kernel<<<(grid), (block), (shared), (stream)>>>(__VA_ARGS__), cudaGetLastError())
#    define QO_SHARED(name) extern __shared__ __align__(16) unsigned char name[]

typedef uint32_t shared_word;

__device__ __forceinline__ shared_word shared_word_of(unsigned *word)
{
    return (uint32_t)__cvta_generic_to_shared(word);
}

__device__ __forceinline__ shared_word shared_behind(shared_word word, int words)
{
    return word + 4 * (uint32_t)words;
}

template <int OFFSET> __device__ __forceinline__ void shared_add(shared_word word, unsigned add)
{
    asm volatile("red.shared.add.u32 [%0+%1], %2;"
                 :
                 : "r"(word), "n"(4 * OFFSET), "r"(add)
                 : "memory");
}

/* float16 to float32 in one instruction: what element_f16 gives, but for the payload of NaN. */
__device__ __forceinline__ float kernel_half(uint64_t bits)
{
    return __half2float(__ushort_as_half((unsigned short)bits));
}
#endif

#define WARP      32
#define ALL_LANES 0xffffffffu

typedef unsigned long long word64; /* the type that CUDA has 64-bit atomics for */

/* An element type's numbers as they are compared, and two neighbours as they are loaded. */
template <enum element_type T> struct kernel_type;

template <> struct kernel_type<ELEMENT_F64> {
    typedef double number;
    typedef uint64_t bits;
    typedef ulonglong2 pair;
};

template <> struct kernel_type<ELEMENT_F32> {
    typedef float number;
    typedef uint32_t bits;
    typedef uint2 pair;
};

template <> struct kernel_type<ELEMENT_F16> {
    typedef float number;
    typedef uint16_t bits;
    typedef unsigned pair;
};

template <> struct kernel_type<ELEMENT_BF16> {
    typedef float number;
    typedef uint16_t bits;
    typedef unsigned pair;
};

/* The number of a bit pattern; exact. */
template <enum element_type T>
__device__ __forceinline__ typename kernel_type<T>::number kernel_number(uint64_t bits)
{
    if (T == ELEMENT_F64)
        return (typename kernel_type<T>::number)element_f64(bits);
    if (T == ELEMENT_F32)
        return element_f32((uint32_t)bits);
    if (T == ELEMENT_BF16)
        return element_f32((uint32_t)bits << 16);
    return kernel_half(bits);
}

/* The bit patterns of a pair, in order: of one with two parts, and of two halves of a word. */
template <class P> __device__ __forceinline__ void kernel_split(P pair, uint64_t *bits)
{
    bits[0] = pair.x;
    bits[1] = pair.y;
}

__device__ __forceinline__ void kernel_split(unsigned pair, uint64_t *bits)
{
    bits[0] = pair & 0xffff;
    bits[1] = pair >> 16;
}

/* Which elements get a level, in an element type's own numbers. */
template <class N> struct kernel_keep {
    N lo, hi, fill[2]; /* a fill that is not there is NaN and equals nothing */
    bool has_fills;
};

__device__ __forceinline__ void kernel_load(const struct sorter *sorter, kernel_keep<float> *keep)
{
    *keep = kernel_keep<float>{sorter->lo_f32,
                               sorter->hi_f32,
                               {sorter->fill_f32[0], sorter->fill_f32[1]},
                               sorter->has_fills};
}

__device__ __forceinline__ void kernel_load(const struct sorter *sorter, kernel_keep<double> *keep)
{
    *keep = kernel_keep<double>{sorter->lo_f64,
                                sorter->hi_f64,
                                {sorter->fill_f64[0], sorter->fill_f64[1]},
                                sorter->has_fills};
}

template <class N> __device__ __forceinline__ bool kernel_is_fill(const kernel_keep<N> &keep, N x)
{
    return (x == keep.fill[0]) | (x == keep.fill[1]);
}

/* Whether x gets a level. Without FILLS nothing is a fill: it is the same for all elements, and is
 * asked once for many. */
template <bool FILLS, class N>
__device__ __forceinline__ bool kernel_is_kept(const kernel_keep<N> &keep, N x)
{
    bool inside = (x >= keep.lo) & (x <= keep.hi);
    return FILLS ? inside & !kernel_is_fill(keep, x) : inside;
}

/* Calls function<TYPE, ...> of arguments, a copy of it for each element type. */
#define KERNEL_BY_TYPE(type, function, ...)                                                        \
    ((type) == ELEMENT_F64    ? function<ELEMENT_F64>(__VA_ARGS__)                                 \
     : (type) == ELEMENT_F32  ? function<ELEMENT_F32>(__VA_ARGS__)                                 \
     : (type) == ELEMENT_BF16 ? function<ELEMENT_BF16>(__VA_ARGS__)                                \
                              : function<ELEMENT_F16>(__VA_ARGS__))

/* Lets a kernel have more shared memory than the 48 KiB that are there unasked. */
template <class K> static inline cudaError_t kernel_allow(K *kernel, size_t shared)
{
    return shared <= 48 * 1024
               ? cudaSuccess
               : cudaFuncSetAttribute((const void *)kernel,
                                      cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
}

#endif
