/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Contiguous HDF5 datasets, read as raw files are.
 *
 * The library adds nothing to such a read: it is one pread at a known place. Without it there is no
 * lock that a writing thread would wait for, and a rank that only reads needs no look at the file's
 * structure, which on many ranks is a storm of small reads. What the library would notice is kept:
 * a file that no longer looks as the scan found it is read through the library, which then looks at
 * the dataset anew.
 */
#include "hdf5_direct.h"

#include <sys/stat.h>

#include "input_file.h"

/* What of a file's state changes with its content. */
static struct file_look look_of(const struct stat *about)
{
    return (struct file_look){.size = about->st_size,
                              .seconds = about->st_mtim.tv_sec,
                              .nanoseconds = about->st_mtim.tv_nsec};
}

/* Of the file that holds the dataset, which a link may have led to, as it is open: not of what has
 * its name by now. */
static bool ask_file(hid_t dataset, struct stat *about)
{
    void *fd = NULL;
    hid_t file = H5Iget_file_id(dataset), access_list = H5I_INVALID_HID;
    bool is_known = file >= 0 && (access_list = H5Fget_access_plist(file)) >= 0 &&
                    H5Pget_driver(access_list) == H5FD_SEC2 && /* whose handle is a descriptor */
                    H5Fget_vfd_handle(file, H5P_DEFAULT, &fd) >= 0 && fstat(*(int *)fd, about) == 0;
    h5_close(&access_list);
    h5_close(&file);
    return is_known;
}

/* Whether nothing stands between the elements and the file. */
static bool is_plain(hid_t dataset)
{
    hid_t plist = H5Dget_create_plist(dataset);
    bool plain = plist >= 0 && H5Pget_layout(plist) == H5D_CONTIGUOUS &&
                 H5Pget_external_count(plist) == 0 && H5Pget_nfilters(plist) == 0;
    h5_close(&plist);
    return plain;
}

void hdf5_direct_find(hid_t dataset, struct entry *entry)
{
    struct stat named, held;
    hsize_t bytes = (hsize_t)entry->info.n * element_size(entry->info.type);
    /* From the start of the file, a user block included; undefined without storage. */
    haddr_t offset = H5Dget_offset(dataset);
    if (!is_plain(dataset) || offset == HADDR_UNDEF || H5Dget_storage_size(dataset) != bytes ||
        !ask_file(dataset, &held) || stat(entry->file, &named) != 0)
        return;
    bool is_same_file = named.st_dev == held.st_dev && named.st_ino == held.st_ino;
    hsize_t size = (hsize_t)held.st_size;
    if (!is_same_file || offset > size || bytes > size - offset)
        return;
    entry->offset = (int64_t)offset;
    entry->look = look_of(&held);
}

enum status hdf5_direct_open(const struct entry *entry, int *fd)
{
    struct stat about;
    int64_t size;
    enum status status = input_file_open(entry->file, fd, &size);
    if (status != QO_OK)
        return status;
    bool is_known = fstat(*fd, &about) == 0;
    struct file_look now = look_of(&about);
    if (!is_known || now.size != entry->look.size || now.seconds != entry->look.seconds ||
        now.nanoseconds != entry->look.nanoseconds)
        input_file_close(fd);
    return QO_OK;
}
