/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <Random123/philox.h>

#include "reader.h"

/*
 * Vectors that are made, not read: `small`, `large`, and the kinds of --generate.
 *
 * All are computed in float64, a chunk at a time, and rounded once to the type of the vector.
 * `large` is NumPy's legacy generator, which is sequential: whoever needs a part of it walks there
 * from the start. The kinds of --generate are counter-based: an element depends on the seed and on
 * its index alone.
 */

/* Values made before they are rounded into the vector: 32 KiB, the first level cache. */
#define CHUNK 4096

#define LARGE_SIZE 10000000

/* The ten values of the exercise that this project grew from. */
static const double small_values[] = {3.2, -1.4, 2.5, -0.9, 1.8, -3.7, 0.0, 4.0, 2.2, -1.3};

/* x[n] = the values, rounded to the type. */
static void store(enum element_type type, const double *value, int64_t n, void *x)
{
    /* The common types have loops that the compiler turns into vector code; 16-bit ones are
     * rare. */
    if (type == ELEMENT_F64) {
        memcpy(x, value, (size_t)n * sizeof *value);
    } else if (type == ELEMENT_F32) {
        for (int64_t i = 0; i < n; i++)
            ((float *)x)[i] = (float)value[i];
    } else {
        for (int64_t i = 0; i < n; i++)
            ((uint16_t *)x)[i] = (uint16_t)element_from_double(type, value[i]);
    }
}

/* The Mersenne Twister MT19937 (Matsumoto and Nishimura 1998): 624 words, made anew all at once. */
enum { TWISTER_WORDS = 624, TWISTER_SHIFT = 397 };

struct twister {
    uint32_t word[TWISTER_WORDS];
    int next;
    double spare; /* the second value of the last pair */
    bool has_spare;
};

/* The authors' own seeding of 2002, by a linear congruential generator over the words. */
static void twister_init(struct twister *twister, uint32_t seed)
{
    uint32_t *word = twister->word;
    word[0] = seed;
    for (uint32_t i = 1; i < TWISTER_WORDS; i++)
        word[i] = 1812433253u * (word[i - 1] ^ word[i - 1] >> 30) + i;
    twister->next = TWISTER_WORDS;
    twister->has_spare = false;
}

/* One step of the recurrence: the upper bit of one word, the others of the next, times the matrix.
 */
static uint32_t twist(uint32_t high, uint32_t low, uint32_t far)
{
    /* The last term selects the matrix by a mask: a branch would be taken at random. */
    uint32_t joined = (high & 0x80000000u) | (low & 0x7fffffffu);
    return far ^ joined >> 1 ^ (-(joined & 1) & 0x9908b0dfu);
}

/* Three loops instead of one with a modulo: indices run around the end of the array once. */
static void twister_renew(struct twister *twister)
{
    uint32_t *word = twister->word;
    int i = 0;
    for (; i < TWISTER_WORDS - TWISTER_SHIFT; i++)
        word[i] = twist(word[i], word[i + 1], word[i + TWISTER_SHIFT]);
    for (; i < TWISTER_WORDS - 1; i++)
        word[i] = twist(word[i], word[i + 1], word[i + TWISTER_SHIFT - TWISTER_WORDS]);
    word[i] = twist(word[i], word[0], word[TWISTER_SHIFT - 1]);
    twister->next = 0;
}

/* The next word, tempered. */
static uint32_t twister_word(struct twister *twister)
{
    if (twister->next == TWISTER_WORDS)
        twister_renew(twister);
    uint32_t y = twister->word[twister->next++];
    /* The authors' tempering: the recurrence alone leaves neighbouring words alike. */
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

/* A double in [0, 1) with 53 random bits. */
static double twister_unit(struct twister *twister)
{
    uint32_t high = twister_word(twister) >> 5, low = twister_word(twister) >> 6;
    /* 27 upper and 26 lower bits, as NumPy joins them: 2^26 and 2^53. */
    return (high * 67108864.0 + low) / 9007199254740992.0;
}

/*
 * The next normal, by Marsaglia's polar method as NumPy's legacy generator does it: the second of a
 * pair comes first. A value that is not wanted takes its turn but not its logarithm.
 */
static double twister_normal(struct twister *twister, bool is_wanted)
{
    if (twister->has_spare) {
        twister->has_spare = false;
        return twister->spare;
    }
    double a, b, square;
    do {
        a = 2.0 * twister_unit(twister) - 1.0;
        b = 2.0 * twister_unit(twister) - 1.0;
        square = a * a + b * b;
        /* Outside the circle the pair is thrown away; 0 has no logarithm. */
    } while (square >= 1.0 || square == 0.0);
    double scale = is_wanted ? sqrt(-2.0 * log(square) / square) : 0.0;
    /* Order as in NumPy: b goes out first, a waits. */
    twister->spare = scale * a;
    twister->has_spare = true;
    return scale * b;
}

/*
 * A rank walks over all that lies before its part: the walk is 15 ns an element, and the whole
 * vector has ten million, so nothing is gained by keeping states.
 */
static void make_large(const struct entry *entry, int64_t begin, int64_t end, void *x)
{
    double value[CHUNK];
    struct twister twister;
    twister_init(&twister, (uint32_t)entry->seed);
    for (int64_t i = 0; i < begin; i++) /* the last one's partner may be the first that is wanted */
        (void)twister_normal(&twister, i == begin - 1);
    size_t size = element_size(entry->info.type);
    for (int64_t at = begin; at < end; at += CHUNK) {
        int64_t n = end - at < CHUNK ? end - at : CHUNK;
        for (int64_t i = 0; i < n; i++)
            value[i] = twister_normal(&twister, true);
        store(entry->info.type, value, n, (char *)x + (size_t)(at - begin) * size);
    }
}

/* Tables are stored in float64 and rounded, so --dtype means the same for all vectors. */
static void make_small(const struct entry *entry, int64_t begin, int64_t end, void *x)
{
    store(entry->info.type, small_values + begin, end - begin, x);
}

/* A uniform number in [0, 1) from the highest `bits` of 64 random ones; exact in a type with that
 * many. */
static double unit(uint64_t random, int bits)
{
    return (double)(random >> (64 - bits)) * ldexp(1.0, -bits);
}

/* What a kind makes of two random words: the elements 2i and 2i + 1. */
static void draw_uniform(enum element_type type, const uint64_t random[2], double value[2])
{
    /* As many bits as the type holds, so that nothing is rounded up to 1. */
    int bits = element_mantissa_bits(type) + 1;
    value[0] = unit(random[0], bits);
    value[1] = unit(random[1], bits);
}

/* Box and Muller's method; 1 - u is in (0, 1], so the logarithm is finite. */
static void draw_normal(enum element_type type, const uint64_t random[2], double value[2])
{
    (void)type;
    /* At most 8.6, for u = 1 - 2^-53: no tail beyond that, and no infinity. */
    double radius = sqrt(-2.0 * log(1.0 - unit(random[0], 53)));
    /* sincos gives both at the price of one. */
    double angle = 2.0 * M_PI * unit(random[1], 53), sine, cosine;
    sincos(angle, &sine, &cosine);
    value[0] = radius * cosine;
    value[1] = radius * sine;
}

static void draw_lognormal(enum element_type type, const uint64_t random[2], double value[2])
{
    draw_normal(type, random, value);
    /* At most exp(8.6) = 5,400, which float16 holds as well. */
    value[0] = exp(value[0]);
    value[1] = exp(value[1]);
}

/* An exponential whose sign is the lowest bit, one of those that `unit` leaves. */
static void draw_laplace(enum element_type type, const uint64_t random[2], double value[2])
{
    (void)type;
    for (int i = 0; i < 2; i++) {
        double magnitude = -log(1.0 - unit(random[i], 53));
        value[i] = random[i] & 1 ? -magnitude : magnitude;
    }
}

/* A new kind is a function and a line here. */
static const struct kind {
    const char *name;
    void (*draw)(enum element_type type, const uint64_t random[2], double value[2]);
} kinds[] = {
    {"normal", draw_normal},
    {"laplace", draw_laplace},
    {"uniform", draw_uniform},
    {"lognormal", draw_lognormal},
};

/* By length too: what is looked up ends at a colon, not at a zero. */
static const struct kind *find_kind(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strlen(kinds[i].name) == length && memcmp(kinds[i].name, name, length) == 0)
            return &kinds[i];
    return NULL;
}

/* Philox4x32 with 10 rounds (Salmon, Moraes, Dror, Shaw 2011): the seed is the key, the pair the
 * counter. */
static void philox(uint64_t seed, uint64_t pair, uint64_t random[2])
{
    /* The upper words stay 0: they would be for streams, of which there is one. */
    philox4x32_ctr_t counter = {{(uint32_t)pair, (uint32_t)(pair >> 32), 0, 0}};
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    philox4x32_ctr_t out = philox4x32(counter, key);
    /* Joined in a fixed order, so that the numbers are the same on every machine. */
    random[0] = out.v[0] | (uint64_t)out.v[1] << 32;
    random[1] = out.v[2] | (uint64_t)out.v[3] << 32;
}

/* Two elements come from one counter, so that no random bit is drawn twice or thrown away. */
static void make_drawn(const struct entry *entry, int64_t begin, int64_t end, void *x)
{
    /* Found again from its name, as a pointer means nothing on another rank. */
    const struct kind *kind = find_kind(entry->file, strlen(entry->file));
    double value[CHUNK];
    uint64_t random[2];
    enum element_type type = entry->info.type;
    /* A chunk begins with a whole pair, whose first half may lie before `begin`. */
    for (int64_t even = begin & ~(int64_t)1; even < end; even += CHUNK) {
        int64_t last = end - even < CHUNK ? end : even + CHUNK, first = even < begin ? begin : even;
        for (int64_t i = even; i < last; i += 2) {
            philox(entry->seed, (uint64_t)i / 2, random);
            kind->draw(type, random, value + (i - even));
        }
        store(type, value + (first - even), last - first,
              (char *)x + (size_t)(first - begin) * element_size(type));
    }
}

/* A count with a suffix: K, M, G are 10^3, 10^6, 10^9. */
static bool take_count(const char *text, int64_t *count)
{
    int64_t factor = 1;
    /* strtoll would take blanks, signs and "0x". */
    if (!isdigit((unsigned char)*text))
        return false;
    for (*count = 0; isdigit((unsigned char)*text); text++)
        if (__builtin_mul_overflow(*count, 10, count) ||
            __builtin_add_overflow(*count, *text - '0', count))
            return false;
    const char *suffixes = "KMG",
               *suffix = *text ? strchr(suffixes, toupper((unsigned char)*text)) : NULL;
    for (; suffix && suffix >= suffixes; suffix--)
        factor *= 1000;
    /* One character, and nothing behind it. */
    text += suffix || factor > 1;
    return *text == '\0' && !__builtin_mul_overflow(*count, factor, count);
}

/* KIND:N of --generate; *kind is a text of the table. */
static enum status parse_generate(const char *generate, const char **name, int64_t *n)
{
    enum status status = QO_OK;
    const char *colon = strchrnul(generate, ':');
    const struct kind *kind = find_kind(generate, (size_t)(colon - generate));
    QO_CHECK(kind, QO_USAGE,
             "--generate %s: no such kind; it is normal:N, laplace:N, uniform:N or lognormal:N",
             generate);
    QO_CHECK(*colon && take_count(colon + 1, n), QO_USAGE,
             "--generate %s: N is not a count; write a whole number, with K, M or G behind it, as "
             "in %s:100M",
             generate, kind->name);
    /* Nothing would be left to quantize, and 0 elements have no mean. */
    QO_CHECK(*n > 0, QO_USAGE, "--generate %s: a vector needs at least 1 element", generate);
    *name = kind->name;
done:
    return status;
}

/* NumPy itself refuses a seed above 32 bits, and so must a vector that is meant to be NumPy's. */
static enum status builtin_size(const struct source_request *request, int64_t *n)
{
    enum status status = QO_OK;
    bool is_large = strcmp(request->builtin, "large") == 0;
    QO_CHECK(is_large || strcmp(request->builtin, "small") == 0, QO_USAGE,
             "--vector_size %s: no such vector; it is small or large", request->builtin);
    QO_CHECK(!is_large || request->seed <= UINT32_MAX, QO_USAGE,
             "--seed %llu: the generator of large takes at most 4294967295; choose a smaller one "
             "or --generate normal:10M",
             (unsigned long long)request->seed);
    *n = is_large ? LARGE_SIZE : (int64_t)(sizeof small_values / sizeof small_values[0]);
done:
    return status;
}

/* The shape is --shape, if that has as many elements, or one dimension. */
static enum status give_shape(const struct source_request *request, struct vector_info *info)
{
    enum status status = QO_OK;
    int64_t n = info->n, product;
    size_t size = element_size(info->type);
    info->num_dims = 1;
    info->shape[0] = n;
    /* Counts of bytes are made from n all over the program. */
    QO_CHECK(shape_product(info->shape, 1, size, &product), QO_USAGE,
             "--generate %s: %lld elements are more than 2^63 bytes; choose a smaller N",
             info->name, (long long)n);
    if (request->num_dims < 0)
        return QO_OK;
    QO_CHECK(shape_product(request->shape, request->num_dims, size, &product) && product == n,
             QO_USAGE, "--shape: its product is not the %lld elements of %s; correct it",
             (long long)n, info->name);
    info->num_dims = request->num_dims;
    for (int i = 0; i < request->num_dims; i++)
        info->shape[i] = request->shape[i];
done:
    return status;
}

/* Nothing is made yet: what the name, type, shape and seed are is all that other ranks need. */
static enum status synthetic_scan(const struct source_request *request, const char *path,
                                  const char *dataset, struct catalog *catalog)
{
    (void)path, (void)dataset;
    enum status status;
    struct entry entry = {.reader = &reader_synthetic, .seed = request->seed};
    const char *name = request->builtin;
    if (request->generate)
        QO_TRY(parse_generate(request->generate, &name, &entry.info.n));
    else
        QO_TRY(builtin_size(request, &entry.info.n));
    entry.file = entry.info.name = (char *)name;
    /* float32 as models have it, while the exercise's vectors are NumPy's float64. */
    entry.info.type = request->generate ? ELEMENT_F32 : ELEMENT_F64;
    if (request->has_type)
        entry.info.type = request->type;
    entry.info.is_sequential = strcmp(name, "large") == 0;
    QO_TRY(give_shape(request, &entry.info));
    QO_TRY(catalog_add(catalog, &entry));
done:
    return status;
}

/* There is no file; the three functions that a reader must have. */
static enum status synthetic_open(struct handle *handle, const struct entry *entry)
{
    (void)handle, (void)entry;
    return QO_OK;
}

/* Nothing can fail here: the scan has seen all that could. */
static enum status synthetic_read(struct handle *handle, const struct entry *entry, int64_t begin,
                                  int64_t end, void *x)
{
    (void)handle;
    if (strcmp(entry->file, "small") == 0)
        make_small(entry, begin, end, x);
    else if (strcmp(entry->file, "large") == 0)
        make_large(entry, begin, end, x);
    else
        make_drawn(entry, begin, end, x);
    return QO_OK;
}

static void synthetic_close(struct handle *handle)
{
    (void)handle;
}

const struct reader reader_synthetic = {
    .name = "built-in",
    .scan = synthetic_scan,
    .open = synthetic_open,
    .read = synthetic_read,
    .close = synthetic_close,
};
