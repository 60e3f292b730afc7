"""Which new note is a departed one under another name."""

from __future__ import annotations

from vault_scheduler.planning.departures import FORGOTTEN_AFTER_S, Departure, Departures


def departures(*found: tuple[str, str]) -> Departures:
    made = Departures()
    for path, definition in found:
        made.add(Departure(path=path, task=path, definition=definition, at=0.0))
    return made


def pairs(made: Departures, *arrivals: tuple[str, str]) -> dict[str, str]:
    return {departure.path: path for departure, path in made.match(arrivals)}


def test_equal_definition_is_a_rename() -> None:
    """Each departure has at most one continuation, and each new note continues at most one."""
    made = departures(("a.md", "x"), ("b.md", "y"))
    assert pairs(made, ("c.md", "x"), ("d.md", "x"), ("e.md", "z")) == {"a.md": "c.md"}
    assert pairs(made, ("d.md", "x")) == {}
    assert made


def test_equal_notes_keep_their_file_names() -> None:
    """Notes that say the same are told apart by their names where a folder was renamed."""
    made = departures(("x/a.md", "same"), ("x/b.md", "same"), ("x/c.md", "same"))
    found = pairs(made, ("y/b.md", "same"), ("y/c.md", "same"), ("y/new.md", "same"))
    assert found == {"x/b.md": "y/b.md", "x/c.md": "y/c.md", "x/a.md": "y/new.md"}


def test_departures_are_forgotten() -> None:
    """What turns up much later is a new task."""
    made = departures(("a.md", "x"))
    made.forget(FORGOTTEN_AFTER_S)
    assert made
    made.forget(FORGOTTEN_AFTER_S + 1)
    assert not made
