/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_CPU_H
#define QO_KERNELS_CPU_H

#include "element_ops.h"
#include "kernels.h"
#include "lookup.h"
#include "memory.h"
#include "sorter.h"

/*
 * The CPU backends. Walks over the blocks of a tile (threads, scratch, merging: cpu.c,
 * measure_walk.c) are the same for all; a SIMD level brings the functions for one block, in files
 * of the same name in its folder.
 */

/* Elements of a chunk: the codes of so many wait in the first-level cache to be packed. */
#define CPU_CHUNK 1024

/* Elements that the SIMD levels take at a time: as many as there are error lanes. */
#define CPU_GROUP QO_LANES

#define CPU_INLINE static inline __attribute__((always_inline))

/* What one block adds to an assignment. */
struct assign_sums {
    int64_t num_outliers;
    int64_t count[QO_MAX_LEVELS];
    uint64_t residual[QO_MAX_LEVELS]; /* signed, modulo 2^64: 2^16 terms of FIXED_BITS fit */
    double lane[QO_LANES];
};

/* What one block, or a part of it, adds to an encoding. */
struct encode_sums {
    int64_t num_outliers;
    double max_error;
    double lane[QO_LANES];
};

/*
 * A cell of a thread's table, narrower than struct cell: count and sums of offsets share a word (of
 * 64 bits for float32, of 128 for float64), so that an element costs one load and one store of the
 * whole. A table is emptied into the totals before anything can run over: after MEASURE_BLOCKS
 * blocks, that is less than 2^24 elements. Then the count has 24 bits, and
 * - float32: offsets below 2^LOOKUP_SLIM_BITS = 2^15 sum to less than 2^39. Greater ones, of 23
 *   bits, are rare, and a cell is emptied when one is added and the count has reached MEASURE_FULL:
 *   there are less than 2^16 of them, which is less than 2^39 again, so that the sum has 40 bits.
 *   The squares of both kinds are less than 2^62;
 * - float64, offsets of 52 bits: the sum has 76 bits, that of squares 128.
 */
struct slim_cell {
    uint64_t count_sum; /* count << 40 | sum */
    uint64_t square;
};

struct broad_cell {
    uint64_t count_sum[2]; /* count << 80 | sum */
    uint64_t square[2];
};

#define MEASURE_BLOCKS 255
#define MEASURE_FULL   32768

/* Cells behind a table, one for each lane of a vector: what is added there is never read. */
#define MEASURE_SPARE 16

/* What one thread measures. Cells of keys that are not finite count as any other: merging sorts
 * them out. */
struct measure_part {
    _Alignas(QO_ALIGNMENT) int64_t num_fill; /* no line of the cache is shared with another part */
    uint64_t min_key, max_key;               /* of finite elements that are no fill */
    int64_t num_measured, num_nonfinite;     /* merged into the totals already */
    int blocks;                              /* since the table was emptied */
    const struct cell_map *map;
    struct measure_totals *totals;
    union {
        uint32_t *pattern;        /* 16-bit types: [2 * 65536] by bit pattern */
        struct slim_cell *slim;   /* float32: [num_cells + MEASURE_SPARE] */
        struct broad_cell *broad; /* float64: the same */
        void *table;
    };
};

/* Local. Adds a cell of a thread's table to the totals, and empties it. For any thread. */
void measure_empty_cell(struct measure_part *part, int64_t cell);

/* Elements that may be measured before parts are merged: 32-bit counts must not wrap. */
#define CPU_MEASURE_MOST ((int64_t)1 << 31)

/* The functions of one SIMD level. x points to the first element of the block, n <= QO_BLOCK of
 * them. */
struct cpu_blocks {
    void (*measure)(const struct lookup *lookup, const struct sorter *fills, enum element_type type,
                    const void *x, int64_t n, struct measure_part *part);
    /* Sums start from zero. */
    void (*assign)(const struct sorter *sorter, enum element_type type, const void *x, int64_t n,
                   struct assign_sums *sums);
    /* Adds to the sums; codes = NULL: nothing else. n is a multiple of QO_LANES or ends the block.
     */
    void (*encode)(const struct sorter *sorter, enum element_type type, const void *x, int64_t n,
                   uint8_t *codes, struct encode_sums *sums);
    /* Bit i says whether x[i] gets a level; n <= 64. */
    uint64_t (*kept)(const struct sorter *sorter, enum element_type type, const void *x, int64_t n);
    /* value[256]: a level a code, as bit patterns of `type`. */
    void (*decode)(const uint8_t *codes, int64_t n, int bits, const uint64_t *value,
                   enum element_type type, void *x);
};

/* Room for `num` quantizers that are scored together. */
struct score_room {
    int64_t num;
    struct sorter *sorter;        /* [num] */
    struct encode_sums *sums;     /* [threads * num], of the blocks at work */
    struct encode_totals *totals; /* [threads * num] */
};

struct engine_state {
    const struct cpu_blocks *blocks;
    struct assign_totals *assign; /* [threads] */
    struct encode_totals *encode; /* [threads] */
    int64_t *found;               /* [threads + 1] */
    struct sorter sorter;
    struct score_room score;
    struct lookup lookup;
    struct measure_part *part; /* [threads] */
    char *tables;              /* of all parts, table_bytes in all */
    int64_t table_bytes;
};

/* Local. Opens an engine with the functions of a level; QO_NO_MEMORY. */
QO_MUST_USE enum status cpu_open(struct engine *engine, const struct cpu_blocks *blocks);

/* The functions of struct kernels, the same for every level. */
void cpu_close(struct engine *engine);
enum status cpu_hold(struct engine *engine, const struct tile *tile);
void cpu_release(struct engine *engine, const struct tile *tile);
enum status cpu_measure(struct engine *engine, const struct tile *tile, const struct keep *keep,
                        const struct cell_map *map, struct measure_totals *totals);
enum status cpu_assign(struct engine *engine, const struct tile *tile,
                       const struct level_table *table, struct assign_totals *totals);
enum status cpu_encode(struct engine *engine, const struct tile *tile,
                       const struct level_table *table, uint8_t *codes,
                       struct encode_totals *totals);
enum status cpu_score(struct engine *engine, const struct tile *tile,
                      const struct level_table *table, int num, struct encode_totals *totals);
enum status cpu_collect(struct engine *engine, const struct tile *tile,
                        const struct level_table *table, int64_t *position,
                        struct outlier_list *list);
enum status cpu_decode(struct engine *engine, const uint8_t *codes, int64_t n,
                       const struct level_table *table, enum element_type type, void *x);

/*
 * Calls function(TYPE, ...) with the element type as a constant: a copy for each, in which all that
 * depends on it is folded.
 */
#define CPU_BY_TYPE(type, function, ...)                                                           \
    do {                                                                                           \
        if ((type) == ELEMENT_F64)                                                                 \
            function(ELEMENT_F64, __VA_ARGS__);                                                    \
        else if ((type) == ELEMENT_F32)                                                            \
            function(ELEMENT_F32, __VA_ARGS__);                                                    \
        else if ((type) == ELEMENT_BF16)                                                           \
            function(ELEMENT_BF16, __VA_ARGS__);                                                   \
        else                                                                                       \
            function(ELEMENT_F16, __VA_ARGS__);                                                    \
    } while (0)

/*
 * Local. The first `bytes` <= 8 bytes of a little-endian word, to or from a place with `room`
 * bytes: as one word where there is room for it. Storing may then spoil what lies behind, within
 * the room.
 */
CPU_INLINE void cpu_store_word(uint8_t *to, int64_t room, uint64_t word, int bytes)
{
    if (room >= 8)
        memcpy(to, &word, 8);
    else
        memcpy(to, &word, (size_t)bytes);
}

/* Reads `bytes` of a word, eight at once where there is room behind them. */
CPU_INLINE uint64_t cpu_load_word(const uint8_t *from, int64_t room, int bytes)
{
    uint64_t word = 0;
    if (room >= 8)
        memcpy(&word, from, 8);
    else
        memcpy(&word, from, (size_t)bytes);
    return word;
}

/* Pure. Element i of a tile of any type. */
static inline const void *cpu_element(enum element_type type, const void *x, int64_t i)
{
    return (const char *)x + i * (int64_t)element_size(type);
}

#endif
