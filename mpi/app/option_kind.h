/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_OPTION_KIND_H
#define QO_APP_OPTION_KIND_H

#include "option.h"

/* What option_value.c and option_list.c share: one struct a type of option, and the checks they
 * have in common. */

struct option_kind {
    /* Sets the field to nothing, freeing what it holds; a zeroed field may be cleared. */
    void (*clear)(const struct option *option, struct options *options);
    /* Sets the field, that is clear, or adds to it if it is a list. */
    enum status (*add)(const struct option_place *place, const char *value,
                       struct options *options);
    /* The value in `buffer` or in place; NULL where there is none. */
    const char *(*print)(const struct option *option, const struct options *options, char *buffer);
    bool is_list;
};

/* The lists of option_list.c and option_approach.c. */
extern const struct option_kind option_kind_bits, option_kind_approach, option_kind_shape,
    option_kind_inputs;

/* Numbers and words within a value; the longest double takes 24. */
#define OPTION_PART_BYTES 64

/* Pure. The field of an option; one that has none has size 0. */
static inline void *option_field(const struct option *option, struct options *options)
{
    return (char *)options + option->offset;
}

static inline const void *option_field_const(const struct option *option,
                                             const struct options *options)
{
    return (const char *)options + option->offset;
}

/*
 * Local. Calls add for each part of a list, which is shorter than OPTION_PART_BYTES, or for
 * approaches, which may name a file, than OPTION_VALUE_BYTES. The separator is never part of a
 * value.
 */
QO_MUST_USE enum status option_add_parts(const struct option_place *place, const char *value,
                                         char separator, struct options *options,
                                         enum status (*add)(const struct option_place *place,
                                                            const char *value,
                                                            struct options *options));

/* Local. Finds the index of a word of the option; a refusal names the nearest one. */
QO_MUST_USE enum status option_find_word(const struct option_place *place, const char *value,
                                         int *index);

/* Local. Reads a count within the option's bounds. */
QO_MUST_USE enum status option_read_count(const struct option_place *place, const char *value,
                                          int64_t *count);

#endif
