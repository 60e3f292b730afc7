"""How a task stands: whether its fire times start runs, why not, and when that changes by itself (rule 3.1). Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from vault_scheduler.settings import Settings
from vault_scheduler.task import Status, Task

LAST_GOOD_GRACE = timedelta(seconds=60)
"""How long the last good definition stays in force after a note became invalid (rule 3.1)."""


class State(StrEnum):
    """How a task stands; the words of `list --json`."""

    ARMED = "armed"
    PAUSED = "paused"
    STOPPED = "stopped"
    DONE = "done"
    INVALID = "invalid"
    HELD = "held"
    OTHER_HOST = "other-host"

    @property
    def blocks(self) -> bool:
        """Whether due fire times end `blocked` (instead of not being due at all)."""
        return self in (State.INVALID, State.HELD)


_FIRE = frozenset(state for state in State if state is State.ARMED or state.blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a task stands now, why, and when that changes by itself."""

    state: State
    reason: str = ""
    since: datetime | None = None  # `paused_until` that has passed: what is due is due since then
    until: datetime | None = None  # look again then
    resumes: datetime | None = None  # paused by `paused_until` alone: armed from this instant on

    @property
    def armed(self) -> bool:
        """Whether its fire times start runs (rule 3.1)."""
        return self.state is State.ARMED

    @property
    def fires(self) -> bool:
        """Whether its fire times are due at all: to start, or to end `blocked`."""
        return self.state in _FIRE


ARMED = Standing(state=State.ARMED)
"""As most tasks stand: one for all of them."""


def standing(
    task: Task,
    settings: Settings,
    *,
    host: str,
    now: datetime,
    held: str = "",
    invalid_since: datetime | None = None,
) -> Standing:
    """How `task` stands at `now` on machine `host` (rule 3.1)."""
    if _is_plainly_armed(task, settings, host) and not held and invalid_since is None:
        return ARMED
    owner = task.host or settings.host
    if owner and owner != host:
        return Standing(state=State.OTHER_HOST, reason=f"runs on {owner}")
    pauses = [moment for moment in (task.paused_until, settings.paused_until) if moment]
    off = switched_off(task, settings)
    if off is not None:
        return replace(off, since=max((moment for moment in pauses if moment <= now), default=None))
    if any(moment > now for moment in pauses):
        ahead = [moment for moment in pauses if moment > now]
        return Standing(state=State.PAUSED, reason="paused for a while", until=min(ahead), resumes=max(ahead))
    since = max(pauses, default=None)
    if invalid_since is not None:
        grace_ends = invalid_since + LAST_GOOD_GRACE
        if now >= grace_ends:
            return Standing(state=State.INVALID, reason="the note is invalid", since=since)
        return Standing(state=State.ARMED, since=since, until=grace_ends)
    if held:
        return Standing(state=State.HELD, reason=held, since=since)
    return Standing(state=State.ARMED, since=since)


def _is_plainly_armed(task: Task, settings: Settings, host: str) -> bool:
    """Whether task and vault are active, here, and were never paused for a while: as most are."""
    is_active = task.status is Status.ACTIVE and settings.status is Status.ACTIVE
    is_paused = task.paused_until is not None or settings.paused_until is not None
    return is_active and not is_paused and (task.host or settings.host or host) == host


def switched_off(task: Task, settings: Settings) -> Standing | None:
    """How a task stands that its own `status` or the vault's holds back; to be stopped is more than to be paused."""
    own, vault = _switched_off(task.status, ""), _switched_off(settings.status, "vault ")
    if vault is not None and vault.state is State.STOPPED and own is not None and own.state is not State.STOPPED:
        return vault
    return own or vault


def _switched_off(status: Status, whose: str) -> Standing | None:
    if status is Status.PAUSED:
        return Standing(state=State.PAUSED, reason=f"{whose}paused")
    if status is Status.STOPPED:
        return Standing(state=State.STOPPED, reason=f"{whose}stopped")
    if status is Status.DONE:
        return Standing(state=State.DONE, reason="nothing left to fire")
    return None


def vault_off(settings: Settings, now: datetime) -> str:
    """Why nothing at all runs in the vault; "" if it is active."""
    if settings.status is not Status.ACTIVE:
        return f"vault {settings.status.value}"
    paused = settings.paused_until is not None and settings.paused_until > now
    return "vault paused for a while" if paused else ""
