"""The pictures of the documentation, made anew: `make screenshots`. See README.md beside this file."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from story import HERE, ROOT, SCRATCH_HOME, SHOWN_HOME, Findings, play

from vault_scheduler.notes.note import Document

IMAGES = ROOT / "docs/images"
PLAN = SCRATCH_HOME / "shots.json"
MOST_BYTES = 1_500_000
DESK, PHONE = 760, 390
SYSTEM = "00_system"
TASKS = f"{SYSTEM}/tasks"

NOTES: tuple[dict[str, Any], ...] = (
    {"name": "note-briefing", "path": f"{TASKS}/briefing.md", "open": [1]},
    {"name": "note-briefing-phone", "path": f"{TASKS}/briefing.md", "open": [1], "width": PHONE, "theme": "dark"},
    {"name": "note-failure", "path": f"{TASKS}/home/backup.md", "open": [1]},
    {"name": "note-question-phone", "path": f"{TASKS}/plan-the-week.md", "open": [1], "width": PHONE},
    {"name": "note-timeout", "path": f"{TASKS}/home/photos.md", "theme": "dark"},
    {"name": "daily-log", "path": f"{SYSTEM}/logs/{{day}}.md"},
    {"name": "daily-log-phone", "path": f"{SYSTEM}/logs/{{day}}.md", "width": PHONE, "theme": "dark"},
    {"name": "status", "path": f"{SYSTEM}/status.md"},
    {"name": "status-phone", "path": f"{SYSTEM}/status.md", "width": PHONE},
    {"name": "output-note", "path": "Briefings/{day}.md", "theme": "dark"},
)
"""Notes as Obsidian shows them; `open`: callouts that were clicked open, counted from 1."""


def main() -> int:
    """Play the story, unless `--again`, and draw what came of it: all pictures, or those that are named."""
    again, wanted = "--again" in sys.argv, [name for name in sys.argv[1:] if name != "--again"]
    complain_about_missing_programs()
    if not again:
        found = play()
        shots = [*notes_of(found), *bases_of(found), *terminals_of(found)]
        complain_about_this_machine(shots)
        PLAN.write_text(json.dumps(shots), encoding="utf-8")
    draw([shot for shot in json.loads(PLAN.read_text(encoding="utf-8")) if not wanted or shot["name"] in wanted])
    size = sum(path.stat().st_size for path in IMAGES.glob("*.png"))
    print(f"{len(list(IMAGES.glob('*.png')))} pictures, {size / 1e6:.2f} MB, in {IMAGES.relative_to(ROOT)}")
    return int(size > MOST_BYTES)


def complain_about_missing_programs() -> None:
    """What has to be there beside this project's own environment, and how it comes there."""
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    missing = [name for name in (chromium, "node", "pngquant") if shutil.which(name) is None]
    if missing or not (HERE / "node_modules").exists():
        raise SystemExit(
            f"Missing: {', '.join(missing) or 'node_modules'}. tools/screenshots/README.md says what to do."
        )


# what is drawn


def notes_of(found: Findings) -> list[dict[str, Any]]:
    """The pictures of notes."""
    shots = []
    for wanted in NOTES:
        path = found.vault / wanted["path"].format(day=f"{found.now:%Y-%m-%d}")
        data = path.read_bytes().replace(str(found.vault.parent).encode(), SHOWN_HOME.encode())
        document = Document.parse(data)
        common = {"kind": "note", "theme": "light", "width": DESK, "scale": 1.5, "open": [], "title": path.stem}
        text = {"properties": properties_of(document), "text": document.body.decode()}
        shots.append({**common, **text, **wanted})
    return shots


def properties_of(document: Document) -> list[dict[str, Any]]:
    """Key, kind and value as Obsidian's table of properties shows them."""
    return [{"key": key, **property_of(value)} for key, value in document.mapping.items()]


def property_of(value: Any) -> dict[str, Any]:
    """Of which kind a value is to Obsidian, and how it is written there."""
    match value:
        case bool():
            return {"kind": "checkbox", "value": value}
        case int() | float():
            return {"kind": "number", "value": f"{value:g}"}
        case list():
            return {"kind": "list", "value": [str(item) for item in value]}
    text = str(value if value is not None else "")
    if moment := re.fullmatch(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?::\d\d)?", text):
        return {"kind": "datetime", "value": f"{moment[1]} {moment[2]}"}
    return {"kind": "text", "value": text}


def bases_of(found: Findings) -> list[dict[str, Any]]:
    """The table of all tasks."""
    base = yaml.safe_load((found.vault / SYSTEM / "tasks.base").read_text(encoding="utf-8"))
    notes = [row_of(path, found.vault) for path in sorted((found.vault / TASKS).rglob("*.md"))]
    common = {
        "kind": "base",
        "width": 1080,
        "scale": 1.5,
        "base": base,
        "notes": notes,
        "now": f"{found.now:%Y-%m-%dT%H:%M:%S}",
    }
    return [{**common, "name": "base", "theme": "light", "view": "All tasks"}]


def row_of(path: Path, vault: Path) -> dict[str, Any]:
    """A note as a Base knows it."""
    mapping = Document.parse(path.read_bytes()).mapping
    values = {key: value if isinstance(value, bool | int | float) else _plain(value) for key, value in mapping.items()}
    file = {"name": path.stem, "ext": "md", "folder": path.parent.relative_to(vault).as_posix()}
    return {"file": file, "properties": values}


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else "" if value is None else str(value)


def terminals_of(found: Findings) -> list[dict[str, Any]]:
    """The pictures of terminals."""
    return [
        {"kind": "terminal", "name": f"terminal-{name}", "theme": "dark", "width": 1200, "scale": 1.25, **screen}
        for name, screen in found.screens.items()
    ]


def complain_about_this_machine(shots: list[dict[str, Any]]) -> None:
    """Pictures for everybody show nothing of where they were made."""
    text = json.dumps(shots, ensure_ascii=False)
    betrayed = [
        word
        for word in (str(ROOT), str(Path.home()).replace(SHOWN_HOME, str(SCRATCH_HOME)), socket.gethostname(), "/tmp/")
        if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)
    ]
    if betrayed:
        raise SystemExit(f"the pictures would show {', '.join(betrayed)}")


def draw(shots: list[dict[str, Any]]) -> None:
    """One PNG each, with as few colours as look the same."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        plan = Path(place) / "shots.json"
        plan.write_text(json.dumps(shots), encoding="utf-8")
        subprocess.run(["node", str(HERE / "render.mjs"), str(plan), place], check=True)
        for path in Path(place).glob("*.png"):
            small = [
                "pngquant",
                "--force",
                "--strip",
                "--speed",
                "1",
                "--output",
                str(IMAGES / path.name),
                "96",
                str(path),
            ]
            subprocess.run(small, check=True)


if __name__ == "__main__":
    sys.exit(main())
