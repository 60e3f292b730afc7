"""The key reference in docs/ is what the code says."""

from __future__ import annotations

from pathlib import Path

from vault_scheduler.keys import reference

PAGE = Path(__file__).parents[2] / "docs" / "keys.md"


def test_key_reference_is_current() -> None:
    """docs/keys.md is exactly what the table of keys generates."""
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "run: python -c 'from vault_scheduler.keys import reference; print(reference(), end=\"\")' > docs/keys.md"
    )
