"""The vault's open tasks in one list. Called by the task note `open-tasks`."""

import datetime
import os
import pathlib
import re

OPEN = re.compile(r"^\s*[-*] \[ \] (?P<text>.+?)(?:, due (?P<due>\d{4}-\d{2}-\d{2}))?\s*$")


def collect(skip="", soon_days=14):
    """Markdown with what is due first, then the rest by note. The vault is the working folder."""
    due, rest = [], []
    for path in sorted(pathlib.Path.cwd().rglob("*.md")):
        note = path.relative_to(pathlib.Path.cwd())
        if note.parts[0].startswith(".") or note.parts[0] == skip or note.name == "Open tasks.md":
            continue
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if found := OPEN.match(line):
                item = f"{found['text']} ([[{note.stem}]])"
                (due if found["due"] else rest).append((found["due"], item))
    today = datetime.datetime.fromisoformat(os.environ["VAULT_SCHED_FIRE_TIME"]).date()
    horizon = (today + datetime.timedelta(days=soon_days)).isoformat()
    soon = [f"- {day} · {item}" for day, item in sorted(due) if day <= horizon]
    later = [f"- {day} · {item}" for day, item in sorted(due) if day > horizon]
    undated = [f"- {item}" for _, item in rest]
    parts = [f"**{len(due) + len(rest)} open tasks**"]
    for title, lines in (("Due soon or overdue", soon), ("Later", later), ("Without a date", undated)):
        if lines:
            parts.append("\n".join([f"**{title}**", "", *lines]))
    return {"markdown": "\n\n".join(parts)}
