"""Which files are read when: no look at the vault takes so long that a run waits for it."""

from __future__ import annotations

from pathlib import Path

from vault_scheduler.daemon.keeping import Keeping
from vault_scheduler.daemon.readings import ANEW_AT_ONCE, LARGE_BYTES, Readings
from vault_scheduler.vault.vault import Vault


def readings_of(folder: Path, notes: dict[str, int]) -> Readings:
    """What is to be read of a vault with these task notes of so many bytes."""
    tasks = folder / "00_system" / "tasks"
    tasks.mkdir(parents=True)
    for name, size in notes.items():
        (tasks / name).write_bytes(b"x" * size)
    readings = Readings(Vault(folder), "00_system/scheduler.md", Keeping(None))
    readings.compare()
    return readings


def test_of_large_files_one_is_read_in_a_look(tmp_path: Path) -> None:
    """Each may take a good part of a second; small ones are read with it."""
    readings = readings_of(tmp_path, {"a.md": LARGE_BYTES + 1, "b.md": LARGE_BYTES + 1, "c.md": 1})
    due = [path.rpartition("/")[2] for path in readings.due(0.0)]
    assert len({"a.md", "b.md"} & {*due}) == 1
    assert "c.md" in due


def test_what_is_judged_anew_is_read_a_few_hundred_at_a_time(tmp_path: Path) -> None:
    """When the zone changes it is all notes, though nobody has changed one; an edit among them waits for nothing."""
    notes = [f"00_system/tasks/{number}.md" for number in range(ANEW_AT_ONCE + 10)]
    readings = readings_of(tmp_path, {path.rpartition("/")[2]: 1 for path in notes})
    readings.judge_anew(notes[:-1])
    due = readings.due(0.0)
    assert len({*due} & {*notes[:-1]}) == ANEW_AT_ONCE
    assert notes[-1] in due
