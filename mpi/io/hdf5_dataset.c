/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One HDF5 dataset. HDF5 describes a float by its bit fields and not by a name, so that the same
 * float16 may have been made by h5py, by netCDF or by hand; what counts is where the bits lie.
 */
#include "hdf5_dataset.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

/* The bit fields of a float: what makes two floats of the same size different types. */
struct layout {
    size_t bytes, sign, exponent, exponent_size, mantissa, mantissa_size, bias;
};

/* IEEE 754, and bfloat16 as the upper half of a float32. */
static const struct layout layout_of[ELEMENT_NUM_TYPES] = {
    [ELEMENT_F16] = {2, 15, 10, 5, 0, 10, 15},
    [ELEMENT_BF16] = {2, 15, 7, 8, 0, 7, 127},
    [ELEMENT_F32] = {4, 31, 23, 8, 0, 23, 127},
    [ELEMENT_F64] = {8, 63, 52, 11, 0, 52, 1023},
};

/* Member by member: bytes between members would be left to chance. */
static bool layout_equal(const struct layout *a, const struct layout *b)
{
    return a->bytes == b->bytes && a->sign == b->sign && a->exponent == b->exponent &&
           a->exponent_size == b->exponent_size && a->mantissa == b->mantissa &&
           a->mantissa_size == b->mantissa_size && a->bias == b->bias;
}

/* Whether a float has no bits beside its fields and a leading one that is not stored. */
/* Padding or a stored leading one would make the same bits another number. VAX floats have
 * another order and end here. */
static bool is_plain_float(hid_t type)
{
    H5T_order_t order = H5Tget_order(type);
    return (order == H5T_ORDER_LE || order == H5T_ORDER_BE) && H5Tget_offset(type) == 0 &&
           H5Tget_precision(type) == 8 * H5Tget_size(type) && H5Tget_norm(type) == H5T_NORM_IMPLIED;
}

/* Looks for the element type with the bit fields of this float. */
static bool find_element(hid_t type, enum element_type *element)
{
    /* Sizes alone say little: float16 and bfloat16 have the same. */
    struct layout it = {.bytes = H5Tget_size(type), .bias = H5Tget_ebias(type)};
    if (!is_plain_float(type) || H5Tget_fields(type, &it.sign, &it.exponent, &it.exponent_size,
                                               &it.mantissa, &it.mantissa_size) < 0)
        return false;
    for (int i = 0; i < ELEMENT_NUM_TYPES; i++)
        if (layout_equal(&it, &layout_of[i])) {
            *element = (enum element_type)i;
            return true;
        }
    return false;
}

/* Words for messages. */
static const char *class_name(H5T_class_t class)
{
    switch (class) {
    case H5T_INTEGER:
        return "integer";
    case H5T_FLOAT:
        return "float";
    case H5T_STRING:
        return "text";
    case H5T_BITFIELD:
        return "bit field";
    case H5T_OPAQUE:
        return "opaque";
    case H5T_COMPOUND:
        return "compound";
    case H5T_REFERENCE:
        return "reference";
    case H5T_ENUM:
        return "enumeration";
    case H5T_VLEN:
        return "variable-length";
    case H5T_ARRAY:
        return "array";
    default:
        return "unknown";
    }
}

struct hdf5_type hdf5_type_find(hid_t type)
{
    struct hdf5_type found = {.kind = HDF5_OTHER};
    /* A compound or an array of floats is not taken apart: which part would be the vector? */
    H5T_class_t class = H5Tget_class(type);
    if (class == H5T_FLOAT)
        found.kind = find_element(type, &found.element) ? HDF5_ELEMENT : HDF5_ODD_FLOAT;
    /* Both orders are possible on both kinds of machine; the library knows ours. */
    if (found.kind == HDF5_ELEMENT)
        found.is_swapped = H5Tget_order(type) != H5Tget_order(H5T_NATIVE_DOUBLE);
    if (class == H5T_FLOAT || class == H5T_INTEGER)
        snprintf(found.text, sizeof found.text, "%zu-bit %s", H5Tget_precision(type),
                 class_name(class));
    else
        snprintf(found.text, sizeof found.text, "%s", class_name(class));
    return found;
}

/* Sets shape and n from a dataspace. */
static enum status look_at_space(hid_t space, const char *origin, struct vector_info *info)
{
    enum status status = QO_OK;
    /* The library itself refuses a file that claims more dimensions. */
    hsize_t dims[H5S_MAX_RANK];
    H5S_class_t class = H5Sget_simple_extent_type(space);
    info->num_dims = 0;
    /* Set for every class, since the two without dimensions return early. */
    info->n = class == H5S_SCALAR;
    QO_H5(class == H5S_NO_CLASS ? -1 : 0, QO_DATA, "%s: its shape is damaged", origin);
    /* A null dataspace has no elements, a scalar has one; neither has dimensions. */
    if (class != H5S_SIMPLE)
        return QO_OK;
    int rank = H5Sget_simple_extent_dims(space, dims, NULL);
    QO_H5(rank, QO_DATA, "%s: its shape is damaged", origin);
    QO_CHECK(rank <= SOURCE_MAX_DIMS, QO_DATA, "%s: %d dimensions; at most %d are read", origin,
             rank, SOURCE_MAX_DIMS);
    for (int d = 0; d < rank; d++) {
        /* The library counts without a sign, this program with one. */
        QO_CHECK(dims[d] <= INT64_MAX, QO_DATA, "%s: dimension %d is %llu; the file is damaged",
                 origin, d, (unsigned long long)dims[d]);
        info->shape[d] = (int64_t)dims[d];
    }
    info->num_dims = rank;
    QO_CHECK(shape_product(info->shape, rank, element_size(info->type), &info->n), QO_DATA,
             "%s: the product of its dimensions overflows; the file is damaged", origin);
done:
    return status;
}

/* Unsigned words of 16 bits, in either byte order. An enumeration is of another class. */
static bool is_plain_word(hid_t type)
{
    H5T_order_t order = H5Tget_order(type);
    return H5Tget_class(type) == H5T_INTEGER && H5Tget_size(type) == 2 &&
           H5Tget_precision(type) == 16 && H5Tget_sign(type) == H5T_SGN_NONE &&
           (order == H5T_ORDER_LE || order == H5T_ORDER_BE);
}

/* Whether a text attribute says "bfloat16". A text of variable length, as h5py writes it, is the
 * library's and goes back to it. */
static enum status says_bfloat16(hid_t attribute, hid_t type, const char *origin, bool *says)
{
    static const char word[] = "bfloat16";
    enum status status = QO_OK;
    /* One byte more than the word, so that a longer text is not taken for it. */
    char fixed[sizeof word + 1] = "", *variable = NULL;
    bool is_variable = H5Tis_variable_str(type) > 0;
    hid_t memory = H5Tcopy(H5T_C_S1);
    QO_H5(memory, QO_NO_MEMORY, "%s: no memory", origin);
    QO_H5(H5Tset_size(memory, is_variable ? H5T_VARIABLE : sizeof fixed), QO_NO_MEMORY,
          "%s: no memory", origin);
    /* The library converts lengths, but refuses to convert between character sets. */
    QO_H5(H5Tset_cset(memory, H5Tget_cset(type)), QO_DATA, "%s: its attribute dtype is damaged",
          origin);
    QO_H5(H5Aread(attribute, memory, is_variable ? (void *)&variable : fixed), QO_DATA,
          "%s: its attribute dtype cannot be read", origin);
    *says = is_variable ? variable && strcmp(variable, word) == 0
                        : strncmp(fixed, word, sizeof fixed) == 0;
done:
    H5free_memory(variable);
    h5_close(&memory);
    return status;
}

/*
 * HDF5 has no bfloat16 that other programs know, so it is often stored as its bit patterns; a
 * restored file does so, and says it in the attribute dtype. Nothing but that attribute tells them
 * from counts, hence all other words stay integers.
 */
static enum status look_for_bfloat16(hid_t dataset, hid_t datatype, const char *origin,
                                     struct hdf5_type *found)
{
    enum status status = QO_OK;
    bool says = false;
    hid_t attribute = H5I_INVALID_HID, type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    htri_t exists = is_plain_word(datatype) ? H5Aexists(dataset, "dtype") : 0;
    QO_H5(exists, QO_DATA, "%s: its attributes cannot be read", origin);
    if (!exists)
        return QO_OK;
    QO_H5(attribute = H5Aopen(dataset, "dtype", H5P_DEFAULT), QO_DATA,
          "%s: its attribute dtype cannot be opened", origin);
    QO_H5(type = H5Aget_type(attribute), QO_DATA, "%s: its attribute dtype is damaged", origin);
    QO_H5(space = H5Aget_space(attribute), QO_DATA, "%s: its attribute dtype is damaged", origin);
    /* An attribute of that name with another meaning is no fault of the file. */
    if (H5Tget_class(type) == H5T_STRING && H5Sget_simple_extent_npoints(space) == 1)
        QO_TRY(says_bfloat16(attribute, type, origin, &says));
    if (says)
        *found = (struct hdf5_type){.kind = HDF5_ELEMENT,
                                    .element = ELEMENT_BF16,
                                    .is_swapped =
                                        H5Tget_order(datatype) != H5Tget_order(H5T_NATIVE_UINT16),
                                    .text = "bfloat16"};
done:
    h5_close(&attribute);
    h5_close(&type);
    h5_close(&space);
    return status;
}

enum status hdf5_dataset_look(hid_t dataset, const char *origin, struct entry *entry,
                              struct hdf5_type *type)
{
    enum status status = QO_OK;
    hid_t datatype = H5I_INVALID_HID, space = H5I_INVALID_HID;
    QO_H5(datatype = H5Dget_type(dataset), QO_DATA, "%s: its type cannot be read", origin);
    *type = hdf5_type_find(datatype);
    QO_TRY(look_for_bfloat16(dataset, datatype, origin, type));
    if (type->kind == HDF5_ELEMENT) {
        entry->info.type = type->element;
        entry->is_swapped = type->is_swapped;
        /* Shapes of other types are nothing to us, and may be odd. */
        QO_H5(space = H5Dget_space(dataset), QO_DATA, "%s: its shape cannot be read", origin);
        QO_TRY(look_at_space(space, origin, &entry->info));
    }
done:
    h5_close(&datatype);
    h5_close(&space);
    return status;
}

/* A filter that the library, plug-ins included, does not have makes the data unreadable. */
static enum status check_filters(hid_t plist, const char *origin)
{
    enum status status = QO_OK;
    int count = H5Pget_nfilters(plist);
    QO_H5(count, QO_DATA, "%s: its filters cannot be read", origin);
    for (int i = 0; i < count; i++) {
        unsigned flags = 0, config = 0;
        /* The filter's own parameters are not asked for: there is no room to give. */
        size_t num_values = 0;
        char name[64] = "";
        H5Z_filter_t id = H5Pget_filter2(plist, (unsigned)i, &flags, &num_values, NULL, sizeof name,
                                         name, &config);
        QO_H5(id, QO_DATA, "%s: its filters cannot be read", origin);
        name[sizeof name - 1] = '\0';
        for (char *c = name; *c; c++) /* messages are one line */
            *c = (unsigned char)*c < ' ' ? ' ' : *c;
        /* Asking for a filter makes the library look for its plug-in. Some can only encode, or
         * only decode: szip's licence had it so. */
        bool usable = H5Zfilter_avail(id) > 0 && H5Zget_filter_info(id, &config) >= 0 &&
                      (config & H5Z_FILTER_CONFIG_DECODE_ENABLED) != 0;
        QO_CHECK(
            usable, QO_DATA,
            "%s: compressed by HDF5 filter %d (%s), which this HDF5 library does not have; install "
            "its plug-in and set HDF5_PLUGIN_PATH, or repack the file (h5repack -f NONE) where it "
            "is "
            "installed",
            origin, (int)id, name[0] ? name : "no name");
    }
done:
    return status;
}

/* Data in raw files of their own: whether those are there shows only in a read. */
static enum status check_external(hid_t dataset, hid_t plist, const char *origin,
                                  const struct entry *entry)
{
    enum status status = QO_OK;
    char name[256] = "", byte[8], reason[H5_REASON_SIZE];
    off_t offset;
    hsize_t size, last[H5S_MAX_RANK], one[H5S_MAX_RANK];
    hid_t space = H5I_INVALID_HID, element = H5I_INVALID_HID, type = H5I_INVALID_HID;
    /* The last element: whoever can read it has the file, and a file long enough. */
    /* The first file is named; which of several is missing, the library does not say. */
    H5Pget_external(plist, 0, sizeof name - 1, name, &offset, &size);
    QO_H5(space = H5Dget_space(dataset), QO_DATA, "%s: its shape cannot be read", origin);
    QO_H5(type = H5Dget_type(dataset), QO_DATA, "%s: its type cannot be read", origin);
    QO_H5(element = H5Screate(H5S_SCALAR), QO_NO_MEMORY, "%s: no memory", origin);
    for (int d = 0; d < entry->info.num_dims; d++) {
        last[d] = (hsize_t)entry->info.shape[d] - 1;
        one[d] = 1;
    }
    if (entry->info.num_dims > 0)
        QO_H5(H5Sselect_hyperslab(space, H5S_SELECT_SET, last, NULL, one, NULL), QO_DATA,
              "%s: its shape is damaged", origin);
    /* As stored and of 8 bytes at most, so it fits whatever the type. */
    if (H5Dread(dataset, type, element, space, H5P_DEFAULT, byte) < 0) {
        h5_reason(reason);
        status =
            status_raise(QO_NO_INPUT,
                         "%s: its data are in the external raw file %s, which cannot be read; run "
                         "where that name is valid, or set HDF5_EXTFILE_PREFIX (HDF5: %s)",
                         origin, name, reason);
    }
done:
    h5_close(&space);
    h5_close(&element);
    h5_close(&type);
    return status;
}

/* Storage that does not depend on a filter has exactly the size of the shape, inside the file. */
static enum status check_storage(hid_t dataset, hid_t file, const char *origin,
                                 const struct entry *entry)
{
    enum status status = QO_OK;
    /* Known from the headers alone, so a cut file of terabytes is found at once. */
    hsize_t file_size = 0, stored = H5Dget_storage_size(dataset);
    hsize_t needed = (hsize_t)entry->info.n * element_size(entry->info.type);
    haddr_t offset = H5Dget_offset(dataset);
    if (stored == 0) /* never written: all elements have HDF5's own fill value */
        return QO_OK;
    QO_CHECK(stored == needed, QO_DATA,
             "%s: its storage has %llu bytes, its shape needs %llu; the file is damaged", origin,
             (unsigned long long)stored, (unsigned long long)needed);
    if (offset == HADDR_UNDEF) /* inside the object's header */
        return QO_OK;
    QO_H5(H5Fget_filesize(file, &file_size), QO_DATA, "%s: the file has no size", origin);
    /* Subtracted: a hostile offset could make a sum wrap. */
    QO_CHECK(offset <= file_size && stored <= file_size - offset, QO_DATA,
             "%s: its data would end behind the end of the file; the file is cut or damaged",
             origin);
done:
    return status;
}

enum status hdf5_dataset_check(hid_t dataset, const char *origin, const struct entry *entry)
{
    enum status status = QO_OK;
    hid_t plist = H5I_INVALID_HID, file = H5I_INVALID_HID;
    QO_H5(plist = H5Dget_create_plist(dataset), QO_DATA, "%s: its layout cannot be read", origin);
    /* Not our own handle: a link may have led into another file. */
    QO_H5(file = H5Iget_file_id(dataset), QO_DATA, "%s: its file cannot be asked", origin);
    switch (H5Pget_layout(plist)) {
    case H5D_CHUNKED:
        /* Where no chunk was ever written none has to be decoded. */
        if (H5Dget_storage_size(dataset) > 0)
            status = check_filters(plist, origin);
        break;
    case H5D_COMPACT:
        status = check_storage(dataset, file, origin, entry);
        break;
    case H5D_CONTIGUOUS:
        status = H5Pget_external_count(plist) > 0 ? check_external(dataset, plist, origin, entry)
                                                  : check_storage(dataset, file, origin, entry);
        break;
    case H5D_VIRTUAL:
        /* The library gives zeros for parts whose file is missing, without a word. */
        status =
            status_raise(QO_DATA,
                         "%s: a virtual dataset, its parts lie in other datasets; name those, or "
                         "copy it into an ordinary dataset",
                         origin);
        break;
    default:
        status = h5_raise(QO_DATA, "%s: its storage has no known layout", origin);
    }
done:
    h5_close(&plist);
    h5_close(&file);
    return status;
}

/*
 * Reads an attribute if it is one number; otherwise *is_number is false. A word beside bfloat16
 * stored as words is one of these, by the rule that a fill value has the type of its variable.
 */
static enum status read_number(hid_t dataset, const char *origin, const char *name,
                               bool are_patterns, double *value, bool *is_number)
{
    enum status status = QO_OK;
    hid_t attribute = H5I_INVALID_HID, type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    QO_H5(attribute = H5Aopen(dataset, name, H5P_DEFAULT), QO_DATA,
          "%s: its attribute %s cannot be opened", origin, name);
    QO_H5(type = H5Aget_type(attribute), QO_DATA, "%s: its attribute %s is damaged", origin, name);
    QO_H5(space = H5Aget_space(attribute), QO_DATA, "%s: its attribute %s is damaged", origin,
          name);
    H5T_class_t class = H5Tget_class(type);
    /* netCDF allows a text or a list; neither is equal to an element. */
    *is_number =
        (class == H5T_FLOAT || class == H5T_INTEGER) && H5Sget_simple_extent_npoints(space) == 1;
    if (*is_number)
        QO_H5(H5Aread(attribute, H5T_NATIVE_DOUBLE, value), QO_DATA,
              "%s: its attribute %s cannot be read", origin, name);
    if (*is_number && are_patterns && is_plain_word(type))
        *value = element_value(ELEMENT_BF16, (uint64_t)*value);
    if (!*is_number)
        log_info("%s: attribute %s is not a single number and is ignored", origin, name);
done:
    h5_close(&attribute);
    h5_close(&type);
    h5_close(&space);
    return status;
}

/* Adds a fill value, as an element of the vector's type holds it, unless it is there or cannot
 * occur. */
static void add_fill(struct vector_info *info, double value)
{
    /* A fill of 1e20 in a float32 vector is the float32 next to 1e20: what the elements hold. */
    double held = element_value(info->type, element_from_double(info->type, value));
    if (isnan(held) || (isinf(held) && !isinf(value)))
        return;
    /* Most files give the same value twice. */
    if (info->num_fills == 1 && info->fill[0] == held)
        return;
    info->fill[info->num_fills++] = held;
}

enum status hdf5_dataset_fills(hid_t dataset, const char *origin, struct vector_info *info)
{
    static const char *const names[2] = {"_FillValue", "missing_value"};
    enum status status = QO_OK;
    hid_t type = H5I_INVALID_HID;
    info->num_fills = 0;
    QO_H5(type = H5Dget_type(dataset), QO_DATA, "%s: its type cannot be read", origin);
    bool are_patterns = H5Tget_class(type) == H5T_INTEGER;
    for (int i = 0; i < 2; i++) {
        double value = 0;
        bool is_number = false;
        /* Asked for first: to open what is not there is an error for the library. */
        htri_t exists = H5Aexists(dataset, names[i]);
        QO_H5(exists, QO_DATA, "%s: its attributes cannot be read", origin);
        if (exists)
            QO_TRY(read_number(dataset, origin, names[i], are_patterns, &value, &is_number));
        if (is_number)
            add_fill(info, value);
    }
done:
    h5_close(&type);
    return status;
}
