"""Which files of a real vault are looked at for `on_change`."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from vault_scheduler.vault.files import Scan, scan
from vault_scheduler.vault.vault import Vault


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "vault"
    put(root, "00_system/tasks/a.md", "Inbox/a.md", "Inbox/b/c.pdf", "Inbox/b/d/e", "Notes/n.md", "top.md")
    return root


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(root: Path, reach: dict[str, int | None], without: tuple[str, ...] = ()) -> list[str]:
    return sorted(scan(Vault(root), reach, without).files)


@pytest.mark.parametrize(
    ("reach", "expected"),
    [
        ({"Inbox": None}, ["Inbox/a.md", "Inbox/b/c.pdf", "Inbox/b/d/e"]),
        ({"Inbox": 1}, ["Inbox/a.md"]),
        ({"Inbox": 2}, ["Inbox/a.md", "Inbox/b/c.pdf"]),
        ({"Inbox/b": 1, "Notes": None}, ["Inbox/b/c.pdf", "Notes/n.md"]),
        ({"": 1}, ["top.md"]),
        ({"Inbox/a.md": None, "absent": None, "Inbox/b/x/y": 1}, []),
        ({}, []),
    ],
)
def test_only_what_is_in_reach_is_found(root: Path, reach: dict[str, int | None], expected: list[str]) -> None:
    """Folders that are not there hold nothing, and are no fault."""
    assert found(root, reach) == expected


def test_whole_vault_leaves_out_what_is_hidden_unfinished_or_unwanted(root: Path) -> None:
    """Dot names, what browsers and editors write first, and folders of the scheduler's own."""
    put(root, ".obsidian/x.json", "Inbox/.git/HEAD", "Inbox/.a.md.swp", "Inbox/f.pdf.crdownload", "Inbox/~$w.docx")
    put(root, "Inbox/a.md~", "Inbox/#a#", "00_system/logs/2026-11-20.md", "00_system/logs.md")
    expected = ["00_system/logs.md", "00_system/tasks/a.md", "Inbox/a.md", "Inbox/b/c.pdf", "Inbox/b/d/e"]
    assert found(root, {"": None}, ("00_system/logs",)) == [*expected, "Notes/n.md", "top.md"]


def test_stamp_changes_with_content_and_with_time(root: Path) -> None:
    """A file that another program replaces counts as well; one that is only moved back and forth does not."""
    reach = {"Inbox": 1}
    before = scan(Vault(root), reach).files["Inbox/a.md"]
    (root / "Inbox/a.md").rename(root / "elsewhere")
    (root / "elsewhere").rename(root / "Inbox/a.md")
    assert scan(Vault(root), reach).files["Inbox/a.md"] == before
    os.utime(root / "Inbox/a.md", ns=(1, 1))
    assert scan(Vault(root), reach).files["Inbox/a.md"] == (1, before[1])


def test_links_are_followed_inside_the_vault_alone(root: Path) -> None:
    """Each file once where that is possible, never in circles, and nothing that lies outside or is hidden."""
    outside = root.parent / "outside"
    put(outside, "secret.md")
    put(root, "Notes/deep/x.md", ".hidden/y.md")
    links = {
        "Inbox/out": outside,
        "Inbox/out.md": outside / "secret.md",
        "Inbox/notes": root / "Notes",
        "Inbox/n.md": root / "Notes" / "n.md",
        "Inbox/b/up": root / "Inbox",
        "Inbox/all": root,
        "Inbox/hidden": root / ".hidden",
        "Inbox/dangling.md": root / "nowhere.md",
        "Notes/deep/back": root / "Inbox",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    own = ["Inbox/a.md", "Inbox/b/c.pdf", "Inbox/b/d/e"]
    linked = ["Inbox/n.md", "Inbox/notes/deep/x.md", "Inbox/notes/n.md"]
    assert found(root, {"Inbox": None}) == sorted([*own, *linked])
    assert found(root, {"Inbox": None, "Notes": None}) == sorted([*own, "Inbox/n.md", "Notes/deep/x.md", "Notes/n.md"])


def test_watched_folder_that_is_a_link_out_of_the_vault_is_not_followed(root: Path) -> None:
    """As everywhere else."""
    put(root.parent / "outside", "secret.md")
    (root / "Linked").symlink_to(root.parent / "outside")
    (root / "Alias").symlink_to(root / "Notes")
    assert found(root, {"Linked": None, "Alias": None}) == ["Alias/n.md"]


def test_any_name_counts(root: Path) -> None:
    """Also one of two lines, and one that is not UTF-8."""
    names = ["Inbox/two\nlines.md", os.fsdecode(b"Inbox/\xff.md")]
    put(root, *names)
    assert found(root, {"Inbox": 1}) == sorted(["Inbox/a.md", *names])


def test_names_are_told_in_one_unicode_form(root: Path) -> None:
    """A folder that macOS spelt with combining marks is found by the name that people type."""
    folder, name = unicodedata.normalize("NFD", "Tägliches"), unicodedata.normalize("NFD", "Ärger.md")
    put(root, f"{folder}/{name}")
    assert found(root, {"Tägliches": None}) == ["Tägliches/Ärger.md"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_folder_that_cannot_be_listed_is_unknown_and_not_empty(root: Path) -> None:
    """What is known of it stays."""
    before = scan(Vault(root), {"Inbox": None}).files
    (root / "Inbox/b").chmod(0)
    try:
        after = scan(Vault(root), {"Inbox": None})
        assert after.unknown == ["Inbox/b"]
        assert after.over(before) == before
    finally:
        (root / "Inbox/b").chmod(0o755)


def test_pipes_and_sockets_are_no_files(root: Path) -> None:
    """Nobody changes them."""
    os.mkfifo(root / "Inbox/pipe")
    assert "Inbox/pipe" not in found(root, {"Inbox": None})


def test_what_could_not_be_looked_at_is_as_it_was() -> None:
    """Only below the folders that could not be listed."""
    seen = Scan(files={"a/x": (2, 2)}, unknown=["a/b"])
    assert seen.over({"a/x": (1, 1), "a/b/y": (1, 1), "a/bc": (1, 1)}) == {"a/x": (2, 2), "a/b/y": (1, 1)}
    assert Scan(files={}, unknown=[""]).over({"a/x": (1, 1)}) == {"a/x": (1, 1)}
