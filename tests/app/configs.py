#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The configurations that come with the source: each is complete, says what it is for, what it
takes and how it is started, and works as it stands."""
import glob
import os
import re

import h5py
import numpy as np

import harness

CONFIGS = sorted(glob.glob(os.path.join(harness.TOP, "configs", "*.yaml")))


class Configs(harness.Case):
    def head(self, path):
        """The comment on top, in one line."""
        lines = re.match(r"(#.*\n)+", harness.read_text(path))[0].splitlines()
        return " ".join(line.lstrip("# ") for line in lines)

    def test_a_configuration_does_not_say_what_it_takes(self):
        self.assertGreaterEqual(len(CONFIGS), 8)
        for path in CONFIGS:
            with self.subTest(os.path.basename(path)):
                head = self.head(path)
                self.assertRegex(head, r"^For (a|an|any|somebody)\b")
                self.assertRegex(head, r"Time: .*\b(second|minute)s?\b")
                self.assertRegex(head, r"Memory: .*\b\d+ MiB a rank\b")
                command = f"mpirun -np \\d+ --bind-to none build/quantopt_mpi --config {path}"
                self.assertRegex(head, command.replace(harness.TOP + os.sep, ""))

    def test_a_configuration_cannot_run(self):
        for path in CONFIGS:
            with self.subTest(os.path.basename(path)):
                if "restore" in path:
                    continue  # Has no --dry_run; it is run below.
                more = re.findall(r"--resume", self.head(path))[:1]
                result = self.good(
                    ["--config", path, *more, "--dry_run", "--save_dir", self.dir],
                    cwd=harness.TOP,
                )
                self.assertIn("nothing was computed", result.out)
        self.assertEqual(os.listdir(self.dir), [])

    def test_weights_do_not_come_back(self):
        os.makedirs(self.path("results"))
        for name in ("data", "configs"):
            os.symlink(os.path.join(harness.TOP, name), self.path(name))
        for name in ("weights_4bit", "restore_weights"):
            self.good(["--config", f"configs/{name}.yaml"], 2, cwd=self.dir)
        with h5py.File(self.path("results", "restored.h5"), "r") as f:
            back = f["model_weights/conv2d/conv2d/kernel:0"][...]
            self.assertNotIn("optimizer_weights", f)
        with h5py.File(harness.SHIPPED, "r") as f:
            kernel = f["model_weights/conv2d/conv2d/kernel:0"][...]
        self.assertEqual((back.shape, back.dtype), (kernel.shape, kernel.dtype))
        self.assertLess(np.linalg.norm(back - kernel), 0.1 * np.linalg.norm(kernel))
        self.assertGreater(np.unique(back).size, 8)

    def test_the_first_try_does_not_give_what_it_promises(self):
        path = os.path.join(harness.TOP, "configs", "small.yaml")
        self.good(["--config", path, "--save_dir", self.dir])
        uniform, free = re.findall(r"0\.\d{10,}", self.head(path))
        text = harness.read_text(self.path("results.txt"))
        for title, promised in (("Uniform", uniform), ("Non-Uniform", free), ("Easyquant", free)):
            found = re.search(rf"^{title} Quantization:\nL2 Norm: (.*)", text, re.M)[1]
            self.assertAlmostEqual(float(found) / float(promised), 1, delta=1e-12)


if __name__ == "__main__":
    harness.main()
