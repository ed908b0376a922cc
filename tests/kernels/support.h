/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_TESTS_KERNELS_SUPPORT_H
#define QO_TESTS_KERNELS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <float.h>
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include <gmp.h>

#include "device.h"

/* What the kernel tests share: seeded numbers, buffers with a guard page, nasty vectors, plain
 * truth. */

/* With QUANTOPT_TEST_FILTER=PATTERN in the environment only the tests of such names are run: for
 * tools that make a program slow, such as compute-sanitizer. */
__attribute__((constructor)) static void support_filter(void)
{
    const char *pattern = getenv("QUANTOPT_TEST_FILTER");
    if (pattern)
        cmocka_set_test_filter(pattern);
}

/* splitmix64: every seed is a good one. */
static inline uint64_t support_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Uniform in [0, 1). */
static inline double support_uniform(uint64_t *state)
{
    return (double)(support_random(state) >> 11) * 0x1p-53;
}

/* Nearly normal: twelve uniforms. */
static inline double support_normal(uint64_t *state)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += support_uniform(state);
    return sum;
}

/* Bytes that end where an unreadable page begins. */
struct guarded {
    char *map;
    size_t mapped;
    void *bytes;
};

static inline struct guarded guarded_open(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (size + page - 1) / page * page;
    struct guarded g = {.mapped = whole + page};
    g.map = mmap(NULL, g.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.map != MAP_FAILED);
    assert_int_equal(mprotect(g.map + whole, page, PROT_NONE), 0);
    g.bytes = g.map + whole - size;
    return g;
}

static inline void guarded_close(struct guarded *g)
{
    assert_int_equal(munmap(g->map, g->mapped), 0);
}

/*
 * Each level of the CPU backend with 1 and 2 threads; or, with QUANTOPT_TEST_BACKEND=cuda in the
 * environment, the CUDA backend, on a GPU or on what stands in for one (tests/shim): once in pieces
 * of the host's memory, once with a copy that is held on the device.
 */
struct variant {
    enum backend backend;
    int threads; /* 2 on CUDA: tiles are held */
};

static inline bool support_on_cuda(void)
{
    const char *backend = getenv("QUANTOPT_TEST_BACKEND");
    return backend && strcmp(backend, "cuda") == 0;
}

#define SUPPORT_NUM_VARIANTS 6

static inline struct variant support_variant(int v)
{
    enum backend level = (enum backend)(BACKEND_PORTABLE + v / 2);
    return (struct variant){support_on_cuda() ? BACKEND_CUDA : level, 1 + v % 2};
}

/* Opens variant v; false, once with a line, if the machine cannot run it. */
static inline bool support_open(struct engine *engine, int v)
{
    static bool told[BACKEND_CUDA + 1];
    struct variant variant = support_variant(v);
    if (support_on_cuda() && v > 1)
        return false;
    if (!support_on_cuda() && !engine_supports(variant.backend)) {
        if (!told[variant.backend])
            print_message("SIMD level %d: not on this machine, skipped\n", (int)variant.backend);
        told[variant.backend] = true;
        return false;
    }
    assert_int_equal(engine_open(engine, variant.backend, variant.threads), QO_OK);
    return true;
}

/* Holds a tile where the engine is one that is to hold tiles; to be released before its elements
 * go. */
static inline void support_hold(struct engine *engine, const struct tile *tile)
{
    bool little = getenv("QUANTOPT_SHIM_MEMORY") != NULL;
    if (engine->threads != 2)
        return;
    assert_int_equal(engine->kernels->hold(engine, tile), QO_OK);
    if (support_on_cuda() && tile->n > 0 && !little)
        assert_true(device_holds(engine, tile));
}

static inline void support_put(enum element_type type, void *x, int64_t i, uint64_t bits)
{
    memcpy((char *)x + i * (int64_t)element_size(type), &bits, element_size(type));
}

static inline int support_compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* A map whose cells begin at the keys low[n], in any order and repeated: sorts them. */
static inline void support_map_open(struct cell_map *map, enum element_type type, uint64_t *low,
                                    int64_t n)
{
    int64_t distinct = 0;
    qsort(low, (size_t)n, sizeof *low, support_compare_keys);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || low[i] != low[distinct - 1])
            low[distinct++] = low[i];
    assert_int_equal(cell_map_init(map, type, low, distinct, low[1], low[distinct - 1]), QO_OK);
}

/* Values that have broken such code before. */
static inline double support_nasty(int i, const double *special, int num_special)
{
    static const double nasty[] = {
        0.0,        -0.0,      1.0,      -1.0,    0x1p-149, -0x1p-149, 0x1p-1074,
        -0x1p-1074, FLT_MIN,   -FLT_MIN, FLT_MAX, -FLT_MAX, DBL_MAX,   -DBL_MAX,
        INFINITY,   -INFINITY, NAN,      -NAN,    65504.0,  -65504.0,  0x1p-24,
        0x1p-14,    1e20,      -1e20,    300.0,   300.001,  0x1p-126,  0x1.fffffep-127};
    int n = (int)(sizeof nasty / sizeof *nasty);
    i %= n + num_special;
    return i < n ? nasty[i] : special[i - n];
}

enum kind { KIND_NORMAL, KIND_NASTY, KIND_EQUAL, KIND_SORTED, KIND_BITS, KIND_OUTLIERS, NUM_KINDS };

/* Fills x[n]. `special` are values to be met exactly: cuts, bounds, levels, fills. */
static inline void support_fill(enum kind kind, enum element_type type, void *x, int64_t n,
                                const double *special, int num_special, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        double value = 0.75;
        switch (kind) {
        case KIND_NORMAL:
            value = support_normal(&seed);
            break;
        case KIND_NASTY:
            value = support_nasty((int)(support_random(&seed) >> 33), special, num_special);
            break;
        case KIND_SORTED:
            value = 8.0 * (double)i / (double)n - 4.0;
            break;
        case KIND_OUTLIERS:
            value = 1e4 * support_normal(&seed);
            break;
        default:
            break;
        }
        support_put(type, x, i,
                    kind == KIND_BITS ? support_random(&seed) : element_from_double(type, value));
    }
}

/* The truth about one element, straight from kernels.h. */
struct truth {
    double x;
    int code;
    bool kept;
};

static inline struct truth truth_of(const struct level_table *table, enum element_type type,
                                    const void *x, int64_t i)
{
    struct truth t = {.x = element_value(type, element_bits(type, x, i))};
    for (int c = 0; c < table->k - 1; c++)
        t.code += table->cut[c] < t.x;
    t.kept = isfinite(t.x) && t.x >= table->keep.lo && t.x <= table->keep.hi;
    for (int f = 0; f < table->keep.num_fills; f++)
        t.kept = t.kept && t.x != table->keep.fill[f];
    return t;
}

/* Makes the table anew for what of x[n] gets a level: that is what its scales are made for. */
static inline void support_set_range(struct level_table *table, enum element_type type,
                                     const void *x, int64_t n)
{
    double min = INFINITY, max = -INFINITY;
    struct level_table old = *table;
    for (int64_t i = 0; i < n; i++) {
        struct truth t = truth_of(table, type, x, i);
        min = t.kept ? fmin(min, t.x) : min;
        max = t.kept ? fmax(max, t.x) : max;
    }
    level_table_init(table, old.bits, old.level, old.k, &old.keep, min, max);
}

/* Adds x >= 0 to an integer multiple of 2^-1074. */
static inline void truth_add_exact(mpz_t sum, double x)
{
    if (x == 0)
        return;
    int exponent;
    double mantissa = frexp(x, &exponent); /* x = mantissa * 2^exponent */
    int shift = exponent - 53 + 1074;
    mpz_t term;
    mpz_init(term);
    mpz_set_d(term, ldexp(mantissa, 53));
    if (shift >= 0)
        mpz_mul_2exp(term, term, (mp_bitcnt_t)shift);
    else
        mpz_tdiv_q_2exp(term, term, (mp_bitcnt_t)-shift); /* a subnormal: no bit is lost */
    mpz_add(sum, sum, term);
    mpz_clear(term);
}

/* Whether an exact sum, carried or not, is that integer. */
static inline bool truth_is_sum(const struct exact_sum *sum, const mpz_t truth)
{
    mpz_t value, limb;
    mpz_init(value);
    mpz_init(limb);
    for (int i = EXACT_LIMBS - 1; i >= 0; i--) {
        mpz_mul_2exp(value, value, 32);
        mpz_set_si(limb, sum->limb[i]);
        mpz_add(value, value, limb);
    }
    bool equal = mpz_cmp(value, truth) == 0;
    mpz_clear(value);
    mpz_clear(limb);
    return equal;
}

#endif
