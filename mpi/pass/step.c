/* SPDX-License-Identifier: Apache-2.0 */
#include "step.h"

#include <string.h>

#include "pack.h"
#include "reduce.h"

/* The one buffer of a step: per level its count and residual, then the error, then who failed. */
struct step_buffer {
    int64_t level[QO_MAX_LEVELS][1 + PACK_WIDE_WORDS];
    int64_t error[EXACT_WORDS];
    int64_t num_failed;
};

/* The words in use begin at level[QO_MAX_LEVELS - k], so that they are one piece. */
static int64_t *first_word(struct step_buffer *buffer, int k)
{
    return buffer->level[QO_MAX_LEVELS - k];
}

static void fill_buffer(struct step_buffer *buffer, int k, struct assign_totals *totals,
                        bool failed)
{
    memset(buffer, 0, sizeof *buffer);
    buffer->num_failed = failed;
    if (failed)
        return;
    for (int i = 0; i < k; i++) {
        int64_t *words = buffer->level[QO_MAX_LEVELS - k + i];
        words[0] = totals->count[i];
        pack_wide(&totals->residual[i], words + 1);
    }
    exact_sum_carry(&totals->error);
    memcpy(buffer->error, &totals->error, sizeof totals->error);
}

enum status step_assign(void *context, const double *level, int k, struct level_sums *sums)
{
    const struct step_context *step = context;
    const struct walk *walk = step->walk;
    struct level_table table;
    struct assign_totals totals = {0};
    struct step_buffer buffer;
    level_table_init(&table, step->bits, level, k, &step->keep, step->min, step->max);
    enum status status = walk->engine->kernels->assign(walk->engine, &walk->tile, &table, &totals);
    /* A device that failed takes no part in sums on devices: then it is to be told before. */
    if (walk->comm->nccl && (status = comm_agree(walk->comm, status)) != QO_OK)
        return status;

    fill_buffer(&buffer, k, &totals, status != QO_OK);
    int64_t *words = first_word(&buffer, k);
    reduce_sum(walk->comm, words, (int64_t *)(&buffer + 1) - words);
    if (buffer.num_failed)
        return comm_agree(walk->comm, status);

    for (int i = 0; i < k; i++) {
        words = buffer.level[QO_MAX_LEVELS - k + i];
        sums->count[i] = words[0];
        double residual = words[0] ? (double)unpack_wide(words + 1) / (double)words[0] : 0.0;
        sums->mean[i] = level[i] + residual / table.scale[i];
    }
    struct exact_sum error;
    memcpy(&error, buffer.error, sizeof error);
    sums->error = exact_sum_round(&error);
    return QO_OK;
}

enum status step_agree(void *context, enum status status)
{
    const struct step_context *step = context;
    return comm_agree(step->walk->comm, status);
}
