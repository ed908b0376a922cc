/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "input_file.h"
#include "log.h"
#include "memory.h"

/*
 * safetensors: 8 bytes with the length N of a header, N bytes of JSON, then the tensors' bytes,
 * little-endian, in C order, each byte in exactly one tensor. The checks are those of the format's
 * own validator and in its order; lengths are subtracted from what is there, never added up to what
 * might wrap.
 */

/* The format's own limit. */
#define MAX_HEADER 100000000

/* Longer names would not fit into one message; HDF5 links may be no longer than 65,535 bytes
 * either. */
#define MAX_NAME 1024

static const struct dtype {
    const char *name;
    /* In bits, as the smallest types share a byte. */
    int bits;
    bool is_taken;
    enum element_type type;
} dtypes[] = {
    {"F16", 16, true, ELEMENT_F16},     {"BF16", 16, true, ELEMENT_BF16},
    {"F32", 32, true, ELEMENT_F32},     {"F64", 64, true, ELEMENT_F64},
    {.name = "BOOL", .bits = 8},        {.name = "U8", .bits = 8},
    {.name = "I8", .bits = 8},          {.name = "I16", .bits = 16},
    {.name = "U16", .bits = 16},        {.name = "I32", .bits = 32},
    {.name = "U32", .bits = 32},        {.name = "I64", .bits = 64},
    {.name = "U64", .bits = 64},        {.name = "C64", .bits = 64},
    {.name = "F4", .bits = 4},          {.name = "F6_E2M3", .bits = 6},
    {.name = "F6_E3M2", .bits = 6},     {.name = "F8_E4M3", .bits = 8},
    {.name = "F8_E5M2", .bits = 8},     {.name = "F8_E8M0", .bits = 8},
    {.name = "F8_E4M3FNUZ", .bits = 8}, {.name = "F8_E5M2FNUZ", .bits = 8},
};

/* A tensor of the header, of any dtype: those that are not taken count for the cover of the file.
 */
struct tensor {
    /* The text lives as long as the JSON, which is longer than this struct. */
    const char *name; /* the JSON's */
    const struct dtype *dtype;
    int num_dims;
    int64_t shape[SOURCE_MAX_DIMS];
    int64_t n;
    int64_t begin, end; /* bytes in the data section */
};

/* A file while it is looked at. */
struct scan {
    const char *path;
    int fd;
    int64_t size;
    int64_t data; /* where the data section begins */
    char *text;   /* [text_length], the JSON */
    int64_t text_length;
    json_t *root;
    struct tensor *tensor; /* [num_tensors] */
    int num_tensors;
};

/* By the suffix: the first bytes are a length and say nothing. */
static bool safetensors_recognises(const struct file_head *head)
{
    static const char suffix[] = ".safetensors";
    size_t n = strlen(head->path), m = sizeof suffix - 1;
    return n >= m && strcasecmp(head->path + n - m, suffix) == 0;
}

/* The length, and the text of that length; both are held against the size of the file first. */
static enum status read_header(struct scan *scan)
{
    enum status status = QO_OK;
    unsigned char head[64];
    int num_bytes = scan->size < (int64_t)sizeof head ? (int)scan->size : (int)sizeof head;
    uint64_t n = 0;
    QO_CHECK(scan->size >= 8, QO_DATA,
             "%s: %lld bytes are too few for a safetensors file; it is cut", scan->path,
             (long long)scan->size);
    QO_TRY(input_file_read(scan->fd, scan->path, 0, num_bytes, head));
    /* Little-endian on every machine. */
    for (int i = 7; i >= 0; i--)
        n = n << 8 | head[i];
    const char *guess = input_file_guess(head, num_bytes);
    /* Before any memory is asked for. The suffix may be wrong, and then the number is a text. */
    QO_CHECK(n <= MAX_HEADER, QO_DATA,
             "%s: the header claims %llu bytes, the format allows %d; %s%s", scan->path,
             (unsigned long long)n, MAX_HEADER, guess ? "it looks like " : "the file is damaged",
             guess ? guess : "");
    /* Subtracted, not added: n + 8 could wrap had it not been limited above. */
    QO_CHECK((int64_t)n <= scan->size - 8, QO_DATA,
             "%s: the header claims %llu bytes, but %lld follow; it is cut", scan->path,
             (unsigned long long)n, (long long)(scan->size - 8));
    scan->text_length = (int64_t)n;
    scan->data = 8 + scan->text_length;
    QO_TRY(memory_alloc("a safetensors header", scan->text_length, 1, &scan->text));
    QO_TRY(input_file_read(scan->fd, scan->path, 8, scan->text_length, scan->text));
done:
    return status;
}

/* Error texts of JSON quote the file, so they are kept to one printable line. */
static void make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e)
            *text = '?';
}

/*
 * jansson refuses duplicate keys, invalid UTF-8, integers beyond 64 bits and nesting beyond 2048;
 * that nothing but spaces may surround the object is the format's own rule.
 */
static enum status parse_header(struct scan *scan)
{
    enum status status = QO_OK;
    json_error_t error;
    int64_t n = scan->text_length;
    /* Writers pad with blanks, so that the data section begins at a multiple of 8. */
    while (n > 0 && scan->text[n - 1] == ' ')
        n--;
    QO_CHECK(n >= 2 && scan->text[0] == '{' && scan->text[n - 1] == '}', QO_DATA,
             "%s: the header is not a JSON object; the file is damaged or of another kind",
             scan->path);
    scan->root = json_loadb(scan->text, (size_t)n, JSON_REJECT_DUPLICATES, &error);
    /* Also after a success, where it is empty: so no path shows it as it came. */
    make_printable(error.text);
    QO_CHECK(scan->root, QO_DATA,
             "%s: the header is not valid JSON at byte %d: %s; the file is damaged", scan->path,
             error.position, error.text);
done:
    return status;
}

/* A message about a tensor; its name comes from the file, so it is made printable first. */
static enum status bad_tensor(const struct scan *scan, const char *name, const char *what)
{
    char shown[MAX_NAME + 1];
    /* Cut here, as a name in the file may be as long as the header. */
    strncpy(shown, name, sizeof shown - 1);
    shown[sizeof shown - 1] = '\0';
    make_printable(shown);
    return status_raise(QO_DATA, "%s:%s: %s; the file is damaged or of a newer format", scan->path,
                        shown, what);
}

/* Texts for people; nothing in them is used, but a file that breaks the rule here may break others.
 */
static enum status check_metadata(const struct scan *scan, const json_t *metadata)
{
    const char *key;
    json_t *value;
    if (json_is_null(metadata)) /* what the format's own reader takes for none */
        return QO_OK;
    if (!json_is_object(metadata))
        return bad_tensor(scan, "__metadata__", "is not an object");
    json_object_foreach((json_t *)metadata, key, value)
    {
        if (!json_is_string(value))
            return bad_tensor(scan, "__metadata__", "holds something else than texts");
    }
    return QO_OK;
}

/* An unknown dtype is an error and not a tensor to skip: its size, hence the cover, cannot be
 * checked. */
static bool find_dtype(const json_t *value, const struct dtype **dtype)
{
    const char *name = json_string_value(value);
    for (size_t i = 0; name && i < sizeof dtypes / sizeof dtypes[0]; i++) {
        *dtype = &dtypes[i];
        if (strcmp(name, dtypes[i].name) == 0)
            return true;
    }
    return false;
}

/* 1.0 is no count: the format has integers only, and another reader may read it as something else.
 */
static bool take_count(const json_t *value, int64_t *count)
{
    /* 0 for anything that is no integer; the next line tells that from a true 0. */
    *count = json_integer_value(value);
    return json_is_integer(value) && *count >= 0;
}

/* A shape of any kind of tensor; only those that are taken are held to the limit of dimensions. */
static enum status take_shape(const struct scan *scan, struct tensor *tensor, const json_t *shape)
{
    size_t num_dims = json_array_size(shape);
    int64_t product = 1, length;
    bool is_empty = false;
    if (!json_is_array(shape))
        return bad_tensor(scan, tensor->name, "shape is not a list");
    /* Others are only weighed, and a product needs no list. */
    if (tensor->dtype->is_taken && num_dims > SOURCE_MAX_DIMS)
        return bad_tensor(scan, tensor->name, "has more than 32 dimensions");
    for (size_t i = 0; i < num_dims; i++) {
        if (!take_count(json_array_get(shape, i), &length))
            return bad_tensor(scan, tensor->name, "shape is not a list of lengths");
        /* Taken over the lengths that are not 0, so that a 0 cannot hide the others. */
        is_empty |= length == 0;
        if (length > 0 && __builtin_mul_overflow(product, length, &product))
            return bad_tensor(scan, tensor->name, "the product of the shape passes 2^63");
        if (i < SOURCE_MAX_DIMS)
            tensor->shape[i] = length;
    }
    tensor->num_dims = (int)(num_dims < SOURCE_MAX_DIMS ? num_dims : SOURCE_MAX_DIMS);
    /* An empty tensor may not hide an overflow of its other lengths, so the product is tried with
     * bits first. */
    int64_t bits;
    if (__builtin_mul_overflow(product, tensor->dtype->bits, &bits))
        return bad_tensor(scan, tensor->name, "the size passes 2^63 bits");
    tensor->n = is_empty ? 0 : product;
    return QO_OK;
}

/*
 * Both ends against the data section, then their distance against dtype and shape; all three are
 * known to be without overflow by now, and end >= begin before it is subtracted.
 */
static enum status take_offsets(const struct scan *scan, struct tensor *tensor,
                                const json_t *offsets)
{
    int64_t data_size = scan->size - scan->data, bits = tensor->n * tensor->dtype->bits;
    if (json_array_size(offsets) != 2 || !take_count(json_array_get(offsets, 0), &tensor->begin) ||
        !take_count(json_array_get(offsets, 1), &tensor->end))
        return bad_tensor(scan, tensor->name, "data_offsets are not two byte positions");
    /* Ends before they are subtracted: their order keeps the distance from wrapping. */
    if (tensor->begin > tensor->end)
        return bad_tensor(scan, tensor->name, "data_offsets end before they begin");
    if (tensor->end > data_size)
        return bad_tensor(scan, tensor->name, "data_offsets pass the end of the file");
    /* Tensors begin at whole bytes, so 4-bit types of odd length are not possible. */
    if (bits % 8 != 0 || bits / 8 != tensor->end - tensor->begin)
        return bad_tensor(scan, tensor->name, "data_offsets do not fit dtype and shape");
    return QO_OK;
}

/* One tensor's three values, checked in the order in which each needs the one before. */
static enum status take_tensor(struct scan *scan, const char *name, const json_t *value)
{
    enum status status;
    struct tensor *tensor = &scan->tensor[scan->num_tensors];
    const json_t *dtype = json_object_get(value, "dtype"), *shape = json_object_get(value, "shape");
    const json_t *offsets = json_object_get(value, "data_offsets");
    /* Written before it counts: after a failure it is not looked at. */
    *tensor = (struct tensor){.name = name};
    if (strlen(name) > MAX_NAME)
        return bad_tensor(scan, name, "the name is longer than 1024 bytes");
    /* A fourth key might change what the others mean, as strides would. */
    if (json_object_size(value) != 3 || !dtype || !shape || !offsets)
        return bad_tensor(scan, name, "has not exactly dtype, shape and data_offsets");
    if (!find_dtype(dtype, &tensor->dtype))
        return bad_tensor(scan, name, "dtype is not known");
    QO_TRY(take_shape(scan, tensor, shape));
    QO_TRY(take_offsets(scan, tensor, offsets));
    scan->num_tensors++;
done:
    return status;
}

/* An empty tensor goes before one that begins at the same place, so that the cover has no step
 * back. */
static int by_place(const void *a, const void *b)
{
    const struct tensor *s = a, *t = b;
    if (s->begin != t->begin)
        return s->begin < t->begin ? -1 : 1;
    if (s->end != t->end)
        return s->end < t->end ? -1 : 1;
    return strcmp(s->name, t->name); /* empty ones at the same place */
}

/* Sorts the tensors by place; each byte must belong to one. */
static enum status check_cover(struct scan *scan)
{
    int64_t at = 0, data_size = scan->size - scan->data;
    /* By place is also the order in which reading them takes one pass over the file. */
    qsort(scan->tensor, (size_t)scan->num_tensors, sizeof *scan->tensor, by_place);
    for (int i = 0; i < scan->num_tensors; i++) {
        if (scan->tensor[i].begin != at)
            return bad_tensor(scan, scan->tensor[i].name,
                              scan->tensor[i].begin < at
                                  ? "overlaps the tensor before it"
                                  : "leaves a hole behind the tensor before it");
        at = scan->tensor[i].end;
    }
    /* What belongs to nobody could be another format's data, or a cut header's. */
    if (at != data_size)
        return status_raise(
            QO_DATA, "%s: %lld bytes behind the last tensor belong to none; the file is damaged",
            scan->path, (long long)(data_size - at));
    return QO_OK;
}

/* All tensors are checked before the first is believed, whichever of them are wanted. */
static enum status take_tensors(struct scan *scan)
{
    enum status status;
    const char *name;
    json_t *value;
    /* Room for __metadata__ too: never too little, and never asked for twice. */
    QO_TRY(memory_alloc("the list of tensors", (int64_t)json_object_size(scan->root),
                        sizeof *scan->tensor, &scan->tensor));
    json_object_foreach(scan->root, name, value)
    {
        if (strcmp(name, "__metadata__") == 0)
            QO_TRY(check_metadata(scan, value));
        else
            QO_TRY(take_tensor(scan, name, value));
    }
    QO_TRY(check_cover(scan));
done:
    return status;
}

/* The catalog copies the texts, so the JSON may go. */
static enum status add_tensor(const struct scan *scan, const struct tensor *tensor,
                              struct catalog *catalog)
{
    struct entry entry = {
        .info = {.name = (char *)tensor->name,
                 .type = tensor->dtype->type,
                 .num_dims = tensor->num_dims,
                 .n = tensor->n},
        .reader = &reader_safetensors,
        .file = (char *)scan->path,
        .dataset = (char *)tensor->name,
        .offset = scan->data + tensor->begin,
        .is_swapped = __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__,
    };
    memcpy(entry.info.shape, tensor->shape, sizeof tensor->shape);
    return catalog_add(catalog, &entry);
}

/* Adds one tensor, by its name. */
static enum status add_named(const struct scan *scan, const char *name, struct catalog *catalog)
{
    for (int i = 0; i < scan->num_tensors; i++) {
        if (strcmp(scan->tensor[i].name, name) != 0)
            continue;
        if (!scan->tensor[i].dtype->is_taken)
            return status_raise(QO_DATA,
                                "%s:%s: is %s; only F16, BF16, F32 and F64 tensors can be "
                                "quantized: choose another",
                                scan->path, name, scan->tensor[i].dtype->name);
        return add_tensor(scan, &scan->tensor[i], catalog);
    }
    /* The first in the file helps most often: names differ by a prefix. */
    const char *example = scan->num_tensors ? scan->tensor[0].name : "none at all";
    return status_raise(QO_NO_INPUT,
                        "%s:%s: the file has no such tensor; it has %d, the first is %s",
                        scan->path, name, scan->num_tensors, example);
}

/* Counters and indices stand beside the weights in most models: skipped, with a line for who asks.
 */
static enum status add_all(const struct scan *scan, struct catalog *catalog)
{
    enum status status = QO_OK;
    int num_taken = 0;
    for (int i = 0; i < scan->num_tensors; i++) {
        const struct tensor *tensor = &scan->tensor[i];
        if (tensor->dtype->is_taken) {
            QO_TRY(add_tensor(scan, tensor, catalog));
            num_taken++;
        } else {
            log_detail("%s:%s: skipped: %s is not a floating-point type of this program",
                       scan->path, tensor->name, tensor->dtype->name);
        }
    }
    /* A quantized model may hold 4-bit types only; it is not an empty success. */
    QO_CHECK(num_taken > 0, QO_DATA,
             "%s: none of its %d tensors is F16, BF16, F32 or F64; there is nothing to quantize",
             scan->path, scan->num_tensors);
done:
    return status;
}

/* Everything is checked before anything is added, so a file is taken as a whole or not at all.
 * The JSON is freed before any vector is read: it can be 100 MB. */
static enum status safetensors_scan(const struct source_request *request, const char *path,
                                    const char *dataset, struct catalog *catalog)
{
    (void)request;
    enum status status;
    struct scan scan = {.path = path};
    QO_TRY(input_file_open(path, &scan.fd, &scan.size));
    QO_TRY(read_header(&scan));
    QO_TRY(parse_header(&scan));
    QO_TRY(take_tensors(&scan));
    QO_TRY(dataset ? add_named(&scan, dataset, catalog) : add_all(&scan, catalog));
done:
    input_file_close(&scan.fd);
    json_decref(scan.root);
    memory_free(scan.text);
    memory_free(scan.tensor);
    return status;
}

const struct reader reader_safetensors = {
    .name = "safetensors",
    .recognises = safetensors_recognises,
    .scan = safetensors_scan,
    .open = input_file_open_entry,
    .read = input_file_read_entry,
    .close = input_file_close_entry,
};
