#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""NaN, infinities and fill values: never silent, never in a level, given back bit for bit."""
import h5py
import numpy as np

import harness
import vectors


class Nonfinite(harness.Case):
    def test_nan_goes_unnoticed(self):
        for dtype in (np.float16, np.float32, np.float64):
            np.save(self.path("x.npy"), vectors.with_nonfinite(dtype))
            for np_ in (0, 1, 3):
                with self.subTest(dtype=dtype.__name__, np=np_):
                    failure = self.fails(65, [self.path("x.npy"), "--save_dir", self.dir], np_)
                    self.assertRegex(failure.errors[0], r"x\.npy.*\b5\b")  # How many,
                    self.assertRegex(failure.errors[0], r"\b7\b")  # and where the first one is.
                    self.assertIn("--nonfinite keep", failure.errors[0])
                    self.assertFalse(harness.os.path.exists(self.path("quantized.h5")))

    def test_only_one_of_the_bad_vectors_is_named(self):
        with h5py.File(self.path("many.h5"), "w") as f:
            f["good"] = np.arange(10.0)
            f["first"] = np.array([1.0, np.nan])
            f["second"] = np.array([np.inf, 1.0, -np.inf])
        failure = self.fails(65, [self.path("many.h5"), "--save_dir", self.dir], 2)
        self.assertIn("first", failure.errors[0])
        self.assertIn("second", failure.errors[0])
        self.assertNotIn("good", failure.errors[0])

    def test_a_payload_is_lost(self):
        for dtype in (np.float16, np.float32, np.float64):
            x = vectors.with_nonfinite(dtype)
            np.save(self.path("x.npy"), x)
            self.good(
                [
                    self.path("x.npy"),
                    "--nonfinite",
                    "keep",
                    "--approach",
                    "non-uniform",
                    "--max_iterations",
                    5,
                    "--save_dir",
                    self.dir,
                ],
                2,
            )
            self.checked(self.path("quantized.h5"), x=self.path("x.npy"))
            self.good(["--restore", self.path("quantized.h5"), "--output", self.path("y.npy")], 2)
            broken = ~np.isfinite(x)
            self.assertEqual(np.load(self.path("y.npy"))[broken].tobytes(), x[broken].tobytes())

    def test_a_vector_without_a_finite_element_breaks_the_run(self):
        np.save(self.path("x.npy"), np.full(100, np.nan, np.float32))
        self.good(
            [
                self.path("x.npy"),
                "--nonfinite",
                "keep",
                "--approach",
                "all",
                "--save_dir",
                self.dir,
            ],
            2,
        )
        self.checked(self.path("quantized.h5"), x=self.path("x.npy"))
        with h5py.File(self.path("quantized.h5"), "r") as f:
            self.assertEqual(f["vectors/x/uniform_3bit/levels"][...].tolist(), [0.0])

    def test_fill_values_are_averaged(self):
        x = np.random.RandomState(3).normal(280, 5, 70000).astype("f4")
        x[::11], x[5::1000] = 1e20, -999
        with h5py.File(self.path("field.nc"), "w") as f:
            f["t"] = x
            f["t"].attrs["_FillValue"] = np.array([1e20], "f4")
            f["t"].attrs["missing_value"] = np.float32(-999)
        args = [
            self.path("field.nc"),
            "--approach",
            "all",
            "--max_iterations",
            5,
            "--save_dir",
            self.dir,
        ]
        self.good(args, 3)
        self.checked(self.path("quantized.h5"), t=self.path("field.nc") + ":t")
        fills = int(((x == np.float32(1e20)) | (x == -999)).sum())
        with h5py.File(self.path("quantized.h5"), "r") as f:
            t = f["vectors/t"]
            self.assertEqual(int(t.attrs["fill_count"]), fills)
            self.assertEqual(int(t["non-uniform_3bit"].attrs["outlier_count"]), fills)
            self.assertLess(float(t.attrs["std"]), 6)
        self.good([*args, "--fill_values", "use"])
        with h5py.File(self.path("quantized.h5"), "r") as f:
            t = f["vectors/t"]
            self.assertEqual(int(t["non-uniform_3bit"].attrs["outlier_count"]), 0)
            self.assertEqual(float(t.attrs["max"]), float(np.float32(1e20)))


if __name__ == "__main__":
    harness.main()
