#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The CUDA backend inside the whole program, over a CUDA runtime that needs no GPU (tests/shim):
the same bits as on the CPU, in pieces or not, on any number of ranks and devices; and what is said
and left where a device fails.

    QUANTOPT_SHIM       the program over that runtime
    QUANTOPT_FAKE_NCCL  a library in NCCL's place; absent where nccl.h was not there to build it
"""
import json
import os
import subprocess
import unittest
from unittest import mock

import harness
import vectors

SHIM = os.environ.get("QUANTOPT_SHIM", "")
FAKE_NCCL = os.environ.get("QUANTOPT_FAKE_NCCL", "")
STEPS = ["--solver", "lloyd", "--init", "quantile", "--max_iterations", "4"]


class Device(harness.Case):
    def setUp(self):
        super().setUp()
        if not SHIM:
            raise unittest.SkipTest("QUANTOPT_SHIM names no program")

    def shim(self):
        return mock.patch.object(harness, "PROGRAM", SHIM)

    def pair(self, args, np_=0, env=None, output=True):
        """The same run on the CPU and on the device; their result files, or documents."""
        names = []
        for device in ("cpu", "cuda"):
            folder = self.path(f"{device}_{np_}")
            where = [] if output else ["--output", "none"]
            more = [*map(str, args), "--device", device, "--save_dir", folder, *where, "--quiet"]
            if device == "cpu":
                self.good(more)
            else:
                with self.shim():
                    self.good(more, np_, env=env, timeout=300)
            names.append(os.path.join(folder, "quantized.h5" if output else "results.json"))
        return names

    def same(self, args, np_=0, env=None):
        self.equal_results(*self.pair(args, np_, env))


class Equal(Device):
    def test_a_type_or_nasty_value_differs_on_the_device(self):
        made, brain = self.path("made.h5"), self.path("brain.safetensors")
        vectors.write_hdf5(made)
        vectors.write_bfloat16(brain)
        common = [made, brain, "--approach", "all", "--nonfinite", "keep", "--num_bits"]
        self.same([*common, "3"])
        self.same([*common, "5"], np_=2)

    def test_ranks_that_share_a_device_change_a_bit(self):
        drawn = ["--generate", "laplace:300000", "--approach", "all", "--num_bits", "1,4"]
        for np_ in (1, 3):
            self.same(drawn, np_)

    def test_lloyd_steps_differ_on_the_device(self):
        self.same(["--generate", "normal:150000", "--num_bits", "2,6", *STEPS], np_=2)

    def test_a_further_walk_or_a_sample_differs_on_the_device(self):
        drawn = ["--generate", "lognormal:200000", "--dtype", "float64", "--num_bits", "4"]
        self.same([*drawn, "--gap", "1e-6"])
        self.same([*drawn, "--sample_size", "10000"], np_=2)

    def test_many_outliers_are_listed_wrongly(self):
        drawn = ["--generate", "normal:500000", "--approach", "easyquant", "--num_bits", "2"]
        self.same([*drawn, "--threshold", "0.5"])

    def test_pieces_in_a_small_memory_change_a_bit(self):
        """So little that copies are not held, codes go in parts, and pieces are of a few blocks."""
        drawn = ["--generate", "normal:400000", "--approach", "easyquant,uniform", "--num_bits", "8"]
        for megabytes in (9, 14):
            self.same(drawn, env={"QUANTOPT_SHIM_MEMORY": str(megabytes << 20)})

    def test_tiles_of_a_vector_that_is_not_held_change_a_bit(self):
        """A memory limit of two thirds of the vector: both read it tile by tile."""
        drawn = ["--generate", "normal:2900000", "--dtype", "float64", "--approach", "easyquant"]
        limit = ["--memory_limit", "16M"]
        self.same([*drawn, "--num_bits", "2,3", "--threshold", "2", *limit])

    def test_another_order_of_threads_changes_a_bit(self):
        drawn = ["--generate", "normal:150000", "--approach", "all", "--num_bits", "3"]
        self.same(drawn, env={"QUANTOPT_SHIM_SEED": "2"})

    def test_scores_without_codes_differ_on_the_device(self):
        drawn = ["--generate", "uniform:150000", "--approach", "all", "--num_bits", "1,2,3,8"]
        one, other = (json.loads(harness.read_text(p)) for p in self.pair(drawn, output=False))
        self.assertEqual((one["device"], other["device"]), ("cpu", "cuda"))
        for a, b in zip(one["vectors"][0]["results"], other["vectors"][0]["results"]):
            for timing in harness.TIMINGS:
                a.pop(timing), b.pop(timing)
            self.assertEqual(a, b)

    def test_a_restored_vector_differs_on_the_device(self):
        result, _ = self.pair(["--generate", "normal:150000", "--approach", "easyquant"])
        restore = ["--restore", result, "--quiet", "--device"]
        self.good([*restore, "cpu", "--output", self.path("cpu.npy")])
        with self.shim():
            self.good([*restore, "cuda", "--output", self.path("cuda.npy")], np_=2)
        self.assertEqual(
            harness.read_bytes(self.path("cpu.npy")), harness.read_bytes(self.path("cuda.npy"))
        )


class Failing(Device):
    DRAWN = ["--generate", "normal:70000", "--num_bits", "2"]

    def on_shim(self, codes, args=(), np_=0, **env):
        """One message; nothing is left of an output, and an older one stays."""
        output = self.path("out", "quantized.h5")
        self.good([*self.DRAWN, "--device", "cpu", "--save_dir", self.path("out"), "--quiet"])
        before = harness.read_bytes(output)
        args = [*self.DRAWN, "--save_dir", self.path("out"), *args]
        with self.shim():
            result = self.fails(codes, args, np_, env=env)
        self.nothing_left(output)
        self.assertEqual(harness.read_bytes(output), before)
        return result

    def test_no_device_is_not_told_by_its_reason(self):
        for env, reason in (
            ({"QUANTOPT_SHIM_FAIL": "driver"}, "no NVIDIA driver"),
            ({"QUANTOPT_SHIM_DEVICES": "0"}, "no GPU is visible"),
            ({"QUANTOPT_SHIM_FAIL": "image"}, "compute capability 9.0"),
        ):
            with self.subTest(reason=reason):
                result = self.on_shim(69, ["--device", "cuda"], np_=2, **env)
                self.assertIn("--device cuda: ", result.errors[0])
                self.assertIn(reason, result.errors[0])
                with self.shim():
                    lines = self.good(
                        [*self.DRAWN, "--save_dir", self.path("auto")], env=env
                    ).err.splitlines()
                told = [line for line in lines if reason in line]
                self.assertEqual(len(told), 1, lines)
                self.assertIn("device    cpu", told[0])

    def test_a_failing_device_ends_in_something_else_than_one_message(self):
        for how in ("launch", "copy"):
            result = self.on_shim(69, np_=2, QUANTOPT_SHIM_FAIL=how)
            self.assertIn("GPU 0 (Shim 0)", result.errors[0])

    def test_a_device_that_dies_is_told_as_a_failure_of_nccl(self):
        if not FAKE_NCCL:
            raise unittest.SkipTest("built without nccl.h")
        for launch in (3, 5):
            result = self.on_shim(
                69,
                [*STEPS, "--comm", "nccl"],
                np_=2,
                QUANTOPT_SHIM_DEVICES="2",
                QUANTOPT_NCCL=FAKE_NCCL,
                QUANTOPT_SHIM_DEAD=str(launch),
            )
            self.assertIn("(Shim ", result.errors[0])
            self.assertIn("a Lloyd step failed", result.errors[0])

    def test_a_full_device_is_not_told(self):
        result = self.on_shim(71, QUANTOPT_SHIM_MEMORY="300000")
        self.assertIn("GPU 0 (Shim 0): no memory for", result.errors[0])

    def test_a_refused_allocation_harms_the_older_result(self):
        """Some refusals are got over (a copy is not held, pieces get smaller); others are told."""
        ended = set()
        for call in range(1, 300, 13):
            folder = self.path("walk")
            with self.shim():
                result = harness.run(
                    [*self.DRAWN, "--approach", "easyquant", "--save_dir", folder, "--quiet"],
                    env={"QUANTOPT_FAULT": str(call)},
                )
            ended.add(result.code)
            self.assertIn(result.code, (0, 71, 73, 74), str(result))
            self.assertEqual(len(result.errors), result.code != 0, str(result))
            self.nothing_left(os.path.join(folder, "quantized.h5"))
        self.assertIn(71, ended)


class Placed(Device):
    def started(self, np_, args=(), **env):
        with self.shim():
            return self.good(["--save_dir", self.path("out"), *args], np_, env=env).err

    def test_ranks_do_not_take_a_device_each(self):
        err = self.started(3, QUANTOPT_SHIM_DEVICES="2")
        for rank, device in ((0, 0), (1, 1), (2, 0)):
            line = next(line for line in err.splitlines() if line.startswith(f"rank {rank} "))
            self.assertIn(f"on {harness.hostname()}: GPU {device} Shim {device}, GPU-0000", line)
            self.assertIn("GiB free", line)

    def test_results_do_not_say_where_they_were_computed(self):
        self.started(1)
        run = json.loads(harness.read_text(self.path("out", "results.json")))
        self.assertEqual((run["device"], run["comm"]), ("cuda", "mpi"))
        self.assertIn("__device: cuda\n", harness.read_text(self.path("out", "results.txt")))

    def test_nccl_is_not_refused_where_ranks_share_a_device(self):
        with self.shim():
            result = self.fails(69, ["--comm", "nccl", "--save_dir", self.path("out")], 2)
        self.assertIn("share", result.errors[0])

    def test_sums_over_nccl_change_a_bit(self):
        if not FAKE_NCCL:
            raise unittest.SkipTest("built without nccl.h")
        env = {"QUANTOPT_SHIM_DEVICES": "3", "QUANTOPT_NCCL": FAKE_NCCL}
        drawn = ["--generate", "normal:300000", "--approach", "all", "--num_bits", "3"]
        for np_, comm in ((1, "nccl"), (2, "auto"), (3, "nccl")):
            one, other = self.pair([*drawn, "--comm", "auto"], np_=0), None
            folder = self.path(f"nccl_{np_}")
            with self.shim():
                self.good([*drawn, "--comm", comm, "--save_dir", folder, "--quiet"], np_, env=env)
            run = json.loads(harness.read_text(os.path.join(folder, "results.json")))
            self.assertEqual(run["comm"], "nccl")
            self.equal_results(one[0], os.path.join(folder, "quantized.h5"))


class Linked(harness.Case):
    def test_the_program_does_not_start_without_a_driver(self):
        linked = subprocess.run(["ldd", harness.PROGRAM], capture_output=True, text=True).stdout
        for library in ("libcuda", "libcudart", "libnccl"):
            self.assertNotIn(library, linked)


if __name__ == "__main__":
    harness.main()
