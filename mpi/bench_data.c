/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "bench.h"

/* Seeds the drawn numbers; any other would do. */
#define SEED UINT64_C(42)

/* A uniform number inside (0, 1) that depends on the seed and its index only (splitmix64). */
static double uniform_at(uint64_t index)
{
    uint64_t z = (index + 1) * UINT64_C(0x9e3779b97f4a7c15) + SEED;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return ((double)((z ^ z >> 31) >> 12) + 0.5) * 0x1p-52;
}

/* --- inverse distribution functions --- */

/* To seven digits: Wichura 1988, algorithm AS 241, PPND7. */
static double quantile_normal(double p)
{
    double q = p - 0.5;
    if (fabs(q) <= 0.425) {
        double r = 0.180625 - q * q;
        return q * (((59.109374720 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179) /
               (((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1);
    }
    double r = sqrt(-log(q < 0 ? p : 1 - p)), x;
    if (r <= 5) {
        r -= 1.6;
        x = (((0.17023821103 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777) /
            ((0.12021132975 * r + 0.73700164250) * r + 1);
    } else {
        r -= 5;
        x = (((0.017337203997 * r + 0.42868294337) * r + 3.0812263860) * r + 6.6579051150) /
            ((0.012258202635 * r + 0.24197894225) * r + 1);
    }
    return q < 0 ? -x : x;
}

static double quantile_uniform(double p)
{
    return 2 * p - 1;
}

/* Of Student's t with two degrees of freedom, the heaviest tails that have a formula so short. */
static double quantile_heavy(double p)
{
    return (2 * p - 1) / sqrt(2 * p * (1 - p));
}

static double quantile_equal(double p)
{
    (void)p;
    return 0.5;
}

static const struct {
    const char *name;
    double (*quantile)(double p);
    bool ascending;
} shapes[NUM_SHAPES] = {
    [SHAPE_NORMAL] = {"normal", quantile_normal, false},
    [SHAPE_UNIFORM] = {"uniform", quantile_uniform, false},
    [SHAPE_HEAVY] = {"heavy", quantile_heavy, false},
    [SHAPE_EQUAL] = {"equal", quantile_equal, false},
    [SHAPE_SORTED] = {"sorted", quantile_normal, true},
};

const char *bench_data_name(enum bench_shape shape)
{
    return shapes[shape].name;
}

void bench_data_fill(enum bench_shape shape, enum element_type type, void *x, int64_t n,
                     int threads)
{
    size_t size = element_size(type);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < n; i++) {
        double p =
            shapes[shape].ascending ? ((double)i + 0.5) / (double)n : uniform_at((uint64_t)i);
        uint64_t bits = element_from_double(type, shapes[shape].quantile(p));
        memcpy((char *)x + (size_t)i * size, &bits, size);
    }
}
