# SPDX-License-Identifier: Apache-2.0
"""Pictures of a vector's values: their distribution with levels and cuts, and, of a short vector,
each value beside what it becomes."""
import numpy as np

import pictures
import words

# More levels than this cannot be told apart in a strip: their density is drawn.
READABLE = 32
# Part of the values that the linear panel shows where they are crowded: the rest is tails.
MIDDLE = 0.998
# More outliers than this are hatched, not marked one by one.
MARKED = 200
PANELS_A_ROW = 4


# ---- The distribution ----

def merge_narrow(edges, counts):
    """Joins neighbours until a bin is wide enough for so few values: a bar a value says nothing."""
    counts = counts.astype(float)
    least = (edges[-1] - edges[0]) / min(512, max(12, 3 * counts.sum() ** 0.5))
    kept = [0]
    for i in range(1, edges.size):
        if edges[i] - edges[kept[-1]] >= least:
            kept.append(i)
    if len(kept) < 2:
        kept.append(0)
    kept[-1] = edges.size - 1  # A narrow rest joins the last bin.
    return edges[kept], np.add.reduceat(counts, kept[:-1])


def middle(edges, counts):
    """Where the middle part of the values lies, as two edges."""
    below = np.concatenate([[0], np.cumsum(counts)]) / counts.sum()
    first = np.searchsorted(below, (1 - MIDDLE) / 2, side="right") - 1
    last = np.searchsorted(below, (1 + MIDDLE) / 2, side="left")
    return edges[first], edges[last]


def thresholds(vector):
    """Smallest value, lower and upper threshold, largest value, and how many elements easyquant
    kept beyond the two: None where it kept none."""
    for result in vector.results.values():
        extra = result.attributes["outlier_count"] - kept_by_all(vector)
        if result.approach.startswith("easyquant") and extra > 0:
            reach = result.attributes["threshold"] * vector.attributes["std"]
            mean = vector.attributes["mean"]
            low, high = vector.attributes["min"], vector.attributes["max"]
            return low, mean - reach, mean + reach, high, int(extra)
    return None


def tail_ranges(tails):
    """Where the values lie that are kept."""
    low, first, last, high, _ = tails
    return [(a, b) for a, b in ((low, first), (last, high)) if b > a]


def kept_by_all(vector):
    """Elements that every approach keeps exactly: not finite, or fill values."""
    return sum(int(vector.attributes.get(key, 0)) for key in ("nonfinite_count", "fill_count"))


def span(vector):
    """The range to be drawn: values, and levels that lie not too far beyond them."""
    low, high = vector.attributes["min"], vector.attributes["max"]
    if vector.edges is not None:
        low, high = float(vector.edges[0]), float(vector.edges[-1])
    room = high - low or abs(high) or 1.0
    levels = np.concatenate([r.levels for r in vector.results.values()])
    low, high = min(low, max(levels.min(), low - room)), max(high, min(levels.max(), high + room))
    pad = 0.02 * (high - low or 1.0)
    return low - pad, high + pad


def draw_histogram(axes, edges, counts, logarithmic):
    density = counts / counts.sum() / np.diff(edges)
    seen = density[density > 0]
    floor = seen.min() / 2 if logarithmic else 0.0
    axes.stairs(np.maximum(density, floor), edges, baseline=floor, fill=True, color=pictures.PALE)
    axes.set_yscale("log" if logarithmic else "linear")
    axes.set_ylim(floor, seen.max() * (2 if logarithmic else 1.1))
    pictures.label_log(axes)
    axes.tick_params(labelbottom=False)


def shade_tails(axes, tails):
    for first, last in tail_ranges(tails):
        axes.axvspan(first, last, color=pictures.colour("easyquant"), alpha=0.1, linewidth=0)


def level_density(levels):
    """For each level, the edges of its share of the axis and how dense levels are there, between 0
    (the sparsest) and 1 (the densest), logarithmically."""
    cuts = 0.5 * levels[:-1] + 0.5 * levels[1:]
    edges = np.concatenate([[2 * levels[0] - cuts[0]], cuts, [2 * levels[-1] - cuts[-1]]])
    dense = -np.log(np.diff(edges))
    reach = dense.max() - dense.min()
    return edges, (dense - dense.min()) / reach if reach > 1e-3 else np.ones(levels.size)


def draw_levels(axes, result, y):
    colour, levels = pictures.colour(result.approach), result.levels
    axes.axhline(y, color=pictures.GRID, linewidth=1, zorder=0)
    if levels.size <= READABLE:
        axes.vlines(result.cuts, y - 0.25, y + 0.25, color=colour, linewidth=0.8, alpha=0.7)
        axes.plot(levels, np.full(levels.size, y), "o", markersize=4, color=colour)
        return
    edges, dense = level_density(levels)
    axes.stairs(y - 0.35 + 0.15 + 0.55 * dense, edges, baseline=y - 0.35, fill=True, color=colour,
                alpha=0.6)


def draw_kept(axes, result, y, tails, limits):
    """Outliers: each with a cross if they are few, else the tails they lie in."""
    colour = pictures.colour(result.approach)
    if not result.attributes["outlier_count"]:
        return
    if result.has_codes and result.attributes["outlier_count"] <= MARKED:
        values = np.asarray(result.outlier_value, dtype=float)
        inside = values[np.isfinite(values) & (values >= limits[0]) & (values <= limits[1])]
        axes.plot(inside, np.full(inside.size, y), "x", markersize=3.5, color="black")
        return
    if not tails or not result.approach.startswith("easyquant"):
        return
    for first, last in tail_ranges(tails):
        axes.fill_between([first, last], y - 0.3, y + 0.3, facecolor="none", edgecolor=colour,
                          hatch="////", linewidth=0, alpha=0.5)


def draw_strips(axes, results, tails, limits):
    """A line a result."""
    for row, result in enumerate(results):
        draw_levels(axes, result, len(results) - 1 - row)
        draw_kept(axes, result, len(results) - 1 - row, tails, limits)
    breaks = [len(results) - 1 - i + 0.5 for i in range(1, len(results))
              if results[i].num_bits != results[i - 1].num_bits]
    for y in breaks:
        axes.axhline(y, color=pictures.GREY, linewidth=0.5)
    axes.set_ylim(-0.6, len(results) - 0.4)
    axes.set_yticks(range(len(results))[::-1], [])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("value")


def strip_label(result):
    figures = result.attributes
    sqnr = f"{figures['sqnr_db']:.2f} dB" if np.isfinite(figures["sqnr_db"]) else "no error"
    kept = f", {int(figures['outlier_count']):,} exact" if figures["outlier_count"] else ""
    return f"{pictures.label(result)}: {sqnr}{kept}"


def explain_strips(vector, results, tails):
    """What the marks mean that are there."""
    counts = [int(r.attributes["outlier_count"]) for r in results]
    parts = ["black ticks: values"] if vector.original is not None else []
    if any(r.levels.size <= READABLE for r in results):
        parts += ["dots: levels", "ticks: cuts"]
    if any(r.levels.size > READABLE for r in results):
        parts.append(f"band: density (log) of more than {READABLE} levels, which are not drawn "
                     "one by one")
    if results[0].has_codes and any(0 < c <= MARKED for c in counts):
        parts.append("crosses: outliers")
    if tails and any(c > MARKED or not results[0].has_codes for c in counts if c):
        parts.append("hatched: tails kept exactly")
    return "; ".join(parts)


def distribution_rows(vector, edges, counts, tails):
    rows = []
    if counts is not None:
        density = counts / counts.sum() / np.diff(edges)
        rows += [["bin", "", *row]
                 for row in zip(edges[:-1], edges[1:], counts.astype(int), density)]
    for r in vector.results.values():
        rows += [["level", r.name, x, x, "", ""] for x in r.levels]
        rows += [["cut", r.name, x, x, "", ""] for x in r.cuts]
    if tails:
        rows.append(["not kept exactly", "easyquant", tails[1], tails[2], "", ""])
        rows.append(["kept exactly", "easyquant", "", "", tails[4], ""])
    return rows


def distribution_caption(vector, tails):
    figures = vector.attributes
    text = (f"{words.count(vector.n, 'value')} between {words.number(figures['min'])} and "
            f"{words.number(figures['max'])}, with mean {words.number(figures['mean'])} and "
            f"standard deviation {words.number(figures['std'])}.")
    if tails:
        text += (f" The shaded tails hold {tails[4]:,} values ({tails[4] / vector.n:.2%}), which "
                 "easyquant keeps exactly.")
    if kept_by_all(vector):
        text += (f" {kept_by_all(vector):,} values that are not finite or fill values are kept "
                 "exactly by every approach and are not in the histogram.")
    return text


def distribution_panels(figure, rows, with_histogram):
    """Two columns of histogram above strips; without a histogram, strips alone."""
    if not with_histogram:
        return [(None, figure.add_subplot())]
    grid = figure.add_gridspec(2, 2, height_ratios=[3, 0.24 * rows + 0.2])
    columns = []
    for i in range(2):
        top = figure.add_subplot(grid[0, i])
        columns.append((top, figure.add_subplot(grid[1, i], sharex=top)))
    return columns


def draw_distribution(album, vector, stem):
    """The histogram, logarithmic and linear, above the levels of every result."""
    results = list(vector.results.values())
    if not pictures.drawable(vector):
        return
    edges, counts, tails, limits = None, None, thresholds(vector), span(vector)
    if vector.edges is not None and vector.counts.sum():
        edges, counts = merge_narrow(vector.edges, vector.counts)
    height = 0.24 * len(results) + (4.6 if counts is not None else 1.4)
    figure = pictures.new_figure(12.5 if counts is not None else 9, height)
    columns = distribution_panels(figure, len(results), counts is not None)
    for i, (top, bottom) in enumerate(columns):
        view = limits
        if top is not None:
            view = draw_top(top, vector, (edges, counts), tails, limits, logarithmic=i == 0)
        draw_strips(bottom, results, tails, limits)
        bottom.set_xlim(view)
    columns[0][1].set_yticks(range(len(results))[::-1], [strip_label(r) for r in results])
    pictures.note(figure, explain_strips(vector, results, tails))
    title = f"{words.shortened(vector.name, 70)}: {pictures.describe(vector)}"
    pictures.heading(figure, title)
    header = ["what", "result", "begin", "end", "count", "density"]
    album.add(figure, f"{stem}_distribution", "Distribution, levels and cuts",
              distribution_caption(vector, tails),
              (header, distribution_rows(vector, edges, counts, tails)), vector)


def draw_top(axes, vector, histogram, tails, limits, logarithmic):
    """A histogram panel; returns what part of the axis it shows."""
    edges, counts = histogram
    draw_histogram(axes, edges, counts, logarithmic)
    if tails:
        shade_tails(axes, tails)
    if vector.original is not None:
        axes.plot(vector.original, [0.03] * vector.n, "|", color="black", markersize=9,
                  transform=axes.get_xaxis_transform())
    low, high = middle(vector.edges, vector.counts)
    crowded = vector.n > 1000 and high - low < 0.5 * (limits[1] - limits[0])
    if logarithmic or not crowded:
        axes.set_title("all values, " + ("log scale" if logarithmic else "linear scale"))
        axes.set_ylabel("density (per unit of value)" if logarithmic else "")
        return limits
    axes.set_title(f"the middle {MIDDLE:.1%} of the values, linear scale")
    return low - 0.02 * (high - low), high + 0.02 * (high - low)


# ---- Original against quantized ----

def draw_pair(axes, vector, result, original, quantized):
    """One panel: the error of each value is the line between its two marks."""
    index = np.arange(vector.n)
    kept = np.zeros(vector.n, dtype=bool)
    kept[result.outlier_index.astype(int)] = True
    colour = pictures.colour(result.approach)
    if result.levels.size <= READABLE:
        for level in result.levels:
            axes.axhline(level, color=pictures.GRID, linewidth=0.6, zorder=0)
    axes.vlines(index, original, quantized, color=colour, linewidth=1, alpha=0.6)
    axes.plot(index, original, "o", markersize=5, color="none", markeredgecolor=pictures.GREY)
    axes.plot(index[~kept], quantized[~kept], pictures.marker(result.approach), markersize=3,
              color=colour)
    axes.plot(index[kept], quantized[kept], "x", markersize=6, color="black")
    sqnr = result.attributes["sqnr_db"]
    axes.set_title(f"{pictures.label(result)}: "
                   + (f"{sqnr:.2f} dB" if np.isfinite(sqnr) else "no error"), fontsize=9)


def original_rows(vector, original, decoded):
    rows = []
    for result, quantized in decoded:
        kept = set(result.outlier_index.tolist())
        rows += [[result.name, i, original[i], quantized[i], int(i in kept)]
                 for i in range(vector.n)]
    return rows


def original_caption(vector, decoded):
    text = "Circles are the values, filled marks what they become, grey lines the levels."
    kept = max((int(r.attributes["outlier_count"]) for r, _ in decoded), default=0)
    if kept:
        text += f" Crosses are kept exactly (at most {kept})."
    best = min(decoded, key=lambda pair: pair[0].attributes["l2_norm"])[0]
    worst = max(decoded, key=lambda pair: pair[0].attributes["l2_norm"])[0]
    return text + (f" The L2 norm of the error over n goes from "
                   f"{words.number(worst.attributes['l2_norm'])} ({pictures.label(worst)}) to "
                   f"{words.number(best.attributes['l2_norm'])} ({pictures.label(best)}).")


def draw_original(album, vector, stem):
    """Each value beside what it becomes, a panel a result; of short vectors alone."""
    results = [r for r in vector.results.values() if r.has_codes]
    if vector.original is None or not results or not pictures.drawable(vector):
        return
    original = np.asarray(vector.original, dtype=float).ravel()
    decoded = [(r, np.asarray(r.decode(), dtype=float).ravel()) for r in results]
    columns = min(PANELS_A_ROW, len(decoded))
    lines = -(-len(decoded) // columns)
    figure = pictures.new_figure(max(3.1 * columns, 5), 1.75 * lines + 0.9)
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (result, quantized) in zip(panels.flat, decoded):
        draw_pair(axes, vector, result, original, quantized)
    for axes in panels.flat[len(decoded):]:
        axes.set_axis_off()
    figure.supxlabel("index in the vector", fontsize=9)
    figure.supylabel("value", fontsize=9)
    pictures.heading(figure, f"{words.shortened(vector.name, 70)}: original and quantized")
    header = ["result", "index", "original", "quantized", "outlier"]
    album.add(figure, f"{stem}_original", "Original against quantized",
              original_caption(vector, decoded),
              (header, original_rows(vector, original, decoded)), vector)
