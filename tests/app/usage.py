#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Wrong command lines: 64, one message that names the nearest valid word, nothing on stdout,
nothing written."""
import os

import numpy as np

import harness

# (arguments, what the message has to contain)
WRONG = (
    (["--num_bit", "3"], "num_bits"),
    (["--vector_sise", "large"], "vector_size"),
    (["--nombits=3"], "num_bits"),
    (["--vector_size", "medium"], "small"),
    (["--approach", "non-unifrom"], "non-uniform"),
    (["--approach", "uniform,,easyquant"], "approach"),
    (["--num_bits", "9"], "8"),
    (["--num_bits", "0"], "1"),
    (["--num_bits", "3,x"], "num_bits"),
    (["--num_bits", "3.5"], "num_bits"),
    (["--num_bits"], "num_bits"),
    (["--threshold", "-1"], "threshold"),
    (["--threshold", "nan"], "threshold"),
    (["--threshold", "3abc"], "threshold"),
    (["--range", "4:-4"], "range"),
    (["--range", "minmx"], "minmax"),
    (["--range", "1:2:3"], "range"),
    (["--solver", "loyd"], "lloyd"),
    (["--init", "kmeans"], "kmeans++"),
    (["--max_iterations", "-3"], "max_iterations"),
    (["--tolerance", "-1"], "tolerance"),
    (["--generate", "normal"], "normal:"),
    (["--generate", "norml:100"], "normal"),
    (["--generate", "normal:0"], "--generate normal:0: "),
    (["--generate", "normal:1.5K"], "--generate normal:1.5K: "),
    (["--generate", "normal:100", "--vector_size", "small"], "generate"),
    (["--seed", "1.5"], "seed"),
    (["--threads", "-1"], "threads"),
    (["--nonfinite", "kep"], "keep"),
    (["--dtype", "float33"], "float32"),
    (["--device", "gpu"], "device"),
    (["--memory_limit", "1M"], "16M"),
    (["--memory_limit", "lots"], "memory_limit"),
    (["--max_walltime", "0"], "max_walltime"),
    (["--max_walltime", "1:75:00"], "H:MM:SS"),
    (["--comm_timeout", "0"], "comm_timeout"),
    (["--resume", "--restore", "x.h5", "--output", "y.h5"], "resume"),
    (["--progress", "sometimes"], "progress"),
    (["--restore", "x.h5"], "output"),
    (["--quiet=loud"], "quiet"),
    (["-x"], "x"),
)

# (arguments, the options that do nothing there)
INEFFECTIVE = (
    (["--approach", "easyquant", "--range", "0:1"], ("range",)),
    (
        ["--approach", "uniform", "--threshold", "2", "--max_iterations", "5", "--init", "random"],
        ("threshold", "max_iterations", "init"),
    ),
    (["--progress", "always"], ("progress",)),  # With --quiet.
    (["--seed", "9"], ("seed",)),
    (["--init", "quantile"], ("init",)),
    (["--gap", "0.1", "--sample_size", "5"], ("gap",)),
)

# What may be built and cannot be used here: no device is visible, and NCCL adds up between GPUs.
UNUSABLE = (
    ["--device", "cuda"],
    ["--comm", "nccl", "--device", "cpu"],
)


class Usage(harness.Case):
    def refused(self, code, args, np_=0, env=None):
        """In an empty folder, where it would write its results."""
        os.makedirs(self.path("empty"), exist_ok=True)
        result = self.fails(code, args, np_, env=env, cwd=self.path("empty"))
        self.assertEqual(result.out, "", str(result))
        self.assertEqual(os.listdir(self.path("empty")), [], "something was written")
        return result

    def test_a_wrong_command_line_runs(self):
        for args, hint in WRONG:
            with self.subTest(" ".join(args)):
                result = self.refused(64, args)
                self.assertEqual(len(result.err.splitlines()), 1, str(result))
                self.assertIn(hint, result.errors[0])

    def test_each_rank_complains(self):
        self.refused(64, ["--num_bits", "99"], 3)
        self.refused(64, ["--aproach", "all"], 3)

    def test_another_device_or_communication_is_taken_for_the_one_asked_for(self):
        for args in UNUSABLE:
            with self.subTest(" ".join(args)):
                for ranks in (0, 2):
                    result = self.refused(69, args, ranks, {"CUDA_VISIBLE_DEVICES": ""})
                    self.assertIn(" ".join(args[:2]) + ": ", result.errors[0])

    def test_input_and_generator_are_mixed(self):
        np.save(self.path("x.npy"), np.ones(5))
        self.refused(64, [self.path("x.npy"), "--generate", "normal:10"])
        self.refused(64, [self.path("x.npy"), "--vector_size", "large"])

    def test_a_glob_that_selects_nothing_runs(self):
        failure = self.refused((64, 65, 66), [harness.SHIPPED, "--include", "nothing/*"], 2)
        self.assertIn("nothing/*", failure.errors[0])

    def test_a_wrong_configuration_is_ignored(self):
        for text in (
            "num_bit: 3\n",
            "num_bits: [3, 99]\n",
            "num_bits: {a: 1}\n",
            "approach: [uniform\n",
            "- a\n- b\n",
        ):
            with self.subTest(text):
                with open(self.path("c.yaml"), "w") as f:
                    f.write(text)
                failure = self.refused(78, ["--config", self.path("c.yaml")])
                self.assertIn("c.yaml", failure.errors[0])
        self.refused((66, 78), ["--config", self.path("absent.yaml")])

    def test_an_option_is_ignored_silently(self):
        for args, names in INEFFECTIVE:
            with self.subTest(" ".join(args)):
                where = ["--quiet", "--output", "none", "--save_dir", self.path("out")]
                result = self.good([*args, *where], 2)
                expected = [f"quantopt_mpi: warning: --{name}: has no effect" for name in names]
                lines = [line.split(" effect")[0] + " effect" for line in result.err.splitlines()]
                self.assertEqual(sorted(lines), sorted(expected), str(result))
        log = harness.read_text(self.path("out", "logs.txt"))
        self.assertIn("warning: --seed: has no effect", log)

    def test_a_narrowed_configuration_is_refused(self):
        with open(self.path("c.yaml"), "w") as f:
            f.write("generate: normal:20\ndtype: float16\nshape: [4, 5]\nrange: 0:1\n")
        where = ["--config", self.path("c.yaml"), "--quiet", "--save_dir", self.path("out")]
        result = self.good([*where, "--vector_size", "small", "--approach", "easyquant"])
        self.assertEqual(
            result.err,
            f"quantopt_mpi: warning: {self.path('c.yaml')}:4: range: has no effect without the "
            "approach uniform\n",
        )
        self.assertEqual(self.good([*where, "--generate", "uniform:50"]).err, "")

    def test_underscore_and_hyphen_differ(self):
        self.good(
            [
                "--num-bits=2",
                "--save-dir",
                self.path("out"),
                "--max-iterations",
                "3",
                "--approach=uniform",
            ]
        )


if __name__ == "__main__":
    harness.main()
