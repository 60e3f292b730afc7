"""The built-in task `vault_cleanup` on a vault on disk."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from tests.contract import notes_on_disk
from tests.contract.notes_on_disk import NOW
from vault_scheduler.builtin.vault_cleanup import is_empty, original_of, run
from vault_scheduler.errors import BadValue, NoteChanged, NoteUnreadable
from vault_scheduler.text.harmless import harmless_markdown
from vault_scheduler.vault.trash import to_trash
from vault_scheduler.vault.vault import Vault

write = partial(notes_on_disk.write, days_old=10.0)


def clean(vault: Path, **args: object) -> str:
    return run(vault, vault / "00_system", NOW, **args)["markdown"]


def everything(vault: Path) -> set[str]:
    return {path.relative_to(vault).as_posix() for path in vault.rglob("*") if path.is_file()}


def messy(vault: Path) -> None:
    write(vault / "Empty.md", " \n")
    write(vault / "Props.md", "---\ntags:\naliases: []\n---\n\n")
    write(vault / "Linked.md", "")
    write(vault / "New.md", "", days_old=0.1)
    write(vault / "Plan.md", "the plan\n")
    write(vault / "Plan 1.md", "the plan\r\n")
    write(vault / "Plan copy.md", "the plan\n")
    write(vault / "Plan 2.md", "another plan\n")
    write(vault / "Sub/Plan.md", "the plan\n")
    write(
        vault / "Home.md", "[[Linked]] [[Plan copy]] [[Nobody]] ![[No.png]] [x](Gone.md) [y](folder/) [[2026-12-24]]\n"
    )
    write(vault / "00_system/logs/2026-01-05.md", "old\n")
    write(vault / "00_system/logs/2026-11-05.md", "new\n")
    write(vault / "00_system/tasks/empty.md", "")


def test_a_dry_run_tells_and_touches_nothing(vault: Path) -> None:
    """Without `delete` everything stays, and the report says what would go, what stays and why."""
    messy(vault)
    before = everything(vault)
    said = clean(vault)
    assert everything(vault) == before
    assert said == (
        "**2 empty notes, 1 copy, 1 old log can go** · 3 dead links in 1 note · 1 group of equal notes · "
        "3 to decide about · 10 notes looked at.\n\n"
        "**Empty**\n\n"
        "- [[Empty]] · changed 10 days ago\n"
        "- [[Linked]] · changed 10 days ago · stays: [[Home]] links to it\n"
        "- [[New]] · changed today · stays: it changed less than 1d ago\n"
        "- [[Props]] · changed 10 days ago\n\n"
        "**Copies**\n\n"
        "- [[Plan 1]] = [[Plan]]\n"
        "- [[Plan copy]] = [[Plan]] · stays: [[Home]] links to it\n\n"
        "**Equal notes, of which none says that it is a copy**\n\n"
        "- [[Plan]] = [[Sub/Plan|Plan]]\n\n"
        "**Dead links**\n\n"
        "- [[Home]] → Nobody, No.png, Gone.md\n\n"
        "**Old logs**\n\n"
        "- 2026-01-05 · 1 daily log · 1 KiB\n\n"
        "Nothing was moved: this is a dry run. With `args: [delete=true]` they go to the vault's `.trash`."
    )
    assert harmless_markdown(said) == said


def test_delete_moves_to_the_trash_and_nothing_else(vault: Path) -> None:
    """Exactly the notes that could go are in `.trash` afterwards, whole and under their own path."""
    messy(vault)
    before = everything(vault)
    said = clean(vault, delete=True)
    gone = {"Empty.md", "Props.md", "Plan 1.md", "00_system/logs/2026-01-05.md"}
    assert everything(vault) == (before - gone) | {f".trash/{path}" for path in gone}
    assert (vault / ".trash/Plan 1.md").read_bytes() == b"the plan\r\n"
    assert "**2 empty notes, 1 copy, 1 old log went to the trash**" in said
    assert "[[Empty]]" not in said  # a link would be one more dead link
    assert clean(vault, delete=True).startswith("3 dead links")


def test_the_trash_keeps_what_it_holds(vault: Path) -> None:
    """A note of the same name in the trash stays; the new one gets a number."""
    write(vault / "Empty.md", "")
    write(vault / ".trash/Empty.md", "an older one\n")
    clean(vault, delete=True)
    assert (vault / ".trash/Empty.md").read_text() == "an older one\n"
    assert (vault / ".trash/Empty 2.md").read_text() == ""


def test_a_note_that_somebody_filled_meanwhile_stays(vault: Path) -> None:
    """What is moved is what was judged, byte for byte."""
    write(vault / "Note.md", "written a moment ago\n")
    with pytest.raises(NoteChanged):
        to_trash(Vault(vault), "Note.md", b"")
    assert (vault / "Note.md").read_text() == "written a moment ago\n"
    assert not (vault / ".trash").exists()


def test_links_out_of_the_vault_are_never_followed(vault: Path) -> None:
    """Neither notes nor a trash that lie outside are read, moved or written."""
    outside = vault.parent / "outside"
    write(outside / "Empty.md", "")
    write(vault / "Own.md", "")
    (vault / "Linked folder").symlink_to(outside)
    (vault / "Link.md").symlink_to(outside / "Empty.md")
    (vault / ".trash").symlink_to(outside)
    said = clean(vault, delete=True)
    assert "**Could not be moved**\n\n- [[Own]] · it lies outside the vault" in said
    assert (vault / "Own.md").exists()
    assert [path.name for path in outside.iterdir()] == ["Empty.md"]
    with pytest.raises(NoteUnreadable):
        to_trash(Vault(vault), "Link.md", b"")
    with pytest.raises(NoteUnreadable):
        to_trash(Vault(vault), "Linked folder/Empty.md", b"")


def test_what_tasks_write_does_not_keep_a_note(vault: Path) -> None:
    """A report, a dashboard or a run's result that names an empty note is no reason to keep it; a task's text is."""
    write(vault / "Empty.md", "")
    write(vault / "Asked for.md", "")
    write(vault / "Report.md", "[[Empty]] [[Nobody]]\n")
    write(vault / "Reports/2026-11-01.md", "[[Empty]]\n")
    write(vault / "Home.md", "%% d: from here on written by a task %%\n[[Empty]]\n%% d: up to here %%\n")
    task = "---\ntype: command\ncommand: x\noutput: {}\n---\nSee [[Asked for]].\n\n## Runs\n\n- [[Empty]]\n"
    write(vault / "00_system/tasks/a.md", task.format("Report.md"))
    write(vault / "00_system/tasks/b.md", task.format('"Reports/{{date}}.md"'))
    said = clean(vault, what="empty dead-links")
    assert "- [[Empty]] · changed 10 days ago\n" in said
    assert "[[Asked for]] · changed 10 days ago · stays: [[00_system/tasks/a|a]] links to it" in said
    assert "Dead links" not in said


def test_a_canvas_keeps_the_notes_that_it_shows(vault: Path) -> None:
    """An empty note on a canvas is in use; a broken canvas keeps nothing, and ends no run."""
    write(vault / "Card.md", "")
    write(vault / "Plan.canvas", '{"nodes": [{"type": "text", "text": "x"}, {"type": "file", "file": "Card.md"}]}')
    for name, text in {"a": "", "b": "[1]", "c": '{"nodes": 3}', "d": "\xff"}.items():
        write(vault / f"{name}.canvas", text)
    assert "[[Card]] · changed 10 days ago · stays: [[Plan.canvas]] links to it" in clean(vault, delete=True)
    assert (vault / "Card.md").exists()


def test_only_what_is_asked_for(vault: Path) -> None:
    """`what`, `folder`, `exclude` and the ages narrow what is told and what goes; links count from everywhere."""
    messy(vault)
    write(vault / "Sub/Empty too.md", "")
    write(vault / "Sub/Kept/Empty three.md", "")
    said = clean(vault, what="empty", folder="Sub", exclude="Sub/Kept")
    assert said.startswith("**1 empty note can go** · 2 notes looked at.")
    assert "Empty too" in said
    assert clean(vault, what="logs", logs_older="1w").startswith("**2 old logs can go**")
    assert clean(vault, what="logs", logs_older="350d").startswith("Nothing to clean up")
    assert "[[New]] · changed today\n" in clean(vault, min_age="1h")


def test_odd_files_end_no_run(vault: Path) -> None:
    """Invalid UTF-8, UTF-16, a FIFO, a name that no link can hold, a broken frontmatter."""
    write(vault / "Broken.md", "---\ntags: [\n---\n")
    (vault / "Latin.md").write_bytes(b"[[Andr\xe9]]\n")
    (vault / "Wide.md").write_bytes("text".encode("utf-16"))
    write(vault / "C# [x].md", "")
    os.mkfifo(vault / "Pipe.md")
    said = clean(vault, delete=True)
    assert "1 empty note went to the trash" in said
    assert harmless_markdown(said) == said


@pytest.mark.parametrize(
    ("data", "empty"),
    [
        (b"", True),
        (b"\xef\xbb\xbf\r\n", True),
        (b"---\ntags:\n---\n", True),
        (b"---\n---\n", True),
        (b"---\ntags: [a]\n---\n", False),
        (b"---\ntags:\n---\ntext", False),
        (b"---\ntags:\n", False),  # never closed: it may be a text
        (b"\xff\xfe", False),
        (b"#", False),
    ],
)
def test_only_a_note_without_a_word_is_empty(data: bytes, empty: bool) -> None:
    """A value, a character, or anything that cannot be read makes it a note."""
    assert is_empty(data) is empty


@pytest.mark.parametrize(
    ("path", "original"),
    [
        ("a/Plan 1.md", "a/Plan.md"),
        ("Plan (2).md", "Plan.md"),
        ("Plan copy.md", "Plan.md"),
        ("Plan copy 3.md", "Plan.md"),
        ("Plan - Copy.md", "Plan.md"),
        ("Plan.md", ""),
        ("2026-11-20.md", ""),
        ("Plan 2026.md", ""),  # a year is no number of a copy
        ("a/ 1.md", ""),
    ],
)
def test_a_copy_says_so_in_its_name(path: str, original: str) -> None:
    """The endings that Obsidian, file managers and sync programs give to copies."""
    assert original_of(path) == original


def test_equal_notes_that_do_not_call_themselves_copies_stay(vault: Path) -> None:
    """Two daily notes from one template are equal, and nobody's copies."""
    for name in ("2026-11-20.md", "2026-11-21.md", "Chapter 1.md", "Chapter 2.md"):
        write(vault / name, "# Today\n")
    assert "1 group of equal notes" in clean(vault, delete=True)
    assert not (vault / ".trash").exists()


def test_an_argument_without_meaning_is_refused(vault: Path) -> None:
    """Above all, `delete` is true or false and nothing else."""
    write(vault / "Empty.md", "")
    for args in ({"delete": "please"}, {"what": "everything"}, {"logs_older": 90}, {"folder": "../x"}):
        with pytest.raises(BadValue):
            clean(vault, **args)
    assert (vault / "Empty.md").exists()
