/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_SOLVE_SOLVER_H
#define QO_SOLVE_SOLVER_H

#include <stdbool.h>
#include <stdint.h>

#include "histogram.h"
#include "status.h"

/* The largest number of levels: 8 bits. */
#define SOLVER_MAX_LEVELS 256

/*
 * A look at the data for given levels, each element at its nearest one: what a Lloyd step needs.
 * The only way a solver reaches the vector.
 */
struct level_sums {
    int64_t count[SOLVER_MAX_LEVELS];
    double mean[SOLVER_MAX_LEVELS]; /* of the level's elements; the level itself where count is 0 */
    double error;                   /* sum of squared errors, exact but for one rounding a block */
};

struct look {
    /* Collective where the data are: called by all ranks with the same level[k], ascending; gives
     * all the same sums. */
    enum status (*assign)(void *context, const double *level, int k, struct level_sums *sums);
    void *context;
    /* Collective. All ranks bring a status and leave with the first failure: called wherever a rank
     * may fail alone between two looks. NULL where there is one rank. */
    enum status (*agree)(void *context, enum status status);
};

/*
 * EVEN: 2^bits equally spaced levels over a range. FREE: any levels. SCALED: the grid of the
 * EasyQuant paper (Tang et al. 2024, arXiv 2403.02775), s * i with one scale s > 0 and the integers
 * i from -2^(bits-1) + 1 to 2^(bits-1). CODEBOOK: the values of a codebook times one scale, which
 * may be negative.
 */
enum levels_kind { LEVELS_EVEN, LEVELS_FREE, LEVELS_SCALED, LEVELS_CODEBOOK };

enum range_kind { RANGE_GIVEN, RANGE_MINMAX, RANGE_OPTIMAL };

/* How Lloyd steps start. */
enum init { INIT_OPTIMAL, INIT_QUANTILE, INIT_KMEANS_PP, INIT_RANDOM };

struct optimum;
struct codebook;

/*
 * A problem: the levels for the elements of a histogram that lie in [lo, hi]. `min` and `max` are
 * the smallest and largest such element; min > max where there is none.
 */
struct problem {
    const struct histogram *histogram;
    const struct optimum *optimum; /* of these elements (optimal.h), or NULL: not known */
    double lo, hi;
    double min, max;
    int64_t num_elements; /* of the whole vector: history's mse is per element, outliers too */
    int bits;             /* 1 to 8: at most 2^bits levels */
    enum levels_kind kind;
    enum range_kind range;
    double range_lo, range_hi;       /* for RANGE_GIVEN */
    const struct codebook *codebook; /* for LEVELS_CODEBOOK (codebook.h); at most 2^bits values */
    enum init init;
    int max_iterations; /* >= 0 */
    double tolerance;   /* a level has moved if by more than this times (max - min of the levels) */
    uint64_t seed;
    struct look look;
};

/* One Lloyd step. */
struct step {
    int iteration;   /* 0 is the start */
    double mse;      /* of the levels before this step's move */
    double max_move; /* of a level, in the step that followed; 0 for the last */
};

struct solution {
    int k;                           /* 1 to 2^bits */
    double level[SOLVER_MAX_LEVELS]; /* finite, strictly ascending */
    double scale;                    /* of LEVELS_CODEBOOK; else undefined */
    int iterations;
    bool converged;
    int num_steps;
    struct step *steps; /* [num_steps], or NULL */
};

/* Local. Frees the history; a zeroed or cleared solution may be cleared again. */
void solution_clear(struct solution *solution);

/*
 * A solver: one file, one algorithm. `solve` is Collective if it looks, else Local; equal problems
 * give equal solutions on every rank. The solution is to be cleared by the caller, after a failure
 * too.
 */
struct solver {
    const char *name;
    bool (*applicable)(const struct problem *problem);
    enum status (*solve)(const struct problem *problem, struct solution *solution);
};

/*
 * Pure. The first solver of that name that fits the problem; NULL if there is none. "uniform"
 * serves LEVELS_EVEN with a range that is known, "lloyd" LEVELS_FREE; "optimal" serves LEVELS_FREE
 * where the optimum is known, LEVELS_EVEN with RANGE_OPTIMAL, LEVELS_SCALED and LEVELS_CODEBOOK.
 */
const struct solver *solver_find(const char *name, const struct problem *problem);

#endif
