"""What must be there when a run says that it succeeded, as its note says it: a changed file, words in the output."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

from vault_scheduler.errors import BadValue
from vault_scheduler.parsing.fields import Fields
from vault_scheduler.parsing.output_path import is_schedulers_own, with_fields_filled
from vault_scheduler.parsing.values import line, shown, text
from vault_scheduler.text.names import folded_parts, has_control

LONGEST_PATTERN = 1000
"""Characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The evidence that a note asks for; None: none."""

    file: str | None  # vault-relative; fields are left in it
    output: str | None  # regular expression


def read_expected(fields: Fields, path: str, system_folder: str) -> Expected:
    """Both keys of the task note at this vault-relative path."""
    file = partial(expected_file, note=path, system_folder=system_folder)
    return Expected(file=fields.read("expect_file", file), output=fields.read("expect_output", pattern))


def expected_file(value: object, key: str = "expect_file", *, note: str = "", system_folder: str = "00_system") -> str:
    """A path inside the vault; `{{date}}`, `{{date:FORMAT}}`, `{{time}}` and `{{title}}` are left as they are.

    What the scheduler writes itself, the task's own `note` among it, would be evidence of nothing.
    """
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list) and len(value[0]) == 1:
        value = f"[[{value[0][0]}]]"  # what YAML makes of a link without quotes
    written = text(value, key)
    if written.startswith("[[") and written.endswith("]]"):
        raise BadValue(f"{shown(written)} is a link", f"Write {line(key, written[2:-2] + '.md')}")
    path = with_fields_filled(written)
    inside = "Write a path inside the vault, from its root: " + line(key, "Folder/Note.md")
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:[/\\]", path) or ".." in path.split("/"):
        raise BadValue(f"{shown(written)} is outside of the vault", inside)
    if "\\" in path or has_control(path) or any(part in ("", ".") for part in path.split("/")):
        raise BadValue(f"{shown(written)} is not a plain path of a file", inside)
    _check_evidence(written, note, system_folder)
    return written


def _check_evidence(written: str, note: str, system_folder: str) -> None:
    path = with_fields_filled(written, title=PurePosixPath(note).stem)
    if note and folded_parts(path) == folded_parts(note):
        why = f"{shown(written)} is the task's own note, which changes with each run"
    elif is_schedulers_own(path, system_folder=system_folder):
        why = f"{shown(written)} is written by the scheduler itself, whatever the run does"
    else:
        return
    raise BadValue(why, "Name a file that the run makes or changes")


def pattern(value: object, key: str = "expect_output") -> str:
    """A regular expression that Python can read; whether it ever ends is found out where it is searched for."""
    written = text(value, key)
    if len(written) > LONGEST_PATTERN:
        raise BadValue(f"has more than {LONGEST_PATTERN} characters", "Search for less: one word that tells is enough")
    try:
        re.compile(written)
    except (re.error, OverflowError, RecursionError) as error:
        quoted = line(key, re.escape(written))
        fix = f"Correct it; to search for exactly this text, write {quoted}"
        raise BadValue(f"{shown(written)} is not a regular expression: {error}", fix) from None
    return written
