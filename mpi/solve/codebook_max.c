/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The best k levels for the normal distribution. The density's logarithm is concave, so they are
 * the only ones that are the means of their cells (Fleischer 1964), and they are symmetric:
 * Newton's method finds those above 0, from the quantiles of the variance 3 (the cube root of the
 * density, Panter and Dite 1951), in some 5 steps. A mean moves with the two cuts of its cell
 * alone, so a step solves a tridiagonal system: O(k).
 *
 * Cells are integrated by Gauss's rule on 5 points over pieces of at most 1/8, which is exact to
 * rounding, and moments are taken about the cell's begin: a narrow cell cancels nothing. All is
 * made of sums, products, quotients and roots, which are rounded alike everywhere: no libm has a
 * say.
 */
#include <math.h>

#include "codebook.h"

/* Half of the levels, those above 0. */
#define MAX_HALF (SOLVER_MAX_LEVELS / 2)

/* More than Newton's method takes from such a start; it ends by itself where rounding is left. */
#define MOST_STEPS 20
#define ENOUGH     1e-15

/* Pieces of a cell; and where the density behind the last cut is no more. */
#define PIECE     0.125
#define LAST_CELL 12.0

/* Cells of the table of quantiles, and their width: where the tail has no level any more. */
#define TABLE_CELLS 4096
#define TABLE_WIDTH (12.0 / TABLE_CELLS)

/* A cell of the distribution: from a to b, its mass, its mean less a, and the density at its ends;
 * all but the mean without the factor 1 / sqrt(2 pi). */
struct cell_mean {
    double mass, mean, at_begin, at_end;
};

/* exp(-x): x = m ln 2 + r, and the series of exp(-r), whose terms below 2^-60 are left out. */
static double exp_minus(double x)
{
    const double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
    double m = floor(x / (ln2_high + ln2_low) + 0.5), r = (x - m * ln2_high) - m * ln2_low;
    double sum = 1;
    for (int i = 16; i > 0; i--)
        sum = 1 - r / i * sum;
    return m > 1100 ? 0 : ldexp(sum, -(int)m);
}

static double density(double x)
{
    return exp_minus(0.5 * x * x);
}

/* Adds the mass from `from` to `to`, and the moment about `about`. */
static void integrate(double from, double to, double about, double *mass, double *moment)
{
    double near = sqrt(5 - 2 * sqrt(10.0 / 7)) / 3, far = sqrt(5 + 2 * sqrt(10.0 / 7)) / 3;
    double near_weight = (322 + 13 * sqrt(70)) / 900, far_weight = (322 - 13 * sqrt(70)) / 900;
    const double place[5] = {-far, -near, 0, near, far};
    const double weight[5] = {far_weight, near_weight, 128.0 / 225, near_weight, far_weight};
    double half = 0.5 * (to - from), middle = from + half;
    for (int i = 0; i < 5; i++) {
        double x = middle + half * place[i], part = half * weight[i] * density(x);
        *mass += part;
        *moment += part * (x - about);
    }
}

/* The cell from a to b; b = INFINITY for the last one. */
static struct cell_mean cell_mean(double a, double b)
{
    double end = b < INFINITY ? b : a + LAST_CELL, mass = 0, moment = 0;
    int pieces = (int)ceil((end - a) / PIECE);
    for (int i = 0; i < pieces; i++)
        integrate(a + (end - a) * i / pieces, a + (end - a) * (i + 1) / pieces, a, &mass, &moment);
    return (struct cell_mean){mass, moment / mass, density(a), b < INFINITY ? density(b) : 0};
}

/* Quantiles of the half normal distribution of variance 3 at the middles of n equal parts; the
 * first part is half as large where a level lies on 0. */
static void start(int n, bool has_zero, double *y)
{
    double sum = 0, all = 0;
    for (int i = 0; i < TABLE_CELLS; i++)
        all += density((i + 0.5) * TABLE_WIDTH / sqrt(3));
    for (int i = 0, j = 0; i < TABLE_CELLS && j < n; i++) {
        sum += density((i + 0.5) * TABLE_WIDTH / sqrt(3));
        for (; j < n && sum >= all * (j + (has_zero ? 1 : 0.5)) / (n + (has_zero ? 0.5 : 0)); j++)
            y[j] = (i + 0.5) * TABLE_WIDTH;
    }
}

/* One step of Newton's method for y[i] = mean of its cell; returns how far a level moved. */
static double step(int n, bool has_zero, double *y)
{
    double above[MAX_HALF], right[MAX_HALF]; /* of the system, as it is eliminated */
    double begin = has_zero ? 0.5 * y[0] : 0, moved = 0;
    for (int i = 0; i < n; i++) {
        double end = i + 1 < n ? 0.5 * y[i] + 0.5 * y[i + 1] : INFINITY;
        struct cell_mean cell = cell_mean(begin, end);
        /* Half the derivatives of the mean by its cuts, each of which moves with two levels. */
        double by_begin = i > 0 || has_zero ? 0.5 * cell.at_begin * cell.mean / cell.mass : 0;
        double by_end = i + 1 < n ? 0.5 * cell.at_end * (end - begin - cell.mean) / cell.mass : 0;
        double own = 1 - by_begin - by_end, value = (begin - y[i]) + cell.mean;
        if (i > 0) {
            own -= by_begin * above[i - 1];
            value += by_begin * right[i - 1];
        }
        above[i] = by_end / own;
        right[i] = value / own;
        begin = end;
    }
    for (int i = n - 1; i >= 0; i--) {
        if (i + 1 < n)
            right[i] += above[i] * right[i + 1];
        y[i] += right[i];
        moved = fmax(moved, fabs(right[i]));
    }
    return moved;
}

void codebook_fill_max(int k, struct codebook *book)
{
    double y[MAX_HALF] = {0};
    int n = k / 2;
    bool has_zero = k % 2 == 1;
    start(n, has_zero, y);
    double moved = INFINITY;
    for (int i = 0; i < MOST_STEPS && moved > ENOUGH; i++)
        moved = step(n, has_zero, y);
    book->k = k;
    for (int i = 0; i < n; i++) {
        book->value[i] = -y[n - 1 - i];
        book->value[k - n + i] = y[i];
    }
    if (has_zero)
        book->value[n] = 0;
}
