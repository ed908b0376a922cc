#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/plot_results.py draws what a run has written: the numbers beside the pictures are those
of the result files and of the input, pictures hold something, and what is missing is said."""
import collections
import csv
import importlib.util
import json
import os
import shutil
import unittest

import h5py
import numpy as np

import harness
import scripted

SMALL = np.array([3.2, -1.4, 2.5, -0.9, 1.8, -3.7, 0.0, 4.0, 2.2, -1.3])
OF_A_VECTOR = ("distribution", "original", "errors", "convergence", "rate")


def numbers(rows, column):
    return np.array([float(row[column]) for row in rows])


def by_result(rows):
    """A table's rows by the result they belong to, or by what `what` says they are."""
    found = collections.defaultdict(list)
    for row in rows:
        found[row["result"]].append(row)
    return found


class Plots(scripted.Scripted):
    """Running the script, and looking at what it leaves."""

    def setUp(self):
        super().setUp()
        if importlib.util.find_spec("matplotlib") is None:
            raise unittest.SkipTest("no matplotlib here (Debian: python3-matplotlib)")

    def quantize(self, *args):
        """Runs the program; what results.json says."""
        self.good([*args, "--save_dir", self.path("out"), "--quiet"])
        return self.described()

    def described(self):
        with open(self.path("out", "results.json"), encoding="utf-8") as f:
            return json.load(f)

    def draw(self, *args, missing=0):
        """Stems of the pictures; `missing` is the number of lines on what cannot be drawn."""
        shutil.rmtree(self.path("plots"), ignore_errors=True)
        done = self.script("plot_results.py", self.path("out"), "--output", self.path("plots"),
                           *args)
        self.assertEqual(done.code, 0, done.err)
        lines = done.err.splitlines()
        self.assertEqual(len(lines), missing, done.err)
        self.assertTrue(all(line.startswith("plot_results.py: ") for line in lines), done.err)
        paths = done.out.split()
        for path in paths:
            self.assertTrue(os.path.getsize(path), path)
        self.assertEqual({os.path.splitext(path)[0] + ".csv" for path in paths},
                         {self.path("plots", name) for name in os.listdir(self.path("plots"))
                          if name.endswith(".csv")})
        for path in paths:
            if path.endswith(".png"):
                self.shows_something(path)
        return {os.path.splitext(os.path.basename(path))[0] for path in paths} - {"figures"}

    def shows_something(self, path):
        """Not all of one colour, and of a size that can be read."""
        import matplotlib.image
        pixels = matplotlib.image.imread(path)
        self.assertGreater(min(pixels.shape[:2]), 150, path)
        shades = (pixels[::2, ::2, :3] * 255).astype(np.uint32) @ np.array([65536, 256, 1])
        self.assertGreater(np.unique(shades).size, 10, path)

    def table(self, stem):
        with open(self.path("plots", f"{stem}.csv"), newline="", encoding="utf-8") as f:
            return list(csv.DictReader(f))

    def edit_file(self, change):
        """change(group of a vector) for each vector of the result file."""
        with h5py.File(self.path("out", "quantized.h5"), "r+") as f:
            found = []
            f["vectors"].visititems(lambda _, node: found.append(node)
                                    if "num_elements" in node.attrs else None)
            for vector in found:
                change(vector)

    def figures_are(self, run):
        """figures.csv and the pictures of rates repeat results.json, to the last digit."""
        rows = {(row["vector"], row["approach"], int(row["num_bits"])): row
                for row in self.table("figures")}
        expected = {(v["name"], r["approach"], r["num_bits"]): r
                    for v in run["vectors"] for r in v["results"]}
        self.assertEqual(rows.keys(), expected.keys())
        for key, result in expected.items():
            for name in ("mse", "rmse", "l2_norm", "sqnr_db", "bits_per_value", "max_abs_error"):
                value = np.inf if result[name] is None else result[name]
                self.assertEqual(float(rows[key][name]), value, f"{key}: {name}")

    def rates_are(self, stem, results):
        rows = by_result(self.table(f"{stem}_rate"))
        self.assertEqual(len(rows), len(results))
        for r in results:
            row = rows[f"{r['approach']}_{r['num_bits']}bit"][0]
            sqnr = np.inf if r["sqnr_db"] is None else r["sqnr_db"]
            self.assertEqual((float(row["bits_per_value"]), float(row["sqnr_db"])),
                             (r["bits_per_value"], sqnr))

    def levels_are(self, stem, results):
        rows = by_result(self.table(f"{stem}_distribution"))
        for r in results:
            levels = np.array(r["levels"])
            mine = rows[f"{r['approach']}_{r['num_bits']}bit"]
            drawn = numbers([row for row in mine if row["what"] == "level"], "begin")
            self.assertEqual(drawn.tolist(), levels.tolist())
            cuts = numbers([row for row in mine if row["what"] == "cut"], "begin")
            self.assertEqual(cuts.tolist(), (0.5 * levels[:-1] + 0.5 * levels[1:]).tolist())

    def histogram_is_of(self, stem, x):
        """Bins hold the finite values between their edges, and the density integrates to 1."""
        rows = [row for row in self.table(f"{stem}_distribution") if row["what"] == "bin"]
        x = np.sort(np.asarray(x, dtype=float)[np.isfinite(x)])
        counts, ends = numbers(rows, "count"), numbers(rows, "end")
        self.assertEqual(counts.sum(), x.size)
        widths = ends - numbers(rows, "begin")
        self.assertAlmostEqual((numbers(rows, "density") * widths).sum(), 1, places=12)
        # An edge may belong to either side: whole cells of the solver's histogram are kept.
        below = np.cumsum(counts)
        near = 1e-4 * (x[-1] - x[0])
        self.assertTrue((np.searchsorted(x, ends - near) <= below).all())
        self.assertTrue((np.searchsorted(x, ends + near, side="right") >= below).all())

    def errors_are(self, stem, results, x):
        """Mean square and counts of the drawn errors, from the input and the levels alone."""
        rows = by_result(self.table(f"{stem}_errors"))
        for r in results:
            mine = rows.pop(f"{r['approach']}_{r['num_bits']}bit", None)
            if r["sqnr_db"] is None or r["sqnr_db"] > 290:
                self.assertIsNone(mine)
                continue
            kept = self.outliers(r)
            levels, rest = np.array(r["levels"]), np.delete(np.asarray(x, dtype=float), kept)
            cuts = 0.5 * levels[:-1] + 0.5 * levels[1:]
            errors = rest - levels[np.searchsorted(cuts, rest)]
            counts = numbers(mine, "count")
            begin, end = numbers(mine, "begin"), numbers(mine, "end")
            self.assertAlmostEqual(counts.sum() / rest.size, 1, places=5)
            self.assertAlmostEqual(end[-1] / np.abs(errors).max(), 1, places=12)
            expected, _ = np.histogram(errors, np.append(begin, end[-1]))
            # An error at an edge may fall to either side.
            self.assertLessEqual(np.abs(counts - expected).sum(), max(3, 2e-3 * rest.size))
            mse = (counts * (0.5 * (begin + end)) ** 2).sum() / rest.size
            width = end[0] - begin[0]
            self.assertLessEqual(abs(mse - (errors ** 2).mean()), width * (
                np.sqrt((errors ** 2).mean()) + width))
        self.assertFalse(rows)

    def outliers(self, r):
        with h5py.File(self.path("out", "quantized.h5"), "r") as f:
            vector = next(iter(f["vectors"].values()))
            return vector[f"{r['approach']}_{r['num_bits']}bit/outlier_index"][()].astype(int)


class Vector(Plots):
    """Pictures of one vector."""

    def test_the_small_vector_is_drawn_otherwise(self):
        run = self.quantize("--approach", "all", "--num_bits", "1,3,4")
        results = run["vectors"][0]["results"]
        drawn = self.draw()
        self.assertEqual(drawn, {"small_distribution", "small_original", "small_errors",
                                 "small_rate", "phases"})
        self.figures_are(run)
        self.rates_are("small", results)
        self.levels_are("small", results)
        self.histogram_is_of("small", SMALL)
        self.errors_are("small", results, SMALL)
        rows = by_result(self.table("small_original"))
        for r in results:
            levels = np.array(r["levels"])
            nearest = levels[np.searchsorted(0.5 * levels[:-1] + 0.5 * levels[1:], SMALL)]
            mine = rows[f"{r['approach']}_{r['num_bits']}bit"]
            self.assertEqual(numbers(mine, "original").tolist(), SMALL.tolist())
            self.assertEqual(numbers(mine, "quantized").tolist(), nearest.tolist())
        phases = {row["phase"]: float(row["max"]) for row in self.table("phases")}
        self.assertEqual(phases, {t["phase"]: t["max"] for t in run["timings"]})

    def test_lloyd_steps_or_outliers_are_drawn_otherwise(self):
        x = np.random.RandomState(3).standard_t(3, 3000).astype(np.float32)
        x[[7, 2000]] = np.nan, np.inf
        np.save(self.path("x.npy"), x)
        run = self.quantize(self.path("x.npy"), "--solver", "lloyd", "--init", "random",
                            "--approach", "non-uniform,easyquant", "--num_bits", "2",
                            "--nonfinite", "keep", "--max_iterations", "12")
        results = run["vectors"][0]["results"]
        self.assertIn("x_convergence", self.draw("--format", "png,pdf"))
        rows = by_result(self.table("x_convergence"))
        for r in results:
            mine = rows[f"{r['approach']}_{r['num_bits']}bit"]
            self.assertEqual(numbers(mine, "mse").tolist(), [h["mse"] for h in r["history"]])
            self.assertGreater(len(mine), 2)
        self.histogram_is_of("x", x)
        self.errors_are("x", results, x)
        finite = x[np.isfinite(x)].astype(float)
        beyond = int((np.abs(finite - finite.mean()) > 3 * finite.std()).sum())
        kept = [row for row in self.table("x_distribution") if row["what"] == "kept exactly"]
        self.assertEqual([int(row["count"]) for row in kept], [beyond])
        for suffix in ("distribution", "errors", "convergence", "rate"):
            with open(self.path("plots", f"x_{suffix}.pdf"), "rb") as f:
                self.assertEqual(f.read(5), b"%PDF-")

    def test_16_bit_numbers_are_drawn_otherwise(self):
        x = np.random.RandomState(4).laplace(size=harness.BLOCK + 3000).astype(np.float16)
        np.save(self.path("half.npy"), x)
        run = self.quantize(self.path("half.npy"), "--approach", "uniform,easyquant",
                            "--num_bits", "2,6")
        results = run["vectors"][0]["results"]
        self.draw()
        self.levels_are("half", results)
        self.histogram_is_of("half", x)
        self.errors_are("half", results, x)
        bits = harness.to_bfloat16(x[:90].astype(np.float32))
        harness.write_safetensors(self.path("b.safetensors"), {"b": ("BF16", [90], bits.tobytes())})
        self.quantize(self.path("b.safetensors"), "--approach", "uniform", "--num_bits", "3")
        self.draw()
        widened = (bits.astype(np.uint32) << 16).view(np.float32)
        self.assertEqual(numbers(self.table("b_original"), "original").tolist(), widened.tolist())


class Run(Plots):
    """Pictures of all vectors of a run."""

    def test_two_approaches_look_the_same(self):
        pictures = scripted.script_module("pictures")
        names = ["uniform", "non-uniform", "easyquant", "easyquant-uniform", "nf4", "af4", "fp4",
                 "e2m1", "iq4_nl", *(f"max{k}" for k in range(2, 40)), "fixed-mine"]
        looks = {(look["color"], str(look["linestyle"]), pictures.marker(name))
                 for name in names for look in [pictures.line(name)]}
        self.assertEqual(len(looks), len(names))
        self.assertEqual(len({pictures.colour(name) for name in names[:11]}), 11)

    def test_names_are_taken_for_formulas_or_warned_of(self):
        with h5py.File(self.path("in.h5"), "w") as f:
            for name in ("$\\frac$", "$", "日本/μ", "a/" + 200 * "b", "100%\n"):
                f[name] = np.arange(9.0)
        self.quantize(self.path("in.h5"), "--approach", "uniform", "--num_bits", "2")
        self.draw("--most", "1")
        self.assertEqual([row["vector"] for row in self.table("tensors")].count("日本/μ"), 1)

    def weights(self, *args):
        return self.quantize(harness.SHIPPED, "--approach", "uniform,non-uniform,easyquant",
                             "--num_bits", "2,4", *args)

    def tensors_are(self, run):
        """All vectors, each once, with its SQNR; returns names, the worst first."""
        rows = self.table("tensors")
        vectors = {v["name"]: v for v in run["vectors"] if v["results"]}
        self.assertEqual(sorted(row["vector"] for row in rows), sorted(vectors))
        self.assertEqual([int(row["rank"]) for row in rows], list(range(1, len(rows) + 1)))
        for row in rows:
            for r in vectors[row["vector"]]["results"]:
                sqnr = np.inf if r["sqnr_db"] is None else r["sqnr_db"]
                self.assertEqual(float(row[f"sqnr_db {r['approach']}_{r['num_bits']}bit"]), sqnr)
        apart = numbers(rows, "db_from_median")
        self.assertTrue((np.diff(apart) >= 0).all())
        return [row["vector"] for row in rows]

    def test_vectors_of_a_model_are_left_out(self):
        run = self.weights()
        drawn = self.draw("--most", "1")
        self.assertEqual({d for d in drawn if not d.endswith(OF_A_VECTOR)},
                         {"tensors", "rates", "phases"})
        self.figures_are(run)
        self.tensors_are(run)
        sizes = np.array([v["num_elements"] for v in run["vectors"]], dtype=float)
        for row in self.table("rates"):
            mine = [next(r for r in v["results"] if f"{r['approach']}_{r['num_bits']}bit" ==
                         row["result"]) for v in run["vectors"]]
            bits = np.array([r["bits_per_value"] for r in mine])
            self.assertAlmostEqual(float(row["bits_per_value"]),
                                   (bits * sizes).sum() / sizes.sum(), places=9)
            sqnr = np.array([np.inf if r["sqnr_db"] is None else r["sqnr_db"] for r in mine])
            median = float(row["sqnr_db"])
            self.assertLessEqual(sizes[sqnr < median].sum(), sizes.sum() / 2)
            self.assertGreaterEqual(sizes[sqnr <= median].sum(), sizes.sum() / 2)

    def test_figures_alone_are_not_drawn(self):
        run = self.weights("--output", "none")
        drawn = self.draw("--most", "1", missing=1)
        self.assertTrue({"tensors", "rates", "phases"} < drawn, drawn)
        self.assertFalse({d for d in drawn if d.endswith(("errors", "original"))}, drawn)
        largest = max(run["vectors"], key=lambda v: v["num_elements"])
        stem = next(d for d in drawn if d.endswith("_rate"))[:-len("_rate")]
        self.levels_are(stem, largest["results"])
        self.rates_are(stem, largest["results"])

    def test_three_bad_of_three_hundred_are_overlooked(self):
        """Or of several thousand, which have no row each."""
        run = self.quantize("--generate", "laplace:3000", "--approach", "uniform,easyquant",
                            "--num_bits", "4", "--output", "none")
        bad = {"model/layer17/kernel:0", "model/layer250/kernel:0", "model/layer299/kernel:0"}
        for count in (300, 3000):
            rng = np.random.RandomState(5)
            made = json.loads(json.dumps(run))
            made["vectors"] = [json.loads(json.dumps(run["vectors"][0])) for _ in range(count)]
            for i, v in enumerate(made["vectors"]):
                v["name"] = f"model/layer{i}/kernel:0"
                for r in v["results"]:
                    r["sqnr_db"] += rng.standard_normal() - (12 if v["name"] in bad else 0)
            with open(self.path("out", "results.json"), "w", encoding="utf-8") as f:
                json.dump(made, f)
            drawn = self.draw("--most", "0", missing=1)
            self.assertEqual(drawn, {"tensors", "rates", "phases"})
            self.assertEqual(set(self.tensors_are(made)[:3]), bad)

    def test_a_codebook_costs_otherwise(self):
        run = self.quantize("--generate", "normal:20K", "--approach", "non-uniform,nf4,e2m1",
                            "--num_bits", "4")
        results = {f"{r['approach']}_4bit": r for r in run["vectors"][0]["results"]}
        self.assertIn("codebooks", self.draw())
        rows = {row["result"]: float(row["percent"]) for row in self.table("codebooks")}
        self.assertEqual(set(rows), set(results))
        best = results["non-uniform_4bit"]["mse"]
        for name, r in results.items():
            self.assertAlmostEqual(rows[name], ((1 + r["optimality_gap"]) ** 2 - 1) * 100, places=9)
            # The best levels are within 0.1 % of the bound that the gap is against.
            self.assertAlmostEqual(rows[name] / 100, r["mse"] / best - 1, delta=5e-3)
        self.assertGreater(rows["e2m1_4bit"], rows["nf4_4bit"])
        self.assertEqual(set(by_result(self.table("normal_rate"))), set(results))

    def test_an_older_file_is_not_drawn(self):
        self.quantize("--approach", "uniform", "--num_bits", "2")

        def make_old(vector):
            del vector.attrs["original"]
            del vector["uniform_2bit"].attrs["error_histogram"]

        self.edit_file(make_old)
        self.assertEqual(self.draw(missing=2), {"small_distribution", "small_rate", "phases"})
        os.remove(self.path("out", "results.json"))
        self.assertEqual(self.draw(missing=3), {"small_distribution", "small_rate"})


class Refused(Plots):
    """One line with the remedy, and no half-drawn pictures called done."""

    def refuses(self, code, words, *args):
        super().refuses(code, words, "plot_results", *args)

    def test_a_wrong_call_ends_in_a_traceback(self):
        self.quantize("--approach", "uniform", "--num_bits", "2")
        out = self.path("out")
        self.refuses(1, ["nothing", "quantopt_mpi"], self.path("nothing"))
        self.refuses(1, ["no vector matches", "big*", "small"], out, "--vectors", "big*")
        self.refuses(2, ["--format", "xyz", "png"], out, "--format", "png,xyz")
        self.refuses(2, ["--most", "-1"], out, "--most", "-1")
        with open(self.path("file"), "w", encoding="utf-8"):
            pass
        self.refuses(1, [self.path("file"), "--output"], out, "--output", self.path("file"))

    def test_half_a_result_ends_in_a_traceback(self):
        self.quantize("--approach", "uniform", "--num_bits", "2")
        file = self.path("out", "quantized.h5")
        whole = harness.read_bytes(file)
        self.edit_file(lambda vector: vector["uniform_2bit"].attrs.pop("bits_per_value"))
        self.refuses(1, ["bits_per_value", "run quantopt_mpi again"], self.path("out"))
        with open(file, "wb") as f:
            f.write(whole[:len(whole) // 2])
        self.refuses(1, [file, "run quantopt_mpi again"], self.path("out"))
        os.remove(file)
        with open(self.path("out", "results.json"), "r+", encoding="utf-8") as f:
            f.truncate(200)
        self.refuses(1, ["results.json", "run quantopt_mpi again"], self.path("out"))


if __name__ == "__main__":
    harness.main()
