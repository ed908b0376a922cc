/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificates of a vector. From one histogram come the best levels for every bit width, with
 * all elements and with the inliers alone, and a lower bound on the error of any levels. Where a
 * bound is not sharp enough, one more walk over finer cells serves all of them.
 */
#include <math.h>

#include "clock.h"
#include "log.h"
#include "memory.h"
#include "trip.h"

/* Walks over finer cells at most. One is enough for smooth densities; a bound whose optimum moves
 * to cells that were not cut asks for another, and clusters that no sample showed for several. */
#define MAX_WALKS 8

/* A walk that leaves more than this of the gap is the last: the cells are as many as may be. */
#define PROGRESS 0.7

/* Stands for a gap that is not bounded: a lower bound of 0 says that cells are far too wide. */
#define OPEN_GAP 1e6

/* No gap below this is wanted: rounding alone takes as much. */
#define LEAST_GAP 1e-10

enum kept kept_of(enum approach approach)
{
    bool outliers = approach == APPROACH_EASYQUANT || approach == APPROACH_EASYQUANT_UNIFORM;
    return outliers ? KEPT_INLIERS : KEPT_ALL;
}

struct certificate *trip_certificate(const struct trip *trip, enum kept kept, int bits)
{
    return &trip->certificate[(int)kept * 9 + bits];
}

bool trip_needs(const struct trip *trip, enum kept kept, int bits)
{
    const struct options *options = trip->job->options;
    for (enum approach a = 0; a < NUM_APPROACHES; a++)
        if (options->bits[bits] && options->approach[a] && kept_of(a) == kept)
            return true;
    for (int i = 0; i < options->num_audits && kept == kept_of(APPROACH_CODEBOOK); i++)
        if (codebook_bits(&options->audits[i].book) == bits)
            return true;
    return false;
}

/* Local. The optimum of every bit width for one kind of elements; the histogram's tables are shared
 * and their time is, too. */
static enum status find_optima(struct trip *trip, enum kept kept)
{
    enum status status;
    struct optimal *optimal = NULL;
    const struct measurement *m = trip->found_in;
    const struct keep *keep = &trip->keep[kept];
    int num = 0;
    for (int b = 1; b <= 8; b++)
        num += trip_needs(trip, kept, b);
    if (num == 0)
        return QO_OK;
    bool any = m->moments.count > 0;
    double start = clock_seconds();
    QO_TRY(optimal_open(&m->histogram, keep->lo, keep->hi, any ? fmax(m->min, keep->lo) : 1.0,
                        any ? fmin(m->max, keep->hi) : 0.0, &optimal));
    optimal_set_gap(optimal, trip->job->options->gap);
    double opening = clock_seconds() - start;
    for (int b = 1; b <= 8; b++) {
        struct certificate *certificate = trip_certificate(trip, kept, b);
        start = clock_seconds();
        if (trip_needs(trip, kept, b))
            QO_TRY(optimal_find(optimal, 1 << b, &certificate->optimum));
        certificate->seconds = clock_seconds() - start + opening / num;
    }
done:
    optimal_close(optimal);
    return status;
}

/* Collective. All certificates from the histogram as it is. */
static enum status find_all(struct trip *trip)
{
    enum status status = QO_OK;
    const struct comm *comm = trip->job->comm;
    timer_switch(trip->job->timer, PHASE_SOLVE);
    for (enum kept kept = 0; kept < NUM_KEPT && status == QO_OK; kept++)
        status = find_optima(trip, kept);
    if ((status = comm_agree(comm, status)) != QO_OK)
        return status;
    /* No result depends on them, but a result says the same on all ranks. */
    double seconds[NUM_KEPT * 9];
    for (int i = 0; i < NUM_KEPT * 9; i++)
        seconds[i] = trip->certificate[i].seconds;
    comm_broadcast(comm, seconds, sizeof seconds);
    for (int i = 0; i < NUM_KEPT * 9; i++)
        trip->certificate[i].seconds = seconds[i];
    return QO_OK;
}

/* The gap of a certificate; squares that overflow are no reason to walk. */
static double gap_of(const struct optimum *optimum)
{
    double gap = optimum_gap(optimum);
    if (!isfinite(optimum->upper))
        return 0;
    return gap < OPEN_GAP ? gap : OPEN_GAP;
}

/* The widest certificate. */
static double widest_gap(const struct trip *trip)
{
    double widest = 0;
    for (enum kept kept = 0; kept < NUM_KEPT; kept++) {
        for (int b = 1; b <= 8; b++) {
            if (!trip_needs(trip, kept, b))
                continue;
            double gap = gap_of(&trip_certificate(trip, kept, b)->optimum);
            widest = gap > widest ? gap : widest;
        }
    }
    return widest;
}

/* Local. The map for a further walk: finer where certificates are wider than wanted. */
static enum status refine(const struct trip *trip, double wanted, struct cell_map *finer)
{
    struct refinement refinement[NUM_KEPT * 9];
    int count = 0;
    for (enum kept kept = 0; kept < NUM_KEPT; kept++) {
        for (int b = 1; b <= 8; b++) {
            if (!trip_needs(trip, kept, b))
                continue;
            const struct optimum *optimum = &trip_certificate(trip, kept, b)->optimum;
            double gap = gap_of(optimum);
            if (gap > wanted)
                refinement[count++] = (struct refinement){.lo = trip->keep[kept].lo,
                                                          .hi = trip->keep[kept].hi,
                                                          .level = optimum->level,
                                                          .k = optimum->k,
                                                          .error = optimum->upper,
                                                          .gap = gap,
                                                          .gap_wanted = wanted};
        }
    }
    return histogram_refine(&trip->found_in->histogram, refinement, count, finer);
}

/* Collective. One more walk; false in *again if the cells cannot be made finer. */
static enum status walk_again(struct trip *trip, double wanted, bool *again)
{
    enum status status;
    struct cell_map finer = {0};
    QO_TRY(comm_agree(trip->job->comm, refine(trip, wanted, &finer)));
    *again = finer.num_cells > 0;
    if (!*again)
        goto done;
    log_detail("%s: certified to %.2g, walking again over %lld cells", trip->walk.info->name,
               widest_gap(trip), (long long)finer.num_cells);
    timer_switch(trip->job->timer, PHASE_MEASURE);
    QO_TRY(measure_again(trip->found_on, &finer, trip->found_in));
    QO_TRY(find_all(trip));
done:
    cell_map_clear(&finer);
    return status;
}

enum status certify_vector(struct trip *trip)
{
    enum status status;
    double wanted = trip->job->options->gap;
    bool again = true, sampled = trip->found_on != &trip->walk;
    QO_TRY(
        comm_agree(trip->job->comm, memory_alloc("certificates", (int64_t)NUM_KEPT * 9,
                                                 sizeof *trip->certificate, &trip->certificate)));
    QO_TRY(find_all(trip));
    if (wanted < LEAST_GAP)
        wanted = LEAST_GAP;
    double gap = widest_gap(trip);
    bool helps = true;
    for (int i = 0; i < MAX_WALKS && !sampled && again && helps && gap > wanted; i++) {
        double before = gap;
        QO_TRY(walk_again(trip, wanted, &again));
        gap = widest_gap(trip);
        helps = before == OPEN_GAP || gap < PROGRESS * before;
    }
    if (!sampled && gap > wanted)
        trip->gap_left = gap;
done:
    return status;
}
