/* SPDX-License-Identifier: Apache-2.0 */
#include "parcel.h"

#include <string.h>

#include "memory.h"

enum status parcel_take_plot(struct parcel *parcel, int bins, const double *edges,
                             const uint64_t *counts)
{
    enum status status = QO_OK;
    if (bins == 0)
        return QO_OK;
    QO_TRY(memory_alloc("a histogram", bins + 1, sizeof *edges, &parcel->plot_edges));
    QO_TRY(memory_alloc("a histogram", bins, sizeof *counts, &parcel->plot_counts));
    memcpy(parcel->plot_edges, edges, (size_t)(bins + 1) * sizeof *edges);
    memcpy(parcel->plot_counts, counts, (size_t)bins * sizeof *counts);
    parcel->plot_bins = bins;
    parcel->num_bytes += (2 * (int64_t)bins + 1) * 8;
done:
    return status;
}

enum status parcel_begin(struct parcel *parcel, int num_results, enum element_type type)
{
    enum status status =
        memory_alloc("a vector's codes", num_results, sizeof *parcel->result, &parcel->result);
    if (status == QO_OK)
        parcel->num_results = num_results;
    parcel->element_size = element_size(type);
    return status;
}

enum status parcel_begin_codes(struct parcel *parcel, int r, int64_t bytes)
{
    parcel->num_bytes += bytes;
    return memory_alloc_large("codes", bytes, 1, &parcel->result[r].codes);
}

enum status parcel_begin_outliers(struct parcel *parcel, int r, int64_t count)
{
    enum status status = QO_OK;
    struct parcel_result *result = &parcel->result[r];
    if (count == 0)
        return QO_OK;
    QO_TRY(memory_alloc_large("outliers", count, sizeof *result->index, &result->index));
    QO_TRY(memory_alloc_large("outliers", count, parcel->element_size, &result->value));
    parcel->num_bytes += count * (int64_t)(sizeof *result->index + parcel->element_size);
done:
    return status;
}

/* Local. Codes to the parcel. */
static enum status put_codes(void *context, int r, const uint8_t *codes, int64_t first, int64_t n)
{
    struct parcel *parcel = context;
    memcpy(parcel->result[r].codes + first, codes, (size_t)n);
    return QO_OK;
}

/* Local. Outliers to the parcel. */
static enum status put_outliers(void *context, int r, const uint64_t *index, const void *value,
                                int64_t first, int64_t n)
{
    struct parcel *parcel = context;
    struct parcel_result *result = &parcel->result[r];
    if (n == 0)
        return QO_OK;
    memcpy(result->index + first, index, (size_t)n * sizeof *index);
    memcpy(result->value + (size_t)first * parcel->element_size, value,
           (size_t)n * parcel->element_size);
    return QO_OK;
}

struct encode_sink parcel_sink(struct parcel *parcel)
{
    return (struct encode_sink){.context = parcel, .codes = put_codes, .outliers = put_outliers};
}

void parcel_clear(struct parcel *parcel)
{
    for (int r = 0; r < parcel->num_results; r++) {
        memory_free(parcel->result[r].codes);
        memory_free(parcel->result[r].index);
        memory_free(parcel->result[r].value);
    }
    memory_free(parcel->result);
    memory_free(parcel->plot_edges);
    memory_free(parcel->plot_counts);
    *parcel = (struct parcel){0};
}
