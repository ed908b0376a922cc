/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <jansson.h>

#include "report.h"

static char folder[] = "/tmp/quantopt_test_report.XXXXXX";

/* A report of one vector with two results, as a run on one rank with two threads makes it. */
struct scene {
    struct options options;
    struct comm comm;
    struct kernels kernels;
    struct machine machine;
    struct vector_info info;
    struct step steps[2];
    struct result results[2];
    struct report_vector vector;
    struct report report;
    char host[HOST_NAME_BYTES];
};

static void make_scene(struct scene *scene)
{
    *scene = (struct scene){0};
    scene->options.save_dir = folder;
    scene->options.vector_size = "small";
    scene->options.solver = "lloyd";
    scene->options.bits[3] = true;
    scene->options.num_dims = -1;
    scene->comm.size = scene->comm.node_size = scene->comm.num_nodes = 1;
    scene->kernels.name = "portable";
    scene->machine.engine = (struct engine){.kernels = &scene->kernels, .threads = 2};
    scene->info = (struct vector_info){
        .name = "a/b c-1", .origin = "file", .type = ELEMENT_F32, .num_dims = 1, .n = 10};
    scene->info.shape[0] = 10;
    scene->steps[1] = (struct step){.iteration = 1, .mse = 0.25, .max_move = 0.5};
    for (int i = 0; i < 2; i++) {
        scene->results[i] = (struct result){.approach = i ? "non-uniform" : "uniform",
                                            .num_bits = 3,
                                            .solver = i ? "lloyd" : "uniform",
                                            .l2_norm = i ? 1e-5 : 0.1132813005805658,
                                            .sqnr_db = INFINITY,
                                            .optimality_gap = NAN,
                                            .has_codes = true,
                                            .solve_seconds = 0.5,
                                            .encode_seconds = 0.25,
                                            .digest = 0xab};
        scene->results[i].solution.k = 2;
        scene->results[i].solution.level[1] = 1.5;
    }
    scene->results[1].solution.steps = scene->steps;
    scene->results[1].solution.num_steps = 2;
    scene->vector =
        (struct report_vector){.info = &scene->info, .num_results = 2, .results = scene->results};
    scene->vector.stats.mean = NAN;
    strcpy(scene->host, "node");
    scene->report = (struct report){.options = &scene->options,
                                    .comm = &scene->comm,
                                    .machine = &scene->machine,
                                    .command_line = "quantopt_mpi",
                                    .hosts = scene->host,
                                    .num_vectors = 1,
                                    .vectors = &scene->vector};
}

/* The content of a file in the folder, to be freed. */
static char *read_back(const char *name)
{
    char path[128], *text = calloc(1, 65536);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(text);
    assert_true(fread(text, 1, 65535, file) > 0);
    fclose(file);
    return text;
}

static void test_a_layout_the_exercise_cannot_read(void **state)
{
    (void)state;
    static const char block[] = "Vector Size: a_b_c_1%s___multiprocess: True__device: cpu\n"
                                "Uniform Quantization:\nL2 Norm: 0.1132813005805658\n"
                                "Latency: 0.7500 seconds\n\n"
                                "Non-Uniform Quantization:\nL2 Norm: 1e-05\n"
                                "Latency: 0.7500 seconds\n\n"
                                "--------------------------------------------------\n\n\n";
    struct scene scene;
    make_scene(&scene);
    assert_int_equal(report_write_text(&scene.report), QO_OK);
    assert_int_equal(report_write_text(&scene.report), QO_OK); /* appended to, not replaced */
    char *text = read_back("results.txt"), want[3 * sizeof block];
    int first = snprintf(want, sizeof want, block, "");
    snprintf(want + first, sizeof want - (size_t)first, block, "_2");
    assert_string_equal(text, want);
    free(text);
}

/* Appends a block of a vector and gives the line that heads it. */
static void append_block(struct scene *scene, char *name, int bits, char line[128])
{
    scene->info.name = name;
    scene->results[0].num_bits = scene->results[1].num_bits = bits;
    assert_int_equal(report_write_text(&scene->report), QO_OK);
    char *text = read_back("results.txt"), *last = text;
    for (char *next = text; (next = strstr(next, "Vector Size: ")); next++)
        last = next;
    snprintf(line, 128, "%.*s", (int)strcspn(last, "\n"), last);
    free(text);
}

static void test_two_blocks_with_one_header(void **state)
{
    (void)state;
    /* In this order in one file: what is asked for, and what the block is called. */
    static const struct {
        char *name;
        int bits;
        const char *called;
    } blocks[] = {
        {"x", 3, "x"},
        {"x", 4, "x_4bit"},
        {"x", 3, "x_4"},
        {"x", 4, "x_4bit_2"},
        {"x_2", 3, "x_2_2"},
        {"x_2", 3, "x_2_3"},
        {"x_1", 3, "x_1"},
        {"x_9", 3, "x_9"},
        {"x", 3, "x_10"},
        {"x_4bit", 3, "x_4bit_3"},
        {"x/1", 3, "x_1_2"},
        {"y", 3, "y"}, /* stands there for another device */
        {"z_99999999999999999999", 3, "z_99999999999999999999"},
        {"z", 3, "z"},
        {"z", 3, "z_2"},
        {"wide", 3, "wide_2"},
    };
    static const char older[] = "Vector Size: x_2___multiprocess: True__device: cpu\n"
                                "Vector Size: x_3___multiprocess: True__device: cpu\r\n"
                                "Vector Size: y___multiprocess: True__device: cuda\n"
                                "Vector Size: y___multiprocess: False__device: cpu\n"
                                "Vector Size: wide___multiprocess: True__device: cpu\n";
    struct scene scene;
    make_scene(&scene);
    char path[128], line[128], want[128];
    snprintf(path, sizeof path, "%s/results.txt", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(older, file);
    fclose(file);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        append_block(&scene, blocks[i].name, blocks[i].bits, line);
        snprintf(want, sizeof want, "Vector Size: %s___multiprocess: True__device: cpu",
                 blocks[i].called);
        assert_string_equal(line, want);
    }
}

static void test_an_exponent_the_exercise_reads_half(void **state)
{
    (void)state;
    struct scene scene;
    make_scene(&scene);
    scene.results[0].l2_norm = 2.5e20;
    assert_int_equal(report_write_text(&scene.report), QO_OK);
    char *text = read_back("results.txt");
    assert_non_null(strstr(text, "L2 Norm: 2.5e20\n"));
    free(text);
}

static void test_a_document_json_readers_refuse(void **state)
{
    (void)state;
    struct scene scene;
    make_scene(&scene);
    assert_int_equal(report_write_json(&scene.report), QO_OK);
    char *text = read_back("results.json");
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    json_t *vector = json_array_get(json_object_get(root, "vectors"), 0);
    json_t *result = json_array_get(json_object_get(vector, "results"), 1);
    assert_true(json_is_null(json_object_get(vector, "mean")));
    assert_true(json_is_null(json_object_get(result, "sqnr_db")));
    assert_true(json_is_null(json_object_get(result, "optimality_gap")));
    assert_string_equal(json_string_value(json_object_get(vector, "name")), "a/b c-1");
    assert_string_equal(json_string_value(json_object_get(result, "digest")), "00000000000000ab");
    assert_true(json_real_value(json_array_get(json_object_get(result, "levels"), 1)) == 1.5);
    json_t *step = json_array_get(json_object_get(result, "history"), 1);
    assert_true(json_real_value(json_object_get(step, "mse")) == 0.25);
    assert_int_equal(json_array_size(json_object_get(root, "timings")), NUM_PHASES);
    json_decref(root);
    free(text);
}

static void test_a_report_that_cannot_be_written_passes(void **state)
{
    (void)state;
    struct scene scene;
    make_scene(&scene);
    scene.options.save_dir = "/nonexistent/folder";
    assert_int_equal(report_write_text(&scene.report), QO_CANT_CREATE);
    assert_int_equal(report_write_json(&scene.report), QO_CANT_CREATE);
    assert_non_null(strstr(status_text(), "/nonexistent/folder/results.json"));
}

static void test_sizes_promised_too_small(void **state)
{
    (void)state;
    struct scene scene;
    make_scene(&scene);
    scene.options.bits[8] = true;
    scene.options.approach[APPROACH_UNIFORM] = scene.options.approach[APPROACH_EASYQUANT] = true;
    scene.info.n = 1000001;
    scene.report.output = "quantized.h5";
    scene.report.memory_limit = INT64_MAX;
    /* Two approaches, 3 and 8 bits: codes, and 2^3 and 2^8 levels of float64. */
    assert_int_equal(report_output_bytes(&scene.report),
                     2 * (375001 + 8 * 8) + 2 * (1000001 + 8 * 256));
    /* The shard, the codes of one result, 64 MiB; and room for finer cells if they are asked for.
     */
    scene.options.gap = 1e-6;
    assert_int_equal(report_memory_bytes(&scene.report), 4 * 1000001 + 1000001 + (192 << 20));
    scene.options.gap = 1e-3;
    assert_int_equal(report_memory_bytes(&scene.report), 4 * 1000001 + 1000001 + (64 << 20));
    /* Two tiles of a block each, and the codes of one. */
    scene.report.memory_limit = 1 << 20;
    assert_int_equal(report_memory_bytes(&scene.report), (2 * 4 + 1) * QO_BLOCK + (64 << 20));
    /* A sample takes its part. */
    scene.report.memory_limit = 8 << 20;
    assert_true(report_walk_plan(&scene.report, 0).is_held);
    scene.options.sample_size = 999999;
    assert_false(report_walk_plan(&scene.report, 0).is_held);
}

static void test_phases_that_overlap(void **state)
{
    (void)state;
    struct timer timer;
    timer_start(&timer);
    usleep(20000);
    double startup = timer_switch(&timer, PHASE_READ);
    usleep(1000);
    double reading = timer_switch(&timer, PHASE_READ);
    assert_true(startup >= 0.02 && reading >= 0.001);
    assert_true(timer.seconds[PHASE_STARTUP] == startup && timer.seconds[PHASE_READ] == reading);
    assert_string_equal(phase_name(PHASE_COMMUNICATE), "communicate");
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/results.txt", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/results.json", folder);
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_layout_the_exercise_cannot_read),
        cmocka_unit_test(test_two_blocks_with_one_header),
        cmocka_unit_test(test_an_exponent_the_exercise_reads_half),
        cmocka_unit_test(test_a_document_json_readers_refuse),
        cmocka_unit_test(test_a_report_that_cannot_be_written_passes),
        cmocka_unit_test(test_sizes_promised_too_small),
        cmocka_unit_test(test_phases_that_overlap),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
