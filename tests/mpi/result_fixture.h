/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_TESTS_RESULT_FIXTURE_H
#define QO_TESTS_RESULT_FIXTURE_H

#include "sink_fixture.h"

#include <math.h>

#include "element.h"
#include "result_file.h"
#include "shard.h"

/* For tests of result files: results made up, and how all ranks write them. */

/* A result made up: codes, levels and outliers are functions of their index. */
struct made {
    const char *name;
    enum element_type type;
    int num_dims;
    int64_t shape[3], n;
    int bits, k;
    int64_t outliers;
};

/* Three blocks and a rest, so that 8 ranks have empty ones among them; a nested name; all types; a
 * scalar; no outliers, and more than one rank's. */
static const struct made made[] = {
    {"layer/0/weight", ELEMENT_F32, 2, {3, 65541}, 196623, 3, 8, 1001},
    {"layer/0/weight", ELEMENT_F32, 2, {3, 65541}, 196623, 8, 200, 0},
    {"layer/1", ELEMENT_F16, 1, {70001}, 70001, 1, 2, 5},
    {"layer/2", ELEMENT_BF16, 3, {1, 7, 11}, 77, 5, 1, 77},
    {"field", ELEMENT_F64, 0, {0}, 1, 4, 1, 1},
};

#define NUM_MADE ((int)(sizeof made / sizeof made[0]))

static inline uint8_t code_byte(const struct made *m, int64_t i)
{
    return (uint8_t)((uint64_t)(i + m->bits) * 0x9e3779b97f4a7c15u >> 56);
}

static inline double level(int i)
{
    return -1.5 + i / 3.0;
}

static inline uint64_t outlier_index(const struct made *m, int64_t i)
{
    return (uint64_t)(i * (m->n / m->outliers));
}

static inline uint64_t outlier_bits(const struct made *m, int64_t i)
{
    return element_from_double(m->type, 1e4 + (double)(i % 2000));
}

static inline int64_t code_bytes(const struct made *m)
{
    return (m->n * m->bits + 7) / 8;
}

static inline struct vector_info info_of(const struct made *m, char *name)
{
    struct vector_info info = {.name = strcpy(name, m->name),
                               .origin = name,
                               .type = m->type,
                               .num_dims = m->num_dims,
                               .n = m->n};
    memcpy(info.shape, m->shape, sizeof m->shape);
    return info;
}

static double edges[4] = {-3, -1, 2, 3};
static uint64_t counts[3] = {5, 0, 7};

static inline struct vector_stats stats_of(const struct made *m)
{
    struct vector_stats stats = {.nonfinite_count = m->bits,
                                 .fill_count = 2,
                                 .min = -3.25,
                                 .max = 4,
                                 .mean = 1.0 / 3,
                                 .std = m->n == 1 ? NAN : 0.7,
                                 .plot_bins = m->n == 1 ? 0 : 3,
                                 .plot_edges = edges,
                                 .plot_counts = counts,
                                 .num_original = m->n <= RESULT_MOST_ORIGINAL ? (int)m->n : 0};
    for (size_t i = 0; i < sizeof stats.original; i++)
        stats.original[i] = (unsigned char)(i + 1);
    return stats;
}

static inline struct result result_of(const struct made *m)
{
    struct result result = {.approach = m->outliers ? "easyquant" : "non-uniform",
                            .num_bits = m->bits,
                            .solver = "lloyd",
                            .threshold = 3,
                            .mse = 0.1,
                            .rmse = 0.2,
                            .l2_norm = 0.3,
                            .relative_error = 0.4,
                            .sqnr_db = INFINITY,
                            .max_abs_error = 0.5,
                            .outlier_count = m->outliers,
                            .bits_per_value = 3.5,
                            .compression_ratio = 9,
                            .optimality_gap = NAN,
                            .solve_seconds = 0.25,
                            .encode_seconds = 0.75};
    for (int b = 0; b < HISTOGRAM_ERROR_BINS; b++)
        result.error_share[b] = (float)(b + m->bits);
    result.solution.k = m->k;
    result.solution.iterations = 42;
    result.solution.converged = true;
    for (int i = 0; i < m->k; i++)
        result.solution.level[i] = level(i);
    return result;
}

static const struct file_header header = {
    "1.2.3", "2024-02-29T12:00:00Z", "quantopt_mpi --x", "num_bits: 3\n", "cpu", "", 2, 1};

/* The number of the result that is being written: one at a time here. */
static int current_result;

/* Writes this rank's codes; returns their digest by way of *digest. */
static inline enum status write_codes(struct result_file *file, const struct made *m,
                                      uint64_t *digest)
{
    struct shard shard = shard_of(m->n, comm.rank, comm.size);
    /* An empty shard begins where the vector ends, which may be inside a byte. */
    int64_t first = (shard.begin * m->bits + 7) / 8, end = (shard.end * m->bits + 7) / 8;
    uint8_t *codes = malloc((size_t)(end - first) + 1);
    for (int64_t i = first; codes && i < end; i++)
        codes[i - first] = code_byte(m, i);
    *digest = result_digest_codes(codes, first, end - first, QO_BLOCK / 8 * m->bits);
    enum status status = result_file_write_codes(file, current_result, codes, first, end - first);
    free(codes);
    return status;
}

/* Writes this rank's outliers, in two rounds of unequal size. */
static inline enum status write_outliers(struct result_file *file, const struct made *m,
                                         uint64_t *digest)
{
    int64_t first = m->outliers * comm.rank / comm.size;
    int64_t end = m->outliers * (comm.rank + 1) / comm.size, middle = first + (end - first) / 3;
    enum status status = QO_OK;
    for (int round = 0; round < 2 && status == QO_OK; round++) {
        int64_t from = round ? middle : first, to = round ? end : middle;
        uint64_t index[1024];
        char value[8 * 1024];
        size_t size = element_size(m->type);
        for (int64_t i = from; i < to; i++) {
            uint64_t bits = outlier_bits(m, i);
            index[i - from] = outlier_index(m, i);
            memcpy(value + (size_t)(i - from) * size, &bits, size);
        }
        *digest += result_digest_outliers(m->type, index, value, to - from);
        status = result_file_write_outliers(file, current_result, index, value, from, to - from);
    }
    return status;
}

static inline enum status write_result(struct result_file *file, const struct made *m)
{
    struct result result = result_of(m);
    uint64_t digest = 0;
    enum status status = result_file_begin_result(file, &result);
    if (status == QO_OK)
        status = comm_agree(&comm, write_codes(file, m, &digest));
    if (status == QO_OK)
        status = result_file_begin_outliers(file, current_result, m->outliers);
    if (status == QO_OK && m->outliers)
        status = comm_agree(&comm, write_outliers(file, m, &digest));
    if (status != QO_OK)
        return status;
    reduce_sum(&comm, (int64_t *)&digest, 1);
    result.digest = digest + result_digest_levels(result.solution.level, result.solution.k);
    return result_file_end_result(file, current_result++, &result);
}

/* All but publishing, of the first `count` results; the file is abandoned after a failure. */
static inline enum status write_up_to(const char *path, int count, struct result_file **file)
{
    char name[64];
    enum status status = result_file_create(&comm, path, &header, 0, file);
    for (int i = 0; status == QO_OK && i < count; i++) {
        struct vector_info info = info_of(&made[i], name);
        struct vector_stats stats = stats_of(&made[i]);
        if (i == 0 || strcmp(made[i].name, made[i - 1].name) != 0)
            current_result = 0, status = result_file_begin_vector(*file, &info, &stats);
        if (status == QO_OK)
            status = write_result(*file, &made[i]);
    }
    return status;
}

static inline enum status write_all(const char *path, int count)
{
    struct result_file *file = NULL;
    enum status status = write_up_to(path, count, &file);
    if (status == QO_OK)
        status = result_file_publish(file);
    if (status != QO_OK)
        result_file_abandon(file);
    return status;
}

#endif
