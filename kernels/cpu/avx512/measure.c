/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "blocks.h"
#include "measure_block.h"

/*
 * Counting, a vector of keys at a time. A gather finds their words; shifts give the places of their
 * cells, and multiplications what to add there. Then each cell is loaded, added to and stored as
 * one vector. That is done a step later, while the words of the next keys are on their way.
 *
 * Keys whose words name a table go round again with those words; those to be searched for are put
 * aside until the rounds are over. Meanwhile their lanes add to the spare cells.
 */

/* What is put aside of a chunk: keys that go round again, with their words; keys to be searched
 * for, and the words that say where. Vectors are stored whole, so there is room for one more. */
struct aside {
    union {
        uint32_t again_f32[MEASURE_CHUNK + 16];
        uint64_t again_f64[MEASURE_CHUNK + 16];
    };
    uint32_t again_word[MEASURE_CHUNK + 16];
    union {
        uint32_t search_f32[MEASURE_CHUNK + 16];
        uint64_t search_f64[MEASURE_CHUNK + 16];
    };
    uint32_t search_word[MEASURE_CHUNK + 16];
    int num_again, num_search;
};

static const uint32_t lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

CPU_INLINE __m256i load_8(const uint32_t *from)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

CPU_INLINE void store_8(uint32_t *to, __m256i words)
{
    _mm256_storeu_si256((__m256i *)(void *)to, words);
}

CPU_INLINE void fetch(uintptr_t address)
{
    __builtin_prefetch((const void *)address);
}

/* Which of the four cells from that of the word on holds each key: a search of two steps. */
CPU_INLINE __m512i search_8(const struct lookup *lookup, __m512i key, __m256i word)
{
    __m512i cell = _mm512_cvtepu32_epi64(
        _mm256_and_si256(_mm256_srli_epi32(word, 6), _mm256_set1_epi32(LOOKUP_PLACES)));
    for (int step = 2; step > 0; step--) {
        __m512i middle = _mm512_add_epi64(cell, _mm512_set1_epi64(step));
        __m512i before = _mm512_i64gather_epi64(middle, lookup->before, 8);
        cell = _mm512_mask_mov_epi64(cell, _mm512_cmplt_epu64_mask(before, key), middle);
    }
    return cell;
}

/* Words that ask for more than that. */
CPU_INLINE __mmask8 more_steps(__m256i word)
{
    return _mm256_cmpgt_epu32_mask(_mm256_and_si256(word, _mm256_set1_epi32(63)),
                                   _mm256_set1_epi32(2));
}

/* float32: sixteen keys and words in a vector. */

CPU_INLINE __m512i shifts_f32(__m512i word)
{
    return _mm512_and_si512(word, _mm512_set1_epi32(63));
}

CPU_INLINE __m512i places_f32(__m512i word, __m512i key)
{
    __m512i high = _mm512_srlv_epi32(key, shifts_f32(word));
    return _mm512_and_si512(_mm512_add_epi32(_mm512_srli_epi32(word, 6), high),
                            _mm512_set1_epi32(LOOKUP_PLACES));
}

/* Adds to one cell. */
CPU_INLINE void add_slim(struct slim_cell *table, uint32_t cell, __m128i sums)
{
    __m128i *at = (__m128i *)(void *)&table[cell];
    _mm_store_si128(at, _mm_add_epi64(_mm_load_si128(at), sums));
}

/* Adds eight elements to their cells. Offsets are below 2^32. */
CPU_INLINE void add_8_slim(struct slim_cell *table, const uint32_t *cell, __m512i offset)
{
    __m512i square = _mm512_mul_epu32(offset, offset);
    __m512i sum = _mm512_add_epi64(offset, _mm512_set1_epi64((int64_t)1 << 40));
    __m512i even = _mm512_unpacklo_epi64(sum, square), odd = _mm512_unpackhi_epi64(sum, square);
    add_slim(table, cell[0], _mm512_castsi512_si128(even));
    add_slim(table, cell[1], _mm512_castsi512_si128(odd));
    add_slim(table, cell[2], _mm512_extracti64x2_epi64(even, 1));
    add_slim(table, cell[3], _mm512_extracti64x2_epi64(odd, 1));
    add_slim(table, cell[4], _mm512_extracti64x2_epi64(even, 2));
    add_slim(table, cell[5], _mm512_extracti64x2_epi64(odd, 2));
    add_slim(table, cell[6], _mm512_extracti64x2_epi64(even, 3));
    add_slim(table, cell[7], _mm512_extracti64x2_epi64(odd, 3));
}

CPU_INLINE void add_16_slim(struct slim_cell *table, const uint32_t *cell, __m512i offset)
{
    add_8_slim(table, cell, _mm512_cvtepu32_epi64(_mm512_castsi512_si256(offset)));
    add_8_slim(table, cell + 8, _mm512_cvtepu32_epi64(_mm512_extracti32x8_epi32(offset, 1)));
}

/* The cells and offsets of a vector of keys, if all words were CELLS. */
struct found_f32 {
    __m512i cell, offset;
};

CPU_INLINE struct found_f32 find_f32(__m512i key, __m512i word)
{
    __m512i high = _mm512_sllv_epi32(_mm512_set1_epi32(-1), shifts_f32(word));
    return (struct found_f32){places_f32(word, key), _mm512_andnot_si512(high, key)};
}

/* Corrects that for the lanes whose words are APART. */
CPU_INLINE struct found_f32 find_apart_f32(struct found_f32 found, __m512i word, __mmask16 apart)
{
    const __m512i one = _mm512_set1_epi32(1);
    __m512i most = _mm512_sub_epi32(_mm512_sllv_epi32(one, shifts_f32(word)), one);
    __mmask16 end = _mm512_test_epi32_mask(word, _mm512_set1_epi32(LOOKUP_AT_END));
    __mmask16 last = _mm512_mask_cmpeq_epi32_mask(apart & end, found.offset, most);
    __mmask16 behind =
        _mm512_mask_test_epi32_mask(_kandn_mask16(end, apart), found.offset, found.offset);
    __m512i cell = _mm512_and_si512(_mm512_srli_epi32(word, 6), _mm512_set1_epi32(LOOKUP_PLACES));
    cell = _mm512_mask_add_epi32(cell, last | behind, cell, one);
    found.cell = _mm512_mask_mov_epi32(found.cell, apart, cell);
    found.offset = _mm512_mask_sub_epi32(found.offset, behind, found.offset, one);
    found.offset = _mm512_mask_mov_epi32(found.offset, last, _mm512_setzero_si512());
    return found;
}

/* Puts lanes of two kinds aside. */
CPU_INLINE void put_aside_f32(struct aside *aside, __m512i key, __m512i word, __mmask16 again,
                              __mmask16 search)
{
    int a = aside->num_again, s = aside->num_search;
    _mm512_storeu_si512(aside->again_f32 + a, _mm512_maskz_compress_epi32(again, key));
    _mm512_storeu_si512(aside->again_word + a, _mm512_maskz_compress_epi32(again, word));
    _mm512_storeu_si512(aside->search_f32 + s, _mm512_maskz_compress_epi32(search, key));
    _mm512_storeu_si512(aside->search_word + s, _mm512_maskz_compress_epi32(search, word));
    aside->num_again = a + __builtin_popcount(again);
    aside->num_search = s + __builtin_popcount(search);
}

/* A round over keys: cells and offsets of the vector before, which is still to be added. Both
 * places for cells are the caller's: so compilers keep the rest in registers. */
struct round_f32 {
    __m512i spare, offset;
    uint32_t *cell, *next;
};

CPU_INLINE void round_begin_f32(struct round_f32 *r, const struct lookup *lookup, uint32_t *cells)
{
    r->spare =
        _mm512_add_epi32(_mm512_set1_epi32((int)lookup->num_cells), _mm512_loadu_si512(lanes));
    r->offset = _mm512_setzero_si512();
    r->cell = cells;
    r->next = cells + 16;
    _mm512_storeu_si512(r->cell, r->spare);
}

/* Finds a vector of keys whose words are at `at`, and adds the vector before. */
CPU_INLINE void round_step_f32(struct round_f32 *r, const struct lookup *lookup, __m512i key,
                               __m512i at, struct aside *aside, struct measure_part *part)
{
    __m512i word = _mm512_i32gather_epi32(at, lookup->word, 4);
    struct found_f32 found = find_f32(key, word);
    __mmask16 flagged = _mm512_cmpge_epu32_mask(word, _mm512_set1_epi32(LOOKUP_SEARCH));
    if (flagged) {
        __mmask16 apart = _mm512_cmpge_epu32_mask(word, _mm512_set1_epi32((int)LOOKUP_APART));
        __mmask16 again = _kandn_mask16(apart, _mm512_movepi32_mask(word));
        found = find_apart_f32(found, word, apart);
        /* Greater offsets need care: see struct slim_cell. */
        apart = _mm512_mask_cmplt_epu32_mask(apart, found.offset,
                                             _mm512_set1_epi32(1 << LOOKUP_SLIM_BITS));
        flagged = _kandn_mask16(apart, flagged);
        put_aside_f32(aside, key, word, again, _kandn_mask16(again, flagged));
        if (flagged == 0xffff)
            return;
        found.cell = _mm512_mask_mov_epi32(found.cell, flagged, r->spare);
    }
    _mm512_storeu_si512(r->next, found.cell);
    add_16_slim(part->slim, r->cell, r->offset);
    r->offset = found.offset;
    uint32_t *swap = r->cell;
    r->cell = r->next;
    r->next = swap;
}

/* The round at the top, over bits[n]; returns whether neighbours are equal. */
CPU_INLINE bool round_top_f32(const struct lookup *lookup, const uint32_t *bits, int n,
                              uintptr_t ahead, struct aside *aside, struct measure_part *part)
{
    const __m512i sign = _mm512_set1_epi32(INT32_MIN);
    __m512i min = _mm512_set1_epi32(INT32_MAX), max = sign;
    __m512i before = _mm512_set1_epi32((int)~bits[0]); /* not equal to the first */
    __mmask16 equal = 0;
    uint32_t cells[32];
    struct round_f32 r;
    round_begin_f32(&r, lookup, cells);
    for (int i = 0; i < n; i += 16) {
        __m512i x = _mm512_loadu_si512(bits + i);
        __m512i order = _mm512_xor_si512(x, _mm512_srli_epi32(_mm512_srai_epi32(x, 31), 1));
        __m512i key = _mm512_xor_si512(order, sign);
        min = _mm512_min_epi32(min, order);
        max = _mm512_max_epi32(max, order);
        equal |= _mm512_cmpeq_epi32_mask(x, _mm512_alignr_epi32(x, before, 15));
        before = x;
        fetch(ahead + (uintptr_t)i * sizeof *bits);
        round_step_f32(&r, lookup, key, _mm512_srli_epi32(key, 23 - LOOKUP_TOP_BITS), aside, part);
    }
    add_16_slim(part->slim, r.cell, r.offset);
    measure_fold_f32(bits, n, _mm512_reduce_min_epi32(min), _mm512_reduce_max_epi32(max), part);
    return equal != 0;
}

/* Another round, over the keys that need one; a few, less than a vector, are searched for. */
CPU_INLINE void round_again_f32(const struct lookup *lookup, struct aside *aside,
                                struct measure_part *part)
{
    int n = aside->num_again, i = 0;
    uint32_t cells[32];
    struct round_f32 r;
    round_begin_f32(&r, lookup, cells);
    aside->num_again = 0;
    for (; i + 16 <= n; i += 16) {
        __m512i key = _mm512_loadu_si512(aside->again_f32 + i);
        __m512i word = _mm512_loadu_si512(aside->again_word + i);
        round_step_f32(&r, lookup, key, places_f32(word, key), aside, part);
    }
    add_16_slim(part->slim, r.cell, r.offset);
    for (; i < n; i++)
        measure_add_f32(lookup, aside->again_f32[i], 1, part);
}

/* Counts what was put aside to be searched for. */
static void search_f32(const struct lookup *lookup, const struct aside *aside,
                       struct measure_part *part)
{
    const __m512i most = _mm512_set1_epi64(1 << LOOKUP_SLIM_BITS), one = _mm512_set1_epi64(1);
    const __m256i spare =
        _mm256_add_epi32(_mm256_set1_epi32((int)lookup->num_cells), load_8(lanes));
    int i = 0;
    for (; i + 8 <= aside->num_search; i += 8) {
        uint32_t cells[8];
        __m256i word = load_8(aside->search_word + i);
        __m512i key = _mm512_cvtepu32_epi64(load_8(aside->search_f32 + i));
        __m512i cell = search_8(lookup, key, word);
        __m512i before = _mm512_i64gather_epi64(cell, lookup->before, 8);
        __m512i offset = _mm512_sub_epi64(_mm512_sub_epi64(key, before), one);
        __mmask8 other = _mm512_cmpge_epu64_mask(offset, most) | more_steps(word);
        store_8(cells, _mm256_mask_mov_epi32(_mm512_cvtepi64_epi32(cell), other, spare));
        add_8_slim(part->slim, cells, offset);
        for (unsigned rest = other; rest; rest &= rest - 1)
            measure_add_f32(lookup, aside->search_f32[i + __builtin_ctz(rest)], 1, part);
    }
    for (; i < aside->num_search; i++)
        measure_add_f32(lookup, aside->search_f32[i], 1, part);
}

static bool count_f32(const struct lookup *lookup, const uint32_t *bits, int n, uintptr_t ahead,
                      struct measure_part *part)
{
    uint32_t key[16];
    struct aside aside;
    int whole = n / 16 * 16;
    bool equal = false;
    aside.num_again = aside.num_search = 0;
    if (whole > 0)
        equal = round_top_f32(lookup, bits, whole, ahead, &aside, part);
    while (aside.num_again > 0)
        round_again_f32(lookup, &aside, part);
    search_f32(lookup, &aside, part);
    equal |= measure_keys_f32(bits + whole, n - whole, key, part);
    for (int i = 0; i < n - whole; i++)
        measure_add_f32(lookup, key[i], 1, part);
    return equal;
}

/* float64: the same with eight keys of 64 bits, and their words of 32. */

CPU_INLINE __m512i shifts_f64(__m256i word)
{
    return _mm512_cvtepu32_epi64(_mm256_and_si256(word, _mm256_set1_epi32(63)));
}

CPU_INLINE __m256i places_f64(__m256i word, __m512i key)
{
    __m256i high = _mm512_cvtepi64_epi32(_mm512_srlv_epi64(key, shifts_f64(word)));
    return _mm256_and_si256(_mm256_add_epi32(_mm256_srli_epi32(word, 6), high),
                            _mm256_set1_epi32(LOOKUP_PLACES));
}

/* Adds two numbers of 128 bits to a cell: where a lower word wraps, the mask carries. */
CPU_INLINE void add_broad(struct broad_cell *table, uint32_t cell, __m256i sums)
{
    __m256i *at = (__m256i *)(void *)&table[cell];
    __m256i now = _mm256_add_epi64(_mm256_load_si256(at), sums);
    __mmask8 wrapped = _mm256_cmplt_epu64_mask(now, sums);
    __mmask8 carry = _kadd_mask8(wrapped, wrapped);
    _mm256_store_si256(at, _mm256_mask_sub_epi64(now, carry, now, _mm256_set1_epi64x(-1)));
}

/* Adds eight elements to their cells. A square has up to 104 bits: (2^32 b + a)^2. */
CPU_INLINE void add_8_broad(struct broad_cell *table, const uint32_t *cell, __m512i offset)
{
    const __m512i one = _mm512_set1_epi64(1 << 16); /* one element, in the upper word */
    const __m512i front = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
    const __m512i back = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    __m512i b = _mm512_srli_epi64(offset, 32), aa = _mm512_mul_epu32(offset, offset);
    __m512i ab = _mm512_slli_epi64(_mm512_mul_epu32(offset, b), 1); /* < 2^53 */
    __m512i low = _mm512_add_epi64(aa, _mm512_slli_epi64(ab, 32));
    __m512i high = _mm512_add_epi64(_mm512_mul_epu32(b, b), _mm512_srli_epi64(ab, 32));
    high =
        _mm512_mask_sub_epi64(high, _mm512_cmplt_epu64_mask(low, aa), high, _mm512_set1_epi64(-1));
    __m512i sum02 = _mm512_unpacklo_epi64(offset, one), sum13 = _mm512_unpackhi_epi64(offset, one);
    __m512i sqr02 = _mm512_unpacklo_epi64(low, high), sqr13 = _mm512_unpackhi_epi64(low, high);
    __m512i c02 = _mm512_permutex2var_epi64(sum02, front, sqr02);
    __m512i c13 = _mm512_permutex2var_epi64(sum13, front, sqr13);
    __m512i c46 = _mm512_permutex2var_epi64(sum02, back, sqr02);
    __m512i c57 = _mm512_permutex2var_epi64(sum13, back, sqr13);
    add_broad(table, cell[0], _mm512_castsi512_si256(c02));
    add_broad(table, cell[1], _mm512_castsi512_si256(c13));
    add_broad(table, cell[2], _mm512_extracti64x4_epi64(c02, 1));
    add_broad(table, cell[3], _mm512_extracti64x4_epi64(c13, 1));
    add_broad(table, cell[4], _mm512_castsi512_si256(c46));
    add_broad(table, cell[5], _mm512_castsi512_si256(c57));
    add_broad(table, cell[6], _mm512_extracti64x4_epi64(c46, 1));
    add_broad(table, cell[7], _mm512_extracti64x4_epi64(c57, 1));
}

struct found_f64 {
    __m256i cell;
    __m512i offset;
};

CPU_INLINE struct found_f64 find_f64(__m512i key, __m256i word)
{
    __m512i high = _mm512_sllv_epi64(_mm512_set1_epi64(-1), shifts_f64(word));
    return (struct found_f64){places_f64(word, key), _mm512_andnot_si512(high, key)};
}

CPU_INLINE struct found_f64 find_apart_f64(struct found_f64 found, __m256i word, __mmask8 apart)
{
    const __m512i one = _mm512_set1_epi64(1);
    __m512i most = _mm512_sub_epi64(_mm512_sllv_epi64(one, shifts_f64(word)), one);
    __mmask8 end = _mm256_test_epi32_mask(word, _mm256_set1_epi32(LOOKUP_AT_END));
    __mmask8 last = _mm512_mask_cmpeq_epi64_mask(apart & end, found.offset, most);
    __mmask8 behind =
        _mm512_mask_test_epi64_mask(_kandn_mask8(end, apart), found.offset, found.offset);
    __m256i cell = _mm256_and_si256(_mm256_srli_epi32(word, 6), _mm256_set1_epi32(LOOKUP_PLACES));
    cell = _mm256_mask_add_epi32(cell, last | behind, cell, _mm256_set1_epi32(1));
    found.cell = _mm256_mask_mov_epi32(found.cell, apart, cell);
    found.offset = _mm512_mask_sub_epi64(found.offset, behind, found.offset, one);
    found.offset = _mm512_mask_mov_epi64(found.offset, last, _mm512_setzero_si512());
    return found;
}

CPU_INLINE void put_aside_f64(struct aside *aside, __m512i key, __m256i word, __mmask8 again,
                              __mmask8 search)
{
    int a = aside->num_again, s = aside->num_search;
    _mm512_storeu_si512(aside->again_f64 + a, _mm512_maskz_compress_epi64(again, key));
    store_8(aside->again_word + a, _mm256_maskz_compress_epi32(again, word));
    _mm512_storeu_si512(aside->search_f64 + s, _mm512_maskz_compress_epi64(search, key));
    store_8(aside->search_word + s, _mm256_maskz_compress_epi32(search, word));
    aside->num_again = a + __builtin_popcount(again);
    aside->num_search = s + __builtin_popcount(search);
}

struct round_f64 {
    __m256i spare;
    __m512i offset;
    uint32_t *cell, *next;
};

CPU_INLINE void round_begin_f64(struct round_f64 *r, const struct lookup *lookup, uint32_t *cells)
{
    r->spare = _mm256_add_epi32(_mm256_set1_epi32((int)lookup->num_cells), load_8(lanes));
    r->offset = _mm512_setzero_si512();
    r->cell = cells;
    r->next = cells + 8;
    store_8(r->cell, r->spare);
}

CPU_INLINE void round_step_f64(struct round_f64 *r, const struct lookup *lookup, __m512i key,
                               __m256i at, struct aside *aside, struct measure_part *part)
{
    __m256i word = _mm256_i32gather_epi32((const int *)lookup->word, at, 4);
    struct found_f64 found = find_f64(key, word);
    __mmask8 flagged = _mm256_cmpge_epu32_mask(word, _mm256_set1_epi32(LOOKUP_SEARCH));
    if (flagged) {
        __mmask8 apart = _mm256_cmpge_epu32_mask(word, _mm256_set1_epi32((int)LOOKUP_APART));
        __mmask8 again = _kandn_mask8(apart, _mm256_movepi32_mask(word));
        found = find_apart_f64(found, word, apart);
        flagged = _kandn_mask8(apart, flagged);
        put_aside_f64(aside, key, word, again, _kandn_mask8(again, flagged));
        if (flagged == 0xff)
            return;
        found.cell = _mm256_mask_mov_epi32(found.cell, flagged, r->spare);
    }
    store_8(r->next, found.cell);
    add_8_broad(part->broad, r->cell, r->offset);
    r->offset = found.offset;
    uint32_t *swap = r->cell;
    r->cell = r->next;
    r->next = swap;
}

CPU_INLINE bool round_top_f64(const struct lookup *lookup, const uint64_t *bits, int n,
                              uintptr_t ahead, struct aside *aside, struct measure_part *part)
{
    const __m512i sign = _mm512_set1_epi64(INT64_MIN);
    __m512i min = _mm512_set1_epi64(INT64_MAX), max = sign;
    __m512i before = _mm512_set1_epi64((long long)~bits[0]);
    __mmask8 equal = 0;
    uint32_t cells[16];
    struct round_f64 r;
    round_begin_f64(&r, lookup, cells);
    for (int i = 0; i < n; i += 8) {
        __m512i x = _mm512_loadu_si512(bits + i);
        __m512i order = _mm512_xor_si512(x, _mm512_srli_epi64(_mm512_srai_epi64(x, 63), 1));
        __m512i key = _mm512_xor_si512(order, sign);
        min = _mm512_min_epi64(min, order);
        max = _mm512_max_epi64(max, order);
        equal |= _mm512_cmpeq_epi64_mask(x, _mm512_alignr_epi64(x, before, 7));
        before = x;
        fetch(ahead + (uintptr_t)i * sizeof *bits);
        round_step_f64(&r, lookup, key,
                       _mm512_cvtepi64_epi32(_mm512_srli_epi64(key, 52 - LOOKUP_TOP_BITS)), aside,
                       part);
    }
    add_8_broad(part->broad, r.cell, r.offset);
    measure_fold_f64(bits, n, _mm512_reduce_min_epi64(min), _mm512_reduce_max_epi64(max), part);
    return equal != 0;
}

CPU_INLINE void round_again_f64(const struct lookup *lookup, struct aside *aside,
                                struct measure_part *part)
{
    int n = aside->num_again, i = 0;
    uint32_t cells[16];
    struct round_f64 r;
    round_begin_f64(&r, lookup, cells);
    aside->num_again = 0;
    for (; i + 8 <= n; i += 8) {
        __m512i key = _mm512_loadu_si512(aside->again_f64 + i);
        round_step_f64(&r, lookup, key, places_f64(load_8(aside->again_word + i), key), aside,
                       part);
    }
    add_8_broad(part->broad, r.cell, r.offset);
    for (; i < n; i++)
        measure_add_f64(lookup, aside->again_f64[i], 1, part);
}

static void search_f64(const struct lookup *lookup, const struct aside *aside,
                       struct measure_part *part)
{
    const __m512i one = _mm512_set1_epi64(1);
    const __m256i spare =
        _mm256_add_epi32(_mm256_set1_epi32((int)lookup->num_cells), load_8(lanes));
    int i = 0;
    for (; i + 8 <= aside->num_search; i += 8) {
        uint32_t cells[8];
        __m256i word = load_8(aside->search_word + i);
        __m512i key = _mm512_loadu_si512(aside->search_f64 + i);
        __m512i cell = search_8(lookup, key, word);
        __m512i before = _mm512_i64gather_epi64(cell, lookup->before, 8);
        __mmask8 other = more_steps(word);
        store_8(cells, _mm256_mask_mov_epi32(_mm512_cvtepi64_epi32(cell), other, spare));
        add_8_broad(part->broad, cells, _mm512_sub_epi64(_mm512_sub_epi64(key, before), one));
        for (unsigned rest = other; rest; rest &= rest - 1)
            measure_add_f64(lookup, aside->search_f64[i + __builtin_ctz(rest)], 1, part);
    }
    for (; i < aside->num_search; i++)
        measure_add_f64(lookup, aside->search_f64[i], 1, part);
}

static bool count_f64(const struct lookup *lookup, const uint64_t *bits, int n, uintptr_t ahead,
                      struct measure_part *part)
{
    uint64_t key[8];
    struct aside aside;
    int whole = n / 8 * 8;
    bool equal = false;
    aside.num_again = aside.num_search = 0;
    if (whole > 0)
        equal = round_top_f64(lookup, bits, whole, ahead, &aside, part);
    while (aside.num_again > 0)
        round_again_f64(lookup, &aside, part);
    search_f64(lookup, &aside, part);
    equal |= measure_keys_f64(bits + whole, n - whole, key, part);
    for (int i = 0; i < n - whole; i++)
        measure_add_f64(lookup, key[i], 1, part);
    return equal;
}

void measure_avx512(const struct lookup *lookup, const struct sorter *fills, enum element_type type,
                    const void *x, int64_t n, struct measure_part *part)
{
    static const struct measure_counters count = {count_f32, count_f64};
    measure_block(lookup, fills, type, x, n, part, &count);
}
