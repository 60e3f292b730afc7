"""The key references, in docs/, in the skill for Claude and in the plugin, are what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import vault_scheduler
from vault_scheduler.parsing.keys import reference

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "docs" / "keys.md",
    Path(vault_scheduler.__file__).parent / "skill" / "references" / "keys.md",
    *ROOT.glob("plugin/skills/*/references/keys.md"),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parts[-4])
def test_key_reference_is_current(page: Path) -> None:
    """The page is exactly what the table of keys generates."""
    assert page.read_text(encoding="utf-8") == reference(), "run: python tests/docs/test_key_reference.py"


def test_the_readme_shows_the_same_seven_keys() -> None:
    """What the reference names first is the table of the README, in that order."""
    (line,) = re.findall(r"^The seven that people need: (.*)$", reference(), re.MULTILINE)
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("## What a note can say")[2]
    shown = re.findall(r"^\| `(\w+)` \|", readme.partition("## ")[0], re.MULTILINE)
    assert shown == re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", line))
    assert len(shown) == 7


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(reference(), encoding="utf-8")
