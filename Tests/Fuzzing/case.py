"""One input of the program: files, the commands that read them, and what must hold of what they write."""

import dataclasses
import json
import pathlib


@dataclasses.dataclass
class Case:
    reader: str
    # Relative path -> content. Commands run in the folder that holds them; state/ is the user's state, config/ the settings.
    files: dict
    # Arguments of lathe, one list for each command; a later one runs only after status 0.
    commands: list
    # What must hold where every command ended with status 0, each [KIND, FILE, FILE]: the second model loads where the first does ("loads"), gives
    # outputs of the same shapes as well ("runs"), or of the same values ("agrees"); the files are the same ("same").
    checks: list = dataclasses.field(default_factory=list)

    def write(self, folder):
        for name, content in self.files.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def save(self, folder, **about):
        """Keeps the case, so that `load` has it back; `about` is for people."""
        self.write(folder)
        described = {"reader": self.reader, "commands": self.commands, "checks": self.checks, **about}
        pathlib.Path(folder, "case.json").write_text(json.dumps(described, indent=1) + "\n")

    @staticmethod
    def load(folder):
        folder = pathlib.Path(folder)
        described = json.loads((folder / "case.json").read_text())
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "case.json"
        }
        return Case(described["reader"], files, described["commands"], described["checks"])

    @property
    def byte_count(self):
        return sum(map(len, self.files.values()))
