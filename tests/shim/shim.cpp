// SPDX-License-Identifier: Apache-2.0
// The CUDA runtime of the tests: see cuda_runtime_api.h and cuda_runtime.h for what it promises.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "cuda_runtime.h"
#include "element.h"

#ifndef __x86_64__
#    include <ucontext.h>
#endif
#ifdef __has_feature /* clang's word for it */
#    if __has_feature(address_sanitizer)
#        define __SANITIZE_ADDRESS__
#    endif
#endif
#ifdef __SANITIZE_ADDRESS__
#    include <sanitizer/asan_interface.h>
#    include <sanitizer/common_interface_defs.h>
#else
#    define __asan_poison_memory_region(from, size)   ((void)(from), (void)(size))
#    define __asan_unpoison_memory_region(from, size) ((void)(from), (void)(size))
#    define __sanitizer_start_switch_fiber(save, bottom, size)                                     \
        ((void)(save), (void)(bottom), (void)(size))
#    define __sanitizer_finish_switch_fiber(save, bottom, size)                                    \
        ((void)(save), (void)(bottom), (void)(size))
#endif

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace
{

[[noreturn]] void die(const char *what)
{
    std::fprintf(stderr, "shim: block %u, thread %u: %s\n", blockIdx.x, threadIdx.x, what);
    std::abort();
}

long long setting(const char *name, long long otherwise)
{
    const char *text = std::getenv(name);
    return text && *text ? std::atoll(text) : otherwise;
}

bool fails(const char *how)
{
    const char *text = std::getenv("QUANTOPT_SHIM_FAIL");
    return text && std::string(text) == how;
}

// --- threads of a block ---

#ifdef __x86_64__

// A stack that somebody was left on. (swapcontext would do, but asks the system each time.)
struct Context {
    void *stack;
};

extern "C" void shim_switch(void **from, void *to);
asm(R"(
    .text
    .type shim_switch, @function
shim_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .size shim_switch, . - shim_switch
)");

void switch_context(Context *from, Context *to)
{
    shim_switch(&from->stack, to->stack);
}

// The first switch to it pops six registers and returns to `entry`.
void make_context(Context *context, char *stack, size_t size, void (*entry)())
{
    uintptr_t top = ((uintptr_t)stack + size) & ~(uintptr_t)15;
    void **words = (void **)top - 8;
    std::memset(words, 0, 8 * sizeof *words);
    words[6] = (void *)entry;
    context->stack = words;
}

#else

using Context = ucontext_t;

void switch_context(Context *from, Context *to)
{
    swapcontext(from, to);
}

void make_context(Context *context, char *stack, size_t size, void (*entry)())
{
    getcontext(context);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = size;
    context->uc_link = nullptr;
    makecontext(context, entry, 0);
}

#endif

enum class At { running, barrier, warp, end };

struct Fiber {
    Context context;
    std::vector<char> stack;
    At at;
    void *fake_stack; // the sanitizer's
    unsigned exchanges;
};

// Operations of a warp by turns use one of two sets of places: nobody is two operations ahead.
struct Warp {
    uint64_t place[2][32];
    unsigned arrived[2];
};

constexpr size_t stack_size = 64 << 10;

std::vector<Fiber> fibers;
std::vector<Warp> warps;
std::vector<unsigned char> shared_memory;
std::function<void()> body;
Context scheduler;
void *scheduler_fake_stack;
const void *scheduler_bottom;
size_t scheduler_size;
std::mt19937 order;

void to_scheduler(At at)
{
    Fiber &mine = fibers[threadIdx.x];
    mine.at = at;
    __sanitizer_start_switch_fiber(at == At::end ? nullptr : &mine.fake_stack, scheduler_bottom,
                                   scheduler_size);
    switch_context(&mine.context, &scheduler);
    __sanitizer_finish_switch_fiber(mine.fake_stack, &scheduler_bottom, &scheduler_size);
}

void to_fiber(unsigned thread)
{
    Fiber &fiber = fibers[thread];
    threadIdx.x = thread;
    fiber.at = At::running;
    __sanitizer_start_switch_fiber(&scheduler_fake_stack, fiber.stack.data(), stack_size);
    switch_context(&scheduler, &fiber.context);
    __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
}

void enter()
{
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_bottom, &scheduler_size);
    body();
    to_scheduler(At::end);
}

void start_fiber(Fiber &fiber)
{
    fiber.stack.resize(stack_size);
    fiber.exchanges = 0;
    fiber.fake_stack = nullptr;
    fiber.at = At::running;
    make_context(&fiber.context, fiber.stack.data(), stack_size, enter);
}

// One round: each thread that is not at a barrier goes on, in a new order. True if all have ended.
bool round_of(std::vector<unsigned> &threads)
{
    static long stuck;
    unsigned barrier = 0, ended = 0, count = (unsigned)threads.size();
    for (unsigned i = count - 1; i > 0; i--)
        std::swap(threads[i], threads[order() % (i + 1)]);
    for (unsigned thread : threads)
        if (fibers[thread].at != At::end && fibers[thread].at != At::barrier)
            to_fiber(thread);
    for (const Fiber &fiber : fibers) {
        barrier += fiber.at == At::barrier;
        ended += fiber.at == At::end;
    }
    stuck = barrier + ended < count ? stuck + 1 : 0;
    if (stuck > 1000000)
        die("lanes wait for each other for ever");
    if (barrier > 0 && barrier + ended == count) {
        if (ended)
            die("threads ended before a __syncthreads at which others wait");
        for (Fiber &fiber : fibers)
            fiber.at = At::running;
    }
    return ended == count;
}

void run_block(unsigned block, size_t shared)
{
    blockIdx.x = block;
    fibers.resize(blockDim.x);
    warps.assign((blockDim.x + 31) / 32, Warp());
    std::vector<unsigned char>(shared, 0xa5).swap(shared_memory); // its end is the heap block's
    std::vector<unsigned> threads(blockDim.x);
    for (unsigned t = 0; t < blockDim.x; t++) {
        threads[t] = t;
        start_fiber(fibers[t]);
    }
    while (!round_of(threads)) {
    }
}

// --- device memory ---

// Out of reach but while a kernel or a copy runs; behind its end lies a page that is for nobody.
struct Block {
    char *map;
    size_t mapped, size;
};

std::map<void *, Block> device_memory;
std::map<void *, size_t> pinned_memory;
size_t device_used;

void set_access(int access)
{
    for (auto &entry : device_memory)
        mprotect(entry.second.map, entry.second.mapped - (size_t)getpagesize(), access);
}

// Whether memory[size] is inside one block of device memory.
bool on_device(const void *memory, size_t size)
{
    auto after = device_memory.upper_bound(const_cast<void *>(memory));
    if (after == device_memory.begin())
        return false;
    const auto &block = *--after;
    return (const char *)memory + size <= (const char *)block.first + block.second.size;
}

bool is_pinned(const void *memory, size_t size)
{
    auto after = pinned_memory.upper_bound(const_cast<void *>(memory));
    if (after == pinned_memory.begin())
        return false;
    const auto &block = *--after;
    return (const char *)memory + size <= (const char *)block.first + block.second;
}

// --- the state of a process ---

int current_device;
cudaError_t last_error;
std::map<const void *, int> dynamic_limit;

cudaError_t fail(cudaError_t error)
{
    last_error = error;
    return error;
}

bool dead; // as a device is after a fault in a kernel: nothing but errors comes from it

bool dies_at_launch()
{
    static long long launches;
    long long last = setting("QUANTOPT_SHIM_DEAD", 0);
    dead = dead || (last > 0 && ++launches >= last);
    return dead;
}

double seconds()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

} // namespace

struct shim_stream {
    std::deque<std::function<void()>> work;
};

struct shim_event {
    shim_stream *stream;
    bool done;
    double time;
};

namespace
{

std::vector<shim_stream *> streams;

void do_next(shim_stream *stream)
{
    std::function<void()> work = stream->work.front();
    stream->work.pop_front();
    set_access(PROT_READ | PROT_WRITE);
    work();
    set_access(PROT_NONE);
}

void drain(shim_stream *stream)
{
    while (!stream->work.empty())
        do_next(stream);
}

} // namespace

void __syncthreads()
{
    to_scheduler(At::barrier);
}

const uint64_t *shim_exchange(unsigned mask, uint64_t value)
{
    Fiber &mine = fibers[threadIdx.x];
    Warp &warp = warps[threadIdx.x / 32];
    unsigned lane = threadIdx.x % 32, turn = mine.exchanges++ % 2;
    if (!(mask >> lane & 1))
        die("a lane is not in its own mask");
    if (warp.arrived[turn] == mask) // the turn before the last, which all have left
        warp.arrived[turn] = 0;
    warp.place[turn][lane] = value;
    warp.arrived[turn] |= 1u << lane;
    while (warp.arrived[turn] != mask)
        to_scheduler(At::warp);
    return warp.place[turn];
}

// Work that is not done is tried again before what is behind it.
void shim_enqueue(cudaStream_t stream, int (*work)(void *context), void *context)
{
    stream->work.push_back([=] {
        if (!work(context)) {
            shim_enqueue(stream, work, context);
            std::rotate(stream->work.begin(), stream->work.end() - 1, stream->work.end());
        }
    });
}

float kernel_half(uint64_t bits)
{
    return element_f16((uint32_t)bits);
}

bool shim_interleaves;

void shim_interleave()
{
    if (order() % 8 == 0)
        to_scheduler(At::warp);
}

unsigned char *shim_shared()
{
    return shared_memory.data();
}

cudaError_t shim_launch(unsigned grid, unsigned block, size_t shared, cudaStream_t stream,
                        const std::function<void()> &kernel)
{
    if (grid == 0 || block == 0 || block > 1024)
        return fail(cudaErrorInvalidValue);
    if (shared > (size_t)setting("QUANTOPT_SHIM_SHARED", 232448))
        return fail(cudaErrorInvalidValue);
    if (fails("launch") || dies_at_launch())
        return fail(cudaErrorLaunchFailure);
    stream->work.push_back([=] {
        order.seed((unsigned)setting("QUANTOPT_SHIM_SEED", 1));
        shim_interleaves = setting("QUANTOPT_SHIM_ATOMICS", 0) != 0;
        blockDim.x = block;
        gridDim.x = grid;
        body = kernel;
        for (unsigned b = 0; b < grid; b++)
            run_block(b, shared);
    });
    return cudaSuccess;
}

extern "C" {

const char *cudaGetErrorName(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "cudaSuccess";
    case cudaErrorMemoryAllocation:
        return "cudaErrorMemoryAllocation";
    case cudaErrorInsufficientDriver:
        return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
        return "cudaErrorNoDevice";
    case cudaErrorNoKernelImageForDevice:
        return "cudaErrorNoKernelImageForDevice";
    case cudaErrorLaunchFailure:
        return "cudaErrorLaunchFailure";
    default:
        return "cudaErrorOfTheShim";
    }
}

const char *cudaGetErrorString(cudaError_t error)
{
    return cudaGetErrorName(error);
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = fails("driver") ? 0 : 13000;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    if (fails("driver"))
        return fail(cudaErrorInsufficientDriver);
    int devices = (int)setting("QUANTOPT_SHIM_DEVICES", 1);
    if (devices == 0)
        return fail(cudaErrorNoDevice);
    *count = devices;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    if (device < 0 || device >= setting("QUANTOPT_SHIM_DEVICES", 1))
        return fail(cudaErrorInvalidDevice);
    current_device = device;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
    *device = current_device;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device)
{
    *properties = cudaDeviceProp();
    std::snprintf(properties->name, sizeof properties->name, "Shim %d", device);
    properties->uuid.bytes[15] = (char)(device + 1);
    properties->totalGlobalMem = (size_t)setting("QUANTOPT_SHIM_MEMORY", 1 << 30);
    properties->sharedMemPerBlockOptin = (size_t)setting("QUANTOPT_SHIM_SHARED", 232448);
    properties->major = 9;
    properties->multiProcessorCount = 3;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total)
{
    *total = (size_t)setting("QUANTOPT_SHIM_MEMORY", 1 << 30);
    *free = *total > device_used ? *total - device_used : 0;
    return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *function)
{
    (void)function;
    attributes->binaryVersion = 90;
    return fails("image") ? fail(cudaErrorNoKernelImageForDevice) : cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *function, cudaFuncAttribute attribute, int value)
{
    (void)attribute;
    (void)function;
    return value > setting("QUANTOPT_SHIM_SHARED", 232448) ? fail(cudaErrorInvalidValue)
                                                           : cudaSuccess;
}

cudaError_t cudaMalloc(void **memory, size_t size)
{
    size_t page = (size_t)getpagesize(), whole = (size + page - 1) / page * page;
    if (size > (size_t)setting("QUANTOPT_SHIM_MEMORY", 1 << 30) -
                   std::min(device_used, (size_t)setting("QUANTOPT_SHIM_MEMORY", 1 << 30)))
        return fail(cudaErrorMemoryAllocation);
    void *map =
        mmap(nullptr, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return fail(cudaErrorMemoryAllocation);
    std::memset(map, 0xa5, whole);
    mprotect((char *)map + whole, page, PROT_NONE);
    // As near to the guard page as the alignment of a true cudaMalloc lets it be.
    char *begin = (char *)map + (whole - size) / 256 * 256;
    __asan_poison_memory_region(begin + size, (size_t)((char *)map + whole - (begin + size)));
    device_memory[begin] = Block{(char *)map, whole + page, size};
    device_used += size;
    mprotect(map, whole, PROT_NONE);
    *memory = begin;
    return cudaSuccess;
}

cudaError_t cudaFree(void *memory)
{
    if (!memory)
        return cudaSuccess;
    auto entry = device_memory.find(memory);
    if (entry == device_memory.end())
        die("cudaFree of what is no device memory");
    for (shim_stream *stream : streams)
        drain(stream);
    __asan_unpoison_memory_region(entry->second.map, entry->second.mapped - (size_t)getpagesize());
    device_used -= entry->second.size;
    munmap(entry->second.map, entry->second.mapped);
    device_memory.erase(entry);
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **memory, size_t size)
{
    *memory = std::malloc(size);
    pinned_memory[*memory] = size;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *memory)
{
    for (shim_stream *stream : streams)
        drain(stream);
    pinned_memory.erase(memory);
    std::free(memory);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    if ((kind != cudaMemcpyDeviceToHost) != on_device(to, size) ||
        (kind != cudaMemcpyHostToDevice) != on_device(from, size))
        die("a copy names memory of the wrong side, or beyond its end");
    if ((kind == cudaMemcpyDeviceToHost && !is_pinned(to, size)) ||
        (kind == cudaMemcpyHostToDevice && !is_pinned(from, size)))
        die("an asynchronous copy wants pinned memory");
    if (dead || (kind == cudaMemcpyDeviceToHost && fails("copy")))
        return fail(cudaErrorLaunchFailure);
    stream->work.push_back([=] { std::memcpy(to, from, size); });
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *memory, int byte, size_t size, cudaStream_t stream)
{
    if (!on_device(memory, size))
        die("cudaMemsetAsync beyond device memory");
    stream->work.push_back([=] { std::memset(memory, byte, size); });
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    (void)flags;
    *stream = new shim_stream();
    streams.push_back(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    drain(stream);
    streams.erase(std::find(streams.begin(), streams.end(), stream));
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    if (dead)
        return fail(cudaErrorLaunchFailure);
    drain(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    if (stream->work.empty())
        return cudaSuccess;
    do_next(stream);
    return fail(cudaErrorNotReady); // it is kept as failures are
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    (void)flags;
    *event = new shim_event{nullptr, true, 0};
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    cudaEventSynchronize(event);
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    cudaEventSynchronize(event);
    event->stream = stream;
    event->done = false;
    stream->work.push_back([=] {
        event->done = true;
        event->time = seconds();
    });
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    while (!event->done)
        do_next(event->stream);
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end)
{
    if (!start->done || !end->done)
        return fail(cudaErrorNotReady);
    *milliseconds = (float)(1e3 * (end->time - start->time));
    return cudaSuccess;
}

} // extern "C"
