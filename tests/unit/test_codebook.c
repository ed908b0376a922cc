/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixed codebooks: the levels of Max against print and against the condition that they meet; the
 * best scale against brute force, every assignment that a scale can lead to with its own best fit,
 * in long double; and what must hold for any vector.
 */
#include "codebook.h"

#include <float.h>

#include "grid_fixture.h"
#include "grid_search.h"

/* ---- Codebooks ---- */

static const char *const literature[] = {"nf4", "af4", "fp4", "e2m1", "iq4_nl"};

static void test_published_codebook_is_missing(void **state)
{
    (void)state;
    const int k[] = {16, 16, 15, 15, 16};
    struct codebook book;
    for (int i = 0; i < 5; i++) {
        assert_string_equal(codebook_names[i], literature[i]);
        assert_true(codebook_find(literature[i], &book));
        assert_int_equal(k[i], book.k);
        assert_int_equal(4, codebook_bits(&book));
        for (int j = 1; j < book.k; j++)
            assert_true(book.value[j - 1] < book.value[j]);
    }
    assert_null(codebook_names[5]);
    assert_false(codebook_find("nf", &book));
    assert_false(codebook_find("NF4", &book));
}

static void test_width_is_not_that_of_the_values(void **state)
{
    (void)state;
    const int k[] = {1, 2, 3, 4, 5, 8, 9, 16, 17, 128, 129, 256};
    const int bits[] = {1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 8};
    for (int i = 0; i < 12; i++)
        assert_int_equal(bits[i], codebook_bits(&(struct codebook){.k = k[i]}));
}

/* Max 1960, table 1: levels above 0 and the mean squared error; four digits, the last of which may
 * be off by one there. */
static void test_max_levels_are_not_those_in_print(void **state)
{
    (void)state;
    const struct {
        int k;
        double level[4], error;
    } print[] = {{2, {0.7980}, 0.3634},
                 {3, {0, 1.224}, 0.1902},
                 {4, {0.4528, 1.510}, 0.1175},
                 {5, {0, 0.7646, 1.724}, 0.07994},
                 {8, {0.2451, 0.7560, 1.344, 2.152}, 0.03454}};
    for (size_t i = 0; i < sizeof print / sizeof *print; i++) {
        int k = print[i].k, first = k / 2;
        struct codebook book;
        codebook_fill_max(k, &book);
        assert_int_equal(k, book.k);
        for (int j = 0; first + j < k; j++)
            assert_true(fabs(book.value[first + j] - print[i].level[j]) <= 6e-4);
    }
}

/* The mass of the normal distribution between a and b, 0 <= a < b. */
static long double mass_of(long double a, long double b)
{
    const long double root = sqrtl(2);
    return 0.5L * (erfcl(a / root) - (isinf(b) ? 0 : erfcl(b / root)));
}

static long double normal_density(long double x)
{
    return isinf(x) ? 0 : expl(-0.5L * x * x) / sqrtl(2 * acosl(-1));
}

/* Every level the mean of its cell, for every k; and the errors of the literature, computed to nine
 * digits. */
static void test_max_level_is_no_mean(void **state)
{
    (void)state;
    const int known[] = {2, 3, 4, 8, 16, 32};
    const double errors[] = {0.363380228, 0.190174039, 0.117481848,
                             0.034547761, 0.009501008, 0.002504668};
    for (int k = 2, at = 0; k <= SOLVER_MAX_LEVELS; k++) {
        struct codebook book;
        codebook_fill_max(k, &book);
        long double energy = 0;
        for (int i = k / 2; i < k; i++) {
            double level = book.value[i];
            assert_true(book.value[k - 1 - i] == -level);
            assert_true(level > book.value[i - 1]);
            if (level == 0)
                continue;
            long double a = i == k / 2 && k % 2 == 0 ? 0 : 0.5L * (book.value[i - 1] + level);
            long double b = i + 1 < k ? 0.5L * (book.value[i + 1] + (long double)level) : INFINITY;
            long double mass = mass_of(a, b);
            long double mean = (normal_density(a) - normal_density(b)) / mass;
            assert_true(fabsl(mean - level) <= 2e-15L * fmaxl(1, level));
            energy += 2 * mass * mean * mean;
        }
        if (at < 6 && known[at] == k)
            assert_true(fabsl(1 - energy - errors[at++]) < 6e-10L);
    }
}

/* ---- The best scale ---- */

static struct problem book_problem(const struct histogram *histogram, const double *x, int64_t n,
                                   const struct codebook *book)
{
    struct problem problem = problem_of(histogram, x, n, codebook_bits(book), LEVELS_CODEBOOK);
    problem.codebook = book;
    return problem;
}

/* How far a number is from the nearest of some. */
static double distance(double x, const double *other, int n, double factor)
{
    double least = INFINITY;
    for (int i = 0; i < n; i++) {
        double y = fmax(fmin(factor * other[i], DBL_MAX), -DBL_MAX);
        least = fmin(least, fabs(0.5 * x - 0.5 * y));
    }
    return 2 * least;
}

/* What every solution must be: the values times the scale, but for rounding. */
static void check_levels(const struct solution *solution, const struct codebook *book)
{
    double scale = solution->scale;
    if (!isfinite(scale) || fabs(scale) < 1e-290) /* it has few digits, or none */
        return;
    for (int i = 0; i < solution->k; i++) {
        double rounding = 0x1p-51 * fabs(solution->level[i]) + DBL_TRUE_MIN;
        assert_true(distance(solution->level[i], book->value, book->k, scale) <= rounding);
    }
    for (int i = 0; i < book->k; i++) {
        double level = fmax(fmin(scale * book->value[i], DBL_MAX), -DBL_MAX);
        double rounding = 0x1p-51 * fabs(level) + DBL_TRUE_MIN;
        assert_true(distance(level, solution->level, solution->k, 1) <= rounding);
    }
}

static struct solution solve_book(const double *x, int64_t n, const struct codebook *book)
{
    struct histogram histogram = new_histogram(ELEMENT_F64, x, n);
    struct problem problem = book_problem(&histogram, x, n, book);
    struct solution solution = solve_problem(&problem);
    check_levels(&solution, book);
    histogram_clear(&histogram);
    return solution;
}

/* The error of the least squares fit of x by s * q. */
static long double fit_error(const double *x, const long double *q, int n)
{
    long double qq = 0, qx = 0, error = 0;
    for (int i = 0; i < n; i++) {
        qq += q[i] * q[i];
        qx += q[i] * x[i];
    }
    long double s = qq > 0 ? qx / qq : 0;
    for (int i = 0; i < n; i++)
        error += (x[i] - s * q[i]) * (x[i] - s * q[i]);
    return error;
}

/* The value of a codebook nearest to x at a scale s > 0, of either sign. */
static long double nearest(const struct codebook *book, long double s, int sign, double x)
{
    long double best = INFINITY, value = 0;
    for (int j = 0; j < book->k; j++) {
        long double away = fabsl(x - s * sign * book->value[j]);
        if (away < best) {
            best = away;
            value = sign * book->value[j];
        }
    }
    return value;
}

/* The scales at which some element passes from one level to the next, and a fit between any two. */
static long double best_of_sign(const double *x, int n, const struct codebook *book, int sign)
{
    static double pass[10 * SOLVER_MAX_LEVELS + 2];
    int count = 0;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j + 1 < book->k; j++) {
            double middle = sign * (0.5 * book->value[j] + 0.5 * book->value[j + 1]);
            double s = x[i] / middle;
            if (s > 0 && isfinite(s))
                pass[count++] = s;
        }
    }
    pass[count++] = 0;
    qsort(pass, (size_t)count, sizeof *pass, order_doubles);
    pass[count] = pass[count - 1] > 0 ? fmin(3 * pass[count - 1], DBL_MAX) : 1;
    long double best = INFINITY, q[10];
    for (int p = 1; p <= count; p++) {
        long double s = 0.5L * pass[p - 1] + 0.5L * pass[p];
        for (int i = 0; i < n; i++)
            q[i] = nearest(book, s, sign, x[i]);
        best = fminl(best, fit_error(x, q, n));
    }
    return best;
}

static long double best_scale(const double *x, int n, const struct codebook *book)
{
    return fminl(best_of_sign(x, n, book, 1), best_of_sign(x, n, book, -1));
}

/* Codebooks of all sorts. */
static void make_book(struct dice *dice, int kind, struct codebook *book)
{
    if (kind < 5) {
        assert_true(codebook_find(literature[kind], book));
        return;
    }
    if (kind == 5) {
        codebook_fill_max(2 + (int)(20 * dice_uniform(dice)), book);
        return;
    }
    double value[8];
    int n = 1 + (int)(8 * dice_uniform(dice));
    for (int i = 0; i < n; i++) {
        double u = dice_uniform(dice), z = dice_normal(dice);
        const double made[] = {z, u + 0.01, -u - 0.01, floor(4 * z), z * z * z * 1e-3, 5 + u};
        value[i] = made[kind - 6] + 0.0;
    }
    qsort(value, (size_t)n, sizeof *value, order_doubles);
    book->k = 0;
    for (int i = 0; i < n; i++)
        if (book->k == 0 || value[i] > book->value[book->k - 1])
            book->value[book->k++] = value[i];
}

enum { BOOKS = 12 };

/* Small vectors of all sorts; ascending. */
static void make_small(struct dice *dice, int kind, double *x, int n)
{
    for (int i = 0; i < n; i++) {
        double u = dice_uniform(dice), z = dice_normal(dice);
        const double made[] = {
            z, floor(u * 17) - 8, u, -u, 300 * (u < 0.5) + 1e-3 * z, z * z * z, 1e6 + z};
        x[i] = made[kind] + 0.0;
    }
    qsort(x, (size_t)n, sizeof *x, order_doubles);
}

enum { KINDS = 7 };

static void test_another_scale_is_better(void **state)
{
    (void)state;
    struct dice dice = {21};
    double x[10];
    struct codebook book;
    for (int round = 0; round < 1500; round++) {
        int n = 1 + (int)(10 * dice_uniform(&dice));
        make_small(&dice, round % KINDS, x, n);
        make_book(&dice, round % BOOKS, &book);
        struct solution solution = solve_book(x, n, &book);
        long double error = error_of(x, n, solution.level, solution.k);
        long double best = best_scale(x, n, &book);
        long double size = fmaxl(fabsl(x[0]), fabsl(x[n - 1])), rounding = 3 * size * DBL_EPSILON;
        long double allowed =
            3e-9L * best + 4 * sqrtl(best * n) * rounding + n * rounding * rounding;
        if (!(fabsl(error - best) <= allowed))
            print_error("round %d: %.15Lg with %g, possible is %.15Lg\n", round, error,
                        solution.scale, best);
        assert_true(fabsl(error - best) <= allowed);
    }
}

static void test_fine_scan_finds_a_better_scale(void **state)
{
    (void)state;
    struct dice dice = {22};
    for (int kind = 0; kind < NASTY; kind++) {
        double *x = new_nasty(kind, NASTY_N);
        for (int b = 0; b < BOOKS; b++) {
            struct codebook book;
            make_book(&dice, b, &book);
            struct solution solution = solve_book(x, NASTY_N, &book);
            long double error = error_of(x, NASTY_N, solution.level, solution.k);
            for (int i = -300; i <= 300; i++) {
                double scale = (fabs(solution.scale) + 1e-3) * i / 100, level[SOLVER_MAX_LEVELS];
                for (int j = 0; j < book.k; j++)
                    level[j] = scale * book.value[scale < 0 ? book.k - 1 - j : j];
                assert_true(error <= error_of(x, NASTY_N, level, book.k) * (1 + 3e-9L));
            }
        }
        free(x);
    }
}

/* The best levels for a distribution are best with the scale 1. */
static void test_max_levels_want_another_scale(void **state)
{
    (void)state;
    const int k[] = {2, 3, 4, 16, 31};
    const double errors[] = {0.3633802, 0.1901740, 0.1174818, 0.009501008};
    int n = 60001;
    double *x = new_ideal_normals(n);
    for (int i = 0; i < 5; i++) {
        struct codebook book;
        codebook_fill_max(k[i], &book);
        struct solution solution = solve_book(x, n, &book);
        double error = (double)error_of(x, n, solution.level, solution.k) / n;
        assert_true(fabs(solution.scale - 1) < 2e-3);
        assert_true(i == 4 || fabs(error / errors[i] - 1) < 3e-3);
    }
    free(x);
}

/* Every search of a codebook with few values ends with its proof, and so does one with 256. */
static void test_proof_takes_too_long(void **state)
{
    (void)state;
    const int k[] = {2, 3, 16, 100, 256};
    double *x = new_normals(60000, 23);
    qsort(x, 60000, sizeof *x, order_doubles);
    struct histogram histogram = new_histogram(ELEMENT_F64, x, 60000);
    for (int i = 0; i < 5; i++) {
        struct codebook book;
        codebook_fill_max(k[i], &book);
        struct problem problem = book_problem(&histogram, x, 60000, &book);
        struct points points;
        struct grid_error error;
        struct grid_table table = {.k = book.k};
        assert_int_equal(QO_OK, points_init(&points, &problem));
        assert_int_equal(QO_OK, grid_error_init(&error, &points, 0, false, problem.bits));
        for (int j = 0; j < book.k; j++) {
            table.value[j] = book.value[j] / 8;
            table.square[j] = wide_product(table.value[j], table.value[j]);
            if (j > 0)
                table.middle[j - 1] = 0.5 * (table.value[j - 1] + table.value[j]);
        }
        error.table = &table;
        struct grid_task task = {.corner = {{0, 0}, {1 / table.value[book.k / 2 + k[i] % 2], 0}},
                                 .start = {1, 0}};
        struct grid_found found;
        task.work = 1e7;
        assert_int_equal(QO_OK, grid_search(&error, &task, &found));
        assert_true(found.bound >= found.error * (1 - 1.001 * GRID_SEARCH_GAP));
        /* A search whose time is up bounds every scale from below all the same. */
        for (task.work = 0; task.work < 2000; task.work += 400) {
            struct grid_found early;
            assert_int_equal(QO_OK, grid_search(&error, &task, &early));
            assert_true(early.bound <= found.error && early.error >= found.error * (1 - 2e-9));
        }
        grid_error_clear(&error);
        points_clear(&points);
    }
    histogram_clear(&histogram);
    free(x);
}

/* ---- What must hold for any vector ---- */

static void test_values_on_levels_have_an_error(void **state)
{
    (void)state;
    const double scales[] = {1, -1, 0.1, -3e-5, 7e200, -1e-200};
    double x[64];
    for (int b = 0; b < 5; b++) {
        struct codebook book;
        assert_true(codebook_find(literature[b], &book));
        for (int s = 0; s < 6; s++) {
            for (int i = 0; i < 64; i++)
                x[i] = scales[s] * book.value[i % book.k] + 0.0;
            struct solution solution = solve_book(x, 64, &book);
            long double error = error_of(x, 64, solution.level, solution.k);
            long double size = 0;
            for (int i = 0; i < 64; i++)
                size += (long double)x[i] * x[i];
            assert_true(error <= 1e-31L * size);
            bool symmetric = b == 2 || b == 3;
            double scale = symmetric ? fabs(scales[s]) : scales[s];
            assert_true(fabs(solution.scale / scale - 1) <= 4 * DBL_EPSILON);
        }
    }
}

static void test_mirror_changes_more_than_the_sign(void **state)
{
    (void)state;
    struct dice dice = {24};
    double *x = new_nasty(0, NASTY_N), *y = new_array(NASTY_N, sizeof *y);
    for (int i = 0; i < NASTY_N; i++)
        y[i] = -x[NASTY_N - 1 - i];
    for (int b = 0; b < BOOKS; b++) {
        struct codebook book;
        make_book(&dice, b, &book);
        struct solution a = solve_book(x, NASTY_N, &book), c = solve_book(y, NASTY_N, &book);
        long double one = error_of(x, NASTY_N, a.level, a.k);
        long double other = error_of(y, NASTY_N, c.level, c.k);
        assert_true(fabsl(one / other - 1) <= 3e-9L);
    }
    free(x);
    free(y);
}

/* Data that are their own mirror image fit as well either way round. */
static void test_tie_is_decided_for_the_negative_scale(void **state)
{
    (void)state;
    double *x = new_normals(2000, 25);
    for (int i = 0; i < 1000; i++)
        x[1999 - i] = -x[i];
    qsort(x, 2000, sizeof *x, order_doubles);
    for (int b = 0; b < 5; b++) {
        struct codebook book;
        assert_true(codebook_find(literature[b], &book));
        assert_true(solve_book(x, 2000, &book).scale > 0);
    }
    free(x);
}

static void test_power_of_two_changes_more_than_the_scale(void **state)
{
    (void)state;
    const int power[] = {1, 400, -400, -3};
    struct codebook book, other;
    double *x = new_nasty(0, NASTY_N), *y = new_array(NASTY_N, sizeof *y);
    assert_true(codebook_find("nf4", &book));
    struct solution a = solve_book(x, NASTY_N, &book);
    for (int p = 0; p < 4; p++) {
        for (int i = 0; i < NASTY_N; i++)
            y[i] = ldexp(x[i], power[p]);
        struct solution b = solve_book(y, NASTY_N, &book);
        assert_true(b.scale == ldexp(a.scale, power[p]));
        other = book;
        for (int i = 0; i < book.k; i++)
            other.value[i] = ldexp(book.value[i], power[p]);
        struct solution c = solve_book(x, NASTY_N, &other);
        assert_true(c.scale == ldexp(a.scale, -power[p]));
        assert_memory_equal(a.level, c.level, 16 * sizeof *a.level);
    }
    free(x);
    free(y);
}

static void test_vector_without_a_best_scale(void **state)
{
    (void)state;
    struct codebook book, one = {1, {-2.5}}, none = {1, {0}}, up = {2, {1, 3}};
    assert_true(codebook_find("iq4_nl", &book));
    const double zeros[] = {0, 0, -0.0}, both[] = {-1, 1}, minus[] = {-7};
    struct solution solution = solve_book(zeros, 3, &book);
    assert_true(solution.k == 1 && solution.level[0] == 0 && solution.scale == 0);
    solution = solve_book(minus, 1, &none);
    assert_true(solution.k == 1 && solution.level[0] == 0);
    solution = solve_book(both, 2, &one); /* the only case in which 0 is best */
    assert_true(solution.k == 1 && solution.level[0] == 0);
    solution = solve_book(minus, 1, &one);
    assert_true(solution.k == 1 && solution.level[0] == -7 && solution.scale == 2.8);
    solution = solve_book(minus, 1, &up); /* of values all above 0 the mirror image */
    assert_true(solution.k == 2 && solution.scale < 0);
    assert_true(solution.level[0] == -7 || solution.level[1] == -7);
    solution = solve_book(both, 2, &up);
    assert_true(solution.k == 2 && solution.scale != 0);
    struct histogram histogram = new_histogram(ELEMENT_F64, both, 2);
    struct problem problem = book_problem(&histogram, both, 0, &book);
    solution = solve_problem(&problem);
    assert_true(solution.k == 1 && solution.level[0] == 0 && solution.scale == 0);
    histogram_clear(&histogram);
}

/* Levels stay finite and ascending, and one value is met. */
static void test_extreme_numbers_break_levels(void **state)
{
    (void)state;
    const double values[] = {DBL_MAX, -DBL_MAX, DBL_TRUE_MIN, -DBL_TRUE_MIN, 1e-310, 1, -1e-300};
    const struct codebook books[] = {{3, {-DBL_MAX, 0, DBL_MAX}},
                                     {2, {DBL_TRUE_MIN, 1}},
                                     {3, {-DBL_TRUE_MIN, 0, 2 * DBL_TRUE_MIN}},
                                     {4, {-1e-320, 1e-300, 1, DBL_MAX}},
                                     {2, {1, 1 + DBL_EPSILON}}};
    for (int b = 0; b < 5; b++) {
        for (int v = 0; v < 7; v++) {
            const double x[] = {values[v], values[v]};
            struct solution solution = solve_book(x, 2, &books[b]);
            double away = INFINITY;
            for (int i = 0; i < solution.k; i++)
                away = fmin(away, fabs(solution.level[i] - x[0]));
            assert_true(away <= 2 * DBL_EPSILON * fabs(x[0]));
        }
        const double wide[] = {-DBL_MAX, -1, -DBL_TRUE_MIN, 0, 1e-300, 0.5 * DBL_MAX, DBL_MAX};
        (void)solve_book(wide, 7, &books[b]);
    }
}

/* Elements beyond the bounds have no level, and must not move any. */
static void test_outliers_move_the_levels(void **state)
{
    (void)state;
    struct codebook book;
    assert_true(codebook_find("nf4", &book));
    double *x = new_nasty(0, NASTY_N);
    struct histogram histogram = new_histogram(ELEMENT_F64, x, NASTY_N);
    int first = 0, last = NASTY_N;
    while (x[first] < -2)
        first++;
    while (x[last - 1] > 2)
        last--;
    struct problem problem = book_problem(&histogram, x + first, last - first, &book);
    problem.lo = -2;
    problem.hi = 2;
    struct solution within = solve_problem(&problem);
    struct solution alone = solve_book(x + first, last - first, &book);
    assert_true(within.scale == alone.scale);
    histogram_clear(&histogram);
    free(x);
}

/* Each allocation fails once; the sanitizers see what is not freed. */
static void test_failed_allocation_leaks(void **state)
{
    (void)state;
    double *x = new_normals(50, 41);
    struct codebook book;
    assert_true(codebook_find("nf4", &book));
    struct histogram histogram = new_histogram(ELEMENT_F64, x, 50);
    struct problem problem = book_problem(&histogram, x, 50, &book);
    check_failed_allocations(&problem, 10);
    histogram_clear(&histogram);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_codebook_is_missing),
        cmocka_unit_test(test_width_is_not_that_of_the_values),
        cmocka_unit_test(test_max_levels_are_not_those_in_print),
        cmocka_unit_test(test_max_level_is_no_mean),
        cmocka_unit_test(test_another_scale_is_better),
        cmocka_unit_test(test_fine_scan_finds_a_better_scale),
        cmocka_unit_test(test_max_levels_want_another_scale),
        cmocka_unit_test(test_proof_takes_too_long),
        cmocka_unit_test(test_values_on_levels_have_an_error),
        cmocka_unit_test(test_mirror_changes_more_than_the_sign),
        cmocka_unit_test(test_tie_is_decided_for_the_negative_scale),
        cmocka_unit_test(test_power_of_two_changes_more_than_the_scale),
        cmocka_unit_test(test_vector_without_a_best_scale),
        cmocka_unit_test(test_extreme_numbers_break_levels),
        cmocka_unit_test(test_outliers_move_the_levels),
        cmocka_unit_test(test_failed_allocation_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
