"""What holds for all tests: the thousands of objects that collecting them makes stay, and are not looked through."""

from __future__ import annotations

import gc

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
