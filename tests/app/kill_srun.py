#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SIGUSR1, SIGTERM, scancel and kill -9 at random times under srun, on two nodes: the step ends
within DEADLINE, nothing half is under the final name, and --resume on other ranks and nodes ends in
the uninterrupted result, bit for bit.

    kill_srun.py [--runs N] [--seed S]    (default 100 disturbed runs, seed 1)

Needs root and Slurm, as cluster.py does; else skipped.
"""
import collections
import os
import random
import re
import shutil
import signal
import time

import numpy as np

import cluster
import harness

RUNS, SEED = harness.argument("--runs", 100), harness.argument("--seed", 1)
# Seconds: the watch ends a rank 25 s after SIGTERM, Slurm kills 5 s after its own (KillWait).
DEADLINE = 40
UNDISTURBED = 240  # of a few; beside other tests it takes longer
NODES_AND_RANKS = ((1, 1), (1, 2), (2, 2), (2, 3))
# What is done to a step, and what scancel is told for it.
SCANCEL = {"USR1": ["--signal=USR1"], "TERM": ["--signal=TERM"], "scancel": []}
KINDS = (*SCANCEL, "kill -9")
# How the step may end: 128 + a signal where that came before the program could be ready for it,
# "early": before it opened its log; then srun may also give up the launch, with 1. The ranks beside one that a signal ended get a TERM.
CODES = {
    "USR1": {0, 75},
    "TERM": {0, 75},
    "early USR1": {0, 1, 75, 138, 143},
    "early TERM": {0, 1, 75, 143},
    "early scancel": {0, 1, 75, 137, 143},
    "scancel": {0, 75, 137, 143},
    "kill -9": {137, 143},
    "nothing": {0},
}
COMMON = ["--approach", "all", "--num_bits", "2,3,4", "--quiet"]
LLOYD = ["--solver", "lloyd", "--init", "random", "--tolerance", "0", "--max_iterations", "4"]
RESULTS = ["logs.txt", "quantized.h5", "results.json", "results.txt"]
EVENTS = {
    "went on from a checkpoint": r"resume +from ",
    "took a lock over": r"taken over from process",
    "used the checkpoint before": r"\.previous",
    "encoded again": r"encoded again",
}


class Killed(cluster.Cluster):
    def setUp(self):
        super().setUp()
        options = ["--no-shell", "--nodes=2", "--ntasks-per-node=3", "--time=UNLIMITED"]
        done = self.slurm("salloc", *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.job = re.search(r"Granted job allocation (\d+)", done.stderr)[1]
        self.addCleanup(self.slurm, "scancel", self.job)
        self.rng, self.steps = random.Random(SEED), 0
        self.counts, self.longest = collections.Counter(), 0
        self.input = self.path("v.f32")
        np.random.default_rng(SEED).standard_normal(20_000_000, "f4").tofile(self.input)

    def start(self, args, nodes, ranks):
        """Starts a step of several tiles a rank; its process, and the name of the step."""
        self.steps += 1
        name = f"step{self.steps}"
        prefix = ["srun", f"--jobid={self.job}", f"--job-name={name}", "--mpi=pmix"]
        prefix += ["--kill-on-bad-exit=1", f"--nodes={nodes}", f"--ntasks={ranks}"]
        env = {**self.env, "QUANTOPT_CHECKPOINT_SECONDS": "0.2"}
        args = [self.input, "--dtype", "float32", "--memory_limit", "16M", *args]
        return harness.start(args, env=env, cwd=self.dir, prefix=prefix), name

    def strike(self, kind, name):
        """Does that to a step; whether the step was there."""
        if kind == "kill -9":
            ranks = self.ranks(self.job)
            try:
                os.kill(self.rng.choice(ranks), signal.SIGKILL)
            except (IndexError, ProcessLookupError):
                return False
            return True
        steps = self.slurm("squeue", "--steps", "-h", "-j", self.job, "-o", "%j %i").stdout
        found = re.search(rf"^{name} (\S+)", steps, re.M)
        if found:  # Of a step on some of the nodes it fails although the signal arrives.
            self.slurm("scancel", *SCANCEL[kind], found[1])
        return bool(found)

    def log_size(self):
        log = self.path("out/logs.txt")
        return os.path.getsize(log) if os.path.exists(log) else 0

    def disturb(self, process, name, delay, log_size):
        """Waits and strikes, one time in four twice; what was done, if the run lived that long."""
        done = []
        time.sleep(delay)
        for number in range(2 if self.rng.random() < 0.25 else 1):
            time.sleep(number * self.rng.uniform(0, 0.5))
            kind = self.rng.choice(KINDS)
            while process.poll() is None:
                is_early = "early " + kind in CODES and self.log_size() == log_size
                if self.strike(kind, name):
                    self.struck = time.monotonic()
                    done.append("early " * is_early + kind)
                    break
                time.sleep(0.02)
        return done

    def attempt(self, args, longest_delay):
        """One run with --resume on some ranks, disturbed if there is a delay; whether it is
        done."""
        output, log_size = self.path("out/quantized.h5"), self.log_size()
        before = os.path.exists(output)
        places, delay = self.rng.choice(NODES_AND_RANKS), self.rng.uniform(0, longest_delay)
        process, name = self.start([*args, "--save_dir", "out", "--resume"], *places)
        done = self.disturb(process, name, delay, log_size) if longest_delay else []
        result = harness.finish(process, DEADLINE if done else UNDISTURBED)
        if done:
            self.longest = max(self.longest, time.monotonic() - self.struck)
            self.counts["disturbed"] += 1
        what = " and ".join(done or ["nothing"])
        self.counts[f"{what}: {result.code}"] += 1
        label = f"{what} after {delay:.3f} s: {result}"
        self.assertIn(result.code, set().union(*map(CODES.get, done or ["nothing"])), label)
        self.wait(lambda: not self.ranks(self.job), 10, f"ranks live on; {label}")
        self.look(output, result.code, before, label)
        return result.code == 0

    def look(self, output, code, before, label):
        """The result is there if the run came to its end, and only then; else a checkpoint is."""
        there = os.path.exists(output)
        if code in (0, 75):
            self.assertEqual(there, code == 0 or before, label)
        if code == 75:
            self.assertTrue(os.path.exists(output + ".checkpoint"), label)
        if there:
            self.equal_results(output, self.plain)
            self.counts["whole though killed"] += code != 0 and not before

    def chain(self, args, whole):
        """Up to three runs are disturbed, ever earlier; then one goes on to the end."""
        for number in range(1, 4):
            if self.attempt(args, whole / number):
                break
        else:
            self.assertTrue(self.attempt(args, 0), "an undisturbed run does not end")
        log = harness.read_text(self.path("out/logs.txt"))
        for event, pattern in EVENTS.items():
            self.counts[event] += len(re.findall(pattern, log))
        left = set(os.listdir(self.path("out"))) - set(RESULTS)
        self.assertFalse(left)
        self.equal_results(self.path("out/quantized.h5"), self.plain)
        shutil.rmtree(self.path("out"))

    def measure(self, name, args):
        """A plain run in memory, for the result, and one in steps, for the time; the latter."""
        self.good([self.input, "--dtype", "float32", *args, "--save_dir", self.path(name)])
        began = time.monotonic()
        process, _ = self.start([*args, "--output", "none", "--save_dir", "timed"], 2, 2)
        self.assertEqual(harness.finish(process, UNDISTURBED).code, 0)
        return time.monotonic() - began

    def test_a_run_that_slurm_ends_hangs_or_gives_another_result(self):
        solvers = {"exact": COMMON, "lloyd": [*COMMON, *LLOYD]}
        whole = {name: self.measure(name, args) for name, args in solvers.items()}
        self.addCleanup(self.tell, whole, time.monotonic())
        while self.counts["disturbed"] < RUNS:
            for name, args in solvers.items():
                self.plain = self.path(name, "quantized.h5")
                self.chain(args, whole[name])

    def tell(self, whole, began):
        """Prints what happened, whatever the outcome."""
        for what, count in sorted(self.counts.items()):
            print(f"{count:4} {what}")
        seconds = ", ".join(f"{name} {s:.1f} s" for name, s in whole.items())
        print(f"runs of {seconds}; all in {time.monotonic() - began:.0f} s")
        print(f"longest time from the last signal to the end {self.longest:.1f} s")


if __name__ == "__main__":
    harness.main()
