/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_KERNELS_CUDA_HOST_H
#define QO_KERNELS_CUDA_HOST_H

#include "device.h"
#include "launch.h"
#include "slivers.h"

/*
 * The CUDA backend's host side.
 *
 * An operation goes over a tile in pieces (pieces.c). Where the tile is held, its copy stays on the
 * device and is mostly one piece; else pieces are read into pinned memory, copied and computed at
 * the same time, in two slots by turns. Sums stay on the device until the last piece.
 */

/* Slots that take turns: one is filled while the other computes. */
#define CUDA_SLOTS 2

/* Copies that stay on the device at a time: a vector and a sample of it. */
#define CUDA_HELD 2

/* The most bytes of pinned memory through which a copy goes at a time; each direction has two such.
 */
#define STAGE_BYTES ((size_t)8 << 20)

/* Device memory that grows with what it is used for. */
struct cuda_buffer {
    void *memory;
    size_t size;
};

/* Pinned memory, two halves by turns, for copies in one direction. */
struct stage {
    char *half[2];       /* [size] */
    size_t size;         /* grows with what is copied, to STAGE_BYTES */
    cudaEvent_t free[2]; /* when the copy out of, or into, a half is done */
    int next;
};

struct cuda_slot {
    cudaStream_t stream;
    cudaEvent_t begun, done; /* around the kernels of a piece */
    struct cuda_buffer x, codes;
};

/* A tile's copy. */
struct cuda_held {
    struct tile tile; /* n = 0: none */
    struct cuda_buffer copy;
};

/* What an operation is about; buffers of the other kind are idle meanwhile. */
enum cuda_work { WORK_CELLS, WORK_LEVELS };

struct engine_state {
    struct device device;
    enum cuda_work work; /* of the operation under way */
    int threads;         /* for copies in host memory */
    struct cuda_slot slot[CUDA_SLOTS];
    struct stage up, down;
    struct cuda_held held[CUDA_HELD];
    struct cuda_buffer sums, errors, sorters, cells, slivers_sums, words, before, list, values;
    struct sorter *sorter; /* [num_sorters] on the host */
    int64_t num_sorters;
    struct slivers slivers; /* of the map that was measured last, if it has any */
    struct lookup lookup;   /* on the host; its arrays are in words and before too */
    void *host;             /* what was brought back, host_size bytes */
    size_t host_size;
    double seconds; /* that kernels took in this call */
};

/* --- cuda.c --- */

/* Local. QO_OK, or what to tell of an error: QO_NO_MEMORY or QO_UNAVAILABLE. `what` was tried. */
QO_MUST_USE enum status cuda_check(const struct engine_state *state, cudaError_t error,
                                   const char *what);

/* Local. Begins an operation. */
void cuda_begin(struct engine_state *state, enum cuda_work work);

/* Local. Makes room for `bytes`; the content is lost if it grows. Where the device has no memory,
 * idle buffers and held copies are given up first. QO_NO_MEMORY. */
QO_MUST_USE enum status cuda_reserve(struct engine_state *state, struct cuda_buffer *buffer,
                                     size_t bytes, const char *what);

/* Local. The same, but false, and no room at all, where there is no memory. */
QO_MUST_USE bool cuda_try(struct cuda_buffer *buffer, size_t bytes);

/* Local. Frees; an empty buffer is allowed. */
void cuda_release(struct cuda_buffer *buffer);

/* Local. Room on the host for what is brought back. */
QO_MUST_USE enum status cuda_reserve_host(struct engine_state *state, size_t bytes);

/* Local. Room on the host for `num` sorters. */
QO_MUST_USE enum status cuda_reserve_sorters(struct engine_state *state, int64_t num);

/* Pure. The launch that a slot's kernels are for. */
struct launch cuda_launch(const struct engine_state *state, const struct cuda_slot *slot);

/*
 * Local. Time the kernels of a slot: start and stop are put around them on its stream; read waits
 * for the stop and adds what was between to state->seconds.
 */
QO_MUST_USE enum status cuda_clock_start(struct engine_state *state, struct cuda_slot *slot);
QO_MUST_USE enum status cuda_clock_stop(struct engine_state *state, struct cuda_slot *slot);
QO_MUST_USE enum status cuda_clock_read(struct engine_state *state, struct cuda_slot *slot);

/* --- device.c --- */

/* Local. Fills *device with the process's GPU; fails as device_select does. */
QO_MUST_USE enum status device_current(struct device *device);

/* --- stage.c --- */

/* Local. Events, and pinned memory once it is used; to be closed after a failure too. */
QO_MUST_USE enum status stage_open(struct engine_state *state, struct stage *stage);
void stage_close(struct stage *stage);

/* Local. Copies to the device, in order with what is on the stream. `from` may be changed as soon
 * as this returns. */
QO_MUST_USE enum status stage_up(struct engine_state *state, void *to, const void *from,
                                 size_t bytes, cudaStream_t stream);

/* Local. Copies to the host when all that is on the stream is done; returns when it is there. */
QO_MUST_USE enum status stage_down(struct engine_state *state, void *to, const void *from,
                                   size_t bytes, cudaStream_t stream);

/* --- pieces.c --- */

/* Part of a tile on the device. */
struct piece {
    struct device_tile tile;
    int64_t first; /* its first element in the tile */
    struct cuda_slot *slot;
};

/* What an operation does with a piece: puts kernels on its slot's stream; and fetches what must not
 * wait for the end, if not NULL. Between the two the next piece begins. */
struct piece_work {
    enum status (*begin)(struct engine_state *state, const struct piece *piece, void *context);
    enum status (*end)(struct engine_state *state, const struct piece *piece, void *context);
    void *context;
    int bits; /* of the codes that a piece's slot has room for; 0: none */
};

/* Local. Goes over a tile of n >= 1 elements. Afterwards, and after a failure too, all streams are
 * idle. */
QO_MUST_USE enum status pieces_walk(struct engine_state *state, const struct tile *tile,
                                    const struct piece_work *work);

/* Local. Elements begin to *end - 1 of the tile on the device, in slot 0 where it is not held: *end
 * moves down to what there is room for. Where it is held the piece begins at any element, and what
 * is behind it are the elements that follow. */
QO_MUST_USE enum status pieces_fetch(struct engine_state *state, const struct tile *tile,
                                     int64_t begin, int64_t *end, struct piece *piece);

/*
 * Local. Makes room in the slots for pieces of *each elements of n, and for codes of so many bits:
 * in one slot if that is all there is, else in all; for codes alone if the elements are held. Where
 * the device has no memory for so much, *each gets less, down to QO_BLOCK; in the end held copies
 * are given up. QO_NO_MEMORY.
 */
QO_MUST_USE enum status pieces_make_room(struct engine_state *state, enum element_type type,
                                         int bits, bool held, int64_t n, int64_t *each);

/* Local. Keeps a copy of the tile if there is memory for it. */
enum status pieces_hold(struct engine *engine, const struct tile *tile);
void pieces_release(struct engine *engine, const struct tile *tile);

/* --- measure_walk.c --- */

enum status cuda_measure(struct engine *engine, const struct tile *tile, const struct keep *keep,
                         const struct cell_map *map, struct measure_totals *totals);

/* --- levels_walk.c --- */

enum status cuda_assign(struct engine *engine, const struct tile *tile,
                        const struct level_table *table, struct assign_totals *totals);
enum status cuda_encode(struct engine *engine, const struct tile *tile,
                        const struct level_table *table, uint8_t *codes,
                        struct encode_totals *totals);
enum status cuda_score(struct engine *engine, const struct tile *tile,
                       const struct level_table *table, int num, struct encode_totals *totals);
enum status cuda_collect(struct engine *engine, const struct tile *tile,
                         const struct level_table *table, int64_t *position,
                         struct outlier_list *list);
enum status cuda_decode(struct engine *engine, const uint8_t *codes, int64_t n,
                        const struct level_table *table, enum element_type type, void *x);

#endif
