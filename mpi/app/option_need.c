/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What options need to have an effect. An option that asks in vain is warned about rather than
 * refused: a file of --config that several runs share stays usable where the command line narrows
 * one of them, and still nothing is ignored silently.
 */
#include <string.h>

#include "option.h"

/* Levels that a solver looks for. Those of uniform follow from the range alone. */
static bool has_free_levels(const struct options *options)
{
    return options->approach[APPROACH_NON_UNIFORM] || options->approach[APPROACH_EASYQUANT];
}

/* Lloyd steps are taken for --solver lloyd alone. */
static bool has_lloyd(const struct options *options)
{
    return has_free_levels(options) && strcmp(options->solver, "lloyd") == 0;
}

static bool has_uniform(const struct options *options)
{
    return options->approach[APPROACH_UNIFORM];
}

static bool has_easyquant(const struct options *options)
{
    return options->approach[APPROACH_EASYQUANT] || options->approach[APPROACH_EASYQUANT_UNIFORM];
}

/* Of a codebook the number of values tells. */
static bool has_width(const struct options *options)
{
    return has_uniform(options) || has_free_levels(options) || has_easyquant(options);
}

/* All but a grid over a range that is given, or that two elements set. */
static bool has_search(const struct options *options)
{
    bool best_range = options->has_range && options->range == RANGE_OPTIMAL;
    return has_free_levels(options) || has_easyquant(options) || options->num_audits > 0 ||
           (has_uniform(options) && best_range);
}

/* A sample cannot certify anything of the whole. */
static bool has_whole(const struct options *options)
{
    return options->sample_size == 0;
}

/* The vector small is a list of ten numbers: of the built-in ones only large is drawn. */
static bool is_drawn(const struct options *options)
{
    bool builtin = options->num_inputs == 0 && !options->generate;
    return options->generate || (builtin && strcmp(options->vector_size, "large") == 0);
}

static bool has_chance(const struct options *options)
{
    bool random_start = options->init == INIT_RANDOM || options->init == INIT_KMEANS_PP;
    return is_drawn(options) || (random_start && has_lloyd(options));
}

static bool has_file(const struct options *options)
{
    return options->num_inputs > 0;
}

/* Drawn values overflow to infinity in a narrow type, such as lognormal ones in float16; the
 * built-in vectors are finite whatever happens. */
static bool may_overflow(const struct options *options)
{
    return options->num_inputs > 0 || options->generate;
}

/* `never` is obeyed by a run that would show nothing anyway. */
static bool may_show_progress(const struct options *options)
{
    return options->progress == WHEN_NEVER || (options->action == ACTION_RUN && !options->quiet);
}

static const struct {
    bool (*is_met)(const struct options *options);
    const char *text; /* behind "has no effect" */
} needs[OPTION_NUM_NEEDS] = {
    [NEED_WIDTH] = {has_width, "without an approach but codebooks, whose widths are their own"},
    [NEED_UNIFORM] = {has_uniform, "without the approach uniform"},
    [NEED_FREE_LEVELS] = {has_free_levels, "without the approach non-uniform or easyquant"},
    [NEED_LLOYD] = {has_lloyd, "without --solver lloyd for the approach non-uniform or easyquant"},
    [NEED_SEARCH] = {has_search, "on a uniform grid whose range is known"},
    [NEED_WHOLE] = {has_whole, "with --sample_size: a sample certifies nothing"},
    [NEED_EASYQUANT] = {has_easyquant, "without the approach easyquant or easyquant-uniform"},
    [NEED_CHANCE] = {has_chance, "without a drawn vector (--generate, --vector_size large) or "
                                 "--solver lloyd from a random --init"},
    [NEED_FILE] = {has_file, "without an INPUT"},
    [NEED_OVERFLOW] = {may_overflow, "on built-in vectors, which are finite"},
    [NEED_PROGRESS] = {may_show_progress, "with --restore or --quiet"},
};

const char *option_unmet(const struct option *option, const struct options *options)
{
    if (option->need == NEED_NOTHING || needs[option->need].is_met(options))
        return NULL;
    return needs[option->need].text;
}

const char *option_need_text(const struct option *option)
{
    return needs[option->need].text;
}
