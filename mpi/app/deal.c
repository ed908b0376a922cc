/* SPDX-License-Identifier: Apache-2.0 */
#include "deal.h"

#include <stdbool.h>
#include <stdlib.h>

#include "memory.h"

struct piece {
    int64_t cost;
    int index;
};

/* What a rank has so far. */
struct share {
    int64_t load;
    int rank;
};

/* The dearest first. */
static int compare_pieces(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    if (x->cost != y->cost)
        return x->cost < y->cost ? 1 : -1;
    return x->index - y->index;
}

static bool is_less(const struct share *a, const struct share *b)
{
    return a->load != b->load ? a->load < b->load : a->rank < b->rank;
}

/* Brings the share on top of a heap, which has grown, to its place. */
static void sift_down(struct share *heap, int size)
{
    struct share grown = heap[0];
    int at = 0;
    for (;;) {
        int child = 2 * at + 1;
        if (child + 1 < size && is_less(&heap[child + 1], &heap[child]))
            child++;
        if (child >= size || is_less(&grown, &heap[child]))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = grown;
}

enum status deal_by_cost(const int64_t *cost, int num, int size, int *rank)
{
    enum status status;
    struct piece *piece = NULL;
    struct share *heap = NULL;
    QO_TRY(memory_alloc("pieces of work", num, sizeof *piece, &piece));
    QO_TRY(memory_alloc("shares of work", size, sizeof *heap, &heap));
    for (int i = 0; i < num; i++)
        piece[i] = (struct piece){cost[i], i};
    for (int r = 0; r < size; r++) /* nobody has anything: a heap in this order */
        heap[r].rank = r;
    qsort(piece, (size_t)num, sizeof *piece, compare_pieces);
    for (int i = 0; i < num; i++) {
        rank[piece[i].index] = heap[0].rank;
        heap[0].load += piece[i].cost;
        sift_down(heap, size);
    }
done:
    memory_free(piece);
    memory_free(heap);
    return status;
}
