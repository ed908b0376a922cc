# SPDX-License-Identifier: Apache-2.0
"""Pictures of runs that differ in their number of ranks: strong scaling, the same vector on more of
them, and weak scaling, a vector that grows with them. Vectors of one block have nothing to share.

    drawn = pictures_scaling.draw(runs, folder, ["png"])    # ([paths], CSV path), or None
"""
import collections
import math
import statistics

from matplotlib.ticker import EngFormatter, LogLocator

import pictures
import words

# Okabe and Ito's; markers tell them apart, too.
PHASES = {"measure": ("#0072B2", "o"), "solve": ("#CC79A7", "^"), "encode": ("#009E73", "s"),
          "total": ("#000000", "D")}
HEADER = ("scaling series ranks threads_per_rank num_elements phase runs seconds min_seconds"
          " max_seconds speedup efficiency").split()
# Settings that change with ranks, or with a vector that grows with them.
GROWS = {"hosts", "comm", "generate", "shape", "inputs", "memory_limit"}
MOST_SERIES = 6
# Elements that stay together on one rank: fewer are not shared out.
BLOCK = 65536

# A line of the picture. points: ranks -> runs; names of its kind, strong or weak.
Series = collections.namedtuple("Series", "kind title points")


def kind_of(run):
    """What runs of one series have in common, whatever their ranks and vectors."""
    details = tuple(sorted((key, str(value)) for key, value in run.details.items()
                           if key not in GROWS and key != "from"))
    results = frozenset((f.approach, f.num_bits) for f in run.figures)
    return (run.device, run.threads, len(run.vectors), tuple(sorted(run.dtypes)), results, details)


def near(groups, size):
    """The group of almost the same size, 1 % apart at most: shards are whole blocks."""
    for known in groups:
        if abs(known - size) <= 0.01 * known:
            return groups[known]
    return groups.setdefault(size, [])


def point_runs(runs):
    points = collections.defaultdict(list)
    for run in sorted(runs, key=lambda run: run.ranks):
        points[run.ranks].append(run)
    return points


def title_of(run):
    first = run.figures[0].vector
    what = first if len(run.vectors) == 1 else f"{len(run.vectors):,} vectors"
    return f"{words.shortened(what, 24)}, {run.device}, {words.count(run.threads, 'thread')} a rank"


def find_series(runs):
    """Strong: the same vectors; weak: as many elements a rank. Two numbers of ranks at least."""
    strong, weak = collections.defaultdict(list), collections.defaultdict(dict)
    for run in runs:
        if not run.seconds or not run.ranks or run.n <= BLOCK:
            continue
        strong[kind_of(run), frozenset(run.vectors), run.n].append(run)
        near(weak[kind_of(run)], run.n / run.ranks).append(run)
    found = [Series("strong", f"{title_of(group[0])}, {group[0].n:,} values", point_runs(group))
             for group in strong.values()]
    found += [Series("weak", f"{title_of(group[0])}, {round(size):,} values a rank",
                     point_runs(group))
              for groups in weak.values() for size, group in groups.items()
              if len({run.n for run in group}) > 1]
    return [series for series in found if len(series.points) > 1]


def times(series, phase):
    """ranks -> seconds of the slowest rank, of each run; runs too short to time are left out."""
    found = {ranks: [run.seconds[phase] for run in runs if run.seconds.get(phase, 0) > 0]
             for ranks, runs in series.points.items()}
    return {ranks: seconds for ranks, seconds in found.items() if seconds}


def csv_rows(series):
    rows = []
    for phase in PHASES:
        found = times(series, phase)
        if not found:
            continue
        least = min(found)
        first = statistics.median(found[least])
        for ranks, seconds in found.items():
            run = series.points[ranks][0]
            median = statistics.median(seconds)
            speedup = first / median
            rows.append([series.kind, series.title, ranks, run.threads, run.n, phase, len(seconds),
                         median, min(seconds), max(seconds), speedup,
                         speedup * least / ranks if series.kind == "strong" else speedup])
    return rows


def draw_phase(axes, series, phase):
    """The medians, the range of the runs, and the ideal: from the first point on."""
    found = times(series, phase)
    if not found:
        return
    colour, marker = PHASES[phase]
    ranks = list(found)
    medians = [statistics.median(seconds) for seconds in found.values()]
    axes.vlines(ranks, [min(s) for s in found.values()], [max(s) for s in found.values()],
                color=colour, linewidth=3, alpha=0.3)
    axes.plot(ranks, medians, color=colour, marker=marker, label=phase)
    ideal = [medians[0] * (ranks[0] / r if series.kind == "strong" else 1) for r in ranks]
    axes.plot(ranks, ideal, "--", color=colour, linewidth=0.9, alpha=0.7)


def draw_series(axes, series):
    for phase in PHASES:
        draw_phase(axes, series, phase)
    axes.plot([], [], "--", color=pictures.GREY, label="ideal")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ranks = list(series.points)
    axes.set_xticks(ranks, [str(r) for r in ranks])
    widen = (ranks[-1] / ranks[0]) ** 0.05
    axes.set_xlim(ranks[0] / widen, ranks[-1] * widen)
    axes.set_xlabel("ranks")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(EngFormatter(unit="s"))
    axes.minorticks_off()
    axes.set_ylabel("time of the slowest rank")
    axes.set_title(pictures.verbatim(f"{series.kind.capitalize()} scaling\n{series.title}"))
    axes.grid(color=pictures.GRID)


def draw(runs, folder, formats):
    """scaling.FORMAT and scaling.csv; None where no two runs differ in their ranks alone."""
    found = find_series(runs)
    if not found:
        return None
    shown = found[:MOST_SERIES]
    columns = min(2, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = pictures.new_figure(0.8 + 5.2 * columns, 0.3 + 4.2 * rows)
    grid = figure.add_gridspec(rows, columns)
    for i, series in enumerate(shown):
        axes = figure.add_subplot(grid[i // columns, i % columns])
        draw_series(axes, series)
        if i == columns - 1:
            pictures.legend_beside(axes)
    if len(found) > len(shown):
        pictures.heading(figure, f"{len(shown)} of {len(found)} series; scaling.csv has all")
    return pictures.save(figure, "scaling", HEADER,
                         [row for series in found for row in csv_rows(series)], folder, formats)
