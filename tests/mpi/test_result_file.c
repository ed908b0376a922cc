/* SPDX-License-Identifier: Apache-2.0 */
#include "result_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <math.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <xxhash.h>

/* What the C library says of an attribute, read as `type`; false if it is not there or not of the
 * class and size that are promised. */
static bool attribute(hid_t file, const char *object, const char *name, hid_t type, void *x)
{
    hid_t id = H5Aopen_by_name(file, object, name, H5P_DEFAULT, H5P_DEFAULT);
    hid_t stored = H5Aget_type(id);
    bool is_good = id >= 0 && H5Tequal(stored, type) > 0 && H5Aread(id, type, x) >= 0;
    H5Tclose(stored);
    H5Aclose(id);
    return is_good;
}

static double real(hid_t file, const char *object, const char *name)
{
    double x = -1;
    CHECK(attribute(file, object, name, H5T_IEEE_F64LE, &x));
    return x;
}

static int64_t integer(hid_t file, const char *object, const char *name)
{
    int64_t x = -1;
    CHECK(attribute(file, object, name, H5T_STD_I64LE, &x));
    return x;
}

/* A text must be of fixed length, in UTF-8, and as long as it is. */
static bool is_text(hid_t file, const char *object, const char *name, const char *want)
{
    char text[256] = "";
    hid_t id = H5Aopen_by_name(file, object, name, H5P_DEFAULT, H5P_DEFAULT);
    hid_t type = H5Aget_type(id);
    size_t length = strlen(want) ? strlen(want) : 1;
    bool is_good = id >= 0 && H5Tis_variable_str(type) == 0 && H5Tget_size(type) == length &&
                   H5Tget_cset(type) == H5T_CSET_UTF8 && H5Aread(id, type, text) >= 0 &&
                   strcmp(text, want) == 0;
    H5Tclose(type);
    H5Aclose(id);
    return is_good;
}

/* A dataset's elements in its own type, which must have `size` bytes; to be freed. NULL, and the
 * check fails, if there is no such dataset with n elements. */
static void *array(hid_t file, const char *group, const char *name, H5T_class_t class, size_t size,
                   int64_t n)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", group, name);
    hid_t dataset = H5Dopen2(file, path, H5P_DEFAULT);
    hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
    void *x = calloc((size_t)n + 1, size);
    bool is_good = dataset >= 0 && H5Sget_simple_extent_npoints(space) == n &&
                   H5Sget_simple_extent_ndims(space) == 1 && H5Tget_class(type) == class &&
                   H5Tget_size(type) == size &&
                   (n == 0 || H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, x) >= 0);
    CHECK(is_good);
    H5Tclose(type);
    H5Sclose(space);
    H5Dclose(dataset);
    return x;
}

static void check_data(hid_t file, const char *group, const struct made *m)
{
    size_t size = element_size(m->type);
    H5T_class_t class = m->type == ELEMENT_BF16 ? H5T_INTEGER : H5T_FLOAT;
    uint8_t *codes = array(file, group, "codes", H5T_INTEGER, 1, code_bytes(m));
    double *levels = array(file, group, "levels", H5T_FLOAT, 8, m->k);
    uint64_t *index = array(file, group, "outlier_index", H5T_INTEGER, 8, m->outliers);
    char *value = array(file, group, "outlier_value", class, size, m->outliers);
    int64_t bad = 0;
    for (int64_t i = 0; i < code_bytes(m); i++)
        bad += codes[i] != code_byte(m, i);
    for (int i = 0; i < m->k; i++)
        bad += levels[i] != level(i);
    for (int64_t i = 0; i < m->outliers; i++) {
        uint64_t bits = outlier_bits(m, i);
        bad +=
            index[i] != outlier_index(m, i) || memcmp(value + i * (int64_t)size, &bits, size) != 0;
    }
    CHECK(bad == 0);
    free(codes);
    free(levels);
    free(index);
    free(value);
}

static void check_figures(hid_t file, const char *group, const struct made *m)
{
    static const struct {
        const char *name;
        double value;
    } figures[] = {{"mse", 0.1},
                   {"rmse", 0.2},
                   {"l2_norm", 0.3},
                   {"relative_error", 0.4},
                   {"sqnr_db", INFINITY},
                   {"max_abs_error", 0.5},
                   {"bits_per_value", 3.5},
                   {"compression_ratio", 9},
                   {"solve_seconds", 0.25},
                   {"encode_seconds", 0.75},
                   {"threshold", 3}};
    uint8_t converged = 0;
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        CHECK(real(file, group, figures[i].name) == figures[i].value);
    CHECK(isnan(real(file, group, "optimality_gap")));
    float share[HISTOGRAM_ERROR_BINS] = {0};
    CHECK(attribute(file, group, "error_histogram", H5T_IEEE_F32LE, share));
    for (int b = 0; b < HISTOGRAM_ERROR_BINS; b++)
        CHECK(share[b] == (float)(b + m->bits));
    CHECK(is_text(file, group, "approach", m->outliers ? "easyquant" : "non-uniform"));
    CHECK(is_text(file, group, "solver", "lloyd"));
    CHECK(integer(file, group, "num_bits") == m->bits);
    CHECK(integer(file, group, "outlier_count") == m->outliers);
    CHECK(integer(file, group, "iterations") == 42);
    CHECK(attribute(file, group, "converged", H5T_STD_U8LE, &converged) && converged == 1);
}

static void check_vector(hid_t file, const char *group, const struct made *m)
{
    int64_t shape[3] = {0};
    CHECK(attribute(file, group, "shape", H5T_STD_I64LE, shape));
    CHECK(memcmp(shape, m->shape, sizeof shape) == 0);
    hid_t id = H5Aopen_by_name(file, group, "shape", H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Aget_space(id);
    CHECK(H5Sget_simple_extent_ndims(space) == 1);
    CHECK(H5Sget_simple_extent_npoints(space) == m->num_dims);
    H5Sclose(space);
    H5Aclose(id);
    CHECK(is_text(file, group, "dtype", element_name(m->type)));
    CHECK(integer(file, group, "num_elements") == m->n);
    CHECK(integer(file, group, "fill_count") == 2);
    CHECK(real(file, group, "min") == -3.25 && real(file, group, "max") == 4);
    CHECK(real(file, group, "mean") == 1.0 / 3);
    if (m->n == 1) {
        CHECK(isnan(real(file, group, "std")));
        CHECK(H5Lexists(file, "vectors/field/histogram", H5P_DEFAULT) == 0);
        return;
    }
    double *x = array(file, group, "histogram/edges", H5T_FLOAT, 8, 4);
    uint64_t *y = array(file, group, "histogram/counts", H5T_INTEGER, 8, 3);
    CHECK(memcmp(x, edges, sizeof edges) == 0 && memcmp(y, counts, sizeof counts) == 0);
    free(x);
    free(y);
}

/* Compares a finished file with what was made up, on rank 0; others have nothing to add. */
static void check_file(const char *path, int count)
{
    if (comm.rank != 0)
        return;
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    CHECK(file >= 0);
    CHECK(is_text(file, "/", "format", "quantopt") && integer(file, "/", "format_version") == 1);
    CHECK(is_text(file, "/", "options", "num_bits: 3\n") && is_text(file, "/", "source", ""));
    CHECK(integer(file, "/", "ranks") == 2 && integer(file, "/", "threads_per_rank") == 1);
    for (int i = 0; i < count; i++) {
        char group[256], vector[128];
        snprintf(vector, sizeof vector, "/vectors/%s", made[i].name);
        snprintf(group, sizeof group, "%s/%s_%dbit", vector,
                 made[i].outliers ? "easyquant" : "non-uniform", made[i].bits);
        check_vector(file, vector, &made[i]);
        check_figures(file, group, &made[i]);
        check_data(file, group, &made[i]);
    }
    /* Nothing may lie behind the end that the file itself states. */
    haddr_t end = 0;
    struct stat found = {0};
    CHECK(H5Fget_eoa(file, &end) >= 0 && stat(path, &found) == 0);
    CHECK(found.st_size == (off_t)end);
    H5Fclose(file);
}

/* All codes and outliers of a result, by the one rank that has them. */
static enum status put_alone(struct result_file *file, const struct made *m)
{
    static uint8_t codes[200000];
    static uint64_t index[1024];
    static char value[8 * 1024];
    size_t size = element_size(m->type);
    for (int64_t i = 0; i < code_bytes(m); i++)
        codes[i] = code_byte(m, i);
    for (int64_t i = 0; i < m->outliers; i++) {
        uint64_t bits = outlier_bits(m, i);
        index[i] = outlier_index(m, i);
        memcpy(value + (size_t)i * size, &bits, size);
    }
    enum status status = result_file_write_codes(file, current_result, codes, 0, code_bytes(m));
    return status == QO_OK
               ? result_file_write_outliers(file, current_result, index, value, 0, m->outliers)
               : status;
}

/* The digest of all of a result, which every rank knows. */
static uint64_t digest_of(const struct made *m)
{
    uint64_t digest = 0, index[1];
    double levels[256];
    uint8_t *codes = malloc((size_t)code_bytes(m));
    for (int64_t i = 0; codes && i < code_bytes(m); i++)
        codes[i] = code_byte(m, i);
    digest += result_digest_codes(codes, 0, code_bytes(m), QO_BLOCK / 8 * m->bits);
    free(codes);
    for (int64_t i = 0; i < m->outliers; i++) {
        uint64_t bits = outlier_bits(m, i);
        index[0] = outlier_index(m, i);
        digest += result_digest_outliers(m->type, index, &bits, 1);
    }
    for (int i = 0; i < m->k; i++)
        levels[i] = level(i);
    return digest + result_digest_levels(levels, m->k);
}

/* Writes a vector with its results [first, end), which one rank has, within a batch. */
static void write_in_batch(struct result_file *file, int first, int end)
{
    int writer = end % comm.size;
    char name[64];
    struct vector_info info = info_of(&made[first], name);
    struct vector_stats stats = stats_of(&made[first]);
    if (comm.rank != writer)
        stats.plot_edges = NULL, stats.plot_counts = NULL;
    result_file_set_writer(file, writer);
    CHECK(result_file_begin_vector(file, &info, &stats) == QO_OK);
    current_result = 0;
    for (int i = first; i < end; i++, current_result++) {
        struct result result = result_of(&made[i]);
        result.digest = digest_of(&made[i]);
        CHECK(result_file_begin_result(file, &result) == QO_OK);
        CHECK(result_file_begin_outliers(file, current_result, made[i].outliers) == QO_OK);
        if (comm.rank == writer)
            CHECK(put_alone(file, &made[i]) == QO_OK);
        CHECK(result_file_end_result(file, current_result, &result) == QO_OK);
    }
}

/* As write_all, but in two batches, with a vector by itself between them. */
static enum status write_batches(const char *path, int count)
{
    struct result_file *file = NULL;
    struct result_batch batch = {.num_vectors = 1, .num_results = 2, .longest_name = 14};
    batch.name_bytes = 28;
    batch.data_bytes = 300000;
    enum status status = result_file_create(&comm, path, &header, 0, &file);
    if (status == QO_OK && (status = result_file_begin_batch(file, &batch)) == QO_OK) {
        write_in_batch(file, 0, 2);
        status = result_file_end_batch(file);
    }
    for (int i = 2; i < count && status == QO_OK; i++) {
        char name[64];
        struct vector_info info = info_of(&made[i], name);
        struct vector_stats stats = stats_of(&made[i]);
        if (i == 2) {
            current_result = 0;
            status = result_file_begin_vector(file, &info, &stats);
            if (status == QO_OK)
                status = write_result(file, &made[i]);
        } else if ((status = result_file_begin_batch(file, &batch)) == QO_OK) {
            write_in_batch(file, i, i + 1);
            status = result_file_end_batch(file);
        }
    }
    if (status == QO_OK)
        status = result_file_publish(file);
    if (status != QO_OK)
        result_file_abandon(file);
    return status;
}

static void test_a_batch_that_leaves_something_out(void **state)
{
    (void)state;
    CHECK(write_batches(in_folder("out.h5"), NUM_MADE) == QO_OK);
    check_file(in_folder("out.h5"), NUM_MADE);
    comm_wait_all(&comm);
    if (comm.rank == 0) {
        CHECK(count_files() == 1);
        unlink(in_folder("out.h5"));
    }
}

static void test_a_layout_that_readers_do_not_expect(void **state)
{
    (void)state;
    enum status status = write_all(in_folder("out.h5"), NUM_MADE);
    CHECK(status == QO_OK);
    CHECK(is_same(status));
    check_file(in_folder("out.h5"), NUM_MADE);
    comm_wait_all(&comm);
    if (comm.rank == 0) {
        CHECK(count_files() == 1); /* neither lock nor partial */
        unlink(in_folder("out.h5"));
    }
}

static void test_equal_runs_with_different_files(void **state)
{
    (void)state;
    CHECK(write_all(in_folder("a.h5"), NUM_MADE) == QO_OK);
    CHECK(write_all(in_folder("b.h5"), NUM_MADE) == QO_OK);
    if (comm.rank == 0) {
        size_t na, nb;
        unsigned char *a = read_whole(in_folder("a.h5"), &na);
        unsigned char *b = read_whole(in_folder("b.h5"), &nb);
        CHECK(na == nb && na > 0 && memcmp(a, b, na) == 0);
        free(a);
        free(b);
        unlink(in_folder("a.h5"));
        unlink(in_folder("b.h5"));
    }
}

static void test_a_text_too_long_for_an_attribute(void **state)
{
    (void)state;
    enum { LONG = 3000000 }; /* more than the slack that is always reserved, too */
    char *text = malloc(LONG + 1), *have = calloc(LONG + 1, 1);
    memset(text, 'o', LONG);
    memcpy(text + LONG - 3, "end", 4);
    struct file_header long_header = header;
    long_header.options = text;
    struct result_file *file = NULL;
    enum status status = result_file_create(&comm, in_folder("out.h5"), &long_header, 0, &file);
    CHECK(status == QO_OK);
    if (status == QO_OK)
        CHECK(result_file_publish(file) == QO_OK);
    if (comm.rank == 0) {
        hid_t h5 = H5Fopen(in_folder("out.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
        hid_t dataset = H5Dopen2(h5, "/options", H5P_DEFAULT), type = H5Dget_type(dataset);
        CHECK(H5Tget_class(type) == H5T_STRING && H5Tget_size(type) == LONG);
        CHECK(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, have) >= 0);
        CHECK(strcmp(have, text) == 0);
        CHECK(is_text(h5, "/", "options", "in the dataset /options"));
        H5Tclose(type);
        H5Dclose(dataset);
        H5Fclose(h5);
        unlink(in_folder("out.h5"));
    }
    free(text);
    free(have);
}

/* Lets `spoil` loose on the partial file before it is published: that must be noticed, the older
 * file stay and nothing be left. */
static void check_noticed(const void *bytes, size_t n, const char *where)
{
    struct result_file *file = NULL;
    if (comm.rank == 0)
        write_file(in_folder("out.h5"), "older");
    comm_wait_all(&comm);
    CHECK(write_up_to(in_folder("out.h5"), 1, &file) == QO_OK);
    comm_wait_all(&comm);
    if (comm.rank == 0)
        CHECK(damage(in_folder("out.h5.partial"), bytes, n));
    comm_wait_all(&comm);
    enum status status = result_file_publish(file);
    CHECK(status == QO_IO);
    CHECK(is_same(status));
    CHECK(strstr(status_text(), "layer/0/weight/easyquant_3bit") && strstr(status_text(), where));
    result_file_abandon(file);
    comm_wait_all(&comm);
    if (comm.rank == 0) {
        CHECK(count_files() == 1);
        CHECK(strcmp(read_file(in_folder("out.h5")), "older") == 0);
        unlink(in_folder("out.h5"));
    }
}

static void test_damage_that_is_not_noticed(void **state)
{
    (void)state;
    uint8_t codes[32];
    uint32_t values[4];
    uint64_t index[4];
    double levels[4];
    for (int i = 0; i < 32; i++) /* in the last block */
        codes[i] = code_byte(&made[0], code_bytes(&made[0]) - 32 + i);
    for (int i = 0; i < 4; i++) {
        values[i] = (uint32_t)outlier_bits(&made[0], 500 + i);
        index[i] = outlier_index(&made[0], 700 + i);
        levels[i] = level(i);
    }
    check_noticed(codes, sizeof codes, "read back");
    check_noticed(values, sizeof values, "read back");
    check_noticed(index, sizeof index, "read back");
    check_noticed(levels, sizeof levels, "read back");
}

static void test_a_digest_that_is_not_compared(void **state)
{
    (void)state;
    struct result_file *file = NULL;
    CHECK(write_up_to(in_folder("out.h5"), 1, &file) == QO_OK);
    struct result result = result_of(&made[1]); /* its codes are never written */
    result.digest = 1;
    enum status status = result_file_begin_result(file, &result);
    if (status == QO_OK)
        status = result_file_begin_outliers(file, 1, 0);
    if (status == QO_OK)
        status = result_file_end_result(file, 1, &result);
    CHECK(status == QO_OK);
    CHECK(result_file_publish(file) == QO_IO);
    CHECK(strstr(status_text(), "non-uniform_8bit"));
    result_file_abandon(file);
    CHECK(!exists(in_folder("out.h5")));
}

static void test_an_older_file_lost_too_early(void **state)
{
    (void)state;
    struct result_file *file = NULL;
    if (comm.rank == 0) {
        write_file(in_folder("out.h5"), "older");
        write_file(in_folder("out.h5.partial"), "of a run that was killed");
    }
    comm_wait_all(&comm);
    CHECK(write_up_to(in_folder("out.h5"), 2, &file) == QO_OK);
    CHECK(strcmp(read_file(in_folder("out.h5")), "older") == 0);
    comm_wait_all(&comm);
    CHECK(result_file_publish(file) == QO_OK);
    check_file(in_folder("out.h5"), 2);
    comm_wait_all(&comm);
    if (comm.rank == 0) {
        CHECK(count_files() == 1);
        unlink(in_folder("out.h5"));
    }
}

static void test_two_runs_that_mix(void **state)
{
    (void)state;
    struct result_file *first = NULL, *second = NULL;
    CHECK(write_up_to(in_folder("out.h5"), 1, &first) == QO_OK);
    enum status status = result_file_create(&comm, in_folder("out.h5"), &header, 0, &second);
    CHECK(status == QO_CANT_CREATE);
    CHECK(is_same(status));
    CHECK(second == NULL && strstr(status_text(), "held by another run"));
    comm_wait_all(&comm);
    CHECK(exists(in_folder("out.h5.lock")) && exists(in_folder("out.h5.partial")));
    comm_wait_all(&comm);
    CHECK(result_file_publish(first) == QO_OK);
    check_file(in_folder("out.h5"), 1);
    comm_wait_all(&comm);
    if (comm.rank == 0)
        unlink(in_folder("out.h5"));
}

static void test_a_killed_run_in_the_way(void **state)
{
    (void)state;
    pid_t child = comm.rank == 0 ? fork() : 1;
    if (child == 0)
        _exit(0);
    if (comm.rank == 0) {
        char text[512], host[128] = "";
        waitpid(child, NULL, 0);
        gethostname(host, sizeof host - 1);
        snprintf(text, sizeof text,
                 "quantopt lock\nhost: %s\nprocess: %d\nstart: 1\nsince: x\njob: \n", host,
                 (int)child);
        write_file(in_folder("out.h5.lock"), text);
        write_file(in_folder("out.h5.partial"), "half");
    }
    comm_wait_all(&comm);
    CHECK(write_all(in_folder("out.h5"), 1) == QO_OK);
    check_file(in_folder("out.h5"), 1);
    comm_wait_all(&comm);
    if (comm.rank == 0) {
        CHECK(count_files() == 1);
        unlink(in_folder("out.h5"));
    }
}

static void test_a_place_that_cannot_be_written(void **state)
{
    (void)state;
    struct result_file *file = NULL;
    char longest[250]; /* with .lock it fits, with .partial it does not */
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    if (comm.rank == 0)
        mkdir(in_folder("directory"), 0755);
    comm_wait_all(&comm);
    const char *const names[] = {"missing/out.h5", "directory", longest};
    const char *const why[] = {"make the directory", "is a directory", "too long"};
    for (int i = 0; i < 3; i++) {
        enum status status = result_file_create(&comm, in_folder(names[i]), &header, 0, &file);
        CHECK(status == QO_CANT_CREATE);
        CHECK(is_same(status));
        CHECK(file == NULL && strstr(status_text(), why[i]));
    }
    CHECK(result_file_create(&comm, "/dev/null", &header, 0, &file) == QO_CANT_CREATE);
    result_file_abandon(NULL);
    comm_wait_all(&comm);
    if (comm.rank == 0) {
        CHECK(rmdir(in_folder("directory")) == 0);
        CHECK(count_files() == 0);
    }
}

static void test_a_disk_that_is_full(void **state)
{
    (void)state;
    struct result_file *file = NULL;
    char name[] = "big";
    struct vector_info info = {
        .name = name, .origin = name, .num_dims = 1, .shape = {1 << 26}, .n = 1 << 26};
    struct vector_stats stats = stats_of(&made[0]);
    struct result result = result_of(&made[1]);
    struct rlimit limit, lower;
    signal(SIGXFSZ, SIG_IGN);
    enum status status = result_file_create(&comm, in_folder("out.h5"), &header, 0, &file);
    if (status == QO_OK)
        status = result_file_begin_vector(file, &info, &stats);
    CHECK(status == QO_OK);
    /* Files of at most 16 MiB: the 64 MiB of codes cannot be reserved. */
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    lower = limit;
    lower.rlim_cur = 16 << 20;
    CHECK(setrlimit(RLIMIT_FSIZE, &lower) == 0);
    status = result_file_begin_result(file, &result);
    CHECK(status == QO_IO);
    CHECK(is_same(status));
    CHECK(strstr(status_text(), "needs 6") && strstr(status_text(), " free: "));
    CHECK(strstr(status_text(), "--output"));
    result_file_abandon(file);
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    comm_wait_all(&comm);
    CHECK(count_files() == 0);
}

/* One run with a failure planned: whether it went well. Else all must be as it was before. */
static bool survives(enum status (*write)(const char *, int), int n, int rank)
{
    plan_fault(n, rank);
    enum status status = write(in_folder("out.h5"), 3);
    plan_fault(0, -1);
    CHECK(is_same(status));
    comm_wait_all(&comm);
    if (comm.rank == 0) {
        bool is_older = strcmp(read_file(in_folder("out.h5")), "older") == 0;
        CHECK(is_older == (status != QO_OK));
        CHECK(count_files() == 1);
        CHECK(status == QO_OK || strstr(status_text(), "out.h5") || status == QO_NO_MEMORY);
        if (count_files() != 1 || is_older != (status != QO_OK))
            print_error("call %d of rank %d: %d %s\n", n, rank, status, status_text());
    }
    comm_wait_all(&comm);
    return status == QO_OK;
}

/* At `least` so many calls of a rank can fail. */
static void fail_at_each_call(enum status (*write)(const char *, int), int least)
{
    int most = 0, step = comm.size > 3 ? 9 : 1;
    for (int rank = -1; rank<comm.size; rank += comm.size> 1 ? comm.size : 2) {
        int n = 1;
        if (comm.rank == 0)
            write_file(in_folder("out.h5"), "older");
        comm_wait_all(&comm);
        while (n < 2000 && !survives(write, n, rank))
            n += step;
        most = n > most ? n : most;
        check_file(in_folder("out.h5"), 3);
        comm_wait_all(&comm);
    }
    /* The last rank alone, whose calls are fewer. */
    CHECK(most > least && most < 2000);
    if (comm.rank == 0)
        unlink(in_folder("out.h5"));
}

static void test_a_failure_that_leaves_something(void **state)
{
    (void)state;
    fail_at_each_call(write_all, 40);
}

static void test_a_failure_in_a_batch_of_which_others_are_not_told(void **state)
{
    (void)state;
    fail_at_each_call(write_batches, 20);
}

static void test_digests_that_depend_on_the_cut(void **state)
{
    (void)state;
    static uint8_t codes[3 * 24576 + 5]; /* three blocks of 3 bits and a rest */
    uint64_t index[9], truth = 0;
    double value[9];
    int64_t n = (int64_t)sizeof codes, block = 24576;
    for (int64_t i = 0; i < n; i++)
        codes[i] = code_byte(&made[0], i);
    for (int64_t i = 0; i < 4; i++)
        truth += XXH3_64bits_withSeed(codes + i * block, i < 3 ? (size_t)block : 5, (uint64_t)i);
    CHECK(result_digest_codes(codes, 0, n, block) == truth);
    for (int64_t cut = 0; cut < n; cut += block)
        CHECK(result_digest_codes(codes, 0, cut, block) +
                  result_digest_codes(codes + cut, cut, n - cut, block) ==
              truth);
    for (int i = 0; i < 9; i++) {
        index[i] = (uint64_t)i * 7;
        value[i] = -i;
    }
    truth = result_digest_outliers(ELEMENT_F64, index, value, 9);
    for (int cut = 0; cut <= 9; cut++)
        CHECK(result_digest_outliers(ELEMENT_F64, index, value, cut) +
                  result_digest_outliers(ELEMENT_F64, index + cut, value + cut, 9 - cut) ==
              truth);
    /* Blocks, and outliers, that change places are another result. */
    uint8_t swapped[2 * 8] = {1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2};
    uint64_t before = result_digest_codes(swapped, 0, 16, 8);
    memset(swapped, 2, 8);
    memset(swapped + 8, 1, 8);
    CHECK(result_digest_codes(swapped, 0, 16, 8) != before);
    value[3] = -4;
    value[4] = -3;
    CHECK(result_digest_outliers(ELEMENT_F64, index, value, 9) != truth);
    double levels[2] = {1, 2}, others[2] = {2, 1};
    CHECK(result_digest_levels(levels, 2) != result_digest_levels(others, 2));
}

static void test_a_library_without_a_name(void **state)
{
    (void)state;
    unsigned major, minor, release;
    char want[32];
    H5get_libversion(&major, &minor, &release);
    snprintf(want, sizeof want, "%u.%u.%u", major, minor, release);
    CHECK(strstr(result_file_library(), want) && strstr(result_file_library(), "parallel"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_layout_that_readers_do_not_expect, end_test),
        cmocka_unit_test_teardown(test_equal_runs_with_different_files, end_test),
        cmocka_unit_test_teardown(test_a_text_too_long_for_an_attribute, end_test),
        cmocka_unit_test_teardown(test_damage_that_is_not_noticed, end_test),
        cmocka_unit_test_teardown(test_a_digest_that_is_not_compared, end_test),
        cmocka_unit_test_teardown(test_an_older_file_lost_too_early, end_test),
        cmocka_unit_test_teardown(test_two_runs_that_mix, end_test),
        cmocka_unit_test_teardown(test_a_killed_run_in_the_way, end_test),
        cmocka_unit_test_teardown(test_a_place_that_cannot_be_written, end_test),
        cmocka_unit_test_teardown(test_a_disk_that_is_full, end_test),
        cmocka_unit_test_teardown(test_a_failure_that_leaves_something, end_test),
        cmocka_unit_test_teardown(test_a_batch_that_leaves_something_out, end_test),
        cmocka_unit_test_teardown(test_a_failure_in_a_batch_of_which_others_are_not_told, end_test),
        cmocka_unit_test_teardown(test_digests_that_depend_on_the_cut, end_test),
        cmocka_unit_test_teardown(test_a_library_without_a_name, end_test),
    };
    open_folder(&argc, &argv);
    return close_folder(cmocka_run_group_tests(tests, NULL, NULL));
}
