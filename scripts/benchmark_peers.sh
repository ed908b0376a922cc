#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs scikit-learn, faiss and scipy into build/peers (no part of the product), and holds
# quantopt_mpi against them. Arguments go to benchmark_peers.py.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"
cd "$top"

[ -x build/quantopt_mpi ] || die "build/quantopt_mpi is missing; run scripts/quickstart.sh first"
if ! [ -x build/peers/bin/python ]; then
    say "Installing the peers into build/peers"
    python3 -m venv build/peers || die "no venv; install python3-venv"
    build/peers/bin/pip install --quiet numpy scipy scikit-learn faiss-cpu ||
        die "the peers could not be installed"
fi
build/peers/bin/python scripts/benchmark_peers.py "$@"
