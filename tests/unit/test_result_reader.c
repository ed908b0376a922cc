/* SPDX-License-Identifier: Apache-2.0 */
#include "h5_make.h"

#include "comm.h"
#include "fault.h"
#include "log.h"
#include "result_reader.h"

/* Result files are made here call by call, as the layout says, and then spoiled in one place. */

static struct comm comm;

#define NUM_ELEMENTS 12 /* 3 x 4 */
#define NUM_OUTLIERS 5

static const double good_levels[6] = {-2.5, -1, 0, 0.25, 1, 7};
static const uint64_t good_index[NUM_OUTLIERS] = {0, 3, 4, 9, 11};
static const double good_value[NUM_OUTLIERS] = {100, -200, 300, -400, 500};
static const uint8_t good_codes[5] = {0x1b, 0x2c, 0x3d, 0x4e, 0x05}; /* 36 bits */

/* What a file holds; a test changes one thing of it. */
struct recipe {
    const char *format, *dtype;
    int64_t version, num_elements, bits, shape[3];
    int num_dims;
    hsize_t num_levels, num_codes, num_index, num_value;
    double level[300];
    uint64_t index[NUM_OUTLIERS];
    uint8_t first_code;
    bool is_big;      /* outlier values in the other byte order */
    bool wrong_codes; /* not uint8 */
    /* Integers with a sign, where the layout has none. */
    bool signed_codes, signed_index, signed_value;
};

static struct recipe good_recipe(void)
{
    struct recipe recipe = {.format = "quantopt",
                            .dtype = "float64",
                            .version = 1,
                            .num_elements = NUM_ELEMENTS,
                            .bits = 3,
                            .shape = {3, 4},
                            .num_dims = 2,
                            .num_levels = 6,
                            .num_codes = 5,
                            .num_index = NUM_OUTLIERS,
                            .num_value = NUM_OUTLIERS,
                            .first_code = good_codes[0]};
    memcpy(recipe.level, good_levels, sizeof good_levels);
    memcpy(recipe.index, good_index, sizeof good_index);
    return recipe;
}

static hid_t begin_file(const struct recipe *recipe)
{
    hid_t file = h5_create("r.h5");
    h5_attribute_text(file, ".", "format", recipe->format);
    h5_attribute(file, ".", "format_version", H5T_NATIVE_INT64, -1, &recipe->version);
    H5Gclose(h5_group(file, "/vectors"));
    return file;
}

/* The outlier values as the vector's type holds them; for float64, bytes turned if it says so. */
static void add_values(hid_t result, const struct recipe *recipe)
{
    enum element_type type = ELEMENT_F64;
    char bytes[8 * NUM_OUTLIERS];
    assert_true(element_find(recipe->dtype, &type));
    size_t size = element_size(type);
    for (int i = 0; i < NUM_OUTLIERS; i++) {
        uint64_t bits = element_from_double(type, good_value[i]);
        for (size_t b = 0; b < size; b++)
            bytes[(size_t)i * size + b] = (char)(bits >> 8 * (recipe->is_big ? size - 1 - b : b));
    }
    hid_t word = recipe->signed_value ? H5T_STD_I16LE : H5T_STD_U16LE;
    hid_t stored = type == ELEMENT_BF16 ? H5Tcopy(word) : h5_float(type, recipe->is_big);
    h5_dataset(result, "outlier_value", stored, 1, &recipe->num_value, H5P_DEFAULT, bytes);
}

static void add_result(hid_t vector, const char *name, const struct recipe *recipe)
{
    uint8_t codes[64] = {0};
    hid_t result = h5_group(vector, name);
    memcpy(codes, good_codes, sizeof good_codes);
    codes[0] = recipe->first_code;
    h5_attribute(result, ".", "num_bits", H5T_NATIVE_INT64, -1, &recipe->bits);
    h5_dataset(result, "levels", H5Tcopy(H5T_IEEE_F64LE), 1, &recipe->num_levels, H5P_DEFAULT,
               recipe->level);
    hid_t code = recipe->wrong_codes    ? H5T_STD_U16LE
                 : recipe->signed_codes ? H5T_STD_I8LE
                                        : H5T_STD_U8LE;
    hid_t index = recipe->signed_index ? H5T_STD_I64LE : H5T_STD_U64LE;
    h5_dataset(result, "codes", H5Tcopy(code), 1, &recipe->num_codes, H5P_DEFAULT, codes);
    h5_dataset(result, "outlier_index", H5Tcopy(index), 1, &recipe->num_index, H5P_DEFAULT,
               recipe->index);
    add_values(result, recipe);
    H5Gclose(result);
}

/* A vector's group with its attributes; name may have several parts. */
static hid_t add_vector(hid_t file, const char *name, const struct recipe *recipe)
{
    char path[64];
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(links, 1);
    snprintf(path, sizeof path, "/vectors/%s", name);
    hid_t vector = H5Gcreate2(file, path, links, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(vector >= 0);
    H5Pclose(links);
    h5_attribute_text(vector, ".", "dtype", recipe->dtype);
    h5_attribute(vector, ".", "shape", H5T_NATIVE_INT64, recipe->num_dims, recipe->shape);
    h5_attribute(vector, ".", "num_elements", H5T_NATIVE_INT64, -1, &recipe->num_elements);
    H5Gclose(h5_group(vector, "histogram"));
    return vector;
}

static void make_file(const struct recipe *recipe)
{
    hid_t file = begin_file(recipe), vector = add_vector(file, "x", recipe);
    add_result(vector, "easyquant_3bit", recipe);
    H5Gclose(vector);
    H5Fclose(file);
}

static enum status open_file(const char *select, const char *result, struct result_reader **reader)
{
    status_clear();
    return result_reader_open(&comm, "r.h5", select, result, reader);
}

static void expect_refusal(const struct recipe *recipe, const char *part)
{
    struct result_reader *reader;
    make_file(recipe);
    assert_int_equal(open_file(NULL, NULL, &reader), QO_DATA);
    assert_says(part);
    assert_memory_equal(status_text(), "r.h5", 4);
    assert_null(reader);
    result_reader_close(NULL);
}

static void expect_values(struct result_reader *reader, enum element_type type)
{
    uint64_t index[NUM_OUTLIERS];
    char value[8 * NUM_OUTLIERS];
    assert_int_equal(result_reader_outliers(reader, 0, 0, NUM_OUTLIERS, index, value), QO_OK);
    assert_memory_equal(index, good_index, sizeof good_index);
    for (int i = 0; i < NUM_OUTLIERS; i++)
        assert_true(element_bits(type, value, i) == element_from_double(type, good_value[i]));
}

static void test_something_else_read_than_what_is_stored(void **state)
{
    (void)state;
    struct result_reader *reader;
    struct recipe recipe = good_recipe();
    uint8_t codes[5];
    make_file(&recipe);
    assert_int_equal(open_file(NULL, NULL, &reader), QO_OK);
    assert_int_equal(result_reader_count(reader), 1);
    const struct stored_result *result = result_reader_result(reader, 0);
    assert_string_equal(result->vector.name, "x");
    assert_string_equal(result->result, "easyquant_3bit");
    assert_true(result->vector.type == ELEMENT_F64 && result->vector.n == NUM_ELEMENTS);
    assert_true(result->vector.num_dims == 2 && result->vector.num_fills == 0);
    assert_true(result->vector.shape[0] == 3 && result->vector.shape[1] == 4);
    assert_true(result->bits == 3 && result->k == 6 && result->num_outliers == NUM_OUTLIERS);
    assert_memory_equal(result->level, good_levels, sizeof good_levels);
    for (int first = 0; first <= 5; first++)
        for (int n = 0; n <= 5 - first; n++) {
            assert_int_equal(result_reader_codes(reader, 0, first, n, codes), QO_OK);
            assert_memory_equal(codes, good_codes + first, (size_t)n);
        }
    expect_values(reader, ELEMENT_F64);
    result_reader_close(reader);
}

static void test_outliers_of_a_shard_missed_or_taken_twice(void **state)
{
    (void)state;
    struct result_reader *reader;
    struct recipe recipe = good_recipe();
    uint64_t index[NUM_OUTLIERS];
    double value[NUM_OUTLIERS];
    make_file(&recipe);
    assert_int_equal(open_file(NULL, NULL, &reader), QO_OK);
    for (int64_t element = 0; element <= NUM_ELEMENTS; element++) {
        int64_t first, below = 0;
        for (int i = 0; i < NUM_OUTLIERS; i++)
            below += (int64_t)good_index[i] < element;
        assert_int_equal(result_reader_find_outlier(reader, 0, element, &first), QO_OK);
        assert_int_equal(first, below);
        int64_t rest = NUM_OUTLIERS - first;
        assert_int_equal(result_reader_outliers(reader, 0, first, rest, index, value), QO_OK);
        assert_memory_equal(index, good_index + first, (size_t)rest * 8);
        assert_memory_equal(value, good_value + first, (size_t)rest * 8);
    }
    result_reader_close(reader);
}

static void test_outlier_values_of_another_type_or_byte_order(void **state)
{
    (void)state;
    for (enum element_type type = 0; type < ELEMENT_NUM_TYPES; type++)
        for (int big = 0; big < (type == ELEMENT_BF16 ? 1 : 2); big++) {
            struct result_reader *reader;
            struct recipe recipe = good_recipe();
            recipe.dtype = element_name(type);
            recipe.is_big = big;
            make_file(&recipe);
            assert_int_equal(open_file(NULL, NULL, &reader), QO_OK);
            assert_true(result_reader_result(reader, 0)->vector.type == type);
            expect_values(reader, type);
            result_reader_close(reader);
        }
}

static void test_a_scalar_or_a_vector_without_outliers(void **state)
{
    (void)state;
    struct result_reader *reader;
    struct recipe recipe = good_recipe();
    int64_t first;
    recipe.num_dims = 0;
    recipe.num_elements = 1;
    recipe.num_codes = 1;
    recipe.num_index = recipe.num_value = 0;
    make_file(&recipe);
    assert_int_equal(open_file(NULL, NULL, &reader), QO_OK);
    const struct stored_result *result = result_reader_result(reader, 0);
    assert_true(result->vector.num_dims == 0 && result->vector.n == 1 && result->num_outliers == 0);
    assert_int_equal(result_reader_find_outlier(reader, 0, 1, &first), QO_OK);
    assert_int_equal(first, 0);
    assert_int_equal(result_reader_outliers(reader, 0, 0, 0, NULL, NULL), QO_OK);
    result_reader_close(reader);
}

/* Vectors a, b/c and b/d; a and b/c with two results. */
static void make_several(void)
{
    struct recipe recipe = good_recipe();
    static const char *const names[3] = {"a", "b/c", "b/d"};
    hid_t file = begin_file(&recipe);
    for (int i = 0; i < 3; i++) {
        hid_t vector = add_vector(file, names[i], &recipe);
        recipe.first_code = (uint8_t)(100 + i);
        recipe.level[0] = -10 - i;
        add_result(vector, "uniform_3bit", &recipe);
        recipe.level[0] = -20 - i;
        if (i < 2)
            add_result(vector, "easyquant_3bit", &recipe);
        H5Gclose(vector);
    }
    H5Fclose(file);
}

static void test_the_wrong_result_restored(void **state)
{
    (void)state;
    struct result_reader *reader;
    make_several();
    assert_int_equal(open_file(NULL, "uniform_3bit", &reader), QO_OK);
    assert_int_equal(result_reader_count(reader), 3);
    for (int i = 0; i < 3; i++)
        assert_true(result_reader_result(reader, i)->level[0] == -10 - i);
    assert_string_equal(result_reader_result(reader, 1)->vector.name, "b/c");
    uint8_t codes[5];
    for (int i = 0; i < 6; i++) {
        assert_int_equal(result_reader_codes(reader, i % 3, 0, 5, codes), QO_OK);
        assert_int_equal(codes[0], 100 + i % 3);
        assert_memory_equal(codes + 1, good_codes + 1, 4);
    }
    result_reader_close(reader);

    assert_int_equal(open_file("b/d", NULL, &reader), QO_OK);
    assert_int_equal(result_reader_count(reader), 1);
    assert_true(result_reader_result(reader, 0)->level[0] == -12);
    result_reader_close(reader);

    assert_int_equal(open_file("*c", "easyquant_3bit", &reader), QO_OK);
    assert_true(result_reader_result(reader, 0)->level[0] == -21);
    result_reader_close(reader);
}

static void test_a_choice_made_for_the_user(void **state)
{
    (void)state;
    struct result_reader *reader;
    make_several();
    assert_int_equal(open_file(NULL, NULL, &reader), QO_USAGE);
    assert_says(
        "r.h5:/vectors/a: 2 results, easyquant_3bit, uniform_3bit; choose one with --result");
    assert_int_equal(open_file("q*", NULL, &reader), QO_USAGE);
    assert_says("r.h5: no vector matches q*; it has a, b/c, b/d");
    assert_int_equal(open_file(NULL, "easyquant_3bit", &reader), QO_USAGE);
    assert_says("r.h5:/vectors/b/d: no result easyquant_3bit; it has uniform_3bit");
    assert_null(reader);
}

static void test_a_file_that_is_not_ours(void **state)
{
    (void)state;
    struct result_reader *reader;
    struct recipe recipe = good_recipe();
    assert_int_equal(result_reader_open(&comm, "none.h5", NULL, NULL, &reader), QO_NO_INPUT);
    assert_says("none.h5: cannot be opened");
    h5_spill("r.h5", "plain text", 10);
    assert_int_equal(open_file(NULL, NULL, &reader), QO_DATA);
    hid_t file = h5_create("r.h5");
    h5_counting(file, "/x", 3);
    H5Fclose(file);
    assert_int_equal(open_file(NULL, NULL, &reader), QO_DATA);
    assert_says("r.h5: not a quantopt result file");
    recipe.format = "quantopus";
    expect_refusal(&recipe, "its format is \"quantopus\"");
    recipe = good_recipe();
    recipe.version = 2;
    expect_refusal(&recipe, "format_version is 2");
    H5Fclose(begin_file(&(struct recipe){.format = "quantopt", .version = 1}));
    assert_int_equal(open_file(NULL, NULL, &reader), QO_DATA);
    assert_says("r.h5: no vector in it");
}

static void test_attributes_of_a_vector_believed(void **state)
{
    (void)state;
    struct recipe recipe = good_recipe();
    recipe.num_elements = 13;
    expect_refusal(&recipe, "r.h5:/vectors/x: num_elements is 13");
    recipe = good_recipe();
    recipe.shape[1] = recipe.num_elements = 0;
    expect_refusal(&recipe, "num_elements is 0");
    recipe = good_recipe();
    recipe.shape[0] = recipe.shape[1] = -3;
    recipe.num_elements = 9;
    expect_refusal(&recipe, "num_elements is 9");
    recipe = good_recipe();
    recipe.shape[0] = recipe.shape[1] = (int64_t)1 << 32;
    expect_refusal(&recipe, "num_elements");
    recipe = good_recipe();
    recipe.shape[0] = recipe.num_elements = (int64_t)1 << 61; /* times 8 bits it would overflow */
    recipe.num_dims = 1;
    expect_refusal(&recipe, "num_elements");
}

static void test_sizes_of_a_result_believed(void **state)
{
    (void)state;
    struct recipe recipe = good_recipe();
    recipe.bits = 9;
    expect_refusal(&recipe, "r.h5:/vectors/x/easyquant_3bit: num_bits is 9");
    recipe.bits = 0;
    expect_refusal(&recipe, "num_bits is 0");
    recipe.bits = 4; /* 6 bytes of codes then */
    expect_refusal(&recipe, "codes are not uint8[6] but have 5 elements");
    recipe = good_recipe();
    recipe.num_codes = 6;
    expect_refusal(&recipe, "codes are not uint8[5] but have 6 elements");
    recipe = good_recipe();
    recipe.wrong_codes = true;
    expect_refusal(&recipe, "codes are not uint8");
    recipe = good_recipe();
    recipe.num_value = 4;
    expect_refusal(&recipe, "5 outlier indices, 4 values");
    recipe = good_recipe();
    recipe.num_elements = recipe.shape[0] = 4;
    recipe.num_dims = 1;
    recipe.num_codes = 2;
    expect_refusal(&recipe, "5 outlier indices, 5 values and 4 elements");
}

static void test_a_sign_that_bends_large_codes_indices_or_values(void **state)
{
    (void)state;
    struct recipe recipe = good_recipe();
    recipe.signed_codes = true;
    expect_refusal(&recipe, "r.h5:/vectors/x/easyquant_3bit: codes are not uint8");
    recipe = good_recipe();
    recipe.signed_index = true;
    expect_refusal(&recipe, "r.h5:/vectors/x/easyquant_3bit: outlier_index is not uint64");
    recipe = good_recipe();
    recipe.dtype = "bfloat16";
    recipe.signed_value = true;
    expect_refusal(&recipe, "outlier_value is not uint16, the bit patterns of bfloat16");
}

static void test_levels_that_are_none(void **state)
{
    (void)state;
    struct recipe recipe = good_recipe();
    recipe.num_levels = 9;
    for (int i = 0; i < 9; i++)
        recipe.level[i] = i;
    expect_refusal(&recipe, "9 levels do not fit 3 bits");
    recipe.num_levels = 0;
    expect_refusal(&recipe, "0 levels");
    recipe = good_recipe();
    recipe.level[3] = recipe.level[2];
    expect_refusal(&recipe, "levels[3] is 0;");
    recipe = good_recipe();
    recipe.level[5] = 1.0 / 0.0;
    expect_refusal(&recipe, "levels[5] is inf");
    recipe = good_recipe();
    recipe.level[0] = 0.0 / 0.0;
    expect_refusal(&recipe, "levels[0] is");
}

/* Outliers [first, first + n) are refused, at the element named. */
static void expect_bad_outlier(const struct recipe *recipe, int64_t first, int64_t n,
                               const char *part)
{
    struct result_reader *reader;
    uint64_t index[NUM_OUTLIERS];
    double value[NUM_OUTLIERS];
    make_file(recipe);
    assert_int_equal(open_file(NULL, NULL, &reader), QO_OK);
    assert_int_equal(result_reader_outliers(reader, 0, first, n, index, value), QO_DATA);
    assert_says(part);
    result_reader_close(reader);
}

static void test_outliers_that_lead_outside_the_vector(void **state)
{
    (void)state;
    struct recipe recipe = good_recipe();
    recipe.index[4] = NUM_ELEMENTS;
    expect_bad_outlier(&recipe, 0, 5, "outlier_index[4] is 12");
    recipe.index[4] = UINT64_MAX;
    expect_bad_outlier(&recipe, 3, 2, "outlier_index[4] is 18446744073709551615");
    recipe = good_recipe();
    recipe.index[2] = recipe.index[1];
    expect_bad_outlier(&recipe, 0, 5, "outlier_index[2] is 3");
    /* The one before belongs to another rank's part. */
    expect_bad_outlier(&recipe, 2, 3, "outlier_index[2] is 3");
}

static void test_a_cut_result_file_crashes_or_passes(void **state)
{
    (void)state;
    struct result_reader *reader;
    struct recipe recipe = good_recipe();
    size_t size;
    make_file(&recipe);
    char *bytes = h5_slurp("r.h5", &size);
    for (size_t length = 0; length < size; length += 37) {
        h5_spill("r.h5", bytes, length);
        assert_int_equal(open_file(NULL, NULL, &reader), QO_DATA);
        assert_says("r.h5: ");
    }
    free(bytes);
}

static void test_a_failure_in_opening_without_a_message_or_with_a_leak(void **state)
{
    (void)state;
    struct result_reader *reader;
    char call[16];
    enum status status = QO_NO_MEMORY;
    int walked = 0;
    make_several();
    while (status != QO_OK && walked < 1000) {
        snprintf(call, sizeof call, "%d", ++walked);
        setenv("QUANTOPT_FAULT", call, 1);
        fault_setup(0);
        status = open_file(NULL, "uniform_3bit", &reader);
        setenv("QUANTOPT_FAULT", "0", 1);
        fault_setup(0);
        if (status != QO_OK)
            assert_true(status_text()[0] != '\0' && !reader);
        result_reader_close(reader);
        assert_int_equal(h5_nothing_open(NULL), 0);
    }
    assert_true(status == QO_OK && walked > 20);
}

#define TEST(name) cmocka_unit_test_teardown(name, h5_nothing_open)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_something_else_read_than_what_is_stored),
        TEST(test_outliers_of_a_shard_missed_or_taken_twice),
        TEST(test_outlier_values_of_another_type_or_byte_order),
        TEST(test_a_scalar_or_a_vector_without_outliers),
        TEST(test_the_wrong_result_restored),
        TEST(test_a_choice_made_for_the_user),
        TEST(test_a_file_that_is_not_ours),
        TEST(test_attributes_of_a_vector_believed),
        TEST(test_sizes_of_a_result_believed),
        TEST(test_a_sign_that_bends_large_codes_indices_or_values),
        TEST(test_levels_that_are_none),
        TEST(test_outliers_that_lead_outside_the_vector),
        TEST(test_a_cut_result_file_crashes_or_passes),
        TEST(test_a_failure_in_opening_without_a_message_or_with_a_leak),
    };
    comm_open(&comm, &argc, &argv);
    log_setup(false, LOG_QUIET);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    int failed = cmocka_run_group_tests(tests, h5_enter_scratch, h5_leave_scratch);
    comm_close(&comm);
    return failed;
}
