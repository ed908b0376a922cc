#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares runs: error and latency by approach, vector, width, device and number of processes.

    compare_runs.py RESULTS... [--published] [--output DIR] [--format png,pdf] [--worst N]

RESULTS are results folders, results.json, or results.txt, of which one file may hold many runs; the
exercise's own results.txt too. Prints a table, and writes into DIR (default: the first folder)

    comparison.png, .csv    L2 norm and latency (solve + encode; of several runs the median)
    scaling.png, .csv       if runs differ in their number of ranks: seconds by phase over ranks,
                            for the same vector (strong), and for one that grows with them (weak)

--published adds what the exercise published. The short line in a picture of L2 norms is the least
that any levels of that width could reach there: l2_norm / (1 + optimality_gap).
"""
import collections
import math
import os
import statistics

from matplotlib.ticker import EngFormatter, NullFormatter

import command
import compare_published
import pictures
import pictures_scaling
import read_runs
import words

HEADER = ("vector num_elements num_bits approach setting device ranks threads_per_rank runs l2_norm"
          " relative_error optimality_gap latency_seconds latency_min_seconds latency_max_seconds"
          ).split()
# Vectors that get a row of pictures each; more are summed up.
MOST_VECTORS = 12
# Rows of a table that are still read.
MOST_ROWS = 60
INCH = 0.24  # A line's height in a picture.


# ---- The table ----

def csv_row(row):
    times = row.latencies
    return ["" if value is None else value for value in (
        row.vector, row.n, row.num_bits, row.approach, row.setting, row.device, row.ranks,
        row.threads, len(times), row.l2_norm, row.relative_error, row.gap,
        latency(row), min(times), max(times))]


def latency(row):
    """Seconds; of several runs the median."""
    return statistics.median(row.latencies)


def print_rows(rows):
    read_runs.print_table(
        "vector,values,bits,approach,setting,runs,L2 norm,rel. error,gap,latency s".split(","),
        [[words.shortened(row.vector), words.number(row.n) if row.n else "–", row.num_bits,
          row.approach, row.setting, len(row.latencies), words.number(row.l2_norm, 8),
          words.number(row.relative_error, 6), words.number(row.gap, 3),
          words.number(latency(row))] for row in rows])


def merit_of(rows):
    """By what vectors are held against each other, and its name: the error relative to the vector,
    if it is known of all."""
    if any(math.isnan(row.relative_error) for row in rows):
        return (lambda row: row.l2_norm), "L2 norm"
    return (lambda row: row.relative_error), "relative error"


def summaries(rows):
    """Width, approach and setting -> rows, one a vector."""
    approaches = read_runs.places(pictures.in_order(row.approach for row in rows))
    found = collections.defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.num_bits, approaches[row.approach])):
        found[row.num_bits, row.approach, row.setting].append(row)
    return found


def print_summary(rows, worst):
    """What many vectors have in common, and those that are worst off."""
    merit, name = merit_of(rows)
    lines = []
    for (bits, approach, setting), group in summaries(rows).items():
        last = max(group, key=merit)
        lines.append([bits, approach, setting, len(group),
                      words.number(statistics.median(map(merit, group)), 6),
                      words.number(merit(last), 6), words.shortened(last.vector),
                      words.number(sum(map(latency, group)))])
    read_runs.print_table(["bits", "approach", "setting", "vectors", f"median {name}", "worst",
                           "of vector", "latency s, sum"], lines)
    once = {(row[:4], merit(row)): row for row in reversed(rows)}  # Settings differ in times alone.
    print(f"\nThe worst {min(worst, len(once))} of {len(once)} by {name}:")
    print_rows(sorted(once.values(), key=merit, reverse=True)[:worst])


# ---- Lines of dots: one width ----

def grouped(rows, *names):
    """Rows by the values of those columns; a value alone where there is one column."""
    found = collections.defaultdict(list)
    for row in rows:
        key = tuple(getattr(row, name) for name in names)
        found[key if len(names) > 1 else key[0]].append(row)
    return found


def common_words(settings):
    """What all of them begin with; else the first, and how many more."""
    same = os.path.commonprefix([setting.split(", ") for setting in settings])
    if len(settings) == 1 or same:
        return ", ".join(same)
    return f"{settings[0]} and {len(settings) - 1} more"


def same_value(x, y):
    """Up to the rounding of sums: the exercise adds up in another order."""
    return x == y or math.isclose(x, y, rel_tol=1e-12)


def named(rows):
    """(label, rows) of each approach and, where there are several, width."""
    several = len({row.num_bits for row in rows}) > 1
    return [(pictures.label_of(approach, bits) if several else approach, group)
            for (bits, approach), group in grouped(rows, "num_bits", "approach").items()]


def by_value(rows, value):
    """(label, row) of each line: settings that have the same value share one."""
    found = []
    for name, group in named(rows):
        parts = []
        for row in group:
            part = next((p for p in parts if same_value(value(p[0]), value(row))), None)
            if part:
                part.append(row)
            else:
                parts.append([row])
        found += [(name if len(parts) == 1 else
                   f"{name}, {common_words([row.setting for row in part])}",
                   max(part, key=lambda row: not math.isnan(row.gap))) for part in parts]
    return found


def by_setting(rows):
    """(label, row) of each line: one for each setting."""
    alone = len({row.setting for row in rows}) == 1
    return [(name if alone else f"{name}, {row.setting}", row)
            for name, group in named(rows) for row in group]


def pick_scale(axes, values, axis="x"):
    """A log axis where values are far apart; room beside the last one for its number."""
    positive = [value for value in values if 1 / pictures.EXTREME < value < pictures.EXTREME]
    set_scale, set_limits = getattr(axes, f"set_{axis}scale"), getattr(axes, f"set_{axis}lim")
    if positive and max(positive) > 20 * min(positive):
        set_scale("log")
        room = 0.3 * math.log10(max(positive) / min(positive))
        set_limits(min(positive) / 10 ** min(0.3 * room, 9), max(positive) * 10 ** room)
    elif positive:
        set_limits(0, max(positive) * 1.3)
        getattr(axes, f"{axis}axis").set_major_formatter(lambda x, _: words.number(float(x)))
    else:
        set_limits(-0.05, 1)


def show_seconds(axes, axis):
    """Ticks with the unit that suits them."""
    axis = getattr(axes, f"{axis}axis")
    axis.set_major_formatter(EngFormatter(unit="s"))
    axis.set_minor_formatter(NullFormatter())


def mark_line(axes, y, row, value, low, high, text):
    """A dot and its number as text; a bar from the fastest to the slowest run."""
    colour = pictures.colour(row.approach)
    left, right = axes.get_xlim()
    at = min(max(value, left), right)
    axes.hlines(y, left, at, color=colour, linewidth=1, alpha=0.35)
    if high > low:
        axes.hlines(y, max(low, left), min(high, right), color=colour, linewidth=3, alpha=0.4)
    axes.plot([at], [y], pictures.marker(row.approach), color=colour, markersize=6, clip_on=False)
    axes.annotate(text, (min(max(at, high), right), y), xytext=(7, 0),
                  textcoords="offset points", va="center", fontsize=8)


def label_lines(axes, labels, title):
    """Names of lines from the top, where each has its place."""
    axes.set_yticks([-place for place in range(len(labels))], map(pictures.verbatim, labels))
    axes.set_ylim(-len(labels) + 0.4, 0.6)
    axes.tick_params(axis="y", length=0, pad=8)
    axes.grid(axis="x", color=pictures.GRID)
    axes.set_title(pictures.verbatim(title))


def draw_lines(axes, lines, value, reach, told, title):
    """lines: (label, row), from the top; reach: values that the axis has to hold besides, of which
    the first two are the fastest and the slowest run; told: a value's number in words."""
    values = [value(row) for _, row in lines]
    pick_scale(axes, values + [each for _, row in lines for each in reach(row)])
    for place, ((_, row), x) in enumerate(zip(lines, values)):
        mark_line(axes, -place, row, x, *reach(row)[:2], told(x))
    label_lines(axes, [label for label, _ in lines], title)


def has_bound(row):
    """Whether a result is visibly above what is certified."""
    return 0.005 < row.gap < math.inf


def least(row):
    return row.l2_norm / (1 + row.gap)


def draw_bounds(axes, lines):
    """A mark at the least error of any levels."""
    for place, (_, row) in enumerate(lines):
        if has_bound(row):
            axes.plot([least(row)], [-place], "|", color="black",
                      markersize=11, markeredgewidth=1.5)


def latency_spread(row):
    return min(row.latencies), max(row.latencies)


def down_to_bound(row):
    """No spread; and the least error, if it is marked."""
    return (0.0, 0.0, least(row)) if has_bound(row) else (0.0, 0.0)


def vector_title(rows):
    n = f", {words.number(rows[0].n)} values" if rows[0].n else ""
    widths = sorted({row.num_bits for row in rows})
    bits = f", {widths[0]} bit" if len(widths) == 1 else ""
    return f"{words.shortened(rows[0].vector)}{n}{bits}"


def draw_vector_lines(left, right, rows):
    errors, times = by_value(rows, lambda row: row.l2_norm), by_setting(rows)
    title = vector_title(rows)
    draw_lines(left, errors, lambda row: row.l2_norm, down_to_bound, words.number,
               f"{title}: L2 norm of the error / n")
    draw_bounds(left, errors)
    draw_lines(right, times, latency, latency_spread, words.seconds, f"{title}: latency")
    show_seconds(right, "x")
    left.set_xlabel("L2 norm of the error / n, units of the vector")
    right.set_xlabel("solve + encode")


# ---- Curves over bits: several widths ----

STYLES = ("-", "--", ":", "-.")


def draw_curves(axes, rows, value, told):
    """A curve for each approach and, where they are to be told apart, setting."""
    settings = list(dict.fromkeys(row.setting for row in rows)) if told else [""]
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row.approach, row.setting if told else ""].append(row)
    pick_scale(axes, [value(row) for row in rows], "y")
    low = axes.get_ylim()[0]
    for (approach, setting), group in groups.items():
        style, colour = settings.index(setting), pictures.colour(approach)
        axes.plot([row.num_bits for row in group], [max(value(row), low) for row in group],
                  STYLES[style % len(STYLES)], color=colour, marker=pictures.marker(approach),
                  markersize=5, linewidth=1.2, markerfacecolor="white" if style else colour,
                  label=pictures.verbatim(
                      f"{approach}, {setting}" if len(settings) > 1 else approach), clip_on=False)
    widths = sorted({row.num_bits for row in rows})
    axes.set_xticks(widths)
    axes.set_xlim(widths[0] - 0.4, widths[-1] + 0.4)
    axes.set_xlabel("bits a code"
                    + ("; 0 at the lower edge" if min(map(value, rows)) <= 0 < low else ""))
    axes.grid(color=pictures.GRID)


def draw_vector_curves(left, right, rows):
    title = vector_title(rows)
    told = any(len(by_value(group, lambda row: row.l2_norm)) > 1
               for group in grouped(rows, "num_bits", "approach").values())
    draw_curves(left, rows, lambda row: row.l2_norm, told)
    draw_curves(right, rows, latency, True)
    left.set_title(pictures.verbatim(f"{title}: L2 norm of the error / n"))
    right.set_title(pictures.verbatim(f"{title}: latency"))
    left.set_ylabel("L2 norm of the error / n, units of the vector")
    right.set_ylabel("solve + encode")
    show_seconds(right, "y")
    pictures.legend_beside(right)


# ---- Many vectors ----

def quartiles(errors):
    """Of sorted numbers."""
    if len(errors) == 1:
        return errors * 3
    return statistics.quantiles(errors, n=4, method="inclusive")


def draw_quartiles(axes, lines, groups, merit):
    """A line each: from the least to the largest, thick between the quartiles, a dot at the
    median."""
    left, right = axes.get_xlim()
    for place, (key, _) in enumerate(lines):
        errors = sorted(min(max(merit(row), left), right) for row in groups[key])
        quarter = quartiles(errors)
        colour = pictures.colour(key[1])
        axes.hlines(-place, errors[0], errors[-1], color=colour, linewidth=1)
        axes.hlines(-place, quarter[0], quarter[2], color=colour, linewidth=5, alpha=0.5)
        axes.plot([quarter[1]], [-place], pictures.marker(key[1]), color=colour, markersize=6,
                  clip_on=False)


def draw_summary(left, right, rows):
    groups = summaries(rows)
    merit, name = merit_of(rows)
    same = all(len({merit(row) for row in group}) == 1
               for group in grouped(rows, "vector", "n", "num_bits", "approach").values())
    lines, told = [], set()
    for bits, approach, setting in groups:
        if same and (bits, approach) in told:
            continue
        told.add((bits, approach))
        lines.append(((bits, approach, setting), pictures.label_of(approach, bits)
                      + ("" if same else f", {setting}")))
    pick_scale(left, [merit(row) for row in rows])
    draw_quartiles(left, lines, groups, merit)
    count = len({row[:2] for row in rows})
    worst = max(rows, key=merit)
    label_lines(left, [text for _, text in lines],
                f"{name} of {count:,} vectors: extremes, quartiles, median\n"
                f"worst: {words.shortened(worst.vector)}, {words.number(merit(worst))}")
    left.set_xlabel(("norm of the error / norm of the vector" if name == "relative error" else
                     "L2 norm of the error / n, units of the vectors")
                    + ("; 0 at the left edge" if 0 in map(merit, rows)
                       and left.get_xscale() == "log" else ""))
    alone = len({row.setting for row in rows}) == 1
    times = [(pictures.label_of(approach, bits) + ("" if alone else f", {setting}"),
              group[0]._replace(latencies=[sum(map(latency, group))]))
             for (bits, approach, setting), group in groups.items()]
    draw_lines(right, times, latency, latency_spread, words.seconds,
               f"latency of all {count:,} vectors\n ")
    show_seconds(right, "x")
    right.set_xlabel("solve + encode, summed up over vectors")


# ---- The picture ----

def panels(rows):
    """(draw, rows) of each row of the picture."""
    vectors = grouped(rows, "vector", "n")
    if len(vectors) > MOST_VECTORS:
        return [(draw_summary, rows)]
    return [(draw_vector_curves if has_curves(group) else draw_vector_lines, group)
            for group in vectors.values()]


def has_curves(rows):
    """Whether an approach has three widths: fewer are told better in words."""
    return any(len({row.num_bits for row in group}) > 2
               for group in grouped(rows, "approach").values())


def height_of(draw, rows):
    """Inches that a row of the picture needs."""
    if draw is draw_vector_curves:
        lines = max(12, 0.8 * len(grouped(rows, "approach", "setting")))
    elif draw is draw_summary:
        lines = len(summaries(rows))
    else:
        lines = len(rows)
    return 1.1 + INCH * max(lines, 3)


def draw_comparison(rows, folder, formats):
    parts = panels(rows)
    heights = [height_of(*part) for part in parts]
    figure = pictures.new_figure(13, 0.5 + sum(heights))
    grid = figure.add_gridspec(len(parts), 2, height_ratios=heights)
    for i, (draw, group) in enumerate(parts):
        draw(figure.add_subplot(grid[i, 0]), figure.add_subplot(grid[i, 1]), group)
    devices = dict.fromkeys(row.device for row in rows)
    bounds = any(draw is draw_vector_lines and any(map(has_bound, group)) for draw, group in parts)
    pictures.heading(figure, f"Comparison on {' and '.join(devices)}" + (
        "; |: the least that any levels could reach" if bounds else ""))
    return pictures.save(figure, "comparison", HEADER, map(csv_row, rows), folder, formats)


# ---- The program ----

def parse():
    parser = command.parser(__doc__, several=True)
    parser.add_argument("--published", action="store_true", help="add the exercise's figures")
    parser.add_argument("--output", metavar="DIR", help="default: the folder of the first RESULTS")
    command.add_format(parser)
    parser.add_argument("--worst", metavar="N", type=int, default=10,
                        help="of many vectors, how many of the worst are listed (default 10)")
    args = parser.parse_args()
    args.format = command.formats(args.format)
    command.not_negative("--worst", args.worst)
    return args


def main(args):
    runs = read_runs.read(args.results)
    if args.published:
        runs += compare_published.published_runs()
    rows = read_runs.rows(runs)
    folder = args.output or read_runs.folder_of(args.results[0])
    os.makedirs(folder, exist_ok=True)
    drawn = [draw_comparison(rows, folder, args.format),
             pictures_scaling.draw(runs, folder, args.format)]
    if len(rows) > MOST_ROWS and len({row[:2] for row in rows}) > MOST_VECTORS:
        print_summary(rows, args.worst)
    else:
        print_rows(rows)
    print()
    for files, table in filter(None, drawn):
        print("written:", *files, table)


def start():
    command.run(main, parse())


if __name__ == "__main__":
    start()
