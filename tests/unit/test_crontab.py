"""Reading crontabs as Debian's cron does, and the task notes that come of them."""

from __future__ import annotations

import pytest

from vault_scheduler.commands.crontab import read_crontab
from vault_scheduler.commands.importing import draft_of

CRONTAB = """\
# m h dom mon dow command
MAILTO=me@example.com
PATH = "/opt/bin:/usr/bin"

# Nightly backup
30 3 * * * /usr/local/bin/backup.sh --full
0 9 * * 1-5\tcd /srv && python3 report.py > /dev/null 2>&1
@reboot /usr/bin/tunnel
@daily  sudo -n apt-get update
SHELL=/bin/bash
CRON_TZ=America/New_York
*/15 * * * * mail -s "at 100\\%" me%Hello%there
nonsense
#5 5 * * * /disabled
"""


def names_of(text: str) -> list[str]:
    return [entry.name for entry in read_crontab(text)[0]]


def test_entries_and_what_is_no_entry() -> None:
    """Comments and assignments are none, aliases are, and a line that is nothing of that is told with its number."""
    entries, not_read = read_crontab(CRONTAB)
    assert [(entry.line, entry.when) for entry in entries] == [
        (6, "30 3 * * *"),
        (7, "0 9 * * 1-5"),
        (8, "@reboot"),
        (9, "@daily"),
        (12, "*/15 * * * *"),
    ]
    assert [(found.line, found.text) for found in not_read] == [(13, "nonsense")]


def test_percent_begins_standard_input() -> None:
    """The first bare `%` ends the command, further ones are line ends, and an escaped one is a percent sign."""
    entry = read_crontab(CRONTAB)[0][-1]
    assert (entry.command, entry.stdin) == ('mail -s "at 100%" me', "Hello\nthere")


def test_assignments_count_from_their_line_on() -> None:
    """What is set below an entry does not concern it."""
    entries, _ = read_crontab(CRONTAB)
    assert entries[0].environment == {"MAILTO": "me@example.com", "PATH": "/opt/bin:/usr/bin"}
    assert entries[-1].environment["SHELL"] == "/bin/bash"


def test_names_say_what_is_done() -> None:
    """The comment right above if it is short, else the first telling word: no interpreter, option or `cd` before it."""
    assert names_of(CRONTAB) == ["nightly-backup", "report", "tunnel", "apt-get", "mail"]


def test_system_crontab_names_a_user() -> None:
    """In /etc/crontab the sixth field is no part of the command."""
    (entry,), _ = read_crontab("0 4 * * * root /usr/sbin/logrotate /etc/x\n", with_user=True)
    assert (entry.user, entry.command) == ("root", "/usr/sbin/logrotate /etc/x")


def draft_text(line: int, **more: object) -> str:
    (entry,) = [entry for entry in read_crontab(CRONTAB)[0] if entry.line == line]
    given = {"taken": set(), "active": False, **more}
    return draft_of(entry, "Europe/Berlin", "Europe/Berlin", **given).text()  # type: ignore[arg-type]


def test_note_of_a_plain_entry() -> None:
    """Schedule, command, the home folder that cron starts in, the variables; and paused, for cron runs it still."""
    assert draft_text(6) == (
        "---\n"
        "type: command\n"
        'cron: "30 3 * * *"\n'
        "status: paused\n"
        "run_now: false\n"
        "command: /usr/local/bin/backup.sh --full\n"
        'cwd: "~"\n'
        'env: ["PATH=/opt/bin:/usr/bin"]\n'
        "---\n"
        "From a crontab, line 6:\n\n"
        "    30 3 * * * /usr/local/bin/backup.sh --full\n"
    )


def test_note_of_an_entry_with_a_shell_a_zone_and_input() -> None:
    """The shell becomes the language of a code block, the zone the task's, and the input a here-document."""
    text = draft_text(12)
    assert 'cron: "*/15 * * * *"\ntimezone: America/New_York\n' in text
    assert "```bash\n{\nmail -s \"at 100%\" me\n} <<'END'\nHello\nthere\nEND\n```\n" in text
    assert "MAILTO" not in text.partition("---\nFrom")[0]


def test_reboot_becomes_the_start_of_the_daemon() -> None:
    """There is no machine start in a vault; the daemon's start is what is meant."""
    assert "on_start: true\n" in draft_text(8)


@pytest.mark.parametrize(("taken", "name"), [(set(), "mail"), ({"mail"}, "mail-2"), ({"mail", "mail-2"}, "mail-3")])
def test_names_are_not_given_twice(taken: set[str], name: str) -> None:
    """Two entries of one program are two tasks."""
    entry = read_crontab(CRONTAB)[0][-1]
    assert draft_of(entry, "UTC", "UTC", taken=taken, active=True).name == name
