#!/bin/bash
# A Slurm of our own on this machine: munged, slurmctld and two slurmd on loopback, all below one folder.
#
#   slurm.sh start FOLDER    prints what to export
#   slurm.sh stop FOLDER
#
# Nothing outside the folder is changed and nothing beyond this machine is reached. Needs root: slurmd keeps jobs apart by user.
set -eu
action=$1
folder=$(realpath -m "$2")
case $action in
start)
    mkdir -p "$folder"/{run,state,spool,log}
    # munged wants a folder that only its user may write, and a path that all may enter.
    chmod 755 "$folder" "$folder/run"
    chmod 700 "$folder/log"
    head -c 128 /dev/urandom > "$folder/munge.key"
    chmod 600 "$folder/munge.key"
    munged --force --key-file="$folder/munge.key" --socket="$folder/run/munge.socket" --pid-file="$folder/run/munged.pid" \
        --log-file="$folder/log/munged.log" --seed-file="$folder/run/munge.seed"
    host=$(hostname -s)
    # One core for each node, as far as Slurm is concerned: two tasks go to two nodes.
    cat > "$folder/slurm.conf" <<END
ClusterName=lathe-test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge.socket
SlurmctldPort=${SLURM_TEST_PORT:-26817}
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd-%n.pid
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0
ReturnToService=2
KillWait=5
MinJobAge=600
SlurmdParameters=config_overrides
MpiDefault=none
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=sweep1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((${SLURM_TEST_PORT:-26817} + 1)) CPUs=1 State=UNKNOWN
NodeName=sweep2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((${SLURM_TEST_PORT:-26817} + 2)) CPUs=1 State=UNKNOWN
PartitionName=test Nodes=sweep1,sweep2 Default=YES MaxTime=INFINITE State=UP
END
    export SLURM_CONF=$folder/slurm.conf
    slurmctld -c
    for node in sweep1 sweep2; do slurmd -c -N "$node"; done
    for _ in $(seq 60); do
        [ "$(sinfo -h -t idle -o %D 2>/dev/null | paste -sd+ | bc 2>/dev/null || echo 0)" = 2 ] && break
        sleep 0.5
    done
    echo "SLURM_CONF=$folder/slurm.conf"
    ;;
stop)
    for file in "$folder"/run/slurmd-sweep1.pid "$folder"/run/slurmd-sweep2.pid "$folder"/run/slurmctld.pid "$folder"/run/munged.pid; do
        [ -f "$file" ] && kill "$(cat "$file")" 2>/dev/null || true
    done
    ;;
esac
