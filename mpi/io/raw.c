/* SPDX-License-Identifier: Apache-2.0 */
#include "input_file.h"

/*
 * A raw file: nothing but elements, little-endian, in C order. Its type comes from --dtype, its
 * shape from --shape; without that it has one dimension. The file itself tells nothing, so all that
 * can be found wrong is its size.
 */

/* A wrong --dtype shows only here, in sizes that do not fit: so nothing is rounded or left over. */
static enum status take_shape(const struct source_request *request, const char *path, int64_t size,
                              struct vector_info *info)
{
    enum status status = QO_OK;
    int64_t bytes = (int64_t)element_size(info->type);
    const char *type = element_name(info->type);
    QO_CHECK(size % bytes == 0, QO_DATA,
             "%s: %lld bytes are not a whole number of %s elements; is --dtype right?", path,
             (long long)size, type);
    info->n = size / bytes;
    info->num_dims = 1;
    info->shape[0] = info->n;
    /* One dimension is right for whatever the elements are; the shape changes no result. */
    if (request->num_dims < 0)
        return QO_OK;
    int64_t n;
    /* A product that is too small would quantize a part of the file without a word. */
    QO_CHECK(shape_product(request->shape, request->num_dims, (size_t)bytes, &n) && n == info->n,
             QO_DATA,
             "%s: holds %lld elements of %s, which is not the product of --shape; correct --shape "
             "or --dtype",
             path, (long long)info->n, type);
    info->num_dims = request->num_dims;
    for (int i = 0; i < request->num_dims; i++)
        info->shape[i] = request->shape[i];
done:
    return status;
}

/* The file is not opened for its content, only for its size: every content is possible. source.c
 * has seen to it that --dtype is given. */
static enum status raw_scan(const struct source_request *request, const char *path,
                            const char *dataset, struct catalog *catalog)
{
    enum status status;
    struct entry entry = {.reader = &reader_raw, .file = (char *)path};
    int fd;
    int64_t size;
    QO_TRY(input_file_open(path, &fd, &size));
    /* As for .npy: nothing that the user wrote is ignored. */
    QO_CHECK(!dataset, QO_NO_INPUT,
             "%s:%s: a raw file has no datasets; leave out the part behind the colon", path,
             dataset);
    entry.info.type = request->type;
    /* Nothing says the order; nearly all such files are written on little-endian machines. */
    entry.is_swapped = __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__;
    QO_TRY(take_shape(request, path, size, &entry.info));
    QO_TRY(catalog_add(catalog, &entry));
done:
    input_file_close(&fd);
    return status;
}

/* What no other reader takes is raw, if the user says so; source.c asks for --dtype. */
static bool raw_recognises(const struct file_head *head)
{
    (void)head;
    return true;
}

const struct reader reader_raw = {
    .name = "raw",
    .recognises = raw_recognises,
    .scan = raw_scan,
    .open = input_file_open_entry,
    .read = input_file_read_entry,
    .close = input_file_close_entry,
};
