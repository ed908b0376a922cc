# SPDX-License-Identifier: Apache-2.0
"""Reads runs that are to be compared: from results.txt, which holds many, or from results.json.

    runs = read_runs.read(["results", "elsewhere/results.txt"])
    rows = read_runs.rows(runs)

A folder is read from its results.json, which says more, else from its results.txt, else from its
quantized.h5. The exercise's own results.txt can be read too, and its older files without a header.
Raises read_quantopt.Unreadable.
"""
import collections
import functools
import math
import os
import re

import pictures
import read_quantopt
import words
from read_quantopt import Unreadable

HEADER = re.compile(r"Vector Size: (\w+)___multiprocess: (True|False)__device: (\w+)")
APPROACH = re.compile(r"(\S+) Quantization:")
L2_NORM = re.compile(r"L2 Norm: ([-+.\w]+)")
LATENCY = re.compile(r"Latency: (\d+(?:\.\d+)?) seconds")
# The exercise's width: of blocks that name none.
PLAIN_BITS = 3
# Options that a row tells in columns of its own, or that change neither results nor times.
TOLD = frozenset("approach num_bits device threads save_dir output progress quiet verbose resume"
                 " max_walltime comm_timeout config".split())

# A result of a run. n is None, relative_error and gap are nan where the source lacks them.
Figure = collections.namedtuple(
    "Figure", "vector n approach num_bits l2_norm relative_error gap latency")

# A result as one or several runs of one setting found it; their latencies.
Row = collections.namedtuple(
    "Row", "vector n num_bits approach setting device ranks threads l2_norm relative_error gap"
           " latencies")


class Run:
    """Where figures are from. ranks and threads are None where the source does not tell; details
    are what else may tell two runs apart; seconds are those of the slowest rank, by phase."""

    def __init__(self, source, device, several=None):
        self.source = source
        self.device = device
        self.several = several
        self.ranks = self.threads = None
        self.details = {"from": source}
        self.seconds = {}
        self.dtypes = set()
        self.figures = []
        self.who = []  # A word where the run is not of quantopt_mpi.
        self.setting = None  # In words; of complete().

    @property
    def processes(self):
        """In words."""
        if self.ranks is None:
            return {None: "processes unknown", True: "multiprocess", False: "one process"}[
                self.several]
        return f"{words.count(self.ranks, 'rank')} × {words.count(self.threads, 'thread')}"

    @functools.cached_property
    def vectors(self):
        """(name, number of elements) of each."""
        return {(figure.vector, figure.n) for figure in self.figures}

    @property
    def n(self):
        """Elements of all vectors together."""
        return sum(n or 0 for _, n in self.vectors)


# ---- results.txt ----

def split_name(name, earlier):
    """A block's name as vector and width. A trailing _2, _3 ... is the number of the run if the
    block without it, and those between, stand above; but not where there is a _1: then the
    vectors themselves are numbered."""
    found = re.fullmatch(r"(\w+?)_([1-9]\d*)", name)
    if found and int(found[2]) > 1 and f"{found[1]}_1" not in earlier:
        above = [found[1]] + [f"{found[1]}_{i}" for i in range(2, int(found[2]))]
        if all(each in earlier for each in above):
            name = found[1]
    width = re.fullmatch(r"(\w+)_([1-8])bit", name)
    return (width[1], int(width[2])) if width else (name, PLAIN_BITS)


class Text:
    """A results.txt while it is read."""

    def __init__(self, path):
        self.path = path
        self.runs = {}  # By device, several, and how often its vectors were there before.
        self.names = collections.defaultdict(set)
        self.times = collections.Counter()
        # Older files have no headers: their name has to do.
        stem = os.path.splitext(os.path.basename(path))[0]
        self.block = None, stem, PLAIN_BITS
        self.approach = self.l2_norm = self.begun = None
        self.whole = True  # The line that is read has an end.

    def fail(self, number, what):
        raise Unreadable(f"{self.path}:{number}: {what}")

    def run(self, device, several, again):
        key = device, several, again
        if key not in self.runs:
            self.runs[key] = Run(self.path, device, several)
        return self.runs[key]

    def begin_block(self, name, several, device):
        names = self.names[device, several]
        vector, bits = split_name(name, names)
        names.add(name)
        key = device, several == "True", vector, bits
        self.block = self.run(device, several == "True", self.times[key]), vector, bits
        self.times[key] += 1

    def read_line(self, number, line):
        header, approach = HEADER.fullmatch(line), APPROACH.fullmatch(line)
        rule = not line.strip("-")
        if self.approach and (header or approach or rule and line):
            self.end()
        if header:
            self.begin_block(*header.groups())
        elif approach:
            self.approach, self.begun = approach[1].lower(), number
        elif not rule:
            self.read_figure(number, line)

    def read_figure(self, number, line):
        l2_norm, latency = L2_NORM.fullmatch(line), LATENCY.fullmatch(line)
        if self.approach and l2_norm:
            self.l2_norm = self.real(number, l2_norm[1])
        elif self.approach and latency and self.l2_norm is not None:
            run, vector, bits = self.block
            run = run or self.run("device unknown", None, 0)
            run.figures.append(Figure(vector, None, self.approach, bits, self.l2_norm, math.nan,
                                      math.nan, float(latency[1])))
            self.approach = self.l2_norm = None
        elif not self.whole and number > 1:
            self.fail(number, "the file ends within this line: it is cut; take out its last lines, "
                              "or run quantopt_mpi again")
        else:
            self.fail(number, f"{line[:60]!r} does not belong there; is this a results.txt? name "
                              "one, or a results folder of quantopt_mpi")

    def real(self, number, word):
        try:
            return float(word)
        except ValueError:
            return self.fail(number, f"{word!r} is no number; run quantopt_mpi again")

    def end(self):
        """Of the file, or of a result's lines."""
        if self.approach:
            self.fail(self.begun, f"the result {self.approach} is cut short; take out its lines, "
                                  "or run quantopt_mpi again")


def read_text(path):
    text = Text(path)
    try:
        with open(path, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                text.whole = line.endswith("\n")
                text.read_line(number, line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"{path}: cannot be read as text: {error}; name a results.txt") from None
    text.end()
    runs = [run for run in text.runs.values() if run.figures]
    if not runs:
        raise Unreadable(f"{path}: holds no result; run quantopt_mpi --save_dir "
                         f"{os.path.dirname(path) or '.'} first")
    return runs


# ---- results.json and quantized.h5 ----

def read_results(path):
    """One run, which knows more of itself."""
    results = read_quantopt.open_results(path)
    known = results.run or results.attributes
    run = Run(path, known["device"])
    run.ranks, run.threads = known["ranks"], known["threads_per_rank"]
    run.several = run.ranks * run.threads > 1
    run.seconds = {t["phase"]: t["max"] for t in known.get("timings", [])}
    options = known["options"] if isinstance(known["options"], dict) else {}
    run.details = {key: value for key, value in options.items() if key not in TOLD}
    run.details["version"] = known["quantopt_version"]
    run.details["hosts"] = " ".join(sorted(set(known.get("hosts", []))))
    for vector in results.vectors.values():
        run.dtypes.add(vector.dtype)
        for r in vector.results.values():
            a = r.attributes
            run.figures.append(Figure(
                vector.name, vector.n, r.approach, r.num_bits, a["l2_norm"], a["relative_error"],
                a["optimality_gap"], a["solve_seconds"] + a["encode_seconds"]))
    return [run]


def read_one(path):
    if os.path.isdir(path):
        there = [os.path.join(path, name) for name in ("results.json", "results.txt")]
        path = next(filter(os.path.exists, there), path)
    if not os.path.exists(path):
        raise Unreadable(f"{path}: no such file or folder; name a results folder, results.json or "
                         "results.txt")
    if not os.path.isdir(path) and os.path.getsize(path) == 0:
        raise Unreadable(f"{path}: is empty; run quantopt_mpi again")
    if path.endswith((".json", ".h5")) or os.path.isdir(path):
        try:
            return read_results(path)
        except KeyError as error:
            raise Unreadable(f"{path}: lacks {error}: is it of quantopt_mpi? run it "
                             "again") from None
    return read_text(path)


def read(paths):
    """The runs in all of the files and folders."""
    return [run for path in dict.fromkeys(map(os.path.normpath, paths)) for run in read_one(path)]


def folder_of(path):
    """Where what is made of a source goes."""
    return path if os.path.isdir(path) else os.path.dirname(path) or "."


# ---- Comparing ----

def differences(run, runs):
    """What tells a run from those with which it shares vectors, device and processes."""
    peers = [other for other in runs
             if (other.device, other.processes) == (run.device, run.processes)
             and other.vectors & run.vectors]
    keys = dict.fromkeys(key for other in peers for key in other.details)
    return [f"{key} {words.shortened(str(run.details[key]))}" for key in keys if key in run.details
            and any(other.details.get(key) != run.details[key] for other in peers)]


def complete(runs):
    """Numbers of elements, which results.txt lacks, from another run on a vector of that name; and
    each run's setting in words, no longer than needed to tell settings apart."""
    sizes = collections.defaultdict(set)
    for run in runs:
        for name, n in run.vectors:
            sizes[name].add(n)
    known = {name: max(ns - {None}) for name, ns in sizes.items() if len(ns - {None}) == 1}
    for run in runs:
        run.figures = [f if f.n else f._replace(n=known.get(f.vector)) for f in run.figures]
        del run.vectors
    devices = {run.device for run in runs}
    for run in runs:
        device = [run.device] if len(devices) > 1 else []
        run.setting = ", ".join(run.who + device + [run.processes] + differences(run, runs))


def places(things):
    """Where each of them stands for the first time."""
    return {name: i for i, name in enumerate(dict.fromkeys(things))}


def rows(runs):
    """The figures by vector, width, approach and setting, repeats in one row."""
    complete(runs)
    found = {}
    for run in runs:
        for f in run.figures:
            key = f.vector, f.n, f.num_bits, f.approach, run.setting, f.l2_norm
            if key not in found:
                found[key] = Row(f.vector, f.n, f.num_bits, f.approach, run.setting, run.device,
                                 run.ranks, run.threads, f.l2_norm, f.relative_error, f.gap, [])
            found[key].latencies.append(f.latency)
    vectors = places(row[:2] for row in found.values())
    settings = places(row.setting for row in found.values())
    approaches = places(pictures.in_order(row.approach for row in found.values()))
    return sorted(found.values(), key=lambda row: (
        vectors[row[:2]], row.num_bits, approaches[row.approach], settings[row.setting]))


# ---- Tables on the screen ----

def print_table(header, lines):
    """Columns as wide as needed; all but the words flush right."""
    lines = [[str(cell) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(header, *lines)]
    for line in [header, *lines]:
        cells = [cell.ljust(width) if "".join(column).strip("0123456789.,e+-–−∞% ") else
                 cell.rjust(width)
                 for cell, width, column in zip(line, widths, zip(*lines))]
        print("  ".join(cells).rstrip())
