/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/h5_make.h"

#include "comm.h"
#include "fault.h"
#include "log.h"
#include "reduce.h"
#include "shard.h"
#include "source.h"

static struct comm comm;
static char folder[256]; /* the same on all ranks */

/* Fails on every rank if the condition is false on any: nobody leaves while others wait. */
#define assert_on_all(condition)                                                                   \
    do {                                                                                           \
        int64_t failed_ = !(condition);                                                            \
        if (failed_)                                                                               \
            print_error("rank %d: %s is false: %s\n", comm.rank, #condition, status_text());       \
        reduce_max(&comm, &failed_, 1);                                                            \
        assert_int_equal(failed_, 0);                                                              \
    } while (0)

/* The path of a file in the folder; four can be in use at once. */
static const char *at(const char *name)
{
    static char path[4][512];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

/* Collective. Rank 0 writes a file. */
static void put(const char *name, const void *data, size_t n)
{
    bool good = true;
    if (comm.rank == 0) {
        FILE *file = fopen(at(name), "wb");
        good = file && fwrite(data, 1, n, file) == n;
        good = file && fclose(file) == 0 && good;
    }
    assert_on_all(good);
    comm_wait_all(&comm);
}

/* Collective. Version 1.0: 10 bytes, 118 ('v') of header, then the elements. */
static void put_npy(const char *name, const char *shape, const char *order, const float *data,
                    int64_t n)
{
    const size_t start = 128;
    size_t size = start + (size_t)n * sizeof *data;
    char *file = calloc(1, size + 1);
    assert_non_null(file);
    memset(file, ' ', start);
    int end =
        sprintf(file, "\x93NUMPY\x01%cv%c{'descr': '<f4', 'fortran_order': %s, 'shape': %s, }", 0,
                0, order, shape);
    file[end] = ' ';
    file[start - 1] = '\n';
    if (n)
        memcpy(file + start, data, (size_t)n * sizeof *data);
    put(name, file, size);
    free(file);
}

static void put_safetensors(const char *name, const char *header, size_t n)
{
    char file[1024] = {0};
    size_t length = strlen(header);
    file[0] = (char)(unsigned char)(length & 0xff);
    file[1] = (char)(unsigned char)(length >> 8);
    memcpy(file + 8, header, length);
    put(name, file, 8 + length + n);
}

/* A request for up to four files of the folder, in two static tables. */
static struct source_request request_for(const char *a, const char *b, const char *c)
{
    static char path[3][512];
    static const char *inputs[3];
    const char *names[3] = {a, b, c};
    struct source_request request = {
        .inputs = inputs, .num_dims = -1, .seed = 42, .builtin = "small"};
    for (int i = 0; i < 3 && names[i]; i++) {
        snprintf(path[i], sizeof path[i], "%s/%s", folder, names[i]);
        inputs[request.num_inputs++] = path[i];
    }
    return request;
}

/* Fails unless the source has exactly these names, "a b c", on all ranks. */
static void check_names(const struct source_request *request, const char *want)
{
    struct source *source;
    char have[1024] = "";
    assert_on_all(source_open(&comm, request, &source) == QO_OK);
    for (int i = 0; i < source_count(source); i++)
        snprintf(have + strlen(have), sizeof have - strlen(have), "%s%s", i ? " " : "",
                 source_vector(source, i)->name);
    if (strcmp(have, want) != 0)
        print_error("have %s, want %s\n", have, want);
    assert_on_all(strcmp(have, want) == 0);
    source_close(source);
}

/* Fails unless all ranks get this status, and a text with `what` in it. */
static void check_refused(const struct source_request *request, enum status want, const char *what)
{
    struct source *source = (struct source *)1;
    status_clear();
    enum status status = source_open(&comm, request, &source);
    if (status != want || !strstr(status_text(), what))
        print_error("want %d \"%s\", have %d \"%s\"\n", (int)want, what, (int)status,
                    status_text());
    assert_on_all(status == want && strstr(status_text(), what) && !strchr(status_text(), '\n'));
    assert_on_all(source == NULL);
}

static const float ones[6] = {1, 1, 1, 1, 1, 1};

static const char two_tensors[] =
    "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
    "\"b/c\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[4,8]}}";

static void test_names_that_differ_from_the_contract(void **state)
{
    (void)state;
    put_npy("x.npy", "(6,)", "False", ones, 6);
    put_npy("y.z.npy", "(2, 3)", "False", ones, 6);
    put_safetensors("m.safetensors", two_tensors, 8);
    struct source_request request = request_for("x.npy", NULL, NULL);
    check_names(&request, "x");
    request = request_for("y.z.npy", "x.npy", "x.npy");
    check_names(&request, "y.z x x_2");
    request = request_for("m.safetensors", NULL, NULL);
    check_names(&request, "a b/c");
    request = request_for("m.safetensors", "x.npy", "y.z.npy");
    check_names(&request, "a b/c x y.z");
    request = request_for("m.safetensors", "x.npy", "m.safetensors");
    check_names(&request, "m/a m/b/c x m_2/a m_2/b/c");
    request = request_for("m.safetensors:b/c", NULL, NULL);
    check_names(&request, "b/c");
    request = (struct source_request){.builtin = "small", .num_dims = -1};
    check_names(&request, "small");
    request = (struct source_request){.generate = "laplace:5", .num_dims = -1};
    check_names(&request, "laplace");
}

static void test_a_made_up_stem_that_is_taken(void **state)
{
    (void)state;
    put_npy("x_2.npy", "(6,)", "False", ones, 6);
    struct source_request request = request_for("x_2.npy", "x.npy", "x.npy");
    check_names(&request, "x_2 x x_3");
}

static void test_names_that_no_link_may_have(void **state)
{
    (void)state;
    put_safetensors("odd.safetensors",
                    "{\"/../a//.\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                    "\"b\\n/\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]},"
                    "\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
                    12);
    struct source_request request = request_for("odd.safetensors", NULL, NULL);
    check_names(&request, "__/a/_/_ b_/_ _");
    struct source *source;
    assert_on_all(source_open(&comm, &request, &source) == QO_OK);
    for (int i = 0; i < source_count(source); i++)
        assert_on_all(!strchr(source_vector(source, i)->origin, '\n'));
    source_close(source);
    put_npy("..npy", "(6,)", "False", ones, 6);
    put_npy(".npy", "(6,)", "False", ones, 6);
    request = request_for("..npy", ".npy", NULL);
    check_names(&request, "_ .npy");
    put_safetensors("..safetensors", two_tensors, 8);
    request = request_for("..safetensors", ".npy", "m.safetensors");
    check_names(&request, "_/a _/b/c .npy m/a m/b/c");
}

static void test_names_that_collide_or_nest(void **state)
{
    (void)state;
    put_safetensors("nest.safetensors",
                    "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                    "\"a-b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]},"
                    "\"a/b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
                    12);
    struct source_request request = request_for("nest.safetensors", NULL, NULL);
    check_refused(&request, QO_USAGE, "nest/a: is a vector and also the group of nest/a/b");
    request.exclude = "nest/a";
    check_names(&request, "nest/a-b nest/a/b");
    put_safetensors("same.safetensors",
                    "{\"/a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                    "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
                    8);
    request = request_for("same.safetensors", NULL, NULL);
    check_refused(&request, QO_USAGE, "same/a: two vectors");
}

/* One tensor of one element. */
static void put_tensor(const char *file, const char *name)
{
    char header[256];
    snprintf(header, sizeof header,
             "{\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", name);
    put_safetensors(file, header, 4);
}

static void test_a_prefix_where_none_is_needed_or_none_where_one_is(void **state)
{
    (void)state;
    put_tensor("t.safetensors", "x");
    put_tensor("u.safetensors", "x/w");
    put_tensor("v.safetensors", "m/a");
    /* Equal names; the input between has no part in it. */
    struct source_request request = request_for("x.npy", "y.z.npy", "t.safetensors");
    check_names(&request, "x/x y.z t/x");
    request = request_for("u.safetensors", "x.npy", "y.z.npy");
    check_names(&request, "u/x/w x/x y.z");
    /* The stem with a number is another name. */
    request = request_for("x.npy", "x.npy", "t.safetensors");
    check_names(&request, "x/x x_2 t/x");
    /* Among three that nest, the two that differ from each other are involved too. */
    request = request_for("t.safetensors", "u.safetensors", "u.safetensors");
    check_names(&request, "t/x u/x/w u_2/x/w");
    /* What the prefix makes may collide with a path: that is the end. */
    request = request_for("m.safetensors", "m.safetensors", "v.safetensors");
    check_refused(&request, QO_USAGE, "m/a: two vectors");
    request.exclude = "m/*";
    check_names(&request, "m_2/a m_2/b/c");
}

/* Collective. An HDF5 file with a vector "good" and a virtual one, which cannot be read. */
static void put_half_readable(const char *name)
{
    if (comm.rank == 0) {
        const hsize_t n = 4;
        hid_t parts = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, &n, NULL);
        H5Pset_virtual(parts, space, "elsewhere.h5", "/x", space);
        H5Sclose(space);
        hid_t file = h5_create(at(name));
        h5_counting(file, "/good", 3);
        h5_dataset(file, "/bad", H5Tcopy(H5T_NATIVE_FLOAT), 1, &n, parts, NULL);
        H5Fclose(file);
    }
    comm_wait_all(&comm);
}

static void test_an_unreadable_vector_dropped_though_wanted_or_in_the_way_though_not(void **state)
{
    (void)state;
    put_half_readable("ga.h5");
    put_half_readable("gb.h5");
    struct source_request request = request_for("ga.h5", "gb.h5", NULL);
    check_refused(&request, QO_DATA, "ga.h5:/bad: a virtual dataset");
    request.include = "gb/*";
    check_refused(&request, QO_DATA, "gb.h5:/bad: a virtual dataset");
    request.include = "*/good";
    check_names(&request, "ga/good gb/good");
    request.include = NULL;
    request.exclude = "*/bad";
    check_names(&request, "ga/good gb/good");
    request = request_for("ga.h5", NULL, NULL);
    check_refused(&request, QO_DATA, "ga.h5:/bad: a virtual dataset");
    request.include = "g*";
    check_names(&request, "good");
    /* One of the names is its own, so it alone is excluded. */
    request = request_for("ga.h5", "m.safetensors", NULL);
    request.exclude = "bad";
    check_names(&request, "good a b/c");
}

static void test_globs(void **state)
{
    (void)state;
    struct source_request request = request_for("m.safetensors", "x.npy", "m.safetensors");
    request.include = "m/*";
    check_names(&request, "m/a m/b/c");
    request.exclude = "*/c";
    check_names(&request, "m/a");
    request.include = NULL;
    check_names(&request, "m/a x m_2/a");
    request.include = "nothing*";
    check_refused(&request, QO_USAGE, "m/a, m/b/c, x, m_2/a, m_2/b/c");
}

static void test_a_colon_at_the_wrong_place(void **state)
{
    (void)state;
    put_safetensors("p:q.safetensors",
                    "{\"a:b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    struct source_request request = request_for("p:q.safetensors", NULL, NULL);
    check_names(&request, "a:b");
    request = request_for("p:q.safetensors:a:b", NULL, NULL);
    check_names(&request, "a:b");
    request = request_for("p:q.safetensors:", NULL, NULL);
    check_refused(&request, QO_USAGE, "no dataset behind the colon");
    request = request_for("p:q.safetensors:b", NULL, NULL);
    check_refused(&request, QO_NO_INPUT, "p:q.safetensors:b: the file has no such tensor");
    request = request_for("x.npy:a", NULL, NULL);
    check_refused(&request, QO_NO_INPUT, "x.npy:a: a .npy file has no datasets");
    if (comm.rank == 0)
        assert_int_equal(mkdir(at("d"), 0700), 0);
    put_npy("d:x.npy", "(6,)", "False", ones, 6);
    request = request_for("d:x.npy", NULL, NULL);
    check_names(&request, "d:x");
    request = request_for("p:a", NULL, NULL);
    check_refused(&request, QO_NO_INPUT, "p:a: cannot be opened");
}

static void test_files_of_no_known_kind(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        enum status status;
        const char *what;
    } cases[] = {
        {"", 0, QO_DATA, "is empty"},
        {"12345678", 8, QO_DATA, "--dtype"},
        {"PK\003\004abcd", 8, QO_DATA, "zip archive"},
        {"CDF\001abcd", 8, QO_DATA, "NetCDF classic"},
        {"\037\213abc", 5, QO_DATA, "gzip"},
        {"version https://git-lfs.github.com/spec/v1", 42, QO_DATA, "Git LFS pointer"},
        {"\x93NUMPX\1\0", 8, QO_DATA, "--dtype"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put("kind", cases[i].bytes, cases[i].n);
        struct source_request request = request_for("kind", NULL, NULL);
        check_refused(&request, cases[i].status, cases[i].what);
    }
    struct source_request request = request_for("", NULL, NULL);
    check_refused(&request, QO_NO_INPUT, "is a directory");
    if (comm.rank == 0)
        assert_int_equal(mkfifo(at("pipe"), 0600), 0);
    comm_wait_all(&comm);
    request = request_for("pipe", NULL, NULL);
    check_refused(&request, QO_NO_INPUT, "not a regular file");
}

static void test_raw_files(void **state)
{
    (void)state;
    put("raw.bin", ones, sizeof ones);
    struct source_request request = request_for("raw.bin", NULL, NULL);
    request.has_type = true;
    request.type = ELEMENT_F64;
    struct source *source;
    assert_on_all(source_open(&comm, &request, &source) == QO_OK);
    assert_on_all(source_vector(source, 0)->n == 3 && source_vector(source, 0)->num_dims == 1);
    uint64_t x[2];
    assert_on_all(source_read(source, 0, 1, 3, x) == QO_OK);
    assert_on_all(x[0] == 0x3f8000003f800000u && x[1] == x[0]);
    source_close(source);
    request.num_dims = 2;
    request.shape[0] = 3;
    request.shape[1] = 1;
    check_names(&request, "raw");
    request.shape[1] = 2;
    check_refused(&request, QO_DATA, "product of --shape");
    request.num_dims = -1;
    put("raw.bin", ones, 23);
    check_refused(&request, QO_DATA, "23 bytes are not a whole number of float64");
    request = request_for("x.npy", NULL, NULL);
    request.has_type = true;
    check_refused(&request, QO_USAGE, "--dtype");
}

static void test_empty_vectors(void **state)
{
    (void)state;
    put_safetensors("e.safetensors",
                    "{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
                    "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
                    4);
    struct source_request request = request_for("e.safetensors", NULL, NULL);
    check_names(&request, "b");
    request = request_for("e.safetensors:a", NULL, NULL);
    check_refused(&request, QO_DATA, "holds no elements");
    put_npy("e.npy", "(0,)", "False", NULL, 0);
    request = request_for("x.npy", "e.npy", NULL);
    check_refused(&request, QO_DATA, "e.npy: holds no elements");
}

/* All that a rank knows of a source, as one number. */
static uint64_t digest(const struct source *source)
{
    uint64_t hash = 14695981039346656037u;
    for (int i = 0; i < source_count(source); i++) {
        const struct vector_info *info = source_vector(source, i);
        char text[1024];
        int n = snprintf(text, sizeof text, "%s|%s|%d|%d|%lld|%d", info->name, info->origin,
                         (int)info->type, info->num_dims, (long long)info->n, info->num_fills);
        for (int k = 0; k < info->num_dims; k++)
            n += snprintf(text + n, sizeof text - (size_t)n, "|%lld", (long long)info->shape[k]);
        for (int k = 0; k < n; k++)
            hash = (hash ^ (unsigned char)text[k]) * 1099511628211u;
    }
    return hash;
}

static void test_ranks_with_different_catalogs(void **state)
{
    (void)state;
    struct source_request request = request_for("m.safetensors", "y.z.npy", "e.safetensors");
    struct source *source;
    assert_on_all(source_open(&comm, &request, &source) == QO_OK);
    uint64_t mine = digest(source), first = mine;
    comm_broadcast(&comm, &first, sizeof first);
    assert_on_all(mine == first);
    assert_on_all(source_count(source) == 4);
    assert_on_all(source_vector(source, 2)->num_dims == 2 &&
                  source_vector(source, 2)->shape[1] == 3);
    source_close(source);
}

/* The shards of all ranks, put together, are the vector: element c has the value of its place in
 * the file. */
static void check_shards(const struct source_request *request, int64_t rows, int64_t columns,
                         bool is_fortran)
{
    struct source *source;
    assert_on_all(source_open(&comm, request, &source) == QO_OK);
    int64_t n = source_vector(source, 0)->n;
    struct shard shard = shard_of(n, comm.rank, comm.size);
    float *x = malloc((size_t)(shard.end - shard.begin) * sizeof *x + 1);
    assert_on_all(x && n == rows * columns);
    assert_on_all(source_read(source, 0, shard.begin, shard.end, x) == QO_OK);
    int64_t num_wrong = 0, count = shard.end - shard.begin;
    for (int64_t c = shard.begin; c < shard.end; c++)
        num_wrong +=
            x[c - shard.begin] != (float)(is_fortran ? c % columns * rows + c / columns : c);
    assert_on_all(num_wrong == 0);
    reduce_sum(&comm, &count, 1);
    assert_int_equal(count, n);
    free(x);
    source_close(source);
}

static void test_shards_that_do_not_make_the_whole(void **state)
{
    (void)state;
    const int64_t n = 300 * 1001;
    float *data = malloc((size_t)n * sizeof *data);
    assert_non_null(data);
    for (int64_t i = 0; i < n; i++)
        data[i] = (float)i; /* below 2^24: exact */
    put_npy("s.npy", "(300, 1001)", "False", data, n);
    put_npy("f.npy", "(300, 1001)", "True", data, n);
    put("s.bin", data, (size_t)n * sizeof *data);
    free(data);
    struct source_request request = request_for("s.npy", NULL, NULL);
    check_shards(&request, 300, 1001, false);
    request = request_for("f.npy", NULL, NULL);
    check_shards(&request, 300, 1001, true);
    request = request_for("s.bin", NULL, NULL);
    request.has_type = true;
    request.type = ELEMENT_F32;
    check_shards(&request, 300, 1001, false);
}

static void test_a_drawn_vector_depends_on_the_ranks(void **state)
{
    (void)state;
    struct source_request request = {.generate = "normal:500K", .seed = 9, .num_dims = -1};
    struct source *source;
    assert_on_all(source_open(&comm, &request, &source) == QO_OK);
    int64_t n = source_vector(source, 0)->n, sum = 0, whole = 0;
    struct shard shard = shard_of(n, comm.rank, comm.size);
    uint32_t *x = malloc((size_t)n * sizeof *x);
    assert_on_all(x && source_read(source, 0, shard.begin, shard.end, x) == QO_OK);
    for (int64_t i = shard.begin; i < shard.end; i++)
        sum += (i + 1) * (int64_t)x[i - shard.begin] % 1000003;
    assert_on_all(source_read(source, 0, 0, n, x) == QO_OK);
    for (int64_t i = 0; i < n; i++)
        whole += (i + 1) * (int64_t)x[i] % 1000003;
    reduce_sum(&comm, &sum, 1);
    assert_on_all(sum == whole);
    free(x);
    source_close(source);
}

static void test_switching_between_files(void **state)
{
    (void)state;
    struct source_request request = request_for("x.npy", "s.npy", "m.safetensors");
    struct source *source;
    float x = 0;
    assert_on_all(source_open(&comm, &request, &source) == QO_OK);
    for (int turn = 0; turn < 3; turn++) {
        assert_on_all(source_read(source, 0, 5, 6, &x) == QO_OK && x == 1);
        assert_on_all(source_read(source, 1, 777, 778, &x) == QO_OK && x == 777);
        assert_on_all(source_read(source, 2, 0, 1, &x) == QO_OK && x == 0);
    }
    source_close(source);
    source_close(NULL);
}

/* Every fallible call of every rank fails once; all ranks must see the same failure, and leave. */
static void test_a_failing_call_on_one_rank(void **state)
{
    (void)state;
    struct source_request request = request_for("m.safetensors", "x.npy", NULL);
    for (int culprit = 0; culprit < comm.size; culprit++) {
        enum status status = QO_INTERNAL;
        int n = 0;
        while (status != QO_OK) {
            char plan[32];
            struct source *source;
            snprintf(plan, sizeof plan, "%d@%d", ++n, culprit);
            setenv("QUANTOPT_FAULT", plan, 1);
            fault_setup(comm.rank);
            status = source_open(&comm, &request, &source);
            setenv("QUANTOPT_FAULT", "0", 1);
            fault_setup(comm.rank);
            int64_t extremes[2] = {status, -(int64_t)status};
            reduce_max(&comm, extremes, 2);
            assert_int_equal(extremes[0], -extremes[1]);
            assert_on_all((status == QO_OK) == (source != NULL) && n < 500);
            source_close(source);
        }
        /* Rank 0 scans, the others at least make room for the catalog. */
        assert_true(n > (culprit == 0 ? 20 : 10));
    }
}

static int set_up(void **state)
{
    (void)state;
    if (comm.rank == 0) {
        const char *parent = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%s/quantopt_source_XXXXXX", parent ? parent : "/tmp");
        if (!mkdtemp(folder))
            folder[0] = '\0';
    }
    comm_broadcast(&comm, folder, sizeof folder);
    log_setup(false, LOG_QUIET);
    return folder[0] ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[512];
    comm_wait_all(&comm);
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return comm.rank == 0 ? system(command) : 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_that_differ_from_the_contract),
        cmocka_unit_test(test_a_made_up_stem_that_is_taken),
        cmocka_unit_test(test_names_that_no_link_may_have),
        cmocka_unit_test(test_names_that_collide_or_nest),
        cmocka_unit_test(test_a_prefix_where_none_is_needed_or_none_where_one_is),
        cmocka_unit_test(test_an_unreadable_vector_dropped_though_wanted_or_in_the_way_though_not),
        cmocka_unit_test(test_globs),
        cmocka_unit_test(test_a_colon_at_the_wrong_place),
        cmocka_unit_test(test_files_of_no_known_kind),
        cmocka_unit_test(test_raw_files),
        cmocka_unit_test(test_empty_vectors),
        cmocka_unit_test(test_ranks_with_different_catalogs),
        cmocka_unit_test(test_shards_that_do_not_make_the_whole),
        cmocka_unit_test(test_a_drawn_vector_depends_on_the_ranks),
        cmocka_unit_test(test_switching_between_files),
        cmocka_unit_test(test_a_failing_call_on_one_rank),
    };
    comm_open(&comm, &argc, &argv);
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    comm_close(&comm);
    return failed;
}
