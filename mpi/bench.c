/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "kernels.h"
#include "memory.h"
#include "optimal.h"

/*
 * quantopt_bench: how fast each kernel is beside memcpy of the same vector with the same threads.
 * Every repeat runs memcpy and all kernels of all SIMD levels in turn, so that a busy machine slows
 * them alike; what is reported is the median over repeats, of seconds and of the ratio to that
 * repeat's memcpy.
 */
#define REPEATS 7

/* SIMD levels of the CPU, or one device. */
#define MAX_VARIANTS 3

/* Seeds the drawn normal numbers; any other would do. */
#define SEED UINT64_C(42)

enum row { ROW_MEASURE, ROW_SOLVE, ROW_ENCODE, ROW_ASSIGN, ROW_DECODE, ROW_JOB, NUM_ROWS };

static const char *const row_names[NUM_ROWS] = {"measure", "solve",  "encode",
                                                "assign",  "decode", "job"};

struct settings {
    int64_t n;
    int bits, threads;
    enum element_type type;
    bool cuda, json, help;
};

struct variant {
    struct engine engine;
    bool has[NUM_ROWS];
    double seconds[NUM_ROWS][REPEATS];
};

struct bench {
    struct settings settings;
    struct variant variant[MAX_VARIANTS];
    int num_variants, fastest; /* fastest: of the levels, the last; it solves */
    void *x, *copy;
    uint8_t *codes;
    uint64_t *sample; /* keys */
    int64_t sample_size;
    struct histogram histogram;
    struct measure_totals totals;
    struct level_table table;
    double copy_seconds[REPEATS];
};

/* --- command line --- */

static void print_help(void)
{
    puts("usage: quantopt_bench [OPTIONS]\n\n"
         "Times each kernel beside memcpy of the same vector with the same threads.\n\n"
         "  --n N          elements, K, M, G = 10^3, 10^6, 10^9 (default 10M)\n"
         "  --bits B       1 to 8 (default 3)\n"
         "  --threads T    (default: the cores this process may use)\n"
         "  --device D     cpu or cuda (default cpu)\n"
         "  --dtype D      float16, bfloat16, float32 or float64 (default float32)\n"
         "  --json         JSON instead of a table\n"
         "  --help\n\n"
         "Rows: measure, solve (cells, moments and Lloyd steps), encode, assign (one Lloyd step), "
         "decode,\n"
         "job (measure + solve + encode). GB/s counts the vector, and codes read or written, once; "
         "memcpy\n"
         "reads and writes the vector.\n\n"
         "  quantopt_bench --n 100M --bits 3 --threads 2\n"
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

/* The kernels' place; false for another word than cpu or cuda. */
static bool parse_device(const char *text, bool *cuda)
{
    *cuda = strcmp(text, "cuda") == 0;
    return *cuda || strcmp(text, "cpu") == 0;
}

/* Takes one option and its value. */
static bool parse_value(struct settings *settings, const char *name, const char *value)
{
    int64_t number = 0;
    bool good = false;
    if (strcmp(name, "--n") == 0)
        good = parse_count(value, INT64_MAX / 64, &settings->n);
    else if (strcmp(name, "--dtype") == 0)
        good = element_find(value, &settings->type);
    else if (strcmp(name, "--device") == 0)
        good = parse_device(value, &settings->cuda);
    else if (strcmp(name, "--bits") == 0 && (good = parse_count(value, 8, &number)))
        settings->bits = (int)number;
    else if (strcmp(name, "--threads") == 0 && (good = parse_count(value, 4096, &number)))
        settings->threads = (int)number;
    return good;
}

/* Whether an option of that name exists, --json and --help aside. */
static bool takes_value(const char *name)
{
    static const char *const names[] = {"--n", "--bits", "--threads", "--device", "--dtype"};
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

/* Reads the command line; QO_USAGE with one message for what is not understood. */
static enum status parse(struct settings *settings, int argc, char **argv)
{
    enum status status = QO_OK;
    *settings = (struct settings){.n = 10000000, .bits = 3, .type = ELEMENT_F32};
    settings->threads = default_threads();
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

/* --- data --- */

/* A uniform number in (0, 1] that depends on the seed and its index only (splitmix64). */
static double uniform_at(uint64_t index)
{
    uint64_t z = (index + 1) * UINT64_C(0x9e3779b97f4a7c15) + SEED;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (double)(((z ^ z >> 31) >> 11) + 1) * 0x1p-53;
}

/* Element i is normal: Box and Muller's cosine of two uniforms. */
static void fill_normal(enum element_type type, char *x, int64_t n, int threads)
{
    size_t size = element_size(type);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < n; i++) {
        double radius = sqrt(-2 * log(uniform_at(2 * (uint64_t)i)));
        double angle = 6.283185307179586 * uniform_at(2 * (uint64_t)i + 1);
        uint64_t bits = element_from_double(type, radius * cos(angle));
        memcpy(x + (size_t)i * size, &bits, size);
    }
}

/* The sample that a run would look at to place the cells: evenly spread, whole if small. */
static void take_sample(struct bench *bench)
{
    enum element_type type = bench->settings.type;
    for (int64_t i = 0; i < bench->sample_size; i++) {
        int64_t at = (int64_t)((__int128)i * bench->settings.n / bench->sample_size);
        bench->sample[i] = element_key(type, element_bits(type, bench->x, at));
    }
}

static struct tile whole_tile(const struct bench *bench)
{
    return (struct tile){bench->settings.type, bench->x, bench->settings.n, 0};
}

static const struct keep keep_all = {-INFINITY, INFINITY, 0, {0, 0}};

/* --- what is timed --- */

/* What all else is measured against: memcpy of the vector, a part a thread. */
static enum status run_copy(struct bench *bench)
{
    int64_t bytes = bench->settings.n * (int64_t)element_size(bench->settings.type);
    int threads = bench->settings.threads;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int t = 0; t < threads; t++) {
        int64_t begin = bytes / threads * t,
                end = t + 1 < threads ? bytes / threads * (t + 1) : bytes;
        memcpy((char *)bench->copy + begin, (const char *)bench->x + begin, (size_t)(end - begin));
    }
    return QO_OK;
}

/* A walk that fills the histogram's cells. */
static enum status run_measure(struct bench *bench, struct engine *engine)
{
    struct tile tile = whole_tile(bench);
    struct histogram *histogram = &bench->histogram;
    memset(histogram->cells, 0, (size_t)histogram->map.num_cells * sizeof *histogram->cells);
    measure_totals_init(&bench->totals, histogram->cells);
    return engine->kernels->measure(engine, &tile, &keep_all, &histogram->map, &bench->totals);
}

/* The smallest and the largest element, as the walk has found them. */
static double smallest(const struct bench *bench)
{
    enum element_type type = bench->settings.type;
    return element_value(type, element_unkey(type, bench->totals.min_key));
}

static double largest(const struct bench *bench)
{
    enum element_type type = bench->settings.type;
    return element_value(type, element_unkey(type, bench->totals.max_key));
}

/* Plans the cells again (measuring needs a plan before), then moments and the optimum. */
static enum status run_solve(struct bench *bench, struct engine *engine)
{
    enum status status;
    struct cell_map map = {0};
    struct moments moments;
    struct optimal *optimal = NULL;
    struct optimum optimum;
    double min = smallest(bench), max = largest(bench);
    (void)engine;
    QO_TRY(histogram_plan(&map, bench->settings.type, bench->sample, bench->sample_size,
                          bench->sample_size == bench->settings.n));
    QO_TRY(histogram_moments(&bench->histogram, &moments));
    QO_TRY(optimal_open(&bench->histogram, -INFINITY, INFINITY, min, max, &optimal));
    QO_TRY(optimal_find(optimal, 1 << bench->settings.bits, &optimum));
    level_table_init(&bench->table, bench->settings.bits, optimum.level, optimum.k, &keep_all, min,
                     max);
done:
    cell_map_clear(&map);
    optimal_close(optimal);
    return status;
}

/* Codes, packed, and errors. */
static enum status run_encode(struct bench *bench, struct engine *engine)
{
    struct tile tile = whole_tile(bench);
    struct encode_totals totals = {0};
    return engine->kernels->encode(engine, &tile, &bench->table, bench->codes, &totals);
}

/* One Lloyd step alone. */
static enum status run_assign(struct bench *bench, struct engine *engine)
{
    struct tile tile = whole_tile(bench);
    struct assign_totals totals = {0};
    return engine->kernels->assign(engine, &tile, &bench->table, &totals);
}

/* The vector again from its codes, over the copy. */
static enum status run_decode(struct bench *bench, struct engine *engine)
{
    return engine->kernels->decode(engine, bench->codes, bench->settings.n, &bench->table,
                                   bench->settings.type, bench->copy);
}

static enum status (*const run_row[NUM_ROWS])(struct bench *, struct engine *) = {
    [ROW_MEASURE] = run_measure, [ROW_SOLVE] = run_solve,   [ROW_ENCODE] = run_encode,
    [ROW_ASSIGN] = run_assign,   [ROW_DECODE] = run_decode,
};

/* One repeat: memcpy, then row by row every level. Only the fastest solves, and so has a job. */
static enum status run_repeat(struct bench *bench, int repeat)
{
    enum status status;
    double start = clock_seconds();
    QO_TRY(run_copy(bench));
    bench->copy_seconds[repeat] = clock_seconds() - start;
    for (int row = 0; row < ROW_JOB; row++) {
        for (int v = 0; v < bench->num_variants; v++) {
            struct variant *variant = &bench->variant[v];
            if (row == ROW_SOLVE && v != bench->fastest)
                continue;
            start = clock_seconds();
            QO_TRY(run_row[row](bench, &variant->engine));
            variant->seconds[row][repeat] = clock_seconds() - start;
            variant->has[row] = true;
        }
    }
    struct variant *fastest = &bench->variant[bench->fastest];
    fastest->has[ROW_JOB] = true;
    fastest->seconds[ROW_JOB][repeat] = fastest->seconds[ROW_MEASURE][repeat] +
                                        fastest->seconds[ROW_SOLVE][repeat] +
                                        fastest->seconds[ROW_ENCODE][repeat];
done:
    return status;
}

/* --- set-up --- */

/* Opens every level that the machine has, slowest first, or the device. */
static enum status open_engines(struct bench *bench)
{
    enum status status = QO_OK;
    enum backend first = bench->settings.cuda ? BACKEND_CUDA : BACKEND_PORTABLE;
    enum backend last = bench->settings.cuda ? BACKEND_CUDA : BACKEND_AVX512;
    for (enum backend b = first; b <= last; b++) {
        if (b != BACKEND_CUDA && !engine_supports(b))
            continue;
        QO_TRY(
            engine_open(&bench->variant[bench->num_variants].engine, b, bench->settings.threads));
        bench->fastest = bench->num_variants++;
    }
done:
    return status;
}

/* Everything a repeat needs, touched once so that no repeat pays for its pages. */
static enum status bench_open(struct bench *bench)
{
    enum status status;
    struct settings *settings = &bench->settings;
    size_t size = element_size(settings->type);
    QO_TRY(open_engines(bench));
    QO_TRY(memory_alloc_large("vector", settings->n, size, &bench->x));
    QO_TRY(memory_alloc_large("copy", settings->n, size, &bench->copy));
    QO_TRY(memory_alloc_large("codes", (settings->n * settings->bits + 7) / 8, 1, &bench->codes));
    bench->sample_size = settings->n < HISTOGRAM_SAMPLE ? settings->n : HISTOGRAM_SAMPLE;
    QO_TRY(memory_alloc("sample", bench->sample_size, sizeof *bench->sample, &bench->sample));
    fill_normal(settings->type, bench->x, settings->n, settings->threads);
    memset(bench->copy, 0, (size_t)settings->n * size);
    memset(bench->codes, 0, (size_t)(settings->n * settings->bits + 7) / 8);
    take_sample(bench);
    QO_TRY(histogram_plan(&bench->histogram.map, settings->type, bench->sample, bench->sample_size,
                          bench->sample_size == settings->n));
    QO_TRY(memory_alloc_large("cells", bench->histogram.map.num_cells,
                              sizeof *bench->histogram.cells, &bench->histogram.cells));
done:
    return status;
}

static void bench_close(struct bench *bench)
{
    for (int v = 0; v < bench->num_variants; v++)
        engine_close(&bench->variant[v].engine);
    histogram_clear(&bench->histogram);
    memory_free(bench->x);
    memory_free(bench->copy);
    memory_free(bench->codes);
    memory_free(bench->sample);
}

/* --- report --- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of value[REPEATS], each divided by `by` if given. */
static double median(const double *value, const double *by)
{
    double sorted[REPEATS];
    for (int i = 0; i < REPEATS; i++)
        sorted[i] = by ? value[i] / by[i] : value[i];
    qsort(sorted, REPEATS, sizeof *sorted, compare_doubles);
    return sorted[REPEATS / 2];
}

/* Gigabytes that a row moves: the vector, and the codes where it reads or writes them. */
static double gigabytes(const struct settings *settings, enum row row)
{
    double vector = (double)settings->n * (double)element_size(settings->type);
    double codes = (double)settings->n * settings->bits / 8;
    return 1e-9 *
           (row == ROW_ENCODE || row == ROW_DECODE || row == ROW_JOB ? vector + codes : vector);
}

/* The level with the smallest median of a row. */
static const struct variant *best_of(const struct bench *bench, enum row row)
{
    const struct variant *best = NULL;
    for (int v = 0; v < bench->num_variants; v++) {
        const struct variant *variant = &bench->variant[v];
        if (variant->has[row] &&
            (!best || median(variant->seconds[row], NULL) < median(best->seconds[row], NULL)))
            best = variant;
    }
    return best;
}

/* One row of one level; a star where it is the fastest. */
static void print_line(const struct bench *bench, const struct variant *variant, enum row row,
                       bool best)
{
    double seconds = median(variant->seconds[row], NULL);
    printf("%-8s %-10s %12.6f %10.2f %10.3f %s\n", row_names[row], variant->engine.kernels->name,
           seconds, gigabytes(&bench->settings, row) / seconds,
           median(variant->seconds[row], bench->copy_seconds), best ? "*" : "");
}

static void print_table(const struct bench *bench)
{
    const struct settings *s = &bench->settings;
    double seconds = median(bench->copy_seconds, NULL);
    printf("%lld x %s, %d bits, %d threads, median of %d repeats; * marks the fastest level\n",
           (long long)s->n, element_name(s->type), s->bits, s->threads, REPEATS);
    printf("%-8s %-10s %12s %10s %10s\n", "kernel", "variant", "seconds", "GB/s", "x memcpy");
    printf("%-8s %-10s %12.6f %10.2f %10.3f\n", "memcpy", "", seconds,
           2 * gigabytes(s, ROW_MEASURE) / seconds, 1.0);
    for (int row = 0; row < NUM_ROWS; row++) {
        const struct variant *best = best_of(bench, (enum row)row);
        for (int v = 0; v < bench->num_variants; v++)
            if (bench->variant[v].has[row])
                print_line(bench, &bench->variant[v], (enum row)row, best == &bench->variant[v]);
    }
}

/* The fastest level's row; NULL without memory. */
static json_t *json_row(const struct bench *bench, enum row row)
{
    const struct variant *variant = best_of(bench, row);
    double seconds = median(variant->seconds[row], NULL);
    return json_pack("{s:s, s:s, s:f, s:f, s:f}", "kernel", row_names[row], "variant",
                     variant->engine.kernels->name, "seconds", seconds, "gb_per_s",
                     gigabytes(&bench->settings, row) / seconds, "ratio",
                     median(variant->seconds[row], bench->copy_seconds));
}

/* The layout is a contract with scripts: names and order stay. */
static enum status print_json(const struct bench *bench)
{
    enum status status = QO_OK;
    const struct settings *s = &bench->settings;
    double seconds = median(bench->copy_seconds, NULL);
    json_t *rows = json_array(), *all = NULL;
    for (int row = 0; row < NUM_ROWS; row++)
        QO_CHECK(json_array_append_new(rows, json_row(bench, (enum row)row)) == 0, QO_NO_MEMORY,
                 "quantopt_bench: no memory for the JSON");
    all =
        json_pack("{s:I, s:i, s:s, s:i, s:{s:f, s:f}, s:O}", "n", (json_int_t)s->n, "bits", s->bits,
                  "dtype", element_name(s->type), "threads", s->threads, "memcpy", "seconds",
                  seconds, "gb_per_s", 2 * gigabytes(s, ROW_MEASURE) / seconds, "rows", rows);
    QO_CHECK(all, QO_NO_MEMORY, "quantopt_bench: no memory for the JSON");
    QO_CHECK(json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) == 0 &&
                 putchar('\n') != EOF,
             QO_IO, "stdout: cannot be written");
done:
    json_decref(all);
    json_decref(rows);
    return status;
}

static enum status run(struct bench *bench)
{
    enum status status;
    QO_TRY(bench_open(bench));
    for (int repeat = 0; repeat < REPEATS; repeat++)
        QO_TRY(run_repeat(bench, repeat));
    if (bench->settings.json)
        QO_TRY(print_json(bench));
    else
        print_table(bench);
    QO_CHECK(fflush(stdout) == 0, QO_IO, "stdout: %s", strerror(errno));
done:
    return status;
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    enum status status = parse(&bench.settings, argc, argv);
    if (status == QO_OK && bench.settings.help)
        print_help();
    else if (status == QO_OK)
        status = run(&bench);
    bench_close(&bench);
    if (status != QO_OK)
        fprintf(stderr, "quantopt_bench: error: %s\n", status_text());
    return (int)status;
}
