"""Scenes, lines of text and sounds whose truth is known because they are made: repeatable, without any file but Pillow's own font."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

WORDS = """time year people way day man thing woman life child world school state family student group country problem hand part place case
week company system program question work government number night point home water room mother area money story fact month lot right study
book eye job word business issue side kind head house service friend father power hour game line end member law car city community name
president team minute idea body information back parent face others level office door health person art war history party result change
morning reason research girl guy moment air teacher force education""".split()


def text_size(text, size):
    left, top, right, bottom = ImageFont.load_default(size).getbbox(text)
    return right, bottom


def line(text, height, width=None, size=None, ink=0, paper=255, blur=0.0, left=4, channels=1):
    """A line of text, [height, width] or [height, width, channels], 0…255. Without a width as wide as it needs."""
    size = size or int(height * 0.6)
    needed, deep = text_size(text, size)
    image = Image.new("L", (width or needed + 2 * left, height), paper)
    ImageDraw.Draw(image).text((left, (height - deep) / 2 - 1), text, fill=ink, font=ImageFont.load_default(size))
    if blur:
        image = image.filter(ImageFilter.GaussianBlur(blur))
    values = np.asarray(image, np.float32)
    return values if channels == 1 else np.repeat(values[:, :, None], channels, 2)


def page(rng, width, height):
    """A page of lines of text, gray, as a Pillow image."""
    image = Image.new("L", (width, height), int(rng.integers(225, 256)))
    pen = ImageDraw.Draw(image)
    size = int(rng.integers(14, 26))
    y = int(rng.integers(8, 30))
    while y < height - size:
        words, x = [], int(rng.integers(8, 40))
        while text_size(" ".join(words), size)[0] < width - 2 * x - 60:
            words.append(WORDS[rng.integers(len(WORDS))])
        if rng.random() < 0.25:
            words = words[: max(1, len(words) // 2)]
        pen.text((x, y), " ".join(words).capitalize() + ("." if rng.random() < 0.3 else ""), fill=int(rng.integers(0, 60)), font=ImageFont.load_default(size))
        y += int(size * rng.uniform(1.3, 1.7))
    return image


# Strokes of digits as written by hand, in a unit square with y down: points of smooth curves.
STROKES = {
    0: [[(0.5, 0.02), (0.15, 0.3), (0.15, 0.7), (0.5, 0.98), (0.85, 0.7), (0.85, 0.3), (0.5, 0.02)]],
    1: [[(0.52, 0.02), (0.5, 0.5), (0.48, 0.98)]],
    2: [[(0.15, 0.25), (0.4, 0.02), (0.8, 0.2), (0.7, 0.5), (0.15, 0.97)], [(0.15, 0.97), (0.5, 0.93), (0.9, 0.95)]],
    3: [[(0.15, 0.12), (0.5, 0.02), (0.8, 0.22), (0.45, 0.47)], [(0.45, 0.47), (0.85, 0.65), (0.65, 0.95), (0.15, 0.88)]],
    4: [[(0.3, 0.02), (0.15, 0.5), (0.85, 0.52)], [(0.78, 0.1), (0.72, 0.5), (0.68, 0.98)]],
    5: [[(0.85, 0.04), (0.5, 0.04), (0.25, 0.06)], [(0.25, 0.06), (0.2, 0.42), (0.6, 0.4), (0.8, 0.68), (0.5, 0.97), (0.12, 0.88)]],
    6: [[(0.7, 0.02), (0.3, 0.35), (0.18, 0.7), (0.45, 0.98), (0.8, 0.78), (0.55, 0.52), (0.22, 0.72)]],
    7: [[(0.12, 0.08), (0.5, 0.07), (0.88, 0.08)], [(0.88, 0.08), (0.6, 0.5), (0.42, 0.98)]],
    8: [[(0.75, 0.15), (0.45, 0.02), (0.25, 0.22), (0.5, 0.48), (0.78, 0.75), (0.5, 0.98), (0.22, 0.76), (0.5, 0.48), (0.75, 0.15)]],
    9: [[(0.8, 0.2), (0.5, 0.04), (0.2, 0.28), (0.5, 0.5), (0.8, 0.22)], [(0.8, 0.22), (0.76, 0.6), (0.66, 0.98)]],
}


def digit(rng, number):
    """A digit as in MNIST: written in white on black within 20 of 28 pixels, centered by its mass, [28, 28], 0…255."""
    from scipy.interpolate import make_interp_spline

    image = Image.new("L", (280, 280), 0)
    pen = ImageDraw.Draw(image)
    width, height, slant, turn = rng.uniform(110, 160), 190, rng.uniform(-0.3, 0.3), rng.uniform(-0.12, 0.12)
    thick = int(rng.integers(20, 34))
    for stroke in STROKES[int(number)]:
        points = np.array(stroke) + rng.normal(0, 0.05, (len(stroke), 2))
        places = np.linspace(0, 1, len(points))
        curve = make_interp_spline(places, points, k=min(2, len(points) - 1))(np.linspace(0, 1, 60))
        x, y = (curve[:, 0] - 0.5) * width, (curve[:, 1] - 0.5) * height
        x = x - slant * y
        x, y = 140 + x * np.cos(turn) - y * np.sin(turn), 140 + x * np.sin(turn) + y * np.cos(turn)
        pen.line(list(zip(x, y)), fill=255, width=thick, joint="curve")
        for end in (0, -1):
            pen.ellipse([x[end] - thick / 2, y[end] - thick / 2, x[end] + thick / 2, y[end] + thick / 2], fill=255)
    values = np.asarray(image, np.float32)
    rows, columns = np.indices(values.shape)
    shift = [round(140 - float((axis * values).sum() / values.sum())) for axis in (rows, columns)]
    image = Image.fromarray(np.uint8(np.roll(values, shift, (0, 1)))).filter(ImageFilter.GaussianBlur(4)).resize((28, 28), Image.BOX)
    return np.asarray(image, np.float32)


def scattered(rng, size, alphabet, count):
    """Characters scattered over a colored background: [size, size, 3] of 0…255, and their boxes [left, top, right, bottom]."""
    image = Image.new("RGB", (size, size), tuple(int(c) for c in rng.integers(185, 256, 3)))
    pen = ImageDraw.Draw(image)
    for _ in range(4):
        pen.line([int(v) for v in rng.integers(0, size, 4)], fill=tuple(int(c) for c in rng.integers(150, 230, 3)), width=2)
    boxes = []
    while len(boxes) < count:
        text, height = alphabet[rng.integers(len(alphabet))], int(rng.integers(40, 66))
        font = ImageFont.load_default(height)
        x, y = (int(v) for v in rng.integers(5, size - height - 5, 2))
        left, top, right, bottom = pen.textbbox((x, y), text, font=font)
        if any(left < r + 12 and right > l - 12 and top < b + 12 and bottom > t - 12 for l, t, r, b in boxes) or bottom > size:
            continue
        pen.text((x, y), text, fill=tuple(int(c) for c in rng.integers(0, 90, 3)), font=font)
        boxes.append([left, top, right, bottom])
    return np.asarray(image, np.float32), boxes


def picture(rng, size):
    """Shades, shapes with sharp edges and fine texture, [size, size, 3], 0…1."""
    y, x = np.mgrid[0:size, 0:size] / size
    image = Image.fromarray(np.uint8(255 * np.stack([0.5 + 0.4 * np.sin(2 * np.pi * (rng.uniform(-2, 2) * x + rng.uniform(-2, 2) * y) + rng.uniform(0, 6)) for _ in range(3)], 2)))
    pen = ImageDraw.Draw(image)
    for _ in range(14):
        a, b = rng.integers(0, size, 2), rng.integers(size // 12, size // 3, 2)
        color = tuple(int(c) for c in rng.integers(0, 256, 3))
        where = [int(a[0]), int(a[1]), int(a[0] + b[0]), int(a[1] + b[1])]
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)(where, fill=color)
    pen.text((5, size // 2), " ".join(WORDS[rng.integers(len(WORDS))] for _ in range(4)), fill=(20, 20, 20), font=ImageFont.load_default(size // 8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.7)), np.float64) / 255


def tone(rng, frequency, count, rate, harmonics=6):
    """A tone with harmonics and a little noise, within ±1."""
    time = np.arange(count) / rate
    wave = sum(rng.uniform(0.5, 1) / k**1.5 * np.sin(2 * np.pi * k * frequency * time + rng.uniform(0, 6)) for k in range(1, harmonics + 1) if k * frequency < rate / 2)
    return 0.3 * wave / np.abs(wave).max() + 0.003 * rng.standard_normal(count)


# Formants of vowels (Hz), the first three, as Peterson and Barney measured them of men.
VOWELS = [(270, 2290, 3010), (390, 1990, 2550), (530, 1840, 2480), (660, 1720, 2410), (730, 1090, 2440), (570, 840, 2410), (440, 1020, 2240), (300, 870, 2240)]


def speech(rng, count, rate=16000):
    """Something voice-like: syllables of a hiss and a gliding vowel, from a pulse train through three resonances. Within ±1."""
    from scipy.signal import lfilter

    result = np.zeros(count)
    pitch, scale = rng.uniform(95, 210), rng.uniform(0.95, 1.15)
    start = 0
    while start < count:
        hiss, voiced = int(rate * rng.uniform(0.03, 0.09)), int(rate * rng.uniform(0.1, 0.25))
        noise = rng.standard_normal(hiss)
        noise = lfilter([1, -0.9], [1], noise) * np.hanning(hiss) * rng.uniform(0.02, 0.1)
        first, second = np.array(VOWELS[rng.integers(8)]) * scale, np.array(VOWELS[rng.integers(8)]) * scale
        glide = pitch * np.exp(np.linspace(rng.uniform(-0.1, 0.15), rng.uniform(-0.2, 0.1), voiced)) * (1 + 0.01 * rng.standard_normal())
        phase = np.cumsum(glide) / rate
        pulses = np.diff(np.floor(phase), prepend=0) + 0.01 * rng.standard_normal(voiced)
        wave = lfilter([1], [1, -0.96], pulses)
        pieces = np.array_split(np.arange(voiced), 8)
        for formant in range(3):
            state = np.zeros(2)
            out = np.empty(voiced)
            for index, piece in enumerate(pieces):
                center = first[formant] + (second[formant] - first[formant]) * index / 7
                radius = np.exp(-np.pi * (60 + 40 * formant) / rate)
                a = [1, -2 * radius * np.cos(2 * np.pi * center / rate), radius * radius]
                out[piece], state = lfilter([sum(a)], a, wave[piece], zi=state)
            wave = out
        wave = wave / (np.abs(wave).max() + 1e-9) * np.hanning(voiced) ** 0.4 * rng.uniform(0.2, 0.5)
        part = np.concatenate([noise, wave])[: count - start]
        result[start : start + len(part)] += part
        start += len(part)
    return result
