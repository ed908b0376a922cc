#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The figures that the exercise behind this project published, and the best possible ones, are
met."""
import h5py

import harness

# The exercise's non-uniform figure for its vector of ten values, and what eight free levels can
# reach at best.
SMALL_NON_UNIFORM = 0.05016708719707913
SMALL_BEST = 0.022360679774997897
UNIFORM_LARGE = 0.000104330796637
# The best possible figures for the vector `large`, rounded up: result, l2_norm, certified gap.
BEST_LARGE = (
    ("non-uniform_3bit", 5.87768e-05, 1e-3),
    ("non-uniform_4bit", 3.08185e-05, 1e-3),
    ("non-uniform_8bit", 2.0236e-06, 1e-2),
    ("easyquant_3bit", 5.53195e-05, 1e-3),
    ("easyquant_4bit", 2.83271e-05, 1e-3),
    ("easyquant_8bit", 1.7874e-06, 1e-2),
)
SMALL_LEVELS = [-3.7, -1.35, -0.9, 0.0, 1.8, 2.35, 3.2, 4.0]


class Published(harness.Case):
    def l2_norm(self, output, name, result):
        with h5py.File(output, "r") as f:
            return float(f[f"vectors/{name}/{result}"].attrs["l2_norm"])

    def gap(self, output, name, result):
        with h5py.File(output, "r") as f:
            return float(f[f"vectors/{name}/{result}"].attrs["optimality_gap"])

    def test_small_is_not_optimal(self):
        self.good(["--approach", "all", "--save_dir", self.dir])
        with h5py.File(self.path("quantized.h5"), "r") as f:
            for approach in ("non-uniform", "easyquant"):
                result = f[f"vectors/small/{approach}_3bit"]
                self.assertAlmostEqual(
                    float(result.attrs["l2_norm"]), SMALL_BEST, delta=1e-15 * SMALL_BEST
                )
                self.assertEqual(float(result.attrs["optimality_gap"]), 0.0)
                for have, want in zip(result["levels"][...], SMALL_LEVELS, strict=True):
                    self.assertAlmostEqual(have, want, delta=5e-16 * abs(want))

    def test_large_is_worse_than_published(self):
        self.good(
            [
                "--vector_size",
                "large",
                "--approach",
                "all",
                "--num_bits",
                "3,4,8",
                "--save_dir",
                self.dir,
            ],
            np_=2,
            timeout=240,
        )
        output = self.path("quantized.h5")
        uniform = self.l2_norm(output, "large", "uniform_3bit")
        self.assertLess(abs(uniform / UNIFORM_LARGE - 1), 5e-12)
        for result, best, gap in BEST_LARGE:
            self.assertLessEqual(self.l2_norm(output, "large", result), best, result)
            self.assertLessEqual(self.gap(output, "large", result), gap, result)
        with h5py.File(output, "r") as f:
            vector = f["vectors/large"]
            self.assertEqual(int(vector["easyquant_3bit"].attrs["outlier_count"]), 26886)
            self.assertEqual(int(vector.attrs["num_elements"]), 10_000_000)
            self.assertEqual(vector.attrs["dtype"].decode(), "float64")
        self.checked(output)

    def test_small_grid_is_not_the_published_one(self):
        self.good(["--approach", "uniform", "--save_dir", self.dir])
        self.assertAlmostEqual(
            self.l2_norm(self.path("quantized.h5"), "small", "uniform_3bit"),
            0.1132813005805658,
            delta=1e-15,
        )

    def test_no_start_reaches_the_published_levels_on_small(self):
        found = {}
        for start in ("quantile", "kmeans++", "random"):
            output = self.path(start + ".h5")
            self.good(
                [
                    "--approach",
                    "non-uniform",
                    "--solver",
                    "lloyd",
                    "--init",
                    start,
                    "--output",
                    output,
                    "--save_dir",
                    self.dir,
                ]
            )
            found[start] = self.l2_norm(output, "small", "non-uniform_3bit")
        self.assertLessEqual(min(found.values()), SMALL_NON_UNIFORM, found)
        self.assertGreaterEqual(min(found.values()), SMALL_BEST * (1 - 1e-14), found)

    def test_easyquant_finds_outliers_in_small(self):
        self.good(["--approach", "easyquant,non-uniform", "--save_dir", self.dir], np_=3)
        output = self.path("quantized.h5")
        with h5py.File(output, "r") as f:
            self.assertEqual(int(f["vectors/small/easyquant_3bit"].attrs["outlier_count"]), 0)
        self.assertEqual(
            self.l2_norm(output, "small", "easyquant_3bit"),
            self.l2_norm(output, "small", "non-uniform_3bit"),
        )


if __name__ == "__main__":
    harness.main()
