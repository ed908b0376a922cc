/* SPDX-License-Identifier: Apache-2.0 */
#include "points.h"

#include <math.h>

#include "histogram_cell.h"
#include "memory.h"

/* Levels are added in batches of this part of those that lack, each where the error is, so that
 * many lost levels cost a few walks over the points and few lost ones go where they help most. */
#define FILL_PART 4

/* Adds a point; values ascend, and equal ones (-0.0 and +0.0, means that round alike) become one.
 */
static void points_add(struct points *points, const struct problem *problem, double value,
                       double count)
{
    if (!(value >= problem->lo && value <= problem->hi))
        return;
    double scaled = ldexp(value, points->scale);
    int64_t last = points->n - 1;
    if (last >= 0 && scaled <= points->value[last]) {
        points->count[last] += count;
        return;
    }
    points->value[points->n] = scaled;
    points->count[points->n++] = count;
}

/* A point a non-empty cell, or two where it holds several values and `twins` are asked for: halfway
 * from its mean to its ends. */
static void points_collect(struct points *points, const struct problem *problem, bool twins)
{
    const struct histogram *histogram = problem->histogram;
    const struct cell_map *map = &histogram->map;
    points->n = 0;
    for (int64_t i = 0; i < map->num_cells; i++) {
        const struct cell *cell = &histogram->cells[i];
        if (cell->count == 0)
            continue;
        double count = (double)cell->count, mean = histogram_mean(histogram, i);
        if (twins && !histogram_is_single(cell)) {
            double first = histogram_key_value(map->type, map->low[i]);
            double last = histogram_key_value(map->type, histogram_last_key(map, i));
            points_add(points, problem, 0.5 * first + 0.5 * mean, 0.5 * count);
            points_add(points, problem, 0.5 * mean + 0.5 * last, 0.5 * count);
        } else {
            points_add(points, problem, mean, count);
        }
    }
    if (points->n > 0)
        return;
    /* All elements lie in cells that a bound cuts. */
    points_add(points, problem, problem->min, 1);
    points_add(points, problem, problem->max, 1);
}

enum status points_init(struct points *points, const struct problem *problem)
{
    enum status status;
    int64_t n = 2, num_cells = problem->histogram->map.num_cells;
    int exponent;
    *points = (struct points){0};
    for (int64_t i = 0; i < num_cells; i++)
        n += problem->histogram->cells[i].count > 0;
    n *= 2; /* room for twins; pages that are not touched cost nothing */
    QO_TRY(memory_alloc_large("points", n, sizeof *points->value, &points->value));
    QO_TRY(memory_alloc_large("point counts", n, sizeof *points->count, &points->count));
    (void)frexp(fmax(fabs(problem->min), fabs(problem->max)), &exponent);
    points->scale = POINTS_TOP - exponent;
    points_collect(points, problem, false);
    if (points->n < 1 << problem->bits)
        points_collect(points, problem, true);
done:
    return status;
}

void points_clear(struct points *points)
{
    memory_free(points->value);
    memory_free(points->count);
    *points = (struct points){0};
}

double points_unscale(const struct points *points, double value)
{
    return ldexp(value, -points->scale);
}

/* What may be won by a second level among the points nearest to one. */
struct split {
    double error; /* of the points, in scaled units */
    double level; /* the new level, scaled */
};

/* Sums over the points of a level: [0] those below it, [1] those above it. */
struct sides {
    double count[2], distance[2];
    double error;
};

/* Adds a point at a signed distance from its level. */
static void sides_add(struct sides *sides, double distance, double count)
{
    int above = distance > 0;
    sides->error += count * (distance * distance);
    sides->count[above] += count;
    sides->distance[above] += count * distance;
}

/* The mean of the points above the level, or of those below it if there are none above. */
static double sides_mean(const struct sides *sides, double level)
{
    int side = sides->distance[1] > 0;
    return sides->count[side] > 0 ? level + sides->distance[side] / sides->count[side] : level;
}

/* The split of each of level[k] (scaled) that lowers the error; returns their number. A point on a
 * cut belongs to the lower level, as everywhere. */
static int list_splits(const struct points *points, const double *level, int k, struct split *split)
{
    int n = 0;
    int64_t at = 0;
    for (int i = 0; i < k; i++) {
        double cut = i + 1 < k ? 0.5 * level[i] + 0.5 * level[i + 1] : INFINITY;
        struct sides sides = {0};
        for (; at < points->n && points->value[at] <= cut; at++)
            sides_add(&sides, points->value[at] - level[i], points->count[at]);
        double middle = sides_mean(&sides, level[i]);
        bool below = i > 0 && middle <= level[i - 1], above = i + 1 < k && middle >= level[i + 1];
        if (sides.error > 0 && middle != level[i] && !below && !above)
            split[n++] = (struct split){.error = sides.error, .level = middle};
    }
    return n;
}

/* Moves the largest error to the front; of equal ones the first. */
static void bring_largest(struct split *split, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++) {
        if (split[i].error > split[best].error)
            best = i;
    }
    struct split largest = split[best];
    split[best] = split[0];
    split[0] = largest;
}

/* Inserts a level that is not yet there; returns the new k. */
static int insert_level(double *level, int k, double x)
{
    int i = k;
    for (; i > 0 && level[i - 1] >= x; i--) {
        if (level[i - 1] == x)
            return k;
    }
    memmove(level + i + 1, level + i, (size_t)(k - i) * sizeof *level);
    level[i] = x;
    return k + 1;
}

int points_fill(const struct points *points, double *level, int k, int most)
{
    double scaled[SOLVER_MAX_LEVELS];
    struct split split[SOLVER_MAX_LEVELS];
    for (int added = 1; k < most && added > 0;) {
        for (int i = 0; i < k; i++)
            scaled[i] = ldexp(level[i], points->scale);
        /* Each split belongs to another level, so a batch is independent of its order. */
        int n = list_splits(points, scaled, k, split), take = (most - k) / FILL_PART;
        if (take < 1)
            take = 1;
        added = 0;
        for (int i = 0; i < n && i < take; i++) {
            bring_largest(split + i, n - i);
            int more = insert_level(level, k, points_unscale(points, split[i].level));
            added += more - k;
            k = more;
        }
    }
    return k;
}
