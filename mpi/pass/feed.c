/* SPDX-License-Identifier: Apache-2.0 */
#include "feed.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include "clock.h"
#include "element.h"
#include "memory.h"

struct feed {
    struct feed_plan plan;
    pthread_t thread;
    pthread_mutex_t mutex; /* of all below */
    pthread_cond_t changed;
    int64_t begin;   /* of the span to be read next */
    int num_read;    /* tiles that wait in the buffers: 0 to 2 */
    int next;        /* the buffer that feed_next gives next */
    bool has_tile;   /* the other buffer is the caller's until it asks for the next */
    bool is_stopped; /* nobody wants more */
    enum status status;
    char text[8192]; /* why reading failed */
    double waited;
};

struct shard feed_part(const struct feed_plan *plan, int64_t begin)
{
    int64_t length = plan->n - begin < plan->span ? plan->n - begin : plan->span;
    struct shard part = shard_of(length, plan->rank, plan->size);
    return (struct shard){begin + part.begin, begin + part.end};
}

/* Waits until a buffer is free; false if no more is wanted. Called with the mutex held. */
static bool wait_for_room(struct feed *feed)
{
    while (!feed->is_stopped && feed->num_read + feed->has_tile == 2)
        pthread_cond_wait(&feed->changed, &feed->mutex);
    return !feed->is_stopped && feed->begin < feed->plan.n;
}

/* While both buffers are full the system fetches what is read after them. */
static void expect_next(const struct feed_plan *plan, int64_t begin)
{
    if (begin >= plan->n)
        return;
    struct shard part = feed_part(plan, begin);
    source_expect(plan->source, plan->index, part.begin, part.end);
}

/* The thread: reads span after span into the buffers in turn, until the end or a failure. */
static void *read_spans(void *context)
{
    struct feed *feed = context;
    const struct feed_plan *plan = &feed->plan;
    pthread_mutex_lock(&feed->mutex);
    for (int slot = 0; wait_for_room(feed); slot = 1 - slot) {
        struct shard part = feed_part(plan, feed->begin);
        pthread_mutex_unlock(&feed->mutex);
        enum status status =
            source_read(plan->source, plan->index, part.begin, part.end, plan->buffer[slot]);
        if (status == QO_OK)
            expect_next(plan, feed->begin + plan->span);
        pthread_mutex_lock(&feed->mutex);
        feed->begin += plan->span;
        feed->num_read++;
        if (status != QO_OK) {
            feed->status = status;
            snprintf(feed->text, sizeof feed->text, "%s", status_text());
            feed->is_stopped = true;
        }
        pthread_cond_signal(&feed->changed);
    }
    pthread_mutex_unlock(&feed->mutex);
    return NULL;
}

enum status feed_open(const struct feed_plan *plan, int64_t begin, struct feed **out)
{
    struct feed *feed;
    enum status status = memory_alloc("reading ahead", 1, sizeof *feed, &feed);
    *out = NULL;
    if (status != QO_OK)
        return status;
    feed->plan = *plan;
    feed->begin = begin;
    pthread_mutex_init(&feed->mutex, NULL);
    pthread_cond_init(&feed->changed, NULL);
    if (pthread_create(&feed->thread, NULL, read_spans, feed) != 0) {
        pthread_cond_destroy(&feed->changed);
        pthread_mutex_destroy(&feed->mutex);
        memory_free(feed);
        return status_raise(QO_NO_MEMORY, "no thread to read ahead; allow for more threads");
    }
    *out = feed;
    return QO_OK;
}

enum status feed_next(struct feed *feed, const void **x)
{
    double start = clock_seconds();
    pthread_mutex_lock(&feed->mutex);
    feed->has_tile = false; /* what the caller had is free again */
    pthread_cond_signal(&feed->changed);
    while (feed->num_read == 0 && feed->status == QO_OK)
        pthread_cond_wait(&feed->changed, &feed->mutex);
    enum status status = feed->status;
    *x = feed->plan.buffer[feed->next];
    feed->next = 1 - feed->next;
    feed->num_read -= feed->num_read > 0;
    feed->has_tile = true;
    pthread_mutex_unlock(&feed->mutex);
    feed->waited += clock_seconds() - start;
    return status == QO_OK ? QO_OK : status_raise(status, "%s", feed->text);
}

double feed_waited(const struct feed *feed)
{
    return feed->waited;
}

void feed_close(struct feed *feed)
{
    if (!feed)
        return;
    pthread_mutex_lock(&feed->mutex);
    feed->is_stopped = true;
    pthread_cond_signal(&feed->changed);
    pthread_mutex_unlock(&feed->mutex);
    pthread_join(feed->thread, NULL);
    pthread_cond_destroy(&feed->changed);
    pthread_mutex_destroy(&feed->mutex);
    memory_free(feed);
}
