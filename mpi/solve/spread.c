/* SPDX-License-Identifier: Apache-2.0 */
#include "spread.h"

#include <math.h>

#include "memory.h"
#include "root.h"

/* An end that gets less than this part of all elements is left out: without its cost the bound
 * still holds, and prefix sums of counts keep 2^-49 of every count (segments.c). */
#define LEAST_PART 0x1p-40

/* Pieces of a group at most, and more than the rounding errors of its figures then. */
#define MOST_JOINED 4096
#define ROUNDING    0x1p-38

/* Neighbouring pieces whose density is taken as one. */
#define LAW_PIECES 16

/* A run of pieces that become one. */
struct group {
    double first, last, below, above, count, scatter;
};

double spread_weight(double count, double width)
{
    if (width == 0) /* spares single values the roots */
        return 0;
    double root = root_cube(width);
    return root_cube(count) * root * root;
}

/* Joins piece[n]: distances from the ends are added up, not taken from each other, so that none
 * loses its last digits. */
static struct group join(const struct piece *piece, int64_t n)
{
    struct group group = {.first = piece[0].first, .last = piece[n - 1].last};
    double below = 0, above = 0;
    for (int64_t i = 0; i < n; i++) {
        group.count += piece[i].count;
        below += piece[i].count * ((piece[i].first - group.first) + piece[i].below);
        above += piece[i].count * ((group.last - piece[i].last) + piece[i].above);
    }
    group.below = below / group.count;
    group.above = above / group.count;
    for (int64_t i = 0; i < n; i++) {
        double distance = (piece[i].first - group.first) + piece[i].below - group.below;
        group.scatter += piece[i].scatter + piece[i].count * (distance * distance);
    }
    if (n == 1)
        group.scatter = piece[0].scatter;
    return group;
}

/* Adds a point; neighbours share their ends. */
static void add_point(struct spread *spread, double value, double count)
{
    if (spread->n > 0 && spread->value[spread->n - 1] == value) {
        spread->count[spread->n - 1] += count;
        return;
    }
    spread->value[spread->n] = value;
    spread->count[spread->n++] = count;
}

/* Adds the ends of a group, or its one value. */
static void add_group(struct spread *spread, const struct group *group, double least)
{
    double width = group->below + group->above;
    if (group->first == group->last || !(width > 0)) {
        add_point(spread, group->first, group->count);
        return;
    }
    double at_first = group->count * (group->above / width);
    double at_last = group->count * (group->below / width);
    if (at_first >= least)
        add_point(spread, group->first, at_first);
    if (at_last >= least)
        add_point(spread, group->last, at_last);
    double added = group->count * (group->below * group->above);
    double moved = added - group->scatter;
    spread->excess += (moved > 0 ? moved : 0) + ROUNDING * added;
}

/* How many pieces from piece[0] on may become one, by the cubes of their weights. Single values
 * stay alone: what they may be worth is not known from their width. */
static int64_t run_length(const struct piece *piece, int64_t n, double limit_cubed)
{
    double count = piece[0].count;
    int64_t length = 1;
    if (piece[0].first == piece[0].last)
        return 1;
    for (; length < n && length < MOST_JOINED; length++) {
        if (piece[length].first == piece[length].last)
            break;
        double width = piece[length].last - piece[0].first;
        count += piece[length].count;
        if (count * (width * width) > limit_cubed)
            break;
    }
    return length;
}

/* The sum of the weights of all pieces of several values, LAW_PIECES at a time: it need not be more
 * exact, and roots take time. */
static double total_weight(const struct pieces *pieces)
{
    double sum = 0;
    for (int64_t i = 0, end; i < pieces->n; i = end) {
        const struct piece *piece = pieces->piece;
        double count = piece[i].count;
        for (end = i + 1; end < pieces->n && end - i < LAW_PIECES; end++) {
            if (piece[end].first != piece[end - 1].last)
                break;
            count += piece[end].count;
        }
        sum += spread_weight(count, piece[end - 1].last - piece[i].first);
    }
    return sum;
}

enum status spread_init(struct spread *spread, const struct pieces *pieces, int k, int resolution)
{
    enum status status;
    double elements = 0, limit = total_weight(pieces) / ((double)k * resolution);
    *spread = (struct spread){0};
    for (int64_t i = 0; i < pieces->n; i++)
        elements += pieces->piece[i].count;
    QO_TRY(memory_alloc_large("points", 2 * pieces->n, sizeof(double), &spread->value));
    QO_TRY(memory_alloc_large("point counts", 2 * pieces->n, sizeof(double), &spread->count));
    for (int64_t i = 0, length; i < pieces->n; i += length) {
        const struct piece *piece = pieces->piece + i;
        length = run_length(piece, pieces->n - i, limit * limit * limit);
        if (piece->first == piece->last) {
            add_point(spread, piece->first, piece->count);
            continue;
        }
        struct group group = join(piece, length);
        add_group(spread, &group, LEAST_PART * elements);
    }
done:
    return status;
}

void spread_clear(struct spread *spread)
{
    memory_free(spread->value);
    memory_free(spread->count);
    *spread = (struct spread){0};
}
