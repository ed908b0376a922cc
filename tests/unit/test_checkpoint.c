/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "checkpoint.h"
#include "fault.h"
#include "log.h"
#include "memory.h"

/* The file from which a run goes on: nothing but a whole one is taken, and one is always there. */

static char folder[] = "/tmp/quantopt_test_checkpoint.XXXXXX";
static char path[64], previous[80], fresh[80];

/* Bytes of what make_image(1) makes. */
#define MOST 4096

static void remove_all(void)
{
    assert_int_equal(checkpoint_remove(path), QO_OK);
}

/* So that a test that failed is alone in that. */
static int start_clean(void **state)
{
    (void)state;
    return checkpoint_remove(path) == QO_OK ? 0 : -1;
}

/* An image with records of 0, 1, 2 ... words; `mark` tells one image from the other. */
static struct checkpoint_image make_image(int64_t mark)
{
    struct checkpoint_image image = {.data_inode = INT64_MAX - mark, .num_records = 7};
    assert_int_equal(memory_copy_text("num_bits = 3\nx = y\n", &image.identity), QO_OK);
    assert_int_equal(memory_alloc("", 7, sizeof *image.record, &image.record), QO_OK);
    for (int r = 0; r < 7; r++) {
        struct checkpoint_record *record = &image.record[r];
        *record = (struct checkpoint_record){r, -mark, INT64_MIN + r, r, NULL};
        assert_int_equal(memory_alloc("", r, sizeof *record->word, &record->word), QO_OK);
        for (int i = 0; i < r; i++)
            record->word[i] = (int64_t)((uint64_t)(mark + i) * 0x9e3779b97f4a7c15u);
    }
    return image;
}

static void assert_same(const struct checkpoint_image *a, const struct checkpoint_image *b)
{
    assert_string_equal(a->identity, b->identity);
    assert_int_equal(a->data_inode, b->data_inode);
    assert_int_equal(a->num_records, b->num_records);
    for (int r = 0; r < a->num_records; r++) {
        const struct checkpoint_record *x = &a->record[r], *y = &b->record[r];
        assert_int_equal(x->kind, y->kind);
        assert_int_equal(x->vector, y->vector);
        assert_int_equal(x->done, y->done);
        assert_int_equal(x->n, y->n);
        assert_memory_equal(x->word, y->word, (size_t)x->n * sizeof *x->word);
    }
}

static void write_image(int64_t mark)
{
    struct checkpoint_image image = make_image(mark);
    assert_int_equal(checkpoint_write(path, &image), QO_OK);
    checkpoint_image_clear(&image);
    checkpoint_image_clear(&image);
}

/* That the image of this mark is read. */
static void assert_read(int64_t mark)
{
    struct checkpoint_image wanted = make_image(mark), image;
    bool found = false;
    if (checkpoint_read(path, &image, &found) != QO_OK)
        fail_msg("%s", status_text());
    assert_true(found);
    assert_same(&image, &wanted);
    checkpoint_image_clear(&image);
    checkpoint_image_clear(&wanted);
}

/* That nothing is read, and that the message says this. */
static void assert_refused(enum status expected, const char *says)
{
    struct checkpoint_image image;
    bool found;
    status_clear();
    assert_int_equal(checkpoint_read(path, &image, &found), expected);
    if (!strstr(status_text(), says))
        fail_msg("\"%s\" does not say \"%s\"", status_text(), says);
    assert_null(image.identity);
    assert_null(image.record);
}

static size_t read_bytes(const char *name, unsigned char bytes[MOST])
{
    FILE *file = fopen(name, "rb");
    assert_non_null(file);
    size_t n = fread(bytes, 1, MOST, file);
    fclose(file);
    return n;
}

static void write_bytes(const char *name, const unsigned char *bytes, size_t n)
{
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

/* The bytes of a checkpoint whose digest is right, with one word replaced. */
static void write_forged(const unsigned char *good, size_t n, size_t word, uint64_t value)
{
    unsigned char bytes[MOST];
    memcpy(bytes, good, n);
    memcpy(bytes + 8 * word, &value, 8);
    uint64_t digest = XXH3_64bits(bytes, n - 8);
    memcpy(bytes + n - 8, &digest, 8);
    write_bytes(path, bytes, n);
}

static void test_what_comes_back_is_something_else(void **state)
{
    (void)state;
    struct checkpoint_image empty = {0}, image;
    bool found;
    write_image(1);
    assert_read(1);
    assert_int_equal(checkpoint_write(path, &empty), QO_OK);
    assert_int_equal(checkpoint_read(path, &image, &found), QO_OK);
    assert_true(found);
    assert_string_equal(image.identity, "");
    assert_int_equal(image.num_records, 0);
    checkpoint_image_clear(&image);
    remove_all();
}

/* Larger than the buffer, and not a multiple of it: a seam is where bytes get lost. */
static void test_a_seam_of_the_buffer(void **state)
{
    (void)state;
    struct checkpoint_image image = {.num_records = 2}, back;
    bool found;
    assert_int_equal(memory_copy_text("a = b\n", &image.identity), QO_OK);
    assert_int_equal(memory_alloc("", 2, sizeof *image.record, &image.record), QO_OK);
    for (int r = 0; r < 2; r++) {
        struct checkpoint_record *record = &image.record[r];
        record->n = 200001;
        assert_int_equal(memory_alloc("", record->n, 8, &record->word), QO_OK);
        for (int64_t i = 0; i < record->n; i++)
            record->word[i] = i * i * (r + 1);
    }
    assert_int_equal(checkpoint_write(path, &image), QO_OK);
    assert_int_equal(checkpoint_read(path, &back, &found), QO_OK);
    assert_same(&image, &back);
    checkpoint_image_clear(&image);
    checkpoint_image_clear(&back);
    remove_all();
}

static void test_none_there_is_a_failure(void **state)
{
    (void)state;
    struct checkpoint_image image;
    bool found = true;
    write_bytes(fresh, (const unsigned char *)"quantopt",
                8); /* a first one that was not finished */
    assert_int_equal(checkpoint_read(path, &image, &found), QO_OK);
    assert_false(found);
    assert_int_equal(image.num_records, 0);
    remove_all();
}

static void test_fewer_than_two_are_kept(void **state)
{
    (void)state;
    for (int mark = 1; mark <= 3; mark++)
        write_image(mark);
    assert_int_not_equal(access(fresh, F_OK), 0);
    assert_read(3);
    assert_int_equal(unlink(path), 0); /* killed between the two renames */
    assert_read(2);
    remove_all();
    assert_int_not_equal(access(previous, F_OK), 0);
}

/* What is not whole must not take the place of the whole one before it. */
static void test_a_broken_one_pushes_out_a_whole_one(void **state)
{
    (void)state;
    write_image(1);
    write_image(2);
    assert_int_equal(truncate(path, 100), 0);
    assert_read(1);
    assert_read(1); /* from PATH now */
    write_image(3);
    assert_int_equal(unlink(path), 0);
    assert_read(1);
    remove_all();
}

static void test_a_cut_file_taken_for_whole(void **state)
{
    (void)state;
    unsigned char bytes[MOST];
    write_image(1);
    size_t n = read_bytes(path, bytes);
    assert_true(n < MOST);
    for (size_t cut = 0; cut < n; cut++) {
        write_bytes(path, bytes, cut);
        assert_refused(QO_DATA, "run without --resume to start anew");
        assert_non_null(strstr(status_text(), path));
    }
    bytes[n] = 0;
    write_bytes(path, bytes, n + 1);
    assert_refused(QO_DATA, "is not whole");
    write_bytes(previous, bytes, n / 2);
    assert_refused(QO_DATA, previous);
    assert_int_equal(unlink(path), 0);
    assert_refused(QO_DATA, "is not there, and");
    assert_non_null(strstr(status_text(), "run without --resume to start anew"));
    write_bytes(path, bytes, n + 1);
    write_bytes(previous, bytes, n);
    assert_read(1);
    remove_all();
}

static void test_a_flipped_bit_taken_for_whole(void **state)
{
    (void)state;
    unsigned char bytes[MOST];
    write_image(1);
    size_t n = read_bytes(path, bytes);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        write_bytes(path, bytes, n);
        assert_refused(QO_DATA, path);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    remove_all();
}

/* Every word but the magic replaced by nasty values, under a digest that is right: sizes that lie
 * must neither crash nor ask for memory that the file does not have. */
static void test_sizes_that_lie_are_believed(void **state)
{
    (void)state;
    static const uint64_t nasty[] = {
        0, 1, 2, 7, 1u << 20, INT32_MAX, INT64_MAX, 1ull << 63, UINT64_MAX, 1ull << 60, 1ull << 61};
    unsigned char bytes[MOST];
    write_image(1);
    size_t n = read_bytes(path, bytes);
    for (size_t word = 3; word + 1 < n / 8; word++) {
        for (size_t i = 0; i < sizeof nasty / sizeof *nasty; i++) {
            struct checkpoint_image image;
            bool found;
            write_forged(bytes, n, word, nasty[i]);
            enum status status = checkpoint_read(path, &image, &found);
            assert_true(status == QO_OK || status == QO_DATA);
            if (status == QO_OK)
                checkpoint_image_clear(&image);
            else
                assert_true(status_text()[0] != '\0');
        }
    }
    write_forged(bytes, n, 6, 6); /* a record less than there is */
    assert_refused(QO_DATA, "contradicts itself");
    write_forged(bytes, n, 6, 8);
    assert_refused(QO_DATA, "contradicts itself");
    write_forged(bytes, n, 5, 18); /* an identity that does not end in a newline */
    assert_refused(QO_DATA, "lines of text");
    remove_all();
}

static void test_another_version_taken_for_damage(void **state)
{
    (void)state;
    unsigned char bytes[MOST];
    uint64_t word;
    write_image(1);
    size_t n = read_bytes(path, bytes);
    memcpy(&word, bytes + 16, 8);
    assert_int_equal(word >> 32, 1);
    write_forged(bytes, n, 2, word + (6ull << 32));
    assert_refused(QO_DATA, "format version 7, and this program writes and reads version 1");
    remove_all();
}

static void test_a_file_that_is_no_file(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path, 0777), 0);
    assert_refused(QO_NO_INPUT, "directory");
    assert_int_equal(rmdir(path), 0);
}

/* What a failure leaves: the last one as it was, and nothing half. */
static void assert_untouched(int least)
{
    DIR *open = opendir(folder);
    int files = 0;
    assert_non_null(open);
    for (struct dirent *entry = readdir(open); entry; entry = readdir(open))
        files += entry->d_name[0] != '.';
    closedir(open);
    assert_in_range(files, least, 2);
    assert_int_not_equal(access(fresh, F_OK), 0);
    assert_read(2);
}

static void test_a_full_disk_takes_the_old_one_along(void **state)
{
    (void)state;
    struct checkpoint_image image = make_image(3);
    struct rlimit old, tight;
    write_image(1);
    write_image(2);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    tight = (struct rlimit){100, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight);
    enum status status = checkpoint_write(path, &image);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(status, QO_IO);
    assert_non_null(strstr(status_text(), "free space"));
    assert_untouched(2);
    checkpoint_image_clear(&image);
    remove_all();
}

static void plan_fault(int n)
{
    char plan[16];
    snprintf(plan, sizeof plan, "%d", n);
    setenv("QUANTOPT_FAULT", plan, 1);
    fault_setup(0);
}

static void test_a_failed_write_loses_the_old_ones(void **state)
{
    (void)state;
    struct checkpoint_image image = make_image(3);
    enum status status = QO_IO;
    int n = 1;
    for (; status != QO_OK; n++) {
        remove_all();
        write_image(1);
        write_image(2);
        plan_fault(n);
        status_clear();
        status = checkpoint_write(path, &image);
        plan_fault(0);
        assert_true(n < 100);
        if (status == QO_OK)
            break;
        assert_true(status == QO_IO || status == QO_NO_MEMORY);
        assert_true(status_text()[0] != '\0');
        assert_untouched(1); /* the last rename takes the one before along */
    }
    assert_true(n >
                8); /* names, buffer, create, two writes, sync, two renames; a directory warns */
    assert_read(3);
    checkpoint_image_clear(&image);
    remove_all();
}

static void test_a_failed_read_starts_anew(void **state)
{
    (void)state;
    write_image(1);
    for (int n = 1;; n++) {
        struct checkpoint_image image;
        bool found;
        plan_fault(n);
        status_clear();
        enum status status = checkpoint_read(path, &image, &found);
        plan_fault(0);
        assert_true(n < 100);
        if (status == QO_OK) {
            assert_true(found);
            checkpoint_image_clear(&image);
            assert_true(n > 10);
            break;
        }
        assert_true(status == QO_NO_INPUT || status == QO_IO || status == QO_NO_MEMORY);
        assert_true(status_text()[0] != '\0');
    }
    plan_fault(2);
    assert_int_equal(checkpoint_remove(path), QO_IO);
    plan_fault(0);
    remove_all();
}

/* Killed at any moment, in another process: one of the two is always there. */
static void test_killed_while_writing(void **state)
{
    (void)state;
    write_image(1);
    for (int i = 0; i < 16; i++) {
        pid_t child = fork();
        if (child == 0) {
            struct checkpoint_image image = make_image(1);
            while (checkpoint_write(path, &image) == QO_OK)
                ;
            _exit(1);
        }
        const struct timespec pause = {.tv_nsec = 2000000 + 437000 * i};
        nanosleep(&pause, NULL);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_read(1);
    }
    remove_all();
}

static void test_a_difference_not_seen_or_not_named(void **state)
{
    (void)state;
    static const struct {
        const char *then, *now;
        enum status status;
        const char *says;
    } cases[] = {
        {"", "", QO_OK, ""},
        {"a = 1\nb = 2\n", "a = 1\nb = 2\n", QO_OK, ""},
        {"num_bits = 3\n", "num_bits = 4\n", QO_USAGE,
         "made with num_bits = 3, this run has num_bits = 4; "},
        {"a = 1\nb = 2\nc = 3\n", "a = 1\nb = 22\nc = 4\n", QO_USAGE,
         "made with b = 2, this run has b = 22; "},
        {"a = 1\nb = 2\n", "a = 1\n", QO_USAGE, "made with b = 2, this run has no b; "},
        {"a = 1\n", "a = 1\nb = 2\n", QO_USAGE, "made without b, this run has b = 2; "},
        {"a = 1\nb = 2\n", "b = 2\n", QO_USAGE, "made with a = 1, this run has no a; "},
        {"b = 2\n", "a = 1\nb = 2\n", QO_USAGE, "made without a, this run has a = 1; "},
        {"a = 1\n", "", QO_USAGE, "made with a = 1, this run has no a; "},
        {"", "a = 1\n", QO_USAGE, "made without a, this run has a = 1; "},
        {"a = 1\nb = 2\n", "b = 2\na = 1\n", QO_USAGE, "where this run has b = 2; "},
        {"seed = 1\n", "seed = 10\n", QO_USAGE, "made with seed = 1, this run has seed = 10; "},
        {"input w.h5 = 1 bytes\n", "input w.h5 = 2 bytes\n", QO_DATA,
         "input w.h5 has changed since: then 1 bytes, now 2 bytes; "},
        {"vector w = float32 [3]\n", "vector w = float64 [3]\n", QO_DATA, "vector w has changed"},
        {"vectors = 1\nvector a = x\n", "vectors = 2\nvector a = x\n", QO_DATA, "vectors has"},
        {"vector a = x\n", "vector b = x\n", QO_DATA, "made with vector a = x"},
        {"input = w.h5\n", "input = v.h5\n", QO_USAGE, "made with input = w.h5, this run has"},
        {"vector_size = small\n", "vector_size = large\n", QO_USAGE, "vector_size"},
        {"include = a = b\n", "include = a = c\n", QO_USAGE, "made with include = a = b, "},
        {"odd\n", "even\n", QO_USAGE, "made with odd, "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        status_clear();
        assert_int_equal(checkpoint_compare("F", cases[i].then, cases[i].now), cases[i].status);
        if (!strstr(status_text(), cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", status_text(), cases[i].says);
        if (cases[i].status != QO_OK) {
            assert_memory_equal(status_text(), "F: ", 3);
            assert_non_null(strstr(status_text(), "without --resume to start anew"));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_what_comes_back_is_something_else, start_clean),
        cmocka_unit_test_setup(test_a_seam_of_the_buffer, start_clean),
        cmocka_unit_test_setup(test_none_there_is_a_failure, start_clean),
        cmocka_unit_test_setup(test_fewer_than_two_are_kept, start_clean),
        cmocka_unit_test_setup(test_a_broken_one_pushes_out_a_whole_one, start_clean),
        cmocka_unit_test_setup(test_a_cut_file_taken_for_whole, start_clean),
        cmocka_unit_test_setup(test_a_flipped_bit_taken_for_whole, start_clean),
        cmocka_unit_test_setup(test_sizes_that_lie_are_believed, start_clean),
        cmocka_unit_test_setup(test_another_version_taken_for_damage, start_clean),
        cmocka_unit_test_setup(test_a_file_that_is_no_file, start_clean),
        cmocka_unit_test_setup(test_a_full_disk_takes_the_old_one_along, start_clean),
        cmocka_unit_test_setup(test_a_failed_write_loses_the_old_ones, start_clean),
        cmocka_unit_test_setup(test_a_failed_read_starts_anew, start_clean),
        cmocka_unit_test_setup(test_killed_while_writing, start_clean),
        cmocka_unit_test_setup(test_a_difference_not_seen_or_not_named, start_clean),
    };
    log_setup(true, LOG_QUIET);
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/a.checkpoint", folder);
    snprintf(previous, sizeof previous, "%s.previous", path);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
