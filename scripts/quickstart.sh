#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a fresh clone to quantized, checked, restored and plotted vectors:
#
#   scripts/quickstart.sh [DIRECTORY]       results go to DIRECTORY (default: results/quickstart)
#
# Installs what is missing (Debian, Ubuntu), builds into build/, and runs the main job on two ranks.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"
cd "$top"
out=${1:-results/quickstart}

say "Installing what is missing"
scripts/install_deps.sh
python=$(find_python numpy,h5py,matplotlib)

say "Building into build/"
build_release quantopt_mpi quantopt_bench

# Two ranks even where mpirun counts one slot; not bound, so that a rank may use its share of the
# cores.
quantopt() {
    local command=(mpirun --oversubscribe --bind-to none -np 2 build/quantopt_mpi "$@")
    printf '$ %s\n' "${command[*]}" >&2
    "${command[@]}"
}

weights=data/EEGNet-8-2-weights.h5
mkdir -p "$out"

say "Ten values"
quantopt --vector_size small --approach all --num_bits 3 --save_dir "$out/small"
say "Ten million normal values"
quantopt --vector_size large --approach all --num_bits 2,3,4 --save_dir "$out/large"
say "The weights of a small neural network ($weights); all of its table is in $out/weights/table"
mkdir -p "$out/weights"
quantopt "$weights" --include 'model_weights/*' --approach all --num_bits 2,3,4,6,8 \
    --save_dir "$out/weights" --quiet >"$out/weights/table"
grep -E '^vector|kernel:0 .* 4 ' "$out/weights/table"
say "Giving the weights back from 4-bit codes and exact outliers"
quantopt --restore "$out/weights/quantized.h5" --result easyquant_4bit \
    --output "$out/weights/restored.h5" --quiet

say "Checking all of it with NumPy, against vectors that NumPy makes or reads itself"
"$python" - "$out" <<'PYTHON'
import sys
import numpy as np
np.save(sys.argv[1] + "/small/small.npy", [3.2, -1.4, 2.5, -0.9, 1.8, -3.7, 0.0, 4.0, 2.2, -1.3])
np.save(sys.argv[1] + "/large/large.npy", np.random.RandomState(42).standard_normal(10_000_000))
PYTHON
check=(env PYTHONDONTWRITEBYTECODE=1 "$python" tests/app/check_result.py --quiet)
"${check[@]}" "$out/small/quantized.h5" --input "small=$out/small/small.npy"
"${check[@]}" "$out/large/quantized.h5" --input "large=$out/large/large.npy"
mapfile -t inputs < <("$python" - "$out/weights/quantized.h5" "$weights" <<'PYTHON'
import sys
import h5py
with h5py.File(sys.argv[1]) as f:
    f["vectors"].visititems(lambda name, node: print(f"--input={name}={sys.argv[2]}:{name}")
                            if "num_elements" in node.attrs else None)
PYTHON
)
"${check[@]}" "$out/weights/quantized.h5" "${inputs[@]}" \
    --restored "$out/weights/restored.h5" --result easyquant_4bit
rm -f "$out/small/small.npy" "$out/large/large.npy"

say "Drawing, and a page of each run"
for name in small large weights; do
    "$python" scripts/plot_results.py "$out/$name" --most 3
    "$python" scripts/report.py "$out/$name" --most 3
done

say "Done: everything was written, read back, checked from outside and restored"
echo "results    $out/{small,large,weights}/ (quantized.h5, results.txt, results.json, logs.txt)"
echo "plots      $out/{small,large,weights}/plots/"
echo "to read    $out/{small,large,weights}/report.html"
echo "next       build/quantopt_mpi --help"
