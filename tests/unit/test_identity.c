/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint.h"
#include "comm.h"
#include "fault.h"
#include "identity.h"
#include "memory.h"

/* What must be equal for a run to go on, and what need not be. */

static struct comm comm;
static char folder[] = "/tmp/quantopt_test_identity.XXXXXX";
static char raw[64], odd[64], model[64];

/* 2026-11-26T17:00:00.123456789Z */
static const struct timespec changed = {.tv_sec = 1795712400, .tv_nsec = 123456789};

static void set_time(const char *path, struct timespec when)
{
    const struct timespec times[2] = {when, when};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void write_raw(const char *path, size_t bytes)
{
    static const char zeros[4096];
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(zeros, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
    set_time(path, changed);
}

/* A file of n tensors, named with this prefix, as JSON has it, and their numbers; number `scalar`
 * is without dimensions. */
static void write_named_model(const char *prefix, int n, int scalar)
{
    char *header;
    size_t size;
    FILE *text = open_memstream(&header, &size);
    for (int i = 0; i < n; i++)
        fprintf(text, "%c\"%s%04d\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%d,%d]}",
                i ? ',' : '{', prefix, i, i == scalar ? "" : "1", 4 * i, 4 * i + 4);
    fputc('}', text);
    fclose(text);
    FILE *file = fopen(model, "wb");
    uint64_t length = size;
    assert_non_null(file);
    assert_int_equal(fwrite(&length, 8, 1, file), 1);
    assert_int_equal(fwrite(header, 1, size, file), size);
    for (int i = 0; i < n; i++)
        assert_int_equal(fwrite("\0\0\0", 4, 1, file), 1);
    assert_int_equal(fclose(file), 0);
    set_time(model, changed);
    free(header);
}

static void write_model(int n, int scalar)
{
    write_named_model("t", n, scalar);
}

/* The identity of a run with these arguments, ended by NULL. */
static char *identity_of(const char *const *arguments)
{
    char *argv[16] = {(char *)"quantopt_mpi"}, *identity;
    struct options options;
    struct source *source;
    int argc = 1;
    while (arguments[argc - 1]) {
        argv[argc] = (char *)arguments[argc - 1];
        argc++;
    }
    if (options_read(&options, argc, argv) != QO_OK)
        fail_msg("%s", status_text());
    const struct source_request request = {.inputs = options.inputs,
                                           .num_inputs = options.num_inputs,
                                           .builtin = options.vector_size,
                                           .generate = options.generate,
                                           .seed = options.seed,
                                           .has_type = options.has_dtype,
                                           .type = options.dtype,
                                           .num_dims = options.num_dims,
                                           .shape = {options.shape[0], options.shape[1]},
                                           .include = options.include,
                                           .exclude = options.exclude};
    if (source_open(&comm, &request, &source) != QO_OK)
        fail_msg("%s", status_text());
    assert_int_equal(identity_make(&options, source, &identity), QO_OK);
    source_close(source);
    options_clear(&options);
    return identity;
}

#define IDENTITY_OF(...) identity_of((const char *const[]){__VA_ARGS__, NULL})

/* That the second run may go on where the first stopped, or why not. Frees both. */
static void compare(char *then, char *now, enum status expected, const char *says)
{
    status_clear();
    assert_int_equal(checkpoint_compare("F", then, now), expected);
    if (!strstr(status_text(), says))
        fail_msg("\"%s\" does not say \"%s\"", status_text(), says);
    memory_free(then);
    memory_free(now);
}

static void assert_has(const char *text, const char *line)
{
    if (!strstr(text, line))
        fail_msg("no \"%s\" in\n%s", line, text);
}

static void test_a_line_missing_or_misread(void **state)
{
    (void)state;
    char line[128];
    char *text = IDENTITY_OF(raw, "--dtype", "float32", "--shape", "3x4", "--num_bits", "2,3");
    assert_memory_equal(text, "resume_version = 2\n", 19);
    assert_has(text, "\nnum_bits = 2,3\n");
    assert_has(text, "\ncodes = written\n");
    snprintf(line, sizeof line, "\ninput %s = 48 bytes, modified 2026-11-26T17:00:00.123456789Z\n",
             raw);
    assert_has(text, line);
    assert_has(text, "\nvectors = 1\nvector a = float32 [3 x 4]\n");
    assert_int_equal(text[strlen(text) - 1], '\n');
    memory_free(text);
    text = IDENTITY_OF("--generate", "normal:10", "--seed", "7");
    assert_has(text, "\nseed = 7\n");
    assert_null(strstr(text, "\ninput "));
    assert_has(text, "\nvector normal = float32 [10]\n");
    memory_free(text);
}

static void test_what_is_of_no_matter_forbids_going_on(void **state)
{
    (void)state;
    compare(IDENTITY_OF("--num_bits", "3"),
            IDENTITY_OF("--num_bits", "3", "--threads", "2", "--comm", "mpi", "--verbose",
                        "--progress", "never", "--save_dir", "elsewhere", "--output", "b.h5",
                        "--device", "cpu"),
            QO_OK, "");
    compare(IDENTITY_OF("--quiet"), IDENTITY_OF("--use_multiprocessing"), QO_OK, "");
}

static void test_another_option_goes_on(void **state)
{
    (void)state;
    compare(IDENTITY_OF("--num_bits", "3"), IDENTITY_OF("--num_bits", "4"), QO_USAGE,
            "made with num_bits = 3, this run has num_bits = 4");
    compare(IDENTITY_OF("--gap", "0.1"), IDENTITY_OF("--gap", "0.2"), QO_USAGE, "gap = 0.1");
    compare(IDENTITY_OF("--seed", "1"), IDENTITY_OF("--seed", "2"), QO_USAGE, "seed = 1");
    compare(IDENTITY_OF("--output", "a.h5"), IDENTITY_OF("--output", "none"), QO_USAGE,
            "made with codes = written, this run has codes = none");
    compare(IDENTITY_OF("--vector_size", "small"), IDENTITY_OF("--generate", "normal:10"), QO_USAGE,
            "made with vector_size = small, this run has no vector_size");
}

/* The options of a run with one codebook of a file, which holds these numbers. */
static char *identity_with(double first, double second)
{
    struct audit audit = {.word = (char *)"fixed:x.txt", .book = {2, {first, second}}};
    struct options options = {.audits = &audit, .num_audits = 1, .save_dir = (char *)"."};
    struct source_request request = {.builtin = "small", .num_dims = -1};
    struct source *source;
    char *identity;
    assert_int_equal(source_open(&comm, &request, &source), QO_OK);
    assert_int_equal(identity_make(&options, source, &identity), QO_OK);
    source_close(source);
    return identity;
}

static void test_another_codebook_of_the_same_file_goes_on(void **state)
{
    (void)state;
    compare(identity_with(-1, 1), identity_with(-1, 1), QO_OK, "");
    compare(identity_with(-1, 1), identity_with(-1, 0x1.0000000000001p0), QO_USAGE,
            "made with codebook x.txt = 2 values with the digest ");
    compare(IDENTITY_OF("--approach", "nf4"), IDENTITY_OF("--approach", "nf4,max3"), QO_USAGE,
            "made with approach = nf4, this run has approach = nf4,max3");
}

static void test_a_changed_input_goes_on(void **state)
{
    (void)state;
    char *then = IDENTITY_OF(raw, "--dtype", "float32");
    set_time(raw, (struct timespec){changed.tv_sec, changed.tv_nsec + 1});
    compare(then, IDENTITY_OF(raw, "--dtype", "float32"), QO_DATA,
            "has changed since: then 48 bytes, modified 2026-11-26T17:00:00.123456789Z, now 48 "
            "bytes, modified 2026-11-26T17:00:00.123456790Z");
    then = IDENTITY_OF(raw, "--dtype", "float32");
    write_raw(raw, 52);
    compare(then, IDENTITY_OF(raw, "--dtype", "float32"), QO_DATA, "now 52 bytes");
    write_raw(raw, 48);
    then = IDENTITY_OF(raw, "--dtype", "float32");
    compare(then, IDENTITY_OF(odd, "--dtype", "float32"), QO_USAGE, "made with input = ");
}

/* A copy from the number of vectors on. */
static char *vectors_of(const char *text)
{
    char *copy;
    assert_int_equal(memory_copy_text(strstr(text, "vectors"), &copy), QO_OK);
    return copy;
}

static void test_a_tensor_changed_among_many_goes_on(void **state)
{
    (void)state;
    char *then;
    write_model(3, -1);
    then = IDENTITY_OF(model);
    assert_has(then, "\nvectors = 3\nvector t0000 = float32 [1]\nvector t0001 = ");
    assert_null(strstr(strstr(then, "\ninput /") + 1, "\ninput /")); /* a file once */
    assert_null(strstr(then, "digest"));
    write_model(3, 1);
    char *now = IDENTITY_OF(model);
    compare(vectors_of(then), vectors_of(now), QO_DATA,
            "vector t0001 has changed since: then float32 [1], now float32 []");
    memory_free(then);
    memory_free(now);
    write_model(IDENTITY_MAX_VECTORS, -1);
    then = IDENTITY_OF(model);
    assert_has(then, "\nvector t0999 = float32 [1]\n");
    assert_null(strstr(then, "digest"));
    memory_free(then);
    /* Of 1001 the last is in the digest alone. */
    write_model(IDENTITY_MAX_VECTORS + 1, -1);
    then = IDENTITY_OF(model);
    write_model(IDENTITY_MAX_VECTORS + 1, IDENTITY_MAX_VECTORS);
    now = IDENTITY_OF(model);
    assert_has(then, "\nvector t0999 = float32 [1]\nvectors_digest = ");
    assert_null(strstr(then, "t1000"));
    compare(vectors_of(then), vectors_of(now), QO_DATA, "vectors_digest has changed");
    memory_free(then);
    memory_free(now);
}

/* A newline in a name must not make a line. */
static void test_a_name_that_forges_a_line(void **state)
{
    (void)state;
    char *text = IDENTITY_OF(odd, "--dtype", "float32");
    assert_has(text, "/a = \\ = 8 bytes");
    memory_free(text);
    write_named_model("t\\nvector x = y", 1, -1);
    text = IDENTITY_OF(model);
    assert_null(strstr(text, "\nvector x"));
    assert_has(text, "\nvector t_vector x = y0000 = float32 [1]\n");
    memory_free(text);
}

static void test_a_failure_passes_or_leaks(void **state)
{
    (void)state;
    const char *inputs[] = {raw};
    struct source_request request = {
        .inputs = inputs, .num_inputs = 1, .has_type = true, .type = ELEMENT_F32, .num_dims = -1};
    struct source *source;
    struct options options;
    char *argv[] = {(char *)"quantopt_mpi", raw, (char *)"--dtype", (char *)"float32"};
    char *text = NULL;
    assert_int_equal(options_read(&options, 4, argv), QO_OK);
    assert_int_equal(source_open(&comm, &request, &source), QO_OK);
    for (int n = 1; n <= 4; n++) { /* text, file, list, copy */
        char plan[16];
        snprintf(plan, sizeof plan, "%d", n);
        setenv("QUANTOPT_FAULT", plan, 1);
        fault_setup(0);
        status_clear();
        assert_int_equal(identity_make(&options, source, &text),
                         n == 2 ? QO_NO_INPUT : QO_NO_MEMORY);
        assert_true(status_text()[0] != '\0');
        assert_null(text);
    }
    setenv("QUANTOPT_FAULT", "0", 1);
    fault_setup(0);
    unlink(raw);
    assert_int_equal(identity_make(&options, source, &text), QO_NO_INPUT);
    assert_has(status_text(), raw);
    source_close(source);
    options_clear(&options);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_missing_or_misread),
        cmocka_unit_test(test_what_is_of_no_matter_forbids_going_on),
        cmocka_unit_test(test_another_option_goes_on),
        cmocka_unit_test(test_another_codebook_of_the_same_file_goes_on),
        cmocka_unit_test(test_a_changed_input_goes_on),
        cmocka_unit_test(test_a_tensor_changed_among_many_goes_on),
        cmocka_unit_test(test_a_name_that_forges_a_line),
        cmocka_unit_test(test_a_failure_passes_or_leaks),
    };
    comm_open(&comm, &argc, &argv);
    if (!mkdtemp(folder))
        return 1;
    snprintf(raw, sizeof raw, "%s/a.raw", folder);
    snprintf(odd, sizeof odd, "%s/a = \\", folder);
    snprintf(model, sizeof model, "%s/m.safetensors", folder);
    write_raw(raw, 48);
    write_raw(odd, 8);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(raw);
    unlink(odd);
    unlink(model);
    rmdir(folder);
    comm_close(&comm);
    return failed;
}
