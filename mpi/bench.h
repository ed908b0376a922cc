/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_MPI_BENCH_H
#define QO_MPI_BENCH_H

#include "device.h"
#include "histogram.h"
#include "kernels.h"

/*
 * quantopt_bench: how fast each kernel is beside a copy of the same vector: memcpy with the same
 * threads, or a copy in the device's memory. Every repeat runs the copy and all kernels of all SIMD
 * levels in turn, so that a busy machine slows them alike; what is reported is the median over
 * repeats, of seconds and of the ratio to that repeat's copy.
 *
 * bench.c times, bench_options.c reads the command line, bench_data.c makes vectors, and
 * bench_report.c writes.
 */
#define BENCH_REPEATS 7

/* SIMD levels of the CPU; or the device, and the host that solves. */
#define BENCH_MAX_VARIANTS 3

enum bench_row { ROW_MEASURE, ROW_SOLVE, ROW_ENCODE, ROW_ASSIGN, ROW_DECODE, ROW_JOB, NUM_ROWS };

/* How a vector's elements are distributed, and in which order they come. */
enum bench_shape {
    SHAPE_NORMAL,
    SHAPE_UNIFORM,
    SHAPE_HEAVY,  /* Student's t with two degrees of freedom: of no finite variance */
    SHAPE_EQUAL,  /* one value: all threads want the same cell and level */
    SHAPE_SORTED, /* normal numbers: neighbours want the same ones */
    NUM_SHAPES
};

enum bench_place { PLACE_CPU, PLACE_CUDA, PLACE_AUTO };

struct bench_settings {
    int64_t n;
    int bits, threads;
    enum element_type type;
    enum bench_place place;
    bool shape[NUM_SHAPES]; /* those to be measured */
    bool json, help;
};

/* Seconds of an engine's rows. */
struct bench_variant {
    const char *name;
    struct engine *engine;
    bool does[NUM_ROWS];
    double seconds[NUM_ROWS][BENCH_REPEATS]; /* that the device computed, or of the call */
    double call[NUM_ROWS][BENCH_REPEATS];    /* with copies to and from the device */
};

struct bench {
    struct bench_settings settings;
    enum bench_shape shape; /* of the vector that is there */
    struct engine engine[BENCH_MAX_VARIANTS];
    int num_engines;
    struct bench_variant variant[BENCH_MAX_VARIANTS];
    int num_variants;
    struct bench_variant *main, *solver; /* whose times make a job */
    bool on_device, held;                /* held: the device keeps the vector */
    struct device device;
    int64_t copy_bytes; /* what is copied in the device's memory: the vector, or part of it */
    void *x, *copy;
    uint8_t *codes;
    uint64_t *sample; /* keys */
    int64_t sample_size;
    struct histogram histogram;
    struct measure_totals totals;
    struct level_table table;
    double memcpy_seconds[BENCH_REPEATS];
    double copy_seconds[BENCH_REPEATS]; /* what rows are held against; on the CPU the same */
};

/* --- bench_options.c --- */

void bench_options_help(void);

/* Local. Reads the command line; QO_USAGE with one message for what is not understood. */
QO_MUST_USE enum status bench_options_parse(struct bench_settings *settings, int argc, char **argv);

/* --- bench_data.c --- */

/* Pure. "normal", "uniform" and so on. */
const char *bench_data_name(enum bench_shape shape);

/* Local. Fills x[n]; an element depends on its index and n alone. */
void bench_data_fill(enum bench_shape shape, enum element_type type, void *x, int64_t n,
                     int threads);

/* --- bench_report.c --- */

/* Local. Prints the vector's table. */
void bench_report_table(const struct bench *bench);

/* Local. Adds the vector's object to a JSON array; QO_NO_MEMORY. */
struct json_t;
QO_MUST_USE enum status bench_report_add(const struct bench *bench, struct json_t *list);

#endif
