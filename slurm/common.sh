# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the batch scripts share: sourced by them, in the job. README.md says how to use them; these
# variables, all of them optional, change what they do:
#
#   QUANTOPT_SITE           a file in sites/ by its name, or any by its path: modules and launcher
#   QUANTOPT_MPI            the program; else quantopt_mpi on the PATH, else ../build/quantopt_mpi
#   QUANTOPT_LAUNCHER       srun or mpirun; else srun where it has PMIx, else mpirun
#   QUANTOPT_SRUN_MPI       what srun gets as --mpi (pmix); "default" leaves that to the site
#   QUANTOPT_LAUNCHER_ARGS  more words for the launcher
#   QUANTOPT_MAX_REQUEUES   how often resumable.sbatch may put its job back into the queue (20)
set -euo pipefail

slurm_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# The number of one task of an array may be the number of them all.
job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID:-}}
job=${job:-$SLURM_JOB_ID}
resumable=75 # the program's exit code for: stopped early on purpose, run me again

note() { printf '%s: %s\n' "${SLURM_JOB_NAME:-quantopt}" "$*" >&2; }

die() {
    note "${*:2}"
    exit "$1"
}

# --- where we are ---

# Modules are written for shells that are not strict.
load_site() {
    local file=${QUANTOPT_SITE:-}
    [ -n "$file" ] || return 0
    [ -e "$file" ] || file=$slurm_dir/sites/$file.env
    [ -e "$file" ] || die 78 "QUANTOPT_SITE: no $QUANTOPT_SITE, nor in $slurm_dir/sites"
    set +eu
    # shellcheck disable=SC1090 # the user names it
    . "$file"
    if declare -F site_modules >/dev/null; then
        site_modules || die 78 "the modules of $file cannot be loaded"
    fi
    set -eu
}

find_program() {
    program=${QUANTOPT_MPI:-}
    if [ -z "$program" ]; then
        program=$(command -v quantopt_mpi) || program=$slurm_dir/../build/quantopt_mpi
    fi
    [ -x "$program" ] || die 69 "no program $program: build it before, nothing is" \
        "built in a job; or name it: QUANTOPT_MPI=/path/to/quantopt_mpi sbatch ..."
}

# Slurm before 23.02 does not tell a job when it ends.
find_end_time() {
    local end
    [ -z "${SLURM_JOB_END_TIME:-}" ] || return 0
    end=$(squeue -h -j "$job" -o %e 2>/dev/null) || return 0
    end=$(date -d "$end" +%s 2>/dev/null) || return 0 # no limit: "NONE", "N/A"
    export SLURM_JOB_END_TIME=$end
}

# The cores of a rank: those that were asked for, else its share of the job's cores on a node.
cores_of_rank() {
    local cores=${SLURM_CPUS_PER_TASK:-} ranks=${SLURM_TASKS_PER_NODE:-1}
    cores=${cores:-$((${SLURM_CPUS_ON_NODE:-1} / ${ranks%%[!0-9]*}))}
    echo $((cores > 0 ? cores : 1))
}

find_launcher() {
    local name=${QUANTOPT_LAUNCHER:-} mpi=${QUANTOPT_SRUN_MPI:-pmix} more
    if [ -z "$name" ]; then
        name=mpirun
        if [ "$mpi" = default ] || srun --mpi=list 2>&1 | grep -qw "$mpi"; then
            name=srun
        fi
    fi
    case $name in
    # Without --kill-on-bad-exit the other ranks wait for a dead one until the job's time is over.
    srun)
        launcher=(srun --kill-on-bad-exit=1 "--cpus-per-task=$(cores_of_rank)")
        [ "$mpi" = default ] || launcher+=("--mpi=$mpi")
        ;;
    mpirun) launcher=(mpirun -np "${SLURM_NTASKS:-1}" --bind-to none) ;;
    *) die 78 "QUANTOPT_LAUNCHER=$name: srun or mpirun" ;;
    esac
    command -v "$name" >/dev/null || die 69 "no $name here; QUANTOPT_SITE names the site's modules"
    read -ra more <<<"${QUANTOPT_LAUNCHER_ARGS:-}"
    launcher+=(${more[@]+"${more[@]}"})
}

# What explains a result later; never the whole environment, which may hold secrets.
print_environment() {
    local name
    note "started $(date -u +%Y-%m-%dT%H:%M:%SZ) on $(hostname), restart ${SLURM_RESTART_COUNT:-0}"
    for name in SLURM_JOB_ID SLURM_ARRAY_TASK_ID SLURM_JOB_PARTITION SLURM_JOB_NODELIST \
        SLURM_NTASKS SLURM_TASKS_PER_NODE SLURM_CPUS_ON_NODE SLURM_JOB_GPUS SLURM_GPUS_ON_NODE \
        SLURM_JOB_END_TIME CUDA_VISIBLE_DEVICES OMP_NUM_THREADS QUANTOPT_SITE LOADEDMODULES; do
        [ -z "${!name:-}" ] || note "$name=${!name}"
    done
}

# --- the run ---

# USR1 reaches this shell alone (--signal=B:USR1, scancel --batch): the launcher passes it on to all
# ranks, which save a checkpoint and leave. TERM is passed on as USR1 too, for mpirun kills soon
# after a TERM. But when Slurm ends the job it has sent TERM to the ranks itself, and one more
# signal would make them hurry.
on_signal() {
    note "SIG$1 at $(date -u +%H:%M:%SZ)"
    stopping=1
    if [ "$1" = TERM ] && [ "$(squeue -h -j "$job" -o %T 2>/dev/null)" != RUNNING ]; then
        return
    fi
    [ -z "${child:-}" ] || kill -USR1 "$child" 2>/dev/null || true
}

# run_program ARGUMENT...: runs it on all ranks and returns its exit code. A shell runs traps only
# between commands and in `wait`, so the launcher is in the background.
run_program() {
    local code=0
    note "running: ${launcher[*]} $program $*"
    [ -z "$stopping" ] || return $resumable # told to stop before there is anything to save
    "${launcher[@]}" "$program" "$@" &
    child=$!
    wait "$child" || true
    while kill -0 "$child" 2>/dev/null; do # only a trap ended the wait
        wait "$child" || true
    done
    wait "$child" || code=$?
    child=
    note "exit code $code"
    return $code
}

# --- going on later ---

# option_value NAME ARGUMENT...: the value of --NAME on the program's command line, or else in the
# file of --config. Names may be written with '-' for '_'.
option_value() {
    local name=$1 value='' config='' word
    shift
    while [ $# != 0 ]; do
        word=${1%%=*}
        word=${word//-/_}
        case $1:$word in
        --:*) break ;;
        --*=*:__"$name") value=${1#*=} ;;
        --*=*:__config) config=${1#*=} ;;
        --*:__"$name") value=${2:-} ;;
        --*:__config) config=${2:-} ;;
        esac
        shift
    done
    if [ -z "$value" ] && [ -r "$config" ]; then
        value=$(sed -n "s/^$name: *[\"']\{0,1\}\([^\"'#]*[^\"'# ]\).*/\1/p" "$config" | head -n 1)
    fi
    printf '%s' "$value"
}

# The file that the program keeps its state in: beside the output.
checkpoint_of() {
    local output folder
    output=$(option_value output "$@")
    folder=$(option_value save_dir "$@")
    folder=${folder:-results}
    case $output in
    none) printf '%s/results.checkpoint' "$folder" ;;
    *) printf '%s.checkpoint' "${output:-$folder/quantized.h5}" ;;
    esac
}

digest_of() { sha256sum 2>/dev/null <"$1" || echo none; }

# requeue_or_say CHECKPOINT BEFORE: puts the job back into the queue if that can help. BEFORE is the
# checkpoint's digest when this attempt began: one that did not move would never end.
requeue_or_say() {
    local checkpoint=$1 before=$2 limit=${QUANTOPT_MAX_REQUEUES:-20} count=${SLURM_RESTART_COUNT:-0}
    local again="run the same command again to go on"
    if [ ! -e "$checkpoint" ]; then
        note "not requeued: no checkpoint $checkpoint; $again"
    elif [ "$(digest_of "$checkpoint")" = "$before" ]; then
        note "not requeued: $checkpoint did not move forward; give it more time; $again"
    elif [ "$count" -ge "$limit" ]; then
        note "not requeued: $count times already (QUANTOPT_MAX_REQUEUES); $again"
    elif scontrol requeue "$job"; then
        note "requeued, for the $((count + 1)). time"
    else
        note "not requeued: Slurm refuses; $again"
    fi
}

stopping='' child=''
trap 'on_signal USR1' USR1
trap 'on_signal TERM' TERM
export CUDA_DEVICE_ORDER=PCI_BUS_ID # as Slurm numbers them
load_site
find_program
find_end_time
find_launcher
print_environment
