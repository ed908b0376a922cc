/* SPDX-License-Identifier: Apache-2.0 */
#include "fortran.h"

#include <assert.h>
#include <string.h>

#include "element.h"
#include "input_file.h"
#include "memory.h"

/*
 * From Fortran order into C order, in windows of the file.
 *
 * A range of elements in C order lies in a box: the leading indices that its first and last element
 * share are fixed, the next one has a range, the others are free. The box is walked in the order of
 * the file, a line (a run along dimension 0) at a time. Lines that are near each other are read
 * together in one window, which is then dealt out, 16 lines at a time, so that both the window and
 * x are touched in whole cache lines. Cost: one read a window; elements between lines are read for
 * nothing, but never more than MAX_GAP bytes in a row.
 */

/* A window and its list of lines: 4 + 1 MiB. The window fits the second level cache or nearly so.
 */
#define WINDOW_BYTES ((int64_t)4 << 20)
#define WINDOW_LINES 65536

/* Below this many bytes reading on is cheaper than another call, on local disks and on file
 * servers. */
#define MAX_GAP 65536

/* Lines dealt out together: 16 elements of 4 bytes fill a cache line of x. */
#define LINES_AT_ONCE 16

struct line {
    int64_t file; /* first element, counted in the file */
    int64_t c;    /* the same element, counted in C order */
};

struct fortran_read {
    const struct entry *entry;
    int fd;
    int64_t begin, end; /* the wanted range in C order */
    int64_t length;     /* elements of each line */
    int64_t row;        /* elements of C order between neighbours in a line */
    size_t size;        /* bytes of an element */
    char *window;
    struct line *line; /* [num_lines] in the window */
    int num_lines;
    char *x;
};

/* Copies element after element; `size` is a constant wherever this is called, so that memcpy is one
 * move. */
static inline void deal_lines(const struct fortran_read *reading, const struct line *line,
                              int num_lines, size_t size)
{
    int64_t first = reading->line[0].file;
    for (int64_t i = 0; i < reading->length; i++) {
        for (int j = 0; j < num_lines; j++) {
            int64_t c = line[j].c + i * reading->row;
            if (c < reading->begin ||
                c >= reading->end) /* a corner of the box that is not in the range */
                continue;
            memcpy(reading->x + (size_t)(c - reading->begin) * size,
                   reading->window + (size_t)(line[j].file - first + i) * size, size);
        }
    }
}

/* One copy of the loop for each size of an element. */
static void deal_window(const struct fortran_read *reading)
{
    for (int i = 0; i < reading->num_lines; i += LINES_AT_ONCE) {
        int n = reading->num_lines - i < LINES_AT_ONCE ? reading->num_lines - i : LINES_AT_ONCE;
        switch (reading->size) {
        case 8:
            deal_lines(reading, reading->line + i, n, 8);
            break;
        case 4:
            deal_lines(reading, reading->line + i, n, 4);
            break;
        default:
            deal_lines(reading, reading->line + i, n, 2);
        }
    }
}

/* Reads the lines collected so far and deals them out. */
static enum status read_window(struct fortran_read *reading)
{
    if (reading->num_lines == 0)
        return QO_OK;
    int64_t size = (int64_t)reading->size, first = reading->line[0].file;
    int64_t n = reading->line[reading->num_lines - 1].file + reading->length - first;
    enum status status =
        input_file_read(reading->fd, reading->entry->info.origin,
                        reading->entry->offset + first * size, n * size, reading->window);
    if (status == QO_OK)
        deal_window(reading);
    reading->num_lines = 0;
    return status;
}

/* Puts a line into the window, after reading the window if the line is too far or there is no more
 * room. */
static enum status add_line(struct fortran_read *reading, struct line line)
{
    enum status status = QO_OK;
    int64_t size = (int64_t)reading->size;
    if (reading->num_lines > 0) {
        int64_t end_before = reading->line[reading->num_lines - 1].file + reading->length;
        int64_t span = line.file + reading->length - reading->line[0].file;
        if (span * size > WINDOW_BYTES || (line.file - end_before) * size > MAX_GAP ||
            reading->num_lines == WINDOW_LINES)
            QO_TRY(read_window(reading));
    }
    reading->line[reading->num_lines++] = line;
done:
    return status;
}

/* A box of indices: dimension k covers [low[k], high[k]). Steps: what an index adds to each count.
 */
struct box {
    int num_dims;
    int64_t low[SOURCE_MAX_DIMS], high[SOURCE_MAX_DIMS];
    int64_t file_step[SOURCE_MAX_DIMS], c_step[SOURCE_MAX_DIMS];
};

/*
 * Elements begin and end - 1 in C order share their first indices up to some dimension; from the
 * next one on, everything between must be taken, because later indices run through all their
 * values.
 */
static void box_init(struct box *box, const struct vector_info *info, int64_t begin, int64_t end)
{
    int64_t step = 1;
    box->num_dims = info->num_dims;
    for (int k = 0; k < info->num_dims; k++, step *= info->shape[k - 1])
        box->file_step[k] = step;
    step = 1;
    for (int k = info->num_dims - 1; k >= 0; step *= info->shape[k], k--)
        box->c_step[k] = step;
    bool is_free = false;
    for (int k = 0; k < info->num_dims; k++) {
        int64_t low = begin / box->c_step[k] % info->shape[k];
        int64_t high = (end - 1) / box->c_step[k] % info->shape[k] + 1;
        box->low[k] = is_free ? 0 : low;
        box->high[k] = is_free ? info->shape[k] : high;
        is_free |= low + 1 != high;
    }
}

/* Walks over the lines of a box, the part [low, high) of dimension 0 of each. */
static enum status walk_lines(struct fortran_read *reading, const struct box *box, int64_t low,
                              int64_t high)
{
    enum status status = QO_OK;
    int64_t index[SOURCE_MAX_DIMS];
    struct line line = {low, low * box->c_step[0]};
    for (int k = 1; k < box->num_dims; k++) {
        index[k] = box->low[k];
        line.file += index[k] * box->file_step[k];
        line.c += index[k] * box->c_step[k];
    }
    reading->length = high - low;
    for (int k = 1; k < box->num_dims;) {
        QO_TRY(add_line(reading, line));
        for (k = 1; k < box->num_dims; k++) { /* the next line: as an odometer counts */
            if (++index[k] < box->high[k]) {
                line.file += box->file_step[k];
                line.c += box->c_step[k];
                break;
            }
            int64_t back = box->high[k] - 1 - box->low[k];
            line.file -= back * box->file_step[k];
            line.c -= back * box->c_step[k];
            index[k] = box->low[k];
        }
    }
    status = read_window(reading);
done:
    return status;
}

enum status fortran_read(int fd, const struct entry *entry, int64_t begin, int64_t end, void *x)
{
    enum status status;
    assert(entry->info.num_dims >= 2 && begin < end && end <= entry->info.n);
    struct box box;
    box_init(&box, &entry->info, begin, end);
    struct fortran_read reading = {
        .entry = entry, .fd = fd, .begin = begin, .end = end, .row = box.c_step[0], .x = x};
    reading.size = element_size(entry->info.type);
    /* No more than the whole array takes, so that small ones stay cheap. */
    int64_t n = entry->info.n, size = (int64_t)reading.size;
    int64_t bytes = n < WINDOW_BYTES / size ? n * size : WINDOW_BYTES;
    QO_TRY(memory_alloc("a window of the file", bytes, 1, &reading.window));
    QO_TRY(memory_alloc("a window of the file", n < WINDOW_LINES ? n : WINDOW_LINES,
                        sizeof *reading.line, &reading.line));
    /* A line longer than the window is taken in pieces. */
    int64_t piece = WINDOW_BYTES / size;
    for (int64_t low = box.low[0]; low < box.high[0]; low += piece) {
        int64_t high = box.high[0] - low < piece ? box.high[0] : low + piece;
        QO_TRY(walk_lines(&reading, &box, low, high));
    }
done:
    memory_free(reading.window);
    memory_free(reading.line);
    return status;
}
