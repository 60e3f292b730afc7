"""Where a path of the vault really is, links followed."""

from __future__ import annotations

import os
from pathlib import Path

from vault_scheduler.vault.spelling import real_below


def test_where_a_path_really_is_is_found_as_the_disk_says(tmp_path: Path) -> None:
    """Links below the vault, and one in place of the vault itself, are followed as `realpath` follows them."""
    vault, other = (tmp_path / "vault").resolve(), (tmp_path / "other").resolve()
    for folder in (vault / "a" / "b", other / "b"):
        folder.mkdir(parents=True)
        (folder / "note.md").write_text("x")
    (vault / "linked").symlink_to(other)
    (vault / "a" / "note.md").symlink_to(other / "b" / "note.md")
    (vault / "loop").symlink_to(vault / "loop")
    paths = ["a/b/note.md", "a/note.md", "linked/b/note.md", "a/../linked/b", "a//b", "gone/note.md", "loop/x", "", "."]
    for path in paths:
        assert real_below(f"{vault}/", f"{vault}/{path}") == os.path.realpath(f"{vault}/{path}")
    vault.rename(tmp_path / "moved")
    vault.symlink_to(other)
    assert real_below(f"{vault}/", f"{vault}/b/note.md") == f"{other}/b/note.md"
