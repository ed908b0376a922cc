/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outliers on their way to the file. Results that keep the same elements have the same outliers, so
 * these are listed once for all of them. Their place among all outliers follows from how many there
 * are in the spans before, and in this span on the ranks before.
 */
#include "encode.h"

#include <string.h>

#include "clock.h"
#include "log.h"
#include "memory.h"
#include "recall.h"
#include "reduce.h"
#include "result_file.h"

/* Outliers listed at a time: 4 MiB of indices and float64 values. */
#define OUTLIERS_AT_A_TIME (1 << 18)

/* Results differ in which elements they keep: all, or those within the bounds. */
#define MOST_GROUPS 2

/* Results with the same outliers. */
struct group {
    int first;       /* of its results; their keeps are equal */
    int64_t before;  /* outliers in the spans that were seen */
    int64_t count;   /* of them, this rank's */
    uint64_t digest; /* of this rank's */
};

/* A walk that lists outliers. */
struct lister {
    struct encode_job *job;
    struct outlier_list list;
    int num_groups;
    struct group group[MOST_GROUPS];
};

/* Where in the sums of a group. */
enum { SUM_COUNT, SUM_DIGEST, GROUP_SUMS };

static bool keeps_the_same(const struct keep *a, const struct keep *b)
{
    /* By their bits: bounds are NaN where no element is finite. */
    return memcmp(&a->lo, &b->lo, sizeof a->lo) == 0 && memcmp(&a->hi, &b->hi, sizeof a->hi) == 0 &&
           a->num_fills == b->num_fills &&
           memcmp(a->fill, b->fill, (size_t)a->num_fills * sizeof *a->fill) == 0;
}

/* Pure. Whether a result is of a group. */
static bool is_in(const struct lister *lister, const struct group *group, int r)
{
    const struct level_table *table = lister->job->table;
    return keeps_the_same(&table[r].keep, &table[group->first].keep);
}

/* The groups that have outliers. */
static void make_groups(struct lister *lister)
{
    for (int r = 0; r < lister->job->num; r++) {
        bool is_known = lister->job->encoding[r].num_outliers == 0;
        for (int g = 0; g < lister->num_groups && !is_known; g++)
            is_known = is_in(lister, &lister->group[g], r);
        if (!is_known)
            lister->group[lister->num_groups++] = (struct group){.first = r};
    }
}

/* Gives the list to the sink for all results of the group. */
static enum status give_list(struct lister *lister, struct group *group, int64_t first)
{
    enum status status = QO_OK;
    struct encode_job *job = lister->job;
    const struct outlier_list *list = &lister->list;
    double start = clock_seconds();
    group->digest +=
        result_digest_outliers(job->walk->info->type, list->index, list->value, list->count);
    group->count += list->count;
    for (int r = 0; r < job->num && status == QO_OK; r++)
        if (is_in(lister, group, r))
            status = job->sink.outliers(job->sink.context, r, list->index, list->value, first,
                                        list->count);
    job->sink_seconds += clock_seconds() - start;
    return status;
}

/* Local. Lists the next outliers of the tile, from *position on. */
static enum status collect(struct lister *lister, const struct group *group,
                           const struct tile *tile, int64_t *position)
{
    struct engine *engine = lister->job->walk->engine;
    lister->list.count = 0;
    return engine->kernels->collect(engine, tile, &lister->job->table[group->first], position,
                                    &lister->list);
}

/* Local. How many outliers the tile has. If they fit the list, they are in it. */
static enum status count_outliers(struct lister *lister, const struct group *group,
                                  const struct tile *tile, int64_t *count)
{
    enum status status = QO_OK;
    int64_t position = 0;
    *count = 0;
    while (position < tile->n && status == QO_OK) {
        status = collect(lister, group, tile, &position);
        *count += lister->list.count;
    }
    return status;
}

/* Local. Lists the tile's outliers again, in parts, where they do not fit the list at once. */
static enum status give_parts(struct lister *lister, struct group *group, const struct tile *tile,
                              int64_t first)
{
    enum status status = QO_OK;
    int64_t position = 0;
    while (position < tile->n && status == QO_OK) {
        status = collect(lister, group, tile, &position);
        if (status == QO_OK)
            status = give_list(lister, group, first);
        first += lister->list.count;
    }
    return status;
}

/* Collective. The outliers of a group in one span. */
static enum status list_group(struct lister *lister, struct group *group, const struct tile *tile)
{
    const struct comm *comm = lister->job->walk->comm;
    int64_t count, all;
    lister->list.count = 0;
    enum status status = comm_agree(comm, count_outliers(lister, group, tile, &count));
    if (status != QO_OK)
        return status;
    int64_t first = group->before + reduce_sum_before(comm, count);
    all = count;
    reduce_sum(comm, &all, 1);
    group->before += all;
    if (group->before > lister->job->encoding[group->first].num_outliers)
        return status_raise(QO_DATA,
                            "%s: has changed while it was read; run again once it stays as it is",
                            lister->job->walk->info->origin);
    if (count > lister->list.count) /* it was listed in parts, of which the last is there */
        status = give_parts(lister, group, tile, first);
    else if (count > 0)
        status = give_list(lister, group, first);
    return comm_agree(comm, status);
}

static enum status list_tile(void *context, const struct tile *tile)
{
    struct lister *lister = context;
    enum status status = QO_OK;
    for (int g = 0; g < lister->num_groups && status == QO_OK; g++)
        status = list_group(lister, &lister->group[g], tile);
    return status;
}

static void pack(void *context, int64_t *sums, int64_t *maxima)
{
    const struct lister *lister = context;
    (void)maxima;
    for (int g = 0; g < lister->num_groups; g++) {
        sums[GROUP_SUMS * g + SUM_COUNT] = lister->group[g].count;
        sums[GROUP_SUMS * g + SUM_DIGEST] = (int64_t)lister->group[g].digest;
    }
}

/* Collective. Takes over the outliers of one result; false in *taken if they are not there. */
static enum status take_result(struct lister *lister, int r, const int64_t *sums, bool *taken)
{
    struct recall recall = encode_recall(lister->job, r);
    uint64_t digest;
    enum status status = recall_outliers(&recall, sums[SUM_COUNT], &digest, taken);
    *taken = *taken && digest == (uint64_t)sums[SUM_DIGEST];
    return status;
}

/* Collective. Takes over the outliers of the first spans. */
static enum status take_outliers(void *context, int64_t done, const int64_t *sums, bool *taken)
{
    struct lister *lister = context;
    const struct walk *walk = lister->job->walk;
    (void)done;
    *taken = true;
    for (int g = 0; g < lister->num_groups; g++)
        for (int r = 0; r < lister->job->num && *taken; r++) {
            if (!is_in(lister, &lister->group[g], r))
                continue;
            enum status status = take_result(lister, r, &sums[GROUP_SUMS * g], taken);
            if (status != QO_OK)
                return status;
        }
    for (int g = 0; g < lister->num_groups && *taken; g++)
        lister->group[g].before = sums[GROUP_SUMS * g + SUM_COUNT];
    if (!*taken)
        log_warn("%s: the outliers that an earlier run has listed are not there or damaged; "
                 "listing them again",
                 walk->info->name);
    return QO_OK;
}

/* Adds to each result's digest that of its outliers. */
static void add_digests(struct lister *lister, const int64_t *sums)
{
    struct encode_job *job = lister->job;
    for (int g = 0; g < lister->num_groups; g++)
        for (int r = 0; r < job->num; r++)
            if (is_in(lister, &lister->group[g], r))
                job->encoding[r].digest += (uint64_t)sums[GROUP_SUMS * g + SUM_DIGEST];
}

enum status encode_outliers(struct encode_job *job)
{
    enum status status;
    const struct walk *walk = job->walk;
    struct lister lister = {.job = job, .list = {.capacity = OUTLIERS_AT_A_TIME}};
    struct outlier_list *list = &lister.list;
    int64_t words[WALK_CONTROLS + GROUP_SUMS * MOST_GROUPS];
    make_groups(&lister);
    if (lister.num_groups == 0)
        return QO_OK;
    if (list->capacity > walk->plan.tile)
        list->capacity = walk->plan.tile;
    QO_TRY(memory_alloc("outlier indices", list->capacity, sizeof *list->index, &list->index));
    QO_TRY(memory_alloc("outliers", list->capacity, element_size(walk->info->type), &list->value));
done:
    if ((status = comm_agree(walk->comm, status)) == QO_OK) {
        struct visit visit = {.what = "listing outliers",
                              .context = &lister,
                              .num_sums = GROUP_SUMS * (int64_t)lister.num_groups,
                              .look = list_tile,
                              .is_collective = true,
                              .pack = pack,
                              .take_over = take_outliers};
        status = walk_over(walk, &visit, words);
    }
    if (status == QO_OK)
        add_digests(&lister, words + WALK_CONTROLS);
    memory_free(list->index);
    memory_free(list->value);
    return status;
}
