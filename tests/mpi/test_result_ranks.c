/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/h5_make.h"

#include "comm.h"
#include "fault.h"
#include "log.h"
#include "result_reader.h"
#include "shard.h"

/* A result file read by several ranks: each its part, and all with the same status. */

#define NUM_ELEMENTS 200000
#define EVERY        7 /* which element is an outlier: those with index % EVERY == 3 */

static struct comm comm;
static char path[64];

static int64_t outliers_below(int64_t element)
{
    return (element + EVERY - 4) / EVERY;
}

/* One vector of float32 with one result of 2 bits; outlier i has the value -i. */
static void make_file(void)
{
    static uint8_t codes[NUM_ELEMENTS / 4];
    static uint64_t index[NUM_ELEMENTS];
    static float value[NUM_ELEMENTS];
    const int64_t n = NUM_ELEMENTS, one = 1, bits = 2;
    const double level[3] = {-1, 0, 1};
    const hsize_t m = (hsize_t)outliers_below(n), bytes = sizeof codes, k = 3;
    for (size_t i = 0; i < sizeof codes; i++)
        codes[i] = (uint8_t)(i * 31);
    for (hsize_t i = 0; i < m; i++) {
        index[i] = i * EVERY + 3;
        value[i] = -(float)i;
    }
    hid_t file = h5_create(path), all = h5_group(file, "vectors"), vector = h5_group(all, "x");
    hid_t result = h5_group(vector, "r");
    h5_attribute_text(file, ".", "format", "quantopt");
    h5_attribute(file, ".", "format_version", H5T_NATIVE_INT64, -1, &one);
    h5_attribute_text(vector, ".", "dtype", "float32");
    h5_attribute(vector, ".", "shape", H5T_NATIVE_INT64, 1, &n);
    h5_attribute(vector, ".", "num_elements", H5T_NATIVE_INT64, -1, &n);
    h5_attribute(result, ".", "num_bits", H5T_NATIVE_INT64, -1, &bits);
    h5_dataset(result, "levels", H5Tcopy(H5T_IEEE_F64LE), 1, &k, H5P_DEFAULT, level);
    h5_dataset(result, "codes", H5Tcopy(H5T_STD_U8LE), 1, &bytes, H5P_DEFAULT, codes);
    h5_dataset(result, "outlier_index", H5Tcopy(H5T_STD_U64LE), 1, &m, H5P_DEFAULT, index);
    h5_dataset(result, "outlier_value", H5Tcopy(H5T_IEEE_F32LE), 1, &m, H5P_DEFAULT, value);
    H5Gclose(result);
    H5Gclose(vector);
    H5Gclose(all);
    H5Fclose(file);
}

static void test_a_rank_that_gets_the_part_of_another(void **state)
{
    (void)state;
    struct result_reader *reader;
    assert_int_equal(result_reader_open(&comm, path, NULL, NULL, &reader), QO_OK);
    assert_int_equal(result_reader_result(reader, 0)->num_outliers, outliers_below(NUM_ELEMENTS));
    struct shard shard = shard_of(NUM_ELEMENTS, comm.rank, comm.size);
    int64_t first = -1, end = -1, bytes = (shard.end - shard.begin) / 4;
    assert_int_equal(result_reader_find_outlier(reader, 0, shard.begin, &first), QO_OK);
    assert_int_equal(result_reader_find_outlier(reader, 0, shard.end, &end), QO_OK);
    assert_true(first == outliers_below(shard.begin) && end == outliers_below(shard.end));
    uint64_t *index = malloc((size_t)(end - first + 1) * sizeof *index);
    float *value = malloc((size_t)(end - first + 1) * sizeof *value);
    uint8_t *codes = malloc((size_t)bytes + 1);
    assert_true(index && value && codes);
    assert_int_equal(result_reader_outliers(reader, 0, first, end - first, index, value), QO_OK);
    for (int64_t i = first; i < end; i++)
        assert_true(index[i - first] == (uint64_t)(i * EVERY + 3) && value[i - first] == -(float)i);
    assert_int_equal(result_reader_codes(reader, 0, shard.begin / 4, bytes, codes), QO_OK);
    for (int64_t i = 0; i < bytes; i++)
        assert_int_equal(codes[i], (uint8_t)((shard.begin / 4 + i) * 31));
    free(index);
    free(value);
    free(codes);
    result_reader_close(reader);
}

static void test_a_rank_that_goes_on_while_another_failed(void **state)
{
    (void)state;
    struct result_reader *reader;
    enum status status = QO_NO_MEMORY;
    char plan[32], texts[64 * 1024];
    assert_true(comm.size <= 64);
    for (int call = 1; status != QO_OK; call++) {
        assert_true(call < 1000);
        snprintf(plan, sizeof plan, "%d@%d", call, comm.size - 1);
        setenv("QUANTOPT_FAULT", plan, 1);
        fault_setup(comm.rank);
        status = result_reader_open(&comm, path, NULL, NULL, &reader);
        setenv("QUANTOPT_FAULT", "0", 1);
        fault_setup(comm.rank);
        snprintf(plan, sizeof plan, "%d %.20s", (int)status, status == QO_OK ? "" : status_text());
        comm_gather_text(&comm, plan, 32, comm.rank == 0 ? texts : NULL);
        for (int r = 1; comm.rank == 0 && r < comm.size; r++)
            assert_string_equal(texts, texts + (ptrdiff_t)32 * r);
        assert_true((status == QO_OK) == (reader != NULL));
        result_reader_close(reader);
    }
}

#define TEST(name) cmocka_unit_test_teardown(name, h5_nothing_open)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_rank_that_gets_the_part_of_another),
        TEST(test_a_rank_that_goes_on_while_another_failed),
    };
    comm_open(&comm, &argc, &argv);
    log_setup(false, LOG_QUIET);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    if (comm.rank == 0) {
        snprintf(path, sizeof path, "/tmp/quantopt_test_%d.h5", (int)getpid());
        make_file();
    }
    comm_broadcast(&comm, path, sizeof path);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    comm_wait_all(&comm);
    if (comm.rank == 0)
        unlink(path);
    comm_close(&comm);
    return failed;
}
