"""Names that are never scheduled."""

from __future__ import annotations

import pytest

from vault_scheduler.vault.ignored import is_conflict_copy, reason_to_skip

SKIPPED = [
    ".briefing.md",
    ".#briefing.md",
    ".briefing.md.icloud",
    "briefing.sync-conflict-20261122-060000-ABCDEFG.md",  # Syncthing
    "briefing (Anna's conflicted copy 2026-11-22).md",  # Dropbox
    "briefing (Conflicted copy phone 202611220600).md",  # Obsidian Sync
    "briefing (conflicted copy 2026-11-22 060000).md",  # ours
    "~briefing.md",
    "~$briefing.md",
    "~syncthing~briefing.md",
    "briefing~.md",
    "#briefing#.md",
    "briefing.bak.md",
    "briefing.tmp.md",
    "Templates.md",
    "template.md",
    "_template.md",
    "_template weekly.md",
    "briefing.MD",
    "two\nlines.md",
    "broken-\udcff.md",
]
TAKEN = ["briefing.md", "briefing 1.md", "Écrire (2).md", "render template.md", "contemplate.md", "v1.2.md", "a#b.md"]


@pytest.mark.parametrize("name", SKIPPED)
def test_skips_what_people_did_not_write_as_a_task(name: str) -> None:
    """Conflict copies, temporary files, hidden files, templates and names that cannot be stored."""
    assert reason_to_skip(name, True)


@pytest.mark.parametrize("name", TAKEN)
def test_takes_ordinary_notes(name: str) -> None:
    """Names that only resemble the ones above are tasks."""
    assert reason_to_skip(name, True) is None


@pytest.mark.parametrize("name", [".trash", ".stversions", "Templates", "templates", "_templates"])
def test_skips_hidden_and_template_folders(name: str) -> None:
    """What lies below them is no task either."""
    assert reason_to_skip(name, False)


@pytest.mark.parametrize("name", ["home", "old", "v1.bak", "~work"])
def test_takes_ordinary_folders(name: str) -> None:
    """The rules for temporary files are for files."""
    assert reason_to_skip(name, False) is None


def test_knows_conflict_copies() -> None:
    """Only they are reported as such."""
    assert is_conflict_copy("a (conflicted copy 2026-11-22 060000).md")
    assert not is_conflict_copy("a (copy).md")
