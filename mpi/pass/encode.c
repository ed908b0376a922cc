/* SPDX-License-Identifier: Apache-2.0 */
#include "encode.h"

#include "clock.h"
#include "memory.h"
#include "reduce.h"

/* Outliers on their way to the file, at a time: 4 MiB of indices and float64 values. */
#define OUTLIERS_AT_A_TIME (1 << 18)

enum status encode_vector(const struct walk *walk, const struct level_table *table, uint8_t *codes,
                          struct encoding *encoding)
{
    struct encode_totals totals = {0};
    double start = clock_seconds();
    enum status status =
        walk->engine->kernels->encode(walk->engine, &walk->tile, table, codes, &totals);
    double seconds = clock_seconds() - start; /* before anybody waits for another */
    if ((status = comm_agree(walk->comm, status)) != QO_OK)
        return status;

    int64_t bytes = (walk->tile.n * table->bits + 7) / 8;
    struct {
        int64_t outliers, digest;
        struct exact_sum error;
    } sums = {.outliers = totals.num_outliers};
    sums.digest = (int64_t)result_digest_codes(codes, walk->tile.first / 8 * table->bits, bytes,
                                               (int64_t)QO_BLOCK / 8 * table->bits);
    exact_sum_carry(&totals.error);
    sums.error = totals.error;
    int64_t maxima[2] = {reduce_bits(totals.max_error), reduce_bits(seconds)};
    reduce_sum(walk->comm, (int64_t *)&sums, (int64_t)(sizeof sums / sizeof(int64_t)));
    reduce_max(walk->comm, maxima, 2);
    *encoding = (struct encoding){
        .error = exact_sum_round(&sums.error),
        .max_error = reduce_number(maxima[0]),
        .num_outliers = sums.outliers,
        .digest = (uint64_t)sums.digest,
        .seconds = reduce_number(maxima[1]),
        .my_outliers = totals.num_outliers,
        .outliers_before = reduce_sum_before(walk->comm, totals.num_outliers),
    };
    return QO_OK;
}

/* Collective. Lists and writes this rank's outliers, part by part; all ranks make `rounds` calls.
 */
static enum status write_rounds(const struct walk *walk, const struct level_table *table,
                                const struct encoding *encoding, struct result_file *file,
                                int64_t rounds, struct outlier_list *list, uint64_t *digest)
{
    int64_t position = 0, written = encoding->outliers_before;
    for (int64_t round = 0; round < rounds; round++) {
        list->count = 0;
        enum status status =
            walk->engine->kernels->collect(walk->engine, &walk->tile, table, &position, list);
        if ((status = comm_agree(walk->comm, status)) != QO_OK)
            return status;
        *digest += result_digest_outliers(walk->info->type, list->index, list->value, list->count);
        if (file)
            status =
                result_file_write_outliers(file, list->index, list->value, written, list->count);
        if (status != QO_OK)
            return status;
        written += list->count;
    }
    return QO_OK;
}

enum status encode_outliers(const struct walk *walk, const struct level_table *table,
                            const struct encoding *encoding, struct result_file *file,
                            uint64_t *digest)
{
    enum status status;
    if (encoding->num_outliers == 0)
        return QO_OK;
    int64_t largest = encoding->my_outliers; /* of any rank: it sets the number of calls */
    reduce_max(walk->comm, &largest, 1);
    int64_t rounds = (largest + OUTLIERS_AT_A_TIME - 1) / OUTLIERS_AT_A_TIME;
    struct outlier_list list = {.capacity =
                                    largest < OUTLIERS_AT_A_TIME ? largest : OUTLIERS_AT_A_TIME};
    QO_TRY(memory_alloc("outlier indices", list.capacity, sizeof *list.index, &list.index));
    QO_TRY(memory_alloc("outliers", list.capacity, element_size(walk->info->type), &list.value));
done:
    status = comm_agree(walk->comm, status);
    uint64_t mine = 0;
    if (status == QO_OK)
        status = write_rounds(walk, table, encoding, file, rounds, &list, &mine);
    if (status == QO_OK) {
        reduce_sum(walk->comm, (int64_t *)&mine, 1);
        *digest += mine;
    }
    memory_free(list.index);
    memory_free(list.value);
    return status;
}
