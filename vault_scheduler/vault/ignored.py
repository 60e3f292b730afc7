"""File and folder names in the tasks folder that are never scheduled: nobody wrote them as a task."""

from __future__ import annotations

import re

TEMPLATES = frozenset({"templates", "template", "_templates", "_template"})
CONFLICTS = re.compile(r"\.sync-conflict-\d{8}-\d{6}|\([^()]*conflicted copy[^()]*\)", re.IGNORECASE)
LEFT_BY_EDITORS = re.compile(r"^[~#]|~$|\.(?:tmp|temp|bak|backup|orig|old|swp|part)$", re.IGNORECASE)
CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
PLAIN = re.compile(r"(?!_?(?i:template))[A-Za-z0-9 _-]+\.md")
"""Most names of notes: none of what is looked for below can be in them."""


def reason_to_skip(name: str, is_file: bool) -> str | None:
    """Why a file or folder of this name is never scheduled, or None. `name` is one part of a path."""
    if is_file and PLAIN.fullmatch(name):
        return None
    if name.startswith("."):
        return "its name starts with a dot"
    stem = name[:-3] if is_file else name
    if stem.lower() in TEMPLATES or stem.lower().startswith("_template"):
        return "it is a template"
    if is_conflict_copy(stem):
        return "it is a conflict copy made by a sync program"
    if is_file and LEFT_BY_EDITORS.search(stem):
        return "it is a temporary or backup file"
    return _bad_name(name, is_file)


def is_conflict_copy(name: str) -> bool:
    """Whether a file name is one that sync programs give to the second version of a note."""
    return CONFLICTS.search(name) is not None


def _bad_name(name: str, is_file: bool) -> str | None:
    if is_file and not name.endswith(".md"):
        return "its extension is not .md in lower case"
    if CONTROL.search(name):
        return "its name holds a control character"
    if not name.isascii() and name.encode("utf-8", "replace").decode() != name:
        return "its name is not valid UTF-8"
    return None
