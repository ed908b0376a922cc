/* SPDX-License-Identifier: Apache-2.0 */
#include "h5_make.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "fault.h"
#include "h5_output.h"
#include "log.h"
#include "reader.h"

/* What is read from an HDF5 file: every bit of every range, whatever the storage; and damaged data.
 */

static const struct source_request plain = {.num_dims = -1};

/* A scanned file, opened to be read. */
struct opened {
    struct catalog catalog;
    struct handle handle;
};

static const struct handle closed = {.fd = -1, .file_id = -1, .dataset_id = -1};

static enum status open_dataset(struct opened *opened, const char *dataset)
{
    *opened = (struct opened){.handle = closed};
    status_clear();
    enum status status = reader_hdf5.scan(&plain, "a.h5", dataset, &opened->catalog);
    if (status == QO_OK && opened->catalog.entry[0].failure != QO_OK)
        status = opened->catalog.entry[0].failure;
    if (status == QO_OK)
        status = reader_hdf5.open(&opened->handle, &opened->catalog.entry[0]);
    return status;
}

static enum status open_file(struct opened *opened)
{
    return open_dataset(opened, NULL);
}

static void close_file(struct opened *opened)
{
    reader_hdf5.close(&opened->handle);
    catalog_clear(&opened->catalog);
}

static enum status read_range(struct opened *opened, int index, int64_t begin, int64_t end, void *x)
{
    return reader_hdf5.read(&opened->handle, &opened->catalog.entry[index], begin, end, x);
}

/* Compares a range with the truth, and sees that nothing beside it was written. */
static void expect_range(struct opened *opened, int index, const char *truth, int64_t begin,
                         int64_t end)
{
    size_t size = element_size(opened->catalog.entry[index].info.type);
    size_t n = (size_t)(end - begin) * size;
    char *x = malloc(n + 16);
    assert_non_null(x);
    memset(x, 0x5a, n + 16);
    assert_int_equal(read_range(opened, index, begin, end, x + 8), QO_OK);
    assert_memory_equal(x + 8, truth + (size_t)begin * size, n);
    assert_memory_equal(x, "ZZZZZZZZ", 8);
    assert_memory_equal(x + 8 + n, "ZZZZZZZZ", 8);
    free(x);
}

/* Random bits, NaN payloads and subnormals among them, as they are to arrive in memory. */
static char *make_truth(enum element_type type, int64_t n, uint64_t seed)
{
    size_t size = element_size(type);
    char *x = malloc((size_t)n * size);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits = h5_random(&seed);
        memcpy(x + (size_t)i * size, &bits, size);
    }
    return x;
}

/* The same numbers as a file in the other byte order holds them; not by the code under test. */
static char *turn_bytes(const char *x, int64_t n, size_t size)
{
    char *turned = malloc((size_t)n * size);
    assert_non_null(turned);
    for (int64_t i = 0; i < n; i++)
        for (size_t b = 0; b < size; b++)
            turned[(size_t)i * size + b] = x[(size_t)i * size + size - 1 - b];
    return turned;
}

/* Creates a.h5 with "/x" and gives its numbers, to be freed. */
static char *make_file(enum element_type type, bool big, int rank, const hsize_t *dims, hid_t plist)
{
    int64_t n = 1;
    for (int d = 0; d < rank; d++)
        n *= (int64_t)dims[d];
    char *truth = make_truth(type, n, (uint64_t)(n + 7 * (int)type + big));
    char *stored = big ? turn_bytes(truth, n, element_size(type)) : truth;
    hid_t file = h5_create("a.h5");
    h5_dataset(file, "/x", h5_float(type, big), rank, dims, plist, stored);
    H5Fclose(file);
    if (big)
        free(stored);
    return truth;
}

static void test_a_bit_lost_in_some_type_or_byte_order(void **state)
{
    (void)state;
    hsize_t n = 70000;
    for (enum element_type type = 0; type < ELEMENT_NUM_TYPES; type++)
        for (int big = 0; big < 2; big++) {
            struct opened opened;
            char *truth = make_file(type, big, 1, &n, H5P_DEFAULT);
            assert_int_equal(open_file(&opened), QO_OK);
            assert_true(opened.catalog.entry[0].info.type == type);
            expect_range(&opened, 0, truth, 0, (int64_t)n);
            expect_range(&opened, 0, truth, 69999, 70000);
            close_file(&opened);
            free(truth);
        }
}

static void test_every_float16_changed_by_a_conversion(void **state)
{
    (void)state;
    hsize_t n = 65536;
    uint16_t all[65536], turned[65536];
    struct opened opened;
    for (int i = 0; i < 65536; i++) {
        all[i] = (uint16_t)i;
        turned[i] = (uint16_t)(i >> 8 | i << 8);
    }
    hid_t file = h5_create("a.h5");
    h5_dataset(file, "/x", h5_float(ELEMENT_F16, true), 1, &n, H5P_DEFAULT, turned);
    H5Fclose(file);
    assert_int_equal(open_file(&opened), QO_OK);
    expect_range(&opened, 0, (const char *)all, 0, 65536);
    close_file(&opened);
}

/* The attribute as this program writes it, and as h5py does: of variable length. */
static void add_dtype(hid_t file, bool is_variable)
{
    const char *text = "bfloat16";
    hid_t type = H5Tcopy(H5T_C_S1);
    if (!is_variable) {
        h5_attribute_text(file, "/x", "dtype", text);
    } else {
        H5Tset_size(type, H5T_VARIABLE);
        H5Tset_cset(type, H5T_CSET_UTF8);
        h5_attribute(file, "/x", "dtype", type, -1, &text);
    }
    H5Tclose(type);
}

static void test_bfloat16_as_bit_patterns_changed_or_taken_for_integers(void **state)
{
    (void)state;
    const hsize_t n = 65536;
    uint16_t all[65536], turned[65536];
    for (int i = 0; i < 65536; i++) {
        all[i] = (uint16_t)i;
        turned[i] = (uint16_t)(i >> 8 | i << 8);
    }
    for (int form = 0; form < 8; form++) {
        struct opened opened;
        bool big = form & 1;
        hid_t file = h5_create("a.h5");
        h5_dataset(file, "/x", H5Tcopy(big ? H5T_STD_U16BE : H5T_STD_U16LE), 1, &n, H5P_DEFAULT,
                   big ? turned : all);
        add_dtype(file, form & 2);
        H5Fclose(file);
        /* The whole file, and the dataset by its name. */
        assert_int_equal(open_dataset(&opened, form & 4 ? "x" : NULL), QO_OK);
        assert_true(opened.catalog.entry[0].info.type == ELEMENT_BF16);
        expect_range(&opened, 0, (const char *)all, 0, 65536);
        expect_range(&opened, 0, (const char *)all, 32639, 32769);
        close_file(&opened);
    }
}

static void test_a_fill_value_of_bit_patterns_taken_for_a_number(void **state)
{
    (void)state;
    struct opened opened;
    const hsize_t n = 4;
    const uint16_t pattern = 0xc2c8; /* -100 */
    const double number = 49864;     /* 0xc2c8 as a number; bfloat16 has steps of 256 there */
    hid_t file = h5_create("a.h5");
    h5_dataset(file, "/x", H5Tcopy(H5T_STD_U16LE), 1, &n, H5P_DEFAULT, NULL);
    h5_attribute_text(file, "/x", "dtype", "bfloat16");
    h5_attribute(file, "/x", "_FillValue", H5T_STD_U16LE, -1, &pattern);
    h5_attribute(file, "/x", "missing_value", H5T_NATIVE_DOUBLE, -1, &number);
    h5_dataset(file, "/y", h5_float(ELEMENT_BF16, false), 1, &n, H5P_DEFAULT, NULL);
    h5_attribute(file, "/y", "_FillValue", H5T_STD_U16LE, -1, &pattern);
    H5Fclose(file);
    assert_int_equal(open_file(&opened), QO_OK);
    const struct vector_info *info = &opened.catalog.entry[0].info;
    assert_int_equal(info->num_fills, 2);
    assert_true(info->fill[0] == -100.0 && info->fill[1] == 49920.0);
    assert_true(opened.catalog.entry[1].info.fill[0] == 49920.0);
    close_file(&opened);
}

/* Storage of an array: contiguous, in the object's header, chunks, chunks through filters. */
enum { CONTIGUOUS, COMPACT, CHUNKED, FILTERED, CHUNKED_ODDLY, NUM_STORAGES };

static hid_t make_plist(int storage, int rank, const hsize_t *dims)
{
    hsize_t chunk[5];
    hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    for (int d = 0; d < rank; d++) {
        chunk[d] = storage == CHUNKED_ODDLY ? dims[d] - dims[d] / 3 : 2;
        chunk[d] = chunk[d] > dims[d] ? dims[d] : chunk[d];
    }
    if (storage == COMPACT)
        H5Pset_layout(plist, H5D_COMPACT);
    if (storage >= CHUNKED && rank > 0)
        H5Pset_chunk(plist, rank, chunk);
    if (storage == FILTERED && rank > 0) {
        H5Pset_shuffle(plist);
        H5Pset_deflate(plist, 6);
        H5Pset_fletcher32(plist);
    }
    return plist;
}

static void test_a_range_cut_wrong_in_some_shape_and_storage(void **state)
{
    (void)state;
    static const hsize_t shapes[][5] = {
        {1},       {19},      {4, 7},       {1, 9},          {9, 1},
        {3, 4, 5}, {5, 1, 4}, {2, 3, 1, 5}, {2, 2, 3, 2, 2}, {1, 1, 1, 1, 3}};
    static const int ranks[] = {0, 1, 2, 2, 2, 3, 3, 4, 5, 5};
    for (int s = 0; s < 10; s++)
        for (int storage = 0; storage < NUM_STORAGES; storage++) {
            struct opened opened;
            char *truth = make_file(s % 2 ? ELEMENT_F64 : ELEMENT_F16, s % 3 == 0, ranks[s],
                                    shapes[s], make_plist(storage, ranks[s], shapes[s]));
            assert_int_equal(open_file(&opened), QO_OK);
            int64_t n = opened.catalog.entry[0].info.n;
            for (int64_t begin = 0; begin < n; begin++)
                for (int64_t end = begin + 1; end <= n; end++)
                    expect_range(&opened, 0, truth, begin, end);
            close_file(&opened);
            free(truth);
        }
}

static void test_more_chunks_than_one_call_takes(void **state)
{
    (void)state;
    static const hsize_t dims[3] = {23, 31, 37};
    static const hsize_t chunks[][3] = {{1, 1, 1}, {2, 1, 3}, {1, 31, 1}, {23, 1, 1}, {5, 2, 2}};
    const int64_t n = 23 * 31 * 37;
    for (int c = 0; c < 5; c++) {
        struct opened opened;
        uint64_t seed = 11;
        char *truth = make_file(ELEMENT_F32, c % 2, 3, dims, h5_chunks(3, chunks[c]));
        assert_int_equal(open_file(&opened), QO_OK);
        expect_range(&opened, 0, truth, 0, n);
        for (int i = 0; i < 5; i++) {
            int64_t begin = (int64_t)(h5_random(&seed) % (uint64_t)n);
            int64_t length = 1 + (int64_t)(h5_random(&seed) % (uint64_t)(n - begin));
            expect_range(&opened, 0, truth, begin, begin + length);
        }
        close_file(&opened);
        free(truth);
    }
}

static void test_a_layer_of_chunks_kept_for_the_next_range_read_wrong(void **state)
{
    (void)state;
    static const hsize_t dims[3] = {7, 300, 410}, chunk[3] = {3, 100, 100};
    const int64_t n = 7 * 300 * 410, plane = 300 * 410;
    struct opened opened;
    hid_t plist = h5_chunks(3, chunk);
    H5Pset_deflate(plist, 1);
    char *truth = make_file(ELEMENT_F32, true, 3, dims, plist);
    assert_int_equal(open_file(&opened), QO_OK);
    for (int64_t begin = 0; begin < n; begin += plane + 12345)
        expect_range(&opened, 0, truth, begin, begin + 2 * plane < n ? begin + 2 * plane : n);
    close_file(&opened);
    free(truth);
}

static void test_datasets_mixed_up_when_read_in_turns(void **state)
{
    (void)state;
    struct opened opened;
    const hsize_t n = 8;
    const float x[8] = {0, 1, 2, 3, 4, 5, 6, 7}, y[8] = {8, 9, 10, 11, 12, 13, 14, 15};
    hid_t file = h5_create("a.h5");
    h5_dataset(file, "/x", H5Tcopy(H5T_NATIVE_FLOAT), 1, &n, H5P_DEFAULT, x);
    h5_dataset(file, "/y", H5Tcopy(H5T_NATIVE_FLOAT), 1, &n, H5P_DEFAULT, y);
    H5Fclose(file);
    assert_int_equal(open_file(&opened), QO_OK);
    for (int turn = 0; turn < 3; turn++) {
        expect_range(&opened, 0, (const char *)x, turn, 8 - turn);
        expect_range(&opened, 1, (const char *)y, turn, 8 - turn);
    }
    close_file(&opened);
}

static void test_chunks_never_written_read_as_rubbish(void **state)
{
    (void)state;
    struct opened opened;
    const hsize_t dims[2] = {300, 4000}, chunk[2] = {10, 1000};
    const float fill = -1.5f;
    float *truth = malloc(300 * 4000 * sizeof *truth);
    hid_t plist = h5_chunks(2, chunk), file = h5_create("a.h5");
    assert_non_null(truth);
    for (int i = 0; i < 300 * 4000; i++)
        truth[i] = fill;
    H5Pset_fill_value(plist, H5T_NATIVE_FLOAT, &fill);
    h5_dataset(file, "/x", H5Tcopy(H5T_NATIVE_FLOAT), 2, dims, plist, NULL);
    H5Fclose(file);
    assert_int_equal(open_file(&opened), QO_OK);
    expect_range(&opened, 0, (const char *)truth, 0, 300 * 4000);
    assert_int_equal(opened.catalog.entry[0].info.num_fills, 0);
    close_file(&opened);
    free(truth);
}

static void test_a_huge_dataset_of_a_tiny_file_overflows_something(void **state)
{
    (void)state;
    struct opened opened;
    const hsize_t dims[3] = {(hsize_t)1 << 20, (hsize_t)1 << 20, (hsize_t)1 << 18};
    const hsize_t chunk[3] = {64, 64, 64};
    const float zeros[100] = {0};
    const int64_t n = (int64_t)1 << 58;
    hid_t file = h5_create("a.h5");
    h5_dataset(file, "/x", h5_float(ELEMENT_F32, true), 3, dims, h5_chunks(3, chunk), NULL);
    H5Fclose(file);
    assert_int_equal(open_file(&opened), QO_OK);
    assert_true(opened.catalog.entry[0].info.n == n);
    float x[100];
    assert_int_equal(read_range(&opened, 0, n / 2 - 50, n / 2 + 50, x), QO_OK);
    assert_memory_equal(x, zeros, sizeof x);
    assert_int_equal(read_range(&opened, 0, n - 100, n, x), QO_OK);
    assert_memory_equal(x, zeros, sizeof x);
    close_file(&opened);
}

static void test_a_cut_file_crashes_or_passes(void **state)
{
    (void)state;
    struct opened opened;
    const hsize_t dims[2] = {12, 10}, chunk[2] = {5, 4};
    size_t size;
    char *truth = make_file(ELEMENT_F64, false, 2, dims, h5_chunks(2, chunk));
    char *bytes = h5_slurp("a.h5", &size);
    double x[120];
    for (size_t length = 8; length < size; length += length < 600 ? 1 : 13) {
        h5_spill("a.h5", bytes, length);
        enum status status = open_file(&opened);
        if (status == QO_OK)
            status = read_range(&opened, 0, 0, 120, x);
        assert_int_equal(status, QO_DATA);
        assert_says("a.h5");
        close_file(&opened);
    }
    h5_spill("a.h5", bytes, size);
    assert_int_equal(open_file(&opened), QO_OK);
    expect_range(&opened, 0, truth, 0, 120);
    close_file(&opened);
    free(bytes);
    free(truth);
}

static void test_a_flipped_bit_under_a_checksum_believed(void **state)
{
    (void)state;
    struct opened opened;
    const hsize_t n = 1000, chunk = 100;
    uint64_t mark = 0x0123456789abcdef, flipped = 0x0123456789abcdee;
    double x[1000];
    for (int i = 0; i < 1000; i++)
        x[i] = i;
    memcpy(&x[550], &mark, 8);
    hid_t plist = h5_chunks(1, &chunk), file = h5_create("a.h5");
    H5Pset_fletcher32(plist);
    h5_dataset(file, "/x", H5Tcopy(H5T_NATIVE_DOUBLE), 1, &n, plist, x);
    H5Fclose(file);
    assert_int_equal(h5_patch("a.h5", &mark, &flipped, 8), 1);
    assert_int_equal(open_file(&opened), QO_OK);
    expect_range(&opened, 0, (const char *)x, 0, 500);
    assert_int_equal(read_range(&opened, 0, 400, 1000, x), QO_DATA);
    assert_says("a.h5:/x: its data cannot be read; the file is damaged (HDF5: ");
    close_file(&opened);
}

/* Gives a file a time of its own: that of a file system may stand still between two writes. */
static void set_written(const char *path, time_t seconds)
{
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_a_file_that_changes_after_the_scan(void **state)
{
    (void)state;
    struct opened opened;
    const hsize_t dims[2] = {100, 100}, other[2] = {50, 200};
    float *x = malloc(10000 * sizeof *x);
    assert_non_null(x);
    free(make_file(ELEMENT_F32, false, 2, dims, H5P_DEFAULT));
    assert_int_equal(open_file(&opened), QO_OK);
    reader_hdf5.close(&opened.handle);
    free(make_file(ELEMENT_F32, false, 2, other, H5P_DEFAULT));
    set_written("a.h5", 1);
    opened.handle = closed;
    assert_int_equal(reader_hdf5.open(&opened.handle, &opened.catalog.entry[0]), QO_OK);
    assert_int_equal(read_range(&opened, 0, 0, 10, x), QO_DATA);
    assert_says("a.h5:/x: has changed since the start");
    reader_hdf5.close(&opened.handle);

    free(make_file(ELEMENT_F32, true, 2, dims, H5P_DEFAULT));
    set_written("a.h5", 2);
    opened.handle = closed;
    assert_int_equal(reader_hdf5.open(&opened.handle, &opened.catalog.entry[0]), QO_OK);
    assert_int_equal(read_range(&opened, 0, 0, 10, x), QO_DATA);
    assert_says("has changed");
    reader_hdf5.close(&opened.handle);

    H5Fclose(h5_create("a.h5"));
    opened.handle = closed;
    assert_int_equal(reader_hdf5.open(&opened.handle, &opened.catalog.entry[0]), QO_OK);
    assert_int_equal(read_range(&opened, 0, 0, 10, x), QO_DATA);
    assert_says("a.h5:/x: cannot be opened any more");
    close_file(&opened);
    free(x);
}

static void test_zeros_for_the_part_of_a_file_cut_while_it_is_open(void **state)
{
    (void)state;
    struct opened opened;
    const hsize_t n = 100000, chunk = 100000;
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    for (int is_chunked = 0; is_chunked < 2; is_chunked++) {
        char *truth =
            make_file(ELEMENT_F32, false, 1, &n, is_chunked ? h5_chunks(1, &chunk) : H5P_DEFAULT);
        assert_int_equal(open_file(&opened), QO_OK);
        expect_range(&opened, 0, truth, 1, 2);
        assert_int_equal(truncate("a.h5", 100000), 0);
        assert_int_equal(read_range(&opened, 0, 0, (int64_t)n, x), QO_DATA);
        assert_says(is_chunked ? "a.h5:/x: the file was cut while it was read"
                               : "a.h5:/x: ends at byte 100000, before byte 40");
        close_file(&opened);
        free(truth);
    }
    free(x);
}

static void test_a_failing_read_without_a_status(void **state)
{
    (void)state;
    struct opened opened;
    const hsize_t n = 1000;
    float x[1000];
    for (int is_chunked = 0; is_chunked < 2; is_chunked++) {
        char *truth =
            make_file(ELEMENT_F32, false, 1, &n, is_chunked ? h5_chunks(1, &n) : H5P_DEFAULT);
        assert_int_equal(open_file(&opened), QO_OK);
        expect_range(&opened, 0, truth, 0, 1);
        setenv("QUANTOPT_FAULT", "1", 1);
        fault_setup(0);
        assert_int_equal(read_range(&opened, 0, 0, 1000, x), QO_IO);
        assert_says(is_chunked ? "a.h5:/x: a read failed"
                               : "a.h5:/x: reading 4000 bytes at byte 2048 failed");
        expect_range(&opened, 0, truth, 0, 1000);
        close_file(&opened);
        free(truth);
    }
}

/* Whether the last read went without the library. */
static bool was_direct(const struct opened *opened)
{
    return opened->handle.fd >= 0 && opened->handle.file_id < 0;
}

static void test_the_library_asked_where_it_need_not_be_or_not_where_it_must(void **state)
{
    (void)state;
    const hsize_t n = 60;
    for (int storage = 0; storage < NUM_STORAGES; storage++)
        for (int big = 0; big < 2; big++) {
            struct opened opened;
            char *truth = make_file(ELEMENT_F64, big, 1, &n, make_plist(storage, 1, &n));
            assert_int_equal(open_file(&opened), QO_OK);
            expect_range(&opened, 0, truth, 7, 60);
            assert_int_equal(was_direct(&opened), storage == CONTIGUOUS);
            close_file(&opened);
            free(truth);
        }
}

/* A file a.h5 with a user block that the library makes, or one that somebody put in front. */
static char *make_with_user_block(hsize_t block, bool is_put_in_front, bool big)
{
    size_t size;
    const hsize_t n = 50;
    char *truth = make_truth(ELEMENT_F32, (int64_t)n, block), *stored = turn_bytes(truth, 50, 4);
    hid_t plist = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_userblock(plist, is_put_in_front ? 0 : block);
    hid_t file = H5Fcreate("a.h5", H5F_ACC_TRUNC, plist, H5P_DEFAULT);
    h5_dataset(file, "/x", h5_float(ELEMENT_F32, big), 1, &n, H5P_DEFAULT, big ? stored : truth);
    H5Fclose(file);
    H5Pclose(plist);
    free(stored);
    if (!is_put_in_front)
        return truth;
    char *bytes = h5_slurp("a.h5", &size), *longer = calloc(1, size + block);
    assert_non_null(longer);
    memcpy(longer + block, bytes, size);
    h5_spill("a.h5", longer, size + block);
    free(bytes);
    free(longer);
    return truth;
}

static void test_numbers_behind_a_user_block_taken_from_the_wrong_place(void **state)
{
    (void)state;
    for (hsize_t block = 512; block <= 8192; block *= 2)
        for (int form = 0; form < 4; form++) {
            struct opened opened;
            char *truth = make_with_user_block(block, form & 1, form & 2);
            assert_int_equal(open_file(&opened), QO_OK);
            expect_range(&opened, 0, truth, 0, 50);
            expect_range(&opened, 0, truth, 31, 32);
            assert_true(was_direct(&opened));
            close_file(&opened);
            free(truth);
        }
}

static void test_storage_that_does_not_exist_read_as_rubbish(void **state)
{
    (void)state;
    struct opened opened;
    const hsize_t n = 40;
    const double fill = 7.25;
    double truth[40];
    for (int i = 0; i < 40; i++)
        truth[i] = fill;
    hid_t plist = H5Pcreate(H5P_DATASET_CREATE), file = h5_create("a.h5");
    H5Pset_fill_value(plist, H5T_NATIVE_DOUBLE, &fill);
    h5_dataset(file, "/x", h5_float(ELEMENT_F64, true), 1, &n, plist, NULL);
    h5_dataset(file, "/y", h5_float(ELEMENT_F64, false), 1, &n, H5P_DEFAULT, truth);
    H5Fclose(file);
    assert_int_equal(open_file(&opened), QO_OK);
    for (int turn = 0; turn < 2; turn++) {
        expect_range(&opened, 0, (const char *)truth, 0, 40);
        expect_range(&opened, 1, (const char *)truth, 3, 40);
    }
    close_file(&opened);
}

static void test_a_file_that_is_written_to_beside_the_vector(void **state)
{
    (void)state;
    struct opened opened;
    const hsize_t n = 100;
    char *truth = make_file(ELEMENT_F32, false, 1, &n, H5P_DEFAULT);
    assert_int_equal(open_file(&opened), QO_OK);
    reader_hdf5.close(&opened.handle);
    hid_t file = H5Fopen("a.h5", H5F_ACC_RDWR, H5P_DEFAULT);
    h5_counting(file, "/y", 5);
    /* The vector moves to another place: what was there may be anything. */
    H5Ldelete(file, "/x", H5P_DEFAULT);
    h5_counting(file, "/a", 64);
    h5_dataset(file, "/x", h5_float(ELEMENT_F32, false), 1, &n, H5P_DEFAULT, truth);
    H5Fclose(file);
    set_written("a.h5", 1);
    opened.handle = closed;
    expect_range(&opened, 0, truth, 0, 100);
    assert_false(was_direct(&opened));
    close_file(&opened);
    free(truth);
}

static void test_numbers_of_the_file_that_holds_a_link_instead_of_its_target(void **state)
{
    (void)state;
    struct opened opened;
    const hsize_t n = 1000;
    char *truth = make_file(ELEMENT_F32, false, 1, &n, H5P_DEFAULT);
    assert_int_equal(rename("a.h5", "target.h5"), 0);
    free(make_file(ELEMENT_F32, true, 1, &n, H5P_DEFAULT));
    hid_t file = H5Fopen("a.h5", H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(H5Lcreate_external("target.h5", "/x", file, "/far", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    H5Fclose(file);
    assert_int_equal(open_dataset(&opened, "far"), QO_OK);
    expect_range(&opened, 0, truth, 0, 1000);
    assert_false(was_direct(&opened));
    close_file(&opened);
    free(truth);
}

/* What a thread reads again and again, from a file of its own, until it is told to stop. */
struct busy_reader {
    const char *truth;
    atomic_bool stop;
    int num_reads, num_wrong; /* num_wrong: with other numbers or no status */
    char text[256];           /* of the last failure of each round, which is on purpose */
};

enum { BUSY_N = 20000 };

/* Opens, reads and closes; each round also fails once, which uses the library's error stack. */
static void *read_busily(void *context)
{
    struct busy_reader *reader = context;
    struct entry entry = {.info = {.origin = (char *)(uintptr_t) "b.h5:/x",
                                   .type = ELEMENT_F32,
                                   .num_dims = 1,
                                   .shape = {BUSY_N},
                                   .n = BUSY_N},
                          .reader = &reader_hdf5,
                          .file = (char *)(uintptr_t) "b.h5",
                          .dataset = (char *)(uintptr_t) "/x"};
    struct entry absent = entry;
    absent.dataset = (char *)(uintptr_t) "/y";
    float *x = malloc(BUSY_N * sizeof *x);
    while (x && !atomic_load(&reader->stop)) {
        struct handle handle = closed;
        enum status status = reader_hdf5.open(&handle, &entry);
        for (int64_t at = 0; status == QO_OK && at < BUSY_N; at += 1000)
            status = reader_hdf5.read(&handle, &entry, at, at + 1000, x + at);
        reader->num_wrong += status != QO_OK || memcmp(x, reader->truth, BUSY_N * sizeof *x) != 0 ||
                             reader_hdf5.read(&handle, &absent, 0, 1, x) != QO_DATA;
        snprintf(reader->text, sizeof reader->text, "%s", status_text());
        reader_hdf5.close(&handle);
        reader->num_reads++;
        sched_yield(); /* the lock is not fair */
    }
    free(x);
    return NULL;
}

/* Written in parts, with a failure in between, while the other thread reads. */
static void write_busily(int64_t num_parts)
{
    struct h5_output output;
    hid_t dataset = H5I_INVALID_HID;
    const int64_t part = 50, n = num_parts * part;
    float x[50];
    for (int i = 0; i < 50; i++)
        x[i] = (float)i;
    assert_int_equal(h5_output_open(&output, NULL, "c.h5", "c.h5"), QO_OK);
    assert_int_equal(h5_output_dataset(&output, output.file, "x", H5T_IEEE_F32LE, 1, &n, &dataset),
                     QO_OK);
    pthread_t thread;
    struct busy_reader reader = {.truth = make_file(ELEMENT_F32, false, 1, &(hsize_t){BUSY_N},
                                                    h5_chunks(1, &(hsize_t){37}))};
    assert_int_equal(rename("a.h5", "b.h5"), 0);
    assert_int_equal(pthread_create(&thread, NULL, read_busily, &reader), 0);
    int num_wrong = 0;
    for (int64_t i = 0; i < num_parts; i++) {
        num_wrong +=
            h5_output_put(&output, dataset, "x", H5T_NATIVE_FLOAT, i * part, part, x) != QO_OK;
        if (i % 16 == 0) {
            num_wrong +=
                h5_output_put(&output, dataset, "x", H5T_NATIVE_FLOAT, n, part, x) == QO_OK ||
                !strstr(status_text(), "c.h5: x cannot be written");
            output.has_failed = false; /* the failure on purpose */
        }
    }
    atomic_store(&reader.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    h5_close(&dataset);
    assert_int_equal(h5_output_close(&output), QO_OK);
    assert_int_equal(num_wrong, 0);
    assert_int_equal(reader.num_wrong, 0);
    assert_true(reader.num_reads > 0);
    assert_non_null(strstr(reader.text, "b.h5:/x: cannot be opened any more"));
    free((void *)(uintptr_t)reader.truth);
}

static void test_a_thread_that_reads_in_the_way_of_one_that_writes(void **state)
{
    (void)state;
    write_busily(10000);
    size_t size;
    char *bytes = h5_slurp("c.h5", &size);
    assert_true(size > 10000 * 50 * sizeof(float));
    free(bytes);
}

#define TEST(name) cmocka_unit_test_teardown(name, h5_nothing_open)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_bit_lost_in_some_type_or_byte_order),
        TEST(test_every_float16_changed_by_a_conversion),
        TEST(test_bfloat16_as_bit_patterns_changed_or_taken_for_integers),
        TEST(test_a_fill_value_of_bit_patterns_taken_for_a_number),
        TEST(test_a_range_cut_wrong_in_some_shape_and_storage),
        TEST(test_more_chunks_than_one_call_takes),
        TEST(test_a_layer_of_chunks_kept_for_the_next_range_read_wrong),
        TEST(test_datasets_mixed_up_when_read_in_turns),
        TEST(test_chunks_never_written_read_as_rubbish),
        TEST(test_a_huge_dataset_of_a_tiny_file_overflows_something),
        TEST(test_a_cut_file_crashes_or_passes),
        TEST(test_a_flipped_bit_under_a_checksum_believed),
        TEST(test_a_file_that_changes_after_the_scan),
        TEST(test_zeros_for_the_part_of_a_file_cut_while_it_is_open),
        TEST(test_a_failing_read_without_a_status),
        TEST(test_the_library_asked_where_it_need_not_be_or_not_where_it_must),
        TEST(test_numbers_behind_a_user_block_taken_from_the_wrong_place),
        TEST(test_storage_that_does_not_exist_read_as_rubbish),
        TEST(test_a_file_that_is_written_to_beside_the_vector),
        TEST(test_numbers_of_the_file_that_holds_a_link_instead_of_its_target),
        TEST(test_a_thread_that_reads_in_the_way_of_one_that_writes),
    };
    log_setup(false, LOG_QUIET);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return cmocka_run_group_tests(tests, h5_enter_scratch, h5_leave_scratch);
}
