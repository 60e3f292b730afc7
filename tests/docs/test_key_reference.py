"""The key reference in docs/ is what the code says."""

from __future__ import annotations

from pathlib import Path

from vault_scheduler.parsing.keys import reference

PAGE = Path(__file__).parents[2] / "docs" / "keys.md"


def test_key_reference_is_current() -> None:
    """docs/keys.md is exactly what the table of keys generates."""
    assert PAGE.read_text(encoding="utf-8") == reference(), "run: python tests/docs/test_key_reference.py"


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
