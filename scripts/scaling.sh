#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Measures how the phases scale on this machine: strong and weak, with 1, 2, 4 and 8 ranks of one
# thread, and as root with ranks in two network namespaces, which are two hosts to MPI, over a link
# without and with delay. Rows go to build/scaling/rows.json; then scripts/scaling_model.py fits a
# model to them and predicts. docs/scaling.md says how to read both.
#
#     scripts/scaling.sh [REPEATS [BUILD]]
#
# The delay is netem's where the kernel has it, else that of scripts/scaling_delay.py.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

repeats=${1:-3}
build=$(realpath "${2:-$top/build}")
program=$build/quantopt_mpi
out=$top/build/scaling
python=$(find_python numpy)
pair_n=128000000  # 512 MB: beside it, what does not get faster with ranks is small
strong_n=32000000 # 128 MB, far beyond any cache
weak_n=8000000    # of each rank
far_n=4000000
base=$(printf '%s_%s' qo $$)

[ -x "$program" ] || die "$program is missing; build it first"
mkdir -p "$out"
work=$(mktemp -d)
relays=()

# Ends what was begun; the namespaces take their devices with them.
clean_up() {
    for pid in "${relays[@]}"; do kill "$pid" 2>/dev/null || true; done
    ip netns del "${base}a" 2>/dev/null || true
    ip netns del "${base}b" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

mpicc -O2 -shared -fPIC "$top/scripts/scaling_count.c" -o "$work/count.so"
mpicc -O3 "$top/scripts/scaling_plain.c" -o "$work/plain"
export OMPI_MCA_mpi_yield_when_idle=1 # ranks may be more than cores
: >"$out/rows.new"

# One run: KIND RANKS N LINK DELAY_MS, then the launcher. What fails is shown, and ends this.
measure() {
    local kind=$1 ranks=$2 n=$3 link=$4 delay=$5
    shift 5
    rm -f "$work/results.json" "$work/quantized.h5" "$work/counts.json"
    local input=(--generate "normal:$n")
    [ "$kind" = pair ] && input=("$work/x.f32" --approach non-uniform --output none)
    "$@" -x LD_PRELOAD="$work/count.so" -x SCALING_COUNTS="$work/counts.json" "$program" \
        "${input[@]}" --dtype float32 --num_bits 4 --threads 1 --device cpu \
        --progress never --save_dir "$work" >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        die "a run with $ranks ranks over $link failed"
    }
    "$python" "$top/scripts/scaling_model.py" --add "$out/rows.new" "$work" kind="$kind" \
        ranks="$ranks" n="$n" link="$link" delay_ms="$delay"
}

# The machine's own gain, in the same minutes: RANKS.
measure_plain() {
    mpirun --oversubscribe --bind-to none -np "$1" "$work/plain" "$pair_n" >"$work/plain.json"
    "$python" "$top/scripts/scaling_model.py" --add "$out/rows.new" "$work" kind=plain \
        ranks="$1" n="$pair_n" link=memory delay_ms=0
}

# Two namespaces; the agent stands in for ssh. Each has a host name of its own, by which Open MPI
# tells hosts apart.
make_hosts() {
    ip netns add "${base}a"
    ip netns add "${base}b"
    ip -n "${base}a" link set lo up
    ip -n "${base}b" link set lo up
    cat >"$work/agent" <<EOF
#!/bin/sh
shift
exec ip netns exec ${base}b unshare --uts sh -c 'hostname qo-b; eval "\$@"' sh "\$@"
EOF
    chmod +x "$work/agent"
}

# Gives DEVICE_A and DEVICE_B to the hosts, with addresses 10.NET.0.1 and .2 and an MTU.
connect() {
    local net=$3 mtu=$4 side
    for side in a b; do
        local device=$1 last=1
        [ $side = a ] || { device=$2 last=2; }
        ip link set "$device" netns "$base$side"
        ip -n "$base$side" addr add "10.$net.0.$last/24" dev "$device"
        ip -n "$base$side" link set "$device" mtu "$mtu" up
    done
}

# A link NET with a delay each way: by netem where there is one, else by the relay. Sets `link`.
make_link() {
    local net=$1 delay=$2
    if [ "$delay" = 0 ] || has_netem; then
        ip link add "qov${net}a" type veth peer name "qov${net}b"
        connect "qov${net}a" "qov${net}b" "$net" 1500
        link=veth
        [ "$delay" = 0 ] && return
        link=netem
        ip netns exec "${base}a" tc qdisc add dev "qov${net}a" root netem delay "${delay}ms"
        ip netns exec "${base}b" tc qdisc add dev "qov${net}b" root netem delay "${delay}ms"
        return
    fi
    make_relay "$net" "$delay"
}

# Packets of 60,000 bytes: the relay is slow by the packet.
make_relay() {
    local net=$1 delay=$2
    : >"$work/relay$net"
    "$python" "$top/scripts/scaling_delay.py" "$delay" "qot${net}a" "qot${net}b" \
        >>"$work/relay$net" &
    relays+=($!)
    until grep -q ready "$work/relay$net"; do
        kill -0 "${relays[-1]}" || die "scaling_delay.py did not start"
        sleep 0.1
    done
    connect "qot${net}a" "qot${net}b" "$net" 60000
    link=relay
}

# Whether the kernel has netem: only an attempt tells.
has_netem() {
    ip link add qoprobe type dummy 2>/dev/null ||
        ip link add qoprobe type veth peer name qoprobe2 2>/dev/null || return 1
    local rc=0
    tc qdisc add dev qoprobe root netem delay 1ms 2>/dev/null || rc=1
    ip link del qoprobe
    return $rc
}

# RANKS, half of them on each host, over NET.
measure_far() {
    local ranks=$1 net=$2 link=$3 delay=$4 half=$(($1 / 2))
    measure far "$ranks" "$far_n" "$link" "$delay" \
        timeout 120 ip netns exec "${base}a" unshare --uts sh -c 'hostname qo-a; exec "$@"' sh \
        mpirun --host "10.$net.0.1:$half,10.$net.0.2:$half" -np "$ranks" --bind-to none \
        --mca plm_rsh_agent "$work/agent" --mca pml ob1 --mca btl tcp,self \
        --mca btl_tcp_if_include "10.$net.0.0/24" --mca oob_tcp_if_include "10.$net.0.0/24"
}

say "One and two ranks in turns, and a plain read ($((10 * repeats)) times)"
# From a file: drawing the numbers would take most of the time, and a moment without disturbance is
# to be met.
"$python" -c "import numpy; numpy.random.default_rng(1).standard_normal($pair_n,
    dtype='float32').tofile('$work/x.f32')"
for ((i = 0; i < 10 * repeats; i++)); do
    for ranks in 1 2; do
        measure_plain $ranks
        measure pair $ranks $pair_n memory 0 mpirun --oversubscribe --bind-to none -np $ranks
    done
done

say "Ranks on this machine ($repeats times)"
for ((i = 0; i < repeats; i++)); do
    for ranks in 1 2 4 8; do
        measure strong $ranks $strong_n memory 0 mpirun --oversubscribe --bind-to none -np $ranks
        measure weak $ranks $((ranks * weak_n)) memory 0 \
            mpirun --oversubscribe --bind-to none -np $ranks
    done
done

if [ "$(id -u)" = 0 ] && make_hosts; then
    say "Ranks on two hosts"
    links=()
    for delay in 0 1 5; do
        make_link $((90 + ${#links[@]})) $delay
        links+=("$((90 + ${#links[@]})) $link $delay")
    done
    # What the relay itself costs.
    if [ "$link" = relay ]; then
        make_relay 99 0
        links+=("99 relay 0")
    fi
    for ((i = 0; i < repeats; i++)); do
        for each in "${links[@]}"; do
            read -r net link delay <<<"$each"
            for ranks in 2 4; do measure_far $ranks "$net" "$link" "$delay"; done
        done
    done
else
    say "No network namespaces (they need root): rows over a network are left out"
fi

mv "$out/rows.new" "$out/rows.json"
say "Model"
"$python" "$top/scripts/scaling_model.py" "$out/rows.json" | tee "$out/model.txt"
