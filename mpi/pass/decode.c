/* SPDX-License-Identifier: Apache-2.0 */
#include "decode.h"

#include <math.h>
#include <string.h>

#include "memory.h"
#include "shard.h"

/* Elements decoded at a time: 16 blocks, 8 MiB of float64, and as many outliers at most. */
#define TILE (16 * (int64_t)QO_BLOCK)

/* Outliers read at a time. */
#define OUTLIERS_AT_A_TIME (1 << 18)

struct decoder {
    struct engine *engine;
    struct result_reader *reader;
    int index;
    const struct stored_result *stored;
    struct level_table table;
    uint8_t *codes;
    char *x;
    uint64_t *outlier_index;
    char *outlier_value;
    int64_t next_outlier;       /* the first that was not put back yet */
    int64_t loaded, num_loaded; /* outliers [loaded, loaded + num_loaded) are in the buffers */
};

static void decoder_clear(struct decoder *decoder)
{
    memory_free(decoder->codes);
    memory_free(decoder->x);
    memory_free(decoder->outlier_index);
    memory_free(decoder->outlier_value);
}

/* Local. Buffers, the table of levels, and where the outliers of the shard begin. */
static enum status decoder_init(struct decoder *decoder, int64_t first)
{
    enum status status;
    const struct stored_result *stored = decoder->stored;
    size_t size = element_size(stored->vector.type);
    struct keep all = {.lo = -INFINITY, .hi = INFINITY};
    level_table_init(&decoder->table, stored->bits, stored->level, stored->k, &all,
                     stored->level[0], stored->level[stored->k - 1]);
    QO_TRY(memory_alloc("codes", TILE * stored->bits / 8, 1, &decoder->codes));
    QO_TRY(memory_alloc("decoded elements", TILE, size, &decoder->x));
    QO_TRY(memory_alloc("outlier indices", OUTLIERS_AT_A_TIME, 8, &decoder->outlier_index));
    QO_TRY(memory_alloc("outliers", OUTLIERS_AT_A_TIME, size, &decoder->outlier_value));
    QO_TRY(
        result_reader_find_outlier(decoder->reader, decoder->index, first, &decoder->next_outlier));
done:
    return status;
}

/* Local. Sees to it that the next outlier is in the buffers. */
static enum status load_outliers(struct decoder *decoder)
{
    if (decoder->next_outlier < decoder->loaded + decoder->num_loaded)
        return QO_OK;
    int64_t left = decoder->stored->num_outliers - decoder->next_outlier;
    decoder->loaded = decoder->next_outlier;
    decoder->num_loaded = left < OUTLIERS_AT_A_TIME ? left : OUTLIERS_AT_A_TIME;
    return result_reader_outliers(decoder->reader, decoder->index, decoder->loaded,
                                  decoder->num_loaded, decoder->outlier_index,
                                  decoder->outlier_value);
}

/* Local. Puts the outliers with indices in [first, first + n) over the decoded elements. */
static enum status overlay_outliers(struct decoder *decoder, int64_t first, int64_t n)
{
    size_t size = element_size(decoder->stored->vector.type);
    while (decoder->next_outlier < decoder->stored->num_outliers) {
        enum status status = load_outliers(decoder);
        if (status != QO_OK)
            return status;
        int64_t i = decoder->next_outlier - decoder->loaded;
        int64_t at = (int64_t)decoder->outlier_index[i] - first;
        if (at >= n)
            return QO_OK;
        memcpy(decoder->x + at * (int64_t)size, decoder->outlier_value + i * (int64_t)size, size);
        decoder->next_outlier++;
    }
    return QO_OK;
}

/* Local. Decodes elements [first, first + n). */
static enum status decode_tile(struct decoder *decoder, int64_t first, int64_t n)
{
    const struct stored_result *stored = decoder->stored;
    int64_t bytes = (n * stored->bits + 7) / 8;
    enum status status;
    QO_TRY(result_reader_codes(decoder->reader, decoder->index, first / 8 * stored->bits, bytes,
                               decoder->codes));
    QO_TRY(decoder->engine->kernels->decode(decoder->engine, decoder->codes, n, &decoder->table,
                                            stored->vector.type, decoder->x));
    QO_TRY(overlay_outliers(decoder, first, n));
done:
    return status;
}

enum status decode_result(const struct comm *comm, struct engine *engine,
                          struct result_reader *reader, int index, struct restored_file *file)
{
    struct decoder decoder = {.engine = engine, .reader = reader, .index = index};
    decoder.stored = result_reader_result(reader, index);
    int64_t total = decoder.stored->vector.n, largest = shard_largest(total, comm->size);
    struct shard shard = shard_of(total, comm->rank, comm->size);
    enum status status = comm_agree(comm, decoder_init(&decoder, shard.begin));
    for (int64_t done = 0; status == QO_OK && done < largest; done += TILE) {
        int64_t first = shard.begin + done < shard.end ? shard.begin + done : shard.end;
        int64_t n = shard.end - first < TILE ? shard.end - first : TILE;
        status = comm_agree(comm, decode_tile(&decoder, first, n));
        if (status == QO_OK)
            status = restored_file_write(file, index, decoder.x, first, n);
    }
    decoder_clear(&decoder);
    return status;
}
