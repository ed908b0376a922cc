#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws a quantopt result: distributions, levels, errors, what a bit buys, and all vectors at once.

    plot_results.py RESULTS [--format png,pdf] [--vectors GLOB] [--most N] [--output DIR]

RESULTS is a results folder, a quantized.h5 or a results.json; nothing else is read, never the
input. Into RESULTS/plots by default go, for each of the N largest vectors,

    <vector>_distribution   all values and their middle, above the levels and cuts of each result
    <vector>_original       each value beside what it becomes (vectors of at most 100 values)
    <vector>_errors         how often which error occurs
    <vector>_convergence    error and movement of the levels in Lloyd steps, where there were any
    <vector>_rate           SQNR against stored bits a value, and the slope of 6.02 dB a bit

and once for the run

    tensors     SQNR of all vectors, the worst by name    rates    what a bit buys over all of them
    codebooks   what fixed codebooks cost                 phases   where the time went

each with a .csv of the numbers drawn; figures.csv has all figures of all results.
"""
import fnmatch
import os
import sys

import numpy as np

import command
import pictures
import pictures_errors
import pictures_run
import pictures_values
import read_quantopt
import words
from pictures import Picture  # noqa: F401  For those who call draw_all.

COLUMNS = (
    "approach num_bits bits_per_value sqnr_db rmse l2_norm relative_error max_abs_error"
    " outlier_count compression_ratio optimality_gap mse solver threshold scale solve_seconds"
    " encode_seconds"
).split()
OF_A_VECTOR = (
    pictures_values.draw_distribution,
    pictures_values.draw_original,
    pictures_errors.draw_errors,
    pictures_errors.draw_convergence,
    pictures_errors.draw_rate,
)


def chosen(results, pattern):
    """The vectors with results whose name matches."""
    found = [v for v in results.vectors.values() if fnmatch.fnmatchcase(v.name, pattern)]
    if found:
        return [v for v in found if v.results]
    names = words.joined([words.shortened(name) for name in results.vectors], 4)
    raise read_quantopt.Unreadable(
        f"{results.path}: no vector matches --vectors {pattern}; there is {names}")


def draw_all(results, folder, formats=("png",), most=6, pattern="*"):
    """Draws what read_quantopt.open_results has found into a folder, which is made if missing:
    pictures of the run, and of the `most` largest vectors that match. Returns a list of Picture,
    first of all vectors, then of each, then of the time. Raises OSError, Unreadable."""
    os.makedirs(folder, exist_ok=True)
    album = pictures.Album(folder, formats)
    vectors = chosen(results, pattern)
    pictures_run.draw_tensors(album, vectors)
    pictures_run.draw_all_rates(album, vectors)
    pictures_run.draw_codebooks(album, vectors)
    stems = pictures.stems(results.vectors)
    for vector in sorted(vectors, key=lambda v: -v.n)[:most]:
        for draw in OF_A_VECTOR:
            draw(album, vector, stems[vector.name])
    pictures_run.draw_phases(album, results.run)
    return album.pictures


def missing(results, vectors):
    """What cannot be drawn of these vectors, and why: a line each."""
    name = results.path
    all_results = [r for v in vectors for r in v.results.values()]
    if not results.has_codes:
        yield (f"{name}: figures alone: no histograms, no errors and no values are drawn; run "
               "without --output none for them")
        return
    if any(r.error_counts is None for r in all_results):
        yield f"{name}: holds no error_histogram: no errors are drawn; run quantopt_mpi again"
    if any(v.original is None and 0 < v.n <= 100 for v in vectors):
        yield f"{name}: holds no original values: short vectors are not drawn value by value"
    for v in vectors:
        if np.isfinite(v.attributes["min"]) and not pictures.drawable(v):
            yield f"{name}: {v.name}: too large or too close together for an axis: not drawn"
    if results.run is None:
        yield f"{name}: has no results.json beside it: no times and no Lloyd steps are drawn"


def write_figures(results, folder):
    rows = [[v.name, v.n, *(r.attributes.get(name, "") for name in COLUMNS)]
            for v in results.vectors.values() for r in v.results.values()]
    return pictures.write_csv(os.path.join(folder, "figures.csv"),
                              ["vector", "num_elements", *COLUMNS], rows)


def parse():
    parser = command.parser(__doc__)
    command.add_format(parser)
    parser.add_argument("--vectors", metavar="GLOB", default="*", help="which ones (default all)")
    command.add_most(parser, "draw the N largest vectors one by one")
    parser.add_argument("--output", metavar="DIR", help="default: plots in the results' folder")
    args = parser.parse_args()
    args.format = command.formats(args.format)
    command.not_negative("--most", args.most)
    return args


def main(args):
    results = read_quantopt.open_results(args.results)
    folder = args.output or os.path.join(results.folder, "plots")
    drawn = draw_all(results, folder, args.format, args.most, args.vectors)
    table = write_figures(results, folder)
    for line in missing(results, chosen(results, args.vectors)):
        print(f"plot_results.py: {line}", file=sys.stderr)
    for picture in drawn:
        print(*picture.files, sep="\n")
    print(table)


def start():
    command.run(main, parse())


if __name__ == "__main__":
    start()
