#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes a folder that runs quantopt where nothing of it is installed, such as a container or a bare
# GPU node: programs, Debian's Open MPI, parallel HDF5 and every other library they need but glibc,
# libstdc++, libgcc_s and the GPU driver's, which the machine there has to have.
#
#   scripts/bundle.sh [--output DIRECTORY] [--gpu-check] [PROGRAM...]
#
# PROGRAMs (default: build/quantopt_mpi and build/quantopt_bench) are taken as they are built.
# DIRECTORY (default: build/bundle) is made anew; it works wherever it is copied to. --gpu-check
# puts scripts/gpu_check.sh into it, and what that needs: the tests of the kernels, from the folder
# of the first PROGRAM, and data/.
#
#   DIRECTORY/run.sh 2 quantopt_mpi --generate normal:1M     two ranks; run.sh says more
#
# For machines of your own: whoever passes it on has to mind the licences of the libraries in it.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

# A bundle travels, to some machines before every run; one that is larger holds what it should not.
limit_mb=40

# Left to the machine: glibc, since its parts and the loader have to be of one version; the runtimes
# of gcc and C++, since the driver's libraries want the newest; the driver, since it has to be that
# of the kernel.
of_machine='^(ld-linux.*|lib(c|m|mvec|dl|pthread|rt|resolv|util|anl|nss_.*|stdc\+\+|gcc_s))\.so'
of_driver='^lib(cuda|nvidia-.*)\.so'
# Never linked: cudart is static, NCCL (over 200 MB) is opened at run time where there is one.
of_toolkit='^lib(cudart|nccl)\.so'

# Plugins of Open MPI that one machine cannot use: fast networks, batch systems, ssh. OpenSHMEM and
# monitoring are not for us. The libraries that only they need stay out with them.
left_out=(
    '*ofi*' '*openib*' '*psm*' '*ucx*'
    '*flux*' '*gridengine*' '*jsm*' '*simulator*' '*slurm*' 'mca_plm_rsh.so'
    'mca_atomic_*' 'mca_memheap_*' 'mca_scoll_*' 'mca_spml_*' 'mca_sshmem_*'
    '*monitoring*' 'mca_vprotocol_*' 'mca_osc_pt2pt.so'
)

usage() { sed -n '3,17s/^# \{0,1\}//p' "$0"; }

needs() {
    command -v "$1" >/dev/null || die "$1 is missing; on Debian or Ubuntu: apt-get install $2"
}

check_programs() {
    local program name taken=/mpirun/orted/
    for program in "${programs[@]}"; do
        [ -f "$program" ] || die "$program is not there; build it first: cmake --build build"
        [[ -x $program && $(readelf -lW "$program" 2>&1) == *$'\n  INTERP '* ]] ||
            die "$program is not a program that is linked to shared libraries"
        name=${program##*/}
        [[ $taken != */"$name"/* ]] || die "a bundle cannot have two programs named $name"
        taken+=$name/
    done
}

# Sets libraries, the folder of Debian's libraries, and pmix, that of PMIx, below which their
# plugins are.
find_open_mpi() {
    local rte pmix_library
    { [ -x /usr/bin/orterun ] && [ -x /usr/bin/orted ]; } ||
        die "no Open MPI 4 in /usr/bin; on Debian or Ubuntu: apt-get install openmpi-bin"
    rte=$(libraries_of /usr/bin/orterun | sed -n 's/^libopen-rte\.so[^ ]* //p')
    [ -e "$rte" ] || die "/usr/bin/orterun does not find its libopen-rte"
    libraries=$(dirname "$(realpath "$rte")")
    [[ $libraries == /usr/lib/* && -e $libraries/openmpi/lib/openmpi3/mca_pmix_ext3x.so ]] ||
        die "Open MPI is not where Debian has it: no plugins in $libraries/openmpi/lib/openmpi3"
    [ -e /usr/share/openmpi/help-orterun.txt ] ||
        die "no texts in /usr/share/openmpi; on Debian or Ubuntu: apt-get install openmpi-common"
    pmix_library=$(libraries_of "$libraries/openmpi/lib/openmpi3/mca_pmix_ext3x.so" |
        sed -n 's/^libpmix\.so[^ ]* //p')
    pmix=$(dirname "$(dirname "$(realpath "$pmix_library")")")
    [[ $pmix == "$libraries"/* && -e $pmix/lib/pmix/pmix_mca_prm_default.so ]] ||
        die "PMIx is not where Debian has it: no plugins in $pmix/lib/pmix"
}

# What is neither empty nor a bundle is somebody's.
check_output() {
    local inside
    [ -e "$output" ] || return 0
    [ -d "$output" ] || die "$output is not a folder; it is left as it is"
    inside=$(ls -A "$output")
    [ -z "$inside" ] || grep -qs '^# Of a bundle of quantopt' "$output/run.sh" ||
        die "$output is neither empty nor a bundle; it is left as it is"
}

# The libraries of the files given, one a line: NAME PATH, or NAME alone where it is not found.
libraries_of() {
    ldd -- "$@" | sed -nE 's/^\s+(\S+) => (not found|(\S.*) \(0x[0-9a-f]+\))$/\1 \3/p' | sort -u
}

# The tests of the kernels that were built beside the first program. Each has all kernels in it.
add_kernel_tests() {
    limit_mb=$((limit_mb + 20))
    programs+=("$(dirname "${programs[0]}")"/tests/kernels/test_*)
}

# What scripts/gpu_check.sh looks for beside itself.
copy_gpu_check() {
    cp -L "$top/scripts/gpu_check.sh" "$top/scripts/gpu_check_torch.py" "$work/"
    mkdir "$work/data"
    cp -L "$top"/data/* "$work/data/"
}

# Plugins, texts and settings keep the paths that they have below /usr: run.sh moves only the
# folder above.
copy_open_mpi() {
    local plugin pattern
    plugins=$work/lib/${libraries##*/}/openmpi/lib/openmpi3
    our_pmix=$work/lib/${pmix#"${libraries%/*}"/}
    mkdir -p "$work/bin" "$work/share" "$work/etc/openmpi" "$plugins" "$our_pmix"/{lib/pmix,share}
    cp -L /usr/bin/orterun "$work/bin/mpirun"
    cp -L /usr/bin/orted "$work/bin/orted"
    for plugin in "$libraries"/openmpi/lib/openmpi3/mca_*.so; do
        for pattern in "${left_out[@]}"; do
            # shellcheck disable=SC2053 # a pattern
            if [[ ${plugin##*/} == $pattern ]]; then
                continue 2
            fi
        done
        cp -L "$plugin" "$plugins/"
    done
    cp -rL /usr/share/openmpi "$work/share/"
    # Compression, without which PMIx warns, and no batch system.
    cp -L "$pmix"/lib/pmix/pmix_mca_{pcompress_zlib,prm_default}.so "$our_pmix/lib/pmix/"
    cp -rL "$pmix/share/pmix" "$our_pmix/share/"
}

copy_libraries() {
    local found name path
    found=$(libraries_of "$work"/bin/* "$plugins"/* "$our_pmix"/lib/pmix/*)
    while read -r name path; do
        if [[ $name =~ $of_toolkit ]]; then
            die "a program is linked to $name, which stays out: link it statically or open it later"
        elif [[ $name =~ $of_machine || $name =~ $of_driver ]]; then
            continue
        elif [ -z "$path" ]; then
            die "a program needs $name, which is not where ldd looks (LD_LIBRARY_PATH not used)"
        elif [[ $name == libmpi.so.* && $(realpath "$path") != "$libraries"/* ]]; then
            die "a program is linked to $path, which is not Debian's Open MPI"
        fi
        cp -L "$path" "$work/lib/$name"
    done <<<"$found"
}

# DT_RPATH and not DT_RUNPATH, which LD_LIBRARY_PATH would go before: GPU machines often have an
# Open MPI of their own in that.
make_relocatable() {
    local found name path
    patchelf --force-rpath --set-rpath "\$ORIGIN/../lib" "$work"/bin/*
    patchelf --force-rpath --set-rpath "\$ORIGIN" "$work"/lib/*.so*
    patchelf --force-rpath --set-rpath "\$ORIGIN/../../../.." "$plugins"/* "$our_pmix"/lib/pmix/*
    found=$(libraries_of "$work"/bin/* "$plugins"/* "$our_pmix"/lib/pmix/*)
    while read -r name path; do
        [[ $path == "$work"/* || $name =~ $of_machine || $name =~ $of_driver ]] ||
            die "$name would still be taken from ${path:-elsewhere}"
    done <<<"$found"
}

write_settings() {
    cat >"$work/etc/openmpi/openmpi-mca-params.conf" <<'SETTINGS'
# For one machine of which little is known.
# All ranks are started here: there may be no ssh and no batch system.
plm = isolated
# Shared memory between ranks, and the loopback interface for what remains.
pml = ob1
btl = self,vader,tcp
btl_base_warn_component_unused = 0
btl_tcp_if_include = lo
oob_tcp_if_include = lo
# Containers seldom let a process read another's memory.
btl_vader_single_copy_mechanism = none
SETTINGS
}

write_launcher() {
    {
        cat <<'LAUNCHER'
#!/bin/sh
# Of a bundle of quantopt: starts a program on N ranks of this machine.
#
#   run.sh N [OPTIONS OF MPIRUN] PROGRAM [ARGUMENTS]
#
# PROGRAM is a name in bin/ beside this file, or the path of a program. N = 0 starts it without
# mpirun. It needs sh, readlink, a loopback interface that is up and a writable /tmp (or TMPDIR).
set -eu

stop() {
    code=$1
    shift
    echo "run.sh: error: $*" >&2
    exit "$code"
}

case ${1:-} in
'' | *[!0-9]*) stop 64 "usage: run.sh N [OPTIONS OF MPIRUN] PROGRAM [ARGUMENTS]" ;;
esac
[ $# -gt 1 ] || stop 64 "which program?"
ranks=$1
shift

here=$(readlink -f "$0")
here=${here%/*}
case $here in
*:*) stop 66 "Open MPI takes the colon in $here for the end of a path; move the folder" ;;
esac
export PATH="$here/bin:$PATH"

# Open MPI, PMIx and hwloc look for plugins, texts and settings here, and not where this machine may
# have those of another version. hwloc gets no plugins: none is needed, and one opens OpenCL.
export OPAL_PREFIX="$here" OPAL_SYSCONFDIR="$here/etc/openmpi"
LAUNCHER
        # shellcheck disable=SC2016 # for run.sh to expand
        printf 'pmix="$here%s"\n' "${our_pmix#"$work"}"
        cat <<'LAUNCHER'
export PMIX_LIBDIR="$pmix/lib" PMIX_DATADIR="$pmix/share" PMIX_SYSCONFDIR="$pmix/share"
export HWLOC_PLUGINS_PATH="$here/lib/hwloc"

# In a container there is often nobody but root.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# Ranks share memory through files there; a container may lack it.
if ! [ -w /dev/shm ]; then
    export OMPI_MCA_btl_vader_backing_directory="${TMPDIR:-/tmp}"
fi

[ "$ranks" != 0 ] || exec "$@"

# The last bit of its flags says whether an interface is up.
if read -r flags 2>/dev/null </sys/class/net/lo/flags; then
    case $flags in
    *[02468aceACE]) stop 69 "the loopback interface is down; as root: ip link set lo up" ;;
    esac
fi
exec mpirun --oversubscribe --bind-to none -np "$ranks" "$@"
LAUNCHER
    } >"$work/run.sh"
    chmod +x "$work/run.sh"
}

# What a user of the folder has to know.
report() {
    local bytes glibc
    bytes=$(du -sb "$output" | cut -f 1)
    glibc=$(find "$output" -type f \( -name '*.so*' -o -path "$output/bin/*" \) \
        -exec readelf -VW {} + | grep -oE 'Name: GLIBC_[0-9.]+' | sort -uV | tail -n 1)
    printf '%s: %d.%d MB, %d files; needs glibc %s or newer\n' "$output" $((bytes / 1000000)) \
        $((bytes / 100000 % 10)) "$(find "$output" -type f | wc -l)" "${glibc#*_}"
    if [ "$bytes" -gt $((limit_mb * 1000000)) ]; then
        echo "${0##*/}: warning: that is more than $limit_mb MB; the largest files:" >&2
        find "$output" -type f -printf '%s %P\n' | sort -rn | sed 5q >&2
    fi
}

output=$top/build/bundle
gpu_check=''
programs=()
while [ $# != 0 ]; do
    case $1 in
    --output)
        [ -n "${2:-}" ] || die "--output needs a folder"
        output=$2
        shift
        ;;
    --gpu-check) gpu_check=1 ;;
    --help)
        usage
        exit
        ;;
    -*)
        usage >&2
        exit 64
        ;;
    *) programs+=("$1") ;;
    esac
    shift
done
if [ ${#programs[@]} = 0 ]; then
    programs=("$top/build/quantopt_mpi" "$top/build/quantopt_bench")
fi
if [ -n "$gpu_check" ]; then
    add_kernel_tests
fi

# What ldd finds should not depend on who calls, nor should its language, nor who may read the copy.
unset LD_LIBRARY_PATH LD_PRELOAD LD_AUDIT
export LC_ALL=C
umask 022

needs ldd libc-bin
needs readelf binutils
needs strip binutils
needs patchelf patchelf
check_programs
find_open_mpi
check_output

# Beside its place, then renamed: a bundle is complete or not there.
mkdir -p "$(dirname "$output")"
output=$(realpath "$output")
work=$(mktemp -d "$output.XXXXXX")
trap 'rm -rf "$work"' EXIT
copy_open_mpi
cp -L -- "${programs[@]}" "$work/bin/"
strip --strip-unneeded "$work"/bin/*
copy_libraries
make_relocatable
write_settings
write_launcher
if [ -n "$gpu_check" ]; then
    copy_gpu_check
fi
chmod 755 "$work"
rm -rf "$output"
mv -T "$work" "$output"
report
