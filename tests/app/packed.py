#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many small vectors, which are dealt whole onto ranks, in batches: the same bits as of each vector
by itself, whatever else is in the file and however many ranks there are; one message where some
fail; and runs that go on after a stop between batches."""
import json
import os
import signal
import time
import unittest
from unittest import mock

import h5py
import numpy as np

import harness
import vectors

LIMIT = 4 * harness.BLOCK  # elements of a vector that is still dealt as a whole
SHIM = os.environ.get("QUANTOPT_SHIM", "")


def write_mix(path):
    """Small vectors of all types, some around the limit, with a few above it between them."""
    sizes = (1, 2, 700, harness.BLOCK, LIMIT - 1, 5, LIMIT, LIMIT + 1, 3, 20_000, LIMIT + 9, 1)
    with h5py.File(path, "w") as f:
        for i, n in enumerate(sizes):
            kind = vectors.HDF5_TYPES[i % 3]
            f[f"layer{i % 4}/{i:02}"] = vectors.heavy_tailed(n, i).astype(kind)
        f["constant"] = np.full(100, 0.1, "f4")
        f["nonfinite"] = vectors.with_nonfinite(np.float32)
        fills = vectors.heavy_tailed(harness.BLOCK + 100, 34).astype("f4")
        fills[::7] = 1e20
        f["fills"] = fills
        f["fills"].attrs["_FillValue"] = np.float32(1e20)


def write_many(path, count, seed=1):
    """Small vectors of sizes from 1 to 3,000, as different as those of a model."""
    rng = np.random.RandomState(seed)
    with h5py.File(path, "w") as f:
        for i, n in enumerate(np.exp(rng.uniform(0, np.log(3000), count)).astype(int)):
            f[f"block{i % 7}/v{i:05}"] = rng.standard_normal(n).astype("f4")


class Packed(harness.Case):
    def document(self, folder):
        with open(os.path.join(folder, "results.json")) as f:
            return json.load(f)

    def results(self, folder):
        """What results.json says of the vectors, in its order, but for times."""
        vectors_ = self.document(folder)["vectors"]
        for vector in vectors_:
            for result in vector["results"]:
                for name in harness.TIMINGS:
                    result.pop(name, None)
        return vectors_


class Equal(Packed):
    OPTIONS = ["--nonfinite", "keep", "--approach", "all,nf4", "--num_bits", "1,3,8"]

    def make(self, name, np_, *more):
        folder = self.path(name)
        self.good([*more, "--save_dir", folder, "--quiet"], np_, timeout=300)
        return folder

    def test_results_depend_on_the_number_of_ranks(self):
        write_mix(self.path("mix.h5"))
        args = [self.path("mix.h5"), *self.OPTIONS, "--max_iterations", 5]
        one = self.make("one", 0, *args)
        self.checked(os.path.join(one, "quantized.h5"))
        for np_ in (2, 3, 8):
            other = self.make(f"np{np_}", np_, *args)
            self.equal_results(
                os.path.join(one, "quantized.h5"), os.path.join(other, "quantized.h5")
            )
            self.assertEqual(self.results(one), self.results(other))

    def test_results_differ_from_those_of_each_vector_by_itself(self):
        """A vector that is alone in its run is cut over all ranks."""
        write_mix(self.path("mix.h5"))
        args = [self.path("mix.h5"), *self.OPTIONS]
        many = harness.contents(os.path.join(self.make("many", 3, *args), "quantized.h5"))
        with h5py.File(self.path("mix.h5")) as f:
            names = [f"{group}/{name}" if isinstance(node, h5py.Group) else group
                     for group, node in f.items()
                     for name in (node if isinstance(node, h5py.Group) else [None])]
        for name in names:
            alone = self.make("alone", 2, *args, "--include", name)
            single = harness.contents(os.path.join(alone, "quantized.h5"))
            same = {key: many[key] for key in many if key.startswith((name + "/", name + "@"))}
            mine = {key: single[key] for key in single if key.startswith((name + "/", name + "@"))}
            self.assertGreater(len(mine), 20)
            self.assertEqual(mine, same, name)

    def test_nothing_to_write_changes_the_figures(self):
        write_many(self.path("many.h5"), 40)
        args = [self.path("many.h5"), "--approach", "non-uniform,easyquant", "--threshold", 1]
        written, none = self.make("written", 2, *args), self.make(
            "none", 3, *args, "--output", "none"
        )
        for a, b in zip(self.results(written), self.results(none), strict=True):
            for one, other in zip(a["results"], b["results"], strict=True):
                self.assertEqual(one["levels"], other["levels"])
                self.assertEqual(one["mse"], other["mse"])
                self.assertEqual(one["outlier_count"], other["outlier_count"])

    def test_a_sample_of_some_vectors(self):
        write_many(self.path("many.h5"), 30)
        args = [self.path("many.h5"), "--sample_size", 500]
        one, other = self.make("one", 0, *args), self.make("other", 3, *args)
        self.equal_results(os.path.join(one, "quantized.h5"), os.path.join(other, "quantized.h5"))

    def test_a_share_does_not_fit_into_memory(self):
        """Half of what a rank may use is the most that it keeps for the file: then the rest of its
        share waits for the next batch."""
        with h5py.File(self.path("wide.h5"), "w") as f:
            for i in range(16):
                f[f"v{i:02}"] = vectors.heavy_tailed(100_000, i)
        args = [self.path("wide.h5"), "--approach", "easyquant", "--threshold", 0.5]
        args += ["--num_bits", "1,2,3"]  # Some 4 MiB of outliers a vector.
        one = self.make("one", 0, *args)
        other = self.make("other", 2, *args, "--memory_limit", "16M")
        self.equal_results(os.path.join(one, "quantized.h5"), os.path.join(other, "quantized.h5"))

    @unittest.skipUnless(SHIM, "QUANTOPT_SHIM names no program")
    def test_a_device_of_each_rank(self):
        write_mix(self.path("mix.h5"))
        args = [self.path("mix.h5"), "--nonfinite", "keep", "--approach", "all"]
        args += ["--max_iterations", 3]
        one = self.make("one", 0, *args, "--device", "cpu")
        with mock.patch.object(harness, "PROGRAM", SHIM):
            other = self.make("other", 2, *args, "--device", "cuda")
        self.equal_results(os.path.join(one, "quantized.h5"), os.path.join(other, "quantized.h5"))

    def test_a_line_on_a_certificate_is_lost_on_another_rank(self):
        """Lines of vectors that other ranks have quantized are in the log as well."""
        with h5py.File(self.path("wide.h5"), "w") as f:
            for i in range(6):
                f[f"v{i}"] = np.exp(vectors.heavy_tailed(60_000, i))
        lines = []
        for np_ in (1, 3):
            run = self.good(
                [self.path("wide.h5"), "--gap", "1e-15", "--num_bits", 8, "--output", "none"]
                + ["--save_dir", self.dir],
                np_,
                timeout=300,
            )
            lines.append([line for line in run.err.splitlines() if "not to --gap" in line])
        self.assertEqual(lines[0], lines[1])


class Failing(Packed):
    def test_only_some_of_the_bad_vectors_are_named_or_in_another_order(self):
        with h5py.File(self.path("bad.h5"), "w") as f:
            for i in range(20):
                x = np.linspace(0, 1, 2 + 10 * i if i != 3 else LIMIT + 2)
                if i in (2, 3, 11, 12, 19):
                    x[1] = np.nan
                f[f"v{i:02}"] = x
        texts = []
        for np_ in (1, 2, 3):
            failure = self.fails(65, [self.path("bad.h5"), "--save_dir", self.dir], np_)
            texts.append(failure.errors[0])
            places = [failure.errors[0].index(f"v{i:02}") for i in (2, 3, 11, 12, 19)]
            self.assertEqual(places, sorted(places))
            self.assertFalse(os.path.exists(self.path("quantized.h5")))
            self.nothing_left(self.path("quantized.h5"))
        self.assertEqual(len(set(texts)), 1, texts)

    def walk(self, at, np_, stride):
        write_many(self.path("many.h5"), 6)
        output = self.path("out", "quantized.h5")
        args = [self.path("many.h5"), "--approach", "easyquant", "--threshold", 1, "--num_bits", 2]
        for call in range(1, 5000, stride):
            env = {"QUANTOPT_FAULT": f"{call}{at}"}
            result = harness.run(
                [*args, "--save_dir", self.path("out"), "--quiet"], np_, env=env, timeout=60
            )
            if result.code == 0:
                return call
            label = f"call {call}{at} on {np_} ranks: {result}"
            self.assertIn(result.code, harness.EXIT_CODES, label)
            self.assertEqual(len(result.errors), 1, label)
            self.assertNotIn("HDF5-DIAG", result.err, label)
            self.nothing_left(output)
            self.assertFalse(os.path.exists(output), label)
        raise AssertionError("no run ended well")

    def test_a_failed_call_on_one_rank_leaves_half_a_file(self):
        self.assertGreater(self.walk("", 0, 7), 100)

    def test_a_failed_call_on_the_second_rank_hangs_the_first(self):
        self.assertGreater(self.walk("@1", 2, 29), 50)

    def test_a_failed_call_on_the_first_rank_hangs_the_second(self):
        self.assertGreater(self.walk("@0", 2, 37), 50)


class Resumed(Packed):
    """Runs that are stopped between batches, or within the large vectors behind them."""

    ARGS = ["--approach", "all", "--num_bits", "2,5", "--solver", "lloyd"]

    def written(self):
        """When the checkpoint was written last."""
        checkpoint = self.path("out", "quantized.h5.checkpoint")
        return os.stat(checkpoint).st_mtime_ns if os.path.exists(checkpoint) else 0

    def stopped(self, args, np_, after):
        """Starts, asks it to stop when it has written a checkpoint, and waits; whether it was
        stopped in time."""
        env, before = {"QUANTOPT_CHECKPOINT_SECONDS": "0.05"}, self.written()
        process = harness.start(args, np_, env)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if self.written() not in (0, before):
                time.sleep(after)
                process.send_signal(signal.SIGUSR1)
                break
            time.sleep(0.01)
        result = harness.finish(process, 120)
        self.assertIn(result.code, (0, 75), str(result))
        self.assertNotIn("quantized again", result.err)
        return result.code == 75

    def test_a_stopped_run_does_not_go_on(self):
        write_many(self.path("many.h5"), 600)
        with h5py.File(self.path("many.h5"), "a") as f:
            f["large"] = vectors.heavy_tailed(LIMIT + 1000, 5).astype("f4")
        args = [self.path("many.h5"), *self.ARGS, "--quiet"]
        whole, out = self.path("whole"), self.path("out")
        self.good([*args, "--save_dir", whole], 2, timeout=300)
        stops = 0
        for np_, more in ((2, []), (3, ["--resume"]), (1, ["--resume"])):
            if not self.stopped([*args, "--save_dir", out, *more], np_, 0.3):
                break
            stops += 1
            self.assertTrue(os.path.exists(self.path("out", "quantized.h5.encoded")))
        self.assertGreater(stops, 0, "no run was stopped in time")
        if stops == 3:
            last = self.good([*args, "--save_dir", out, "--resume"], 2, timeout=300)
            self.assertNotIn("quantized again", last.err)
        self.equal_results(
            os.path.join(whole, "quantized.h5"), os.path.join(out, "quantized.h5")
        )
        self.assertEqual(self.results(whole), self.results(out))
        self.nothing_left(os.path.join(out, "quantized.h5"))


if __name__ == "__main__":
    harness.main()
