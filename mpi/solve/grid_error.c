/* SPDX-License-Identifier: Apache-2.0 */
#include "grid_error.h"

#include <math.h>

#include "memory.h"

/* Buckets a point: most then hold at most one, and a cut is found in one or two steps. */
#define BUCKETS_PER_POINT 2

/* Points that a search ends with by comparing all. */
#define NEAR 4

/* More would not stay in a level 2 cache beside the points. */
#define MOST_BUCKETS 131072

/* Steps of a loop that a look costs beside those over cuts or points: some sixty operations on wide
 * numbers. */
#define SEE_WORK 8

/* And those for a level of a table. */
#define TABLE_WORK 8

/* Does not decrease where the value does not: a search inside one bucket finds every cut. */
static int64_t bucket_of(const struct grid_error *error, double value)
{
    double at = (value - error->value[0]) * error->per_value;
    double most = (double)(error->num_buckets - 1);
    at = at > 0 ? at : 0; /* not fmax, fmin: calls, here where the time goes */
    return (int64_t)(at < most ? at : most);
}

static void fill_buckets(struct grid_error *error)
{
    double length = error->value[error->n - 1] - error->value[0];
    error->per_value = length > 0 ? (double)error->num_buckets / length : 0;
    int64_t b = 0;
    for (int64_t i = 0; i < error->n; i++) {
        for (int64_t own = bucket_of(error, error->value[i]); b <= own; b++)
            error->bucket[b] = (int32_t)i;
    }
    for (; b <= error->num_buckets; b++)
        error->bucket[b] = (int32_t)error->n;
}

/* Values against the reference, with the sums before each. */
static void fill_points(struct grid_error *error, const struct points *points, double reference,
                        bool mirrored)
{
    int64_t n = error->n;
    double count = 0, unit = mirrored ? -1 / GRID_UNIT : 1 / GRID_UNIT;
    struct wide sum = {0, 0}, square = {0, 0};
    for (int64_t i = 0; i < n; i++) {
        int64_t from = mirrored ? n - 1 - i : i;
        double weight = points->count[from], x = (points->value[from] - reference) * unit;
        error->value[i] = x;
        error->point[i] = (struct grid_point){count, sum};
        struct wide product = wide_product(weight, x);
        count += weight;
        sum = wide_add(sum, product);
        square = wide_add(square, wide_times(product, x));
    }
    error->point[n] = (struct grid_point){count, sum};
    for (int i = 0; i < NEAR; i++)
        error->value[n + i] = INFINITY;
    error->square = square;
    error->spread = square.high - sum.high / count * sum.high;
}

enum status grid_error_init(struct grid_error *error, const struct points *points, double reference,
                            bool mirrored, int bits)
{
    enum status status;
    int64_t n = points->n, buckets = BUCKETS_PER_POINT * n;
    *error = (struct grid_error){.n = n, .half = 1 << bits >> 1};
    error->num_buckets = buckets < MOST_BUCKETS ? buckets : MOST_BUCKETS;
    QO_TRY(memory_alloc_large("grid values", n + NEAR, sizeof *error->value, &error->value));
    QO_TRY(memory_alloc_large("grid points", n + 1, sizeof *error->point, &error->point));
    QO_TRY(memory_alloc_large("grid buckets", error->num_buckets + 1, sizeof *error->bucket,
                              &error->bucket));
    fill_points(error, points, reference, mirrored);
    fill_buckets(error);
done:
    return status;
}

void grid_error_clear(struct grid_error *error)
{
    memory_free(error->value);
    memory_free(error->point);
    memory_free(error->bucket);
    *error = (struct grid_error){0};
}

int grid_error_nearest(const struct grid_error *error, struct grid grid, double value)
{
    double least = 1 - error->half, most = error->half, distance = value - grid.centre;
    if (grid.step == 0)
        return distance > 0 ? error->half : 1 - error->half;
    return (int)fmin(fmax(ceil(distance / grid.step - 0.5), least), most);
}

/* The first point above a cut, within a bucket's; one on it belongs to the lower level. */
static int32_t first_above(const struct grid_error *error, int64_t first, int64_t last, double cut)
{
    while (last - first > NEAR) {
        int64_t middle = (first + last) >> 1;
        if (error->value[middle] <= cut)
            first = middle + 1;
        else
            last = middle;
    }
    /* Those behind the bucket are above the cut: no branch that could be mispredicted. */
    const double *value = &error->value[first];
    for (int i = 0; i < NEAR; i++)
        first += value[i] <= cut;
    return (int32_t)first;
}

/* The first points above cut[n]. Two loops, so that many loads from tables that the caches cannot
 * hold are on their way at once. */
static inline void find_above(const struct grid_error *error, const double *cut, int n,
                              int32_t *index)
{
    for (int i = 0; i < n; i++)
        index[i] = (int32_t)bucket_of(error, cut[i]);
    for (int i = 0; i < n; i++) {
        const int32_t *bucket = &error->bucket[index[i]];
        index[i] = first_above(error, bucket[0], bucket[1], cut[i]);
    }
}

/* Each cut lifts the points above it by one q; those outside the points lift all or none. */
static void see_cuts(const struct grid_error *error, struct grid_seen *seen)
{
    int32_t index[SOLVER_MAX_LEVELS];
    double cut[SOLVER_MAX_LEVELS];
    int first = grid_error_nearest(error, seen->grid, error->value[0]);
    int last = grid_error_nearest(error, seen->grid, error->value[error->n - 1]);
    for (int i = 0; i < last - first; i++)
        cut[i] = seen->grid.centre + seen->grid.step * (first + i + 0.5);
    find_above(error, cut, last - first, index);
    const struct grid_point *all = &error->point[error->n];
    double q = first * all->count, qq = first * q;
    double high = 0, low = 0; /* sum of the sums below the cuts */
    for (int i = 0; i < last - first; i++) {
        const struct grid_point *point = &error->point[index[i]];
        double above = all->count - point->count;
        struct wide sum = wide_sum(high, point->sum.high);
        high = sum.high;
        low += sum.low + point->sum.low;
        q += above;
        qq += (2 * (first + i) + 1) * above;
    }
    seen->q = q;
    seen->qq = (struct wide){qq, 0};
    /* first * all + sum over the cuts of (all - below) */
    seen->qx = wide_less(wide_times(all->sum, last), wide_sum(high, low));
    seen->work = last - first;
}

static void see_points(const struct grid_error *error, struct grid_seen *seen)
{
    seen->q = 0;
    seen->qq = seen->qx = (struct wide){0, 0};
    seen->work = (double)error->n;
    for (int64_t i = 0; i < error->n; i++) {
        const struct grid_point *point = &error->point[i];
        double x = error->value[i], q = grid_error_nearest(error, seen->grid, x);
        double nq = q * (point[1].count - point->count);
        seen->q += nq;
        seen->qq.high += q * nq;
        seen->qx = wide_add(seen->qx, wide_product(nq, x));
    }
}

/* Which value of a table is nearest. */
static int nearest_value(const struct grid_table *table, double step, double x)
{
    int first = 0, last = table->k - 1;
    while (first < last) {
        int middle = (first + last) >> 1;
        if (x > step * table->middle[middle])
            first = middle + 1;
        else
            last = middle;
    }
    return first;
}

/* A sum a level, as the values of a table have different distances. Their squares are wide: where
 * the points lie on levels, the error is a small difference here too. */
static void see_table(const struct grid_error *error, struct grid_seen *seen)
{
    int32_t index[SOLVER_MAX_LEVELS];
    double cut[SOLVER_MAX_LEVELS], step = seen->grid.step;
    const struct grid_table *table = error->table;
    int first = nearest_value(table, step, error->value[0]);
    int last = nearest_value(table, step, error->value[error->n - 1]);
    for (int i = 0; i < last - first; i++)
        cut[i] = step * table->middle[first + i];
    find_above(error, cut, last - first, index);
    index[last - first] = (int32_t)error->n;
    seen->q = 0;
    seen->qq = seen->qx = (struct wide){0, 0};
    seen->work = TABLE_WORK * (last - first + 1);
    const struct grid_point *begin = &error->point[0];
    for (int i = 0; i <= last - first; i++) {
        const struct grid_point *end = &error->point[index[i]];
        double count = end->count - begin->count, value = table->value[first + i];
        struct wide sum = wide_less(end->sum, begin->sum);
        seen->qq = wide_add(seen->qq, wide_times(table->square[first + i], count));
        seen->qx = wide_add(seen->qx, wide_times(sum, value));
        begin = end;
    }
}

/* Sets *rest and returns the error, for a grid that need not be the one seen. */
static double sum_up(const struct grid_error *error, const struct grid_seen *seen, struct grid grid,
                     struct wide *rest)
{
    const struct grid_point *all = &error->point[error->n];
    double a = grid.centre;
    struct wide twice = {2 * all->sum.high, 2 * all->sum.low};
    struct wide base = wide_times(wide_less(wide_product(all->count, a), twice), a);
    struct wide qx = {2 * seen->qx.high, 2 * seen->qx.low};
    struct wide levels = wide_add(wide_times(seen->qq, grid.step), wide_product(2 * a, seen->q));
    *rest = wide_less(levels, qx);
    struct wide sum = wide_add(wide_add(error->square, base), wide_times(*rest, grid.step));
    return fmax(sum.high, 0);
}

void grid_error_see(const struct grid_error *error, struct grid grid, struct grid_seen *seen)
{
    seen->grid = grid;
    if (error->table)
        see_table(error, seen);
    else if (error->n < 2 * error->half)
        see_points(error, seen);
    else
        see_cuts(error, seen);
    seen->work += SEE_WORK;
    seen->error = sum_up(error, seen, grid, &seen->rest);
}

double grid_error_kept(const struct grid_error *error, const struct grid_seen *seen,
                       struct grid grid)
{
    struct wide rest;
    return sum_up(error, seen, grid, &rest);
}

struct grid grid_error_fit(const struct grid_error *error, const struct grid_seen *seen, bool free)
{
    const struct grid_point *all = &error->point[error->n];
    if (!free) {
        /* A table without a value on one side of 0 may fit best with none. */
        bool fits = seen->qq.high > 0 && seen->qx.high > 0;
        return (struct grid){fits ? seen->qx.high / seen->qq.high : 0, seen->grid.centre};
    }
    /* n^2 times variance of q and covariance of q and x: small differences where few points have
     * another q than the rest. */
    struct wide variance =
        wide_less(wide_times(seen->qq, all->count), wide_product(seen->q, seen->q));
    struct wide covariance =
        wide_less(wide_times(seen->qx, all->count), wide_times(all->sum, seen->q));
    if (!(variance.high > 0))
        return seen->grid;
    double step = covariance.high / variance.high;
    return (struct grid){step, (all->sum.high - step * seen->q) / all->count};
}
