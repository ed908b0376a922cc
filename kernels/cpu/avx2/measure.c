/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "blocks.h"
#include "measure_block.h"

/*
 * Counting, a vector of keys at a time. A gather finds their words; shifts give the places of their
 * cells, and multiplications what to add there. Then each cell is loaded, added to and stored as
 * one vector. That is done a step later, while the words of the next keys are on their way. Keys
 * whose words are not CELLS are counted one by one, while their lanes add to the spare cells.
 */

/* Which words of a vector are not CELLS: their kind is in the two top bits. */
CPU_INLINE __m256i flags_f32(__m256i word)
{
    return _mm256_cmpgt_epi32(_mm256_srli_epi32(word, 30), _mm256_setzero_si256());
}

/* Adds to one cell. */
CPU_INLINE void add_slim(struct slim_cell *table, uint32_t cell, __m128i sums)
{
    __m128i *at = (__m128i *)(void *)&table[cell];
    _mm_store_si128(at, _mm_add_epi64(_mm_load_si128(at), sums));
}

/* Adds four elements to their cells. */
CPU_INLINE void add_4_slim(struct slim_cell *table, const uint32_t *cell, __m128i offsets)
{
    __m256i offset = _mm256_cvtepu32_epi64(offsets), square = _mm256_mul_epu32(offset, offset);
    __m256i sum = _mm256_add_epi64(offset, _mm256_set1_epi64x((int64_t)1 << 40));
    __m256i even = _mm256_unpacklo_epi64(sum, square), odd = _mm256_unpackhi_epi64(sum, square);
    add_slim(table, cell[0], _mm256_castsi256_si128(even));
    add_slim(table, cell[1], _mm256_castsi256_si128(odd));
    add_slim(table, cell[2], _mm256_extracti128_si256(even, 1));
    add_slim(table, cell[3], _mm256_extracti128_si256(odd, 1));
}

CPU_INLINE void add_8_slim(struct slim_cell *table, const uint32_t *cell, __m256i offset)
{
    add_4_slim(table, cell, _mm256_castsi256_si128(offset));
    add_4_slim(table, cell + 4, _mm256_extracti128_si256(offset, 1));
}

static bool count_f32(const struct lookup *lookup, const uint32_t *bits, int n, uintptr_t ahead,
                      struct measure_part *part)
{
    uint32_t key[MEASURE_CHUNK];
    bool equal = measure_keys_f32(bits, n, key, part);
    const __m256i spare = _mm256_add_epi32(_mm256_set1_epi32((int)lookup->num_cells),
                                           _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
    uint32_t cell[16];
    __m256i offset = _mm256_setzero_si256();
    int i = 0;
    _mm256_storeu_si256((__m256i *)(void *)(cell + 8), spare);
    for (; i + 8 <= n; i += 8) {
        __m256i k = _mm256_loadu_si256((const __m256i *)(const void *)(key + i));
        __m256i word = _mm256_i32gather_epi32((const int *)lookup->word,
                                              _mm256_srli_epi32(k, 23 - LOOKUP_TOP_BITS), 4);
        __m256i shift = _mm256_and_si256(word, _mm256_set1_epi32(63)), flags = flags_f32(word);
        __m256i place = _mm256_add_epi32(_mm256_srli_epi32(word, 6), _mm256_srlv_epi32(k, shift));
        place = _mm256_and_si256(place, _mm256_set1_epi32(LOOKUP_PLACES));
        _mm256_storeu_si256((__m256i *)(void *)(cell + (i & 8)),
                            _mm256_blendv_epi8(place, spare, flags));
        __builtin_prefetch((const void *)(ahead + (uintptr_t)i * sizeof *key));
        add_8_slim(part->slim, cell + (~i & 8), offset);
        offset = _mm256_andnot_si256(_mm256_sllv_epi32(_mm256_set1_epi32(-1), shift), k);
        unsigned flagged = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(flags));
        for (; flagged; flagged &= flagged - 1)
            measure_add_f32(lookup, key[i + __builtin_ctz(flagged)], 1, part);
    }
    add_8_slim(part->slim, cell + (~i & 8), offset);
    for (; i < n; i++) /* fewer than a vector */
        measure_add_f32(lookup, key[i], 1, part);
    return equal;
}

/* a < b, unsigned, as a mask of 64 bits a lane. */
CPU_INLINE __m256i less_u64(__m256i a, __m256i b)
{
    const __m256i sign = _mm256_set1_epi64x(INT64_MIN);
    return _mm256_cmpgt_epi64(_mm256_xor_si256(b, sign), _mm256_xor_si256(a, sign));
}

/* Adds two numbers of 128 bits to a cell: where a lower word wraps, the mask, moved up and
 * subtracted, carries. */
CPU_INLINE void add_broad(struct broad_cell *table, uint32_t cell, __m256i sums)
{
    __m256i *at = (__m256i *)(void *)&table[cell];
    __m256i now = _mm256_add_epi64(_mm256_load_si256(at), sums);
    __m256i carry = _mm256_bslli_epi128(less_u64(now, sums), 8);
    _mm256_store_si256(at, _mm256_sub_epi64(now, carry));
}

/* Adds four elements to their cells. A square has up to 104 bits: (2^32 b + a)^2. */
CPU_INLINE void add_4_broad(struct broad_cell *table, const uint32_t *cell, __m256i offset)
{
    const __m256i one = _mm256_set1_epi64x(1 << 16); /* one element, in the upper word */
    __m256i b = _mm256_srli_epi64(offset, 32), aa = _mm256_mul_epu32(offset, offset);
    __m256i ab = _mm256_slli_epi64(_mm256_mul_epu32(offset, b), 1); /* < 2^53 */
    __m256i low = _mm256_add_epi64(aa, _mm256_slli_epi64(ab, 32));
    __m256i high = _mm256_add_epi64(_mm256_mul_epu32(b, b), _mm256_srli_epi64(ab, 32));
    high = _mm256_sub_epi64(high, less_u64(low, aa));
    __m256i sum02 = _mm256_unpacklo_epi64(offset, one), sum13 = _mm256_unpackhi_epi64(offset, one);
    __m256i sqr02 = _mm256_unpacklo_epi64(low, high), sqr13 = _mm256_unpackhi_epi64(low, high);
    add_broad(table, cell[0], _mm256_permute2x128_si256(sum02, sqr02, 0x20));
    add_broad(table, cell[1], _mm256_permute2x128_si256(sum13, sqr13, 0x20));
    add_broad(table, cell[2], _mm256_permute2x128_si256(sum02, sqr02, 0x31));
    add_broad(table, cell[3], _mm256_permute2x128_si256(sum13, sqr13, 0x31));
}

/* The lower halves of four words of 64 bits. */
CPU_INLINE __m128i narrow(__m256i words)
{
    return _mm256_castsi256_si128(
        _mm256_permutevar8x32_epi32(words, _mm256_set_epi32(7, 5, 3, 1, 6, 4, 2, 0)));
}

static bool count_f64(const struct lookup *lookup, const uint64_t *bits, int n, uintptr_t ahead,
                      struct measure_part *part)
{
    uint64_t key[MEASURE_CHUNK];
    bool equal = measure_keys_f64(bits, n, key, part);
    const __m128i spare =
        _mm_add_epi32(_mm_set1_epi32((int)lookup->num_cells), _mm_set_epi32(3, 2, 1, 0));
    uint32_t cell[8];
    __m256i offset = _mm256_setzero_si256();
    int i = 0;
    _mm_storeu_si128((__m128i *)(void *)(cell + 4), spare);
    for (; i + 4 <= n; i += 4) {
        __m256i k = _mm256_loadu_si256((const __m256i *)(const void *)(key + i));
        __m128i word = _mm256_i64gather_epi32((const int *)lookup->word,
                                              _mm256_srli_epi64(k, 52 - LOOKUP_TOP_BITS), 4);
        __m256i shift = _mm256_cvtepu32_epi64(_mm_and_si128(word, _mm_set1_epi32(63)));
        __m128i flags = _mm_cmpgt_epi32(_mm_srli_epi32(word, 30), _mm_setzero_si128());
        __m128i place = _mm_add_epi32(_mm_srli_epi32(word, 6), narrow(_mm256_srlv_epi64(k, shift)));
        place = _mm_and_si128(place, _mm_set1_epi32(LOOKUP_PLACES));
        _mm_storeu_si128((__m128i *)(void *)(cell + (i & 4)), _mm_blendv_epi8(place, spare, flags));
        if (i % 8 == 0) /* once a line of the cache */
            __builtin_prefetch((const void *)(ahead + (uintptr_t)i * sizeof *key));
        add_4_broad(part->broad, cell + (~i & 4), offset);
        offset = _mm256_andnot_si256(_mm256_sllv_epi64(_mm256_set1_epi64x(-1), shift), k);
        unsigned flagged = (unsigned)_mm_movemask_ps(_mm_castsi128_ps(flags));
        for (; flagged; flagged &= flagged - 1)
            measure_add_f64(lookup, key[i + __builtin_ctz(flagged)], 1, part);
    }
    add_4_broad(part->broad, cell + (~i & 4), offset);
    for (; i < n; i++)
        measure_add_f64(lookup, key[i], 1, part);
    return equal;
}

void measure_avx2(const struct lookup *lookup, const struct sorter *fills, enum element_type type,
                  const void *x, int64_t n, struct measure_part *part)
{
    static const struct measure_counters count = {count_f32, count_f64};
    measure_block(lookup, fills, type, x, n, part, &count);
}
