#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A rank that does not answer: the others end in time, with the right code, and say who they are;
so do ranks that are told to stop and cannot."""
import os
import re
import signal
import time

import harness

# Minutes of work: Lloyd steps that never meet the tolerance.
LONG = [
    *("--generate", "normal:20M", "--solver", "lloyd", "--init", "quantile"),
    *("--approach", "non-uniform", "--num_bits", "8", "--tolerance", "0"),
    *("--max_iterations", "1000K", "--output", "none", "--quiet"),
]


class Watch(harness.Case):
    def ranks(self, process):
        """The program's processes below mpirun, by rank."""
        found = {}
        for pid in harness.ranks_of(process):
            try:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    rank = re.search(rb"OMPI_COMM_WORLD_RANK=(\d+)", f.read())
            except OSError:
                continue
            if rank:
                found[int(rank[1])] = pid
        return found

    def started(self, more, ranks, env=None):
        """A run that is in the middle of its work, and its processes."""
        folder = self.path("out")
        process = harness.start([*LONG, *more, "--save_dir", folder], ranks, env)
        self.addCleanup(harness.kill_tree, process)
        deadline = time.monotonic() + 60
        while not os.path.exists(os.path.join(folder, "logs.txt")):
            self.assertIsNone(process.poll(), "the run ended by itself")
            self.assertLess(time.monotonic(), deadline, "the run does not begin")
            time.sleep(0.05)
        time.sleep(0.3)
        pids = self.ranks(process)
        self.assertEqual(sorted(pids), list(range(ranks)))
        return process, pids

    def spoke(self, result, part):
        """Each message is of another rank, and has the part; the ranks that spoke."""
        speakers = []
        for line in result.errors:
            match = re.match(r"quantopt_mpi: error: rank (\d+) on \S+: (.*)", line)
            self.assertTrue(match, str(result))
            self.assertIn(part, match[2], str(result))
            speakers.append(int(match[1]))
        self.assertTrue(speakers, str(result))
        self.assertEqual(len(speakers), len(set(speakers)), str(result))
        return speakers

    def test_a_rank_that_hangs_is_waited_for_for_ever(self):
        for silent in (0, 2):
            with self.subTest(silent=silent):
                # More than the one second a stopped rank has between waking and mpirun's SIGKILL
                # and the one that its stop counts as: it stays silent.
                process, pids = self.started(["--comm_timeout", "4"], 3)
                began = time.monotonic()
                os.kill(pids[silent], signal.SIGSTOP)
                result = harness.finish(process, 60)
                self.assertGreater(time.monotonic() - began, 3.5)
                self.assertEqual(result.code, 69, str(result))
                speakers = self.spoke(result, "seconds for other ranks in ")
                self.assertNotIn(silent, speakers, str(result))
                os.remove(self.path("out", "logs.txt"))

    def test_a_rank_that_cannot_stop_goes_on_until_it_is_killed(self):
        process, pids = self.started([], 2, {"QUANTOPT_STOP_DEADLINE": "1"})
        os.kill(pids[1], signal.SIGSTOP)
        time.sleep(0.5)
        os.kill(pids[0], signal.SIGTERM)
        result = harness.finish(process, 60)
        self.assertEqual(result.code, 75, str(result))
        # mpirun wakes rank 1 and tells it to stop: it may say the same before it is killed.
        self.assertIn(0, self.spoke(result, "could not stop in time"))


if __name__ == "__main__":
    harness.main()
