/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run for somebody who has just installed the program: normal, Laplacian and uniform numbers are
 * drawn on these ranks and quantized by the same code as any vector, and the errors are held
 * against those of the best quantizers of the distributions themselves.
 *
 * Figures, for unit variance. Free levels: Max 1960 and Lloyd 1957 for the normal distribution,
 * Noll and Zelinski 1979 for the Laplacian one (for two levels 1 - 2 / pi and 1 / 2); 1 / k^2 for
 * the uniform one. Even grids: Max 1960 for the normal distribution. All were computed again to
 * nine digits from the fixed-point conditions. NF4 with its best scale, 2.86306 for a normal
 * distribution: by numerical integration; 4.2 % above the best 16 levels.
 */
#include <math.h>
#include <stdio.h>

#include "log.h"
#include "machine.h"
#include "quantize.h"
#include "run.h"

/* Elements of each vector: enough for half a percent, a few tenths of a second. */
#define ELEMENTS      4000000
#define ELEMENTS_TEXT "4000000"

/* Standard deviations by which a figure may be off: one false alarm in millions of seeds. */
#define MOST_DEVIATIONS 5

#define MAX_BITS 5

/* A distribution, and the mean squared errors of its best quantizers. */
struct law {
    const char *generate;
    double variance;
    double free_levels[MAX_BITS + 1]; /* by bits; 0: not known */
    double even_grid[MAX_BITS + 1];
    double nf4; /* of the codebook of that name; 0: not known */
    /* Of a squared error, in units of its mean: how far a figure from n elements strays, times
     * sqrt(n). */
    double deviation[MAX_BITS + 1], nf4_deviation;
};

static const struct law laws[] = {
    {.generate = "normal:" ELEMENTS_TEXT,
     .variance = 1,
     .free_levels = {0, 0.363380228, 0.117481848, 0.034547761, 0.009501008, 0.002504668},
     .even_grid = {0, 0.363380228, 0.118846050, 0.037439659, 0.011542884, 0.003495211},
     .nf4 = 0.009899316,
     .deviation = {0, 1.8, 2.2, 2.7, 3.4, 4.3},
     .nf4_deviation = 2.8},
    {.generate = "laplace:" ELEMENTS_TEXT,
     .variance = 2,
     .free_levels = {0, 0.5, 0.176194881, 0.054475988, 0.015372527, 0.004102180},
     .deviation = {0, 2.9, 3.8, 5.2, 7.0, 9.3}},
    {.generate = "uniform:" ELEMENTS_TEXT,
     .variance = 1.0 / 12,
     .free_levels = {0, 1.0 / 4, 1.0 / 16, 1.0 / 64, 1.0 / 256, 1.0 / 1024},
     .even_grid = {0, 1.0 / 4, 1.0 / 16, 1.0 / 64, 1.0 / 256, 1.0 / 1024},
     .deviation = {0, 0.9, 0.9, 0.9, 0.9, 0.9}},
};

/* The options of a run over one law, none of them the user's but those of the machine. */
static struct options options_for(const struct options *user)
{
    struct options options = *user;
    options.approach[APPROACH_UNIFORM] = true;
    options.approach[APPROACH_NON_UNIFORM] = true;
    options.approach[APPROACH_EASYQUANT] = false;
    options.approach[APPROACH_EASYQUANT_UNIFORM] = false;
    for (int b = 1; b <= 8; b++)
        options.bits[b] = b <= MAX_BITS;
    options.has_range = true;
    options.range = RANGE_OPTIMAL;
    return options;
}

/* What a figure should be. */
struct expected {
    double mse; /* 0: not known */
    double deviation;
    bool is_best; /* there are no better levels */
};

static struct expected expected_of(const struct law *law, const struct result *result)
{
    int bits = result->num_bits;
    if (result->approach == approach_name(APPROACH_UNIFORM))
        return (struct expected){law->even_grid[bits], law->deviation[bits], false};
    if (result->approach == approach_name(APPROACH_NON_UNIFORM))
        return (struct expected){law->free_levels[bits], law->deviation[bits], true};
    return (struct expected){law->nf4, law->nf4_deviation, false};
}

/* Rank 0. Prints one line; returns whether the figure is as it should be. */
static bool check_figure(const struct law *law, const struct result *result,
                         const struct expected *expected)
{
    double mse = result->mse / law->variance;
    double allowed = MOST_DEVIATIONS * expected->deviation / sqrt(ELEMENTS);
    double off = mse / expected->mse - 1;
    /* Free levels must prove themselves, too. NaN fails both comparisons. */
    bool certified =
        result->optimality_gap >= 0 && (!expected->is_best || result->optimality_gap <= 1e-3);
    bool good = fabs(off) <= allowed && certified;
    printf("%-16s %-12s %4d  %13.7e %13.7e %9.2e %9.2e %9.2e  %s\n", law->generate,
           result->approach, result->num_bits, mse, expected->mse, off, allowed,
           result->optimality_gap, good ? "ok" : "WRONG");
    return good;
}

/* Rank 0. Checks the results of one law; returns how many are wrong. */
static int check_law(const struct law *law, const struct report_vector *vector)
{
    int wrong = 0;
    for (int r = 0; r < vector->num_results; r++) {
        const struct result *result = &vector->results[r];
        struct expected expected = expected_of(law, result);
        if (expected.mse > 0)
            wrong += !check_figure(law, result, &expected);
    }
    return wrong;
}

/* Collective. Draws, quantizes and checks one law; adds to *wrong on rank 0. */
static enum status test_law(struct job *job, const struct law *law, int *wrong)
{
    enum status status;
    struct report_vector vector = {0};
    const struct source_request request = {
        .generate = law->generate, .seed = job->options->seed, .num_dims = -1};
    QO_TRY(source_open(job->comm, &request, &job->source));
    QO_TRY(quantize_vector(job, 0, &vector));
    if (job->comm->rank == 0)
        *wrong += check_law(law, &vector);
done:
    report_vector_clear(&vector);
    source_close(job->source);
    job->source = NULL;
    return status;
}

enum status run_selftest(const struct options *user, struct comm *comm, struct timer *timer)
{
    enum status status;
    struct options options = options_for(user);
    struct machine machine = {.on_device = false};
    struct job job;
    struct audit nf4 = {.name = "nf4"};
    int wrong = 0;
    quantize_init(&job, &options, comm, timer, &machine.engine);
    QO_TRY(machine_open(&machine, &options, comm));
    if (comm->rank == 0)
        printf("%-16s %-12s %4s  %13s %13s %9s %9s %9s\n", "vector", "approach", "bits", "mse",
               "literature", "off by", "allowed", "gap");
    QO_CHECK(codebook_find(nf4.name, &nf4.book), QO_INTERNAL, "--selftest: no codebook nf4");
    options.audits = &nf4;
    for (size_t i = 0; i < sizeof laws / sizeof laws[0]; i++) {
        options.num_audits = laws[i].nf4 > 0;
        QO_TRY(test_law(&job, &laws[i], &wrong));
    }
    progress_end(&job.progress);
    comm_broadcast(comm, &wrong, sizeof wrong);
    QO_CHECK(wrong == 0, QO_INTERNAL,
             "--selftest: %d figures are not those of the literature; report it with this table",
             wrong);
    log_info("selftest passed on %d rank%s", comm->size, comm->size == 1 ? "" : "s");
done:
    machine_close(&machine, comm);
    return status;
}
