"""The pictures of the docs: each is there, is said in words, is used, and all together are small."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\((?P<path>[^)\s]+)\)")
MOST_BYTES = 1_500_000


def shown(page: Path) -> list[tuple[str, Path]]:
    """What a page says of its pictures, and which they are; examples in code blocks show none."""
    text = re.sub(r"^(`{3,}).*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [(found["alt"], (page.parent / found["path"]).resolve()) for found in IMAGE.finditer(text)]


@pytest.mark.parametrize("page", [page for page in PAGES if shown(page)], ids=lambda page: page.name)
def test_each_picture_is_there_and_said_in_words(page: Path) -> None:
    """Who cannot see it is told what it shows."""
    for words, path in shown(page):
        assert path.is_file(), path
        assert len(words) > 15, path


def test_every_picture_is_used() -> None:
    """What no page shows is not carried along."""
    used = {path for page in PAGES for _, path in shown(page)}
    assert len(used) > 10
    assert sorted(path.name for path in (DOCS / "images").iterdir() if path.resolve() not in used) == []


def test_the_pictures_are_small() -> None:
    """A clone, and a page, stay quick; a picture is no wider than a screen."""
    pictures = list((DOCS / "images").glob("*.png"))
    assert sum(path.stat().st_size for path in pictures) < MOST_BYTES
    for path in pictures:
        width, _ = struct.unpack(">II", path.read_bytes()[16:24])
        assert width <= 2000, path


def test_as_vaults_the_pages_read_as_they_do_on_the_forge() -> None:
    """Obsidian would show each line end of a paragraph, were it not told otherwise."""
    for vault in (DOCS, ROOT / "example_vault"):
        options = json.loads((vault / ".obsidian/app.json").read_text(encoding="utf-8"))
        assert options["strictLineBreaks"] is True
