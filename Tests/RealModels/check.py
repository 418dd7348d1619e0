"""Tries lathe on the models of models.tsv: inspect, evaluate, and apply with every technique; checks every written file
with Python's onnxruntime. Results go to a JSON file per model; report.py makes a document of them.

check.py [--lathe PROGRAM] [--results FOLDER] [--recipes NAME,...] [--no-latency] [KEY...]
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import onnxruntime

import samples

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
COMBINATIONS = [
    ["magnitude-pruning", "weight-sharing", "huffman"], ["structured-pruning", "static-int8"], ["svd", "weight-quantization"],
]
# A second setting of a technique that takes another way through its code.
VARIANTS = [["fp16:mode=compute"]]
# What a repair is put behind; magnitude pruning where nothing is named here.
DAMAGE = {"batchnorm-reestimation": "structured-pruning", "bias-correction": "weight-quantization:bits=4"}


class Run:
    """A program run to its end: status, output, seconds, peak resident bytes."""

    def __init__(self, arguments, limit=600):
        start = time.time()
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        try:
            output, errors = process.communicate(timeout=limit)
            self.status = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
            self.status = "timeout"
        self.output, self.errors = output.decode(errors="replace"), errors.decode(errors="replace")
        self.seconds = time.time() - start

    @property
    def refused(self):
        return self.status == 2 and len(self.errors.strip().splitlines()) == 1


class Check:
    def __init__(self, row, options):
        self.row, self.options = row, options
        self.key = row["key"]
        self.model = str(REPOSITORY / ".deps/real-models" / f"{self.key}.onnx")
        self.folder = pathlib.Path(options.results) / self.key
        self.folder.mkdir(parents=True, exist_ok=True)
        self.result = {"key": self.key, "bytes": row["bytes"], "stresses": row["stresses"], "failures": [], "recipes": {}}
        # Large models: fewer samples, so that a run takes minutes.
        self.count, self.calibration = (12, 4) if row["bytes"] < 15e6 else (8, 3)

    def lathe(self, *arguments):
        run = Run([self.options.lathe, *arguments])
        if run.status not in (0, 2) or (run.status == 2 and not run.refused):
            self.fail(f"lathe {' '.join(arguments)}: status {run.status}: {run.errors[-400:]}")
        return run

    def fail(self, what):
        what = what.replace(str(REPOSITORY) + "/", "")
        print(f"FAILURE {self.key}: {what}", flush=True)
        self.result["failures"].append(what)

    def types(self):
        """Element types of the inputs, if onnxruntime can load the model; what it says otherwise."""
        code = "import onnxruntime,sys,json\no=onnxruntime.SessionOptions()\no.log_severity_level=4\n" \
            "print(json.dumps({i.name:i.type for i in onnxruntime.InferenceSession(sys.argv[1],o).get_inputs()}))"
        run = Run([sys.executable, "-c", code, self.model])
        if run.status == 0:
            return json.loads(run.output), None
        return None, " ".join(run.errors.strip().splitlines()[-1].replace(self.model, "the model").split())[:200]

    def run(self):
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
            return self.without_runtime()
        samples.write_data(self.row, types, self.count, self.calibration, self.folder)
        self.data = str(self.folder / "data.yaml")
        plain = self.lathe("evaluate", self.model, "--data", str(self.folder / "data.npz"), "--json", "--no-latency")
        self.result["evaluate"] = json.loads(plain.output)["accuracy"] if plain.status == 0 else plain.errors.strip()
        if plain.status != 0:
            self.fail(f"evaluate: {plain.errors.strip()}")
        elif self.result["evaluate"]["value"] != 1:
            self.fail(f"evaluate: a model agrees with itself to {self.result['evaluate']['value']}")
        self.recipes()

    def without_runtime(self):
        """A model that cannot run: techniques that need no data must still write the same bytes twice."""
        for name, steps in self.named_recipes():
            entry = self.result["recipes"][name] = {}
            files = [self.folder / f"{which}.onnx" for which in "ab"]
            runs = [self.lathe("apply", self.model, "--output", str(file), "--json", *steps) for file in files]
            if runs[0].status == 0:
                entry["steps"] = self.reasons(json.loads(runs[0].output))
                entry["bytes"] = files[0].stat().st_size
                if files[0].read_bytes() != files[1].read_bytes():
                    self.fail(f"{name}: not the same bytes twice")
            else:
                entry["refusal"] = runs[0].errors.strip()
            for file in files:
                file.unlink(missing_ok=True)

    def named_recipes(self):
        techniques = json.loads(Run([self.options.lathe, "techniques", "--json"]).output)["techniques"]
        self.result["families"] = {t["id"]: t["family"] for t in techniques}
        # A repair alone has nothing to mend.
        repairs = [t["id"] for t in techniques if t["family"] == "repair"]
        alone = [[t["id"]] for t in techniques if t["id"] not in repairs]
        for recipe in alone + VARIANTS + [[DAMAGE.get(t, "magnitude-pruning"), t] for t in repairs] + COMBINATIONS:
            name = " + ".join(recipe)
            if not self.options.recipes or name in self.options.recipes:
                yield name, [part for step in recipe for part in ("--step", step)]

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

    def recipes(self):
        pending = {}
        for number, (name, steps) in enumerate(self.named_recipes()):
            entry = self.result["recipes"][name] = {}
            files = [self.folder / f"{number}-{which}.onnx" for which in "ab"]
            runs = [self.lathe("apply", self.model, "--data", self.data, "--output", str(file), "--json", *steps) for file in files]
            if runs[0].status != 0:
                entry["refusal"] = runs[0].errors.strip()
                continue
            if any(run.status != 0 for run in runs) or files[0].read_bytes() != files[1].read_bytes():
                self.fail(f"{name}: not the same bytes twice")
            files[1].unlink(missing_ok=True)
            entry["seconds"] = min(run.seconds for run in runs)
            entry["steps"] = self.reasons(json.loads(runs[0].output))
            entry["bytes"] = files[0].stat().st_size
            extra = ["--no-latency"] if self.options.no_latency else []
            evaluated = self.lathe("evaluate", self.model, "--data", self.data, "--json", *extra, *steps)
            if evaluated.status == 0:
                document = json.loads(evaluated.output)
                entry["accuracy"] = document["accuracy"]["value"]
                entry["packed"] = document["figures"]["candidate"]["sizes"].get("packed")
                if "latency" in document:
                    entry["latency"], entry["disturbed"] = document["latency"]["ratio"], "warning" in document["latency"]
                entry["warnings"] = document.get("warnings", [])
                if document["figures"]["candidate"]["sizes"]["serialized"] != entry["bytes"]:
                    self.fail(f"{name}: evaluate says {document['figures']['candidate']['sizes']['serialized']} bytes, the file has {entry['bytes']}")
            else:
                self.fail(f"{name}: evaluate: {evaluated.errors.strip()}")
            pending[str(files[0])] = name
        for file, said in self.ask_oracle(list(pending)).items():
            name = pending[file]
            entry = self.result["recipes"][name]
            entry["oracle"] = said
            self.judge(name, entry, said)
            os.unlink(file)

    def judge(self, name, entry, said):
        if "error" in said:
            return self.fail(f"{name}: onnxruntime: {said['error']}")
        for what, sentence in [("interface", "inputs or outputs changed"), ("valid", "onnx.checker refuses the file"),
                               ("shapes", "outputs have other shapes"), ("other_shapes", "outputs have other shapes at another batch or length")]:
            if said.get(what) is False:
                self.fail(f"{name}: {sentence} {said.get('difference', '')}")
        if "accuracy" in entry and "cosine" in said:
            distance = abs(entry["accuracy"] - said["cosine"])
            if distance > 1e-4 + 0.02 * (1 - said["cosine"]):
                self.fail(f"{name}: evaluate says {entry['accuracy']:.6f}, Python {said['cosine']:.6f}")
        if said.get("outputs", 2) > 1 and "other_cosine" in said and said["other_cosine"] < 0.5 and said.get("cosine", 0) > 0.95:
            self.fail(f"{name}: cosine {said['cosine']:.4f} at the given shapes, {said['other_cosine']:.4f} at others")

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
                answers[left[0]] = {"error": f"the process ended with status {run.status}: {run.errors[-200:]}"}
        return answers


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lathe", default=str(REPOSITORY / ".build/release/lathe"))
    parser.add_argument("--results", default=str(REPOSITORY / ".build/real-models"))
    parser.add_argument("--recipes", type=lambda text: text.split(","))
    parser.add_argument("--no-latency", action="store_true")
    parser.add_argument("keys", nargs="*")
    options = parser.parse_args()
    failures = 0
    for row in sorted(samples.models(), key=lambda row: row["bytes"]):
        if options.keys and row["key"] not in options.keys:
            continue
        check = Check(row, options)
        start = time.time()
        check.run()
        check.result["runtime"] = onnxruntime.__version__
        (pathlib.Path(options.results) / f"{row['key']}.json").write_text(json.dumps(check.result, indent=1))
        for leftover in check.folder.iterdir():
            leftover.unlink()
        check.folder.rmdir()
        print(f"{row['key']}: {len(check.result['failures'])} failures, {time.time() - start:.0f} s", flush=True)
        failures += len(check.result["failures"])
    print(f"{failures} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
