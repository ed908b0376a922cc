#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/gpu_check.sh: it finds what is wrong, and says nothing else; over a CUDA runtime that
needs no GPU (tests/shim), where speeds are below their targets.

    QUANTOPT_SHIM, QUANTOPT_SHIM_BENCH      the programs over that runtime
    QUANTOPT_FAKE_NCCL                      a library in NCCL's place; may be absent
"""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import harness

SCRIPTS = os.path.join(harness.TOP, "scripts")
BUILD = os.path.dirname(harness.PROGRAM)
SHIM = os.environ.get("QUANTOPT_SHIM", "")
SHIM_BENCH = os.environ.get("QUANTOPT_SHIM_BENCH", "")
FAKE_NCCL = os.environ.get("QUANTOPT_FAKE_NCCL", "")
# The tests of the kernels take a minute over the shim, those of this name a second.
KERNELS, FILTER = "test_score_tables", "*score_differs*"
SPEEDS = ["speed: assign", "speed: encode", "speed: measure"]
NVIDIA_SMI = """#!/bin/sh
case $* in
-L) echo "GPU 0: Shim 0 (UUID: GPU-0)" ;;
*query*) echo "Shim 0, 580.1, 1024 MiB" ;;
esac
"""
# It finds something with one of its tools.
SANITIZER = """#!/bin/sh
[ "$2" != racecheck ] || { echo "========= RACECHECK SUMMARY: 1 hazard displayed"; exit 99; }
while [ "${1#/}" = "$1" ]; do shift; done
exec "$@"
"""
# Its results are wrong on the device, and all else is as it should be.
WRONG = """#!/bin/sh
case $* in
*"--device cuda"*) exec {shim} --seed 7 "$@" ;;
esac
exec {shim} "$@"
"""


def only(*patterns):
    return [word for pattern in patterns for word in ("--only", pattern)]


class GpuCheck(harness.Case):
    def setUp(self):
        super().setUp()
        if not SHIM or not SHIM_BENCH:
            raise unittest.SkipTest("QUANTOPT_SHIM and QUANTOPT_SHIM_BENCH name no programs")
        for folder in ("bin", "kernels"):
            os.mkdir(self.path(folder))
        self.write("bin/nvidia-smi", NVIDIA_SMI)
        shim_test = os.path.join(BUILD, "tests", "kernels", KERNELS.replace("test_", "shim_"))
        os.symlink(shim_test, self.path("kernels", KERNELS))

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)
        os.chmod(self.path(name), 0o755)
        return self.path(name)

    def check(self, *args, script=os.path.join(SCRIPTS, "gpu_check.sh"), **env):
        command = [script, "--logs", self.path("logs"), *args]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PATH": self.path("bin") + ":" + os.environ["PATH"],
                "QUANTOPT_MPI": SHIM,
                "QUANTOPT_BENCH": SHIM_BENCH,
                "QUANTOPT_KERNEL_TESTS": self.path("kernels"),
                "QUANTOPT_TEST_FILTER": FILTER,
                "QUANTOPT_DATA": self.path("none"),
                "QUANTOPT_NCCL": FAKE_NCCL,
                **env,
            },
        )
        process.command = command
        return harness.finish(process, 170)

    def rows(self, result):
        """The table: name -> (result, figure). It is the log folder's too."""
        found = re.findall(r"^(\S.*?) +(ok|FAILED|slow|skipped) +(.*)$", result.out, re.M)
        self.assertTrue(found, str(result))
        self.assertIn(harness.read_text(self.path("logs", "table")), result.out)
        rows = {name: (word, figure) for name, word, figure in found}
        self.assertEqual(len(rows), len(found), str(result))
        counts = [sum(row[0] == word for row in rows.values()) for word in ("ok", "FAILED", "slow")]
        self.assertIn("{} ok, {} failed, {} slow, ".format(*counts), result.out)
        return rows

    def test_what_is_right_fails_or_is_not_looked_at(self):
        result = self.check("--n", "5K")
        rows = self.rows(result)
        self.assertEqual(rows["speed: measure"][0], "slow", str(result))
        self.assertEqual(result.code, 2, str(result))
        skipped = ["results: large", "exercise, beside PyTorch"]
        if not shutil.which("compute-sanitizer"):
            tools = ("memcheck", "racecheck", "initcheck", "synccheck")
            skipped += ["compute-sanitizer: " + tool for tool in tools]
        if not FAKE_NCCL:
            skipped += ["NCCL", "NCCL: one rank", "NCCL: two ranks on one GPU"]
        for name, (word, figure) in rows.items():
            if name in SPEEDS:
                self.assertIn(word, ("ok", "slow"), str(result))
                self.assertRegex(figure, r"^\d+\.\d % of a copy, \d+\.\d\d GB/s; target \d0 %$")
            elif name not in skipped:
                self.assertEqual(word, "ok", f"{name}: {result}")
        self.assertEqual(rows["kernels: " + KERNELS][1], "1 tests")
        self.assertIn("bit for bit", rows["results: normal float32, ranks 1 2 4"][1])
        self.assertGreater(len(rows), 35)

    def test_a_device_that_fails_passes(self):
        for how in ("launch", "copy"):
            names = only("kernels*", "results: small", "speed: largest")
            result = self.check("--n", "5K", *names, QUANTOPT_SHIM_FAIL=how)
            rows = self.rows(result)
            self.assertEqual(result.code, 1, str(result))
            for name in ("kernels: " + KERNELS, "results: small", "speed: largest"):
                self.assertEqual(rows[name][0], "FAILED", str(result))
            self.assertIn("GPU 0 (Shim 0): ", rows["results: small"][1])

    def test_wrong_results_pass(self):
        program = self.write("wrong", WRONG.format(shim=SHIM))
        result = self.check("--n", "5K", *only("results: lognormal"), QUANTOPT_MPI=program)
        self.assertEqual(result.code, 1, str(result))
        row = self.rows(result)["results: lognormal"]
        self.assertEqual(row, ("FAILED", "figures, levels or codes differ"), str(result))

    def test_what_a_sanitizer_finds_passes(self):
        self.write("bin/compute-sanitizer", SANITIZER)
        for name in ("test_assign_encode", "test_measure"):
            os.symlink(self.path("kernels", KERNELS), self.path("kernels", name))
        env = {"QUANTOPT_TEST_BACKEND": "cuda"}
        result = self.check(*only("*: memcheck", "*: racecheck"), **env)
        rows = self.rows(result)
        self.assertEqual(result.code, 1, str(result))
        self.assertIn("1 hazard", rows["compute-sanitizer: racecheck"][1])
        # A tool that ran no test found nothing, but this says nothing.
        self.assertIn("no test of", rows["compute-sanitizer: memcheck"][1])

    def test_a_test_that_runs_nothing_or_fails_passes(self):
        result = self.check(*only("kernels*"), QUANTOPT_TEST_FILTER="*no such*")
        self.assertEqual(result.code, 1, str(result))
        self.assertEqual(self.rows(result)["kernels: " + KERNELS], ("FAILED", "no test was run"))
        os.unlink(self.path("kernels", KERNELS))
        self.write("kernels/test_it", '#!/bin/sh\necho "[  FAILED  ] test_one"; exit 1\n')
        result = self.check(*only("kernels*"))
        self.assertEqual(result.code, 1, str(result))
        self.assertEqual(self.rows(result)["kernels: test_it"], ("FAILED", "[  FAILED  ] test_one"))

    def test_a_machine_without_a_gpu_is_checked(self):
        self.write("bin/nvidia-smi", "#!/bin/sh\nexit 9\n")
        bench = os.path.join(BUILD, "quantopt_bench")
        result = self.check(CUDA_VISIBLE_DEVICES="", QUANTOPT_BENCH=bench)
        self.assertEqual((result.code, result.out), (69, ""), str(result))
        self.assertRegex(result.err, r"^gpu_check.sh: no GPU: .*\n$")
        self.assertFalse(os.path.exists(self.path("logs")))

    def test_a_wrong_command_line_runs(self):
        for args in (["--n"], ["--n", "1e9"], ["--n", "0"], ["--only"], ["--qick"], ["all"]):
            result = self.check(*args)
            self.assertEqual((result.code, result.out), (64, ""), str(result))
        result = self.check(*only("no such"))
        self.assertEqual((result.code, result.out), (64, ""), str(result))

    def test_a_bundle_lacks_something(self):
        if not shutil.which("patchelf"):
            self.skipTest("no patchelf; scripts/install_deps.sh --with-tests installs it")
        if harness.SANITIZED:
            self.skipTest("a program with sanitizers is not what a bundle is made of")
        os.makedirs(self.path("built", "tests", "kernels"))
        for name, program in (
            ("quantopt_mpi", SHIM),
            ("quantopt_bench", SHIM_BENCH),
            ("tests/kernels/" + KERNELS, self.path("kernels", KERNELS)),
        ):
            os.symlink(os.path.realpath(program), self.path("built", name))
        programs = [self.path("built", name) for name in ("quantopt_mpi", "quantopt_bench")]
        made = tempfile.mkdtemp(prefix="quantopt check ", dir=self.dir)
        command = [os.path.join(SCRIPTS, "bundle.sh"), "--output", made, "--gpu-check", *programs]
        done = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stderr)
        nothing = dict.fromkeys(("QUANTOPT_MPI", "QUANTOPT_BENCH", "QUANTOPT_KERNEL_TESTS"), "")
        result = self.check(
            *("--n", "5K", *only("kernels*", "results: [rL]*")),
            script=os.path.join(made, "gpu_check.sh"),
            **nothing,
        )
        self.assertEqual(result.code, 0, str(result))
        rows = self.rows(result)
        self.assertEqual({row[0] for row in rows.values()}, {"ok"}, str(result))
        for name in (KERNELS, "real files", "Lloyd steps, ranks 1 2 4"):
            self.assertIn(("kernels: " if name == KERNELS else "results: ") + name, rows)


if __name__ == "__main__":
    harness.main()
