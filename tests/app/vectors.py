# SPDX-License-Identifier: Apache-2.0
"""Inputs made for the tests: every element type, sizes around the blocks of 65,536, and values
that are hard."""
import h5py
import numpy as np

import harness

SIZES = (1, 2, 10, harness.BLOCK - 1, harness.BLOCK, harness.BLOCK + 1, 3 * harness.BLOCK + 7)
HDF5_TYPES = ("float16", "float32", "float64")


def heavy_tailed(n, seed):
    return np.random.RandomState(seed).standard_t(3, n)


def nasty(dtype):
    """Signed zeros, subnormals, extremes and ties, repeated past a block."""
    kind = np.finfo(dtype)
    few = np.array(
        [
            0.0,
            -0.0,
            kind.smallest_subnormal,
            -kind.smallest_subnormal,
            kind.tiny,
            kind.eps,
            1,
            -1,
            0.5,
            -0.5,
            2,
            3,
            1 + kind.eps,
            1 - kind.eps,
        ],
        dtype,
    )
    return np.tile(few, harness.BLOCK // few.size + 3)


def write_hdf5(path):
    """A dataset for each type and size; nasty ones; one with NaN payloads and infinities; one with
    fill values."""
    with h5py.File(path, "w") as f:
        for dtype in HDF5_TYPES:
            for seed, n in enumerate(SIZES):
                f[f"{dtype}/n{n}"] = heavy_tailed(n, seed).astype(dtype)
            f[f"{dtype}/nasty"] = nasty(dtype)
            f[f"{dtype}/constant"] = np.full(100, 0.1, dtype)
        f["swapped"] = heavy_tailed(1000, 31).astype(">f4").reshape(10, 100)
        f.create_dataset(
            "chunked",
            data=heavy_tailed(70000, 32).reshape(7, 100, 100).astype("f4"),
            chunks=(2, 33, 64),
            compression="gzip",
            shuffle=True,
        )
        f["offset"] = 300 + 0.001 * heavy_tailed(harness.BLOCK + 5, 33)
        f["nonfinite"] = with_nonfinite(np.float32)
        f["scalar"] = np.float32(2.5)
        fills = heavy_tailed(harness.BLOCK + 100, 34).astype("f4")
        fills[::7] = 1e20
        f["fills"] = fills
        f["fills"].attrs["_FillValue"] = np.float32(1e20)


def with_nonfinite(dtype):
    """NaN of both signs and several payloads, and infinities, in known places."""
    x = heavy_tailed(harness.BLOCK + 300, 35).astype(dtype)
    bits = x.view({2: np.uint16, 4: np.uint32, 8: np.uint64}[x.dtype.itemsize])
    quiet = int(np.array([np.nan], dtype).view(bits.dtype)[0])
    top = 1 << (8 * x.dtype.itemsize - 1)
    bits[7], bits[50], bits[harness.BLOCK] = quiet, quiet | 5, quiet | top | 1
    x[51], x[harness.BLOCK + 299] = np.inf, -np.inf
    return x


def write_bfloat16(path):
    harness.write_safetensors(
        path,
        {
            f"bf16.n{n}": ("BF16", (n,), harness.to_bfloat16(heavy_tailed(n, seed)).tobytes())
            for seed, n in enumerate(SIZES)
        },
    )
