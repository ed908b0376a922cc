/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The regularised dynamic programme (Groenlund, Larsen, Mathiasen, Nielsen, Schneider, Song 2017,
 * arXiv 1701.07204). If a segment has a price, the cheapest partition into any number of segments
 * needs no count of them: D(j) = min over i < j of D(i) + cost(i, j) + price. The cost satisfies
 * the quadrangle inequality, so a later i that is better for one j is better for all larger ones:
 * the candidates form a queue, each with the place from which on it is the best. The number of
 * segments falls as the price rises, and the price is searched until it is k.
 *
 * If the least costs of k - 1, k and k + 1 segments lie on a line, no price gives k. Then two
 * partitions of one price, into fewer and into more segments, are spliced into one of k that costs
 * no more (Aggarwal, Schieber, Tokuyama 1994, minimum weight k-link path).
 *
 * For every price, D(n) - price * k is at most the cost of any k segments (weak duality): the bound
 * does not depend on how the search went. Cost: O(n) evaluations of a segment a price in practice,
 * O(n log n) at worst; some five to ten prices.
 */
#include "partition.h"

#include <math.h>

#include "memory.h"
#include "root.h"

/* Prices tried at most; each halves what is left in the worst case. */
#define MAX_PRICES 200

/* Guesses by the power law before every other price is that of the line through both bounds, which
 * either finds something new or ends the search. */
#define MAX_GUESSES 4

/* By so much more than the law says a price changes, times the square of the tries: wide steps
 * waste evaluations where the law holds, as it nearly does for smooth densities. */
#define PUSH 0x1p-6

/* A price that is so many times what the error suggests costs more digits than it may. */
#define DROWNING 16

/* Bounds so few segments apart that their line is as good a guess as any, and decides. */
#define NEAR 3

/* A candidate for the start of the last segment, the best one from `from` on. */
struct candidate {
    int32_t start, from;
};

/* The cheapest partition for one price. */
struct trial {
    double price;
    double total;  /* D(n) as computed */
    double error;  /* of its segments, added up by themselves: prices can be far larger */
    int32_t count; /* segments */
    int32_t *end;  /* [count] as in struct partition; room for n */
};

struct search {
    const struct segments *segments;
    int k;
    double *best;            /* [n + 1]: D */
    int32_t *start;          /* [n + 1]: of the last segment before a point */
    struct candidate *queue; /* [n + 1] */
    struct trial fewer;      /* count <= k, or none yet (count 0) */
    struct trial more;       /* count >= k, or none yet */
    double lower;
};

/* What the points before `last` cost if their last segment begins at a candidate. */
static inline double cost_from(const struct search *search, int64_t start, int64_t last)
{
    return search->best[start] + segments_cost(search->segments, start, last);
}

/*
 * The first place in (from, n] from which on the newer candidate is no worse, or n + 1. Places are
 * tried at doubling distances, then by halves: candidates mostly take over one after the other, a
 * place apart.
 */
static int64_t take_over(const struct search *search, int64_t older, int64_t newer, int64_t from)
{
    int64_t n = search->segments->n, low = from, step = 1;
    while (low + step <= n &&
           cost_from(search, newer, low + step) > cost_from(search, older, low + step)) {
        low += step;
        step *= 2;
    }
    /* Not at low; at low + step, or not at all. */
    int64_t high = low + step <= n ? low + step : n + 1;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (cost_from(search, newer, middle) > cost_from(search, older, middle))
            low = middle;
        else
            high = middle;
    }
    return high;
}

/* Puts candidate j behind those that are better somewhere; *count is the queue's end. */
static void add_candidate(struct search *search, int64_t front, int64_t *count, int64_t j)
{
    struct candidate *queue = search->queue;
    while (*count > front) {
        int64_t from = queue[*count - 1].from > j ? queue[*count - 1].from : j + 1;
        if (cost_from(search, j, from) > cost_from(search, queue[*count - 1].start, from)) {
            from = take_over(search, queue[*count - 1].start, j, from);
            if (from <= search->segments->n)
                queue[(*count)++] = (struct candidate){(int32_t)j, (int32_t)from};
            return;
        }
        (*count)--; /* worse from its own place on */
    }
    queue[(*count)++] = (struct candidate){(int32_t)j, (int32_t)(j + 1)};
}

/* Reads the segments off the starts, last one first. */
static void trace(const struct search *search, struct trial *trial)
{
    int64_t n = search->segments->n;
    trial->count = 0;
    for (int64_t j = n; j > 0; j = search->start[j])
        trial->count++;
    int64_t i = trial->count;
    for (int64_t j = n; j > 0; j = search->start[j])
        trial->end[--i] = (int32_t)j;
}

/* What the segments of a trial cost. */
static double direct_error(const struct search *search, const struct trial *trial)
{
    double sum = 0;
    int64_t first = 0;
    for (int32_t s = 0; s < trial->count; s++) {
        sum += segments_cost(search->segments, first, trial->end[s]);
        first = trial->end[s];
    }
    return sum;
}

/* The programme for one price. */
static void try_price(struct search *search, double price, struct trial *trial)
{
    int64_t n = search->segments->n, front = 0, count = 1;
    search->best[0] = 0;
    search->queue[0] = (struct candidate){0, 1};
    for (int64_t j = 1; j <= n; j++) {
        while (front + 1 < count && search->queue[front + 1].from <= j)
            front++;
        int64_t start = search->queue[front].start;
        search->best[j] = cost_from(search, start, j) + price;
        search->start[j] = (int32_t)start;
        if (j < n)
            add_candidate(search, front, &count, j);
    }
    trial->price = price;
    trial->total = search->best[n];
    trace(search, trial);
    trial->error = direct_error(search, trial);
}

/*
 * What a trial proves. A comparison may be decided wrongly by the rounding of its two sides: a
 * candidate then loses its place to one that is worse by as little, and a chain of candidates may
 * do so one after the other. The bound on the rounding of a cost counts 16 roundings for every
 * point, of which a segment has but few, and so has room for such chains too; once a segment, they
 * add up to no more than this part of the total.
 */
static void raise_lower(struct search *search, const struct trial *trial)
{
    double part = 4.0 * ((double)trial->count + 1) * segments_rounding(search->segments);
    double lower = trial->total * (1 - part) - trial->price * search->k * (1 + 0x1p-50);
    if (lower > search->lower)
        search->lower = lower;
}

/* Keeps a trial as the new bound on its side, or as both. */
static void keep(struct search *search, struct trial *trial)
{
    raise_lower(search, trial);
    struct trial *side = trial->count <= search->k ? &search->fewer : &search->more;
    int32_t *end = side->end;
    *side = *trial;
    trial->end = end; /* their arrays change places */
}

/* The next price by the law error ~ 1 / count^2, hence price ~ 1 / count^3: between two bounds by
 * interpolation, beyond one by extrapolation, a little further each time it falls short. */
static double guess_price(const struct search *search, int tried)
{
    const struct trial *fewer = &search->fewer, *more = &search->more;
    double k = search->k, push = 1 - tried * tried * PUSH;
    if (more->count == 0) {
        double ratio = fewer->count / (k + 0.5);
        double price = fewer->price * fmin(ratio * ratio * ratio, push > 0.1 ? push : 0.1);
        return fmin(price, fewer->error); /* no further segment can save more */
    }
    if (fewer->count == 0) {
        double ratio = (k - 0.5) / more->count;
        return more->price / fmin(ratio * ratio * ratio, push > 0.1 ? push : 0.1);
    }
    double a = 1 / root_cube(fewer->price), b = 1 / root_cube(more->price);
    double t = (k - fewer->count) / (more->count - fewer->count);
    double root = a + t * (b - a);
    return 1 / (root * root * root);
}

/* The price for which both bounds are equally good. */
static double line_price(const struct search *search)
{
    return (search->fewer.error - search->more.error) / (search->more.count - search->fewer.count);
}

/* The bounds that need no search, one segment and a segment a point, where one is missing. */
static void set_outer(struct search *search)
{
    int64_t n = search->segments->n;
    struct trial *fewer = &search->fewer, *more = &search->more;
    if (fewer->count == 0) {
        fewer->count = 1;
        fewer->end[0] = (int32_t)n;
        fewer->error = segments_cost(search->segments, 0, n);
    }
    if (more->count == 0) {
        more->count = (int32_t)n;
        more->error = 0;
        for (int64_t i = 0; i < n; i++)
            more->end[i] = (int32_t)(i + 1);
    }
}

/*
 * Where k segments fit the data far better than k - 1 (as many peaks as levels), a wide range of
 * prices gives k, and one far above the error drowns it in its rounding. So lower ones are tried:
 * first what the law of the error says, and then the error itself, which is never too low, since
 * one more segment cannot save more than all of it.
 */
static void settle(struct search *search, struct trial *trial)
{
    double error = search->fewer.error;
    const double lower_price[] = {2 * error / search->k, error};
    for (int i = 0; i < 2 && error > 0; i++) {
        if (search->fewer.price <= DROWNING * lower_price[i])
            return;
        try_price(search, lower_price[i], trial);
        if (trial->count == search->k)
            keep(search, trial);
        else
            raise_lower(search, trial);
    }
}

/* Whether the next price is that of the line through both bounds: when they are near, or the law of
 * the error has not helped. Every third one is not, as lines alone can creep. */
static bool is_line_next(const struct search *search, int tried)
{
    if (search->fewer.count == 0 || search->more.count == 0)
        return false;
    bool near = search->more.count - search->fewer.count <= NEAR;
    return near || (tried > MAX_GUESSES && tried % 3 != 0);
}

static double next_price(const struct search *search, int tried)
{
    if (is_line_next(search, tried))
        return line_price(search);
    const struct trial *fewer = &search->fewer, *more = &search->more;
    /* Where the law fails, the middle of a range of many decades. */
    if (tried > MAX_GUESSES && fewer->price > 0 && more->price > 0)
        return sqrt(fewer->price) * sqrt(more->price);
    return tried > MAX_GUESSES ? line_price(search) : guess_price(search, tried);
}

/*
 * Searches prices until a trial has k segments, or both bounds are best for one price. Returns
 * whether the latter: then they are to be spliced.
 */
static bool search_price(struct search *search, double price, struct trial *trial)
{
    for (int tried = 0; tried < MAX_PRICES; tried++) {
        if (tried > MAX_GUESSES)
            set_outer(search);
        bool bounded = search->fewer.count > 0 && search->more.count > 0;
        bool on_line = is_line_next(search, tried);
        if (tried > 0)
            price = next_price(search, tried);
        if (!(price > 0) || !isfinite(price)) {
            if (on_line) /* both bounds cost the same: nothing to be won by further segments */
                return true;
            tried = MAX_GUESSES;
            continue;
        }
        try_price(search, price, trial);
        int32_t count = trial->count;
        bool new_count = !bounded || (count > search->fewer.count && count < search->more.count);
        if (!new_count && on_line) {
            raise_lower(search, trial);
            return true;
        }
        keep(search, trial);
        if (count == search->k) {
            settle(search, trial);
            return false;
        }
    }
    return search->fewer.count < search->k;
}

/* Adds up the ends of q's first segments and of p's last ones. */
static void splice_at(const struct trial *p, const struct trial *q, int i, int d,
                      struct partition *partition)
{
    int at = 0;
    for (int s = 0; s < i + d; s++)
        partition->end[at++] = q->end[s];
    for (int s = i; s < p->count; s++)
        partition->end[at++] = p->end[s];
}

/* Where a partition's segment s begins. */
static int64_t begin_of(const struct trial *trial, int s)
{
    return s > 0 ? trial->end[s - 1] : 0;
}

/*
 * k segments from fewer (p) and more (q): somewhere a segment of p contains the one of q whose
 * number is larger by d = k - count of p. There the two change places: q's head, p's tail.
 */
static void splice(const struct search *search, struct partition *partition)
{
    const struct trial *p = &search->fewer, *q = &search->more;
    int d = search->k - p->count;
    for (int i = 0; i < p->count; i++) {
        if (begin_of(p, i) <= begin_of(q, i + d) && q->end[i + d] <= p->end[i]) {
            splice_at(p, q, i, d, partition);
            return;
        }
    }
}

static enum status search_open(struct search *search, struct trial *trial)
{
    enum status status;
    int64_t n = search->segments->n;
    QO_TRY(memory_alloc_large("costs", n + 1, sizeof(double), &search->best));
    QO_TRY(memory_alloc_large("starts", n + 1, sizeof(int32_t), &search->start));
    QO_TRY(memory_alloc_large("candidates", n + 1, sizeof(struct candidate), &search->queue));
    QO_TRY(memory_alloc_large("segments", n, sizeof(int32_t), &search->fewer.end));
    QO_TRY(memory_alloc_large("segments", n, sizeof(int32_t), &search->more.end));
    QO_TRY(memory_alloc_large("segments", n, sizeof(int32_t), &trial->end));
done:
    return status;
}

static void search_close(struct search *search, struct trial *trial)
{
    memory_free(search->best);
    memory_free(search->start);
    memory_free(search->queue);
    memory_free(search->fewer.end);
    memory_free(search->more.end);
    memory_free(trial->end);
}

enum status partition_find(const struct segments *segments, int k, double price,
                           struct partition *partition)
{
    enum status status;
    struct search search = {.segments = segments, .k = k};
    struct trial trial = {0};
    *partition = (struct partition){0};
    QO_TRY(search_open(&search, &trial));
    if (k == 1) {
        set_outer(&search);
        partition->end[0] = segments->n;
        partition->lower = search.fewer.error * (1 - 4 * segments_rounding(segments));
        goto done;
    }
    if (search_price(&search, price, &trial)) {
        splice(&search, partition);
    } else {
        const struct trial *found = search.fewer.count == k ? &search.fewer : &search.more;
        for (int s = 0; s < k; s++)
            partition->end[s] = found->end[s];
    }
    partition->lower = search.lower;
done:
    search_close(&search, &trial);
    return status;
}
