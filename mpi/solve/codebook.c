/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Published codebooks.
 *
 * nf4: 16 values, Dettmers et al. 2023, "QLoRA" (arXiv 2305.14314), appendix E, as bitsandbytes
 * has them: float32 numbers.
 *
 * af4: 16 values, Yoshida 2023, "NF4 isn't information theoretically optimal (and that's good)"
 * (arXiv 2306.06965), the table for blocks of 64.
 *
 * fp4: 15 values, the 4-bit floats of bitsandbytes: 0, 0.0625, 2, 3, 4, 6, 8, 12 with both signs,
 * over 12. Zero has two codes there, and one here.
 *
 * e2m1: 15 values, the 4-bit floats of the OCP Microscaling Formats (MX) specification 1.0, section
 * 5.3.3: 0, 0.5, 1, 1.5, 2, 3, 4, 6 with both signs.
 *
 * iq4_nl: 16 values, the table of llama.cpp's IQ4_NL and IQ4_XS.
 */
#include "codebook.h"

#include <string.h>

/* The most values that a published one has. */
#define MOST_VALUES 16

const char *const codebook_names[] = {"nf4", "af4", "fp4", "e2m1", "iq4_nl", NULL};

/* In the order of the names; times 1 / over they are the codebook. */
static const struct {
    int k;
    double over;
    double value[MOST_VALUES];
} published[] = {
    {16,
     1,
     {-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
      -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
      0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
      0.7229568362236023, 1.0}},
    {16,
     1,
     {-1.0, -0.69441008, -0.51243739, -0.3736951, -0.25607552, -0.14982478, -0.04934812, 0.0,
      0.04273164, 0.12934483, 0.21961274, 0.31675666, 0.42563882, 0.55496234, 0.72424863, 1.0}},
    {15, 12, {-12, -8, -6, -4, -3, -2, -0.0625, 0, 0.0625, 2, 3, 4, 6, 8, 12}},
    {15, 1, {-6, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6}},
    {16, 1, {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}},
};

bool codebook_find(const char *name, struct codebook *book)
{
    for (int i = 0; codebook_names[i]; i++) {
        if (strcmp(codebook_names[i], name) != 0)
            continue;
        book->k = published[i].k;
        for (int j = 0; j < book->k; j++)
            book->value[j] = published[i].value[j] / published[i].over;
        return true;
    }
    return false;
}

int codebook_bits(const struct codebook *book)
{
    int bits = 1;
    while (1 << bits < book->k)
        bits++;
    return bits;
}
