#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sets runs on `small` and `large` beside what the exercise published, and beside the optimum.

    compare_published.py RESULTS... [--output DIR]

RESULTS are results folders or results.json. Prints a table, and writes DIR/published.csv (default:
the first folder). "least" is what no levels of that width can go below on those elements, by the
run's own certificate: l2_norm / (1 + optimality_gap) of the result with the smallest gap. Published
latencies are of the exercise's author's machine: data/exercise_published.csv says where they stand.
"""
import csv
import math
import os

import command
import pictures
import read_runs
import words

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "data",
                     "exercise_published.csv")
HEADER = ("vector approach setting published_l2_norm l2_norm least_l2_norm published_above_least"
          " above_least published_latency_seconds latency_seconds times_faster").split()
# Elements that easyquant keeps are not part of its error: its optimum is another one.
KEEPS = {"easyquant": True, "easyquant-uniform": True}


def read_table():
    """(vector, several, device, approach) -> (L2 norm, seconds)."""
    with open(TABLE, newline="", encoding="utf-8") as f:
        lines = csv.DictReader(line for line in f if not line.startswith("#"))
        return {(line["vector"], line["multiprocess"] == "True", line["device"], line["approach"]):
                (float(line["l2_norm"]), float(line["latency_seconds"])) for line in lines}


def published_runs():
    """The exercise's runs, to be compared like others."""
    runs = {}
    for (vector, several, device, approach), (l2_norm, latency) in read_table().items():
        run = runs.setdefault((several, device), read_runs.Run(TABLE, device, several))
        run.who = ["exercise"]
        run.figures.append(read_runs.Figure(vector, None, approach, read_runs.PLAIN_BITS, l2_norm,
                                            math.nan, math.nan, latency))
    return [runs[key] for key in sorted(runs, key=lambda key: (key[1], key[0]))]


def least_errors(runs):
    """(vector, whether outliers are kept) -> the least L2 norm of any levels: from the certificate
    that says most."""
    found = {}
    for run in runs:
        for f in run.figures:
            key = f.vector, KEEPS.get(f.approach, False)
            if f.num_bits == read_runs.PLAIN_BITS and math.isfinite(f.gap):
                found[key] = min(found.get(key, (math.inf, math.nan)),
                                 (f.gap, f.l2_norm / (1 + f.gap)))
    return {key: least for key, (_, least) in found.items()}


def above(l2_norm, least):
    return l2_norm / least - 1 if least else math.nan


def lines(runs):
    """A line a result of which the exercise has one of the same kind."""
    published, least = read_table(), least_errors(runs)
    for run in runs:
        for f in run.figures:
            key = f.vector, run.several, run.device, f.approach
            if f.num_bits != read_runs.PLAIN_BITS or key not in published:
                continue
            norm, seconds = published[key]
            bound = least.get((f.vector, KEEPS.get(f.approach, False)), math.nan)
            yield [f.vector, f.approach, run.setting, norm, f.l2_norm, bound, above(norm, bound),
                   above(f.l2_norm, bound), seconds, f.latency,
                   seconds / f.latency if f.latency else math.nan]


def show(found):
    read_runs.print_table(
        ["vector", "approach", "setting", "published L2", "here", "least", "published above least",
         "here above least", "published s", "here s", "times faster"],
        [[*what, words.number(norm, 8), words.number(mine, 8), words.number(least, 8),
          words.percent(theirs), words.percent(ours), words.number(seconds),
          words.number(latency, 3),
          f"{faster:,.0f}" if faster > 100 else words.number(faster, 3)]
         for *what, norm, mine, least, theirs, ours, seconds, latency, faster in found])


def parse():
    parser = command.parser(__doc__, several=True)
    parser.add_argument("--output", metavar="DIR", help="default: the folder of the first RESULTS")
    return parser.parse_args()


def main(args):
    runs = read_runs.read(args.results)
    read_runs.complete(runs)
    found = list(lines(runs))
    if not found:
        raise read_runs.Unreadable(
            f"{args.results[0]}: nothing that the exercise published; run quantopt_mpi "
            "--vector_size small (or large) --num_bits 3")
    show(found)
    folder = args.output or read_runs.folder_of(args.results[0])
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "published.csv")
    print("\nwritten:", pictures.write_csv(path, HEADER, found))


def start():
    command.run(main, parse())


if __name__ == "__main__":
    start()
