"""Whether the program was replaced: as pip, uv and pipx do it, in a source tree, and when it is gone."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import vault_scheduler
from vault_scheduler.machine.installation import Installation

NONE = Path("/nonexistent/ledger.db")


def package(folder: Path, version: str = "1.0") -> Path:
    made = folder / "vault_scheduler"
    made.mkdir(exist_ok=True)
    (made / "__init__.py").write_text(f'"""It."""\n\n__version__ = "{version}"\n')
    return made


def record(folder: Path, version: str, text: str = "") -> None:
    made = folder / f"vault_sched-{version}.dist-info" / "RECORD"
    made.parent.mkdir(exist_ok=True)
    made.unlink(missing_ok=True)
    made.write_text(text)


def test_installed_package_is_replaced_by_another_record(tmp_path: Path) -> None:
    """Another version, the same version once more, and nothing at all in its place."""
    ours = package(tmp_path)
    record(tmp_path, "1.0")
    installed = Installation(NONE, ours, "1.0")
    assert not installed.is_replaced()
    shutil.rmtree(tmp_path / "vault_sched-1.0.dist-info")
    assert installed.is_replaced()
    between = installed.mark()
    package(tmp_path, "1.1")
    record(tmp_path, "1.1")
    assert installed.is_replaced()
    assert installed.mark() != between
    again = Installation(NONE, ours, "1.1")
    record(tmp_path, "1.1", "another file")
    assert again.is_replaced()
    shutil.rmtree(ours)
    assert installed.is_replaced()


def test_source_tree_is_replaced_by_another_version_only(tmp_path: Path) -> None:
    """An editable installation is edited all the time."""
    ours = package(tmp_path)
    installed = Installation(NONE, ours, "1.0")
    (ours / "cli.py").write_text("new = 1\n")
    package(tmp_path)
    assert not installed.is_replaced()
    package(tmp_path, "1.1")
    assert installed.is_replaced()
    package(tmp_path)
    assert not installed.is_replaced()


@pytest.mark.timeout(60)
def test_trial_loads_the_whole_daemon(tmp_path: Path) -> None:
    """What is installed here starts; what misses a part says which."""
    assert Installation(NONE).tried().version == vault_scheduler.__version__
    broken = Installation(NONE, package(tmp_path), "1.0").tried()
    assert "vault_scheduler.cli" in broken.why


@pytest.mark.timeout(60)
def test_older_version_is_not_made_room_for(tmp_path: Path) -> None:
    """It could not read what this one has written, and would end at once."""
    ledger = tmp_path / "ledger.db"
    with closing(sqlite3.connect(ledger)) as database:
        database.execute("PRAGMA user_version = 9999")
    assert "is older, and cannot read the ledger" in Installation(ledger).tried().why
