/* SPDX-License-Identifier: Apache-2.0 */
#include "sink_fixture.h"

#include <hdf5.h>
#include <sys/resource.h>

#include "element.h"
#include "restored_file.h"
#include "shard.h"

/* Vectors made up: element i has the bits of element_from_double(value(i)). More blocks than ranks,
 * and fewer; every type; a scalar; names with groups. */
static char names[][32] = {"layer/0/weight", "layer/1", "bias", "field"};

static const struct vector_info infos[] = {
    {names[0], names[0], ELEMENT_F32, 3, {3, 1, 65541}, 196623, 0, {0}, false},
    {names[1], names[1], ELEMENT_F16, 1, {70001}, 70001, 0, {0}, false},
    {names[2], names[2], ELEMENT_BF16, 2, {7, 11}, 77, 0, {0}, false},
    {names[3], names[3], ELEMENT_F64, 0, {0}, 1, 0, {0}, false},
};

#define NUM_INFOS ((int)(sizeof infos / sizeof infos[0]))

static double value(int64_t i)
{
    return (double)(i % 1999) / 7 - 100;
}

/* Fills x with elements [first, first + n). */
static void fill(enum element_type type, void *x, int64_t first, int64_t n)
{
    size_t size = element_size(type);
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits = element_from_double(type, value(first + i));
        memcpy((char *)x + (size_t)i * size, &bits, size);
    }
}

/* Writes this rank's part of a vector, one or two blocks a call, all ranks as many calls; `skips`
 * leaves the vector's last block out. */
static enum status write_vector(struct restored_file *file, int index, bool skips)
{
    static char x[2 * QO_BLOCK * 8];
    const struct vector_info *info = &infos[index];
    struct shard shard = shard_of(info->n, comm.rank, comm.size);
    int64_t largest = shard_largest(info->n, comm.size),
            step = index == 0 ? 2 * QO_BLOCK : QO_BLOCK;
    enum status status = QO_OK;
    for (int64_t done = 0; status == QO_OK && done < largest; done += step) {
        int64_t first = shard.begin + done < shard.end ? shard.begin + done : shard.end;
        int64_t n = shard.end - first < step ? shard.end - first : step;
        if (skips && first + n == info->n)
            n = 0;
        fill(info->type, x, first, n);
        status = restored_file_write(file, index, x, first, n);
    }
    return status;
}

static enum status begin(const char *path, int first, int count, struct restored_file **file)
{
    const struct vector_info *list[NUM_INFOS];
    for (int i = 0; i < count; i++)
        list[i] = &infos[first + i];
    return restored_file_create(&comm, path, list, count, file);
}

/* All vectors into an HDF5 file; not yet published. */
static enum status write_up_to(const char *path, struct restored_file **file)
{
    enum status status = begin(path, 0, NUM_INFOS, file);
    for (int i = 0; status == QO_OK && i < NUM_INFOS; i++)
        status = write_vector(*file, i, false);
    return status;
}

static enum status write_all(const char *path)
{
    struct restored_file *file = NULL;
    enum status status = write_up_to(path, &file);
    if (status == QO_OK)
        status = restored_file_publish(file);
    if (status != QO_OK)
        restored_file_abandon(file);
    return status;
}

/* Whether a dataset has the vector's type, shape and elements, by HDF5's own reading. */
static bool is_vector(hid_t file, const struct vector_info *info)
{
    hsize_t dims[3] = {0};
    size_t size = element_size(info->type);
    hid_t dataset = H5Dopen2(file, info->name, H5P_DEFAULT), space = H5Dget_space(dataset);
    hid_t type = H5Dget_type(dataset);
    char *have = calloc((size_t)info->n, size), *want = calloc((size_t)info->n, size);
    fill(info->type, want, 0, info->n);
    bool is_good = dataset >= 0 && H5Tget_size(type) == size &&
                   H5Tget_class(type) == (info->type == ELEMENT_BF16 ? H5T_INTEGER : H5T_FLOAT) &&
                   H5Sget_simple_extent_ndims(space) == info->num_dims &&
                   H5Sget_simple_extent_dims(space, dims, NULL) >= 0 &&
                   H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, have) >= 0 &&
                   memcmp(have, want, (size_t)info->n * size) == 0;
    for (int i = 0; i < info->num_dims; i++)
        is_good = is_good && dims[i] == (hsize_t)info->shape[i];
    free(have);
    free(want);
    H5Tclose(type);
    H5Sclose(space);
    H5Dclose(dataset);
    return is_good;
}

static void check_file(const char *path)
{
    if (comm.rank != 0)
        return;
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    CHECK(file >= 0);
    for (int i = 0; i < NUM_INFOS; i++)
        CHECK(is_vector(file, &infos[i]));
    /* Half precision as HDF5 itself converts it, not only bit for bit. */
    float two[70001];
    hid_t dataset = H5Dopen2(file, names[1], H5P_DEFAULT);
    CHECK(H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, two) >= 0);
    CHECK(two[0] == -100.0f && two[700] == 0.0f &&
          two[70000] ==
              (float)element_value(ELEMENT_F16, element_from_double(ELEMENT_F16, value(70000))));
    H5Dclose(dataset);
    char text[16] = "";
    hid_t attribute = H5Aopen_by_name(file, names[2], "dtype", H5P_DEFAULT, H5P_DEFAULT);
    hid_t type = H5Aget_type(attribute);
    CHECK(H5Tget_size(type) == 8 && H5Aread(attribute, type, text) >= 0);
    CHECK(strcmp(text, "bfloat16") == 0);
    CHECK(H5Aexists_by_name(file, names[0], "dtype", H5P_DEFAULT) == 0);
    H5Tclose(type);
    H5Aclose(attribute);
    H5Fclose(file);
}

static void test_a_vector_in_another_shape_or_type(void **state)
{
    (void)state;
    enum status status = write_all(in_folder("out.h5"));
    CHECK(status == QO_OK);
    CHECK(is_same(status));
    check_file(in_folder("out.h5"));
    comm_wait_all(&comm);
    if (comm.rank == 0) {
        CHECK(count_files() == 1);
        unlink(in_folder("out.h5"));
    }
}

/* What NumPy 1.24's save writes for each shape, up to the padding. */
static void test_a_header_that_numpy_does_not_read(void **state)
{
    (void)state;
    static const struct {
        int index;
        const char *dictionary;
    } cases[] = {
        {0, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1, 65541), }"},
        {1, "{'descr': '<f2', 'fortran_order': False, 'shape': (70001,), }"},
        {3, "{'descr': '<f8', 'fortran_order': False, 'shape': (), }"},
    };
    for (int i = 0; i < 3; i++) {
        const struct vector_info *info = &infos[cases[i].index];
        struct restored_file *file = NULL;
        enum status status = begin(in_folder("out.npy"), cases[i].index, 1, &file);
        struct shard shard = shard_of(info->n, comm.rank, comm.size);
        size_t size = element_size(info->type), length = strlen(cases[i].dictionary), n = 0;
        char *x = malloc((size_t)(shard.end - shard.begin) * size + 1);
        fill(info->type, x, shard.begin, shard.end - shard.begin);
        if (status == QO_OK)
            status = restored_file_write(file, 0, x, shard.begin, shard.end - shard.begin);
        if (status == QO_OK)
            status = restored_file_publish(file);
        CHECK(status == QO_OK);
        free(x);
        if (comm.rank == 0) {
            unsigned char *have = read_whole(in_folder("out.npy"), &n);
            CHECK(n == 128 + (size_t)info->n * size); /* 10 + the text + padding + newline */
            CHECK(memcmp(have, "\x93NUMPY\x01\x00\x76\x00", 10) == 0);
            CHECK(memcmp(have + 10, cases[i].dictionary, length) == 0);
            for (size_t at = 10 + length; at < 127; at++)
                CHECK(have[at] == ' ');
            CHECK(have[127] == '\n');
            x = malloc((size_t)info->n * size);
            fill(info->type, x, 0, info->n);
            CHECK(n > 128 && memcmp(have + 128, x, (size_t)info->n * size) == 0);
            free(x);
            free(have);
            unlink(in_folder("out.npy"));
        }
    }
}

static void test_a_npy_file_that_cannot_be(void **state)
{
    (void)state;
    struct restored_file *file = NULL;
    enum status status = begin(in_folder("out.npy"), 0, 2, &file);
    CHECK(status == QO_USAGE && is_same(status));
    CHECK(file == NULL && strstr(status_text(), "--select"));
    status = begin(in_folder("out.npy"), 2, 1, &file);
    CHECK(status == QO_USAGE && is_same(status));
    CHECK(file == NULL && strstr(status_text(), "bfloat16"));
    comm_wait_all(&comm);
    CHECK(count_files() == 0);
}

/* After a failed publish: the older file is there and nothing else. */
static void check_untouched(struct restored_file *file, const char *path, enum status status)
{
    CHECK(status == QO_IO && is_same(status));
    restored_file_abandon(file);
    comm_wait_all(&comm);
    if (comm.rank == 0) {
        CHECK(count_files() == 1);
        CHECK(strcmp(read_file(path), "older") == 0);
        unlink(path);
    }
}

static void test_damage_that_is_not_noticed(void **state)
{
    (void)state;
    for (int npy = 0; npy < 2; npy++) {
        struct restored_file *file = NULL;
        char path[512];
        uint32_t bytes[4];
        snprintf(path, sizeof path, "%s", in_folder(npy ? "out.npy" : "out.h5"));
        if (comm.rank == 0)
            write_file(path, "older");
        comm_wait_all(&comm);
        enum status status = npy ? begin(path, 0, 1, &file) : write_up_to(path, &file);
        if (npy && status == QO_OK)
            status = write_vector(file, 0, false);
        CHECK(status == QO_OK);
        comm_wait_all(&comm);
        if (comm.rank == 0) {
            char partial[600];
            fill(ELEMENT_F32, bytes, 1990, 4);
            snprintf(partial, sizeof partial, "%s.partial", path);
            CHECK(damage(partial, npy ? (const void *)"fortran_order" : bytes, npy ? 13 : 16));
        }
        comm_wait_all(&comm);
        status = restored_file_publish(file);
        CHECK(strstr(status_text(), npy ? "header" : names[0]));
        check_untouched(file, path, status);
    }
}

static void test_elements_that_nobody_wrote(void **state)
{
    (void)state;
    struct restored_file *file = NULL;
    if (comm.rank == 0)
        write_file(in_folder("out.h5"), "older");
    comm_wait_all(&comm);
    enum status status = begin(in_folder("out.h5"), 0, 2, &file);
    if (status == QO_OK)
        status = write_vector(file, 0, false);
    if (status == QO_OK)
        status = write_vector(file, 1, true);
    CHECK(status == QO_OK);
    status = restored_file_publish(file);
    CHECK(strstr(status_text(), names[1]));
    check_untouched(file, in_folder("out.h5"), status);
}

static void test_a_disk_that_is_full(void **state)
{
    (void)state;
    static const char *const paths[] = {"out.h5", "out.npy"};
    struct vector_info big = {
        .name = names[0], .type = ELEMENT_F64, .num_dims = 1, .shape = {1 << 24}, .n = 1 << 24};
    const struct vector_info *list[1] = {&big};
    struct rlimit limit, lower;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    for (int i = 0; i < 2; i++) {
        struct restored_file *file = NULL;
        lower = limit;
        lower.rlim_cur = 16 << 20;
        CHECK(setrlimit(RLIMIT_FSIZE, &lower) == 0);
        enum status status = restored_file_create(&comm, in_folder(paths[i]), list, 1, &file);
        CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        CHECK(status == QO_IO);
        CHECK(is_same(status));
        CHECK(strstr(status_text(), paths[i]) && file == NULL);
        comm_wait_all(&comm);
        CHECK(count_files() == 0);
        comm_wait_all(&comm);
    }
}

static void test_a_place_that_cannot_be_written(void **state)
{
    (void)state;
    struct restored_file *file = NULL;
    enum status status = begin(in_folder("missing/out.npy"), 0, 1, &file);
    CHECK(status == QO_CANT_CREATE && is_same(status));
    CHECK(file == NULL && strstr(status_text(), "make the directory"));
    restored_file_abandon(NULL);
    comm_wait_all(&comm);
    CHECK(count_files() == 0);
}

/* One run with a failure planned: whether it went well. Else all must be as it was before. */
static bool survives(int n, int rank)
{
    plan_fault(n, rank);
    enum status status = write_all(in_folder("out.h5"));
    plan_fault(0, -1);
    CHECK(is_same(status));
    comm_wait_all(&comm);
    if (comm.rank == 0) {
        bool is_older = strcmp(read_file(in_folder("out.h5")), "older") == 0;
        CHECK(is_older == (status != QO_OK));
        CHECK(count_files() == 1);
        if (count_files() != 1 || is_older != (status != QO_OK))
            print_error("call %d of rank %d: %d %s\n", n, rank, (int)status, status_text());
    }
    comm_wait_all(&comm);
    return status == QO_OK;
}

static void test_a_failure_that_leaves_something(void **state)
{
    (void)state;
    int fewest = 1000, most = 0;
    for (int rank = -1; rank < comm.size; rank++) {
        int n = 1;
        if (comm.rank == 0)
            write_file(in_folder("out.h5"), "older");
        comm_wait_all(&comm);
        while (n < 1000 && !survives(n, rank))
            n += comm.size > 3 ? 5 : 1;
        fewest = n < fewest ? n : fewest;
        most = n > most ? n : most;
        check_file(in_folder("out.h5"));
        comm_wait_all(&comm);
    }
    CHECK(fewest > 5 && most > 20 && most < 1000);
    if (comm.rank == 0)
        unlink(in_folder("out.h5"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_vector_in_another_shape_or_type, end_test),
        cmocka_unit_test_teardown(test_a_header_that_numpy_does_not_read, end_test),
        cmocka_unit_test_teardown(test_a_npy_file_that_cannot_be, end_test),
        cmocka_unit_test_teardown(test_damage_that_is_not_noticed, end_test),
        cmocka_unit_test_teardown(test_elements_that_nobody_wrote, end_test),
        cmocka_unit_test_teardown(test_a_disk_that_is_full, end_test),
        cmocka_unit_test_teardown(test_a_place_that_cannot_be_written, end_test),
        cmocka_unit_test_teardown(test_a_failure_that_leaves_something, end_test),
    };
    open_folder(&argc, &argv);
    return close_folder(cmocka_run_group_tests(tests, NULL, NULL));
}
