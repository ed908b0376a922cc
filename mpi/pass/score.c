/* SPDX-License-Identifier: Apache-2.0 */
#include "score.h"

#include "clock.h"
#include "memory.h"
#include "reduce.h"

/* What is added up over the ranks for one quantizer. */
struct sums {
    int64_t outliers;
    struct exact_sum error;
};

#define SUMS_WORDS ((int64_t)(sizeof(struct sums) / sizeof(int64_t)))

/* Collective. This rank's totals to those of all: one sum and one maximum for all quantizers. */
static void reduce_totals(const struct walk *walk, struct encode_totals *totals, int num,
                          double seconds, struct sums *sums, int64_t *maxima,
                          struct encoding *encoding)
{
    for (int i = 0; i < num; i++) {
        exact_sum_carry(&totals[i].error);
        sums[i] = (struct sums){totals[i].num_outliers, totals[i].error};
        maxima[i] = reduce_bits(totals[i].max_error);
    }
    maxima[num] = reduce_bits(seconds);
    reduce_sum(walk->comm, (int64_t *)sums, num * SUMS_WORDS);
    reduce_max(walk->comm, maxima, num + 1);
    for (int i = 0; i < num; i++)
        encoding[i] = (struct encoding){.error = exact_sum_round(&sums[i].error),
                                        .max_error = reduce_number(maxima[i]),
                                        .num_outliers = sums[i].outliers,
                                        .seconds = reduce_number(maxima[num]) / num,
                                        .my_outliers = totals[i].num_outliers};
}

enum status score_vector(const struct walk *walk, const struct level_table *table, int num,
                         struct encoding *encoding)
{
    enum status status;
    struct encode_totals *totals = NULL;
    struct sums *sums = NULL;
    int64_t *maxima = NULL;
    double start = clock_seconds(), seconds = 0;
    QO_TRY(memory_alloc("totals of quantizers", num, sizeof *totals, &totals));
    QO_TRY(memory_alloc("sums of quantizers", num, sizeof *sums, &sums));
    QO_TRY(memory_alloc("maxima of quantizers", num + 1, sizeof *maxima, &maxima));
    QO_TRY(walk->engine->kernels->score(walk->engine, &walk->tile, table, num, totals));
    seconds = clock_seconds() - start; /* before anybody waits for another */
done:
    if ((status = comm_agree(walk->comm, status)) == QO_OK)
        reduce_totals(walk, totals, num, seconds, sums, maxima, encoding);
    memory_free(totals);
    memory_free(sums);
    memory_free(maxima);
    return status;
}
