# SPDX-License-Identifier: Apache-2.0
"""Pictures of a vector's errors: their distribution, how Lloyd steps made them smaller, and what a
stored bit buys."""
import numpy as np
from matplotlib.lines import Line2D

import pictures
import words

# Part of the errors that the axis holds where the rest would stretch it.
MOST_ERRORS = 0.9999
# Above this there is no error but that of rounding float64.
ROUNDING_DB = 290.0
SLOPE = 20 * np.log10(2)  # 6.02 dB a bit: half the step size, half the error.
# Stored bits that differ by more than this factor need a logarithmic axis.
WIDE = 20


# ---- Distribution of errors ----

def is_exact(result):
    """Whether there is no error but that of rounding."""
    return result.attributes["sqnr_db"] >= ROUNDING_DB


def error_bins(result):
    """Edges of bins and how many elements each holds, or None where there is no error. Neighbours
    of the 64 bins in the file are joined where there are few elements."""
    reach = result.attributes["max_abs_error"]
    if result.error_counts is None or not np.isfinite(reach) or reach <= 0:
        return None
    counts = np.asarray(result.error_counts, dtype=float)
    if not counts.sum() or is_exact(result):
        return None
    bins = counts.size
    while bins > 8 and bins > 3 * counts.sum() ** 0.5:  # A bar a value would say nothing.
        bins //= 2
    return np.linspace(-reach, reach, bins + 1), counts.reshape(bins, -1).sum(axis=1)


def reach_of_most(edges, counts):
    """Half the width that holds most of the errors."""
    outer = np.maximum(np.abs(edges[:-1]), np.abs(edges[1:]))
    order = np.argsort(outer)
    held = np.cumsum(counts[order]) / counts.sum()
    return outer[order][np.searchsorted(held, MOST_ERRORS)]


def draw_error_panel(axes, bits, found):
    """found: (result, edges, counts) of a width. Returns whether the axis leaves some out."""
    densities = [(r, edges, counts / counts.sum() / np.diff(edges)) for r, edges, counts in found]
    # Shares come from cells, spread evenly: less than half an element is none.
    seen = np.concatenate([d[counts >= 0.5] for (_, _, d), (_, _, counts) in zip(densities, found)])
    floor = pictures.density_axes(axes, seen.max(), seen.min())
    for r, edges, density in densities:
        axes.stairs(np.maximum(density, floor), edges, baseline=floor, **pictures.line(r.approach))
    pictures.label_log(axes)
    full = max(edges[-1] for _, edges, _ in found)
    most = 1.1 * max(reach_of_most(edges, counts) for _, edges, counts in found)
    reach = most if most < 0.5 * full else 1.02 * full
    axes.set_xlim(-reach, reach)
    axes.set_title(f"{bits} bit" + (f": {MOST_ERRORS:.2%} of the errors; the largest is "
                                    f"{words.number(full, 3)}" if reach < full else ""))


def error_rows(panels):
    rows = []
    for found in panels.values():
        for r, edges, counts in found:
            density = counts / counts.sum() / np.diff(edges)
            rows += [[r.name, *row] for row in zip(edges[:-1], edges[1:], counts, density)]
    return rows


def error_caption(vector, panels, exact):
    pairs = [(r, edges[-1]) for found in panels.values() for r, edges, _ in found]
    low, high = min(pairs, key=lambda p: p[1]), max(pairs, key=lambda p: p[1])
    text = (f"Errors are a value minus its level; the largest is {words.number(high[1])} with "
            f"{pictures.label(high[0])} and {words.number(low[1])} with "
            f"{pictures.label(low[0])}.")
    if any(r.attributes["outlier_count"] for r in vector.results.values()):
        text += " Outliers, which are kept exactly, are not counted."
    if exact:
        text += f" Without an error: {pictures.grouped(exact)}."
    return text


def draw_errors(album, vector, stem):
    """How often which error occurs, a panel a bit width."""
    if not pictures.drawable(vector):
        return
    panels, exact = {}, []
    for bits, results in pictures.by_width(vector.results.values()).items():
        found = [(r, error_bins(r)) for r in results]
        exact += [r for r in results if is_exact(r)]
        found = [(r, *bins) for r, bins in found if bins]
        if found:
            panels[bits] = found
    if not panels:
        return
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    figure = pictures.new_figure(5.2 * columns + 1, 2.6 * lines + 0.9)
    grid = figure.add_gridspec(lines + 1, columns, height_ratios=[0.12] + [1] * lines)
    for i, (bits, found) in enumerate(panels.items()):
        axes = figure.add_subplot(grid[1 + i // columns, i % columns])
        draw_error_panel(axes, bits, found)
    names = pictures.in_order(r.approach for found in panels.values() for r, _, _ in found)
    marks = [Line2D([], [], **pictures.line(name)) for name in names]
    pictures.legend_row(figure.add_subplot(grid[0, :]), marks, names, 6)
    figure.supxlabel("error: value minus level, in the unit of the values", fontsize=9)
    figure.supylabel("density (per unit of value)", fontsize=9)
    pictures.heading(figure, f"{words.shortened(vector.name, 70)}: distribution of the errors")
    header = ["result", "begin", "end", "count", "density"]
    album.add(figure, f"{stem}_errors", "Distribution of the errors",
              error_caption(vector, panels, exact), (header, error_rows(panels)), vector)


# ---- Convergence ----

def draw_history(axes, results, key):
    """A line a result; what is 0 has no place on a logarithmic axis."""
    for r in results:
        points = [(h["iteration"], h[key]) for h in r.history if h[key] is not None and h[key] > 0]
        if points:
            axes.plot(*zip(*points), **pictures.line(r.approach), markersize=3.5,
                      marker=pictures.marker(r.approach),
                      markevery=max(1, len(points) // 12))
    axes.set_yscale("log")
    pictures.label_log(axes)
    axes.grid(color=pictures.GRID)


def history_caption(results):
    longest = max(results, key=lambda r: len(r.history))
    first, last = longest.history[0], longest.history[-1]
    gain = 1 - last["mse"] / first["mse"] if first["mse"] else 0.0
    moving = [r for r in results if not r.attributes["converged"]]
    text = (f"In {last['iteration']} Lloyd steps the mean squared error of "
            f"{pictures.label(longest)} fell by {gain:.1%}, to {words.number(last['mse'])}.")
    if moving:
        return text + f" Levels still moved at --max_iterations: {pictures.grouped(moving)}."
    return text + " All of them came to rest."


def draw_convergence(album, vector, stem):
    """Error and movement of the levels, step by step, a row a bit width; with two steps or more."""
    results = [r for r in vector.results.values() if len(r.history) > 1]
    if not results or not pictures.drawable(vector):
        return
    widths = pictures.by_width(results)
    figure = pictures.new_figure(11, 2.5 * len(widths) + 0.9)
    grid = figure.add_gridspec(len(widths) + 1, 2, height_ratios=[0.12] + [1] * len(widths))
    for i, (bits, found) in enumerate(widths.items()):
        for j, (key, what) in enumerate((("mse", "mean squared error"),
                                         ("max_move", "largest move of a level"))):
            axes = figure.add_subplot(grid[1 + i, j])
            draw_history(axes, found, key)
            axes.set_title(f"{bits} bit: {what}")
            if i == len(widths) - 1:
                axes.set_xlabel("Lloyd step")
    names = pictures.in_order(r.approach for r in results)
    marks = [Line2D([], [], **pictures.line(n), marker=pictures.marker(n), markersize=3.5)
             for n in names]
    pictures.legend_row(figure.add_subplot(grid[0, :]), marks, names, 6)
    pictures.heading(figure, f"{words.shortened(vector.name, 70)}: convergence")
    rows = [[r.name, h["iteration"], h["mse"], h["max_move"]] for r in results for h in r.history]
    album.add(figure, f"{stem}_convergence", "Convergence", history_caption(results),
              (["result", "iteration", "mse", "max_move"], rows), vector)


# ---- Rate and distortion ----

def rate_line(results, approach):
    """(bits a value, SQNR, width) of an approach, as far as there is an error to speak of."""
    return sorted((r.attributes["bits_per_value"], r.attributes["sqnr_db"], r.num_bits)
                  for r in results
                  if r.approach == approach and abs(r.attributes["sqnr_db"]) < ROUNDING_DB)


def draw_slope(axes, points):
    """What each further bit can buy, from the best of the first points on."""
    first, base, _ = min(points, key=lambda p: (p[0], -p[1]))
    top = max(p[1] for p in points) + 3
    last = min(max(p[0] for p in points), first + (top - base) / SLOPE)
    rates = np.linspace(first, last, 50)
    axes.plot(rates, base + SLOPE * (rates - first), color="#999999", linewidth=0.8,
              label="6.02 dB a bit", zorder=0)


def draw_rate_axes(axes, lines):
    """lines: approach -> points. The axis of bits is logarithmic where levels outweigh codes."""
    for approach, points in lines.items():
        axes.plot([p[0] for p in points], [p[1] for p in points], **pictures.line(approach),
                  marker=pictures.marker(approach), label=approach,
                  markersize=8 if approach == "non-uniform" else 5)
    points = [p for line in lines.values() for p in line]
    rates = [p[0] for p in points]
    if len(points) > 1:
        draw_slope(axes, points)
    axes.set_xlabel("stored bits a value (codes, levels, outliers)")
    if max(rates) > WIDE * min(rates):
        axes.set_xscale("log")
        axes.set_xlabel("stored bits a value (codes, levels, outliers), log scale")
    axes.set_ylabel("SQNR, dB")
    axes.grid(color=pictures.GRID)
    pictures.legend_beside(axes)


def at_equal_bytes(lines, one="easyquant", other="non-uniform"):
    """(width, dB): by how much `one` is above what `other` reaches with as many bits, at the widths
    where the other's line can be read off."""
    theirs = lines.get(other, [])
    found = []
    for rate, sqnr, bits in lines.get(one, []):
        if len(theirs) > 1 and theirs[0][0] <= rate <= theirs[-1][0]:
            found.append((bits, sqnr - float(np.interp(rate, [p[0] for p in theirs],
                                                       [p[1] for p in theirs]))))
    return found


def rate_caption(lines, left_out):
    best = max(((p[1], p[0], a) for a, line in lines.items() for p in line))
    text = (f"The highest point is {best[2]} with {best[0]:.1f} dB at {best[1]:.2f} stored bits "
            "a value.")
    gains = at_equal_bytes(lines)
    if gains and max(abs(gain) for _, gain in gains) >= 0.005:
        listed = words.joined([f"{gain:+.2f} dB at {bits} bit" for bits, gain in gains])
        text += (" Against what non-uniform levels reach with as many stored bits (read off "
                 f"between its points), easyquant has {listed}.")
    if left_out:
        text += f" Not drawn, without an error: {pictures.grouped(left_out)}."
    return text


def draw_rate(album, vector, stem):
    """SQNR over what is stored, so that outliers are compared at equal bytes."""
    results = list(vector.results.values())
    names = pictures.in_order(r.approach for r in results)
    lines = {name: rate_line(results, name) for name in names}
    lines = {name: points for name, points in lines.items() if points}
    left_out = [r for r in results if is_exact(r)]
    if not lines:
        return
    figure = pictures.new_figure(8, 5)
    draw_rate_axes(figure.add_subplot(), lines)
    if left_out:
        pictures.note(figure, f"not drawn, without an error: {pictures.grouped(left_out)}")
    pictures.heading(figure, f"{words.shortened(vector.name, 60)}: what a bit buys")
    rows = [[r.name, r.approach, r.num_bits, r.attributes["bits_per_value"],
             r.attributes["sqnr_db"]] for r in results]
    album.add(figure, f"{stem}_rate", "Rate and distortion", rate_caption(lines, left_out),
              (["result", "approach", "num_bits", "bits_per_value", "sqnr_db"], rows), vector)
