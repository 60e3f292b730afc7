"""Where an output may go."""

from __future__ import annotations

import pytest

from vault_scheduler.errors import BadValue
from vault_scheduler.parsing.output_path import check_output_path, output_template


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Briefing.md", "Briefing.md"),
        ("Briefings/{{date}}.md", "Briefings/{{date}}.md"),
        (
            "Briefings/{{date:YYYY}}/{{ date:MM-DD }} {{title}}.md",
            "Briefings/{{date:YYYY}}/{{ date:MM-DD }} {{title}}.md",
        ),
        ("Log/{{date:YYYY-[W]WW}}.md", "Log/{{date:YYYY-[W]WW}}.md"),
        ("Inbox.md#News", "Inbox.md#News"),
        ("daily-note#News of {{time}}", "daily-note#News of {{time}}"),
        ("daily-note.md#News", "daily-note.md#News"),  # a note of that name
        ("Inbox#News of {{date}}", "Inbox.md#News of {{date}}"),  # the note of a heading needs no ending
        ("Über uns/Größe.md", "Über uns/Größe.md"),
        ("👩\u200d💻 Größe ½.md", "👩\u200d💻 Größe ½.md"),  # joined emoji
        ("00_system/dashboard.md", "00_system/dashboard.md"),  # only the scheduler's own notes are protected
    ],
)
def test_good_outputs_are_read(written: str, read: str) -> None:
    """A note, or a heading of a note, with fields."""
    assert output_template(written) == read


@pytest.mark.parametrize(
    ("written", "reason", "cure"),
    [
        ("/etc/motd.md", "outside of the vault", "output: Folder/Note.md"),
        ("~/note.md", "outside of the vault", "Folder/Note.md"),
        ("C:/note.md", "outside of the vault", "Folder/Note.md"),
        ("../note.md", "outside of the vault", "Folder/Note.md"),
        ("a/../../note.md", "outside of the vault", "Folder/Note.md"),
        ("a\\b.md", "backslash", "a/b.md"),
        ("a//b.md", "not a plain path", "a/b.md"),
        ("./b.md", "not a plain path", "output: b.md"),
        ("Note", "not a note", "output: Note.md"),
        ("Note.txt", "not a note", "output: Note.md"),
        ("Note.MD", "not a note", "output: Note.md"),
        ("Note.canvas", "not a note", "Note.canvas.md"),
        ("00_system/tasks/new.md", "below tasks/", "Choose"),
        ("00_System/Tasks/new.md", "below tasks/", "Choose"),  # one file on a case-insensitive disk
        ("00_system/scripts/x.md", "scripts", "Choose"),
        ("00_system/scheduler.md", "scheduler's own", "Choose"),
        ("00_system/status.md", "scheduler's own", "Choose"),
        ("00_system/logs/2026-11-22.md", "scheduler's own", "Choose"),
        ("CLAUDE.md", "protected", "another note"),
        ("Projects/claude.md", "protected", "another note"),
        ("AGENTS.md", "protected", "another note"),
        ("Projects/agents.md", "protected", "another note"),
        # one file with a protected one on a disk that folds case, width or composition, or drops what is invisible
        ("00_\u017fystem/tasks/new.md", "below tasks/", "Choose"),  # long s
        ("\uff10\uff10_system/tasks/new.md", "below tasks/", "Choose"),  # full-width digits
        ("00_system/\uff54asks/new.md", "below tasks/", "Choose"),  # full-width letter
        ("00_system/tas\u200bks/new.md", "below tasks/", "Choose"),  # zero width space
        ("00_system/scripts\u00ad/x.md", "scripts", "Choose"),  # soft hyphen
        ("CLA\u200dUDE.md", "protected", "another note"),
        ("\u2024obsidian/x.md", "dot folder", "Choose"),  # one dot leader
        ("a/\u2024\u2024/x.md", "dot folder", "Choose"),
        ("\u200b/x.md", "dot folder", "Choose"),  # nothing is left of the name
        ("00_system\u2024/tasks/x.md", "below tasks/", "Choose"),  # a dot at the end, which Windows drops
        ("a\u0085b.md", "every device", "Leave out"),
        ("a\u2028b.md", "every device", "Leave out"),
        (".obsidian/x.md", "dot folder", "Choose"),
        ("a/.claude/skills/x.md", "dot folder", "Choose"),
        ("a/.hidden.md", "dot folder", "Choose"),
        ("{{day}}.md", "not known", "{{date}}"),
        ("{{title:x}}.md", "not known", "{{date}}"),
        ("{{date:YYYY-ww}}.md", "`ww` differs between the languages", "WW"),
        ("{{date:YYYY-P}}.md", "`P` is no part of a date", "[ ]"),
        ("{{date.md", "braces", "{{date}}"),
        ("Note#", "no heading", "Note#Log"),
        ("daily-note", "never replaced as a whole", "daily-note#Briefing"),
        ("daily-note#", "never replaced as a whole", "daily-note#Briefing"),
        ("[[Briefing]]", "is a link", "output: Briefing.md"),
        ('a"b.md', "every device", "Leave out"),
        ("“Note.md”", "curly quotes", '"Note.md"'),
    ],
)
def test_bad_outputs_are_refused_with_a_cure(written: str, reason: str, cure: str) -> None:
    """Outside of the vault, no note, protected, or with fields that nobody fills in."""
    with pytest.raises(BadValue) as caught:
        output_template(written, "output")
    assert reason in caught.value.message
    assert cure in caught.value.fix


def test_the_system_folder_may_have_another_name() -> None:
    """Protection goes with the folder's name in the machine's config."""
    check_output_path("00_system/tasks/x.md", system_folder="_sys")
    with pytest.raises(BadValue, match="below tasks"):
        check_output_path("_sys/tasks/x.md", system_folder="_sys")
