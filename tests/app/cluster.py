#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""slurm/: the batch scripts as a user submits them, in a Slurm of two nodes on this machine
(scripts/slurm_cluster.sh). Results are those of a plain run bit for bit; what ends a run early
leaves no half file under the final name, and a run that may go on later does.

Needs root and Slurm but for the class Scripts; else skipped.
"""
import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import harness

SLURM = os.path.join(harness.TOP, "slurm")
START = os.path.join(harness.TOP, "scripts", "slurm_cluster.sh")
SCRIPTS = sorted(glob.glob(os.path.join(SLURM, "*.sbatch")))
SITES = sorted(glob.glob(os.path.join(SLURM, "sites", "*.env")))
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "OUT_OF_MEMORY"}
LAUNCHERS = ("srun", "mpirun")
DRAWN = ["--generate", "normal:150K", "--approach", "all", "--num_bits", "2,3", "--quiet"]
# Five hundred steps; of 20 million elements they take half a minute, and are ended before.
STEPS = ["--solver", "lloyd", "--init", "random", "--tolerance", "0", "--max_iterations", "500"]
STEPS += ["--approach", "non-uniform", "--num_bits", "8", "--quiet"]
LONG = ["--generate", "normal:20M", *STEPS]
# Stops at 75 until it was started as often as the file `goal` says; with a file `waits`, when it is
# told to by USR1. The checkpoint is where the program would keep it; it moves forward if there is a
# file `moves`.
STOPS = """#!/bin/sh
[ "${SLURM_PROCID:-0}" = 0 ] || exit 0
signal=none
trap 'signal=USR1' USR1
echo "$@" >>attempts
mkdir -p results
[ "$(wc -l <attempts)" -lt "$(cat goal)" ] || { echo done >results/quantized.h5; exit 0; }
while [ -e waits ] && [ $signal = none ]; do sleep 0.1; done
if [ -e moves ]; then cp attempts results/quantized.h5.checkpoint
else echo same >results/quantized.h5.checkpoint; fi
exit 75
"""
# One rank is dead, and the other waits for it.
WAITS = """#!/bin/sh
[ "$SLURM_PROCID" = 0 ] || exit 70
exec sleep 100
"""


def resumes():
    """Whether this build of the program can go on with a run that was stopped."""
    text = harness.run(["--help"]).out
    return bool(re.search(r"^ *--resume\b(?!.*not in this build)", text, re.M))


class Scripts(harness.Case):
    """What can be seen without Slurm."""

    def shell(self, script, *args, **env):
        """Runs bash code in a folder of its own, as in a job but with no Slurm to talk to."""
        os.makedirs(self.path("bin"), exist_ok=True)
        for name in ("squeue", "srun", "scontrol"):
            path = self.path("bin", name)
            with open(path, "w") as f:
                f.write("#!/bin/sh\nexit 1\n")
            os.chmod(path, 0o755)
        path = self.path("bin") + ":" + os.environ["PATH"]
        return subprocess.run(
            ["bash", "-c", script, "test", *args],
            capture_output=True,
            text=True,
            cwd=self.dir,
            env={**os.environ, "PATH": path, "SLURM_JOB_ID": "1", **env},
        )

    def common(self, script, *args, **env):
        source = f". '{SLURM}/common.sh'\n"
        env.setdefault("QUANTOPT_LAUNCHER", "mpirun")
        return self.shell(source + script, *args, QUANTOPT_MPI=harness.PROGRAM, **env)

    def test_shellcheck_finds_something(self):
        if not shutil.which("shellcheck"):
            self.skipTest("no shellcheck; scripts/install_deps.sh --with-tests installs it")
        files = [*SCRIPTS, os.path.join(SLURM, "common.sh"), START, *SITES]
        done = subprocess.run(["shellcheck", "-x", *files], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stdout)

    def test_a_script_runs_on_a_login_node(self):
        env = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
        for script in SCRIPTS:
            done = subprocess.run(["bash", script], capture_output=True, text=True, env=env)
            self.assertEqual((done.returncode, done.stdout), (69, ""), script)
            self.assertIn("submit it: sbatch", done.stderr)

    def test_a_script_asks_for_what_only_some_sites_have(self):
        self.assertEqual(len(SCRIPTS), 5)
        for script in SCRIPTS:
            asked = re.findall(r"^#SBATCH +--([a-z-]+)", harness.read_text(script), re.M)
            for name in ("account", "partition", "qos", "constraint", "gres", "gpus-per-node"):
                self.assertNotIn(name, asked, script)

    def test_a_site_file_stops_a_strict_shell_or_spends_somebodys_hours(self):
        self.assertGreaterEqual(len(SITES), 3)
        for site in SITES:
            done = self.shell(f"set -eu; . '{site}'; declare -F site_modules; env")
            self.assertEqual(done.returncode, 0, f"{site}: {done.stderr}")
            self.assertTrue(done.stdout.startswith("site_modules\n"), site)
            self.assertNotIn("SBATCH_ACCOUNT", done.stdout, site)

    def test_the_checkpoint_is_looked_for_elsewhere(self):
        config = self.path("run.yaml")
        with open(config, "w") as f:
            f.write("num_bits: 3\nsave_dir: 'of config'  # where\n")
        cases = [
            ("results/quantized.h5.checkpoint", []),
            ("a b/quantized.h5.checkpoint", ["w.h5", "--save_dir", "a b"]),
            ("x/quantized.h5.checkpoint", ["--save-dir=x", "w.h5"]),
            ("o.h5.checkpoint", ["--output", "n.h5", "--output=o.h5", "--save_dir", "x"]),
            ("of config/quantized.h5.checkpoint", ["--config", config]),
            ("x/quantized.h5.checkpoint", [f"--config={config}", "--save_dir", "x"]),
            ("results/quantized.h5.checkpoint", ["--", "--save_dir=x"]),
        ]
        for expected, args in cases:
            done = self.common('checkpoint_of "$@"', *args)
            self.assertEqual((done.returncode, done.stdout), (0, expected), f"{args} {done.stderr}")

    def test_a_wrong_setting_is_passed_over(self):
        for code, text, env in (
            (78, "QUANTOPT_LAUNCHER=ibrun: srun or mpirun", {"QUANTOPT_LAUNCHER": "ibrun"}),
            (78, "QUANTOPT_SITE: no nowhere", {"QUANTOPT_SITE": "nowhere"}),
        ):
            done = self.common("echo went on", **env)
            self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
            self.assertIn(text, done.stderr)

    def test_cluster_without_root_says_nothing(self):
        done = subprocess.run([START, "strat"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (64, ""), done.stderr)
        if os.geteuid() == 0 and not shutil.which("setpriv"):
            self.skipTest("no setpriv, to be somebody else than root")
        other = ["setpriv", "--reuid=65534"] if os.geteuid() == 0 else []
        command = [*other, "bash", "-s", "start", self.path("cluster")]
        text = harness.read_text(START)
        done = subprocess.run(command, input=text, capture_output=True, text=True, cwd="/")
        self.assertEqual((done.returncode, done.stdout), (69, ""), done.stderr)
        self.assertIn("only root", done.stderr)


class Cluster(harness.Case):
    """A Slurm of its own for each class of tests."""

    @classmethod
    def setUpClass(cls):
        if harness.SANITIZED:
            raise unittest.SkipTest("nothing here is about what sanitizers see")
        cls.cluster = tempfile.mkdtemp(prefix="quantopt_slurm_")
        cls.addClassCleanup(shutil.rmtree, cls.cluster, ignore_errors=True)
        done = subprocess.run([START, "start", cls.cluster], capture_output=True, text=True)
        if done.returncode == 69:
            raise unittest.SkipTest(done.stderr.strip())
        if done.returncode:
            raise AssertionError(done.stderr)
        cls.addClassCleanup(cls.stop)
        mine = {n: v for n, v in os.environ.items() if not n.startswith(("SLURM", "SBATCH"))}
        settings = re.findall(r"(\w+)=(\S+)", done.stdout)
        cls.env = {**mine, **dict(settings), "QUANTOPT_MPI": harness.PROGRAM}

    @classmethod
    def stop(cls):
        """Nothing of it lives on, in whatever state daemons, steps and jobs are."""
        subprocess.run([START, "stop", cls.cluster], check=True)
        left = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/cwd").startswith(cls.cluster):
                    left.append(harness.read_text(f"/proc/{pid}/cmdline"))
            except OSError:
                continue
        if left or os.path.exists(cls.cluster):
            raise AssertionError(f"{cls.cluster} is not gone: {left}")

    def slurm(self, *command, **env):
        return subprocess.run(
            [*command], capture_output=True, text=True, cwd=self.dir, env={**self.env, **env}
        )

    def submit(self, script, args, *options, **env):
        """Submits a script of slurm/; the number of the job."""
        path = os.path.join(SLURM, script + ".sbatch")
        done = self.slurm("sbatch", "--parsable", *options, path, *args, **env)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def record(self, job):
        done = self.slurm("scontrol", "show", "job", "-o", job)
        return dict(re.findall(r"(\w+)=(\S*)", done.stdout))

    def log(self, job):
        logs = glob.glob(self.path(f"quantopt-{job}.log"))
        return harness.read_text(logs[0]) if logs else ""

    def wait(self, condition, seconds, what):
        """Polls until the condition is a true value, and returns that."""
        end = time.monotonic() + seconds
        while not (value := condition()):
            self.assertLess(time.monotonic(), end, what() if callable(what) else what)
            time.sleep(0.1)
        return value

    def ended(self, job, seconds=60):
        """Waits for the end of a job; its record."""

        def end():
            record = self.record(job)
            return record if record.get("JobState") in ENDED else None

        return self.wait(end, seconds, lambda: f"{self.record(job)}\n{self.log(job)}")

    def exits(self, job, code, seconds=60):
        record = self.ended(job, seconds)
        self.assertEqual(record["ExitCode"], f"{code}:0", f"{record}\n{self.log(job)}")
        return record

    def ranks(self, job, node=None):
        """Process numbers of the program's ranks in a job, of one node or of all."""
        wanted = {f"SLURM_JOB_ID={job}", "SLURM_CONF=" + self.env["SLURM_CONF"]}
        if node:
            wanted.add(f"SLURMD_NODENAME={node}")
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                exe = os.readlink(f"/proc/{pid}/exe")
                words = harness.read_bytes(f"/proc/{pid}/environ").split(b"\0")
            except OSError:
                continue
            if exe == os.path.realpath(harness.PROGRAM) and wanted <= set(map(os.fsdecode, words)):
                found.append(int(pid))
        return found

    def running(self, job, ranks, folder="out"):
        """Waits until so many ranks of a job compute; their process numbers."""

        def found():
            pids = self.ranks(job)
            begun = os.path.exists(self.path(folder, "logs.txt"))
            return pids if begun and len(pids) == ranks else None

        return self.wait(found, 30, lambda: f"{self.record(job)}\n{self.log(job)}")


class Jobs(Cluster):
    def test_a_script_gives_other_results_than_a_plain_run(self):
        self.good([*DRAWN, "--save_dir", "plain"], cwd=self.dir)
        jobs = {}
        for script, options in (
            ("one_rank", []),
            ("one_node", []),
            ("many_nodes", ["--ntasks-per-node=2"]),
            ("resumable", ["--ntasks-per-node=3"]),
        ):
            if script == "resumable" and not resumes():
                continue
            for launcher in LAUNCHERS:
                folder = f"{script} {launcher}"
                args = [*DRAWN, "--save_dir", folder]
                env = {"QUANTOPT_LAUNCHER": launcher}
                jobs[folder] = self.submit(script, args, *options, **env)
        for folder, job in jobs.items():
            self.exits(job, 0)
            self.assertIn(f"running: {folder.split()[1]} ", self.log(job))
            self.equal_results(self.path(folder, "quantized.h5"), self.path("plain/quantized.h5"))
            self.nothing_left(self.path(folder, "quantized.h5"))
        ranks = re.search(r"ranks *(\d+)", harness.read_text(self.path("one_node srun/logs.txt")))
        self.assertTrue(ranks is None or ranks[1] == "8", str(ranks))

    def test_the_launcher_is_not_srun_where_srun_has_pmix(self):
        job = self.submit("one_rank", [*DRAWN, "--output", "none"])
        self.exits(job, 0)
        self.assertIn("running: srun --kill-on-bad-exit=1", self.log(job))
        self.assertRegex(self.log(job), r"SLURM_JOB_END_TIME=\d{10}")

    def test_the_exit_code_of_the_program_is_lost(self):
        jobs = [
            self.submit(script, ["none.h5", "--quiet"], QUANTOPT_LAUNCHER=launcher)
            for script in ("one_rank", "one_node")
            for launcher in LAUNCHERS
        ]
        for job in jobs:
            self.exits(job, 66)
            self.assertEqual(self.log(job).count("quantopt_mpi: error: "), 1, self.log(job))

    def test_a_job_without_the_program_or_its_site_starts_something(self):
        site = self.path("here.env")
        with open(site, "w") as f:
            f.write('site_modules() { echo "modules $UNSET_AND_FINE"; false; }\n')
        missing = self.submit("one_rank", [], QUANTOPT_MPI=self.path("none"))
        modules = self.submit("one_rank", [], QUANTOPT_SITE=site)
        self.exits(missing, 69)
        self.assertIn("nothing is built in a job", self.log(missing))
        self.exits(modules, 78)
        self.assertIn("modules \n", self.log(modules))

    def test_sbatch_refuses_a_script(self):
        for script in SCRIPTS:
            done = self.slurm("sbatch", "--test-only", script, "x.h5")
            self.assertEqual(done.returncode, 0, f"{script}: {done.stderr}")

    def test_a_submission_from_elsewhere_does_not_find_common_sh(self):
        options = f"--parsable --output='{self.dir}/%x-%j.log'"
        args = f"--output none --save_dir '{self.dir}' --quiet"
        script = f"cd '{SLURM}' && sbatch {options} one_rank.sbatch {args}"
        done = self.slurm("bash", "-c", script)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.exits(done.stdout.strip(), 0)

    def test_an_array_task_has_the_wrong_pair_or_folder(self):
        env = {"SWEEP_APPROACHES": "uniform easyquant", "SWEEP_BITS": "2 3", "SWEEP_DIR": "sweep"}
        drawn = ["--generate", "normal:20K", "--quiet"]
        array = self.submit("sweep_array", drawn, "--array=0-3%2", **env)
        clash = self.submit("sweep_array", [*drawn, "--num_bits", "4"], "--array=0", **env)
        many = self.submit("sweep_array", drawn, "--array=4", **env)
        self.exits(clash, 64)
        self.exits(many, 64)
        for task, pair in enumerate(("uniform 2", "uniform 3", "easyquant 2", "easyquant 3")):
            approach, bits = pair.split()
            self.exits(f"{array}_{task}", 0)
            args = [*drawn, "--approach", approach, "--num_bits", bits, "--save_dir", pair]
            self.good(args, cwd=self.dir)
            result = self.path("sweep", f"{approach}_{bits}bit", "quantized.h5")
            self.equal_results(result, self.path(pair, "quantized.h5"))


class Faults(Cluster):
    OUTPUT = "out/quantized.h5"

    def start(self, script, *options, **env):
        return self.submit(script, [*LONG, "--save_dir", "out"], *options, **env)

    def gone(self, job):
        """No rank lives on, and there is no result."""
        self.wait(lambda: not self.ranks(job), 10, "ranks live on")
        self.assertFalse(os.path.exists(self.path(self.OUTPUT)))

    def test_a_job_goes_on_without_a_rank(self):
        for launcher in LAUNCHERS:
            job = self.start("many_nodes", "--ntasks-per-node=2", QUANTOPT_LAUNCHER=launcher)
            os.kill(self.running(job, 4)[-1], signal.SIGKILL)
            record = self.ended(job, 25)
            self.assertEqual(record["JobState"], "FAILED", str(record))
            self.gone(job)
            shutil.rmtree(self.path("out"))

    def test_srun_waits_for_ranks_that_wait(self):
        program = self.path("waits")
        with open(program, "w") as f:
            f.write(WAITS)
        os.chmod(program, 0o755)
        env = {"QUANTOPT_LAUNCHER": "srun", "QUANTOPT_MPI": program}
        job = self.submit("one_node", [], "--ntasks-per-node=2", **env)
        self.assertEqual(self.ended(job, 25)["JobState"], "FAILED")

    def test_a_cancelled_job_lives_on(self):
        for launcher in LAUNCHERS:
            job = self.start("many_nodes", "--ntasks-per-node=2", QUANTOPT_LAUNCHER=launcher)
            self.running(job, 4)
            self.assertEqual(self.slurm("scancel", job).returncode, 0)
            self.assertEqual(self.ended(job, 25)["JobState"], "CANCELLED")
            self.gone(job)
            shutil.rmtree(self.path("out"))


class Lost(Cluster):
    def test_a_job_hangs_after_it_lost_a_node(self):
        job = self.submit("many_nodes", [*LONG, "--save_dir", "out"], "--ntasks-per-node=2")
        self.running(job, 4)
        # The node is gone: its daemon, what the daemon started, and the ranks.
        ranks = self.ranks(job, "n2")
        self.assertEqual(len(ranks), 2)
        stat = [harness.read_text(f"/proc/{pid}/stat").rsplit(")", 1)[1].split() for pid in ranks]
        steps = {int(fields[1]) for fields in stat}
        daemon = int(harness.read_text(os.path.join(self.cluster, "n2.pid")))
        for pid in [daemon, *steps, *ranks]:
            os.kill(pid, signal.SIGKILL)
        self.wait(lambda: not self.ranks(job), 60, lambda: f"{self.record(job)}\n{self.log(job)}")
        again = lambda: self.record(job)["JobState"] == "PENDING"
        self.wait(again, 60, lambda: f"{self.record(job)}\n{self.log(job)}")
        self.assertEqual(self.record(job)["Restarts"], "1")
        self.assertFalse(os.path.exists(self.path("out/quantized.h5")))


class Requeued(Cluster):
    """Going on later, with a program that says when it stops."""

    def start(self, name, goal, *flags, options=(), **env):
        """Submits it in a folder of that name; the job's number."""
        os.mkdir(self.path(name))
        files = {"stops": STOPS, "goal": f"{goal}\n"}
        for file, text in (*files.items(), *((flag, "") for flag in flags)):
            with open(self.path(name, file), "w") as f:
                f.write(text)
        os.chmod(self.path(name, "stops"), 0o755)
        options = ["--ntasks-per-node=1", f"--chdir={self.path(name)}", *options]
        options += [f"--output={self.dir}/%x-%j.log"]
        program = self.path(name, "stops")
        return self.submit("resumable", ["w.h5"], *options, QUANTOPT_MPI=program, **env)

    def attempts(self, name):
        return harness.read_text(self.path(name, "attempts")).splitlines()

    def test_a_stopped_run_does_not_go_on_or_never_ends(self):
        # Slurm looks every half minute whether a job's last five minutes have begun.
        limit = self.start("limit", 2, "moves", "waits", options=["--time=1"])
        done = self.start("done", 3, "moves")
        same = self.start("same", 9)
        often = self.start("often", 9, "moves", QUANTOPT_MAX_REQUEUES="1")
        record = self.exits(done, 0, 90)
        self.assertEqual(record["Restarts"], "2", str(record))
        self.assertEqual(self.attempts("done"), ["--resume w.h5"] * 3)
        log = self.log(done)
        self.assertEqual((log.count("restart 0"), log.count("restart 2")), (1, 1), log)
        self.exits(same, 75)
        self.assertEqual(len(self.attempts("same")), 2)
        self.assertIn("did not move forward", self.log(same))
        self.exits(often, 75)
        self.assertEqual(len(self.attempts("often")), 2)
        self.assertIn("not requeued: 1 times already", self.log(often))
        self.assertEqual(self.exits(limit, 0)["Restarts"], "1")
        self.assertEqual(self.log(limit).count("SIGUSR1 at"), 1, self.log(limit))


class Resumed(Cluster):
    """Going on later, with the program."""

    @classmethod
    def setUpClass(cls):
        if not resumes():
            raise unittest.SkipTest("this build of the program has no --resume")
        super().setUpClass()

    ARGS = ["--generate", "normal:3M", *STEPS]

    def test_a_signal_loses_the_run(self):
        jobs = {}
        for launcher in LAUNCHERS:
            args = [*self.ARGS, "--save_dir", launcher]
            options = ["--ntasks-per-node=2"]
            jobs[launcher] = self.submit("resumable", args, *options, QUANTOPT_LAUNCHER=launcher)
        for launcher, job in jobs.items():
            begun = lambda: os.path.exists(self.path(launcher, "logs.txt"))
            self.wait(begun, 30, lambda: self.log(job))
            self.slurm("scancel", "--batch", "--signal=USR1", job)
        for launcher, job in jobs.items():
            self.wait(lambda: "requeued, for" in self.log(job), 30, lambda: self.log(job))
            self.assertFalse(os.path.exists(self.path(launcher, "quantized.h5")), self.log(job))
        self.good([*self.ARGS, "--save_dir", "plain"], 2, cwd=self.dir)
        for launcher, job in jobs.items():
            self.assertGreaterEqual(int(self.exits(job, 0, 90)["Restarts"]), 1)
            self.equal_results(self.path(launcher, "quantized.h5"), self.path("plain/quantized.h5"))
            self.assertFalse(os.path.exists(self.path(launcher, "quantized.h5.checkpoint")))
            self.nothing_left(self.path(launcher, "quantized.h5"))


if __name__ == "__main__":
    harness.main()
