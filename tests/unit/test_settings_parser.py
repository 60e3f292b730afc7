"""From the settings note to settings."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.keys import KEYS, SETTINGS
from vault_scheduler.parsing.parsed import ParsedSettings
from vault_scheduler.parsing.parser import source_of
from vault_scheduler.parsing.settings_parser import parse_settings, rebuild_settings
from vault_scheduler.settings import Settings
from vault_scheduler.task import CatchUp, Severity, Status

PATH = "00_system/scheduler.md"


def parse(*properties: str) -> ParsedSettings:
    text = "\n".join(["---", *properties, "---", "About the scheduler.", ""])
    return parse_settings(Document.parse(text.encode()), PATH, "Europe/Berlin")


def settings_of(*properties: str) -> Settings:
    parsed = parse(*properties)
    assert parsed.settings is not None, [str(problem) for problem in parsed.problems]
    return parsed.settings


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("status: stopped", "status", Status.STOPPED),
        ("enabled: false", "status", Status.PAUSED),
        ("status:", "status", Status.ACTIVE),
        ("paused_until: 2026-12-01", "paused_until", datetime(2026, 11, 30, 23, tzinfo=UTC)),
        ("host: server", "host", "server"),
        ("timezone: Asia/Tokyo", "timezone", "Asia/Tokyo"),
        ("tz: Asia/Tokyo", "timezone", "Asia/Tokyo"),
        ("max_parallel: 8", "max_parallel", 8),
        ("max_claude: 1", "max_claude", 1),
        ("vault_max_usd_day: 0", "vault_max_usd_day", 0.0),
        ("note_quiet: 20s", "note_quiet", timedelta(seconds=20)),
        ("note_interval: 1m", "note_interval", timedelta(minutes=1)),
        ("daily_log_in: own", "daily_log_in", "own"),
        ("daily_log_in: daily-note", "daily_log_in", "daily-note"),
        ('daily_log_heading: "## Log of tasks"', "daily_log_heading", "Log of tasks"),
        ("timeout: 5m", "options", {"timeout": timedelta(minutes=5)}),
        ("catch_up: skip", "options", {"catch_up": CatchUp.SKIP}),
        ("env: [A=1]", "options", {"env": (("A", "1"),)}),
        ("pause_after: 3", "options", {"pause_after": 3}),
        ("log: none", "options", {"log": "none"}),
        ("type: settings", "options", {}),  # many vaults give every note a type
        ("tags: [system]", "options", {}),
    ],
)
def test_good_setting_is_read(line: str, name: str, value: Any) -> None:
    """Every supported key of the settings note, the vault's defaults included."""
    parsed = parse("max_parallel: 4", line) if not line.startswith("max_parallel") else parse(line)
    assert parsed.problems == ()
    assert getattr(parsed.settings, name) == value


def test_unset_settings_have_the_built_in_values() -> None:
    """A zone that nobody wrote is None: the machine's counts."""
    assert settings_of("status: active") == Settings()


@pytest.mark.parametrize(
    ("line", "message", "fix"),
    [
        ("status: done", "not a known value", "active, paused, stopped"),
        ("status: pause", "not a known value", "`status: paused`"),
        ("paused_until: later", "not a date", "2026-11-22"),
        ("timezone: Berlin", "not a known time zone", "Europe/Berlin"),
        ("max_parallel: 0", "too low", "`max_parallel: 1`"),
        ("max_claude: two", "not a whole number", ""),
        ("vault_max_usd_day: $5", "more than a number", "`vault_max_usd_day: 5`"),
        ("note_quiet: 10", "no unit", "`note_quiet: 10s`"),
        ("note_quiet: 1d", "too long", "`note_quiet: 1h`"),
        ("note_interval: 0s", "too short", "`note_interval: 1s`"),
        ('daily_log_heading: "##"', "is no heading", "`daily_log_heading: Scheduler`"),
        ("timeout: 5", "no unit", "`timeout: 5s`"),
        ("overlap: alow", "not a known value", "`overlap: allow`"),
        ("secrets: A=b", "no place for secrets", "[A]"),
    ],
)
def test_bad_setting_is_a_problem_with_line_and_cure(line: str, message: str, fix: str) -> None:
    """The settings in force stay; the problem says what to write."""
    parsed = parse("# comment", line)
    assert parsed.settings is None
    (problem,) = parsed.problems
    assert (problem.path, problem.line, problem.key) == (PATH, 3, line.split(":")[0])
    assert message in problem.message
    assert fix in problem.fix


@pytest.mark.parametrize("key", [key.name for key in KEYS.values() if not key.supported and SETTINGS in key.where])
def test_setting_that_is_not_built_yet_is_a_problem(key: str) -> None:
    """A cap that is read but ignored would be a lie."""
    parsed = parse(f"{key}: x")
    assert parsed.settings is None
    assert parsed.problems[0].message == "is not supported by this version"


@pytest.mark.parametrize("line", ["cron: 0 7 * * *", "output: a.md", "max_usd: 1", "max_paralel: 3", "max_workers: 3"])
def test_misplaced_or_misspelled_key_warns(line: str) -> None:
    """A task's key in the settings note does nothing; the settings count all the same."""
    parsed = parse("status: active", line)
    assert parsed.settings == Settings()
    expected = [] if line.startswith("max_workers") else [Severity.WARNING]
    assert [problem.severity for problem in parsed.problems] == expected


@pytest.mark.parametrize(
    "data", [b"", b"Just text.\n", b"---\n---\n", b"---\nstatus: active\n", b"---\na: b: c\n---\n", b"\0"]
)
def test_note_without_properties_is_a_problem(data: bytes) -> None:
    """An emptied or broken settings note must not undo `status: stopped`."""
    parsed = parse_settings(Document.parse(data), PATH)
    assert parsed.settings is None
    assert parsed.problems[0].is_error
    assert parsed.problems[0].fix


def test_settings_can_be_rebuilt_from_their_stored_source() -> None:
    """The last good settings survive a restart as JSON."""
    text = b"---\nstatus: paused\npaused_until: 2026-12-01\nenv: {A: 1}\ntz: UTC\n---\n"
    document = Document.parse(text)
    stored = json.loads(json.dumps(source_of(document)))
    assert rebuild_settings(stored, PATH) == parse_settings(document, PATH)
