#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Vectors that are too large for every test run: by hand, some 15 minutes and 40 GiB of disk.

    python3 tests/app/huge.py [--folder DIR]        # DIR: where inputs and results go

Around 2^31 elements (float16, drawn, read tile by tile): counts and places must not wrap. 8 GiB of
float32, raw and HDF5, in 256 MiB a rank: memory, the result of a run in memory, and the time beside
that of reading the file as often as the plan says, from the page cache and, where the test may say
so, from the disk.
"""
import argparse
import json
import os
import subprocess
import sys
import time

import h5py
import harness
import numpy as np

FOLDER = None
MIB = 1 << 20
ELEMENTS = 1 << 31
CHUNK = 1 << 24
COMMON = ["--approach", "easyquant", "--num_bits", "3", "--threads", "1", "--quiet"]


def make_inputs(raw, hdf5):
    rng = np.random.default_rng(11)
    with open(raw, "wb") as f, h5py.File(hdf5, "w") as file:
        dataset = file.create_dataset("big", (ELEMENTS,), "f4")
        for begin in range(0, ELEMENTS, CHUNK):
            x = rng.standard_normal(CHUNK, dtype="f4")
            x.tofile(f)
            dataset[begin : begin + CHUNK] = x


def drop_cache():
    """Whether the page cache could be emptied."""
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3")
    except OSError:
        return False
    return True


def read_by_two(path):
    """Seconds in which two processes read a half of the file each."""
    half = os.path.getsize(path) // 2 // (32 * MIB)
    began = time.monotonic()
    readers = [
        subprocess.Popen(
            ["dd", f"if={path}", "of=/dev/null", "bs=32M", "status=none", f"skip={skip}"]
            + ([f"count={half}"] if skip == 0 else [])
        )
        for skip in (0, half)
    ]
    for reader in readers:
        if reader.wait() != 0:
            raise RuntimeError(f"{path} cannot be read")
    return time.monotonic() - began


class Huge(harness.Case):
    def setUp(self):
        super().setUp()
        if FOLDER:
            self.dir = FOLDER

    def test_counts_around_two_to_the_31_wrap(self):
        for n in (ELEMENTS - 1, ELEMENTS, ELEMENTS + harness.BLOCK):
            folder = self.path(f"drawn_{n}")
            drawn = ["--generate", f"normal:{n}", "--dtype", "float16", "--save_dir", folder]
            self.good([*drawn, *COMMON, "--memory_limit", "64M"], 2, timeout=3600)
            with h5py.File(os.path.join(folder, "quantized.h5")) as file:
                vector = file["vectors/normal"]
                result = vector["easyquant_3bit"]
                self.assertEqual(vector.attrs["num_elements"], n)
                self.assertEqual(int(vector["histogram/counts"][:].sum()), n)
                self.assertEqual(result["codes"].shape, ((3 * n + 7) // 8,))
                index = result["outlier_index"][:]
                self.assertEqual(len(index), result.attrs["outlier_count"])
                self.assertTrue(np.all(np.diff(index.astype(np.int64)) > 0))
                self.assertTrue(n - 100000 < index[-1] < n)
                self.assertAlmostEqual(len(index) / n, 0.0026898, delta=1e-5)
            print(f"{n} elements: {len(index)} outliers, the last at {index[-1]}", flush=True)
        held = self.path("held")
        drawn = ["--generate", f"normal:{n}", "--dtype", "float16", "--save_dir", held]
        self.good([*drawn, *COMMON], 1, timeout=3600)
        names = (os.path.join(f, "quantized.h5") for f in (folder, held))
        self.equal_results(*names)

    def one(self, name, path, more):
        """A run; its seconds, and its peak memory in MiB."""
        folder = self.path(name)
        began = time.monotonic()
        dtype = [] if path.endswith(".h5") else ["--dtype", "float32"]
        self.good([path, *dtype, *COMMON, *more, "--save_dir", folder], 2, timeout=3600)
        seconds = time.monotonic() - began
        document = json.loads(harness.read_text(os.path.join(folder, "results.json")))
        return seconds, document["peak_memory_bytes"]["max"] / MIB

    def test_eight_gibibytes_in_256_mebibytes(self):
        raw, hdf5 = self.path("big.f32"), self.path("big.h5")
        if not (os.path.exists(raw) and os.path.exists(hdf5)):
            make_inputs(raw, hdf5)
        held = self.path("in_memory", "quantized.h5")
        self.one("in_memory", raw, ["--memory_limit", "8G"])
        plan = self.good([raw, "--dtype", "float32", *COMMON, "--memory_limit", "256M", "--dry_run"])
        readings = int(plan.out.split(" is read ")[1].split()[0])
        for name, path in (("raw", raw), ("hdf5", hdf5)):
            for is_cold in (False, True):
                if is_cold and not drop_cache():
                    continue
                reading = read_by_two(path)
                if is_cold:
                    drop_cache()
                seconds, peak = self.one(name, path, ["--memory_limit", "256M"])
                print(
                    f"{name}, {'first reading from disk' if is_cold else 'from the page cache'}: "
                    f"{seconds:.1f} s; one reading {reading:.2f} s, the plan's {readings} "
                    f"{readings * reading:.1f} s; peak {peak:.0f} MiB",
                    flush=True,
                )
                self.assertLess(peak, 256 + 64)
                self.equal_results(held, self.path(name, "quantized.h5"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Vectors too large for every test run.")
    parser.add_argument("--folder", help="for inputs and results; they stay there")
    options, rest = parser.parse_known_args()
    if options.folder:
        os.makedirs(options.folder, exist_ok=True)
        FOLDER = os.path.abspath(options.folder)
    sys.argv[1:] = rest
    harness.main()
