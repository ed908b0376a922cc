/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts for Lloyd's steps, from the points of a histogram.
 *
 * quantile: levels at the quantiles of density^(1/3), where they lie in the best quantizer of many
 * levels (Panter and Dite 1951); for normal numbers and 256 levels half a percent from the optimum
 * without a step. kmeans++: points drawn in proportion to the squared distance from those drawn
 * before (Arthur and Vassilvitskii 2007). random: points drawn in proportion to their counts.
 *
 * Cost: O(points) for quantile, O(points * log levels) expected for kmeans++.
 */
#include "start.h"

#include <math.h>

#include "memory.h"
#include "root.h"

/* Random numbers that depend on nothing but a seed and a count: a Weyl sequence, mixed
 * (splitmix64). */
struct draws {
    uint64_t state;
};

/* In [0, 1), a multiple of 2^-53. */
static double draws_next(struct draws *draws)
{
    uint64_t z = draws->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* Weights to draw from, summed in blocks: a draw and a change cost one block and the list of
 * blocks. */
#define SAMPLER_BLOCK 256

struct sampler {
    int64_t n, num_blocks;
    double *weight; /* [n] >= 0 */
    double *block;  /* [num_blocks] */
};

static enum status sampler_init(struct sampler *sampler, int64_t n)
{
    enum status status;
    *sampler = (struct sampler){.n = n, .num_blocks = (n + SAMPLER_BLOCK - 1) / SAMPLER_BLOCK};
    QO_TRY(memory_alloc("weights", n, sizeof(double), &sampler->weight));
    QO_TRY(memory_alloc("blocks of weights", sampler->num_blocks, sizeof(double), &sampler->block));
done:
    return status;
}

/* A sampler whose init failed may be cleared too. */
static void sampler_clear(struct sampler *sampler)
{
    memory_free(sampler->weight);
    memory_free(sampler->block);
}

/* Sums the blocks again in which weights first..last have changed. */
static void sampler_update(struct sampler *sampler, int64_t first, int64_t last)
{
    for (int64_t b = first / SAMPLER_BLOCK; b <= last / SAMPLER_BLOCK; b++) {
        double sum = 0;
        for (int64_t i = b * SAMPLER_BLOCK; i < (b + 1) * SAMPLER_BLOCK && i < sampler->n; i++)
            sum += sampler->weight[i];
        sampler->block[b] = sum;
    }
}

/* Draws an index by weight; -1 if no weight is left. */
static int64_t sampler_draw(const struct sampler *sampler, struct draws *draws)
{
    double total = 0;
    int64_t b = 0, found = -1;
    for (int64_t i = 0; i < sampler->num_blocks; i++)
        total += sampler->block[i];
    /* The weights lie one after another on [0, total); the draw falls into one of them. */
    double rest = draws_next(draws) * total;
    while (b < sampler->num_blocks && rest >= sampler->block[b])
        rest -= sampler->block[b++];
    if (b == sampler->num_blocks) /* rounding passed the end: the last block that weighs */
        for (b--; b > 0 && !(sampler->block[b] > 0);)
            b--;
    for (int64_t i = b * SAMPLER_BLOCK; i < (b + 1) * SAMPLER_BLOCK && i < sampler->n; i++) {
        if (!(sampler->weight[i] > 0))
            continue;
        found = i;
        if (rest < sampler->weight[i])
            break;
        rest -= sampler->weight[i];
    }
    return found;
}

/* Weight = count * squared distance from point c, for the points nearer to it than to those before.
 * As the points ascend, these lie around c. */
static void sampler_approach(struct sampler *sampler, const struct points *points, int64_t c)
{
    int64_t end[2] = {c, c};
    sampler->weight[c] = 0;
    for (int side = 0; side < 2; side++) {
        int64_t step = side ? 1 : -1;
        for (int64_t i = c + step; i >= 0 && i < points->n; i += step) {
            double d = points->value[i] - points->value[c], w = points->count[i] * (d * d);
            if (!(w < sampler->weight[i]))
                break;
            sampler->weight[i] = w;
            end[side] = i;
        }
    }
    sampler_update(sampler, end[0], end[1]);
}

/* Draws k distinct points into index[k]; returns how many there are with weight. */
static int draw_points(struct sampler *sampler, const struct points *points, bool plus_plus,
                       uint64_t seed, int k, int64_t *index)
{
    struct draws draws = {.state = seed};
    int n = 0;
    memcpy(sampler->weight, points->count, (size_t)points->n * sizeof(double));
    sampler_update(sampler, 0, points->n - 1);
    while (n < k) {
        int64_t i = sampler_draw(sampler, &draws);
        if (i < 0)
            break;
        index[n++] = i;
        if (plus_plus && n == 1) { /* no point is near any yet */
            for (int64_t j = 0; j < points->n; j++)
                sampler->weight[j] = INFINITY;
        }
        if (plus_plus) {
            sampler_approach(sampler, points, i);
        } else {
            sampler->weight[i] = 0;
            sampler_update(sampler, i, i);
        }
    }
    return n;
}

/* Levels at the given points, ascending. */
static void levels_at(const struct points *points, int64_t *index, int n, double *level)
{
    for (int i = 1; i < n; i++) { /* sorted by insertion: at most 256 */
        int64_t x = index[i];
        int j = i;
        for (; j > 0 && index[j - 1] > x; j--)
            index[j] = index[j - 1];
        index[j] = x;
    }
    for (int i = 0; i < n; i++)
        level[i] = points_unscale(points, points->value[index[i]]);
}

/* Points drawn by their counts, or by kmeans++. */
static enum status start_drawn(const struct problem *problem, const struct points *points, int k,
                               int64_t *index, int *n)
{
    enum status status;
    struct sampler sampler;
    QO_TRY(sampler_init(&sampler, points->n));
    *n = draw_points(&sampler, points, problem->init == INIT_KMEANS_PP, problem->seed, k, index);
done:
    sampler_clear(&sampler);
    return status;
}

/*
 * The width of the stretch that a point stands for: twice the distance to its nearer neighbour. For
 * points at random that is the mean spacing, for dense cells the width of a cell; and a far
 * neighbour, behind a gap, does not count.
 */
static double point_width(const struct points *points, int64_t i)
{
    const double *value = points->value;
    if (i == 0)
        return value[1] - value[0];
    double below = value[i] - value[i - 1];
    if (i == points->n - 1)
        return below;
    double above = value[i + 1] - value[i];
    return 2 * (below < above ? below : above);
}

/*
 * The share of a level: the size t for which the weights, none counted above t, add up to k * t.
 * One point can hold one level, so a far or heavy one may not take the share of many. Raising a
 * bound on the weights that exceed it lowers t; it stands still after at most k rounds, mostly two
 * or three.
 */
static double level_share(const double *weight, int64_t n, int k)
{
    double share = INFINITY;
    for (int capped = -1, count = 0; count != capped;) {
        double sum = 0;
        capped = count;
        count = 0;
        for (int64_t i = 0; i < n; i++)
            sum += weight[i] <= share ? weight[i] : 0;
        share = sum / (k - capped);
        for (int64_t i = 0; i < n; i++)
            count += weight[i] > share;
        if (count >= k)
            break;
    }
    return share;
}

/* Levels at the quantiles (i + 1/2) / k of density^(1/3). */
static enum status start_quantile(const struct points *points, int k, int64_t *index, int *n)
{
    enum status status;
    double *weight = NULL, sum = 0;
    *n = 0;
    QO_TRY(memory_alloc_large("weights", points->n, sizeof *weight, &weight));
    for (int64_t i = 0; i < points->n; i++) {
        double w = point_width(points, i);
        weight[i] = root_cube(points->count[i] * (w * w));
    }
    double share = level_share(weight, points->n, k);
    for (int64_t i = 0; i < points->n && *n < k; i++) {
        sum += weight[i] < share ? weight[i] : share;
        if (sum > (*n + 0.5) * share)
            index[(*n)++] = i;
    }
done:
    memory_free(weight);
    return status;
}

enum status start_levels(const struct problem *problem, const struct points *points, double *level,
                         int *k)
{
    enum status status = QO_OK;
    int64_t index[SOLVER_MAX_LEVELS] = {0};
    int most = 1 << problem->bits, n = 0;
    if (points->n <= most) { /* a level for every point */
        for (n = 0; n < points->n; n++)
            index[n] = n;
    } else if (problem->init == INIT_QUANTILE) {
        QO_TRY(start_quantile(points, most, index, &n));
    } else {
        QO_TRY(start_drawn(problem, points, most, index, &n));
    }
    /* Draws end early, and quantiles coincide, where weights underflow: the error says where to go
     * on. */
    levels_at(points, index, n > 0 ? n : 1, level);
    *k = points_fill(points, level, n > 0 ? n : 1, most);
done:
    return status;
}
