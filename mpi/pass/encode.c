/* SPDX-License-Identifier: Apache-2.0 */
#include "encode.h"

#include <string.h>

#include "clock.h"
#include "log.h"
#include "memory.h"
#include "recall.h"
#include "reduce.h"
#include "result_file.h"

/* ---- Totals as words ---- */

/* Where in the sums of one quantizer. */
enum { SUM_OUTLIERS, SUM_DIGEST, SUM_ERROR };

void encoding_pack(struct encode_totals *totals, int64_t *sums, int64_t *maximum)
{
    sums[SUM_OUTLIERS] = totals->num_outliers;
    sums[SUM_DIGEST] = 0;
    exact_sum_carry(&totals->error);
    memcpy(&sums[SUM_ERROR], &totals->error, sizeof totals->error);
    *maximum = reduce_bits(totals->max_error);
}

void encoding_unpack(const int64_t *sums, int64_t maximum, struct encoding *encoding)
{
    struct exact_sum error;
    memcpy(&error, &sums[SUM_ERROR], sizeof error);
    *encoding = (struct encoding){.error = exact_sum_round(&error),
                                  .max_error = reduce_number(maximum),
                                  .num_outliers = sums[SUM_OUTLIERS],
                                  .digest = (uint64_t)sums[SUM_DIGEST]};
}

/* ---- Codes ---- */

struct recall encode_recall(const struct encode_job *job, int r)
{
    static const int64_t nowhere[3] = {-1, -1, -1};
    return (struct recall){.comm = job->walk->comm,
                           .encoded = journal_encoded(job->walk->journal),
                           .type = job->walk->info->type,
                           .bits = job->table[r].bits,
                           .place = job->old_place ? &job->old_place[3 * (int64_t)r] : nowhere,
                           .sink = &job->sink,
                           .r = r};
}

/* A walk that encodes. */
struct encoder {
    struct encode_job *job;
    uint8_t *codes;               /* of one tile and result */
    struct encode_totals *totals; /* [job->num] */
    uint64_t *digest;             /* [job->num] */
    double *seconds;              /* [job->num] */
};

/* Gives bytes of codes to the sink, and digests them. */
static enum status give_codes(struct encoder *encoder, int r, int64_t first, int64_t n,
                              uint64_t *digest)
{
    struct encode_job *job = encoder->job;
    double start = clock_seconds();
    *digest +=
        result_digest_codes(encoder->codes, first, n, (int64_t)QO_BLOCK / 8 * job->table[r].bits);
    enum status status = job->sink.codes(job->sink.context, r, encoder->codes, first, n);
    job->sink_seconds += clock_seconds() - start;
    return status;
}

/* Encodes a tile for one quantizer. */
static enum status encode_one(struct encoder *encoder, const struct tile *tile, int r)
{
    const struct level_table *table = &encoder->job->table[r];
    struct engine *engine = encoder->job->walk->engine;
    double start = clock_seconds();
    enum status status =
        engine->kernels->encode(engine, tile, table, encoder->codes, &encoder->totals[r]);
    encoder->seconds[r] += clock_seconds() - start;
    if (status != QO_OK)
        return status;
    return give_codes(encoder, r, tile->first / 8 * table->bits, (tile->n * table->bits + 7) / 8,
                      &encoder->digest[r]);
}

static enum status encode_tile(void *context, const struct tile *tile)
{
    enum status status = QO_OK;
    struct encoder *encoder = context;
    struct engine *engine = encoder->job->walk->engine;
    bool is_held = encoder->job->walk->plan.is_held, holds = !is_held && encoder->job->num > 1;
    if (tile->n == 0)
        return QO_OK;
    if (holds)
        QO_TRY(engine->kernels->hold(engine, tile));
    for (int r = 0; r < encoder->job->num; r++)
        QO_TRY(encode_one(encoder, tile, r));
done:
    if (holds)
        engine->kernels->release(engine, tile);
    return status;
}

static void pack(void *context, int64_t *sums, int64_t *maxima)
{
    struct encoder *encoder = context;
    for (int r = 0; r < encoder->job->num; r++, sums += ENCODING_SUMS, maxima += 2) {
        encoding_pack(&encoder->totals[r], sums, &maxima[0]);
        sums[SUM_DIGEST] = (int64_t)encoder->digest[r];
        maxima[1] = reduce_bits(encoder->seconds[r]);
    }
}

/* Collective. Takes over the codes of the first `done` elements. */
static enum status take_codes(void *context, int64_t done, const int64_t *sums, bool *taken)
{
    struct encoder *encoder = context;
    const struct encode_job *job = encoder->job;
    *taken = true;
    for (int r = 0; r < job->num && *taken; r++, sums += ENCODING_SUMS) {
        struct recall recall = encode_recall(job, r);
        uint64_t digest;
        enum status status = recall_codes(&recall, done, &digest, taken);
        if (status != QO_OK)
            return status;
        *taken = *taken && digest == (uint64_t)sums[SUM_DIGEST];
    }
    if (!*taken)
        log_warn("%s: what an earlier run has encoded is not there or damaged; encoding it again",
                 job->walk->info->name);
    return QO_OK;
}

/* The walk, its words and what they say. */
static enum status walk_and_encode(struct encoder *encoder, int64_t *words)
{
    struct encode_job *job = encoder->job;
    struct visit visit = {.what = "encoding",
                          .context = encoder,
                          .num_sums = job->num * ENCODING_SUMS,
                          .num_maxima = 2 * (int64_t)job->num,
                          .look = encode_tile,
                          .pack = pack,
                          .take_over = take_codes};
    enum status status = walk_over(job->walk, &visit, words);
    const int64_t *sums = words + WALK_CONTROLS, *maxima = sums + visit.num_sums;
    for (int64_t r = 0; r < job->num && status == QO_OK; r++) {
        encoding_unpack(&sums[r * ENCODING_SUMS], maxima[2 * r], &job->encoding[r]);
        job->encoding[r].seconds = reduce_number(maxima[2 * r + 1]);
    }
    return status;
}

enum status encode_vector(struct encode_job *job)
{
    enum status status;
    struct encoder encoder = {.job = job};
    int64_t num = job->num, *words = NULL;
    int bits = 1;
    for (int r = 0; r < num; r++)
        bits = job->table[r].bits > bits ? job->table[r].bits : bits;
    QO_TRY(memory_alloc_large("codes", (job->walk->plan.tile * bits + 7) / 8, 1, &encoder.codes));
    QO_TRY(memory_alloc("totals of quantizers", num, sizeof *encoder.totals, &encoder.totals));
    QO_TRY(memory_alloc("digests", num, sizeof *encoder.digest, &encoder.digest));
    QO_TRY(memory_alloc("times of quantizers", num, sizeof *encoder.seconds, &encoder.seconds));
    QO_TRY(memory_alloc("sums of quantizers", WALK_CONTROLS + num * (ENCODING_SUMS + 2),
                        sizeof *words, &words));
done:
    if ((status = comm_agree(job->walk->comm, status)) == QO_OK)
        status = walk_and_encode(&encoder, words);
    memory_free(encoder.codes);
    memory_free(encoder.totals);
    memory_free(encoder.digest);
    memory_free(encoder.seconds);
    memory_free(words);
    return status;
}
