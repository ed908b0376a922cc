/* SPDX-License-Identifier: Apache-2.0 */
/* Options that take several values: bit widths, dimensions, INPUTs; approaches have a file of their
 * own. */
#include <stdio.h>
#include <string.h>

#include "memory.h"
#include "number.h"
#include "option_kind.h"

/* An empty part is refused: a list that ends in a comma was cut, or lacks a value. */
enum status option_add_parts(const struct option_place *place, const char *value, char separator,
                             struct options *options,
                             enum status (*add)(const struct option_place *, const char *,
                                                struct options *))
{
    const char *begin = value;
    for (;;) {
        char part[OPTION_VALUE_BYTES];
        size_t length = strcspn(begin, (char[]){separator, '\0'});
        if (length == 0)
            return option_refuse(place, value, "an element of the list is empty; leave it out");
        bool has_path = place->option->type == TYPE_APPROACH;
        if (length >= (has_path ? sizeof part : OPTION_PART_BYTES))
            return option_refuse(place, value,
                                 "an element is longer than any valid one; see --help");
        memcpy(part, begin, length);
        part[length] = '\0';
        enum status status = add(place, part, options);
        if (status != QO_OK || begin[length] == '\0')
            return status;
        begin += length + 1;
    }
}

/* A width named twice is no contradiction, unlike an option given twice. */
static enum status add_bit(const struct option_place *place, const char *value,
                           struct options *options)
{
    int64_t bits;
    enum status status = option_read_count(place, value, &bits);
    if (status == QO_OK)
        options->bits[bits] = true;
    return status;
}

static enum status add_bits(const struct option_place *place, const char *value,
                            struct options *options)
{
    return option_add_parts(place, value, ',', options, add_bit);
}

/* Ascending, whatever the order given: it is the order of the results. */
static const char *print_bits(const struct option *option, const struct options *options,
                              char *buffer)
{
    size_t used = 0;
    buffer[0] = '\0';
    for (int b = (int)option->lo; b <= (int)option->hi; b++)
        if (options->bits[b])
            used += (size_t)snprintf(buffer + used, OPTION_VALUE_BYTES - used, "%s%d",
                                     used ? "," : "", b);
    return used ? buffer : NULL;
}

static void clear_field(const struct option *option, struct options *options)
{
    memset(option_field(option, options), 0, option->size);
}

/* Any further dimension must keep the number of elements within int64. */
static enum status add_dimension(const struct option_place *place, const char *value,
                                 struct options *options)
{
    uint64_t size;
    enum number number = number_read_count(value, &size);
    if (number == NUMBER_WRONG)
        return option_refuse(place, value, "not a whole number; give dimensions such as 3x4x5");
    if (number == NUMBER_BEYOND || size < 1 || size > INT64_MAX)
        return option_refuse(place, value, "out of range 1 to %lld; give the size of a dimension",
                             (long long)INT64_MAX);
    if (options->num_dims >= SOURCE_MAX_DIMS)
        return option_refuse(place, value, "more than %d dimensions; join some", SOURCE_MAX_DIMS);
    int64_t n = (int64_t)size;
    for (int d = 0; d < options->num_dims; d++)
        if (__builtin_mul_overflow(n, options->shape[d], &n))
            return option_refuse(place, value,
                                 "more than %lld elements; give the shape of one file",
                                 (long long)INT64_MAX);
    if (options->num_dims < 0)
        options->num_dims = 0;
    options->shape[options->num_dims++] = (int64_t)size;
    return QO_OK;
}

/* Both 3x4x5, as people say it, and 3,4,5, as NumPy shows it; a mixture is a slip. */
static enum status add_shape(const struct option_place *place, const char *value,
                             struct options *options)
{
    return option_add_parts(place, value, strchr(value, ',') ? ',' : 'x', options, add_dimension);
}

/* Not 0 dimensions: that is the shape of a scalar. */
static void clear_shape(const struct option *option, struct options *options)
{
    clear_field(option, options);
    options->num_dims = -1;
}

static const char *print_shape(const struct option *option, const struct options *options,
                               char *buffer)
{
    size_t used = 0;
    (void)option;
    for (int d = 0; d < options->num_dims; d++)
        used += (size_t)snprintf(buffer + used, OPTION_VALUE_BYTES - used, "%s%lld",
                                 used ? "," : "", (long long)options->shape[d]);
    return used ? buffer : NULL;
}

/* The texts are copies of ours; const is for readers of the options. */
static void clear_inputs(const struct option *option, struct options *options)
{
    (void)option;
    for (int i = 0; i < options->num_inputs; i++)
        memory_free((void *)options->inputs[i]);
    memory_free(options->inputs);
    options->inputs = NULL;
    options->num_inputs = 0;
}

/* The array doubles at each power of two, so that no capacity need be kept; what a shell's glob
 * gives may be thousands of files. */
static enum status add_input(const struct option_place *place, const char *value,
                             struct options *options)
{
    enum status status = QO_OK;
    char *copy = NULL;
    int n = options->num_inputs;
    (void)place;
    QO_TRY(memory_copy_text(value, &copy));
    if ((n & (n - 1)) == 0) {
        const char **larger;
        QO_TRY(memory_alloc("inputs", n ? 2 * (int64_t)n : 1, sizeof *larger, &larger));
        if (n)
            memcpy(larger, options->inputs, (size_t)n * sizeof *larger);
        memory_free(options->inputs);
        options->inputs = larger;
    }
    options->inputs[options->num_inputs++] = copy;
    copy = NULL;
done:
    memory_free(copy);
    return status;
}

/* INPUTs are shown one by one: a file's name may hold any separator. */
static const char *print_nothing(const struct option *option, const struct options *options,
                                 char *buffer)
{
    (void)option, (void)options, (void)buffer;
    return NULL;
}

const struct option_kind option_kind_bits = {clear_field, add_bits, print_bits, true};
const struct option_kind option_kind_shape = {clear_shape, add_shape, print_shape, true};
const struct option_kind option_kind_inputs = {clear_inputs, add_input, print_nothing, true};
