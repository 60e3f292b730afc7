"""This machine's own configuration: `config.toml` and the `env` file with its secrets, both outside every vault."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from vault_scheduler.errors import BadValue, ConfigInvalid
from vault_scheduler.machine.env_file import BadEnvLine, parse_env
from vault_scheduler.parsing.values import duration

CONFIG_NAME = "config.toml"
ENV_NAME = "env"
API_KEY = "ANTHROPIC_API_KEY"
"""A session that is given this pays by it, whatever plan it is logged in with."""
ZONEINFO = "zoneinfo/"


def _host_name() -> str:
    if hasattr(os, "uname"):
        return os.uname().nodename  # what `gethostname` tells, without the 2 ms that it takes to load sockets
    import socket

    return socket.gethostname()


class Trust(StrEnum):
    """Whose changes of a task run without `vault-sched approve` (rule 8)."""

    VAULT = "vault"
    PINNED = "pinned"


class Billing(StrEnum):
    """Who pays for Claude runs."""

    PLAN = "plan"
    API = "api"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retain:
    """How long things are kept; None = for ever. Sizes in bytes."""

    ledger: timedelta | None = timedelta(days=365)
    outputs: timedelta | None = timedelta(days=30)
    outputs_size: int = 500 * 10**6
    logs: timedelta | None = None
    temp: timedelta | None = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What `config.toml` and `env` say, with the defaults for what they do not say."""

    host: str = field(default_factory=_host_name)
    trust: Trust = Trust.VAULT
    path: str = field(default_factory=lambda: os.environ.get("PATH", os.defpath))  # PATH of runs
    python: str | None = None  # interpreter of python tasks; None: ours
    system_folder: str = "00_system"
    billing: Billing = Billing.PLAN
    notify: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict, repr=False)  # name → URL or command
    retain: Retain = field(default_factory=Retain)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # the env file
    warnings: tuple[str, ...] = ()  # for `doctor` and the daemon's log
    billing_problem: str = ""  # a key that would move the bill, and is not used; "": none
    billing_is_said: bool = False  # in config.toml, not told from the env file
    faults: tuple[ConfigInvalid, ...] = ()  # only where it was examined: what is not known stands as its default

    @property
    def withheld(self) -> tuple[str, ...]:
        """Names of secrets that no Claude session gets, as they would move the bill from the plan to the API.

        None where nobody said `billing = "plan"`: a key that is put into the env file later means `api` then, too.
        """
        return (API_KEY,) if self.billing_is_said and self.billing is Billing.PLAN else ()

    @classmethod
    def load(cls, folder: Path) -> Machine:
        """Read the configuration folder; files that are not there mean the defaults. Raises ConfigInvalid.

        Without the key `billing`, an ANTHROPIC_API_KEY in the env file means `api`, else `plan`.
        """
        machine = cls.examine(folder)
        if machine.faults:
            raise machine.faults[0]
        return machine

    @classmethod
    def examine(cls, folder: Path) -> Machine:
        """The same, with all faults in place of the first one raised: for those who look what is wrong."""
        faults: list[ConfigInvalid] = []
        given = _read_config(folder / CONFIG_NAME, faults)
        given["billing_is_said"] = "billing" in given
        secrets: dict[str, str] = {}
        try:
            secrets = read_env(folder / ENV_NAME)
        except ConfigInvalid as fault:
            faults.append(fault)
        has_key = bool(secrets.get(API_KEY))
        if has_key:
            given.setdefault("billing", Billing.API)
        stray = _stray_key(folder) if has_key and given["billing"] is Billing.PLAN else ""
        warnings = _warnings(folder)
        return cls(**given, secrets=secrets, warnings=warnings, billing_problem=stray, faults=tuple(faults))


def _read_config(path: Path, faults: list[ConfigInvalid]) -> dict[str, Any]:
    """What can be read; `faults` gets what cannot."""
    try:
        text = _read_text(path)
        table = _parsed(path, text) if text else {}
    except ConfigInvalid as fault:
        faults.append(fault)
        return {}
    return _Reader(path, text, faults).read(table, "", _KEYS)


def _parsed(path: Path, text: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        said = str(error).split(" (at ")[0].rstrip(".").lower()
        raise ConfigInvalid(
            str(path), int(line[1]) if line else 0, "", f"this is not valid TOML: {said}", 'Write key = "value"'
        ) from error


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except UnicodeDecodeError as error:
        raise ConfigInvalid(str(path), 0, "", "it is not UTF-8 text", "Save it as UTF-8") from error
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ConfigInvalid(str(path), 0, "", f"it cannot be read: {reason}", "Make it readable for you") from error


def read_env(path: Path) -> dict[str, str]:
    """The values of an env file; none if there is no file. Raises ConfigInvalid."""
    try:
        return parse_env(_read_text(path))
    except BadEnvLine as error:
        raise ConfigInvalid(str(path), error.line, "", error.message, error.fix) from None


def _stray_key(folder: Path) -> str:
    cure = f'Remove it from there, or write `billing = "api"` into {folder / CONFIG_NAME}'
    return f"{API_KEY} in {folder / ENV_NAME} is not given to Claude, because `billing` is plan. {cure}"


def _warnings(folder: Path) -> tuple[str, ...]:
    """Secrets that others on this machine can read."""
    found = []
    for name in (ENV_NAME, CONFIG_NAME):
        path = folder / name
        try:
            mode = path.stat().st_mode
        except OSError:
            continue
        if mode & 0o077 and (name == ENV_NAME or b"[notify]" in path.read_bytes()):
            found.append(f"{path} holds secrets and others on this machine can read it. Run `chmod 600 {path}`")
    return tuple(found)


Read = Callable[[object], Any]


class _Reader:
    """Turns TOML tables into constructor arguments and says where a fault stands."""

    def __init__(self, path: Path, text: str, faults: list[ConfigInvalid]) -> None:
        self._path = path
        self._faults = faults
        self._lines = text.split("\n")

    def read(self, table: Mapping[str, Any], section: str, keys: Mapping[str, Read]) -> dict[str, Any]:
        """Read the keys of one table. An unknown key, or a value that cannot be meant, is a fault."""
        result = {}
        for key, value in table.items():
            if key not in keys:
                self._faults.append(self._unknown(section, key, keys))
                continue
            try:
                result[key] = keys[key](value)
            except _InTable as fault:
                self._faults.append(self._fault(key, fault.key, fault.message, fault.fix))
            except BadValue as fault:
                self._faults.append(self._fault(section, key, fault.message, fault.fix))
        return result

    def _unknown(self, section: str, key: str, keys: Mapping[str, Read]) -> ConfigInvalid:
        near = get_close_matches(key.lower().replace("-", "_"), keys, n=1)
        known = ", ".join(sorted(keys))
        fix = f"Did you mean `{near[0]}`?" if near else f"Known here: {known}"
        return self._fault(section, key, "there is no such key", fix)

    def _fault(self, section: str, key: str, message: str, fix: str) -> ConfigInvalid:
        name = f"{section}.{key}" if section else key
        return ConfigInvalid(str(self._path), self._line_of(section, key), name, message, fix)

    def _line_of(self, section: str, key: str) -> int:
        """The line of a key within its table, from 1; 0 if it is written in a way that this does not find."""
        current = ""
        for number, line in enumerate(self._lines, 1):
            if header := re.match(r"\s*\[+\s*[\"']?([^\]\"']+?)[\"']?\s*\]", line):
                current = header[1]
                if not section and current == key:
                    return number
            found = re.match(r"\s*[\"']?([^\"'=]+?)[\"']?\s*=", line)
            name = f"{current}.{found[1]}" if found and current else found[1] if found else ""
            if name.replace(" ", "") == (f"{section}.{key}" if section else key):
                return number
        return 0


class _InTable(BadValue):
    """A fault in a key of a table within the file."""

    def __init__(self, key: str, message: str, fix: str) -> None:
        self.key = key
        super().__init__(message, fix)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadValue("it takes a text", 'Write it in quotes: "…"')
    return value.strip()


def _choice(kind: type[StrEnum]) -> Read:
    def read(value: object) -> StrEnum:
        words = [member.value for member in kind]
        if value not in words:
            near = get_close_matches(str(value).lower(), words, n=1)
            hint = f'Did you mean "{near[0]}"?' if near else "Write " + " or ".join(f'"{word}"' for word in words)
            raise BadValue(f"{value!r} is not one of {', '.join(words)}", hint)
        return kind(str(value))

    return read


def _search_path(value: object) -> str:
    """A PATH: one text, or a list of folders; `~` is the home folder."""
    parts = _text(value).split(os.pathsep) if isinstance(value, str) else value
    if not isinstance(parts, list) or not parts or not all(isinstance(part, str) for part in parts):
        raise BadValue("it takes a list of folders", 'Write ["~/.local/bin", "/usr/bin", "/bin"]')
    return os.pathsep.join(os.path.expanduser(part) for part in parts)  # noqa: PTH111  # Path drops a trailing dot


def _program(value: object) -> str:
    return os.path.expanduser(_text(value))  # noqa: PTH111  # a bare name such as `python3` stays one


def _folder_name(value: object) -> str:
    name = _text(value).strip("/")
    if not name or any(part in ("", ".", "..") or part.startswith(".") for part in name.split("/")):
        raise BadValue(
            f"{value!r} cannot be the name of a folder that Obsidian shows",
            'Write a name inside the vault, "00_system"',
        )
    return name


def _notify(value: object) -> dict[str, str | tuple[str, ...]]:
    if not isinstance(value, dict):
        raise BadValue("it takes names and URLs", 'Write [notify] and below it: phone = "ntfy://…"')
    return {name: _notifier(name, address) for name, address in value.items()}


def _notifier(name: str, address: object) -> str | tuple[str, ...]:
    """A URL as Apprise reads it, or a program with its arguments."""
    if isinstance(address, str) and "://" in address and not re.search(r"\s", address.strip()):
        return address.strip()
    if isinstance(address, list) and address and all(isinstance(part, str) and part for part in address):
        return _program(address[0]), *address[1:]
    fix = 'Write "ntfy://…", or a list: ["notify-send", "--app-name=vault-sched"]'
    raise _InTable(name, "it takes a URL, or a list of a program and its arguments", fix)


def _age(value: object) -> timedelta | None:
    if value == "forever":
        return None
    try:
        return duration(value)
    except BadValue as error:
        raise BadValue(error.message, 'Write a number with a unit, such as "30d", or "forever"') from None


_SIZES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def _size(value: object) -> int:
    found = re.fullmatch(r"(\d+)\s*([kMGT]?)B", value.strip()) if isinstance(value, str) else None
    if found is None:
        raise BadValue(f"{value!r} is not a size", 'Write a number with a unit, such as "500MB" or "2GB"')
    return int(found[1]) * _SIZES[found[2]]


_RETAIN: Mapping[str, Read] = {
    "ledger": _age,
    "outputs": _age,
    "outputs_size": _size,
    "logs": _age,
    "temp": _age,
}


def _retain(value: object) -> Retain:
    if not isinstance(value, dict):
        raise BadValue("it takes keys with ages", 'Write [retain] and below it: outputs = "30d"')
    result = {}
    for key, given in value.items():
        if key not in _RETAIN:
            near = get_close_matches(key, _RETAIN, n=1)
            raise _InTable(
                key,
                "there is no such key",
                f"Did you mean `{near[0]}`?" if near else f"Known here: {', '.join(_RETAIN)}",
            )
        try:
            result[key] = _RETAIN[key](given)
        except BadValue as error:
            raise _InTable(key, error.message, error.fix) from None
    return Retain(**result)


_KEYS: Mapping[str, Read] = {
    "host": _text,
    "trust": _choice(Trust),
    "path": _search_path,
    "python": _program,
    "system_folder": _folder_name,
    "billing": _choice(Billing),
    "notify": _notify,
    "retain": _retain,
}


def machine_timezone(etc: Path = Path("/etc"), environ: Mapping[str, str] = os.environ) -> str:
    """The IANA name of this machine's zone: from TZ, `/etc/localtime`, `/etc/timezone`; UTC if none names one.

    A TZ in POSIX form (`CET-1CEST`) names no place and its DST rule may be another one, so it does not count.
    """
    candidates = (_named_by(environ.get("TZ", "").removeprefix(":")), _localtime(etc), _timezone_file(etc))
    return next((name for name in candidates if name and _is_zone(name)), "UTC")


def _named_by(path_or_name: str) -> str:
    """The zone's name in a path below a `zoneinfo` folder, else the text itself."""
    name = path_or_name.rpartition(ZONEINFO)[2]
    return name.removeprefix("posix/").removeprefix("right/")


def _localtime(etc: Path) -> str:
    try:
        target = (etc / "localtime").readlink()
    except OSError:
        return ""
    return _named_by(target.as_posix()) if ZONEINFO in target.as_posix() else ""


def _timezone_file(etc: Path) -> str:
    try:
        return (etc / "timezone").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return False
    return True
