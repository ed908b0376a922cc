#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes one page of a run: figures, pictures, certificates, what was asked, on what machine.

    report.py RESULTS [--output FILE] [--most N]

RESULTS is a results folder, a quantized.h5 or a results.json; nothing else is read. FILE, by
default report.html in the results' folder, holds everything it shows: it can be sent by mail,
and opens without a network.
"""
import os
import tempfile

import command
import pictures
import pictures_run
import plot_results
import read_quantopt
import report_words
import words
from report_page import Number, details, document, join, pairs, picture, table, tag

# Vectors up to this many have a section each; of more there is one table, the worst first.
FEW = 8
# Rows of that table which are seen at once, and which the page holds at all.
SEEN, MOST_ROWS = 25, 1000
# Levels up to this many are listed.
LISTED = 16

# Of a result: heading, explanation, the attribute, and how it is shown.
FIGURES = (
    ("bits a value", "codes, levels, outlier values and indices, over the elements",
     "bits_per_value", lambda x: words.fixed(x, 3)),
    ("times smaller", "bits of an element over bits a value", "compression_ratio", words.fixed),
    ("SQNR dB", "20 log10(norm of the values / norm of the error)", "sqnr_db", words.fixed),
    ("gap", "rmse over a proven lower bound for any levels, minus 1", "optimality_gap",
     lambda x: words.number(x, 2)),
    ("rmse", "root of the mean squared error", "rmse", words.number),
    ("relative error", "norm of the error / norm of the values", "relative_error", words.number),
    ("max error", "the largest absolute error", "max_abs_error", words.number),
    ("L2 norm", "norm of the error / number of elements", "l2_norm", words.number),
    ("outliers", "elements kept exactly", "outlier_count", words.number),
    ("solve s", "seconds to find the levels", "solve_seconds", lambda x: words.number(x, 2)),
    ("encode s", "seconds to make codes and measure errors", "encode_seconds",
     lambda x: words.number(x, 2)),
)
STATISTICS = ("min", "max", "mean", "std")


# ---- A vector ----

def frontier(results):
    """The numbers of those results that no other beats in size and error at once."""
    points = [(r.attributes["bits_per_value"], r.attributes["mse"]) for r in results]
    return [i for i, (bits, mse) in enumerate(points)
            if not any(b <= bits and e <= mse and (b, e) != (bits, mse) for b, e in points)]


def figures_row(result):
    figures = [Number(result.attributes[name], text(result.attributes[name]))
               for _, _, name, text in FIGURES]
    return [pictures.label(result), len(result.levels), *figures]


def figures_table(vector):
    results = list(vector.results.values())
    caption = ("Figures of merit. In bold: no other result has a smaller error in as few bits "
               "a value or fewer, outliers counted.")
    heads = ["result", ("levels", "values that elements are restored to")]
    heads += [figure[:2] for figure in FIGURES]
    return table(caption, heads, [figures_row(r) for r in results], frontier(results))


def levels_list(vector):
    """The levels of results that have so few that one may read them."""
    short = [r for r in vector.results.values() if len(r.levels) <= LISTED]
    if not short:
        return ""
    rows = [[pictures.label(r), "  ".join(words.number(float(x), 6) for x in r.levels)]
            for r in short]
    return details(f"Levels of results with up to {LISTED}",
                   table("Levels, ascending.", ["result", "levels"], rows))


def vector_section(vector, drawn):
    title = tag("h3", vector.name)
    kept = report_words.kept(vector)
    facts = f"{pictures.describe(vector)}. " + ", ".join(
        f"{name} {words.number(float(vector.attributes[name]), 6)}" for name in STATISTICS)
    return join([title, tag("p", facts + "." + (f" {kept}" if kept else ""), class_="soft"),
                 figures_table(vector), levels_list(vector),
                 *(shown_picture(p) for p in drawn if p.vector == vector.name)])


def shown_picture(one):
    return picture(one.files[0], one.title, one.caption)


# ---- Many vectors ----

def totals_table(vectors):
    heads = ["result", "bits a value", "times smaller", ("median SQNR dB", "weighted by elements"),
             "outliers", "worst vector", "its SQNR dB"]
    rows = [[t.label, Number(t.bits_per_value, words.fixed(t.bits_per_value, 3)),
             Number(t.compression_ratio, words.fixed(t.compression_ratio)),
             Number(t.median_db, words.fixed(t.median_db)), t.outliers, t.worst,
             Number(t.worst_db, words.fixed(t.worst_db))] for t in report_words.totals(vectors)]
    return table("All vectors together.", heads, rows)


def overview_rows(vectors):
    """The worst first, in the order of the picture of all vectors."""
    names = pictures_run.result_names(vectors)
    sqnr = pictures_run.matrix(vectors, names, "sqnr_db")
    order, distance = pictures_run.badness(pictures_run.against_median(sqnr)[0])
    return [[vectors[i].name, vectors[i].n, vectors[i].dtype, report_words.shape(vectors[i]),
             *(Number(float(x), words.fixed(float(x))) for x in (distance[i], *sqnr[i]))]
            for i in order]


def overview(vectors, path):
    names = pictures_run.result_names(vectors)
    found = {name: r for v in vectors for name, r in v.results.items()}
    heads = ["vector", "elements", "type", "shape",
             ("from the median", "dB, over all results, of what all vectors have"),
             *(pictures.label(found[name]) for name in names)]
    rows = overview_rows(vectors)
    caption = "SQNR in dB, the worst vectors first."
    parts = [table(caption, heads, rows[:SEEN])]
    if rows[SEEN:]:
        more = table(caption, heads, rows[SEEN:MOST_ROWS])
        parts.append(details(f"{len(rows[SEEN:MOST_ROWS]):,} more vectors", more))
    if rows[MOST_ROWS:]:
        parts.append(tag("p", f"{len(rows) - MOST_ROWS:,} better vectors are left out here; "
                              f"{os.path.basename(path)} has them all."))
    return join(parts)


def many_section(results, drawn):
    vectors = [v for v in results.vectors.values() if v.results]
    alone = [v for v in vectors if any(p.vector == v.name for p in drawn)]
    return join([totals_table(vectors), overview(vectors, results.path),
                 *([tag("h3", "The largest vectors")] if alone else []),
                 *(details(v.name, vector_section(v, drawn)) for v in alone)])


# ---- The run ----

def machine_facts(results):
    run, attributes = results.run or {}, results.attributes
    facts = [("version", run.get("quantopt_version") or attributes.get("quantopt_version")),
             ("written", run.get("created") or attributes.get("created")),
             ("read", attributes.get("source")),
             ("hosts", ", ".join(run.get("hosts", []))),
             ("ranks", run.get("ranks") or attributes.get("ranks")),
             ("threads of a rank", run.get("threads_per_rank") or attributes.get(
                 "threads_per_rank")),
             ("device", run.get("device") or attributes.get("device")),
             ("communication", run.get("comm"))]
    memory = run.get("peak_memory_bytes")
    if memory:
        facts.append(("peak memory of a rank", report_words.memory(memory)))
    return pairs("Machine.", [(name, str(value)) for name, value in facts if value])


def times_table(run):
    timings = (run or {}).get("timings")
    if not timings:
        return ""
    rows = [[t["phase"], *(float(t[key]) for key in ("min", "mean", "max")), t.get("max_rank", 0)]
            for t in timings]
    return table("Seconds of each phase, over the ranks.",
                 ["phase", "min s", "mean s", "max s", "longest on rank"], rows)


def asked(results):
    run, attributes = results.run or {}, results.attributes
    command = run.get("command_line") or attributes.get("command_line")
    parts = [tag("pre", command)] if command else []
    if run.get("options"):
        parts.append(details("Every option of the run",
                             pairs("Options.", [(k, str(v)) for k, v in run["options"].items()])))
    elif attributes.get("options"):
        parts.append(details("Every option of the run, as a file for --config",
                             tag("pre", attributes["options"])))
    return join(parts)


# ---- The page ----

def bullets(sentences):
    return tag("ul", *(tag("li", sentence) for sentence in sentences))


def contents(results, drawn):
    """What stands on the page, in order."""
    of_run = [p for p in drawn if p.vector is None and p.name != "phases"]
    few = len(results.vectors) <= FEW
    yield tag("h1", report_words.title(results))
    yield tag("p", report_words.subtitle(results), class_="soft")
    for notice in report_words.notices(results):
        yield tag("p", notice, class_="notice")
    yield bullets(report_words.summary(results))
    yield tag("h2", "Results")
    yield join(shown_picture(p) for p in of_run)
    if few:
        yield join(vector_section(v, drawn) for v in results.vectors.values())
    else:
        yield many_section(results, drawn)
    yield tag("h2", "What is proven")
    yield join([tag("p", report_words.CERTIFICATE), bullets(report_words.certificates(results))])
    audits = report_words.audits(results, few)
    if audits:
        yield tag("h2", "Audits of fixed codebooks")
        yield join([tag("p", report_words.AUDIT), bullets(audits)])
    yield tag("h2", "What was asked")
    yield asked(results)
    yield tag("h2", "Where and how long")
    yield join([machine_facts(results), times_table(results.run),
                *(shown_picture(p) for p in drawn if p.name == "phases")])
    yield tag("h2", "How to read the figures")
    yield bullets(f"{head}: {about}." for head, about, *_ in FIGURES)


def make_page(results, most):
    with tempfile.TemporaryDirectory(prefix="quantopt_report_") as folder:
        drawn = plot_results.draw_all(results, folder, formats=("png",), most=most)
        return document(report_words.title(results), contents(results, drawn))


def write_whole(path, text):
    """A page is complete or not there."""
    partial = f"{path}.partial"
    try:
        with open(partial, "w", encoding="utf-8", errors="replace") as f:
            f.write(text)
        os.replace(partial, path)
    except OSError as error:
        if os.path.exists(partial):
            os.remove(partial)
        raise OSError(error.errno, error.strerror, path) from None


def parse():
    parser = command.parser(__doc__)
    parser.add_argument("--output", metavar="FILE", help="default: report.html in the results' "
                        "folder")
    command.add_most(parser, "the N largest vectors have pictures of their own")
    args = parser.parse_args()
    command.not_negative("--most", args.most)
    return args


def main(args):
    results = read_quantopt.open_results(args.results)
    page = make_page(results, args.most)
    output = args.output or os.path.join(results.folder, "report.html")
    write_whole(output, page)
    print(f"{output}: {len(page.encode(errors='replace')) / 1e6:.1f} MB")


def start():
    command.run(main, parse())


if __name__ == "__main__":
    start()
