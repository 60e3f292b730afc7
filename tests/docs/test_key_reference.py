"""The key references, in docs/ and in the skill for Claude, are what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

import vault_scheduler
from vault_scheduler.parsing.keys import reference

PAGES = [
    Path(__file__).parents[2] / "docs" / "keys.md",
    Path(vault_scheduler.__file__).parent / "skill" / "references" / "keys.md",
]


@pytest.mark.parametrize("page", PAGES, ids=["docs", "skill"])
def test_key_reference_is_current(page: Path) -> None:
    """The page is exactly what the table of keys generates."""
    assert page.read_text(encoding="utf-8") == reference(), "run: python tests/docs/test_key_reference.py"


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(reference(), encoding="utf-8")
