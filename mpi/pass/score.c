/* SPDX-License-Identifier: Apache-2.0 */
#include "score.h"

#include "clock.h"
#include "memory.h"
#include "reduce.h"

/* A walk that scores. */
struct scoring {
    const struct walk *walk;
    const struct level_table *table; /* [num] */
    struct encode_totals *totals;    /* [num] */
    int num;
    double seconds;
};

static enum status score_tile(void *context, const struct tile *tile)
{
    struct scoring *scoring = context;
    struct engine *engine = scoring->walk->engine;
    double start = clock_seconds();
    enum status status =
        engine->kernels->score(engine, tile, scoring->table, scoring->num, scoring->totals);
    scoring->seconds += clock_seconds() - start;
    return status;
}

/* Of each quantizer the sums and the largest error; behind those the seconds. */
static void pack(void *context, int64_t *sums, int64_t *maxima)
{
    const struct scoring *scoring = context;
    for (int i = 0; i < scoring->num; i++, sums += ENCODING_SUMS)
        encoding_pack(&scoring->totals[i], sums, &maxima[i]);
    maxima[scoring->num] = reduce_bits(scoring->seconds);
}

enum status score_vector(const struct walk *walk, const struct level_table *table, int num,
                         struct encoding *encoding)
{
    enum status status;
    struct scoring scoring = {.walk = walk, .table = table, .num = num};
    struct visit visit = {.what = "scoring",
                          .context = &scoring,
                          .num_sums = num * ENCODING_SUMS,
                          .num_maxima = num + 1,
                          .look = score_tile,
                          .pack = pack};
    int64_t *words = NULL;
    QO_TRY(memory_alloc("totals of quantizers", num, sizeof *scoring.totals, &scoring.totals));
    QO_TRY(memory_alloc("sums of quantizers", WALK_CONTROLS + visit.num_sums + visit.num_maxima,
                        sizeof *words, &words));
done:
    if ((status = comm_agree(walk->comm, status)) == QO_OK)
        status = walk_over(walk, &visit, words);
    for (int i = 0; i < num && status == QO_OK; i++) {
        const int64_t *sums = words + WALK_CONTROLS, *maxima = sums + visit.num_sums;
        encoding_unpack(&sums[i * ENCODING_SUMS], maxima[i], &encoding[i]);
        encoding[i].seconds = reduce_number(maxima[num]) / num;
    }
    memory_free(scoring.totals);
    memory_free(words);
    return status;
}
