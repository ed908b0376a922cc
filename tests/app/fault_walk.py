#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The n-th fallible call fails, for n = 1, 2, ... until a run ends well: each failure has a code,
one message and leaves the older result.

    fault_walk.py [--stride N] [unittest arguments]    every N-th call only (default 1 on one rank,
    7 on several)
"""
import hashlib
import os

import harness

LIMIT = 5000
STRIDE = harness.argument("--stride", 0)


class Walk(harness.Case):
    ARGS = ["--approach", "easyquant", "--threshold", "1", "--num_bits", "2", "--quiet"]

    def older(self):
        output = self.path("out", "quantized.h5")
        self.good(["--approach", "uniform", "--save_dir", self.path("out"), "--quiet"])
        with open(output, "rb") as f:
            return output, f.read()

    def walk(self, args, np_, output, before, at="", stride=1):
        """Returns how many calls failed one after the other."""
        for call in range(1, LIMIT, stride):
            result = harness.run(args, np_, env={"QUANTOPT_FAULT": f"{call}{at}"}, timeout=60)
            if result.code == 0:
                return call - 1
            label = f"call {call}{at} on {np_ or 1} ranks: {result}"
            self.assertIn(result.code, harness.EXIT_CODES, label)
            self.assertEqual(len(result.errors), 1, label)
            self.assertNotIn("HDF5-DIAG", result.err, label)
            self.nothing_left(output)
            self.unharmed(output, before, label)
        raise AssertionError(f"no run ended well in {LIMIT} tries")

    def unharmed(self, output, before, label):
        if before is None:
            self.assertFalse(os.path.exists(output), label)
            return
        with open(output, "rb") as f:
            now = f.read()
        self.assertEqual(hashlib.sha256(now).hexdigest(), hashlib.sha256(before).hexdigest(), label)

    def test_a_failed_call_on_one_rank_harms_the_older_result(self):
        output, before = self.older()
        count = self.walk(
            [*self.ARGS, "--save_dir", self.path("out")], 0, output, before, stride=STRIDE or 1
        )
        self.assertGreater(count, 20, "too few calls can be made to fail")
        self.checked(output)

    def test_a_failed_call_on_every_rank_is_not_agreed_upon(self):
        output, before = self.older()
        self.walk(
            [*self.ARGS, "--save_dir", self.path("out")], 2, output, before, stride=STRIDE or 7
        )

    def test_a_failed_call_on_the_second_rank_hangs_the_first(self):
        output, before = self.older()
        args = ["--generate", "normal:70000", *self.ARGS, "--save_dir", self.path("out")]
        self.walk(args, 2, output, before, at="@1", stride=STRIDE or 5)

    def test_a_failed_call_leaves_half_a_restored_vector(self):
        self.older()
        for name, np_, stride in (("back.h5", 0, 1), ("back.npy", 0, 1), ("back.h5", 2, 7)):
            output = self.path(name)
            if os.path.exists(output):
                os.remove(output)
            args = ["--restore", self.path("out", "quantized.h5"), "--output", output, "--quiet"]
            self.walk(args, np_, output, None, stride=STRIDE or stride)


if __name__ == "__main__":
    harness.main()
