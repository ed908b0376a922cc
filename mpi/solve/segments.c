/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prefix sums of values and squares would do it in three subtractions, and lose everything where
 * the data are far from 0 or hold both 1e20 and 1e-3. So a segment is put together from two parts,
 * on both sides of a point between its ends, and every term is positive.
 *
 * The points are cut into blocks of 2, 4, 8, … For each block and each place in it, the distance
 * and scatter of the points between the block's middle and the place are kept: a disjoint sparse
 * table. The highest bit in which the numbers of the first and the last point differ tells the
 * block whose middle lies between them. Memory: 16 bytes * n * log2 n; building: the same number of
 * steps.
 */
#include "segments.h"

#include "memory.h"
#include "wide.h"

/* Segments within an aligned run of 2^DIRECT_DEPTH points are added up point by point: that costs
 * little more than looking up, and saves a third of the table. */
#define DIRECT_DEPTH 4

/* Points from the middle upwards or downwards. With g the distance from the last point to the mean
 * of those before, a new point is at gap + g from that mean: no difference is ever taken. */
static void fill_side(const struct segments *s, struct side *side, int64_t middle, int64_t from,
                      int64_t end, int step)
{
    double count = 0, distance = 0, scatter = 0, to_mean = 0;
    for (int64_t i = from; i != end; i += step) {
        double n = s->count[i], gap = i == from ? 0 : step * (s->value[i] - s->value[i - step]);
        double away = gap + to_mean, share = count / (count + n);
        distance += n * (step * (s->value[i] - s->value[middle]));
        scatter += n * share * (away * away);
        to_mean = away * share;
        count += n;
        side[i] = (struct side){distance, scatter};
    }
}

static void fill_depth(const struct segments *s, struct side *side, int64_t half)
{
    for (int64_t middle = half; middle < s->n; middle += 2 * half) {
        int64_t end = middle + half < s->n ? middle + half : s->n;
        fill_side(s, side, middle, middle, end, 1);
        fill_side(s, side, middle, middle - 1, middle - half - 1, -1);
    }
}

/* Counts up to every point, to twice the digits: ends of pieces have fractions of counts. */
static void fill_totals(struct segments *s)
{
    struct wide total = {0, 0};
    for (int64_t i = 0; i < s->n; i++) {
        s->total[i] = total.high;
        s->rest[i] = total.low;
        total = wide_add(total, (struct wide){s->count[i], 0});
    }
    s->total[s->n] = total.high;
    s->rest[s->n] = total.low;
}

enum status segments_init(struct segments *segments, const double *value, const double *count,
                          int64_t n)
{
    enum status status;
    *segments = (struct segments){.n = n, .value = value, .count = count};
    QO_TRY(memory_alloc_large("totals", n + 1, sizeof(double), &segments->total));
    QO_TRY(memory_alloc_large("totals", n + 1, sizeof(double), &segments->rest));
    fill_totals(segments);
    for (int d = DIRECT_DEPTH; d < SEGMENTS_MAX_DEPTH && (int64_t)1 << d < n; d++) {
        QO_TRY(memory_alloc_large("costs of segments", n, sizeof(struct side), &segments->side[d]));
        fill_depth(segments, segments->side[d], (int64_t)1 << d);
    }
done:
    return status;
}

void segments_clear(struct segments *segments)
{
    memory_free(segments->total);
    memory_free(segments->rest);
    for (int d = 0; d < SEGMENTS_MAX_DEPTH; d++)
        memory_free(segments->side[d]);
    *segments = (struct segments){0};
}

/* Counts of points first..last - 1. */
static inline double count_of(const struct segments *s, int64_t first, int64_t last)
{
    return (s->total[last] - s->total[first]) + (s->rest[last] - s->rest[first]);
}

/* A few points, one by one, as fill_side does. */
static double direct_cost(const struct segments *s, int64_t first, int64_t last)
{
    double count = s->count[first], scatter = 0, to_mean = 0;
    for (int64_t i = first + 1; i < last; i++) {
        double n = s->count[i], away = s->value[i] - s->value[i - 1] + to_mean;
        double share = count / (count + n);
        scatter += n * share * (away * away);
        to_mean = away * share;
        count += n;
    }
    return scatter;
}

/* The scatter of two sides about their common mean: that of each, and that of their means. */
double segments_cost(const struct segments *segments, int64_t first, int64_t last)
{
    uint64_t differ = (uint64_t)first ^ (uint64_t)(last - 1);
    if (differ >> DIRECT_DEPTH == 0)
        return direct_cost(segments, first, last);
    int d = 63 - __builtin_clzll(differ);
    int64_t middle = (last - 1) >> d << d;
    const struct side *below = &segments->side[d][first], *above = &segments->side[d][last - 1];
    double n = count_of(segments, first, middle), m = count_of(segments, middle, last);
    double between = below->distance * m + above->distance * n;
    return below->scatter + above->scatter + between * between / (n * m * (n + m));
}

/* A dozen operations a point, none of them a difference of rounded numbers, and counts to 2^-49. */
double segments_rounding(const struct segments *segments)
{
    return 16.0 * (double)segments->n * 0x1p-53 + 0x1p-46;
}
