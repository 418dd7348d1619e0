"""What a sweep loses to killed workers: nothing.

    python3 Benchmarks/sweep_kills.py --lathe .build/release/lathe [--trials 1000] [--workers 8] [--every 3] [--samples 200] [--output FILE.md]

One sweep is worked through by one undisturbed worker. The same trials are then worked through by several supervisors (`lathe sweep work`), and every few seconds
a random one of their processes gets SIGKILL: a worker in the middle of a trial, or the supervisor with it, which this script then starts anew. Afterwards the two
are compared: that each trial has one result, that nothing is left in the folder, and that results and fronts are the same, times aside."""
import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import time


def results(sweep):
    return {int(path.stem): json.loads(path.read_text()) for path in (sweep / "done").glob("*.json")}


def comparable(result):
    """Without who found it, when, and how long it took."""
    return {key: value for key, value in result.items() if key not in ("worker", "host", "began", "seconds", "strikes", "threads")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lathe", required=True)
    parser.add_argument("--model", default="lenet-300-100")
    parser.add_argument("--goal", default="file <= 50%, drop <= 2")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--every", type=float, default=3, help="seconds between kills, on average")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parent.parent
    choose = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        environment = dict(os.environ, XDG_STATE_HOME=str(folder / "state"), XDG_CACHE_HOME=str(folder / "cache"))

        def lathe(*arguments, **more):
            return subprocess.run([options.lathe, "sweep", *map(str, arguments)], check=True, env=environment, capture_output=True, text=True, **more).stdout

        for name in ("calm", "killed"):
            # A trial that is hit again and again is not to count as one that crashes its worker.
            lathe("init", folder / name, root / f"SampleModels/{options.model}.onnx", "--data", root / "SampleModels/data/fashion-mnist.yaml", "--goal", options.goal,
                  "--trials", options.trials, "--samples", options.samples, "--seed", options.seed, "--attempts", 50)
        began = time.monotonic()
        lathe("work", folder / "calm", "--jobs", 1)
        calm = time.monotonic() - began

        sweep = folder / "killed"
        log = open(folder / "log", "w")

        def start():
            return subprocess.Popen([options.lathe, "sweep", "work", str(sweep), "--threads", "1"], env=environment, stdout=log, stderr=log)

        def children(process):
            try:
                return [int(word) for word in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
            except OSError:
                return []

        began = time.monotonic()
        supervisors = [start() for _ in range(options.workers)]
        kills = {"worker": 0, "supervisor": 0}
        taken = 0
        next_kill = began + options.every
        while True:
            time.sleep(0.1)
            done = len(os.listdir(sweep / "done"))
            if done >= options.trials:
                break
            for place, process in enumerate(supervisors):
                if process.poll() is not None:
                    supervisors[place] = start()
            if time.monotonic() < next_kill:
                continue
            next_kill = time.monotonic() + options.every * choose.uniform(0.5, 1.5)
            process = choose.choice(supervisors)
            if choose.random() < 0.25:
                process.kill()
                process.wait()
                kills["supervisor"] += 1
            elif children(process):
                os.kill(children(process)[0], signal.SIGKILL)
                kills["worker"] += 1
        for process in supervisors:
            process.wait(timeout=300)
        disturbed = time.monotonic() - began
        left = {part: len(os.listdir(sweep / part)) for part in ("open", "claimed", "workers", "staging")}
        # What the last killed ones left is cleaned up by whoever works next.
        lathe("work", sweep)
        one, other = results(folder / "calm"), results(sweep)
        strikes = sum(result["strikes"] for result in other.values())
        fronts = [json.loads(lathe("collect", folder / name, "--json"))["front"] for name in ("calm", "killed")]
        front = [[(found["id"], found["trial"]["values"]) for found in part] for part in fronts]
        workers = len({result["worker"] for result in other.values()})
        different = sorted(key for key in one.keys() | other.keys() if key not in one or key not in other or comparable(one[key]) != comparable(other[key]))
        rows = [
            ("trials", options.trials), ("results with one undisturbed worker", len(one)), (f"results with {options.workers} workers and kills", len(other)),
            ("SIGKILL to a worker", kills["worker"]), ("SIGKILL to a supervisor, and so the end of its worker", kills["supervisor"]),
            ("trials that a kill interrupted and another worker did again", strikes), ("processes that have written results", workers),
            ("results lost", len(one.keys() - other.keys())), ("results that differ from the undisturbed worker's, times aside", len(different)),
            ("recipes on the front", f"{len(front[0])} and {len(front[1])}"), ("fronts", "the same" if front[0] == front[1] else "DIFFERENT"),
            ("left in open, claimed, workers, staging when all were done", ", ".join(str(count) for count in left.values())),
            ("seconds, one undisturbed worker", round(calm)), (f"seconds, {options.workers} workers and kills", round(disturbed)),
        ]
        lines = ["| | |", "|---|--:|", *[f"| {name} | {value} |" for name, value in rows]]
        print("\n".join(lines))
        if different:
            for key in different[:3]:
                print(key, json.dumps(one.get(key)), json.dumps(other.get(key)), sep="\n  ")
        if options.output:
            text = " ".join(__doc__.split("\n\n")[2].split())
            command = f"`python3 Benchmarks/sweep_kills.py --trials {options.trials} --workers {options.workers} --every {options.every:g} --samples {options.samples}`"
            options.output.write_text("\n".join(["# Sweeps whose workers are killed", "", f"Printed by {command} on {os.cpu_count()} cores, {options.model}. {text}", "", *lines]) + "\n")
        if different or front[0] != front[1] or len(other) != options.trials or not front[0]:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
