"""Which definitions may run: pinned, or held until a person approves them (rule 8). Pure decisions.

A Claude run without shell must not get it, nor money, nor another machine, by writing a task note. So a definition
that appears while such a run is alive, and asks for more than that run had, is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from vault_scheduler.task import AfterOutcome, ClaudeAction, Permissions, Task, fingerprint, text_hash

AFTERMATH = timedelta(seconds=5)
"""A note may be seen this long after the run that wrote it has ended."""

_RANK = {Permissions.READ_ONLY: 0, Permissions.EDIT: 1, Permissions.FULL: 2}
_GUARDED_KEYS = ("host", "cwd", "env", "secrets", "add_dirs", "notify_to", "ping_url")
_WINDOWS = (timedelta(hours=1), timedelta(days=1), timedelta(days=31))


class TrustMode(StrEnum):
    """`trust` in the machine's configuration."""

    VAULT = "vault"  # who can write into the vault is trusted, except a restricted run
    PINNED = "pinned"  # every new or changed definition needs `approve`


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a run without shell may do; money in US dollars."""

    permissions: Permissions
    max_usd: float
    servers: str = ""  # its `mcp_config`


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """It may run; `fresh`: the pin is to be stored first."""

    fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """It may not run until a person approves it; the reason is for people."""

    reason: str


Verdict = Pinned | Held


def rights_of(task: Task) -> Rights | None:
    """The rights of a restricted run of this task; None if it can execute anything anyway.

    A gate gives Claude no shell: it is over before the session begins, and the note alone says what it executes.
    MCP servers do what they are made for: what one of them writes while the run is alive is the run's doing.
    """
    action = task.action
    if not isinstance(action, ClaudeAction) or _bare(task).asks_for_shell:
        return None
    return Rights(permissions=action.permissions, max_usd=action.max_usd, servers=action.mcp_config or "")


def _bare(task: Task) -> Task:
    """Without its gate and its servers."""
    action = task.action
    bare = replace(action, mcp_config=None) if isinstance(action, ClaudeAction) else action
    return replace(task, gate=None, action=bare)


def restricting(runs: Iterable[tuple[Rights | None, datetime | None]], now: datetime) -> tuple[Rights, ...]:
    """The rights of the restricted runs that may have written what is seen now: (rights, ended_at or None)."""
    return tuple(rights for rights, ended in runs if rights is not None and (ended is None or now - ended <= AFTERMATH))


def pin_hash(definition: str, files: Mapping[str, bytes]) -> str:
    """What is pinned: the task's definition together with the files that it names."""
    if not files and definition.isalnum() and definition.isascii():
        return text_hash(f'["{definition}", {{}}]')  # what `fingerprint` makes of it, for most tasks
    return fingerprint([definition, {name: data.hex() for name, data in files.items()}])


def verdict(
    mode: TrustMode,
    *,
    task: Task,
    definition: str,
    pinned: str | None,
    old: Task | None,
    held: str | None,
    restricting: Sequence[Rights],
    at: datetime,
    pins_known: bool = True,
) -> Verdict:
    """Whether a definition may run.

    `definition` is its pin hash, `pinned` the hash of the pin and `old` the task that was pinned, `held` the hash
    that is held now, `restricting` the restricted runs that may have written it. `pins_known` is False when the
    file of pins was lost.
    """
    if pinned == definition:
        return Pinned(fresh=False)
    if not pins_known:
        return Held(reason="the approvals were lost, so it needs a new one")
    if mode is TrustMode.PINNED:
        return Held(reason="new" if pinned is None else "changed since it was approved")
    if held is not None:  # edited again, it still carries what it was held for, whoever touched it last
        return Held(reason="waits for approval")
    more = asks_for_more(task, old, least(restricting), at=at) if restricting else ""
    if more:
        is_same = old is not None and old.definition == task.definition
        what = "changed a file that it executes" if is_same else "written it"
        return Held(reason=f"a Claude run may have {what}, and it asks for more than that had: {more}")
    return Pinned(fresh=True)


def least(rights: Sequence[Rights]) -> Rights:
    """What each of these runs (at least one) may do."""
    return Rights(
        permissions=min((each.permissions for each in rights), key=_RANK.__getitem__),
        max_usd=min(each.max_usd for each in rights),
        servers=rights[0].servers if len({each.servers for each in rights}) == 1 else "",
    )


def asks_for_more(new: Task, old: Task | None, than: Rights, *, at: datetime) -> str:
    """What `new` would get that a run with these rights does not have, and `old` did not give; "" for nothing.

    Shell and presets are compared with the run alone: that `old` was a command too does not entitle the run to
    write another one. `at` is the moment from which the schedules are compared.
    """
    more = [*_more_rights(new, old, than), *_more_money(new, old, than)]
    more += [key for key in _GUARDED_KEYS if _declares_more(key, new, old)]
    if old is not None and _is_tighter(new, old, at):
        more.append("a tighter schedule")
    return ", ".join(more)


def _asks_for_shell(new: Task, old: Task | None, than: Rights) -> bool:
    """Whether it has a shell, beside the run's own servers and a gate that stays as it was above another prompt."""
    servers = new.action.mcp_config if isinstance(new.action, ClaudeAction) else None
    if servers and servers != than.servers:
        return True
    has_gate = new.gate is not None or bool(new.declared.get("gate"))
    if has_gate and (old is None or old.declared.get("gate") != new.declared.get("gate")):
        return True
    return _bare(new).asks_for_shell


def _more_rights(new: Task, old: Task | None, than: Rights) -> list[str]:
    if _asks_for_shell(new, old, than):
        return ["shell"]
    action = new.action
    assert isinstance(action, ClaudeAction)  # every other type asks for shell
    more = []
    if _RANK[action.permissions] > _RANK[than.permissions]:
        more.append(f"permissions {action.permissions}")
    before = old.action if old is not None and isinstance(old.action, ClaudeAction) else ClaudeAction()
    if set(action.allowed_tools) - set(before.allowed_tools):
        more.append("allowed_tools")
    if set(before.disallowed_tools) - set(action.disallowed_tools):
        more.append("disallowed_tools")
    return more


def _more_money(new: Task, old: Task | None, than: Rights) -> list[str]:
    if not isinstance(new.action, ClaudeAction):
        return []
    before = old.action if old is not None and isinstance(old.action, ClaudeAction) else None
    more = []
    if new.action.max_usd > max(than.max_usd, before.max_usd if before else 0.0):
        more.append("max_usd")
    if before is not None and _cap(new.action.max_usd_day) > _cap(before.max_usd_day):
        more.append("max_usd_day")
    return more


def _cap(usd: float | None) -> float:
    return float("inf") if usd is None else usd


def _declares_more(key: str, new: Task, old: Task | None) -> bool:
    value = new.declared.get(key)
    return bool(value) and (old is None or value != old.declared.get(key))


def _is_tighter(new: Task, old: Task, at: datetime) -> bool:
    """Whether it fires more often than before within the hour, the day or the month that follows."""
    if new.on_start and not old.on_start:
        return True
    if set(new.after) - set(old.after) or set(new.on_change) - set(old.on_change):
        return True
    if new.after_outcome is not old.after_outcome and new.after_outcome is not AfterOutcome.SUCCESS:
        return True
    if new.debounce < old.debounce or _runs(new.max_runs) > _runs(old.max_runs):
        return True
    return any(_fires(new, at, window) > _fires(old, at, window) for window in _WINDOWS)


def _runs(count: int | None) -> float:
    return float("inf") if count is None else count


def _fires(task: Task, at: datetime, window: timedelta) -> int:
    due = task.schedule.due(at, at + window, 1)
    return due.count if due else 0
