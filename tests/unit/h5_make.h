/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_TESTS_H5_MAKE_H
#define QO_TESTS_H5_MAKE_H

/* HDF5 files for the tests, made by the library's own calls; and a scratch folder to make them in.
 */

#include "cmocka_all.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "element.h"
#include "status.h"

#define H5_UNUSED __attribute__((unused))

static char h5_scratch[] = "/tmp/quantopt_test_XXXXXX";

/* Works in an empty folder of its own: file names in the tests are short and relative. */
static H5_UNUSED int h5_enter_scratch(void **state)
{
    (void)state;
    return mkdtemp(h5_scratch) && chdir(h5_scratch) == 0 ? 0 : -1;
}

static H5_UNUSED int h5_leave_scratch(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", h5_scratch);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

/* After each test: a handle that stays open keeps memory, and the file locked. */
static H5_UNUSED int h5_nothing_open(void **state)
{
    (void)state;
    return H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) == 0 ? 0 : -1;
}

/* One line, that says this. */
#define assert_says(part)                                                                          \
    do {                                                                                           \
        if (!strstr(status_text(), part) || strchr(status_text(), '\n'))                           \
            fail_msg("\"%s\" should be one line with \"%s\"", status_text(), part);                \
    } while (0)

static H5_UNUSED uint64_t h5_random(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* The HDF5 type of an element type, in either byte order. */
static H5_UNUSED hid_t h5_float(enum element_type type, bool big)
{
    if (type == ELEMENT_F64)
        return H5Tcopy(big ? H5T_IEEE_F64BE : H5T_IEEE_F64LE);
    hid_t made = H5Tcopy(big ? H5T_IEEE_F32BE : H5T_IEEE_F32LE);
    if (type == ELEMENT_F32)
        return made;
    bool half = type == ELEMENT_F16;
    assert_true(H5Tset_fields(made, 15, half ? 10 : 7, half ? 5 : 8, 0, half ? 10 : 7) >= 0);
    assert_true(H5Tset_size(made, 2) >= 0 && H5Tset_ebias(made, half ? 15 : 127) >= 0);
    return made;
}

static H5_UNUSED hid_t h5_create(const char *path)
{
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(file >= 0);
    return file;
}

static H5_UNUSED hid_t h5_group(hid_t at, const char *name)
{
    hid_t group = H5Gcreate2(at, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(group >= 0);
    return group;
}

/* A dataset of these bytes; data NULL: never written. Closes type and plist. rank 0: a scalar. */
static H5_UNUSED void h5_dataset(hid_t at, const char *name, hid_t type, int rank,
                                 const hsize_t *dims, hid_t plist, const void *data)
{
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    hid_t space = rank ? H5Screate_simple(rank, dims, NULL) : H5Screate(H5S_SCALAR);
    H5Pset_create_intermediate_group(links, 1);
    hid_t dataset = H5Dcreate2(at, name, type, space, links, plist, H5P_DEFAULT);
    assert_true(dataset >= 0);
    if (data)
        assert_true(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Tclose(type);
    H5Pclose(links);
    if (plist != H5P_DEFAULT)
        H5Pclose(plist);
}

/* A short float32 vector 0, 1, 2 ... */
static H5_UNUSED void h5_counting(hid_t at, const char *name, hsize_t n)
{
    float x[64];
    assert_true(n <= 64);
    for (int i = 0; i < (int)n; i++)
        x[i] = (float)i;
    h5_dataset(at, name, H5Tcopy(H5T_NATIVE_FLOAT), 1, &n, H5P_DEFAULT, x);
}

static H5_UNUSED hid_t h5_chunks(int rank, const hsize_t *chunk)
{
    hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    assert_true(H5Pset_chunk(plist, rank, chunk) >= 0);
    return plist;
}

/* An attribute of n numbers, -1: one scalar; of the object `name` of `at`. Closes nothing. */
static H5_UNUSED void h5_attribute(hid_t at, const char *name, const char *attribute, hid_t type,
                                   int n, const void *value)
{
    hsize_t count = (hsize_t)n;
    hid_t space = n < 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &count, NULL);
    hid_t id =
        H5Acreate_by_name(at, name, attribute, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(id >= 0);
    if (n != 0)
        assert_true(H5Awrite(id, type, value) >= 0);
    H5Aclose(id);
    H5Sclose(space);
}

static H5_UNUSED void h5_attribute_text(hid_t at, const char *name, const char *attribute,
                                        const char *text)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, strlen(text));
    H5Tset_cset(type, H5T_CSET_UTF8);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    h5_attribute(at, name, attribute, type, -1, text);
    H5Tclose(type);
}

/* All bytes of a file, to be freed; and a file of some bytes. */
static H5_UNUSED char *h5_slurp(const char *path, size_t *size)
{
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    *size = (size_t)about.st_size;
    char *bytes = malloc(*size + 1);
    FILE *file = fopen(path, "rb");
    assert_true(bytes && file && fread(bytes, 1, *size, file) == *size);
    fclose(file);
    return bytes;
}

static H5_UNUSED void h5_spill(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_true(file && fwrite(bytes, 1, size, file) == size);
    assert_int_equal(fclose(file), 0);
}

/* Replaces each occurrence of some bytes in a file, as damage would; the number of them. */
static H5_UNUSED int h5_patch(const char *path, const void *from, const void *to, size_t n)
{
    size_t size;
    char *bytes = h5_slurp(path, &size);
    int count = 0;
    for (size_t i = 0; i + n <= size; i++)
        if (memcmp(bytes + i, from, n) == 0) {
            memcpy(bytes + i, to, n);
            count++;
        }
    h5_spill(path, bytes, size);
    free(bytes);
    return count;
}

#endif
