#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fits a model to what scripts/scaling.sh measured, and predicts.

    scaling_model.py ROWS [--latency SECONDS] [--bandwidth BYTES_PER_S]
    scaling_model.py --add ROWS FOLDER KEY=VALUE ...

The model of measure + solve + encode is

    T = a + b n / P + c messages log2(P) latency + 2 bytes (P - 1) / P / bandwidth

a is what every rank does by itself, whatever n and P: the solvers. b is a walk over the elements.
Both are fitted to rows in memory with at most as many ranks as cores. c is how often a message
waits for the link in each of its log2(P) rounds: the slope, over links that differ in nothing but
their delay, of the seconds inside collectives, with log2 of the hosts in place of log2(P), since a
round inside a host crosses no link. Predictions take latency and bandwidth of the network in
question. docs/scaling.md has the rest.
"""
import argparse
import json
import math
import os
import statistics

import numpy

PHASES = ("measure", "solve", "encode")
BLOCK = 65536  # elements; shards are whole blocks


def add(rows, folder, settings):
    """Appends a row: what was set, and what results.json, counts.json or plain.json say."""
    row = {}
    for setting in settings:
        key, value = setting.split("=", 1)
        row[key] = int(value) if value.isdigit() else value
    if row["kind"] == "plain":
        with open(os.path.join(folder, "plain.json"), encoding="utf-8") as file:
            row.update(json.load(file))
    else:
        with open(os.path.join(folder, "results.json"), encoding="utf-8") as file:
            timings = {each["phase"]: each for each in json.load(file)["timings"]}
        # The slowest rank is what others wait for; of reductions, all ranks have the same.
        row.update({phase: timings[phase]["max"] for phase in PHASES + ("read", "write", "total")})
        row["communicate"] = timings["communicate"]["min"]
        with open(os.path.join(folder, "counts.json"), encoding="utf-8") as file:
            counts = json.load(file)
        row["messages"] = sum(each["calls"] for each in counts.values())
        row["bytes"] = sum(each["bytes"] for each in counts.values())
        row["largest"] = counts["allreduce"]["largest"]
        row["collective_seconds"] = sum(each["seconds"] for each in counts.values())
    with open(rows, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def group(rows):
    """Repeats of the same run become one row: the smallest of each time, which others that use the
    machine disturb least, and its spread in `spread`."""
    found = {}
    for row in rows:
        key = tuple(row[k] for k in ("kind", "link", "delay_ms", "ranks", "n"))
        found.setdefault(key, []).append(row)
    merged = []
    for repeats in found.values():
        row = {k: min(r[k] for r in repeats) if isinstance(v, float) else v
               for k, v in repeats[0].items()}
        row["repeats"] = len(repeats)
        if row["kind"] != "plain":
            sums = [compute(r) for r in repeats]
            row["compute"] = min(sums)
            row["spread"] = max(sums) / min(sums)
            row["median"] = statistics.median(sums)
        merged.append(row)
    return merged


def compute(row):
    return sum(row[phase] for phase in PHASES)


def rounds(ranks):
    return math.log2(ranks) if ranks > 1 else 0.0


def fit_memory(rows, cores):
    """a and b, each of each phase, by least squares over rows with a core a rank."""
    used = [r for r in rows if r["kind"] in ("strong", "weak") and r["ranks"] <= cores]
    matrix = numpy.array([[1.0, r["n"] / r["ranks"]] for r in used])
    weight = numpy.array([1.0 / compute(r) for r in used])
    fitted = {}
    for phase in PHASES:
        y = numpy.array([r[phase] for r in used])
        a, b = numpy.linalg.lstsq(matrix * weight[:, None], y * weight, rcond=None)[0]
        fitted[phase] = (max(a, 0.0), max(b, 0.0))
    return fitted


def fit_delay(rows):
    """c, and by ranks the seconds inside collectives without a delay: over the relay, whatever
    makes the delay else, by least squares."""
    far = [r for r in rows if r["kind"] == "far" and r["link"] in ("relay", "netem")]
    ranks = sorted({r["ranks"] for r in far})
    if len({r["delay_ms"] for r in far}) < 2:
        return None, {}
    matrix = numpy.zeros((len(far), len(ranks) + 1))
    for row, r in zip(matrix, far):
        row[ranks.index(r["ranks"])] = 1.0
        row[-1] = r["messages"] * r["delay_ms"] / 1000
    y = numpy.array([r["collective_seconds"] for r in far])
    *base, c = numpy.linalg.lstsq(matrix, y, rcond=None)[0]
    return float(c), dict(zip(ranks, base))


def largest_shard(n, ranks):
    blocks = math.ceil(n / BLOCK)
    return min(n, math.ceil(blocks / ranks) * BLOCK)


def predict(model, n, ranks, messages, volume, wait, bandwidth):
    """Seconds: alone, walks, messages, bytes; a round of a message waits `wait` seconds."""
    alone = sum(a for a, _ in model.values())
    walks = sum(b for _, b in model.values()) * largest_shard(n, ranks)
    return (alone, walks, messages * rounds(ranks) * wait,
            2 * volume * (ranks - 1) / ranks / bandwidth)


def show_rows(rows):
    print("| kind | link | delay ms | ranks | n | measure s | solve s | encode s | communicate s "
          "| in collectives s | collectives | MB | spread |")
    print("| --- " * 13 + "|")
    for r in rows:
        if r["kind"] != "plain":
            print(f"| {r['kind']} | {r['link']} | {r['delay_ms']} | {r['ranks']} | "
                  f"{r['n'] / 1e6:g}M | {r['measure']:.4f} | {r['solve']:.4f} | "
                  f"{r['encode']:.4f} | {r['communicate']:.4f} | {r['collective_seconds']:.4f} | "
                  f"{r['messages']} | {r['bytes'] / 1e6:.2f} | {r['spread']:.2f} |")


def show_gain(rows):
    """Two ranks against one, beside what a plain read or copy gains."""
    plain = {r["ranks"]: r for r in rows if r["kind"] == "plain"}
    strong = {r["ranks"]: r for r in rows if r["kind"] == "pair"}
    print("\n| | 1 rank s | 2 ranks s | gain | gain of a plain one | ratio |")
    print("| --- " * 6 + "|")
    for phase, other in (("measure", "plain_read"), ("encode", "plain_copy")):
        gain = strong[1][phase] / strong[2][phase]
        alike = plain[1][other] / plain[2][other]
        print(f"| {phase} against {other[6:]} | {strong[1][phase]:.4f} | {strong[2][phase]:.4f} | "
              f"{gain:.2f} | {alike:.2f} | {gain / alike:.2f} |")


def show_model(model, c, base):
    print("\n| phase | a s | b ns an element |")
    print("| --- " * 3 + "|")
    for phase, (a, b) in model.items():
        print(f"| {phase} | {a:.4f} | {b * 1e9:.3f} |")
    print("\nEach round of a message waits "
          + (f"{c:.2f} delays of its link." if c else "an unknown time: no link had a delay."))
    for ranks, seconds in base.items():
        print(f"{ranks} ranks on two hosts: {seconds:.3f} s in collectives without a delay.")


def show_predictions(model, rows, networks):
    row = max((r for r in rows if r["kind"] in ("strong", "weak")), key=lambda r: r["n"])
    print("\n| n | ranks | network | alone s | walks s | messages s | bytes s | sum s | efficiency |")
    print("| --- " * 9 + "|")
    for n in (1e9, 1e12):
        one = sum(predict(model, n, 1, 0, 0, 0, 1))
        for ranks in (8, 512, 65536):
            for name, wait, bandwidth in networks:
                parts = predict(model, n, ranks, row["messages"], row["bytes"], wait, bandwidth)
                total = sum(parts)
                print(f"| {n:.0e} | {ranks} | {name} | " +
                      " | ".join(f"{part:.4g}" for part in parts) +
                      f" | {total:.4g} | {one / ranks / total:.1%} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--add", nargs="+", metavar="ARGUMENT", help="ROWS FOLDER KEY=VALUE ...")
    parser.add_argument("rows", nargs="?")
    parser.add_argument("--latency", type=float, default=5e-6, help="seconds of a message between two ranks of a cluster")
    parser.add_argument("--bandwidth", type=float, default=1e10, help="bytes per second of a rank")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    args = parser.parse_args()
    if args.add:
        add(args.add[0], args.add[1], args.add[2:])
        return
    with open(args.rows, encoding="utf-8") as file:
        rows = group([json.loads(line) for line in file])
    model = fit_memory(rows, args.cores)
    c, base = fit_delay(rows)
    show_rows(rows)
    show_gain(rows)
    show_model(model, c, base)
    show_predictions(model, rows, [
        ("cluster", (c or 1.0) * args.latency, args.bandwidth),
        ("1 ms", (c or 1.0) * 1e-3, args.bandwidth)])


if __name__ == "__main__":
    main()
