/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

void bench_options_help(void)
{
    puts("usage: quantopt_bench [OPTIONS]\n\n"
         "Times each kernel beside a copy of the same vector: memcpy with the same threads, or a "
         "copy in\n"
         "the memory of the device.\n\n"
         "  --n N          elements, K, M, G = 10^3, 10^6, 10^9 (default 10M)\n"
         "  --bits B       1 to 8 (default 3)\n"
         "  --threads T    (default: the cores this process may use)\n"
         "  --device D     cpu, cuda, or auto: cuda where it can be used (default cpu)\n"
         "  --dtype D      float16, bfloat16, float32 or float64 (default float32)\n"
         "  --shape S      normal, uniform, heavy (Student's t with two degrees of freedom), equal "
         "(one\n"
         "                 value), sorted (normal), or all: one after another (default normal)\n"
         "  --json         JSON instead of a table; of --shape all a list\n"
         "  --help\n\n"
         "Rows: measure, solve (cells, moments and levels), encode, assign (one Lloyd step), "
         "decode,\n"
         "job (measure + solve + encode). GB/s counts the vector, and codes read or written, once; "
         "a copy\n"
         "reads and writes the vector.\n\n"
         "With --device cuda the vector is on the device, seconds are those of its kernels, and "
         "\"of copy\"\n"
         "is a row's GB/s over the copy's; the host solves. \"call\" are seconds of the whole "
         "call, codes\n"
         "and decoded elements brought to the host. A vector that does not fit is streamed, which "
         "is said.\n\n"
         "  quantopt_bench --n 100M --bits 3 --threads 2\n"
         "  quantopt_bench --device cuda --n 1G --shape all\n"
         "  quantopt_bench --dtype float16 --json");
}

/* A number from 1 to most, K, M and G allowed behind it. */
static bool parse_count(const char *text, int64_t most, int64_t *value)
{
    static const char suffix[] = "KMG";
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    const char *found = *end ? strchr(suffix, *end) : NULL;
    if (end == text || errno || number < 1 || (*end && (!found || end[1])))
        return false;
    for (const char *s = suffix; found && s <= found; s++)
        if (__builtin_mul_overflow(number, 1000, &number))
            return false;
    *value = number;
    return number <= most;
}

/* Where the kernels run; false for another word. */
static bool parse_place(const char *text, enum bench_place *place)
{
    static const char *const names[] = {
        [PLACE_CPU] = "cpu", [PLACE_CUDA] = "cuda", [PLACE_AUTO] = "auto"};
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++) {
        *place = (enum bench_place)i;
        if (strcmp(text, names[i]) == 0)
            return true;
    }
    return false;
}

/* One shape or all; false for another word. */
static bool parse_shape(const char *text, bool shape[NUM_SHAPES])
{
    bool all = strcmp(text, "all") == 0, found = all;
    for (int s = 0; s < NUM_SHAPES; s++) {
        shape[s] = all || strcmp(text, bench_data_name((enum bench_shape)s)) == 0;
        found |= shape[s];
    }
    return found;
}

/* Takes one option and its value. */
static bool parse_value(struct bench_settings *settings, const char *name, const char *value)
{
    int64_t number = 0;
    bool good = false;
    if (strcmp(name, "--n") == 0)
        good = parse_count(value, INT64_MAX / 64, &settings->n);
    else if (strcmp(name, "--dtype") == 0)
        good = element_find(value, &settings->type);
    else if (strcmp(name, "--device") == 0)
        good = parse_place(value, &settings->place);
    else if (strcmp(name, "--shape") == 0)
        good = parse_shape(value, settings->shape);
    else if (strcmp(name, "--bits") == 0 && (good = parse_count(value, 8, &number)))
        settings->bits = (int)number;
    else if (strcmp(name, "--threads") == 0 && (good = parse_count(value, 4096, &number)))
        settings->threads = (int)number;
    return good;
}

/* Whether an option of that name exists, --json and --help aside. */
static bool takes_value(const char *name)
{
    static const char *const names[] = {"--n",      "--bits",  "--threads",
                                        "--device", "--dtype", "--shape"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* Cores this process may run on. */
static int default_threads(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

enum status bench_options_parse(struct bench_settings *settings, int argc, char **argv)
{
    enum status status = QO_OK;
    *settings = (struct bench_settings){.n = 10000000, .bits = 3, .type = ELEMENT_F32};
    settings->threads = default_threads();
    settings->shape[SHAPE_NORMAL] = true;
    for (int i = 1; i < argc; i++) {
        char name[32];
        const char *equals = strchr(argv[i], '='), *value = equals ? equals + 1 : NULL;
        int length = equals ? (int)(equals - argv[i]) : (int)strlen(argv[i]);
        snprintf(name, sizeof name, "%.*s", length, argv[i]);
        if (strcmp(argv[i], "--json") == 0 || strcmp(argv[i], "--help") == 0) {
            *(argv[i][2] == 'j' ? &settings->json : &settings->help) = true;
            continue;
        }
        QO_CHECK(takes_value(name), QO_USAGE, "%s: no such option; see quantopt_bench --help",
                 argv[i]);
        value = value ? value : argv[++i];
        QO_CHECK(value, QO_USAGE, "%s: needs a value; see quantopt_bench --help", name);
        QO_CHECK(parse_value(settings, name, value), QO_USAGE,
                 "%s %s: not a value it can have; see quantopt_bench --help", name, value);
    }
done:
    return status;
}
