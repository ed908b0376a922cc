/* SPDX-License-Identifier: Apache-2.0 */
#include "pieces.h"

#include <math.h>

#include "histogram_cell.h"
#include "memory.h"

/* x * 2^exponent for |exponent| < 2000, as ldexp in the time of two products. */
static double scaled(double x, int exponent)
{
    int half = exponent / 2;
    return x * element_power_of_two(half) * element_power_of_two(exponent - half);
}

/* A sum of 128 bits as a double. */
static double number_of(unsigned __int128 sum)
{
    return sum <= UINT64_MAX ? (double)(uint64_t)sum : (double)sum;
}

/* A sum of 192 bits, little-endian, as the nearest double but for a unit or two. */
static double wide_number(const uint64_t word[3])
{
    return ((double)word[2] * 0x1p64 + (double)word[1]) * 0x1p64 + (double)word[0];
}

/*
 * The scatter of a cell's offsets. About the integer q nearest to their mean it is
 * T - r^2 / n, with T the sum of (offset - q)^2 and r that of offset - q: T is an exact integer,
 * and as |r| <= T and 2 |r| <= n the difference is at least half of it.
 */
static double offset_scatter(const struct cell *cell)
{
    unsigned __int128 sum = histogram_sum(cell);
    uint64_t n = cell->count;
    bool narrow = sum <= UINT64_MAX / 2; /* wide divisions take longer than all else here */
    uint64_t q = narrow ? ((uint64_t)sum + n / 2) / n : (uint64_t)((sum + n / 2) / n);
    uint64_t t[3] = {cell->square[0], cell->square[1], cell->square[2]};
    unsigned __int128 whole = (unsigned __int128)q * n;
    if (q > 0) /* T = squares - q (2 sum - q n); as q n <= sum + n / 2, the bracket is positive */
        histogram_add_product(t, 2 * sum - whole, q, true);
    double r = number_of(sum >= whole ? sum - whole : whole - sum);
    return wide_number(t) - r * (r / (double)n);
}

/* What a cell of several values is. Its ends and mean come from exact integers. */
static struct piece piece_of(const struct histogram *histogram, int64_t i, int scale)
{
    const struct cell_map *map = &histogram->map;
    const struct cell *cell = &histogram->cells[i];
    double count = (double)cell->count;
    uint64_t low = map->low[i], last = histogram_last_key(map, i);
    unsigned __int128 sum = histogram_sum(cell);
    unsigned __int128 rest = (unsigned __int128)(last - low) * cell->count - sum;
    int ulp = histogram_ulp(map, i) + scale;
    double end = histogram_key_value(map->type, last);
    /* The next cell's first value, if it has one, so that neighbours share a point. */
    double next = i + 1 < map->num_cells ? histogram_key_value(map->type, last + 1) : end;
    next = isfinite(next) ? next : end;
    struct piece piece = {.first = scaled(histogram_key_value(map->type, low), scale),
                          .last = scaled(next, scale),
                          .count = count};
    piece.below = scaled(number_of(sum) / count, ulp);
    piece.above = scaled(number_of(rest) / count, ulp) + (piece.last - scaled(end, scale));
    piece.scatter = scaled(scaled(offset_scatter(cell), ulp), ulp);
    return piece;
}

/* Which part of a cell lies in [lo, hi]. */
enum part { PART_NONE, PART_SOME, PART_ALL };

/* Of a cell whose elements lie within first and last. */
static enum part part_within(double first, double last, double lo, double hi)
{
    if (last < lo || first > hi)
        return PART_NONE;
    return first >= lo && last <= hi ? PART_ALL : PART_SOME;
}

/* The piece of a non-empty cell, and which part of it is meant. */
static struct piece take_cell(const struct histogram *histogram, int64_t i, bool single, int scale,
                              double lo, double hi, enum part *part)
{
    const struct cell_map *map = &histogram->map;
    if (single) {
        double mean = histogram_mean(histogram, i), value = scaled(mean + 0.0, scale);
        *part = part_within(mean, mean, lo, hi);
        return (struct piece){value, value, 0, 0, (double)histogram->cells[i].count, 0};
    }
    *part = part_within(histogram_key_value(map->type, map->low[i]),
                        histogram_key_value(map->type, histogram_last_key(map, i)), lo, hi);
    if (*part == PART_NONE)
        return (struct piece){0};
    return piece_of(histogram, i, scale);
}

/* Adds a piece; -0.0 and +0.0 are one value. */
static void add_piece(struct pieces *pieces, const struct piece *piece)
{
    struct piece *before = pieces->n > 0 ? &pieces->piece[pieces->n - 1] : NULL;
    if (before && piece->first == piece->last && before->first == piece->first &&
        before->last == piece->last)
        before->count += piece->count;
    else
        pieces->piece[pieces->n++] = *piece;
}

enum status pieces_init(struct pieces *pieces, const struct histogram *histogram, double lo,
                        double hi, double min, double max)
{
    enum status status;
    int64_t count = 0;
    int exponent;
    *pieces = (struct pieces){.exact = true};
    for (int64_t i = 0; i < histogram->map.num_cells; i++)
        count += histogram->cells[i].count > 0;
    QO_TRY(memory_alloc_large("pieces", count, sizeof *pieces->piece, &pieces->piece));
    (void)frexp(fmax(fabs(min), fabs(max)), &exponent);
    pieces->scale = PIECES_TOP - exponent;
    for (int64_t i = 0; i < histogram->map.num_cells && min <= max; i++) {
        if (histogram->cells[i].count == 0)
            continue;
        bool single = histogram_is_single(&histogram->cells[i]);
        enum part part;
        struct piece piece = take_cell(histogram, i, single, pieces->scale, lo, hi, &part);
        if (part == PART_NONE)
            continue;
        /* A cell of several values may have no width left after scaling. */
        pieces->exact = pieces->exact && single;
        if (part == PART_ALL) {
            add_piece(pieces, &piece);
        } else if (pieces->num_cut < 2) { /* two bounds cut no more */
            pieces->cut[pieces->num_cut++] = piece;
        }
    }
done:
    return status;
}

void pieces_clear(struct pieces *pieces)
{
    memory_free(pieces->piece);
    *pieces = (struct pieces){0};
}
