#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The exercise that quantopt grew from, in PyTorch on the GPU: ten million normal numbers, 3 bits.

    gpu_check_torch.py RESULTS_JSON [--n 10000000] [--device cuda]

Holds it against the results.json of `quantopt_mpi --device cuda --vector_size large --num_bits 3
--approach uniform,non-uniform,easyquant`. The last line sums up. Ends with 1 if ours is worse.

Non-uniform levels are found as the exercise found them: Lloyd steps over all elements, up to 100,
until no level moves by more than 1e-6. PyTorch's times begin with the vector on the GPU; ours have
it copied there.
"""
import argparse
import json
import sys
import time

import numpy as np
import torch

LEVELS = 8
THRESHOLD = 3.0  # standard deviations
MAX_STEPS, TOLERANCE = 100, 1e-6
# Phases of a run that find levels and codes.
PHASES = ("measure", "solve", "encode")


def codes_of(x, levels):
    """The nearest level of each element; the lower one of two at the same distance."""
    return torch.bucketize(x, 0.5 * levels[:-1] + 0.5 * levels[1:])


def lloyd(x):
    levels = torch.linspace(x.min().item(), x.max().item(), LEVELS, dtype=x.dtype, device=x.device)
    for _ in range(MAX_STEPS):
        codes = codes_of(x, levels)
        counts = torch.bincount(codes, minlength=LEVELS)
        sums = torch.bincount(codes, weights=x, minlength=LEVELS)
        new = torch.where(counts > 0, sums / counts.clamp(min=1), levels)
        moved = (new - levels).abs().max().item()
        levels = new
        if moved <= TOLERANCE:
            break
    return levels


def error(x, levels):
    return ((x - levels[codes_of(x, levels)]) ** 2).sum()


def uniform(x):
    return error(x, torch.linspace(-4, 4, LEVELS, dtype=x.dtype, device=x.device))


def non_uniform(x):
    return error(x, lloyd(x))


def easyquant(x):
    kept = x[(x - x.mean()).abs() <= THRESHOLD * x.std(unbiased=False)]
    return error(kept, lloyd(kept))


APPROACHES = {"uniform": uniform, "non-uniform": non_uniform, "easyquant": easyquant}


def synchronize(x):
    if x.is_cuda:
        torch.cuda.synchronize()


def timed(approach, x):
    """Seconds and ||e|| / n. The first call is not timed: it loads the kernels."""
    approach(x[:100000])
    synchronize(x)
    start = time.perf_counter()
    norm = approach(x).sqrt().item() / x.numel()
    return time.perf_counter() - start, norm


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results_json")
    parser.add_argument("--n", type=int, default=10_000_000)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()

    with open(args.results_json, encoding="utf-8") as file:
        document = json.load(file)
    ours = {result["approach"]: result["l2_norm"] for result in document["vectors"][0]["results"]}
    phases = {timing["phase"]: timing["max"] for timing in document["timings"]}
    our_seconds = sum(phases[phase] for phase in PHASES)

    vector = np.random.RandomState(42).standard_normal(args.n)
    x = torch.from_numpy(vector).to(args.device)
    seconds, worse = 0.0, []
    for name, approach in APPROACHES.items():
        took, norm = timed(approach, x)
        seconds += took
        if not ours[name] <= norm * (1 + 1e-9):
            worse.append(name)
        print(f"{name:12} PyTorch {took:9.4f} s, l2_norm {norm:.10e}; ours {ours[name]:.10e}")
    if worse:
        print(f"ours is worse: {', '.join(worse)}")
        sys.exit(1)
    print(
        f"PyTorch {seconds:.3f} s, ours {our_seconds:.3f} s ({seconds / our_seconds:.0f} x), "
        "and no level worse"
    )


if __name__ == "__main__":
    main()
