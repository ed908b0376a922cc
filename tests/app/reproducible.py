#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same bits on any number of ranks, threads and SIMD levels; and the independent check accepts
them."""
import os
import unittest

import h5py

import harness
import vectors

STEPS = 8 if harness.SANITIZED else 25
COMMON = ["--approach", "all,af4,max7", "--nonfinite", "keep"]
LLOYD = ["--solver", "lloyd", "--init", "quantile", "--max_iterations", STEPS]

# Real files, where they are there: HDF5 of several layouts, NetCDF-4, .npy and safetensors.
REAL = (
    "weights/oarriaga__face_classification/fer2013_mini_XCEPTION.119-0.65.hdf5",
    "weights/keunwoochoi__music-auto_tagging-keras/music_tagger_crnn_weights_tensorflow.h5",
    "weights/vlawhern__arl-eegmodels/EEGNet-8-2-weights.h5",
    "weights/snakers4__silero-vad/silero_vad_16k.safetensors",
    "weights/tracel-ai__burn/mnist.safetensors",
    "science/openPMD__openPMD-example-datasets/example-femm-thetaMode.h5",
    "science/SciTools__iris-sample-data/hybrid_height.nc",
    "science/SciTools__iris-sample-data/toa_brightness_stereographic.nc",
    "science/SciTools__iris-sample-data/atlantic_profiles.nc",
    "science/krischer__instaseis/ordered_output.nc4",
    "science/tomopy__tomopy/tooth.h5",
    "science/MDAnalysis__mdanalysis/cu.h5md",
    "science/mdtraj__mdtraj/frame0.h5",
    "science/BlueBrain__NeuroM/bio_neuron-000.h5",
    "science/scverse__scanpy/regress_test_small.npy",
    "embeddings/MLField1__ashRAG/embeddings.npy",
    "embeddings/RaRe-Technologies__gensim/doc2vec_old_sep.syn1neg.npy",
)


def sources(result_file, inputs):
    """vector name -> FILE[:PART], from where its name is found among the inputs."""
    with h5py.File(result_file, "r") as f:
        names = []
        f["vectors"].visititems(
            lambda name, node: names.append(name) if "num_elements" in node.attrs else None
        )
    found = {}
    for name in names:
        for path in inputs:
            stem = os.path.splitext(os.path.basename(path))[0]
            plain = name[len(stem) + 1 :] if name.startswith(stem + "/") else name
            if path.endswith(".npy"):
                if name == stem or plain == stem:
                    found[name] = path
            elif path.endswith(".safetensors") or h5_has(path, plain):
                found.setdefault(name, f"{path}:{plain}")
    return found


def h5_has(path, name):
    with h5py.File(path, "r") as f:
        return name in f


class Generated(harness.Case):
    """One run over all the made vectors is the standard; every other way to run has to equal it."""

    def setUp(self):
        super().setUp()
        self.h5, self.bf16 = self.path("made.h5"), self.path("brain.safetensors")
        vectors.write_hdf5(self.h5)
        vectors.write_bfloat16(self.bf16)

    def make_standard(self):
        return self.quantize("standard.h5", 0, 1, "portable")

    def quantize(self, name, np_, threads, simd=None, bits="3", more=()):
        output = self.path(name)
        self.good(
            [
                self.h5,
                self.bf16,
                *COMMON,
                *more,
                "--num_bits",
                bits,
                "--threads",
                threads,
                "--save_dir",
                self.dir,
                "--output",
                output,
                "--quiet",
            ],
            np_,
            env={"QUANTOPT_SIMD": simd} if simd else None,
            timeout=400,
        )
        return output


class Standard(Generated):
    def test_a_result_is_wrong_or_depends_on_ranks_or_threads(self):
        standard = self.make_standard()
        self.checked(standard, **sources(standard, [self.h5, self.bf16]))
        for np_, threads in ((1, 2), (2, 1), (2, 2), (3, 1), (8, 1), (8, 2)):
            with self.subTest(np=np_, threads=threads):
                self.equal_results(standard, self.quantize(f"{np_}_{threads}.h5", np_, threads))

    def test_lloyd_steps_depend_on_ranks_or_levels(self):
        standard = self.quantize("standard.h5", 0, 1, "portable", more=LLOYD)
        self.checked(standard, **sources(standard, [self.h5, self.bf16]))
        self.equal_results(standard, self.quantize("lloyd3.h5", 3, 1, more=LLOYD))

    def test_a_best_range_depends_on_the_ranks(self):
        more = ["--range", "optimal", "--gap", "1e-6"]
        one = self.quantize("one.h5", 0, 2, bits="2,4", more=more)
        self.checked(one, **sources(one, [self.h5, self.bf16]))
        self.equal_results(one, self.quantize("three.h5", 3, 1, bits="2,4", more=more))

    def test_a_bit_width_is_wrong_or_depends_on_the_ranks(self):
        bits = "1,2,4,5,6,7,8"
        one = self.quantize("one.h5", 0, 2, bits=bits)
        self.checked(one, **sources(one, [self.h5, self.bf16]))
        self.equal_results(one, self.quantize("three.h5", 3, 1, bits=bits))

    def test_a_drawn_vector_depends_on_the_ranks(self):
        for kind in ("normal", "laplace", "uniform", "lognormal"):
            for dtype in ("float32", "bfloat16"):
                files = []
                for np_ in (0, 3):
                    files.append(self.path(f"{kind}_{dtype}_{np_}.h5"))
                    self.good(
                        [
                            "--generate",
                            f"{kind}:200K",
                            "--dtype",
                            dtype,
                            "--approach",
                            "all",
                            "--save_dir",
                            self.dir,
                            "--output",
                            files[-1],
                            "--quiet",
                        ],
                        np_,
                    )
                self.equal_results(*files)


class Level(Generated):
    """A SIMD level against the portable code."""

    def one_level(self, level):
        if not harness.cpu_has(level):
            self.skipTest(f"this processor has no {level}")
        standard = self.make_standard()
        for np_, threads in ((0, 2), (3, 1)):
            with self.subTest(np=np_, threads=threads):
                self.equal_results(
                    standard, self.quantize(f"{level}_{np_}.h5", np_, threads, level)
                )


class Avx2(Level):
    def test_avx2_changes_a_bit(self):
        self.one_level("avx2")


class Avx512(Level):
    def test_avx512_changes_a_bit(self):
        self.one_level("avx512")


class Files(harness.Case):
    """Each real file on 1, 2, 3 and 8 ranks."""

    def compare(self, path):
        files = []
        for np_, threads in ((0, 2), (2, 1), (3, 1), (8, 1)):
            files.append(self.path(f"np{np_}.h5"))
            self.good(
                [
                    path,
                    *COMMON,
                    "--threads",
                    threads,
                    "--save_dir",
                    self.dir,
                    "--output",
                    files[-1],
                    "--quiet",
                ],
                np_,
                timeout=300,
            )
        self.checked(files[0], **sources(files[0], [path]))
        for other in files[1:]:
            self.equal_results(files[0], other)


class Real(Files):
    def test_the_shipped_file_depends_on_the_ranks(self):
        self.compare(harness.SHIPPED)


class Shared(Files):
    def test_a_real_file_depends_on_the_ranks(self):
        there = [
            path
            for path in (os.path.join(harness.DATA, part) for part in REAL)
            if os.path.exists(path)
        ]
        if not there:
            raise unittest.SkipTest(f"no folder {harness.DATA} of real files")
        for path in there:
            with self.subTest(os.path.basename(path)):
                self.compare(path)


if __name__ == "__main__":
    harness.main()
