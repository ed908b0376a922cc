#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/report.py makes a page that is well formed, needs nothing from elsewhere, and says what
results.json says.

Guarded: a number that is not the run's; a name that becomes markup; a page that asks the network;
a missing or broken result that ends in a traceback.
"""
import base64
import html.parser
import json
import math
import os
import re
import statistics

import h5py
import numpy as np

import harness
import scripted
import vectors

VOID = {"meta", "link", "img", "br", "wbr"}
COLUMNS = {
    "bits a value": "bits_per_value", "times smaller": "compression_ratio", "SQNR dB": "sqnr_db",
    "gap": "optimality_gap", "rmse": "rmse", "relative error": "relative_error",
    "max error": "max_abs_error", "L2 norm": "l2_norm", "outliers": "outlier_count",
    "solve s": "solve_seconds", "encode s": "encode_seconds",
}
LINKS = ("src", "href", "srcset", "action", "poster", "data")
PNG = "data:image/png;base64,"


class Page(html.parser.HTMLParser):
    """What a browser makes of a page: text, tables, images; and what is wrong with it."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.problems, self.links, self.images = [], [], [], []
        self.tables, self.texts, self.counts = [], [], {}
        self.cell, self.policy = None, ""
        self.feed(text)
        self.close()
        self.problems += [f"<{name}> is not closed" for name in self.open]

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.problems += [f"{tag} has {name}" for name in attributes if name.startswith("on")]
        self.links += [value for name, value in attrs if name in LINKS]
        if tag == "img":
            self.images.append(attributes)
        if attributes.get("http-equiv") == "Content-Security-Policy":
            self.policy = attributes["content"]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.cell = [[], attributes.get("data-v")]
            self.tables[-1][-1].append(self.cell)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes another")
        if tag in ("td", "th"):
            self.cell[0] = "".join(self.cell[0])
            self.cell = None

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)
        if self.cell:
            self.cell[0].append(data)

    @property
    def text(self):
        return " ".join("".join(self.texts).split())

    def table(self, *heads):
        """The rows of the tables that begin with these headings: what is shown, exact value."""
        found = [t for t in self.tables if [c[0] for c in t[0]][:len(heads)] == list(heads)]
        return [row for table in found for row in table[1:]], [c[0] for c in found[0][0]]


def exact(value):
    """The number a page gives, as JSON has it: null for what is not finite."""
    x = float(value.replace("Infinity", "inf"))
    return x if math.isfinite(x) else None


class Case(scripted.Scripted):
    """Runs, pages, and what holds for each."""

    def run_program(self, *args):
        folder = self.path("out")
        self.good([*args, "--save_dir", folder, "--quiet", "--threads", 1])
        return folder

    def make(self, results, *args):
        done = self.script("report.py", results, *args)
        self.assertEqual((done.code, done.err), (0, ""), done.out)
        folder = results if os.path.isdir(results) else os.path.dirname(results)
        text = harness.read_text(os.path.join(folder, "report.html"))
        page = Page(text)
        self.alone(text, page)
        return page

    def alone(self, text, page):
        """Well formed, and nothing from elsewhere."""
        self.assertEqual(page.problems, [])
        self.assertTrue(text.startswith("<!DOCTYPE html>\n<html lang=\"en\">"))
        for name in ("html", "head", "title", "body", "style", "script", "h1"):
            self.assertEqual(page.counts[name], 1, name)
        for link in page.links:
            self.assertTrue(link.startswith(PNG) or link == "data:,", link[:80])
        self.assertTrue(page.policy.startswith("default-src 'none'; img-src data:;"), page.policy)
        rest = re.sub(r'src="data:[^"]*"', "", text)
        self.assertFalse(re.search(r"url\(|@import|fetch\(|XMLHttp", rest))
        for image in page.images:
            raw = base64.b64decode(image["src"][len(PNG):], validate=True)
            self.assertEqual(raw[:8], b"\x89PNG\r\n\x1a\n")
            self.assertEqual([int(image["width"]), int(image["height"])],
                             [int.from_bytes(raw[i:i + 4], "big") for i in (16, 20)])
            self.assertTrue(image["alt"])

    def says(self, page, *sentences):
        for words in sentences:
            self.assertTrue(words in page.text, f"{words!r} not in {page.text[:3000]!r}")

    def same_figures(self, page, described):
        """Each row of a vector's table is that of results.json, exactly, and reads like it."""
        rows, heads = page.table("result", "levels", "bits a value")
        self.assertEqual(heads[2:], list(COLUMNS))
        self.assertEqual(len(rows), len(described["results"]))
        for row, result in zip(rows, described["results"]):
            self.assertEqual(row[0][0], f"{result['approach']} {result['num_bits']} bit")
            self.assertEqual(int(row[1][1]), len(result["levels"]))
            for (shown, value), name in zip(row[2:], COLUMNS.values()):
                self.assertEqual(exact(value), result[name], (row[0][0], name))
                if result[name] is not None:
                    self.assertLessEqual(abs(float(shown.replace(",", "")) - result[name]),
                                         max(0.051 * abs(result[name]), 0.00501), (shown, name))


class Report(Case):
    """One vector, or few."""

    def test_a_figure_that_is_not_the_run_s(self):
        folder = self.run_program("--approach", "all", "--num_bits", "2,3")
        page = self.make(folder)
        run = json.loads(harness.read_text(os.path.join(folder, "results.json")))
        self.same_figures(page, run["vectors"][0])
        self.assertGreaterEqual(len(page.images), 4)
        for words in ("1 vector of 10 elements, 8 results", run["command_line"], run["hosts"][0],
                      "non-uniform: all 2 results are proven to be the best there can be",
                      "num_bits2,3", "SQNR 30.70 dB at 54.4 bits a value"):
            self.says(page, words)
        times, _ = page.table("phase", "min s", "mean s", "max s")
        self.assertEqual([(row[0][0], float(row[3][1])) for row in times],
                         [(t["phase"], t["max"]) for t in run["timings"]])
        rows, _ = page.table("result", "levels")
        levels = {row[0][0]: row[1][0].split() for row in rows if len(row) == 2}
        self.assertEqual([float(x) for x in levels["non-uniform 3 bit"]],
                         [-3.7, -1.35, -0.9, 0, 1.8, 2.35, 3.2, 4])

    def test_a_gap_told_wrong(self):
        np.save(self.path("x.npy"), vectors.heavy_tailed(100000, 3).astype("f4"))
        folder = self.run_program(self.path("x.npy"), "--num_bits", 4, "--approach",
                                  "uniform,non-uniform")
        page = self.make(folder, "--most", 0)
        run = json.loads(harness.read_text(os.path.join(folder, "results.json")))
        gaps = [r["optimality_gap"] for r in run["vectors"][0]["results"]]
        even, free = (re.search(pattern, page.text) for pattern in (
            r"uniform: the rmse is up to (\S+) times the least that any 16 levels can have",
            r"non-uniform: the rmse is at most (\S+) % above the least that any 16 levels can"))
        self.assertAlmostEqual(float(even[1]) / (1 + gaps[0]), 1, delta=5e-3)
        self.assertAlmostEqual(float(free[1]) / (100 * gaps[1]), 1, delta=5e-3)

    def test_a_name_that_becomes_markup(self):
        names = ["a<b>&\"c'", "x<script>alert(1)<", "&lt;i&gt;", "$\\x^2$ 日本"]
        with h5py.File(self.path("in.h5"), "w") as f:
            for name in names:
                f[name] = np.arange(20, dtype="f4")
        page = self.make(self.run_program(self.path("in.h5"), "--num_bits", 1), "--most", 1)
        self.assertEqual((page.counts["script"], page.counts.get("i")), (1, None))
        self.assertEqual(page.counts["b"], page.counts["figcaption"])
        for name in names:
            self.says(page, name)

    def test_what_is_missing_goes_unsaid(self):
        folder = self.run_program("--num_bits", "1", "--approach", "uniform", "--output", "none")
        page = self.make(folder)
        self.says(page, "Of the run there is no result file (--output none)")
        run = json.loads(harness.read_text(os.path.join(folder, "results.json")))
        self.same_figures(page, run["vectors"][0])
        folder = self.run_program("--num_bits", "4", "--approach", "non-uniform")
        os.remove(os.path.join(folder, "results.json"))
        page = self.make(os.path.join(folder, "quantized.h5"))
        self.says(page, "results.json of this run is not beside the result file")
        self.says(page, "num_bits: [4]")

    def test_a_failure_ends_in_a_traceback(self):
        folder = self.run_program("--num_bits", "1", "--approach", "uniform")
        bad = self.path("bad.json")
        with open(bad, "w") as f:
            f.write('{"vectors": [{"name": "x"}]}')
        for args, words in (
            ([self.path("absent")], "no such file"),
            ([bad], "not a results.json"),
            ([folder, "--output", self.path("no", "where.html")], "cannot be written"),
            ([folder, "--most", "-1"], "below 0"),
        ):
            self.refuses(2 if "--most" in args else 1, [words], "report", *args)


class Many(Case):
    """Many vectors, and codebooks that are audited."""

    def many(self, count):
        """A file of vectors, the one called bad with a few values far from all others."""
        with h5py.File(self.path("many.h5"), "w") as f:
            for i in range(count):
                x = np.random.RandomState(i).normal(size=300 + i)
                if i == 7:
                    x[:3] = 1000, -700, 400
                f["layers/bad" if i == 7 else f"layers/l{i:02}"] = x.astype("f4")
        return self.path("many.h5")

    def test_the_worst_of_many_not_first_or_sums_wrong(self):
        folder = self.run_program(self.many(30), "--approach", "uniform,easyquant", "--num_bits", 4)
        page = self.make(folder, "--most", 1)
        run = json.loads(harness.read_text(os.path.join(folder, "results.json")))
        rows, heads = page.table("vector", "elements", "type", "shape")
        self.assertEqual(len(rows), 30)
        self.assertEqual(rows[0][0][0], "layers/bad")
        self.says(page, "5 more vectors")
        known = {v["name"]: {f"{r['approach']} {r['num_bits']} bit": r["sqnr_db"]
                             for r in v["results"]} for v in run["vectors"]}
        for row in rows:
            self.assertEqual({head: exact(c[1]) for head, c in zip(heads[5:], row[5:])},
                             known[row[0][0]])
        totals, _ = page.table("result", "bits a value", "times smaller", "median SQNR dB")
        for k, row in enumerate(totals):
            found = [(v["num_elements"], v["results"][k]) for v in run["vectors"]]
            stored = sum(n * r["bits_per_value"] for n, r in found)
            elements = sum(n for n, _ in found)
            self.assertAlmostEqual(float(row[1][1]), stored / elements, places=9)
            self.assertAlmostEqual(float(row[2][1]), 32 * elements / stored, places=9)
            self.assertEqual(int(row[4][1]), sum(r["outlier_count"] for _, r in found))
            self.assertAlmostEqual(float(row[3][1]), statistics.median(
                r["sqnr_db"] for _, r in found), delta=0.5)

    def test_an_audit_told_wrong(self):
        np.save(self.path("x.npy"), vectors.heavy_tailed(1000, 3).astype("f4"))
        folder = self.run_program(self.path("x.npy"), "--approach", "non-uniform,nf4",
                                  "--num_bits", 4)
        page = self.make(folder, "--most", 0)
        run = json.loads(harness.read_text(os.path.join(folder, "results.json")))
        free, nf4 = run["vectors"][0]["results"]
        self.assertEqual((free["optimality_gap"], nf4["approach"]), (0, "nf4"))
        above = nf4["mse"] / free["mse"] - 1
        self.says(page, f"x: nf4 costs {100 * above:.3g} % more squared error than the best 16 "
                        f"levels ({10 * math.log10(1 + above):.2g} dB); its best scale is "
                        f"{nf4['scale']:.5g}")
        with open(self.path("mine.txt"), "w") as f:
            f.write("0 1 2 4")
        np.save(self.path("x.npy"), -np.array([0, 2, 1, 4, 4, 2], dtype="f4"))
        folder = self.run_program(self.path("x.npy"), "--approach",
                                  f"fixed:{self.path('mine.txt')}")
        self.says(self.make(folder, "--most", 0), "x: fixed-mine costs nothing: the best 4 levels "
                  "have no smaller error; its best scale is -1, mirrored.")

    def test_audits_of_many_told_wrong(self):
        folder = self.run_program(self.many(12), "--approach", "nf4")
        page = self.make(folder, "--most", 0)
        run = json.loads(harness.read_text(os.path.join(folder, "results.json")))
        above = {v["name"]: (1 + v["results"][0]["optimality_gap"])**2 - 1 for v in run["vectors"]}
        worst = max(above, key=above.get)
        self.says(page, f"nf4: {100 * statistics.median(above.values()):.3g} % more squared error "
                        "than the best 16 levels in the median of 12 vectors; worst on "
                        f"{worst}, where it costs {100 * above[worst]:.3g} % more")


if __name__ == "__main__":
    harness.main()
