#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs that are stopped, killed or fail at any moment and go on with --resume, on other ranks and
with another memory limit: bit for bit the result of a run that was not interrupted, never half a
file, never a hang.

    resume.py [--chains N] [--kills N] [--faults N] [--seed S] [unittest arguments]

N runs that are stopped again and again (default 2), N kills (5), N failed calls (10); seed 1.
"""
import json
import os
import random
import re
import shutil
import signal
import struct
import tempfile
import time

import h5py
import numpy as np

import harness

CHAINS, KILLS = harness.argument("--chains", 2), harness.argument("--kills", 5)
FAULTS, SEED = harness.argument("--faults", 5), harness.argument("--seed", 1)

# Read in tiles on 3 ranks with 16 MiB each, and on 1 rank so long that walks are interrupted.
LARGE = 5_000_000 if harness.SANITIZED else 24_000_000
ARGS = [
    *("--approach", "easyquant,uniform", "--num_bits", "3,4", "--nonfinite", "keep", "--quiet"),
    *("--solver", "lloyd", "--init", "quantile", "--max_iterations", "3", "--tolerance", "0"),
]
LIMITS = ("16M", "40M", "4G")
OFTEN = {"QUANTOPT_CHECKPOINT_SECONDS": "0.01"}
PART = 4  # the kind of record that tells of a walk which was interrupted
LEFT = (".checkpoint", ".checkpoint.previous", ".checkpoint.new", ".encoded", ".partial", ".lock")


def write_vectors(path):
    """A vector in tiles, one in memory, one in smaller tiles; outliers, a NaN, fill values."""
    x = np.random.Generator(np.random.SFC64(7)).standard_normal(LARGE, np.float32)
    x *= np.abs(x)
    x[LARGE // 3] = np.nan
    with h5py.File(path, "w") as f:
        f["a"] = x
        f["b"] = x[:300_000].reshape(300, 1000)
        f["c"] = x[: LARGE // 2].astype(np.float16)
        f["c"].attrs["_FillValue"] = np.float16(x[0])


def records(checkpoint):
    """(kind, vector, done, words) of each record of a checkpoint, as checkpoint.h describes it."""
    raw = harness.read_bytes(checkpoint)
    assert raw.startswith(b"quantopt checkpoint\n") and len(raw) == struct.unpack_from("<q", raw, 24)[0]
    identity, count = struct.unpack_from("<qq", raw, 40)
    at, found = 56 + (identity + 7) // 8 * 8, []
    for _ in range(count):
        kind, vector, done, n = struct.unpack_from("<qqqq", raw, at)
        found.append((kind, vector, done, n))
        at += 32 + 8 * n
    return found


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Resuming(harness.Case):
    """One input and its result without an interruption, for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.mkdtemp(prefix="quantopt_")
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)
        cls.input = os.path.join(cls.shared, "x.h5")
        write_vectors(cls.input)
        began = time.monotonic()
        args = [cls.input, *ARGS, "--save_dir", os.path.join(cls.shared, "whole")]
        run = harness.run([*args, "--memory_limit", "4G"], timeout=600)
        assert run.code == 0, str(run)
        cls.whole = os.path.join(cls.shared, "whole", "quantized.h5")
        cls.seconds = time.monotonic() - began

    def setUp(self):
        super().setUp()
        self.output = self.path("out", "quantized.h5")

    def args(self, *more, limit="16M"):
        return [self.input, *ARGS, "--save_dir", self.path("out"), "--memory_limit", limit, *more]

    def begun(self, args, np_, env=None):
        """A run whose handlers of signals are in place."""
        log = self.path("out", "logs.txt")
        if os.path.exists(log):
            os.remove(log)
        process = harness.start(args, np_, env)
        self.addCleanup(harness.kill_tree, process)
        deadline = time.monotonic() + 120
        while not os.path.exists(log) and process.poll() is None:
            self.assertLess(time.monotonic(), deadline, "the run does not begin")
            time.sleep(0.01)
        return process

    def ended(self, process):
        result = harness.finish(process, 300)
        if result.code == 75:
            said = [line for line in result.err.splitlines() if "warning: stopped by " in line]
            self.assertEqual((len(said), len(result.errors)), (1, 0), str(result))
            self.assertFalse(os.path.exists(self.output), str(result))
            self.nothing_left(self.output)
        return result

    def equals_whole(self, label=""):
        self.assertTrue(os.path.exists(self.output), label)
        self.equal_results(self.whole, self.output)
        for suffix in LEFT:
            self.assertFalse(os.path.exists(self.output + suffix), f"{suffix} {label}")

    def goes_on(self, np_=0, *more, limit="16M", env=None):
        """A last run that nothing stops."""
        result = self.good(self.args("--resume", *more, limit=limit), np_, env=env, timeout=600)
        self.equals_whole(str(result))
        return result

    def stopped_in_encoding(self, np_=0, *more):
        """Stops a run whose first vector is being encoded: the place of its codes is there."""
        for _ in range(8):
            if os.path.exists(self.output):
                os.remove(self.output)
            process = self.begun(self.args(*more), np_)
            while process.poll() is None:
                try:
                    if os.stat(self.output + ".partial").st_size > LARGE:
                        break
                except OSError:
                    pass
                time.sleep(0.005)
            send(process.pid, signal.SIGUSR1)
            result = self.ended(process)
            if result.code == 75:
                return result
            self.assertTrue(os.path.exists(self.output), str(result))
        self.skipTest("no run could be stopped in time")


class Stopped(Resuming):
    def chain(self, rng):
        """Stops a run until it is done; the number of stops, and of those within a walk."""
        stops = parts = 0
        for number in range(12):
            np_, limit = rng.choice((0, 1, 1, 2, 3)), rng.choice(LIMITS)
            more = ["--threads", rng.choice((1, 2)), *(["--resume"] if number else [])]
            process = self.begun(self.args(*more, limit=limit), np_, rng.choice((None, OFTEN)))
            time.sleep(rng.uniform(0, 0.4 * self.seconds))
            targets = [process.pid, *harness.ranks_of(process)]
            target = rng.choice(targets)
            send(target, signal.SIGUSR1)
            result = self.ended(process)
            label = f"run {number} of seed {SEED} on {np_} ranks: {result}"
            is_done = os.path.exists(self.output)
            if np_ and target == process.pid and is_done:
                self.assertIn(result.code, (0, -signal.SIGUSR1), label)  # mpirun was cleaning up.
            else:
                self.assertIn(result.code, (0, 75), label)
            if is_done:
                self.equals_whole(label)
                return stops, parts
            stops += 1
            if os.path.exists(self.output + ".checkpoint"):
                parts += any(kind == PART for kind, *_ in records(self.output + ".checkpoint"))
        self.goes_on(2)
        return stops, parts

    def test_a_run_that_is_stopped_again_and_again_differs(self):
        rng, stops, parts = random.Random(SEED), 0, 0
        for _ in range(CHAINS):
            more_stops, more_parts = self.chain(rng)
            stops, parts = stops + more_stops, parts + more_parts
            os.remove(self.output)
        print(f"{CHAINS} runs were stopped {stops} times, {parts} times within a walk")

    def test_a_stopped_launcher_leaves_half_a_file(self):
        """mpirun gives its ranks a second after SIGTERM, and has a code of its own."""
        rng = random.Random(SEED)
        for number, np_ in enumerate((2, 0)):
            process = self.begun(self.args(*(["--resume"] if number else [])), np_)
            time.sleep(rng.uniform(0, 0.6 * self.seconds))
            send(process.pid, signal.SIGTERM)
            result = self.ended(process)
            if os.path.exists(self.output):  # The run was done in time, whatever mpirun says of it.
                self.equals_whole(str(result))
                os.remove(self.output)
            else:
                self.assertNotEqual(result.code, 0, str(result))
        self.goes_on(1)

    def test_a_second_signal_is_not_obeyed(self):
        process = self.begun(self.args(), 2)
        ranks = harness.ranks_of(process)
        if len(ranks) == 2:
            send(ranks[1], signal.SIGSTOP)
            send(ranks[0], signal.SIGUSR1)
            time.sleep(2.5)
            send(ranks[0], signal.SIGUSR1)
            send(ranks[1], signal.SIGCONT)
        result = self.ended(process)
        self.assertIn(result.code, (0, 75), str(result))
        if result.code == 75:
            self.assertIn("stopped by a second signal", result.err)
            self.assertFalse(os.path.exists(self.output + ".checkpoint"), "it was to leave at once")
        self.goes_on(1)

    def test_a_time_limit_is_passed_or_loses_work(self):
        result = self.ended(self.begun(self.args("--max_walltime", "1"), 1))
        self.assertIn(result.code, (0, 75), str(result))
        if result.code == 75:
            self.assertIn("stopped by the time limit", result.err)
        self.goes_on(2)

    def test_a_stopped_run_walks_again_over_what_it_has_seen(self):
        self.stopped_in_encoding(1)
        seen = records(self.output + ".checkpoint")
        self.assertGreater(sum(kind == 3 for kind, *_ in seen), 6, "Lloyd steps are not recorded")
        result = self.goes_on(2, "--progress", "always")
        shown = re.findall(r"\ba: (measuring|a Lloyd step|encoding)", result.err)
        self.assertNotIn("measuring", shown)
        self.assertNotIn("a Lloyd step", shown)

    def test_a_run_without_codes_cannot_go_on(self):
        folder, whole = self.path("out"), self.path("whole")
        args = [self.input, *ARGS, "--output", "none"]
        self.good([*args, "--save_dir", whole], 2, timeout=300)
        args = [*args, "--save_dir", folder, "--memory_limit", "16M"]
        rng = random.Random(SEED)
        for number in range(4):
            process = self.begun([*args, *(["--resume"] if number else [])], rng.choice((0, 2, 3)))
            time.sleep(rng.uniform(0, 0.8 * self.seconds))
            send(process.pid, signal.SIGUSR1)
            result = self.ended(process)
            self.assertIn(result.code, (0, 75), str(result))
        self.good([*args, "--resume"], 1, timeout=300)
        self.assertEqual(*map(figures, (whole, folder)))
        self.assertEqual(sorted(os.listdir(folder)), ["logs.txt", "results.json", "results.txt"])


def figures(folder):
    with open(os.path.join(folder, "results.json")) as f:
        vectors = json.load(f)["vectors"]
    for vector in vectors:
        for result in vector["results"]:
            for name in harness.TIMINGS:
                del result[name]
    return vectors


class Killed(Resuming):
    def test_a_killed_run_cannot_go_on(self):
        rng, killed, saved = random.Random(SEED), 0, 0
        for number in range(KILLS):
            np_ = rng.choice((1, 2, 3))
            process = self.begun(self.args("--resume", limit=rng.choice(LIMITS)), np_, OFTEN)
            time.sleep(rng.uniform(0, 0.6 * self.seconds))
            ranks = harness.ranks_of(process)
            if ranks:
                send(rng.choice(ranks), signal.SIGKILL)
            result = self.ended(process)
            label = f"kill {number} of seed {SEED} on {np_} ranks: {result}"
            if os.path.exists(self.output):  # It was complete when it was killed, or never was.
                self.equal_results(self.whole, self.output)
                self.good(["--output", self.output, "--save_dir", self.path("out"), "--quiet"])
                os.remove(self.output)
                continue
            self.assertNotEqual(result.code, 0, label)
            killed += 1
            saved += os.path.exists(self.output + ".checkpoint")
        print(f"{killed} of {KILLS} runs were killed, {saved} with a checkpoint")
        self.goes_on(2)


class Refused(Resuming):
    def test_a_run_of_other_options_or_inputs_goes_on(self):
        self.stopped_in_encoding(1)
        checkpoint = harness.read_bytes(self.output + ".checkpoint")
        for more, name in (
            (["--num_bits", "3"], "num_bits"),
            (["--tolerance", "0.5"], "tolerance"),
            (["--output", "none", "--save_dir", self.path("out")], None),
        ):
            args = [*self.args("--resume"), *more]
            if name:
                result = self.fails(64, args, 2)
                self.assertIn(name, result.errors[0])
        about = os.stat(self.input)
        os.utime(self.input, ns=(about.st_atime_ns, about.st_mtime_ns + 1_000_000_000))
        self.addCleanup(os.utime, self.input, ns=(about.st_atime_ns, about.st_mtime_ns))
        result = self.fails(65, self.args("--resume"), 1)
        self.assertIn(self.input, result.errors[0])
        os.utime(self.input, ns=(about.st_atime_ns, about.st_mtime_ns))
        self.assertEqual(harness.read_bytes(self.output + ".checkpoint"), checkpoint)
        self.nothing_left(self.output)
        self.goes_on(3, "--threads", "2", "--device", "cpu", limit="1G")

    def test_no_checkpoint_is_an_error(self):
        self.goes_on(2)
        self.assertIn("starts from its beginning", harness.read_text(self.path("out", "logs.txt")))

    def test_a_run_that_starts_anew_is_harmed_by_a_checkpoint(self):
        self.stopped_in_encoding(2)
        self.good(self.args(), 1, timeout=300)
        self.equals_whole()


class Damaged(Resuming):
    def flip(self, path, place):
        with open(path, "r+b") as f:
            f.seek(place)
            byte = f.read(1)
            f.seek(place)
            f.write(bytes([byte[0] ^ 0x10]))

    def test_a_damaged_checkpoint_is_believed(self):
        checkpoint = self.output + ".checkpoint"
        rng = random.Random(SEED)
        for damage in ("flip", "cut"):
            with self.subTest(damage=damage):
                self.stopped_in_encoding(1)
                if os.path.exists(checkpoint + ".previous"):
                    os.remove(checkpoint + ".previous")
                whole = harness.read_bytes(checkpoint)
                if damage == "flip":
                    self.flip(checkpoint, rng.randrange(len(whole)))
                else:
                    os.truncate(checkpoint, rng.randrange(len(whole)))
                result = self.fails(65, self.args("--resume"), 2)
                self.assertIn(".checkpoint", result.errors[0])
                self.nothing_left(self.output)
                with open(checkpoint + ".previous", "wb") as f:
                    f.write(whole)
                result = self.goes_on(2)
                self.assertIn("warning", result.err)

    def test_damaged_codes_are_believed(self):
        for damage in ("codes", "cut", "gone", "replaced"):
            with self.subTest(damage=damage):
                self.stopped_in_encoding(1)
                encoded = self.output + ".encoded"
                self.assertTrue(os.path.exists(encoded))
                if damage == "codes":
                    self.flip(encoded, LARGE // 4)
                elif damage == "cut":
                    os.truncate(encoded, LARGE // 4)
                else:
                    os.remove(encoded)
                if damage == "replaced":
                    with open(encoded, "wb") as f:
                        f.write(bytes(LARGE))
                result = self.goes_on(2)
                self.assertRegex(result.err, "warning: .*again")

    def test_a_finished_vector_that_is_damaged_is_believed(self):
        """Stopped in the last vector: the first one's codes are copied, and are not what they
        were."""
        for _ in range(6):
            process = self.begun(self.args(), 1)
            while process.poll() is None:
                time.sleep(0.005)
                try:  # The codes and outliers of the first, and those of the last.
                    if os.stat(self.output + ".partial").st_size > LARGE * 28 // 8:
                        break
                except OSError:
                    pass
            send(process.pid, signal.SIGUSR1)
            result = self.ended(process)
            if result.code == 75:
                break
            os.remove(self.output)
        if result.code == 0:
            self.skipTest("no run could be stopped in time")
        finished = [vector for kind, vector, *_ in records(self.output + ".checkpoint") if kind == 1]
        self.assertIn(0, finished)
        self.flip(self.output + ".encoded", LARGE // 2)
        self.assertRegex(self.goes_on(3).err, "warning: .*again")

    def test_a_checkpoint_that_cannot_be_written_ends_the_run(self):
        os.makedirs(self.output + ".checkpoint.new")  # Stands where it would be written.
        result = self.good(self.args(), 2, env={"QUANTOPT_CHECKPOINT_SECONDS": "1e-3"}, timeout=300)
        self.assertIn("warning: no checkpoint: ", result.err)
        os.rmdir(self.output + ".checkpoint.new")
        self.equals_whole(str(result))

    def test_a_last_checkpoint_that_cannot_be_written_is_said_to_be(self):
        os.makedirs(self.output + ".checkpoint.new")
        process = self.begun(self.args(), 2)
        send(process.pid, signal.SIGUSR1)
        result = harness.finish(process, 120)
        self.assertIn(result.code, (0, 74), str(result))
        if result.code == 74:
            self.failed_well((74,), result)
            self.nothing_left(self.output)
            self.assertFalse(os.path.exists(self.output))


class Faulty(Resuming):
    """The n-th fallible call fails, for random n: of a run in tiles, and of one that goes on."""

    def walk(self, np_, most, at=""):
        rng, failed = random.Random(SEED), 0
        for _ in range(FAULTS):
            call = f"{rng.randrange(1, most)}{at}"
            env = {"QUANTOPT_FAULT": call, **rng.choice(({}, OFTEN))}
            result = harness.run(self.args("--resume"), np_, env=env, timeout=300)
            label = f"call {call} on {np_} ranks: {result}"
            if result.code == 0:
                self.equal_results(self.whole, self.output)
                self.stopped_in_encoding(1)
                continue
            failed += 1
            self.assertIn(result.code, harness.EXIT_CODES - {75}, label)
            self.assertEqual(len(result.errors), 1, label)
            self.assertNotIn("HDF5-DIAG", result.err, label)
            self.assertFalse(os.path.exists(self.output), label)
            self.nothing_left(self.output)
        self.assertGreater(failed, 0, "no call failed")
        self.goes_on(np_)

    def test_a_failed_call_of_a_run_in_tiles_is_lost(self):
        self.walk(0, 400)

    def test_a_failed_call_of_a_run_that_goes_on_loses_its_work(self):
        self.stopped_in_encoding(1)
        self.walk(0, 300)

    def test_a_failed_call_on_the_second_rank_hangs_the_first(self):
        self.stopped_in_encoding(1)
        self.walk(2, 120, at="@1")


if __name__ == "__main__":
    harness.main()
