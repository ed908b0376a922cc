/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_TESTS_SOLVE_FIXTURE_H
#define QO_TESTS_SOLVE_FIXTURE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"
#include "histogram.h"
#include "memory.h"

/* Small vectors and their histograms, filled one element at a time: no kernel, no rank. */

/* The built-in vector `small`. */
static const double ten_values[10] = {3.2, -1.4, 2.5, -0.9, 1.8, -3.7, 0.0, 4.0, 2.2, -1.3};

/* A generator of the tests' own: xorshift64*, never seeded with 0. */
struct dice {
    uint64_t state;
};

/* In (0, 1). */
static inline double dice_uniform(struct dice *dice)
{
    dice->state ^= dice->state >> 12;
    dice->state ^= dice->state << 25;
    dice->state ^= dice->state >> 27;
    return ((double)(dice->state * 0x2545f4914f6cdd1du >> 12) + 0.5) * 0x1p-52;
}

static inline double dice_normal(struct dice *dice)
{
    double radius = sqrt(-2 * log(dice_uniform(dice)));
    return radius * cos(2 * acos(-1) * dice_uniform(dice));
}

static inline void *new_array(int64_t n, size_t size)
{
    void *block = calloc((size_t)n + 1, size);
    assert_non_null(block);
    return block;
}

static inline double *new_normals(int64_t n, uint64_t seed)
{
    struct dice dice = {seed};
    double *x = new_array(n, sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = dice_normal(&dice);
    return x;
}

static inline uint64_t key_of(enum element_type type, double x)
{
    return element_key(type, element_from_double(type, x));
}

static inline int order_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Rounds x[n] to the numbers of a type. */
static inline void round_to(enum element_type type, double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = element_value(type, element_from_double(type, x[i]));
}

/* Fills the cells of histogram->map from x[n]. */
static inline void fill_cells(struct histogram *histogram, const double *x, int64_t n)
{
    const struct cell_map *map = &histogram->map;
    assert_int_equal(
        memory_alloc("cells", map->num_cells, sizeof *histogram->cells, &histogram->cells), QO_OK);
    for (int64_t i = 0; i < n; i++) {
        uint64_t key = key_of(map->type, x[i]);
        int64_t cell = cell_map_find(map, key);
        cell_add(&histogram->cells[cell], key - map->low[cell]);
    }
}

/* A histogram of x[n], planned from all of it or from an even sample, as the program would. */
static inline struct histogram new_histogram(enum element_type type, const double *x, int64_t n)
{
    struct histogram histogram = {0};
    int64_t m = n < HISTOGRAM_SAMPLE ? n : HISTOGRAM_SAMPLE;
    uint64_t *key = new_array(m, sizeof *key);
    for (int64_t i = 0; i < m; i++)
        key[i] = key_of(type, x[i * n / m]);
    assert_int_equal(QO_OK, histogram_plan(&histogram.map, type, key, m, m == n));
    free(key);
    fill_cells(&histogram, x, n);
    return histogram;
}

#endif
