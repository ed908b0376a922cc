/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>

#include "decode.h"
#include "log.h"
#include "machine.h"
#include "memory.h"
#include "run.h"

/* Local. Input and output must differ: restoring over the result would lose it. */
static enum status check_paths(const struct options *options)
{
    struct stat in, out;
    if (stat(options->restore, &in) == 0 && stat(options->output, &out) == 0 &&
        in.st_dev == out.st_dev && in.st_ino == out.st_ino)
        return status_raise(QO_USAGE, "--output %s: is the file to be restored; choose another",
                            options->output);
    return QO_OK;
}

enum status run_restore(const struct options *options, struct comm *comm)
{
    enum status status;
    struct result_reader *reader = NULL;
    struct restored_file *file = NULL;
    const struct vector_info **vectors = NULL;
    struct machine machine = {.on_device = false};
    QO_TRY(comm_agree(comm, check_paths(options)));
    QO_TRY(machine_open(&machine, options, comm));
    QO_TRY(result_reader_open(comm, options->restore, options->select, options->result, &reader));
    int count = result_reader_count(reader);
    QO_TRY(comm_agree(comm, memory_alloc("list of vectors", count, sizeof *vectors, &vectors)));
    for (int i = 0; i < count; i++)
        vectors[i] = &result_reader_result(reader, i)->vector;
    QO_TRY(restored_file_create(comm, options->output, vectors, count, &file));
    for (int i = 0; i < count; i++) {
        const struct stored_result *stored = result_reader_result(reader, i);
        log_info("restoring %s from %s", stored->vector.name, stored->result);
        QO_TRY(decode_result(comm, &machine.engine, reader, i, file));
    }
    QO_TRY(restored_file_publish(file));
    file = NULL;
    log_info("%d %s restored to %s", count, count == 1 ? "vector" : "vectors", options->output);
done:
    restored_file_abandon(file);
    memory_free(vectors);
    result_reader_close(reader);
    machine_close(&machine, comm);
    return status;
}
