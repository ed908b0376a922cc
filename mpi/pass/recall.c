/* SPDX-License-Identifier: Apache-2.0 */
#include "recall.h"

#include "memory.h"
#include "reduce.h"
#include "result_file.h"

/* Fetched at a time: whole blocks of codes of any width. */
#define BUFFER_BYTES ((int64_t)4 << 20)

/* As many outliers as fit, with 8 bytes of index and of value each. */
#define OUTLIERS_AT_A_TIME (BUFFER_BYTES / 16)

/* Local. This rank's share of the codes. */
static enum status fetch_codes(const struct recall *recall, int64_t elements, uint8_t *buffer,
                               uint64_t *digest, bool *found)
{
    enum status status = QO_OK;
    int64_t bits = recall->bits, block = (int64_t)QO_BLOCK / 8 * bits;
    int64_t step = BUFFER_BYTES / block * block;
    struct shard part = shard_of(elements, recall->comm->rank, recall->comm->size);
    /* An empty part begins at the end, which may lie inside a byte: rounded up, as its end is. */
    int64_t begin = (part.begin * bits + 7) / 8, end = (part.end * bits + 7) / 8;
    for (int64_t first = begin; first < end && status == QO_OK; first += step) {
        int64_t n = end - first < step ? end - first : step;
        *found = recall->place[0] >= 0 &&
                 encoded_read(recall->encoded, recall->place[0] + first, n, buffer);
        if (!*found)
            break;
        *digest += result_digest_codes(buffer, first, n, block);
        if (recall->sink)
            status = recall->sink->codes(recall->sink->context, recall->r, buffer, first, n);
    }
    return status;
}

/* Local. Reads outliers [first, first + n). */
static bool read_outliers(const struct recall *recall, int64_t first, int64_t n, uint8_t *buffer)
{
    int64_t size = (int64_t)element_size(recall->type);
    return recall->place[1] >= 0 && recall->place[2] >= 0 &&
           encoded_read(recall->encoded, recall->place[1] + 8 * first, 8 * n, buffer) &&
           encoded_read(recall->encoded, recall->place[2] + size * first, size * n,
                        buffer + BUFFER_BYTES / 2);
}

/* Local. This rank's share of the outliers. */
static enum status fetch_outliers(const struct recall *recall, int64_t count, uint8_t *buffer,
                                  uint64_t *digest, bool *found)
{
    enum status status = QO_OK;
    __int128 rank = recall->comm->rank, size = recall->comm->size;
    int64_t begin = (int64_t)(count * rank / size), end = (int64_t)(count * (rank + 1) / size);
    const uint64_t *index = (const uint64_t *)(const void *)buffer;
    const uint8_t *value = buffer + BUFFER_BYTES / 2;
    for (int64_t first = begin; first < end && status == QO_OK; first += OUTLIERS_AT_A_TIME) {
        int64_t n = end - first < OUTLIERS_AT_A_TIME ? end - first : OUTLIERS_AT_A_TIME;
        *found = read_outliers(recall, first, n, buffer);
        if (!*found)
            break;
        *digest += result_digest_outliers(recall->type, index, value, n);
        if (recall->sink)
            status =
                recall->sink->outliers(recall->sink->context, recall->r, index, value, first, n);
    }
    return status;
}

/* Collective. A fetch on all ranks. */
static enum status fetch(const struct recall *recall, int64_t n, uint64_t *digest, bool *found,
                         enum status (*share)(const struct recall *, int64_t, uint8_t *, uint64_t *,
                                              bool *))
{
    uint8_t *buffer;
    uint64_t mine = 0;
    *found = true;
    enum status status = memory_alloc_large("encoded blocks", BUFFER_BYTES, 1, &buffer);
    if (status == QO_OK)
        status = share(recall, n, buffer, &mine, found);
    memory_free(buffer);
    if ((status = comm_agree(recall->comm, status)) != QO_OK)
        return status;
    int64_t words[2] = {(int64_t)mine, !*found};
    reduce_sum(recall->comm, words, 2);
    *digest = (uint64_t)words[0];
    *found = words[1] == 0;
    return QO_OK;
}

enum status recall_codes(const struct recall *recall, int64_t n, uint64_t *digest, bool *found)
{
    return fetch(recall, n, digest, found, fetch_codes);
}

enum status recall_outliers(const struct recall *recall, int64_t n, uint64_t *digest, bool *found)
{
    return fetch(recall, n, digest, found, fetch_outliers);
}
