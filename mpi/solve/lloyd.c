/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lloyd's method (Lloyd 1957, Max 1960): every element at its nearest level, every level to the
 * mean of its elements, again and again. Each step lowers the squared error, so it ends; where it
 * ends depends on the start. Cost: one look at the data a step, and O(levels) beside it.
 *
 * A level without elements is lost, as is one that coincides with another. It is put where the
 * error of the histogram's points is largest. Nothing else is needed to end: a step, with lost
 * levels put back or not, counts only if it lowers the error, so no state comes twice; and a step
 * with an additional level that does not lower it would not do so without.
 */
#include <math.h>

#include "memory.h"
#include "optimal.h"
#include "points.h"
#include "solver_table.h"
#include "start.h"

/* Levels and what a look at the data for them told. */
struct state {
    int k;
    double level[SOLVER_MAX_LEVELS];
    struct level_sums sums;
};

/* A solver at work. */
struct lloyd {
    const struct problem *problem;
    struct points points;
    struct state *now, *next; /* next: what the step may lead to */
    int64_t capacity;         /* of the solution's steps */
};

/* The optimal start is the optimum that somebody has found. */
static bool lloyd_applicable(const struct problem *problem)
{
    return problem->kind == LEVELS_FREE && (problem->init != INIT_OPTIMAL || problem->optimum);
}

/* A rank whose memory ran out must not leave the others alone in their next look. */
static enum status agree(const struct problem *problem, enum status status)
{
    return problem->look.agree ? problem->look.agree(problem->look.context, status) : status;
}

/* Collective. Looks at the data for the state's levels. */
static enum status state_look(struct state *state, const struct problem *problem)
{
    return problem->look.assign(problem->look.context, state->level, state->k, &state->sums);
}

/* Sets next's levels to the means of now's elements, and puts lost levels where the error is.
 * Returns whether any was put back. */
static bool state_move(const struct lloyd *lloyd)
{
    const struct state *now = lloyd->now;
    struct state *next = lloyd->next;
    int k = 0;
    for (int i = 0; i < now->k; i++) {
        double mean = now->sums.mean[i];
        if (now->sums.count[i] > 0 && (k == 0 || mean > next->level[k - 1]))
            next->level[k++] = mean;
    }
    next->k = k > 0 ? points_fill(&lloyd->points, next->level, k, 1 << lloyd->problem->bits) : 0;
    return next->k > k;
}

/* Half the largest move of a level between two states: the whole one may overflow. All of the
 * spread if their numbers differ. */
static double half_move(const struct state *a, const struct state *b, double half_spread)
{
    double largest = 0;
    if (a->k != b->k)
        return half_spread;
    for (int i = 0; i < a->k; i++)
        largest = fmax(largest, fabs(0.5 * a->level[i] - 0.5 * b->level[i]));
    return largest;
}

/* Doubles the room for steps: at the same step on every rank, so all can agree on it. */
static enum status grow_history(struct lloyd *lloyd, struct solution *solution)
{
    struct step *steps = NULL;
    int64_t capacity = lloyd->capacity ? 2 * lloyd->capacity : 64;
    enum status status = memory_alloc("steps", capacity, sizeof *steps, &steps);
    if (status == QO_OK) {
        if (solution->steps)
            memcpy(steps, solution->steps, (size_t)solution->num_steps * sizeof *steps);
        memory_free(solution->steps);
        solution->steps = steps;
        lloyd->capacity = capacity;
    }
    return agree(lloyd->problem, status);
}

/* Adds the state to the history. */
static enum status lloyd_record(struct lloyd *lloyd, struct solution *solution)
{
    enum status status = QO_OK;
    if (solution->num_steps == lloyd->capacity)
        QO_TRY(grow_history(lloyd, solution));
    double mse = lloyd->now->sums.error / (double)lloyd->problem->num_elements;
    solution->steps[solution->num_steps] =
        (struct step){.iteration = solution->num_steps, .mse = mse};
    solution->num_steps++;
done:
    return status;
}

/*
 * Whether a step to `next` was one more of ever smaller ones: no level moved beyond the tolerance,
 * nor did the error fall by more than that part of it. The second matters where the spread says
 * little: a fill of 1e20 spreads the levels so far that no move among ordinary numbers counts.
 */
static bool is_settled(const struct lloyd *lloyd, const struct state *next, double half_spread)
{
    double tolerance = lloyd->problem->tolerance, error = lloyd->now->sums.error;
    bool moved = half_move(lloyd->now, next, half_spread) > tolerance * half_spread;
    return !moved && !(error - next->sums.error > tolerance * error);
}

/*
 * One step. *done is set when there is nothing more to do: no error, no move, a step that does not
 * lower the error, or one that settles. An error beyond the largest number cannot be seen to fall;
 * then moves alone decide, and max_iterations.
 */
static enum status lloyd_step(struct lloyd *lloyd, struct solution *solution, bool *done)
{
    enum status status = QO_OK;
    struct state *now = lloyd->now, *next = lloyd->next;
    *done = true;
    if (now->sums.error == 0)
        goto done;
    bool put_back = state_move(lloyd);
    double half_spread = 0.5 * now->level[now->k - 1] - 0.5 * now->level[0];
    double move = half_move(now, next, half_spread);
    if (next->k == 0 || (next->k == now->k && move == 0))
        goto done;
    /* From here on next is seen: it becomes the state, or is forgotten. */
    QO_TRY(state_look(next, lloyd->problem));
    if (isfinite(now->sums.error) && !(next->sums.error < now->sums.error))
        goto done;
    *done = !put_back && is_settled(lloyd, next, half_spread);
    solution->steps[solution->num_steps - 1].max_move = 2 * move;
    solution->iterations++;
    lloyd->now = next;
    lloyd->next = now;
    QO_TRY(lloyd_record(lloyd, solution));
done:
    solution->converged = *done;
    return status;
}

/* The steps that follow polish the optimum: they see the data where it saw cells. */
static void start_at_optimum(const struct problem *problem, struct state *state)
{
    state->k = problem->optimum->k;
    memcpy(state->level, problem->optimum->level, (size_t)state->k * sizeof *state->level);
}

/* What can fail on one rank alone: states, points and start levels. */
static enum status lloyd_prepare(struct lloyd *lloyd, struct state **states)
{
    enum status status;
    const struct problem *problem = lloyd->problem;
    QO_TRY(memory_alloc("states", 2, sizeof **states, states));
    lloyd->now = &(*states)[0];
    lloyd->next = &(*states)[1];
    QO_TRY(points_init(&lloyd->points, problem));
    if (problem->init == INIT_OPTIMAL)
        start_at_optimum(problem, lloyd->now);
    else
        QO_TRY(start_levels(problem, &lloyd->points, lloyd->now->level, &lloyd->now->k));
done:
    return agree(problem, status);
}

/* Whether the bounds leave no element: the cells cannot tell where a bound cuts one. */
static bool is_empty(const struct state *state)
{
    int64_t count = 0;
    for (int i = 0; i < state->k; i++)
        count += state->sums.count[i];
    return count == 0;
}

/* Starts and steps; the levels of the last state have the lowest error of all. */
static enum status lloyd_run(struct lloyd *lloyd, struct solution *solution)
{
    enum status status;
    const struct problem *problem = lloyd->problem;
    struct state *states = NULL;
    QO_TRY(lloyd_prepare(lloyd, &states));
    QO_TRY(state_look(lloyd->now, problem));
    QO_TRY(lloyd_record(lloyd, solution));
    bool done = is_empty(lloyd->now);
    if (done) /* all are outliers: the level that stands for none */
        *lloyd->now = (struct state){.k = 1};
    solution->converged = done || lloyd->now->sums.error == 0;
    while (!done && solution->iterations < problem->max_iterations)
        QO_TRY(lloyd_step(lloyd, solution, &done));
    solution->k = lloyd->now->k;
    memcpy(solution->level, lloyd->now->level, (size_t)solution->k * sizeof(double));
done:
    points_clear(&lloyd->points);
    memory_free(states);
    return status;
}

/* No elements, or no more distinct values than levels: these are the levels, and rmse 0 needs no
 * proof. */
static bool solve_distinct(const struct problem *problem, struct solution *solution)
{
    int count = 0;
    if (problem->min <= problem->max)
        histogram_distinct(problem->histogram, problem->lo, problem->hi, 1 << problem->bits,
                           solution->level, &count);
    else
        solution->level[count++] = 0;
    if (count <= 0)
        return false;
    solution->k = count;
    solution->converged = true;
    return true;
}

/* Only the hard case has points, states and a history. */
static enum status lloyd_solve(const struct problem *problem, struct solution *solution)
{
    struct lloyd lloyd = {.problem = problem};
    *solution = (struct solution){0};
    return solve_distinct(problem, solution) ? QO_OK : lloyd_run(&lloyd, solution);
}

const struct solver solver_lloyd = {
    .name = "lloyd", .applicable = lloyd_applicable, .solve = lloyd_solve};
