#!/bin/bash
# A sweep through a real Slurm (two nodes on this machine, on loopback) with a requeue in the middle, and one through real GNU parallel: no trial is lost, none
# counts twice. Installs slurm-wlm, munge and parallel (Debian) where they are missing; needs root for both.
#
#   Tests/Sweep/test-sweep.sh [LATHE]
set -eu
cd "$(dirname "$0")/../.."
lathe=$(realpath "${1:-.build/release/lathe}")
here=$PWD/Tests/Sweep
missing=
for pair in sbatch:slurm-wlm slurmd:slurm-wlm munged:munge parallel:parallel; do command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"; done
if [ -n "$missing" ]; then
    [ "$(id -u)" = 0 ] || { echo "test-sweep: needs$missing, and root to install them" >&2; exit 2; }
    # shellcheck disable=SC2086
    apt-get install -y --no-install-recommends $missing >/dev/null
fi
[ "$(id -u)" = 0 ] || { echo "test-sweep: a Slurm of its own needs root" >&2; exit 2; }

work=$(mktemp -d)
chmod 755 "$work"
export XDG_STATE_HOME=$work/state LATHE_ONNXRUNTIME=${LATHE_ONNXRUNTIME:-$(ls "$PWD"/.deps/onnxruntime/libonnxruntime.so.* | head -1)}
other=
finish() {
    [ -n "$other" ] && kill "$other" 2>/dev/null
    if [ -f "$work/slurm/slurm.conf" ]; then
        SLURM_CONF=$work/slurm/slurm.conf scancel --quiet -u root 2>/dev/null
        "$here/slurm.sh" stop "$work/slurm"
    fi
    [ -n "${KEEP:-}" ] && echo "kept: $work" || rm -rf "$work"
}
trap finish EXIT

init() {
    "$lathe" sweep init "$1" SampleModels/lenet-300-100.onnx --data SampleModels/data/fashion-mnist.yaml --goal 'file <= 50%, drop <= 2' --samples "$3" --trials "$2" --attempts 10
}
count() { find "$1/done" -name '*.json' | wc -l; }
until_done() { # folder, results, seconds
    for _ in $(seq $(($3 * 5))); do
        [ "$(count "$1")" -ge "$2" ] && return 0
        sleep 0.2
    done
    echo "test-sweep: $(count "$1") of $2 results after $3 s" >&2
    tail -n 20 "$1"/launch/*.log >&2 || true
    return 1
}
check() { # folder, trials
    "$lathe" sweep collect "$1" --jsonl "$work/lines.jsonl" --json >"$work/report.json"
    python3 - "$1" "$2" "$work" <<'END'
import json, os, sys
sweep, trials, work = sys.argv[1], int(sys.argv[2]), sys.argv[3]
lines = [json.loads(line) for line in open(f"{work}/lines.jsonl")]
report = json.load(open(f"{work}/report.json"))
left = {part: os.listdir(f"{sweep}/{part}") for part in ("open", "claimed", "staging")}
assert [line["id"] for line in lines] == list(range(trials)), "a trial is lost or counted twice"
assert report["done"] == trials and report["best"], report
assert not any(left.values()), left
print(f"  {trials} trials, {trials} results by {len({line['worker'] for line in lines})} processes, {sum(line['strikes'] for line in lines)} done again, nothing left over")
END
}

echo "Slurm: two nodes on this machine"
trials=400
init "$work/sweep" $trials 2000 >/dev/null
"$here/slurm.sh" start "$work/slurm" >/dev/null
export SLURM_CONF=$work/slurm/slurm.conf
sinfo -N -o '  %N %T'
"$lathe" sweep work "$work/sweep" --launch slurm:2 --threads 1 --time 30m | sed 's/^/  /'
job=$(squeue -h -o %A | sort -n | head -1)
until_done "$work/sweep" 20 240
squeue -h -o '  task %i on %N' -t RUNNING
# Slurm sends SIGTERM to everything in the job.
scontrol requeue "${job}_0"
until_done "$work/sweep" $(($(count "$work/sweep") + 15)) 240
for _ in $(seq 50); do
    scontrol update JobId="${job}_0" StartTime=now 2>/dev/null && break
    sleep 0.2
done
until_done "$work/sweep" $(($(count "$work/sweep") + 30)) 240
# What --signal=B:TERM@120 does ahead of the time limit: the script alone hears of it, gives the trial back and queues itself again.
scancel --signal=TERM --batch "${job}_1"
sleep 1
for _ in $(seq 50); do
    scontrol update JobId="${job}_1" StartTime=now 2>/dev/null && break
    sleep 0.2
done
# And the worst: a worker and its supervisor are killed.
until_done "$work/sweep" $(($(count "$work/sweep") + 20)) 240
worker=$(find "$work/sweep/claimed" -name '*.json' | head -1 | sed 's/.*-\([0-9]*\)-[^-]*$/\1/')
[ -n "$worker" ] && kill -9 "$worker" 2>/dev/null || true
until_done "$work/sweep" $trials 600
for _ in $(seq 100); do
    [ -z "$(squeue -h)" ] && break
    sleep 0.2
done
# Each task was started twice.
for task in 0 1; do
    restarts=$(scontrol show job "${job}_$task" | sed -n 's/.*Restarts=\([0-9]*\).*/\1/p' | head -1)
    echo "  task $task: restarts $restarts"
    [ "$restarts" = 1 ] || { echo "test-sweep: task $task was not queued again" >&2; exit 1; }
done
check "$work/sweep" $trials

echo "GNU parallel, with another worker beside it"
init "$work/second" 150 500 >/dev/null
"$lathe" sweep work "$work/second" --threads 1 >"$work/other.log" 2>&1 &
other=$!
"$lathe" sweep work "$work/second" --launch parallel --hosts : --threads 1 2>"$work/parallel.log" | sed 's/^/  /' &
pipe=$!
until_done "$work/second" 20 240
worker=$(find "$work/second/claimed" -name '*.json' | head -1 | sed 's/.*-\([0-9]*\)-[^-]*$/\1/')
[ -n "$worker" ] && kill -9 "$worker" 2>/dev/null || true
wait $pipe
wait $other
other=
check "$work/second" 150
echo "test-sweep: passed"
