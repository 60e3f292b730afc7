"""`check`: what is wrong with the notes, and quoting what needs quotes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vault_scheduler.commands.catalogue import Catalogue, read_catalogue
from vault_scheduler.commands.records import ledger
from vault_scheduler.commands.view import with_ledger
from vault_scheduler.errors import BadUsage
from vault_scheduler.machine.place import Place, read_settings
from vault_scheduler.task import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What `check` found, by path and line; `fixed` are the notes that were written."""

    notes: int
    problems: tuple[Problem, ...]
    fixed: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)  # named notes that are never scheduled, and why


async def check(place: Place, paths: Sequence[str], *, fix: bool = False) -> Checked:
    """The problems of all notes, or of these. Raises NoteRefused, BadUsage (nothing there)."""
    async with ledger(place) as store:
        former = {row.path for row in (await store.task_rows()).values()} if store else set()
        fixed = _fix(place, read_catalogue(place, former=former), paths) if fix else ()
        if fixed:
            place = replace(place, settings=read_settings(place.vault, place.machine_timezone))
        catalogue = await with_ledger(place, read_catalogue(place, former=former), store)
    problems = [problem for problem in catalogue.problems if _is_meant(problem.path, paths)]
    meant = [item for item in catalogue.items if _is_meant(item.path, paths)]
    skipped = {path: why for path, why in catalogue.skipped.items() if path in paths}
    known = {*skipped, *(item.path for item in catalogue.items), *(problem.path for problem in problems)}
    for path in paths:
        if path not in known and (place.vault.root / path).is_file():
            skipped[path] = _why_no_task(place, path)
    return Checked(notes=len(meant), problems=tuple(problems), fixed=fixed, skipped=skipped)


def _why_no_task(place: Place, path: str) -> str:
    if path == place.vault.rel(place.vault.settings_path):
        return "it is the settings note, and has no problems"
    if not place.vault.is_task_path(path):
        return f"it is not a note below {place.vault.rel(place.vault.tasks_folder)}/"
    return "none of its properties is a key of a task"


def _is_meant(path: str, paths: Sequence[str]) -> bool:
    return not paths or any(path == named or path.startswith(f"{named}/") or named == "." for named in paths)


def _fix(place: Place, catalogue: Catalogue, paths: Sequence[str]) -> tuple[str, ...]:
    from vault_scheduler.parsing import fixes

    broken = dict.fromkeys(problem.path for problem in catalogue.problems if _is_meant(problem.path, paths))
    fixed = []
    for path in broken:
        data = place.vault.read(path) if path.endswith(".md") else None
        if data is not None and fixes.fix(data) != data and place.vault.edit(path, fixes.fix).changed:
            fixed.append(path)
    return tuple(fixed)


def named_paths(place: Place, paths: Sequence[str], start: Path) -> list[str]:
    """The vault-relative paths that a person named, from where they stand or from the vault. Raises BadUsage."""
    found = []
    for given in paths:
        candidates = [start / given, place.vault.root / given]
        there = next((path for path in candidates if path.exists()), None)
        if there is None:
            raise BadUsage(f"there is no file or folder {given}. Name a note of the vault {place.vault.root}")
        try:
            found.append(place.vault.rel(there))
        except ValueError:
            raise BadUsage(
                f"{given} is outside of the vault {place.vault.root}. Name that vault with --vault"
            ) from None
    return found
