"""Which notes an `output` may go to: inside the vault, markdown, and none that a run must not rewrite."""

from __future__ import annotations

import re

from vault_scheduler.errors import BadValue
from vault_scheduler.parsing.values import line, shown, text
from vault_scheduler.text.moment_format import UnknownToken, pieces
from vault_scheduler.text.names import INSTRUCTIONS, folded_parts, has_control

FIELDS = ("date", "time", "title")
DAILY_NOTE = "daily-note"
"""In the place of a note: the user's own daily note, wherever Obsidian keeps it."""
_FIELD = re.compile(r"\{\{\s*(\w+)\s*(?::([^{}]*))?\}\}")
_FORBIDDEN = re.compile(r'[:*?"<>|]')
_KNOWN = ", ".join(f"{{{{{name}}}}}" for name in FIELDS)


def output_template(value: object, key: str = "output", *, system_folder: str = "00_system") -> str:
    """`Note.md`, `daily-note#Heading`, `Note.md#Heading` also where the note has no `.md`; fields are left in it."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list) and len(value[0]) == 1:
        value = f"[[{value[0][0]}]]"  # what YAML makes of a link without quotes
    written = text(value, key)
    if written.startswith("[[") and written.endswith("]]"):
        raise BadValue(f"{shown(written)} is a link", f"Write {line(key, _with_md(written[2:-2]))}")
    with_fields_filled(written)
    # A field can hold no "#": the heading starts at the first one outside of fields.
    note, sign, heading = _FIELD.sub(_blank, written).partition("#")
    note, heading = written[: len(note)].strip(), written[len(note) + 1 :].strip()
    if note == DAILY_NOTE and not heading:
        raise BadValue("your daily note is never replaced as a whole", f"Write {line(key, 'daily-note#Briefing')}")
    if note == DAILY_NOTE:
        return f"{DAILY_NOTE}#{heading}"
    if sign and not heading:
        raise BadValue("no heading stands behind `#`", f"Write {line(key, note + '#Log')}")
    if not note:
        raise BadValue("no note stands before `#`", f"Write {line(key, 'Note#' + heading)}")
    note = _with_md(note) if sign else note
    check_output_path(_FIELD.sub("x", note), key, system_folder=system_folder)
    return f"{note}#{heading}" if sign else note


def with_fields_filled(template: str, title: str = "x") -> str:
    """The template with an x in place of each of its fields, but the title as given.

    Raises BadValue for fields that are not known.
    """
    for field in _FIELD.finditer(template):
        _check_field(field)
    return _FIELD.sub(lambda field: title if field[1] == "title" else "x", template)


def _check_field(field: re.Match[str]) -> None:
    name, pattern = field[1], field[2]
    if name not in FIELDS or (pattern is not None and name == "title"):
        raise BadValue(f"`{field[0]}` is not known", f"Known are {_KNOWN} and {{{{date:FORMAT}}}}")
    check_format(pattern or "", field[0])


def check_format(pattern: str, written: str) -> None:
    """Raises BadValue unless the date format says for certain what is meant; letters that are no token are a slip."""
    try:
        stray = [piece.text for piece in pieces(pattern) if piece.stray]
    except UnknownToken as error:
        raise BadValue(f"`{written}`: {error}", f"Write {error.instead} instead, or put words into [ ]") from None
    if stray:
        raise BadValue(f"`{written}`: `{stray[0]}` is no part of a date", "Put words into [ ]: `YYYY-[W]WW`")


def _blank(field: re.Match[str]) -> str:
    return "x" * len(field[0])


def _with_md(note: str) -> str:
    return note if note.lower().endswith(".md") or "#" in note else f"{note}.md"


def check_output_path(path: str, key: str = "output", *, system_folder: str = "00_system") -> None:
    """Raises BadValue unless a run's output may be written to this vault-relative path (no fields left in it)."""
    for why, fix in _objections(path, key, system_folder):
        raise BadValue(f"{shown(path)} {why}", fix)


def _objections(path: str, key: str, system_folder: str) -> list[tuple[str, str]]:
    parts = path.split("/")
    inside = "Write a path inside the vault, from its root: " + line(key, "Folder/Note.md")
    if "\\" in path:
        return [("has a backslash", f"Write {line(key, path.replace(chr(92), '/'))}")]
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:/", path) or ".." in parts:
        return [("is outside of the vault", inside)]
    if "" in parts or "." in parts:
        clean = "/".join(part for part in parts if part not in ("", "."))
        return [("is not a plain path", f"Write {line(key, _with_md(clean or 'Note'))}")]
    if "{{" in path or "}}" in path:
        return [("has braces that are no field", f"Known fields are {_KNOWN}")]
    if not path.endswith(".md"):
        return [("is not a note", f"Write {line(key, re.sub(r'[.](md|txt|markdown)$', '', path, flags=re.I) + '.md')}")]
    if has_control(path) or _FORBIDDEN.search(path) or any(part != part.strip() for part in parts):
        return [("cannot be a file on every device", 'Leave out : * ? " < > | and spaces at the ends of names')]
    return _protected(folded_parts(path), folded_parts(system_folder))


def _protected(parts: list[str], system: list[str]) -> list[tuple[str, str]]:
    """What a run must not rewrite: it could give itself other rights, or change what runs."""
    elsewhere = "Choose a note outside of it"
    if any(part.startswith(".") or not part for part in parts):
        return [("is in a dot folder, which no run may write to", elsewhere)]
    if parts[-1] in INSTRUCTIONS:
        return [("is protected: it instructs Claude", "Choose another note")]
    if parts[: len(system)] != system:
        return []
    below = parts[len(system) :]
    if below[0] == "tasks":
        return [("is below tasks/, where every note is a task", elsewhere)]
    if below[0] == "scripts":
        return [("is in the protected scripts folder", elsewhere)]
    if _is_own(below):
        return [("is the scheduler's own", "Choose another note")]
    return []


def is_schedulers_own(path: str, *, system_folder: str) -> bool:
    """Whether the scheduler itself writes this vault-relative file (no fields left in it), whatever any task does."""
    parts, system = folded_parts(path), folded_parts(system_folder)
    return parts[: len(system)] == system and _is_own(parts[len(system) :])


def _is_own(below: list[str]) -> bool:
    return below in (["scheduler.md"], ["status.md"], ["tasks.base"]) or below[:1] == ["logs"]
