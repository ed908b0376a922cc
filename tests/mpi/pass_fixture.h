/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_TESTS_PASS_FIXTURE_H
#define QO_TESTS_PASS_FIXTURE_H

#include "cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm.h"
#include "encode.h"
#include "measure.h"
#include "reduce.h"

/* Two blocks and a bit, so that some of 8 ranks are empty and one block is not whole. */
#define N (3 * QO_BLOCK + 77)

static struct comm comm;
static struct engine engine;

/* Bytes that a walk may use: all, and then so few that it reads block after block. */
static int64_t memory_limit;

/* A vector on all ranks whole, to compute the truth from, and as a walk over its shards. */
struct subject {
    struct source *source;
    struct walk walk;
    float *whole; /* [N] */
    char path[64];
};

/* Collective. Opens values[N], written by rank 0 as a raw file. */
static inline void subject_open(struct subject *subject, const float *values)
{
    *subject = (struct subject){0};
    snprintf(subject->path, sizeof subject->path, "/tmp/quantopt_test_pass.XXXXXX");
    if (comm.rank == 0) {
        int fd = mkstemp(subject->path);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, values, N * sizeof *values), N * sizeof *values);
        close(fd);
    }
    comm_broadcast(&comm, subject->path, sizeof subject->path);
    const char *inputs[] = {subject->path};
    struct source_request request = {
        .inputs = inputs, .num_inputs = 1, .has_type = true, .type = ELEMENT_F32, .num_dims = -1};
    assert_int_equal(source_open(&comm, &request, &subject->source), QO_OK);
    struct walk_plan plan =
        walk_plan_of(source_vector(subject->source, 0), comm.size, memory_limit, 8);
    assert_true(plan.is_held == (memory_limit == INT64_MAX));
    assert_int_equal(walk_open(&subject->walk, &comm, &engine, subject->source, 0, &plan, NULL),
                     QO_OK);
    subject->whole = malloc(N * sizeof *subject->whole);
    assert_non_null(subject->whole);
    assert_int_equal(source_read(subject->source, 0, 0, N, subject->whole), QO_OK);
    assert_memory_equal(subject->whole, values, N * sizeof *values);
}

static inline void subject_close(struct subject *subject)
{
    free(subject->whole);
    walk_close(&subject->walk);
    source_close(subject->source);
    comm_wait_all(&comm);
    if (comm.rank == 0)
        unlink(subject->path);
}

/* What a sink has been given, of one result; zero elsewhere. */
struct given {
    uint64_t codes[N / 8 + 8]; /* N codes of at most 8 bits */
    int64_t index[N];
    float value[N];
    int64_t num_outliers;
};

static inline enum status take_codes(void *context, int r, const uint8_t *codes, int64_t first,
                                     int64_t n)
{
    struct given *given = context;
    memcpy((uint8_t *)given[r].codes + first, codes, (size_t)n);
    return QO_OK;
}

static inline enum status take_outliers(void *context, int r, const uint64_t *index,
                                        const void *value, int64_t first, int64_t n)
{
    struct given *given = context;
    for (int64_t i = 0; i < n; i++)
        given[r].index[first + i] = (int64_t)index[i];
    memcpy(given[r].value + first, value, (size_t)n * sizeof(float));
    given[r].num_outliers += n;
    return QO_OK;
}

/* Collective. Makes what the ranks were given, each its parts, what all were given. */
static inline void given_reduce(struct given *given)
{
    reduce_sum(&comm, (int64_t *)given->codes, sizeof given->codes / 8);
    reduce_sum(&comm, given->index, N);
    reduce_sum(&comm, &given->num_outliers, 1);
}

/* A job for `num` tables over the subject. */
static inline struct encode_job encode_job_of(const struct subject *subject,
                                              const struct level_table *table, int num,
                                              struct given *given, struct encoding *encoding)
{
    return (struct encode_job){
        .walk = &subject->walk,
        .num = num,
        .table = table,
        .sink = {.context = given, .codes = take_codes, .outliers = take_outliers},
        .encoding = encoding};
}

/* Seeded values, roughly Gaussian: the sum of four uniform ones. */
static inline void draw(float *values)
{
    uint32_t state = 12345;
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int j = 0; j < 4; j++) {
            state = state * 1664525u + 1013904223u;
            sum += (double)(state >> 8) * 0x1p-24 - 0.5;
        }
        values[i] = (float)(3 * sum + 0.1);
    }
}

static float values[N];

/* Runs the tests of a program, on all ranks. */
static inline int run_on_all_ranks(int argc, char **argv, const struct CMUnitTest *tests,
                                   size_t count)
{
    comm_open(&comm, &argc, &argv);
    int failed = 1;
    if (engine_open(&engine, BACKEND_CPU, 2) == QO_OK) {
        memory_limit = INT64_MAX;
        failed = _cmocka_run_group_tests("pass", tests, count, NULL, NULL);
        memory_limit = 1;
        failed += _cmocka_run_group_tests("pass_streamed", tests, count, NULL, NULL);
    }
    engine_close(&engine);
    comm_close(&comm);
    return failed;
}

#endif
