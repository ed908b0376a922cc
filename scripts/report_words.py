# SPDX-License-Identifier: Apache-2.0
"""What a result says, in sentences: for report.py. All of it plain text that is yet to be escaped.
"""
import collections
import math
import os
import statistics

import pictures
import pictures_run
import words

FREE = ("non-uniform", "easyquant")

CERTIFICATE = (
    "With the levels comes a lower bound on the root-mean-square error (rmse) that any levels of "
    "the same number can have on the same elements. It is a proof, not an estimate. The gap is the "
    "rmse over that bound, minus 1: for free levels what could at most be gained by better ones, "
    "for an even grid or a fixed codebook what its shape costs.")
AUDIT = (
    "A codebook that was made for some other data is stretched by the one scale that makes its "
    "squared error on this vector least, and held against the best levels of as many bits.")

# All vectors together with one quantizer.
Total = collections.namedtuple(
    "Total", "label bits_per_value compression_ratio median_db outliers worst worst_db")


# ---- Small words ----

def shape(vector):
    return " × ".join(f"{s:,}" for s in vector.shape) or "scalar"


def kept(vector):
    """What no level stands for, whatever the approach."""
    counts = [(vector.attributes.get(name, 0), what) for name, what in
              (("nonfinite_count", "NaN or infinite"), ("fill_count", "equal to a fill value"))]
    told = [f"{words.count(count, 'element')} {what}" for count, what in counts if count]
    return f"{' and '.join(told)}: kept exactly." if told else ""


def memory(peaks):
    """Bytes over the ranks."""
    least, mean, most = (f"{peaks[key] / 2**20:,.1f}" for key in ("min", "mean", "max"))
    return f"{most} MiB" if least == most else f"{least} to {most} MiB, {mean} in the mean"


def all_results(results):
    return [r for v in results.vectors.values() for r in v.results.values()]


# ---- The top ----

def title(results):
    names = list(results.vectors)
    if len(names) == 1:
        return f"Quantizers of {names[0]}"
    return f"Quantizers of {len(names):,} vectors"


def subtitle(results):
    about = results.run or results.attributes
    when = about.get("created", "an unknown time")
    return f"quantopt {about.get('quantopt_version', '')}, {when}, {os.path.basename(results.path)}"


def notices(results):
    """What a reader should know is missing."""
    if results.run is None:
        yield ("results.json of this run is not beside the result file: times of phases, memory, "
               "hosts and the history of Lloyd steps are missing here.")
    if not results.has_codes:
        yield ("Of the run there is no result file (--output none): there are figures and levels, "
               "and no histogram, codes or error counts to draw.")


def smallest_error(results):
    """Of one vector: its best result in a sentence."""
    vector = next(iter(results.vectors.values()))
    best = min(vector.results.values(), key=lambda r: (r.attributes["mse"],
                                                       r.attributes["bits_per_value"]))
    a = best.attributes
    if a["mse"] == 0:
        return (f"No error at all: {pictures.label(best)}, {words.number(a['bits_per_value'])} "
                "bits a value.")
    return (f"Smallest error: {pictures.label(best)}, SQNR {a['sqnr_db']:.2f} dB at "
            f"{words.number(a['bits_per_value'])} bits a value, "
            f"{words.number(a['compression_ratio'], 3)} times smaller than {vector.dtype}.")


def summary(results):
    """The run in a few sentences."""
    elements = sum(v.n for v in results.vectors.values())
    yield (f"{words.count(len(results.vectors), 'vector')} of {words.count(elements, 'element')}, "
           f"{words.count(len(all_results(results)), 'result')}.")
    if len(results.vectors) == 1 and all_results(results):
        yield smallest_error(results)
    times = {t["phase"]: t["max"] for t in (results.run or {}).get("timings", [])}
    if "total" in times:
        ranks = words.count(results.run["ranks"], "rank")
        threads = words.count(results.run["threads_per_rank"], "thread")
        yield (f"{words.number(times['total'], 3)} s on {ranks} of {threads}, "
               f"{results.run['device']}.")


# ---- All vectors together ----

def total(name, vectors, median_db):
    """Bytes are added up; errors are not, for vectors differ in their units."""
    found = [v.results[name] for v in vectors if name in v.results]
    stored = sum(r.attributes["bits_per_value"] * r.vector.n for r in found)
    ratios = [r.attributes["compression_ratio"] for r in found]
    before = sum(ratio * r.attributes["bits_per_value"] * r.vector.n
                 for ratio, r in zip(ratios, found))
    worst = min(found, key=lambda r: r.attributes["sqnr_db"])
    worst_db = worst.attributes["sqnr_db"]
    name_of_worst = "none has an error" if worst_db == math.inf else worst.vector.name
    return Total(pictures.label(worst), stored / sum(r.vector.n for r in found), before / stored,
                 median_db, sum(r.attributes["outlier_count"] for r in found), name_of_worst,
                 worst_db)


def totals(vectors):
    """A Total for each quantizer."""
    medians = {row[0]: float(row[5]) for row in pictures_run.rate_rows(vectors)}
    return [total(name, vectors, medians.get(name, math.nan))
            for name in pictures_run.result_names(vectors)]


# ---- The certificate ----

def where(result, results):
    """8 bit of conv1"""
    of = f" of {result.vector.name}" if len(results.vectors) > 1 else ""
    return f"{result.num_bits} bit{of}"


def above_least(result):
    """5e-05 % above the least that any 8 levels can have; 49 times the least ..."""
    gap = result.attributes["optimality_gap"]
    least = f"the least that any {2**result.num_bits} levels can have"
    if gap < 1:
        return f"{words.percent(gap)} above {least}"
    return f"{words.number(1 + gap, 3)} times {least}"


def proven_best(best, found):
    """How many of the results found are."""
    if len(found) == 1:
        return "proven to be the best there can be"
    count = f"all {len(found):,}" if len(best) == len(found) else f"{len(best):,} of {len(found):,}"
    return f"{count} results are proven to be the best there can be"


def worst_case(worst, alone, results):
    """What the gap of the result with the largest one says."""
    if worst.approach in FREE:
        place = "" if alone else f" ({where(worst, results)}; less elsewhere)"
        return f"the rmse is at most {above_least(worst)}{place}"
    return (f"the rmse is up to {above_least(worst)} ({where(worst, results)}): the price of an "
            "even grid")


def certificate(approach, found, results):
    """One sentence for all results of an approach; audits are told of elsewhere."""
    gaps = [r.attributes["optimality_gap"] for r in found]
    known = [r for r, gap in zip(found, gaps) if math.isfinite(gap)]
    best = [r for r in known if r.attributes["optimality_gap"] == 0]
    said = [proven_best(best, found)] if best else []
    if len(known) > len(best):
        worst = max(known, key=lambda r: r.attributes["optimality_gap"])
        said.append(worst_case(worst, len(known) == 1, results))
    unbounded, unknown = sum(map(math.isinf, gaps)), sum(map(math.isnan, gaps))
    if unbounded:
        said.append(f"for {words.count(unbounded, 'result')} the bound is 0: other levels may "
                    "have no error at all")
    if unknown:
        said.append(f"nothing is proven of {words.count(unknown, 'result')}: the levels were found "
                    "on a sample")
    return f"{approach}: {'; '.join(said)}."


def certificates(results):
    """A sentence an approach."""
    found = {}
    for result in all_results(results):
        if not pictures.is_codebook(result.approach):
            found.setdefault(result.approach, []).append(result)
    return [certificate(approach, each, results) for approach, each in found.items()]


# ---- Audits ----

def cost(result):
    """By how much of it a codebook's squared error is above the least, at least and at most: the
    best levels found and the bound enclose the least."""
    most = pictures_run.excess(result)
    free = result.vector.results.get(f"non-uniform_{result.num_bits}bit")
    if free is None or not free.attributes["mse"] > 0:
        return most, most
    return min(most, result.attributes["mse"] / free.attributes["mse"] - 1), most


def cost_words(result):
    """costs 10.2 % more squared error than the best 16 levels (0.42 dB)"""
    least, most = cost(result)
    best = f"the best {2**result.num_bits} levels"
    if math.isnan(most):
        return "cannot be held against anything: nothing was proven on a sample"
    if math.isinf(most):
        return f"has an error where {best} may have none"
    if most == 0:
        return f"costs nothing: {best} have no smaller error"
    low, high = words.percent(least), words.percent(most)
    decibels = words.number(10 * math.log10(1 + most), 2)
    return (f"costs {high if low == high else f'{low} to {high}'} more squared error than {best} "
            f"({decibels} dB)")


def audit_of_one(result):
    scale, k = result.attributes.get("scale", math.nan), len(result.levels)
    has = "" if k == 2**result.num_bits else f"; it has {words.count(k, 'level')}"
    mirrored = ", mirrored" if scale < 0 else ""
    known = math.isfinite(scale)
    stretched = f"; its best scale is {words.number(scale, 5)}{mirrored}" if known else ""
    return f"{result.vector.name}: {result.approach} {cost_words(result)}{has}{stretched}."


def audit_of_many(approach, found):
    """One sentence for a codebook on many vectors."""
    known = [r for r in found if math.isfinite(cost(r)[1])]
    others = len(found) - len(known)
    said = []
    if known and max(cost(r)[1] for r in known) == 0:
        said = [f"costs nothing on {words.count(len(known), 'vector')}"]
    elif known:
        middle = statistics.median(cost(r)[1] for r in known)
        worst = max(known, key=lambda r: cost(r)[1])
        said = [f"{words.percent(middle)} more squared error than the best {2**worst.num_bits} "
                f"levels in the median of {words.count(len(known), 'vector')}",
                f"worst on {worst.vector.name}, where it {cost_words(worst)}"]
    if others:
        said.append(f"on {words.count(others, 'vector')} the best levels may have no error, or "
                    "nothing was proven")
    return f"{approach}: {'; '.join(said)}."


def audits(results, few):
    """A sentence a codebook and vector; of many vectors one a codebook."""
    found = {}
    for result in [r for r in all_results(results) if pictures.is_codebook(r.approach)]:
        found.setdefault(result.approach, []).append(result)
    if few:
        return [audit_of_one(r) for each in found.values() for r in each]
    return [audit_of_many(approach, each) for approach, each in found.items()]
