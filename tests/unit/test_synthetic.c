/* SPDX-License-Identifier: Apache-2.0 */
#include "reader_fixture.h"

/* Makes elements [begin, end) of a vector as doubles. */
static double *make(const struct source_request *request, int64_t begin, int64_t end)
{
    struct catalog catalog = {0};
    void *x;
    if (reader_synthetic.scan(request, NULL, NULL, &catalog) != QO_OK)
        fail_msg("%s", status_text());
    const struct entry *entry = &catalog.entry[0];
    assert_true(end <= entry->info.n);
    assert_int_equal(fixture_read(entry, begin, end, &x), QO_OK);
    double *value = malloc((size_t)(end - begin) * sizeof *value + 1);
    assert_non_null(value);
    for (int64_t i = 0; i < end - begin; i++)
        value[i] = element_value(entry->info.type, element_bits(entry->info.type, x, i));
    free(x);
    catalog_clear(&catalog);
    return value;
}

static struct source_request drawn(const char *generate, enum element_type type, uint64_t seed)
{
    return (struct source_request){
        .generate = generate, .has_type = true, .type = type, .seed = seed, .num_dims = -1};
}

static void test_small_is_the_published_vector(void **state)
{
    (void)state;
    static const double want[] = {3.2, -1.4, 2.5, -0.9, 1.8, -3.7, 0.0, 4.0, 2.2, -1.3};
    double *x = make(&fixture_plain, 0, 10);
    assert_memory_equal(x, want, sizeof want);
    free(x);
    x = make(&fixture_plain, 3, 5);
    assert_memory_equal(x, want + 3, 2 * sizeof *want);
    free(x);
}

/* The figures are those of numpy.random.RandomState(42).randn(10_000_000). */
static void test_large_differs_from_numpy(void **state)
{
    (void)state;
    static const double first[] = {0.4967141530112327, -0.13826430117118466, 0.6476885381006925,
                                   1.5230298564080254, -0.23415337472333597};
    static const double last[] = {1.4669566034719552, 0.644408219211498, 0.9236119645650752};
    const int64_t n = 10000000;
    struct source_request request = fixture_plain;
    request.builtin = "large";
    double *x = make(&request, 0, n);
    for (int i = 0; i < 5; i++)
        assert_near(x[i], first[i], 1e-15);
    for (int i = 0; i < 3; i++)
        assert_near(x[n - 3 + i], last[i], 1e-15);
    /* Every value counts, on a grid of 2^-30 that the last bit of a library's logarithm does not
     * reach. */
    int64_t grid = 0;
    long double sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++) {
        grid += llrint(x[i] * 0x1p30);
        sum += x[i];
        square += (long double)x[i] * x[i];
    }
    assert_true(grid == -686738596530);
    assert_near(sum / (long double)n, -6.395751574849544e-05, 1e-15);
    assert_near(sqrtl(square / (long double)n - sum / (long double)n * (sum / (long double)n)),
                1.0000135814684643, 1e-14);
    /* Parts begin in the middle of pairs and of chunks. */
    static const int64_t begin[] = {1, 2, 4095, 4096, 4097, 9999999, 1234567};
    for (size_t i = 0; i < sizeof begin / sizeof begin[0]; i++) {
        int64_t end = begin[i] + 9000 < n ? begin[i] + 9000 : n;
        double *part = make(&request, begin[i], end);
        assert_memory_equal(part, x + begin[i], (size_t)(end - begin[i]) * sizeof *x);
        free(part);
    }
    free(x);
}

static void test_large_with_other_seeds(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed;
        double first[3];
    } cases[] = {
        {0, {1.764052345967664, 0.4001572083672233, 0.9787379841057392}},
        {4294967295u, {0.6484086742306527, 0.6693235306338161, -1.0805437227474493}},
    };
    struct source_request request = fixture_plain;
    request.builtin = "large";
    for (size_t i = 0; i < 2; i++) {
        request.seed = cases[i].seed;
        double *x = make(&request, 0, 3);
        for (int k = 0; k < 3; k++)
            assert_near(x[k], cases[i].first[k], 1e-15);
        free(x);
    }
    struct catalog catalog = {0};
    request.seed = 4294967296u;
    assert_int_equal(reader_synthetic.scan(&request, NULL, NULL, &catalog), QO_USAGE);
    assert_non_null(strstr(status_text(), "4294967296"));
}

/*
 * Single elements, computed by a Python program of Philox4x32-10 that gives the published known
 * answers; the first two uniform ones are the known answer for counter 0 and key 0: 6627e8d5
 * e169c58d bc57ac4c 9b00dbd8.
 */
static void test_a_drawn_element_that_moved(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed;
        int64_t index;
        double uniform, normal, laplace, lognormal;
    } cases[] = {
        {0, 0, 0.8805201978886142, -1.62496344087104, -2.1246079418844634, 0.19691887425511628},
        {0, 1, 0.6054818538799213, -1.2683492025469478, 0.9300901419845452, 0.28129560076664706},
        {42, 12345, 0.5103918011104904, -0.1237247997302726, 0.7141498018263805,
         0.8836229807077718},
        {0xfedcba9876543210u, 7, 0.7768676985365071, -2.1361656183009226, 1.4999904033377336,
         0.11810684261435973},
        {0xfedcba9876543210u, 8589934597, 0.8782602004264094, -1.1097204907060434,
         2.105869302265746, 0.3296510887423861},
        {1, 17179869184, 0.08621551094093804, -0.25125764330995376, 0.09016052410617421,
         0.777821945120305},
    };
    static const char *const kinds[] = {"uniform:20G", "normal:20G", "laplace:20G",
                                        "lognormal:20G"};
    assert_true((0xe169c58d6627e8d5u >> 11) * 0x1p-53 == cases[0].uniform);
    assert_true((0x9b00dbd8bc57ac4cu >> 11) * 0x1p-53 == cases[1].uniform);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const double want[] = {cases[i].uniform, cases[i].normal, cases[i].laplace,
                               cases[i].lognormal};
        for (int k = 0; k < 4; k++) {
            struct source_request request = drawn(kinds[k], ELEMENT_F64, cases[i].seed);
            double *x = make(&request, cases[i].index, cases[i].index + 1);
            assert_near(x[0], want[k], 4e-15);
            free(x);
        }
    }
}

static void test_an_element_depends_on_the_cut(void **state)
{
    (void)state;
    static const char *const kinds[] = {"uniform:20K", "normal:20K", "laplace:20k",
                                        "lognormal:20000"};
    static const int64_t cuts[] = {0, 1, 2, 3, 4094, 4095, 4096, 4097, 8191, 12288, 19999, 20000};
    for (int type = 0; type < ELEMENT_NUM_TYPES; type++) {
        for (int k = 0; k < 4; k++) {
            struct source_request request = drawn(kinds[k], (enum element_type)type, 7);
            double *whole = make(&request, 0, 20000);
            for (size_t i = 0; i + 1 < sizeof cuts / sizeof cuts[0]; i++) {
                double *part = make(&request, cuts[i], cuts[i + 1]);
                assert_memory_equal(part, whole + cuts[i],
                                    (size_t)(cuts[i + 1] - cuts[i]) * sizeof *part);
                free(part);
            }
            free(whole);
        }
    }
}

struct moments {
    double mean, variance, fourth, smallest, largest, median_size; /* share of |x| < ln 2 */
};

static struct moments measure(const char *generate, enum element_type type, uint64_t seed,
                              int64_t n)
{
    struct source_request request = drawn(generate, type, seed);
    double *x = make(&request, 0, n);
    struct moments m = {.smallest = INFINITY, .largest = -INFINITY};
    for (int64_t i = 0; i < n; i++) {
        m.mean += x[i] / (double)n;
        m.smallest = fmin(m.smallest, x[i]);
        m.largest = fmax(m.largest, x[i]);
        m.median_size += (fabs(x[i]) < 0.6931471805599453) / (double)n;
    }
    for (int64_t i = 0; i < n; i++) {
        double d = x[i] - m.mean;
        m.variance += d * d / (double)n;
        m.fourth += d * d * d * d / (double)n;
    }
    free(x);
    return m;
}

/* With 10^6 draws a mean is known to 1e-3 sigma; the bounds are five times the standard error of
 * each figure. */
static void test_distributions_out_of_shape(void **state)
{
    (void)state;
    struct moments m = measure("normal:1M", ELEMENT_F32, 1, 1000000);
    assert_near(m.mean, 0, 5e-3);
    assert_near(m.variance, 1, 7.1e-3);
    assert_near(m.fourth, 3, 4.9e-2);
    assert_true(m.largest > 4 && m.largest < 6.5 && m.smallest < -4 && m.smallest > -6.5);
    m = measure("laplace:1M", ELEMENT_F64, 2, 1000000);
    assert_near(m.mean, 0, 7.1e-3);
    assert_near(m.variance, 2, 2.3e-2);
    assert_near(m.median_size, 0.5, 2.5e-3);
    m = measure("uniform:1M", ELEMENT_F32, 3, 1000000);
    assert_near(m.mean, 0.5, 1.5e-3);
    assert_near(m.variance, 1.0 / 12, 3.8e-4);
    m = measure("lognormal:1M", ELEMENT_F64, 4, 1000000);
    assert_near(m.mean, 1.6487212707001282, 1.1e-2);
    assert_true(m.smallest > 0);
}

static void test_uniform_reaches_one(void **state)
{
    (void)state;
    for (int type = 0; type < ELEMENT_NUM_TYPES; type++) {
        /* float16 and bfloat16 have so few values that 10^6 draws meet each, the smallest and the
         * largest too. */
        struct moments m = measure("uniform:1M", (enum element_type)type, 5, 1000000);
        assert_true(m.smallest >= 0 && m.largest < 1);
        if (type == ELEMENT_F16)
            assert_true(m.smallest == 0 && m.largest == 1 - 0x1p-11);
    }
}

static void test_seeds_that_give_the_same(void **state)
{
    (void)state;
    static const uint64_t seeds[] = {0, 1, (uint64_t)1 << 32, (uint64_t)1 << 63};
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < i; j++) {
            struct source_request a = drawn("normal:2", ELEMENT_F64, seeds[i]);
            struct source_request b = drawn("normal:2", ELEMENT_F64, seeds[j]);
            double *x = make(&a, 0, 2), *y = make(&b, 0, 2);
            assert_true(x[0] != y[0] && x[1] != y[1]);
            free(x);
            free(y);
        }
    }
}

static void test_requests_that_must_be_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "gauss:3",
        "norma:3",
        "normals:3",
        "normal",
        "normal:",
        "normal:0",
        "normal:0K",
        "normal:-1",
        "normal: 1",
        "normal:1.5K",
        "normal:1T",
        "normal:1KK",
        "normal:1K ",
        ":3",
        "",
        "normal:10000000000G",
        "normal:18446744073709551617",
        "normal:4G:2",
        "normal:9223372036854775807",
    };
    struct catalog catalog = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct source_request request = drawn(cases[i], ELEMENT_F32, 1);
        status_clear();
        if (reader_synthetic.scan(&request, NULL, NULL, &catalog) != QO_USAGE)
            fail_msg("%s was not refused", cases[i]);
        assert_non_null(strstr(status_text(), "--generate"));
    }
    struct source_request request = {.builtin = "medium", .num_dims = -1};
    assert_int_equal(reader_synthetic.scan(&request, NULL, NULL, &catalog), QO_USAGE);
    assert_int_equal(catalog.num_entries, 0);
}

static void test_counts_and_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *generate;
        int64_t n;
    } cases[] = {{"normal:1", 1},
                 {"laplace:3K", 3000},
                 {"uniform:7m", 7000000},
                 {"lognormal:2G", 2000000000}};
    struct catalog catalog = {0};
    for (int i = 0; i < 4; i++) {
        struct source_request request = {.generate = cases[i].generate, .num_dims = -1};
        assert_int_equal(reader_synthetic.scan(&request, NULL, NULL, &catalog), QO_OK);
        assert_int_equal(catalog.entry[i].info.n, cases[i].n);
        assert_int_equal(catalog.entry[i].info.type, ELEMENT_F32);
        assert_memory_equal(catalog.entry[i].info.name, cases[i].generate,
                            strlen(catalog.entry[i].info.name));
    }
    struct source_request request = {.generate = "normal:6", .num_dims = 2, .shape = {2, 3}};
    assert_int_equal(reader_synthetic.scan(&request, NULL, NULL, &catalog), QO_OK);
    assert_int_equal(catalog.entry[4].info.num_dims, 2);
    request.shape[0] = 3;
    assert_int_equal(reader_synthetic.scan(&request, NULL, NULL, &catalog), QO_USAGE);
    catalog_clear(&catalog);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_is_the_published_vector),
        cmocka_unit_test(test_large_differs_from_numpy),
        cmocka_unit_test(test_large_with_other_seeds),
        cmocka_unit_test(test_a_drawn_element_that_moved),
        cmocka_unit_test(test_an_element_depends_on_the_cut),
        cmocka_unit_test(test_distributions_out_of_shape),
        cmocka_unit_test(test_uniform_reaches_one),
        cmocka_unit_test(test_seeds_that_give_the_same),
        cmocka_unit_test(test_requests_that_must_be_refused),
        cmocka_unit_test(test_counts_and_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
