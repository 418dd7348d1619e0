"""Packed archives made odd behind a checksum that is right, so that more than the checksum is tried."""

import struct
import zlib

import odd

MAGIC = bytes.fromhex("894C54480D0A1A0A")
LENGTHS = [0, 1, 2, 63, 64, 127, 128, 255, 65535, 1 << 31, 1 << 32, 1 << 40, (1 << 62), (1 << 63) - 1]


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def read_varint(data, place):
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


class Parts:
    """An archive taken apart; joined again it is the same, with its checksum."""

    def __init__(self, data):
        self.version = data[8:12]
        self.total, place = read_varint(data, 16)
        expanded, place = read_varint(data, place)
        packed, place = read_varint(data, place)
        meta = zlib.decompress(data[place:place + packed])
        self.expanded = None
        self.blocks_data = data[place + packed:]
        count, at = read_varint(meta, 0)
        self.entries, start, self.blocks = [], 0, []
        for _ in range(count):
            distance, at = read_varint(meta, at)
            size, at = read_varint(meta, at)
            width, at = meta[at], at + 1
            length, at = read_varint(meta, at)
            self.entries.append([distance, size, width, None, meta[at:at + 4]])
            at += 4
            self.blocks.append(self.blocks_data[start:start + length])
            start += length
        self.graph = meta[at:]
        self.count = None

    def joined(self):
        meta = varint(len(self.entries) if self.count is None else self.count)
        for (distance, size, width, length, checksum), block in zip(self.entries, self.blocks):
            meta += varint(distance) + varint(size) + bytes([width]) + varint(len(block) if length is None else length) + checksum
        meta += self.graph
        packed = zlib.compress(meta)
        body = varint(self.total) + varint(len(meta) if self.expanded is None else self.expanded) + varint(len(packed)) + packed + b"".join(self.blocks)
        return MAGIC + self.version + struct.pack("<I", zlib.crc32(body)) + body


def mutated(data, rng):
    if rng.random() < 0.1:
        return odd.damaged(rng, data)
    parts = Parts(data)
    for _ in range(rng.choice([1, 1, 2, 3])):
        choice = rng.randrange(12)
        entry = rng.randrange(len(parts.entries)) if parts.entries else None
        if choice == 0:
            parts.total = rng.choice([*LENGTHS, parts.total + 1, parts.total - 1])
        elif choice == 1:
            parts.expanded = rng.choice(LENGTHS)
        elif choice == 2:
            parts.count = rng.choice([*LENGTHS, len(parts.entries) + 1])
        elif choice == 3:
            parts.graph = odd.damaged(rng, parts.graph)
        elif choice == 4:
            parts.version = struct.pack("<I", rng.choice([0, 1, 2, 3, 1 << 31]))
        elif entry is None:
            continue
        elif choice == 5:
            place = rng.randrange(4)
            parts.entries[entry][place] = rng.choice([1, 2, 3, 4, 8, 0, 255] if place == 2 else LENGTHS)
        elif choice == 6:
            other = rng.randrange(len(parts.entries))
            parts.blocks[entry] = rng.choice([parts.blocks[other], b"", b"\2" + varint(rng.choice([other, entry, *LENGTHS]))])
        else:
            # The head of a block says how it is coded: most of what can go wrong.
            block = bytearray(parts.blocks[entry])
            for _ in range(rng.choice([1, 1, 2])):
                if block:
                    place = min(int(rng.expovariate(0.15)), len(block) - 1) if rng.random() < 0.7 else rng.randrange(len(block))
                    if rng.random() < 0.2:
                        block[place:place + 1] = varint(rng.choice(LENGTHS))
                    else:
                        block[place] = rng.choice([0, 1, 2, 3, 4, 6, 8, 16, 17, 24, 25, 127, 128, 255, block[place] ^ (1 << rng.randrange(8))])
            parts.blocks[entry] = bytes(block)
    return parts.joined()
