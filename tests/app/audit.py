#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fixed codebooks beside the approaches: what they cost on normal values against figures from the
distribution itself; the same bits however many ranks there are, stopped or not; codebooks of files,
and every way to ask for one wrongly."""
import json
import os

import h5py
import numpy as np

import harness

# For N(0, 1): mean squared error with the best scale over that of the best 16 levels, by numerical
# integration; and the standard deviation of that ratio from n elements, times the root of n: that
# of the difference of both squared errors (the latter times the ratio) over the mean of the latter.
COSTS = {
    "nf4": (1.041923, 1.60),
    "af4": (1.126252, 1.63),
    "fp4": (1.745723, 3.09),
    "e2m1": (1.335111, 3.00),
    "iq4_nl": (1.042499, 1.99),
}
# Levels fitted to n elements gain about the sum of the cells' variances over n: for 16 levels some
# 30 / n of the error, and at most a few times as much as the cuts follow.
FITTED = 200
BOOKS = "non-uniform,nf4,af4,fp4,iq4_nl,max3,max16,max200"


class Case(harness.Case):
    def figures(self, folder, vector=0):
        """approach -> result of results.json."""
        with open(os.path.join(folder, "results.json")) as f:
            results = json.load(f)["vectors"][vector]["results"]
        return {result["approach"]: result for result in results}

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    def ran(self, folder, args, np_=0, **more):
        self.good([*args, "--save_dir", self.path(folder), "--quiet"], np_, **more)
        return self.path(folder, "quantized.h5")


class Audit(Case):
    def test_a_codebook_costs_more_or_less_than_on_the_distribution(self):
        n, names = 1_000_000, ",".join(["non-uniform", "max16", *COSTS])
        args = ["--generate", f"normal:{n}", "--approach", names, "--num_bits", 4]
        self.good([*args, "--output", "none", "--save_dir", self.dir, "--quiet"])
        results = self.figures(self.dir)
        best = results["non-uniform"]["mse"]
        for name, (cost, deviation) in COSTS.items():
            ratio = results[name]["mse"] / best
            self.assertLess(abs(ratio - cost), 5 * deviation / n**0.5, f"{name}: {ratio}")
        excess = results["max16"]["mse"] / best - 1
        self.assertTrue(-1e-9 <= excess <= FITTED / n, excess)
        self.assertTrue(abs(results["max16"]["scale"] - 1) < 0.02)
        self.assertIsNone(results["non-uniform"]["scale"])
        for name in ("max16", *COSTS):  # Against the same bound as free levels.
            gap = results[name]["rmse"] / results["non-uniform"]["rmse"] - 1
            self.assertLess(abs(results[name]["optimality_gap"] - gap), 1e-5, name)
            self.assertEqual(results[name]["solver"], "optimal")

    def test_a_width_depends_on_num_bits(self):
        """The certificate is of the codebook's own width, though nobody asks for that; results come
        in the order of bits, then as asked for."""
        np.save(self.path("x.npy"), np.random.RandomState(1).standard_normal(5000))
        args = [self.path("x.npy"), "--save_dir", self.dir, "--quiet"]
        self.good([*args, "--approach", "max5,nf4,uniform,max8,max9", "--num_bits", "1,3"])
        audits = self.figures(self.dir)
        with open(self.path("results.json")) as f:
            order = [(r["num_bits"], r["approach"]) for r in json.load(f)["vectors"][0]["results"]]
        uniform = [(1, "uniform"), (3, "uniform")]
        self.assertEqual(
            order, [uniform[0], uniform[1], (3, "max5"), (3, "max8"), (4, "nf4"), (4, "max9")]
        )
        self.good([*args, "--approach", "non-uniform", "--num_bits", 4])
        best = self.figures(self.dir)["non-uniform"]["rmse"]
        for name in ("nf4", "max9"):
            gap = audits[name]["rmse"] / best - 1
            self.assertGreater(gap, 0.01)
            self.assertLess(abs(audits[name]["optimality_gap"] - gap), 1e-8)

    def test_ranks_or_batches_differ(self):
        """One vector over all ranks, then small ones in batches with a float16 one, outliers kept;
        the recomputation from outside is that of check_result.py."""
        book = self.write("b.txt", "0 1 2.5 -0.125\n7")
        rng = np.random.RandomState(2)
        with h5py.File(self.path("x.h5"), "w") as f:
            f["large"] = (rng.standard_normal(270_000) * 1e-3).astype("f4")
            f["skewed"] = np.exp(rng.standard_normal(70_000))
            f["half"] = rng.standard_normal(3000).astype("f2")
            f["zeros"] = np.zeros(10)
            f["one"] = np.float32([-3.25])
            f["spoiled"] = np.float64([1, np.nan, -2, np.inf, 3])
        args = [self.path("x.h5"), "--nonfinite", "keep", "--num_bits", 2]
        args += ["--approach", f"easyquant,{BOOKS},fixed:{book}"]
        one = self.ran("one", args)
        names = ("large", "skewed", "half", "zeros", "one", "spoiled")
        self.checked(
            one,
            options=[f"--codebook=fixed-b={book}"],
            **{name: f"{self.path('x.h5')}:/{name}" for name in names},
        )
        for np_ in (2, 3):
            self.equal_results(one, self.ran(f"np{np_}", args, np_))
        with h5py.File(one) as f:
            self.assertEqual(f["vectors/zeros/nf4_4bit/levels"].shape, (1,))

    def test_a_stopped_run_takes_another_codebook(self):
        book = self.write("b.txt", "1 2 -1")
        with h5py.File(self.path("x.h5"), "w") as f:
            for i in range(5):
                f[f"v{i}"] = np.random.RandomState(i).standard_normal(40_000)
        args = [self.path("x.h5"), "--approach", f"non-uniform,nf4,fixed:{book}"]
        whole = self.ran("whole", args)
        args += ["--save_dir", self.path("out"), "--quiet"]
        stopped = harness.run([*args, "--max_walltime", 0.01])
        self.assertEqual(stopped.code, 75, str(stopped))
        self.write("b.txt", "1 2.5 -1")
        refused = self.fails(64, [*args, "--resume"])
        self.assertIn(f"codebook {book} = 3 values", refused.errors[0])
        self.write("b.txt", "# the same numbers\n-1,1,2")
        resumed = self.good([*args, "--resume"], 2)
        self.assertNotIn("quantized again", resumed.err)
        self.equal_results(whole, self.path("out", "quantized.h5"))

    def test_a_saved_run_asks_for_other_codebooks(self):
        """With a name that YAML would take for something else."""
        book = self.write("it's #1 [x]: y.txt", "3 1")
        np.save(self.path("x.npy"), np.linspace(-1, 2, 1000))
        args = [self.path("x.npy"), "--approach", f"max7,uniform,nf4,fixed:{book}"]
        first = self.ran("first", args)
        with h5py.File(first) as f:
            self.write("run.yaml", f.attrs["options"].decode())
            self.assertIn("fixed-it_s__1__x___y_1bit", f["vectors/x"])
        again = self.ran("again", ["--config", self.path("run.yaml")])
        self.equal_results(first, again)
        restored = self.path("restored.npy")
        self.good(["--restore", first, "--result", "nf4_4bit", "--output", restored])
        self.checked(first, options=[f"--restored={restored}", "--result=nf4_4bit"])

    def test_a_sample_decides_what_it_should_not(self):
        """The scale is found on the sample, and --solver lloyd finds none."""
        np.save(self.path("x.npy"), np.random.RandomState(5).standard_normal(300_000))
        args = [self.path("x.npy"), "--approach", "non-uniform,nf4", "--num_bits", 4]
        args += ["--output", "none", "--save_dir", self.dir]
        scales = {}
        for name, more in (
            ("all", []),
            ("lloyd", ["--solver", "lloyd", "--max_iterations", 3]),
            ("sample", ["--sample_size", 5000]),
        ):
            self.good([*args, *more])
            result = self.figures(self.dir)["nf4"]
            scales[name] = result["scale"]
            sampled = name == "sample"
            self.assertEqual(result["sample_size"], 5000 if sampled else 0)
            self.assertEqual(result["optimality_gap"] is None, sampled)
        self.assertEqual(scales["all"], scales["lloyd"])
        self.assertNotEqual(scales["all"], scales["sample"])
        self.assertLess(abs(abs(scales["sample"] / scales["all"]) - 1), 0.1)  # Either way round.


class Asked(Case):
    def test_files_of_one_codebook_differ(self):
        """Text in any order with doubles, and arrays of each type: one set of levels."""
        values = np.array([-1, -0.0, 0.25, 0.5, 2])
        words = "# my levels\n2,0.5 -1\t0.25\r\n+0 # zero\n-0.0, 0.5, 2e0"
        books = [self.write("text.dat", words)]
        for kind in ("<f4", ">f8", "<f2"):
            books.append(self.path(f"array{kind[1:]}.npy"))
            np.save(books[-1], values[::-1].astype(kind))
        np.save(self.path("x.npy"), np.random.RandomState(3).standard_normal(999))
        args = [self.path("x.npy"), "--approach", ",".join("fixed:" + book for book in books)]
        run = self.good([*args, "--save_dir", self.dir], 2)
        self.assertIn("3 of 8 numbers", run.err)
        results = list(self.figures(self.dir).values())
        self.assertEqual(len(results), 4)
        for result in results:
            self.assertEqual(result["levels"], results[0]["levels"])
            self.assertEqual(result["levels"], sorted(v * result["scale"] for v in values))

    def test_a_bad_file_is_taken(self):
        np.save(self.path("two.npy"), np.zeros((2, 2)))
        np.save(self.path("whole.npy"), np.arange(3))
        np.save(self.path("nan.npy"), np.array([1, np.nan]))
        for name, text, code, says in (
            ("none.txt", None, 66, "cannot be opened"),
            ("empty.txt", "", 65, "no number"),
            ("comment.txt", "# 1 2 3", 65, "no number"),
            ("word.txt", "1 2\n3 4x\n5", 65, "word.txt:2: 4x: not a finite decimal number"),
            ("inf.txt", "1\n\n\ninf", 65, "inf.txt:4: inf: not"),
            ("huge.txt", "1e999", 65, "huge.txt:1: 1e999: beyond"),
            ("zero.txt", "1 \0 2", 65, "zero.txt:1: not a text"),
            ("long.txt", "1" * 100, 65, "not a finite decimal"),
            ("many.txt", " ".join(map(str, range(257))), 65, "257 different numbers"),
            ("two.npy", None, 65, "2 dimensions"),
            ("whole.npy", None, 65, "integers"),
            ("nan.npy", None, 65, "nan.npy[1]: NaN"),
        ):
            with self.subTest(name):
                path = self.path(name) if text is None else self.write(name, text)
                failed = self.fails(code, ["--approach", f"fixed:{path}", "--save_dir", self.dir])
                self.assertIn(says, failed.errors[0])
        failed = self.fails(65, ["--approach", f"fixed:{self.path('inf.txt')}"], 2)
        self.assertIn("inf.txt:4", failed.errors[0])

    def test_a_wrong_name_is_taken(self):
        a = self.write("x.txt", "1 2")
        os.mkdir(self.path("b"))
        b = self.write("b/x.txt", "1 2")
        for words, says in (
            ("nf5", "did you mean nf4?"),
            ("NF4", "did you mean nf4?"),
            ("fixd:x", "fixed:FILE"),
            ("max", "give max2 to max256"),
            ("max1", "out of range max2 to max256"),
            ("max257", "out of range max2 to max256"),
            ("max-3", "out of range max2 to max256"),
            ("fixed:", "names no file"),
            ("fixed", "names no file"),
            (f"fixed:{a},fixed:{b}", "would be called fixed-x"),
            ("fixed:" + "y" * 60, "longer than 57 bytes"),
            (",".join(f"max{k}" for k in range(2, 35)), "more than 32 codebooks"),
        ):
            with self.subTest(words):
                failed = self.fails(64, ["--approach", words, "--save_dir", self.dir])
                self.assertIn(says, failed.errors[0])

    def test_one_named_twice_has_two_results(self):
        book = self.write("x.txt", "1 2")
        words = f"nf4,max8,fixed:{book},nf4,max08,fixed:{book},uniform,uniform"
        run = self.good(["--approach", words, "--save_dir", self.dir])
        self.assertEqual(list(self.figures(self.dir)), ["fixed-x", "uniform", "max8", "nf4"])
        self.assertNotIn("num_bits: has no effect", run.err)

    def test_what_people_read_breaks(self):
        """Columns of the table, headings of results.txt, warnings, a dry run."""
        book = self.write("a_name_that_is_longer_than_its_column.txt", "1 2 3")
        args = ["--approach", f"iq4_nl,fixed:{book}", "--save_dir", self.dir]
        run = self.good([*args, "--num_bits", 5])
        self.assertIn("num_bits: has no effect without an approach but codebooks", run.err)
        lines = run.out.splitlines()
        self.assertEqual({len(line) for line in lines}, {len(lines[0])})
        text = harness.read_text(self.path("results.txt"))
        self.assertIn("\nFixed-A_name_that_is_longer_than_its_column Quantization:\n", text)
        self.assertIn("\nIq4_nl Quantization:\n", text)
        self.assertEqual(text.count("Vector Size: small"), 2)
        plan = self.good(["--generate", "normal:8M", "--dry_run", "--approach", "nf4,max200"])
        self.assertIn("quantized.h5, 11.4 MiB", plan.out)  # 4 and 8 bits of 8 million


if __name__ == "__main__":
    harness.main()
