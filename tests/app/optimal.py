#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The best levels, their certificates, and what is found on a sample or without writing codes."""
import json
import math

import h5py
import numpy as np

import harness

SIZE = 100_000 if harness.SANITIZED else 300_000
FREE = ("non-uniform", "easyquant")
SHIFT = 1e6


def samples():
    """Vectors of every character, larger than what is looked at whole."""
    rng = np.random.default_rng(7)
    normal = rng.standard_normal(SIZE)
    peaks = np.where(rng.random(SIZE) < 0.5, -1e3, 1e3) + 1e-4 * rng.standard_normal(SIZE)
    return {
        "normal": normal.astype(np.float32),
        "laplace": rng.laplace(size=SIZE).astype(np.float32),
        "heavy": rng.standard_t(2, SIZE),
        "peaks": peaks,
        "shifted": normal + SHIFT,
        "zeros": np.where(rng.random(SIZE) < 0.9, 0, normal).astype(np.float32),
        "half": normal.astype(np.float16),
        "equal": np.full(SIZE, 0.1),
        "two": np.where(rng.random(SIZE) < 0.3, -1.5, 2.25).astype(np.float32),
        "one": np.array([-7.5]),
        "wild": np.exp(8 * normal),
        "power": rng.random(SIZE) ** -4,
        "cluster": np.where(np.arange(SIZE) % (SIZE // 300) == 7, 1e6 + 0.1 * normal, normal),
    }


class Optimal(harness.Case):
    def run_json(self, *args, np_=0):
        self.good([*args, "--save_dir", self.dir, "--quiet"], np_, timeout=240)
        with open(self.path("results.json")) as f:
            return json.load(f)["vectors"]

    def results(self, *args, np_=0):
        """(vector, approach, bits) -> result."""
        return {
            (vector["name"], result["approach"], result["num_bits"]): result
            for vector in self.run_json(*args, np_=np_)
            for result in vector["results"]
        }

    def make(self):
        with h5py.File(self.path("in.h5"), "w") as f:
            for name, x in samples().items():
                f[name] = x
        return self.path("in.h5")

    def test_a_distribution_is_not_certified(self):
        found = self.results(self.make(), "--approach", "all", "--num_bits", "1,2,3,4,8")
        for (name, approach, bits), result in found.items():
            with self.subTest(vector=name, approach=approach, bits=bits):
                gap = result["optimality_gap"]
                if gap is None:  # Infinite: free levels have no error, and this grid has.
                    self.assertIn(name, ("equal", "two", "one"))
                    self.assertNotIn(approach, FREE)
                    continue
                self.assertGreaterEqual(gap, 0)
                if approach in FREE:
                    self.assertLessEqual(gap, 1e-3 if bits <= 4 else 1e-2)
                if name in ("equal", "two", "one") and approach in FREE:
                    self.assertEqual(result["mse"], 0.0)
                if name == "half" and approach in FREE:
                    self.assertEqual(gap, 0.0)
        for name, _, bits in found:
            rmse = {a: found[name, a, bits]["rmse"] for a in (*FREE, "uniform", "easyquant-uniform")}
            self.assertLessEqual(rmse["non-uniform"], rmse["uniform"])
            self.assertLessEqual(rmse["easyquant"], rmse["easyquant-uniform"])
            if name != "cluster":  # Its outliers are a level's worth of elements.
                self.assertLessEqual(rmse["easyquant"], rmse["non-uniform"] * (1 + 1e-6))

    def test_a_shift_changes_the_levels(self):
        file = self.make()
        with h5py.File(file, "a") as f:
            f["back"] = f["shifted"][...] - SHIFT  # Exactly: what the shift has left of the values.
        found = self.results(file, "--include", "[bs]*", "--approach", "non-uniform")
        for there, here in zip(
            found["shifted", "non-uniform", 3]["levels"],
            found["back", "non-uniform", 3]["levels"],
            strict=True,
        ):
            self.assertAlmostEqual(there - SHIFT, here, delta=1e-4)

    def test_lloyd_beats_the_optimum(self):
        file = self.make()
        args = [file, "--exclude", "[eot]*", "--num_bits", "2,5,8"]
        best = self.results(*args, "--approach", "non-uniform")
        for start in ("quantile",):
            steps = ["--solver", "lloyd", "--init", start, "--max_iterations", "20"]
            for key, result in self.results(*args, "--approach", "non-uniform", *steps).items():
                with self.subTest(start=start, result=key):
                    proven = best[key]["rmse"] / (1 + best[key]["optimality_gap"])
                    self.assertGreaterEqual(result["rmse"], proven * (1 - 1e-12))
                    self.assertGreaterEqual(
                        result["rmse"], best[key]["rmse"] * (1 - best[key]["optimality_gap"] - 1e-12)
                    )
                    self.assertGreaterEqual(result["optimality_gap"], 0)

    def test_a_narrow_bound_makes_too_many_cells(self):
        """Few elements are within it, and each of them could be a level."""
        for threshold in ("2e-5", "3e-4"):
            with self.subTest(threshold=threshold):
                args = ["--generate", "normal:2M", "--approach", "easyquant"]
                found = self.results(*args, "--threshold", threshold)
                for result in found.values():
                    self.assertEqual(result["outlier_count"] > 1_990_000, True)
                    self.assertLessEqual(result["optimality_gap"], 1e-2)

    def test_a_sample_without_an_element_gives_no_levels(self):
        x = np.full(100_000, np.nan)
        x[::20] = 1e6 + np.arange(5000)
        np.save(self.path("x.npy"), x)
        args = [self.path("x.npy"), "--nonfinite", "keep", "--approach", "non-uniform"]
        found = self.results(*args, "--sample_size", 1)
        for result in found.values():
            self.assertLess(result["max_abs_error"], 5000)

    def test_polishing_makes_it_worse(self):
        args = [self.make(), "--exclude", "[eot]*", "--approach", "non-uniform"]
        best = self.results(*args)
        for key, result in self.results(*args, "--solver", "lloyd", "--init", "optimal").items():
            with self.subTest(result=key):
                self.assertLessEqual(result["rmse"], best[key]["rmse"] * (1 + 1e-14))
                self.assertEqual(result["solver"], "lloyd")
                mse = [step["mse"] for step in result["history"]]
                self.assertEqual(mse, sorted(mse, reverse=True))

    def test_a_narrower_gap_is_not_reached(self):
        args = ["--generate", "normal:1M", "--approach", "non-uniform,easyquant"]
        loose = self.results(*args, "--num_bits", "3,8")
        tight = self.results(*args, "--num_bits", "3,8", "--gap", "1e-5")
        for key, result in tight.items():
            with self.subTest(result=key):
                self.assertLessEqual(result["optimality_gap"], 1e-5)
                self.assertLessEqual(
                    result["rmse"], loose[key]["rmse"] * (1 + loose[key]["optimality_gap"])
                )

    def test_figures_depend_on_codes_being_written(self):
        args = [self.make(), "--approach", "all", "--num_bits", "1,3,6"]
        written = self.results(*args)
        scored = self.results(*args, "--output", "none", np_=3)
        self.assertEqual(written.keys(), scored.keys())
        for key, result in scored.items():
            self.assertIsNone(result["digest"])
            for figure in result.keys() - {"digest", "solve_seconds", "encode_seconds"}:
                self.assertEqual(result[figure], written[key][figure], (key, figure))

    def test_a_sample_depends_on_the_ranks(self):
        file, outputs = self.make(), []
        for np_ in (0, 3):
            outputs.append(self.path(f"sample{np_}.h5"))
            sampled = self.results(
                file, "--sample_size", "20K", "--approach", "all", "--output", outputs[-1], np_=np_
            )
        self.equal_results(*outputs)
        self.checked(outputs[0], **{name: f"{file}:{name}" for name in samples()})
        whole = self.results(file, "--approach", "all")
        for key, result in sampled.items():
            with self.subTest(result=key):
                if key[0] == "one":  # The sample is the vector.
                    self.assertEqual(result["sample_size"], 0)
                    continue
                self.assertEqual(result["sample_size"], 20_000)
                self.assertGreaterEqual(result["sample_excess"], 0)
                if result["mse"] > 0:
                    self.assertIsNone(result["optimality_gap"])
                if key[1] in FREE and key[0] in ("normal", "laplace", "half", "zeros", "shifted"):
                    self.assertLessEqual(result["rmse"], whole[key]["rmse"] * 1.02)
                    self.assertGreaterEqual(result["rmse"], whole[key]["rmse"] * (1 - 1e-6))

    def test_lloyd_looks_beyond_its_sample(self):
        args = ["--generate", "normal:300K", "--sample_size", "70K", "--approach", "non-uniform"]
        steps = ["--solver", "lloyd", "--init", "random", "--max_iterations", "30"]
        one, three = (self.results(*args, *steps, np_=n) for n in (0, 3))
        for key, result in one.items():
            self.assertEqual(result["levels"], three[key]["levels"])
            self.assertEqual(result["history"], three[key]["history"])
            # The history is of the sample, the figures are of the vector.
            self.assertNotEqual(result["history"][-1]["mse"], result["mse"])
            self.assertAlmostEqual(result["history"][-1]["mse"] / result["mse"], 1, delta=0.05)

    def test_a_grid_is_not_the_best_one(self):
        args = [self.make(), "--num_bits", "2,4", "--approach", "uniform,easyquant-uniform"]
        extremes = self.results(*args, "--range", "minmax")
        best = self.results(*args, "--range", "optimal")
        for key, result in best.items():
            with self.subTest(result=key):
                self.assertLessEqual(result["rmse"], extremes[key]["rmse"] * (1 + 1e-12))
                levels = np.array(result["levels"])
                if levels.size < 2 or key[0] == "peaks":
                    continue
                steps = np.diff(levels)
                self.assertLess(np.ptp(steps), 1e-9 * np.abs(levels).max())
                if key[1] == "easyquant-uniform":
                    first = -(2 ** (key[2] - 1)) + 1
                    scale = levels[-1] / 2 ** (key[2] - 1)
                    self.assertTrue(
                        np.allclose(levels, scale * (first + np.arange(levels.size)), rtol=1e-15)
                    )
        # Max 1960: the best even grids for normal numbers.
        for bits, mse in ((2, 0.11884605), (4, 0.011542884)):
            have = best["normal", "uniform", bits]["mse"]
            self.assertLess(abs(have / mse - 1), 0.03)

    def test_the_literature_is_missed(self):
        for np_ in (0, 3):
            with self.subTest(np=np_):
                result = self.good(["--selftest"], np_, cwd=self.dir, timeout=240)
                lines = result.out.splitlines()[1:]
                self.assertEqual(len(lines), 26, str(result))
                self.assertTrue(all(line.endswith("  ok") for line in lines), str(result))
        self.assertFalse(math.isnan(float(lines[0].split()[3])))


if __name__ == "__main__":
    harness.main()
