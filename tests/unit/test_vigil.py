"""What vanishes soon after our write."""

from __future__ import annotations

from vault_scheduler.planning.vigil import FRESH_S, Vigil


def test_a_block_that_vanishes_within_five_minutes_is_named_once() -> None:
    """It is put back once; a person who deletes it again means it."""
    vigil = Vigil()
    vigil.wrote("a.md", ["r-1", "r-2"], {"r-1", "r-2", "r-0"}, 100.0)
    assert vigil.vanished("a.md", {"r-2"}, 200.0) == ["r-1"]
    assert vigil.vanished("a.md", {"r-2"}, 201.0) == []
    assert vigil.watches("a.md", 201.0)


def test_later_it_counts_as_deleted() -> None:
    """After five minutes nobody's old copy is to blame."""
    vigil = Vigil()
    vigil.wrote("a.md", ["r-1"], {"r-1"}, 100.0)
    assert vigil.paths(100.0 + FRESH_S) == ["a.md"]
    assert vigil.vanished("a.md", set(), 101.0 + FRESH_S) == []
    assert vigil.paths(101.0 + FRESH_S) == []


def test_what_our_own_write_dropped_is_not_missed() -> None:
    """The section is bounded: a newer run pushes an older one out."""
    vigil = Vigil()
    vigil.wrote("a.md", ["r-1"], {"r-1"}, 100.0)
    vigil.wrote("a.md", ["r-2"], {"r-2"}, 110.0)
    assert vigil.vanished("a.md", {"r-2"}, 111.0) == []
