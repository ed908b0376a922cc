#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""quantopt_bench: its options, the JSON that scripts read, and the same for a device, over a CUDA
runtime that needs no GPU (tests/shim).

    QUANTOPT_SHIM_BENCH     the benchmark over that runtime
"""
import json
import math
import os
import subprocess

import harness

BENCH = os.path.join(os.path.dirname(harness.PROGRAM), "quantopt_bench")
SHIM_BENCH = os.environ.get("QUANTOPT_SHIM_BENCH", "")
ROWS = ["measure", "solve", "encode", "assign", "decode", "job"]
SHAPES = ["normal", "uniform", "heavy", "equal", "sorted"]
BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
# (arguments, what the message has to contain)
WRONG = (
    (["--n", "0"], "--n 0: "),
    (["--n", "1.5K"], "--n 1.5K: "),
    (["--n", "9999999999G"], "--n "),
    (["--bits", "9"], "--bits 9: "),
    (["--threads=0"], "--threads 0: "),
    (["--device", "gpu"], "--device gpu: "),
    (["--dtype", "float8"], "--dtype float8: "),
    (["--shape", "round"], "--shape round: "),
    (["--shape", "normal,heavy"], "--shape normal,heavy: "),
    (["--shape"], "--shape: needs a value"),
    (["--jsn"], "--jsn: no such option"),
    (["100"], "100: no such option"),
)
NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}


class Bench(harness.Case):
    def bench(self, args, program=BENCH, **env):
        done = subprocess.run(
            [program, *map(str, args)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **env},
        )
        return harness.Run([program, *map(str, args)], done.returncode, done.stdout, done.stderr)

    def measured(self, args, program=BENCH, **env):
        result = self.bench(args, program, **env)
        self.assertEqual((result.code, result.err), (0, ""), str(result))
        return result.out

    def refused(self, code, args, program=BENCH, **env):
        """One message, and no more; the message."""
        result = self.bench(args, program, **env)
        self.assertEqual((result.code, result.out), (code, ""), str(result))
        self.assertEqual(len(result.err.splitlines()), 1, str(result))
        self.assertTrue(result.err.startswith("quantopt_bench: error: "), str(result))
        return result.err

    def needs_shim(self):
        if not SHIM_BENCH:
            self.skipTest("QUANTOPT_SHIM_BENCH names no program")

    def on_shim(self, args, **env):
        self.needs_shim()
        return self.measured([*args, "--device", "cuda"], SHIM_BENCH, **env)

    def good_document(self, document, n, bits, dtype, shape):
        self.assertEqual([document[key] for key in ("n", "bits", "dtype")], [n, bits, dtype])
        self.assertEqual(document["shape"], shape)
        self.assertGreaterEqual(document["threads"], 1)
        vector, codes = n * BYTES[dtype] * 1e-9, n * bits / 8 * 1e-9
        for copy in ("memcpy", "copy"):
            if copy == "memcpy" or document["device"] == "cuda":
                figures = document[copy]
                self.assertAlmostEqual(figures["gb_per_s"] * figures["seconds"] / vector, 2, 5)
        rows = document["rows"]
        self.assertEqual([row["kernel"] for row in rows], ROWS)
        for row in rows:
            for figure in ("seconds", "gb_per_s", "ratio"):
                self.assertTrue(math.isfinite(row[figure]) and row[figure] > 0, row)
            moved = vector + (codes if row["kernel"] in ("encode", "decode", "job") else 0)
            self.assertAlmostEqual(row["gb_per_s"] * row["seconds"] / moved, 1, 5)
        seconds = {row["kernel"]: row["seconds"] for row in rows}
        for part in ("measure", "solve", "encode"):
            # The fastest level's times; another one may have been faster at a part.
            self.assertGreaterEqual(seconds["job"], 0.99 * seconds[part], seconds)
        return rows

    def good_device_rows(self, document):
        self.assertEqual(document["device"], "cuda")
        self.assertEqual(document["device_name"], "Shim 0")
        vector = document["n"] * BYTES[document["dtype"]]
        codes = document["n"] * document["bits"] / 8
        for row in document["rows"]:
            self.assertEqual(row["variant"], "host" if row["kernel"] == "solve" else "cuda")
            self.assertGreaterEqual(row["call_seconds"], 0.999 * row["seconds"], row)
            moved = vector + (codes if row["kernel"] in ("encode", "decode", "job") else 0)
            # A fraction of a copy's bandwidth, which counts what it reads and what it writes.
            self.assertAlmostEqual(row["fraction"] * row["ratio"], moved / (2 * vector), 5)

    def test_a_wrong_command_line_runs(self):
        for args, hint in WRONG:
            with self.subTest(" ".join(args)):
                self.assertIn(hint, self.refused(64, args))

    def test_scripts_find_another_layout(self):
        for dtype in BYTES:
            with self.subTest(dtype):
                args = ["--n", "30K", "--bits", 4, "--dtype", dtype, "--threads=2", "--json"]
                document = json.loads(self.measured(args))
                self.good_document(document, 30000, 4, dtype, "normal")
                self.assertEqual((document["device"], document["threads"]), ("cpu", 2))

    def test_a_shape_is_left_out_or_fails(self):
        documents = json.loads(self.measured(["--n", 70000, "--shape", "all", "--json"]))
        self.assertEqual([document["shape"] for document in documents], SHAPES)
        for document in documents:
            self.good_document(document, 70000, 3, "float32", document["shape"])
        text = self.measured(["--n", 2, "--shape", "all"])
        for shape in SHAPES:
            self.assertEqual(text.count(f"2 x float32, {shape}, 3 bits, "), 1, text)
        for row in ROWS:
            self.assertGreaterEqual(text.count(f"\n{row} "), len(SHAPES), text)

    def test_a_device_that_is_not_there_is_replaced_by_the_cpu(self):
        message = self.refused(69, ["--device", "cuda"], **NO_GPU)
        self.assertIn("error: --device cuda: ", message)
        document = json.loads(self.measured(["--n", "1K", "--device=auto", "--json"], **NO_GPU))
        self.assertEqual(document["device"], "cpu")

    def test_a_row_of_the_device_is_missing_or_not_finite(self):
        for shape in SHAPES:
            for dtype, bits in (("float32", 3), ("bfloat16", 8), ("float64", 1)):
                with self.subTest(shape=shape, dtype=dtype):
                    args = ["--n", "20K", "--shape", shape, "--dtype", dtype, "--bits", bits]
                    document = json.loads(self.on_shim([*args, "--json"]))
                    self.good_document(document, 20000, bits, dtype, shape)
                    self.good_device_rows(document)
                    self.assertTrue(document["held"])

    def test_times_of_streaming_pass_for_those_of_held_vectors(self):
        # With less than half a gigabyte nothing is kept on the device.
        small = {"QUANTOPT_SHIM_MEMORY": str(500 << 20)}
        args = ["--n", "600K", "--dtype", "float64"]
        self.assertIn("it is streamed", self.on_shim(args, **small))
        self.assertNotIn("it is streamed", self.on_shim(args))
        self.assertFalse(json.loads(self.on_shim([*args, "--json"], **small))["held"])

    def test_a_device_that_fails_is_not_told(self):
        self.needs_shim()
        for how in ("driver", "image", "launch", "copy"):
            with self.subTest(how):
                args = ["--device", "cuda", "--n", "1K"]
                self.refused(69, args, SHIM_BENCH, QUANTOPT_SHIM_FAIL=how)


if __name__ == "__main__":
    harness.main()
