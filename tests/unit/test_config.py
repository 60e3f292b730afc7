"""The machine's configuration."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from vault_scheduler.errors import ConfigInvalid
from vault_scheduler.machine.config import Billing, Machine, Retain, Trust, machine_timezone
from vault_scheduler.machine.env_file import BadEnvLine, parse_env

FULL = """\
# this machine
host = "homeserver"
trust = "pinned"
path = ["~/bin", "/usr/bin"]
python = "~/venv/bin/python"
system_folder = "99_system"
billing = "api"

[notify]
phone = "ntfy://topic"

[retain]
ledger = "90d"
outputs = "1w"
outputs_size = "2GB"
logs = "365d"
temp = "forever"
"""


def write(folder: Path, config: str = "", env: str | None = None) -> Path:
    """A configuration folder that only its owner can read."""
    for name, text in (("config.toml", config), ("env", env)):
        if text is not None:
            (folder / name).write_text(text, "utf-8")
            (folder / name).chmod(0o600)
    return folder


def test_uses_the_defaults_where_nothing_is_written(tmp_path: Path) -> None:
    """No configuration is a configuration: this host, trust the vault, our own python."""
    machine = Machine.load(tmp_path / "not there")
    assert machine.host == socket.gethostname()
    assert (machine.trust, machine.billing, machine.python) == (Trust.VAULT, Billing.PLAN, None)
    assert machine.system_folder == "00_system"
    assert machine.path == os.environ["PATH"]
    assert machine.retain == Retain(
        ledger=timedelta(days=365),
        outputs=timedelta(days=30),
        outputs_size=500_000_000,
        logs=None,
        temp=timedelta(days=1),
    )
    assert machine.warnings == ()


def test_reads_every_key(tmp_path: Path) -> None:
    """Each key of the contract has its value; `~` is the home folder."""
    machine = Machine.load(write(tmp_path, FULL, "TOKEN=abc\n"))
    home = str(Path.home())
    assert machine.host == "homeserver"
    assert machine.trust is Trust.PINNED
    assert machine.path == f"{home}/bin:/usr/bin"
    assert machine.python == f"{home}/venv/bin/python"
    assert machine.system_folder == "99_system"
    assert machine.billing is Billing.API
    assert machine.notify == {"phone": "ntfy://topic"}
    assert machine.retain == Retain(
        ledger=timedelta(days=90),
        outputs=timedelta(weeks=1),
        outputs_size=2 * 10**9,
        logs=timedelta(days=365),
        temp=None,
    )
    assert machine.secrets == {"TOKEN": "abc"}


def test_takes_an_api_key_in_the_env_file_as_api_billing(tmp_path: Path) -> None:
    """Who pays follows from the key, unless the configuration says it."""
    assert Machine.load(write(tmp_path, "", "ANTHROPIC_API_KEY=x\n")).billing is Billing.API
    assert Machine.load(write(tmp_path, 'billing = "plan"\n')).billing is Billing.PLAN


def test_keeps_a_key_from_sessions_only_where_somebody_said_plan(tmp_path: Path) -> None:
    """A key that is put into the env file while the daemon runs is used, as it would be after a restart."""
    assert Machine.load(write(tmp_path, 'billing = "plan"\n')).withheld == ("ANTHROPIC_API_KEY",)
    assert Machine.load(write(tmp_path, 'billing = "api"\n')).withheld == ()
    assert Machine.load(write(tmp_path, "")).withheld == ()


def test_points_out_a_key_that_would_move_the_bill_from_the_plan(tmp_path: Path) -> None:
    """Only where the configuration says plan and the env file has a key all the same."""
    stray = Machine.load(write(tmp_path, 'billing = "plan"\n', "ANTHROPIC_API_KEY=x\n"))
    assert "is not given to Claude, because `billing` is plan" in stray.billing_problem
    assert 'billing = "api"' in stray.billing_problem
    assert Machine.load(write(tmp_path, "", "ANTHROPIC_API_KEY=x\n")).billing_problem == ""


# Each case: the file, then line, key and a part of the message or its fix.
FAULTS = {
    "unknown key, near name": ('\ntrsut = "vault"\n', 2, "trsut", "Did you mean `trust`?"),
    "unknown key, no near name": ("colour = 1\n", 1, "colour", "Known here: billing, host"),
    "unknown key in a table": ('host = "a"\n[retain]\nouputs = "1d"\n', 3, "retain.ouputs", "Did you mean `outputs`?"),
    "same key name elsewhere": ('host = "a"\n\n[retain]\nhost = "1d"\n', 4, "retain.host", "no such key"),
    "dotted key": ('retain.ouputs = "1d"\n', 1, "retain.ouputs", "Did you mean `outputs`?"),
    "not a choice": ('trust = "vualt"\n', 1, "trust", 'Did you mean "vault"?'),
    "wrong type": ("host = 3\n", 1, "host", "takes a text"),
    "empty text": ('host = " "\n', 1, "host", "takes a text"),
    "age without unit": ("[retain]\nledger = 90\n", 2, "retain.ledger", '"30d"'),
    "size without unit": ('[retain]\noutputs_size = "500"\n', 2, "retain.outputs_size", '"500MB"'),
    "not TOML": ('host = "a"\nhost: b\n', 2, "", "not valid TOML"),
    "key twice": ('host = "a"\nhost = "b"\n', 2, "", "not valid TOML"),
    "table expected": ('retain = "30d"\n', 1, "retain", "[retain]"),
    "notify without URL": ("[notify]\nphone = 1\n", 2, "notify.phone", "takes a URL"),
    "system folder outside": ('system_folder = "../x"\n', 1, "system_folder", "inside the vault"),
    "hidden system folder": ('system_folder = ".system"\n', 1, "system_folder", "Obsidian shows"),
    "path of numbers": ("path = [1]\n", 1, "path", "list of folders"),
}


@pytest.mark.parametrize(("text", "line", "key", "said"), FAULTS.values(), ids=FAULTS)
def test_refuses_what_cannot_be_meant(tmp_path: Path, text: str, line: int, key: str, said: str) -> None:
    """A fault is named with its line, its key and the cure; nothing is ignored."""
    with pytest.raises(ConfigInvalid) as caught:
        Machine.load(write(tmp_path, text))
    assert (caught.value.line, caught.value.key) == (line, key)
    assert said in str(caught.value)
    assert caught.value.path == str(tmp_path / "config.toml")


def test_refuses_a_file_that_is_not_text(tmp_path: Path) -> None:
    """UTF-16, as some editors save, is named as such and not as a TOML error."""
    (tmp_path / "config.toml").write_bytes('host = "a"'.encode("utf-16"))
    with pytest.raises(ConfigInvalid, match="UTF-8"):
        Machine.load(tmp_path)


def test_reads_a_file_with_bom_and_crlf(tmp_path: Path) -> None:
    """What Windows editors make of the file is read."""
    (tmp_path / "config.toml").write_bytes(b'\xef\xbb\xbfhost = "a"\r\ntrust = "pinned"\r\n')
    assert Machine.load(tmp_path).host == "a"


def test_warns_when_others_can_read_the_secrets(tmp_path: Path) -> None:
    """A world-readable env file is named with the command that closes it."""
    write(tmp_path, "", "TOKEN=x\n")
    assert Machine.load(tmp_path).warnings == ()
    (tmp_path / "env").chmod(0o644)
    (warning,) = Machine.load(tmp_path).warnings
    assert f"chmod 600 {tmp_path / 'env'}" in warning


def test_never_shows_secrets(tmp_path: Path) -> None:
    """Neither a printed machine nor an error about the env file holds a value."""
    machine = Machine.load(write(tmp_path, '[notify]\nphone = "ntfy://hidden"\n', "TOKEN=hidden\n"))
    assert "hidden" not in repr(machine)
    with pytest.raises(ConfigInvalid) as caught:
        Machine.load(write(tmp_path, "", 'A=1\nTOKEN="hidden\n'))
    assert caught.value.line == 2
    assert "hidden" not in str(caught.value)


# Each case: a line or several, and what they mean.
ENV = {
    "plain": ("A=b\n", {"A": "b"}),
    "last line without an end": ("A=b", {"A": "b"}),
    "export": ("export A=b\n", {"A": "b"}),
    "blank lines and comments": ("\n# A=x\n  # more\nA=b\n", {"A": "b"}),
    "comment after a value": ("A=b # why\n", {"A": "b"}),
    "hash within a value": ("A=b#c\n", {"A": "b#c"}),
    "only a comment after the sign": ("A= # none\n", {"A": ""}),
    "spaces around": ("  A = b  \n", {"A": "b"}),
    "empty": ("A=\nB=c\n", {"A": "", "B": "c"}),
    "equal signs in the value": ("A=b=c==\n", {"A": "b=c=="}),
    "single quotes are literal": ("A='a\\n$x # y'\n", {"A": "a\\n$x # y"}),
    "double quotes have escapes": ('A="a\\n\\"b\\" \\$c" # d\n', {"A": 'a\n"b" $c'}),
    "quotes span lines": ('A="-----BEGIN\nKEY-----"\nB=c\n', {"A": "-----BEGIN\nKEY-----", "B": "c"}),
    "nothing is substituted": ("A=$HOME\n", {"A": "$HOME"}),
    "the last one counts": ("A=1\nA=2\n", {"A": "2"}),
    "CRLF and BOM": ("\ufeffA=b\r\nB=c\r\n", {"A": "b", "B": "c"}),
}


@pytest.mark.parametrize(("text", "expected"), ENV.values(), ids=ENV)
def test_reads_env_files_as_other_programs_do(text: str, expected: dict[str, str]) -> None:
    """Names and values, quotes, comments, `export`."""
    assert parse_env(text) == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [("A=1\nnonsense\n", 2), ("1A=2\n", 1), ("A='x\n\n", 1), ("A='x' y\n", 1), ("A-B=1\n", 1), ("A=1\n\n=x", 3)],
)
def test_refuses_env_lines_that_mean_nothing(text: str, line: int) -> None:
    """The line is named; a secret that cannot be read is not silently left out."""
    with pytest.raises(BadEnvLine) as caught:
        parse_env(text)
    assert caught.value.line == line


def make_etc(folder: Path, localtime: str = "", timezone: str = "") -> Path:
    """An /etc with a zone."""
    if localtime:
        (folder / "localtime").symlink_to(localtime)
    if timezone:
        (folder / "timezone").write_text(timezone)
    return folder


# Each case: TZ, target of /etc/localtime, /etc/timezone, the zone.
ZONES = {
    "TZ": ("Europe/Berlin", "/usr/share/zoneinfo/UTC", "", "Europe/Berlin"),
    "TZ with a colon": (":Europe/Berlin", "", "", "Europe/Berlin"),
    "TZ as a path": ("/usr/share/zoneinfo/Europe/Berlin", "", "", "Europe/Berlin"),
    "TZ in POSIX form names no place": ("CET-1CEST", "/usr/share/zoneinfo/Europe/Vienna", "", "Europe/Vienna"),
    "localtime": ("", "/usr/share/zoneinfo/America/New_York", "Europe/Rome", "America/New_York"),
    "localtime on macOS": ("", "/var/db/timezone/zoneinfo/Asia/Tokyo", "", "Asia/Tokyo"),
    "localtime, relative": ("", "../usr/share/zoneinfo/posix/Asia/Tokyo", "", "Asia/Tokyo"),
    "timezone": ("", "", "Europe/Rome\n", "Europe/Rome"),
    "nonsense": ("Mars/Olympus", "/somewhere", "not a zone", "UTC"),
    "nothing": ("", "", "", "UTC"),
}


@pytest.mark.parametrize(("tz", "localtime", "timezone", "expected"), ZONES.values(), ids=ZONES)
def test_finds_the_name_of_the_machine_zone(
    tmp_path: Path, tz: str, localtime: str, timezone: str, expected: str
) -> None:
    """An IANA name, in the order in which programs look, or UTC."""
    assert machine_timezone(make_etc(tmp_path, localtime, timezone), {"TZ": tz}) == expected
