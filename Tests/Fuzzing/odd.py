"""Odd texts, numbers, trees and bytes, for every format."""

import copy

NAMES = ["", " ", ".", "..", "../x", "/", "a/b", "a b", "a,b", "a;b", "a@b", "a:b", '"', "'", "\\", "*", "!x", "0..3", "kind:conv", "é", "日本", "\u202e", "\x1b[31m", "\n",
         "\t", "a\0b", "%s%n", "null", "true", "~", "-", "{}", "[]", "x" * 300, "x" * 5000, "\ufeff", "0", "-1", "1e999"]
NUMBERS = [0, -1, 1, 2, 3, 255, 256, 65536, 1 << 31, -(1 << 31), 1 << 32, 1 << 53, (1 << 63) - 1, 1 << 63, -(1 << 63), 1 << 64, 10**30, 0.5, -0.0, 1e-320, 1e308, 1e39,
           float("nan"), float("inf"), float("-inf")]


def name(rng):
    return rng.choice(NAMES)


def text(rng):
    return rng.choice(NAMES + ["same", "SAME_UPPER", "bidirectional", "constant", "ij,jk->ik", "...", "x" * 70_000])


def value(rng):
    """Any value that JSON can hold."""
    choice = rng.randrange(8)
    if choice < 3:
        return rng.choice(NUMBERS)
    if choice < 5:
        return name(rng)
    deep = 0
    for _ in range(rng.choice([1, 2, 100, 900])):
        deep = [deep]
    return rng.choice([None, True, False, [], {}, [0] * 2000, deep, {"": 0}, [None], {name(rng): name(rng)}])


def paths(tree, here=()):
    """Where there is something in a tree of dictionaries and lists."""
    yield here
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, below in list(entries)[:60]:
        yield from paths(below, (*here, key))


def at(tree, path):
    for key in path:
        tree = tree[key]
    return tree


def tree(rng, source):
    """A tree with some of it replaced, removed, renamed, moved or repeated."""
    made = copy.deepcopy(source)
    for _ in range(rng.choice([1, 1, 2, 3])):
        *above, last = rng.choice([path for path in paths(made) if path] or [(None,)])
        if last is None:
            return value(rng)
        parent = at(made, above)
        choice = rng.randrange(7)
        if choice < 3:
            parent[last] = value(rng)
        elif choice == 3:
            del parent[last]
        elif choice == 4 and isinstance(parent, dict):
            parent[name(rng)] = parent.pop(last)
        elif choice == 5:
            parent[last] = copy.deepcopy(at(made, rng.choice(list(paths(made)))))
        elif isinstance(parent, list):
            parent.extend(copy.deepcopy(parent[last]) for _ in range(rng.choice([1, 5, 300])))
        else:
            parent[last] = [parent[last]]
    return made


TOKENS = ["&a ", "*a", "!!binary ", "!!float ", "<<: *a\n", "\t", "\0", "\ufeff", "\r", "---\n", "...\n", "%YAML 9.9\n", "? ", "- ", "[", "{", "}", "]", "'", '"', "|\n", ">\n", ": ",
          "#", "\u0085", "\u2028", "~", "1e999", "0x7fffffffffffffffff", ".nan", ".inf", "-.inf", "2001-01-01", "\x1b[2J", "[" * 2000, "- " * 500, "0o17", "1_000", "190:20:30", "é" * 600]


def lines(rng, source):
    """Text with some of its lines removed, repeated, exchanged, indented or broken."""
    rows = source.splitlines(keepends=True) or [""]
    for _ in range(rng.choice([1, 1, 2, 4])):
        index = rng.randrange(len(rows))
        choice = rng.randrange(7)
        if choice == 0 and len(rows) > 1:
            del rows[index]
        elif choice == 1:
            rows.insert(index, rows[index])
        elif choice == 2:
            other = rng.randrange(len(rows))
            rows[index], rows[other] = rows[other], rows[index]
        elif choice == 3:
            rows[index] = " " * rng.choice([1, 2, 40]) + rows[index]
        else:
            place = rng.randrange(len(rows[index]) + 1)
            rows[index] = rows[index][:place] + rng.choice([*TOKENS, name(rng), str(rng.choice(NUMBERS))]) + rows[index][place + rng.choice([0, 0, 1, 5]):]
    return "".join(rows)


def aliases(rng):
    """A small YAML file that is a huge tree."""
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, rng.choice([3, 6, 9]))]
    return "\n".join(rows) + "\n"


def damaged(rng, data):
    """Bytes flipped, cut off, cut out, repeated or put in."""
    made = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        if not made:
            return bytes(made)
        place, length = rng.randrange(len(made)), rng.choice([1, 1, 2, 4, 16, 200])
        choice = rng.randrange(7)
        if choice < 3:
            made[place] = rng.choice([0, 1, 127, 128, 255, made[place] ^ (1 << rng.randrange(8))])
        elif choice == 3:
            del made[place:]
        elif choice == 4:
            del made[place:place + length]
        elif choice == 5:
            made[place:place] = made[place:place + length]
        else:
            made[place:place] = bytes(rng.randrange(256) for _ in range(length))
    return bytes(made)
