/* SPDX-License-Identifier: Apache-2.0 */
#include "slivers.h"

#include "memory.h"

/* Cells of more keys than this are left whole: few elements lie in them, and pieces take room. */
#define CUT_KEYS (8 * (uint64_t)SLIVER_KEYS)

/* Keys of a cell; the last one reaches to the last key. */
static uint64_t keys_of(const struct cell_map *map, int64_t cell)
{
    uint64_t end = cell + 1 < map->num_cells ? map->low[cell + 1] : element_last_key(map->type) + 1;
    return end - map->low[cell];
}

/* How many slivers a cell becomes. */
static int64_t pieces_of(const struct cell_map *map, int64_t cell)
{
    uint64_t keys = keys_of(map, cell);
    bool cut = keys > SLIVER_KEYS && keys <= CUT_KEYS && keys % SLIVER_KEYS == 0;
    return cut ? (int64_t)(keys / SLIVER_KEYS) : 1;
}

static enum status make_room(struct slivers *slivers, int64_t count)
{
    enum status status = QO_OK;
    if (count <= slivers->room)
        return QO_OK;
    slivers_clear(slivers);
    QO_TRY(memory_alloc_large("slivers", count, sizeof *slivers->map.low, &slivers->map.low));
    QO_TRY(memory_alloc_large("slivers", count, sizeof *slivers->cell, &slivers->cell));
    slivers->room = count;
done:
    if (status != QO_OK)
        slivers_clear(slivers);
    return status;
}

enum status slivers_set(struct slivers *slivers, const struct cell_map *map)
{
    enum status status;
    int64_t count = 0, at = 0;
    for (int64_t i = 0; i < map->num_cells; i++)
        count += pieces_of(map, i);
    bool cut = count <= LOOKUP_MOST_CELLS; /* else there are enough cells as it is */
    QO_TRY(make_room(slivers, cut ? count : map->num_cells));
    slivers->map.type = map->type;
    for (int64_t i = 0; i < map->num_cells; i++) {
        int64_t pieces = cut ? pieces_of(map, i) : 1;
        for (int64_t p = 0; p < pieces; p++, at++) {
            slivers->map.low[at] = map->low[i] + (uint64_t)p * SLIVER_KEYS;
            slivers->cell[at] = i;
        }
    }
    slivers->map.num_cells = at;
done:
    return status;
}

bool slivers_help(const struct slivers *slivers)
{
    for (int64_t i = 0; i < slivers->map.num_cells; i++)
        if (keys_of(&slivers->map, i) <= SLIVER_KEYS)
            return true;
    return false;
}

void slivers_clear(struct slivers *slivers)
{
    memory_free(slivers->map.low);
    memory_free(slivers->cell);
    *slivers = (struct slivers){.room = 0};
}

/* Adds n elements of a piece that begins `shift` keys into the cell, by their sums. */
static void add_shifted(struct cell *cell, uint64_t n, unsigned __int128 sum,
                        unsigned __int128 square, uint64_t shift)
{
    unsigned __int128 far = (unsigned __int128)n * shift;
    square += 2 * shift * sum + far * shift; /* < 2^15 * 2^15 * n */
    sum += far;
    struct cell add = {
        n, {(uint64_t)sum, (uint64_t)(sum >> 64)}, {(uint64_t)square, (uint64_t)(square >> 64), 0}};
    cell_merge(cell, &add);
}

void slivers_add(const struct slivers *slivers, const struct cell_map *map, int64_t sliver,
                 const struct sliver_device_sums *sums, const struct cell *wide, struct cell *cell)
{
    uint64_t shift = slivers->map.low[sliver] - map->low[slivers->cell[sliver]];
    uint64_t middle = keys_of(&slivers->map, sliver) / 2;
    if (sums->count > 0) {
        /* sum of (offset - middle)^2 to that of offset^2 */
        unsigned __int128 square = (unsigned __int128)sums->square +
                                   (unsigned __int128)2 * middle * sums->sum -
                                   (unsigned __int128)middle * middle * sums->count;
        add_shifted(cell, sums->count, sums->sum, square, shift);
    }
    if (wide->count > 0 && shift == 0)
        cell_merge(cell, wide);
    else if (wide->count > 0) /* a piece: its offsets and their squares are small */
        add_shifted(cell, wide->count, wide->sum[0],
                    (unsigned __int128)wide->square[1] << 64 | wide->square[0], shift);
}
