"""A case of each kind of file that lathe reads: a sound file made odd, and the commands that read it."""

import gzip
import io
import json
import random
import struct
import zipfile
import zlib

import numpy as np
import soundfile
from PIL import Image

import archive
import catalog
import mutations
import odd
import seeds
import state
from case import Case

QUICK = ["--no-latency", "--quick"]


def npz(arrays):
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


class Readers:
    def __init__(self, runner):
        self.runner = runner
        self.catalog = catalog.Catalog(runner.lathe)
        self.models = seeds.models()
        self.kept = state.States(runner)
        # By model and technique: whether the model as it is takes the technique.
        self.fits = {}
        self.names = {
            "model": (self.model, 60), "archive": (self.archive, 8), "recipe": (self.recipe, 8), "declaration": (self.declaration, 6), "npz": (self.npz, 5),
            "npy": (self.npy, 4), "idx": (self.idx, 4), "csv": (self.csv, 4), "images": (self.images, 5), "listed": (self.listed, 4),
            "masks": (self.masks, 4), "boxes": (self.boxes, 5), "audio": (self.audio, 5), "tokens": (self.tokens, 5), "log": (self.log, 5), "settings": (self.settings, 4),
            "trials": (self.trials, 4), "checkpoint": (self.checkpoint, 5), "caches": (self.caches, 3),
        }

    def draw(self, rng, chosen):
        """The next case, of the readers chosen, each as often as its weight says."""
        name = rng.choices(chosen, [self.names[name][1] for name in chosen])[0]
        return self.names[name][0](rng)

    # MARK: Models

    def model(self, rng):
        command = rng.choices(["inspect", "apply", "lossless", "evaluate", "sensitivity", "pack", "train"], [15, 50, 15, 8, 5, 8, 2])[0]
        # Small models are quicker, and as odd.
        name = rng.choice([name for name, data in self.models.items() if len(data) < 30_000 or rng.random() < 0.3])
        data, files = mutations.mutated(self.models[name], rng, mutations.STRUCTURAL if command == "lossless" else None)
        inputs = self.inputs(name, rng.randrange(1 << 30), labels=rng.random() < 0.5)
        case = Case("model", {"model.onnx": data, "data.npz": inputs, **files}, [])
        data_set = ["--data", "data.npz"]
        if command == "inspect":
            case.commands = [["inspect", "model.onnx", *rng.choice([["--quick"], ["--all-sizes"], ["--json", "--quick"], data_set])]]
        elif command == "apply":
            case.commands = [["apply", "model.onnx", "--step", self.fitting_step(rng, name), *data_set, "--output", "out.onnx"]]
            for _ in range(rng.choice([0, 0, 0, 1])):
                case.commands[0] += ["--step", self.catalog.step(rng).replace(":", "?:", 1)]
            case.checks = [["runs", "model.onnx", "out.onnx"]]
            if rng.random() < 0.3:
                case.commands[0] += ["--pack", "out.lathe", "--save-recipe", "recipe.yaml"]
                case.commands.append(["unpack", "out.lathe", "--output", "unpacked.onnx"])
                case.checks.append(["same", "out.onnx", "unpacked.onnx"])
        elif command == "lossless":
            case.commands = [["apply", "model.onnx", "--step", rng.choice(catalog.LOSSLESS), *data_set, "--output", "out.onnx"]]
            case.checks = [["loads", "model.onnx", "out.onnx"], ["agrees", "model.onnx", "out.onnx"]]
        elif command == "evaluate":
            case.commands = [["evaluate", "model.onnx", *data_set, *QUICK, *rng.choice([[], ["--step", self.catalog.step(rng)], ["--json"]])]]
        elif command == "sensitivity":
            case.commands = [["sensitivity", "model.onnx", *data_set, "--limit", "6", "--step", rng.choice(
                ["magnitude-pruning", "weight-quantization", "svd", "structured-pruning"]), *rng.choice([[], ["--budget", "50"], ["--max-drop", "1"]])]]
        elif command == "pack":
            # What is unpacked packs to the same archive.
            case.commands = [["pack", "model.onnx", "--output", "a.lathe", *rng.choice([[], ["--compare"]])], ["unpack", "a.lathe", "--output", "u.onnx"],
                             ["pack", "u.onnx", "--output", "b.lathe"]]
            case.checks = [["same", "a.lathe", "b.lathe"], ["loads", "model.onnx", "u.onnx"]]
        else:
            case.commands = [["train", "model.onnx", *data_set, "--epochs", "1", "--output", "out.onnx"]]
            case.checks = [["loads", "model.onnx", "out.onnx"]]
        return case

    def inputs(self, name, seed, labels):
        """Arrays for a seed's inputs."""
        rng = np.random.default_rng(seed)
        arrays = seeds.arrays(seeds.parse(self.models[name]), rng)
        return npz(arrays | {"labels": rng.integers(0, 4, seeds.SAMPLES)} if labels else arrays)

    def fitting_step(self, rng, name):
        """A step that, as a rule, the model takes where nothing about it is odd: most techniques refuse most models."""
        for _ in range(4):
            technique = rng.choice(self.catalog.techniques)["id"]
            if (name, technique) not in self.fits:
                case = Case("model", {"model.onnx": self.models[name], "data.npz": self.inputs(name, 1, labels=True)}, [
                    ["apply", "model.onnx", "--step", self.catalog.step(random.Random(1), technique), "--data", "data.npz", "--output", "out.onnx"]])
                self.fits[name, technique] = self.runner.run(case.commands[0], self.runner.prepared(case)).status == 0
            if self.fits[name, technique]:
                break
        return self.catalog.step(rng, technique)

    # MARK: Archives

    def archive(self, rng):
        packed = archive.mutated(self.kept.archive(rng), rng)
        return Case("archive", {"a.lathe": packed}, [["unpack", "a.lathe", "--output", "out.onnx", *rng.choice([[], [], ["--json"], ["--limit", "1GB"]])]])

    # MARK: Texts

    def recipe(self, rng):
        steps = []
        for _ in range(rng.choice([1, 1, 2, 4])):
            technique = self.catalog.byID[self.fitting_step(rng, "dense").split(":")[0]]
            step = {"technique": technique["id"], "parameters": self.catalog.parameters(rng, technique)}
            layers = rng.choice([None, None, "all", ["*"], ["Gemm*", "/x"], [{"kind": "gemm"}], [{"positions": [0, 3]}], {"include": [{"kind": "conv"}], "exclude": ["Gemm_*"]},
                                 [{"name": "Gemm_2", "kind": "gemm", "shape": [16, 24], "occurrence": 0}]])
            if layers is not None:
                step["layers"] = layers
            if rng.random() < 0.3:
                step["overrides"] = [{"layers": [{"positions": [0, 1]}], "parameters": self.catalog.parameters(rng, technique)}]
            if rng.random() < 0.8:
                step["optional"] = True
            steps.append(step)
        text = odd_yaml(rng, {"lathe": 1, "name": "odd", "seed": 7, "model": "xxh3-" + "0" * 32, "steps": steps})
        files = {"model.onnx": self.models["dense"], "recipe.yaml": text, "data.npz": self.dense_data()}
        return Case("recipe", files, [["apply", "model.onnx", "--recipe", "recipe.yaml", "--data", "data.npz", "--output", "out.onnx", "--save-recipe", "again.yaml"],
                                      ["apply", "model.onnx", "--recipe", "again.yaml", "--data", "data.npz", "--output", "same.onnx"]],
                    [["same", "out.onnx", "same.onnx"]])

    def dense_data(self):
        rng = np.random.default_rng(5)
        return npz({"x": rng.standard_normal((24, 16)).astype(np.float32), "labels": rng.integers(0, 4, 24)})

    def settings(self, rng):
        keys = {"toggle": ["space", "enter"], "decrease": ["left", "h"], "undo": "u", "redo": ["ctrl-r"], "clear-recipe": []}
        sound = {"glyphs": "ascii", "colors": "16", "mouse": False, "view": "layers", "measure-latency": True, "kept-results": 100, "kept-trainings": 10, "keys": keys}
        return Case("settings", {"config/lathe/config.yaml": odd_yaml(rng, sound)}, [["keys", *rng.choice([[], ["--json"]])]])

    def log(self, rng):
        form = {"lathe": 1, "steps": [{"technique": "svd", "parameters": {"rank": 3}}]}
        rows = [
            {"lathe": 1, "t": 0, "action": "open", "model": "model.onnx", "data": "data.npz", "model-hash": "xxh3-" + "0" * 32, "runtime": "1.31.1"},
            {"t": 0.1, "action": "enable", "technique": "magnitude-pruning"},
            {"t": 0.2, "action": "set", "technique": "magnitude-pruning", "parameter": "sparsity", "value": "0.75"},
            {"t": 0.3, "action": "set-layer", "technique": "magnitude-pruning", "layer": "Gemm_3", "parameter": "sparsity", "value": "0.25"},
            {"t": 0.4, "action": "include-layer", "technique": "magnitude-pruning", "layer": "Gemm_3", "on": False},
            {"t": 0.4, "action": "enable", "technique": "cross-layer-equalization"},
            {"t": 0.5, "action": "move", "technique": "cross-layer-equalization", "by": -1}, {"t": 0.6, "action": "undo"}, {"t": 0.7, "action": "redo"},
            {"t": 0.8, "action": "name-state", "state": 1, "value": "one"}, {"t": 0.9, "action": "pin-state", "state": 1, "on": True},
            {"t": 1.0, "action": "jump", "state": 0}, {"t": 1.1, "action": "replace", "recipe": form, "why": "odd"},
            {"t": 1.2, "action": "result", "accuracy": 0.5, "seen": 10, "file-bytes": 1000.0},
        ]
        if rng.random() < 0.7:
            text = "\n".join(json.dumps(row) for row in odd.tree(rng, rows) or [] if row is not None) if rng.random() < 0.9 else "\n".join(map(json.dumps, rows))
            text = odd.lines(rng, text) if rng.random() < 0.3 else text
        else:
            text = odd.lines(rng, "\n".join(map(json.dumps, rows)) + "\n")
        data = text.encode("utf-8", "surrogatepass")
        files = {"model.onnx": self.models["dense"], "data.npz": self.dense_data(), "log.jsonl": odd.damaged(rng, data) if rng.random() < 0.1 else data}
        return Case("log", files, [["replay", "log.jsonl", "--model", "model.onnx", "--data", "data.npz", *rng.choice([[], ["--check"], ["--json"], ["--save-recipe", "r.yaml"]])]])

    # MARK: Data sets

    def reading(self, rng, model, path):
        """Commands that read a data set."""
        return [rng.choice([
            ["evaluate", model, "--data", path, *QUICK], ["evaluate", model, "--data", path, *QUICK, "--limit", "5", "--json"],
            ["inspect", model, "--data", path, "--quick"], ["apply", model, "--step", "sparsegpt", "--data", path, "--output", "out.onnx"]])]

    def declaration(self, rng):
        pictures = {"scale": 0.0039, "mean": [0.5], "std": [0.25], "shape": [3, 8, 8], "resize": 9, "crop": [8, 8], "channels": "bgr", "layout": "nchw"}
        table = {"mean": [0.1] * 16, "std": [1.0] * 16}
        files, forms = self.data_files()
        sound = rng.choice([
            {"format": "npz", "metric": "top1", "classes": ["a", "b", "c", "d"], "source": {"file": "d.npz", "array": "x", "labels": "labels"}, "seed": 3,
             "fractions": {"calibration": 0.2, "validation": 0.5, "test": 0.3}},
            {"format": "csv", "name": "table", "preprocessing": table, "splits": {
                "train": {"file": "d.csv", "range": [0, 4]}, "validation": {"file": "d.csv", "label": "label", "range": [4, 12]},
                "test": {"file": "missing.csv", "optional": True}}},
            {"format": "idx", "input": "x", "preprocessing": pictures, "splits": {"validation": {"images": "i.idx", "labels": "l.idx.gz", "range": [0, 10]}}},
            {"format": "images", "preprocessing": pictures, "source": {"folder": "images"}, "fractions": {"validation": 0.9}},
        ])
        files["data.yaml"] = odd_yaml(rng, sound)
        return Case("declaration", files, self.reading(rng, forms[sound["format"]], "data.yaml"))

    def data_files(self):
        """A small data set in every format, and the model for each."""
        rng = np.random.default_rng(3)
        files = {"dense.onnx": self.models["dense"], "conv.onnx": self.models["convolutions"], "d.npz": self.dense_data(), "d.csv": table().encode()}
        images, labels = rng.integers(0, 255, (12, 8, 8, 3)).astype(np.uint8), rng.integers(0, 4, 12).astype(np.uint8)
        files["i.idx"], files["l.idx.gz"] = idx(images), gzip.compress(idx(labels), mtime=0)
        for index, image in enumerate(images):
            files[f"images/{'abcd'[index % 4]}/{index}.png"] = picture(image, "PNG")
        return files, {"npz": "dense.onnx", "csv": "dense.onnx", "idx": "conv.onnx", "images": "conv.onnx"}

    def npz(self, rng):
        names = {"x": (24, 16, "<f4"), "labels": (24, None, "<i8")}
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED])) as file:
            for name, (rows, columns, kind) in names.items():
                values = np.random.default_rng(1).integers(0, 4, (rows, columns) if columns else rows).astype(kind)
                content = odd_npy(rng, values) if rng.random() < 0.6 else npy(values)
                name = odd.name(rng) if rng.random() < 0.1 else name
                for _ in range(rng.choice([1] * 12 + [2])):
                    file.writestr(f"{name}.npy".replace("\0", "0"), content)
            if rng.random() < 0.1:
                for index in range(rng.choice([1, 100, 5000])):
                    file.writestr(f"{index}.npy", npy(np.zeros(1)))
        data = out.getvalue()
        if rng.random() < 0.25:
            data = odd.damaged(rng, data)
        return Case("npz", {"model.onnx": self.models["dense"], "d.npz": data}, self.reading(rng, "model.onnx", "d.npz"))

    def npy(self, rng):
        values = np.random.default_rng(1).standard_normal((24, 16)).astype(rng.choice([np.float32, np.float64, np.float16, np.uint8, np.int64]))
        data = odd_npy(rng, values)
        if rng.random() < 0.2:
            data = odd.damaged(rng, data)
        return Case("npy", {"model.onnx": self.models["dense"], "d.npy": data}, self.reading(rng, "model.onnx", "d.npy"))

    def idx(self, rng):
        source = np.random.default_rng(2)
        parts = {"images": idx(source.integers(0, 255, (12, 8, 8, 3)).astype(np.uint8)), "labels": idx(source.integers(0, 4, 12).astype(np.uint8))}
        files = {"model.onnx": self.models["convolutions"]}
        for part, data in parts.items():
            if rng.random() < 0.6:
                data = odd_idx(rng, data)
            if rng.random() < 0.4:
                data = gzip.compress(data, mtime=0)
                data = odd.damaged(rng, data) if rng.random() < 0.3 else data
            rank, ending = 3 if part == "images" else 1, ".gz" if data[:2] == b"\x1f\x8b" else ""
            files[f"d/t10k-{part}-idx{rank}-ubyte{ending}"] = data
        return Case("idx", files, self.reading(rng, "model.onnx", "d"))

    def csv(self, rng):
        text = table(rng.choice([",", ";", "\t"]))
        data = odd.lines(rng, text).encode("utf-8", "surrogatepass")
        if rng.random() < 0.2:
            data = rng.choice([odd.damaged(rng, data), text.encode("utf-16"), b"\xef\xbb\xbf" + data, data.replace(b"\n", b"\r\n"), data.replace(b"\n", b"\r"), b"", b"\n" * 100_000,
                               b",".join([b"a"] * 50_000) + b"\n1\n"])
        return Case("csv", {"model.onnx": self.models["dense"], "d.csv": data}, self.reading(rng, "model.onnx", "d.csv"))

    def images(self, rng):
        source = np.random.default_rng(4)
        files = {"model.onnx": self.models["convolutions"]}
        for index in range(10):
            shape = rng.choice([(8, 8), (8, 8), (1, 1), (9, 300)])
            mode = rng.choice(["RGB", "RGB", "L", "RGBA", "P", "1", "I;16", "CMYK"])
            image = Image.fromarray(source.integers(0, 255, (*shape, 3)).astype(np.uint8))
            image = image.convert("L").convert("I;16") if mode == "I;16" else image.convert(mode)
            form = rng.choice(["PNG", "JPEG"]) if mode in ("RGB", "L") else "JPEG" if mode == "CMYK" else "PNG"
            data = picture(image, form)
            if rng.random() < 0.15:
                data = odd_png(rng, data) if form == "PNG" else odd_jpeg(rng, data)
            files[f"d/{'abcd'[index % 4]}/{index}.{form.lower()}"] = data
        if rng.random() < 0.2:
            files[rng.choice(["d/a/empty.png", "d/readme.txt", "d/e/f/deep.png", "d/top.png", "d/" + "é" * 100 + "/x.jpg", "d/\x1b[31m/y.png"])] = rng.choice([b"", b"text", data])
        return Case("images", files, self.reading(rng, "model.onnx", "d"))

    # MARK: Data of other tasks

    def declared(self, rng, kind, model, sound, files, draft):
        """A case of a declaration, sound or odd, of files that are odd; or of a draft for these files."""
        files = {"model.onnx": self.models[model], "data.yaml": odd_yaml(rng, sound) if rng.random() < 0.2 else block(sound).encode(), **files}
        commands = [rng.choice([["data", "check", "model.onnx", "--data", "data.yaml", *rng.choice([[], ["--json"]])],
                                ["evaluate", "model.onnx", "--data", "data.yaml", *QUICK, "--limit", "5"]])]
        if rng.random() < 0.2:
            commands = [["data", "model.onnx", *draft, *rng.choice([[], ["--output", "out.yaml"]])]]
        return Case(kind, files, commands)

    def pictures(self, rng, folder, form="PNG"):
        source = np.random.default_rng(4)
        return {f"{folder}/{index}.{form.lower()}": picture(source.integers(0, 255, (8, 9, 3)).astype(np.uint8), form) for index in range(6)}

    def listed(self, rng):
        separator = rng.choice([",", ";", "\t", " ", ", "])
        label = lambda index: rng.choice([str(index % 3), "cat", f"{index}.5", '"a, b"', "é" * 3, '"', "", "-1"])
        rows = [separator.join(rng.choice([["file", "label"], ["label", "path"], ["image", "text"], ["0.png", "1"], ["x", "y"], ["file", "a", "b"]]))]
        rows += [separator.join([f"{index}.png", label(index)]) for index in range(6)]
        text = "\n".join(rows)
        data = odd.lines(rng, text).encode("utf-8", "surrogatepass") if rng.random() < 0.6 else text.encode()
        data = odd.damaged(rng, data) if rng.random() < 0.2 else data
        source = {"folder": "d", "labels": "l.csv", **({"columns": rng.choice([["file", "label"], ["file", "text"], ["file"]])} if rng.random() < 0.4 else {})}
        sound = {"format": "images", "preprocessing": {"resize": [8, 8], "shape": [3, 8, 8]}, "source": source, "fractions": {"validation": 0.9}}
        return self.declared(rng, "listed", "convolutions", sound, {"l.csv": data, **self.pictures(rng, "d")}, ["l.csv", "d"])

    def masks(self, rng):
        files, source = self.pictures(rng, "d"), np.random.default_rng(5)
        for index in range(6):
            mode = rng.choice(["L", "P", "1", "I;16", "RGB", "RGBA", "LA"])
            image = Image.fromarray(source.integers(0, 4, rng.choice([(8, 9), (8, 9), (16, 18), (1, 1)])).astype(np.uint8))
            data = picture(image.convert("I;16") if mode == "I;16" else image.convert(mode), "PNG")
            files[f"m/{index}.png"] = odd_png(rng, data) if rng.random() < 0.4 else data
        preprocessing = {"resize": rng.choice([[8, 8], {"letterbox": [8, 8], "fill": 0}, 8]), "crop": [8, 8], "shape": [3, 8, 8], **rng.choice([{}, {"colors": [[0, 0, 0], [1, 1, 1]], "ignore": 255}])}
        sound = {"format": "images", "metric": "mean-iou", "preprocessing": preprocessing, "source": {"folder": "d", "masks": "m"}, "fractions": {"validation": 0.9}}
        return self.declared(rng, "masks", "convolutions", sound, files, ["d", "m"])

    def boxes(self, rng):
        files = self.pictures(rng, "d")
        preprocessing = {"resize": {"letterbox": [8, 8], "fill": 114, "anchor": rng.choice(["center", "corner"])}, "shape": [3, 8, 8]}
        if rng.random() < 0.6:
            tree = {
                "images": [{"id": index, "file_name": f"{index}.png", "height": 8, "width": 9} for index in range(6)],
                "annotations": [{"id": index, "image_id": index % 6, "category_id": 1 + index % 2, "bbox": [1, 1, 4.5, 3], "area": 12, "iscrowd": 0} for index in range(9)],
                "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
            }
            data = json.dumps(odd.tree(rng, tree) if rng.random() < 0.7 else tree).encode("utf-8", "surrogatepass")
            files["c.json"] = odd.damaged(rng, data) if rng.random() < 0.2 else data
            sound, draft = {"format": "coco", "source": {"annotations": "c.json", "folder": "d"}}, ["c.json", "d"]
        else:
            for index in range(6):
                text = "\n".join(rng.choice(["0 0.5 0.5 0.2 0.2", "1 .1 .1 .2 .2 .1 .3", "", "2 1e9 nan 1 1", "0 0.5", "a b c d e", "0 " * 999]) for _ in range(3))
                files[f"t/{index}.txt"] = odd.lines(rng, text).encode("utf-8", "surrogatepass")
            sound, draft = {"format": "yolo", "source": {"labels": "t", "folder": "d"}}, ["d", "t"]
        return self.declared(rng, "boxes", "convolutions", {**sound, "metric": "map", "preprocessing": preprocessing, "fractions": {"validation": 0.9}}, files, draft)

    def audio(self, rng):
        files, source = {}, np.random.default_rng(7)
        for index in range(6):
            out = io.BytesIO()
            soundfile.write(out, source.standard_normal((rng.choice([16, 100, 1000, 1, 0]), rng.choice([1, 1, 2]))) * 0.1, rng.choice([16000, 16000, 8000, 44100]),
                            format=rng.choice(["WAV", "WAV", "FLAC"]), subtype=rng.choice(["PCM_16", "PCM_24"]))
            data = out.getvalue()
            files[f"d/{'ab'[index % 2]}/{index}.wav"] = odd_wav(rng, data) if rng.random() < 0.4 else data
        sound = {"format": "audio", "preprocessing": {"sample_rate": 16000, "seconds": 0.001}, "source": {"folder": "d"}, "fractions": {"validation": 0.9}}
        if rng.random() < 0.4:
            sound["preprocessing"] |= {"seconds": 0.05, "shape": [16], "features": odd.tree(rng, {
                "kind": rng.choice(["mel", "log-mel", "stft", "mfcc"]), "n_fft": 64, "hop": 800, "mels": 16, "coefficients": 16, "center": False, "fmin": 0, "fmax": 8000})}
        return self.declared(rng, "audio", "dense", sound, files, ["d"])

    def tokens(self, rng):
        rows = [{"x": [int(v) for v in np.random.default_rng(index).integers(0, 99, 16)], "labels": rng.choice([1, 1, "a", [1, 2], 0.5, None, [[1]]]) if rng.random() < 0.2 else index % 4}
                for index in range(12)]
        text = "\n".join(json.dumps(odd.tree(rng, row) if rng.random() < 0.2 else row) for row in rows)
        data = (odd.lines(rng, text) if rng.random() < 0.4 else text).encode("utf-8", "surrogatepass")
        data = odd.damaged(rng, data) if rng.random() < 0.2 else data
        sound = {"format": "tokens", "preprocessing": {"length": 16, "pad": rng.choice([0, 1])}, "source": {"file": "t.jsonl"}, "fractions": {"validation": 0.9}}
        return self.declared(rng, "tokens", "dense", sound, {"t.jsonl": data}, ["t.jsonl"])

    # MARK: The user's state

    def trials(self, rng):
        return self.kept.trials(rng)

    def checkpoint(self, rng):
        return self.kept.training(rng)

    def caches(self, rng):
        return self.kept.caches(rng)


def odd_yaml(rng, sound):
    """YAML near a sound tree, as JSON (which is YAML) or in blocks."""
    choice = rng.randrange(12)
    if choice > 9:
        text = block(sound)
    elif choice == 0:
        text = odd.aliases(rng) + block(sound) + rng.choice(["", "steps: *a2\n", "classes: *a5\n", "keys: *a2\n", "name: *a8\n", "preprocessing: {mean: *a8}\n"])
    elif choice < 5:
        text = json.dumps(odd.tree(rng, sound))
    elif choice < 7:
        text = block(odd.tree(rng, sound))
    else:
        text = odd.lines(rng, block(sound))
    data = text.encode("utf-8", "surrogatepass")
    return odd.damaged(rng, data) if rng.random() < 0.05 else data


def block(tree, indent=""):
    """YAML in block style."""
    if isinstance(tree, dict) and tree:
        rows = []
        for key, below in tree.items():
            nested = isinstance(below, (dict, list)) and below and not (isinstance(below, list) and not isinstance(below[0], (dict, list)))
            rows.append(f"{indent}{json.dumps(key)}:" + ("\n" + block(below, indent + "  ") if nested else " " + json.dumps(below) + "\n"))
        return "".join(rows)
    if isinstance(tree, list) and tree and len(indent) < 40:
        return "".join(f"{indent}-\n{block(below, indent + '  ')}" for below in tree)
    return f"{indent}{json.dumps(tree)}\n"


def table(separator=","):
    rng = np.random.default_rng(6)
    rows = [separator.join([*(f"f{i}" for i in range(16)), "label"])]
    rows += [separator.join([*(f"{v:.3f}" for v in rng.standard_normal(16)), str(rng.integers(0, 4))]) for _ in range(24)]
    return "\n".join(rows) + "\n"


def npy(values):
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


def odd_npy(rng, values):
    """A NumPy array whose header is written by hand."""
    kinds = ["<f4", ">f4", "<f8", "<f2", "<i8", ">i2", "|u1", "|b1", "<U5", "|O", "<M8[s]", "<c8", "<f3", "f4", "", "|S3", "<f16", [["a", "<f4"]], "<i" + "9" * 30]
    shape, kind, order = values.shape, values.dtype.str, False
    choice = rng.randrange(8)
    if choice < 3:
        kind = rng.choice(kinds)
        if isinstance(kind, str) and kind[1:] in ("f4", "f8", "f2", "i8", "i2", "u1", "b1"):
            values = values.astype(kind)
    elif choice == 3:
        order = rng.choice([True, "odd", 1])
    elif choice < 7:
        shape = rng.choice([(), (0,), (24,), (0, 16), (24, 0), (24, 1, 16), (1 << 62, 4), (-1, 16), (1 << 63, 2), (1 << 32, 1 << 32), (1,) * 40, (24, 16, 1, 1), (384,), (1 << 40,)])
    text = rng.choice([
        str({"descr": kind, "fortran_order": order, "shape": shape}), str({"shape": shape, "descr": kind, "fortran_order": order, "odd": 1}),
        str({"descr": kind, "fortran_order": order, "shape": shape}), "{'descr': '<f4', 'fortran_order': False, 'shape': (24L, 16L), }",
        odd.lines(rng, str({"descr": kind, "fortran_order": order, "shape": shape}))]).encode("utf-8", "surrogatepass")
    version = rng.choice([1, 1, 1, 2, 3, 0, 9])
    length = struct.pack("<H" if version == 1 else "<I", rng.choice([len(text) + 1] * 8 + [0, 1, 65535]))
    data = values.tobytes()
    if rng.random() < 0.3:
        data = rng.choice([data[:-1], data + b"\0", b"", data * 2])
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + b"\n" + data


def idx(values):
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def odd_idx(rng, data):
    made = bytearray(data)
    rank, choice = made[3], rng.randrange(5)
    if choice == 0:
        made[2] = rng.choice([8, 9, 11, 12, 13, 14, 0, 255])
    elif choice == 1:
        made[3] = rng.choice([0, 1, 2, 4, 255])
    elif choice == 2:
        struct.pack_into(">I", made, 4 + 4 * rng.randrange(rank), rng.choice([0, 1, 2, 13, 1 << 31, (1 << 32) - 1, 65536]))
    elif choice == 3:
        for axis in range(rank):
            struct.pack_into(">I", made, 4 + 4 * axis, rng.choice([0, 1, (1 << 32) - 1, 65536]))
    return bytes(made) if choice < 4 else odd.damaged(rng, bytes(made))


def picture(image, form):
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, form)
    return out.getvalue()


def odd_png(rng, data):
    """A PNG with its chunks changed and their checksums right."""
    if rng.random() < 0.3:
        return odd.damaged(rng, data)
    chunks, place = [], 8
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        chunks.append((data[place + 4:place + 8], bytearray(data[place + 8:place + 8 + length])))
        place += 12 + length
    choice = rng.randrange(7)
    header = chunks[0][1]
    if choice == 0:
        struct.pack_into(">I", header, rng.choice([0, 4]), rng.choice([0, 1, 7, 9, 1 << 16, 1 << 20, (1 << 31) - 1, 1 << 31]))
    elif choice == 1:
        header[rng.choice([8, 9, 10, 11, 12])] = rng.choice([0, 1, 2, 3, 4, 6, 8, 16, 255])
    elif choice == 2:
        del chunks[rng.randrange(len(chunks))]
    elif choice == 3:
        chunks.insert(rng.randrange(len(chunks) + 1), rng.choice(chunks))
    elif choice == 4:
        chunks.insert(1, (rng.choice([b"PLTE", b"tRNS", b"gAMA", b"zTXt", b"iCCP", b"eXIf", b"acTL", b"oddX"]), bytearray(rng.choice([b"", b"\0" * 3, b"\xff" * 1000]))))
    elif choice == 5:
        chunks[-2] = (b"IDAT", bytearray(zlib.compress(bytes(rng.choice([0, 10, 1 << 24])))))
    else:
        chunks[-2] = (chunks[-2][0], bytearray(odd.damaged(rng, bytes(chunks[-2][1]))))
    return data[:8] + b"".join(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks)


def odd_wav(rng, data):
    """A recording whose header says something else, or with damaged bytes."""
    if data[:4] != b"RIFF" or rng.random() < 0.4:
        return odd.damaged(rng, data)
    made = bytearray(data)
    place, kind = rng.choice([(4, "<I"), (16, "<I"), (20, "<H"), (22, "<H"), (24, "<I"), (28, "<I"), (32, "<H"), (34, "<H"), (40, "<I")])
    largest = (1 << 8 * struct.calcsize(kind)) - 1
    struct.pack_into(kind, made, place, rng.choice([0, 1, 2, 3, 7, 255, largest // 2, largest - 1, largest]))
    return bytes(made)


def odd_jpeg(rng, data):
    """A JPEG whose frame header says something else, or with damaged bytes."""
    made, frame = bytearray(data), data.find(b"\xff\xc0")
    if frame < 0 or rng.random() < 0.4:
        return odd.damaged(rng, data)
    choice = rng.randrange(3)
    if choice == 0:
        struct.pack_into(">H", made, frame + rng.choice([5, 7]), rng.choice([0, 1, 7, 65535, 20000]))
    elif choice == 1:
        made[frame + rng.choice([1, 4, 9, 10, 11])] = rng.choice([0, 1, 2, 3, 4, 8, 12, 0xC2, 0x22, 255])
    else:
        made[frame + 2:frame + 2] = b"\xff\xfe\x00\x02" * rng.choice([1, 1000])
    return bytes(made)
