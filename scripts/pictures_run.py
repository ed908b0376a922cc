# SPDX-License-Identifier: Apache-2.0
"""Pictures of a whole run: all its vectors side by side, what they cost in bits, what
codebooks cost, and where the time went."""
import numpy as np

import pictures
import pictures_errors
import words

# Vectors that are named in the picture of all of them: the worst.
NAMED = 24
# More vectors than this have less than a pixel each in a heat map: their distribution is drawn.
MAPPED = 1000
# More results than this have no room for numbers in their cells.
NUMBERED = 12
# Decibels that the colours span at least: less is no difference to speak of.
LEAST_SPAN = 3.0
PHASES = {"communicate": "communicate\n(part of the others)"}


# ---- All vectors ----

def result_names(vectors):
    """Names of results in the order in which vectors have them."""
    found = {}
    for vector in vectors:
        found.update(vector.results)
    known = pictures.in_order(r.approach for r in found.values())
    return sorted(found, key=lambda n: (found[n].num_bits, known.index(found[n].approach)))


def matrix(vectors, names, key):
    """A figure, a row a vector, a column a result; NaN where there is none."""
    return np.array([[v.results[n].attributes[key] if n in v.results else np.nan for n in names]
                     for v in vectors], dtype=float)


def column_medians(sqnr):
    """Of what has an error in each column; 0 where nothing has."""
    columns = [column[np.abs(column) < pictures_errors.ROUNDING_DB] for column in sqnr.T]
    return np.array([np.median(c) if c.size else 0.0 for c in columns])


def against_median(sqnr):
    """dB above the column's median, and the dB at both ends of the colours, which the few worst may
    pass. What has no error stands at the upper end."""
    apart = np.where(sqnr < pictures_errors.ROUNDING_DB, sqnr - column_medians(sqnr), np.inf)
    size = np.abs(apart[np.isfinite(apart)])
    span = max(float(np.quantile(size, 0.95)) if size.size else 0.0, LEAST_SPAN)
    return np.where(np.isnan(sqnr), np.nan, np.clip(apart, -1e3, span)), span


def badness(apart):
    """Vectors' indices, the worst first, and how far each is from the median, over all results."""
    rows = np.where(np.isnan(apart), 0.0, apart).mean(axis=1)
    return np.argsort(rows, kind="stable"), rows


def draw_map(axes, apart, span):
    """Brown is worse than the median of the column, purple better; rows count from 1."""
    rows, columns = apart.shape
    return axes.imshow(apart, aspect="auto", interpolation="nearest", cmap="PuOr", vmin=-span,
                       vmax=span, extent=(-0.5, columns - 0.5, rows + 0.5, 0.5))


def label_columns(axes, names, vectors):
    """The results' names above a map."""
    found = {n: r for v in vectors for n, r in v.results.items()}
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(names)), [pictures.label(found[n]) for n in names], rotation=90)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def vector_label(vector):
    return f"{pictures.verbatim(words.shortened(vector.name))}  ({vector.n:,})"


def number_cells(axes, sqnr, apart, span):
    """SQNR in each cell, where there is room."""
    for (row, column), value in np.ndenumerate(sqnr):
        if np.isnan(value):
            continue
        dark = abs(apart[row, column]) > 0.7 * span
        shown = "exact" if value >= pictures_errors.ROUNDING_DB else words.fixed(value, 1)
        axes.text(column, row + 1, shown, ha="center", va="center", fontsize=7,
                  color="white" if dark else "black")


def draw_spread(axes, sqnr, names, vectors):
    """The part of the vectors below an SQNR, a line a result of the middle width."""
    found = {n: r for v in vectors for n, r in v.results.items()}
    widths = sorted({found[n].num_bits for n in names})
    bits = 4 if 4 in widths else widths[len(widths) // 2]
    for column, name in enumerate(names):
        values = np.sort(sqnr[:, column][np.isfinite(sqnr[:, column])])
        if found[name].num_bits == bits and values.size:
            axes.plot(values, np.arange(1, values.size + 1), **pictures.line(found[name].approach),
                      label=found[name].approach)
    axes.set_yscale("log")
    axes.set_xlabel(f"SQNR at {bits} bit, dB")
    axes.set_ylabel("vectors that are as bad or worse")
    axes.grid(color=pictures.GRID)
    if axes.lines:
        axes.legend(loc="lower right")


def tensors_caption(vectors, order, rows):
    worst = [vectors[i] for i in order[:3]]
    far = int((rows < -10).sum())
    text = (f"{len(vectors):,} vectors, the worst first, by how many dB their SQNR lies from the "
            f"median of all vectors. Worst: "
            + words.joined([f"{v.name} ({rows[order[i]]:+.1f} dB)" for i, v in enumerate(worst)])
            + ".")
    return text + (f" {far:,} lie more than 10 dB below the median." if far else "")


def tensors_figure(count, columns, shown):
    """The panel of all vectors where they cannot all be named, and that of those that are."""
    left = max(2.6, 0.16 * columns) if count > shown else 0
    right = max(1.5, (0.45 if columns <= NUMBERED else 0.28) * columns)
    figure = pictures.new_figure(left + right + 4.6, 2.4 + 0.21 * shown)
    if not left:
        return figure, None, figure.add_subplot()
    return figure, *figure.subplots(1, 2, gridspec_kw={"width_ratios": [left, right]})


def draw_tensors(album, vectors):
    """SQNR of every vector with every result: the worst by name, all of them as rows of a map."""
    vectors = [v for v in vectors if v.results]
    if len(vectors) < 2:
        return
    names = result_names(vectors)
    sqnr = matrix(vectors, names, "sqnr_db")
    apart, span = against_median(sqnr)
    order, rows = badness(apart)
    shown = min(len(vectors), NAMED)
    worst = order[:shown]
    figure, left, right = tensors_figure(len(vectors), len(names), shown)
    image = draw_map(right, apart[worst], span)
    label_columns(right, names, vectors)
    right.set_yticks(range(1, shown + 1), [vector_label(vectors[i]) for i in worst])
    if len(names) <= NUMBERED:
        number_cells(right, sqnr[worst], apart[worst], span)
    if left is not None and len(vectors) <= MAPPED:
        draw_map(left, apart[order], span)
        label_columns(left, names, vectors)
        left.set_ylabel("all vectors, the worst first")
        left.axhline(shown + 0.5, color="black", linewidth=0.8)
    elif left is not None:
        draw_spread(left, sqnr, names, vectors)
    bar = figure.colorbar(image, ax=right, extend="both", shrink=0.6)
    bar.set_label("SQNR, dB from the median of the column", fontsize=8)
    pictures.heading(figure, f"{len(vectors):,} vectors by SQNR" + (
        f": the {shown} worst (number of values) on the right" if left is not None else ""))
    if len(names) <= NUMBERED:
        exact = (sqnr[worst] >= pictures_errors.ROUNDING_DB).any()
        blank = np.isnan(sqnr[worst]).any()
        pictures.note(figure, "numbers: SQNR in dB" + ("; exact: no error" if exact else "")
                      + ("; blank: no such result, or none that float64 holds" if blank else ""))
    album.add(figure, "tensors", "All vectors", tensors_caption(vectors, order, rows),
              tensor_table(vectors, names, order, rows, sqnr))


def tensor_table(vectors, names, order, rows, sqnr):
    relative = matrix(vectors, names, "relative_error")
    header = ["rank", "vector", "num_elements", "db_from_median"]
    header += [f"sqnr_db {n}" for n in names] + [f"relative_error {n}" for n in names]
    return header, [[rank + 1, vectors[i].name, vectors[i].n, rows[i], *sqnr[i], *relative[i]]
                    for rank, i in enumerate(order)]


# ---- What all of them cost ----

def weighted_quantile(values, weights, part):
    """The value below which that part of the weight lies."""
    order = np.argsort(values)
    held = np.cumsum(weights[order])
    return values[order][min(np.searchsorted(held, part * held[-1]), values.size - 1)]


def rate_point(name, vectors):
    """Stored bits a value of all vectors together, and the SQNR that an eighth, half and seven
    eighths of the values' vectors stay below."""
    having = [v for v in vectors if name in v.results]
    n = np.array([v.n for v in having], dtype=float)
    bits = np.array([v.results[name].attributes["bits_per_value"] for v in having])
    sqnr = np.array([v.results[name].attributes["sqnr_db"] for v in having])
    return [float((bits * n).sum() / n.sum()), *(weighted_quantile(sqnr, n, p)
                                                 for p in (0.125, 0.5, 0.875))]


def rate_rows(vectors):
    """(name, approach, width, bits, low, middle, high) of each result."""
    vectors = [v for v in vectors if v.n and not any(np.isnan(r.attributes["sqnr_db"])
                                                     for r in v.results.values())]
    found = {n: r for v in vectors for n, r in v.results.items()}
    return [[name, found[name].approach, found[name].num_bits, *rate_point(name, vectors)]
            for name in result_names(vectors)]


def draw_all_rates(album, vectors):
    """What a stored bit buys over all vectors: the median, weighted by their numbers of values."""
    if len(vectors) < 2:
        return
    rows = rate_rows(vectors)
    lines = {}
    for _, approach, bits, rate, _, sqnr, _ in rows:
        if sqnr < pictures_errors.ROUNDING_DB:
            lines.setdefault(approach, []).append((rate, sqnr, bits))
    if not lines:
        return
    figure = pictures.new_figure(8, 5)
    axes = figure.add_subplot()
    pictures_errors.draw_rate_axes(axes, {name: sorted(line) for name, line in lines.items()})
    for _, approach, _, rate, low, sqnr, high in rows:
        if high < pictures_errors.ROUNDING_DB:
            axes.vlines(rate, low, high, color=pictures.colour(approach), linewidth=4, alpha=0.2)
    axes.set_ylabel("SQNR of the vectors, dB (median by values)")
    pictures.heading(figure, f"What a bit buys over {len(vectors):,} vectors")
    pictures.note(figure, "bars: from the worst eighth of the values to the best")
    best = max(rows, key=lambda r: r[5] if r[5] < pictures_errors.ROUNDING_DB else -np.inf)
    caption = (f"Stored bits of all vectors together against their median SQNR, weighted by the "
               f"number of values. The highest is {best[1]} with {best[5]:.1f} dB at {best[3]:.2f} "
               "bits a value.")
    header = ["result", "approach", "num_bits", "bits_per_value", "sqnr_db_low", "sqnr_db",
              "sqnr_db_high"]
    album.add(figure, "rates", "What a bit buys over all vectors", caption, (header, rows))


# ---- What codebooks cost ----

def excess(result):
    """By what part of it the mean squared error is above the least that 2^bits levels can have, at
    most: by the certificate."""
    return (1 + result.attributes["optimality_gap"]) ** 2 - 1


def cost_rows(vectors):
    """(result, low, median, high, vectors) in percent, of the widths that codebooks have, the
    cheapest first: codebooks, and beside them what else has that width. And how many results have
    no such figure."""
    widths = {r.num_bits for v in vectors for r in v.results.values()
              if pictures.is_codebook(r.approach)}
    rows, left_out = [], 0
    for name in result_names(vectors):
        results = [v.results[name] for v in vectors if name in v.results]
        costs = 100 * np.array([excess(r) for r in results])
        good = costs[np.isfinite(costs)]
        if results[0].num_bits not in widths:
            continue
        left_out += costs.size - good.size
        if good.size:
            rows.append([results[0], *np.quantile(good, [0.1, 0.5, 0.9]).tolist(), good.size])
    return sorted(rows, key=lambda row: (row[0].num_bits, row[2])), left_out


def draw_costs(axes, rows, limit):
    """A bar a result; one that passes the limit ends there, and says so."""
    for y, (result, low, cost, high, vectors) in enumerate(rows):
        axes.barh(y, min(cost, limit), color=pictures.colour(result.approach), height=0.7)
        if vectors > 1:
            axes.plot([min(low, limit), min(high, limit)], [y, y], color="black", linewidth=1)
        if vectors > 1 and high > limit:
            axes.plot([limit], [y], ">", color="black", markersize=4)
        end = min(max(high, cost), limit)
        axes.text(end + 0.01 * limit, y, f"{'→ ' if cost > limit else '  '}"
                  f"{words.percent(cost / 100)}", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [pictures.label(row[0]) for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * limit)
    axes.set_xlabel("mean squared error above that of the best 2ᵇ levels for these values "
                    "(b bit), %")


def cost_limit(codebooks):
    """Where the axis ends: a few vectors on which a codebook is very bad may not hide the rest.
    """
    most, median = (max(row[i] for row in codebooks) for i in (3, 2))
    return max(1.1 * min(most, 3 * median), 1e-3)


def codebooks_caption(codebooks):
    """Of the width that most codebooks have."""
    widths = [row[0].num_bits for row in codebooks]
    bits = max(widths, key=widths.count)
    costs = [f"{row[0].approach} {words.percent(row[2] / 100)}" for row in codebooks
             if row[0].num_bits == bits]
    several = max(row[4] for row in codebooks) > 1
    of_many = " (median of the vectors)" if several else ""
    return (f"With its best scale a codebook's mean squared error is above the least that "
            f"{2 ** bits} levels can have on these values{of_many} by: "
            f"{words.joined(costs, 12)}.")


def draw_codebooks(album, vectors):
    """By how much fixed codebooks are worse than the best levels for these values."""
    rows, left_out = cost_rows(vectors)
    codebooks = [row for row in rows if pictures.is_codebook(row[0].approach)]
    if not codebooks:
        return
    figure = pictures.new_figure(9, 0.32 * len(rows) + 1.7)
    draw_costs(figure.add_subplot(), rows, cost_limit(codebooks))
    several = max(row[4] for row in rows) > 1
    pictures.heading(figure, "What a codebook costs" + (
        f": the median of {len(vectors):,} vectors; lines: 10 to 90 % of them" if several else
        f": {words.shortened(vectors[0].name, 60)}"))
    if left_out:
        pictures.note(figure, f"left out: {words.count(left_out, 'result')} of vectors on which "
                              "the best levels have no error")
    header = ["result", "percent_low", "percent", "percent_high", "vectors"]
    album.add(figure, "codebooks", "What a codebook costs", codebooks_caption(codebooks),
              (header, [[r.name, *rest] for r, *rest in rows]))


# ---- Times ----

def draw_phases(album, run):
    """Where the time went, over the ranks."""
    timings = [t for t in (run or {}).get("timings", []) if t["max"] is not None]
    phases = [t for t in timings if t["phase"] != "total" and t["max"] > 0]
    if not phases:
        return
    figure = pictures.new_figure(8, 0.36 * len(phases) + 1.5)
    axes = figure.add_subplot()
    longest, ranks = max(t["max"] for t in phases), int(run["ranks"])
    factor, unit = (1, "s") if longest >= 1 else (1e3, "ms") if longest >= 1e-3 else (1e6, "µs")
    for y, t in enumerate(phases):
        low, mean, high = (factor * t[key] for key in ("min", "mean", "max"))
        axes.barh(y, mean, color=pictures.PALE, height=0.7)
        if ranks > 1:
            axes.plot([low, high], [y, y], "|-", color="black", linewidth=1)
        axes.text(high + 0.01 * factor * longest, y, " " + words.seconds(t["mean"]), va="center",
                  fontsize=8)
    axes.set_yticks(range(len(phases)), [PHASES.get(t["phase"], t["phase"]) for t in phases])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * factor * longest)
    axes.set_xlabel(f"time, {unit}" + ("" if ranks == 1 else ": mean of the ranks; lines from the "
                                       "fastest to the slowest rank"))
    total = next((t["max"] for t in timings if t["phase"] == "total"), None)
    threads = int(run["threads_per_rank"])
    where = f"{words.count(ranks, 'rank')} of {words.count(threads, 'thread')}"
    pictures.heading(figure, f"Time by phase: {where}" + (
        f", {words.seconds(total)} in all" if total else ""))
    longest = max(phases, key=lambda t: t["mean"])
    caption = (f"Of {words.seconds(total or longest['max'])} most went to the phase "
               f"{longest['phase']} ({words.seconds(longest['mean'])}). Communication is part "
               "of the phases in which it takes place.")
    header = ["phase", "min", "mean", "max", "max_rank"]
    album.add(figure, "phases", "Time by phase", caption,
              (header, [[t.get(key, "") for key in header] for t in timings]))
