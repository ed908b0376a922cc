/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the HDF5 files of this room share. The library keeps a stack of errors, one entry a layer,
 * from the call that was made down to the driver; of these the innermost says what is wrong ("file
 * read failed: errno = 5"), while the outer ones only repeat that something is.
 */
#include "h5.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "memory.h"

/* The longest text without the reason: two paths and some words. */
#define TEXT_SIZE 7168

/*
 * One for the library, whose state it guards: that is as global. Not recursive: it is taken in the
 * functions that others call and in none that those call, so a second take is a fault of this
 * program that should show.
 */
static pthread_mutex_t library = PTHREAD_MUTEX_INITIALIZER;

void h5_lock(void)
{
    pthread_mutex_lock(&library); /* cannot fail: neither robust nor checking nor recursive */
}

void h5_unlock(void)
{
    pthread_mutex_unlock(&library);
}

/* H5open is a no-op after the first time; the printing is switched off for the default stack, the
 * one that every call of this program uses. */
enum status h5_setup(void)
{
    if (H5open() < 0 || H5Eset_auto2(H5E_DEFAULT, NULL, NULL) < 0)
        return status_raise(QO_INTERNAL, "the HDF5 library does not start");
    return QO_OK;
}

/* Copies one line, without line ends and other control characters; "" for NULL. */
/* The library quotes names and paths of the file, which may hold anything. */
static void copy_line(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "");
    for (char *c = to; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
}

/* The library's walk calls this for each entry of its stack, the innermost first. */
static herr_t take_entry(unsigned n, const H5E_error2_t *entry, void *reason)
{
    (void)n;
    char *text = reason;
    /* Layers further out are walked over: the walk cannot be ended early without an error. */
    if (text[0] != '\0')
        return 0;
    copy_line(text, H5_REASON_SIZE, entry->desc);
    /* Some layers leave their description empty and have only a number for it. */
    if (text[0] == '\0' && entry->min_num >= 0)
        H5Eget_msg(entry->min_num, NULL, text, H5_REASON_SIZE);
    return 0;
}

/* The innermost entry of the error stack says most; it comes first when walked upward. */
void h5_reason(char reason[H5_REASON_SIZE])
{
    reason[0] = '\0';
    /* The stack is copied first: H5Eget_msg, as every call, would empty the current one. */
    hid_t stack = H5Eget_current_stack();
    if (stack < 0)
        return;
    /* Upward: from the innermost layer to the call that was made. */
    H5Ewalk2(stack, H5E_WALK_UPWARD, take_entry, reason);
    H5Eclose_stack(stack);
}

enum status h5_raise(enum status code, const char *format, ...)
{
    char text[TEXT_SIZE], reason[H5_REASON_SIZE];
    /* First of all: whatever is called in between empties the stack. */
    h5_reason(reason);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (reason[0] == '\0')
        return status_raise(code, "%s", text);
    return status_raise(code, "%s (HDF5: %s)", text, reason);
}

enum status h5_open(const char *path, hid_t *file)
{
    char reason[H5_REASON_SIZE];
    hid_t access_list = H5I_INVALID_HID;
    *file = H5I_INVALID_HID;
    enum status status = h5_setup();
    if (status != QO_OK)
        return status;
    /* The system is asked before the library, whose own text for it buries the reason. */
    bool fault = fault_here();
    if (fault)
        errno = EIO;
    /* access() may differ from open() for a set-user-id program, which this is not. */
    QO_CHECK(!fault && access(path, R_OK) == 0, QO_NO_INPUT, "%s: cannot be opened: %s", path,
             strerror(errno));
    QO_H5(access_list = H5Pcreate(H5P_FILE_ACCESS), QO_NO_MEMORY, "%s: no memory to open it", path);
    QO_H5(H5Pset_fapl_sec2(access_list), QO_INTERNAL, "%s: no plain HDF5 driver", path);
    *file = H5Fopen(path, H5F_ACC_RDONLY, access_list);
    if (*file < 0) {
        *file = H5I_INVALID_HID;
        h5_reason(reason);
        /* A lock is no damage: the file may be read later, or with locking switched off. */
        bool locked = strstr(reason, "lock file") != NULL;
        status = locked ? status_raise(
                              QO_NO_INPUT,
                              "%s: its HDF5 lock cannot be had; another program is writing it, or, "
                              "where the file system has no locks, set HDF5_USE_FILE_LOCKING=FALSE "
                              "(HDF5: %s)",
                              path, reason)
                        : status_raise(QO_DATA,
                                       "%s: cannot be opened as HDF5; is it complete? (HDF5: %s)",
                                       path, reason);
    }
done:
    h5_close(&access_list);
    return status;
}

bool h5_close(hid_t *id)
{
    hid_t closing = *id;
    *id = H5I_INVALID_HID;
    if (closing < 0)
        return true;
    /* Each kind has its own call: the common H5Idec_ref would not flush a file. */
    switch (H5Iget_type(closing)) {
    case H5I_FILE:
        return H5Fclose(closing) >= 0;
    case H5I_GROUP:
        return H5Gclose(closing) >= 0;
    case H5I_DATASET:
        return H5Dclose(closing) >= 0;
    case H5I_ATTR:
        return H5Aclose(closing) >= 0;
    case H5I_DATATYPE:
        return H5Tclose(closing) >= 0;
    case H5I_DATASPACE:
        return H5Sclose(closing) >= 0;
    case H5I_GENPROP_LST:
        return H5Pclose(closing) >= 0;
    default:
        return false;
    }
}

/* Doubling keeps the copying in proportion to the names, however large the group. */
static enum status names_grow(struct h5_names *names)
{
    char **larger;
    /* 16 is more than most groups have. */
    int64_t capacity = names->capacity ? 2 * names->capacity : 16;
    enum status status = memory_alloc("names of an HDF5 group", capacity, sizeof *larger, &larger);
    if (status != QO_OK)
        return status;
    if (names->count > 0)
        memcpy(larger, names->name, (size_t)names->count * sizeof *larger);
    memory_free(names->name);
    names->name = larger;
    names->capacity = capacity;
    return QO_OK;
}

/* The library calls this for each link of a group; it takes yes (0) or no (-1) for an answer. */
static herr_t take_link(hid_t group, const char *name, const H5L_info_t *link, void *context)
{
    (void)group;
    struct h5_names *names = context;
    /* Soft and external links may lead anywhere, also back; the caller says how many there are. */
    if (link->type != H5L_TYPE_HARD) {
        names->num_others++;
        return 0;
    }
    if (names->count == names->capacity && (names->status = names_grow(names)) != QO_OK)
        return -1;
    names->status = memory_copy_text(name, &names->name[names->count]);
    if (names->status != QO_OK)
        return -1;
    names->count++;
    return 0;
}

enum status h5_names_read(hid_t group, const char *origin, struct h5_names *names)
{
    /* By name, so that the order is the same whoever wrote the file, and in which order. */
    hsize_t first = 0;
    if (H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, &first, take_link, names) >= 0)
        return QO_OK;
    return names->status != QO_OK ? names->status
                                  : h5_raise(QO_DATA, "%s: the group is damaged", origin);
}

void h5_names_clear(struct h5_names *names)
{
    for (int64_t i = 0; i < names->count; i++)
        memory_free(names->name[i]);
    memory_free(names->name);
    *names = (struct h5_names){0};
}

/* Reads an attribute of count[0] elements at most, all converted to a type of ours; count is set.
 */
static enum status read_attribute(hid_t object, const char *origin, const char *name, hid_t memory,
                                  H5T_class_t class, int64_t *count, void *x)
{
    enum status status = QO_OK;
    hid_t attribute = H5I_INVALID_HID, type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    /* How many fit x: the file's own number is held against it before the read. */
    int64_t room = *count;
    QO_H5(attribute = H5Aopen(object, name, H5P_DEFAULT), QO_DATA, "%s: it has no attribute %s",
          origin, name);
    QO_H5(type = H5Aget_type(attribute), QO_DATA, "%s: attribute %s is damaged", origin, name);
    QO_H5(space = H5Aget_space(attribute), QO_DATA, "%s: attribute %s is damaged", origin, name);
    *count = H5Sget_simple_extent_npoints(space);
    /* A text of variable length would be a pointer into memory of the library. */
    QO_CHECK(H5Tget_class(type) == class && H5Tis_variable_str(type) <= 0 && *count >= 0 &&
                 *count <= room,
             QO_DATA, "%s: attribute %s is not of the right type or size", origin, name);
    if (class == H5T_STRING) /* the library converts lengths, but no character sets */
        QO_H5(H5Tset_cset(memory, H5Tget_cset(type)), QO_DATA, "%s: attribute %s is damaged",
              origin, name);
    if (*count > 0)
        QO_H5(H5Aread(attribute, memory, x), QO_DATA, "%s: attribute %s cannot be read", origin,
              name);
done:
    h5_close(&attribute);
    h5_close(&type);
    h5_close(&space);
    return status;
}

enum status h5_read_integers(hid_t object, const char *origin, const char *name, int64_t *count,
                             int64_t *value)
{
    return read_attribute(object, origin, name, H5T_NATIVE_INT64, H5T_INTEGER, count, value);
}

enum status h5_read_integer(hid_t object, const char *origin, const char *name, int64_t *value)
{
    int64_t count = 1;
    enum status status =
        read_attribute(object, origin, name, H5T_NATIVE_INT64, H5T_INTEGER, &count, value);
    if (status == QO_OK && count != 1)
        status = status_raise(QO_DATA, "%s: attribute %s is empty", origin, name);
    return status;
}

enum status h5_read_text(hid_t object, const char *origin, const char *name, char *text,
                         size_t size)
{
    enum status status = QO_OK;
    int64_t count = 1;
    /* The library cuts or pads to the size of the type that it is given. */
    hid_t memory = H5Tcopy(H5T_C_S1);
    memset(text, 0, size);
    QO_H5(memory, QO_NO_MEMORY, "%s: no memory", origin);
    QO_H5(H5Tset_size(memory, size), QO_NO_MEMORY, "%s: no memory", origin);
    QO_TRY(read_attribute(object, origin, name, memory, H5T_STRING, &count, text));
    text[size - 1] = '\0';
done:
    h5_close(&memory);
    return status;
}
