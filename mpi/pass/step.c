/* SPDX-License-Identifier: Apache-2.0 */
#include "step.h"

#include <string.h>

#include "pack.h"

/* Of a level: its count and its residual. */
#define LEVEL_WORDS (1 + PACK_WIDE_WORDS)

/* A walk that assigns. */
struct assigning {
    const struct walk *walk;
    struct level_table table;
    struct assign_totals totals;
};

static enum status assign_tile(void *context, const struct tile *tile)
{
    struct assigning *assigning = context;
    struct engine *engine = assigning->walk->engine;
    return engine->kernels->assign(engine, tile, &assigning->table, &assigning->totals);
}

/* Level by level, then the error. */
static void pack(void *context, int64_t *sums, int64_t *maxima)
{
    struct assigning *assigning = context;
    struct assign_totals *totals = &assigning->totals;
    (void)maxima;
    for (int i = 0; i < assigning->table.k; i++, sums += LEVEL_WORDS) {
        sums[0] = totals->count[i];
        pack_wide(&totals->residual[i], sums + 1);
    }
    exact_sum_carry(&totals->error);
    memcpy(sums, &totals->error, sizeof totals->error);
}

enum status step_assign(void *context, const double *level, int k, struct level_sums *sums)
{
    const struct step_context *step = context;
    int64_t words[WALK_CONTROLS + QO_MAX_LEVELS * LEVEL_WORDS + EXACT_WORDS];
    struct assigning assigning = {.walk = step->walk};
    struct visit visit = {.what = "a Lloyd step",
                          .context = &assigning,
                          .num_sums = k * LEVEL_WORDS + EXACT_WORDS,
                          .look = assign_tile,
                          .pack = pack};
    level_table_init(&assigning.table, step->bits, level, k, &step->keep, step->min, step->max);
    enum status status = walk_over(step->walk, &visit, words);
    if (status != QO_OK)
        return status;
    const int64_t *word = words + WALK_CONTROLS;
    for (int i = 0; i < k; i++, word += LEVEL_WORDS) {
        sums->count[i] = word[0];
        double residual = word[0] ? (double)unpack_wide(word + 1) / (double)word[0] : 0.0;
        sums->mean[i] = level[i] + residual / assigning.table.scale[i];
    }
    struct exact_sum error;
    memcpy(&error, word, sizeof error);
    sums->error = exact_sum_round(&error);
    return QO_OK;
}

enum status step_agree(void *context, enum status status)
{
    const struct step_context *step = context;
    return comm_agree(step->walk->comm, status);
}
