/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "progress.h"

static const char *rest(double spent, double part)
{
    static char text[96];
    progress_rest(spent, part, text, sizeof text);
    return text;
}

static void test_a_time_left_that_cannot_be_known_yet(void **state)
{
    (void)state;
    assert_string_equal(rest(1, 0.5), "");
    assert_string_equal(rest(100, 0.01), "");
    assert_string_equal(rest(100, 1), "");
    assert_string_equal(rest(100, 0), "");
}

static void test_a_time_left_that_is_wrong(void **state)
{
    (void)state;
    assert_string_equal(rest(10, 0.5), "; 50 % of the run, about 10 s left");
    assert_string_equal(rest(60, 0.25), "; 25 % of the run, about 3 min left");
    assert_string_equal(rest(3600, 0.1), "; 10 % of the run, about 9.0 h left");
}

/* What reaches stderr while a walk is shown. */
static void show(struct progress *progress, int64_t done, char *text, size_t size)
{
    char path[] = "/tmp/quantopt_test_progress.XXXXXX";
    int fd = mkstemp(path), kept = dup(STDERR_FILENO);
    assert_true(fd >= 0 && kept >= 0);
    unlink(path);
    fflush(stderr);
    dup2(fd, STDERR_FILENO);
    progress_walk(progress, "w", "encoding", 100, done);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    ssize_t n = pread(fd, text, size - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    close(kept);
    close(fd);
}

static void test_work_of_the_run_that_is_not_added_up(void **state)
{
    (void)state;
    struct options options = {.progress = WHEN_ALWAYS};
    struct progress progress;
    char text[256];
    log_setup(true, LOG_NORMAL);
    progress_init(&progress, &options);
    progress_begin(&progress, 400);
    progress.begun -= 100; /* as if the work had begun so long ago */
    progress_begin_vector(&progress, 200);
    progress.shown = -1e9;
    show(&progress, 100, text, sizeof text); /* the first of two walks */
    assert_non_null(strstr(text, "w: encoding, 100 %; 25 % of the run, about 5 min left"));
    progress.shown = -1e9;
    show(&progress, 100, text, sizeof text);
    assert_non_null(strstr(text, "50 % of the run"));
    progress.shown = -1e9;
    show(&progress, 50, text, sizeof text); /* a walk that was not foreseen */
    assert_non_null(strstr(text, "50 % of the run"));
    progress_end_vector(&progress);
    progress_begin_vector(&progress, 200);
    progress.shown = -1e9;
    show(&progress, 100, text, sizeof text);
    assert_non_null(strstr(text, "75 % of the run"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_time_left_that_cannot_be_known_yet),
        cmocka_unit_test(test_a_time_left_that_is_wrong),
        cmocka_unit_test(test_work_of_the_run_that_is_not_added_up),
    };
    return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
