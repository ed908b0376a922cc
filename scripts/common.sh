# shellcheck shell=bash disable=SC2034 # top is for those who source this file
# SPDX-License-Identifier: Apache-2.0
# What the scripts share: sourced, not run.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '\n== %s\n' "$*"; }
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# The first Python that has the modules named: a python3 of the user's own often lacks them.
find_python() {
    local modules=$1 python
    for python in python3 /usr/bin/python3; do
        if command -v "$python" >/dev/null && "$python" -c "import $modules" 2>/dev/null; then
            command -v "$python"
            return
        fi
    done
    die "no python3 with $modules; run scripts/install_deps.sh"
}

# Builds into build/, in the tree's top folder; the arguments are targets.
build_release() {
    if [ ! -f build/build.ninja ]; then
        cmake -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DQO_TESTS=OFF >build.log 2>&1 ||
            { cat build.log; die "the configuration failed"; }
        rm -f build.log
    fi
    cmake --build build --target "$@"
}

# Open MPI refuses to start for root unless it is told twice; in a container or chroot there is
# nobody else.
if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
