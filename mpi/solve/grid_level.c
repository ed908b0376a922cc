/* SPDX-License-Identifier: Apache-2.0 */
#include "grid_level.h"

#include <math.h>

/* Level i of k. A range longer than the largest number is walked at half its length. */
static double grid_level(double lo, double hi, int i, int k)
{
    if (i == k - 1)
        return hi;
    double length = hi - lo;
    if (isfinite(length)) {
        double step = length / (k - 1);
        /* A step that underflows would put all levels on lo: divide last. */
        return step != 0 ? i * step + lo : (double)i / (k - 1) * length + lo;
    }
    double half_step = (0.5 * hi - 0.5 * lo) / (k - 1);
    return 2 * (i * half_step + 0.5 * lo);
}

void grid_level_fill(struct solution *solution, double lo, double hi, int k)
{
    solution->k = 0;
    for (int i = 0; i < k; i++) {
        double level = grid_level(lo, hi, i, k);
        /* In a range too narrow for k numbers some coincide; and rounding must not pass the end. */
        if (solution->k > 0 && !(level > solution->level[solution->k - 1]))
            continue;
        if (level <= hi)
            solution->level[solution->k++] = level;
    }
}
