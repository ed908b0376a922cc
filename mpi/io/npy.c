/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <string.h>

#include "fortran.h"
#include "input_file.h"
#include "log.h"
#include "memory.h"

/*
 * NumPy's .npy: the magic, a version, the length of a header, the header, the elements. The header
 * is a literal of a Python dictionary with exactly three keys; the grammar below takes that and no
 * more, and nothing is believed before it was held against the size of the file.
 */

/* "\x93NUMPY", major, minor, and the length: 2 bytes in version 1, 4 in versions 2 and 3. */
enum { MAGIC_BYTES = 6, PREFIX_BYTES = 12 };

/* NumPy itself refuses more than 10,000 bytes; version 1 cannot say more than this. */
#define MAX_HEADER 65536

/* The header as it is read: the text left, and what was found. */
struct header {
    const char *path;
    /* Not ended by a zero: a hostile header may hold zeros anywhere. */
    const char *at, *end;
    /* Types that are taken have 3 letters; the rest of it is for the message that refuses one. */
    char descr[64];
    bool has_descr, has_order, has_shape;
    bool is_fortran;
    int num_dims;
    int64_t shape[SOURCE_MAX_DIMS];
};

/* The first byte is not ASCII, so no text is taken for it. */
static bool npy_recognises(const struct file_head *head)
{
    return head->num_bytes >= MAGIC_BYTES && memcmp(head->byte, "\x93NUMPY", MAGIC_BYTES) == 0;
}

/* strchr would also find the zero at the end of its list, hence the second condition. */
static void skip_space(struct header *header)
{
    while (header->at < header->end && strchr(" \t\r\n", *header->at) && *header->at)
        header->at++;
}

/* Takes a character, with the space around it, if it is the next one. */
static bool take(struct header *header, char c)
{
    skip_space(header);
    if (header->at == header->end || *header->at != c)
        return false;
    header->at++;
    skip_space(header);
    return true;
}

/* Takes a word if it comes next; what follows it is looked at by whoever needs something there. */
static bool take_word(struct header *header, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(header->end - header->at) < n || memcmp(header->at, word, n) != 0)
        return false;
    header->at += n;
    return true;
}

/* A string in single or double quotes; no escapes: none of the texts that mean something here has
 * any. */
static bool take_text(struct header *header, char *text, size_t size)
{
    size_t n = 0;
    if (header->at == header->end || (*header->at != '\'' && *header->at != '"'))
        return false;
    char quote = *header->at++;
    for (; header->at < header->end && *header->at != quote; header->at++) {
        /* What is kept goes into messages, so nothing that could move a cursor gets in. */
        if (*header->at == '\\' || !isprint((unsigned char)*header->at) || n + 1 == size)
            return false;
        text[n++] = *header->at;
    }
    text[n] = '\0';
    /* At the end of the header there is no closing quote to step over. */
    return header->at++ < header->end;
}

/* Every fault of the grammar has the same remedy. */
static enum status bad_header(const struct header *header, const char *what)
{
    return status_raise(QO_DATA,
                        "%s: not a valid .npy header: %s; write the file again with numpy.save",
                        header->path, what);
}

/* A length: decimal digits; Python 2 wrote an L behind a long one. */
static enum status take_length(struct header *header, int64_t *length)
{
    const char *start = header->at;
    if (start < header->end && *start == '-')
        return bad_header(header, "a length in the shape is negative");
    /* A sign was refused, so only the upper end has to be watched. */
    *length = 0;
    /* Digits one by one: strtoll would take blanks and stop at no end of ours. */
    for (; header->at < header->end && isdigit((unsigned char)*header->at); header->at++)
        if (__builtin_mul_overflow(*length, 10, length) ||
            __builtin_add_overflow(*length, *header->at - '0', length))
            return bad_header(header, "a length in the shape passes 2^63");
    /* Python refuses 03 as well: it once meant octal. */
    if (header->at == start || (*start == '0' && header->at - start > 1))
        return bad_header(header, "the shape is not a tuple of integers");
    (void)take_word(header, "L");
    return QO_OK;
}

/* (), (3,) or (3, 4) with or without a last comma; (3) is not a tuple. */
static enum status take_shape(struct header *header)
{
    enum status status = QO_OK;
    bool has_comma = false;
    QO_CHECK(take(header, '('), QO_DATA, "%s: not a valid .npy header: the shape is not a tuple",
             header->path);
    while (!take(header, ')')) {
        if (header->num_dims > 0 && !has_comma)
            return bad_header(header, "the shape is not a tuple of integers");
        /* Before the write: shape[] has no more room. */
        if (header->num_dims == SOURCE_MAX_DIMS)
            return bad_header(header, "more than 32 dimensions");
        QO_TRY(take_length(header, &header->shape[header->num_dims++]));
        has_comma = take(header, ',');
    }
    /* (3) is the number 3 in Python, and its writer may have meant anything. */
    if (header->num_dims == 1 && !has_comma)
        return bad_header(header, "the shape is not a tuple");
done:
    return status;
}

/* Python's booleans, in its spelling. */
static enum status take_order(struct header *header)
{
    if (take_word(header, "True"))
        header->is_fortran = true;
    else if (!take_word(header, "False"))
        return bad_header(header, "fortran_order is neither True nor False");
    return QO_OK;
}

/* A list or a dictionary describes the fields of a structured type: many vectors in one,
 * interleaved. */
static enum status take_descr(struct header *header)
{
    if (header->at < header->end && (*header->at == '[' || *header->at == '{'))
        return status_raise(
            QO_DATA,
            "%s: is a structured array; save its floating-point fields as files of their own",
            header->path);
    if (!take_text(header, header->descr, sizeof header->descr))
        return bad_header(header, "descr is not a short text");
    return QO_OK;
}

/* One `key: value` of the dictionary. */
static enum status take_item(struct header *header)
{
    static const struct {
        const char *key;
        size_t flag;
        enum status (*take_value)(struct header *header);
    } items[] = {
        {"descr", offsetof(struct header, has_descr), take_descr},
        {"fortran_order", offsetof(struct header, has_order), take_order},
        {"shape", offsetof(struct header, has_shape), take_shape},
    };
    char key[32];
    if (!take_text(header, key, sizeof key) || !take(header, ':'))
        return bad_header(header, "a key is expected");
    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
        /* A key is one of three, in any order: writers in other languages sort them. */
        if (strcmp(key, items[i].key) != 0)
            continue;
        bool *is_there = (bool *)((char *)header + items[i].flag);
        /* Python would take the last of two, other readers the first: neither is sure. */
        if (*is_there)
            return bad_header(header, "a key stands twice");
        *is_there = true;
        return items[i].take_value(header);
    }
    return bad_header(header, "a key is none of descr, fortran_order and shape");
}

/*
 * The whole dictionary: items in any order, a comma between two and allowed behind the last, then
 * nothing but space. NumPy writes one line; others have written all of these forms.
 */
static enum status parse_header(struct header *header)
{
    enum status status = QO_OK;
    bool has_comma = true;
    if (!take(header, '{'))
        return bad_header(header, "it does not begin with {");
    /* Each turn takes a key or ends, so no text can keep this loop going. */
    while (!take(header, '}')) {
        if (!has_comma)
            return bad_header(header, "a comma or } is expected");
        QO_TRY(take_item(header));
        has_comma = take(header, ',');
    }
    if (header->at != header->end)
        return bad_header(header, "there is more behind the dictionary");
    /* A shape left out would otherwise read as a scalar, an order as C. */
    if (!header->has_descr || !header->has_order || !header->has_shape)
        return bad_header(header, "descr, fortran_order or shape is missing");
done:
    return status;
}

/* What the kinds of NumPy's type codes are called; sizes are in the code itself. */
static const char *kind_name(char kind)
{
    switch (kind) {
    case 'i':
        return "integers";
    case 'u':
        return "unsigned integers";
    case 'b':
    case '?':
        return "booleans";
    case 'c':
        return "complex numbers";
    case 'O':
        return "pickled Python objects";
    case 'S':
    case 'a':
    case 'U':
        return "texts";
    case 'M':
    case 'm':
        return "dates or times";
    case 'V':
        return "bytes without a meaning";
    case 'f':
        return "floating-point numbers of another width";
    default:
        return "of an unknown type";
    }
}

/* Makes type and byte order from a descr such as "<f4"; "=" is this machine's order. */
static enum status find_type(const struct header *header, struct entry *entry)
{
    static const struct {
        const char *code;
        enum element_type type;
    } types[] = {{"f2", ELEMENT_F16}, {"f4", ELEMENT_F32}, {"f8", ELEMENT_F64}};
    /* A descr without an order, as "f4", is this machine's. */
    const char *descr = header->descr, *code = descr + (strchr("<>=|", descr[0]) && descr[0]);
    bool is_little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    entry->is_swapped = (descr[0] == '<' && !is_little) || (descr[0] == '>' && is_little);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        entry->info.type = types[i].type;
        /* "|" claims that the order does not matter, which is untrue above one byte. */
        if (strcmp(code, types[i].code) == 0 && descr[0] != '|')
            return QO_OK;
    }
    return status_raise(
        QO_DATA, "%s: elements are of dtype '%s' (%s); convert them to float16, float32 or float64",
        header->path, descr, kind_name(code[0]));
}

/* Reads the header's text; *text is to be freed. *data = where the elements begin. */
static enum status read_header(int fd, const char *path, int64_t size, char **text, int64_t *length,
                               int64_t *data)
{
    enum status status = QO_OK;
    unsigned char prefix[PREFIX_BYTES] = {0};
    int64_t start = 10;
    /* The magic was seen, so it is such a file that ends too soon. */
    QO_CHECK(size >= start, QO_DATA, "%s: %lld bytes are too few for a .npy file; it is cut", path,
             (long long)size);
    /* A file of version 1 may be shorter than the longer of the two prefixes. */
    QO_TRY(input_file_read(fd, path, 0, size < PREFIX_BYTES ? size : PREFIX_BYTES, prefix));
    int major = prefix[6], minor = prefix[7];
    /* A later version may have changed what the bytes behind it mean. */
    QO_CHECK(major >= 1 && major <= 3 && minor == 0, QO_DATA,
             "%s: .npy version %d.%d is not known (1.0, 2.0 and 3.0 are); save it with a known one",
             path, major, minor);
    /* Byte by byte: the field is little-endian on every machine. */
    *length = prefix[8] | prefix[9] << 8;
    if (major > 1) {
        start = PREFIX_BYTES;
        *length |= (int64_t)prefix[10] << 16 | (int64_t)prefix[11] << 24;
    }
    /* Before any memory is asked for: 12 bytes of file could otherwise ask for 4 GiB. */
    QO_CHECK(*length <= MAX_HEADER, QO_DATA,
             "%s: the header claims %lld bytes, more than the %d that any array needs; the file is "
             "damaged",
             path, (long long)*length, MAX_HEADER);
    /* Subtracted from what is there: nothing is added that might wrap. */
    QO_CHECK(size >= start && *length <= size - start, QO_DATA,
             "%s: the header claims %lld bytes, but the file has %lld; it is cut", path,
             (long long)*length, (long long)size);
    QO_TRY(memory_alloc("a .npy header", *length, 1, text));
    QO_TRY(input_file_read(fd, path, start, *length, *text));
    *data = start + *length;
done:
    return status;
}

/* Holds what the header says against the bytes there are. */
static enum status check_size(const struct header *header, int64_t bytes, struct entry *entry)
{
    enum status status = QO_OK;
    /* Bytes and not elements are what must fit 63 bits. */
    int64_t size = (int64_t)element_size(entry->info.type);
    QO_CHECK(shape_product(header->shape, header->num_dims, (size_t)size, &entry->info.n), QO_DATA,
             "%s: the product of the shape passes 2^63 bytes; the file is damaged", header->path);
    /* The product fits, so nothing below can wrap; an empty array needs no byte. */
    int64_t needed = entry->info.n * size;
    QO_CHECK(needed <= bytes, QO_DATA,
             "%s: %lld elements need %lld bytes, but only %lld follow the header; it is cut",
             header->path, (long long)entry->info.n, (long long)needed, (long long)bytes);
    /* numpy.save can be called twice on one open file, so this is a warning and no failure. */
    if (needed < bytes)
        log_warn("%s: %lld bytes behind the last element are not read", header->path,
                 (long long)(bytes - needed));
    entry->info.num_dims = header->num_dims;
    memcpy(entry->info.shape, header->shape, sizeof header->shape);
    /* With one dimension or none both orders are the same. */
    entry->is_fortran = header->is_fortran && header->num_dims > 1;
done:
    return status;
}

/* The steps in the order in which each protects the next. */
static enum status npy_scan(const struct source_request *request, const char *path,
                            const char *dataset, struct catalog *catalog)
{
    (void)request;
    enum status status;
    struct entry entry = {.reader = &reader_npy, .file = (char *)path};
    struct header header = {.path = path};
    /* On the heap: 64 KiB would be much of the stack of a thread. */
    char *text = NULL;
    int fd;
    int64_t size, length = 0;
    QO_TRY(input_file_open(path, &fd, &size));
    /* Part of an argument that meant nothing would be ignored in silence. */
    QO_CHECK(!dataset, QO_NO_INPUT,
             "%s:%s: a .npy file has no datasets; leave out the part behind the colon", path,
             dataset);
    QO_TRY(read_header(fd, path, size, &text, &length, &entry.offset));
    header.at = text;
    /* The end is the file's own claim, already held against its size. */
    header.end = text + length;
    QO_TRY(parse_header(&header));
    QO_TRY(find_type(&header, &entry));
    QO_TRY(check_size(&header, size - entry.offset, &entry));
    QO_TRY(catalog_add(catalog, &entry));
done:
    input_file_close(&fd);
    memory_free(text);
    return status;
}

/* C order is read straight into x; Fortran order takes the way through windows. */
static enum status npy_read(struct handle *handle, const struct entry *entry, int64_t begin,
                            int64_t end, void *x)
{
    if (!entry->is_fortran)
        return input_file_read_entry(handle, entry, begin, end, x);
    /* Swapped afterwards, in one go: dealing out moves elements as they are. */
    enum status status = fortran_read(handle->fd, entry, begin, end, x);
    if (status == QO_OK && entry->is_swapped)
        element_swap_bytes(entry->info.type, x, end - begin);
    return status;
}

const struct reader reader_npy = {
    .name = ".npy",
    .recognises = npy_recognises,
    .scan = npy_scan,
    .open = input_file_open_entry,
    .read = npy_read,
    .close = input_file_close_entry,
};
