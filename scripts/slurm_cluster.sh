#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A real Slurm with two nodes, n1 and n2, on this one machine, to try batch scripts on: as root, in
# a folder of its own, beside any other Slurm; without systemd, so in a container too.
#
#   eval "$(scripts/slurm_cluster.sh start [DIRECTORY])"     prints the environment to use
#   scripts/slurm_cluster.sh status [DIRECTORY]
#   scripts/slurm_cluster.sh stop [DIRECTORY]                ends its jobs and removes the folder
#
# The default is /srv/quantopt-slurm. The folder has to be root's own, and of every folder above it
# only root (or, with the sticky bit, nobody else) may remove it: munge refuses other ones.
# Debian: slurmctld slurmd slurm-client munge libpmix2 (scripts/install_deps.sh --with-tests).
#
# Exit code: 0 done; 1 it failed or, of status, does not answer; 64 wrong command line; 69 not root,
# or no Slurm here.
set -euo pipefail

nodes=(n1 n2)
cpus=16 # more than there are: Slurm shares them out, the ranks give way
daemons=(munged slurmctld "${nodes[@]}")

usage() { sed -n '3,16s/^# \{0,1\}//p' "$0"; }

note() { printf 'slurm_cluster.sh: %s\n' "$*" >&2; }

die() {
    note "${*:2}"
    exit "$1"
}

# Root's PATH often lacks the folders of daemons in containers.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

need_root_and_slurm() {
    local name missing=()
    [ "$(id -u)" = 0 ] || die 69 "only root can start a Slurm whose daemons start jobs"
    for name in munged mungekey slurmctld slurmd sbatch srun scontrol; do
        command -v "$name" >/dev/null || missing+=("$name")
    done
    [ ${#missing[@]} = 0 ] ||
        die 69 "no ${missing[*]} here; scripts/install_deps.sh --with-tests installs it on Debian"
}

# Whether a daemon that we started lives: its process number may be another's by now.
lives() {
    local pid
    pid=$(cat "$dir/$1.pid" 2>/dev/null) && is_ours "$pid"
}

# The daemons and the job steps that they start stay in this folder (a step hides its environment).
is_ours() { [ "$(readlink "/proc/$1/cwd" 2>/dev/null)" = "$dir/run" ]; }

# --- start ---

# A run of ports that nobody listens at, below those that the system gives out by itself.
find_ports() {
    local base port
    for ((try = 0; try < 50; try++)); do
        base=$((20000 + RANDOM % 1200 * 10))
        for ((port = base; port < base + 1 + ${#nodes[@]}; port++)); do
            ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || continue 2
        done
        echo "$base"
        return
    done
    die 1 "found no free ports"
}

# A requeued job waits for cred_expire until it starts again; below 5 s Slurm takes 120.
# Each node has its PMIx sockets in TmpFS, and two on one machine must not share them.
write_conf() {
    local base=$1 host i
    host=$(hostname)
    cat >"$dir/slurm.conf" <<END
ClusterName=quantopt
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$base
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$dir/state
SlurmctldPidFile=$dir/state/slurmctld.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdSpoolDir=$dir/%n/spool
SlurmdPidFile=$dir/%n/slurmd.pid
SlurmdLogFile=$dir/%n.log
TmpFS=$dir/%n/tmp
TaskProlog=$dir/task_prolog.sh
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=1000
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobRequeue=1
KillWait=5
InactiveLimit=60
SlurmdTimeout=5
SlurmctldTimeout=10
CompleteWait=0
ReturnToService=2
END
    for ((i = 0; i < ${#nodes[@]}; i++)); do
        printf 'NodeName=%s NodeHostname=%s NodeAddr=127.0.0.1 Port=%d CPUs=%d\n' \
            "${nodes[i]}" "$host" $((base + 1 + i)) "$cpus" >>"$dir/slurm.conf"
    done
    echo "PartitionName=all Nodes=ALL Default=YES DefaultTime=60 State=UP" >>"$dir/slurm.conf"
    : >"$dir/cgroup.conf"
    cat >"$dir/task_prolog.sh" <<END
#!/bin/sh
# Nodes of their own would have a /tmp of their own.
echo "export TMPDIR=$dir/\$SLURMD_NODENAME/tmp"
END
    chmod 755 "$dir/task_prolog.sh"
}

make_folder() {
    local node
    mkdir -p "$dir" || die 1 "$dir cannot be made"
    chmod 755 "$dir"
    : >"$dir/.quantopt-slurm"
    mkdir -p "$dir/run" "$dir/state" "$dir/munge"
    for node in "${nodes[@]}"; do
        mkdir -p "$dir/$node/spool" "$dir/$node/tmp"
        chmod 1777 "$dir/$node/tmp"
    done
    (umask 077 && mungekey --create --keyfile="$dir/munge/key")
}

# daemon NAME COMMAND... in the background, its process number in NAME.pid.
daemon() {
    local name=$1
    shift
    (cd "$dir/run" && exec setsid "$@") </dev/null >>"$dir/$name.out" 2>&1 &
    echo $! >"$dir/$name.pid"
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then
            note "$what does not come up; the logs say:"
            tail -n 5 "$dir"/*.out "$dir"/*.log "$dir"/munge/log >&2 || true
            end_all
            die 1 "$what did not come up; the logs are in $dir"
        fi
        sleep 0.1
    done
}

all_idle() {
    [ "$(sinfo -h -N -t idle -o %N | sort -u | wc -l)" = ${#nodes[@]} ]
}

start() {
    local node
    need_root_and_slurm
    ! lives slurmctld || die 1 "the one in $dir runs already"
    remove_folder
    make_folder
    write_conf "$(find_ports)"
    export SLURM_CONF=$dir/slurm.conf
    daemon munged munged --foreground --force --socket="$dir/munge/socket" \
        --key-file="$dir/munge/key" --pid-file="$dir/munge/pid" --log-file="$dir/munge/log" \
        --seed-file="$dir/munge/seed"
    wait_for 20 munged munge -n -S "$dir/munge/socket"
    daemon slurmctld slurmctld -D -c
    for node in "${nodes[@]}"; do
        daemon "$node" slurmd -D -N "$node"
    done
    wait_for 60 "Slurm" all_idle
    note "${#nodes[@]} nodes are idle; stop them with: scripts/slurm_cluster.sh stop $dir"
    print_environment
}

# Open MPI is told that the nodes share no memory, and that root is meant.
print_environment() {
    cat <<END
export SLURM_CONF=$dir/slurm.conf
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=tcp,self OMPI_MCA_mpi_yield_when_idle=1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export PMIX_MCA_gds=hash
END
}

# --- status and stop ---

status() {
    local name
    for name in "${daemons[@]}"; do
        lives "$name" || die 1 "$name of $dir does not run"
    done
    export SLURM_CONF=$dir/slurm.conf
    scontrol ping >/dev/null || die 1 "slurmctld of $dir does not answer"
    sinfo -N -o '%N %T %C' && squeue
    print_environment
}

# Our daemons and the job steps that they started, and all that is below these.
our_processes() {
    local -A parent=()
    local pid rest above found=() more=1 seen=" "
    for pid in /proc/[0-9]*; do
        pid=${pid#/proc/}
        rest=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
        rest=${rest##*) }
        rest=${rest#* }
        parent[$pid]=${rest%% *}
        if [ "$pid" != $$ ] && is_ours "$pid"; then
            seen+="$pid "
        fi
    done
    while [ $more = 1 ]; do
        more=0
        for pid in "${!parent[@]}"; do
            above=${parent[$pid]}
            if [[ $seen == *" $above "* && $seen != *" $pid "* ]]; then
                seen+="$pid "
                more=1
            fi
        done
    done
    read -ra found <<<"$seen"
    [ ${#found[@]} = 0 ] || printf '%s\n' "${found[@]}"
}

end_all() {
    local pids try
    for ((try = 0; try < 50; try++)); do
        mapfile -t pids < <(our_processes)
        [ ${#pids[@]} != 0 ] || return 0
        kill -KILL "${pids[@]}" 2>/dev/null || true
        sleep 0.1
    done
    die 1 "cannot end the processes ${pids[*]}"
}

remove_folder() {
    [ -e "$dir" ] || return 0
    [ -e "$dir/.quantopt-slurm" ] || [ -z "$(ls -A "$dir")" ] ||
        die 1 "$dir holds something else; name another folder"
    rm -rf "$dir"
}

stop() {
    [ "$(id -u)" = 0 ] || die 69 "only root can stop it"
    [ -e "$dir/.quantopt-slurm" ] || die 1 "there is none in $dir"
    end_all
    remove_folder
}

case "${1:-}:$#" in
start:[12] | status:[12] | stop:[12])
    dir=$(realpath -m "${2:-/srv/quantopt-slurm}")
    "$1"
    ;;
--help:1) usage ;;
*)
    usage >&2
    exit 64
    ;;
esac
