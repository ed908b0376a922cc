/* SPDX-License-Identifier: Apache-2.0 */
#include "reader_fixture.h"

static const char *path;

/* A .npy of version major.0 with this header text, padded as NumPy does, and these elements. */
static void make_npy(struct bytes *file, int major, const char *header, const void *data, size_t n)
{
    size_t prefix = major == 1 ? 10 : 12, length = strlen(header) + 1;
    length += (64 - (prefix + length) % 64) % 64;
    unsigned char front[12] = {0x93,
                               'N',
                               'U',
                               'M',
                               'P',
                               'Y',
                               (unsigned char)major,
                               0,
                               (unsigned char)length,
                               (unsigned char)(length >> 8)};
    file->n = 0;
    bytes_add(file, front, prefix);
    bytes_add(file, header, strlen(header));
    while (file->n < prefix + length - 1)
        bytes_add(file, " ", 1);
    bytes_add(file, "\n", 1);
    bytes_add(file, data, n);
}

/* Writes such a file, and returns its one vector. */
static void scan_npy(struct catalog *catalog, int major, const char *header, const void *data,
                     size_t n)
{
    struct bytes file;
    make_npy(&file, major, header, data, n);
    fixture_write(path, file.at, file.n);
    *catalog = (struct catalog){0};
    enum status status = reader_npy.scan(&fixture_plain, path, NULL, catalog);
    if (status != QO_OK)
        fail_msg("%s: %s", header, status_text());
    assert_int_equal(catalog->num_entries, 1);
}

static void test_a_type_or_byte_order_misread(void **state)
{
    (void)state;
    /* 1, -2.5, 0.1 rounded: bit patterns from numpy. */
    static const struct {
        const char *descr;
        enum element_type type;
        unsigned char data[24];
        size_t n;
        uint64_t bits[3];
    } cases[] = {
        {"<f2", ELEMENT_F16, {0x00, 0x3c, 0x00, 0xc1, 0x66, 0x2e}, 6, {0x3c00, 0xc100, 0x2e66}},
        {">f2", ELEMENT_F16, {0x3c, 0x00, 0xc1, 0x00, 0x2e, 0x66}, 6, {0x3c00, 0xc100, 0x2e66}},
        {"<f4",
         ELEMENT_F32,
         {0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0, 0xcd, 0xcc, 0xcc, 0x3d},
         12,
         {0x3f800000, 0xc0200000, 0x3dcccccd}},
        {">f4",
         ELEMENT_F32,
         {0x3f, 0x80, 0, 0, 0xc0, 0x20, 0, 0, 0x3d, 0xcc, 0xcc, 0xcd},
         12,
         {0x3f800000, 0xc0200000, 0x3dcccccd}},
        {">f8",
         ELEMENT_F64,
         {0x3f, 0xf0, 0, 0, 0,    0,    0,    0,    0xc0, 0x04, 0,    0,
          0,    0,    0, 0, 0x3f, 0xb9, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a},
         24,
         {0x3ff0000000000000, 0xc004000000000000, 0x3fb999999999999a}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        for (int major = 1; major <= 3; major++) {
            char header[128];
            struct catalog catalog;
            snprintf(header, sizeof header,
                     "{'descr': '%s', 'fortran_order': False, 'shape': (3,), }", cases[c].descr);
            scan_npy(&catalog, major, header, cases[c].data, cases[c].n);
            const struct vector_info *info = &catalog.entry[0].info;
            assert_int_equal(info->type, cases[c].type);
            assert_int_equal(info->n, 3);
            assert_int_equal(info->num_dims, 1);
            assert_null(info->name);
            assert_string_equal(info->origin, path);
            void *x;
            assert_int_equal(fixture_read(&catalog.entry[0], 0, 3, &x), QO_OK);
            for (int i = 0; i < 3; i++)
                assert_true(element_bits(info->type, x, i) == cases[c].bits[i]);
            free(x);
            catalog_clear(&catalog);
        }
    }
}

static void test_headers_that_other_writers_make(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}",
        "{\"shape\":(2,3,),\"fortran_order\":False,\"descr\":\"<f4\"}",
        "{ 'descr' : '=f4' , 'fortran_order' : False , 'shape' : ( 2 , 3 ) , }",
        "{'descr': 'f4', 'fortran_order': False, 'shape': (2L, 3L), }",
    };
    static const float data[6] = {1, 2, 3, 4, 5, 6};
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct catalog catalog;
        scan_npy(&catalog, 1, headers[i], data, sizeof data);
        assert_int_equal(catalog.entry[0].info.num_dims, 2);
        assert_int_equal(catalog.entry[0].info.shape[0], 2);
        assert_int_equal(catalog.entry[0].info.shape[1], 3);
        void *x;
        assert_int_equal(fixture_read(&catalog.entry[0], 1, 5, &x), QO_OK);
        assert_memory_equal(x, data + 1, 4 * sizeof *data);
        free(x);
        catalog_clear(&catalog);
    }
}

static void test_scalars_and_empty_arrays(void **state)
{
    (void)state;
    static const double one = 1.5;
    struct catalog catalog;
    scan_npy(&catalog, 1, "{'descr': '<f8', 'fortran_order': True, 'shape': (), }", &one,
             sizeof one);
    assert_int_equal(catalog.entry[0].info.n, 1);
    assert_int_equal(catalog.entry[0].info.num_dims, 0);
    void *x;
    assert_int_equal(fixture_read(&catalog.entry[0], 0, 1, &x), QO_OK);
    assert_memory_equal(x, &one, sizeof one);
    free(x);
    catalog_clear(&catalog);
    scan_npy(&catalog, 1, "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 0), }", NULL, 0);
    assert_int_equal(catalog.entry[0].info.n, 0);
    catalog_clear(&catalog);
}

static void test_headers_that_must_be_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header, *what;
    } cases[] = {
        {"", "does not begin with {"},
        {"{", "key is expected"},
        {"{}", "is missing"},
        {"{'descr': '<f4', 'fortran_order': False}", "is missing"},
        {"{'descr': '<f4' 'fortran_order': False, 'shape': (1,)}", "comma"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", "twice"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", "none of"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", "more behind"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", "neither True nor False"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': 1}", "not a tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1)}", "not a tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1 1)}", "not a tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", "not a tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (01,)}", "not a tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1.0,)}", "not a tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "negative"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,)}", "2^63"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "2^63"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,)}", "2^63"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4294967296, 4294967296)}", "2^63"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "only 4 follow the header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000,)}",
         "only 4 follow the header"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (1,)}", "'<i4' (integers)"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}", "unsigned"},
        {"{'descr': '|f4', 'fortran_order': False, 'shape': (1,)}", "'|f4'"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", "complex"},
        {"{'descr': '<f16', 'fortran_order': False, 'shape': (1,)}", "another width"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "pickled"},
        {"{'descr': '', 'fortran_order': False, 'shape': (1,)}", "unknown type"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", "structured"},
        {"{'descr': '<f\\x34', 'fortran_order': False, 'shape': (1,)}", "short text"},
        {"{'descr': '<f4, 'fortran_order': False, 'shape': (1,)}", "comma"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes file;
        make_npy(&file, 1 + (int)(i % 3), cases[i].header, "\0\0\0\0", 4);
        fixture_write(path, file.at, file.n);
        fixture_refuse(&reader_npy, path, QO_DATA, cases[i].what);
    }
}

static void test_too_many_dimensions_overrun_the_shape(void **state)
{
    (void)state;
    char header[512] = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
    for (int i = 0; i < SOURCE_MAX_DIMS; i++)
        strcat(header, "1, ");
    size_t n = strlen(header);
    strcat(header, ")}");
    struct catalog catalog;
    scan_npy(&catalog, 1, header, "\0\0\0\0", 4);
    assert_int_equal(catalog.entry[0].info.num_dims, SOURCE_MAX_DIMS);
    catalog_clear(&catalog);
    strcpy(header + n, "1)}");
    struct bytes file;
    make_npy(&file, 1, header, "\0\0\0\0", 4);
    fixture_write(path, file.at, file.n);
    fixture_refuse(&reader_npy, path, QO_DATA, "32 dimensions");
}

static void test_lengths_and_versions_that_lie(void **state)
{
    (void)state;
    /* Twelve bytes that ask for 4 GiB of header. */
    static const unsigned char huge[] = {0x93, 'N', 'U',  'M',  'P',  'Y',
                                         2,    0,   0xff, 0xff, 0xff, 0xff};
    fixture_write(path, huge, sizeof huge);
    fixture_refuse(&reader_npy, path, QO_DATA, "claims 4294967295 bytes, more than");
    static const unsigned char longer[] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 3, 0, '{', '}'};
    fixture_write(path, longer, sizeof longer);
    fixture_refuse(&reader_npy, path, QO_DATA, "but the file has 12");
    for (int major = 0; major < 256; major += 4) {
        unsigned char other[] = {0x93, 'N', 'U', 'M', 'P', 'Y', (unsigned char)major,
                                 0,    0,   0,   0,   0};
        fixture_write(path, other, sizeof other);
        fixture_refuse(&reader_npy, path, QO_DATA, "is not known");
    }
    assert_int_equal(unlink(path), 0);
    fixture_refuse(&reader_npy, path, QO_NO_INPUT, "No such file");
}

static void test_a_damaged_file_crashes(void **state)
{
    (void)state;
    static const float data[6] = {1, 2, 3, 4, 5, 6};
    struct bytes file;
    for (int major = 1; major <= 3; major++) {
        make_npy(&file, major, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", data,
                 sizeof data);
        fixture_damage(&reader_npy, path, &file, file.n - sizeof data);
    }
}

static void test_a_longer_file_is_refused(void **state)
{
    (void)state;
    struct bytes file;
    make_npy(&file, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", "\0\0\0\0more",
             8);
    fixture_write(path, file.at, file.n);
    assert_int_equal(fixture_try(&reader_npy, path), QO_OK);
}

static void test_a_file_that_shrinks_after_the_scan(void **state)
{
    (void)state;
    static const double data[8] = {0};
    static const char *const orders[] = {"False", "True"};
    for (int i = 0; i < 2; i++) {
        struct catalog catalog;
        char header[128];
        snprintf(header, sizeof header, "{'descr': '<f8', 'fortran_order': %s, 'shape': (2, 4), }",
                 orders[i]);
        scan_npy(&catalog, 1, header, data, sizeof data);
        assert_int_equal(truncate(path, catalog.entry[0].offset + 20), 0);
        void *x;
        assert_int_equal(fixture_read(&catalog.entry[0], 0, 8, &x), QO_DATA);
        assert_non_null(strstr(status_text(), "it is cut"));
        free(x);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(fixture_read(&catalog.entry[0], 0, 8, &x), QO_NO_INPUT);
        free(x);
        catalog_clear(&catalog);
    }
}

static void test_a_failing_call_goes_unnoticed(void **state)
{
    (void)state;
    static const float data[4] = {1, 2, 3, 4};
    struct bytes file;
    make_npy(&file, 1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }", data,
             sizeof data);
    fixture_write(path, file.at, file.n);
    /* Open and read for the scan, memory for header, list and texts, open, two windows and a read.
     */
    assert_in_range(fixture_walk_faults(&reader_npy, path), 9, 20);
}

/* The element at a place of an array in Fortran order is its index there, so that each is known. */
static void write_fortran(struct entry *entry, const int64_t *shape, int num_dims,
                          enum element_type type)
{
    *entry = (struct entry){.reader = &reader_npy, .file = (char *)path, .is_fortran = true};
    entry->info.type = type;
    entry->info.num_dims = num_dims;
    memcpy(entry->info.shape, shape, (size_t)num_dims * sizeof *shape);
    assert_true(shape_product(shape, num_dims, 8, &entry->info.n));
    entry->info.origin = (char *)path;
    entry->offset = 3;
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite("abc", 1, 3, file);
    for (int64_t i = 0; i < entry->info.n; i++) {
        uint64_t bits = (uint64_t)i; /* as bits, so that every index can be told from the others */
        fwrite(&bits, element_size(type), 1, file);
    }
    assert_int_equal(fclose(file), 0);
}

/* Where element c, counted in C order, lies in Fortran order. */
static int64_t fortran_place(const struct vector_info *info, int64_t c)
{
    int64_t index[SOURCE_MAX_DIMS], place = 0;
    for (int k = info->num_dims - 1; k >= 0; k--) {
        index[k] = c % info->shape[k];
        c /= info->shape[k];
    }
    for (int k = info->num_dims - 1; k >= 0; k--)
        place = place * info->shape[k] + index[k];
    return place;
}

static void check_fortran(const struct entry *entry, int64_t begin, int64_t end)
{
    void *x;
    uint64_t mask = element_sign(entry->info.type) * 2 - 1;
    assert_int_equal(fixture_read(entry, begin, end, &x), QO_OK);
    for (int64_t c = begin; c < end; c++) {
        uint64_t want = (uint64_t)fortran_place(&entry->info, c) & mask;
        if (element_bits(entry->info.type, x, c - begin) != want)
            fail_msg("element %lld of [%lld, %lld) is wrong", (long long)c, (long long)begin,
                     (long long)end);
    }
    free(x);
}

static void test_fortran_order_mixed_up(void **state)
{
    (void)state;
    static const struct {
        int num_dims;
        int64_t shape[5];
    } cases[] = {{2, {1, 7}},    {2, {7, 1}},    {2, {5, 6}},
                 {3, {3, 4, 5}}, {3, {1, 1, 4}}, {5, {2, 3, 1, 3, 2}}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int type = 0; type < ELEMENT_NUM_TYPES; type++) {
            struct entry entry;
            write_fortran(&entry, cases[i].shape, cases[i].num_dims, (enum element_type)type);
            for (int64_t begin = 0; begin < entry.info.n; begin++)
                for (int64_t end = begin + 1; end <= entry.info.n; end++)
                    check_fortran(&entry, begin, end);
        }
    }
}

static void test_fortran_order_in_the_other_byte_order(void **state)
{
    (void)state;
    /* [[1, 2], [3, 4]] as 1, 3, 2, 4. */
    static const unsigned char data[] = {0x3c, 0x00, 0x42, 0x00, 0x40, 0x00, 0x44, 0x00};
    static const uint16_t want[] = {0x3c00, 0x4000, 0x4200, 0x4400};
    struct catalog catalog;
    scan_npy(&catalog, 1, "{'descr': '>f2', 'fortran_order': True, 'shape': (2, 2), }", data,
             sizeof data);
    void *x;
    assert_int_equal(fixture_read(&catalog.entry[0], 0, 4, &x), QO_OK);
    assert_memory_equal(x, want, sizeof want);
    free(x);
    catalog_clear(&catalog);
}

static void test_shapes_whose_product_is_wrong(void **state)
{
    (void)state;
    static const int64_t huge[] = {0, (int64_t)1 << 31, (int64_t)1 << 30};
    int64_t n = 0;
    assert_true(shape_product((int64_t[]){2, 3}, 2, 8, &n) && n == 6);
    assert_true(shape_product(NULL, 0, 8, &n) && n == 1);
    assert_true(shape_product(huge, 3, 2, &n) && n == 0);
    assert_false(shape_product(huge, 3, 4, &n));
    assert_false(shape_product((int64_t[]){-2, -3}, 2, 8, &n));
}

static void test_fortran_order_across_windows(void **state)
{
    (void)state;
    /* Many columns a window; a column longer than a window; far columns; more lines than one list
     * holds. */
    static const int64_t shapes[][3] = {
        {700, 1500, 1}, {1100000, 2, 1}, {40000, 13, 3}, {3, 90000, 2}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct entry entry;
        write_fortran(&entry, shapes[i], 3, ELEMENT_F32);
        int64_t n = entry.info.n;
        check_fortran(&entry, 0, n);
        check_fortran(&entry, n / 3, n / 3 + 1000);
        check_fortran(&entry, n - n / 7, n - 1);
    }
}

static int set_up(void **state)
{
    (void)state;
    path = fixture_path(".npy");
    log_setup(false, LOG_QUIET);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_type_or_byte_order_misread),
        cmocka_unit_test(test_headers_that_other_writers_make),
        cmocka_unit_test(test_scalars_and_empty_arrays),
        cmocka_unit_test(test_headers_that_must_be_refused),
        cmocka_unit_test(test_too_many_dimensions_overrun_the_shape),
        cmocka_unit_test(test_lengths_and_versions_that_lie),
        cmocka_unit_test(test_a_damaged_file_crashes),
        cmocka_unit_test(test_a_longer_file_is_refused),
        cmocka_unit_test(test_a_file_that_shrinks_after_the_scan),
        cmocka_unit_test(test_a_failing_call_goes_unnoticed),
        cmocka_unit_test(test_fortran_order_mixed_up),
        cmocka_unit_test(test_fortran_order_in_the_other_byte_order),
        cmocka_unit_test(test_shapes_whose_product_is_wrong),
        cmocka_unit_test(test_fortran_order_across_windows),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
