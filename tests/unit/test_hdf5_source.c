/* SPDX-License-Identifier: Apache-2.0 */
#include "h5_make.h"

#include <fcntl.h>
#include <math.h>
#include <sys/file.h>

#include "fault.h"
#include "log.h"
#include "reader.h"

/* Which vectors are found in a file, and what is said where none or not all can be read. */

static const struct source_request plain = {.num_dims = -1};

/* As the source does for vectors that are wanted: one that cannot be read ends the run. */
static enum status scan(const char *dataset, struct catalog *catalog)
{
    *catalog = (struct catalog){0};
    status_clear();
    enum status status = reader_hdf5.scan(&plain, "a.h5", dataset, catalog);
    for (int i = 0; status == QO_OK && i < catalog->num_entries; i++)
        if (catalog->entry[i].failure != QO_OK)
            status = status_raise(catalog->entry[i].failure, "%s", catalog->entry[i].failure_text);
    return status;
}

/* The scan fails with this status and text. */
static void expect_failure(const char *dataset, enum status status, const char *part)
{
    struct catalog catalog;
    assert_int_equal(scan(dataset, &catalog), status);
    assert_says(part);
    assert_memory_equal(status_text(), "a.h5", 4);
    catalog_clear(&catalog);
}

/* The scan of the whole file gives these datasets, separated by blanks. */
static void expect_datasets(const char *expected)
{
    struct catalog catalog;
    char found[1024] = "";
    assert_int_equal(scan(NULL, &catalog), QO_OK);
    for (int i = 0; i < catalog.num_entries; i++) {
        strcat(found, i ? " " : "");
        strcat(found, catalog.entry[i].dataset);
        assert_string_equal(catalog.entry[i].info.name, catalog.entry[i].dataset);
        assert_string_equal(catalog.entry[i].file, "a.h5");
        assert_ptr_equal(catalog.entry[i].reader, &reader_hdf5);
    }
    assert_string_equal(found, expected);
    catalog_clear(&catalog);
}

static void test_an_object_with_several_names_taken_twice_or_a_cycle_without_end(void **state)
{
    (void)state;
    hid_t file = h5_create("a.h5");
    h5_counting(file, "/b/x", 3);
    h5_counting(file, "/z", 3);
    H5Lcreate_hard(file, "/b/x", file, "/a_first_name", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file, "/z", file, "/zz", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file, "/b", file, "/b/itself", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file, "/", file, "/b/the_root", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    expect_datasets("/a_first_name /z");
}

static void test_links_followed_without_being_asked(void **state)
{
    (void)state;
    struct catalog catalog;
    hid_t other = h5_create("b.h5");
    h5_counting(other, "/far", 5);
    H5Fclose(other);
    hid_t file = h5_create("a.h5");
    h5_counting(file, "/g/x", 3);
    H5Lcreate_soft("/g/x", file, "/alias", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/nowhere", file, "/dangling", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("b.h5", "/far", file, "/outside", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("missing.h5", "/far", file, "/lost", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    expect_datasets("/g/x");
    /* Named, they are what the user asked for. */
    assert_int_equal(scan("alias", &catalog), QO_OK);
    assert_int_equal(catalog.entry[0].info.n, 3);
    catalog_clear(&catalog);
    assert_int_equal(scan("/outside", &catalog), QO_OK);
    assert_int_equal(catalog.entry[0].info.n, 5);
    catalog_clear(&catalog);
    expect_failure("/dangling", QO_NO_INPUT, "no such dataset; it has /g/x");
    expect_failure("/lost", QO_NO_INPUT, "no such dataset");
}

static void test_vectors_out_of_order_or_without_their_shape(void **state)
{
    (void)state;
    struct catalog catalog;
    hsize_t dims[5] = {2, 3, 4, 5, 6};
    hid_t file = h5_create("a.h5");
    h5_dataset(file, "/e/five", h5_float(ELEMENT_F16, true), 5, dims, H5P_DEFAULT, NULL);
    h5_dataset(file, "/Scalar", h5_float(ELEMENT_F64, false), 0, NULL, H5P_DEFAULT, NULL);
    h5_dataset(file, "/brain", h5_float(ELEMENT_BF16, false), 1, dims, H5P_DEFAULT, NULL);
    h5_dataset(file, "/e/d/two", h5_float(ELEMENT_F32, true), 2, dims, H5P_DEFAULT, NULL);
    H5Fclose(file);
    expect_datasets("/Scalar /brain /e/d/two /e/five");
    assert_int_equal(scan(NULL, &catalog), QO_OK);
    const struct entry *entry = catalog.entry;
    assert_true(entry[0].info.type == ELEMENT_F64 && entry[0].info.n == 1);
    assert_true(entry[0].info.num_dims == 0 && !entry[0].is_swapped);
    assert_true(entry[1].info.type == ELEMENT_BF16 && entry[1].info.n == 2);
    assert_true(entry[2].info.type == ELEMENT_F32 && entry[2].is_swapped);
    assert_true(entry[3].info.type == ELEMENT_F16 && entry[3].is_swapped);
    assert_true(entry[3].info.n == 720 && entry[3].info.num_dims == 5);
    for (int d = 0; d < 5; d++)
        assert_int_equal(entry[3].info.shape[d], dims[d]);
    catalog_clear(&catalog);
}

static void test_other_types_taken_for_floats(void **state)
{
    (void)state;
    hsize_t n = 4;
    hid_t file = h5_create("a.h5"), odd = H5Tcopy(H5T_IEEE_F32LE), cut = H5Tcopy(H5T_IEEE_F32LE);
    hid_t pair = H5Tcreate(H5T_COMPOUND, 8);
    H5Tinsert(pair, "re", 0, H5T_IEEE_F32LE);
    H5Tinsert(pair, "im", 4, H5T_IEEE_F32LE);
    H5Tset_ebias(odd, 126); /* all values halved */
    H5Tset_fields(cut, 15, 10, 5, 0, 10);
    H5Tset_precision(cut, 16); /* float16 in 4 bytes */
    h5_dataset(file, "/integer", H5Tcopy(H5T_STD_I32LE), 1, &n, H5P_DEFAULT, NULL);
    h5_dataset(file, "/complex", pair, 1, &n, H5P_DEFAULT, NULL);
    h5_dataset(file, "/list", H5Tarray_create2(H5T_IEEE_F32LE, 1, &n), 1, &n, H5P_DEFAULT, NULL);
    h5_dataset(file, "/long", H5Tcopy(H5T_NATIVE_LDOUBLE), 1, &n, H5P_DEFAULT, NULL);
    h5_dataset(file, "/odd", odd, 1, &n, H5P_DEFAULT, NULL);
    h5_dataset(file, "/cut", cut, 1, &n, H5P_DEFAULT, NULL);
    H5Fclose(file);
    expect_failure(NULL, QO_DATA, "no floating-point dataset in it, only 6 of other types");
    expect_failure("/integer", QO_DATA, "/integer: 32-bit integer elements are not read; convert");
    expect_failure("/complex", QO_DATA, "compound");
    expect_failure("/list", QO_DATA, "array");
    expect_failure("/long", QO_DATA, "80-bit float");
    expect_failure("/odd", QO_DATA, "32-bit float");
    expect_failure("/cut", QO_DATA, "16-bit float");

    file = H5Fopen("a.h5", H5F_ACC_RDWR, H5P_DEFAULT);
    h5_counting(file, "/real", 2);
    H5Fclose(file);
    expect_datasets("/real");
}

static void test_words_without_or_with_another_dtype_taken_for_bfloat16(void **state)
{
    (void)state;
    static const char *const others[4] = {"bfloat1", "bfloat16 ", "bfloat162", "float16"};
    const hsize_t n = 4;
    const int64_t number = 16;
    char name[8] = "/text0";
    hid_t file = h5_create("a.h5"), half = H5Tcopy(H5T_STD_U16LE);
    h5_dataset(file, "/none", H5Tcopy(H5T_STD_U16LE), 1, &n, H5P_DEFAULT, NULL);
    h5_dataset(file, "/number", H5Tcopy(H5T_STD_U16LE), 1, &n, H5P_DEFAULT, NULL);
    h5_attribute(file, "/number", "dtype", H5T_NATIVE_INT64, -1, &number);
    for (int i = 0; i < 4; i++, name[5]++) {
        h5_dataset(file, name, H5Tcopy(H5T_STD_U16LE), 1, &n, H5P_DEFAULT, NULL);
        h5_attribute_text(file, name, "dtype", others[i]);
    }
    h5_dataset(file, "/signed", H5Tcopy(H5T_STD_I16LE), 1, &n, H5P_DEFAULT, NULL);
    h5_attribute_text(file, "/signed", "dtype", "bfloat16");
    h5_dataset(file, "/wide", H5Tcopy(H5T_STD_U32LE), 1, &n, H5P_DEFAULT, NULL);
    h5_attribute_text(file, "/wide", "dtype", "bfloat16");
    H5Tset_precision(half, 12);
    h5_dataset(file, "/narrow", half, 1, &n, H5P_DEFAULT, NULL);
    h5_attribute_text(file, "/narrow", "dtype", "bfloat16");
    H5Fclose(file);
    expect_failure(NULL, QO_DATA, "no floating-point dataset in it, only 9 of other types");
    expect_failure("/signed", QO_DATA, "/signed: 16-bit integer elements are not read");
}

static void test_a_wrong_name_without_a_hint(void **state)
{
    (void)state;
    struct catalog catalog;
    char name[16];
    hid_t file = h5_create("a.h5");
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "/g/x%d", i);
        h5_counting(file, name, 2);
    }
    hid_t type = H5Tcopy(H5T_NATIVE_INT);
    H5Tcommit2(file, "/type", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Tclose(type);
    H5Fclose(file);
    expect_failure(
        "/g/y", QO_NO_INPUT,
        "a.h5:/g/y: no such dataset; it has /g/x0, /g/x1, /g/x2, /g/x3, /g/x4 and 3 more");
    expect_failure("/g/x0/deeper", QO_NO_INPUT, "no such dataset");
    expect_failure("/nothing/at/all", QO_NO_INPUT, "no such dataset");
    expect_failure("/g", QO_NO_INPUT, "a group, not a dataset; it has /g/x0");
    expect_failure("/", QO_NO_INPUT, "a.h5:/: a group, not a dataset");
    expect_failure("/type", QO_NO_INPUT, "a datatype, not a dataset");
    /* The same dataset in other words. */
    assert_int_equal(scan("g//./x3/", &catalog), QO_OK);
    assert_string_equal(catalog.entry[0].info.name, "/g/x3");
    assert_string_equal(catalog.entry[0].info.origin, "a.h5:/g/x3");
    catalog_clear(&catalog);
}

static void test_an_empty_dataset_hidden_from_the_source(void **state)
{
    (void)state;
    struct catalog catalog;
    hsize_t none[2] = {7, 0};
    hid_t file = h5_create("a.h5"), null = H5Screate(H5S_NULL);
    h5_dataset(file, "/none", h5_float(ELEMENT_F32, false), 2, none, H5P_DEFAULT, NULL);
    H5Dclose(
        H5Dcreate2(file, "/null", H5T_IEEE_F64LE, null, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(null);
    H5Fclose(file);
    expect_datasets("/none /null");
    assert_int_equal(scan(NULL, &catalog), QO_OK);
    assert_true(catalog.entry[0].info.n == 0 && catalog.entry[1].info.n == 0);
    catalog_clear(&catalog);
    H5Fclose(h5_create("a.h5"));
    expect_failure(NULL, QO_DATA, "no dataset in it");
}

/* Fills of "/x" of a type, with these two attributes (NULL: none). */
static void expect_fills(enum element_type type, const double *first, const double *second,
                         int num_fills, double fill0, double fill1)
{
    struct catalog catalog;
    hsize_t n = 4;
    hid_t file = h5_create("a.h5");
    h5_dataset(file, "/x", h5_float(type, true), 1, &n, H5P_DEFAULT, NULL);
    if (first)
        h5_attribute(file, "/x", "_FillValue", H5T_NATIVE_DOUBLE, -1, first);
    if (second)
        h5_attribute(file, "/x", "missing_value", H5T_NATIVE_DOUBLE, 1, second);
    H5Fclose(file);
    assert_int_equal(scan(NULL, &catalog), QO_OK);
    const struct vector_info *info = &catalog.entry[0].info;
    assert_int_equal(info->num_fills, num_fills);
    if (num_fills > 0)
        assert_true(info->fill[0] == fill0);
    if (num_fills > 1)
        assert_true(info->fill[1] == fill1);
    catalog_clear(&catalog);
}

static void test_fill_values_missed_or_not_in_the_type_of_the_vector(void **state)
{
    (void)state;
    const double e20 = 1e20, nines = -999.9, not = NAN, third = 1.0 / 3, up = INFINITY;
    expect_fills(ELEMENT_F64, NULL, NULL, 0, 0, 0);
    expect_fills(ELEMENT_F64, &e20, &nines, 2, 1e20, -999.9);
    expect_fills(ELEMENT_F32, &e20, &nines, 2, (double)1e20f, (double)-999.9f);
    expect_fills(ELEMENT_F32, &e20, &e20, 1, (double)1e20f, 0);
    expect_fills(ELEMENT_F32, NULL, &third, 1, (double)(1.0f / 3), 0);
    expect_fills(ELEMENT_F32, &not, &nines, 1, (double)-999.9f, 0);
    expect_fills(ELEMENT_F32, &up, NULL, 1, (double)INFINITY, 0);
    /* No float16 is equal to 1e20, and -999.9 is -1000 there (steps of 1/2). */
    expect_fills(ELEMENT_F16, &e20, &nines, 1, -1000.0, 0);
}

static void test_fill_attributes_of_other_types(void **state)
{
    (void)state;
    struct catalog catalog;
    struct source_request request = {.num_dims = -1, .ignore_fills = true};
    const int64_t whole = -32768;
    const uint16_t half =
        0x0080; /* big-endian 0x8000, -0; and the smallest subnormal is tried below */
    const double two[2] = {1, 2};
    hsize_t n = 4;
    hid_t file = h5_create("a.h5"), f16 = h5_float(ELEMENT_F16, true);
    h5_dataset(file, "/x", h5_float(ELEMENT_F32, false), 1, &n, H5P_DEFAULT, NULL);
    h5_attribute(file, "/x", "_FillValue", H5T_STD_I64BE, -1,
                 &(int64_t){(int64_t)__builtin_bswap64((uint64_t)whole)});
    h5_attribute(file, "/x", "missing_value", f16, 1, &half);
    h5_dataset(file, "/y", h5_float(ELEMENT_F32, false), 1, &n, H5P_DEFAULT, NULL);
    h5_attribute(file, "/y", "_FillValue", H5T_NATIVE_DOUBLE, 2, two);
    h5_attribute_text(file, "/y", "missing_value", "none");
    h5_dataset(file, "/z", h5_float(ELEMENT_F16, false), 1, &n, H5P_DEFAULT, NULL);
    h5_attribute(file, "/z", "_FillValue", f16, -1, &(uint16_t){0x0100});
    H5Tclose(f16);
    H5Fclose(file);
    assert_int_equal(scan(NULL, &catalog), QO_OK);
    assert_int_equal(catalog.entry[0].info.num_fills, 2);
    assert_true(catalog.entry[0].info.fill[0] == -32768.0);
    assert_true(catalog.entry[0].info.fill[1] == 0.0);
    assert_int_equal(catalog.entry[1].info.num_fills, 0);
    assert_int_equal(catalog.entry[2].info.num_fills, 1);
    assert_true(catalog.entry[2].info.fill[0] == 0x1p-24);
    catalog_clear(&catalog);
    /* --fill_values use */
    assert_int_equal(reader_hdf5.scan(&request, "a.h5", NULL, &catalog), QO_OK);
    assert_int_equal(catalog.entry[0].info.num_fills, 0);
    catalog_clear(&catalog);
}

/* A filter of ours: the number of the private range, and bytes as they are. */
static size_t filter_nothing(unsigned flags, size_t num_values, const unsigned *values, size_t n,
                             size_t *size, void **buffer)
{
    (void)flags, (void)num_values, (void)values, (void)size, (void)buffer;
    return n;
}

static void test_a_missing_filter_found_only_after_hours(void **state)
{
    (void)state;
    const H5Z_class2_t filter = {H5Z_CLASS_T_VERS, 333,  1,    1,
                                 "squeezer\n2",    NULL, NULL, filter_nothing};
    struct catalog catalog;
    const hsize_t n = 8, chunk = 4;
    const float x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    assert_true(H5Zregister(&filter) >= 0);
    hid_t file = h5_create("a.h5"), plist = h5_chunks(1, &chunk), empty = h5_chunks(1, &chunk);
    H5Pset_filter(plist, 333, H5Z_FLAG_OPTIONAL, 0, NULL);
    H5Pset_filter(empty, 333, H5Z_FLAG_OPTIONAL, 0, NULL);
    h5_dataset(file, "/secret/x", H5Tcopy(H5T_NATIVE_FLOAT), 1, &n, plist, x);
    h5_dataset(file, "/unwritten", H5Tcopy(H5T_NATIVE_FLOAT), 1, &n, empty, NULL);
    h5_counting(file, "/z", 4);
    H5Fclose(file);
    assert_true(H5Zunregister(333) >= 0);

    expect_failure(NULL, QO_DATA, "a.h5:/secret/x: compressed by HDF5 filter 333 (squeezer 2)");
    expect_failure("secret/x", QO_DATA, "HDF5_PLUGIN_PATH");
    assert_int_equal(scan("z", &catalog), QO_OK);
    catalog_clear(&catalog);
    /* It stands beside the others, for whoever does not want it. */
    assert_int_equal(reader_hdf5.scan(&plain, "a.h5", NULL, &catalog), QO_OK);
    assert_int_equal(catalog.num_entries, 3);
    assert_string_equal(catalog.entry[0].info.name, "/secret/x");
    assert_int_equal(catalog.entry[0].failure, QO_DATA);
    assert_int_equal(catalog.entry[1].failure, QO_OK);
    assert_null(catalog.entry[2].failure_text);
    assert_string_equal(status_text(), "");
    catalog_clear(&catalog);
}

static void test_a_filter_that_comes_as_a_plug_in_not_looked_for(void **state)
{
    (void)state;
    struct catalog catalog;
    struct handle handle = {.fd = -1, .file_id = -1, .dataset_id = -1};
    const hsize_t n = 8, chunk = 4;
    const float x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    float y[8] = {0};
    hid_t file = h5_create("a.h5"), plist = h5_chunks(1, &chunk);
    assert_true(H5Pset_filter(plist, 444, H5Z_FLAG_MANDATORY, 0, NULL) >= 0);
    h5_dataset(file, "/x", H5Tcopy(H5T_NATIVE_FLOAT), 1, &n, plist, x);
    H5Fclose(file);
    assert_true(H5Zunregister(444) >= 0); /* it must be found again */
    assert_int_equal(scan(NULL, &catalog), QO_OK);
    assert_int_equal(reader_hdf5.open(&handle, catalog.entry), QO_OK);
    assert_int_equal(reader_hdf5.read(&handle, catalog.entry, 0, 8, y), QO_OK);
    assert_memory_equal(x, y, sizeof x);
    reader_hdf5.close(&handle);
    catalog_clear(&catalog);
}

static void test_one_damaged_dataset_passed_over_in_silence(void **state)
{
    (void)state;
    struct catalog catalog;
    H5O_info_t info;
    size_t size;
    hid_t file = h5_create("a.h5");
    h5_counting(file, "/good", 4);
    h5_counting(file, "/g/bad", 4);
    assert_true(H5Oget_info_by_name2(file, "/g/bad", &info, H5O_INFO_BASIC, H5P_DEFAULT) >= 0);
    H5Fclose(file);
    char *bytes = h5_slurp("a.h5", &size);
    bytes[info.addr] = 77; /* the version of the object's header */
    h5_spill("a.h5", bytes, size);
    free(bytes);
    expect_failure(NULL, QO_DATA, "a.h5:/g/bad: damaged");
    expect_failure("/g/bad", QO_DATA, "a.h5:/g/bad: damaged");
    expect_failure("/g/worse", QO_NO_INPUT, "no such dataset; it has");
    assert_int_equal(scan("/good", &catalog), QO_OK);
    catalog_clear(&catalog);
}

/* A file with "/x", 1,000 float32, whose first or all dimensions are replaced by `dim`. */
static void make_lying_file(uint64_t dim)
{
    const uint64_t truth[2] = {1000, 1000}, lie[2] = {dim, dim};
    hsize_t n = 1000;
    float x[1000] = {0};
    hid_t file = h5_create("a.h5");
    h5_dataset(file, "/x", h5_float(ELEMENT_F32, false), 1, &n, H5P_DEFAULT, x);
    H5Fclose(file);
    /* Current and largest dimension lie side by side in the old format, without a checksum. */
    assert_int_equal(h5_patch("a.h5", truth, lie, 16), 1);
}

static void test_sizes_believed_that_the_file_does_not_have(void **state)
{
    (void)state;
    make_lying_file(1001);
    expect_failure(NULL, QO_DATA, "its storage has 4000 bytes, its shape needs 4004");
    make_lying_file(999);
    expect_failure("x", QO_DATA, "a.h5:/x: its storage has 4000 bytes, its shape needs 3996");
    make_lying_file((uint64_t)1 << 40);
    expect_failure(NULL, QO_DATA, "its shape needs 4398046511104");
    make_lying_file((uint64_t)1 << 62);
    expect_failure(NULL, QO_DATA, "a.h5:/x: ");
    make_lying_file(UINT64_MAX - 1);
    expect_failure(NULL, QO_DATA, "a.h5:/x: ");
}

static void test_data_that_lie_elsewhere_replaced_by_zeros(void **state)
{
    (void)state;
    struct catalog catalog;
    hsize_t n = 4;
    const float x[4] = {1, 2, 3, 4};
    hid_t outside = H5Pcreate(H5P_DATASET_CREATE), parts = H5Pcreate(H5P_DATASET_CREATE);
    hid_t space = H5Screate_simple(1, &n, NULL), file = h5_create("a.h5");
    H5Pset_external(outside, "raw.bin", 0, 16);
    H5Pset_virtual(parts, space, "b.h5", "/x", space);
    h5_dataset(file, "/raw", H5Tcopy(H5T_NATIVE_FLOAT), 1, &n, outside, x);
    H5Fclose(file);
    assert_int_equal(scan(NULL, &catalog), QO_OK);
    catalog_clear(&catalog);
    assert_int_equal(rename("raw.bin", "moved.bin"), 0);
    expect_failure(NULL, QO_NO_INPUT, "a.h5:/raw: its data are in the external raw file raw.bin");
    file = h5_create("a.h5");
    h5_dataset(file, "/parts", H5Tcopy(H5T_NATIVE_FLOAT), 1, &n, parts, NULL);
    H5Sclose(space);
    H5Fclose(file);
    expect_failure("/parts", QO_DATA, "a.h5:/parts: a virtual dataset");
}

static void test_groups_within_groups_exhaust_the_stack(void **state)
{
    (void)state;
    hid_t file = h5_create("a.h5"), at = h5_group(file, "0");
    for (int depth = 1; depth < 3000; depth++) {
        hid_t below = h5_group(at, "g");
        H5Gclose(at);
        at = below;
    }
    h5_counting(at, "x", 3);
    H5Gclose(at);
    H5Fclose(file);
    expect_failure(NULL, QO_DATA, "groups nested deeper than");
}

static void test_many_objects_lost_in_the_set_of_those_seen(void **state)
{
    (void)state;
    struct catalog catalog;
    char name[32];
    hid_t file = h5_create("a.h5");
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "/g%d/x%d", i % 10, i);
        h5_counting(file, name, 1);
        snprintf(name, sizeof name, "/h%d", i);
        if (i % 3 == 0)
            H5Lcreate_soft("/g0/x0", file, name, H5P_DEFAULT, H5P_DEFAULT);
    }
    H5Fclose(file);
    assert_int_equal(scan(NULL, &catalog), QO_OK);
    assert_int_equal(catalog.num_entries, 3000);
    catalog_clear(&catalog);
}

static void test_control_characters_of_a_name_in_a_message(void **state)
{
    (void)state;
    hsize_t n = 3;
    hid_t file = h5_create("a.h5");
    h5_dataset(file, "/two\nlines", H5Tcopy(H5T_STD_I8LE), 1, &n, H5P_DEFAULT, NULL);
    H5Fclose(file);
    expect_failure(NULL, QO_DATA, "/two?lines: 8-bit integer");
    expect_failure("/two\nlines", QO_DATA, "8-bit integer elements are not read");
    expect_failure("/a\nb", QO_NO_INPUT, "no such dataset");
}

static void test_a_file_that_is_missing_locked_or_not_hdf5(void **state)
{
    (void)state;
    struct catalog catalog = {0};
    unsetenv("HDF5_USE_FILE_LOCKING");
    assert_int_equal(reader_hdf5.scan(&plain, "none.h5", NULL, &catalog), QO_NO_INPUT);
    assert_says("none.h5: cannot be opened: No such file");
    hid_t file = h5_create("a.h5");
    h5_counting(file, "/x", 3);
    H5Fclose(file);
    int fd = open("a.h5", O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    expect_failure(NULL, QO_NO_INPUT, "HDF5_USE_FILE_LOCKING=FALSE");
    close(fd);
    h5_spill("a.h5", "\x89HDF\r\n\x1a\n and nothing behind it", 30);
    expect_failure(NULL, QO_DATA, "cannot be opened as HDF5");
    expect_failure("/x", QO_DATA, "cannot be opened as HDF5");
}

static bool recognised(const char *path)
{
    struct file_head head = {.path = path, .fd = open(path, O_RDONLY)};
    struct stat about;
    assert_true(head.fd >= 0 && fstat(head.fd, &about) == 0);
    head.size = about.st_size;
    head.num_bytes = (int)read(head.fd, head.byte, sizeof head.byte);
    bool is = reader_hdf5.recognises(&head);
    close(head.fd);
    return is;
}

static void test_a_user_block_hides_the_signature(void **state)
{
    (void)state;
    for (hsize_t block = 0; block <= 65536; block = block ? 2 * block : 512) {
        hid_t plist = H5Pcreate(H5P_FILE_CREATE);
        H5Pset_userblock(plist, block);
        hid_t file = H5Fcreate("a.h5", H5F_ACC_TRUNC, plist, H5P_DEFAULT);
        h5_counting(file, "/x", 5);
        H5Fclose(file);
        H5Pclose(plist);
        assert_true(recognised("a.h5"));
        expect_datasets("/x");
    }
    h5_spill("b.h5", "\x89HDF\r\n\x1a", 7);
    assert_false(recognised("b.h5"));
    h5_spill("b.h5", "", 0);
    assert_false(recognised("b.h5"));
    char late[2048] = {0};
    memcpy(late + 700, "\x89HDF\r\n\x1a\n", 8); /* not where a signature may be */
    h5_spill("b.h5", late, sizeof late);
    assert_false(recognised("b.h5"));
}

static void test_a_failure_within_the_scan_without_a_message_or_with_a_leak(void **state)
{
    (void)state;
    struct catalog catalog;
    char call[16];
    enum status status = QO_NO_MEMORY;
    int walked = 0;
    hid_t file = h5_create("a.h5");
    for (int i = 0; i < 20; i++) {
        snprintf(call, sizeof call, "/g%d/x", i);
        h5_counting(file, call, 2);
    }
    H5Fclose(file);
    while (status != QO_OK && walked < 1000) {
        snprintf(call, sizeof call, "%d", ++walked);
        setenv("QUANTOPT_FAULT", call, 1);
        fault_setup(0);
        status = scan(NULL, &catalog);
        setenv("QUANTOPT_FAULT", "0", 1);
        fault_setup(0);
        if (status != QO_OK)
            assert_true(status_text()[0] != '\0');
        else
            assert_int_equal(catalog.num_entries, 20);
        catalog_clear(&catalog);
        assert_int_equal(h5_nothing_open(NULL), 0);
    }
    assert_true(status == QO_OK && walked > 100);
}

#define TEST(name) cmocka_unit_test_teardown(name, h5_nothing_open)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_object_with_several_names_taken_twice_or_a_cycle_without_end),
        TEST(test_links_followed_without_being_asked),
        TEST(test_vectors_out_of_order_or_without_their_shape),
        TEST(test_other_types_taken_for_floats),
        TEST(test_words_without_or_with_another_dtype_taken_for_bfloat16),
        TEST(test_a_wrong_name_without_a_hint),
        TEST(test_an_empty_dataset_hidden_from_the_source),
        TEST(test_fill_values_missed_or_not_in_the_type_of_the_vector),
        TEST(test_fill_attributes_of_other_types),
        TEST(test_a_missing_filter_found_only_after_hours),
        TEST(test_a_filter_that_comes_as_a_plug_in_not_looked_for),
        TEST(test_one_damaged_dataset_passed_over_in_silence),
        TEST(test_sizes_believed_that_the_file_does_not_have),
        TEST(test_data_that_lie_elsewhere_replaced_by_zeros),
        TEST(test_groups_within_groups_exhaust_the_stack),
        TEST(test_many_objects_lost_in_the_set_of_those_seen),
        TEST(test_control_characters_of_a_name_in_a_message),
        TEST(test_a_file_that_is_missing_locked_or_not_hdf5),
        TEST(test_a_user_block_hides_the_signature),
        TEST(test_a_failure_within_the_scan_without_a_message_or_with_a_leak),
    };
    setenv("HDF5_PLUGIN_PATH", PLUGIN_FOLDER, 1); /* before the library's first call */
    log_setup(false, LOG_QUIET);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return cmocka_run_group_tests(tests, h5_enter_scratch, h5_leave_scratch);
}
