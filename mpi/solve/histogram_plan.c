/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the cells lie. A quantizer cuts cells, and what it cannot know of a cell is what its
 * certificate loses; that loss is least if cells, like levels, follow density^(1/3) (Panter and
 * Dite 1951). The density is estimated from a sorted sample: a group of consecutive samples spans a
 * width, and gets cells in proportion to count^(1/3) * width^(2/3), the integral of density^(1/3)
 * over it. These are wishes, which histogram_deal.c fulfils by cells that are found fast.
 *
 * Three things a density cannot tell are treated first. Repeated values (fills, integers, zeros)
 * get cells of their own. A spacing far wider than those around it is a gap between peaks: it would
 * else take nearly all cells, and gets a few that widen towards its middle, as do the tails outside
 * the sample. And every binade has some cells, for what no sample showed.
 */
#include <assert.h>
#include <float.h>
#include <math.h>

#include "histogram.h"
#include "histogram_cell.h"
#include "histogram_deal.h"
#include "memory.h"
#include "root.h"

/* More cells than this are never made: 48 bytes a cell and thread. */
#define MAX_LOWS 131072

/* A sample with at most this many distinct values is taken for a discrete vector, all of it
 * isolated. */
#define MAX_DISCRETE 16384

/* Occurrences of a value in a sample by which it stands out: among 65,536 draws from the 2^23
 * numbers of a float32 binade some 250 pairs are chance, and now and then a triple, but hardly ever
 * four. A cell of its own in the midst of others would make all around it slower to find. */
#define MIN_REPEATS 4

/* Samples in a group. With 32 its width is right to 1 / sqrt(32) = 18 %, which costs less than 1 %
 * of the error; more would blur the density. Small samples have smaller groups. */
#define MAX_GROUP  32
#define MIN_GROUP  16
#define MAX_GROUPS (HISTOGRAM_SAMPLE / MAX_GROUP)

/* A gap is a spacing wider than so many times each of the next few on both sides. In a smooth
 * density, where spacings are exponential, the chance of one is 8! 32! / 40! = 1 / 76,904,685;
 * cells beside it would be slow to find. In a heavy tail, where they grow outwards, the neighbour
 * is nearly as wide. */
#define GAP_RATIO 32
#define GAP_REACH 4

/* The most cells for one spacing by density: a gap that is not seen as one, between clusters of
 * which the sample shows two or three elements, would else take nearly all. */
#define SPAN_CELLS     128
#define DENSITY_ROUNDS 4

/* Cells for all gaps together, but for one at least; for a tail, which has 2,100 octaves at most.
 */
#define GAP_CELLS     4096
#define GAP_MIN_CELLS 4
#define TAIL_CELLS    4096

/* A skirt: octaves next to samples are cut into so many parts, each farther one into half as many.
 * From the mean spacing of 32 extremes, 8 octaves reach beyond any further element of a normal
 * vector, and 64 parts make what lies there no greater loss than what lies within. */
#define SKIRT_OCTAVES 8
#define SKIRT_PARTS   64

/* Cells dealt out evenly over the sample, so that what a few extremes leave to the bulk is enough
 * when the extremes become outliers. */
#define EVEN_CELLS 8192

/* A stretch between samples, from sample `first` to sample `last` of the rest. */
struct span {
    int64_t first, last;
    double fine;   /* of a gap: the widest spacing around it; 0 for dense spans */
    double weight; /* of a dense span: the integral of density^(1/3) over it; 0 for gaps */
};

/* A plan in the making. */
struct plan {
    enum element_type type;
    uint64_t *low; /* [num_lows], keys at which cells begin, in any order until the end */
    int64_t num_lows;
    uint64_t *scratch; /* [MAX_LOWS] for sorting */
    uint64_t *rest;    /* [num_rest], ascending keys that are not isolated */
    double *value;     /* [num_rest], their values */
    int64_t num_rest;
    struct span *span; /* [num_spans], at most one a sample and one a spacing */
    int64_t num_spans;
    int64_t num_gaps;
    struct wish *wish; /* [num_wishes], at most one a span */
    int64_t num_wishes;
    int64_t num_wanted; /* cells for all wishes */
};

/* Sorts from[n] into to[n] by the byte at `shift`, equal ones in the order they have. */
static void sort_by_byte(const uint64_t *from, uint64_t *to, int64_t n, int shift)
{
    int64_t start[257] = {0};
    for (int64_t i = 0; i < n; i++)
        start[((from[i] >> shift) & 255) + 1]++;
    for (int b = 0; b < 256; b++)
        start[b + 1] += start[b];
    for (int64_t i = 0; i < n; i++)
        to[start[(from[i] >> shift) & 255]++] = from[i];
}

/* Sorts key[n] by bytes, the least first; bytes in which all keys agree are skipped. */
static void sort_keys(uint64_t *key, uint64_t *scratch, int64_t n)
{
    uint64_t differ = 0, *from = key, *to = scratch;
    for (int64_t i = 1; i < n; i++)
        differ |= key[i] ^ key[0];
    for (int shift = 0; shift < 64; shift += 8) {
        if ((differ >> shift & 255) == 0)
            continue;
        sort_by_byte(from, to, n, shift);
        uint64_t *other = from;
        from = to;
        to = other;
    }
    if (from != key)
        memcpy(key, from, (size_t)n * sizeof *key);
}

/* Lets a cell begin at a key. When the table is full a wish is dropped: binades come first and
 * always fit. */
static void plan_cut(struct plan *plan, uint64_t key)
{
    if (plan->num_lows < MAX_LOWS && key <= element_last_key(plan->type))
        plan->low[plan->num_lows++] = key;
}

/* Lets a cell begin at the number of the type nearest to x. */
static void plan_cut_value(struct plan *plan, double x)
{
    plan_cut(plan, element_key(plan->type, element_from_double(plan->type, x)));
}

/* Gives a key a cell of its own. */
static void plan_isolate(struct plan *plan, uint64_t key)
{
    plan_cut(plan, key);
    plan_cut(plan, key + 1);
}

/* All binades, each in a few parts: 8 for the 512 of float32, 2 for the 4096 of float64. */
static void plan_binades(struct plan *plan)
{
    uint64_t binade = cell_map_binade(plan->type);
    uint64_t count = element_last_key(plan->type) / binade + 1;
    uint64_t parts = plan->type == ELEMENT_F32 ? 8 : 2;
    for (uint64_t i = 0; i < count; i++) {
        for (uint64_t j = 0; j < parts; j++)
            plan_cut(plan, i * binade + j * (binade / parts));
    }
}

/* How often a key at the start of a sorted run of n occurs. */
static int64_t run_length(const uint64_t *key, int64_t n)
{
    int64_t i = 1;
    while (i < n && key[i] == key[0])
        i++;
    return i;
}

/* A sorted sample shows a discrete vector if it has few distinct keys, most of them more than once.
 * Zeros with a few numbers between have few distinct keys too, but no repeated ones among the
 * numbers. */
static bool is_discrete(const uint64_t *key, int64_t n)
{
    int64_t distinct = 0, once = 0;
    for (int64_t i = 0, run; i < n; i += run) {
        run = run_length(key + i, n - i);
        distinct++;
        once += run == 1;
    }
    return distinct <= MAX_DISCRETE && once <= distinct / 2;
}

/* Isolates the keys that stand out in a sorted sample; the others become the rest. Of a discrete
 * vector every key stands out and is, once, in the rest too: values not seen lie among those that
 * were. */
static void plan_split_sample(struct plan *plan, const uint64_t *key, int64_t n)
{
    bool discrete = is_discrete(key, n);
    for (int64_t i = 0, run; i < n; i += run) {
        run = run_length(key + i, n - i);
        int64_t copies = discrete ? 1 : run < MIN_REPEATS ? run : 0;
        if (discrete || run >= MIN_REPEATS)
            plan_isolate(plan, key[i]);
        for (int64_t j = 0; j < copies; j++) {
            plan->rest[plan->num_rest] = key[i];
            plan->value[plan->num_rest++] = histogram_key_value(plan->type, key[i]);
        }
    }
}

/* b - a, or the largest number if that overflows. */
static double width(double a, double b)
{
    double w = b - a;
    return w < DBL_MAX ? w : DBL_MAX;
}

/* The widest spacing near the one behind sample i; 0 if there is none. */
static double spacing_around(const struct plan *plan, int64_t i)
{
    double widest = 0;
    int64_t first = i > GAP_REACH ? i - GAP_REACH : 0, last = i + GAP_REACH;
    for (int64_t j = first; j <= last && j + 1 < plan->num_rest; j++) {
        double w = j != i ? width(plan->value[j], plan->value[j + 1]) : 0;
        widest = w > widest ? w : widest;
    }
    return widest;
}

/* count^(1/3) * width^(2/3), as two roots because a square could overflow. */
static double density_weight(const struct plan *plan, int64_t first, int64_t last)
{
    double w = root_cube(width(plan->value[first], plan->value[last]));
    return root_cube((double)(last - first)) * w * w;
}

/* Ends a dense span and begins the next where it ends. */
static void plan_span(struct plan *plan, int64_t *first, int64_t last)
{
    double weight = density_weight(plan, *first, last);
    plan->span[plan->num_spans++] = (struct span){.first = *first, .last = last, .weight = weight};
    *first = last;
}

/* Lists the gaps of the rest, and between them dense spans of a group each. */
static void plan_spans(struct plan *plan, int64_t group)
{
    int64_t first = 0, n = plan->num_rest;
    for (int64_t i = 0; i + 1 < n; i++) {
        double around = spacing_around(plan, i);
        if (around > 0 && width(plan->value[i], plan->value[i + 1]) > GAP_RATIO * around) {
            plan_span(plan, &first, i);
            plan->span[plan->num_spans++] =
                (struct span){.first = i, .last = i + 1, .fine = around};
            plan->num_gaps++;
            first = i + 1;
        } else if (i + 1 - first >= group) {
            plan_span(plan, &first, i + 1);
        }
    }
    plan_span(plan, &first, n - 1);
}

/* The largest finite number of a type. */
static double largest_number(enum element_type type)
{
    uint64_t sign = element_sign(type);
    uint64_t infinity = sign | ((sign - 1) & ~(cell_map_binade(type) - 1));
    return histogram_key_value(type, infinity - 1);
}

/* Cells beside samples, at most `most`: from the outermost one out to `reach` (side is 1 or -1) the
 * distance `fine`, and then octaves of the distance. */
static void plan_skirt(struct plan *plan, double end, double fine, double reach, int side,
                       int64_t most)
{
    double limit = largest_number(plan->type), from = 0, step = fine;
    int64_t parts = most / (2 * SKIRT_OCTAVES);
    if (parts > SKIRT_PARTS)
        parts = SKIRT_PARTS;
    for (int octave = 0; step > 0 && from < reach && fabs(end + side * from) <= limit; octave++) {
        if (octave >= SKIRT_OCTAVES)
            parts /= 2;
        int64_t cells = parts > 0 ? parts : 1;
        for (int64_t i = 1; i <= cells && most > 0; i++, most--) {
            double x = end + side * (from + step * ((double)i / (double)cells));
            if (fabs(x) <= limit)
                plan_cut_value(plan, x);
        }
        from += step;
        step = from;
    }
}

/* A gap is cut in the middle, so that no cell holds elements from both ends, and has a skirt from
 * each of them. */
static void plan_gap(struct plan *plan, const struct span *gap)
{
    double a = plan->value[gap->first], b = plan->value[gap->last], half = 0.5 * width(a, b);
    int64_t most = GAP_CELLS / 2 / plan->num_gaps;
    if (most < GAP_MIN_CELLS / 2)
        most = GAP_MIN_CELLS / 2;
    plan_cut(plan, plan->rest[gap->first] + 1);
    plan_cut(plan, plan->rest[gap->last]);
    plan_cut_value(plan, a + half);
    plan_skirt(plan, a, gap->fine, half, 1, most);
    plan_skirt(plan, b, gap->fine, half, -1, most);
}

/* Outside the sample, a skirt from each of its ends to the largest number. */
static void plan_tails(struct plan *plan, int64_t group)
{
    int64_t n = plan->num_rest, edge = group < n ? group : n - 1;
    if (edge == 0)
        return;
    const double *first = plan->value, *last = plan->value + n - 1;
    double fine = width(first[0], first[edge]) / (double)edge;
    plan_skirt(plan, first[0], fine, DBL_MAX, -1, TAIL_CELLS);
    fine = width(last[-edge], last[0]) / (double)edge;
    plan_skirt(plan, last[0], fine, DBL_MAX, 1, TAIL_CELLS);
}

/* Cells of a dense span if cells are `rate` per weight. */
static double span_cells(const struct span *span, double rate)
{
    double m = rate * span->weight, most = SPAN_CELLS * (double)(span->last - span->first);
    return m < most ? m : most;
}

/* The rate by which the dense spans get `cells` in all. What spans at their limit leave raises that
 * of the others; a few rounds find it near enough. */
static double density_rate(const struct plan *plan, double cells)
{
    double rate = 0;
    for (int round = 0; round < DENSITY_ROUNDS; round++) {
        double limited = 0, weights = 0;
        for (int64_t i = 0; i < plan->num_spans; i++) {
            const struct span *span = &plan->span[i];
            double m = span_cells(span, rate);
            if (m < rate * span->weight)
                limited += m;
            else
                weights += span->weight;
        }
        if (!(weights > 0))
            break;
        rate = (cells - limited) / weights;
    }
    return rate;
}

/* Wishes for the cells that are left: some evenly by count, the others by density^(1/3). */
static void plan_wishes(struct plan *plan)
{
    int64_t left = HISTOGRAM_CELLS - plan->num_lows, even = EVEN_CELLS;
    if (left < 2 * even) /* mostly isolated values: the rest of the cells is small change */
        left = 2 * even;
    double rate = density_rate(plan, (double)(left - even));
    for (int64_t i = 0; i < plan->num_spans; i++) {
        const struct span *span = &plan->span[i];
        uint64_t first = plan->rest[span->first], last = plan->rest[span->last];
        if (span->fine > 0)
            continue;
        double share = (double)(span->last - span->first) / (double)plan->num_rest;
        if (first < last)
            plan->wish[plan->num_wishes++] =
                (struct wish){first, last, (double)even * share + span_cells(span, rate)};
        else
            plan_isolate(plan, first);
    }
    plan->num_wanted = left;
}

/* Groups of the rest, their gaps, the tails on both sides, and then the density. */
static void plan_rest(struct plan *plan)
{
    int64_t n = plan->num_rest, group = (n + MAX_GROUPS - 1) / MAX_GROUPS;
    if (n == 0)
        return;
    if (group < MIN_GROUP)
        group = MIN_GROUP;
    plan_spans(plan, group);
    for (int64_t i = 0; i < plan->num_spans; i++) {
        if (plan->span[i].fine > 0)
            plan_gap(plan, &plan->span[i]);
    }
    plan_tails(plan, group);
    plan_wishes(plan);
}

/* Sorts the lows and drops repeated ones. */
static void plan_sort(struct plan *plan)
{
    sort_keys(plan->low, plan->scratch, plan->num_lows);
    int64_t n = 1;
    for (int64_t i = 1; i < plan->num_lows; i++) {
        if (plan->low[i] != plan->low[n - 1])
            plan->low[n++] = plan->low[i];
    }
    plan->num_lows = n;
}

/* Adds the cells that the wishes ask for to those that begin at certain keys. */
static enum status plan_deal(struct plan *plan)
{
    plan_sort(plan);
    int64_t n = plan->num_lows;
    struct low_list list = {.low = plan->low + n, .room = MAX_LOWS - n};
    enum status status = histogram_deal(plan->type, plan->wish, plan->num_wishes, plan->low, n,
                                        plan->num_wanted, &list);
    plan->num_lows += list.num;
    plan_sort(plan);
    return status;
}

/* A cell a key: nothing to search for. */
static enum status plan_every_key(struct cell_map *map, enum element_type type)
{
    enum status status;
    uint64_t *low = NULL;
    int64_t n = (int64_t)element_last_key(type) + 1;
    QO_TRY(memory_alloc("cells", n, sizeof *low, &low));
    for (int64_t i = 0; i < n; i++)
        low[i] = (uint64_t)i;
    QO_TRY(histogram_map(map, type, low, n));
done:
    memory_free(low);
    return status;
}

/* Merges the distinct ones of sorted key[n] and the beginnings of all binades into low[]; returns
 * their number. */
static int64_t merge_binades(enum element_type type, const uint64_t *key, int64_t n, uint64_t *low)
{
    uint64_t binade = cell_map_binade(type), count = element_last_key(type) / binade + 1;
    int64_t num = 0, i = 0;
    for (uint64_t b = 0; b < count; b++) {
        low[num++] = b * binade;
        for (; i < n && key[i] - b * binade < binade; i++)
            if (key[i] != low[num - 1])
                low[num++] = key[i];
    }
    return num;
}

/* A cell for each distinct value of a vector that is known as a whole. */
static enum status plan_whole(struct cell_map *map, enum element_type type, uint64_t *key,
                              int64_t n)
{
    enum status status;
    int64_t most = n + (int64_t)(element_last_key(type) / cell_map_binade(type)) + 1;
    uint64_t *low = NULL; /* serves for sorting first */
    QO_TRY(memory_alloc_large("cells", most, sizeof *low, &low));
    sort_keys(key, low, n);
    QO_TRY(histogram_map(map, type, low, merge_binades(type, key, n, low)));
done:
    memory_free(low);
    return status;
}

/* Cells by the density of a sample. */
static enum status plan_sampled(struct cell_map *map, enum element_type type, uint64_t *key,
                                int64_t n)
{
    enum status status;
    struct plan plan = {.type = type};
    /* Room for the worst case; pages that are not touched cost nothing. */
    QO_TRY(memory_alloc_large("cells", MAX_LOWS, sizeof *plan.low, &plan.low));
    QO_TRY(memory_alloc_large("cells, sorting", MAX_LOWS, sizeof *plan.scratch, &plan.scratch));
    QO_TRY(memory_alloc_large("sample", n, sizeof *plan.rest, &plan.rest));
    QO_TRY(memory_alloc_large("sample values", n, sizeof *plan.value, &plan.value));
    QO_TRY(memory_alloc_large("sample spans", 2 * n + 1, sizeof *plan.span, &plan.span));
    QO_TRY(memory_alloc_large("wishes", 2 * n + 1, sizeof *plan.wish, &plan.wish));
    sort_keys(key, plan.scratch, n);
    plan_binades(&plan);
    plan_split_sample(&plan, key, n);
    plan_rest(&plan);
    QO_TRY(plan_deal(&plan));
    QO_TRY(histogram_map(map, type, plan.low, plan.num_lows));
done:
    memory_free(plan.low);
    memory_free(plan.scratch);
    memory_free(plan.rest);
    memory_free(plan.value);
    memory_free(plan.span);
    memory_free(plan.wish);
    return status;
}

enum status histogram_plan(struct cell_map *map, enum element_type type, uint64_t *key, int64_t n,
                           bool whole)
{
    *map = (struct cell_map){0};
    assert(n >= 0 && n <= HISTOGRAM_SAMPLE);
    /* 65,536 keys are few enough: no choice is to be made, and every figure is exact. */
    if (element_size(type) == 2)
        return plan_every_key(map, type);
    return whole ? plan_whole(map, type, key, n) : plan_sampled(map, type, key, n);
}
