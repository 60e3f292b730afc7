"""What holds for all tests: the thousands of objects that collecting them makes stay, and are not looked through."""

from __future__ import annotations

import gc
from itertools import zip_longest
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("busy machine", deadline=None)  # how long an example takes says nothing there
settings.load_profile("busy machine")


def pytest_collection() -> None:
    """While the tests are read nothing becomes garbage that is worth the search for it."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What has been read is there until the end."""
    gc.freeze()
    gc.enable()


LONGEST = ("test_state_machine.py", "test_year.py", "test_forecast.py", "test_clock.py")
"""Files of `tests/scenario` that compute for long: of several workers none is to begin with one of them at the end."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Several workers are given files that wait and files that compute in turn, and at the end the short ones."""
    if not hasattr(config, "workerinput"):
        return
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    short = [path for path in files if path.parent.name == "unit"]
    waiting = [path for path in files if path.parent.name == "process"]
    computing = sorted((path for path in files if path not in {*short, *waiting}), key=lambda p: p.name not in LONGEST)
    in_turn = [path for pair in zip_longest(waiting, computing) for path in pair if path is not None]
    items[:] = [item for path in (*in_turn, *short) for item in files[path]]
