/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "memory.h"
#include "optimal.h"

/* Copies in the device's memory a repeat, of which the fastest counts: they are short. */
#define DEVICE_COPIES 3

static int64_t vector_bytes(const struct bench *bench)
{
    return bench->settings.n * (int64_t)element_size(bench->settings.type);
}

static int64_t code_bytes(const struct bench *bench)
{
    return (bench->settings.n * bench->settings.bits + 7) / 8;
}

static struct tile whole_tile(const struct bench *bench)
{
    return (struct tile){bench->settings.type, bench->x, bench->settings.n, 0};
}

static const struct keep keep_all = {-INFINITY, INFINITY, 0, {0, 0}};

/* --- what is timed --- */

/* memcpy of the vector, a part a thread. */
static void run_memcpy(struct bench *bench)
{
    int64_t bytes = vector_bytes(bench);
    int threads = bench->settings.threads;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int t = 0; t < threads; t++) {
        int64_t begin = bytes / threads * t,
                end = t + 1 < threads ? bytes / threads * (t + 1) : bytes;
        memcpy((char *)bench->copy + begin, (const char *)bench->x + begin, (size_t)(end - begin));
    }
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

/* --- timing --- */

/* Both copies; a part of the vector in the device's memory counts as if it were the whole. */
static enum status time_copies(struct bench *bench, int repeat)
{
    enum status status = QO_OK;
    double start = clock_seconds(), seconds;
    run_memcpy(bench);
    bench->memcpy_seconds[repeat] = clock_seconds() - start;
    bench->copy_seconds[repeat] = bench->memcpy_seconds[repeat];
    if (bench->on_device) {
        QO_TRY(device_copy_seconds(&bench->engine[0], bench->copy_bytes, DEVICE_COPIES, &seconds));
        bench->copy_seconds[repeat] =
            seconds * (double)vector_bytes(bench) / (double)bench->copy_bytes;
    }
done:
    return status;
}

/* One row of one engine. On a device its own clock counts, but for what the host solves. */
static enum status time_row(struct bench *bench, struct bench_variant *variant, int row, int repeat)
{
    double start = clock_seconds();
    enum status status = run_row[row](bench, variant->engine);
    double call = clock_seconds() - start, seconds = 0;
    if (status == QO_OK && bench->on_device && row != ROW_SOLVE)
        seconds = device_seconds(variant->engine);
    variant->call[row][repeat] = call;
    variant->seconds[row][repeat] = seconds > 0 ? seconds : call;
    return status;
}

/* Adds up a job from the rows of the repeat. */
static void sum_job(struct bench *bench, int repeat)
{
    struct bench_variant *main = bench->main, *solver = bench->solver;
    main->seconds[ROW_JOB][repeat] = main->seconds[ROW_MEASURE][repeat] +
                                     solver->seconds[ROW_SOLVE][repeat] +
                                     main->seconds[ROW_ENCODE][repeat];
    main->call[ROW_JOB][repeat] = main->call[ROW_MEASURE][repeat] +
                                  solver->call[ROW_SOLVE][repeat] + main->call[ROW_ENCODE][repeat];
}

/* One repeat: the copies, then row by row every variant. */
static enum status run_repeat(struct bench *bench, int repeat)
{
    enum status status;
    QO_TRY(time_copies(bench, repeat));
    for (int row = 0; row < ROW_JOB; row++)
        for (int v = 0; v < bench->num_variants; v++)
            if (bench->variant[v].does[row])
                QO_TRY(time_row(bench, &bench->variant[v], row, repeat));
    sum_job(bench, repeat);
done:
    return status;
}

/* --- engines --- */

/* Adds a variant that does all rows but solve and job, or solve alone. */
static struct bench_variant *add_variant(struct bench *bench, const char *name,
                                         struct engine *engine, bool solves)
{
    struct bench_variant *variant = &bench->variant[bench->num_variants++];
    *variant = (struct bench_variant){.name = name, .engine = engine};
    for (int row = 0; row < ROW_JOB; row++)
        variant->does[row] = (row == ROW_SOLVE) == solves;
    return variant;
}

/* Every level that the machine has, slowest first. The last one, the fastest, solves and so has a
 * job. */
static enum status open_levels(struct bench *bench)
{
    enum status status = QO_OK;
    for (enum backend b = BACKEND_PORTABLE; b <= BACKEND_AVX512; b++) {
        if (!engine_supports(b))
            continue;
        struct engine *engine = &bench->engine[bench->num_engines];
        QO_TRY(engine_open(engine, b, bench->settings.threads));
        bench->num_engines++;
        bench->main = add_variant(bench, engine->kernels->name, engine, false);
    }
    bench->solver = bench->main;
    bench->main->does[ROW_SOLVE] = bench->main->does[ROW_JOB] = true;
done:
    return status;
}

static enum status open_device(struct bench *bench)
{
    enum status status;
    struct engine *engine = &bench->engine[0];
    QO_TRY(engine_open(engine, BACKEND_CUDA, bench->settings.threads));
    bench->num_engines = 1;
    bench->on_device = true;
    bench->main = add_variant(bench, engine->kernels->name, engine, false);
    bench->main->does[ROW_JOB] = true;
    bench->solver = add_variant(bench, "host", engine, true);
done:
    return status;
}

static enum status open_engines(struct bench *bench)
{
    char reason[256];
    enum bench_place place = bench->settings.place;
    if (place == PLACE_CPU)
        return open_levels(bench);
    enum status status = device_select(0, &bench->device);
    if (status == QO_OK)
        return open_device(bench);
    if (place == PLACE_CUDA) {
        snprintf(reason, sizeof reason, "%s", status_text());
        return status_raise(status, "--device cuda: %s; use --device cpu or auto", reason);
    }
    status_clear();
    return open_levels(bench);
}

/* --- vectors --- */

/* The sample that a run would look at to place the cells: evenly spread, whole if small. */
static void take_sample(struct bench *bench)
{
    enum element_type type = bench->settings.type;
    for (int64_t i = 0; i < bench->sample_size; i++) {
        int64_t at = (int64_t)((__int128)i * bench->settings.n / bench->sample_size);
        bench->sample[i] = element_key(type, element_bits(type, bench->x, at));
    }
}

/* Lets the device keep the vector. What is left to copies must not push it out again. */
static enum status hold_vector(struct bench *bench)
{
    enum status status;
    struct engine *engine = &bench->engine[0];
    struct tile tile = whole_tile(bench);
    int64_t bytes = vector_bytes(bench);
    QO_TRY(engine->kernels->hold(engine, &tile));
    bench->held = device_holds(engine, &tile);
    QO_TRY(device_select(0, &bench->device));
    int64_t free_memory = bench->device.free_memory;
    bench->copy_bytes = bytes < free_memory / 4 ? bytes : free_memory / 4 + 1;
done:
    return status;
}

/* A vector of a shape, and the plan of its cells. */
static enum status make_vector(struct bench *bench, enum bench_shape shape)
{
    enum status status;
    const struct bench_settings *s = &bench->settings;
    struct histogram *histogram = &bench->histogram;
    bench->shape = shape;
    histogram_clear(histogram);
    bench_data_fill(shape, s->type, bench->x, s->n, s->threads);
    take_sample(bench);
    QO_TRY(histogram_plan(&histogram->map, s->type, bench->sample, bench->sample_size,
                          bench->sample_size == s->n));
    QO_TRY(memory_alloc_large("cells", histogram->map.num_cells, sizeof *histogram->cells,
                              &histogram->cells));
    if (bench->on_device)
        QO_TRY(hold_vector(bench));
done:
    return status;
}

/* Everything a repeat needs, touched once so that no repeat pays for its pages. */
static enum status bench_open(struct bench *bench)
{
    enum status status;
    const struct bench_settings *s = &bench->settings;
    size_t size = element_size(s->type);
    QO_TRY(open_engines(bench));
    QO_TRY(memory_alloc_large("vector", s->n, size, &bench->x));
    QO_TRY(memory_alloc_large("copy", s->n, size, &bench->copy));
    QO_TRY(memory_alloc_large("codes", code_bytes(bench), 1, &bench->codes));
    bench->sample_size = s->n < HISTOGRAM_SAMPLE ? s->n : HISTOGRAM_SAMPLE;
    QO_TRY(memory_alloc("sample", bench->sample_size, sizeof *bench->sample, &bench->sample));
    memset(bench->copy, 0, (size_t)vector_bytes(bench));
    memset(bench->codes, 0, (size_t)code_bytes(bench));
done:
    return status;
}

static void bench_close(struct bench *bench)
{
    for (int e = 0; e < bench->num_engines; e++)
        engine_close(&bench->engine[e]);
    histogram_clear(&bench->histogram);
    memory_free(bench->x);
    memory_free(bench->copy);
    memory_free(bench->codes);
    memory_free(bench->sample);
}

/* --- the whole --- */

/* One shape: makes the vector, times, and prints or lists what was found. */
static enum status run_shape(struct bench *bench, enum bench_shape shape, json_t *list)
{
    enum status status;
    struct engine *engine = &bench->engine[0];
    QO_TRY(make_vector(bench, shape));
    for (int repeat = 0; repeat < BENCH_REPEATS; repeat++)
        QO_TRY(run_repeat(bench, repeat));
    if (bench->on_device) {
        struct tile tile = whole_tile(bench);
        engine->kernels->release(engine, &tile);
    }
    if (bench->settings.json)
        QO_TRY(bench_report_add(bench, list));
    else
        bench_report_table(bench);
done:
    return status;
}

/* Of one shape its object, of several a list. */
static enum status print_json(const json_t *list)
{
    const json_t *all = json_array_size(list) == 1 ? json_array_get(list, 0) : list;
    if (json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) == 0 &&
        putchar('\n') != EOF)
        return QO_OK;
    return status_raise(QO_IO, "stdout: cannot be written");
}

static enum status run(struct bench *bench)
{
    enum status status;
    json_t *list = json_array();
    QO_CHECK(list, QO_NO_MEMORY, "no memory for the JSON");
    QO_TRY(bench_open(bench));
    for (int s = 0; s < NUM_SHAPES; s++)
        if (bench->settings.shape[s])
            QO_TRY(run_shape(bench, (enum bench_shape)s, list));
    if (bench->settings.json)
        QO_TRY(print_json(list));
    QO_CHECK(fflush(stdout) == 0, QO_IO, "stdout: %s", strerror(errno));
done:
    json_decref(list);
    return status;
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    enum status status = bench_options_parse(&bench.settings, argc, argv);
    if (status == QO_OK && bench.settings.help)
        bench_options_help();
    else if (status == QO_OK)
        status = run(&bench);
    bench_close(&bench);
    if (status != QO_OK)
        fprintf(stderr, "quantopt_bench: error: %s\n", status_text());
    return (int)status;
}
