/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The best even grid by branch and bound, with a proof. A point x costs (x-a)^2 + s * min over q of
 * (s q^2 - 2 q (x-a)) for step s and centre a: the sum of these minima, the `rest`, is concave in
 * (s, a), being made of minima of linear functions. So on a triangle (an interval where a is fixed)
 * the plane through its values at the corners lies below it, and the error is at least a quadratic
 * whose minimum on the triangle is known in closed form. Simplices whose bound is not below the
 * best error found are dropped; of the others the most promising one is halved across the edge on
 * which the quadratic sags most. The sag is that of the points' moves between levels: it falls with
 * the square of the size, and is 0 where no point changes its level.
 *
 * The best error comes from the corners, and from the best grid for the assignment seen at a corner
 * (a Lloyd step), repeated while that helps. Cost: a look, O(levels), a split.
 */
#include "grid_search.h"

#include <math.h>
#include <string.h>

#include "memory.h"

/* This part of the sum of squares about the mean is rounding: sums are kept to about 2^-104. */
#define ROUNDING 0x1p-96

/* Where proof is out of reach, the time should go where errors are low rather than where bounds
 * are: of the sag, only this part counts when a simplex is chosen. */
#define HOPE 0.125

/* Lloyd steps after a look: few points stand still after that many, and for many points a step
 * moves next to nothing. */
#define LLOYD_STEPS 16

/* Splits end the search too: 12 MiB of corners and queue. Few looks so cheap are needed. */
#define MOST_SPLITS 131072

/* Room for most searches without asking again, and without a huge page to be cleared. */
#define FIRST_ROOM 4096

/* A corner. The middle of an edge is listed at the later of its two ends. */
struct vertex {
    struct grid grid;
    double error;
    struct wide rest;
    int32_t from;   /* the earlier end of the edge that this one halves */
    int32_t next;   /* the next middle in its list; -1 ends it */
    int32_t middle; /* the first middle of the list here */
};

/* An interval (two corners, the third is -1) or a triangle. */
struct simplex {
    double key;   /* the least one is split first */
    double bound; /* of the error */
    int32_t corner[3];
    int32_t edge; /* the one to halve: from this corner to the next */
};

struct search {
    const struct grid_error *error;
    bool free;
    double work; /* left */
    int64_t looks;
    struct grid_seen best;
    struct vertex *vertex;
    int32_t vertices;
    struct simplex *queue; /* a heap */
    int64_t queued, splits;
    int64_t room; /* for vertices, and for simplices */
};

/* A bound that is not below this is as good as the best error. */
static double target(const struct search *search)
{
    double best = search->best.error;
    return best - GRID_SEARCH_GAP * best - ROUNDING * search->error->spread;
}

static void look(struct search *search, struct grid grid, struct grid_seen *seen)
{
    grid_error_see(search->error, grid, seen);
    search->work -= seen->work;
    search->looks++;
}

/* Whether an error is below the best one by more than rounding. */
static bool improves(const struct search *search, double error)
{
    return error < search->best.error - ROUNDING * search->error->spread;
}

/* Lowers the best error from what a look has seen, if that leads below it. */
static void descend(struct search *search, struct grid_seen *seen)
{
    if (improves(search, seen->error))
        search->best = *seen;
    for (int i = 0; i < LLOYD_STEPS; i++) {
        struct grid grid = grid_error_fit(search->error, seen, search->free);
        if (!improves(search, grid_error_kept(search->error, seen, grid)))
            break;
        look(search, grid, seen);
        if (!improves(search, seen->error))
            break;
        search->best = *seen;
    }
}

static int32_t add_vertex(struct search *search, struct grid grid)
{
    struct grid_seen seen;
    look(search, grid, &seen);
    search->vertex[search->vertices] = (struct vertex){
        .grid = grid, .error = seen.error, .rest = seen.rest, .next = -1, .middle = -1};
    descend(search, &seen);
    return search->vertices++;
}

static struct grid halfway(const struct search *search, int32_t a, int32_t b)
{
    const struct grid *p = &search->vertex[a].grid, *q = &search->vertex[b].grid;
    return (struct grid){0.5 * (p->step + q->step), 0.5 * (p->centre + q->centre)};
}

/* The middle of an edge: the two triangles at an edge share it. An end has few edges, so the lists
 * are short. */
static int32_t middle_of(struct search *search, int32_t a, int32_t b)
{
    int32_t from = a < b ? a : b, to = a < b ? b : a;
    for (int32_t i = search->vertex[to].middle; i >= 0; i = search->vertex[i].next) {
        if (search->vertex[i].from == from)
            return i;
    }
    int32_t middle = add_vertex(search, halfway(search, a, b));
    search->vertex[middle].from = from;
    search->vertex[middle].next = search->vertex[to].middle;
    return search->vertex[to].middle = middle;
}

/* The sags of the quadratic on the edges 0-1, 1-2 and 2-0: four times how far the middle of an edge
 * lies below the mean of its ends. */
static void find_sags(const struct search *search, const int32_t *corner, double *sag)
{
    const struct vertex *o = &search->vertex[corner[0]], *p = &search->vertex[corner[1]];
    double ds = p->grid.step - o->grid.step, dr = wide_less(p->rest, o->rest).high;
    sag[0] = dr * ds;
    if (corner[2] < 0)
        return;
    const struct vertex *q = &search->vertex[corner[2]];
    double es = q->grid.step - o->grid.step, er = wide_less(q->rest, o->rest).high;
    double da = p->grid.centre - o->grid.centre, ea = q->grid.centre - o->grid.centre;
    double n = search->error->point[search->error->n].count, area = ds * ea - es * da;
    double by_step = (dr * ea - er * da) / area, by_centre = (ds * er - es * dr) / area;
    double fs = es - ds, fa = ea - da;
    sag[0] = n * da * da + by_centre * da * ds + by_step * ds * ds;
    sag[1] = n * fa * fa + by_centre * fa * fs + by_step * fs * fs;
    sag[2] = n * ea * ea + by_centre * ea * es + by_step * es * es;
}

/* The least value on an edge with errors a and b at its ends. */
static double edge_least(double a, double b, double sag)
{
    double part = 0.5 - (b - a) / (2 * sag); /* of the way from a to b */
    if (!(sag > 0 && part > 0 && part < 1))
        return fmin(a, b);
    return a - sag * part * part;
}

/* The least value inside a triangle with errors e at its corners; INFINITY if it is on its edges.
 * With parts x and y of the ways from corner 0 to 1 and 2 the quadratic is e0 + f x + g y + sag0
 * x^2
 * + sag2 y^2 + c x y. */
static double inner_least(const double *e, const double *sag)
{
    double f = e[1] - e[0] - sag[0], g = e[2] - e[0] - sag[2], c = sag[0] + sag[2] - sag[1];
    double det = 4 * sag[0] * sag[2] - c * c;
    if (!(sag[0] > 0 && det > 0))
        return INFINITY;
    double x = (c * g - 2 * sag[2] * f) / det, y = (c * f - 2 * sag[0] * g) / det;
    return x > 0 && y > 0 && x + y < 1 ? e[0] + 0.5 * (f * x + g * y) : INFINITY;
}

static bool differ(struct grid a, struct grid b)
{
    return a.step != b.step || a.centre != b.centre;
}

/* Sets bound, key and edge. Returns false for a simplex too small to be halved. */
static bool simplex_rate(const struct search *search, struct simplex *simplex)
{
    int corners = simplex->corner[2] < 0 ? 2 : 3;
    double sag[3], error[3], least = INFINITY;
    find_sags(search, simplex->corner, sag);
    for (int i = 0; i < corners; i++) {
        error[i] = search->vertex[simplex->corner[i]].error;
        least = fmin(least, error[i]);
    }
    simplex->edge = 0;
    simplex->bound = corners == 3 ? fmin(least, inner_least(error, sag)) : least;
    for (int i = 0; i < 2 * corners - 3; i++) {
        double lowest = edge_least(error[i], error[(i + 1) % corners], sag[i]);
        simplex->bound = fmin(simplex->bound, lowest);
        if (sag[i] > sag[simplex->edge])
            simplex->edge = i;
    }
    simplex->key = least - HOPE * (least - simplex->bound);
    int32_t a = simplex->corner[simplex->edge], b = simplex->corner[(simplex->edge + 1) % corners];
    struct grid middle = halfway(search, a, b);
    return differ(middle, search->vertex[a].grid) && differ(middle, search->vertex[b].grid);
}

static void queue_push(struct search *search, int32_t a, int32_t b, int32_t c)
{
    struct simplex simplex = {.corner = {a, b, c}};
    if (!simplex_rate(search, &simplex) || !(simplex.bound < target(search)))
        return;
    struct simplex *queue = search->queue;
    int64_t i = search->queued++;
    for (; i > 0 && queue[(i - 1) / 2].key > simplex.key; i = (i - 1) / 2)
        queue[i] = queue[(i - 1) / 2];
    queue[i] = simplex;
}

static struct simplex queue_pop(struct search *search)
{
    struct simplex *queue = search->queue, top = queue[0];
    int64_t n = --search->queued, i = 0, child;
    struct simplex last = queue[n];
    for (; (child = 2 * i + 1) < n; i = child) {
        child += child + 1 < n && queue[child + 1].key < queue[child].key;
        if (!(queue[child].key < last.key))
            break;
        queue[i] = queue[child];
    }
    queue[i] = last;
    return top;
}

static void split(struct search *search, const struct simplex *simplex)
{
    int corners = simplex->corner[2] < 0 ? 2 : 3, edge = simplex->edge;
    int32_t a = simplex->corner[edge], b = simplex->corner[(edge + 1) % corners];
    int32_t c = corners == 3 ? simplex->corner[(edge + 2) % 3] : -1;
    int32_t middle = middle_of(search, a, b);
    queue_push(search, a, middle, c);
    queue_push(search, middle, b, c);
    search->splits++;
}

static void begin(struct search *search, const struct grid_task *task)
{
    struct grid_seen seen;
    int corners = task->free ? 4 : 2;
    look(search, task->start, &seen);
    search->best = seen;
    descend(search, &seen);
    for (int i = 0; i < corners; i++)
        (void)add_vertex(search, task->corner[i]);
    queue_push(search, 0, 1, task->free ? 2 : -1);
    if (task->free)
        queue_push(search, 0, 2, 3);
}

/* Replaces a block of `used` bytes by one for `room` elements; *block stays if it fails. */
static enum status grow(const char *what, int64_t room, size_t size, size_t used, void **block)
{
    void *larger;
    enum status status = memory_alloc_large(what, room, size, &larger);
    if (status != QO_OK)
        return status;
    if (used > 0)
        memcpy(larger, *block, used);
    memory_free(*block);
    *block = larger;
    return QO_OK;
}

/* Room for a split, which adds a vertex and a simplex at most, or for the first few. */
static enum status make_room(struct search *search)
{
    enum status status = QO_OK;
    void *vertex = search->vertex, *queue = search->queue;
    int64_t n = search->vertices > search->queued ? search->vertices : search->queued;
    if (n + 2 < search->room)
        return QO_OK;
    search->room = search->room > 0 ? 4 * search->room : FIRST_ROOM;
    QO_TRY(grow("grid corners", search->room, sizeof *search->vertex,
                (size_t)search->vertices * sizeof *search->vertex, &vertex));
    QO_TRY(grow("grid queue", search->room, sizeof *search->queue,
                (size_t)search->queued * sizeof *search->queue, &queue));
done:
    search->vertex = vertex;
    search->queue = queue;
    return status;
}

/* Splits until the proof is done or the time is up. */
static enum status run(struct search *search)
{
    enum status status = QO_OK;
    while (search->queued > 0 && search->work > 0 && search->splits < MOST_SPLITS) {
        QO_TRY(make_room(search));
        struct simplex simplex = queue_pop(search);
        if (simplex.bound < target(search))
            split(search, &simplex);
    }
done:
    return status;
}

enum status grid_search(const struct grid_error *error, const struct grid_task *task,
                        struct grid_found *found)
{
    enum status status;
    struct search search = {.error = error, .free = task->free, .work = task->work};
    QO_TRY(make_room(&search));
    begin(&search, task);
    QO_TRY(run(&search));
    *found = (struct grid_found){.grid = search.best.grid,
                                 .error = search.best.error,
                                 .bound = search.best.error,
                                 .looks = search.looks};
    for (int64_t i = 0; i < search.queued; i++)
        found->bound = fmin(found->bound, search.queue[i].bound);
done:
    memory_free(search.vertex);
    memory_free(search.queue);
    return status;
}
