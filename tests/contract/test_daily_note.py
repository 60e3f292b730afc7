"""Where Obsidian's configuration says that daily notes are, and what a new one holds."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from vault_scheduler.errors import BadValue
from vault_scheduler.vault.daily_note import find_daily_notes, new_note
from vault_scheduler.vault.vault import Vault

DAY = date(2026, 11, 22)
SEVEN = datetime(2026, 11, 22, 7, 5, tzinfo=UTC)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """A vault that Obsidian has opened once."""
    (tmp_path / "00_system" / "tasks").mkdir(parents=True)
    put(tmp_path, ".obsidian/app.json", {})
    return Vault(tmp_path)


def put(root: Path, rel: str, content: object) -> None:
    path = root / rel
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def periodic(vault: Vault, data: object, *, enabled: bool = True) -> None:
    put(vault.root, ".obsidian/community-plugins.json", ["dataview", "periodic-notes"] if enabled else ["dataview"])
    put(vault.root, ".obsidian/plugins/periodic-notes/data.json", data)


def path_of(vault: Vault) -> str:
    return find_daily_notes(vault).path(DAY)


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        (None, "2026-11-22.md"),
        ({}, "2026-11-22.md"),
        ({"folder": "/", "format": ""}, "2026-11-22.md"),
        ({"folder": "Journal/Days/"}, "Journal/Days/2026-11-22.md"),
        ({"folder": "Journal", "format": "YYYY/MM/YYYY-MM-DD"}, "Journal/2026/11/2026-11-22.md"),
        ({"format": "YYYY/MM-MMMM/YYYY-MM-DD-dddd"}, "2026/11-November/2026-11-22-Sunday.md"),
        ({"format": "[Daily note] YYYY.MM.DD"}, "Daily note 2026.11.22.md"),
        ({"format": r"\D\a\y YYYYMMDD"}, "Day 20261122.md"),
        ({"format": "YYYY-MM-DD[.md]"}, "2026-11-22.md"),
    ],
)
def test_the_core_plugin_says_where(vault: Vault, settings: object, path: str) -> None:
    """Obsidian's defaults where nothing is saved."""
    if settings is not None:
        put(vault.root, ".obsidian/daily-notes.json", settings)
    assert path_of(vault) == path


@pytest.mark.parametrize(
    ("data", "enabled", "path"),
    [
        ({"daily": {"enabled": True, "folder": "P", "format": "YYYY-MM-DD ddd"}}, True, "P/2026-11-22 Sun.md"),
        ({"daily": {"enabled": True}}, True, "2026-11-22.md"),
        ({"daily": {"enabled": False, "folder": "P"}}, True, "Core/2026-11-22.md"),
        ({"daily": {"enabled": True, "folder": "P"}}, False, "Core/2026-11-22.md"),
        ({}, True, "Core/2026-11-22.md"),
        ({"calendarSets": [{"id": "Default", "day": {"enabled": True, "folder": "N"}}]}, True, "N/2026-11-22.md"),
        (
            {
                "calendarSets": [{"id": "A", "day": {"enabled": True, "folder": "N"}}, {"id": "B"}],
                "activeCalendarSet": "B",
            },
            True,
            "Core/2026-11-22.md",
        ),
    ],
)
def test_periodic_notes_wins_where_it_is_enabled(vault: Vault, data: object, enabled: bool, path: str) -> None:
    """The plugin, and its daily notes; in the format of its versions 0 and 1."""
    put(vault.root, ".obsidian/daily-notes.json", {"folder": "Core"})
    periodic(vault, data, enabled=enabled)
    assert path_of(vault) == path


def test_a_configuration_folder_may_have_another_name(vault: Vault) -> None:
    """It is the dot folder with Obsidian's `app.json`; two that say different things say nothing."""
    (vault.root / ".obsidian").rename(vault.root / ".config-notes")
    put(vault.root, ".config-notes/daily-notes.json", {"folder": "Journal"})
    put(vault.root, ".git/config", "")
    assert path_of(vault) == "Journal/2026-11-22.md"
    put(vault.root, ".phone/app.json", {})
    with pytest.raises(BadValue, match="two configurations"):
        path_of(vault)
    put(vault.root, ".obsidian/daily-notes.json", {"folder": "Mine"})
    assert path_of(vault) == "Mine/2026-11-22.md"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"format": "gggg-ww"}, "`gggg` differs between the languages"),
        ({"format": "YYYY-MM-DD HHmm"}, "`HH` tells a time"),
        ({"folder": "../other"}, "outside of the vault"),
        ({"folder": ".obsidian"}, "dot folder"),
        ({"folder": "00_system/tasks"}, "below tasks/"),
        ({"folder": "00_system/logs"}, "scheduler's own"),
        ("{", "cannot be read as JSON"),
        ([], "holds no settings"),
    ],
)
def test_what_cannot_be_told_is_refused(vault: Vault, settings: object, reason: str) -> None:
    """Never a wrong file, and never one that a run must not write."""
    put(vault.root, ".obsidian/daily-notes.json", settings)
    with pytest.raises(BadValue, match=reason):
        path_of(vault)


def test_without_obsidians_configuration_nobody_knows(vault: Vault) -> None:
    """A server to which the sync program does not carry it."""
    (vault.root / ".obsidian/app.json").unlink()
    (vault.root / ".obsidian").rmdir()
    with pytest.raises(BadValue, match="no configuration folder"):
        path_of(vault)


def made(vault: Vault) -> str | None:
    data = new_note(vault, find_daily_notes(vault), DAY, SEVEN)
    return data.decode() if data is not None else None


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("# {{title}}\n{{date}} {{time}}\n", "# 2026-11-22\n2026-11-22 07:05\n"),
        ("{{date:dddd, D. MMMM}} {{time:HH}}", "Sunday, 22. November 07"),
        ("```dataview\nLIST\n```\n", "```dataview\nLIST\n```\n"),
        ("", ""),
        ("<% tp.file.title %>", None),
        ("{{date}} {{VALUE}}", None),
        ("{{yesterday}}", None),
        ("{{date+1d:YYYY}}", None),
        ("{{date:ww}}", None),
        ("{{ open", None),
    ],
)
def test_a_plain_template_is_filled_in(vault: Vault, template: str, text: str | None) -> None:
    """Anything that is not plain is for Obsidian to make."""
    put(vault.root, ".obsidian/daily-notes.json", {"template": "Templates/Day"})
    assert made(vault) is None  # the template is not there
    put(vault.root, "Templates/Day.md", template)
    assert made(vault) == text


def test_dates_in_a_template_follow_the_plugin_that_fills_it_in(vault: Vault) -> None:
    """The core plugin writes them as its templates plugin is told, Periodic Notes as the note is named."""
    put(vault.root, "Day.md", "{{date}} {{time}}")
    put(vault.root, ".obsidian/daily-notes.json", {"template": "/Day.md", "format": "YYYYMMDD"})
    assert made(vault) == "2026-11-22 07:05"
    put(vault.root, ".obsidian/templates.json", {"dateFormat": "D.M.YY", "timeFormat": "h a"})
    assert made(vault) == "22.11.26 7 am"
    periodic(vault, {"daily": {"enabled": True, "template": "Day", "format": "YYYYMMDD"}})
    assert made(vault) == "20261122 07:05"
    periodic(vault, {"daily": {"enabled": True, "template": "Day", "format": "YYYY/MM-DD"}})
    assert made(vault) is None


def test_a_note_that_templater_would_fill_is_not_ours_to_make(vault: Vault) -> None:
    """A template for the folder stands in Templater's settings alone."""
    put(vault.root, ".obsidian/community-plugins.json", ["templater-obsidian"])
    put(vault.root, ".obsidian/daily-notes.json", {"folder": "Journal/Days"})
    settings = {"trigger_on_file_creation": True, "folder_templates": [{"folder": "Journal", "template": "T.md"}]}
    put(vault.root, ".obsidian/plugins/templater-obsidian/data.json", settings)
    assert made(vault) is None
    put(vault.root, ".obsidian/plugins/templater-obsidian/data.json", {**settings, "trigger_on_file_creation": False})
    assert made(vault) == ""
