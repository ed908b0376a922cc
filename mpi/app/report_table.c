/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "log.h"
#include "report.h"

#define MIB 1048576.0

/* A decibel figure with two decimals; "exact" only where no element has an error, since squares of
 * tiny errors underflow and those of huge ones overflow. */
static void format_db(const struct result *result, char text[16])
{
    if (isfinite(result->sqnr_db))
        snprintf(text, 16, "%.2f", result->sqnr_db);
    else
        snprintf(text, 16, "%s", result->max_abs_error == 0 ? "exact" : "-");
}

/* The certified distance from the optimum; "-" where there is no certificate. */
static void format_gap(const struct result *result, char text[16])
{
    if (isnan(result->optimality_gap))
        snprintf(text, 16, "-");
    else
        snprintf(text, 16, "%.2g", result->optimality_gap);
}

/* The widths of the columns of names. */
struct widths {
    int vector, approach;
};

static int wider(int width, const char *name)
{
    int length = (int)strlen(name);
    return length > width ? length : width;
}

static struct widths widths_of(const struct report *report)
{
    struct widths widths = {6, 17};
    for (int i = 0; i < report->num_vectors; i++)
        widths.vector = wider(widths.vector, report->vectors[i].info->name);
    for (int i = 0; i < report->options->num_audits; i++)
        widths.approach = wider(widths.approach, report->options->audits[i].name);
    return widths;
}

static void print_result(const char *name, struct widths widths, const struct result *result)
{
    char db[16], gap[16];
    format_db(result, db);
    format_gap(result, gap);
    printf("%-*s  %-*s %4d  %13.7e %13.7e %8s %13.7e %8s %11lld %9.4f %9.4f\n", widths.vector, name,
           widths.approach, result->approach, result->num_bits, result->l2_norm, result->rmse, db,
           result->max_abs_error, gap, (long long)result->outlier_count, result->bits_per_value,
           result->solve_seconds + result->encode_seconds);
}

void report_results(const struct report *report)
{
    struct widths widths = widths_of(report);
    printf("%-*s  %-*s %4s  %13s %13s %8s %13s %8s %11s %9s %9s\n", widths.vector, "vector",
           widths.approach, "approach", "bits", "l2_norm", "rmse", "sqnr_db", "max_error", "gap",
           "outliers", "bits/val", "seconds");
    for (int i = 0; i < report->num_vectors; i++) {
        const struct report_vector *vector = &report->vectors[i];
        for (int r = 0; r < vector->num_results; r++)
            print_result(vector->info->name, widths, &vector->results[r]);
    }
    fflush(stdout);
}

void report_times(const struct report *report)
{
    log_info("%-12s %10s %10s %10s  %s", "phase", "min s", "mean s", "max s", "at rank");
    for (int p = 0; p < NUM_PHASES; p++)
        log_info("%-12s %10.4f %10.4f %10.4f  %d", phase_name((enum phase)p), report->phases[p].min,
                 report->phases[p].mean, report->phases[p].max, report->phases[p].max_rank);
    log_info("peak memory  %8.1f %10.1f %10.1f  %d (MiB)", report->peak_memory.min / MIB,
             report->peak_memory.mean / MIB, report->peak_memory.max / MIB,
             report->peak_memory.max_rank);
}
