"""The built-in task `doc_freshness` on a vault on disk."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from vault_scheduler.builtin.doc_freshness import run
from vault_scheduler.errors import BadValue

NOW = datetime(2026, 11, 22, 8, 30, tzinfo=ZoneInfo("Europe/Berlin"))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_it_reads_the_vault_and_leaves_out_what_is_no_note(tmp_path: Path) -> None:
    """Dot folders, templates, conflict copies, links and other files do not take part."""
    stale = "---\nreviewed: 2020-01-01\n---\n"
    write(tmp_path / "Docs/Heating.md", stale)
    write(tmp_path / ".trash/Gone.md", stale)
    write(tmp_path / "Templates/Doc.md", stale)
    write(tmp_path / "Docs/Heating.sync-conflict-20261101-101010-ABC.md", stale)
    write(tmp_path / "Docs/list.txt", stale)
    (tmp_path / "Docs/link.md").symlink_to(tmp_path / "Docs/Heating.md")
    text = run(tmp_path, NOW)["markdown"]
    assert "1 past their review" in text
    assert "[[Docs/Heating|Heating]]" in text


def test_broken_notes_never_end_the_run(tmp_path: Path) -> None:
    """Invalid UTF-8, NUL, a FIFO, an unreadable or unclosed note: the others are still reported."""
    write(tmp_path / "Docs/Good.md", "---\nreviewed: 2020-01-01\n---\n")
    write(tmp_path / "Docs/Open.md", "---\nreviewed: 2020-01-01\n")
    (tmp_path / "Docs/Latin.md").write_bytes(b"---\nreviewed: 2020-01-01\nowner: Andr\xe9\n---\n")
    (tmp_path / "Docs/Nul.md").write_bytes(b"---\nreviewed: \x00\n---\n")
    (tmp_path / "Docs/Utf16.md").write_bytes("---\nreviewed: 2020-01-01\n---\n".encode("utf-16"))
    os.mkfifo(tmp_path / "Docs/Pipe.md")
    for folder in (None, "Docs"):
        text = run(tmp_path, NOW, folder=folder)["markdown"]
        assert "[[Docs/Good|Good]] · reviewed 2020-01-01" in text
    assert "[[Docs/Pipe|Pipe]] · cannot be read" in text
    assert "[[Docs/Nul|Nul]] · line" in text


def test_several_folders_and_other_property_names(tmp_path: Path) -> None:
    """`folder` takes a list, and the properties may have other names."""
    write(tmp_path / "Docs/A.md", "---\nchecked: 2020-01-01\ncheck_every: 1w\n---\n")
    write(tmp_path / "Home/B.md", "no properties\n")
    write(tmp_path / "Other/C.md", "no properties\n")
    found = run(tmp_path, NOW, folder=["Docs", "Home/"], reviewed="checked", review_every="check_every")["markdown"]
    assert "[[Docs/A|A]] · reviewed 2020-01-01" in found
    assert "[[Home/B|B]]" in found
    assert "Other" not in found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"folder": "Nowhere"}, "no folder `Nowhere`"),
        ({"folder": "../elsewhere"}, "no folder"),
        ({"review_after": 180}, "no unit"),
        ({"review_after": "6h"}, "too short"),
        ({"limit": 0}, "0"),
    ],
)
def test_an_argument_without_meaning_is_refused(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    """A wrong argument fails the run with its cure, because a report on other notes than meant would mislead."""
    with pytest.raises(BadValue, match=message):
        run(tmp_path, NOW, **arguments)


@pytest.mark.parametrize("folder", ["Elsewhere", "Elsewhere/inside", ".obsidian", "Docs/../.."])
def test_a_folder_that_leads_out_of_the_vault_is_refused(tmp_path: Path, folder: str) -> None:
    """No link, dot folder or `..` makes the report tell of files that are not the vault's notes."""
    vault = tmp_path / "vault"
    write(vault / "Docs/A.md", "")
    write(vault / ".obsidian/B.md", "")
    write(tmp_path / "outside/inside/C.md", "")
    (vault / "Elsewhere").symlink_to(tmp_path / "outside")
    with pytest.raises(BadValue, match="folder"):
        run(vault, NOW, folder=folder)


def test_five_thousand_notes_take_a_moment(tmp_path: Path) -> None:
    """A large vault, each tenth note with a review date, is looked over in a few seconds at worst."""
    for number in range(5000):
        text = "---\nreviewed: 2020-01-01\n---\n" if number % 10 == 0 else "---\ntags: [a]\n---\ntext\n"
        (tmp_path / f"{number}.md").write_text(text)
    before = os.times().user
    assert "500 past their review" in run(tmp_path, NOW)["markdown"]
    assert os.times().user - before < 5.0
