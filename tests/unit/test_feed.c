/* SPDX-License-Identifier: Apache-2.0 */
/* Reading ahead from a source of the test's own, which can be slow, fail, and tells what was read.
 */
#include "cmocka_all.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "element.h"
#include "fault.h"
#include "feed.h"

/* Elements of 8 bytes, each its own index. */
struct source {
    atomic_int num_reads; /* begun */
    int fail_at;          /* the read that fails, from 1 on; 0: none */
    long nanoseconds;     /* that a read takes */
};

static void pause_for(long nanoseconds)
{
    const struct timespec time = {.tv_nsec = nanoseconds};
    nanosleep(&time, NULL);
}

/* A hint, which changes nothing that is read. */
void source_expect(struct source *source, int index, int64_t begin, int64_t end)
{
    (void)source, (void)index;
    assert_true(begin <= end);
}

enum status source_read(struct source *source, int index, int64_t begin, int64_t end, void *x)
{
    int read = atomic_fetch_add(&source->num_reads, 1) + 1;
    if (index != 7) /* not cmocka's: this is another thread */
        abort();
    pause_for(source->nanoseconds);
    if (read == source->fail_at)
        return status_raise(QO_IO, "read %d", read);
    for (int64_t i = begin; i < end; i++)
        ((int64_t *)x)[i - begin] = i;
    return QO_OK;
}

/* A feed under test, and its buffers of exactly the size that they need. */
struct subject {
    struct source source;
    void *buffer[2];
    struct feed_plan plan;
    struct feed *feed;
};

static void subject_open(struct subject *subject, int64_t n, int64_t span, int rank, int size,
                         int64_t begin)
{
    int64_t room = shard_largest(span, size);
    for (int i = 0; i < 2; i++) {
        subject->buffer[i] = malloc((size_t)room * sizeof(int64_t));
        assert_non_null(subject->buffer[i]);
    }
    subject->plan = (struct feed_plan){.source = &subject->source,
                                       .index = 7,
                                       .n = n,
                                       .span = span,
                                       .rank = rank,
                                       .size = size,
                                       .buffer = subject->buffer};
    assert_int_equal(feed_open(&subject->plan, begin, &subject->feed), QO_OK);
}

static void subject_close(struct subject *subject)
{
    feed_close(subject->feed);
    free(subject->buffer[0]);
    free(subject->buffer[1]);
    *subject = (struct subject){.feed = NULL};
}

static void assert_part(const struct subject *subject, int64_t begin, const void *x)
{
    struct shard part = feed_part(&subject->plan, begin);
    for (int64_t i = part.begin; i < part.end; i++)
        assert_int_equal(((const int64_t *)x)[i - part.begin], i);
}

/* Takes the tile of the span at `begin`, which must be right. */
static void take(struct subject *subject, int64_t begin)
{
    const void *x = NULL;
    assert_int_equal(feed_next(subject->feed, &x), QO_OK);
    assert_part(subject, begin, x);
}

static void test_parts_of_spans_that_leave_elements_out(void **state)
{
    (void)state;
    const int64_t n = 7 * QO_BLOCK + 77, span = 3 * QO_BLOCK;
    for (int size = 1; size <= 8; size++) {
        for (int64_t begin = 0; begin < n; begin += span) {
            int64_t at = begin, end = begin + span < n ? begin + span : n;
            for (int rank = 0; rank < size; rank++) {
                struct feed_plan plan = {.n = n, .span = span, .rank = rank, .size = size};
                struct shard part = feed_part(&plan, begin);
                assert_true(part.begin == at && part.end >= at);
                assert_true(part.end - part.begin <= shard_largest(span, size));
                assert_true(part.end == end || part.end % QO_BLOCK == 0);
                at = part.end;
            }
            assert_true(at == end);
        }
    }
}

static void test_tiles_out_of_order(void **state)
{
    (void)state;
    const int64_t n = 9 * QO_BLOCK + 77, span = 2 * QO_BLOCK;
    for (int size = 1; size <= 3; size++) {
        for (int rank = 0; rank < size; rank++) {
            /* From the start, and as a run goes on whose spans were of another length. */
            for (int64_t first = 0; first < n; first += 3 * QO_BLOCK) {
                struct subject subject = {.source = {.nanoseconds = rank ? 100000 : 0}};
                int num_spans = 0;
                subject_open(&subject, n, span, rank, size, first);
                for (int64_t begin = first; begin < n; begin += span, num_spans++)
                    take(&subject, begin);
                assert_true(feed_waited(subject.feed) >= 0);
                assert_int_equal(atomic_load(&subject.source.num_reads), num_spans);
                subject_close(&subject);
            }
        }
    }
}

static void test_a_tile_that_is_overwritten_while_it_is_looked_at(void **state)
{
    (void)state;
    const int64_t n = 6 * QO_BLOCK, span = QO_BLOCK;
    struct subject subject = {.feed = NULL};
    subject_open(&subject, n, span, 0, 1, 0);
    for (int64_t begin = 0; begin < n; begin += span) {
        const void *x;
        assert_int_equal(feed_next(subject.feed, &x), QO_OK);
        pause_for(20000000); /* time enough to read all the rest */
        assert_part(&subject, begin, x);
        assert_true(atomic_load(&subject.source.num_reads) <= begin / span + 2);
    }
    subject_close(&subject);
}

static void test_reading_that_waits_to_be_asked(void **state)
{
    (void)state;
    struct subject subject = {.feed = NULL};
    subject_open(&subject, 4 * QO_BLOCK, QO_BLOCK, 0, 1, 0);
    take(&subject, 0);
    for (int tries = 0; atomic_load(&subject.source.num_reads) < 2 && tries < 10000; tries++)
        pause_for(1000000);
    assert_int_equal(atomic_load(&subject.source.num_reads), 2);
    subject_close(&subject);
}

static void test_ranks_with_nothing_to_read(void **state)
{
    (void)state;
    const int64_t n = 5 * QO_BLOCK + 1, span = QO_BLOCK;
    int num_empty = 0;
    for (int rank = 0; rank < 3; rank++) {
        struct subject subject = {.feed = NULL};
        subject_open(&subject, n, span, rank, 3, 0);
        for (int64_t begin = 0; begin < n; begin += span) {
            struct shard part = feed_part(&subject.plan, begin);
            num_empty += part.begin == part.end;
            take(&subject, begin);
        }
        subject_close(&subject);
    }
    assert_int_equal(num_empty, 2 * 6);
}

static void test_a_failed_read_that_is_taken_for_data(void **state)
{
    (void)state;
    const int64_t n = 5 * QO_BLOCK + 77, span = QO_BLOCK;
    for (int fail_at = 1; fail_at <= 6; fail_at++) {
        for (int slow = 0; slow < 2; slow++) {
            struct subject subject = {
                .source = {.fail_at = fail_at, .nanoseconds = slow ? 500000 : 0}};
            const void *x;
            enum status status = QO_OK;
            int num_good = 0;
            char text[24];
            subject_open(&subject, n, span, 0, 1, 0);
            while (num_good < 6 && (status = feed_next(subject.feed, &x)) == QO_OK)
                assert_part(&subject, span * num_good++, x);
            assert_int_equal(status, QO_IO);
            assert_true(num_good < fail_at);
            for (int again = 0; again < 2; again++) {
                snprintf(text, sizeof text, "read %d", fail_at);
                assert_string_equal(status_text(), text);
                status_clear();
                assert_int_equal(feed_next(subject.feed, &x), QO_IO);
            }
            assert_int_equal(atomic_load(&subject.source.num_reads), fail_at);
            subject_close(&subject);
        }
    }
}

static void test_closing_early_that_hangs_or_leaks(void **state)
{
    (void)state;
    for (int num_taken = 0; num_taken <= 4; num_taken++) {
        for (int slow = 0; slow < 2; slow++) {
            struct subject subject = {.source = {.nanoseconds = slow ? 2000000 : 0}};
            subject_open(&subject, 4 * QO_BLOCK, QO_BLOCK, 0, 1, 0);
            for (int i = 0; i < num_taken; i++)
                take(&subject, i * QO_BLOCK);
            subject_close(&subject);
        }
    }
    feed_close(NULL);
}

static void test_a_vector_that_was_seen_to_its_end_is_read(void **state)
{
    (void)state;
    struct subject subject = {.feed = NULL};
    subject_open(&subject, 2 * QO_BLOCK, QO_BLOCK, 0, 1, 2 * QO_BLOCK);
    pause_for(5000000);
    assert_int_equal(atomic_load(&subject.source.num_reads), 0);
    subject_close(&subject);
}

static void test_no_memory_that_leaves_a_thread(void **state)
{
    (void)state;
    struct source source = {.fail_at = 0};
    void *buffer[2] = {NULL, NULL};
    struct feed *feed = (struct feed *)&source;
    struct feed_plan plan = {.source = &source, .n = 1, .span = 1, .size = 1, .buffer = buffer};
    setenv("QUANTOPT_FAULT", "1", 1);
    fault_setup(0);
    assert_int_equal(feed_open(&plan, 0, &feed), QO_NO_MEMORY);
    unsetenv("QUANTOPT_FAULT");
    fault_setup(0);
    assert_null(feed);
    assert_int_equal(atomic_load(&source.num_reads), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_of_spans_that_leave_elements_out),
        cmocka_unit_test(test_tiles_out_of_order),
        cmocka_unit_test(test_a_tile_that_is_overwritten_while_it_is_looked_at),
        cmocka_unit_test(test_reading_that_waits_to_be_asked),
        cmocka_unit_test(test_ranks_with_nothing_to_read),
        cmocka_unit_test(test_a_failed_read_that_is_taken_for_data),
        cmocka_unit_test(test_closing_early_that_hangs_or_leaks),
        cmocka_unit_test(test_a_vector_that_was_seen_to_its_end_is_read),
        cmocka_unit_test(test_no_memory_that_leaves_a_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
