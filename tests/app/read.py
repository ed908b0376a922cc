#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/read_quantopt.py gives back what quantopt_mpi --restore does, whole and in slices, and
says what is wrong with a file in one line."""
import json
import os
import shutil

import h5py
import numpy as np

import harness
import scripted
import vectors

read_quantopt = scripted.script_module("read_quantopt")


class Read(harness.Case):
    def quantized(self, *args):
        """A results folder."""
        folder = self.path("out")
        shutil.rmtree(folder, ignore_errors=True)
        self.good([*args, "--save_dir", folder, "--quiet"])
        return folder

    def restored(self, folder, result):
        """All vectors as the program gives them back: bfloat16 as bit patterns."""
        path = self.path("restored.h5")
        if os.path.exists(path):
            os.remove(path)
        file = os.path.join(folder, "quantized.h5")
        self.good(["--restore", file, "--result", result, "--output", path, "--quiet"])
        found = {}
        with h5py.File(path, "r") as f:
            f.visititems(lambda name, node: found.update({name: node[()]})
                         if isinstance(node, h5py.Dataset) else None)
        return found

    def same_as_restored(self, folder, name):
        expected = self.restored(folder, name)
        results = read_quantopt.open_results(folder)
        self.assertEqual(set(results.vectors), set(expected))
        for vector in results.vectors.values():
            x, y = vector.results[name].decode(), np.asarray(expected[vector.name])
            if vector.dtype == "bfloat16":
                y = (y.astype(np.uint32) << 16).view(np.float32)
            self.assertEqual((x.shape, x.dtype), (y.shape, y.dtype), vector.name)
            self.assertEqual(x.tobytes(), y.tobytes(), vector.name)

    def test_a_vector_comes_back_otherwise(self):
        vectors.write_hdf5(self.path("in.h5"))
        vectors.write_bfloat16(self.path("bf.safetensors"))
        for args, bits in ((["in.h5", "--nonfinite", "keep"], (3, 5)),
                           (["bf.safetensors"], (1, 8))):
            source = self.path(args[0])
            folder = self.quantized(source, *args[1:], "--approach", "easyquant",
                                    "--num_bits", ",".join(map(str, bits)))
            for b in bits:
                self.same_as_restored(folder, f"easyquant_{b}bit")

    def test_a_slice_differs_from_the_whole(self):
        x = vectors.heavy_tailed(23 * 7 * 1001, 5).astype("f4").reshape(23, 7, 1001)
        np.save(self.path("field.npy"), x)
        folder = self.quantized(self.path("field.npy"), "--approach", "easyquant", "--num_bits", 3)
        result = read_quantopt.open_results(folder).vectors["field"].results["easyquant_3bit"]
        self.assertGreater(result.outlier_index.size, 100)
        whole = result.decode()
        for first, last in ((0, 23), (0, 1), (5, 9), (22, 23), (7, 7), (9, 5), (-3, None),
                            (20, 99)):
            np.testing.assert_array_equal(result[first:last], whole[first:last])
        part, read_quantopt.PART = read_quantopt.PART, 64  # decoding in many parts
        try:
            np.testing.assert_array_equal(result[3:5], whole[3:5])
        finally:
            read_quantopt.PART = part
        for key in (3, slice(0, 4, 2)):
            with self.assertRaises((TypeError, ValueError)):
                result[key]

    def test_an_earlier_run_in_the_folder_is_taken_for_the_last(self):
        folder = self.quantized("--approach", "uniform", "--num_bits", 3)
        again = ["--approach", "non-uniform", "--num_bits", 4, "--save_dir", folder, "--quiet"]
        self.good([*again, "--output", "none"])
        results = read_quantopt.open_results(folder)
        result = results.vectors["small"].results["non-uniform_4bit"]
        self.assertEqual((results.has_codes, list(results.vectors["small"].results)),
                         (False, [result.name]))
        self.good([*again, "--output", os.path.join(folder, "other.h5")])
        self.assertTrue(read_quantopt.open_results(folder).has_codes)
        earlier = read_quantopt.open_results(os.path.join(folder, "quantized.h5"))
        self.assertEqual((list(earlier.vectors["small"].results), earlier.run),
                         (["uniform_3bit"], None))

    def test_an_unbounded_gap_is_taken_for_an_unknown_one(self):
        folder = self.quantized("--approach", "uniform", "--num_bits", 5)
        for name in ("quantized.h5", "results.json"):
            results = read_quantopt.open_results(os.path.join(folder, name))
            result = results.vectors["small"].results["uniform_5bit"]
            self.assertEqual(result.attributes["optimality_gap"], np.inf, name)

    def test_figures_differ_from_the_report(self):
        folder = self.quantized("--approach", "all", "--num_bits", "2,3", "--solver", "lloyd")
        with open(os.path.join(folder, "results.json"), encoding="utf-8") as f:
            run = json.load(f)
        both = [read_quantopt.open_results(os.path.join(folder, name))
                for name in ("quantized.h5", "results.json")]
        self.assertTrue(both[0].has_codes and not both[1].has_codes)
        np.testing.assert_array_equal(both[0].vectors["small"].original,
                                      [3.2, -1.4, 2.5, -0.9, 1.8, -3.7, 0.0, 4.0, 2.2, -1.3])
        for described in run["vectors"][0]["results"]:
            name = f"{described['approach']}_{described['num_bits']}bit"
            for results in both:
                result = results.vectors["small"].results[name]
                self.assertEqual(result.attributes["mse"], described["mse"])
                self.assertEqual(list(result.levels), described["levels"])
                self.assertEqual(result.history, described["history"])
            errors = both[0].vectors["small"].results[name].error_counts
            self.assertAlmostEqual(errors.sum(), 10 - described["outlier_count"], places=4)
        self.assertEqual(list(both[0].vectors["small"].results),
                         list(both[1].vectors["small"].results))


class Program(scripted.Scripted):
    def run_script(self, *args):
        return self.script("read_quantopt.py", *args)

    def refused(self, part, *args):
        self.refuses(1, [part], "read_quantopt", *args)

    def test_what_it_writes_is_not_the_vector(self):
        folder = self.path("out")
        self.good(["--num_bits", "3,4", "--approach", "easyquant", "--save_dir", folder, "--quiet"])
        listed = self.run_script(folder)
        self.assertEqual(listed.code, 0, listed.err)
        self.assertIn("easyquant_4bit", listed.out)
        decoded = self.run_script(folder, "--output", self.path("x.npy"), "--slice", "2:5",
                                  "--result", "easyquant_3bit")
        self.assertEqual(decoded.code, 0, decoded.err)
        result = read_quantopt.open_results(folder).vectors["small"].results["easyquant_3bit"]
        np.testing.assert_array_equal(np.load(self.path("x.npy")), result.decode()[2:5])
        out = ("--output", self.path("y.npy"))
        self.refused("several results", folder, *out)
        self.refused("no easyquant_9bit", folder, *out, "--result", "easyquant_9bit")
        self.refused("no other", folder, *out, "--vector", "other")
        self.refused("FIRST:LAST", folder, *out, "--result", "easyquant_3bit", "--slice", "3")
        self.refused("name another place", folder, "--result", "easyquant_3bit", "--output",
                     self.path("no/where.npy"))
        self.assertFalse(os.path.exists(self.path("y.npy")))

    def test_a_result_without_codes_ends_in_a_traceback(self):
        folder = self.path("out")
        self.good(["--approach", "uniform", "--save_dir", folder, "--quiet"])
        file = os.path.join(folder, "quantized.h5")
        with h5py.File(file, "r+") as f:
            del f["vectors/small/uniform_3bit/codes"]
        self.refused("vectors/small/uniform_3bit/codes", folder, "--output", self.path("x.npy"))

    def test_a_broken_result_ends_in_a_traceback(self):
        folder = self.path("out")
        self.good(["--output", "none", "--save_dir", folder, "--quiet"])
        self.refused("without --output none", folder, "--output", self.path("x.npy"))
        self.refused("no such file", self.path("nowhere"))
        os.mkdir(self.path("empty"))
        self.refused("run quantopt_mpi", self.path("empty"))
        open(self.path("empty/quantized.h5.lock"), "w").close()
        self.refused("has not ended", self.path("empty"))
        self.refused("not a result file", harness.SHIPPED)
        for name, text in (("cut.json", '{"vectors": [{'), ("other.json", "[1]"),
                           ("odd.json", '{"vectors": [{"name": "x"}]}'),
                           ("none.json", '{"vectors": []}'), ("bad.h5", "no HDF5")):
            with open(self.path(name), "w") as f:
                f.write(text)
            self.refused(name, self.path(name))


if __name__ == "__main__":
    harness.main()
