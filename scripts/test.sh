#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds three times and runs every test: what CI runs, and a developer
# before a commit.
#
#   gcc, release                     all tests; with CUDA, where there is nvcc
#   clang, release, QO_CUDA=OFF      all but the application tests
#   gcc, ASan + UBSan, QO_CUDA=OFF   all but the slow application tests and 8 ranks
#
# No test needs a GPU: the CUDA kernels run over a runtime of the tests' own (tests/shim).
#
# The last line is "N passed, N failed, N skipped", the sum of the three; the exit code is 0 only
# if nothing failed.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"
cd "$top" || exit 1

builds=${QO_TEST_BUILDS:-build-test}
mkdir -p "$builds" && builds=$(cd "$builds" && pwd) || exit 1
jobs=$(nproc)
passed=0 failed=0 skipped=0

step_failed() {
    printf '\nFAILED: %s\n' "$1"
    failed=$((failed + 1))
}

build() {
    local name=$1
    shift
    say "Building: $name"
    if ! cmake -B "$builds/$name" -G Ninja -DQO_WERROR=ON -DQO_TESTS=ON "$@" \
        >"$builds/$name.log" 2>&1; then
        cat "$builds/$name.log"
        step_failed "configuration of $name"
        return 1
    fi
    grep -E 'WARNING|CUDA' "$builds/$name.log"
    if ! cmake --build "$builds/$name" -j "$jobs" >"$builds/$name.log" 2>&1; then
        cat "$builds/$name.log"
        step_failed "build of $name"
        return 1
    fi
}

# Adds the counts of one ctest run, as ctest itself writes them down.
count() {
    local report=$1 tests fails skips
    tests=$(sed -n 's/.*[[:space:]]tests="\([0-9]*\)".*/\1/p' "$report" | head -n 1)
    fails=$(sed -n 's/.*failures="\([0-9]*\)".*/\1/p' "$report" | head -n 1)
    skips=$(sed -n 's/.*skipped="\([0-9]*\)".*/\1/p' "$report" | head -n 1)
    if [ -z "$tests" ] || [ -z "$fails" ] || [ -z "$skips" ] || [ "$tests" = 0 ]; then
        step_failed "$report counts no test"
        return
    fi
    passed=$((passed + tests - fails - skips))
    failed=$((failed + fails))
    skipped=$((skipped + skips))
}

check() {
    local name=$1
    shift
    say "Testing: $name"
    local report=$builds/$name.xml rc=0 before=$failed
    rm -f "$report"
    # Two tests a core: half of the time they wait for ranks to start and for disks. Those of several
    # ranks say themselves that they take more.
    ctest --test-dir "$builds/$name" -j $((2 * jobs)) --output-on-failure --output-junit "$report" "$@" ||
        rc=$?
    if [ -f "$report" ]; then
        count "$report"
    fi
    # A program that is missing counts as skipped there: ctest's own word decides.
    if [ "$rc" != 0 ] && [ "$failed" = "$before" ]; then
        step_failed "ctest of $name, which ended with $rc"
    fi
}

say "Installing what is missing"
scripts/install_deps.sh --with-tests || die "the packages could not be installed"

# Tests side by side have more threads than there are cores: those that wait shall sleep.
export OMP_WAIT_POLICY=passive

say "Looking at the scripts"
shellcheck -x scripts/*.sh slurm/*.sh slurm/*.sbatch .ci/run || step_failed "shellcheck"

slow='resume|streaming|packed|published|optimal|reproducible|memory|kill_random|output_faults|fault_walk|tricky|usage|text_outputs_Screen|device_Equal|device_Failing|device_Placed|bench|bundle|checker|gpu_check|audit_Audit|compare|configs|plots|read|report'

if build gcc -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Release; then
    check gcc
fi
if build clang -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=Release \
    -DQO_CUDA=OFF; then
    check clang -LE app
fi
if build sanitized -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG='-O1 -g' \
    -DCMAKE_CXX_FLAGS_DEBUG='-O1 -g' -DQO_SANITIZE=ON -DQO_CUDA=OFF; then
    # Leaks inside the libraries that MPI loads are not ours: tests/lsan.supp names those libraries,
    # and the preloaded code keeps them loaded, else they have no names. Stacks through code without
    # frame pointers need the slow unwinder; searching thread-local memory crashes the sanitizer.
    gcc -shared -fPIC -o "$builds/keep_loaded.so" tests/keep_loaded.c || step_failed "keep_loaded"
    export LD_PRELOAD=$builds/keep_loaded.so
    export ASAN_OPTIONS=detect_leaks=1:exitcode=97:fast_unwind_on_malloc=0:verify_asan_link_order=0
    export LSAN_OPTIONS=suppressions=$top/tests/lsan.supp:print_suppressions=0:use_tls=0
    export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
    check sanitized -E "^app_($slow)|_np8$"
    unset LD_PRELOAD
fi

printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
