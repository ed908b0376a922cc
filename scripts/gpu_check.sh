#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The first command on a machine with a GPU, some three minutes long: the kernels against the CPU's,
# whole runs against those on the CPU bit for bit, NCCL, and speed against the device's own copies.
#
#   scripts/gpu_check.sh [OPTION...]        in a source tree, of what is in build/
#   BUNDLE/gpu_check.sh [OPTION...]         where there is no MPI (scripts/bundle.sh --gpu-check)
#
#   --quick              the same as --n 100M
#   --n N                elements of the largest benchmark, and the most of any other vector but the
#                        built-in ones; K, M, G = 10^3, 10^6, 10^9 (default 1G, or what memory has
#                        room for)
#   --only PATTERN       only the checks of such names, such as 'speed*'; may be given several times
#   --logs DIRECTORY     what every check printed (default: build/gpu_check, or beside this file)
#   --help
#
# The table has a row a check:
#   ok         as it should be
#   FAILED     wrong, or not done in its time
#   slow       right, and below its target: of the GB/s of a copy in the device's memory, measured
#              beside it, 80 % by assign and encode, 50 % by measure, for normal float32 numbers.
#              Other benchmarks have no target.
#   skipped    not possible here; the row says why
# Exit code: 0 all rows ok or skipped; 1 a check failed; 2 none failed and one was slow; 69 no GPU.
#
# The environment may name another QUANTOPT_MPI and QUANTOPT_BENCH, the folder of the kernel tests
# (QUANTOPT_KERNEL_TESTS), a folder of real files (QUANTOPT_DATA) and NCCL (QUANTOPT_NCCL).
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 1

usage() { sed -n '3,28s/^# \{0,1\}//p' "$0"; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$2" >&2
    exit "$1"
}

# --- what is checked ---

# The programs, and how several ranks of one are started.
if [ -x "$here/run.sh" ]; then
    in_bundle=1 data=$here/data logs=$here/gpu_check
    mpi=quantopt_mpi bench=$here/bin/quantopt_bench kernel_tests=$here/bin
else
    in_bundle='' data=$here/../data logs=$here/../build/gpu_check build=$here/../build
    mpi=$build/quantopt_mpi bench=$build/quantopt_bench kernel_tests=$build/tests/kernels
fi
mpi=${QUANTOPT_MPI:-$mpi}
bench=${QUANTOPT_BENCH:-$bench}
kernel_tests=${QUANTOPT_KERNEL_TESTS:-$kernel_tests}
data_more=${QUANTOPT_DATA:-$here/../../shared/data}

# Open MPI refuses to start for root unless it is told twice; and ranks that wait shall give way.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1

elements=1000000000 only=()

# Sets elements from a number with K, M or G behind it.
parse_elements() {
    [[ $1 =~ ^([1-9][0-9]{0,11})([KMG]?)$ ]] || die 64 "--n $1: not a number of elements"
    case ${BASH_REMATCH[2]} in
    K) elements=$((BASH_REMATCH[1] * 1000)) ;;
    M) elements=$((BASH_REMATCH[1] * 1000000)) ;;
    G) elements=$((BASH_REMATCH[1] * 1000000000)) ;;
    *) elements=${BASH_REMATCH[1]} ;;
    esac
}

# The smaller of two numbers.
least() { echo $(($1 < $2 ? $1 : $2)); }

# Elements of float32 that the host has memory for: the vector, its copy and its codes, 8.4 bytes
# each. A container's limit is not in MemAvailable.
most_elements() {
    local bytes limit
    bytes=$(($(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo) * 1024))
    limit=$(cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null)
    [[ $limit =~ ^[0-9]+$ ]] || limit=$bytes
    echo $(($(least "$bytes" "$limit") / 10))
}

# --- checks and their rows ---

slow_code=76 skip_code=77 count=0

# A check is a function in a shell of its own. One of these ends it, and what it is given is the
# row's figure.
ok() { echo "$*" >&3 && exit 0; }
fail() { echo "$*" >&3 && exit 1; }
slow() { echo "$*" >&3 && exit "$slow_code"; }
skip() { echo "$*" >&3 && exit "$skip_code"; }

# run_check NUMBER NAME FUNCTION [ARGUMENT...]: writes the check's log and its row.
run_check() {
    local name=$2 code=0 row log result figure
    printf -v row '%02d' "$1"
    log=$logs/${row}_${name//[^a-zA-Z0-9]/_}.log
    shift 2
    ("$@") >"$log" 2>&1 3>"$work/$row.figure" || code=$?
    figure=$(head -n 1 "$work/$row.figure")
    case $code in
    0) result=ok ;;
    "$slow_code") result=slow ;;
    "$skip_code") result=skipped ;;
    *)
        result=FAILED
        figure+=$(grep -o 'error: .*' "$log" | tail -n 1 | cut -c 6-120)
        # Of a check that came to its end unforeseen, its last words.
        figure=${figure:-$(tail -n 1 "$log" | cut -c 1-90)}
        ;;
    esac
    printf '%-36s %-8s %s\n' "$name" "$result" "$figure" >"$work/$row.row"
    printf '  %s: %s\n' "$name" "$result" >&2
}

# is_wanted NAME: whether --only lets it through; counts it if so.
is_wanted() {
    local pattern
    for pattern in "${only[@]}"; do
        # shellcheck disable=SC2053 # a pattern
        if [[ $1 == $pattern ]]; then
            count=$((count + 1))
            return 0
        fi
    done
    return 1
}

# check NAME FUNCTION [ARGUMENT...]
check() {
    if is_wanted "$1"; then
        run_check "$count" "$@"
    fi
}

# The same, beside others; wait waits for them.
check_beside() {
    if is_wanted "$1"; then
        run_check "$count" "$@" &
    fi
}

# limited SECONDS COMMAND...: no command may hang.
limited() {
    local seconds=$1 code=0
    shift
    echo "\$ $*" >&2
    timeout -k 5 "$seconds" "$@" || code=$?
    if [ "$code" = 124 ] || [ "$code" = 137 ]; then
        fail "not done in $seconds s: ${1##*/}"
    fi
    return "$code"
}

# python_with STATEMENTS: the first Python that can do them: one of the user's own often lacks
# modules.
python_with() {
    local python
    for python in python3 /usr/bin/python3; do
        if timeout 60 "$python" -c "$1" >/dev/null 2>&1; then
            command -v "$python"
            return
        fi
    done
    return 1
}

# --- the machine ---

check_system() {
    local name
    uname -a
    name=$(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release)
    ok "$name, $(getconf GNU_LIBC_VERSION), $(nproc) cores," \
        "$(awk '/^MemTotal:/ { printf "%d", $2 / 1048576 }' /proc/meminfo) GiB"
}

check_gpu() {
    [ -n "$gpus" ] || skip "no nvidia-smi that lists a GPU"
    limited 20 nvidia-smi || true
    ok "$num_gpus x $(limited 20 nvidia-smi --query-gpu=name,driver_version,memory.total \
        --format=csv,noheader | head -n 1)"
}

check_shared_memory() {
    df -h /dev/shm || skip "no /dev/shm: ranks share files in /tmp"
    ok "$(df -h --output=size /dev/shm | tail -n 1 | tr -d ' ')"
}

# The last bit of its flags says whether an interface is up. mpirun needs it.
is_up() { (($(cat /sys/class/net/lo/flags) & 1)); }

check_loopback() {
    is_up && ok "up"
    ip link set lo up
    is_up && ok "was down, set up"
    fail "down, and cannot be set up; as root: ip link set lo up"
}

# Prints the path of NCCL: the one given, the system's, that of Python's package, any.
find_nccl() {
    local path=${QUANTOPT_NCCL:-}
    [ -e "$path" ] ||
        path=$(ldconfig -p 2>/dev/null | awk '$1 == "libnccl.so.2" { print $NF; exit }')
    [ -e "$path" ] ||
        path=$(timeout 20 python3 -c 'import nvidia.nccl as n; print(*n.__path__)')/lib/libnccl.so.2
    [ -e "$path" ] ||
        path=$(timeout 20 find /usr /opt "${HOME:-/root}" -name libnccl.so.2 -print -quit)
    echo "$path"
}

check_nccl_found() {
    [ -n "$nccl" ] || skip "no libnccl.so.2 found; QUANTOPT_NCCL may name one"
    ok "$nccl"
}

# --- kernels ---

# How many tests a program of cmocka passed.
count_passed() { sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' <<<"$1"; }

check_kernels() {
    local out passed
    [ -x "$1" ] || skip "no tests in $kernel_tests"
    out=$(QUANTOPT_TEST_BACKEND=cuda limited 150 "$1" 2>&1) || {
        printf '%s\n' "$out"
        fail "$(grep -m 1 '^\[  FAILED  \]' <<<"$out" || tail -n 1 <<<"$out")"
    }
    printf '%s\n' "$out"
    passed=$(count_passed "$out")
    [ "${passed:-0}" -gt 0 ] || fail "no test was run"
    ok "$passed tests"
}

# What a slow tool looks at: of each program tests of a few blocks, with every type of element.
sanitized=(
    'test_assign_encode *block_boundary*' 'test_measure *blocks*'
    'test_score_tables *score_differs*'
)

check_sanitizer() {
    local tool=$1 sanitizer pair program filter code out found
    sanitizer=$(command -v compute-sanitizer || command -v /usr/local/cuda/bin/compute-sanitizer) ||
        skip "no compute-sanitizer on this machine"
    for pair in "${sanitized[@]}"; do
        read -r program filter <<<"$pair"
        [ -x "$kernel_tests/$program" ] || skip "not built: $kernel_tests/$program"
        code=0
        # A failed allocation is no error of a program that goes on with less.
        out=$(QUANTOPT_TEST_BACKEND=cuda QUANTOPT_TEST_FILTER=$filter timeout -k 5 40 \
            "$sanitizer" --tool "$tool" --report-api-errors no --error-exitcode 99 \
            "$kernel_tests/$program" 2>&1) || code=$?
        printf '%s\n' "$out"
        found=$(grep '^=========' <<<"$out" | grep -v 'COMPUTE-SANITIZER$' | tail -n 1)
        if [ "$code" = 124 ] || [ "$code" = 137 ]; then
            [ -n "$found" ] || skip "nothing found in 40 s, and not done: $program"
        fi
        [ "$code" = 0 ] || fail "$program: ${found:-ended with $code}"
        [ "$(count_passed "$out")" != 0 ] || fail "no test of $program was run"
    done
    ok "${#sanitized[@]} programs"
}

# --- whole runs ---

# quantize DIRECTORY DEVICE RANKS ARGUMENT...: writes results to DIRECTORY; 0 ranks: no mpirun.
quantize() {
    local directory=$1 device=$2 ranks=$3 launcher=()
    shift 3
    if [ -n "$in_bundle" ]; then
        launcher=("$here/run.sh" "$ranks")
    elif [ "$ranks" != 0 ]; then
        launcher=(mpirun --oversubscribe --bind-to none -np "$ranks")
    fi
    limited 90 "${launcher[@]}" "$mpi" "$@" --device "$device" --save_dir "$directory" --quiet
}

# What results.json says of the vectors, times aside: figures, levels, digests of codes.
vectors_of() { sed -n '/^ "vectors": \[/,/^ \]/p' "$1/results.json" | grep -v '_seconds"'; }

# compare_files CPU GPU: whether result files have the same below /vectors, times aside.
compare_files() {
    "$h5_python" - "$1/quantized.h5" "$2/quantized.h5" <<'PYTHON'
import sys
import h5py
import numpy as np


def contents(path):
    found = {}

    def visit(name, node):
        for key, value in node.attrs.items():
            if key not in ("solve_seconds", "encode_seconds"):
                value = np.asarray(value)
                found[f"{name}@{key}"] = (str(value.dtype), value.shape, value.tobytes())
        if isinstance(node, h5py.Dataset):
            found[name] = (str(node.dtype), node.shape, np.asarray(node[()]).tobytes())

    with h5py.File(path, "r") as file:
        visit("", file["vectors"])
        file["vectors"].visititems(visit)
    return found


one, other = contents(sys.argv[1]), contents(sys.argv[2])
different = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
print(f"{len(one)} datasets and attributes; different: {different[:8]}")
sys.exit(bool(different))
PYTHON
}

# equal_results CPU GPU: fails, or sets `results` to the number of results compared.
equal_results() {
    results=$(vectors_of "$1" | grep -c '"digest": "')
    [ "$results" -gt 0 ] || fail "no results in $1/results.json"
    grep -q '^ "device": "cuda"' "$2/results.json" || fail "it did not run on the GPU"
    diff <(vectors_of "$1") <(vectors_of "$2") || fail "figures, levels or codes differ"
    if [ -n "$h5_python" ]; then
        compare_files "$1" "$2" || fail "the result files differ"
    fi
}

# check_results "RANKS..." ARGUMENT...: the same bits on the CPU and, with each number of ranks, on
# the GPU.
check_results() {
    local all=$1 ranks folder results=0
    shift
    folder=$(mktemp -d "$work/XXXXXX")
    quantize "$folder/cpu" cpu 0 "$@" || fail "the CPU's run ended with $?"
    for ranks in $all; do
        if [ "$ranks" != 0 ] && [ -z "$in_bundle" ] && ! command -v mpirun; then
            skip "no mpirun"
        fi
        quantize "$folder/gpu" cuda "$ranks" "$@" || fail "$ranks ranks: the run ended with $?"
        equal_results "$folder/cpu" "$folder/gpu"
        rm -rf "$folder/gpu"
    done
    rm -rf "$folder"
    ok "$results results, bit for bit"
}

# Real files that the program takes, the small ones: many vectors take their time.
real_files() {
    local file
    while IFS= read -r file; do
        if is_taken "$file"; then
            echo "$file"
        fi
    done < <(find "$data" "$data_more/weights" "$data_more/embeddings" -type f -size -3M \
        \( -name '*.h5' -o -name '*.hdf5' -o -name '*.npy' -o -name '*.safetensors' \) \
        2>/dev/null | sort)
}

is_taken() { quantize "$work" cpu 0 "$1" --dry_run >/dev/null 2>&1 </dev/null; }

check_real() {
    local files
    mapfile -t files < <(real_files)
    [ ${#files[@]} -gt 0 ] || skip "no files in data/ or QUANTOPT_DATA"
    check_results 0 "${files[@]}" --nonfinite keep --approach all --num_bits 4
}

check_large() {
    [ "$elements" -ge 10000000 ] || skip "--n is below its ten million elements"
    check_results 0 --vector_size large --approach all --num_bits 3,4
}

# --- NCCL ---

check_nccl_alone() {
    local folder
    [ -n "$nccl" ] || skip "no libnccl.so.2 found"
    folder=$(mktemp -d "$work/XXXXXX")
    quantize "$folder/cpu" cpu 0 "${drawn[@]}" || fail "the CPU's run ended with $?"
    QUANTOPT_NCCL=$nccl quantize "$folder/gpu" cuda "$1" "${drawn[@]}" --comm nccl 2>&1 |
        tee "$folder/out" || skip_unbuilt "$folder/out" "the run ended with $?"
    grep -q '^ "comm": "nccl"' "$folder/gpu/results.json" || fail "it did not add up over NCCL"
    equal_results "$folder/cpu" "$folder/gpu"
    ok "$results results, bit for bit"
}

# A build without NCCL is no failure; all else is.
skip_unbuilt() {
    grep -q 'nccl: not in this build' "$1" && skip "this build has no NCCL"
    fail "$2"
}

check_nccl_refuses() {
    local code=0 one=${CUDA_VISIBLE_DEVICES:-0} out=$work/refused
    CUDA_VISIBLE_DEVICES=${one%%,*} QUANTOPT_NCCL=$nccl \
        quantize "$work/none" cuda 2 "${drawn[@]}" --comm nccl >"$out" 2>&1 || code=$?
    cat "$out"
    if [ "$code" = 69 ] && grep -q 'quantopt_mpi: error: .*share the GPU' "$out"; then
        ok "69, and says that they share the GPU"
    fi
    skip_unbuilt "$out" "ended with $code"
}

# --- speed ---

# column FILE SHAPE ROW COLUMN: what a table of quantopt_bench has there.
column() {
    awk -v shape=", $2," -v row="$3" -v column="$4" \
        '/^[0-9]+ x / { on = index($0, shape) } on && $1 == row { print $column; exit }' "$1"
}

# What is told of a shape: each row's fraction of a copy.
fractions() {
    local row value text=''
    for row in measure encode assign decode; do
        value=$(column "$1" "$2" "$row" 6)
        [ -n "$value" ] || fail "no row $row for $2"
        text+="$row ${value%\%} %, "
    done
    echo "${text%, }"
}

# check_speed FILE ARGUMENT...: measures and keeps the tables in FILE, for rows that tell of them.
check_speed() {
    local file=$1 code=0 text
    shift
    limited 150 "$bench" --device cuda "$@" >"$file" || code=$?
    cat "$file"
    [ "$code" = 0 ] || fail "quantopt_bench ended with $code"
    text="a copy $(column "$file" normal copy 4) GB/s, a job $(column "$file" normal job 3) s"
    grep -q 'it is streamed' "$file" && text+="; streamed: no room on the device"
    ok "$(sed 1q "$file" | cut -d , -f 1), $text"
}

# check_target FILE ROW PERCENT: slow, where the row of normal numbers is below that of a copy.
check_target() {
    local value text
    [ -s "$1" ] || skip "the benchmark failed"
    value=$(column "$1" normal "$2" 6)
    value=${value%\%}
    [ -n "$value" ] || fail "no row $2"
    text="$value % of a copy, $(column "$1" normal "$2" 4) GB/s; target $3 %"
    awk -v value="$value" -v target="$3" 'BEGIN { exit !(value >= target) }' || slow "$text"
    ok "$text"
}

check_shape() {
    local text
    [ -s "$1" ] || skip "the benchmark failed"
    text=$(fractions "$1" "$2") || exit 1
    ok "$text"
}

# Another type or width, at the size of the shapes.
check_variant() {
    local file=$work/variant.$1$2 text
    limited 60 "$bench" --device cuda --n "$shape_elements" --dtype "$1" --bits "$2" >"$file" ||
        fail "quantopt_bench ended with $?"
    cat "$file"
    text=$(fractions "$file" normal) || exit 1
    ok "$text"
}

# The exercise that this project grew from, in PyTorch on the same GPU.
check_exercise() {
    local ours=$work/exercise python text
    [ "$elements" -ge 10000000 ] || skip "--n is below its ten million elements"
    python=$(python_with 'import numpy, torch; assert torch.cuda.is_available()') ||
        skip "no python3 with numpy and a torch that sees a GPU"
    quantize "$ours" cuda 0 --vector_size large --num_bits 3 --output none \
        --approach uniform,non-uniform,easyquant || fail "our run ended with $?"
    text=$(limited 90 "$python" "$here/gpu_check_torch.py" "$ours/results.json") ||
        fail "$(tail -n 1 <<<"$text")"
    printf '%s\n' "$text"
    ok "$(tail -n 1 <<<"$text")"
}

# --- the whole ---

while [ $# != 0 ]; do
    case $1 in
    --quick) elements=100000000 ;;
    --n)
        parse_elements "${2:-}"
        shift
        ;;
    --only)
        [ -n "${2:-}" ] || die 64 "--only needs a pattern"
        only+=("$2")
        shift
        ;;
    --logs)
        [ -n "${2:-}" ] || die 64 "--logs needs a folder"
        logs=$2
        shift
        ;;
    --help)
        usage
        exit
        ;;
    *)
        die 64 "$1: no such option; see --help"
        ;;
    esac
    shift
done

[ ${#only[@]} != 0 ] || only=('*')
[ -x "$bench" ] || die 1 "$bench is not there; build it first: cmake --build build"

# The benchmark knows why there is no GPU; where nvidia-smi lists one, it is to be checked.
gpus=$(timeout 20 nvidia-smi -L 2>/dev/null | grep '^GPU ')
num_gpus=$(grep -c . <<<"$gpus")
if [ -z "$gpus" ]; then
    reason=$(timeout 60 "$bench" --device cuda --n 1 2>&1 >/dev/null)
    [ $? != 69 ] || die 69 "no GPU: ${reason#*error: --device cuda: }"
fi

begin=$SECONDS
mkdir -p "$logs" && logs=$(cd "$logs" && pwd) || exit 1
rm -f "$logs"/[0-9][0-9]_*.log
work=$(mktemp -d) || exit 1
trap 'jobs -p | xargs -r kill 2>/dev/null; rm -rf "$work"' EXIT
elements=$(least "$elements" "$(most_elements)")
shape_elements=$(least "$elements" $((1 << 27)))
drawn_elements=$(least "$elements" 3000000)
drawn=(--generate "normal:$drawn_elements" --approach all --num_bits "3,8")
nccl=$(find_nccl 2>/dev/null)
h5_python=$(python_with 'import h5py, numpy')

check "system" check_system
check "GPU" check_gpu
check "NCCL" check_nccl_found
check "/dev/shm" check_shared_memory
check "loopback interface" check_loopback

for name in "$kernel_tests"/test_*; do
    check_beside "kernels: ${name##*/}" check_kernels "$name"
done
for name in memcheck racecheck initcheck synccheck; do
    check_beside "compute-sanitizer: $name" check_sanitizer "$name"
done
wait

check "results: small" check_results 0 --vector_size small --approach all --num_bits 1,2,3,8
check "results: large" check_large
for name in float16 bfloat16 float64; do
    check "results: normal $name" check_results 0 --generate "normal:$drawn_elements" \
        --dtype "$name" --approach all --num_bits 3,8
done
check "results: normal float32, ranks 1 2 4" check_results "0 2 4" "${drawn[@]}"
check "results: lognormal" check_results 0 --generate "lognormal:$drawn_elements" \
    --approach all --num_bits 4
check "results: many outliers" check_results 0 --generate "normal:$drawn_elements" \
    --approach easyquant,easyquant-uniform --threshold 1 --num_bits 2,4
check "results: Lloyd steps, ranks 1 2 4" check_results "0 2 4" \
    --generate "laplace:$drawn_elements" --num_bits 3 --approach non-uniform,easyquant \
    --solver lloyd --init quantile --max_iterations 20
check "results: real files" check_real

check "NCCL: one rank" check_nccl_alone 0
check "NCCL: two ranks on one GPU" check_nccl_refuses
if [ "$num_gpus" -gt 1 ]; then
    check "NCCL: $num_gpus GPUs" check_nccl_alone "$num_gpus"
fi

check "speed: largest" check_speed "$work/speed" --n "$elements"
check "speed: assign" check_target "$work/speed" assign 80
check "speed: encode" check_target "$work/speed" encode 80
check "speed: measure" check_target "$work/speed" measure 50
check "speed: shapes" check_speed "$work/shapes" --n "$shape_elements" --shape all
for name in normal uniform heavy equal sorted; do
    check "shape: $name" check_shape "$work/shapes" "$name"
done
for name in float16 bfloat16 float64; do
    check "type: $name" check_variant "$name" 3
done
check "width: 8 bits" check_variant float32 8
check "exercise, beside PyTorch" check_exercise

[ "$count" != 0 ] || die 64 "--only ${only[*]}: no check of such a name"
{
    printf '\n%-36s %-8s %s\n' check result figure
    cat "$work"/*.row
} | tee "$logs/table"
tally() { cat "$work"/*.row | cut -c 38-45 | grep -c "^$1 *$"; }
failed=$(tally FAILED) slow=$(tally slow)
printf '\n%d ok, %d failed, %d slow, %d skipped, in %d s; logs in %s\n' "$(tally ok)" "$failed" \
    "$slow" "$(tally skipped)" $((SECONDS - begin)) "$logs"
[ "$failed" = 0 ] || exit 1
[ "$slow" = 0 ] || exit 2
