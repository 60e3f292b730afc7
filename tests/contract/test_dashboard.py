"""The built-in task `dashboard` on a vault on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.contract.notes_on_disk import DAY_S, NOW, write
from vault_scheduler.builtin.dashboard import run
from vault_scheduler.builtin.parts.owned_block import begin_line, end_line
from vault_scheduler.errors import BadValue, NoteRefused, NoteUnreadable


def refresh(vault: Path, **args: object) -> str:
    return run(vault, vault / "00_system", NOW, **args)["markdown"]


def section(vault: Path, title: str) -> list[str]:
    text = (vault / "Dashboard.md").read_text(encoding="utf-8")
    return text.partition(f"## {title}\n\n")[2].partition("\n\n")[0].split("\n")


def test_what_is_due_comes_by_its_day_with_what_is_overdue_first(vault: Path) -> None:
    """Overdue tasks first, then those of the coming days; what is due later, or ticked, is not listed."""
    write(vault / "A.md", "- [ ] soon, due 2026-11-24\n- [ ] far, due 2027-11-24\n- [x] done, due 2026-11-01\n")
    write(
        vault / "B.md",
        "- [ ] late [due:: 2026-11-20]\n- [ ] today 📅 2026-11-22\n```\n- [ ] code, due 2026-11-21\n```\n",
    )
    said = refresh(vault)
    assert section(vault, "Due") == [
        "- **2 days overdue** · late · [[B]]",
        "- today · today · [[B]]",
        "- Tue 24 Nov · soon · [[A]]",
    ]
    assert said == (
        "4 open tasks in 2 notes, **1 overdue**, 2 due within 14 days.\n\n"
        "- **2 days overdue** · late · [[B]]\n\nAll of it: [[Dashboard]]"
    )


def test_projects_stand_by_their_status(vault: Path) -> None:
    """The status property groups the projects; finished ones are counted, long untouched ones are said to rest."""
    write(vault / "P/Shed.md", "---\nstatus: running\ndeadline: 2026-12-20\n---\n- [ ] nails\n")
    write(vault / "P/Book.md", "---\nstatus: Running\n---\n", days_old=100)
    write(vault / "P/Late.md", "---\nstatus: Running\ndeadline: 2026-11-01\n---\n")
    write(vault / "P/Gone.md", "---\nstatus: Done\n---\n")
    write(vault / "Other.md", "---\nstatus: ill\n---\n")
    refresh(vault, projects="P")
    assert section(vault, "Projects") == [
        "- **Running**",
        "  - [[P/Late|Late]] · **deadline was 2026-11-01**",
        "  - [[P/Book|Book]] · untouched for 14 weeks",
        "- **running**",
        "  - [[P/Shed|Shed]] · 1 open · deadline Sun 20 Dec",
        "- 1 finished",
    ]


def test_days_that_come_up_are_told_and_birthdays_come_every_year(vault: Path) -> None:
    """Properties with a day within the span; a birthday with the age, on 1 March where there is no 29 February."""
    write(vault / "Ruth.md", "---\nbirthday: 1946-12-01\n---\n")
    write(vault / "Kim.md", "---\nbirthday: 1990-11-21\n---\n")  # was yesterday
    write(vault / "2026-11-30 Talk.md", "---\ndate: 2026-11-30\n---\n")
    write(vault / "Tax.md", '---\ndeadline: "[[2026-11-25]]"\nstatus: done\n---\n')
    write(vault / "Rent.md", "---\ndue: 2026-11-26T12:00\n---\n")
    refresh(vault)
    assert section(vault, "Coming up") == [
        "- Thu 26 Nov · due · [[Rent]]",
        "- Mon 30 Nov · [[2026-11-30 Talk]]",
        "- Tue 1 Dec · birthday (80) · [[Ruth]]",
    ]


def test_open_tasks_by_note_and_what_changed_lately(vault: Path) -> None:
    """Most tasks first, with their age by the day in the name or the last change; changed notes day by day."""
    write(vault / "Journal/2026-11-10.md", "- [ ] a\n", days_old=0.1)
    write(vault / "List.md", "- [ ] a\n- [ ] b\n", days_old=3)
    write(vault / "Old.md", "", days_old=30)
    refresh(vault)
    assert section(vault, "Open tasks") == [
        "- [[List]] · 2 open · changed 3 days ago",
        "- [[Journal/2026-11-10|2026-11-10]] · 1 open · from 12 days ago",
    ]
    assert section(vault, "Changed") == ["- today · [[Journal/2026-11-10|2026-11-10]]", "- 3 days ago · [[List]]"]


def test_a_person_s_text_around_the_block_stays_byte_for_byte(vault: Path) -> None:
    """What stands above and below the block is not touched, odd bytes and line ends included."""
    note = vault / "Dashboard.md"
    above, below = b"\xef\xbb\xbf---\r\na: 1\r\n---\r\nMine \xff\r\n\r\n", b"\r\n\r\nMine, too, without a line end"
    note.write_bytes(above + f"{begin_line('dashboard')}\r\nold\r\n{end_line('dashboard')}".encode() + below)
    os.utime(note, (NOW.timestamp() - DAY_S, NOW.timestamp() - DAY_S))
    write(vault / "A.md", "- [ ] a\n")
    refresh(vault)
    data = note.read_bytes()
    assert data.startswith(above)
    assert data.endswith(below)
    assert b"1 open task in 1 note" in data
    assert b"old" not in data
    assert [path.name for path in vault.iterdir() if path.name.startswith(".vault-sched")] == []


def test_nothing_is_written_while_nothing_changed(vault: Path) -> None:
    """A second run on the same day leaves the note alone, so that nothing is synchronised for nothing."""
    write(vault / "A.md", "- [ ] a\n")
    refresh(vault)
    write_time = NOW.timestamp() - DAY_S
    os.utime(vault / "Dashboard.md", (write_time, write_time))
    refresh(vault)
    assert (vault / "Dashboard.md").stat().st_mtime == write_time


def test_a_dry_run_only_shows(vault: Path) -> None:
    """With `dry_run` the dashboard stands in the answer, and no note is made."""
    write(vault / "A.md", "- [ ] a\n")
    assert "## Open tasks" in refresh(vault, dry_run=True)
    assert not (vault / "Dashboard.md").exists()


def test_folders_sections_and_limits_can_be_chosen(vault: Path) -> None:
    """Only the named sections in their order, only notes of the folder, without what is excluded."""
    for name in ("In/A.md", "In/B.md", "In/C.md", "In/Not/D.md", "Out/E.md", "00_system/F.md"):
        write(vault / name, "- [ ] a\n")
    refresh(vault, sections="changed tasks", folder="In", exclude=["In/Not", "In/C.md"], limit=1)
    text = (vault / "Dashboard.md").read_text(encoding="utf-8")
    assert "2 open tasks in 2 notes" in text
    assert text.index("## Changed") < text.index("## Open tasks")
    assert section(vault, "Open tasks") == ["- [[In/A|A]] · 1 open · changed yesterday", "- … and 1 more"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"note": "../Out.md"}, "outside of the vault"),
        ({"note": ".obsidian/x.md"}, "dot folder"),
        ({"note": "00_system/tasks/x.md"}, "tasks/"),
        ({"note": "00_system/scheduler.md"}, "scheduler"),
        ({"note": "CLAUDE.md"}, "protected"),
        ({"sections": "due calendar"}, "calendar"),
        ({"folder": "Nowhere"}, "no folder"),
        ({"due_days": "soon"}, "soon"),
        ({"dry_run": "perhaps"}, "neither true nor false"),
    ],
)
def test_an_argument_without_meaning_is_refused(vault: Path, args: dict[str, object], message: str) -> None:
    """Nothing is written where an argument cannot be meant."""
    with pytest.raises(BadValue, match=message):
        refresh(vault, **args)
    assert sorted(path.name for path in vault.iterdir()) == ["00_system"]


def test_a_note_that_is_a_link_out_of_the_vault_is_not_written(vault: Path) -> None:
    """The dashboard never follows a link out of the vault, and does not read through one."""
    write(vault.parent / "outside/secret.md", "- [ ] secret\n")
    (vault / "Dashboard.md").symlink_to(vault.parent / "outside/secret.md")
    (vault / "Linked.md").symlink_to(vault.parent / "outside/secret.md")
    (vault / "Folder").symlink_to(vault.parent / "outside")
    with pytest.raises(NoteUnreadable):
        refresh(vault)
    (vault / "Dashboard.md").unlink()
    assert "secret" not in refresh(vault, dry_run=True)


def test_a_damaged_block_is_not_guessed(vault: Path) -> None:
    """Without the lower marker it cannot be told where the person's text begins again."""
    write(vault / "Dashboard.md", f"{begin_line('dashboard')}\nold\nmine\n")
    with pytest.raises(NoteRefused, match="once each"):
        refresh(vault)
    assert (vault / "Dashboard.md").read_text() == f"{begin_line('dashboard')}\nold\nmine\n"


def test_text_of_the_vault_can_do_nothing_on_the_dashboard(vault: Path) -> None:
    """Embeds, HTML, template tags and comments in a task's text are shown, not obeyed."""
    write(vault / "A.md", "- [ ] ![[x]] <script> <% tp %> due 2026-11-22\n")
    write(vault / "B.md", '---\nstatus: "<img src=x> %%"\n---\n')
    refresh(vault)
    text = (vault / "Dashboard.md").read_text(encoding="utf-8")
    for acts in ("![[", " <script", "<% ", "**<img"):
        assert acts not in text
    assert text.count("%%") == 4  # of the two lines that mark the block
