#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Vectors larger than --memory_limit: every kind of input and every walk, read tile by tile, gives
bit for bit what another number of ranks finds in memory; and a rank stays within its memory.

The smallest limit is 16 MiB, so that a vector of more than 16 MiB a rank is read in tiles of 4 MiB.
"""
import json
import os

import h5py
import numpy as np

import harness

LIMIT = 16 << 20
SPARE = 64 << 20  # libraries and histograms: the same as memory.py grants
FINER = 128 << 20  # more where --gap asks for finer cells


def drawn(n, seed):
    """Heavy tails, in the speed of a uniform generator: thousands of outliers at 3 sigma."""
    x = np.random.Generator(np.random.SFC64(seed)).standard_normal(n, np.float32)
    return x * np.abs(x)


def vectors_of(folder):
    """The part of results.json that must be equal: all but the times."""
    with open(os.path.join(folder, "results.json")) as f:
        report = json.load(f)
    for vector in report["vectors"]:
        for result in vector["results"]:
            for name in harness.TIMINGS:
                del result[name]
    return report["vectors"]


class Streaming(harness.Case):
    def ran(self, args, np_, threads, limit, output):
        """The folder of a run that did what it should."""
        folder = self.path(f"{limit}_{np_}_{threads}")
        args = [*args, "--memory_limit", limit, "--threads", threads, "--save_dir", folder]
        if not output:
            args += ["--output", "none"]
        self.good([*args, "--quiet"], np_, timeout=300)
        return folder

    def equal(self, args, streamed, held, num_vectors=1, output=True, more=0):
        """The same from tiles and from memory; each (ranks, threads). `more` memory than usual."""
        tiles = self.ran(args, *streamed, LIMIT, output)
        whole = self.ran(args, *held, "4G", output)
        number = f"{num_vectors} vector{'s are' if num_vectors > 1 else ' is'} larger"
        self.assertIn(number, harness.read_text(os.path.join(tiles, "logs.txt")))
        self.assertNotIn("tile by tile", harness.read_text(os.path.join(whole, "logs.txt")))
        self.assertEqual(vectors_of(tiles), vectors_of(whole))
        if output:
            files = [os.path.join(folder, "quantized.h5") for folder in (tiles, whole)]
            self.equal_results(*files)
            self.nothing_left(files[0])
            for suffix in (".checkpoint", ".encoded"):
                self.assertFalse(os.path.exists(files[0] + suffix))
        if not harness.SANITIZED:
            with open(os.path.join(tiles, "results.json")) as f:
                peak = json.load(f)["peak_memory_bytes"]["max"]
            self.assertLessEqual(peak, LIMIT + SPARE + more, f"{args}: {peak / 2**20:.1f} MiB")

    def test_tiles_of_fortran_order_with_nonfinite_elements_differ(self):
        x = drawn(2600 * 2500, 1).astype(np.float64).reshape(2600, 2500)
        x[0, 0], x[17, 2000:2100], x[2599, 2499] = np.nan, np.inf, -np.inf
        x[100:400, 7] = -np.nan  # many beside each other in the file, far from it in C order
        np.save(self.path("x.npy"), np.asfortranarray(x))
        args = [self.path("x.npy"), "--nonfinite", "keep", "--num_bits", "1,2,3,8"]
        self.equal(args, (3, 1), (1, 2))

    def test_tiles_of_hdf5_differ(self):
        """Through the library (chunks, gzip) while results are written through it; past it
        (contiguous); swapped; with fill values."""
        path, n = self.path("x.h5"), 4_500_000
        x = drawn(n, 2)
        with h5py.File(path, "w") as f:
            packed = np.round(x * 8) / 8
            packed[::1000] = 1e20
            packed[n // 2 : n // 2 + 300_000] = 1e20  # whole blocks that keep nothing
            f.create_dataset(
                "packed",
                data=packed.reshape(450, 10000),
                chunks=(37, 1300),
                compression="gzip",
                compression_opts=1,
                shuffle=True,
            )
            f["packed"].attrs["_FillValue"] = np.float32(1e20)
            f["swapped"] = x.astype(">f4")
            f["plain"] = x[: n // 2].astype(np.float64)
        self.equal([path, "--num_bits", "2,3"], (1, 2), (2, 1), num_vectors=3)

    def test_tiles_of_small_types_differ(self):
        path, n = self.path("x.safetensors"), 17_500_000
        x = drawn(n, 3)
        harness.write_safetensors(
            path,
            {
                "bf16": ("BF16", (n,), harness.to_bfloat16(x).tobytes()),
                "f16": ("F16", (n // 100, 100), x.astype(np.float16).tobytes()),
            },
        )
        self.equal([path, "--num_bits", "3"], (2, 1), (1, 1), num_vectors=2)

    def test_tiles_of_a_swapped_npy_or_further_walks_differ(self):
        np.save(self.path("x.npy"), drawn(4_500_000, 4).astype(">f4").reshape(450, 100, 100))
        args = [self.path("x.npy"), "--gap", "1e-6", "--num_bits", "3,8"]
        self.equal(args, (1, 1), (2, 1), more=FINER)

    def test_lloyd_steps_over_tiles_differ(self):
        drawn(9_000_000, 5).tofile(self.path("x.raw"))
        args = [self.path("x.raw"), "--dtype", "float32", "--solver", "lloyd", "--init", "quantile"]
        args += ["--max_iterations", "6", "--num_bits", "2"]
        self.equal(args, (2, 1), (1, 1), output=False)

    def test_a_sample_of_a_streamed_vector_differs(self):
        drawn(4_500_000, 6).tofile(self.path("x.raw"))
        args = [self.path("x.raw"), "--dtype", "float32", "--sample_size", "300K"]
        self.equal(args, (1, 2), (3, 1))

    def test_a_drawn_vector_differs_in_tiles(self):
        args = ["--generate", "lognormal:4600K", "--approach", "easyquant,nf4,max40"]
        self.equal(args, (1, 1), (2, 1))


if __name__ == "__main__":
    harness.main()
