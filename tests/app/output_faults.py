#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Outputs that cannot be written: the right code, one message, the older result as it was, no
hang."""
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

import harness


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


class Older(harness.Case):
    """There is an older result that has to stay as it is."""

    def older(self, folder=None):
        folder = folder or self.path("out")
        self.good(["--approach", "uniform", "--save_dir", folder, "--quiet"])
        output = os.path.join(folder, "quantized.h5")
        return output, digest(output)

    def unharmed(self, output, before):
        self.assertEqual(digest(output), before)
        self.assertFalse(os.path.exists(output + ".partial"))


class FullDisk(harness.Case):
    """On a file system of a few MiB that only the run sees."""

    def setUp(self):
        harness.needs_root()
        super().setUp()

    def on_small_disk(self, args, np_, mebibytes=3, options="", fill=False):
        """Runs with an older result on the disk; gives (run, what stayed there: name -> digest)."""
        disk, report = self.path("disk"), self.path("report")
        os.makedirs(disk, exist_ok=True)
        self.good(["--approach", "uniform", "--save_dir", self.path("older"), "--quiet"])
        full = f"dd if=/dev/zero of={disk}/ballast bs=4k 2>/dev/null; " if fill else ""
        ro = f"mount -o remount,ro {disk} || exit 99; " if options == "ro" else ""
        script = (
            f"mount -t tmpfs -o size={mebibytes}m none {disk} || exit 99; "
            f"cp {self.path('older', 'quantized.h5')} {disk}/ || exit 99; {full}{ro}"
            f"{shlex.join(harness.command_line(args, np_))}; code=$?; "
            f"cd {disk} && sha256sum * > {report}; exit $code"
        )
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        process.command = ["sh", "-c", script]
        result = harness.finish(process, 120)
        with open(report) as f:
            there = {line.split()[1]: line.split()[0] for line in f}
        return result, there

    def stays(self, there, *more):
        self.assertEqual(sorted(there), sorted(["quantized.h5", *more]), "files left on the disk")
        self.assertEqual(there["quantized.h5"], digest(self.path("older", "quantized.h5")))

    def test_codes_that_do_not_fit_are_a_success(self):
        big = [
            "--generate",
            "normal:6M",
            "--num_bits",
            "8",
            "--approach",
            "uniform",
            "--save_dir",
            self.path("logs"),
            "--output",
            self.path("disk", "quantized.h5"),
        ]
        for np_ in (0, 1, 2, 3):
            with self.subTest(np=np_):
                result, there = self.on_small_disk(big, np_)
                self.failed_well((74,), result)
                self.assertRegex(result.errors[0], r"(?i)space|free|full")
                self.stays(there)

    def test_outliers_that_do_not_fit_are_a_success(self):
        big = [
            "--generate",
            "normal:3M",
            "--num_bits",
            "1",
            "--approach",
            "easyquant",
            "--threshold",
            "1",
            "--save_dir",
            self.path("logs"),
            "--output",
            self.path("disk", "quantized.h5"),
        ]
        for np_ in (0, 2):
            result, there = self.on_small_disk(big, np_)
            self.failed_well((74,), result)
            self.stays(there)

    def test_a_disk_without_a_free_byte_is_a_success(self):
        for np_ in (0, 2):
            result, there = self.on_small_disk(["--save_dir", self.path("disk")], np_, fill=True)
            self.failed_well((73, 74), result)
            there = {
                name: value
                for name, value in there.items()
                if name not in ("logs.txt", "results.txt", "results.json")
            }
            self.stays(there, "ballast")

    def test_a_vector_that_does_not_fit_is_restored(self):
        self.good(
            [
                "--generate",
                "normal:2M",
                "--dtype",
                "float64",
                "--approach",
                "uniform",
                "--num_bits",
                "2",
                "--save_dir",
                self.path("made"),
                "--quiet",
            ]
        )
        for name in ("back.h5", "back.npy"):
            for np_ in (0, 3):
                result, there = self.on_small_disk(
                    [
                        "--restore",
                        self.path("made", "quantized.h5"),
                        "--output",
                        self.path("disk", name),
                    ],
                    np_,
                )
                self.failed_well((74,), result)
                self.stays(there)

    def test_a_read_only_disk_is_a_success(self):
        for np_ in (0, 2):
            result, there = self.on_small_disk(["--save_dir", self.path("disk")], np_, options="ro")
            self.failed_well((73,), result)
            self.stays(there)


class Nobody(Older):
    """As a user who may not write there."""

    def setUp(self):
        harness.needs_root()
        super().setUp()
        # A place that anybody can reach, with the program in it.
        self.public = tempfile.mkdtemp(prefix="quantopt_", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.public, ignore_errors=True)
        os.chmod(self.public, 0o755)
        self.addCleanup(setattr, harness, "PROGRAM", harness.PROGRAM)
        harness.PROGRAM = shutil.copy(harness.PROGRAM, self.public)
        home = os.path.join(self.public, "home")
        os.mkdir(home)
        os.chown(home, 65534, 65534)
        self.env = {"HOME": home, "TMPDIR": home}
        self.prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

    def test_a_folder_of_somebody_else_is_written(self):
        output, before = self.older(os.path.join(self.public, "out"))
        log = os.path.join(self.public, "home", "log")
        for np_ in (0, 2):
            for args in (
                ["--save_dir", os.path.dirname(output)],
                ["--save_dir", log, "--output", output],
                ["--save_dir", os.path.join(self.public, "new", "folder")],
            ):
                with self.subTest(args=args, np=np_):
                    result = harness.finish(
                        harness.start(
                            args,
                            np_,
                            None,
                            "/",
                            ["env", *(f"{k}={v}" for k, v in self.env.items()), *self.prefix],
                        )
                    )
                    self.failed_well((73,), result)
                    self.unharmed(output, before)

    def test_an_unreadable_input_is_called_damaged(self):
        secret = os.path.join(self.public, "secret.npy")
        harness.np.save(secret, harness.np.ones(10))
        os.chmod(secret, 0o600)
        result = harness.finish(
            harness.start(
                [secret, "--save_dir", self.env["HOME"]],
                2,
                None,
                "/",
                ["env", *(f"{k}={v}" for k, v in self.env.items()), *self.prefix],
            )
        )
        self.failed_well((66,), result)


class Locked(Older):
    """Two runs on one output."""

    ARGS = ["--generate", "normal:3M", "--approach", "uniform", "--num_bits", "2"]

    def stopped_holder(self, output):
        """A run on one rank, stopped while it holds the lock."""
        holder = harness.start([*self.ARGS, "--save_dir", os.path.dirname(output)])
        self.addCleanup(harness.kill_tree, holder)
        limit = time.monotonic() + 60
        # The lock is whole once there is something for it to guard.
        while not os.path.exists(output + ".partial"):
            self.assertIsNone(holder.poll(), "the first run ended before its lock was seen")
            self.assertLess(time.monotonic(), limit, "no lock appeared")
        os.kill(holder.pid, signal.SIGSTOP)
        if not os.path.exists(output + ".lock"):
            self.skipTest("the run was over before it could be stopped")
        return holder

    def test_two_runs_write_one_file(self):
        output, before = self.older()
        holder = self.stopped_holder(output)
        for np_ in (0, 2):
            result = self.fails(
                73, [*self.ARGS, "--save_dir", self.path("logs"), "--output", output], np_
            )
            self.assertIn(
                str(holder.pid), result.errors[0], "the message does not name the other run"
            )
        self.assertEqual(digest(output), before)
        os.kill(holder.pid, signal.SIGCONT)
        result = harness.finish(holder)
        self.assertEqual(result.code, 0, str(result))
        self.checked(output)
        self.nothing_left(output)

    def test_the_lock_of_a_dead_run_stays_for_ever(self):
        output, before = self.older()
        holder = self.stopped_holder(output)
        harness.kill_tree(holder)
        holder.communicate()
        self.assertEqual(digest(output), before)
        self.assertTrue(os.path.exists(output + ".lock"))
        result = self.good([*self.ARGS, "--save_dir", os.path.dirname(output)], 2)
        self.assertRegex(result.err, r"lock")
        self.checked(output)
        self.nothing_left(output)

    def test_the_lock_of_another_machine_is_broken(self):
        output, before = self.older()
        holder = self.stopped_holder(output)
        with open(output + ".lock") as f:
            lock = f.read()
        harness.kill_tree(holder)
        holder.communicate()
        self.assertIn(harness.hostname(), lock)
        with open(output + ".lock", "w") as f:
            f.write(lock.replace(harness.hostname(), "another.machine.example"))
        self.fails(73, [*self.ARGS, "--save_dir", os.path.dirname(output)], 2)
        self.assertEqual(digest(output), before)


class Strange(Older):
    def test_a_folder_is_taken_for_a_file(self):
        os.makedirs(self.path("out", "quantized.h5"))
        for np_ in (0, 2):
            self.fails(73, ["--save_dir", self.path("out")], np_)
        with open(self.path("file"), "w") as f:
            f.write("text")
        self.fails(73, ["--save_dir", self.path("file")])
        self.fails(73, ["--save_dir", self.path("out"), "--output", self.path("file", "x.h5")])

    def test_output_none_writes_codes(self):
        self.good(["--output", "none", "--save_dir", self.path("out")], 2)
        self.assertEqual(
            sorted(os.listdir(self.path("out"))), ["logs.txt", "results.json", "results.txt"]
        )
        with open(self.path("out", "results.json")) as f:
            self.assertEqual(len(json.load(f)["vectors"][0]["results"]), 4)

    def test_a_closed_or_full_stdout_spoils_the_file(self):
        for redirect in (">/dev/full", ">&-", "2>&-"):
            folder = tempfile.mkdtemp(dir=self.dir)
            command = shlex.join(
                harness.command_line(["--approach", "uniform", "--save_dir", folder])
            )
            done = subprocess.run(
                ["sh", "-c", f"{command} {redirect}"], capture_output=True, timeout=60
            )
            self.assertIn(done.returncode, (0, 74), redirect)
            self.checked(os.path.join(folder, "quantized.h5"))


if __name__ == "__main__":
    harness.main()
