#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks a quantopt result file from the outside: docs/format.md, NumPy and h5py, nothing of the
program.

    check_result.py quantized.h5 [--input NAME=FILE[:DATASET]]... [--restored FILE] [--quiet]
                    [--codebook fixed-NAME=FILE]...

Without --input: structure, types, ranges, the sizes of all parts, unused bits, and that levels of a
codebook are its values times the scale; those of a file are read with --codebook. With the vector's
original also: mean and std (exactly, for small vectors), which elements are outliers, every code,
and every figure; the squared error is summed in the order that the program promises and has to
agree to the last bit; and no other scale of a codebook may have a smaller error. With --restored:
the vectors in that file are what the result file decodes to.

NAME is the vector's path below /vectors. FILE is HDF5 with :DATASET, .npy, .safetensors with
:TENSOR, or raw .f16 .f32 .f64. Exit code 0 only if everything holds.
"""
import argparse
import json
import math
import os
import sys
from fractions import Fraction

import h5py
import numpy as np

BLOCK, LANES = 65536, 16
VECTOR = {"shape", "dtype", "num_elements", "nonfinite_count", "min", "max", "mean", "std"}
RESULT = {
    "approach",
    "num_bits",
    "solver",
    "threshold",
    "scale",
    "mse",
    "rmse",
    "l2_norm",
    "relative_error",
    "sqnr_db",
    "max_abs_error",
    "outlier_count",
    "bits_per_value",
    "compression_ratio",
    "iterations",
    "converged",
    "optimality_gap",
    "sample_size",
    "sample_excess",
    "solve_seconds",
    "encode_seconds",
    "digest",
    "error_histogram",
}
ROOT = {
    "format",
    "format_version",
    "quantopt_version",
    "created",
    "command_line",
    "options",
    "ranks",
    "threads_per_rank",
    "device",
    "source",
}
LONG_TEXTS = {"command_line", "options", "source"}  # These may be datasets of the root group.
APPROACHES = {"uniform", "non-uniform", "easyquant", "easyquant-uniform"}
# Published codebooks, up to the scale: QLoRA (arXiv 2305.14314), appendix E; arXiv 2306.06965 for
# blocks of 64; bitsandbytes' 4-bit floats; OCP Microscaling Formats 1.0; llama.cpp's IQ4_NL.
NF4_BELOW = [
    1.0,
    0.6961928009986877,
    0.5250730514526367,
    0.39491748809814453,
    0.28444138169288635,
    0.18477343022823334,
    0.09105003625154495,
]
NF4_ABOVE = [
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
]
AF4_BELOW = [1.0, 0.69441008, 0.51243739, 0.3736951, 0.25607552, 0.14982478, 0.04934812]
AF4_ABOVE = [
    0.04273164,
    0.12934483,
    0.21961274,
    0.31675666,
    0.42563882,
    0.55496234,
    0.72424863,
    1.0,
]
FP4 = [0.0625 / 12, 2 / 12, 3 / 12, 4 / 12, 6 / 12, 8 / 12, 1.0]
E2M1 = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
IQ4_NL = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]
CODEBOOKS = {
    name: np.array(sorted([*(-x for x in below), *zero, *above]))
    for name, below, zero, above in (
        ("nf4", NF4_BELOW, [0.0], NF4_ABOVE),
        ("af4", AF4_BELOW, [0.0], AF4_ABOVE),
        ("fp4", FP4, [0.0], FP4),
        ("e2m1", E2M1, [0.0], E2M1),
        ("iq4_nl", [], [], map(float, IQ4_NL)),
    )
}
BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


class Problems(list):
    def need(self, condition, text):
        if not condition:
            self.append(text)
        return bool(condition)


def as_text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def widen(raw, dtype):
    """float64 values of elements as they are stored."""
    if dtype == "bfloat16":
        return (raw.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return raw.astype(np.float64)


class Original:
    """The vector as its file holds it: raw elements, type, shape, fill values."""

    def __init__(self, spec):
        path, part = split(spec)
        self.fills = []
        if h5py.is_hdf5(path) and not path.endswith(".npy"):
            with h5py.File(path, "r") as f:
                node = f[part]
                self.raw, self.shape = node[()], node.shape
                for name in ("_FillValue", "missing_value"):
                    if name in node.attrs and np.asarray(node.attrs[name]).dtype.kind in "fiu":
                        self.fills.append(
                            np.asarray(node.attrs[name]).ravel()[0].astype(self.raw.dtype)
                        )
        elif path.endswith(".npy"):
            self.raw = np.load(path)
            self.shape = self.raw.shape
        elif path.endswith(".safetensors"):
            self.raw, self.shape = read_tensor(path, part)
        else:
            self.raw = np.fromfile(
                path, {"f16": "<f2", "f32": "<f4", "f64": "<f8"}[path.rsplit(".", 1)[1]]
            )
            self.shape = self.raw.shape
        self.raw = np.ascontiguousarray(self.raw).ravel()
        self.raw = self.raw.astype(self.raw.dtype.newbyteorder("="))
        self.dtype = "bfloat16" if self.raw.dtype == np.uint16 else self.raw.dtype.name
        self.x = widen(self.raw, self.dtype)


def split(spec):
    for end in [i for i, c in enumerate(spec) if c == ":"] + [len(spec)]:
        if os.path.isfile(spec[:end]):
            return spec[:end], spec[end + 1 :]
    raise SystemExit(f"no such file: {spec}")


def read_tensor(path, name):
    with open(path, "rb") as f:
        length = int.from_bytes(f.read(8), "little")
        entry = json.loads(f.read(length))[name]
        first, last = entry["data_offsets"]
        f.seek(8 + length + first)
        kind = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8"}[entry["dtype"]]
        return np.frombuffer(f.read(last - first), kind), tuple(entry["shape"])


def unpack(packed, bits, n):
    """Code i lies in bits [i*bits, (i+1)*bits), the lowest first; in slices, so that bits do not
    fill the memory."""
    codes = np.empty(n, np.uint8)
    for first in range(0, n, BLOCK * 16):
        last = min(first + BLOCK * 16, n)
        piece = packed[first * bits // 8 : (last * bits + 7) // 8]
        bit = np.unpackbits(piece, bitorder="little")[: (last - first) * bits].reshape(-1, bits)
        codes[first:last] = np.packbits(bit, axis=1, bitorder="little")[:, 0]
    return codes


def promised_sum(square):
    """Blocks by global index, 16 lanes in index order, lanes added as a tree, blocks added
    exactly."""
    blocks = []
    for first in range(0, square.size, BLOCK):
        block = square[first : first + BLOCK]
        rows = np.zeros((-(-block.size // LANES), LANES))
        rows.ravel()[: block.size] = block
        lanes = np.add.accumulate(rows, axis=0)[-1]
        for half in (8, 4, 2, 1):
            lanes = lanes[:half] + lanes[half : 2 * half]
        blocks.append(float(lanes[0]))
    return math.fsum(blocks)


def exact_moments(x):
    """Mean, correctly rounded, and variance as a fraction."""
    total = sum(map(Fraction, x), Fraction(0))
    mean = total / len(x)
    variance = sum((Fraction(v) * Fraction(v) for v in x), Fraction(0)) / len(x) - mean * mean
    return float(mean), variance


def is_rounded_root(value, square):
    """Whether value is the float64 nearest to the square root of a fraction."""
    low = (
        (Fraction(value) + Fraction(math.nextafter(value, -math.inf))) / 2
        if value > 0
        else Fraction(0)
    )
    high = (Fraction(value) + Fraction(math.nextafter(value, math.inf))) / 2
    return low * low <= square <= high * high


def check_statistics(where, attrs, original, fill, problems):
    x = original.x
    finite = x[np.isfinite(x) & ~fill]
    problems.need(
        int(attrs["nonfinite_count"]) == int((~np.isfinite(x) & ~fill).sum()),
        f"{where}: nonfinite_count",
    )
    if "fill_count" in attrs:
        problems.need(
            int(attrs["fill_count"]) == int(fill.sum()),
            f"{where}: fill_count is {attrs['fill_count']}",
        )
    if not finite.size:
        problems.need(
            all(np.isnan(attrs[name]) for name in ("min", "max", "mean", "std")),
            f"{where}: not NaN",
        )
        return
    problems.need(
        float(attrs["min"]) == finite.min(),
        f"{where}: min is {attrs['min']!r}, should be {finite.min()!r}",
    )
    problems.need(
        float(attrs["max"]) == finite.max(),
        f"{where}: max is {attrs['max']!r}, should be {finite.max()!r}",
    )
    mean, std = float(attrs["mean"]), float(attrs["std"])
    if finite.size <= 20000:
        right, variance = exact_moments(finite)
        problems.need(mean == right, f"{where}: mean is {mean!r}, correctly rounded {right!r}")
        problems.need(
            is_rounded_root(std, variance),
            f"{where}: std is {std!r}, not the nearest to the root of the variance",
        )
    else:
        right = math.fsum(finite) / finite.size
        spread = math.sqrt(math.fsum((finite - right) ** 2) / finite.size)
        slack = 4e-16 * max(abs(right), spread)
        problems.need(
            abs(mean - right) <= slack, f"{where}: mean is {mean!r}, recomputed {right!r}"
        )
        problems.need(
            abs(std - spread) <= 1e-12 * spread, f"{where}: std is {std!r}, recomputed {spread!r}"
        )


def check_histogram(where, node, n, problems):
    """The n elements that are in the statistics; without any there is no histogram."""
    if not problems.need(("histogram" in node) == (n > 0), f"{where}: histogram of {n} elements"):
        return
    if n:
        edges, counts = node["histogram/edges"][...], node["histogram/counts"][...]
        good = edges.size == counts.size + 1 and np.all(np.diff(edges) >= 0)
        problems.need(good, f"{where}: histogram edges")
        problems.need(int(counts.sum()) == n, f"{where}: the histogram counts {counts.sum()}")


def check_vector(where, node, original, keep_fills, problems):
    """Attributes and plot histogram of a vector; returns (n, dtype, mask of fill values) or
    None."""
    missing = VECTOR - set(node.attrs)
    if not problems.need(not missing, f"{where}: no attribute {sorted(missing)}"):
        return None
    n, dtype = int(node.attrs["num_elements"]), as_text(node.attrs["dtype"])
    shape = (
        tuple(int(s) for s in np.atleast_1d(node.attrs["shape"]))
        if node.attrs["shape"] is not None
        else ()
    )
    if not isinstance(node.attrs["shape"], h5py.Empty):
        problems.need(math.prod(shape) == n, f"{where}: shape {shape} is not {n} elements")
    problems.need(dtype in BYTES, f"{where}: dtype {dtype}")
    fills = int(node.attrs.get("fill_count", 0))
    check_histogram(where, node, n - int(node.attrs["nonfinite_count"]) - fills, problems)
    problems.need(("original" in node.attrs) == (n <= 100), f"{where}: original of {n} elements")
    if original is None:
        return n, dtype, None
    same = (n, dtype) == (original.raw.size, original.dtype) and (
        shape == original.shape or not original.shape
    )
    if not problems.need(
        same,
        f"{where}: {n} {dtype} {shape}, but the input has "
        f"{original.raw.size} {original.dtype} {original.shape}",
    ):
        return None
    if "original" in node.attrs:
        kept = np.asarray(node.attrs["original"]).astype(original.raw.dtype)
        problems.need(kept.tobytes() == original.raw.tobytes(), f"{where}: original differs")
    fill = np.zeros(n, bool)
    for value in [] if keep_fills else original.fills:
        fill |= original.raw == value
    check_statistics(where, node.attrs, original, fill, problems)
    return n, dtype, fill


def check_parts(where, node, n, dtype, problems):
    """Levels, codes and outliers for themselves; returns (levels, codes, index, value) or None."""
    missing = RESULT - set(node.attrs)
    if not problems.need(not missing, f"{where}: no attribute {sorted(missing)}"):
        return None
    bits = int(node.attrs["num_bits"])
    levels, packed = node["levels"][...], node["codes"][...]
    index, value = node["outlier_index"][...], node["outlier_value"][...]
    stored = np.dtype(np.uint16 if dtype == "bfloat16" else dtype)
    good = [
        problems.need(
            where.endswith(f"/{as_text(node.attrs['approach'])}_{bits}bit"),
            f"{where}: does not match its name",
        ),
        problems.need(
            levels.dtype == np.float64
            and 1 <= levels.size <= 2**bits
            and np.isfinite(levels).all()
            and np.all(np.diff(levels) > 0),
            f"{where}: levels are not finite, ascending, at most 2^{bits}",
        ),
        problems.need(
            packed.dtype == np.uint8 and packed.size == (n * bits + 7) // 8,
            f"{where}: size or type of codes",
        ),
        problems.need(
            index.dtype == np.uint64
            and index.size == value.size == int(node.attrs["outlier_count"]),
            f"{where}: {index.size} outlier indices, {value.size} values",
        ),
        problems.need(
            value.dtype.newbyteorder("=") == stored, f"{where}: outlier_value is {value.dtype}"
        ),
        problems.need(
            index.size == 0 or (np.all(index[1:] > index[:-1]) and int(index[-1]) < n),
            f"{where}: outlier indices are not ascending and below {n}",
        ),
    ]
    if not all(good):
        return None
    if n * bits % 8:
        problems.need(
            packed[-1] >> (n * bits % 8) == 0, f"{where}: unused bits of the last byte are not 0"
        )
    codes = unpack(packed, bits, n)
    if not problems.need(n == 0 or codes.max() < levels.size, f"{where}: a code without a level"):
        return None
    size = packed.nbytes + levels.nbytes + index.nbytes + value.nbytes
    figure(where, node, "bits_per_value", 8 * size / n, problems)
    figure(where, node, "compression_ratio", BYTES[dtype] * 8 / (8 * size / n), problems)
    gap = float(node.attrs["optimality_gap"])
    problems.need(gap >= 0 or math.isnan(gap), f"{where}: optimality_gap is {gap!r}")
    return levels, codes, index.astype(np.int64), value


def figure(where, node, name, want, problems, exact=False):
    have = float(node.attrs[name])
    close = have == want or (not exact and abs(have - want) <= 4e-15 * abs(want))
    problems.need(
        close or (math.isnan(have) and math.isnan(want)),
        f"{where}: {name} is {have!r}, recomputed {want!r}",
    )


def check_errors(where, node, error, exact, problems):
    """How the errors of the elements with a level spread over 64 bins. Where several values share a
    cell the elements of it are spread evenly: then up to any bin nearly as many as there should
    be."""
    share, reach = node.attrs["error_histogram"], float(node.attrs["max_abs_error"])
    if not problems.need(
        share.dtype == np.float32 and share.size == 64, f"{where}: error_histogram"
    ):
        return
    if not error.size or not math.isfinite(reach):
        problems.need(not share.any(), f"{where}: errors of no element")
        return
    place = np.minimum((error / (reach or 1.0) + 1) * 32, 63).astype(int)
    want = np.bincount(place, minlength=64) / error.size
    far = np.abs(np.cumsum(share - want)).max()
    problems.need(
        far <= (1e-5 if exact else 0.01), f"{where}: error_histogram is off by {far:.2g}"
    )


def read_codebook(path):
    """The distinct numbers of a text, ascending."""
    with open(path) as f:
        words = [word for line in f for word in line.split("#")[0].replace(",", " ").split()]
    return np.unique(np.array(words, float) + 0.0)


def is_max(table):
    """Whether each number is the mean of its cell for N(0, 1): there is one such set of a size."""

    def upper(x):
        return 0.5 * math.erfc(x / math.sqrt(2))

    def density(x):
        return math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)

    ends = [-math.inf, *(0.5 * table[:-1] + 0.5 * table[1:]), math.inf]
    for level, a, b in zip(table, ends, ends[1:]):
        if level < 0:  # The tail above has more digits than what lies below it.
            level, a, b = -level, -b, -a
        if abs((density(a) - density(b)) / (upper(a) - upper(b)) - level) > 1e-9:
            return False
    return True


def check_codebook(where, node, levels, books, problems):
    """Levels are a codebook times the scale; returns the codebook, or None for another approach."""
    approach, scale = as_text(node.attrs["approach"]), float(node.attrs["scale"])
    if approach in APPROACHES:
        problems.need(math.isnan(scale), f"{where}: scale is {scale!r} without a codebook")
        return None
    problems.need(math.isfinite(scale), f"{where}: scale is {scale!r}")
    if not 1e-290 < abs(scale) < math.inf:  # Too few digits, or all levels are 0.
        return None
    table = books.get(approach, CODEBOOKS.get(approach))
    if table is None:  # max<k>, or a file that is not at hand.
        table = np.sort(levels / scale)
        if approach.startswith("max"):
            right = table.size == int(approach[3:]) and is_max(table)
            problems.need(right, f"{where}: not the best {approach[3:]} levels for N(0, 1)")
    right = np.unique(scale * table + 0.0)
    same = right.size == levels.size and np.all(np.abs(right - levels) <= 4e-16 * np.abs(levels))
    problems.need(same, f"{where}: levels are not those of {approach} times {scale!r}")
    bits = max(1, math.ceil(math.log2(table.size)))
    problems.need(bits == int(node.attrs["num_bits"]), f"{where}: {table.size} levels, {bits} bits")
    return table


def check_scale(where, node, table, x, total, problems):
    """No other scale has a smaller error on the elements x; total is that of the scale. Beyond so
    many elements the program counts them in cells, which blur an error a little."""
    scale, slack = float(node.attrs["scale"]), 1e-8 if x.size <= BLOCK else 1e-6
    for factor in (0.5, 0.9, 0.99, 0.999, 0.9999, 1.0001, 1.001, 1.01, 1.1, 2, -1, -0.97, -1.03):
        other = np.sort(factor * scale * table)
        cuts = 0.5 * other[:-1] + 0.5 * other[1:]
        error = x - other[np.searchsorted(cuts, x)]
        problems.need(
            np.dot(error, error) >= total * (1 - slack),
            f"{where}: {factor} times the scale has a smaller error",
        )


def check_against(where, node, vector, parts, original, fill, table, problems):
    levels, codes, index, value = parts
    x, n = original.x, original.raw.size
    # Which elements are kept exactly.
    outlier = fill | ~np.isfinite(x)
    if as_text(node.attrs["approach"]).startswith("easyquant"):
        reach = float(node.attrs["threshold"]) * float(vector.attrs["std"])
        mean = float(vector.attrs["mean"])
        outlier |= (x < mean - reach) | (x > mean + reach)
    problems.need(
        np.array_equal(np.flatnonzero(outlier), index),
        f"{where}: {index.size} outliers, should be {outlier.sum()}",
    )
    problems.need(
        original.raw[index].tobytes() == value.astype(original.raw.dtype).tobytes(),
        f"{where}: an outlier's bits",
    )
    # A code is the number of cuts below the element, for outliers too.
    cuts = 0.5 * levels[:-1] + 0.5 * levels[1:]
    right = np.where(np.isnan(x), 0, np.searchsorted(cuts, x, side="left"))
    wrong = np.flatnonzero(right != codes)
    problems.need(
        not wrong.size, f"{where}: {wrong.size} codes are wrong, the first at {wrong[:1]}"
    )
    # The figures.
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.where(outlier, 0.0, x - levels[codes])
        total = promised_sum(error * error)
        signal = math.fsum(np.square(x[np.isfinite(x) & ~fill]))
    exact = original.raw.itemsize == 2 or n <= BLOCK
    if not int(node.attrs["sample_size"]):
        check_errors(where, node, (x - levels[codes])[~outlier], exact, problems)
    if table is not None and not int(node.attrs["sample_size"]):
        check_scale(where, node, table, x[~outlier], total, problems)
    figure(where, node, "mse", total / n, problems, exact=True)
    figure(where, node, "rmse", math.sqrt(total / n), problems)
    figure(where, node, "l2_norm", math.sqrt(total) / n, problems)
    figure(
        where,
        node,
        "relative_error",
        math.sqrt(total) / math.sqrt(signal) if signal else 0.0,
        problems,
    )
    figure(where, node, "max_abs_error", float(np.abs(error).max()), problems, exact=True)
    have = float(node.attrs["sqnr_db"])
    if total and signal:
        problems.need(
            abs(have - 10 * math.log10(signal / total)) <= 1e-9, f"{where}: sqnr_db is {have!r}"
        )
    elif not total:
        problems.need(have == math.inf, f"{where}: sqnr_db is {have!r} without an error")


def decode(levels, codes, index, value, dtype):
    """The vector that a result gives back, in its own type."""
    if dtype == "bfloat16":
        bits = levels.astype(np.float64).view(np.uint64)
        table = (
            np.array([bfloat16_bits(v) for v in levels], np.uint16)
            if bits.size
            else np.empty(0, np.uint16)
        )
    else:
        table = levels.astype(dtype)
    x = table[codes]
    x[index] = value
    return x


def bfloat16_bits(value):
    """The nearest bfloat16 to a float64, ties to even, found among its neighbours by exact
    comparison."""
    near = int(np.float32(value).view(np.uint32)) >> 16
    best = []
    for bits in (near - 1, near, near + 1):
        if 0 <= bits <= 0xFFFF:
            candidate = float(np.uint32(bits << 16).view(np.float32))
            if math.isfinite(candidate) and math.copysign(1, candidate) == math.copysign(1, value):
                best.append((abs(Fraction(candidate) - Fraction(value)), bits & 1, bits))
    return min(best)[2]


def check_restored(path, name, expected, shape, problems):
    if path.endswith(".npy"):
        have = np.load(path)
    else:
        with h5py.File(path, "r") as f:
            if not problems.need(name in f, f"{path}: no vector {name}"):
                return
            have = f[name][()]
    have = np.asarray(have)
    problems.need(have.shape == shape, f"{path}:{name}: shape {have.shape}, should be {shape}")
    if problems.need(
        have.dtype == expected.dtype, f"{path}:{name}: {have.dtype}, should be {expected.dtype}"
    ):
        different = np.flatnonzero(have.ravel().view(np.uint8) != expected.view(np.uint8))
        problems.need(
            not different.size,
            f"{path}:{name}: differs in {different.size} bytes from what the file decodes to",
        )


def check_root(f, problems):
    missing = {name for name in ROOT - set(f.attrs) if not (name in LONG_TEXTS and name in f)}
    problems.need(not missing, f"/: no attribute {sorted(missing)}")
    right = (
        as_text(f.attrs.get("format")) == "quantopt" and int(f.attrs.get("format_version", 0)) == 1
    )
    problems.need(right, "/: not a quantopt file of format version 1")


def find_vectors(f):
    """name -> group; a group with num_elements is a vector."""
    found = {}
    f["vectors"].visititems(
        lambda name, node: found.update({name: node})
        if "num_elements" in node.attrs and isinstance(node, h5py.Group)
        else None
    )
    return found


def check_file(path, inputs, args, problems):
    with h5py.File(path, "r") as f:
        check_root(f, problems)
        vectors = find_vectors(f)
        problems.need(vectors, "/vectors holds no vector")
        for name in inputs.keys() - vectors.keys():
            problems.append(f"no vector {name}; there are {', '.join(vectors)}")
        for name, vector in vectors.items():
            original = Original(inputs[name]) if name in inputs else None
            known = check_vector(name, vector, original, args.fills_are_values, problems)
            results = [
                child
                for child in vector.values()
                if isinstance(child, h5py.Group) and "approach" in child.attrs
            ]
            problems.need(results, f"{name}: no result")
            for node in results if known else []:
                n, dtype, fill = known
                where = f"{name}/{node.name.rsplit('/', 1)[1]}"
                parts = check_parts(where, node, n, dtype, problems)
                table = parts and check_codebook(where, node, parts[0], args.books, problems)
                if parts and original is not None:
                    check_against(where, node, vector, parts, original, fill, table, problems)
                if (
                    parts
                    and args.restored
                    and (not args.result or where.endswith("/" + args.result))
                ):
                    shape = (
                        ()
                        if isinstance(vector.attrs["shape"], h5py.Empty)
                        else tuple(int(s) for s in np.atleast_1d(vector.attrs["shape"]))
                    )
                    check_restored(args.restored, name, decode(*parts, dtype), shape, problems)
                if not args.quiet:
                    print(
                        f"{where}: n={n} {dtype} k={parts[0].size if parts else '?'} "
                        f"l2_norm={float(node.attrs.get('l2_norm', math.nan)):.12g}"
                    )
        return len(vectors)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file")
    parser.add_argument("--input", action="append", default=[], metavar="NAME=FILE[:DATASET]")
    parser.add_argument("--codebook", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--restored", metavar="FILE", help="what --restore wrote")
    parser.add_argument(
        "--result", metavar="NAME", help="the result that was restored, as in easyquant_3bit"
    )
    parser.add_argument(
        "--fills-are-values", action="store_true", help="made with --fill_values use"
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print problems and the last line only"
    )
    args = parser.parse_args()
    args.books = {
        name: read_codebook(path) for name, path in (item.split("=", 1) for item in args.codebook)
    }
    problems = Problems()
    count = check_file(args.file, dict(item.split("=", 1) for item in args.input), args, problems)
    for problem in problems:
        print("problem:", problem, file=sys.stderr)
    print(f"{args.file}: {count} vectors, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
