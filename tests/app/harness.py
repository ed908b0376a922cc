# SPDX-License-Identifier: Apache-2.0
"""What the application tests share: running the program, making inputs, comparing result files.

The environment says what to test:
    QUANTOPT_MPI        the program (default: build/quantopt_mpi of this tree)
    MPIEXEC             mpirun
    QUANTOPT_DATA       a folder of real files (default: ../shared/data beside this tree); may be
    absent
    QUANTOPT_SANITIZED  set if the program has sanitizers: sizes shrink, memory is not judged
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

import h5py
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PROGRAM = os.environ.get("QUANTOPT_MPI", os.path.join(TOP, "build", "quantopt_mpi"))
MPIEXEC = os.environ.get("MPIEXEC", "mpirun")
DATA = os.environ.get("QUANTOPT_DATA", os.path.join(os.path.dirname(TOP), "shared", "data"))
VERIFY = os.path.join(os.path.dirname(DATA), "verify", "verify_quantized.py")
CHECK = os.path.join(HERE, "check_result.py")
SHIPPED = os.path.join(TOP, "data", "EEGNet-8-2-weights.h5")
SANITIZED = bool(os.environ.get("QUANTOPT_SANITIZED"))
BLOCK = 65536  # elements that stay together on one rank
TIMINGS = ("solve_seconds", "encode_seconds")
EXIT_CODES = {0, 64, 65, 66, 69, 70, 71, 73, 74, 75, 78}

os.environ.setdefault("OMPI_ALLOW_RUN_AS_ROOT", "1")
os.environ.setdefault("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
# Ranks that wait give way: several runs share few cores here.
os.environ.setdefault("OMPI_MCA_mpi_yield_when_idle", "1")


class Run:
    """How a run of the program ended."""

    def __init__(self, command, code, out, err):
        self.command, self.code, self.out, self.err = command, code, out, err

    @property
    def errors(self):
        return [line for line in self.err.splitlines() if line.startswith("quantopt_mpi: error: ")]

    def __str__(self):
        out, err = self.out[-1500:], self.err[-3000:]
        return f"{' '.join(self.command)}\nexit {self.code}\nstdout: {out}\nstderr: {err}"


def command_line(args, np_=0, env=None):
    """np_ = 0 starts the program by itself (one rank); from 1 on mpirun starts it."""
    if not np_:
        return [PROGRAM, *map(str, args)]
    exports = [word for name in (env or {}) for word in ("-x", name)]
    return [
        MPIEXEC,
        "--oversubscribe",
        "--bind-to",
        "none",
        "-np",
        str(np_),
        *exports,
        PROGRAM,
        *map(str, args),
    ]


def processes_below(pid):
    """The process numbers of all descendants of a process: mpirun's ranks have groups of their
    own."""
    parent = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as f:
                parent[int(entry)] = int(f.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    found, frontier = [], [pid]
    while frontier:
        frontier = [child for child, above in parent.items() if above in frontier]
        found += frontier
    return found


def ranks_of(process):
    """The program's processes at or below a process: mpirun's ranks, or the one rank itself."""
    found = []
    for pid in [process.pid, *processes_below(process.pid)]:
        try:
            if os.readlink(f"/proc/{pid}/exe") == os.path.realpath(PROGRAM):
                found.append(pid)
        except OSError:
            continue
    return sorted(found)


def kill_tree(process):
    for pid in [*processes_below(process.pid), process.pid]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def start(args, np_=0, env=None, cwd=None, prefix=()):
    command = [*prefix, *command_line(args, np_, env)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        text=True,
        errors="replace",
    )
    process.command = command
    return process


def finish(process, timeout=120):
    """Waits; a program that does not end is a failure of its own."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        kill_tree(process)
        out, err = process.communicate()
        raise AssertionError(
            f"hung for {timeout} s: {Run(process.command, 'none', out, err)}"
        ) from None
    return Run(process.command, process.returncode, out, err)


def run(args, np_=0, env=None, timeout=120, cwd=None, prefix=()):
    return finish(start(args, np_, env, cwd, prefix), timeout)


class Case(unittest.TestCase):
    """A test with a folder of its own, and the assertions that all of them use."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="quantopt_")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def good(self, args, np_=0, **more):
        result = run(args, np_, **more)
        self.assertEqual(result.code, 0, str(result))
        return result

    def fails(self, codes, args, np_=0, **more):
        """Ends with one of the codes and exactly one message."""
        codes = (codes,) if isinstance(codes, int) else codes
        result = run(args, np_, **more)
        self.failed_well(codes, result)
        return result

    def failed_well(self, codes, result):
        self.assertIn(result.code, codes, str(result))
        self.assertEqual(len(result.errors), 1, str(result))
        self.assertNotIn("HDF5-DIAG", result.err, str(result))

    def checked(self, result_file, options=(), **inputs):
        """check_result.py accepts the file, with further options of its own; so does the second
        checker where there is one."""
        for script in filter(os.path.exists, (CHECK, VERIFY)):
            if script == VERIFY and has_fills(result_file):
                continue  # It knows no fill values.
            given = [*options] if script == CHECK else []
            given += [
                f"--input={name}={spec}"
                for name, spec in inputs.items()
                if script == CHECK or ".safetensors:" not in spec  # The other one reads them flat.
            ]
            done = subprocess.run(
                [sys.executable, script, result_file, *given], capture_output=True, text=True
            )
            self.assertEqual(
                done.returncode, 0, f"{script}: {done.stdout[-1500:]}{done.stderr[-3000:]}"
            )

    def equal_results(self, one, other):
        different = differences(one, other)
        self.assertFalse(different, f"{one} and {other} differ: {different[:8]}")

    def nothing_left(self, output):
        """No half file and no lock beside an output."""
        for suffix in (".partial", ".lock"):
            self.assertFalse(os.path.exists(output + suffix), output + suffix)


def has_fills(result_file):
    counts = []
    with h5py.File(result_file, "r") as f:
        f["vectors"].visititems(lambda _, node: counts.append(int(node.attrs.get("fill_count", 0))))
    return any(counts)


def contents(result_file):
    """Every dataset and attribute below /vectors but the timings, as bytes."""
    found = {}

    def attributes(name, node):
        for key in node.attrs:
            if key not in TIMINGS:
                value = np.asarray(node.attrs[key])
                found[f"{name}@{key}"] = (str(value.dtype), value.shape, value.tobytes())

    def visit(name, node):
        attributes(name, node)
        if isinstance(node, h5py.Dataset):
            value = node[()]
            found[name] = (str(node.dtype), node.shape, np.asarray(value).tobytes())
        else:
            found[name] = "group"

    with h5py.File(result_file, "r") as f:
        attributes("", f["vectors"])
        f["vectors"].visititems(visit)
    return found


def differences(one, other):
    a, b = contents(one), contents(other)
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def read_bytes(path):
    with open(path, "rb") as f:
        return f.read()


def read_text(path):
    return read_bytes(path).decode()


def write_safetensors(path, tensors):
    """tensors: name -> (type as in the format, shape, bytes)."""
    header, offset = {}, 0
    for name, (kind, shape, raw) in tensors.items():
        header[name] = {
            "dtype": kind,
            "shape": list(shape),
            "data_offsets": [offset, offset + len(raw)],
        }
        offset += len(raw)
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(
            len(text).to_bytes(8, "little") + text + b"".join(raw for _, _, raw in tensors.values())
        )


def to_bfloat16(x):
    """Bit patterns of the nearest bfloat16 values, ties to even; finite input only."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def real_file(*parts):
    """A file of the folder of real data, or a skipped test."""
    path = os.path.join(DATA, *parts)
    if not os.path.exists(path):
        raise unittest.SkipTest(f"no {path} here (QUANTOPT_DATA names another folder)")
    return path


def needs_root():
    if os.geteuid():
        raise unittest.SkipTest("needs root, to mount a small file system or to become nobody")
    probe = subprocess.run(
        ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"], capture_output=True
    )
    if probe.returncode:
        raise unittest.SkipTest("this root may not mount a file system")


def cpu_has(level):
    if level == "portable":
        return True
    with open("/proc/cpuinfo") as f:
        flags = set(next((line for line in f if line.startswith("flags")), "").split())
    return {"avx2": {"avx2"}, "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"}}[
        level
    ] <= flags


def hostname():
    return socket.gethostname()


def example_commands(help_text):
    """The commands at the end of --help, as a shell script for a folder with links to the tree."""
    lines = help_text[help_text.index("EXAMPLES") :].splitlines()[1:]
    script = "\n".join(line.strip() for line in lines).replace("\\\n", " ")
    return [line for line in script.splitlines() if line and not line.startswith("#")]


def argument(name, default):
    """Takes `name VALUE` off the command line, before unittest looks at it."""
    if name not in sys.argv:
        return default
    at = sys.argv.index(name)
    value = int(sys.argv[at + 1])
    del sys.argv[at : at + 2]
    return value


def main():
    """Runs the tests of a file (or the classes named as arguments). 77: all of them were
    skipped."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    for test, reason in result.skipped:
        print(f"skipped: {test}: {reason}")
    if not result.testsRun and not result.skipped:
        sys.exit("no test was run")
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if len(result.skipped) >= max(result.testsRun, 1) else 0)
