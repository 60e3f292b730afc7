"""The follower on real folders: what it hears as the reach changes, and where nothing can be heard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vault_scheduler.vault.follower import Follower


class Heard:
    """The paths that were posted, relative to the vault."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.all: set[str] = set()

    def __call__(self, paths: set[str]) -> None:
        self.all |= {Path(path).relative_to(self._root).as_posix() for path in paths}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("Inbox/deep", "Notes/deep"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path.resolve()


@pytest.fixture
def heard(root: Path) -> Heard:
    return Heard(root)


@pytest.fixture
def follower(root: Path, heard: Heard) -> Iterator[Follower]:
    follower = Follower(root, heard)
    yield follower
    follower.stop()


def test_hears_of_files_of_any_type_within_its_reach(root: Path, heard: Heard, follower: Follower) -> None:
    """As deep as the reach goes, and of nothing hidden."""
    follower.follow({"Inbox": None, "Notes": 1})
    for name in ("Inbox/deep/.x.pdf", "Notes/deep/x.pdf", "Notes/x.pdf", "Inbox/deep/x.pdf"):
        (root / name).touch()
    wait_until(lambda: heard.all >= {"Inbox/deep/x.pdf", "Notes/x.pdf"})
    assert heard.all == {"Inbox/deep/x.pdf", "Notes/x.pdf"}


def test_hears_of_a_folder_that_comes_later(root: Path, heard: Heard, follower: Follower) -> None:
    """Two levels below anything that is there."""
    follower.follow({"Inbox/new/box": None})
    (root / "Inbox/new/box").mkdir(parents=True)
    wait_until(lambda: bool(heard.all & {"Inbox/new", "Inbox/new/box"}))
    later = root / "Inbox/new/box/a.pdf"

    def hears() -> bool:
        follower.check()  # as with each sweep
        later.write_text(str(time.monotonic()))
        return "Inbox/new/box/a.pdf" in heard.all

    wait_until(hears)


def test_another_reach_replaces_the_one_before(root: Path, heard: Heard, follower: Follower) -> None:
    """And an empty one ends it."""
    follower.follow({"Inbox": None})
    follower.follow({"Notes": None})
    (root / "Inbox/a.md").touch()
    (root / "Notes/a.md").touch()
    wait_until(lambda: "Notes/a.md" in heard.all)
    assert "Inbox/a.md" not in heard.all
    follower.follow({})
    follower.check()
    follower.stop()


def test_where_nothing_tells_of_changes_it_is_silent(root: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """It polls no folders, which would cost a scan of them every few seconds: the sweep finds the changes."""
    refused = OSError(28, "inotify watch limit reached")

    class Refusing:
        def __init__(self) -> None:
            raise refused

    monkeypatch.setattr("vault_scheduler.vault.watcher.Observer", Refusing)
    follower = Follower(root, heard)
    follower.follow({"Inbox": None})
    follower.check()
    assert "looked at with the sweep alone" in follower.polling_reason
    follower.stop()
    assert heard.all == set()
