/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The best levels and their certificate, from a histogram alone.
 *
 * The histogram's cells become pieces, the pieces are spread to points, and the best quantizer of
 * the points is found exactly: its error, less what spreading added, bounds that of any levels on
 * the data from below (docs/certificate.md). Its levels are then fitted to the pieces themselves by
 * a few of Lloyd's steps, which look at nothing but sums, and the error of the fitted levels is
 * bounded from above. Where every piece is a single value, points and data are the same, and so are
 * both bounds, but for rounding.
 *
 * Cost: that of the regularised dynamic programme, on about `resolution` points a level.
 */
#include "optimal.h"

#include <float.h>
#include <math.h>

#include "memory.h"
#include "partition.h"
#include "pieces.h"
#include "spread.h"
#include "wide.h"

/* The gap that points are made for unless a smaller one is wanted: what is left below it matters
 * less than the sampling of the data does. With M points a level it is about 1.5 / M^2. */
#define ENOUGH_GAP 1e-7
#define GAP_POINTS 1.5

/* Points of joined cells at most: 27 MiB of costs. For 256 levels they are 512 a level, a gap near
 * 6e-6. */
#define MAX_POINTS 131072

/* Lloyd's steps on the pieces. The levels are those of the points, which lie as near to those of
 * the data as the bound is sharp; each step mends a part of the rest. */
#define FIT_STEPS  6
#define FIT_ENOUGH 1e-10 /* part of the error below which a step's gain does not matter */

/* Points taken together where a density is estimated: a guess needs no more, and roots take time.
 */
#define LAW_POINTS 16

struct optimal {
    const struct histogram *histogram;
    double lo, hi;
    double gap; /* that is wanted */
    struct pieces pieces;
};

enum status optimal_open(const struct histogram *histogram, double lo, double hi, double min,
                         double max, struct optimal **optimal)
{
    enum status status;
    QO_TRY(memory_alloc("optimal quantizers", 1, sizeof **optimal, optimal));
    **optimal = (struct optimal){.histogram = histogram, .lo = lo, .hi = hi, .gap = ENOUGH_GAP};
    QO_TRY(pieces_init(&(*optimal)->pieces, histogram, lo, hi, min, max));
done:
    return status;
}

void optimal_set_gap(struct optimal *optimal, double gap)
{
    optimal->gap = fmin(gap, ENOUGH_GAP);
}

void optimal_close(struct optimal *optimal)
{
    if (!optimal)
        return;
    pieces_clear(&optimal->pieces);
    memory_free(optimal);
}

/* Sums of the elements of a level, about a value near them. */
struct level_fit {
    double count, distance;
};

/* The part of a piece at or below a cut, as if its elements were spread evenly about their mean
 * with the scatter they have: a guess that no bound depends on. */
static double part_below(const struct piece *piece, double cut)
{
    double half = sqrt(3 * piece->scatter / piece->count), mean = piece_mean(piece);
    if (!(half > 0))
        return mean <= cut ? 1 : 0;
    double part = (cut - (mean - half)) / (2 * half);
    return part < 0 ? 0 : part > 1 ? 1 : part;
}

/* Adds the part of a piece between two cuts to a level. */
static void fit_add(struct level_fit *fit, const struct piece *piece, double level, double from,
                    double to)
{
    if (piece->first >= from && piece->last <= to) { /* all of it, as nearly always */
        fit->count += piece->count;
        fit->distance += piece->count * (piece_mean(piece) - level);
        return;
    }
    double below = part_below(piece, from), part = part_below(piece, to) - below;
    double half = sqrt(3 * piece->scatter / piece->count);
    /* The middle of the part, half a width around the mean. */
    double middle = piece_mean(piece) + half * (2 * below + part - 1);
    fit->count += piece->count * part;
    fit->distance += piece->count * part * (middle - level);
}

/* One of Lloyd's steps on the pieces. Returns whether a level moved. */
static bool fit_step(const struct pieces *pieces, double *level, int k)
{
    bool moved = false;
    int64_t i = 0;
    double from = -INFINITY;
    for (int l = 0; l < k; l++) {
        double to = l + 1 < k ? 0.5 * level[l] + 0.5 * level[l + 1] : INFINITY;
        struct level_fit fit = {0};
        for (; i < pieces->n && pieces->piece[i].first <= to; i++) {
            const struct piece *piece = &pieces->piece[i];
            fit_add(&fit, piece, level[l], from, to);
            if (piece->last > to)
                break; /* the rest of it belongs to the next level */
        }
        double move = fit.count > 0 ? fit.distance / fit.count : 0;
        moved = moved || level[l] + move != level[l];
        level[l] += move;
        from = to;
    }
    return moved;
}

/* Whether levels are strictly ascending: an order that moves of a few digits may spoil. */
static bool is_ascending(const double *level, int k)
{
    for (int i = 1; i < k; i++)
        if (!(level[i - 1] < level[i]))
            return false;
    return true;
}

/* The error of a piece at its nearest level, of which level[*at] is one or a lower one: at most its
 * scatter and its count times the squared distance of its mean. */
static double piece_error(const struct piece *piece, const double *level, int k, int *at)
{
    double mean = piece_mean(piece);
    while (*at + 1 < k && mean > 0.5 * level[*at] + 0.5 * level[*at + 1])
        (*at)++;
    double from_first = piece->first - level[*at];
    /* In a wide cell both terms can be far larger than their sum, and so can their rounding. */
    double distance = fabs(from_first + piece->below);
    distance += 0x1p-51 * (fabs(from_first) + piece->below);
    return piece->scatter + piece->count * (distance * distance);
}

/* No less than the error of the levels, of all elements that may get one. */
static double upper_bound(const struct pieces *pieces, const double *level, int k)
{
    double sum = 0, count = 0;
    int at = 0;
    for (int64_t i = 0; i < pieces->n; i++) {
        sum += piece_error(&pieces->piece[i], level, k, &at);
        count += pieces->piece[i].count;
    }
    for (int i = 0; i < pieces->num_cut; i++) {
        at = 0;
        sum += piece_error(&pieces->cut[i], level, k, &at);
        count += pieces->cut[i].count;
    }
    /* A few roundings an addend, and one an addition; and squares that underflow beside a value of
     * enormous size. */
    return sum * (1 + ((double)pieces->n + 64) * 0x1p-52) + count * DBL_MIN;
}

/* The mean of points first..last - 1 to half an ulp or so: about the first of them, and with twice
 * the digits, as tests of the optimum look at the last one. */
static double mean_of(const struct spread *spread, int64_t first, int64_t last)
{
    double start = spread->value[first], count = 0;
    struct wide distance = {0, 0};
    for (int64_t i = first; i < last; i++) {
        struct wide from_start = wide_sum(spread->value[i], -start);
        distance = wide_add(distance, wide_times(from_start, spread->count[i]));
        count += spread->count[i];
    }
    double quotient = distance.high / count;
    struct wide product = wide_product(quotient, count), sum = wide_sum(start, quotient);
    double rest = ((distance.high - product.high) - product.low + distance.low) / count;
    return sum.high + (sum.low + rest);
}

/* The levels of a partition. */
static void partition_levels(const struct partition *partition, const struct spread *spread, int k,
                             double *level)
{
    for (int l = 0; l < k; l++)
        level[l] = mean_of(spread, l > 0 ? partition->end[l - 1] : 0, partition->end[l]);
}

/* What one more segment would save if the error followed Panter and Dite's law (1951): the cubed
 * integral of density^(1/3) over 12 k^2. */
static double guess_price(const struct spread *spread, int k)
{
    double sum = 0, count = 0;
    int64_t first = 0;
    for (int64_t i = 1; i < spread->n; i++) {
        count += spread->count[i];
        if (i - first < LAW_POINTS && i + 1 < spread->n)
            continue;
        sum += spread_weight(count, spread->value[i] - spread->value[first]);
        first = i;
        count = 0;
    }
    /* Between the savings of the last segment and the next one. */
    double share = sum / (k + 1);
    return share * share * (share / 6);
}

/* A level a point, where points are no more than levels. */
static void take_points(const struct spread *spread, double *level, struct partition *partition)
{
    for (int64_t i = 0; i < spread->n; i++)
        level[i] = spread->value[i];
    partition->lower = 0;
}

/* The best levels on the spread pieces, scaled, and the bound that they give. */
static enum status solve_spread(const struct pieces *pieces, int k, int resolution,
                                struct optimum *optimum)
{
    enum status status;
    struct spread spread = {0};
    struct segments segments = {0};
    struct partition partition;
    QO_TRY(spread_init(&spread, pieces, k, resolution));
    optimum->k = spread.n < k ? (int)spread.n : k;
    if (spread.n <= k) {
        take_points(&spread, optimum->level, &partition);
    } else {
        QO_TRY(segments_init(&segments, spread.value, spread.count, spread.n));
        QO_TRY(partition_find(&segments, k, guess_price(&spread, k), &partition));
        partition_levels(&partition, &spread, k, optimum->level);
    }
    optimum->lower = fmax(0, partition.lower - spread.excess * (1 + 0x1p-40));
done:
    segments_clear(&segments);
    spread_clear(&spread);
    return status;
}

/* Fits levels to the pieces; keeps them as they were if that does not help. */
static void fit_levels(const struct pieces *pieces, struct optimum *optimum)
{
    double level[SOLVER_MAX_LEVELS];
    int k = optimum->k;
    optimum->upper = upper_bound(pieces, optimum->level, k);
    if (pieces->exact || pieces->n == 0)
        return;
    memcpy(level, optimum->level, sizeof level);
    for (int step = 0; step < FIT_STEPS && fit_step(pieces, level, k); step++) {
        if (!is_ascending(level, k))
            break;
        double upper = upper_bound(pieces, level, k), before = optimum->upper;
        if (!(upper < before))
            break;
        optimum->upper = upper;
        memcpy(optimum->level, level, sizeof level);
        if (before - upper < FIT_ENOUGH * before)
            break;
    }
}

/* Back to the vector's own units. Levels that coincide there, below the smallest number, are one.
 */
static void unscale(const struct pieces *pieces, struct optimum *optimum)
{
    int k = 0;
    for (int i = 0; i < optimum->k; i++) {
        double level = ldexp(optimum->level[i], -pieces->scale);
        if (k == 0 || level > optimum->level[k - 1])
            optimum->level[k++] = level;
    }
    optimum->k = k;
    /* Errors beyond the largest and below the smallest normal number are still enclosed. */
    double upper = ldexp(optimum->upper, -2 * pieces->scale);
    double lower = fmin(ldexp(optimum->lower, -2 * pieces->scale), DBL_MAX);
    bool rounded_up = upper < DBL_MIN && optimum->upper > 0;
    optimum->upper = rounded_up ? upper + DBL_TRUE_MIN : upper;
    optimum->lower = lower < DBL_MIN ? fmax(0, lower - DBL_TRUE_MIN) : lower;
}

/* No elements, or no more distinct values than levels: nothing is to be searched. */
static bool find_distinct(const struct optimal *optimal, int k, struct optimum *optimum)
{
    int count = 0;
    if (optimal->pieces.n == 0 && optimal->pieces.num_cut == 0)
        optimum->level[count++] = 0;
    else
        histogram_distinct(optimal->histogram, optimal->lo, optimal->hi, k, optimum->level, &count);
    optimum->k = count;
    optimum->exact = count > 0;
    return count > 0;
}

enum status optimal_find(struct optimal *optimal, int k, struct optimum *optimum)
{
    enum status status = QO_OK;
    const struct pieces *pieces = &optimal->pieces;
    double most = MAX_POINTS / k, wanted = sqrt(GAP_POINTS / optimal->gap);
    int resolution = (int)(wanted < most ? wanted : most);
    *optimum = (struct optimum){.asked = k};
    if (find_distinct(optimal, k, optimum))
        goto done;
    QO_TRY(solve_spread(pieces, k, resolution, optimum));
    if (optimum->k == 0) { /* all elements lie in cells that a bound cuts */
        double lo = ldexp(optimal->lo, pieces->scale), hi = ldexp(optimal->hi, pieces->scale);
        optimum->level[0] = fmin(fmax(piece_mean(&pieces->cut[0]), lo), hi);
        optimum->k = 1;
    }
    optimum->exact = pieces->exact;
    fit_levels(pieces, optimum);
    unscale(pieces, optimum);
done:
    return status;
}

double optimum_gap(const struct optimum *optimum)
{
    if (optimum->exact || optimum->upper == 0)
        return 0;
    return optimum->lower > 0 ? fmax(0, sqrt(optimum->upper / optimum->lower) - 1) : INFINITY;
}
