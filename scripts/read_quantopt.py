#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads what quantopt writes, in NumPy: a module, and a program that lists a result or decodes it.

    read_quantopt.py RESULTS                                  lists vectors and results
    read_quantopt.py RESULTS --output x.npy [--vector NAME] [--result NAME] [--slice FIRST:LAST]

RESULTS is a results folder, a quantized.h5, or a results.json (figures alone, nothing to decode).
NAME may be left out where there is one. A slice is of the first axis. As a module:

    import read_quantopt
    results = read_quantopt.open_results("results")
    result = results.vectors["large"].results["easyquant_3bit"]
    x = result.decode()        # the whole vector, in its shape and type
    part = result[1000:2000]   # these alone: other codes are not read

bfloat16, which NumPy lacks, comes back as float32, which holds it exactly. Nothing is kept open.
"""
import argparse
import json
import os
import sys

import h5py
import numpy as np

# Codes decoded at once; a multiple of 8, so that a part begins at a whole byte.
PART = 1 << 22
# In the order in which they are told of; other approaches, fixed codebooks, come behind them.
APPROACHES = ("uniform", "non-uniform", "easyquant", "easyquant-uniform")


class Unreadable(Exception):
    """Not a result that can be read: one line with what to do."""


# ---- Values ----

def plain(value):
    """An attribute as a Python value."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray):
        return value
    return value.item() if isinstance(value, np.generic) else value


def widen(bits):
    """The float32 that a bfloat16's bit pattern stands for."""
    return (np.asarray(bits).astype(np.uint32) << 16).view(np.float32)


def round_to_bfloat16(values):
    """float64 to the nearest bfloat16, ties to even, as float32. Never by way of a rounded float32,
    which could round twice: what float32 cannot hold is folded into its last bit first."""
    values = np.asarray(values, dtype=np.float64)
    with np.errstate(over="ignore"):
        near = values.astype(np.float32)
    # Towards zero, and the last bit set where anything was lost: "round to odd".
    past = np.abs(near.astype(np.float64)) > np.abs(values)
    bits = near.view(np.uint32) - past.astype(np.uint32)
    lost = bits.view(np.float32).astype(np.float64) != values
    bits = (bits | lost).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return widen(bits)


def round_levels(levels, dtype):
    """Levels as elements of the vector's type, rounded to nearest even, as --restore does."""
    if dtype == "bfloat16":
        return round_to_bfloat16(levels)
    with np.errstate(over="ignore"):
        return levels.astype(dtype)


def unpack(packed, num_bits, count):
    """The codes in a little-endian stream of num_bits each that begins at a whole byte."""
    bits = np.unpackbits(packed, bitorder="little")[:count * num_bits]
    return np.packbits(bits.reshape(count, num_bits), axis=1, bitorder="little")[:, 0]


# ---- Order ----

def rank(approach):
    """Sorts: the four, then others by name."""
    return (APPROACHES.index(approach) if approach in APPROACHES else len(APPROACHES), approach)


def in_order(approaches):
    """Each once."""
    return sorted(set(approaches), key=rank)


def by_name(found):
    """Results by name, in the order of bits, then approaches."""
    return {r.name: r for r in sorted(found, key=lambda r: (r.num_bits, rank(r.approach)))}


# ---- What there is ----

class Result:
    """A quantizer of a vector: its figures, levels and, where they were written, codes."""

    def __init__(self, vector, name, attributes, levels, history):
        self.vector = vector
        self.name = name
        self.approach = attributes["approach"]
        self.num_bits = int(attributes["num_bits"])
        self.levels = levels
        shares = attributes.pop("error_histogram", None)
        quantized = vector.n - int(attributes["outlier_count"])
        self.error_counts = None if shares is None else shares.astype(np.float64) * quantized
        self.attributes = attributes
        self.history = history
        self.has_codes = vector.results_file.has_codes

    @property
    def cuts(self):
        """Thresholds between the levels: an element on a cut takes the lower level."""
        return 0.5 * self.levels[:-1] + 0.5 * self.levels[1:]

    @property
    def outlier_index(self):
        """Where elements are kept exactly, ascending, in the flattened vector."""
        return self._read("outlier_index", slice(None))

    @property
    def outlier_value(self):
        """What they are."""
        return self._values(slice(None))

    def decode(self):
        """The vector, in its shape and type."""
        return self._flat(0, self.vector.n).reshape(self.vector.shape)

    def __getitem__(self, key):
        """Part [first:last] of the first axis."""
        shape = self.vector.shape
        if not isinstance(key, slice) or not shape:
            raise TypeError("a slice of the first axis; decode() gives the whole vector")
        first, last, step = key.indices(shape[0])
        if step != 1:
            raise ValueError("slices have step 1")
        last = max(first, last)
        row = self.vector.n // shape[0]
        return self._flat(first * row, last * row).reshape(last - first, *shape[1:])

    def _read(self, dataset, part):
        """Part of a dataset of this result."""
        file = self.vector.results_file
        file.check_codes()
        where = f"vectors/{self.vector.name}/{self.name}/{dataset}"
        try:
            with h5py.File(file.path, "r") as f:
                return f[where][part]
        except (OSError, KeyError) as error:
            raise Unreadable(f"{file.path}:{where}: cannot be read: {error}; is the file whole?"
                             ) from None

    def _values(self, part):
        values = self._read("outlier_value", part)
        return widen(values) if self.vector.dtype == "bfloat16" else values

    def _flat(self, first, last):
        """Elements [first, last) of the flattened vector."""
        levels = round_levels(self.levels, self.vector.dtype)
        out = np.empty(last - first, dtype=levels.dtype)
        begin = first - first % 8
        for start in range(begin, last, PART):
            end = min(start + PART, last)
            packed = self._read("codes", slice(start * self.num_bits // 8,
                                               (end * self.num_bits + 7) // 8))
            codes = unpack(packed, self.num_bits, end - start)
            out[max(start, first) - first:end - first] = levels[codes[max(first - start, 0):]]
        index = self.outlier_index
        inside = slice(*np.searchsorted(index, [first, last]))
        out[index[inside].astype(np.int64) - first] = self._values(inside)
        return out


class Vector:
    """A vector: what is known of it, and its results by name."""

    def __init__(self, results_file, name, attributes):
        self.results_file = results_file
        self.name = name
        self.shape = tuple(int(s) for s in np.atleast_1d(attributes["shape"]))
        self.dtype = attributes["dtype"]
        self.n = int(attributes["num_elements"])
        self.original = attributes.pop("original", None)
        if self.original is not None and self.dtype == "bfloat16":
            self.original = widen(self.original)
        self.attributes = attributes
        self.edges = self.counts = None
        self.results = {}


class Results:
    """What a run has written: see open_results."""

    def __init__(self, path, folder):
        self.path = path
        self.folder = folder
        self.attributes = {}
        self.run = None
        self.vectors = {}
        self.has_codes = False

    def check_codes(self):
        """Raises where there is nothing to decode."""
        if not self.has_codes:
            raise Unreadable(f"{self.path}: holds figures alone; run without --output none")


# ---- Reading ----

def read_run(path):
    """results.json, as it is."""
    try:
        with open(path, encoding="utf-8") as f:
            run = json.load(f)
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path}: cannot be read as JSON: {error}; run quantopt_mpi again"
                         ) from None
    whole = isinstance(run, dict) and isinstance(run.get("vectors"), list)
    if not whole or not isinstance(run.get("options", {}), dict):
        raise Unreadable(f"{path}: not a results.json of quantopt_mpi; name a results folder")
    return run


def figures_of(described):
    """A result of results.json as attributes: what is no finite number is null there."""
    # On a sample nothing is proven; else there is no gap where the least error is 0.
    gap = np.nan if described.get("sample_size") else np.inf
    beyond = {"optimality_gap": gap, "sample_excess": np.nan, "scale": np.nan}
    return {name: beyond.get(name, np.inf) if value is None and name != "digest" else value
            for name, value in described.items() if name not in ("levels", "history")}


def statistics_of(described):
    """A vector of results.json as attributes."""
    return {name: np.nan if value is None else value
            for name, value in described.items() if name != "results"}


def read_described(results):
    for described in results.run["vectors"]:
        vector = Vector(results, described["name"], statistics_of(described))
        found = []
        for r in described["results"]:
            name = f"{r['approach']}_{r['num_bits']}bit"
            levels = np.array(r["levels"], dtype=np.float64)
            found.append(Result(vector, name, figures_of(r), levels, r["history"]))
        vector.results = by_name(found)
        results.vectors[vector.name] = vector


def from_run(results):
    """Vectors as results.json alone tells of them."""
    try:
        read_described(results)
    except (KeyError, TypeError, AttributeError) as error:
        raise not_whole(results.path, error) from None


def not_whole(path, error):
    return Unreadable(f"{path}: not a results.json of quantopt_mpi ({error!r} is missing or "
                      "wrong); run quantopt_mpi again")


def histories_of(run, folder):
    """History by names of vector and result."""
    try:
        return {(v["name"], f"{r['approach']}_{r['num_bits']}bit"): r["history"]
                for v in (run or {"vectors": []})["vectors"] for r in v["results"]}
    except (KeyError, TypeError) as error:
        raise not_whole(os.path.join(folder, "results.json"), error) from None


def read_vector(results, name, group, histories):
    """A vector's group of the result file."""
    vector = Vector(results, name, {key: plain(value) for key, value in group.attrs.items()})
    if "histogram" in group:
        vector.edges = group["histogram/edges"][...]
        vector.counts = group["histogram/counts"][...]
    found = []
    for key, node in group.items():
        if isinstance(node, h5py.Group) and "approach" in node.attrs:
            attributes = {a: plain(value) for a, value in node.attrs.items()}
            history = histories.get((name, key), [])
            found.append(Result(vector, key, attributes, node["levels"][...], history))
    vector.results = by_name(found)
    return vector


def groups_of_vectors(group, above=""):
    """(name, group) of each; the results in them are not walked through, which takes long."""
    for key, node in group.items():
        if isinstance(node, h5py.Group) and "num_elements" in node.attrs:
            yield above + key, node
        elif isinstance(node, h5py.Group):
            yield from groups_of_vectors(node, f"{above}{key}/")


def from_file(results):
    """Vectors from the result file, in its order."""
    path = results.path
    histories = histories_of(results.run, results.folder)
    try:
        with h5py.File(path, "r") as f:
            results.attributes = {key: plain(value) for key, value in f.attrs.items()}
            if results.attributes.get("format") != "quantopt":
                raise Unreadable(f"{path}: not a result file of quantopt_mpi; name its "
                                 "quantized.h5")
            for name, group in groups_of_vectors(f["vectors"]):
                results.vectors[name] = read_vector(results, name, group, histories)
    except (OSError, KeyError, RuntimeError) as error:
        raise Unreadable(f"{path}: cannot be read as a result file: {error}; is it whole? "
                         "run quantopt_mpi again") from None
    results.has_codes = True
    for vector in results.vectors.values():
        for result in vector.results.values():
            result.has_codes = True


def unfinished(folder):
    """What a folder without results says of a run that is not over."""
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        if name.endswith((".lock", ".partial", ".checkpoint", ".encoded")):
            return f"; {name} is of a run that has not ended: wait, or go on with --resume"
    return f"; run quantopt_mpi --save_dir {folder} first"


def output_of(run):
    """What --output was, or "" for quantized.h5 in the folder."""
    return str(run.get("options", {}).get("output") or "")


def in_folder(folder):
    """The last run's results: results.json is of that, and a quantized.h5 may be of an earlier one
    than it. Without results.json there is the file alone."""
    described, file = (os.path.join(folder, name) for name in ("results.json", "quantized.h5"))
    run = read_run(described) if os.path.exists(described) else None
    output = output_of(run or {})
    if output:
        here = os.path.join(folder, os.path.basename(output))
        file = here if os.path.exists(here) else output
    alone = run is not None and (output == "none" or not os.path.exists(file))
    results = Results(described if alone else file, folder)
    results.run = run
    return results


def run_of(path, folder):
    """results.json beside a result file, if it tells of the same run."""
    beside = os.path.join(folder, "results.json")
    if not os.path.exists(beside):
        return None
    run = read_run(beside)
    output = output_of(run)
    name = os.path.basename(output) if output else "quantized.h5"
    return run if name == os.path.basename(path) else None


def open_results(path):
    """What a run has written: from a results folder, a result file, or a results.json.

    .vectors   by name: .shape, .dtype, .n, .attributes, .edges and .counts (histogram),
               .original (of at most 100 elements), and .results by name: .levels, .cuts,
               .attributes (figures), .history, .decode(), [first:last], .outlier_index,
               .error_counts (elements in even bins of error between -+max_abs_error) ...
    .run       results.json, or None; .attributes   of the result file
    Raises Unreadable.
    """
    if os.path.isdir(path) or not os.path.exists(path) and not os.path.splitext(path)[1]:
        results = in_folder(path)
    elif path.endswith(".json"):
        results = Results(path, os.path.dirname(path) or ".")
        results.run = read_run(path)
    else:
        results = Results(path, os.path.dirname(path) or ".")
        results.run = run_of(path, results.folder)
    if results.path.endswith(".json"):
        from_run(results)
    elif os.path.exists(results.path):
        from_file(results)
    else:
        raise Unreadable(f"{results.path}: no such file{unfinished(results.folder)}")
    if not results.vectors:
        raise Unreadable(f"{results.path}: holds no vector; run quantopt_mpi again")
    return results


# ---- The program ----

def choose(things, name, what, where):
    """The thing of that name; without a name the only one."""
    if name is None and len(things) == 1:
        return next(iter(things.values()))
    if name in things:
        return things[name]
    wanted = f"several {what}" if name is None else f"no {name} among the {what}"
    names = ", ".join(list(things)[:12]) + (", …" if len(things) > 12 else "")
    raise Unreadable(f"{where}: {wanted}; choose of: {names}")


def list_results(results):
    """A line a result."""
    print(f"{'result':20} {'elements':>14} {'bits':>9} {'SQNR dB':>9}  {'type':8}  vector")
    for vector in results.vectors.values():
        for r in vector.results.values():
            print(f"{r.name:20} {vector.n:14,} {r.attributes['bits_per_value']:9.3f} "
                  f"{r.attributes['sqnr_db']:9.2f}  {vector.dtype:8}  {vector.name}")


def parse_slice(text, result):
    """FIRST:LAST of the first axis; either may be left out."""
    try:
        first, last = (int(part) if part else None for part in text.split(":"))
    except ValueError:
        raise Unreadable(f"--slice {text}: not FIRST:LAST; give such as 0:1000") from None
    if not result.vector.shape:
        raise Unreadable(f"--slice {text}: {result.vector.name} has no axis; leave it out")
    return result[first:last]


def save(path, decoded):
    try:
        np.save(path, decoded)
    except OSError as error:
        raise Unreadable(f"{path}: cannot be written: {error.strerror}; name another place with "
                         "--output") from None


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", metavar="RESULTS")
    parser.add_argument("--vector", metavar="NAME")
    parser.add_argument("--result", metavar="NAME", help="such as easyquant_3bit")
    parser.add_argument("--slice", metavar="FIRST:LAST", help="of the first axis")
    parser.add_argument("--output", metavar="FILE.npy", help="without it results are listed")
    return parser.parse_args()


def main(args):
    results = open_results(args.results)
    if not args.output:
        list_results(results)
        return
    results.check_codes()
    vector = choose(results.vectors, args.vector, "vectors", results.path)
    result = choose(vector.results, args.result, "results", f"{results.path}:{vector.name}")
    decoded = parse_slice(args.slice, result) if args.slice else result.decode()
    save(args.output, decoded)
    print(f"{args.output}: {vector.name}, {result.name}, {decoded.dtype}, shape {decoded.shape}")


def start():
    """Needs none of the other scripts: the reader may be copied alone."""
    try:
        main(parse())
    except BrokenPipeError:  # somebody who has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Unreadable as error:
        print(f"read_quantopt.py: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    start()
