/* SPDX-License-Identifier: Apache-2.0 */
#include "blocks.h"
#include "vector.h"

/* A block's running sums: four error lanes a vector, the largest errors, elements with a level. */
struct running {
    __m256d lane[4], most[4];
    int64_t num_kept;
};

CPU_INLINE void encode_vector(const struct vector_tables *t, enum element_type type, int steps,
                              const void *x, uint8_t *code, struct running *run)
{
    const __m256d sign = _mm256_set1_pd(-0.0);
    struct vector v = vector_at(t, type, steps, x, code);
    for (int q = 0; q < 4; q++) {
        __m256d error = vector_error(t, type, steps, &v, q);
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

static void finish(const struct running *run, int64_t n, struct encode_sums *sums)
{
    sums->num_outliers = n - run->num_kept;
    for (int q = 0; q < 4; q++) {
        double most[4];
        _mm256_storeu_pd(sums->lane + 4 * q, run->lane[q]);
        _mm256_storeu_pd(most, run->most[q]);
        for (int i = 0; i < 4; i++)
            sums->max_error = most[i] > sums->max_error ? most[i] : sums->max_error;
    }
}

CPU_INLINE void encode_elements(const struct sorter *sorter, enum element_type type, int steps,
                                const void *x, int64_t n, uint8_t *codes, struct encode_sums *sums)
{
    uint8_t code[CPU_CHUNK];
    const struct vector_tables t = vector_tables_of(sorter);
    struct running run = {0};
    for (int64_t begin = 0; begin < n; begin += CPU_CHUNK) {
        int64_t end = n - begin < CPU_CHUNK ? n : begin + CPU_CHUNK, i = begin;
        for (; i + CPU_GROUP <= end; i += CPU_GROUP)
            encode_vector(&t, type, steps, cpu_element(type, x, i), code + (i - begin), &run);
        if (i < end) {
            struct vector_tail tail;
            vector_pad(&tail, type, cpu_element(type, x, i), end - i);
            encode_vector(&t, type, steps, tail.bytes, code + (i - begin), &run);
        }
        pack_chunk(code, end - begin, sorter->bits, codes + begin / 8 * sorter->bits);
    }
    finish(&run, n, sums);
}

CPU_INLINE void encode_type(const struct sorter *sorter, enum element_type type, const void *x,
                            int64_t n, uint8_t *codes, struct encode_sums *sums)
{
    if (sorter->steps == 3)
        encode_elements(sorter, type, 3, x, n, codes, sums);
    else
        encode_elements(sorter, type, VECTOR_MANY, x, n, codes, sums);
}

/* A copy for each type and the commonest depth of search: what is constant is folded in. */
void encode_avx2(const struct sorter *sorter, enum element_type type, const void *x, int64_t n,
                 uint8_t *codes, struct encode_sums *sums)
{
    switch (type) {
    case ELEMENT_F64:
        encode_type(sorter, ELEMENT_F64, x, n, codes, sums);
        break;
    case ELEMENT_F32:
        encode_type(sorter, ELEMENT_F32, x, n, codes, sums);
        break;
    case ELEMENT_BF16:
        encode_type(sorter, ELEMENT_BF16, x, n, codes, sums);
        break;
    default:
        encode_type(sorter, ELEMENT_F16, x, n, codes, sums);
    }
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

CPU_INLINE uint64_t kept_elements(const struct sorter *sorter, enum element_type type,
                                  const void *x, int64_t n)
{
    uint64_t mask = 0;
    int64_t i = 0;
    for (; i + CPU_GROUP <= n; i += CPU_GROUP)
        mask |= kept_vector(sorter, type, cpu_element(type, x, i)) << i;
    if (i < n) {
        struct vector_tail tail;
        vector_pad(&tail, type, cpu_element(type, x, i), n - i);
        mask |= kept_vector(sorter, type, tail.bytes) << i;
    }
    return mask;
}

/* Only compares: outliers are collected without looking for codes. */
uint64_t encode_kept_avx2(const struct sorter *sorter, enum element_type type, const void *x,
                          int64_t n)
{
    switch (type) {
    case ELEMENT_F64:
        return kept_elements(sorter, ELEMENT_F64, x, n);
    case ELEMENT_F32:
        return kept_elements(sorter, ELEMENT_F32, x, n);
    case ELEMENT_BF16:
        return kept_elements(sorter, ELEMENT_BF16, x, n);
    default:
        return kept_elements(sorter, ELEMENT_F16, x, n);
    }
}
