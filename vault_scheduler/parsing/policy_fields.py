"""The policy keys: read from a task's note, and from the settings note as the vault's defaults."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from difflib import get_close_matches
from functools import partial
from typing import Any

from vault_scheduler.errors import BadValue
from vault_scheduler.parsing.fields import Fields, Reader
from vault_scheduler.parsing.notice_fields import notifier_names, topics, web_address
from vault_scheduler.parsing.output_path import output_template
from vault_scheduler.parsing.pairs import environment, secret_names
from vault_scheduler.parsing.values import boolean, choice, duration, text, whole_number, word
from vault_scheduler.task import CatchUp, Overlap, Status

_SECOND = timedelta(seconds=1)
LOGS = ("all", "changes", "failures", "none")


def _keep_runs(value: object, key: str) -> int:
    if value == 0:
        raise BadValue("0 would keep no run", "Write `keep_runs: 1`; to have none in the note, write `log: none`")
    return whole_number(value, key, minimum=1, maximum=1000, usual=1000 if value == "all" else 20)


def _pause_after(value: object, key: str) -> int:
    return whole_number(value, key, maximum=10_000, usual=0 if value in ("never", False) else 5)


_READERS: dict[str, Reader[Any]] = {
    "cwd": text,
    "env": environment,
    "secrets": secret_names,
    "timeout": partial(duration, minimum=_SECOND),
    "retries": partial(whole_number, maximum=100),
    "retry_delay": partial(duration, minimum=_SECOND, maximum=timedelta(hours=1)),
    "overlap": lambda value, key: choice(value, key, Overlap),
    "catch_up": lambda value, key: choice(value, key, CatchUp),
    "max_late": duration,
    "pause_after": _pause_after,
    "group": text,
    "log": lambda value, key: word(value, key, LOGS),
    "keep_runs": _keep_runs,
    "notify": topics,
    "notify_to": notifier_names,
    "ping_url": web_address,
}


def read_policies(fields: Fields, names: Iterable[str], system_folder: str = "00_system") -> dict[str, Any]:
    """The policies that the note sets, parsed: names and values as `Policies` has them."""
    options: dict[str, Any] = {}
    for name in names:
        if not fields.has(name):
            continue
        reader = _READERS.get(name) or partial(output_template, system_folder=system_folder)
        value = fields.read(name, reader)
        if value is not None:
            options[name] = value
    twice = {name for name, _ in options.get("env", ())} & set(options.get("secrets", ()))
    for name in sorted(twice):
        fields.error("env", f"`{name}` stands in `secrets` too", f"Remove `{name}` from one of the two")
    return options


def warn_of_strangers(fields: Fields, options: Mapping[str, Any], notifiers: Collection[str], config: str) -> None:
    """Point out names in `notify_to` that this machine, which runs the task, does not have in its `config` file."""
    for message, fix in strangers(options.get("notify_to") or (), notifiers, config):
        fields.warn("notify_to", message, fix)


def strangers(names: Iterable[str], notifiers: Collection[str], config: str) -> Iterator[tuple[str, str]]:
    """For each name that is no notifier's: that it is not, with what follows, and the cure."""
    for name in names:
        if name in notifiers:
            continue
        near = get_close_matches(name, notifiers, n=1)
        if near:
            fix = f"Did you mean {near[0]}?"
        else:
            has = f"This machine has {', '.join(sorted(notifiers))}; write" if notifiers else "Write"
            fix = f'{has} `{name} = "…"` into {config}, below [notify]'
        follows = "" if notifiers else ", so nobody is told"
        yield f"this machine has no notifier `{name}`{follows}", fix


def warn_of_missing_secrets(fields: Fields, options: Mapping[str, Any], known: Collection[str]) -> None:
    """Point out names in `secrets` that the env file of this machine, which runs the task, does not have."""
    for name in options.get("secrets") or ():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            fix = f"Did you mean {near[0]}?" if near else f"Write a line `{name}=…` into the machine's env file"
            fields.warn("secrets", f"there is no secret `{name}` in the env file", fix)


def read_status(fields: Fields, statuses: Iterable[Status]) -> Status | None:
    """`status`, missing means active; `enabled: false` means paused. None if that cannot be read."""
    status = fields.read("status", lambda value, key: Status(word(value, key, map(str, statuses), _STATUS_HINTS)))
    if status is None and fields.has("status"):
        return None
    enabled = fields.read("enabled", boolean)
    if enabled is None and fields.has("enabled"):
        return None
    if enabled is not False or status not in (None, Status.ACTIVE):
        return status or Status.ACTIVE
    if status is Status.ACTIVE:
        fields.warn("enabled", "false contradicts `status: active`; it counts as paused", "Remove one of the two")
    return Status.PAUSED


_STATUS_HINTS = {
    "enabled": "active",
    "on": "active",
    "running": "active",
    "true": "active",
    "disabled": "paused",
    "inactive": "paused",
    "off": "paused",
    "pause": "paused",
    "draft": "paused",
    "false": "paused",
    "stop": "stopped",
    "cancelled": "stopped",
    "finished": "done",
    "complete": "done",
    "completed": "done",
}
