#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of a rank at random times: never a half file under the final name, and the next run
succeeds.

    kill_random.py [--runs N] [--seed S]    (default 5 runs, seed 1)
"""
import ctypes
import hashlib
import os
import random
import signal
import time

import harness


RUNS, SEED = harness.argument("--runs", 5), harness.argument("--seed", 1)


class Kill(harness.Case):
    ARGS = [
        "--generate",
        "normal:2M",
        "--approach",
        "all",
        "--num_bits",
        "2,3",
        "--max_iterations",
        "5",
        "--quiet",
    ]

    def kill_one(self, delay, rng, folder):
        process = harness.start([*self.ARGS, "--save_dir", folder], 2)
        time.sleep(delay)
        ranks = harness.ranks_of(process)
        if ranks:
            os.kill(rng.choice(ranks), signal.SIGKILL)
        return bool(ranks), harness.finish(process, 60)

    def test_a_killed_run_leaves_half_a_file(self):
        rng, folder = random.Random(SEED), self.path("out")
        output = os.path.join(folder, "quantized.h5")
        began = time.monotonic()
        self.good([*self.ARGS, "--save_dir", folder], 2)
        whole = time.monotonic() - began
        self.good(["--approach", "uniform", "--save_dir", folder, "--quiet"])
        with open(output, "rb") as f:
            older = hashlib.sha256(f.read()).hexdigest()
        killed = 0
        for number in range(RUNS):
            delay = rng.uniform(0.05, 1.05 * whole)
            hit, result = self.kill_one(delay, rng, folder)
            killed += hit and result.code != 0
            with open(output, "rb") as f:
                now = hashlib.sha256(f.read()).hexdigest()
            label = f"run {number}, killed after {delay:.3f} s: {result}"
            if now != older:
                self.checked(output)
            else:
                self.assertNotEqual(result.code, 0, label)
            if number % 5 == 4 or number == RUNS - 1:
                self.good(["--approach", "uniform", "--save_dir", folder, "--quiet"], 2)
                self.nothing_left(output)
                with open(output, "rb") as f:
                    older = hashlib.sha256(f.read()).hexdigest()
            else:
                older = now
        print(f"{RUNS} runs of {whole:.2f} s, {killed} of them killed")
        self.assertGreater(killed, 0, "no run was killed in time")

    def test_what_a_killed_run_left_in_shared_memory_stops_all_later_runs(self):
        """Open MPI's shared file pointers use a semaphore that is named after the output alone; a
        rank that is killed while it holds it would stop every later run on this machine."""
        name = f"held_{os.getpid()}.h5"
        semaphore = f"/OMPIO_{name}.partial".encode()
        system = ctypes.CDLL(None, use_errno=True)
        system.sem_open.restype = ctypes.c_void_p
        held = system.sem_open(semaphore, os.O_CREAT, 0o600, 0)
        self.assertTrue(held, "no semaphore can be made here")
        self.addCleanup(system.sem_unlink, semaphore)
        args = ["--output", self.path(name), "--save_dir", self.dir, "--quiet"]
        self.good(args, 2, timeout=30)


if __name__ == "__main__":
    harness.main()
