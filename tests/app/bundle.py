#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/bundle.sh makes a folder that works where nothing of quantopt is installed, and says so
if it cannot."""
import glob
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

import harness

SCRIPT = os.path.join(harness.TOP, "scripts", "bundle.sh")
BENCH = os.path.join(os.path.dirname(harness.PROGRAM), "quantopt_bench")
LIMIT = 40_000_000  # bytes
# What the bundle takes from the machine: glibc and the runtimes of gcc and C++.
RUNTIME = re.compile(
    r"(ld-linux.*|lib(c|m|mvec|dl|pthread|rt|resolv|util|stdc\+\+|gcc_s))\.so(\.\d+)*$"
)
# Where the bundle lies in the bare root: not where it was made.
PLACE = "/moved elsewhere/the bundle"
JOBS = {"small": ["--vector_size", "small"], "normal": ["--generate", "normal:300K"]}


def libraries_of(program):
    """name -> path, as the loader of this machine finds them, and the loader itself."""
    text = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"^\s+(\S+) => (/\S+) \(", text, re.M))
    loader = re.search(r"^\s+(/\S+) \(", text, re.M).group(1)
    return found, loader


class BareRoot:
    """A root in which there is next to nothing, to run the bundle in.

    It is a chroot into a folder with copies of the runtime, a shell and readlink, and not this
    machine with files hidden by mounts: a list of what to hide is never complete, and leaves more
    behind with each new library, while here a library that was forgotten cannot be found. Nor
    does it depend on where this machine keeps things. /proc, /dev, /sys and the folders of the
    test are mounts in a namespace of their own, which end with the command.
    """

    def __init__(self, folder, bundle):
        self.folder, self.bundle = folder, bundle
        found, self.loader = libraries_of(harness.PROGRAM)
        self.libraries = os.path.dirname(os.path.realpath(found["libc.so.6"]))
        for place in ("tmp", "data", "proc", "dev", "sys", PLACE[1:], "decoys"):
            os.makedirs(os.path.join(folder, place))
        self.take(self.loader)
        for path in glob.glob(os.path.join(self.libraries, "*.so.*")):
            if RUNTIME.match(os.path.basename(path)):
                self.take(path)
        for tool in ("sh", "readlink"):
            self.take(shutil.which(tool), "/bin/" + tool)
        self.take(harness.PROGRAM, "/bin/unbundled")
        # LD_LIBRARY_PATH may name libraries of the same names that do not fit: here not even ELF.
        for name in os.listdir(os.path.join(bundle, "lib")):
            open(os.path.join(folder, "decoys", name), "w").close()

    def take(self, path, place=None):
        there = os.path.join(self.folder, (place or path)[1:])
        os.makedirs(os.path.dirname(there), exist_ok=True)
        shutil.copy(path, there)

    def run(self, script, data, env=None, visible=()):
        """Runs a shell script in the root: data is /data there, visible are folders of this
        machine."""
        mounts = [("/proc", "/proc"), ("/dev", "/dev"), ("/sys", "/sys")]
        mounts += [(self.bundle, PLACE), (data, "/data"), *((path, path) for path in visible)]
        lines = []
        for path, place in mounts:
            there = os.path.join(self.folder, place[1:])
            os.makedirs(there, exist_ok=True)
            lines.append(shlex.join(["mount", "--rbind", path, there]))
        env = {"PATH": "/bin", "HOME": "/", "LD_LIBRARY_PATH": "/decoys", **(env or {})}
        inside = ["/bin/sh", "-c", "".join(f"export {k}={v}; " for k, v in env.items()) + script]
        lines.append("unset LD_PRELOAD; exec " + shlex.join(["chroot", self.folder, *inside]))
        command = ["unshare", "-m", "sh", "-c", " && ".join(lines)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        process.command = ["chroot:", script]
        return harness.finish(process)


class Bundle(harness.Case):
    @classmethod
    def setUpClass(cls):
        if harness.SANITIZED:
            raise unittest.SkipTest("a program with sanitizers is not what a bundle is made of")
        if not shutil.which("patchelf"):
            raise unittest.SkipTest("no patchelf; scripts/install_deps.sh --with-tests installs it")
        cls.top = tempfile.mkdtemp(prefix="quantopt bundle ")
        cls.addClassCleanup(shutil.rmtree, cls.top, ignore_errors=True)
        cls.bundle = os.path.join(cls.top, "the bundle")
        cls.made = cls.make("--output", cls.bundle, harness.PROGRAM, BENCH)

    @staticmethod
    def make(*args, cwd=None):
        done = subprocess.run(
            [SCRIPT, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=cwd
        )
        return harness.Run(["bundle.sh", *args], done.returncode, done.stdout, done.stderr)

    def setUp(self):
        super().setUp()
        self.assertEqual((self.made.code, self.made.err), (0, ""), str(self.made))

    def bare_root(self):
        harness.needs_root()
        return BareRoot(tempfile.mkdtemp(dir=self.dir), self.bundle)

    def files(self):
        """Everything in the bundle that the loader loads, as paths below it."""
        there = []
        for folder, _, names in os.walk(self.bundle):
            below = os.path.relpath(folder, self.bundle)
            there += [
                os.path.join(below, name) for name in names if ".so" in name or below == "bin"
            ]
        self.assertGreater(len(there), 100)
        return sorted(there)

    def allowed(self, path):
        return path.startswith(PLACE + "/") or bool(RUNTIME.match(os.path.basename(path)))

    def test_a_bare_machine_does_not_run_it(self):
        root = self.bare_root()
        lost = root.run("exec unbundled --help", self.dir, {"LD_LIBRARY_PATH": "/none"})
        self.assertEqual(lost.code, 127, str(lost))
        self.assertIn("error while loading shared libraries", lost.err)
        run = shlex.quote(PLACE + "/run.sh")
        for job, args in JOBS.items():
            self.good([*args, "--approach", "all", "--save_dir", self.path(job), "--quiet"])
            for ranks in (0, 1, 2):
                with self.subTest(job, ranks=ranks):
                    save = f"{job}{ranks}"
                    result = root.run(
                        f"exec {run} {ranks} quantopt_mpi {shlex.join(args)} --approach all "
                        f"--save_dir /data/{save} --quiet",
                        self.dir,
                    )
                    # Not a word of Open MPI or PMIx that something is missing.
                    self.assertEqual((result.code, result.err), (0, ""), str(result))
                    self.equal_results(
                        self.path(job, "quantized.h5"), self.path(save, "quantized.h5")
                    )
        result = root.run(f"exec {run} 0 quantopt_bench --help", self.dir)
        self.assertEqual((result.code, result.err), (0, ""), str(result))

    def test_a_library_is_missing_or_too_many(self):
        root = self.bare_root()
        listing = "".join(
            f"echo FILE; {root.loader} --list {shlex.quote(os.path.join(PLACE, file))}; "
            for file in self.files()
        )
        result = root.run(listing, self.dir)
        self.assertEqual((result.code, result.err), (0, ""), str(result))
        lists = result.out.split("FILE\n")[1:]
        self.assertEqual(len(lists), len(self.files()))
        for file, text in zip(self.files(), lists):
            found = re.findall(r"^\t(\S+) => (.*?)(?: \(0x[0-9a-f]+\))?$", text, re.M)
            # Each needs libc at least, but libraries of data only.
            self.assertTrue(found or "statically linked" in text, f"{file}: {text}")
            for name, path in found:
                self.assertTrue(self.allowed(path), f"{file}: {name} => {path}")

    def test_a_library_of_the_gpu_or_of_glibc_is_in_it(self):
        for file in self.files():
            name = os.path.basename(file)
            self.assertIsNone(RUNTIME.match(name), file)
            self.assertNotRegex(name, r"^lib(nccl|cuda|cudart|nvidia)")
        self.assertIn("lib/libgomp.so.1", self.files())

    def test_another_open_mpi_is_mixed_in(self):
        """Debian's plugins and settings are in their places: the bundle opens its own."""
        root = self.bare_root()
        places = [os.path.join(root.libraries, name) for name in ("openmpi", "pmix2", "hwloc")]
        run = shlex.quote(PLACE + "/run.sh")
        result = root.run(
            f"exec {run} 2 quantopt_mpi --output none --save_dir /data/s",
            self.dir,
            {
                "LD_DEBUG": "files",
                "LD_DEBUG_OUTPUT": "/data/loaded",
                "OMPI_MCA_mpi_show_mca_params": "file",
            },
            [*filter(os.path.isdir, places), "/etc/openmpi"],
        )
        self.assertEqual(result.code, 0, str(result))
        self.assertIn(f"btl_vader_single_copy_mechanism=none (file ({PLACE}/etc/", result.err)
        opened = set()
        for log in glob.glob(self.path("loaded.*")):
            # What the loader was asked for by path, and what it took.
            text = harness.read_text(log)
            opened |= set(re.findall(r"file=(/.*?) \[\d+\]; |calling init: (.*)", text))
        opened = {one or other for one, other in opened}
        self.assertTrue(any("mca_pmix_ext3x.so" in path for path in opened), sorted(opened))
        self.assertFalse([path for path in sorted(opened) if not self.allowed(path)])

    def test_it_grows(self):
        size = sum(
            os.lstat(os.path.join(folder, name)).st_size
            for folder, _, names in os.walk(self.bundle)
            for name in names
        )
        self.assertLess(size, LIMIT)
        megabytes = float(re.search(r": ([\d.]+) MB, \d+ files", self.made.out).group(1))
        self.assertLess(abs(megabytes - size / 1e6), 2, self.made.out)

    def test_an_older_bundle_stays_or_a_program_is_spoilt(self):
        """Programs by name in the folder where one is, with a space; a folder that is there."""
        shutil.copy(BENCH, self.path("my bench"))
        before = harness.read_bytes(self.path("my bench"))
        os.mkdir(self.path("b"))
        shutil.copy(os.path.join(self.bundle, "run.sh"), self.path("b"))
        open(self.path("b", "stale"), "w").close()
        made = self.make("--output", "b", "my bench", cwd=self.dir)
        self.assertEqual((made.code, made.err), (0, ""), str(made))
        self.assertEqual(sorted(os.listdir(self.path("b", "bin"))), ["mpirun", "my bench", "orted"])
        self.assertFalse(os.path.exists(self.path("b", "stale")))
        self.assertEqual(harness.read_bytes(self.path("my bench")), before)
        self.assertEqual(sorted(os.listdir(self.dir)), ["b", "my bench"])

    def test_a_mistake_is_not_told(self):
        os.mkdir(self.path("mine"))
        open(self.path("mine", "file"), "w").close()
        new = self.path("new")
        for args, code, word in (
            (["--output", new, self.path("absent")], 1, "build it first"),
            (["--output", new, SCRIPT], 1, "is not a program"),
            (["--output", new, BENCH, BENCH], 1, "two programs named quantopt_bench"),
            (["--output", self.path("mine"), BENCH], 1, "left as it is"),
            (["--output", SCRIPT, BENCH], 1, "not a folder"),
            (["--output"], 1, "needs a folder"),
            (["--outptu", new], 64, "bundle.sh [--output DIRECTORY]"),
        ):
            with self.subTest(args):
                failed = self.make(*args)
                self.assertEqual((failed.code, failed.out), (code, ""), str(failed))
                self.assertIn(word, failed.err)
                if code == 1:
                    self.assertEqual(len(failed.err.splitlines()), 1, failed.err)
        self.assertEqual(os.listdir(self.path("mine")), ["file"])
        self.assertEqual(os.listdir(self.dir), ["mine"])

    def test_the_launcher_takes_anything(self):
        for args in ([], ["2"], ["two", "quantopt_mpi"], ["-n", "2", "quantopt_mpi"]):
            done = subprocess.run(
                [os.path.join(self.bundle, "run.sh"), *args], capture_output=True, text=True
            )
            self.assertEqual((done.returncode, done.stdout), (64, ""), args)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        if shutil.which("shellcheck"):  # It does not see run.sh while that is text in bundle.sh.
            command = ["shellcheck", os.path.join(self.bundle, "run.sh")]
            done = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout)


if __name__ == "__main__":
    harness.main()
