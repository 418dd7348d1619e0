"""What lathe itself keeps (trials, trainings, scores, choices, times), made by running it once, then made odd."""

import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import time

import numpy as np

import mutations
import odd
import seeds
from case import Case

SENSITIVITY = ["sensitivity", "model.onnx", "--data", "data.npz", "--limit", "6", "--step", "magnitude-pruning", "--values", "0.3,0.6"]
EVALUATE = ["evaluate", "model.onnx", "--data", "data.npz", "--no-latency", "--quick", "--step", "magnitude-pruning"]
STATIC = ["apply", "model.onnx", "--data", "data.npz", "--step", "static-int8", "--output", "out.onnx"]
REPLAY = ["replay", "log.jsonl", "--model", "model.onnx", "--data", "data.npz"]
LOG = b'{"lathe":1,"t":0,"action":"open"}\n{"t":0.1,"action":"enable","technique":"magnitude-pruning"}\n'
TRAIN = ["train", "model.onnx", "--data", "data.npz", "--epochs", "3", "--batch", "8", "--output", "out.onnx"]
ARCHIVED = ["dense", "convolutions", "attention", "recurrent", "quantize_linear", "ds-cnn"]
ARCHIVE_STEPS = [[], ["--step", "magnitude-pruning?:sparsity=0.9", "--step", "weight-sharing?:bits=4", "--step", "huffman?"],
                 ["--step", "weight-sharing?:bits=3", "--step", "range-coding?"], ["--step", "weight-quantization?:bits=4"]]


class States:
    def __init__(self, runner):
        self.runner = runner
        self.made = {}

    def once(self, key, make):
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def archive(self, rng):
        name, steps = rng.choice(ARCHIVED), rng.choice(range(len(ARCHIVE_STEPS)))
        return self.once((name, steps), lambda: self.packed(name, ARCHIVE_STEPS[steps]))

    def packed(self, name, steps):
        folder = self.runner.prepared(Case("archive", {"model.onnx": seeds.models()[name]}, []))
        if steps:
            self.runner.run(["apply", "model.onnx", "--pack", "a.lathe", "--output", "o.onnx", *steps], folder, seconds=60)
        # Steps that the model does not take are left out.
        if not (folder / "a.lathe").exists():
            self.runner.run(["pack", "model.onnx", "--output", "a.lathe"], folder, seconds=60)
        return (folder / "a.lathe").read_bytes()

    @staticmethod
    def inputs(samples):
        rng = np.random.default_rng(9)
        x = rng.standard_normal((samples, 3, 8, 8)).astype(np.float32)
        path = pathlib.Path(os.environ.get("TMPDIR", "/tmp"), f"lathe-fuzz-{os.getpid()}.npz")
        np.savez(path, x=x, labels=rng.integers(0, 4, samples))
        data = path.read_bytes()
        path.unlink()
        return {"model.onnx": seeds.models()["convolutions"], "data.npz": data, "log.jsonl": LOG}

    @staticmethod
    def state_of(folder):
        return {str(path.relative_to(folder)): path.read_bytes() for path in (folder / "state").rglob("*") if path.is_file() and path.suffix != ".lock"}

    def used(self):
        """The files that several commands read, and the state after them."""
        def make():
            inputs = self.inputs(24)
            folder = self.runner.prepared(Case("state", inputs, []))
            for arguments in (SENSITIVITY, EVALUATE, STATIC, REPLAY):
                self.runner.run(arguments, folder, seconds=60)
            return inputs, self.state_of(folder)
        return self.once("used", make)

    def trials(self, rng):
        inputs, kept = self.used()
        path = "state/lathe/trials.sqlite"
        files = {**inputs, **{name: data for name, data in kept.items() if "trials.sqlite" in name}}
        data = odd_database(rng, {name: data for name, data in files.items() if "trials.sqlite" in name}, self.runner.scratch)
        files = {name: data for name, data in files.items() if "trials.sqlite" not in name} | {path: data}
        if rng.random() < 0.1:
            files[path + rng.choice(["-wal", "-shm", "-journal"])] = odd.damaged(rng, data[:5000])
        return Case("trials", files, [rng.choice([SENSITIVITY, EVALUATE, REPLAY])])

    def caches(self, rng):
        inputs, kept = self.used()
        others = {name: data for name, data in kept.items() if "trials" not in name}
        name = rng.choice(sorted(others))
        if name.endswith(".json") and rng.random() < 0.7:
            data = json.dumps(odd.tree(rng, json.loads(others[name]))).encode("utf-8", "surrogatepass")
        else:
            data = odd.damaged(rng, others[name])
        return Case("caches", {**inputs, name: data}, [rng.choice([STATIC, EVALUATE, REPLAY, SENSITIVITY])])

    def trained(self):
        """Files, the state with a checkpoint of a training that was killed, and the state with its result."""
        def make():
            inputs = self.inputs(3000)
            folder = self.runner.prepared(Case("checkpoint", inputs, []))
            trainings = folder / "state/lathe/trainings"
            process = subprocess.Popen([self.runner.lathe, *TRAIN], cwd=folder, env=self.runner.environment(folder, False), stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            until = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < until and not list(trainings.glob("*.checkpoint.onnx")):
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
            process.wait()
            checkpoint = {name: data for name, data in self.state_of(folder).items() if name.endswith(".checkpoint.onnx")}
            self.runner.run(TRAIN, folder, seconds=120)
            result = {name: data for name, data in self.state_of(folder).items() if name.endswith(".result.onnx")}
            return inputs, checkpoint, result
        return self.once("trained", make)

    def training(self, rng):
        inputs, checkpoint, result = self.trained()
        kept = checkpoint if checkpoint and (not result or rng.random() < 0.6) else result
        ((name, data),) = kept.items()
        model = seeds.parse(data)
        if rng.random() < 0.6:
            # The checksum over the others is not made again: what is damaged must be noticed by it.
            entry = rng.choice([entry for entry in model.metadata_props if entry.key != "checksum"])
            entry.value = json.dumps(odd.tree(rng, json.loads(entry.value)))
            data = model.SerializeToString()
        if rng.random() < 0.6:
            data, _ = mutations.mutated(data, rng)
        return Case("checkpoint", {**inputs, name: data}, [TRAIN + (["--resume"] if kept is checkpoint and rng.random() < 0.8 else [])])


def odd_database(rng, files, scratch):
    """The trials with rows, tables or pages changed."""
    folder = scratch / "database"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, data in files.items():
        (folder / pathlib.Path(name).name).write_bytes(data)
    path = folder / "trials.sqlite"
    with sqlite3.connect(path) as database:
        for _ in range(rng.choice([1, 2, 3])):
            try:
                change_database(rng, database)
            except (sqlite3.Error, OverflowError, json.JSONDecodeError, TypeError):
                continue
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    data = path.read_bytes()
    return odd.damaged(rng, data) if rng.random() < 0.25 else data


def change_database(rng, database):
    columns = ["address", "kind", "modelHash", "dataHash", "recipe", "runtime", "threads", "figures", "created", "label", "isPinned", "parent"]
    choice = rng.randrange(10)
    if choice < 4:
        value = rng.choice([None, *odd.NUMBERS[:12], odd.name(rng), b"\xff\xfe\0", "{}", "[]"])
        database.execute("PRAGMA ignore_check_constraints=1")
        database.execute(f"UPDATE OR REPLACE trial SET {rng.choice(columns)} = ? WHERE random() % 2 = 0", [value])
    elif choice < 7:
        for address, figures in database.execute("SELECT address, figures FROM trial").fetchall():
            changed = json.dumps(odd.tree(rng, json.loads(figures))).replace("Infinity", "1e999").replace("NaN", '"nan"')
            database.execute("UPDATE trial SET figures = ? WHERE address = ?", [changed, address])
    elif choice == 7:
        database.execute(rng.choice([
            "DROP TABLE trial", "ALTER TABLE trial ADD COLUMN odd TEXT", "ALTER TABLE trial DROP COLUMN label", "DROP TABLE grdb_migrations", "DELETE FROM grdb_migrations",
            "INSERT INTO grdb_migrations VALUES ('9: odd')", "DROP INDEX trialByModelAndData", "ALTER TABLE trial RENAME COLUMN figures TO odd", "PRAGMA user_version = 99",
            "CREATE TRIGGER t AFTER INSERT ON trial BEGIN SELECT RAISE(ABORT, 'odd'); END"]))
    elif choice == 8:
        database.execute("DROP TABLE trial")
        database.execute(f"CREATE TABLE trial ({', '.join(rng.sample(columns, len(columns)))})")
    else:
        database.execute("CREATE TABLE odd AS SELECT * FROM trial")
        database.execute("DROP TABLE trial")
        database.execute("CREATE VIEW trial AS SELECT * FROM odd")
