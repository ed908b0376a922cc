#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what quantopt needs on Debian or Ubuntu, if it is not there: run it as often as you like.
#
#   scripts/install_deps.sh                 to build and run, and for scripts/*.py
#   scripts/install_deps.sh --with-tests    also for scripts/test.sh: clang, cmocka, shellcheck,
#                                           mandoc, for scripts/bundle.sh: patchelf, and for
#                                           scripts/slurm_cluster.sh: Slurm, of which no service is
#                                           started or enabled here
set -euo pipefail

packages=(
    gcc libc6-dev cmake ninja-build pkg-config
    libopenmpi-dev openmpi-bin libhdf5-openmpi-dev
    libjansson-dev libyaml-dev librandom123-dev libxxhash-dev libgmp-dev
    python3 python3-h5py python3-numpy python3-matplotlib
)
# What a package would start by itself, and shall not: no machine becomes a cluster by this.
services=(munge slurmctld slurmd)
# clang's sanitizers are a package of their own on some releases only.
optional=()

case "${1:-}" in
"") ;;
--with-tests)
    packages+=(g++ libcmocka-dev clang libomp-dev hdf5-tools shellcheck mandoc patchelf)
    packages+=(slurmctld slurmd slurm-client munge libpmix2)
    optional+=(libclang-rt-dev)
    ;;
*)
    sed -n '3,9s/^# \{0,1\}//p' "$0"
    exit 64
    ;;
esac

# Installs packages with a policy that starts no service, unless the machine has a policy already.
install_quietly() {
    local policy=/usr/sbin/policy-rc.d name new=()
    for name in "${services[@]}"; do
        installed "$name" || new+=("$name")
    done
    if [ ! -e $policy ]; then
        trap '"${as_root[@]}" rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
        "${as_root[@]}" chmod 755 $policy
    fi
    "${as_root[@]}" apt-get install -q -y --no-install-recommends "$@"
    for name in ${new[@]+"${new[@]}"}; do
        if installed "$name" && command -v systemctl >/dev/null; then
            "${as_root[@]}" systemctl disable --quiet "$name" || true
        fi
    done
}

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

if ! command -v dpkg-query >/dev/null; then
    echo "install_deps.sh: no dpkg here; please install the equivalents of: ${packages[*]}" >&2
    exit 1
fi

missing=()
for package in "${packages[@]}"; do
    installed "$package" || missing+=("$package")
done
for package in "${optional[@]}"; do
    installed "$package" || optional_missing=1
done
if [ ${#missing[@]} = 0 ] && [ -z "${optional_missing:-}" ]; then
    echo "install_deps.sh: all packages are installed"
    exit 0
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "install_deps.sh: not root and no sudo; ask an administrator to run:" >&2
        echo "    apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -q
for package in "${optional[@]}"; do
    if ! installed "$package" && apt-cache show "$package" >/dev/null 2>&1; then
        missing+=("$package")
    fi
done
if [ ${#missing[@]} != 0 ]; then
    echo "install_deps.sh: installing ${missing[*]}"
    install_quietly "${missing[@]}"
fi
