"""The pinned requirements: what CI and `make` install is exactly this, from wherever the reader's index is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "requirements"


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the requirements stay in the source tree")
@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt"])
def test_every_requirement_is_pinned_with_hashes_and_names_no_address(name: str) -> None:
    """A version and at least one hash for each package; no index, no URL."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    packages = [entry for entry in re.split(r"\n(?=\S)", text.strip()) if entry]
    assert len(packages) > 15
    assert [entry for entry in packages if "==" not in entry or "--hash=sha256:" not in entry] == []
    assert not re.search(r"://|--(extra-)?index|--find-links", text)
