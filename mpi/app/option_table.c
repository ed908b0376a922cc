/* SPDX-License-Identifier: Apache-2.0 */
/* The table of options, and finding a name in it. What an option is stands here and nowhere else.
 */
#include <float.h>
#include <string.h>

#include "option.h"
#include "spelling.h"

/* Longer than any name; names are compared up to here. */
#define NAME_BYTES 64

/* Elements of a drawn vector: petabytes, and their bytes and bits are still far below 2^63. */
#define MAX_DRAWN 1e15

/* Threads of a rank: more than any node has cores, so that a slip of the keyboard is noticed. */
#define MAX_THREADS 4096

/* Lloyd steps; the history of each is kept, in 24 bytes, so that it takes 24 MB at most. */
#define MAX_ITERATIONS 1e6

/* Elements of a sample: what fits the int of a count. */
#define MAX_SAMPLE 1e9

/* Memory of a rank: below the one not even the buffers of a walk have room, and the other is more
 * than a node has, so that a slip of the keyboard is noticed. */
#define MIN_MEMORY 0x1p24
#define MAX_MEMORY 0x1p50

/* Where a value lands, and where is noted that it was given. */
#define FIELD(member)                                                                              \
    .offset = offsetof(struct options, member), .size = sizeof(((struct options *)NULL)->member)
#define HAS(member) .has = offsetof(struct options, member)

/* Words of a choice stand in the order of their enum; for a bool the second one is true. */
static const char *const vector_sizes[] = {"small", "large", NULL};
static const char *const dtypes[] = {"float16", "bfloat16", "float32", "float64", NULL};
static const char *const kinds[] = {"normal", "laplace", "uniform", "lognormal", NULL};
static const char *const fill_values[] = {"keep", "use", NULL};
static const char *const nonfinite[] = {"error", "keep", NULL};
static const char *const approaches[] = {"uniform",           "non-uniform", "easyquant",
                                         "easyquant-uniform", "all",         NULL};
static const char *const ranges[] = {"minmax", "optimal", NULL};
static const char *const solvers[] = {"optimal", "lloyd", NULL};
static const char *const inits[] = {"optimal", "quantile", "kmeans++", "random", NULL};
static const char *const devices[] = {"auto", "cpu", "cuda", NULL};
static const char *const comms[] = {"auto", "mpi", "nccl", NULL};
static const char *const whens[] = {"auto", "always", "never", NULL};
static const char *const truths[] = {"false", "true", NULL};

/*
 * Not a line of this is repeated elsewhere. What an option needs to have an effect stands here;
 * what contradicts it outright is run_only, restore_only or a pair in options.c.
 */
static const struct option table[OPTION_NUM] = {
    [OPTION_INPUTS] =
        {.name = "inputs",
         .group = GROUP_INPUT,
         .type = TYPE_INPUTS,
         FIELD(inputs),
         .metavar = "INPUT",
         .run_only = true,
         .help = "file.h5 (every floating-point dataset), file.h5:/path/to/dataset, file.npy, "
                 "file.safetensors[:tensor], or a raw file with --dtype. In a file of "
                 "--config the key is inputs, one value or a list."},
    [OPTION_VECTOR_SIZE] = {.name = "vector_size",
                            .group = GROUP_INPUT,
                            .type = TYPE_WORD,
                            FIELD(vector_size),
                            .fallback = "small",
                            .words = vector_sizes,
                            .run_only = true,
                            .help = "Built-in vector, where no INPUT is given: 10 values, or "
                                    "10,000,000 normal ones."},
    [OPTION_GENERATE] = {.name = "generate",
                         .group = GROUP_INPUT,
                         .type = TYPE_GENERATE,
                         FIELD(generate),
                         .metavar = "KIND:N",
                         .lo = 1,
                         .hi = MAX_DRAWN,
                         .words = kinds,
                         .run_only = true,
                         .help =
                             "A drawn vector of N elements; KIND is normal, laplace, uniform or "
                             "lognormal."},
    [OPTION_SEED] = {.name = "seed",
                     .group = GROUP_INPUT,
                     .type = TYPE_SEED,
                     FIELD(seed),
                     .metavar = "S",
                     .fallback = "42",
                     .need = NEED_CHANCE,
                     .run_only = true,
                     .help =
                         "Of the built-in and drawn vectors and of random starts; 0 to 2^64-1."},
    [OPTION_DTYPE] = {.name = "dtype",
                      .group = GROUP_INPUT,
                      .type = TYPE_CHOICE,
                      FIELD(dtype),
                      HAS(has_dtype),
                      .words = dtypes,
                      .run_only = true,
                      .default_note = "float32 for --generate; raw files need it",
                      .help = "Element type of raw files and drawn vectors."},
    [OPTION_SHAPE] = {.name = "shape",
                      .group = GROUP_INPUT,
                      .type = TYPE_SHAPE,
                      FIELD(shape),
                      .metavar = "D0xD1x...",
                      .run_only = true,
                      .default_note = "one dimension",
                      .help =
                          "Shape of raw files and drawn vectors, slowest dimension first: 3x4x5 or "
                          "3,4,5. Needs --dtype."},
    [OPTION_INCLUDE] = {.name = "include",
                        .group = GROUP_INPUT,
                        .type = TYPE_TEXT,
                        FIELD(include),
                        .metavar = "GLOB",
                        .run_only = true,
                        .help = "Take only vectors whose name matches."},
    [OPTION_EXCLUDE] = {.name = "exclude",
                        .group = GROUP_INPUT,
                        .type = TYPE_TEXT,
                        FIELD(exclude),
                        .metavar = "GLOB",
                        .run_only = true,
                        .help = "Leave out vectors whose name matches."},
    [OPTION_FILL_VALUES] =
        {.name = "fill_values",
         .group = GROUP_INPUT,
         .type = TYPE_CHOICE,
         FIELD(ignore_fills),
         .fallback = "keep",
         .words = fill_values,
         .need = NEED_FILE,
         .run_only = true,
         .help = "Elements equal to _FillValue or missing_value: keep them exactly, as "
                 "outliers and outside the statistics, or use them as numbers."},
    [OPTION_NONFINITE] = {.name = "nonfinite",
                          .group = GROUP_INPUT,
                          .type = TYPE_CHOICE,
                          FIELD(keep_nonfinite),
                          .fallback = "error",
                          .words = nonfinite,
                          .need = NEED_OVERFLOW,
                          .run_only = true,
                          .help = "NaN and infinities: stop, or keep them as outliers."},
    [OPTION_APPROACH] =
        {.name = "approach",
         .group = GROUP_QUANTIZER,
         .type = TYPE_APPROACH,
         FIELD(approach),
         .metavar = "A[,A...]|all",
         .fallback = "all",
         .words = approaches,
         .run_only = true,
         .help = "uniform: equally spaced levels over --range. non-uniform: free levels of "
                 "least squared error. easyquant: elements beyond --threshold are kept "
                 "exactly, free levels for the rest. easyquant-uniform: the same outliers, and for "
                 "the rest whole multiples of one scale. And fixed codebooks, whatever --num_bits, "
                 "each with the scale of least squared error: nf4, af4, fp4, e2m1, iq4_nl, max2 to "
                 "max256 (the best so many levels for normal numbers), fixed:FILE (numbers in a "
                 "text or .npy)."},
    [OPTION_NUM_BITS] =
        {.name = "num_bits",
         .group = GROUP_QUANTIZER,
         .type = TYPE_BITS,
         FIELD(bits),
         .metavar = "B[,B...]",
         .fallback = "3",
         .lo = 1,
         .hi = 8,
         .need = NEED_WIDTH,
         .run_only = true,
         .help = "Bits of a code, 1 to 8: at most 2^B levels. A width named twice is taken "
                 "once."},
    [OPTION_THRESHOLD] =
        {.name = "threshold",
         .group = GROUP_QUANTIZER,
         .type = TYPE_REAL,
         FIELD(threshold),
         .metavar = "T",
         .fallback = "3",
         .lo = 0,
         .need = NEED_EASYQUANT,
         .run_only = true,
         .help = "easyquant and easyquant-uniform: outliers are beyond T standard deviations "
                 "from the mean; at least 0."},
    [OPTION_RANGE] =
        {.name = "range",
         .group = GROUP_QUANTIZER,
         .type = TYPE_RANGE,
         FIELD(range),
         HAS(has_range),
         .metavar = "LO:HI|minmax|optimal",
         .words = ranges,
         .run_only = true,
         .need = NEED_UNIFORM,
         .default_note = "-4:4 for built-in vectors, else minmax",
         .help = "uniform: the first and the last level, given, the extremes of the vector, or "
                 "those of least squared error."},
    [OPTION_SOLVER] = {.name = "solver",
                       .group = GROUP_QUANTIZER,
                       .type = TYPE_WORD,
                       FIELD(solver),
                       .fallback = "optimal",
                       .words = solvers,
                       .need = NEED_FREE_LEVELS,
                       .run_only = true,
                       .help = "How free levels are found: optimal, the best there are, from the "
                               "exact histogram of one walk; or lloyd, a walk a step."},
    [OPTION_INIT] = {.name = "init",
                     .group = GROUP_QUANTIZER,
                     .type = TYPE_CHOICE,
                     FIELD(init),
                     .fallback = "optimal",
                     .words = inits,
                     .need = NEED_LLOYD,
                     .run_only = true,
                     .help = "The start of Lloyd steps."},
    [OPTION_MAX_ITERATIONS] = {.name = "max_iterations",
                               .group = GROUP_QUANTIZER,
                               .type = TYPE_COUNT,
                               FIELD(max_iterations),
                               .metavar = "N",
                               .fallback = "100",
                               .lo = 0,
                               .hi = MAX_ITERATIONS,
                               .need = NEED_LLOYD,
                               .run_only = true,
                               .help = "Lloyd steps at most; 0 to 1000000."},
    [OPTION_TOLERANCE] =
        {.name = "tolerance",
         .group = GROUP_QUANTIZER,
         .type = TYPE_REAL,
         FIELD(tolerance),
         .metavar = "E",
         .fallback = "1e-07", /* as it is echoed */
         .lo = 0,
         .need = NEED_LLOYD,
         .run_only = true,
         .help = "Lloyd steps end when no level moves by more than E times the spread of the "
                 "levels and the squared error falls by no more than E of itself; at least 0."},
    [OPTION_GAP] = {.name = "gap",
                    .group = GROUP_QUANTIZER,
                    .type = TYPE_REAL,
                    FIELD(gap),
                    .metavar = "G",
                    .fallback = "0.001",
                    .lo = 0,
                    .need = NEED_WHOLE,
                    .run_only = true,
                    .help = "Walk again, over finer cells, while the certified distance from "
                            "the optimum is above G; at least 0."},
    [OPTION_SAMPLE_SIZE] = {.name = "sample_size",
                            .group = GROUP_QUANTIZER,
                            .type = TYPE_COUNT,
                            FIELD(sample_size),
                            .metavar = "N",
                            .fallback = "0",
                            .lo = 0,
                            .hi = MAX_SAMPLE,
                            .need = NEED_SEARCH,
                            .run_only = true,
                            .help = "Find the levels on N elements spread over the vector; 0: on "
                                    "all. Errors are of all elements either way."},
    [OPTION_DEVICE] = {.name = "device",
                       .group = GROUP_MACHINE,
                       .type = TYPE_CHOICE,
                       FIELD(device),
                       .fallback = "auto",
                       .words = devices,
                       .is_how = true,
                       .help = "Where the arithmetic runs: on the CPU, or on a GPU with CUDA; "
                               "auto: on a GPU where there is one that can be used."},
    [OPTION_COMM] = {.name = "comm",
                     .group = GROUP_MACHINE,
                     .type = TYPE_CHOICE,
                     FIELD(comm),
                     .fallback = "auto",
                     .words = comms,
                     .is_how = true,
                     .help = "How ranks add up: over MPI, or from GPU to GPU over NCCL; auto: over "
                             "NCCL where each of several ranks has a GPU of its own."},
    [OPTION_THREADS] =
        {.name = "threads",
         .group = GROUP_MACHINE,
         .type = TYPE_THREADS,
         FIELD(threads),
         .metavar = "N|auto",
         .fallback = "auto",
         .lo = 1,
         .hi = MAX_THREADS,
         .is_how = true,
         .help = "Threads of a rank, 1 to 4096; auto: the cores it is bound to, shared with "
                 "the ranks that have the same ones."},
    /* The name that the exercise's scripts give; auto is the default here. */
    [OPTION_USE_MULTIPROCESSING] = {.name = "use_multiprocessing",
                                    .group = GROUP_MACHINE,
                                    .type = TYPE_FLAG,
                                    .words = truths,
                                    .is_how = true,
                                    .help = "The same as --threads auto."},
    [OPTION_MEMORY_LIMIT] = {.name = "memory_limit",
                             .group = GROUP_MACHINE,
                             .type = TYPE_SIZE,
                             FIELD(memory_limit),
                             .metavar = "SIZE",
                             .default_note = "from the node or job",
                             .lo = MIN_MEMORY,
                             .hi = MAX_MEMORY,
                             .run_only = true,
                             .is_how = true,
                             .help = "Memory of a rank, at least 16M: a shard beyond it is read "
                                     "again in each walk. In bytes, or with K, M, G, T (2^10, "
                                     "2^20, 2^30, 2^40)."},
    [OPTION_MAX_WALLTIME] =
        {.name = "max_walltime",
         .group = GROUP_MACHINE,
         .type = TYPE_TIME,
         FIELD(max_walltime),
         .metavar = "T",
         .default_note = "the end of the Slurm job, where Slurm tells it",
         .run_only = true,
         .is_how = true,
         .help = "Save what there is and stop before so much time has passed; --resume goes on. "
                 "Seconds, MM:SS or H:MM:SS."},
    [OPTION_RESUME] = {.name = "resume",
                       .group = GROUP_MACHINE,
                       .type = TYPE_FLAG,
                       FIELD(resume),
                       .words = truths,
                       .run_only = true,
                       .line_only = true, /* a run that is repeated starts anew */
                       .is_how = true,
                       .help = "Go on with a run of the same options that stopped early."},
    [OPTION_COMM_TIMEOUT] =
        {.name = "comm_timeout",
         .group = GROUP_MACHINE,
         .type = TYPE_TIME,
         FIELD(comm_timeout),
         .metavar = "T",
         .fallback = "600",
         .lo = 1,
         .is_how = true,
         .help = "Give up when a rank has waited for the others for so long; seconds, MM:SS or "
                 "H:MM:SS, at least 1."},
    [OPTION_SELFTEST] = {.name = "selftest",
                         .group = GROUP_MACHINE,
                         .type = TYPE_FLAG,
                         FIELD(selftest),
                         .words = truths,
                         .line_only = true,
                         .help = "Hold the quantizers of drawn vectors against the literature's "
                                 "figures, on these ranks, and stop; writes no files."},
    [OPTION_SAVE_DIR] =
        {.name = "save_dir",
         .group = GROUP_OUTPUT,
         .type = TYPE_TEXT,
         FIELD(save_dir),
         .metavar = "DIR",
         .fallback = "results",
         .run_only = true,
         .is_how = true,
         .help = "Folder of quantized.h5, results.txt, results.json and logs.txt; made if "
                 "missing."},
    [OPTION_OUTPUT] =
        {.name = "output",
         .group = GROUP_OUTPUT,
         .type = TYPE_OUTPUT,
         FIELD(output),
         HAS(no_output),
         .metavar = "FILE|none",
         .default_note = "DIR/quantized.h5",
         .is_how = true, /* of `none` the identity of a run tells */
         .help = "The result file; none writes no codes. With --restore: the vectors, as HDF5, or "
                 "one vector as .npy."},
    [OPTION_RESTORE] = {.name = "restore",
                        .group = GROUP_RESTORE,
                        .type = TYPE_TEXT,
                        FIELD(restore),
                        .metavar = "FILE",
                        .help = "Turn a result file back into vectors at --output."},
    [OPTION_SELECT] = {.name = "select",
                       .group = GROUP_RESTORE,
                       .type = TYPE_TEXT,
                       FIELD(select),
                       .metavar = "GLOB",
                       .restore_only = true,
                       .default_note = "all",
                       .help = "Vectors to restore, by name."},
    [OPTION_RESULT] =
        {.name = "result",
         .group = GROUP_RESTORE,
         .type = TYPE_TEXT,
         FIELD(result),
         .metavar = "NAME",
         .restore_only = true,
         .help = "Which result, such as easyquant_3bit; needed where a vector has several."},
    [OPTION_CONFIG] =
        {.name = "config",
         .group = GROUP_GENERAL,
         .type = TYPE_TEXT,
         FIELD(config),
         .metavar = "FILE.yaml",
         .line_only = true,
         .is_how = true,
         .help = "Options from a file, the same names as keys. The command line wins; an INPUT, "
                 "--generate or --vector_size there replaces the file's, its dtype and its shape."},
    [OPTION_PROGRESS] = {.name = "progress",
                         .group = GROUP_GENERAL,
                         .type = TYPE_CHOICE,
                         FIELD(progress),
                         .fallback = "auto",
                         .words = whens,
                         .need = NEED_PROGRESS,
                         .is_how = true,
                         .help = "Progress on stderr; auto: if it is a terminal."},
    [OPTION_VERBOSE] = {.name = "verbose",
                        .group = GROUP_GENERAL,
                        .type = TYPE_FLAG,
                        FIELD(verbose),
                        .words = truths,
                        .is_how = true,
                        .help = "Log more."},
    [OPTION_QUIET] = {.name = "quiet",
                      .group = GROUP_GENERAL,
                      .type = TYPE_FLAG,
                      FIELD(quiet),
                      .words = truths,
                      .is_how = true,
                      .help = "Log warnings and errors only."},
    [OPTION_DRY_RUN] = {.name = "dry_run",
                        .group = GROUP_GENERAL,
                        .type = TYPE_FLAG,
                        FIELD(dry_run),
                        .words = truths,
                        .run_only = true,
                        .is_how = true,
                        .help =
                            "Show what would be read, the shards, memory and output, and stop."},
    /* These two are found before anything else is read, and so never reach the parser. */
    [OPTION_VERSION] = {.name = "version",
                        .group = GROUP_GENERAL,
                        .type = TYPE_FLAG,
                        .words = truths,
                        .line_only = true,
                        .is_how = true,
                        .help = "Show the versions of the program and of what it uses."},
    [OPTION_HELP] = {.name = "help",
                     .group = GROUP_GENERAL,
                     .type = TYPE_FLAG,
                     .words = truths,
                     .line_only = true,
                     .is_how = true,
                     .help = "Show this text."},
};

const struct option *option_at(enum option_id id)
{
    return &table[id];
}

/* Writes the name with '_' for '-', as users mix them up and GNU tools have '-'; what does not fit
 * cannot be a name. */
static void fold(const char *name, char folded[NAME_BYTES])
{
    size_t length = strnlen(name, NAME_BYTES - 1);
    for (size_t i = 0; i < length; i++)
        folded[i] = (char)(name[i] == '-' ? '_' : name[i]);
    folded[length] = '\0';
}

/* "input" is what one calls a single one in a file. */
const struct option *option_find(const char *name)
{
    char folded[NAME_BYTES];
    fold(name, folded);
    if (strcmp(folded, "input") == 0)
        return &table[OPTION_INPUTS];
    for (int id = 0; id < OPTION_NUM; id++)
        if (strcmp(folded, table[id].name) == 0)
            return &table[id];
    return NULL;
}

/* INPUTs have a name in a file alone. */
static bool is_accepted(const struct option *option, bool in_file)
{
    return in_file ? !option->line_only : option->type != TYPE_INPUTS;
}

const char *option_nearest(const char *name, bool in_file)
{
    const char *names[OPTION_NUM];
    int count = 0;
    char folded[NAME_BYTES];
    fold(name, folded);
    for (int id = 0; id < OPTION_NUM; id++)
        if (is_accepted(&table[id], in_file))
            names[count++] = table[id].name;
    return spelling_nearest(folded, names, count);
}
