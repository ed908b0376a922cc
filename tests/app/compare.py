#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/compare_runs.py, compare_published.py and run_all.sh: the figures they draw and print are
those of the runs, whatever file they are read from; and what is wrong with a file is said in a
line."""
import csv
import json
import os
import re
import statistics
import subprocess
import zlib

import h5py
import numpy as np

import harness
import scripted

# As quantizers' three approaches are written in an older results.txt, without headers.
OLD = """Uniform Quantization:
L2 Norm: 1043.3079663695087
Latency: 1.0135 seconds

Easyquant Quantization:
L2 Norm: 553.6062466390083
Latency: 15.2433 seconds

"""


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


class Compared(scripted.Scripted):
    """Runs the program and the scripts."""

    def compare(self, *args):
        result = self.script("compare_runs.py", *args)
        self.assertEqual((result.code, result.err), (0, ""), str(result))
        return result

    def quantize(self, name, np_, *args):
        """A run with figures alone, and its results.json."""
        self.good(["--save_dir", self.path(name), "--output", "none", "--quiet", "--threads", "1",
                   *args], np_)
        with open(self.path(name, "results.json"), encoding="utf-8") as f:
            return json.load(f)

    def is_picture(self, path):
        """A PNG with more than one colour in it."""
        data = harness.read_bytes(path)
        self.assertEqual(data[:8], b"\x89PNG\r\n\x1a\n", path)
        pixels, at = b"", 8
        while at < len(data):
            length = int.from_bytes(data[at:at + 4], "big")
            if data[at + 4:at + 8] == b"IDAT":
                pixels += data[at + 8:at + 8 + length]
            at += length + 12
        self.assertGreater(len(set(zlib.decompress(pixels)[:200_000])), 4, path)


class Compare(Compared):
    def test_a_figure_is_not_that_of_the_run(self):
        runs = {ranks: self.quantize(f"r{ranks}", ranks, "--num_bits", "2,3") for ranks in (1, 2)}
        result = self.compare(self.path("r1"), self.path("r2", "results.json"))
        rows = read_csv(self.path("r1", "comparison.csv"))
        self.is_picture(self.path("r1", "comparison.png"))
        found = {(int(row["ranks"]), row["approach"], int(row["num_bits"])): row for row in rows}
        self.assertEqual(len(found), len(rows))
        self.assertEqual(len(rows), 16)
        for ranks, run in runs.items():
            for r in run["vectors"][0]["results"]:
                row = found[ranks, r["approach"], r["num_bits"]]
                for key in ("l2_norm", "relative_error", "optimality_gap"):
                    self.assertEqual(float(row[key]), r[key], key)
                for key in ("latency_seconds", "latency_min_seconds", "latency_max_seconds"):
                    self.assertEqual(float(row[key]), r["solve_seconds"] + r["encode_seconds"])
                self.assertEqual((row["vector"], row["num_elements"], row["device"], row["runs"]),
                                 ("small", "10", "cpu", "1"))
                self.assertIn(f"{r['l2_norm']:.8g}", result.out)
        self.assertFalse(os.path.exists(self.path("r1", "scaling.png")))  # Of ten values.

    def test_runs_in_one_results_txt_are_mixed_up(self):
        for seed in range(3):
            self.quantize("x", 0, "--num_bits", "3,4", "--approach", "uniform,easyquant")
        self.quantize("x", 2, "--approach", "uniform")
        text = harness.read_text(self.path("x", "results.txt"))
        blocks = re.findall(r"Vector Size: (\w+?)((?:_4bit)?)(?:_\d)?___multiprocess: (\w+)__.*\n"
                            r"((?:.+\n.+\n.+\n\n)+)", text)
        self.assertEqual(len(blocks), 7)
        seconds = {}
        for _, bits, several, lines in blocks:
            for title, taken in re.findall(r"(\S+) Q.*\n.*\nLatency: (\S+)", lines):
                key = title.lower(), "4" if bits else "3", several
                seconds.setdefault(key, []).append(float(taken))
        self.compare(self.path("x", "results.txt"), "--output", self.path("o"))
        rows = read_csv(self.path("o", "comparison.csv"))
        self.assertEqual(len(rows), len(seconds))
        for row in rows:
            self.assertEqual((row["vector"], row["num_elements"]), ("small", ""))
            several = {"one process": "False", "multiprocess": "True"}[row["setting"]]
            times = seconds[row["approach"], row["num_bits"], several]
            self.assertEqual(int(row["runs"]), len(times))
            self.assertEqual(float(row["latency_seconds"]), statistics.median(times))
            self.assertEqual(float(row["latency_max_seconds"]), max(times))

    def test_numbered_layers_are_taken_for_runs(self):
        with h5py.File(self.path("m.h5"), "w") as f:
            for name in ("conv", "conv_1", "conv_2", "conv_3"):
                f[name] = np.arange(20.0)
        self.quantize("x", 0, self.path("m.h5"), "--approach", "uniform")
        self.compare(self.path("x", "results.txt"))
        names = [row["vector"] for row in read_csv(self.path("x", "comparison.csv"))]
        self.assertEqual(sorted(names), ["conv", "conv_1", "conv_2", "conv_3"])

    def test_runs_that_differ_are_one(self):
        for name, args in (("a", []), ("b", ["--solver", "lloyd", "--init", "quantile"]),
                           ("c", ["--solver", "lloyd"])):
            self.quantize(name, 0, "--approach", "non-uniform", *args)
        self.compare(self.path("a"), self.path("b"), self.path("c"), self.path("a"))
        settings = [row["setting"] for row in read_csv(self.path("a", "comparison.csv"))]
        self.assertEqual(len(set(settings)), 3, settings)
        self.assertIn("lloyd", settings[1])
        self.assertIn("quantile", settings[1])

    def test_three_hundred_bars(self):
        rng = np.random.default_rng(1)
        with h5py.File(self.path("m.h5"), "w") as f:
            for i in range(300):
                f[f"block{i}/w"] = rng.standard_normal(64)
            f["block77/bad"] = np.append(np.zeros(60), [1e3, 7.0, 3.0, 1.0])
        run = self.quantize("x", 0, self.path("m.h5"), "--approach", "uniform,easyquant")
        out = self.compare(self.path("x")).out
        self.assertEqual(len(read_csv(self.path("x", "comparison.csv"))), 602)
        self.assertLess(len(out.splitlines()), 30)
        errors = {(r["relative_error"], v["name"], r["approach"])
                  for v in run["vectors"] for r in v["results"]}
        worst = sorted(errors, reverse=True)[:3]
        listed = out[out.index("The worst"):].splitlines()[2:5]
        for (error, name, approach), line in zip(worst, listed, strict=True):
            self.assertRegex(line, rf"^{re.escape(name)} .* {approach} .* {error:.6g} ")
        self.is_picture(self.path("x", "comparison.png"))

    def test_what_the_exercise_published_is_not_read(self):
        with open(self.path("old.txt"), "w", encoding="utf-8") as f:
            f.write(OLD)
        self.compare(self.path("old.txt"), "--format", "png,pdf")
        rows = read_csv(self.path("comparison.csv"))
        self.assertEqual([(row["vector"], row["l2_norm"], row["latency_seconds"]) for row in rows],
                         [("old", "1043.3079663695087", "1.0135"),
                          ("old", "553.6062466390083", "15.2433")])
        self.assertTrue(harness.read_bytes(self.path("comparison.pdf")).startswith(b"%PDF"))
        run = self.quantize("s", 0, "--vector_size", "small", "--approach", "uniform,non-uniform")
        self.compare(self.path("s"), "--published")
        settings = {row["setting"] for row in read_csv(self.path("s", "comparison.csv"))
                    if row["vector"] == "small"}
        self.assertEqual(len(settings), 5, settings)
        self.beside(run)

    def beside(self, run):
        """The table beside the exercise: its figures are those that this project's pages name."""
        done = self.script("compare_published.py", self.path("s"))
        self.assertEqual((done.code, done.err), (0, ""), str(done))
        rows = {row["approach"]: row for row in read_csv(self.path("s", "published.csv"))}
        results = {r["approach"]: r for r in run["vectors"][0]["results"]}
        published = {"uniform": "0.1132813005805658", "non-uniform": "0.05016708719707913"}
        for approach, norm in published.items():
            row, r = rows[approach], results[approach]
            self.assertEqual((row["published_l2_norm"], float(row["l2_norm"])),
                             (norm, r["l2_norm"]))
            self.assertAlmostEqual(float(row["least_l2_norm"]), 0.022360679774997897, delta=1e-15)
            self.assertAlmostEqual(float(row["above_least"]), r["optimality_gap"], delta=1e-9)

    def test_a_wrong_file_ends_in_a_traceback(self):
        self.quantize("x", 0)
        text = harness.read_text(self.path("x", "results.txt"))
        files = {"empty.txt": b"", "cut.txt": text.rstrip("-\n")[:-20].encode(),
                 "half.txt": text[:text.index("Latency")].encode(),
                 "foreign.txt": b"hello\n", "binary.txt": b"\xff\xfe\x00", "not.json": b"[",
                 "other.json": b"{}", "none.json": b'{"vectors": []}', "blank.txt": b"\n\n"}
        for name, data in files.items():
            with open(self.path(name), "wb") as f:
                f.write(data)
        os.makedirs(self.path("folder"))
        for args in [[self.path(name)] for name in [*files, "folder", "absent"]] + [
                [self.path("x"), "--format", "xyz"],
                [self.path("x"), "--output", self.path("foreign.txt", "o")]]:
            with self.subTest(args):
                self.refuses(2 if "xyz" in args else 1, [], "compare_runs", *args)
        self.refuses(1, ["absent"], "compare_published", self.path("absent"))


class Scaling(Compared):
    def test_times_of_ranks_are_not_those_of_the_runs(self):
        runs, size = {}, 131072  # Two blocks a rank: each of four has its own.
        for ranks in (1, 2, 4):
            for again in "ab":
                for kind, n in (("strong", 4 * size), ("weak", ranks * size)):
                    name = f"{kind}_{ranks}{again}"
                    run = self.quantize(name, ranks, "--generate", f"normal:{n}", "--approach",
                                        "uniform,non-uniform")
                    runs.setdefault((kind, ranks), []).append(run)
        # The largest run belongs to both.
        both = runs["strong", 4] + runs["weak", 4]
        runs["strong", 4] = runs["weak", 4] = both
        folders = [self.path(name) for name in os.listdir(self.dir)]
        self.compare(*folders, "--output", self.path("o"))
        self.is_picture(self.path("o", "scaling.png"))
        rows = read_csv(self.path("o", "scaling.csv"))
        self.assertEqual(len(rows), 2 * 3 * 4)  # Kinds, numbers of ranks, phases.
        first = {}
        for row in rows:
            key = row["scaling"], int(row["ranks"])
            times = [t["max"] for run in runs[key] for t in run["timings"]
                     if t["phase"] == row["phase"]]
            median = statistics.median(times)
            start = first.setdefault((row["scaling"], row["phase"]), median)
            self.assertEqual(int(row["runs"]), len(times), key)
            self.assertEqual(float(row["seconds"]), median)
            self.assertEqual(float(row["min_seconds"]), min(times))
            self.assertAlmostEqual(float(row["speedup"]), start / median, delta=1e-12)
            share = start / median / (key[1] if key[0] == "strong" else 1)
            self.assertAlmostEqual(float(row["efficiency"]), share, delta=1e-12)
            n = 4 * size if key[0] == "strong" else key[1] * size
            self.assertEqual(int(row["num_elements"]), n)


class RunAll(Compared):
    def run_all(self, folder):
        command = [os.path.join(scripted.SCRIPTS, "run_all.sh"), folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240,
                              env={**os.environ, "QUANTOPT_MPI": harness.PROGRAM})
        return harness.Run(command, done.returncode, done.stdout, done.stderr)

    def test_a_folder_of_others_is_overwritten(self):
        os.makedirs(self.path("mine"))
        with open(self.path("mine", "thesis.txt"), "w", encoding="utf-8") as f:
            f.write("precious")
        done = self.run_all(self.path("mine"))
        self.assertEqual(done.code, 1, str(done))
        self.assertEqual(len(done.err.splitlines()), 1, str(done))
        self.assertEqual(os.listdir(self.path("mine")), ["thesis.txt"])

    def test_the_experiment_is_not_whole(self):
        out = self.path("out")
        os.makedirs(out)
        with open(os.path.join(out, "commands.txt"), "w", encoding="utf-8") as f:
            f.write("an earlier run's\n")
        done = self.run_all(out)
        self.assertEqual(done.code, 0, str(done))
        self.assertEqual(harness.read_text(out + ".1/commands.txt"), "an earlier run's\n")
        self.assertRegex(done.out, r"not on CUDA: .|On the CPU and on CUDA")
        for name in ("comparison.png", "scaling.png"):
            self.is_picture(os.path.join(out, name))
        rate = re.search(r"rate-distortion +(\S+)", done.out)[1]
        self.is_picture(rate)
        heads = re.findall(r"Vector Size: (.*)", harness.read_text(out + "/results.txt"))
        self.assertEqual(len(heads), len(set(heads)))
        kinds = {(name, several) for name in ("small", "large") for several in ("True", "False")}
        self.assertLessEqual({f"{name}___multiprocess: {several}__device: cpu"
                              for name, several in kinds}, set(heads))
        rows = read_csv(os.path.join(out, "published.csv"))
        self.assertGreaterEqual(len(rows), 12)  # Three approaches, two vectors, two settings.
        for row in rows:
            self.assertLessEqual(float(row["l2_norm"]), 1.001 * float(row["published_l2_norm"]))
            self.assertGreaterEqual(float(row["l2_norm"]), float(row["least_l2_norm"]))


if __name__ == "__main__":
    harness.main()
