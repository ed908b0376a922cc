/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of --help and the man page that belong to no single option. */
#include "manual.h"

#include <string.h>

const char manual_name[] = "find the best scalar quantizer of a large vector";

const char manual_purpose[] =
    "Finds the scalar quantizers of a vector on P ranks and writes levels, codes, outliers and "
    "errors.";

const char manual_syntax[] =
    "'-' and '_' are the same inside a name; --name value and --name=value are the same; names are "
    "written in full; -- ends the options. Counts take K, M and G (10^3, 10^6, 10^9).";

const char *const manual_uses[] = {
    "mpirun -np P quantopt_mpi [INPUT...] [OPTIONS]",
    "mpirun -np P quantopt_mpi --restore FILE --output FILE [OPTIONS]",
    NULL,
};

const char *const manual_groups[OPTION_NUM_GROUPS + 1] = {
    [GROUP_INPUT] = "INPUT: a vector, or many",
    [GROUP_QUANTIZER] = "QUANTIZERS: every approach with every number of bits",
    [GROUP_MACHINE] = "MACHINE",
    [GROUP_OUTPUT] = "OUTPUT",
    [GROUP_RESTORE] = "RESTORING, the way back",
    [GROUP_GENERAL] = "GENERAL",
};

const char manual_errors[] =
    "of the errors e = x - restored x over all n elements; outliers have none";

/* In --help too: the table that a run prints names them. */
const struct manual_entry manual_figures[] = {
    {"mse, rmse", "mean of e^2, and its square root"},
    {"l2_norm", "||e|| / n"},
    {"relative_error", "||e|| / ||x||"},
    {"sqnr_db", "20 log10(||x|| / ||e||)"},
    {"max_abs_error", "largest |e|"},
    {"bits_per_value", "bits of codes, levels, outlier values and indices, over n"},
    {"compression_ratio", "bits of an element over bits_per_value"},
    {"optimality_gap", "rmse / (a proven lower bound on that of any such levels) - 1"},
    {NULL, NULL},
};

/* Each line is what a user can do something about. */
const struct manual_exit manual_exits[] = {
    {QO_OK, "good: complete, and what was written is verified"},
    {QO_USAGE, "wrong usage"},
    {QO_DATA, "an input is not what it claims, or holds NaN or infinities"},
    {QO_NO_INPUT, "an input is missing or unreadable"},
    {QO_UNAVAILABLE, "a device or communication was asked for and cannot be used"},
    {QO_INTERNAL, "a fault of the program"},
    {QO_NO_MEMORY, "out of memory"},
    {QO_CANT_CREATE, "output cannot be created, or another run holds it"},
    {QO_IO, "a read or write failed: disk full, verification"},
    {QO_STOPPED, "stopped early on purpose; --resume goes on"},
    {QO_CONFIG, "bad configuration file"},
    {QO_OK, NULL},
};

/* On files that come with the source. */
const struct manual_example manual_examples[] = {
    {"ten million normal values, every approach", "", "--vector_size large --num_bits 2,3,4"},
    {"a model's weights, outliers kept", "",
     "data/EEGNet-8-2-weights.h5 \\\n      --approach easyquant --num_bits 4"},
    {"a vector of any size, drawn", "", "--generate normal:10M --dtype float32 --num_bits 8"},
    {"a raw file", "head -c 1M /dev/zero > field.raw",
     "field.raw --dtype float32 --shape 64x64x64"},
    {"what a run would read, need and write", "",
     "--config configs/field_easyquant.yaml --dry_run"},
    {"a whole run from a file, with other widths", "",
     "--config configs/large_all.yaml --num_bits 3"},
    {"and the vector back", "",
     "--restore results/quantized.h5 \\\n      --result easyquant_3bit --output restored.h5"},
    {NULL, NULL, NULL},
};

/* ---- The man page alone ---- */

const char *const manual_about[] = {
    "quantopt_mpi finds the best scalar quantizer of a vector, such as a weight tensor, an "
    "embedding table or the field of a simulation, and writes the quantized vector: levels, codes, "
    "and outliers that are kept exactly. A vector is cut into shards, one for each rank of MPI; "
    "ranks compute on GPUs or on CPU cores. The results are the same bits on any number of ranks "
    "and threads, and on any device.",
    "optimality_gap of each result is a certificate: how far its error can be from that of the "
    "best levels there are.",
    "Without an INPUT the vector is a built-in or a drawn one. With --restore a result file is "
    "turned back into vectors.",
    NULL,
};

const struct manual_entry manual_inputs[] = {
    {"HDF5", "Told by its first bytes, whatever the file is called (NetCDF-4 and Keras files are "
             "HDF5). Of a whole file every floating-point dataset is a vector, scalars too; empty "
             "datasets are passed over with a line in the log, links are not followed, and a "
             "dataset with several names is taken once."},
    {".npy", "NumPy's file of one array, told by its first bytes; Fortran order is read into C "
             "order."},
    {"safetensors", "Told by the suffix .safetensors; F16, BF16, F32 and F64 tensors."},
    {"raw", "Anything else: elements one after another, little-endian, of the type of --dtype."},
    {"FILE:NAME", "One dataset or tensor of a file. The text is split at the first colon whose "
                  "left side is a file that is there."},
    {NULL, NULL},
};

const struct manual_entry manual_files[] = {
    {"results/quantized.h5", "Codes, levels, outliers and figures, in HDF5; it is complete and "
                             "verified, or not there."},
    {"results/results.json", "Figures, levels, history of the Lloyd steps, times and memory of "
                             "the run."},
    {"results/results.txt", "A block a vector and number of bits, appended to."},
    {"results/logs.txt", "The log, with time stamps."},
    {"results/quantized.h5.partial, .lock", "The file as it is being written, and the sign that a "
                                            "run is at work on it."},
    {"results/quantized.h5.checkpoint, .checkpoint.previous, .encoded",
     "What a run that stopped has got so far, for --resume; gone when it is complete."},
    {NULL, NULL},
};

const struct manual_entry manual_signals[] = {
    {"SIGUSR1, SIGTERM, SIGINT",
     "Save a checkpoint at the next safe point and end with 75. mpirun passes SIGUSR1 on; after "
     "SIGTERM it leaves a run one second. A second signal, more than two seconds later, ends the "
     "run at once, with the last checkpoint as it is."},
    {NULL, NULL},
};

/* A test holds this list against the program's sources. */
const struct manual_entry manual_variables[] = {
    {"QUANTOPT_SIMD", "portable, avx2 or avx512: the CPU level to use, instead of the best one "
                      "that the machine has. The results are the same bits."},
    {"QUANTOPT_NCCL", "The NCCL library to load, instead of libnccl.so.2."},
    {"QUANTOPT_NCCL_DEADLINE", "Seconds that NCCL is given to start, instead of 120, and to "
                               "answer, instead of those of --comm_timeout."},
    {"QUANTOPT_CHECKPOINT_SECONDS", "Seconds between checkpoints, instead of 300."},
    {"QUANTOPT_STOP_DEADLINE", "Seconds after a signal until a process that has not stopped ends "
                               "itself, instead of 25 after SIGTERM, 240 after SIGUSR1 and 3 after "
                               "a second signal."},
    {"QUANTOPT_FAULT", "N or N@RANK, for tests: the N-th call for memory or for a file fails, of "
                       "every rank or of one."},
    {"SLURM_JOB_END_TIME", "When the job ends: a run stops in time for a checkpoint, as with "
                           "--max_walltime."},
    {"SLURM_MEM_PER_NODE, SLURM_MEM_PER_CPU, SLURM_CPUS_ON_NODE",
     "What memory the job has, where --memory_limit does not say."},
    {"SLURM_JOB_ID", "Noted in the lock: a job that starts again takes over its own."},
    {NULL, NULL},
};

/* The table is checked by a test; what does not fit would be cut. */
const char *manual_value(const struct option *option, char buffer[MANUAL_VALUE_BYTES])
{
    buffer[0] = '\0';
    if (option->type == TYPE_INPUTS)
        return "INPUT...";
    if (option->type == TYPE_FLAG)
        return "";
    if (option->metavar)
        return option->metavar;
    for (int i = 0; option->words[i]; i++) {
        size_t used = strlen(buffer);
        snprintf(buffer + used, MANUAL_VALUE_BYTES - used, "%s%s", i ? "|" : "", option->words[i]);
    }
    return buffer;
}
