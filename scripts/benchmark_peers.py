#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds quantopt_mpi against what people use in its place, on the same data in one run.

    benchmark_peers.py [--program build/quantopt_mpi] [--n 1000000] [--bits 3,4] [--threads 2]

Peers: scikit-learn's KMeans, faiss's exact kmeans1d and its Kmeans with default settings,
scipy's kmeans2; scripts/benchmark_peers.sh installs them beside the build and runs this. A peer's
time is that of finding the levels and assigning all values to them; ours is that of measuring,
solving and encoding. All get the same number of threads. The root mean square error is computed
here, in float64, from the levels alone, by the same rule for all.

Exit code 1 if a peer finds better levels than ours, beyond what our certificate allows.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

PARSER = argparse.ArgumentParser(description=__doc__.splitlines()[0])
PARSER.add_argument("--program", default="build/quantopt_mpi")
PARSER.add_argument("--n", type=int, default=1_000_000)
PARSER.add_argument("--bits", default="3,4")
PARSER.add_argument("--threads", type=int, default=2)
OPTIONS = PARSER.parse_args()
# Before the libraries start their threads.
os.environ["OMP_NUM_THREADS"] = str(OPTIONS.threads)

import faiss
import numpy as np
import scipy
import scipy.cluster.vq
import sklearn
import sklearn.cluster

SEED = 42
DISTRIBUTIONS = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "laplace": lambda rng, n: rng.laplace(size=n),
    "student t(2)": lambda rng, n: rng.standard_t(2, n),
}
# An exact dynamic programme over all values needs 12 n k bytes, and seconds a million.
MOST_EXACT = 64e6


def rmse(x, levels):
    """Of each value at its nearest level, whatever the order of the levels."""
    levels = np.sort(np.asarray(levels, np.float64).ravel())
    cuts = 0.5 * levels[:-1] + 0.5 * levels[1:]
    return float(np.sqrt(np.mean((x - levels[np.searchsorted(cuts, x)]) ** 2)))


def ours(x, bits):
    """One run of the program; its own phases, without starting and reading."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.npy")
        np.save(path, x)
        command = [OPTIONS.program, path, "--approach", "non-uniform", "--num_bits", str(bits)]
        command += ["--threads", str(OPTIONS.threads), "--save_dir", folder, "--quiet"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with open(os.path.join(folder, "results.json")) as f:
            run = json.load(f)
    result = run["vectors"][0]["results"][0]
    phases = {phase["phase"]: phase["max"] for phase in run["timings"]}
    seconds = sum(phases[name] for name in ("measure", "solve", "encode"))
    return seconds, result["levels"], result["optimality_gap"]


def scikit_learn(x, k):
    model = sklearn.cluster.KMeans(k, random_state=SEED, n_init="auto").fit(x[:, None])
    return model.cluster_centers_  # Assigning is part of fitting there.


def faiss_exact(x, k):
    levels = np.empty(k, np.float32)
    faiss.kmeans1d(faiss.swig_ptr(x), x.size, k, faiss.swig_ptr(levels))
    assign(x, levels)
    return levels


def faiss_default(x, k):
    kmeans = faiss.Kmeans(1, k, seed=SEED)
    kmeans.train(x[:, None])
    assign(x, kmeans.centroids)
    return kmeans.centroids


def scipy_kmeans2(x, k):
    levels, _ = scipy.cluster.vq.kmeans2(x.astype(np.float64), k, iter=50, minit="++", seed=SEED)
    return levels


def assign(x, levels):
    """Codes, for those that only find levels: by faiss itself."""
    index = faiss.IndexFlatL2(1)
    index.add(np.asarray(levels, np.float32).reshape(-1, 1))
    index.search(x[:, None], 1)


PEERS = {
    "scikit-learn KMeans": scikit_learn,
    "faiss kmeans1d, exact": faiss_exact,
    "faiss Kmeans, default": faiss_default,
    "scipy kmeans2": scipy_kmeans2,
}


def compare(name, x, bits):
    """Prints a block; returns how many peers are better."""
    seconds, levels, gap = ours(x, bits)
    best = rmse(x, levels)
    print(f"\n{name}, {x.size} float32, {bits} bits")
    print(f"  {'':22} {'seconds':>10} {'x ours':>9} {'rmse':>14} {'above ours':>11}")
    print(f"  {'quantopt':22} {seconds:10.4f} {1:9.1f} {best:14.8e} (gap {gap:.1e})")
    better = 0
    for peer, find in PEERS.items():
        if peer == "faiss kmeans1d, exact" and x.size << bits > MOST_EXACT:
            print(f"  {peer:22} {'left out: needs too much memory':>40}")
            continue
        start = time.perf_counter()
        found = find(x, 2**bits)
        taken = time.perf_counter() - start
        error = rmse(x, found)
        better += error < best / (1 + gap)
        print(f"  {peer:22} {taken:10.4f} {taken / seconds:9.1f} {error:14.8e} {error / best - 1:11.2e}")
    return better


def main():
    print(
        f"scikit-learn {sklearn.__version__}, faiss {faiss.__version__}, scipy {scipy.__version__},"
        f" {OPTIONS.threads} threads"
    )
    better = 0
    for name, draw in DISTRIBUTIONS.items():
        x = draw(np.random.default_rng(SEED), OPTIONS.n).astype(np.float32)
        for bits in map(int, OPTIONS.bits.split(",")):
            better += compare(name, x, bits)
    if better:
        sys.exit(f"{better} times a peer was better than the certificate allows")
    print("\nno peer found better levels")


if __name__ == "__main__":
    main()
