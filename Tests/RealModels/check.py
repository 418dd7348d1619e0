"""Tries lathe on the models of models.tsv: inspect, evaluate, and apply with every technique; checks every written file
with Python's onnxruntime. Results go to a JSON file per model; report.py makes a document of them.

check.py [--lathe PROGRAM] [--results FOLDER] [--recipes NAME,...] [--again WHAT] [--no-latency] [--seconds LIMIT] [KEY...]
check.py --latency [--lathe PROGRAM] [--results FOLDER] [--again WHAT] [KEY...]

A run may be interrupted and goes on where it was: what this very program did is not done again, unless --again says
otherwise. With --recipes only those are tried, and put beside what is there. --latency adds the latency of stored recipes whose
outputs stay near the original's, and does nothing else: for a time when the machine is quiet.
"""

import argparse
import hashlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import time

import onnxruntime

import results
import samples

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
COMBINATIONS = [
    ["magnitude-pruning", "weight-sharing", "huffman"], ["structured-pruning", "static-int8"], ["svd", "weight-quantization"],
]
# A second setting of a technique that takes another way through its code.
VARIANTS = [["fp16:mode=compute"]]
# What a correction is put after; magnitude pruning where nothing is named here.
DAMAGE = {"batchnorm-reestimation": "structured-pruning", "bias-correction": "weight-quantization:bits=4"}
# How many recipes go to Python's onnxruntime, and into the results, at once.
CHUNK = 8
# A rewrite that takes longer (seconds of processor time) is not made a second time to compare bytes.
REPEATED = 5


class Run:
    """A program run to its end: status, output, seconds by the clock and of processor time."""

    def __init__(self, arguments, limit=600):
        start, used = time.time(), self.used()
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        try:
            output, errors = process.communicate(timeout=limit)
            self.status = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
            self.status = "timeout"
        self.output, self.errors = output.decode(errors="replace"), errors.decode(errors="replace")
        self.seconds, self.processor = time.time() - start, self.used() - used

    @staticmethod
    def used():
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return ended.ru_utime + ended.ru_stime

    @property
    def refused(self):
        return self.status == 2 and len(self.errors.strip().splitlines()) == 1


def program_name(path):
    """The version of a program and its content: two builds of one version are two programs."""
    said = Run([path, "--version"]).output.strip().split()
    return f"{said[-1] if said else '?'} {hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()[:12]}"


class Check:
    def __init__(self, row, options):
        self.row, self.options = row, options
        self.key = row["key"]
        self.model = str(REPOSITORY / ".deps/real-models" / f"{self.key}.onnx")
        self.folder = pathlib.Path(options.results) / self.key
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = pathlib.Path(options.results) / f"{self.key}.json"
        self.result = {"recipes": {}}
        if self.file.exists():
            self.result = json.loads(self.file.read_text())
        self.result.update({"key": self.key, "bytes": row["bytes"], "stresses": row["stresses"], "runtime": onnxruntime.__version__})
        # Large models: fewer samples, so that a run takes minutes.
        self.count, self.calibration = (12, 4) if row["bytes"] < 15e6 else (8, 3)

    def lathe(self, *arguments, entry=None):
        run = Run([self.options.lathe, *arguments], self.options.seconds)
        if run.status not in (0, 2) or (run.status == 2 and not run.refused):
            self.fail(f"lathe {' '.join(arguments)}: status {run.status}: {run.errors[-400:]}", entry)
        return run

    def fail(self, what, entry=None):
        """Notes a failure of one recipe, or of the model."""
        what = what.replace(f"{self.folder}/", "").replace(f"{REPOSITORY}/", "")
        print(f"FAILURE {self.key}: {what}", flush=True)
        (self.result if entry is None else entry).setdefault("failures", []).append(what)

    def save(self):
        # Whole or not at all: a run may be interrupted at any time.
        beside = self.file.with_suffix(".new")
        beside.write_text(json.dumps(self.result, indent=1))
        beside.replace(self.file)

    def is_done(self, name):
        entry = self.result["recipes"].get(name)
        if entry is None or self.options.again == "all":
            return False
        if self.options.again == "failed":
            return not entry.get("failures")
        return self.options.again == "missing" or entry.get("program") == self.options.program

    def types(self):
        """Element types of the inputs, if onnxruntime can load the model; what it says otherwise."""
        code = "import onnxruntime,sys,json\no=onnxruntime.SessionOptions()\no.log_severity_level=4\n" \
            "print(json.dumps({i.name:i.type for i in onnxruntime.InferenceSession(sys.argv[1],o).get_inputs()}))"
        run = Run([sys.executable, "-c", code, self.model])
        if run.status == 0:
            return json.loads(run.output), None
        said = run.errors.strip().splitlines() or [f"onnxruntime ends with status {run.status}"]
        return None, " ".join(said[-1].replace(self.model, "the model").split())[:200]

    def run(self):
        recipes = [(name, steps) for name, steps in self.named_recipes() if not self.is_done(name)]
        if not recipes:
            return
        self.result["failures"] = []
        inspected = self.lathe("inspect", self.model, "--json")
        if inspected.status == 0:
            document = json.loads(inspected.output)
            self.result["inspect"] = {"seconds": inspected.seconds, "layers": len(document["layers"]), "warnings": document["warnings"],
                                      "figures": document["figures"]}
        else:
            self.fail(f"inspect: {inspected.errors.strip()}")
        types, problem = self.types()
        self.result["runs"] = types is not None
        if types is None:
            self.result["problem"] = problem
            self.without_runtime(recipes)
            return self.save()
        samples.write_data(self.row, types, self.count, self.calibration, self.folder)
        self.data = str(self.folder / "data.yaml")
        plain = self.lathe("evaluate", self.model, "--data", str(self.folder / "data.npz"), "--json", "--no-latency")
        self.result["evaluate"] = json.loads(plain.output)["accuracy"] if plain.status == 0 else plain.errors.strip()
        if plain.status != 0:
            self.fail(f"evaluate: {plain.errors.strip()}")
        elif self.result["evaluate"]["value"] != 1:
            self.fail(f"evaluate: a model agrees with itself to {self.result['evaluate']['value']}")
        for start in range(0, len(recipes), CHUNK):
            self.recipes(recipes[start : start + CHUNK])
            self.save()

    def begin(self, name):
        entry = self.result["recipes"][name] = {"program": self.options.program}
        return entry

    def apply(self, entry, files, arguments):
        """Writes the model after a recipe, and again to compare bytes; the first run."""
        runs = []
        for file in files:
            runs.append(self.lathe("apply", self.model, "--output", str(file), "--json", *arguments, entry=entry))
            if runs[0].status != 0:
                entry["refusal"] = runs[0].errors.strip() if runs[0].status == 2 else f"status {runs[0].status}"
                break
            if runs[0].processor > REPEATED:
                break
        entry["seconds"], entry["processor"] = min(run.seconds for run in runs), min(run.processor for run in runs)
        if runs[0].status == 0:
            entry["repeated"] = len(runs) > 1
            entry["steps"] = self.reasons(json.loads(runs[0].output))
            entry["bytes"] = files[0].stat().st_size
            if len(runs) > 1 and (runs[1].status != 0 or files[0].read_bytes() != files[1].read_bytes()):
                self.fail(f"{arguments[-1]}: not the same bytes twice", entry)
        files[1].unlink(missing_ok=True)
        return runs[0].status == 0

    def without_runtime(self, recipes):
        """A model that cannot run: techniques that need no data must still write the same bytes twice."""
        for name, steps in recipes:
            files = [self.folder / f"{which}.onnx" for which in "ab"]
            self.apply(self.begin(name), files, steps)
            files[0].unlink(missing_ok=True)

    def named_recipes(self):
        """(name, arguments) of every recipe to try; all of the program's techniques are among them."""
        techniques = json.loads(Run([self.options.lathe, "techniques", "--json"]).output)["techniques"]
        self.result["families"] = {t["id"]: t["family"] for t in techniques}
        # A correction alone has nothing to correct.
        corrections = [t["id"] for t in techniques if t["family"] == "correction"]
        alone = [[t["id"]] for t in techniques if t["id"] not in corrections]
        for recipe in alone + VARIANTS + [[DAMAGE.get(t, "magnitude-pruning"), t] for t in corrections] + COMBINATIONS:
            name = " + ".join(recipe)
            if not self.options.recipes or name in self.options.recipes:
                yield name, self.steps(name)

    @staticmethod
    def steps(name):
        return [part for step in name.split(" + ") for part in ("--step", step)]

    @staticmethod
    def reasons(document):
        """How many layers each step left alone, by reason, and how many it changed."""
        steps = []
        for step in document["recipe"]["steps"]:
            reasons = {}
            for refusal in step.get("refused") or []:
                reasons[refusal["reason"]] = reasons.get(refusal["reason"], 0) + 1
            steps.append({"technique": step["technique"], "layers": len(step.get("layers") or []), "refused": reasons, "notes": step.get("notes")})
        return steps

    def recipes(self, recipes):
        pending = {}
        for number, (name, steps) in enumerate(recipes):
            entry = self.begin(name)
            files = [self.folder / f"{number}-{which}.onnx" for which in "ab"]
            if not self.apply(entry, files, ["--data", self.data, *steps]):
                print(f"{self.key}: {name}: {entry['processor']:.1f} s: {entry['refusal'].split('step ')[-1][:200]}", flush=True)
                continue
            extra = ["--quick", *(["--no-latency"] if self.options.no_latency else [])]
            evaluated = self.lathe("evaluate", self.model, "--data", self.data, "--json", *extra, *steps, entry=entry)
            if evaluated.status == 0:
                document = json.loads(evaluated.output)
                entry["accuracy"] = document["accuracy"]["value"]
                self.take_latency(entry, document)
                entry["warnings"] = document.get("warnings", [])
                if document["figures"]["candidate"]["sizes"]["serialized"] != entry["bytes"]:
                    self.fail(f"{name}: evaluate says {document['figures']['candidate']['sizes']['serialized']} bytes, the file has {entry['bytes']}", entry)
            else:
                self.fail(f"{name}: evaluate: {evaluated.errors.strip()}", entry)
            print(f"{self.key}: {name}: {entry['processor']:.1f} s, {100 * entry['bytes'] / self.row['bytes']:.0f} %, {entry.get('accuracy')}", flush=True)
            pending[str(files[0])] = name
        for file, said in self.ask_oracle(list(pending)).items():
            name = pending[file]
            entry = self.result["recipes"][name]
            entry["oracle"] = {key: value for key, value in said.items() if key != "file"}
            self.judge(name, entry, said)
            os.unlink(file)

    @staticmethod
    def take_latency(entry, document):
        if "latency" in document:
            entry["latency"], entry["disturbed"] = document["latency"]["ratio"], "warning" in document["latency"]

    def latencies(self):
        """Adds the latency of recipes that keep the outputs and have none, or one that others disturbed."""
        if not self.file.exists() or not self.result.get("runs"):
            return
        single = results.is_single(self.result)
        wanted = [name for name, entry in self.result["recipes"].items() if results.is_near(entry, single)
                  and (not self.options.recipes or name in self.options.recipes)
                  and (self.options.again == "all" or "latency" not in entry or entry["disturbed"])]
        if not wanted:
            return
        samples.write_data(self.row, self.types()[0], self.count, self.calibration, self.folder)
        for name in wanted:
            entry = self.result["recipes"][name]
            measured = self.lathe("evaluate", self.model, "--data", str(self.folder / "data.yaml"), "--json", "--quick", "--limit", "1", *self.steps(name), entry=entry)
            if measured.status == 0:
                self.take_latency(entry, json.loads(measured.output))
                print(f"{self.key}: {name}: {entry['latency']:.2f}{', disturbed' if entry['disturbed'] else ''}", flush=True)
            self.save()

    def judge(self, name, entry, said):
        if "error" in said:
            return self.fail(f"{name}: onnxruntime: {said['error']}", entry)
        for what, sentence in [("interface", "inputs or outputs changed"), ("valid", "onnx.checker refuses the file"),
                               ("shapes", "outputs have other shapes"), ("other_shapes", "outputs have other shapes at another batch or length")]:
            if said.get(what) is False:
                self.fail(f"{name}: {sentence} {said.get('difference', '')}", entry)
        if "accuracy" in entry and "cosine" in said:
            distance = abs(entry["accuracy"] - said["cosine"])
            if distance > 1e-4 + 0.02 * (1 - said["cosine"]):
                self.fail(f"{name}: evaluate says {entry['accuracy']:.6f}, Python {said['cosine']:.6f}", entry)
        if said.get("outputs", 2) > 1 and "other_cosine" in said and said["other_cosine"] < 0.5 and said.get("cosine", 0) > 0.95:
            self.fail(f"{name}: cosine {said['cosine']:.4f} at the given shapes, {said['other_cosine']:.4f} at others", entry)

    def ask_oracle(self, files):
        answers = {}
        while len(answers) < len(files):
            rest = [file for file in files if file not in answers]
            run = Run([sys.executable, str(HERE / "oracle.py"), self.key, self.model, str(self.calibration), str(self.count), *rest], limit=900)
            for line in run.output.splitlines():
                answer = json.loads(line)
                answers[answer["file"]] = answer
            left = [file for file in files if file not in answers]
            if left:
                answers[left[0]] = {"file": left[0], "error": f"the process ended with status {run.status}: {run.errors[-200:]}"}
        return answers


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lathe", default=str(REPOSITORY / ".build/release/lathe"))
    parser.add_argument("--results", default=str(REPOSITORY / ".build/real-models"))
    parser.add_argument("--recipes", type=lambda text: text.split(","), help="only these, as the results name them")
    parser.add_argument("--again", choices=["changed", "missing", "failed", "all"], default="changed",
                        help="what to do of what the results have: what another program did, nothing, what failed, everything")
    parser.add_argument("--no-latency", action="store_true")
    parser.add_argument("--latency", action="store_true", help="only add latencies")
    parser.add_argument("--seconds", type=float, default=600, help="longest time of one call of the program")
    parser.add_argument("keys", nargs="*")
    options = parser.parse_args()
    options.program = program_name(options.lathe)
    count = 0
    for row in sorted(samples.models(), key=lambda row: row["bytes"]):
        if options.keys and row["key"] not in options.keys:
            continue
        check = Check(row, options)
        start = time.time()
        check.latencies() if options.latency else check.run()
        for leftover in check.folder.iterdir():
            leftover.unlink()
        check.folder.rmdir()
        failures = results.failures(check.result)
        print(f"{row['key']}: {len(failures)} failures, {time.time() - start:.0f} s", flush=True)
        count += len(failures)
    print(f"{count} failures")
    sys.exit(1 if count else 0)


if __name__ == "__main__":
    main()
