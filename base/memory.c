/* SPDX-License-Identifier: Apache-2.0 */
#include "memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "fault.h"

/* The size of a huge page on x86-64; smaller blocks would waste more than they gain. */
#define HUGE_PAGE ((size_t)2 << 20)

#ifdef __has_feature /* clang's way to tell what gcc tells by a macro */
#    if __has_feature(address_sanitizer)
#        define __SANITIZE_ADDRESS__ 1
#    endif
#endif

#ifdef __SANITIZE_ADDRESS__
/* Blocks that end where they should, so that an overrun is seen. */
static void *take(size_t bytes, size_t alignment)
{
    return aligned_alloc(alignment, bytes ? bytes : alignment);
}

static void give_back(void *block)
{
    free(block);
}
#else
/*
 * An aligned block inside one of malloc's, whose address stands in front of it. aligned_alloc would
 * do, but glibc (2.36) seldom uses what it gave a second time: memory grew with the number of
 * vectors, to six times what is needed.
 */
static void *take(size_t bytes, size_t alignment)
{
    char *start = malloc(bytes + alignment + sizeof start);
    if (!start)
        return NULL;
    uintptr_t first = (uintptr_t)(start + sizeof start);
    char *block = start + sizeof start + (alignment - first % alignment) % alignment;
    memcpy(block - sizeof start, &start, sizeof start);
    return block;
}

static void give_back(void *block)
{
    char *start;
    memcpy(&start, (char *)block - sizeof start, sizeof start);
    free(start);
}
#endif

/* The address goes out by memcpy: *out is a pointer of the caller's own type. */
static enum status allocate(const char *what, int64_t count, size_t size, size_t alignment,
                            void *out)
{
    size_t bytes;
    void *block = NULL;
    memcpy(out, &block, sizeof block);
    if (count < 0 || __builtin_mul_overflow((size_t)count, size, &bytes) ||
        bytes > SIZE_MAX - 2 * alignment - sizeof block)
        return status_raise(QO_NO_MEMORY, "%s: %lld times %zu bytes is more than memory can be",
                            what, (long long)count, size);
    size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    if (!fault_here())
        block = take(rounded, alignment);
    if (!block)
        return status_raise(
            QO_NO_MEMORY,
            "%s: no memory for %zu bytes; use more ranks or nodes, or ask for more memory", what,
            bytes);
    memcpy(out, &block, sizeof block);
    return QO_OK;
}

static void *address_in(const void *out)
{
    void *block;
    memcpy(&block, out, sizeof block);
    return block;
}

enum status memory_alloc(const char *what, int64_t count, size_t size, void *out)
{
    enum status status = allocate(what, count, size, QO_ALIGNMENT, out);
    if (status == QO_OK)
        memset(address_in(out), 0, (size_t)count * size);
    return status;
}

enum status memory_alloc_large(const char *what, int64_t count, size_t size, void *out)
{
    bool huge = count > 0 && (size_t)count >= HUGE_PAGE / (size ? size : 1);
    enum status status = allocate(what, count, size, huge ? HUGE_PAGE : QO_ALIGNMENT, out);
    if (status == QO_OK && huge) /* advice: a refusal costs speed only */
        (void)madvise(address_in(out), (size_t)count * size, MADV_HUGEPAGE);
    return status;
}

void memory_free(void *block)
{
    if (block)
        give_back(block);
}

enum status memory_join_texts(const char *first, const char *second, char **out)
{
    size_t before = strlen(first), length = strlen(second) + 1;
    enum status status = memory_alloc("text", (int64_t)(before + length), 1, out);
    if (status == QO_OK) {
        memcpy(*out, first, before);
        memcpy(*out + before, second, length);
    }
    return status;
}

enum status memory_copy_text(const char *text, char **out)
{
    return memory_join_texts(text, "", out);
}

int64_t memory_peak(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (int64_t)usage.ru_maxrss * 1024 : 0;
}
