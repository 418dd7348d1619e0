#!/usr/bin/env bash
# In a Slurm array, one task that requeues itself by its own job number requeues all of its siblings.
#
# One would guess: SLURM_JOB_ID names the task that reads it, so that `scontrol requeue "$SLURM_JOB_ID"` at the end of a time limit, as scripts with checkpoints have it,
# starts this task again and leaves the other ones alone.
#
# What is so: the task that was split off last keeps the number of the array as a whole (SLURM_JOB_ID = SLURM_ARRAY_JOB_ID), and by that number scontrol finds the whole array: tasks that
# run are stopped in the middle and start again. The other tasks' numbers are theirs alone. So the script works in all tasks but one. `${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}` names
# one task in all of them.
#
# Seen with Slurm 22.05.8 (Debian 12), two nodes on one machine, an array of two tasks:
#   requeue by SLURM_JOB_ID in the last task: restarts 1 and 1
#   requeue by ARRAY_TASK in the last task: restarts 0 and 1
#
# Takes six minutes: Slurm holds back what was requeued. Needs root: the daemons are started here, in a temporary folder, on loopback, and stopped at the end. The packages are Debian's and stay installed.
set -euo pipefail
missing=()
for package in slurm-wlm munge; do dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package"); done
if [ ${#missing[@]} -gt 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
fi
folder=$(mktemp -d)
finish() {
    for file in "$folder"/run/*.pid; do [ -f "$file" ] && kill "$(cat "$file")" 2>/dev/null || true; done
    sleep 1
    rm -rf "$folder"
}
trap finish EXIT
mkdir -p "$folder"/{run,state,spool,log}
chmod 755 "$folder" "$folder/run"
chmod 700 "$folder/log"
head -c 128 /dev/urandom > "$folder/key"
chmod 600 "$folder/key"
munged --force --key-file="$folder/key" --socket="$folder/run/munge" --pid-file="$folder/run/munged.pid" --log-file="$folder/log/munged" --seed-file="$folder/run/seed"
host=$(hostname -s)
cat > "$folder/slurm.conf" <<END
ClusterName=finding
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge
SlurmctldPort=26917
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd-%n.pid
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldLogFile=$folder/log/slurmctld
SlurmdLogFile=$folder/log/slurmd-%n
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=2
MpiDefault=none
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
NodeName=one NodeHostname=$host NodeAddr=127.0.0.1 Port=26918 CPUs=1 State=UNKNOWN
NodeName=two NodeHostname=$host NodeAddr=127.0.0.1 Port=26919 CPUs=1 State=UNKNOWN
PartitionName=test Nodes=one,two Default=YES MaxTime=INFINITE State=UP
END
export SLURM_CONF=$folder/slurm.conf
slurmctld -c
for node in one two; do slurmd -c -N "$node"; done
cat > "$folder/task.sh" <<'END'
#!/bin/bash
#SBATCH --array=0-1 --requeue --ntasks=1
echo "$SLURM_JOB_ID ${SLURM_RESTART_COUNT:-0}" > "$FOLDER/task-$SLURM_ARRAY_TASK_ID"
echo "$SLURM_ARRAY_JOB_ID" > "$FOLDER/array"
sleep 300
END
restarts() { cut -d' ' -f2 "$folder/task-$1" 2>/dev/null || echo none; }
# Sets first and second: how often each task was started again after one requeue, by which the second is named.
try() {
    rm -f "$folder"/task-* "$folder/array"
    FOLDER=$folder sbatch --parsable --export=ALL,FOLDER="$folder" --output=/dev/null "$folder/task.sh" > "$folder/number"
    for _ in $(seq 120); do [ -f "$folder/task-0" ] && [ -f "$folder/task-1" ] && break; sleep 0.5; done
    array=$(cat "$folder/array")
    # The task that has the array's own number.
    for task in 0 1; do [ "$(cut -d' ' -f1 "$folder/task-$task")" = "$array" ] && last=$task; done
    [ "$1" = number ] && name=$array || name=${array}_$last
    scontrol requeue "$name"
    for _ in $(seq 400); do [ "$(restarts "$last")" = 1 ] && break; sleep 0.5; done
    sleep 5
    first=$(restarts $((1 - last)))
    # Where all are requeued, the other task may be started later.
    for _ in $(seq 100); do squeue -h -j "$array" -o %T | grep -q PENDING || break; sleep 0.5; done
    sleep 2
    first=$(restarts $((1 - last)))
    second=$(restarts "$last")
    scancel "$array"
    sleep 4
}
slurmctld -V
try number
by_number="$first and $second"
echo "requeue by SLURM_JOB_ID in the last task: restarts $by_number"
try task
by_task="$first and $second"
echo "requeue by ARRAY_TASK in the last task: restarts $by_task"
[ "$by_number" = "1 and 1" ] && [ "$by_task" = "0 and 1" ] || { echo "this has changed" >&2; exit 1; }
