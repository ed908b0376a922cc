/* SPDX-License-Identifier: Apache-2.0 */
/* Options that do nothing in a run, and what of a file gives way to the command line. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "memory.h"
#include "option.h"
#include "options.h"

#define MAX_ARGUMENTS 64

static char config[] = "/tmp/quantopt_test_XXXXXX", log_file[] = "/tmp/quantopt_test_XXXXXX";

static int make_files(void **state)
{
    (void)state;
    int a = mkstemp(config), b = mkstemp(log_file);
    return a < 0 || b < 0 || close(a) != 0 || close(b) != 0;
}

static int remove_files(void **state)
{
    (void)state;
    return unlink(config) != 0 || unlink(log_file) != 0;
}

static void write_config(const char *text)
{
    FILE *file = fopen(config, "wb");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Reads a line split at blanks, behind --config if there is a file, and the log that this makes. */
static enum status read_line(struct options *options, const char *yaml, const char *line,
                             char log[4096])
{
    char copy[1024], *argv[MAX_ARGUMENTS] = {"quantopt_mpi", "--config", config};
    int argc = yaml ? 3 : 1;
    if (yaml)
        write_config(yaml);
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    assert_int_equal(truncate(log_file, 0), 0);
    assert_int_equal(log_open_file(log_file), QO_OK);
    enum status status = options_read(options, argc, argv);
    assert_int_equal(log_close_file(), QO_OK);
    FILE *file = fopen(log_file, "rb");
    assert_non_null(file);
    log[fread(log, 1, 4095, file)] = '\0';
    fclose(file);
    return status;
}

static int count_lines(const char *text)
{
    int lines = 0;
    while ((text = strchr(text, '\n')))
        lines++, text++;
    return lines;
}

/* ---- Options without effect ---- */

static const struct {
    const char *yaml, *line;
    const char *warnings[5]; /* each on a line of its own, and no other line */
} cases[] = {
    {NULL,
     "--approach easyquant --range 0:1",
     {"warning: --range: has no effect without the approach uniform\n"}},
    {NULL,
     "--approach uniform --threshold 2 --max_iterations 5 --seed 3",
     {"--threshold: has no effect without the approach easyquant or easyquant-uniform\n",
      "--max_iterations: has no effect without --solver lloyd for the approach non-uniform or",
      "--seed: has no effect without a drawn vector"}},
    {NULL,
     "--approach uniform --init random --solver lloyd --tolerance 1e-7",
     {"--init: has no effect", "--solver: has no effect", "--tolerance: has no effect"}},
    {NULL, "--vector_size small --seed 9", {"--seed: has no effect"}},
    {NULL, "a.h5 --seed 9 --solver lloyd --init quantile", {"--seed: has no effect"}},
    {NULL, "a.h5 --init quantile", {"--init: has no effect without --solver lloyd"}},
    {NULL, "a.h5 --gap 0.1 --sample_size 1K", {"--gap: has no effect with --sample_size"}},
    {NULL, "a.h5 --approach uniform --sample_size 9", {"--sample_size: has no effect on a uni"}},
    {NULL,
     "a.h5 --seed 9 --solver lloyd --init random --approach uniform",
     {"--seed: has", "--solver: has", "--init: has"}},
    {NULL,
     "--approach nf4 --num_bits 4 --threshold 2",
     {"--num_bits: has no effect without an approach but codebooks", "--threshold: has no"}},
    {NULL, "--approach nf4,max5 --solver lloyd", {"--solver: has no effect without the appr"}},
    {NULL, "--fill_values use", {"--fill_values: has no effect without an INPUT\n"}},
    {NULL, "--generate normal:5 --fill_values use", {"--fill_values: has no effect"}},
    {NULL, "--nonfinite keep", {"--nonfinite: has no effect on built-in vectors"}},
    {NULL,
     "--restore q.h5 --output o.h5 --progress always",
     {"--progress: has no effect with --restore or --quiet\n"}},
    {NULL, "--progress always --quiet", {"--progress: has no effect"}},
    /* what has one */
    {NULL,
     "--range 0:1 --threshold 2 --max_iterations 5 --init random --seed 3 --solver lloyd",
     {0}},
    {NULL, "--seed 9 --solver lloyd --init kmeans++ --approach non-uniform", {0}},
    {NULL, "--seed 9 --vector_size large --approach uniform", {0}},
    {NULL, "--seed 9 --generate uniform:5 --nonfinite keep", {0}},
    {NULL, "--threshold 2 --solver lloyd --tolerance 0 --approach easyquant", {0}},
    {NULL, "--threshold 2 --gap 0 --approach easyquant-uniform", {0}},
    {NULL, "--approach uniform --range optimal --sample_size 9", {0}},
    {NULL, "--approach fixed:x.txt --sample_size 9", {0}},
    {NULL, "--approach max4,uniform --num_bits 4 --gap 0.1", {0}},
    {NULL, "a.h5 --fill_values use --nonfinite keep --progress always", {0}},
    {NULL, "--progress never --quiet", {0}},
    {NULL, "--approach uniform --range minmax --threads 2 --device cpu --comm mpi", {0}},
    /* files, shared by runs that the command line narrows */
    {"seed: 1\n\nrange: 0:1\nthreshold: 2\n",
     "--approach non-uniform --solver lloyd --init random",
     {"warning: FILE:3: range: has no effect without", "warning: FILE:4: threshold: has no"}},
    {"range: 0:1\nthreshold: 2\n",
     "--approach easyquant --range 1:2",
     {"warning: --range: has no effect"}},
    {"generate: normal:5\nseed: 7\n", "--vector_size small", {"FILE:2: seed: has no effect"}},
    {"seed: 42\ntolerance: 1e-7\nthreshold: 3.0\n", "--approach uniform", {0}},
    {"approach: all\nrange: 0:1\nthreshold: 2\n", "", {0}},
};

/* Where FILE stands for the file's name. */
static bool has_warning(const char *log, const char *warning)
{
    char text[512];
    const char *file = strstr(warning, "FILE");
    if (!file)
        return strstr(log, warning) != NULL;
    snprintf(text, sizeof text, "%.*s%s%s", (int)(file - warning), warning, config, file + 4);
    return strstr(log, text) != NULL;
}

static void test_an_option_ignored_silently(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct options o = {0};
        char log[4096];
        int count = 0;
        enum status status = read_line(&o, cases[i].yaml, cases[i].line, log);
        options_clear(&o);
        if (status != QO_OK)
            fail_msg("%s: %s", cases[i].line, status_text());
        for (; cases[i].warnings[count]; count++)
            if (!has_warning(log, cases[i].warnings[count]))
                fail_msg("%s: no \"%s\" in: %s", cases[i].line, cases[i].warnings[count], log);
        if (count_lines(log) != count)
            fail_msg("%s: more than %d warnings: %s", cases[i].line, count, log);
    }
}

/* A warning about a run that does not come about hides why it does not. */
static void test_a_refusal_with_warnings_around_it(void **state)
{
    (void)state;
    struct options o = {0};
    char log[4096];
    assert_int_equal(read_line(&o, NULL, "--approach uniform --threshold 2 --num_bits 9", log),
                     QO_USAGE);
    assert_string_equal(log, "");
    options_clear(&o);
    assert_int_equal(read_line(&o, NULL, "--restore q --output o --range 0:1", log), QO_USAGE);
    assert_string_equal(log, "");
    options_clear(&o);
}

/* Rank 0 alone is the speaker. */
static void test_a_warning_from_each_rank(void **state)
{
    (void)state;
    struct options o = {0};
    char log[4096];
    log_setup(false, LOG_NORMAL);
    assert_int_equal(read_line(&o, NULL, "--approach uniform --threshold 2", log), QO_OK);
    log_setup(true, LOG_QUIET);
    assert_string_equal(log, "");
    options_clear(&o);
}

/* The file of a saved run names every option; that run gave one warning. */
static void test_a_saved_run_that_warns_of_what_nobody_gave(void **state)
{
    (void)state;
    static const char *const lines[] = {"--approach uniform", "--approach non-uniform a.h5",
                                        "--approach easyquant --quiet",
                                        "--restore q.h5 --output o.h5 --progress never"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct options o = {0}, again = {0};
        char log[4096], *yaml;
        assert_int_equal(read_line(&o, NULL, lines[i], log), QO_OK);
        assert_string_equal(log, "");
        assert_int_equal(options_to_yaml(&o, &yaml), QO_OK);
        assert_int_equal(read_line(&again, yaml, "", log), QO_OK);
        assert_string_equal(log, "");
        memory_free(yaml);
        options_clear(&o);
        options_clear(&again);
    }
}

/* Defaults are told apart by their texts. */
static void test_a_default_that_is_echoed_otherwise(void **state)
{
    (void)state;
    struct options o = {0};
    char log[4096], buffer[OPTION_VALUE_BYTES];
    assert_int_equal(read_line(&o, NULL, "", log), QO_OK);
    for (int id = 0; id < OPTION_NUM; id++) {
        const struct option *option = option_at((enum option_id)id);
        if (option->fallback && option->need)
            assert_string_equal(option_print(option, &o, buffer), option->fallback);
    }
    options_clear(&o);
}

/* ---- What describes a source goes with it ---- */

static void test_the_files_type_on_another_source(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *line;
        bool has_dtype;
        int num_dims;
    } sources[] = {
        {"generate: normal:20\ndtype: float16\nshape: [4, 5]\n", "--vector_size small", false, -1},
        {"generate: normal:20\ndtype: float16\nshape: [4, 5]\n", "a.h5", false, -1},
        {"generate: normal:20\ndtype: float16\nshape: [4, 5]\n", "--generate normal:30", false, -1},
        {"inputs: a.raw\ndtype: float16\nshape: [4, 5]\n", "--generate normal:7", false, -1},
        {"inputs: a.raw\ndtype: float16\nshape: [4, 5]\n", "b.raw --dtype float32", true, -1},
        {"dtype: float16\nshape: [4, 5]\n", "--vector_size large", false, -1},
        /* meant for the source of the command line, or for the file's own */
        {"dtype: float16\nshape: [4, 5]\n", "a.raw", true, 2},
        {"dtype: float16\nshape: [4, 5]\n", "--generate normal:20", true, 2},
        {"generate: normal:20\ndtype: float16\nshape: [4, 5]\n", "--num_bits 4", true, 2},
        {"generate: normal:20\ndtype: float16\nshape: [4, 5]\n", "--shape 2x10", true, 2},
    };
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        struct options o = {0};
        char log[4096];
        if (read_line(&o, sources[i].yaml, sources[i].line, log) != QO_OK)
            fail_msg("%s with %s: %s", sources[i].yaml, sources[i].line, status_text());
        assert_int_equal(o.has_dtype, sources[i].has_dtype);
        assert_int_equal(o.num_dims, sources[i].num_dims);
        assert_string_equal(log, "");
        options_clear(&o);
    }
}

/* What the command line itself gives is not excused. */
static void test_a_type_for_built_in_vectors_on_the_command_line(void **state)
{
    (void)state;
    struct options o = {0};
    char log[4096];
    assert_int_equal(read_line(&o, "generate: normal:20\ndtype: float16\n",
                               "--vector_size small --dtype float32", log),
                     QO_USAGE);
    options_clear(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_option_ignored_silently),
        cmocka_unit_test(test_a_refusal_with_warnings_around_it),
        cmocka_unit_test(test_a_warning_from_each_rank),
        cmocka_unit_test(test_a_saved_run_that_warns_of_what_nobody_gave),
        cmocka_unit_test(test_a_default_that_is_echoed_otherwise),
        cmocka_unit_test(test_the_files_type_on_another_source),
        cmocka_unit_test(test_a_type_for_built_in_vectors_on_the_command_line),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
