/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How cells are dealt out. Where cells should lie by density is known as wishes: so many cells over
 * this stretch of values. They are fulfilled by blocks: 2^s keys that begin at a multiple of 2^s,
 * cut into 2^m equal cells. A walk over the data then finds an element's cell by a shift, not by a
 * search. A block is halved until the wish in it is even enough, and no other cut lies in it; then
 * all blocks get the power of two nearest to their wish times one rate, by which the cells are
 * used up. A cell too wide by a factor of up to sqrt(2), or too narrow, costs 6 % of the
 * resolution.
 *
 * Cost: some ten thousand blocks of twenty steps.
 */
#include "histogram_deal.h"

#include <math.h>

#include "histogram_cell.h"
#include "memory.h"

/* The blocks to begin with, those that a lookup's first step can tell apart: eight a binade. */
#define TOP_BITS 3

/* A block with a wish for at most so many cells is even enough; with a wish for less than the least
 * it gets none of its own. */
#define FEW_CELLS   2
#define LEAST_CELLS 0.5

/* A block is even if no eighth of it wants more than so many times its share, or less than the
 * inverse: cells of one width then cost at most 3 % of the resolution. */
#define UNEVEN 1.5
#define PARTS  (1 << TOP_BITS)

/*
 * A walk sums offsets of up to 15 bits in narrow words, and treats elements with greater ones one
 * by one. Cells of float32 are made no wider, where a cell is wanted at all, if that takes at most
 * an eighth of the cells; else, no wider than some greater width.
 */
#define NARROW_BITS  15
#define NARROW_SHARE 8

/* Bisections for the rate: to 2^-20 of itself. */
#define RATE_STEPS 20

/* 2^span keys from base on, for which about `cells` cells are wanted. */
struct block {
    uint64_t base;
    int span;
    double cells;
};

struct deal {
    enum element_type type;
    const struct wish *wish;
    double *before; /* [n + 1]: cells wanted before each wish */
    int64_t n;
    const uint64_t *cut;
    int64_t num_cuts;
    struct block *block; /* [num_blocks], at most `room` */
    int64_t num_blocks, room;
    int widest; /* log2 of the keys in a cell, at most */
};

/* How many of key[n], ascending, are below a key. */
static int64_t rank_below(const uint64_t *key, int64_t n, uint64_t limit)
{
    int64_t first = 0;
    while (n > 0) {
        int64_t half = n / 2;
        if (key[first + half] < limit) {
            first += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return first;
}

/* Cells wanted below a key. */
static double wanted_below(const struct deal *deal, uint64_t key)
{
    int64_t first = 0, last = deal->n - 1; /* the last wish that begins at or before the key */
    while (first < last) {
        int64_t middle = (first + last + 1) / 2;
        if (deal->wish[middle].first <= key)
            first = middle;
        else
            last = middle - 1;
    }
    const struct wish *wish = &deal->wish[first];
    if (key <= wish->first)
        return deal->before[first];
    if (key >= wish->last)
        return deal->before[first + 1];
    double a = histogram_key_value(deal->type, wish->first);
    double b = histogram_key_value(deal->type, wish->last);
    double x = histogram_key_value(deal->type, key);
    double part = b - a < INFINITY ? (x - a) / (b - a) : (0.5 * x - 0.5 * a) / (0.5 * b - 0.5 * a);
    return deal->before[first] + wish->cells * part;
}

/* Whether a cut lies between the ends of a block. */
static bool has_cut(const struct deal *deal, uint64_t base, int span)
{
    int64_t i = rank_below(deal->cut, deal->num_cuts, base + 1);
    return i < deal->num_cuts && deal->cut[i] - base < (uint64_t)1 << span;
}

/* Whether cells of one width suit a block: its eighths want as many each. `below` and `end` are
 * wanted below it and below its end. */
static bool is_even(const struct deal *deal, uint64_t base, int span, double below, double end)
{
    double share = (end - below) / PARTS;
    if (end - below <= FEW_CELLS || span < TOP_BITS)
        return true;
    uint64_t step = (uint64_t)1 << span >> TOP_BITS;
    for (uint64_t i = 1; i <= PARTS; i++) {
        double next = i < PARTS ? wanted_below(deal, base + i * step) : end;
        if (next - below > UNEVEN * share || UNEVEN * (next - below) < share)
            return false;
        below = next;
    }
    return true;
}

/* Lists the blocks for 2^span keys, with so many cells wanted below them and below their end. */
static void list_blocks(struct deal *deal, uint64_t base, int span, double below, double end)
{
    if (end - below < LEAST_CELLS || deal->num_blocks == deal->room)
        return;
    if (!has_cut(deal, base, span) && is_even(deal, base, span, below, end)) {
        deal->block[deal->num_blocks++] = (struct block){base, span, end - below};
        return;
    }
    uint64_t half = (uint64_t)1 << (span - 1);
    double middle = wanted_below(deal, base + half);
    list_blocks(deal, base, span - 1, below, middle);
    list_blocks(deal, base + half, span - 1, middle, end);
}

/* Lists all blocks. */
static void list_all(struct deal *deal)
{
    int span = element_mantissa_bits(deal->type) - TOP_BITS;
    uint64_t last = deal->wish[deal->n - 1].last >> span;
    double below = 0;
    for (uint64_t i = deal->wish[0].first >> span; i <= last; i++) {
        double end = i < last ? wanted_below(deal, (i + 1) << span) : deal->before[deal->n];
        list_blocks(deal, i << span, span, below, end);
        below = end;
    }
}

/* log2 of the cells of a block if a wish counts `rate` times: the power of two nearest, as a ratio,
 * to what it wants; at most a cell a key, and at least what keeps cells narrow. */
static int block_parts(const struct deal *deal, const struct block *block, double rate)
{
    int parts;
    if (frexp(block->cells * rate, &parts) < 0.5 * 0x1.6a09e667f3bcdp+0) /* sqrt(2) / 2 */
        parts--;
    if (parts < block->span - deal->widest)
        parts = block->span - deal->widest;
    return parts < 0 ? 0 : parts < block->span ? parts : block->span;
}

/* The cells of all blocks at a rate. */
static int64_t count_cells(const struct deal *deal, double rate)
{
    int64_t count = 0;
    for (int64_t i = 0; i < deal->num_blocks; i++)
        count += (int64_t)1 << block_parts(deal, &deal->block[i], rate);
    return count;
}

/* Chooses how wide cells may be: as narrow as few cells more allow. */
static void choose_widest(struct deal *deal, int64_t cells)
{
    deal->widest = element_mantissa_bits(deal->type);
    if (deal->type != ELEMENT_F32)
        return;
    int64_t most = count_cells(deal, 1) + cells / NARROW_SHARE;
    for (int widest = NARROW_BITS; deal->widest != widest; widest++) {
        int before = deal->widest;
        deal->widest = widest;
        if (count_cells(deal, 1) <= most)
            break;
        deal->widest = before;
    }
}

/* Cuts the blocks. At one rate they have too few cells in all, at a slightly higher one too many:
 * then the first blocks get what the higher one gives, while there is enough. */
static void cut_blocks(const struct deal *deal, int64_t cells, struct low_list *list)
{
    double few = 0x1p-3, many = 0x1p3;
    for (int i = 0; i < RATE_STEPS; i++) {
        double rate = 0.5 * (few + many);
        *(count_cells(deal, rate) <= cells ? &few : &many) = rate;
    }
    int64_t left = cells - count_cells(deal, few);
    for (int64_t i = 0; i < deal->num_blocks; i++) {
        const struct block *block = &deal->block[i];
        int parts = block_parts(deal, block, few), more = block_parts(deal, block, many);
        int64_t extra = ((int64_t)1 << more) - ((int64_t)1 << parts);
        if (extra <= left) {
            left -= extra;
            parts = more;
        }
        uint64_t step = (uint64_t)1 << (block->span - parts);
        for (uint64_t j = 0; j <= (uint64_t)1 << parts && list->num < list->room; j++)
            list->low[list->num++] = block->base + j * step;
    }
}

enum status histogram_deal(enum element_type type, const struct wish *wish, int64_t n,
                           const uint64_t *cut, int64_t num_cuts, int64_t cells,
                           struct low_list *list)
{
    enum status status = QO_OK;
    struct deal deal = {.type = type, .wish = wish, .n = n, .cut = cut, .num_cuts = num_cuts};
    list->num = 0;
    if (n == 0)
        goto done;
    deal.room = list->room;
    QO_TRY(memory_alloc_large("wishes", n + 1, sizeof *deal.before, &deal.before));
    QO_TRY(memory_alloc_large("blocks", list->room, sizeof *deal.block, &deal.block));
    deal.before[0] = 0;
    for (int64_t i = 0; i < n; i++)
        deal.before[i + 1] = deal.before[i] + wish[i].cells;
    list_all(&deal);
    choose_widest(&deal, cells);
    cut_blocks(&deal, cells, list);
done:
    memory_free(deal.before);
    memory_free(deal.block);
    return status;
}
