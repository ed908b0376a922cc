/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_CPU_H
#define QO_KERNELS_CPU_H

#include "element_ops.h"
#include "kernels.h"
#include "lookup.h"
#include "memory.h"

/*
 * The CPU backends. Walks over the blocks of a tile (threads, scratch, merging: cpu.c,
 * measure_walk.c) are the same for all; a SIMD level brings the functions for one block, in files
 * of the same name in its folder.
 */

/* Elements of a chunk: the codes of so many wait in the first-level cache to be packed or summed.
 */
#define CPU_CHUNK 1024

/* Elements that the SIMD levels take at a time: as many as there are error lanes. */
#define CPU_GROUP QO_LANES

#define CPU_INLINE static inline __attribute__((always_inline))

/*
 * A level table made ready for one element type. Elements of up to 32 bits are compared in float32,
 * which decides the same: x > cut just when x > the largest float32 not above the cut, x >= lo just
 * when x >= the smallest float32 not below lo. Bounds are clamped to finite numbers, so NaN and
 * infinities fail them.
 */
struct sorter {
    int bits, k;
    int steps; /* of the search: 3 to 8, 2^steps >= k */
    bool has_fills;
    float
        tree_f32[QO_MAX_LEVELS + 16]; /* cuts as ops_code_f32 wants them; one vector may be read */
    double tree_f64[QO_MAX_LEVELS + 16]; /* from any node on */
    double level[QO_MAX_LEVELS];         /* above k: the last level again */
    double scale[QO_MAX_LEVELS];
    float lo_f32, hi_f32, fill_f32[2]; /* a fill that is not there is NaN and equals nothing */
    double lo_f64, hi_f64, fill_f64[2];
};

/* Local. Makes a sorter; cheap beside one block. */
void sorter_init(struct sorter *sorter, const struct level_table *table);

/* Local. Makes the fills ready, and nothing else: for measuring. */
void sorter_init_fills(struct sorter *sorter, const struct keep *keep);

/* What one block adds to an assignment. */
struct assign_sums {
    int64_t num_outliers;
    int64_t count[QO_MAX_LEVELS];
    uint64_t residual[QO_MAX_LEVELS]; /* signed, modulo 2^64: 2^16 terms of FIXED_BITS fit */
    double lane[QO_LANES];
};

/* What one block adds to an encoding. */
struct encode_sums {
    int64_t num_outliers;
    double max_error;
    double lane[QO_LANES];
};

/*
 * A cell of a thread's table for float32: sums of powers of the mantissas, not of the offsets, so
 * that the walk need not know where the cell begins. A square has 46 bits; it is summed as a lower
 * and a higher half, so no sum wraps for 2^32 elements and the four numbers are added as one
 * vector.
 */
struct slim_cell {
    uint64_t count, sum, square_low, square_high;
};

/* What one thread measures. Cells of keys that are not finite count as any other: merging sorts
 * them out. */
struct measure_part {
    int64_t num_fill;
    uint64_t min_key, max_key; /* of finite elements that are no fill */
    union {
        uint32_t *pattern;      /* 16-bit types: [2 * 65536] by bit pattern */
        struct slim_cell *slim; /* float32: [num_cells] */
        struct cell *cell;      /* float64: [num_cells] */
        void *table;
    };
};

/* Elements that a thread may measure before its parts are merged: 32-bit counts must not wrap. */
#define CPU_MEASURE_MOST ((int64_t)1 << 31)

/* The functions of one SIMD level. x points to the first element of the block, n <= QO_BLOCK of
 * them. */
struct cpu_blocks {
    void (*measure)(const struct lookup *lookup, const struct sorter *fills, enum element_type type,
                    const void *x, int64_t n, struct measure_part *part);
    /* Sums start from zero and are complete at the end. */
    void (*assign)(const struct sorter *sorter, enum element_type type, const void *x, int64_t n,
                   struct assign_sums *sums);
    void (*encode)(const struct sorter *sorter, enum element_type type, const void *x, int64_t n,
                   uint8_t *codes, struct encode_sums *sums);
    /* Bit i says whether x[i] gets a level; n <= 64. */
    uint64_t (*kept)(const struct sorter *sorter, enum element_type type, const void *x, int64_t n);
    /* value[256]: a level a code, as bit patterns of `type`. */
    void (*decode)(const uint8_t *codes, int64_t n, int bits, const uint64_t *value,
                   enum element_type type, void *x);
};

struct engine_state {
    const struct cpu_blocks *blocks;
    struct assign_totals *assign; /* [threads] */
    struct encode_totals *encode; /* [threads] */
    int64_t *found;               /* [threads + 1] */
    struct sorter sorter;
    struct lookup lookup;
    struct measure_part *part; /* [threads] */
    char *tables;              /* of all parts, table_bytes in all */
    int64_t table_bytes;
};

/* Local. Opens an engine with the functions of a level; QO_NO_MEMORY. */
QO_MUST_USE enum status cpu_open(struct engine *engine, const struct cpu_blocks *blocks);

/* The functions of struct kernels, the same for every level. */
void cpu_close(struct engine *engine);
enum status cpu_measure(struct engine *engine, const struct tile *tile, const struct keep *keep,
                        const struct cell_map *map, struct measure_totals *totals);
enum status cpu_assign(struct engine *engine, const struct tile *tile,
                       const struct level_table *table, struct assign_totals *totals);
enum status cpu_encode(struct engine *engine, const struct tile *tile,
                       const struct level_table *table, uint8_t *codes,
                       struct encode_totals *totals);
enum status cpu_collect(struct engine *engine, const struct tile *tile,
                        const struct level_table *table, int64_t *position,
                        struct outlier_list *list);
enum status cpu_decode(struct engine *engine, const uint8_t *codes, int64_t n,
                       const struct level_table *table, enum element_type type, void *x);

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
