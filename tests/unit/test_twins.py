"""`Twins`: which notes have names made from one path and say the same."""

from __future__ import annotations

from vault_scheduler.planning.twins import Twins


def test_notes_that_say_the_same_under_names_from_one_path_are_twins() -> None:
    """Those of another base path, or that say something else, are not among them."""
    twins = Twins()
    twins.add("a.md", "x", "a 1.md")
    twins.add("a.md", "x", "a 2.md")
    twins.add("a.md", "y", "a 3.md")
    twins.add("b.md", "x", "b 1.md")
    assert twins.of("a.md", "x") == {"a 1.md", "a 2.md"}
    assert twins.of("a.md", "y") == {"a 3.md"}
    assert twins.of("c.md", "x") == set()


def test_nothing_is_held_of_a_twin_that_went() -> None:
    """Also of one that was never there, and of one that is told of twice."""
    twins = Twins()
    for path in ("a 1.md", "a 2.md", "a 2.md"):
        twins.add("a.md", "x", path)
    twins.discard("a.md", "x", "a 1.md")
    twins.discard("a.md", "x", "a 9.md")
    assert twins.of("a.md", "x") == {"a 2.md"}
    twins.discard("a.md", "x", "a 2.md")
    assert len(twins) == 0
