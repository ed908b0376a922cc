/* SPDX-License-Identifier: Apache-2.0 */
#include "lookup.h"

#include <assert.h>

#include "memory.h"

/* Tables on the way down before a search takes over. */
#define MAX_DEPTH 3

/* Cells that are rather searched, in two steps, than put into a table; and how often a slot is
 * halved in the hope that it need not be searched. */
#define FEW_CELLS    4
#define FEW_HALVINGS 2

/* Slots a cell that a table has at most, as a power of two: so the tables of one depth have at most
 * four words a cell. Making a slot takes as long as finding some elements: where there are less
 * than FEW_ELEMENTS a cell, slots are for two cells each. */
#define SLOTS_LOG2     2
#define FEW_SLOTS_LOG2 0
#define FEW_ELEMENTS   2

/* Keys base to base + 2^span - 1, and the cells that hold them. */
struct range {
    uint64_t base;
    int span;
    int64_t first, last;
};

/* Narrows a range, whose first cell may lie too far down and whose last is at most `limit`. Cells
 * are passed one by one: ranges are visited in order, so that each is passed once a depth. */
static struct range range_fit(const struct lookup *lookup, struct range r, int64_t limit)
{
    uint64_t end = r.base + (((uint64_t)1 << r.span) - 1);
    while (r.first < limit && lookup->before[r.first + 1] < r.base)
        r.first++;
    r.last = r.first;
    while (r.last < limit && lookup->before[r.last + 1] < end)
        r.last++;
    return r;
}

/* The `shift` of cells that a word can give directly in the whole range; -1 if there is none. */
static int even_shift(const struct lookup *lookup, struct range r)
{
    const uint64_t *before = lookup->before;
    uint64_t count = (uint64_t)(r.last - r.first + 1);
    uint64_t width = before[r.first + 1] - before[r.first], low = before[r.first] + 1;
    if (width & (width - 1) || low & (width - 1)) /* (width = 0: all 2^64 keys, never so) */
        return -1;
    int shift = __builtin_ctzll(width);
    if (lookup->type == ELEMENT_F32 && shift > LOOKUP_SLIM_BITS)
        return -1;
    if (count == 1) /* the range may be a part of the cell */
        return shift;
    if (shift > r.span || count != (uint64_t)1 << (r.span - shift) || low != r.base)
        return -1;
    for (uint64_t i = 1; i <= count; i++)
        if (before[r.first + (int64_t)i] + 1 != low + i * width)
            return -1;
    return shift;
}

/* A word of its parts. */
static uint32_t make_word(uint32_t flags, uint64_t bias, int shift)
{
    return flags | (uint32_t)(bias & LOOKUP_PLACES) << 6 | (uint32_t)shift;
}

/* The word for a range whose first or last key is apart; 0 if it is no such range. */
static uint32_t apart_word(const struct lookup *lookup, struct range r)
{
    uint64_t first = lookup->before[r.first] + 1, next = lookup->before[r.last] + 1;
    if (r.last != r.first + 1 || first != r.base)
        return 0;
    if (next == r.base + 1)
        return make_word(LOOKUP_APART, (uint64_t)r.first, r.span);
    if (next == r.base + (((uint64_t)1 << r.span) - 1))
        return make_word(LOOKUP_APART | LOOKUP_AT_END, (uint64_t)r.first, r.span);
    return 0;
}

/* How often to halve a range until no part needs to be searched; `most` is enough. */
static int halvings(const struct lookup *lookup, struct range r, int most)
{
    if (r.last - r.first < FEW_CELLS && most > FEW_HALVINGS)
        most = FEW_HALVINGS;
    if (most == 0 || even_shift(lookup, r) >= 0 || apart_word(lookup, r))
        return 0;
    struct range half = {r.base, r.span - 1, r.first, 0};
    half = range_fit(lookup, half, r.last);
    int left = halvings(lookup, half, most - 1);
    if (left == most - 1) /* the other half cannot ask for more */
        return most;
    half.base += (uint64_t)1 << half.span;
    half = range_fit(lookup, half, r.last);
    int right = halvings(lookup, half, most - 1);
    return 1 + (left > right ? left : right);
}

/* The word to search for one of the cells of a range. */
static uint32_t search_word(struct range r)
{
    int shift = 0;
    while ((int64_t)1 << shift < r.last - r.first + 1)
        shift++;
    return make_word(LOOKUP_SEARCH, (uint64_t)r.first, shift);
}

/* Makes the word of a range, and the tables below it at the end of the words. */
static uint32_t make_range(struct lookup *lookup, struct range r, int depth)
{
    int shift = even_shift(lookup, r), most = 0;
    if (shift >= 0)
        return make_word(0, (uint64_t)r.first - ((lookup->before[r.first] + 1) >> shift), shift);
    uint32_t apart = apart_word(lookup, r);
    if (apart || r.last - r.first < FEW_CELLS || depth == MAX_DEPTH)
        return apart ? apart : search_word(r);
    while (most < r.span && (int64_t)1 << most < (r.last - r.first) << lookup->slots_log2 >> 1)
        most++;
    int split = halvings(lookup, r, most);
    int64_t place = lookup->num_words;
    struct range slot = {r.base, r.span - split, r.first, 0};
    lookup->num_words += (int64_t)1 << split;
    for (int64_t i = 0; i < (int64_t)1 << split; i++) {
        slot = range_fit(lookup, slot, r.last);
        lookup->word[place + i] = make_range(lookup, slot, depth + 1);
        slot.base += (uint64_t)1 << slot.span;
    }
    return make_word(LOOKUP_TABLE, (uint64_t)place - (r.base >> slot.span), slot.span);
}

/* Makes all words. */
static void make_words(struct lookup *lookup, int64_t top)
{
    struct range r = {0, lookup->top_shift, 0, 0};
    lookup->num_words = top;
    for (int64_t i = 0; i < top; i++) {
        r.base = (uint64_t)i << lookup->top_shift;
        r = range_fit(lookup, r, lookup->num_cells - 1);
        lookup->word[i] = make_range(lookup, r, 0);
    }
}

/* The map is compared in full, as an address may have been used again. */
bool lookup_serves(const struct lookup *lookup, const struct cell_map *map)
{
    if (!lookup->word || lookup->type != map->type || lookup->num_cells != map->num_cells)
        return false;
    for (int64_t i = 0; i < map->num_cells; i++)
        if (lookup->before[i] + 1 != map->low[i])
            return false;
    return true;
}

enum status lookup_set(struct lookup *lookup, const struct cell_map *map, int64_t n)
{
    enum status status = QO_OK;
    if (lookup_serves(lookup, map))
        return QO_OK;
    QO_CHECK(map->num_cells <= LOOKUP_MOST_CELLS, QO_INTERNAL,
             "a histogram of %lld cells is larger than its lookup; report it",
             (long long)map->num_cells);
    lookup_clear(lookup);
    lookup->type = map->type;
    lookup->num_cells = map->num_cells;
    lookup->slots_log2 = n / FEW_ELEMENTS < map->num_cells ? FEW_SLOTS_LOG2 : SLOTS_LOG2;
    lookup->top_shift = element_mantissa_bits(map->type) - LOOKUP_TOP_BITS;
    int64_t top = (int64_t)(element_last_key(map->type) >> lookup->top_shift) + 1;
    /* Room for the worst case, 12 words a cell; pages that are not touched cost nothing. */
    int64_t most = top + MAX_DEPTH * (map->num_cells << SLOTS_LOG2);
    QO_TRY(memory_alloc_large("cell lookup", map->num_cells + LOOKUP_BEYOND, sizeof *lookup->before,
                              &lookup->before));
    QO_TRY(memory_alloc_large("cell lookup", most, sizeof *lookup->word, &lookup->word));
    for (int64_t i = 0; i < map->num_cells; i++)
        lookup->before[i] = map->low[i] - 1;
    for (int64_t i = 0; i < LOOKUP_BEYOND; i++)
        lookup->before[map->num_cells + i] = element_last_key(map->type);
    make_words(lookup, top);
    assert(lookup->num_words <= most && most <= LOOKUP_PLACES);
done:
    if (status != QO_OK)
        lookup_clear(lookup);
    return status;
}

void lookup_clear(struct lookup *lookup)
{
    memory_free(lookup->before);
    memory_free(lookup->word);
    *lookup = (struct lookup){0};
}
