#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The whole experiment of the exercise behind this project, from vectors to pictures:
#
#   scripts/run_all.sh [DIRECTORY]       results go to DIRECTORY (default: results/run_all)
#
# Its vectors small and large; uniform, non-uniform and easyquant at 3 bits; one process of one
# thread, and as many as there are cores (2 to 8); on the CPU, and on a GPU where one can be used.
# Beyond it, every approach at every width. It ends with the comparison picture, the
# rate-distortion picture, and a table beside what the exercise published and beside the optimum.
#
# A DIRECTORY of an earlier run is moved aside, to DIRECTORY.1, .2 and so on; any other has to be
# empty. The program is build/quantopt_mpi, which is installed for and built if it is missing;
# QUANTOPT_MPI names another one.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

out=$(realpath -m "${1:-$top/results/run_all}")
program=$(realpath -m "${QUANTOPT_MPI:-$top/build/quantopt_mpi}")
cd "$top"
begin=$SECONDS

if [ ! -x "$program" ]; then
    [ -z "${QUANTOPT_MPI:-}" ] ||
        die "$program: no such program; leave QUANTOPT_MPI out to build it"
    say "Installing what is missing, and building into build/"
    scripts/install_deps.sh
    build_release quantopt_mpi
fi
python=$(find_python numpy,h5py,matplotlib)

if [ -n "$(ls -A "$out" 2>/dev/null)" ]; then
    [ -f "$out/commands.txt" ] ||
        die "$out: holds files of others; name another folder, or an empty one"
    aside=1
    while [ -e "$out.$aside" ]; do aside=$((aside + 1)); done
    mv "$out" "$out.$aside"
    say "The earlier results are now in $out.$aside"
fi
mkdir -p "$out"
: >"$out/commands.txt" # also says whose folder this is

# One run: NAME RANKS OPTIONS... Ranks are not bound, and may be more than there are cores.
quantopt() {
    local name=$1 ranks=$2
    shift 2
    local command=(mpirun --oversubscribe --bind-to none -np "$ranks" "$program" "$@"
        --save_dir "$out/$name" --quiet)
    printf '%s\n' "${command[*]}" | tee -a "$out/commands.txt"
    mkdir -p "$out/$name"
    "${command[@]}" >"$out/$name/table.txt" || die "this run failed: ${command[*]}"
}

ranks=$(nproc)
ranks=$((ranks < 2 ? 2 : ranks > 8 ? 8 : ranks))

devices=(cpu)
if reason=$("$program" --device cuda --output none --quiet --save_dir "$out/probe" 2>&1 \
    >/dev/null); then
    devices+=(cuda)
    say "On the CPU and on CUDA, 1 and $ranks ranks"
else
    reason=${reason##*error: }
    say "On the CPU, 1 and $ranks ranks; not on CUDA: ${reason%%;*}" # without the remedy
fi
rm -rf "$out/probe"

runs=()
for vector in small large; do
    for device in "${devices[@]}"; do
        for np in 1 "$ranks"; do
            runs+=("$out/${vector}_${device}_$np")
            quantopt "${vector}_${device}_$np" "$np" --vector_size "$vector" --device "$device" \
                --approach uniform,non-uniform,easyquant --num_bits 3 --threads 1
        done
    done
done
# One file, as the exercise has it: no two of these runs have the same header.
for run in "${runs[@]}"; do cat "$run/results.txt"; done >"$out/results.txt"

say "Every approach at every width: 32 quantizers"
quantopt widths 1 --vector_size large --approach all --num_bits 1,2,3,4,5,6,7,8 --output none

say "Drawing"
for name in "small_cpu_1" "large_cpu_1" widths; do
    "$python" scripts/plot_results.py "$out/$name"
done

say "Comparison, with what the exercise published"
"$python" scripts/compare_runs.py "${runs[@]}" --published --output "$out"

say "Beside the exercise, and beside the optimum"
"$python" scripts/compare_published.py "${runs[@]}" --output "$out"

say "Done in $((SECONDS - begin)) s"
echo "figures          $out/comparison.csv, published.csv, results.txt; results.json of each run"
echo "comparison       $out/comparison.png"
echo "rate-distortion " "$out"/widths/plots/*rate*.png
echo "vectors, levels  $out/small_cpu_1/plots/, $out/large_cpu_1/plots/"
