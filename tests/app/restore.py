#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""--restore gives back what the result file decodes to: shape, type, outliers, on any number of
ranks."""
import subprocess
import sys

import h5py
import numpy as np

import harness
import vectors


class Restore(harness.Case):
    def quantize(self, *args):
        output = self.path("quantized.h5")
        self.good(
            [*args, "--nonfinite", "keep", "--max_iterations", 5, "--save_dir", self.dir, "--quiet"]
        )
        return output

    def decoded_equals(self, result_file, restored, result=None):
        command = [sys.executable, harness.CHECK, result_file, "--restored", restored, "--quiet"]
        done = subprocess.run(
            command + (["--result", result] if result else []), capture_output=True, text=True
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr[-3000:])

    def test_shape_type_or_an_outlier_is_lost(self):
        vectors.write_hdf5(self.path("in.h5"))
        vectors.write_bfloat16(self.path("b.safetensors"))
        result = self.quantize(
            self.path("in.h5"),
            self.path("b.safetensors"),
            "--approach",
            "easyquant",
            "--num_bits",
            5,
        )
        for np_ in (0, 2, 3):
            with self.subTest(np=np_):
                back = self.path(f"back{np_}.h5")
                self.good(["--restore", result, "--output", back], np_)
                self.decoded_equals(result, back)
                self.nothing_left(back)

    def test_shipped_file_does_not_come_back(self):
        result = self.quantize(harness.SHIPPED, "--approach", "easyquant", "--num_bits", 8)
        self.good(["--restore", result, "--output", self.path("back.h5")], 2)
        self.decoded_equals(result, self.path("back.h5"))
        with h5py.File(harness.SHIPPED, "r") as a, h5py.File(self.path("back.h5"), "r") as b:
            kernel = "model_weights/conv2d/conv2d/kernel:0"
            x, y = a[kernel][()], b[kernel][()]
            self.assertEqual((x.shape, x.dtype), (y.shape, y.dtype))
            self.assertLess(np.abs(x - y).max(), 0.02 * np.abs(x).max())

    def test_npy_is_not_what_numpy_reads(self):
        x = vectors.with_nonfinite(np.float64)[:65600].reshape(32, -1)
        np.save(self.path("field.npy"), x)
        result = self.quantize(self.path("field.npy"), "--approach", "uniform", "--num_bits", 6)
        for np_ in (0, 3):
            self.good(["--restore", result, "--output", self.path("back.npy")], np_)
            self.decoded_equals(result, self.path("back.npy"))
            y = np.load(self.path("back.npy"))
            broken = ~np.isfinite(x)
            self.assertEqual(x[broken].tobytes(), y[broken].tobytes())

    def test_select_restores_another_vector(self):
        vectors.write_hdf5(self.path("in.h5"))
        result = self.quantize(self.path("in.h5"), "--approach", "uniform")
        self.good(
            ["--restore", result, "--select", "float32/n[0-9]*", "--output", self.path("some.h5")],
            2,
        )
        with h5py.File(self.path("some.h5"), "r") as f:
            self.assertEqual(list(f), ["float32"])
            self.assertEqual(sorted(f["float32"]), sorted(f"n{n}" for n in vectors.SIZES))
        self.fails(
            64, ["--restore", result, "--select", "nothing*", "--output", self.path("none.h5")]
        )
        self.fails(64, ["--restore", result, "--output", self.path("many.npy")])

    def test_one_of_several_results_is_taken_by_chance(self):
        result = self.quantize("--approach", "all", "--num_bits", "2,3")
        for np_ in (0, 2):
            failure = self.fails(64, ["--restore", result, "--output", self.path("x.h5")], np_)
            for name in ("uniform_2bit", "non-uniform_3bit", "easyquant_3bit"):
                self.assertIn(name, failure.errors[0])
        self.good(
            ["--restore", result, "--result", "easyquant_3bit", "--output", self.path("x.h5")], 2
        )
        self.decoded_equals(result, self.path("x.h5"), "easyquant_3bit")
        self.fails(
            (64, 66),
            ["--restore", result, "--result", "easyquant_4bit", "--output", self.path("y.h5")],
        )

    def test_a_damaged_file_is_restored(self):
        result = self.quantize("--approach", "easyquant")
        for what in ("levels", "codes", "outlier_index"):
            with h5py.File(result, "r") as old, h5py.File(self.path("bad.h5"), "w") as new:
                for name, value in old.attrs.items():
                    new.attrs[name] = value
                old.copy("vectors", new)
                group = new["vectors/small/easyquant_3bit"]
                damage = {
                    "levels": np.array([3.0, np.nan]),
                    "codes": np.zeros(1, np.uint8),
                    "outlier_index": np.array([99], np.uint64),
                }[what]
                del group[what]
                group[what] = damage
            with self.subTest(what):
                self.fails(65, ["--restore", self.path("bad.h5"), "--output", self.path("x.h5")])
        np.save(self.path("plain.npy"), np.ones(3))
        self.fails(65, ["--restore", self.path("plain.npy"), "--output", self.path("x.h5")], 2)
        self.fails(66, ["--restore", self.path("absent.h5"), "--output", self.path("x.h5")], 2)
        self.fails(65, ["--restore", harness.SHIPPED, "--output", self.path("x.h5")])
        self.nothing_left(self.path("x.h5"))

    def test_the_input_is_overwritten(self):
        result = self.quantize("--approach", "uniform")
        before = harness.read_bytes(result)
        self.fails(64, ["--restore", result, "--output", result])
        self.assertEqual(harness.read_bytes(result), before)


if __name__ == "__main__":
    harness.main()
