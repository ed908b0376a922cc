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

/* Two blocks and a bit, so that some of 8 ranks are empty and one block is not whole. */
#define N (3 * QO_BLOCK + 77)

static struct comm comm;
static struct engine engine;

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
    assert_int_equal(walk_open(&subject->walk, &comm, &engine, subject->source, 0), QO_OK);
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
    if (engine_open(&engine, BACKEND_CPU, 2) == QO_OK)
        failed = _cmocka_run_group_tests("pass", tests, count, NULL, NULL);
    engine_close(&engine);
    comm_close(&comm);
    return failed;
}

#endif
