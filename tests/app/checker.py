#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_result.py finds damage: the other tests lean on it, so it must not accept everything."""
import shutil
import subprocess
import sys

import h5py
import numpy as np

import check_result
import harness


def flip_code(vector, result):
    codes = result["codes"][...]
    codes[5] ^= 1
    result["codes"][...] = codes


def set_unused_bits(vector, result):
    codes = result["codes"][...]
    codes[-1] |= 0x80
    result["codes"][...] = codes


def move_level(vector, result):
    result["levels"][0] = result["levels"][0] * (1 + 1e-5)


def swap_levels(vector, result):
    result["levels"][...] = result["levels"][...][::-1]


def change_outlier(vector, result):
    value = result["outlier_value"][...]
    value.view(np.uint32)[0] ^= 1
    result["outlier_value"][...] = value


def lose_outlier(vector, result):
    for name in ("outlier_index", "outlier_value"):
        rest = result[name][1:]
        del result[name]
        result[name] = rest
    result.attrs["outlier_count"] = result["outlier_index"].size


def last_digit(where, name):
    def damage(vector, result):
        node = {"vector": vector, "result": result}[where]
        node.attrs[name] = np.nextafter(node.attrs[name], np.inf)

    damage.__name__ = f"last_digit_of_{name}"
    return damage


def change(where, name, value):
    def damage(vector, result):
        node = {"vector": vector, "result": result}[where]
        node.attrs[name] = value

    damage.__name__ = f"{name}_{value}"
    return damage


def lose(name):
    def damage(vector, result):
        del result.attrs[name]

    damage.__name__ = f"without_{name}"
    return damage


DAMAGES = (
    flip_code,
    set_unused_bits,
    move_level,
    swap_levels,
    change_outlier,
    lose_outlier,
    last_digit("result", "mse"),
    last_digit("result", "max_abs_error"),
    last_digit("vector", "mean"),
    last_digit("vector", "std"),
    last_digit("vector", "min"),
    change("result", "threshold", 2.0),
    change("result", "sqnr_db", 20.0),
    change("result", "bits_per_value", 3.0),
    change("result", "optimality_gap", -0.5),
    change("result", "num_bits", 4),
    change("vector", "nonfinite_count", 1),
    change("vector", "num_elements", 1000),
    lose("approach"),
    lose("l2_norm"),
    lose("digest"),
    lose("scale"),
    change("result", "scale", 1.0),
)


class Checker(harness.Case):
    def check(self, path, *more):
        command = [sys.executable, harness.CHECK, path, f"--input=x={self.path('x.npy')}", *more]
        return subprocess.run(command, capture_output=True, text=True)

    def test_damage_is_accepted(self):
        x = np.random.RandomState(9).standard_t(3, 1001).astype("f4")
        np.save(self.path("x.npy"), x)
        args = [self.path("x.npy"), "--approach", "easyquant", "--num_bits", 3]
        self.good([*args, "--save_dir", self.dir])
        good = self.check(self.path("quantized.h5"))
        self.assertEqual(good.returncode, 0, good.stdout + good.stderr)
        for damage in DAMAGES:
            with self.subTest(damage.__name__):
                shutil.copy(self.path("quantized.h5"), self.path("bad.h5"))
                with h5py.File(self.path("bad.h5"), "r+") as f:
                    damage(f["vectors/x"], f["vectors/x/easyquant_3bit"])
                bad = self.check(self.path("bad.h5"))
                self.assertEqual(bad.returncode, 1, bad.stdout + bad.stderr)
                self.assertIn("problem", bad.stdout + bad.stderr)

    def test_another_codebook_is_accepted(self):
        x = np.random.RandomState(10).standard_t(3, 1001).astype("f4")
        np.save(self.path("x.npy"), x)
        for name, words in (("right", "1, 2 # 3\n-1 2"), ("wrong", "-1 1 2.0001")):
            with open(self.path(name + ".txt"), "w") as f:
                f.write(words)
        args = [self.path("x.npy"), "--approach", f"nf4,max5,fixed:{self.path('right.txt')}"]
        self.good([*args, "--save_dir", self.dir])
        book = "--codebook=fixed-right=" + self.path("")
        good = self.check(self.path("quantized.h5"), book + "right.txt")
        self.assertEqual(good.returncode, 0, good.stdout + good.stderr)
        bad = self.check(self.path("quantized.h5"), book + "wrong.txt")
        self.assertIn("levels are not those of fixed-right", bad.stderr)
        for result, text in (("nf4_4bit", "those of nf4"), ("max5_3bit", "5 levels for N(0, 1)")):
            shutil.copy(self.path("quantized.h5"), self.path("bad.h5"))
            with h5py.File(self.path("bad.h5"), "r+") as f:
                f[f"vectors/x/{result}"].attrs["scale"] *= 1 + 1e-8
            bad = self.check(self.path("bad.h5"))
            self.assertEqual(bad.returncode, 1)
            self.assertIn(text, bad.stderr)

    def test_another_scale_is_accepted(self):
        x = np.random.RandomState(11).standard_normal(100000)
        table = check_result.CODEBOOKS["nf4"]
        for scale in (2.8, 2.92):
            with h5py.File(self.path("scale.h5"), "w") as f:
                f.attrs["scale"] = scale
                levels = np.sort(scale * table)
                error = x - levels[np.searchsorted(0.5 * levels[:-1] + 0.5 * levels[1:], x)]
                problems = check_result.Problems()
                check_result.check_scale("x", f, table, x, np.dot(error, error), problems)
            self.assertTrue(problems)

    def test_another_vector_is_accepted_as_restored(self):
        x = np.random.RandomState(9).standard_t(3, 1001).astype("f4")
        np.save(self.path("x.npy"), x)
        args = [self.path("x.npy"), "--approach", "uniform", "--num_bits", 3]
        self.good([*args, "--save_dir", self.dir])
        np.save(self.path("other.npy"), x)
        restored = self.check(self.path("quantized.h5"), "--restored", self.path("other.npy"))
        self.assertEqual(restored.returncode, 1)


if __name__ == "__main__":
    harness.main()
