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


def digit(rng, number):
    """A digit as in MNIST: white on black, [28, 28], 0…255, turned and shifted a little."""
    image = Image.new("L", (112, 112), 0)
    text, size = str(number), int(rng.integers(74, 92))
    left, top, right, bottom = ImageFont.load_default(size).getbbox(text)
    ImageDraw.Draw(image).text((56 - (left + right) / 2, 56 - (top + bottom) / 2), text, fill=255, font=ImageFont.load_default(size), stroke_width=int(rng.integers(0, 4)))
    shear = rng.uniform(-0.25, 0.25)
    image = image.transform(image.size, Image.AFFINE, (1, shear, -56 * shear + rng.uniform(-6, 6), 0, 1, rng.uniform(-6, 6)), Image.BILINEAR)
    image = image.rotate(rng.uniform(-15, 15), Image.BILINEAR).filter(ImageFilter.GaussianBlur(2)).resize((28, 28), Image.BOX)
    values = np.asarray(image, np.float32) + rng.normal(0, 12, (28, 28))
    return np.clip(values, 0, 255).astype(np.float32)


def scattered(rng, size, alphabet, count):
    """Characters scattered over a colored background: [size, size, 3] of 0…255, and their boxes [left, top, right, bottom]."""
    image = Image.new("RGB", (size, size), tuple(int(c) for c in rng.integers(120, 256, 3)))
    pen = ImageDraw.Draw(image)
    for _ in range(6):
        pen.line([int(v) for v in rng.integers(0, size, 4)], fill=tuple(int(c) for c in rng.integers(100, 230, 3)), width=2)
    boxes = []
    while len(boxes) < count:
        text, height = alphabet[rng.integers(len(alphabet))], int(rng.integers(50, 100))
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
    wave = sum(rng.uniform(0.3, 1) / k * np.sin(2 * np.pi * k * frequency * time + rng.uniform(0, 6)) for k in range(1, harmonics + 1) if k * frequency < rate / 2)
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
