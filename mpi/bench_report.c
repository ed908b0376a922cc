/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

static const char *const row_names[NUM_ROWS] = {"measure", "solve",  "encode",
                                                "assign",  "decode", "job"};

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of value[BENCH_REPEATS], each divided by `by` if given. */
static double median(const double *value, const double *by)
{
    double sorted[BENCH_REPEATS];
    for (int i = 0; i < BENCH_REPEATS; i++)
        sorted[i] = by ? value[i] / by[i] : value[i];
    qsort(sorted, BENCH_REPEATS, sizeof *sorted, compare_doubles);
    return sorted[BENCH_REPEATS / 2];
}

/* Gigabytes that a row moves: the vector, and the codes where it reads or writes them. */
static double gigabytes(const struct bench_settings *settings, enum bench_row row)
{
    double vector = (double)settings->n * (double)element_size(settings->type);
    double codes = (double)settings->n * settings->bits / 8;
    return 1e-9 *
           (row == ROW_ENCODE || row == ROW_DECODE || row == ROW_JOB ? vector + codes : vector);
}

/* Those that a copy moves. */
static double copied_gigabytes(const struct bench_settings *settings)
{
    return 2 * gigabytes(settings, ROW_MEASURE);
}

/* What is told of a row. */
struct figures {
    double seconds, gb_per_s;
    double ratio;    /* to the seconds of a copy */
    double fraction; /* of the GB/s of a copy */
    double call;
};

static struct figures figures_of(const struct bench *bench, const struct bench_variant *variant,
                                 enum bench_row row)
{
    double seconds = median(variant->seconds[row], NULL);
    double ratio = median(variant->seconds[row], bench->copy_seconds);
    double share = gigabytes(&bench->settings, row) / copied_gigabytes(&bench->settings);
    return (struct figures){seconds, gigabytes(&bench->settings, row) / seconds, ratio,
                            share / ratio, median(variant->call[row], NULL)};
}

/* The variant with the smallest median of a row. */
static const struct bench_variant *best_of(const struct bench *bench, enum bench_row row)
{
    const struct bench_variant *best = NULL;
    for (int v = 0; v < bench->num_variants; v++) {
        const struct bench_variant *variant = &bench->variant[v];
        if (variant->does[row] &&
            (!best || median(variant->seconds[row], NULL) < median(best->seconds[row], NULL)))
            best = variant;
    }
    return best;
}

/* --- tables --- */

/* One row of one level; a star where it is the fastest. */
static void print_level(const struct bench *bench, const struct bench_variant *variant,
                        enum bench_row row, bool best)
{
    struct figures f = figures_of(bench, variant, row);
    printf("%-8s %-10s %12.6f %10.2f %10.3f %s\n", row_names[row], variant->name, f.seconds,
           f.gb_per_s, f.ratio, best ? "*" : "");
}

static void print_levels(const struct bench *bench)
{
    const struct bench_settings *s = &bench->settings;
    double seconds = median(bench->memcpy_seconds, NULL);
    printf("%lld x %s, %s, %d bits, %d threads, median of %d repeats; * marks the fastest level\n",
           (long long)s->n, element_name(s->type), bench_data_name(bench->shape), s->bits,
           s->threads, BENCH_REPEATS);
    printf("%-8s %-10s %12s %10s %10s\n", "kernel", "variant", "seconds", "GB/s", "x memcpy");
    printf("%-8s %-10s %12.6f %10.2f %10.3f\n", "memcpy", "", seconds,
           copied_gigabytes(s) / seconds, 1.0);
    for (int row = 0; row < NUM_ROWS; row++) {
        const struct bench_variant *best = best_of(bench, (enum bench_row)row);
        for (int v = 0; v < bench->num_variants; v++)
            if (bench->variant[v].does[row])
                print_level(bench, &bench->variant[v], (enum bench_row)row,
                            best == &bench->variant[v]);
    }
}

static void print_device(const struct bench *bench)
{
    const struct bench_settings *s = &bench->settings;
    double host = median(bench->memcpy_seconds, NULL), copy = median(bench->copy_seconds, NULL);
    printf("%lld x %s, %s, %d bits, %s, %d threads, median of %d repeats\n", (long long)s->n,
           element_name(s->type), bench_data_name(bench->shape), s->bits, bench->device.name,
           s->threads, BENCH_REPEATS);
    if (!bench->held)
        puts("the device has no room for the vector: it is streamed, and calls wait for that");
    printf("%-8s %-10s %12s %10s %10s %10s %12s\n", "kernel", "variant", "seconds", "GB/s",
           "x copy", "of copy", "call");
    printf("%-8s %-10s %12.6f %10.2f\n", "memcpy", "host", host, copied_gigabytes(s) / host);
    printf("%-8s %-10s %12.6f %10.2f %10.3f %9.1f%%\n", "copy", bench->main->name, copy,
           copied_gigabytes(s) / copy, 1.0, 100.0);
    for (int row = 0; row < NUM_ROWS; row++) {
        const struct bench_variant *variant = best_of(bench, (enum bench_row)row);
        struct figures f = figures_of(bench, variant, (enum bench_row)row);
        printf("%-8s %-10s %12.6f %10.2f %10.3f %9.1f%% %12.6f\n", row_names[row], variant->name,
               f.seconds, f.gb_per_s, f.ratio, 100 * f.fraction, f.call);
    }
}

void bench_report_table(const struct bench *bench)
{
    if (bench->on_device)
        print_device(bench);
    else
        print_levels(bench);
}

/* --- JSON --- */

/* Puts a value into an object; both may be NULL, for want of memory. Returns whether that was so.
 */
static bool lacks(json_t *object, const char *name, json_t *value)
{
    return json_object_set_new(object, name, value) != 0;
}

/* The fastest level's row, or the device's; NULL without memory. */
static json_t *json_row(const struct bench *bench, enum bench_row row)
{
    const struct bench_variant *variant = best_of(bench, row);
    struct figures f = figures_of(bench, variant, row);
    json_t *object =
        json_pack("{s:s, s:s, s:f, s:f, s:f}", "kernel", row_names[row], "variant", variant->name,
                  "seconds", f.seconds, "gb_per_s", f.gb_per_s, "ratio", f.ratio);
    if (bench->on_device && (lacks(object, "fraction", json_real(f.fraction)) ||
                             lacks(object, "call_seconds", json_real(f.call)))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *json_of_copy(const struct bench *bench, const double *copy_seconds)
{
    double seconds = median(copy_seconds, NULL);
    return json_pack("{s:f, s:f}", "seconds", seconds, "gb_per_s",
                     copied_gigabytes(&bench->settings) / seconds);
}

/* The layout is a contract with scripts: names stay, others may come. */
enum status bench_report_add(const struct bench *bench, struct json_t *list)
{
    const struct bench_settings *s = &bench->settings;
    json_t *all =
        json_pack("{s:I, s:i, s:s, s:s, s:i, s:s}", "n", (json_int_t)s->n, "bits", s->bits, "dtype",
                  element_name(s->type), "shape", bench_data_name(bench->shape), "threads",
                  s->threads, "device", bench->on_device ? "cuda" : "cpu");
    json_t *rows = json_array();
    bool failed = lacks(all, "memcpy", json_of_copy(bench, bench->memcpy_seconds));
    if (bench->on_device) {
        failed |= lacks(all, "copy", json_of_copy(bench, bench->copy_seconds));
        failed |= lacks(all, "device_name", json_string(bench->device.name));
        failed |= lacks(all, "held", json_boolean(bench->held));
    }
    for (int row = 0; row < NUM_ROWS; row++)
        failed |= json_array_append_new(rows, json_row(bench, (enum bench_row)row)) != 0;
    failed |= lacks(all, "rows", rows);
    if (!failed && json_array_append_new(list, all) == 0)
        return QO_OK;
    if (failed)
        json_decref(all);
    return status_raise(QO_NO_MEMORY, "no memory for the JSON");
}
