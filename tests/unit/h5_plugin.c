/* SPDX-License-Identifier: Apache-2.0 */
#include <hdf5.h>
/* Behind hdf5.h. */
#include <H5PLextern.h>

/* A filter that comes as a plug-in, as blosc and bitshuffle do: it turns all bits over. */

static size_t turn_bits(unsigned flags, size_t num_values, const unsigned *values, size_t n,
                        size_t *size, void **buffer)
{
    unsigned char *bytes = *buffer;
    (void)flags, (void)num_values, (void)values, (void)size;
    for (size_t i = 0; i < n; i++)
        bytes[i] = (unsigned char)~bytes[i];
    return n;
}

static const H5Z_class2_t filter = {H5Z_CLASS_T_VERS,   444,  1,    1,
                                    "bits turned over", NULL, NULL, turn_bits};

H5PL_type_t H5PLget_plugin_type(void)
{
    return H5PL_TYPE_FILTER;
}

const void *H5PLget_plugin_info(void)
{
    return &filter;
}
