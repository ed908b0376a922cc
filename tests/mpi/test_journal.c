/* SPDX-License-Identifier: Apache-2.0 */
/* What walks have told, saved and told again to a run that goes on; parts of walks added up. */
#include "pass_fixture.h"

#include <signal.h>

#include "fault.h"
#include "memory.h"
#include "stop.h"

#define IDENTITY "option = 1\ninput x = 3 bytes\n"

/* The checkpoint that all tests write anew. */
static char path[64];

static struct journal *opened(bool resume)
{
    struct journal *journal = NULL;
    const char *mine = comm.rank == 0 ? IDENTITY : "only rank 0's counts";
    assert_int_equal(journal_open(&journal, &comm, path, mine, resume), QO_OK);
    assert_non_null(journal);
    return journal;
}

/* Saves as a run does that was told to leave. */
static void leave(struct journal *journal, const struct journal_part *part)
{
    assert_int_equal(journal_save(journal, STOP_LEAVE, part), QO_STOPPED);
    assert_non_null(strstr(status_text(), path));
    journal_close(journal);
}

static void assert_walk(struct journal *journal, int vector, int64_t n, int64_t want,
                        int64_t want_done)
{
    int64_t words[8] = {0}, done = -1;
    assert_true(n <= 8);
    assert_int_equal(journal_replay(journal, vector, n, words, &done), QO_OK);
    assert_true(done == want_done);
    for (int64_t i = 0; i < n && done > 0; i++)
        assert_int_equal(words[i], want + i);
}

/* words[n] that assert_walk knows again. */
static const int64_t *numbers(int64_t first)
{
    static int64_t words[8];
    for (int i = 0; i < 8; i++)
        words[i] = first + i;
    return words;
}

static void test_walks_that_are_lost_or_out_of_order(void **state)
{
    (void)state;
    struct journal *journal = opened(false);
    journal_add(journal, 1, 3, numbers(100));
    journal_add(journal, 1, 8, numbers(-200));
    journal_add(journal, 1, 0, NULL);
    struct journal_part part = {.vector = 1, .done = 5 * QO_BLOCK, .n = 2, .words = numbers(300)};
    leave(journal, &part);
    for (int again = 0; again < 2; again++) { /* reading it is no reason for it to change */
        journal = opened(true);
        assert_walk(journal, 0, 3, 0, 0); /* of another vector nothing is known */
        assert_walk(journal, 1, 3, 100, INT64_MAX);
        assert_walk(journal, 1, 8, -200, INT64_MAX);
        assert_walk(journal, 1, 0, 0, INT64_MAX);
        assert_walk(journal, 1, 2, 300, part.done);
        assert_walk(journal, 1, 2, 0, 0);
        journal_close(journal);
    }
}

static void test_a_record_of_another_walk_that_is_believed(void **state)
{
    (void)state;
    int64_t words[8], done;
    struct journal *journal = opened(false);
    journal_add(journal, 0, 3, numbers(1));
    leave(journal, NULL);
    journal = opened(true);
    assert_int_equal(journal_replay(journal, 0, 4, words, &done), QO_DATA);
    assert_non_null(strstr(status_text(), path));
    assert_true(done == 0);
    journal_close(journal);
    const char *other = comm.rank == 0 ? "option = 2\ninput x = 3 bytes\n" : IDENTITY;
    assert_int_equal(journal_open(&journal, &comm, path, other, true), QO_USAGE);
    assert_non_null(strstr(status_text(), "option"));
    assert_null(journal);
    other = "option = 1\ninput x = 4 bytes\n";
    assert_int_equal(journal_open(&journal, &comm, path, other, true), QO_DATA);
    assert_null(journal);
}

/* The bytes of the checkpoint on rank 0. */
static size_t read_checkpoint(char bytes[4096])
{
    size_t n = 0;
    FILE *file = comm.rank == 0 ? fopen(path, "rb") : NULL;
    if (file) {
        n = fread(bytes, 1, 4096, file);
        fclose(file);
    }
    return n;
}

static void test_a_checkpoint_replaced_by_one_that_tells_less(void **state)
{
    (void)state;
    char before[4096], after[4096];
    struct journal *journal = opened(false);
    journal_add(journal, 0, 3, numbers(1));
    journal_add(journal, 0, 3, numbers(7));
    leave(journal, NULL);
    size_t size = read_checkpoint(before);
    journal = opened(true);
    assert_walk(journal, 0, 3, 1, INT64_MAX);
    journal_add(journal, 0, 3, numbers(1));
    assert_int_equal(journal_save(journal, STOP_SAVE, NULL), QO_OK);
    assert_int_equal(read_checkpoint(after), size);
    assert_memory_equal(before, after, size);
    leave(journal, NULL);
    assert_int_equal(read_checkpoint(after), size);
    assert_memory_equal(before, after, size);
    journal = opened(true);
    assert_walk(journal, 0, 3, 1, INT64_MAX);
    assert_walk(journal, 0, 3, 7, INT64_MAX);
    assert_int_equal(journal_save(journal, STOP_AT_ONCE, NULL), QO_STOPPED);
    journal_close(journal);
    assert_int_equal(read_checkpoint(after), size);
}

static void test_places_that_are_old_or_of_another_vector(void **state)
{
    (void)state;
    int64_t place[6];
    struct journal *journal = opened(false);
    assert_int_equal(journal_old_places(journal, 0, 2, place), QO_OK);
    for (int i = 0; i < 6; i++)
        assert_int_equal(place[i], -1);
    journal_set_places(journal, 3, 2, numbers(10));
    journal_add(journal, 3, 1, numbers(5));
    journal_set_places(journal, 3, 2, numbers(20));
    leave(journal, NULL);
    journal = opened(true);
    assert_int_equal(journal_old_places(journal, 2, 2, place), QO_OK);
    assert_int_equal(place[5], -1);
    assert_int_equal(journal_old_places(journal, 3, 2, place), QO_OK);
    for (int i = 0; i < 6; i++)
        assert_int_equal(place[i], 20 + i);
    assert_walk(journal, 3, 1, 5, INT64_MAX);
    journal_close(journal);
}

static void test_a_finished_vector_that_is_quantized_again(void **state)
{
    (void)state;
    int64_t n, *words;
    struct journal *journal = opened(false);
    journal_set_places(journal, 0, 1, numbers(10));
    journal_add(journal, 0, 1, numbers(5));
    journal_end_vector(journal, 0, 4, numbers(40));
    journal_add(journal, 1, 1, numbers(6));
    leave(journal, NULL);
    journal = opened(true);
    assert_int_equal(journal_find_vector(journal, 1, &n, &words), QO_OK);
    assert_true(n == 0 && !words);
    assert_int_equal(journal_find_vector(journal, 0, &n, &words), QO_OK);
    assert_int_equal(n, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(words[i], 40 + i);
    memory_free(words);
    assert_walk(journal, 0, 1, 0, 0); /* its walks are no more */
    assert_int_equal(journal_find_vector(journal, 0, &n, &words), QO_OK);
    assert_null(words);
    assert_walk(journal, 1, 1, 6, INT64_MAX);
    journal_close(journal);
}

static void test_no_memory_that_ends_the_run(void **state)
{
    (void)state;
    struct journal *journal = opened(false);
    journal_add(journal, 0, 3, numbers(1));
    setenv("QUANTOPT_FAULT", "1@0", 1);
    fault_setup(comm.rank);
    journal_add(journal, 0, 3, numbers(4));
    unsetenv("QUANTOPT_FAULT");
    fault_setup(comm.rank);
    journal_add(journal, 0, 3, numbers(7)); /* behind a gap: must not be saved either */
    assert_int_equal(journal_save(journal, STOP_SAVE, NULL), QO_OK);
    assert_int_equal(journal_save(journal, STOP_LEAVE, NULL), QO_NO_MEMORY);
    journal_close(journal);
    journal = opened(true);
    assert_walk(journal, 0, 3, 0, 0); /* there is none */
    journal_close(journal);
}

static void test_a_checkpoint_that_cannot_be_written(void **state)
{
    (void)state;
    struct journal *journal = NULL;
    assert_int_equal(journal_open(&journal, &comm, "/proc/none", IDENTITY, false), QO_OK);
    journal_add(journal, 0, 3, numbers(1));
    assert_int_equal(journal_save(journal, STOP_SAVE, NULL), QO_OK);
    assert_int_equal(journal_save(journal, STOP_LEAVE, NULL), QO_IO);
    journal_close(journal);
}

static void test_no_journal(void **state)
{
    (void)state;
    int64_t words[3], done, n, *found;
    assert_true(journal_data_inode(NULL) == 0 && !journal_encoded(NULL));
    assert_int_equal(journal_replay(NULL, 0, 3, words, &done), QO_OK);
    assert_true(done == 0);
    assert_int_equal(journal_old_places(NULL, 0, 1, words), QO_OK);
    assert_int_equal(words[2], -1);
    assert_int_equal(journal_find_vector(NULL, 0, &n, &found), QO_OK);
    assert_null(found);
    journal_attach(NULL, NULL, NULL);
    journal_add(NULL, 0, 3, words);
    journal_set_places(NULL, 0, 1, words);
    journal_end_vector(NULL, 0, 3, words);
    assert_int_equal(journal_save(NULL, STOP_LEAVE, NULL), QO_OK);
    assert_int_equal(journal_pause(NULL), QO_OK);
    journal_finish(NULL);
    journal_close(NULL);
}

/* ---- Walks that go on ---- */

/* A walk that counts elements and adds up their indices; the largest one is its maximum. */
struct counting {
    int64_t count, sum, last;
    bool refuses;  /* to go on */
    int stop_rank; /* which asks at its first tile for the run to stop; -1: none */
    int64_t taken; /* what it was told to go on from */
};

static enum status count_tile(void *context, const struct tile *tile)
{
    struct counting *counting = context;
    if (tile->n == 0)
        return QO_OK;
    counting->count += tile->n;
    counting->sum += tile->n * tile->first + tile->n * (tile->n - 1) / 2;
    counting->last = tile->first + tile->n;
    if (counting->stop_rank == comm.rank)
        raise(SIGUSR1);
    return QO_OK;
}

static void pack_counts(void *context, int64_t *sums, int64_t *maxima)
{
    const struct counting *counting = context;
    sums[0] = counting->count;
    sums[1] = counting->sum;
    maxima[0] = counting->last;
}

static enum status take_counts(void *context, int64_t done, const int64_t *sums, bool *taken)
{
    struct counting *counting = context;
    counting->taken = done;
    assert_int_equal(sums[0], done);
    *taken = !counting->refuses;
    return QO_OK;
}

/* Walks; the words behind the controls go to words[3]. */
static enum status count(const struct walk *walk, struct counting *counting, int64_t *words)
{
    int64_t all[WALK_CONTROLS + 3];
    struct visit visit = {.what = "counting",
                          .context = counting,
                          .num_sums = 2,
                          .num_maxima = 1,
                          .look = count_tile,
                          .pack = pack_counts,
                          .take_over = take_counts};
    enum status status = walk_over(walk, &visit, all);
    memcpy(words, all + WALK_CONTROLS, 3 * sizeof *words);
    return status;
}

static void assert_counts(int64_t n, const int64_t *words)
{
    assert_int_equal(words[0], n);
    assert_int_equal(words[1], n * (n - 1) / 2);
    assert_int_equal(words[2], n);
}

static void test_a_part_of_a_walk_that_counts_twice_or_not_at_all(void **state)
{
    (void)state;
    struct subject subject;
    draw(values);
    subject_open(&subject, values);
    for (int64_t done = QO_BLOCK; done < N; done += QO_BLOCK) {
        for (int refuses = 0; refuses < 2; refuses++) {
            struct counting counting = {.refuses = refuses, .stop_rank = -1};
            int64_t words[3] = {done, done * (done - 1) / 2, done};
            struct journal_part part = {.vector = 0, .done = done, .n = 3, .words = words};
            struct journal *journal = opened(false);
            leave(journal, &part);
            subject.walk.journal = journal = opened(true);
            assert_int_equal(count(&subject.walk, &counting, words), QO_OK);
            assert_counts(N, words);
            assert_true(counting.taken == done);
            reduce_sum(&comm, &counting.count, 1);
            assert_true(counting.count == (refuses ? N : N - done));
            /* What was made of it is a whole walk, which nobody needs to walk again. */
            leave(journal, NULL);
            subject.walk.journal = journal = opened(true);
            counting = (struct counting){.stop_rank = -1};
            assert_int_equal(count(&subject.walk, &counting, words), QO_OK);
            assert_counts(N, words);
            assert_true(counting.count == 0 && counting.taken == N);
            journal_close(journal);
        }
    }
    subject_close(&subject);
}

/* Each rank sees more than it may before it asks whether to stop. */
static void test_a_walk_that_was_stopped_in_its_middle(void **state)
{
    (void)state;
    const int64_t n = comm.size * ((int64_t)72 << 20) / 8 + 12345;
    char drawn[32];
    struct source *source;
    struct walk walk;
    int64_t words[3];
    snprintf(drawn, sizeof drawn, "uniform:%lld", (long long)n);
    struct source_request request = {
        .generate = drawn, .has_type = true, .type = ELEMENT_F64, .num_dims = -1};
    assert_int_equal(source_open(&comm, &request, &source), QO_OK);
    struct walk_plan plan = walk_plan_of(source_vector(source, 0), comm.size, (int64_t)16 << 20, 8);
    assert_false(plan.is_held);
    struct journal *journal = opened(false);
    stop_setup(INFINITY, INFINITY);
    assert_int_equal(walk_open(&walk, &comm, &engine, source, 0, &plan, journal), QO_OK);
    struct counting counting = {.stop_rank = comm.size - 1};
    assert_int_equal(count(&walk, &counting, words), QO_STOPPED);
    assert_non_null(strstr(status_text(), "SIGUSR1"));
    walk_close(&walk);
    journal_close(journal);
    stop_setup(INFINITY, INFINITY);
    journal = opened(true);
    plan = walk_plan_of(source_vector(source, 0), comm.size, (int64_t)24 << 20, 0); /* other tiles */
    assert_int_equal(walk_open(&walk, &comm, &engine, source, 0, &plan, journal), QO_OK);
    counting = (struct counting){.stop_rank = -1};
    assert_int_equal(count(&walk, &counting, words), QO_OK);
    assert_counts(n, words);
    assert_true(counting.taken >= comm.size * ((int64_t)64 << 20) / 8 && counting.taken < n);
    reduce_sum(&comm, &counting.count, 1);
    assert_true(counting.count == n - counting.taken);
    walk_close(&walk);
    journal_finish(journal);
    journal_close(journal);
    source_close(source);
}

static void test_a_checkpoint_that_outlives_its_run(void **state)
{
    (void)state;
    int64_t done, words[3];
    struct journal *journal = opened(false);
    journal_add(journal, 0, 3, numbers(1));
    assert_int_equal(journal_save(journal, STOP_SAVE, NULL), QO_OK);
    assert_int_equal(journal_save(journal, STOP_SAVE, NULL), QO_OK);
    journal_finish(journal);
    journal_close(journal);
    journal = opened(true); /* which begins anew */
    assert_int_equal(journal_replay(journal, 0, 3, words, &done), QO_OK);
    assert_true(done == 0);
    journal_close(journal);
}

/* A name on rank 0's machine that all ranks know. */
static void make_path(void)
{
    snprintf(path, sizeof path, "/tmp/quantopt_test_journal.%ld", (long)getpid());
    comm_broadcast(&comm, path, sizeof path);
}

/* Each test without what the one before has left. */
static int begin(void **state)
{
    (void)state;
    if (!path[0])
        make_path();
    comm_wait_all(&comm);
    if (comm.rank == 0) {
        char previous[sizeof path + sizeof ".previous"];
        snprintf(previous, sizeof previous, "%s.previous", path);
        unlink(path);
        unlink(previous);
    }
    comm_wait_all(&comm);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, begin)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_walks_that_are_lost_or_out_of_order),
        TEST(test_a_record_of_another_walk_that_is_believed),
        TEST(test_a_checkpoint_replaced_by_one_that_tells_less),
        TEST(test_places_that_are_old_or_of_another_vector),
        TEST(test_a_finished_vector_that_is_quantized_again),
        TEST(test_no_memory_that_ends_the_run),
        TEST(test_a_checkpoint_that_cannot_be_written),
        TEST(test_no_journal),
        TEST(test_a_part_of_a_walk_that_counts_twice_or_not_at_all),
        TEST(test_a_walk_that_was_stopped_in_its_middle),
        TEST(test_a_checkpoint_that_outlives_its_run),
    };
    return run_on_all_ranks(argc, argv, tests, sizeof tests / sizeof *tests);
}
