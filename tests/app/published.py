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
LARGE = {"uniform": 0.000104330796637, "non-uniform": 5.8778e-05, "easyquant": 5.5321e-05}


class Published(harness.Case):
    def l2_norm(self, output, name, result):
        with h5py.File(output, "r") as f:
            return float(f[f"vectors/{name}/{result}"].attrs["l2_norm"])

    def test_large_is_worse_than_published(self):
        self.good(
            [
                "--vector_size",
                "large",
                "--approach",
                "all",
                "--num_bits",
                3,
                "--save_dir",
                self.dir,
            ],
            np_=2,
            timeout=240,
        )
        output = self.path("quantized.h5")
        uniform = self.l2_norm(output, "large", "uniform_3bit")
        self.assertLess(abs(uniform / LARGE["uniform"] - 1), 5e-12)
        self.assertLessEqual(
            self.l2_norm(output, "large", "non-uniform_3bit"), LARGE["non-uniform"]
        )
        self.assertLessEqual(self.l2_norm(output, "large", "easyquant_3bit"), LARGE["easyquant"])
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
