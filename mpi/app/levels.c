/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "step.h"
#include "trip.h"

/* What levels an approach asks for. */
static enum levels_kind kind_of(enum approach approach)
{
    return approach == APPROACH_UNIFORM             ? LEVELS_EVEN
           : approach == APPROACH_EASYQUANT_UNIFORM ? LEVELS_SCALED
           : approach == APPROACH_CODEBOOK          ? LEVELS_CODEBOOK
                                                    : LEVELS_FREE;
}

/* Grids and codebooks have a solver each, free levels that of --solver. */
static const char *solver_name(const struct problem *problem, const struct options *options)
{
    if (problem->kind == LEVELS_FREE)
        return options->solver;
    bool known = problem->kind == LEVELS_EVEN && problem->range != RANGE_OPTIMAL;
    return known ? "uniform" : "optimal";
}

/* The range of an even grid: given, or by default the exercise's one for its own vectors. */
static void set_range(const struct options *options, struct problem *problem)
{
    bool builtin = options->num_inputs == 0 && !options->generate;
    problem->range = options->range;
    problem->range_lo = options->range_lo;
    problem->range_hi = options->range_hi;
    if (!options->has_range) {
        problem->range = builtin ? RANGE_GIVEN : RANGE_MINMAX;
        problem->range_lo = -4.0;
        problem->range_hi = 4.0;
    }
}

/* The problem that an approach poses; min > max where no element gets a level. */
static struct problem problem_of(const struct trip *trip, const struct plan_result *plan)
{
    const struct options *options = trip->job->options;
    const struct measurement *m = &trip->measurement;
    enum kept kept = kept_of(plan->approach);
    const struct keep *keep = &trip->keep[kept];
    bool any = m->moments.count > 0;
    struct problem problem = {
        .histogram = &trip->found_in->histogram,
        .optimum = &trip_certificate(trip, kept, plan->num_bits)->optimum,
        .lo = keep->lo,
        .hi = keep->hi,
        .min = any ? fmax(m->min, keep->lo) : 1.0,
        .max = any ? fmin(m->max, keep->hi) : 0.0,
        .num_elements = trip->found_on->info->n,
        .bits = plan->num_bits,
        .kind = kind_of(plan->approach),
        .codebook = plan->codebook,
        .init = options->init,
        .max_iterations = options->max_iterations,
        .tolerance = options->tolerance,
        .seed = options->seed,
    };
    set_range(options, &problem);
    return problem;
}

/* Whether a solution was begun with the optimum, whose time is then part of its own. */
static bool uses_optimum(const struct problem *problem, const struct solver *solver)
{
    return problem->kind == LEVELS_FREE &&
           (strcmp(solver->name, "optimal") == 0 || problem->init == INIT_OPTIMAL);
}

enum status solve_result(struct trip *trip, const struct plan_result *plan, struct result *result,
                         struct level_table *table)
{
    enum status status;
    struct job *job = trip->job;
    struct problem problem = problem_of(trip, plan);
    enum kept kept = kept_of(plan->approach);
    const struct keep *keep = &trip->keep[kept];
    struct step_context step = {trip->found_on, *keep, problem.min, problem.max, problem.bits};
    problem.look = (struct look){.assign = step_assign, .agree = step_agree, .context = &step};
    const char *name = solver_name(&problem, job->options);
    const struct solver *solver = solver_find(name, &problem);
    QO_CHECK(solver, QO_INTERNAL, "%s: no solver named %s for this problem",
             trip->walk.info->origin, name);
    result->solver = solver->name;
    timer_switch(job->timer, PHASE_SOLVE);
    QO_TRY(comm_agree(job->comm, solver->solve(&problem, &result->solution)));
    if (problem.kind != LEVELS_CODEBOOK)
        result->solution.scale = NAN;
    result->solve_seconds = timer_switch(job->timer, PHASE_SOLVE);
    comm_broadcast(job->comm, &result->solve_seconds, sizeof result->solve_seconds);
    if (uses_optimum(&problem, solver))
        result->solve_seconds += trip_certificate(trip, kept, problem.bits)->seconds;
    level_table_init(table, problem.bits, result->solution.level, result->solution.k, keep,
                     problem.min, problem.max);
done:
    return status;
}
