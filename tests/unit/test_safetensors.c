/* SPDX-License-Identifier: Apache-2.0 */
#include "reader_fixture.h"

static const char *path;

/* A file with this header, without padding, and n bytes of data: 0, 1, 2, ... */
static void make_safetensors(struct bytes *file, const char *header, size_t n)
{
    uint64_t length = strlen(header);
    unsigned char front[8];
    for (int i = 0; i < 8; i++)
        front[i] = (unsigned char)(length >> (8 * i));
    file->n = 0;
    bytes_add(file, front, sizeof front);
    bytes_add(file, header, strlen(header));
    for (size_t i = 0; i < n; i++)
        bytes_add(file, &(unsigned char){(unsigned char)i}, 1);
}

static void write_safetensors(const char *header, size_t n)
{
    struct bytes file;
    make_safetensors(&file, header, n);
    fixture_write(path, file.at, file.n);
}

/* Two tensors out of order in the header, one of them behind an odd number of bytes, one that is
 * skipped. */
static const char mixed[] =
    "{\"__metadata__\":{\"format\":\"pt\"},"
    "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[3,11]},"
    "\"count\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
    "\"w/a\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[11,15]},"
    "\"none\":{\"dtype\":\"F64\",\"shape\":[0,4],\"data_offsets\":[11,11]},"
    "\"half\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[15,17]}}  ";

static void test_tensors_found_in_the_wrong_place(void **state)
{
    (void)state;
    write_safetensors(mixed, 17);
    struct catalog catalog = {0};
    assert_int_equal(reader_safetensors.scan(&fixture_plain, path, NULL, &catalog), QO_OK);
    static const struct {
        const char *name;
        enum element_type type;
        int num_dims;
        int64_t n;
        unsigned char first; /* byte of the data */
    } want[] = {{"b", ELEMENT_F32, 1, 2, 3},
                {"none", ELEMENT_F64, 2, 0, 11},
                {"w/a", ELEMENT_F16, 2, 2, 11},
                {"half", ELEMENT_BF16, 0, 1, 15}};
    assert_int_equal(catalog.num_entries, 4);
    for (int i = 0; i < 4; i++) {
        const struct entry *entry = &catalog.entry[i];
        assert_string_equal(entry->info.name, want[i].name);
        assert_int_equal(entry->info.type, want[i].type);
        assert_int_equal(entry->info.num_dims, want[i].num_dims);
        assert_int_equal(entry->info.n, want[i].n);
        void *x;
        assert_int_equal(fixture_read(entry, 0, want[i].n, &x), QO_OK);
        for (size_t k = 0; k < (size_t)want[i].n * element_size(want[i].type); k++)
            assert_int_equal(((unsigned char *)x)[k], want[i].first + k);
        free(x);
    }
    catalog_clear(&catalog);
}

static void test_one_tensor_by_its_name(void **state)
{
    (void)state;
    write_safetensors(mixed, 17);
    struct catalog catalog = {0};
    assert_int_equal(reader_safetensors.scan(&fixture_plain, path, "w/a", &catalog), QO_OK);
    assert_int_equal(catalog.num_entries, 1);
    assert_string_equal(catalog.entry[0].info.name, "w/a");
    assert_string_equal(strrchr(catalog.entry[0].info.origin, ':'), ":w/a");
    assert_int_equal(reader_safetensors.scan(&fixture_plain, path, "count", &catalog), QO_DATA);
    assert_non_null(strstr(status_text(), "is U8"));
    assert_int_equal(reader_safetensors.scan(&fixture_plain, path, "c", &catalog), QO_NO_INPUT);
    assert_non_null(strstr(status_text(), "no such tensor"));
    assert_int_equal(catalog.num_entries, 1);
    catalog_clear(&catalog);
}

#define TENSOR(dtype, shape, offsets)                                                              \
    "{\"t\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void test_headers_that_must_be_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t n;
        const char *what;
    } cases[] = {
        {"", 0, "not a JSON object"},
        {"[]", 0, "not a JSON object"},
        {" {}", 0, "not a JSON object"},
        {"{}\n", 0, "not a JSON object"},
        {"{}", 0, "nothing to quantize"},
        {"{}{}", 0, "not valid JSON"},
        {"{\"\xff\":1}", 0, "not valid JSON"},
        {"{\"t\":1,\"t\":2}", 0, "not valid JSON"},
        {"{\"t\":}", 0, "not valid JSON"},
        {"{\"t\":1}", 0, "not exactly"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "not exactly"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4,
         "not exactly"},
        {"{\"__metadata__\":3}", 0, "not an object"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "else than texts"},
        {TENSOR("\"F128\"", "[1]", "[0,16]"), 16, "dtype is not known"},
        {TENSOR("32", "[1]", "[0,4]"), 4, "dtype is not known"},
        {TENSOR("\"F32\"", "4", "[0,4]"), 4, "not a list"},
        {TENSOR("\"F32\"", "[1.0]", "[0,4]"), 4, "list of lengths"},
        {TENSOR("\"F32\"", "[-1]", "[0,4]"), 4, "list of lengths"},
        {TENSOR("\"F32\"", "[99999999999999999999]", "[0,4]"), 4, "not valid JSON"},
        {TENSOR("\"F32\"", "[4294967296,4294967296]", "[0,0]"), 0, "passes 2^63"},
        {TENSOR("\"F32\"", "[0,4294967296,4294967296]", "[0,0]"), 0, "passes 2^63"},
        {TENSOR("\"F32\"", "[288230376151711744]", "[0,0]"), 0, "passes 2^63 bits"},
        {TENSOR("\"F32\"", "[1]", "[0]"), 4, "two byte positions"},
        {TENSOR("\"F32\"", "[1]", "[0,4,8]"), 4, "two byte positions"},
        {TENSOR("\"F32\"", "[1]", "[-4,0]"), 4, "two byte positions"},
        {TENSOR("\"F32\"", "[1]", "{\"a\":0}"), 4, "two byte positions"},
        {TENSOR("\"F32\"", "[1]", "[4,0]"), 4, "end before they begin"},
        {TENSOR("\"F32\"", "[1]", "[0,5]"), 4, "pass the end"},
        {TENSOR("\"F32\"", "[1]", "[9223372036854775800,9223372036854775804]"), 4, "pass the end"},
        {TENSOR("\"F32\"", "[2]", "[0,4]"), 4, "do not fit"},
        {TENSOR("\"F32\"", "[0]", "[0,4]"), 4, "do not fit"},
        {TENSOR("\"F4\"", "[3]", "[0,1]"), 1, "do not fit"},
        {TENSOR("\"F32\"", "[1]", "[0,4]"), 5, "belong to none"},
        {TENSOR("\"F32\"", "[1]", "[4,8]"), 8, "leaves a hole"},
        {"{\"s\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         8, "overlaps"},
        {TENSOR("\"I64\"", "[1]", "[0,8]"), 8, "nothing to quantize"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_safetensors(cases[i].header, cases[i].n);
        fixture_refuse(&reader_safetensors, path, QO_DATA, cases[i].what);
    }
}

static void test_names_and_nesting_without_bounds(void **state)
{
    (void)state;
    struct bytes file;
    char header[8192];
    char name[1026];
    memset(name, 'n', sizeof name);
    name[1025] = '\0';
    snprintf(header, sizeof header,
             "{\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", name);
    write_safetensors(header, 4);
    fixture_refuse(&reader_safetensors, path, QO_DATA, "longer than 1024");
    /* Deep nesting would exhaust the stack of a careless parser. */
    make_safetensors(&file, "{\"a\":", 0);
    for (int i = 0; i < 8000; i++)
        bytes_add(&file, "[", 1);
    bytes_add(&file, "}", 1);
    file.at[0] = (unsigned char)((file.n - 8) & 0xff);
    file.at[1] = (unsigned char)((file.n - 8) >> 8);
    fixture_write(path, file.at, file.n);
    fixture_refuse(&reader_safetensors, path, QO_DATA, "not valid JSON");
    /* More than 32 dimensions. */
    char shape[128] = "[1";
    for (int i = 0; i < SOURCE_MAX_DIMS; i++)
        strcat(shape, ",1");
    snprintf(header, sizeof header,
             "{\"t\":{\"dtype\":\"F32\",\"shape\":%s],\"data_offsets\":[0,4]}}", shape);
    write_safetensors(header, 4);
    fixture_refuse(&reader_safetensors, path, QO_DATA, "32 dimensions");
}

static void test_lengths_that_wrap(void **state)
{
    (void)state;
    static const unsigned char lengths[][8] = {
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
        {0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
        {0, 0, 0, 0, 0, 0, 0, 0x80},
        {1, 0xe1, 0xf5, 0x05, 0, 0, 0, 0}, /* 100,000,001 */
    };
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        fixture_write(path, lengths[i], 8);
        fixture_refuse(&reader_safetensors, path, QO_DATA, "the format allows");
    }
    fixture_write(path, "\x03\0\0\0\0\0\0\0{}", 10);
    fixture_refuse(&reader_safetensors, path, QO_DATA, "but 2 follow");
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\n";
    fixture_write(path, pointer, strlen(pointer));
    fixture_refuse(&reader_safetensors, path, QO_DATA, "git lfs pull");
}

static void test_a_null_metadata_is_refused(void **state)
{
    (void)state;
    write_safetensors(
        "{\"__metadata__\":null,\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
        4);
    assert_int_equal(fixture_try(&reader_safetensors, path), QO_OK);
}

static void test_a_damaged_file_crashes(void **state)
{
    (void)state;
    struct bytes file;
    make_safetensors(&file, mixed, 17);
    fixture_damage(&reader_safetensors, path, &file, file.n - 17);
}

static void test_a_file_that_shrinks_after_the_scan(void **state)
{
    (void)state;
    write_safetensors(mixed, 17);
    struct catalog catalog = {0};
    assert_int_equal(reader_safetensors.scan(&fixture_plain, path, "half", &catalog), QO_OK);
    assert_int_equal(truncate(path, catalog.entry[0].offset + 1), 0);
    void *x;
    assert_int_equal(fixture_read(&catalog.entry[0], 0, 1, &x), QO_DATA);
    assert_non_null(strstr(status_text(), ":half"));
    free(x);
    catalog_clear(&catalog);
}

static void test_a_failing_call_goes_unnoticed(void **state)
{
    (void)state;
    write_safetensors(mixed, 17);
    /* Open, two reads and two allocations for the scan; four vectors with a list, texts, an open
     * and a read. */
    assert_in_range(fixture_walk_faults(&reader_safetensors, path), 20, 60);
}

static void test_the_suffix_decides(void **state)
{
    (void)state;
    struct file_head head = {.fd = -1, .size = 8, .num_bytes = 8};
    static const struct {
        const char *path;
        bool is_one;
    } cases[] = {{"a.safetensors", true},
                 {"dir/A.SafeTensors", true},
                 {"a.safetensors.index.json", false},
                 {"tensors", false},
                 {"", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        head.path = cases[i].path;
        assert_int_equal(reader_safetensors.recognises(&head), cases[i].is_one);
    }
}

static int set_up(void **state)
{
    (void)state;
    path = fixture_path(".safetensors");
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
        cmocka_unit_test(test_tensors_found_in_the_wrong_place),
        cmocka_unit_test(test_one_tensor_by_its_name),
        cmocka_unit_test(test_headers_that_must_be_refused),
        cmocka_unit_test(test_names_and_nesting_without_bounds),
        cmocka_unit_test(test_lengths_that_wrap),
        cmocka_unit_test(test_a_null_metadata_is_refused),
        cmocka_unit_test(test_a_damaged_file_crashes),
        cmocka_unit_test(test_a_file_that_shrinks_after_the_scan),
        cmocka_unit_test(test_a_failing_call_goes_unnoticed),
        cmocka_unit_test(test_the_suffix_decides),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
