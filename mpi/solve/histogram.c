/* SPDX-License-Identifier: Apache-2.0 */
#include "histogram.h"

#include <math.h>

#include "histogram_cell.h"
#include "memory.h"

/* A split cell gets at most this many parts, and a finer map at most this many cells in all: 6 MiB
 * of sums a thread. */
#define SPLIT_PARTS 4096
#define SPLIT_CELLS 131072

void histogram_clear(struct histogram *histogram)
{
    cell_map_clear(&histogram->map);
    memory_free(histogram->cells);
    histogram->cells = NULL;
}

/*
 * Equality in Cauchy's inequality: all offsets are the same. Then each is sum / count, an integer
 * below 2^52, and the squares are sum * that: so no product here has more than 192 bits.
 */
bool histogram_is_single(const struct cell *cell)
{
    if (cell->count <= 1)
        return true;
    if (cell->sum[1] == 0 && cell->sum[0] % cell->count != 0) /* spares most the wide division */
        return false;
    unsigned __int128 sum = histogram_sum(cell);
    if (sum % cell->count != 0)
        return false;
    uint64_t offset = (uint64_t)(sum / cell->count);
    unsigned __int128 low = (unsigned __int128)cell->sum[0] * offset;
    unsigned __int128 high = (unsigned __int128)cell->sum[1] * offset + (uint64_t)(low >> 64);
    return cell->square[0] == (uint64_t)low && cell->square[1] == (uint64_t)high &&
           cell->square[2] == (uint64_t)(high >> 64);
}

double histogram_mean(const struct histogram *histogram, int64_t cell)
{
    const struct cell *c = &histogram->cells[cell];
    uint64_t whole = 0, rest = 0;
    if ((c->sum[0] | c->sum[1]) == 0) {
        ;                        /* all at its first key, as in every cell of a small vector */
    } else if (c->sum[1] == 0) { /* spares nearly every cell the slow division */
        whole = c->sum[0] / c->count;
        rest = c->sum[0] % c->count;
    } else {
        whole = (uint64_t)(histogram_sum(c) / c->count);
        rest = (uint64_t)(histogram_sum(c) % c->count);
    }
    double value = histogram_key_value(histogram->map.type, histogram->map.low[cell] + whole);
    if (rest == 0)
        return value;
    double part = (double)rest / (double)c->count;
    return value + ldexp(part, histogram_ulp(&histogram->map, cell));
}

uint64_t histogram_last_key(const struct cell_map *map, int64_t cell)
{
    return cell + 1 < map->num_cells ? map->low[cell + 1] - 1 : element_last_key(map->type);
}

double histogram_key_value(enum element_type type, uint64_t key)
{
    return element_value(type, element_unkey(type, key));
}

/* Exponents of the smallest subnormals. */
int histogram_unit(enum element_type type)
{
    static const int unit[ELEMENT_NUM_TYPES] = {
        [ELEMENT_F16] = -24, [ELEMENT_BF16] = -133, [ELEMENT_F32] = -149, [ELEMENT_F64] = -1074};
    return unit[type];
}

int histogram_ulp(const struct cell_map *map, int64_t cell)
{
    uint64_t bits = element_unkey(map->type, map->low[cell]) & (element_sign(map->type) - 1);
    int exponent = (int)(bits >> element_mantissa_bits(map->type));
    /* Subnormals, with exponent 0, have the ulp of exponent 1. */
    return histogram_unit(map->type) + (exponent > 0 ? exponent - 1 : 0);
}

void histogram_add_product(uint64_t words[3], unsigned __int128 x, uint64_t y, bool subtract)
{
    unsigned __int128 low = (unsigned __int128)(uint64_t)x * y;
    unsigned __int128 high = (unsigned __int128)(uint64_t)(x >> 64) * y + (uint64_t)(low >> 64);
    uint64_t product[3] = {(uint64_t)low, (uint64_t)high, (uint64_t)(high >> 64)};
    unsigned __int128 carry = subtract; /* -p is ~p + 1 */
    for (int i = 0; i < 3; i++) {
        carry += (unsigned __int128)words[i] + (subtract ? ~product[i] : product[i]);
        words[i] = (uint64_t)carry;
        carry >>= 64;
    }
}

enum status histogram_map(struct cell_map *map, enum element_type type, const uint64_t *low,
                          int64_t n)
{
    return cell_map_init(map, type, low, n, 0, 0);
}

/* What a scan for distinct values has found. */
struct distinct {
    double lo, hi;
    double *value;
    int capacity;
    int count;    /* values listed */
    int hidden;   /* values that must be there and cannot be named */
    bool blocked; /* by a cell with several values */
};

/* Adds the one value of a cell, -0.0 as +0.0. */
static void distinct_add(struct distinct *d, double value)
{
    if (value < d->lo || value > d->hi || (d->count > 0 && value == d->value[d->count - 1]))
        return;
    if (d->count < d->capacity)
        d->value[d->count++] = value + 0.0;
    else
        d->hidden++;
}

/* A cell of several values: at least two of them are new if it lies within the bounds, or one if
 * -0.0 or +0.0 may be among them, as the other zero could have been listed. */
static void distinct_block(struct distinct *d, const struct cell_map *map, int64_t cell)
{
    double first = histogram_key_value(map->type, map->low[cell]);
    double last = histogram_key_value(map->type, histogram_last_key(map, cell));
    if (last < d->lo || first > d->hi)
        return;
    d->blocked = true;
    if (first >= d->lo && last <= d->hi)
        d->hidden += first == 0 || last == 0 ? 1 : 2;
}

void histogram_distinct(const struct histogram *histogram, double lo, double hi, int capacity,
                        double *value, int *count)
{
    struct distinct d = {.lo = lo, .hi = hi, .value = value, .capacity = capacity};
    /* One value too many is enough to know: large vectors end here after a few hundred cells. */
    for (int64_t i = 0; i < histogram->map.num_cells && d.count + d.hidden <= capacity; i++) {
        const struct cell *cell = &histogram->cells[i];
        if (cell->count == 0)
            continue;
        if (histogram_is_single(cell))
            distinct_add(&d, histogram_mean(histogram, i));
        else
            distinct_block(&d, &histogram->map, i);
    }
    if (d.count + d.hidden > capacity)
        *count = 0;
    else
        *count = d.blocked ? -1 : d.count;
}

/* Whether a cell holds several values, some of which may lie within the bounds. */
static bool split_wanted(const struct histogram *histogram, int64_t cell, double lo, double hi)
{
    const struct cell_map *map = &histogram->map;
    return !histogram_is_single(&histogram->cells[cell]) &&
           histogram_key_value(map->type, map->low[cell]) <= hi &&
           histogram_key_value(map->type, histogram_last_key(map, cell)) >= lo;
}

/* Parts for each cell to be cut, so that the finer map stays within SPLIT_CELLS; less than 2 if
 * there is no room. */
static uint64_t split_parts(const struct histogram *histogram, double lo, double hi)
{
    int64_t num_split = 0, room = SPLIT_CELLS - histogram->map.num_cells;
    for (int64_t i = 0; i < histogram->map.num_cells; i++)
        num_split += split_wanted(histogram, i, lo, hi);
    if (num_split == 0 || room < 2 * num_split)
        return 0;
    return room / num_split > SPLIT_PARTS ? SPLIT_PARTS : (uint64_t)(room / num_split);
}

/* Writes the first keys of the cells, with those of several values cut into `parts`, if low is not
 * NULL; returns their number. The last cell, of NaN, is never cut: it is empty. */
static int64_t split_lows(const struct histogram *histogram, double lo, double hi, uint64_t parts,
                          uint64_t *low)
{
    const struct cell_map *map = &histogram->map;
    int64_t n = 0;
    for (int64_t i = 0; i < map->num_cells; i++) {
        uint64_t first = map->low[i], width = histogram_last_key(map, i) - first + 1;
        bool cut = split_wanted(histogram, i, lo, hi);
        uint64_t step = cut && width > parts ? (width + parts - 1) / parts : cut ? 1 : width;
        for (uint64_t at = 0; at < width; at += step, n++) {
            if (low)
                low[n] = first + at;
        }
    }
    return n;
}

enum status histogram_split(const struct histogram *histogram, double lo, double hi,
                            struct cell_map *finer)
{
    enum status status;
    uint64_t *low = NULL, parts = split_parts(histogram, lo, hi);
    *finer = (struct cell_map){0};
    if (parts < 2)
        return QO_OK;
    int64_t n = split_lows(histogram, lo, hi, parts, NULL);
    QO_TRY(memory_alloc("finer cells", n, sizeof *low, &low));
    split_lows(histogram, lo, hi, parts, low);
    QO_TRY(histogram_map(finer, histogram->map.type, low, n));
done:
    memory_free(low);
    return status;
}
