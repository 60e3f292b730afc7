"""`edit`, `delete` and `import-crontab`: whole task notes, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.process.test_cli import HELLO, Shell, shell

__all__ = ["shell"]

TABLE = """\
MAILTO=me
# Backup
30 3 * * * echo "to 100\\%" > saved
0 9 * * * cat%Hello
61 * * * * never
rubbish
"""


def editor(folder: Path, script: str) -> dict[str, str]:
    """An editor that does this to the file it is given."""
    program = folder / "my editor"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"EDITOR": f"'{program}'", "VISUAL": ""}


def test_edit_checks_what_was_saved(shell: Shell) -> None:
    """A note that is right is said to be so, with how long it must be left alone to count."""
    shell.write("hello", HELLO)
    shell.env = editor(shell.folder, 'sed -i s/07/08/ "$1"; sed -i "s/echo hello/echo you/" "$1"')
    assert "it counts when it has been left alone for 10 s" in shell.here("edit", "hello").out
    assert "echo you" in (shell.tasks / "hello.md").read_text()


def test_edit_tells_what_is_wrong(shell: Shell) -> None:
    """A note that would not run is told with line and cure; exit code 1."""
    shell.write("hello", HELLO)
    shell.env = editor(shell.folder, 'sed -i "s/^cron.*/cron: 99 * * * */" "$1"')
    told = shell.here("edit", "hello", code=1)
    assert "00_system/tasks/hello.md:3: cron:" in told.out
    assert "until this is put right" in told.err


@pytest.mark.parametrize(("named", "why"), [("no-such-editor", "cannot be started"), ("false", "exit code 1")])
def test_editor_that_fails_is_told(shell: Shell, named: str, why: str) -> None:
    """Without an editor nothing happens, and it is said how to name one."""
    shell.write("hello", HELLO)
    shell.env = {"EDITOR": named, "VISUAL": ""}
    assert why in shell.here("edit", "hello", code=1).err


def test_delete_keeps_the_note_in_the_trash(shell: Shell) -> None:
    """The note lies where Obsidian puts deleted ones, beside an older one of its name, and is no task any more."""
    for _ in range(2):
        shell.write("work/hello", HELLO)
        shell.here("delete", "hello")
    assert [path.name for path in sorted((shell.vault / ".trash").iterdir())] == ["hello 2.md", "hello.md"]
    assert (shell.vault / ".trash" / "hello.md").read_text() == HELLO
    assert shell.json("list") == []


def test_delete_of_several_is_all_or_none(shell: Shell) -> None:
    """A name that no task has deletes nothing."""
    shell.write("hello", HELLO)
    shell.here("delete", "hello", "absent", code=2)
    assert (shell.tasks / "hello.md").exists()


def test_crontab_becomes_paused_notes_that_run(shell: Shell) -> None:
    """Each entry is a note that does what cron did; what would never run, and what is no entry, is told by its line."""
    table = shell.folder / "table"
    table.write_text(TABLE)
    done = shell.here("import-crontab", str(table), code=1)
    assert "line 3: wrote 00_system/tasks/backup.md" in done.out
    assert "MAILTO is not carried over" in done.out
    assert "They are paused" in done.out
    assert "line 5: not imported" in done.err
    assert "line 6: not imported: it is neither an entry" in done.err
    listed = {task["task"]: task["state"] for task in shell.json("list")}
    assert listed == {"backup": "paused", "cat": "paused"}
    (shell.vault / "00_system" / "scheduler.md").write_text("---\nnote_quiet: 1s\nnote_interval: 1s\n---\n")
    shell("run", "backup", "--wait")
    assert (shell.folder / "saved").read_text() == "to 100%\n"
    shell("run", "cat", "--wait")
    assert "> Hello" in (shell.tasks / "cat.md").read_text()


def test_crontab_of_the_user_is_asked_for(shell: Shell) -> None:
    """Without a file it is `crontab -l`; again, the names are other ones."""
    programs = shell.folder / "bin"
    programs.mkdir()
    (programs / "crontab").write_text("#!/bin/sh\necho '0 5 * * * /opt/tidy.sh'\n")
    (programs / "crontab").chmod(0o755)
    shell.env = {"PATH": f"{programs}:/usr/bin:/bin"}
    assert "wrote 00_system/tasks/tidy.md" in shell.here("import-crontab").out
    assert "wrote 00_system/tasks/tidy-2.md" in shell.here("import-crontab", "--active").out
    assert "status: active" in (shell.tasks / "tidy-2.md").read_text()
