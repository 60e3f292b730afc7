"""What holds for all tests: the thousands of objects that collecting them makes stay, and are not looked through."""

from __future__ import annotations

import gc


def pytest_collection() -> None:
    """While the tests are read nothing becomes garbage that is worth the search for it."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What has been read is there until the end."""
    gc.freeze()
    gc.enable()
