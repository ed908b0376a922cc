/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "log.h"
#include "memory.h"
#include "option.h"
#include "options.h"

#define MAX_ARGUMENTS 64

/* A seeded generator for test data (xorshift64*). */
static uint64_t random_state = 7;

static uint64_t next_random(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1du;
}

static int below(int n)
{
    return (int)(next_random() >> 33) % n;
}

/* ---- Files to read ---- */

static char config[] = "/tmp/quantopt_test_XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(config);
    return fd < 0 || close(fd) != 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(config);
}

static void write_config(const char *text, size_t size)
{
    FILE *file = fopen(config, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* Reads the file, and a line of further arguments split at blanks. */
static enum status read_config(struct options *options, const char *line)
{
    static char copy[1024];
    char *argv[MAX_ARGUMENTS] = {"quantopt_mpi", "--config", config};
    int argc = 3;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    return options_read(options, argc, argv);
}

static void read_good(struct options *options, const char *yaml, const char *line)
{
    write_config(yaml, strlen(yaml));
    enum status status = read_config(options, line);
    if (status != QO_OK)
        fail_msg("%s with %s: %s", yaml, line, status_text());
}

/* ---- Wrong files ---- */

static const struct {
    const char *yaml;
    const char *text; /* of the message, behind the file's name */
} wrong[] = {
    {"", ": holds no option;"},
    {"# nothing\n", ": holds no option;"},
    {"---\n...\n", ":2: not a mapping;"},
    {"- a\n", ":1: not a mapping;"},
    {"42\n", ":1: not a mapping;"},
    {"seed: 1\n---\nseed: 2\n", ":2: a second document;"},
    {"seed: 1\n\tthreads: 2\n", ": not valid YAML: "},
    {"num_bits: [1\n", ": not valid YAML: "},
    {"seed: \"1\n", ": not valid YAML: "},
    {"seed: 1\nnum-bit: 3\n", ":2: unknown key num-bit; did you mean num_bits?"},
    {"verson: true\n", ":1: unknown key verson; did you mean verbose?"}, /* version is no key */
    {"num_bits: '2,9'\n", ":1: num_bits 2,9: 9: out of range 1 to 8;"},
    {"seed: 1\nseed: 2\n", ":2: seed: given twice, first in line 1;"},
    {"num_bits: 3\nnum-bits: 3\n", ":2: num_bits: given twice, first in line 1;"},
    {"input: a\ninputs: b\n", ":2: inputs: given twice, first in line 1;"},
    {"config: a.yaml\n", ":1: config: not in a file;"},
    {"help: true\n", ":1: help: not in a file;"},
    {"\n\nnum_bits: 9\n", ":3: num_bits 9: out of range 1 to 8;"},
    {"num_bits:\n  - 3\n  - 0\n", ":3: num_bits 0: out of range 1 to 8;"},
    {"num_bits: []\n", ":1: num_bits: an empty list;"},
    {"num_bits: [3, [4]]\n", ":1: num_bits: nested;"},
    {"num_bits: {a: 3}\n", ":1: num_bits: nested;"},
    {"num_bits: [3, ~]\n", ":1: num_bits: has no value;"},
    {"? [a]\n: 3\n", ":1: a key is the name of an option;"},
    {"? {a: b}\n: 3\n", ":1: a key is the name of an option;"},
    {"'': 3\n", ":1: a key is the name of an option;"},
    {"seed:\n", ":1: seed: has no value;"},
    {"output: null\n", ":1: output: has no value;"},
    {"output: ~\n", ":1: output: has no value;"},
    {"output: ''\n", ":1: output: the value is empty;"},
    {"output: \"a\\nb\"\n", ":1: output: the value holds a control character;"},
    {"output: \"a\\0b\"\n", ":1: output: the value holds a control character;"},
    {"seed: &x 1\n", ":1: seed: an anchor (&);"},
    {"seed: *x\n", ":1: seed: an alias (*);"},
    {"&x seed: 1\nthreads: *x\n", ":1: an anchor (&);"},
    {"num_bits: &x [3]\n", ":1: num_bits: an anchor (&);"},
    {"num_bits: !!seq [3]\n", ":1: num_bits: a tag (!);"},
    {"seed: !!int 1\n", ":1: seed: a tag (!);"},
    {"!!map {seed: 1}\n", ":1: a tag (!);"},
    {"<<: {seed: 1}\n", ":1: <<: nested;"},
    {"seed: [1]\n", ":1: seed: takes one value;"},
    {"verbose: yes\n", ":1: verbose yes: neither true nor false;"},
    {"verbose: true\nquiet: true\n", ":2: quiet: excludes verbose;"},
    {"threads: 2\nuse_multiprocessing: true\n", ":2: use_multiprocessing: excludes threads;"},
    {"inputs: a.h5\ngenerate: normal:5\n", ":2: generate: excludes INPUT;"},
    {"vector_size: large\ngenerate: normal:5\n", ":1: vector_size: excludes generate;"},
    {"dtype: float32\n", ":1: dtype: built-in vectors"},
    {"inputs: a\nshape: 3x4\n", ":2: shape: needs the element type too;"},
    {"restore: q.h5\n", ":1: restore q.h5: needs a file to restore to;"},
    {"restore: q.h5\noutput: o.h5\nseed: 3\n", ":3: seed: means nothing to --restore;"},
    {"select: w\n", ":1: select: means nothing without --restore;"},
    {"memory_limit: 1M\n", ":1: memory_limit 1M: out of range 16M to 1024T"},
    {"comm_timeout: [60]\n", ":1: comm_timeout: takes one value;"},
    {"resume: true\n", ":1: resume: not in a file;"},
    {"selftest: true\n", ":1: selftest: not in a file"},
    {"seed: 1\xff\n", ": save it as UTF-8 text"},
};

static void test_a_wrong_file_taken_for_a_right_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct options options = {0};
        status_clear();
        write_config(wrong[i].yaml, strlen(wrong[i].yaml));
        enum status status = read_config(&options, "");
        options_clear(&options);
        const char *text = status_text();
        if (status != QO_CONFIG || strncmp(text, config, strlen(config)) != 0)
            fail_msg("%s: status %d: %s", wrong[i].yaml, (int)status, text);
        /* libyaml's own words and line follow the file's name */
        bool anywhere = strncmp(wrong[i].text, ": not valid", 11) == 0 ||
                        strncmp(wrong[i].text, ": save it", 9) == 0;
        const char *at = anywhere ? strstr(text, wrong[i].text + 2) : text + strlen(config);
        const char *want = wrong[i].text + (anywhere ? 2 : 0);
        if (!at || strncmp(at, want, strlen(want)) != 0)
            fail_msg("%s: %s", wrong[i].yaml, text);
        assert_null(strchr(text, '\n'));
    }
}

/* Whether they are there is not known here: the same file serves several machines. */
static void test_a_missing_device_taken_for_a_bad_file(void **state)
{
    (void)state;
    static const char yaml[] = "device: cuda\ncomm: nccl\n";
    struct options options = {0};
    write_config(yaml, sizeof yaml - 1);
    assert_int_equal(read_config(&options, ""), QO_OK);
    assert_int_equal(options.device, DEVICE_CUDA);
    assert_int_equal(options.comm, REDUCE_NCCL);
    options_clear(&options);
}

/* A file cut or changed at any byte is read or refused, with one line, and nothing else happens. */
static void test_a_damaged_file_that_crashes_the_reader(void **state)
{
    (void)state;
    static const char good[] =
        "inputs:\n  - 'a b.h5'\n  - c.npy:x\nnum_bits: [2, 3]\nrange: \"-4:4\"\n"
        "approach: [uniform, easyquant]\nthreshold: 2.5\nverbose: true\n";
    char text[sizeof good];
    int refused = 0;
    for (int round = 0; round < 1500; round++) {
        struct options options = {0};
        memcpy(text, good, sizeof good);
        size_t size = sizeof good - 1;
        if (round < (int)size)
            size = (size_t)round;
        else
            for (int change = 0; change < 3; change++)
                text[below((int)size)] =
                    (char)(below(4) ? " :-[]{}'\"&*!#\n,?|>%"[below(19)] : below(256));
        status_clear();
        write_config(text, size);
        enum status status = read_config(&options, "");
        options_clear(&options);
        if (status != QO_OK && status != QO_CONFIG)
            fail_msg("round %d: status %d: %s", round, (int)status, status_text());
        assert_true(status == QO_OK || (status_text()[0] && !strchr(status_text(), '\n')));
        refused += status != QO_OK;
    }
    assert_in_range(refused, 200, 1499);
}

/* ---- The command line wins ---- */

static void test_the_file_winning_over_the_command_line(void **state)
{
    (void)state;
    struct options o = {0};
    read_good(&o, "num_bits: [2, 4]\napproach: uniform\nseed: 7\nthreshold: 2\n",
              "--num_bits 8 --approach easyquant --seed 9");
    for (int b = 0; b <= 8; b++)
        assert_int_equal(o.bits[b], b == 8);
    assert_true(o.approach[APPROACH_EASYQUANT] && !o.approach[APPROACH_UNIFORM]);
    assert_true(o.seed == 9 && o.threshold == 2);
    assert_string_equal(o.config, config);
    options_clear(&o);
    read_good(&o, "output: none\n", "--output o.h5");
    assert_true(!o.no_output && strcmp(o.output, "o.h5") == 0);
    options_clear(&o);
    read_good(&o, "output: o.h5\n", "--output none");
    assert_true(o.no_output && !o.output);
    options_clear(&o);
    read_good(&o, "range: 0:1\ngenerate: normal:12\ndtype: float16\nshape: [3, 4]\n",
              "--range minmax --shape 2x6");
    assert_true(o.range == RANGE_MINMAX && o.num_dims == 2 && o.shape[0] == 2 && o.shape[1] == 6);
    options_clear(&o);
}

static void test_two_inputs_because_the_file_has_one_too(void **state)
{
    (void)state;
    struct options o = {0};
    read_good(&o, "inputs: [a.h5, b.h5]\n", "c.h5");
    assert_int_equal(o.num_inputs, 1);
    assert_string_equal(o.inputs[0], "c.h5");
    options_clear(&o);
    read_good(&o, "inputs: [a.h5, b.h5]\n", "--vector_size large");
    assert_int_equal(o.num_inputs, 0);
    assert_string_equal(o.vector_size, "large");
    options_clear(&o);
    read_good(&o, "vector_size: large\n", "--generate uniform:5");
    assert_string_equal(o.vector_size, "small"); /* the default again */
    assert_string_equal(o.generate, "uniform:5");
    options_clear(&o);
    read_good(&o, "generate: uniform:5\n", "d.npy");
    assert_null(o.generate);
    options_clear(&o);
    read_good(&o, "threads: 3\nverbose: true\n", "--use_multiprocessing --quiet");
    assert_true(o.threads == 0 && o.quiet && !o.verbose);
    options_clear(&o);
}

static void test_a_bad_file_hidden_by_the_command_line(void **state)
{
    (void)state;
    struct options o = {0};
    write_config("num_bits: 9\n", 12);
    assert_int_equal(read_config(&o, "--num_bits 3"), QO_CONFIG);
    options_clear(&o);
    write_config("approach: all\n", 14);
    assert_int_equal(read_config(&o, "--restore q.h5 --output o.h5"), QO_CONFIG);
    options_clear(&o);
    write_config("verbose: false\nquiet: false\nuse_multiprocessing: false\n", 55);
    assert_int_equal(read_config(&o, "--quiet --threads 2"), QO_OK);
    options_clear(&o);
}

/* ---- What is written reads back as the same ---- */

/* Texts that mean something else to YAML if they are not quoted well. */
static char *random_text(void)
{
    static const char *const nasty[] = {"a",        "null",    "~",
                                        "true",     "- x",     "&a",
                                        "*a",       "!x",      "%",
                                        "@",        "'",       "''",
                                        "\"",       "a: b",    "a #b",
                                        " a ",      "#",       "{a}",
                                        "[a, b]",   "a,b",     "?",
                                        "\xc3\xa9", "|",       "> x",
                                        "12 # eh",  "\\n",     "0x1",
                                        "1:2:3",    "none.h5", "y",
                                        "---",      "...",     "\xf0\x9f\x98\x80",
                                        "C:\\d\\e", "=:="};
    char text[256] = "";
    int parts = 1 + below(3);
    for (int i = 0; i < parts; i++)
        strcat(text, nasty[below(sizeof nasty / sizeof *nasty)]);
    char *copy;
    assert_int_equal(memory_copy_text(text, &copy), QO_OK);
    return copy;
}

static char *maybe_text(void)
{
    return below(2) ? random_text() : NULL;
}

static char *copy_of(const char *text)
{
    char *copy;
    assert_int_equal(memory_copy_text(text, &copy), QO_OK);
    return copy;
}

/* A finite double of any size. */
static double random_real(void)
{
    double x;
    do {
        uint64_t bits = next_random();
        memcpy(&x, &bits, sizeof x);
    } while (x - x != 0);
    return below(2) ? x : (double)below(1000) / 100;
}

static double magnitude(double x)
{
    return x < 0 ? -x : x;
}

static void random_source(struct options *o)
{
    static const char *const drawn[] = {"normal:1M", "laplace:3", "uniform:17K", "lognormal:2G"};
    int kind = below(4);
    o->vector_size = copy_of(kind == 1 ? "large" : "small");
    if (kind == 2)
        o->generate = copy_of(drawn[below(4)]);
    if (kind != 3)
        return;
    o->num_inputs = 1 + below(5);
    assert_int_equal(memory_alloc("inputs", 8, sizeof *o->inputs, &o->inputs), QO_OK);
    for (int i = 0; i < o->num_inputs; i++)
        o->inputs[i] = random_text();
}

/* Published ones, some made for their number of levels, and files with names that YAML would take
 * for something else. */
static void random_codebooks(struct options *o)
{
    static const char *const files[] = {"it's", "a b/[c]: d.npy", "x #y",           "\"q\"",
                                        "- z",  "{k: v}.t",       "&a*b!c|d>e%f@g", "\xc3\xa4"};
    int n = below(4);
    assert_int_equal(memory_alloc("codebooks", AUDIT_MOST, sizeof *o->audits, &o->audits), QO_OK);
    for (int i = 0; i < n; i++) {
        struct audit *audit = &o->audits[o->num_audits++];
        char word[64];
        int kind = below(3), k = 2 + 85 * i + below(85); /* each another one */
        snprintf(word, sizeof word, "%s%s", kind ? "" : "fixed:",
                 kind == 0   ? files[3 * i + below(2)]
                 : kind == 1 ? codebook_names[i]
                             : "max");
        if (kind == 2)
            snprintf(word, sizeof word, "max%d", k);
        audit->word = copy_of(word);
    }
}

static void random_quantizer(struct options *o)
{
    for (int a = 0; a < NUM_APPROACHES; a++)
        o->approach[a] = below(2);
    random_codebooks(o);
    if (o->num_audits == 0)
        o->approach[below(NUM_APPROACHES)] = true;
    for (int b = 1; b <= 8; b++)
        o->bits[b] = below(2);
    o->bits[1 + below(8)] = true;
    o->threshold = magnitude(random_real());
    o->tolerance = magnitude(random_real());
    o->has_range = below(2);
    if (o->has_range && below(3)) {
        double a = random_real() / 2, b = random_real() / 2;
        o->range_lo = a < b ? a : b;
        o->range_hi = a < b ? b : a;
    } else if (o->has_range) {
        o->range = RANGE_MINMAX;
    }
    o->solver = copy_of("lloyd");
    o->init = (enum init)(INIT_QUANTILE + below(3));
    o->max_iterations = below(1000001);
}

/* Fields are filled by hand: what the parser makes of them is what is tested. */
static void random_run(struct options *o)
{
    *o = (struct options){.action = ACTION_RUN, .num_dims = -1};
    random_source(o);
    random_quantizer(o);
    o->seed = next_random();
    o->has_dtype = (o->num_inputs || o->generate) && below(2);
    if (o->has_dtype)
        o->dtype = (enum element_type)below(ELEMENT_NUM_TYPES);
    if (o->has_dtype && o->num_inputs && below(2)) {
        o->num_dims = 1 + below(6);
        for (int d = 0; d < o->num_dims; d++)
            o->shape[d] = 1 + below(1000);
    }
    o->include = maybe_text();
    o->exclude = maybe_text();
    o->ignore_fills = below(2);
    o->keep_nonfinite = below(2);
    o->save_dir = random_text();
    o->dry_run = below(2);
    o->memory_limit = below(2) ? (int64_t)(1 + below(1000)) << (24 + below(15)) : 0;
    o->max_walltime = below(2) ? (double)(1 + below(100000)) / 16 : 0;
    o->resume = below(2);
}

static void random_options(struct options *o)
{
    if (below(4)) {
        random_run(o);
        o->no_output = below(2);
    } else {
        *o = (struct options){.action = ACTION_RESTORE, .restore = random_text(), .num_dims = -1};
        o->select = maybe_text();
        o->result = maybe_text();
    }
    o->output = o->action == ACTION_RESTORE ? random_text() : o->no_output ? NULL : maybe_text();
    o->device = (enum device_choice)below(2);
    o->threads = below(3) ? below(4097) : 0;
    o->comm_timeout = 1 + (double)below(100000) / 3;
    o->progress = (enum when)below(3);
    o->verbose = below(2);
    o->quiet = !o->verbose && below(2);
}

static void same_text(const char *a, const char *b, const char *what)
{
    if ((!a) != (!b) || (a && strcmp(a, b) != 0))
        fail_msg("%s: %s came back as %s", what, a ? a : "nothing", b ? b : "nothing");
}

/* The fields that every run has. */
static void same_options(const struct options *a, const struct options *b)
{
    assert_int_equal(a->action, b->action);
    assert_int_equal(a->num_inputs, b->num_inputs);
    for (int i = 0; i < a->num_inputs; i++)
        same_text(a->inputs[i], b->inputs[i], "inputs");
    same_text(a->generate, b->generate, "generate");
    same_text(a->include, b->include, "include");
    same_text(a->exclude, b->exclude, "exclude");
    same_text(a->output, b->output, "output");
    same_text(a->restore, b->restore, "restore");
    same_text(a->select, b->select, "select");
    same_text(a->result, b->result, "result");
    assert_true(a->has_dtype == b->has_dtype && (!a->has_dtype || a->dtype == b->dtype));
    assert_int_equal(a->num_dims, b->num_dims);
    for (int d = 0; d < a->num_dims; d++)
        assert_true(a->shape[d] == b->shape[d]);
    assert_true(a->device == b->device && a->threads == b->threads && a->progress == b->progress);
    assert_true(a->verbose == b->verbose && a->quiet == b->quiet && a->dry_run == b->dry_run);
    assert_true(a->no_output == b->no_output && a->comm_timeout == b->comm_timeout);
}

/* The fields that mean something to a run that quantizes. */
static void same_run(const struct options *a, const struct options *b)
{
    same_text(a->vector_size, b->vector_size, "vector_size");
    same_text(a->save_dir, b->save_dir, "save_dir");
    same_text(a->solver, b->solver, "solver");
    assert_true(a->seed == b->seed);
    assert_memory_equal(a->approach, b->approach, sizeof a->approach);
    assert_int_equal(a->num_audits, b->num_audits);
    for (int i = 0; i < a->num_audits; i++)
        same_text(a->audits[i].word, b->audits[i].word, "a codebook");
    assert_memory_equal(a->bits, b->bits, sizeof a->bits);
    assert_memory_equal(&a->threshold, &b->threshold, sizeof a->threshold);
    assert_memory_equal(&a->tolerance, &b->tolerance, sizeof a->tolerance);
    assert_true(a->has_range == b->has_range && a->range == b->range);
    assert_memory_equal(&a->range_lo, &b->range_lo, sizeof a->range_lo);
    assert_memory_equal(&a->range_hi, &b->range_hi, sizeof a->range_hi);
    assert_true(a->init == b->init && a->max_iterations == b->max_iterations);
    assert_true(a->ignore_fills == b->ignore_fills && a->keep_nonfinite == b->keep_nonfinite);
    assert_true(a->memory_limit == b->memory_limit && a->max_walltime == b->max_walltime);
    assert_false(b->resume); /* a run that is repeated starts anew */
}

static void test_a_saved_run_that_reads_back_as_another(void **state)
{
    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct options o, back = {0};
        char *yaml;
        random_options(&o);
        assert_int_equal(options_to_yaml(&o, &yaml), QO_OK);
        read_good(&back, yaml, "");
        same_options(&o, &back);
        if (o.action == ACTION_RUN)
            same_run(&o, &back);
        memory_free(yaml);
        options_clear(&back);
        options_clear(&o);
    }
}

struct line {
    char *argv[MAX_ARGUMENTS];
    int argc, num_inputs;
};

static void add_argument(const char *name, const char *value, void *context)
{
    struct line *line = context;
    char text[1200];
    bool is_input = strncmp(name, "input", 5) == 0, is_flag = strcmp(value, "true") == 0;
    is_flag = is_flag && option_find(name) && option_find(name)->type == TYPE_FLAG;
    if (is_input) /* told first, but behind -- they may begin with anything */
        line->num_inputs++;
    else
        snprintf(text, sizeof text, is_flag ? "--%s" : "--%s=%s", name, value);
    line->argv[line->argc++] = copy_of(is_input ? value : text);
}

/* INPUTs come first; here they are moved to the end, behind "--". */
static void move_inputs(struct line *line)
{
    struct line moved = {.argc = 1};
    moved.argv[0] = line->argv[0];
    for (int i = 1 + line->num_inputs; i < line->argc; i++)
        moved.argv[moved.argc++] = line->argv[i];
    moved.argv[moved.argc++] = copy_of("--");
    for (int i = 1; i <= line->num_inputs; i++)
        moved.argv[moved.argc++] = line->argv[i];
    *line = moved;
}

static void test_an_echo_that_is_not_the_command_line(void **state)
{
    (void)state;
    for (int round = 0; round < 500; round++) {
        struct options o, back = {0};
        struct line line = {.argv = {copy_of("quantopt_mpi")}, .argc = 1};
        random_options(&o);
        options_visit(&o, add_argument, &line);
        move_inputs(&line);
        if (options_read(&back, line.argc, line.argv) != QO_OK)
            fail_msg("round %d: %s", round, status_text());
        same_options(&o, &back);
        if (o.action == ACTION_RUN)
            same_run(&o, &back);
        for (int i = 0; i < line.argc; i++)
            memory_free(line.argv[i]);
        options_clear(&back);
        options_clear(&o);
    }
}

/* ---- What results depend on ---- */

static void append_name(const char *name, const char *value, void *context)
{
    char *names = context;
    (void)value;
    strcat(strcat(names, " "), name);
}

/* A run that goes on from a checkpoint must agree in just these. */
static void test_an_option_that_results_depend_on_left_out(void **state)
{
    (void)state;
    struct options o = {0};
    char names[1024] = "";
    read_good(&o, "memory_limit: 1G\nmax_walltime: 9\ncomm_timeout: 60\nthreads: 2\n",
              "--device cpu --comm mpi --resume --quiet --progress never --dry_run a.h5 b.h5 "
              "--include w --range 0:1");
    options_visit_results(&o, append_name, names);
    assert_string_equal(names,
                        " input input_2 seed include fill_values nonfinite approach num_bits "
                        "threshold range solver init max_iterations tolerance gap sample_size");
    options_clear(&o);
}

/* ---- Files that come with the source; failures ---- */

static void test_a_shipped_configuration_that_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = {
        "small",           "large_all",       "every_width",     "lloyd",
        "weights_4bit",    "weights_widths",  "field_easyquant", "field_larger_than_memory",
        "restore_weights", "audit_codebooks",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct options o = {0};
        char name[] = "quantopt_mpi", path[512];
        snprintf(path, sizeof path, "--config=%s/configs/%s.yaml", SOURCE_TREE, names[i]);
        char *argv[] = {name, path};
        if (options_read(&o, 2, argv) != QO_OK)
            fail_msg("%s", status_text());
        options_clear(&o);
    }
}

/* Each memory or file call fails once: a status and a message, nothing leaks, and the next try
 * works. */
static void test_a_failed_call_that_passes_for_a_good_one(void **state)
{
    (void)state;
    static const char yaml[] = "inputs: [a.h5, b.h5, c.h5]\noutput: o.h5\ninclude: w*\n";
    int failures = 0;
    enum status status;
    write_config(yaml, sizeof yaml - 1);
    do {
        struct options o = {0};
        char plan[16];
        snprintf(plan, sizeof plan, "%d", failures + 1);
        setenv("QUANTOPT_FAULT", plan, 1);
        fault_setup(0);
        status_clear();
        status = read_config(&o, "--exclude bias d.h5");
        char *text = NULL;
        if (status == QO_OK)
            status = options_to_yaml(&o, &text);
        memory_free(text);
        assert_true(status == QO_OK || status == QO_NO_MEMORY || status == QO_CONFIG);
        assert_int_equal(status == QO_OK, status_text()[0] == '\0');
        failures += status != QO_OK;
        options_clear(&o);
    } while (status != QO_OK);
    setenv("QUANTOPT_FAULT", "0", 1);
    fault_setup(0);
    assert_in_range(failures, 15, 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wrong_file_taken_for_a_right_one),
        cmocka_unit_test(test_a_missing_device_taken_for_a_bad_file),
        cmocka_unit_test(test_a_damaged_file_that_crashes_the_reader),
        cmocka_unit_test(test_the_file_winning_over_the_command_line),
        cmocka_unit_test(test_two_inputs_because_the_file_has_one_too),
        cmocka_unit_test(test_a_bad_file_hidden_by_the_command_line),
        cmocka_unit_test(test_a_saved_run_that_reads_back_as_another),
        cmocka_unit_test(test_an_echo_that_is_not_the_command_line),
        cmocka_unit_test(test_an_option_that_results_depend_on_left_out),
        cmocka_unit_test(test_a_shipped_configuration_that_is_refused),
        cmocka_unit_test(test_a_failed_call_that_passes_for_a_good_one),
    };
    log_setup(false, LOG_QUIET); /* warnings have a test program of their own */
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
