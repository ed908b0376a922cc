#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A reduction over NCCL that fails in the middle: all ranks end, with 69, and one message says why.
#
# usage: nccl_abort.sh MPIEXEC TEST_NCCL
set -u
mpiexec=$1 program=$2 failed=0
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

# start RANKS HOW fail|absent
start() {
    : >"$log"
    QUANTOPT_FAKE_NCCL=$2 timeout 50 \
        "$mpiexec" --oversubscribe --bind-to none -np "$1" "$program" "$3" "$log" 2>&1
}

# check RANKS HOW fail|absent REGEX: what the message says behind "NCCL, rank ".
check() {
    local out code=0 message
    out=$(start "$@") || code=$?
    message=$(sed -n 's/^quantopt_mpi: error: //p' <<<"$out")
    if [ "$code" = 69 ] && [[ $message =~ ^"NCCL, rank "$4$ && $message != *$'\n'* ]]; then
        printf '%s ranks, %s: %s\n' "$1" "$2" "$message"
    else
        printf 'FAILED: %s ranks, %s: code %s\n%s\n' "$1" "$2" "$code" "$out"
        failed=1
    fi
}

# Rank 0 has said it, whoever failed: the log file is its.
logged() {
    grep -q 'error: NCCL, rank ' "$log" || { printf 'FAILED: not in the log\n' && failed=1; }
}

gone='a reduction: unhandled system error: a peer has gone; use --comm mpi'
late='a reduction: not done in 5 seconds; use --comm mpi'

export QUANTOPT_NCCL_DEADLINE=30
start 2 none fail || failed=1 # what runs to its end by itself
check 1 error@0 fail "0: $gone" && logged
check 2 error@0 fail "0: $gone" && logged
check 3 error@2 fail "2: $gone" && logged
check 3 error fail "[012]: $gone" && logged
export QUANTOPT_NCCL_DEADLINE=5
check 3 silent@1 fail "[012]: $late" && logged
check 2 error@1 absent "1: $gone" # rank 0 does not listen: it speaks for itself
exit "$failed"
