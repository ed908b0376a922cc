/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "element.h"
#include "log.h"
#include "manual.h"
#include "option.h"
#include "options.h"

#define MAX_ARGUMENTS 64

/* Splits a line at blanks, as a shell would without quotes, and reads it. */
static enum status read_line(struct options *options, const char *line)
{
    static char copy[8192];
    char *argv[MAX_ARGUMENTS] = {"quantopt_mpi"};
    int argc = 1;
    assert_true(strlen(line) < sizeof copy);
    strcpy(copy, line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    return options_read(options, argc, argv);
}

static void read_good(struct options *options, const char *line)
{
    enum status status = read_line(options, line);
    if (status != QO_OK)
        fail_msg("%s: %s", line, status_text());
}

/* ---- Wrong usage ---- */

static const struct {
    const char *line;
    enum status status;
    const char *text; /* the message begins with this */
} wrong[] = {
    /* names */
    {"--num-bit 3", QO_USAGE, "unknown option --num-bit; did you mean --num_bits?"},
    {"--aproach all", QO_USAGE, "unknown option --aproach; did you mean --approach?"},
    {"--vector 3", QO_USAGE, "unknown option --vector; did you mean --vector_size?"},
    {"--Quiet", QO_USAGE, "unknown option --Quiet; did you mean --quiet?"},
    {"--max-iteration=5", QO_USAGE,
     "unknown option --max-iteration; did you mean --max_iterations?"},
    {"-h", QO_USAGE, "unknown option -h; did you mean --help?"},
    {"-", QO_USAGE, "unknown option -; did you mean --"},
    {"--foo", QO_USAGE, "unknown option --foo; did you mean --gap?"},
    {"--inpts a.h5", QO_USAGE, "unknown option --inpts; did you mean --init?"},
    {"--=3", QO_USAGE, "unknown option --; did you mean --"},
    {"--inputs a.h5", QO_USAGE, "INPUT: goes without --inputs"},
    /* values left out, or too many */
    {"--num_bits", QO_USAGE, "--num_bits: needs a value; give --num_bits=B[,B...]"},
    {"--num_bits --quiet", QO_USAGE, "--num_bits: needs a value"},
    {"--num_bits=", QO_USAGE, "--num_bits: the value is empty"},
    {"--quiet=true", QO_USAGE, "--quiet: takes no value; leave out =true"},
    {"--num_bits 3 --num-bits 3", QO_USAGE, "--num_bits: given twice"},
    {"--quiet --quiet", QO_USAGE, "--quiet: given twice"},
    /* numbers */
    {"--num_bits 9", QO_USAGE, "--num_bits 9: out of range 1 to 8;"},
    {"--num_bits 0", QO_USAGE, "--num_bits 0: out of range 1 to 8;"},
    {"--num_bits 2,3,x", QO_USAGE, "--num_bits 2,3,x: x: not a whole number; give one from 1 to 8"},
    {"--num_bits 2,,3", QO_USAGE, "--num_bits 2,,3: an element of the list is empty"},
    {"--num_bits 3,", QO_USAGE, "--num_bits 3,: an element of the list is empty"},
    {"--num_bits 3.0", QO_USAGE, "--num_bits 3.0: not a whole number"},
    {"--max_iterations -1", QO_USAGE, "--max_iterations -1: out of range 0 to 1000000;"},
    {"--max_iterations 1001K", QO_USAGE, "--max_iterations 1001K: out of range 0 to 1000000;"},
    {"--max_iterations 99999999999999999999", QO_USAGE,
     "--max_iterations 99999999999999999999: out of"},
    {"--max_iterations 18446744073709551G", QO_USAGE,
     "--max_iterations 18446744073709551G: out of"},
    {"--max_iterations 5k", QO_USAGE, "--max_iterations 5k: not a whole number"},
    {"--max_iterations 0x10", QO_USAGE, "--max_iterations 0x10: not a whole number"},
    {"--max_iterations 5KK", QO_USAGE, "--max_iterations 5KK: not a whole number"},
    {"--threads 0", QO_USAGE, "--threads 0: out of range 1 to 4096;"},
    {"--threads many", QO_USAGE, "--threads many: not a whole number"},
    {"--seed -1", QO_USAGE, "--seed -1: out of range 0 to 18446744073709551615;"},
    {"--seed 18446744073709551616", QO_USAGE, "--seed 18446744073709551616: out of range"},
    {"--seed 4K", QO_USAGE, "--seed 4K: not a whole number"},
    {"--threshold nan", QO_USAGE, "--threshold nan: not a finite decimal number"},
    {"--threshold inf", QO_USAGE, "--threshold inf: not a finite decimal number"},
    {"--threshold -1", QO_USAGE, "--threshold -1: out of range; give a float64 of at least 0"},
    {"--threshold 1e999", QO_USAGE, "--threshold 1e999: out of range"},
    {"--threshold 3x", QO_USAGE, "--threshold 3x: not a finite decimal number"},
    {"--tolerance -1e-9", QO_USAGE, "--tolerance -1e-9: out of range"},
    {"--tolerance 1e-999", QO_USAGE, "--tolerance 1e-999: out of range"},
    {"--tolerance e", QO_USAGE, "--tolerance e: not a finite decimal number"},
    /* words */
    {"--approach easyquan", QO_USAGE,
     "--approach easyquan: no such value; did you mean easyquant?"},
    {"--approach uniform,nonuniform", QO_USAGE,
     "--approach uniform,nonuniform: nonuniform: no such value; did you mean non-"},
    {"--approach nf5", QO_USAGE,
     "--approach nf5: no such value; did you mean nf4? It is one of un"},
    {"--approach uniform,max1", QO_USAGE,
     "--approach uniform,max1: max1: out of range max2 to max256;"},
    {"--approach max300", QO_USAGE, "--approach max300: out of range max2 to max256;"},
    {"--approach max99999999999999999999", QO_USAGE,
     "--approach max99999999999999999999: out of range max2 to max256;"},
    {"--approach max", QO_USAGE, "--approach max: max is followed by the number of levels;"},
    {"--approach max3x", QO_USAGE, "--approach max3x: max is followed by the number of levels;"},
    {"--approach fixed", QO_USAGE, "--approach fixed: names no file; give fixed:FILE"},
    {"--approach fixed:a/", QO_USAGE, "--approach fixed:a/: names no file; give fixed:FILE"},
    {"--approach fixed:a/x.npy,fixed:x.txt", QO_USAGE,
     "--approach fixed:a/x.npy,fixed:x.txt: fixed:x.txt: its results would be called fixed-x, as "
     "those of fixed:a/x.npy;"},
    {"--vector_size Small", QO_USAGE, "--vector_size Small: no such value; did you mean small?"},
    {"--init kmeans", QO_USAGE, "--init kmeans: no such value; did you mean kmeans++?"},
    {"--solver loyd", QO_USAGE,
     "--solver loyd: no such value; did you mean lloyd? It is one of optimal, lloyd"},
    {"--device gpu", QO_USAGE,
     "--device gpu: no such value; did you mean cpu? It is one of auto, cpu, cuda"},
    {"--comm ncl", QO_USAGE, "--comm ncl: no such value; did you mean nccl?"},
    {"--progress yes", QO_USAGE, "--progress yes: no such value"},
    {"--nonfinite stop", QO_USAGE, "--nonfinite stop: no such value"},
    {"--fill_values 3", QO_USAGE, "--fill_values 3: no such value"},
    {"raw --dtype float", QO_USAGE, "--dtype float: no such value; did you mean float16?"},
    {"raw --dtype f64", QO_USAGE, "--dtype f64: no such value; did you mean float64?"},
    /* ranges, shapes, drawn vectors */
    {"--range 4:-4", QO_USAGE, "--range 4:-4: LO is above HI"},
    {"--range 4", QO_USAGE, "--range 4: not LO:HI"},
    {"--range :4", QO_USAGE, "--range :4: not LO:HI"},
    {"--range -4:4:5", QO_USAGE, "--range -4:4:5: not LO:HI"},
    {"--range -inf:4", QO_USAGE, "--range -inf:4: not LO:HI with two finite numbers"},
    {"--range -1e308:1e308", QO_USAGE, "--range -1e308:1e308: wider than float64"},
    {"--range min-max", QO_USAGE, "--range min-max: no such value; did you mean minmax?"},
    {"raw --dtype float32 --shape 3x0", QO_USAGE, "--shape 3x0: 0: out of range 1 to"},
    {"raw --dtype float32 --shape 3x4,5", QO_USAGE, "--shape 3x4,5: 3x4: not a whole number"},
    {"raw --dtype float32 --shape 3x", QO_USAGE, "--shape 3x: an element of the list is empty"},
    {"raw --dtype float32 --shape 4000000Gx4000", QO_USAGE,
     "--shape 4000000Gx4000: 4000: more than"},
    {"raw --dtype float32 --shape "
     "1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1",
     QO_USAGE,
     "--shape 1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1: 1: more than 32 "
     "dimensions"},
    {"raw --shape 3x4", QO_USAGE, "--shape: needs the element type too"},
    {"--generate normal", QO_USAGE, "--generate normal: not KIND:N"},
    {"--generate nromal:5", QO_USAGE,
     "--generate nromal:5: nromal: no such value; did you mean normal?"},
    {"--generate normal:0", QO_USAGE,
     "--generate normal:0: 0: out of range 1 to 1000000000000000;"},
    {"--generate normal:1.5M", QO_USAGE, "--generate normal:1.5M: 1.5M: not a whole number"},
    {"--generate normal:", QO_USAGE, "--generate normal:: not KIND:N"},
    {"--generate normal:10 --dtype float32 --shape 3x4", QO_USAGE,
     "--shape: has 12 elements, --generate"},
    /* what excludes what */
    {"a.h5 --generate normal:5", QO_USAGE, "--generate: excludes INPUT"},
    {"a.h5 --vector_size large", QO_USAGE, "--vector_size: excludes INPUT"},
    {"--vector_size small --generate normal:5", QO_USAGE, "--vector_size: excludes --generate"},
    {"--use_multiprocessing --threads 2", QO_USAGE, "--use_multiprocessing: excludes --threads"},
    {"--quiet --verbose", QO_USAGE, "--quiet: excludes --verbose"},
    {"--dtype float32", QO_USAGE, "--dtype: built-in vectors have their own type"},
    {"--restore q.h5", QO_USAGE, "--restore q.h5: needs a file to restore to; give --output FILE"},
    {"--restore q.h5 --output none", QO_USAGE, "--restore q.h5: needs a file to restore to"},
    {"--restore q.h5 --output o.h5 a.h5", QO_USAGE, "INPUT: means nothing to --restore"},
    {"--restore q.h5 --output o.h5 --approach all", QO_USAGE,
     "--approach: means nothing to --restore"},
    {"--restore q.h5 --output o.h5 --num_bits 3", QO_USAGE,
     "--num_bits: means nothing to --restore"},
    {"--restore q.h5 --output o.h5 --range 0:1", QO_USAGE, "--range: means nothing to --restore"},
    {"--restore q.h5 --output o.h5 --dry_run", QO_USAGE, "--dry_run: means nothing to --restore"},
    {"--select x", QO_USAGE, "--select: means nothing without --restore"},
    {"--result easyquant_3bit", QO_USAGE, "--result: means nothing without --restore"},
    {"--gap -1", QO_USAGE, "--gap -1: "},
    {"--gap 1e", QO_USAGE, "--gap 1e: "},
    {"--sample_size 2G", QO_USAGE, "--sample_size 2G: out of range 0 to 1000000000"},
    {"--sample_size 1.5", QO_USAGE, "--sample_size 1.5: not a whole number"},
    {"--selftest a.h5", QO_USAGE, "INPUT: means nothing to --selftest; leave one of them out"},
    {"--selftest --num_bits 3", QO_USAGE, "--num_bits: means nothing to --selftest"},
    {"--selftest --restore a.h5 --output b.h5", QO_USAGE, "--output: means nothing to --selftest"},
    /* sizes and times */
    {"--memory_limit 16777215", QO_USAGE, "--memory_limit 16777215: out of range 16M to 1024T;"},
    {"--memory_limit 1025T", QO_USAGE, "--memory_limit 1025T: out of range 16M to 1024T;"},
    {"--memory_limit 99999999999999T", QO_USAGE, "--memory_limit 99999999999999T: out of range"},
    {"--memory_limit -1G", QO_USAGE, "--memory_limit -1G: out of range"},
    {"--memory_limit 1.5G", QO_USAGE, "--memory_limit 1.5G: not a size;"},
    {"--memory_limit 1g", QO_USAGE, "--memory_limit 1g: not a size;"},
    {"--max_walltime 0", QO_USAGE, "--max_walltime 0: out of range; give more than 0 seconds"},
    {"--max_walltime 0:00", QO_USAGE, "--max_walltime 0:00: out of range; give more than 0"},
    {"--max_walltime 1:2:3", QO_USAGE, "--max_walltime 1:2:3: not a time; give seconds, MM:SS"},
    {"--max_walltime inf", QO_USAGE, "--max_walltime inf: not a time;"},
    {"--comm-timeout 0.5", QO_USAGE, "--comm_timeout 0.5: out of range; give at least 1 seconds"},
    {"--selftest --resume", QO_USAGE, "--resume: means nothing to --selftest"},
    {"--restore q.h5 --output o.h5 --resume", QO_USAGE, "--resume: means nothing to --restore"},
    {"--restore q.h5 --output o.h5 --max_walltime 9", QO_USAGE, "--max_walltime: means nothing to"},
    {"--restore q.h5 --output o.h5 --memory_limit 1G", QO_USAGE, "--memory_limit: means nothing"},
    /* files of --config */
    {"--config /nonexistent.yaml", QO_CONFIG, "/nonexistent.yaml: cannot be opened: No such file"},
    {"--config=", QO_USAGE, "--config: the value is empty"},
    {"--config /", QO_CONFIG, "/: cannot be read: Is a directory"},
};

static void test_wrong_usage_taken_for_right(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct options options = {0};
        status_clear();
        enum status status = read_line(&options, wrong[i].line);
        options_clear(&options);
        if (status != wrong[i].status)
            fail_msg("%s: status %d: %s", wrong[i].line, (int)status, status_text());
        if (strncmp(status_text(), wrong[i].text, strlen(wrong[i].text)) != 0)
            fail_msg("%s: %s", wrong[i].line, status_text());
        assert_null(strchr(status_text(), '\n'));
    }
}

static enum status read_two(const char *first, const char *second)
{
    struct options options = {0};
    char name[] = "quantopt_mpi", a[8192], b[8192];
    snprintf(a, sizeof a, "%s", first);
    snprintf(b, sizeof b, "%s", second);
    char *argv[] = {name, a, b};
    enum status status = options_read(&options, 3, argv);
    options_clear(&options);
    return status;
}

static void test_a_text_that_breaks_the_log_or_the_yaml(void **state)
{
    (void)state;
    static char longest[5000];
    assert_int_equal(read_two("--save_dir", "a\nb"), QO_USAGE);
    assert_string_equal(status_text(),
                        "argument 2: byte 2 is no printable UTF-8; rename the file or retype it");
    assert_int_equal(read_two("a\xff.h5", "b.h5"), QO_USAGE);
    assert_int_equal(read_two("--", ""), QO_USAGE);
    assert_string_equal(status_text(),
                        "INPUT: the value is empty; give one or leave the option out");
    memset(longest, 'a', sizeof longest - 1);
    assert_int_equal(read_two("--output", longest), QO_USAGE);
    assert_non_null(strstr(status_text(), "--output: the value is longer than 4095 bytes"));
    longest[4095] = '\0';
    assert_int_equal(read_two("--output", longest), QO_OK);
}

/* ---- Right usage ---- */

static void test_a_default_that_is_not_the_documented_one(void **state)
{
    (void)state;
    struct options o = {0};
    read_good(&o, "");
    assert_int_equal(o.action, ACTION_RUN);
    assert_int_equal(o.num_inputs, 0);
    assert_string_equal(o.vector_size, "small");
    assert_null(o.generate);
    assert_int_equal(o.seed, 42);
    assert_false(o.has_dtype);
    assert_int_equal(o.num_dims, -1);
    assert_false(o.ignore_fills || o.keep_nonfinite);
    for (int a = 0; a < NUM_APPROACHES; a++)
        assert_true(o.approach[a]);
    for (int b = 0; b <= 8; b++)
        assert_int_equal(o.bits[b], b == 3);
    assert_true(o.threshold == 3.0 && o.tolerance == 1e-7);
    assert_false(o.has_range);
    assert_string_equal(o.solver, "optimal");
    assert_int_equal(o.init, INIT_OPTIMAL);
    assert_true(o.gap == 1e-3);
    assert_int_equal(o.sample_size, 0);
    assert_false(o.selftest);
    assert_int_equal(o.max_iterations, 100);
    assert_int_equal(o.device, DEVICE_AUTO);
    assert_int_equal(o.comm, REDUCE_AUTO);
    assert_int_equal(o.threads, 0);
    assert_true(o.memory_limit == 0 && o.max_walltime == 0 && o.comm_timeout == 600);
    assert_false(o.resume);
    assert_string_equal(o.save_dir, "results");
    assert_null(o.output);
    assert_false(o.no_output || o.verbose || o.quiet || o.dry_run);
    assert_null(o.restore);
    assert_int_equal(o.progress, WHEN_AUTO);
    options_clear(&o);
    options_clear(&o);
}

static void test_a_value_that_lands_in_the_wrong_field(void **state)
{
    (void)state;
    struct options o = {0};
    read_good(
        &o,
        "a.bin b.bin:x --seed=18446744073709551615 --dtype bfloat16 --shape 3x4Kx5 --include w* "
        "--exclude *bias --fill-values use --nonfinite keep --approach easyquant,uniform,uniform "
        "--num-bits 8,1 --threshold 2.5 --range -1e-3:+7 --init kmeans++ --max-iterations 1K "
        "--tolerance 0 --device cpu --comm mpi --threads 7 --save_dir d --output o.h5 --progress "
        "never --verbose --dry-run --sample_size 10K --gap 1e-5 --solver lloyd --memory-limit 3G "
        "--max-walltime 1:30:00 --resume --comm_timeout 2.5");
    assert_int_equal(o.num_inputs, 2);
    assert_string_equal(o.inputs[0], "a.bin");
    assert_string_equal(o.inputs[1], "b.bin:x");
    assert_true(o.seed == UINT64_MAX);
    assert_true(o.has_dtype && o.dtype == ELEMENT_BF16);
    assert_int_equal(o.num_dims, 3);
    assert_true(o.shape[0] == 3 && o.shape[1] == 4000 && o.shape[2] == 5);
    assert_string_equal(o.include, "w*");
    assert_string_equal(o.exclude, "*bias");
    assert_true(o.ignore_fills && o.keep_nonfinite);
    assert_true(o.approach[APPROACH_UNIFORM] && o.approach[APPROACH_EASYQUANT]);
    assert_false(o.approach[APPROACH_NON_UNIFORM]);
    for (int b = 0; b <= 8; b++)
        assert_int_equal(o.bits[b], b == 1 || b == 8);
    assert_true(o.threshold == 2.5 && o.tolerance == 0);
    assert_true(o.has_range && o.range == RANGE_GIVEN && o.range_lo == -1e-3 && o.range_hi == 7);
    assert_int_equal(o.init, INIT_KMEANS_PP);
    assert_int_equal(o.max_iterations, 1000);
    assert_int_equal(o.device, DEVICE_CPU);
    assert_int_equal(o.comm, REDUCE_MPI);
    assert_int_equal(o.threads, 7);
    assert_true(o.memory_limit == (int64_t)3 << 30 && o.max_walltime == 5400 && o.resume);
    assert_true(o.comm_timeout == 2.5);
    assert_string_equal(o.save_dir, "d");
    assert_string_equal(o.output, "o.h5");
    assert_int_equal(o.progress, WHEN_NEVER);
    assert_true(o.verbose && o.dry_run && !o.quiet);
    options_clear(&o);
}

/* What a word makes of a codebook; a word of the list that is there already makes nothing. */
static void test_a_codebook_that_is_another(void **state)
{
    (void)state;
    struct options o = {0};
    char buffer[OPTION_VALUE_BYTES];
    static const struct {
        const char *word, *name;
        int k;
    } right[] = {{"iq4_nl", "iq4_nl", 16},
                 {"max3", "max3", 3},
                 {"fixed:a b/w:x.y.txt", "fixed-w_x.y", 0},
                 {"fixed:../.hidden", "fixed-.hidden", 0},
                 {"fp4", "fp4", 15}};
    read_good(&o, "--approach iq4_nl,easyquant,max3,iq4_nl,max03");
    assert_int_equal(o.num_audits, 2);
    assert_string_equal(o.audits[0].word, "iq4_nl");
    assert_string_equal(o.audits[1].word, "max3");
    assert_true(o.approach[APPROACH_EASYQUANT] && !o.approach[APPROACH_UNIFORM]);
    assert_string_equal(option_print(option_at(OPTION_APPROACH), &o, buffer),
                        "easyquant,iq4_nl,max3");
    options_clear(&o);
    assert_null(o.audits);
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        char *argv[] = {(char *)"quantopt_mpi", (char *)"--approach", (char *)right[i].word};
        assert_int_equal(options_read(&o, 3, argv), QO_OK);
        assert_int_equal(o.num_audits, 1);
        assert_string_equal(o.audits[0].name, right[i].name);
        assert_int_equal(o.audits[0].book.k, right[i].k);
        const char *file = audit_file(&o.audits[0]), *colon = strchr(right[i].word, ':');
        assert_true(colon ? strcmp(file, colon + 1) == 0 : !file);
        for (int a = 0; a < NUM_APPROACHES; a++)
            assert_false(o.approach[a]);
        options_clear(&o);
    }
}

/* As many as there may be, and one that is as long as a path may be. */
static void test_codebooks_that_do_not_fit(void **state)
{
    (void)state;
    static char list[OPTION_VALUE_BYTES], path[4000];
    size_t used = 0;
    for (int k = 2; k < 2 + AUDIT_MOST; k++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%smax%d", k > 2 ? "," : "", k);
    assert_int_equal(read_two("--approach", list), QO_OK);
    strcat(list, ",max2,max3"); /* they are there */
    assert_int_equal(read_two("--approach", list), QO_OK);
    strcat(list, ",nf4");
    assert_int_equal(read_two("--approach", list), QO_USAGE);
    assert_non_null(strstr(status_text(), "more than 32 codebooks"));
    memset(path, 'd', sizeof path - 1);
    memcpy(path, "fixed:", 6);
    memcpy(path + sizeof path - 3, "/x", 2);
    assert_int_equal(read_two("--approach", path), QO_OK);
}

static void test_a_special_value_taken_for_a_plain_one(void **state)
{
    (void)state;
    struct options o = {0};
    read_good(&o, "--range minmax --output none --generate laplace:2M --use_multiprocessing "
                  "--shape 1000,2000 "
                  "--dtype float64");
    assert_true(o.has_range && o.range == RANGE_MINMAX && o.no_output && !o.output);
    assert_string_equal(o.generate, "laplace:2M");
    assert_int_equal(o.threads, 0);
    assert_int_equal(o.num_dims, 2);
    options_clear(&o);
    read_good(&o, "--range 2:2 --threads auto --approach all --threshold 0");
    assert_true(o.range == RANGE_GIVEN && o.range_lo == 2 && o.range_hi == 2 && o.threshold == 0);
    options_clear(&o);
    read_good(&o,
              "--restore q.h5 --select w* --result uniform_2bit --output o.npy --threads 2 --quiet "
              "--comm_timeout 1");
    assert_int_equal(o.action, ACTION_RESTORE);
    assert_string_equal(o.select, "w*");
    assert_string_equal(o.result, "uniform_2bit");
    assert_string_equal(o.output, "o.npy");
    options_clear(&o);
}

static void test_a_file_that_looks_like_an_option(void **state)
{
    (void)state;
    struct options o = {0};
    read_good(&o, "a.h5 --quiet -- --verbose -x --");
    assert_int_equal(o.num_inputs, 4);
    assert_string_equal(o.inputs[1], "--verbose");
    assert_string_equal(o.inputs[3], "--");
    assert_false(o.verbose);
    options_clear(&o);
}

static void test_inputs_lost_where_there_are_many(void **state)
{
    (void)state;
    struct options o = {0};
    char line[256] = "--";
    for (int i = 0; i < 40; i++)
        snprintf(line + strlen(line), sizeof line - strlen(line), " f%d", i);
    read_good(&o, line);
    assert_int_equal(o.num_inputs, 40);
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        assert_string_equal(o.inputs[i], name);
    }
    options_clear(&o);
}

static void test_help_refused_because_of_another_mistake(void **state)
{
    (void)state;
    struct options o = {0};
    read_good(&o, "--nonsense --num_bits 99 --help");
    assert_int_equal(o.action, ACTION_HELP);
    options_clear(&o);
    read_good(&o, "a.h5 --version --nonsense");
    assert_int_equal(o.action, ACTION_VERSION);
    options_clear(&o);
    read_good(&o, "-- --help");
    assert_int_equal(o.action, ACTION_RUN);
    assert_string_equal(o.inputs[0], "--help");
    options_clear(&o);
}

/* The rest of the program reads indices as these enums. */
static void test_words_out_of_step_with_their_enum(void **state)
{
    (void)state;
    const char *const *dtypes = option_at(OPTION_DTYPE)->words;
    for (int t = 0; t < ELEMENT_NUM_TYPES; t++)
        assert_string_equal(dtypes[t], element_name((enum element_type)t));
    assert_null(dtypes[ELEMENT_NUM_TYPES]);
    assert_string_equal(approach_name(APPROACH_UNIFORM), "uniform");
    assert_string_equal(approach_name(APPROACH_NON_UNIFORM), "non-uniform");
    assert_string_equal(approach_name(APPROACH_EASYQUANT), "easyquant");
    assert_string_equal(option_at(OPTION_INIT)->words[INIT_RANDOM], "random");
    assert_string_equal(option_at(OPTION_DEVICE)->words[DEVICE_CUDA], "cuda");
    assert_string_equal(option_at(OPTION_COMM)->words[REDUCE_NCCL], "nccl");
    assert_string_equal(option_at(OPTION_PROGRESS)->words[WHEN_NEVER], "never");
}

static void test_an_option_missing_from_the_table(void **state)
{
    (void)state;
    for (int id = 0; id < OPTION_NUM; id++) {
        const struct option *option = option_at((enum option_id)id);
        assert_non_null(option->name);
        assert_non_null(option->help);
        assert_ptr_equal(option_find(option->name), option);
        if (id != OPTION_INPUTS)
            assert_string_equal(option_nearest(option->name, false), option->name);
        if (!option->line_only)
            assert_string_equal(option_nearest(option->name, true), option->name);
        assert_true(option->metavar || option->words || option->type == TYPE_FLAG);
        char value[MANUAL_VALUE_BYTES];
        assert_true(strlen(manual_value(option, value)) < sizeof value - 1);
    }
}

/* ---- Help ---- */

static void test_help_that_misses_an_option_or_runs_over_the_line(void **state)
{
    (void)state;
    static char text[32768], name[64];
    FILE *out = fmemopen(text, sizeof text, "w");
    assert_non_null(out);
    options_help(out);
    fclose(out);
    for (int id = 1; id < OPTION_NUM; id++) {
        snprintf(name, sizeof name, "\n  --%s", option_at((enum option_id)id)->name);
        if (!strstr(text, name))
            fail_msg("--help does not list%s", name);
    }
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
        if (end - line > 100)
            fail_msg("a line of %ld columns: %.*s", (long)(end - line), (int)(end - line), line);
}

/* The commands at the end of the help are read as the shell would pass them. */
static void test_an_example_that_does_not_work(void **state)
{
    (void)state;
    static char text[32768];
    int count = 0;
    FILE *out = fmemopen(text, sizeof text, "w");
    assert_non_null(out);
    options_help(out);
    fclose(out);
    char *at = strstr(text, "\nEXAMPLES");
    assert_non_null(at);
    for (char *join; (join = strstr(at, "\\\n"));)
        memset(join, ' ', 2);
    while ((at = strstr(at, "build/quantopt_mpi "))) {
        struct options o = {0};
        at += strlen("build/quantopt_mpi ");
        char *end = strchr(at, '\n');
        *end = '\0';
        read_good(&o, at);
        options_clear(&o);
        at = end + 1;
        count++;
    }
    assert_true(count >= 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_usage_taken_for_right),
        cmocka_unit_test(test_a_text_that_breaks_the_log_or_the_yaml),
        cmocka_unit_test(test_a_default_that_is_not_the_documented_one),
        cmocka_unit_test(test_a_value_that_lands_in_the_wrong_field),
        cmocka_unit_test(test_a_codebook_that_is_another),
        cmocka_unit_test(test_codebooks_that_do_not_fit),
        cmocka_unit_test(test_a_special_value_taken_for_a_plain_one),
        cmocka_unit_test(test_a_file_that_looks_like_an_option),
        cmocka_unit_test(test_inputs_lost_where_there_are_many),
        cmocka_unit_test(test_help_refused_because_of_another_mistake),
        cmocka_unit_test(test_words_out_of_step_with_their_enum),
        cmocka_unit_test(test_an_option_missing_from_the_table),
        cmocka_unit_test(test_help_that_misses_an_option_or_runs_over_the_line),
        cmocka_unit_test(test_an_example_that_does_not_work),
    };
    log_setup(false, LOG_QUIET); /* warnings have a test program of their own */
    if (chdir(SOURCE_TREE) != 0) /* the examples name files from there */
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
