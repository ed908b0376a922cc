/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The best scale of a codebook: levels s * c for its values c. For s >= 0 the error is that of an
 * even grid with the values c in place of the integers q, so the search of grid_search.c finds the
 * best s, with its proof; for s < 0 it is that of the mirrored data. Of two scales that are as good
 * the positive one is taken; where the values lie symmetric there is no need to look at the other.
 *
 * Where it lies: every best scale is the regression of x on its c, a mean of x / c over the points
 * with c != 0. Terms below 0 only lower it, so s is at most the largest x / c of one sign: the
 * largest x over the smallest c > 0, or the same below 0.
 */
#include <float.h>
#include <math.h>

#include "codebook.h"
#include "grid_search.h"
#include "solver_table.h"

/*
 * Steps of a loop after which a search gives up its proof: some 30 ms on a core of 2024. Normal
 * numbers take 0.1 ms of them for 16 values, and 3 ms for 256.
 */
#define WORK 1e7

/* Scales are searched up to so many ranges of the data over the largest value: beyond it only
 * values that are nothing beside the others could meet a point. */
#define MOST_REACH 0x1p200

/* A solver at work. */
struct codebook_work {
    const struct problem *problem;
    struct points points;
    struct grid_table table; /* the codebook, its largest value in [1/2, 1) */
    int exponent;            /* the codebook is the table times 2^exponent */
};

/* The best scale of one sign. */
struct scale {
    double step; /* of the table, for the values of the search */
    double error;
    bool is_mirrored;
};

static bool codebook_applicable(const struct problem *problem)
{
    return problem->kind == LEVELS_CODEBOOK;
}

static void fill_table(struct codebook_work *work)
{
    const struct codebook *book = work->problem->codebook;
    struct grid_table *table = &work->table;
    table->k = book->k;
    (void)frexp(fmax(fabs(book->value[0]), fabs(book->value[book->k - 1])), &work->exponent);
    for (int i = 0; i < book->k; i++) {
        table->value[i] = ldexp(book->value[i], -work->exponent);
        table->square[i] = wide_product(table->value[i], table->value[i]);
    }
    for (int i = 0; i + 1 < book->k; i++)
        table->middle[i] = 0.5 * table->value[i] + 0.5 * table->value[i + 1];
}

static bool is_symmetric(const struct grid_table *table)
{
    for (int i = 0; i < table->k; i++) {
        if (table->value[i] != -table->value[table->k - 1 - i])
            return false;
    }
    return true;
}

/* x / c, as an end of the search. */
static double reach(double x, double c)
{
    return x > 0 ? fmin(x / c, MOST_REACH) : 0;
}

/* Where to search; starts where the outermost values of the table meet those of the data. */
static struct grid_task task_of(const struct grid_error *error)
{
    const struct grid_table *table = error->table;
    double above = error->value[error->n - 1], below = -error->value[0], most = 0;
    for (int i = 0; i < table->k; i++) {
        double c = table->value[i];
        if (c != 0)
            most = fmax(most, c > 0 ? reach(above, c) : reach(below, -c));
    }
    double outer = 0, first = table->value[0], last = table->value[table->k - 1];
    if (last > 0)
        outer = reach(above, last);
    if (first < 0)
        outer = fmax(outer, reach(below, -first));
    return (struct grid_task){.corner = {{0, 0}, {most, 0}}, .start = {outer, 0}, .work = WORK};
}

/* Local. The best scale of one sign. */
static enum status find_scale(const struct codebook_work *work, bool is_mirrored,
                              struct scale *scale)
{
    enum status status;
    struct grid_error error;
    struct grid_found found;
    QO_TRY(grid_error_init(&error, &work->points, 0, is_mirrored, work->problem->bits));
    error.table = &work->table;
    struct grid_task task = task_of(&error);
    QO_TRY(grid_search(&error, &task, &found));
    *scale = (struct scale){found.grid.step, found.error, is_mirrored};
done:
    grid_error_clear(&error);
    return status;
}

/* A level: value i of the codebook times the scale. Where that has few digits or none, the product
 * is taken where it has all, and is then unscaled. A level beyond the largest number is that. */
static double level_of(const struct codebook_work *work, double step, double scale, int i)
{
    double level = isnormal(scale)
                       ? scale * work->problem->codebook->value[i]
                       : points_unscale(&work->points, step * work->table.value[i] * GRID_UNIT);
    return fmax(fmin(level, DBL_MAX), -DBL_MAX) + 0.0; /* no -0.0 */
}

/* Levels that coincide after rounding are one. */
static void fill_levels(const struct codebook_work *work, const struct scale *best,
                        struct solution *solution)
{
    int k = work->table.k;
    double step = best->is_mirrored ? -best->step : best->step;
    double scale = ldexp(points_unscale(&work->points, step * GRID_UNIT), -work->exponent) + 0.0;
    solution->scale = scale;
    solution->k = 0;
    for (int i = 0; i < k; i++) {
        double level = level_of(work, step, scale, best->is_mirrored ? k - 1 - i : i);
        if (solution->k == 0 || level > solution->level[solution->k - 1])
            solution->level[solution->k++] = level;
    }
}

/* Local. Without elements the single level 0, whose scale is 0. */
static enum status codebook_solve(const struct problem *problem, struct solution *solution)
{
    enum status status = QO_OK;
    struct codebook_work work = {.problem = problem};
    struct scale best, mirrored;
    *solution = (struct solution){.k = 1, .converged = true};
    if (!(problem->min <= problem->max))
        return QO_OK;
    fill_table(&work);
    QO_TRY(points_init(&work.points, problem));
    QO_TRY(find_scale(&work, false, &best));
    if (!is_symmetric(&work.table)) {
        QO_TRY(find_scale(&work, true, &mirrored));
        if (mirrored.error < best.error * (1 - GRID_SEARCH_GAP))
            best = mirrored;
    }
    fill_levels(&work, &best, solution);
done:
    points_clear(&work.points);
    return status;
}

const struct solver solver_codebook = {
    .name = "optimal", .applicable = codebook_applicable, .solve = codebook_solve};
