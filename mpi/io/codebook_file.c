/* SPDX-License-Identifier: Apache-2.0 */
#include "codebook_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "input_file.h"
#include "log.h"
#include "memory.h"
#include "number.h"
#include "reader.h"
#include "spelling.h"

/* No codebook is longer, with all its comments; what is was meant to be an input. */
#define MOST_BYTES ((int64_t)1 << 20)

/* Longer than any number that anybody writes. */
#define WORD_BYTES 64

/* The numbers of a file, as they stand there. */
struct numbers {
    const char *path;
    double *value; /* [n] */
    int64_t n;
};

/* ---- Text ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f' || c == ',';
}

/* Adds the word of `length` bytes, which may be anything. */
static enum status add_word(struct numbers *numbers, const char *begin, int64_t length, int line)
{
    char word[WORD_BYTES];
    size_t kept = length < WORD_BYTES ? (size_t)length : WORD_BYTES - 1;
    memcpy(word, begin, kept);
    word[kept] = '\0';
    if (strlen(word) < kept || spelling_unprintable(word) >= 0)
        return status_raise(QO_DATA,
                            "%s:%d: not a text; give decimal numbers, or a .npy of one dimension",
                            numbers->path, line);
    double x = 0;
    enum number number = (size_t)length > kept ? NUMBER_WRONG : number_read_real(word, &x);
    if (number == NUMBER_WRONG)
        return status_raise(QO_DATA,
                            "%s:%d: %s: not a finite decimal number; mend it, or put # in front of "
                            "what is a comment",
                            numbers->path, line, word);
    if (number == NUMBER_BEYOND)
        return status_raise(QO_DATA, "%s:%d: %s: beyond what float64 holds; scale the codebook",
                            numbers->path, line, word);
    numbers->value[numbers->n++] = x;
    return QO_OK;
}

static enum status take_words(struct numbers *numbers, const char *text, int64_t size)
{
    enum status status = QO_OK;
    int line = 1;
    for (int64_t at = 0; at < size;) {
        int64_t begin = at;
        if (text[at] == '#') {
            while (at < size && text[at] != '\n')
                at++;
        } else if (is_blank(text[at])) {
            line += text[at++] == '\n';
        } else {
            while (at < size && !is_blank(text[at]) && text[at] != '#')
                at++;
            QO_TRY(add_word(numbers, text + begin, at - begin, line));
        }
    }
done:
    return status;
}

/* Every number but the last has something behind it. */
static enum status read_text(struct numbers *numbers, int fd, int64_t size)
{
    enum status status;
    char *text = NULL;
    QO_TRY(memory_alloc("a codebook", size, 1, &text));
    QO_TRY(memory_alloc("a codebook", size / 2 + 1, sizeof *numbers->value, &numbers->value));
    if (size > 0)
        QO_TRY(input_file_read(fd, numbers->path, 0, size, text));
    QO_TRY(take_words(numbers, text, size));
done:
    memory_free(text);
    return status;
}

/* ---- .npy ---- */

/* Reads the elements of an entry. */
static enum status read_elements(struct numbers *numbers, const struct entry *entry)
{
    enum status status;
    struct handle handle = {.reader = &reader_npy, .fd = -1, .file_id = -1, .dataset_id = -1};
    const struct vector_info *info = &entry->info;
    void *x = NULL;
    QO_TRY(memory_alloc("a codebook", info->n, element_size(info->type), &x));
    QO_TRY(memory_alloc("a codebook", info->n, sizeof *numbers->value, &numbers->value));
    QO_TRY(reader_npy.open(&handle, entry));
    if (info->n > 0)
        QO_TRY(reader_npy.read(&handle, entry, 0, info->n, x));
    for (int64_t i = 0; i < info->n; i++) {
        double value = element_value(info->type, element_bits(info->type, x, i));
        QO_CHECK(isfinite(value), QO_DATA, "%s[%lld]: %s; a codebook holds finite numbers alone",
                 numbers->path, (long long)i, isnan(value) ? "NaN" : "infinite");
        numbers->value[numbers->n++] = value;
    }
done:
    reader_npy.close(&handle);
    memory_free(x);
    return status;
}

static enum status read_npy(struct numbers *numbers)
{
    enum status status;
    struct catalog catalog = {0};
    const struct source_request request = {.num_dims = -1};
    QO_TRY(reader_npy.scan(&request, numbers->path, NULL, &catalog));
    const struct vector_info *info = &catalog.entry[0].info;
    QO_CHECK(info->num_dims == 1, QO_DATA,
             "%s: an array of %d dimensions; give a codebook of one dimension", numbers->path,
             info->num_dims);
    QO_TRY(read_elements(numbers, &catalog.entry[0]));
done:
    catalog_clear(&catalog);
    return status;
}

/* ---- Both ---- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the numbers into the codebook. */
static enum status make_book(const struct numbers *numbers, struct codebook *book)
{
    double *value = numbers->value;
    int64_t k = 0;
    if (numbers->n == 0)
        return status_raise(QO_DATA, "%s: holds no number; give a codebook of 1 to %d",
                            numbers->path, SOLVER_MAX_LEVELS);
    qsort(value, (size_t)numbers->n, sizeof *value, compare);
    for (int64_t i = 0; i < numbers->n; i++)
        if (k == 0 || value[i] > value[k - 1])
            value[k++] = value[i] + 0.0; /* no -0.0 */
    if (k > SOLVER_MAX_LEVELS)
        return status_raise(QO_DATA, "%s: %lld different numbers; a codebook has at most %d",
                            numbers->path, (long long)k, SOLVER_MAX_LEVELS);
    if (k < numbers->n)
        log_info("%s: %lld of %lld numbers stand there twice and are merged", numbers->path,
                 (long long)(numbers->n - k), (long long)numbers->n);
    book->k = (int)k;
    memcpy(book->value, value, (size_t)k * sizeof *value);
    return QO_OK;
}

enum status codebook_file_read(const char *path, struct codebook *book)
{
    enum status status;
    struct numbers numbers = {.path = path};
    struct file_head head = {.path = path};
    int fd = -1;
    QO_TRY(input_file_open(path, &fd, &head.size));
    QO_CHECK(
        head.size <= MOST_BYTES, QO_DATA,
        "%s: %lld bytes, more than the %lld of any codebook; give a file of at most %d numbers",
        path, (long long)head.size, (long long)MOST_BYTES, SOLVER_MAX_LEVELS);
    head.fd = fd;
    head.num_bytes = head.size < 16 ? (int)head.size : 16;
    if (head.num_bytes > 0)
        QO_TRY(input_file_read(fd, path, 0, head.num_bytes, head.byte));
    if (reader_npy.recognises(&head))
        QO_TRY(read_npy(&numbers));
    else
        QO_TRY(read_text(&numbers, fd, head.size));
    QO_TRY(make_book(&numbers, book));
done:
    input_file_close(&fd);
    memory_free(numbers.value);
    return status;
}
