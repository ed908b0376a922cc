#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A rank's peak memory: its shard, the codes of one result, and 64 MiB.

    memory.py [--elements N] [unittest arguments]    (default 100,000,000)
"""
import json
import unittest

import harness

ELEMENTS = harness.argument("--elements", 100_000_000)
SPARE = 64 << 20


class Memory(harness.Case):
    def setUp(self):
        if harness.SANITIZED:
            raise unittest.SkipTest("sanitizers keep memory of their own")
        super().setUp()

    def peak(self, ranks, bits, *more):
        args = [
            "--generate",
            f"normal:{ELEMENTS}",
            "--dtype",
            "float32",
            "--num_bits",
            bits,
        ]
        self.good([*args, *more, "--save_dir", self.dir], ranks, timeout=280)
        with open(self.path("results.json")) as f:
            peak = json.load(f)["peak_memory_bytes"]["max"]
        blocks = -(-ELEMENTS // harness.BLOCK)
        shard = min(-(-blocks // ranks) * harness.BLOCK, ELEMENTS)
        allowed = shard * 4 + shard * bits // 8 + SPARE
        mebibytes = f"peak {peak / 2**20:.1f} MiB, allowed {allowed / 2**20:.1f} MiB"
        print(f"{ranks} ranks, {bits} bits: {mebibytes}")
        self.assertLessEqual(peak, allowed)

    def test_one_rank_needs_more_than_its_shard_and_codes(self):
        self.peak(1, 3, "--approach", "all")

    def test_two_ranks_need_more_than_their_shards_and_codes(self):
        self.peak(2, 8, "--approach", "easyquant")


if __name__ == "__main__":
    harness.main()
