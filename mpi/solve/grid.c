/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The best even grid: 2^bits equally spaced levels with both ends free, or the multiples s * q of
 * one scale, q from 1 - h to h = 2^(bits-1) (Tang et al. 2024, arXiv 2403.02775). The data are the
 * histogram's points. Here the search (grid_search.c) is told where the best grid must lie, and
 * what it finds becomes levels.
 *
 * Every best scale is the regression of x on its q, the sum of n q x over that of n q^2: a mean of
 * x / q over the points with q != 0, which has the sign of x. So s <= max |x|, or max x where there
 * is no negative q. At the other end s = 0 puts all levels on 0.
 *
 * If both ends are free, take the best grid whose lowest level is in use: where it is not, moving
 * all levels up by one loses nothing. Its step is a mean of (x - y) / (q(x) - q(y)) over pairs of
 * points with weights >= 0, so 0 <= s <= max - min. It passes through the means of x and q, so the
 * mean of x lies between the lowest and the highest level. And the smallest point belongs to the
 * lowest level, so that is at least min - s/2. These lines bound a quadrilateral.
 */
#include <float.h>
#include <math.h>

#include "grid_level.h"
#include "grid_search.h"
#include "solver_table.h"

/*
 * Steps of a loop after which a search gives up its proof: 3 ms and 50 ms on a core of 2024. One
 * scale takes a tenth of that. Two parameters are proven up to 7 bits, and at 8 bits for vectors of
 * a few thousand distinct values; for large ones the proof would take up to four times as long.
 * There the best grid found is used, and that no other is better is likely (such longer searches
 * found nothing better) but not proven.
 */
#define WORK_SCALED 1e6
#define WORK_EVEN   5e6

/* Rounding errors of an end, as a part of the range. */
#define SNAP 0x1p-46

/* A solver at work. */
struct grid_work {
    const struct problem *problem;
    struct points points;
    struct grid_error error;
    double reference; /* of the values in `error`, scaled */
    bool mirrored;
    int half;
};

/* The best grid, and the q of the lowest and the highest of its levels that have points. */
struct best {
    struct grid grid;
    int first, last;
};

static bool grid_applicable(const struct problem *problem)
{
    return problem->kind == LEVELS_SCALED ||
           (problem->kind == LEVELS_EVEN && problem->range == RANGE_OPTIMAL);
}

static enum status best_find(struct best *best, const struct grid_error *error,
                             const struct grid_task *task)
{
    enum status status;
    struct grid_found found;
    QO_TRY(grid_search(error, task, &found));
    best->grid = found.grid;
    best->first = grid_error_nearest(error, found.grid, error->value[0]);
    best->last = grid_error_nearest(error, found.grid, error->value[error->n - 1]);
done:
    return status;
}

/* The vector's number for a value of the search; one beyond the largest number is that. */
static double vector_value(const struct grid_work *work, double value)
{
    double part = work->mirrored ? -value * GRID_UNIT : value * GRID_UNIT;
    double unscaled = points_unscale(&work->points, work->reference + part);
    return fmax(fmin(unscaled, DBL_MAX), -DBL_MAX) + 0.0; /* no -0.0 */
}

/* Local. Levels in use stay, bit for bit, if the scale is divided by a power of two that keeps them
 * in the grid: then the others lie between them and not far beyond. */
static void scaled_fill(const struct grid_work *work, const struct best *best,
                        struct solution *solution)
{
    int fine = 1, first = best->first, last = best->last;
    while ((first < 0 || last > 0) && 2 * fine * last <= work->half &&
           2 * fine * first >= 1 - work->half)
        fine *= 2;
    double scale = best->grid.step / fine;
    solution->k = 0;
    for (int q = 1 - work->half; q <= work->half; q++) {
        double level = vector_value(work, scale * q);
        if (solution->k == 0 || level > solution->level[solution->k - 1])
            solution->level[solution->k++] = level;
    }
}

/* Local. LEVELS_SCALED. */
static enum status scaled_solve(struct grid_work *work, struct solution *solution)
{
    enum status status;
    struct best best = {{0, 0}, 0, 0};
    QO_TRY(grid_error_init(&work->error, &work->points, 0, false, work->problem->bits));
    double below = fmax(-work->error.value[0], 0);
    double above = fmax(work->error.value[work->error.n - 1], 0);
    double reach = above / work->half;
    if (work->half == 1)
        below = 0; /* there is no negative level */
    else
        reach = fmax(reach, below / (work->half - 1));
    struct grid_task task = {
        .corner = {{0, 0}, {fmax(below, above), 0}}, .start = {reach, 0}, .work = WORK_SCALED};
    if (reach > 0)
        QO_TRY(best_find(&best, &work->error, &task));
    scaled_fill(work, &best, solution);
done:
    return status;
}

/* An end that is the extreme value but for rounding is that value: two values, or evenly spaced
 * ones, then have no error at all. */
static double snap(double end, double min, double max, double extreme)
{
    return fabs(end - extreme) <= SNAP * (max - min) ? extreme : end;
}

/*
 * Local. Levels that no point needs are spent between those in use, the rest on both sides. Where
 * they would pass the largest number, only the levels from the first to the last in use are kept.
 */
static void even_fill(const struct grid_work *work, const struct best *best,
                      struct solution *solution)
{
    int k = 2 * work->half, used = best->last - best->first;
    int fine = used > 0 ? (k - 1) / used : 1;
    int spare = used > 0 ? k - 1 - fine * used : 0;
    double step = best->grid.step / fine;
    double first = best->grid.centre + best->grid.step * best->first;
    double lo = first - spare / 2 * step;
    double a = vector_value(work, lo), b = vector_value(work, lo + step * (k - 1));
    if (fmax(fabs(a), fabs(b)) == DBL_MAX) {
        k = fine * used + 1;
        a = vector_value(work, first);
        b = vector_value(work, first + step * (k - 1));
    }
    double min = points_unscale(&work->points, work->points.value[0]);
    double max = points_unscale(&work->points, work->points.value[work->points.n - 1]);
    double lo_end = snap(fmin(a, b), min, max, min), hi_end = snap(fmax(a, b), min, max, max);
    grid_level_fill(solution, lo_end, hi_end, k);
}

/* The mean of the points, to the last bit or nearly. */
static double points_mean(const struct points *points)
{
    struct wide sum = {0, 0};
    double count = 0;
    for (int64_t i = 0; i < points->n; i++) {
        sum = wide_add(sum, wide_product(points->count[i], points->value[i]));
        count += points->count[i];
    }
    return sum.high / count;
}

/* Where both parameters of the best grid lie; values are against the mean. */
static struct grid_task even_task(const struct grid_work *work)
{
    double min = work->error.value[0], max = work->error.value[work->error.n - 1];
    double length = max - min, step = length / (2 * work->half - 1);
    /* The line of the highest level on the mean meets that of the lowest one at min - s/2. */
    double meet = -min / (2 * work->half - 1.5);
    double to_centre = work->half - 1;
    return (struct grid_task){.free = true,
                              .corner = {{0, 0},
                                         {meet, -work->half * meet},
                                         {length, min - 0.5 * length + to_centre * length},
                                         {length, to_centre * length}},
                              .start = {step, min + to_centre * step},
                              .work = WORK_EVEN};
}

/* Local. LEVELS_EVEN with both ends free. */
static enum status even_solve(struct grid_work *work, struct solution *solution)
{
    enum status status;
    const struct points *points = &work->points;
    struct best best;
    if (points->n == 1) {
        solution->k = 1;
        solution->level[0] = points_unscale(points, points->value[0]) + 0.0;
        return QO_OK;
    }
    double mean = points_mean(points), below = mean - points->value[0];
    work->reference = mean;
    /* The longer side is above, so that mirrored data have the mirrored levels. */
    work->mirrored = below > points->value[points->n - 1] - mean;
    QO_TRY(grid_error_init(&work->error, points, mean, work->mirrored, work->problem->bits));
    struct grid_task task = even_task(work);
    QO_TRY(best_find(&best, &work->error, &task));
    even_fill(work, &best, solution);
done:
    return status;
}

/* Local. Without elements the single level 0. */
static enum status grid_solve(const struct problem *problem, struct solution *solution)
{
    enum status status = QO_OK;
    struct grid_work work = {.problem = problem, .half = 1 << problem->bits >> 1};
    *solution = (struct solution){.k = 1, .converged = true};
    if (!(problem->min <= problem->max))
        return QO_OK;
    QO_TRY(points_init(&work.points, problem));
    if (problem->kind == LEVELS_SCALED)
        QO_TRY(scaled_solve(&work, solution));
    else
        QO_TRY(even_solve(&work, solution));
done:
    grid_error_clear(&work.error);
    points_clear(&work.points);
    return status;
}

const struct solver solver_grid = {
    .name = "optimal", .applicable = grid_applicable, .solve = grid_solve};
