/* SPDX-License-Identifier: Apache-2.0 */
#include "blocks.h"
#include "vector.h"

/* A block's running sums: four error lanes a vector, the largest errors, elements with a level. */
struct running {
    __m256d lane[4], most[4];
    int64_t num_kept;
};

/* Sums go on from where an earlier part of the block left them. */
CPU_INLINE struct running running_from(const struct encode_sums *sums)
{
    struct running run = {.num_kept = 0};
    for (int q = 0; q < 4; q++) {
        run.lane[q] = _mm256_loadu_pd(sums->lane + 4 * q);
        run.most[q] = _mm256_set1_pd(sums->max_error);
    }
    return run;
}

static void running_finish(const struct running *run, int64_t n, struct encode_sums *sums)
{
    sums->num_outliers += n - run->num_kept;
    for (int q = 0; q < 4; q++) {
        double most[4];
        _mm256_storeu_pd(sums->lane + 4 * q, run->lane[q]);
        _mm256_storeu_pd(most, run->most[q]);
        for (int i = 0; i < 4; i++)
            sums->max_error = most[i] > sums->max_error ? most[i] : sums->max_error;
    }
}

CPU_INLINE void encode_vector(const struct vector_tables *t, enum element_type type, bool few,
                              const void *x, const uint16_t *slot, uint8_t *code,
                              struct running *run)
{
    const __m256d sign = _mm256_set1_pd(-0.0);
    struct vector v = vector_at(t, type, few, x, slot, false, code);
    for (int q = 0; q < 4; q++) {
        __m256d error = vector_error(&v, q);
        run->lane[q] = _mm256_add_pd(run->lane[q], _mm256_mul_pd(error, error));
        run->most[q] = _mm256_max_pd(run->most[q], _mm256_andnot_pd(sign, error));
    }
    run->num_kept += __builtin_popcount(v.mask);
}

/* Packs code[n], n rounded up to 8 with zeros, into ceil(n * bits / 8) bytes and not one more. */
static void pack_chunk(const uint8_t *code, int64_t n, int bits, uint8_t *out)
{
    int64_t bytes = (n * bits + 7) / 8;
    for (int64_t i = 0, at = 0; i < n; i += 8, at += bits) {
        uint64_t word;
        memcpy(&word, code + i, 8);
        int64_t used = bytes - at < bits ? bytes - at : bits;
        cpu_store_word(out + at, bytes - at, ops_pack(word, bits), (int)used);
    }
}

CPU_INLINE void encode_elements(enum element_type type, bool few, const struct sorter *sorter,
                                const void *x, int64_t n, uint8_t *codes, struct encode_sums *sums)
{
    uint8_t code[CPU_CHUNK];
    uint16_t slot[CPU_CHUNK];
    const struct vector_tables t = vector_tables_of(sorter);
    struct running run = running_from(sums);
    for (int64_t begin = 0; begin < n; begin += CPU_CHUNK) {
        int64_t m = n - begin < CPU_CHUNK ? n - begin : CPU_CHUNK, i = 0;
        const void *part = cpu_element(type, x, begin);
        if (!few)
            vector_fill_slots(sorter, type, part, m, slot);
        for (; i + CPU_GROUP <= m; i += CPU_GROUP)
            encode_vector(&t, type, few, cpu_element(type, part, i), slot + i, code + i, &run);
        if (i < m) {
            struct vector_tail tail;
            vector_pad(&tail, type, cpu_element(type, part, i), m - i);
            encode_vector(&t, type, few, tail.bytes, slot + i, code + i, &run);
        }
        if (codes)
            pack_chunk(code, m, sorter->bits, codes + begin / 8 * sorter->bits);
    }
    running_finish(&run, n, sums);
}

CPU_INLINE void encode_type(enum element_type type, const struct sorter *sorter, const void *x,
                            int64_t n, uint8_t *codes, struct encode_sums *sums)
{
    if (sorter->k <= SORTER_FEW)
        encode_elements(type, true, sorter, x, n, codes, sums);
    else
        encode_elements(type, false, sorter, x, n, codes, sums);
}

/* Without codes there is a copy that neither makes nor packs them. */
void encode_avx2(const struct sorter *sorter, enum element_type type, const void *x, int64_t n,
                 uint8_t *codes, struct encode_sums *sums)
{
    if (codes)
        CPU_BY_TYPE(type, encode_type, sorter, x, n, codes, sums);
    else
        CPU_BY_TYPE(type, encode_type, sorter, x, n, NULL, sums);
}

/* Whether each of x[16] gets a level. */
CPU_INLINE uint64_t kept_vector(const struct sorter *sorter, enum element_type type, const void *x)
{
    unsigned mask = 0;
    for (int q = 0; q < 4 && type == ELEMENT_F64; q++) {
        __m256d wide = _mm256_loadu_pd((const double *)x + 4 * q);
        mask |= (unsigned)_mm256_movemask_pd(vector_kept_wide(sorter, wide)) << 4 * q;
    }
    for (int h = 0; h < 2 && type != ELEMENT_F64; h++) {
        __m256 single = vector_load(type, cpu_element(type, x, 8 * h));
        mask |= (unsigned)_mm256_movemask_ps(vector_kept(sorter, single)) << 8 * h;
    }
    return mask;
}

CPU_INLINE void kept_elements(enum element_type type, const struct sorter *sorter, const void *x,
                              int64_t n, uint64_t *mask)
{
    int64_t i = 0;
    for (; i + CPU_GROUP <= n; i += CPU_GROUP)
        *mask |= kept_vector(sorter, type, cpu_element(type, x, i)) << i;
    if (i < n) {
        struct vector_tail tail;
        vector_pad(&tail, type, cpu_element(type, x, i), n - i);
        *mask |= kept_vector(sorter, type, tail.bytes) << i;
    }
}

/* Only compares: outliers are collected without looking for codes. */
uint64_t encode_kept_avx2(const struct sorter *sorter, enum element_type type, const void *x,
                          int64_t n)
{
    uint64_t mask = 0;
    CPU_BY_TYPE(type, kept_elements, sorter, x, n, &mask);
    return mask;
}
