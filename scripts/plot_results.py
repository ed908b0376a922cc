#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws a quantopt result: each vector's distribution, levels and cuts, and what a bit buys.

    plot_results.py RESULTS_DIR [--vectors GLOB] [--most N] [--output DIR]

Reads RESULTS_DIR/quantized.h5 (or the result file named) and nothing else. Writes, into
RESULTS_DIR/plots by default, one PNG a vector and figures.csv, with the numbers that are drawn.
"""
import argparse
import csv
import fnmatch
import os
import re
import sys

import h5py
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  The backend has to be chosen first.
import numpy as np  # noqa: E402

# Okabe and Ito's colours, which people with any colour vision tell apart.
COLOURS = {"uniform": "#D55E00", "non-uniform": "#0072B2", "easyquant": "#009E73"}
COLUMNS = (
    "approach num_bits bits_per_value sqnr_db rmse l2_norm relative_error max_abs_error"
    " outlier_count compression_ratio optimality_gap"
).split()
# More levels than this cannot be told apart in a strip.
READABLE = 32


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def read_vectors(path):
    """The vectors of a result file: attributes, histogram, and the results with their levels."""
    found = []

    def visit(name, node):
        if not isinstance(node, h5py.Group) or "num_elements" not in node.attrs:
            return
        results = [child for child in node.values() if "approach" in child.attrs]
        bins = node.get("histogram", {"edges": np.array([0.0, 1.0]), "counts": np.zeros(1)})
        found.append({
            "name": name,
            "attrs": dict(node.attrs),
            "edges": bins["edges"][...],
            "counts": bins["counts"][...].astype(float),
            "results": sorted(({**child.attrs, "approach": text(child.attrs["approach"]),
                                "levels": child["levels"][...]} for child in results),
                              key=lambda r: (int(r["num_bits"]), list(COLOURS).index(r["approach"])
                                             if r["approach"] in COLOURS else 9))})

    with h5py.File(path, "r") as f:
        f["vectors"].visititems(visit)
    return found


def strip_bits(results):
    """The bit width whose levels are drawn: 3 if it is there, else the largest that can be read."""
    widths = sorted({int(r["num_bits"]) for r in results})
    readable = [b for b in widths if 2**b <= READABLE]
    return 3 if 3 in widths else (readable or widths)[-1 if readable else 0]


def merge_narrow(edges, counts):
    """Joins neighbours until a bin is wide enough for so few values: a bar a value says nothing."""
    if edges[-1] <= edges[0]:
        return edges, counts
    least = (edges[-1] - edges[0]) / min(512, max(12, 3 * counts.sum() ** 0.5))
    kept = [0]
    for i in range(1, edges.size):
        if edges[i] - edges[kept[-1]] >= least:
            kept.append(i)
    kept[-1] = edges.size - 1  # A narrow rest joins the last bin.
    return edges[kept], np.add.reduceat(counts, kept[:-1])


def draw_distribution(axes, vector):
    edges, counts = merge_narrow(vector["edges"], vector["counts"])
    width = np.diff(edges)
    if width.size and np.all(width > 0) and counts.sum():
        density = counts / counts.sum() / width
        low, high = density[density > 0].min(), density.max()
        # Tails show on a log axis only; there an empty bin has no bottom, so all start at a floor.
        floor = low / 2 if high > 20 * low else 0.0
        axes.stairs(np.maximum(density, floor), edges, baseline=floor, fill=True, color="#B9C2CC")
        axes.set_yscale("log" if floor else "linear")
        axes.set_ylim(floor, high * (2 if floor else 1.1))
    axes.set_ylabel("density")
    axes.tick_params(labelbottom=False)
    shape = " × ".join(f"{int(s):,}" for s in np.atleast_1d(vector["attrs"]["shape"]))
    count = f"{int(vector['attrs']['num_elements']):,} values"
    size = f"{shape} = {count}" if "×" in shape else count
    axes.set_title(f"{vector['name']}\n{text(vector['attrs']['dtype'])}, {size}", loc="left",
                   fontsize=10)


def draw_strips(axes, vector, bits):
    """A line a result: dots are levels, ticks are cuts, the hatched ends are kept exactly."""
    chosen = [r for r in vector["results"] if int(r["num_bits"]) == bits]
    low, high = float(vector["edges"][0]), float(vector["edges"][-1])
    for row, result in enumerate(chosen):
        colour, levels = COLOURS.get(result["approach"], "#555555"), result["levels"]
        y = len(chosen) - 1 - row
        axes.axhline(y, color="#DDDDDD", linewidth=1, zorder=0)
        cuts = 0.5 * levels[:-1] + 0.5 * levels[1:]
        axes.vlines(cuts, y - 0.22, y + 0.22, color=colour, linewidth=1, alpha=0.7)
        axes.plot(levels, np.full(levels.size, y), "o", markersize=5, color=colour)
        if int(result["outlier_count"]) and result["approach"].startswith("easyquant"):
            reach = float(result["threshold"]) * float(vector["attrs"]["std"])
            mean = float(vector["attrs"]["mean"])
            for first, last in ((low, mean - reach), (mean + reach, high)):
                if last > first:
                    axes.fill_between([first, last], y - 0.3, y + 0.3, facecolor="none",
                                      edgecolor=colour, hatch="////", linewidth=0, alpha=0.5)
    labels = [f"{r['approach']}, {bits} bit\nSQNR {float(r['sqnr_db']):.2f} dB"
              + (f", {int(r['outlier_count']):,} exact" if int(r["outlier_count"]) else "")
              for r in chosen]
    axes.set_yticks(range(len(chosen))[::-1], labels, fontsize=8)
    axes.set_ylim(-0.6, len(chosen) - 0.4)
    axes.set_xlabel("value      (dots: levels; ticks: cuts; hatched: kept exactly)", fontsize=9)
    axes.tick_params(axis="y", length=0)


def draw_rate_distortion(axes, vector):
    """SQNR over stored bits a value; the slope that one more bit can buy stands beside it."""
    names = dict.fromkeys(r["approach"] for r in vector["results"])
    points = []
    for name in names:
        line = sorted((float(r["bits_per_value"]), float(r["sqnr_db"]), int(r["num_bits"]))
                      for r in vector["results"] if r["approach"] == name)
        line = [p for p in line if np.isfinite(p[1])]
        if not line:
            continue
        points += line
        axes.plot([p[0] for p in line], [p[1] for p in line], "o-", markersize=4, label=name,
                  color=COLOURS.get(name, "#555555"))
    if len(points) > 1:
        first, base, _ = min(points)
        room = max(p[1] for p in points) - base
        last = min(max(p[0] for p in points), first + max(room, 0) / 6.02)
        axes.plot([first, last], [base, base + 6.02 * (last - first)], "--", color="#999999",
                  linewidth=1, label="6.02 dB a bit", zorder=0)
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.set_xlabel("stored bits a value (codes, levels, outliers)", fontsize=9)
    axes.set_ylabel("SQNR, dB")
    axes.set_title("What a bit buys", loc="left", fontsize=10)
    axes.grid(color="#EEEEEE")


def draw(vector, path):
    several = len({int(r["num_bits"]) for r in vector["results"]}) > 1
    bits = strip_bits(vector["results"])
    rows = sum(int(r["num_bits"]) == bits for r in vector["results"])
    figure = plt.figure(figsize=(12 if several else 8, 4 + 0.5 * rows), constrained_layout=True)
    grid = figure.add_gridspec(2, 2 if several else 1, height_ratios=[5, max(rows, 1)],
                               width_ratios=[3, 2] if several else [1])
    top = figure.add_subplot(grid[0, 0])
    bottom = figure.add_subplot(grid[1, 0], sharex=top)
    draw_distribution(top, vector)
    draw_strips(bottom, vector, bits)
    for axes in (top, bottom):
        axes.spines[["top", "right"]].set_visible(False)
    if several:
        right = figure.add_subplot(grid[:, 1])
        draw_rate_distortion(right, vector)
        right.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def write_table(vectors, path):
    with open(path, "w", newline="") as f:
        table = csv.writer(f)
        table.writerow(["vector", "num_elements", *COLUMNS])
        for vector in vectors:
            for result in vector["results"]:
                table.writerow([vector["name"], int(vector["attrs"]["num_elements"]),
                                *(result[name] for name in COLUMNS)])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", metavar="RESULTS_DIR")
    parser.add_argument("--vectors", metavar="GLOB", default="*", help="which ones (default all)")
    parser.add_argument("--most", metavar="N", type=int, default=6,
                        help="draw the N largest vectors (default 6); figures.csv has all of them")
    parser.add_argument("--output", metavar="DIR", help="default: RESULTS_DIR/plots")
    args = parser.parse_args()
    path = args.results
    if os.path.isdir(path):
        path = os.path.join(path, "quantized.h5")
    if not os.path.exists(path):
        sys.exit(f"plot_results.py: no {path}; run quantopt_mpi --save_dir {args.results} first")
    folder = args.output or os.path.join(os.path.dirname(path), "plots")
    vectors = [v for v in read_vectors(path) if fnmatch.fnmatchcase(v["name"], args.vectors)]
    if not vectors:
        sys.exit(f"plot_results.py: {path} holds no vector {args.vectors}")
    os.makedirs(folder, exist_ok=True)
    write_table(vectors, os.path.join(folder, "figures.csv"))
    largest = sorted(vectors, key=lambda v: -int(v["attrs"]["num_elements"]))[:args.most]
    for vector in (v for v in largest if v["results"]):
        picture = os.path.join(folder, re.sub(r"[^\w.-]+", "_", vector["name"]) + ".png")
        draw(vector, picture)
        print(picture)
    print(os.path.join(folder, "figures.csv"))


if __name__ == "__main__":
    main()
