"""The user's own daily notes: where Obsidian keeps them, and what a new one holds.

Read from Obsidian's configuration, of the core plugin or of Periodic Notes where that is enabled. What cannot be told
for certain raises BadValue: a wrong name would be a wrong note, and two of them for a day.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import PurePosixPath
from typing import Any

from vault_scheduler.errors import BadValue, VaultSchedError
from vault_scheduler.parsing.output_path import check_output_path
from vault_scheduler.text.moment_format import UnknownToken, formatted, time_tokens
from vault_scheduler.vault.vault import Vault

USUAL_FORMAT = "YYYY-MM-DD"
_CONFIGURED = "configuration folder of Obsidian"


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyNotes:
    """Where the notes of days lie and what they begin with, as Obsidian is told."""

    source: str  # the vault-relative file that says so, for messages
    folder: str = ""
    format: str = USUAL_FORMAT  # of moment; a "/" in it makes folders
    template: str = ""  # vault-relative, with or without .md; "": a new note is empty
    date_format: str = USUAL_FORMAT  # of `{{date}}` in the template; "": the name of the note
    time_format: str = "HH:mm"
    others_fill: bool = False  # a plugin writes into every new note there

    def path(self, day: date) -> str:
        """The vault-relative path of a day's note. Raises BadValue where its name cannot be told."""
        try:
            if told := next(time_tokens(self.format), ""):
                raise UnknownToken(told, "tells a time, so that each minute has another name", USUAL_FORMAT)
            name = formatted(self.format, datetime.combine(day, time()))
        except UnknownToken as error:
            fix = f"Choose a date format without it, for example {error.instead}"
            raise BadValue(f"{self.source}: in the format `{self.format}` of daily notes {error}", fix) from None
        path = "/".join(part for part in f"{self.folder}/{name}".split("/") if part)
        path = path if path.endswith(".md") else f"{path}.md"
        check_output_path(path, "daily notes")
        return path


def find_daily_notes(vault: Vault) -> DailyNotes:
    """What Obsidian's configuration says now. Raises BadValue, NoteUnreadable (the vault is away)."""
    found = [_Config(vault, folder).daily_notes() for folder in config_folders(vault)]
    if not found:
        fix = f"Let your sync program carry the {_CONFIGURED} (`.obsidian`) to this machine"
        raise BadValue(f"there is no {_CONFIGURED} in the vault, so nobody knows where daily notes are", fix)
    first, *others = found
    if any(_same(first, other) is False for other in others):
        fix = "Set the same folder and format in each of them"
        raise BadValue(f"two configurations of Obsidian keep daily notes in different places ({first.source})", fix)
    return first


def _same(one: DailyNotes, other: DailyNotes) -> bool:
    return (one.folder, one.format) == (other.folder, other.format)


def config_folders(vault: Vault) -> list[str]:
    """`.obsidian`; where there is none the folders of another name that hold Obsidian's `app.json`."""
    if (vault.root / ".obsidian").is_dir():
        return [".obsidian"]
    try:
        return sorted(entry.name for entry in vault.root.glob(".*") if (entry / "app.json").is_file())
    except OSError:
        return []


class _Config:
    """One configuration folder."""

    def __init__(self, vault: Vault, folder: str) -> None:
        self._vault = vault
        self._folder = folder

    def daily_notes(self) -> DailyNotes:
        plugins = self._json("community-plugins.json")
        enabled = frozenset(name for name in plugins if isinstance(name, str)) if isinstance(plugins, list) else ()
        periodic = _periodic(self._mapping("plugins/periodic-notes/data.json")) if "periodic-notes" in enabled else None
        templater = self._mapping("plugins/templater-obsidian/data.json") if "templater-obsidian" in enabled else {}
        if periodic is not None:
            name, options, dates = "plugins/periodic-notes/data.json", periodic, {"date_format": ""}
        else:
            name, options = "daily-notes.json", self._mapping("daily-notes.json")
            dates = self._template_formats()
        folder = _text(options, "folder").strip("/")
        return DailyNotes(
            source=f"{self._folder}/{name}",
            folder="" if folder == "." else folder,
            format=_text(options, "format") or USUAL_FORMAT,
            template=(_text(options, "template") or _text(options, "templatePath")).strip("/"),
            others_fill=_fills_new_notes(templater, folder),
            **dates,
        )

    def _template_formats(self) -> dict[str, str]:
        """How the core plugin of templates writes dates and times."""
        options = self._mapping("templates.json")
        given = {"date_format": _text(options, "dateFormat"), "time_format": _text(options, "timeFormat")}
        return {name: value for name, value in given.items() if value}

    def _mapping(self, name: str) -> Mapping[str, Any]:
        found = self._json(name)
        if found is not None and not isinstance(found, dict):
            raise BadValue(f"{self._folder}/{name} holds no settings", "Save the plugin's settings in Obsidian again")
        return found or {}

    def _json(self, name: str) -> Any:
        data = self._vault.read(f"{self._folder}/{name}")
        try:
            return json.loads(data.decode("utf-8-sig")) if data is not None else None
        except (ValueError, RecursionError):
            fix = "Save the plugin's settings in Obsidian again"
            raise BadValue(f"{self._folder}/{name} cannot be read as JSON", fix) from None


def _text(options: Mapping[str, Any], key: str) -> str:
    value = options.get(key)
    return value.strip() if isinstance(value, str) else ""


def _periodic(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The daily part of Periodic Notes, of version 0 or 1; None if it is switched off."""
    daily = data.get("daily")
    for one in _calendar_sets(data):
        daily = one.get("day")
    return daily if isinstance(daily, dict) and daily.get("enabled") else None


def _calendar_sets(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    sets = data.get("calendarSets")
    active = data.get("activeCalendarSet", "Default")
    known = [one for one in sets if isinstance(one, dict)] if isinstance(sets, list) else []
    return iter([one for one in known if one.get("id") == active][:1])


def _fills_new_notes(templater: Mapping[str, Any], folder: str) -> bool:
    """Whether Templater puts a template of its own into a note that is made in this folder."""
    if not templater.get("trigger_on_file_creation"):
        return False
    if templater.get("enable_file_templates") and templater.get("file_templates"):
        return True
    listed = templater.get("folder_templates")
    if not isinstance(listed, list) or templater.get("enable_folder_templates") is False:
        return False
    folders = [_text(one, "folder").strip("/") for one in listed if isinstance(one, dict) and _text(one, "template")]
    return any(not each or f"{folder}/".startswith(f"{each}/") for each in folders)


_PLAIN_FIELD = re.compile(r"\{\{(?P<name>date|time|title)(?::(?P<format>[^{}]*))?\}\}")


def new_note(vault: Vault, notes: DailyNotes, day: date, local: datetime) -> bytes | None:
    """What Obsidian would make the day's note of at this local time; None if only Obsidian itself can tell.

    A template is filled in if `{{date}}`, `{{time}}`, `{{title}}` and formats of dates are all there is to fill in:
    with `<%` or unknown fields it is a program of another plugin's.
    """
    if notes.others_fill:
        return None
    if not notes.template:
        return b""
    try:
        data = vault.read(notes.template if notes.template.endswith(".md") else f"{notes.template}.md")
        text = data.decode("utf-8") if data is not None else None
    except (VaultSchedError, UnicodeDecodeError):
        return None
    return filled(text, notes, day, local) if text is not None else None


def filled(template: str, notes: DailyNotes, day: date, local: datetime) -> bytes | None:
    """The template with its fields filled in; None if there is anything in it that we do not know."""
    if "<%" in template or "{{" in _PLAIN_FIELD.sub("", template):
        return None
    title = PurePosixPath(notes.path(day)).stem
    moment = datetime.combine(day, local.time())

    def fill(field: re.Match[str]) -> str:
        if field["name"] == "title":
            return title
        usual = notes.date_format if field["name"] == "date" else notes.time_format
        wanted = (field["format"] or "").strip() or usual
        return formatted(wanted, moment) if wanted else title

    is_ambiguous = not notes.date_format and "/" in notes.format  # Periodic Notes takes the folders for the name
    if is_ambiguous and _PLAIN_FIELD.search(template):
        return None
    try:
        return _PLAIN_FIELD.sub(fill, template).encode()
    except UnknownToken:
        return None
