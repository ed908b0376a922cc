#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What people and their scripts read: results.txt, results.json, logs.txt, the screen, --help and
--version."""
import json
import math
import os
import re
import subprocess

import h5py
import numpy as np

import harness

TITLES = {
    "uniform": "Uniform",
    "non-uniform": "Non-Uniform",
    "easyquant": "Easyquant",
    "easyquant-uniform": "Easyquant-Uniform",
}
TOP_KEYS = {
    "quantopt_version",
    "created",
    "command_line",
    "options",
    "ranks",
    "threads_per_rank",
    "device",
    "comm",
    "hosts",
    "vectors",
    "timings",
    "peak_memory_bytes",
}
VECTOR_KEYS = {
    "name",
    "dtype",
    "shape",
    "num_elements",
    "nonfinite_count",
    "min",
    "max",
    "mean",
    "std",
    "results",
}
RESULT_KEYS = {
    "approach",
    "num_bits",
    "solver",
    "levels",
    "scale",
    "mse",
    "rmse",
    "l2_norm",
    "relative_error",
    "sqnr_db",
    "max_abs_error",
    "outlier_count",
    "bits_per_value",
    "compression_ratio",
    "iterations",
    "converged",
    "optimality_gap",
    "sample_size",
    "sample_excess",
    "history",
    "solve_seconds",
    "encode_seconds",
    "digest",
}
PHASES = ["startup", "read", "measure", "solve", "encode", "write", "communicate", "total"]


class Files(harness.Case):
    def quantize(self, np_=0, *args):
        result = self.good(
            ["--approach", "all", "--num_bits", "2,3", "--save_dir", self.dir, *args], np_
        )
        with open(self.path("results.json")) as f:
            return result, json.load(
                f, parse_constant=lambda name: self.fail(f"{name} is not JSON")
            )

    def block(self, text, name, several):
        """The approaches of the first block of results.txt, and the rest: the layout to the last
        character."""
        head = f"Vector Size: {name}___multiprocess: {several}__device: cpu\n"
        self.assertTrue(text.startswith(head), text[:200])
        text, found = text[len(head) :], {}
        for approach, title in TITLES.items():
            match = re.match(
                rf"{title} Quantization:\nL2 Norm: (\S+)\nLatency: (\d+\.\d{{4}}) seconds\n\n", text
            )
            self.assertTrue(match, text[:200])
            found[approach], text = match.groups(), text[match.end() :]
        tail = "-" * 50 + "\n\n\n"
        self.assertTrue(text.startswith(tail), repr(text[:80]))
        return found, text[len(tail) :]

    def test_results_txt_cannot_be_parsed(self):
        for np_, threads, several in ((0, 1, False), (2, 1, True), (0, 2, True)):
            with self.subTest(np=np_, threads=threads):
                if os.path.exists(self.path("results.txt")):
                    os.remove(self.path("results.txt"))
                self.quantize(np_, "--threads", str(threads))
                text = harness.read_text(self.path("results.txt"))
                with h5py.File(self.path("quantized.h5"), "r") as f:
                    for bits, name in ((2, "small_2bit"), (3, "small")):
                        found, text = self.block(text, name, several)
                        for approach, (l2_norm, _) in found.items():
                            attribute = f[f"vectors/small/{approach}_{bits}bit"].attrs["l2_norm"]
                            self.assertEqual(l2_norm, repr(float(attribute)))
                self.assertEqual(text, "")

    def test_an_older_block_of_results_txt_is_lost(self):
        self.quantize()
        first = harness.read_text(self.path("results.txt"))
        self.quantize()
        self.assertTrue(harness.read_text(self.path("results.txt")).startswith(first))
        self.assertEqual(harness.read_text(self.path("results.txt")).count("Vector Size:"), 4)

    def test_two_blocks_of_results_txt_have_one_header(self):
        """The exercise's analysis puts approaches into rows and processes into columns, and stops
        where two figures want one place. Other vectors' names end in numbers, too."""
        keras = [f"layer{end}/kernel:0" for end in ("", "_1", "_2")]
        with h5py.File(self.path("model.h5"), "w") as f:
            for name in keras + ["layer.kernel:0", "layer/kernel_0_2"]:
                f[name] = np.arange(5.0)
        for threads, args in ((1, []), (2, []), (1, [self.path("model.h5")])) * 2:
            self.quantize(0, "--threads", str(threads), *args)
        names = [name for name, several, _ in self.places() if not several]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(len(names), 4 * (2 * 2 + 2 * 2 * 5))  # approaches; runs, widths, vectors
        words = {name for name, _ in names}
        for word in ("small", "small_2", "small_2bit", "small_2bit_2", "layer_1_kernel_0_2"):
            self.assertIn(word, words)
        self.assertEqual(len(set(self.places())), len(self.places()))

    def test_a_block_goes_on_in_a_line_that_was_cut(self):
        """A header in the middle of a line is found by the exercise's script, which searches for
        it, and by nobody else: the next run would take the same name again."""
        for text in ("Vector Size: sma", "a note", "Vector Size: small___multi\nL2 Norm: 0.1"):
            with open(self.path("results.txt"), "w") as f:
                f.write(text)
            for _ in range(2):
                self.quantize(0, "--threads", "1")
            written = harness.read_text(self.path("results.txt"))
            self.assertTrue(written.startswith(text + "\nVector Size: small_2bit___"), written)
            names = [name for name, _, _ in self.places()]
            self.assertEqual(len(names), 2 * 2 * 4)  # runs, widths, approaches
            self.assertEqual(len(set(names)), len(names))

    def places(self):
        """What results.txt has a figure for: (name, approach), several processes, device."""
        found, header = [], None
        for line in harness.read_text(self.path("results.txt")).splitlines():
            head = re.fullmatch(
                r"Vector Size: (\w+)___multiprocess: (True|False)__device: (\w+)", line
            )
            approach = re.fullmatch(r"(\S+) Quantization:", line)
            if head:
                header = head.groups()
            elif approach:
                found.append(((header[0], approach[1]), header[1] == "True", header[2]))
        return found

    def test_results_json_lacks_a_key_or_differs_from_the_file(self):
        _, run = self.quantize(2)
        self.assertFalse(TOP_KEYS - run.keys())
        self.assertEqual([phase["phase"] for phase in run["timings"]], PHASES)
        for phase in run["timings"]:
            self.assertLessEqual(0, phase["min"])
            self.assertLessEqual(phase["min"], phase["mean"] * (1 + 1e-9))
            self.assertLessEqual(phase["mean"], phase["max"] * (1 + 1e-9))
        self.assertEqual((run["ranks"], run["device"]), (2, "cpu"))
        self.assertGreater(run["peak_memory_bytes"]["min"], 1 << 20)
        (vector,) = run["vectors"]
        self.assertFalse(VECTOR_KEYS - vector.keys())
        self.assertEqual(
            (vector["name"], vector["dtype"], vector["shape"], vector["num_elements"]),
            ("small", "float64", [10], 10),
        )
        self.assertEqual(len(vector["results"]), 8)
        with h5py.File(self.path("quantized.h5"), "r") as f:
            for result in vector["results"]:
                self.assertFalse(RESULT_KEYS - result.keys())
                group = f[f"vectors/small/{result['approach']}_{result['num_bits']}bit"]
                self.assertEqual(result["levels"], group["levels"][...].tolist())
                for key, value in group.attrs.items():
                    if key == "error_histogram":
                        continue  # For pictures: in the file alone.
                    self.same(key, result[key], value)

    def same(self, key, in_json, in_file):
        if isinstance(in_file, (bytes, str)):
            self.assertEqual(
                in_json, in_file.decode() if isinstance(in_file, bytes) else in_file, key
            )
        elif in_json is None:
            self.assertFalse(math.isfinite(in_file), key)
        elif key == "digest":
            self.assertIn(
                str(in_json), (str(int(in_file)), f"{int(in_file):016x}", f"0x{int(in_file):016x}")
            )
        else:
            self.assertEqual(
                in_json, in_file.item() if isinstance(in_file, np.generic) else in_file, key
            )

    def test_a_figure_that_is_not_finite_is_not_json(self):
        np.save(self.path("flat.npy"), np.full(5, 2.0))
        _, run = self.quantize(0, self.path("flat.npy"))
        for result in run["vectors"][0]["results"]:
            self.assertIsNone(result["sqnr_db"])
            self.assertEqual(result["mse"], 0)

    def test_logs_txt_has_no_time(self):
        self.quantize()
        lines = harness.read_text(self.path("logs.txt")).splitlines()
        self.assertGreater(len(lines), 3)
        for line in lines:
            self.assertRegex(line, r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")

    def test_saved_options_do_not_repeat_the_run(self):
        self.quantize(0, "--seed", "7", "--init", "random", "--threshold", "1.25")
        with h5py.File(self.path("quantized.h5"), "r") as f:
            options = f.attrs["options"] if "options" in f.attrs else f["options"][()]
        with open(self.path("again.yaml"), "w") as f:
            f.write(options.decode() if isinstance(options, bytes) else str(options))
        again = self.path("again")
        self.good(
            [
                "--config",
                self.path("again.yaml"),
                "--save_dir",
                again,
                "--output",
                self.path("again.h5"),
            ],
            2,
        )
        self.equal_results(self.path("quantized.h5"), self.path("again.h5"))

    def test_a_reader_without_h5py_cannot_read_the_file(self):
        self.quantize()
        done = subprocess.run(
            ["h5dump", "-H", self.path("quantized.h5")], capture_output=True, text=True
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('GROUP "easyquant_3bit"', done.stdout)
        self.assertNotIn("FILTER", done.stdout)

    def test_the_documented_decoding_is_wrong(self):
        np.save(self.path("large.npy"), np.random.RandomState(3).standard_t(3, 5001).astype("f4"))
        self.quantize(0, self.path("large.npy"))
        back = self.path("back.npy")
        args = ["--restore", self.path("quantized.h5"), "--result", "easyquant_3bit"]
        self.good([*args, "--output", back])
        for page in ("README.md", os.path.join("docs", "format.md")):
            with self.subTest(page):
                with open(os.path.join(harness.TOP, page)) as f:
                    code = re.search(r"```python\n(.*?)```", f.read(), re.S).group(1)
                code = re.sub(r'"[^"]*quantized\.h5"', repr(self.path("quantized.h5")), code)
                code = code.replace('"results"', repr(self.dir))
                code = code.replace('"scripts"', repr(os.path.join(harness.TOP, "scripts")))
                names = {}
                exec(code, names)  # The page is the project's own.
                self.assertEqual(names["x"].tobytes(), np.load(back).tobytes())
                if "part" in names:
                    np.testing.assert_array_equal(names["part"], np.load(back)[1000:2000])


class Screen(harness.Case):
    def test_the_readme_shows_what_no_run_says(self):
        """All but the last column, the time, of each command with its output there."""
        page = harness.read_text(os.path.join(harness.TOP, "README.md"))
        shown = re.findall(r"^    \$ .*quantopt_mpi (.*)\n((?:    .*\n)+)", page, re.M)
        self.assertEqual(len(shown), 2)
        for command, table in shown:
            args = [os.path.join(harness.TOP, arg) if arg.startswith("data/") else arg
                    for arg in command.split()]
            run = self.good([*args, "--save_dir", self.dir], 2)
            rows = [[line.split()[:-1] for line in text.splitlines()] for text in (table, run.out)]
            self.assertEqual(*rows)

    def test_stdout_carries_the_log(self):
        result = self.good(["--approach", "all", "--num_bits", "2,3", "--save_dir", self.dir], 2)
        for approach in TITLES:
            self.assertIn(approach, result.out)
        self.assertRegex(result.out, r"1\.132813\d*e-01")
        self.assertNotRegex(result.out, r"\x1b|\r")
        self.assertNotRegex(result.err, r"\x1b|\r")  # No redrawn line where there is no terminal.
        log = harness.read_text(self.path("logs.txt"))
        self.assertTrue(any(line and line in log for line in result.err.splitlines()), result.err)

    def test_quiet_talks(self):
        result = self.good(["--quiet", "--save_dir", self.dir])
        self.assertEqual(result.err, "")

    def test_dry_run_writes(self):
        for np_ in (0, 3):
            result = self.good(
                ["--generate", "normal:1M", "--dry_run", "--save_dir", self.path("out")], np_
            )
            self.assertEqual(os.listdir(self.dir), [])
            self.assertRegex(result.out + result.err, r"(?i)shard")
            self.assertRegex(result.out + result.err, r"(?i)(bytes|B\b)")
        self.fails(66, [self.path("absent.h5"), "--dry_run"])

    def test_version_hides_what_it_was_built_with(self):
        result = self.good(["--version"])
        for word in (
            r"quantopt(_mpi)? \d+\.\d+\.\d+",
            r"GNU|Clang",
            r"(?i)mpi",
            r"HDF5 \d+\.\d+",
            r"portable|avx2|avx512",
        ):
            self.assertRegex(result.out, word)
        self.assertEqual(result.err, "")
        self.assertEqual(
            len(self.good(["--version"], 3).out.splitlines()), len(result.out.splitlines())
        )

    def test_help_lacks_an_option_or_shows_a_command_that_fails(self):
        result = self.good(["--help"])
        for option in (
            "vector_size",
            "generate",
            "seed",
            "approach",
            "num_bits",
            "threshold",
            "range",
            "solver",
            "init",
            "max_iterations",
            "tolerance",
            "device",
            "comm",
            "threads",
            "nonfinite",
            "save_dir",
            "output",
            "restore",
            "select",
            "result",
            "config",
            "progress",
            "dry_run",
            "include",
            "exclude",
            "dtype",
            "shape",
            "fill_values",
        ):
            self.assertIn("--" + option, result.out)
        for name in ("data", "configs"):
            os.symlink(os.path.join(harness.TOP, name), self.path(name))
        commands = harness.example_commands(result.out)
        self.assertGreaterEqual(len(commands), 3, result.out)
        oversubscribe = {"OMPI_MCA_rmaps_base_oversubscribe": "1"}
        for command in commands:
            command = command.replace("build/quantopt_mpi", harness.PROGRAM)
            done = subprocess.run(
                ["sh", "-c", command],
                cwd=self.dir,
                timeout=240,
                text=True,
                capture_output=True,
                env={**os.environ, **oversubscribe},
            )
            self.assertEqual(done.returncode, 0, command + done.stderr[-2000:])


if __name__ == "__main__":
    harness.main()
