"""What a scheduler is fitted out with: its vault and state files, a clock, an engine, a postman, whom it tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from vault_scheduler.clock import Clock
from vault_scheduler.daemon.draining import Draining
from vault_scheduler.daemon.state_files import StateFiles
from vault_scheduler.daemon.troubles import Tell, Troubles
from vault_scheduler.engine import Engine, EngineEvent
from vault_scheduler.notifiers.base import Heartbeat, Postman, Sent
from vault_scheduler.parsing.action_fields import CallableCheck
from vault_scheduler.planning.approvals import TrustMode
from vault_scheduler.vault.vault import Vault

MakesEngine: TypeAlias = Callable[[Callable[[EngineEvent], None]], Engine]
"""Takes who hears what becomes of attempts."""
MakesPostman: TypeAlias = Callable[[Callable[[Sent], None]], Postman]
"""Takes who hears what comes of messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outfit:
    """All that is another thing for a daemon, for a command that runs one task, and in a test."""

    vault: Vault
    files: StateFiles
    clock: Clock
    engine: MakesEngine
    postman: MakesPostman
    tell: Tell
    troubles: Troubles
    start_id: str
    host: str  # the name of this machine
    trust: TrustMode
    machine_timezone: Callable[[], str]  # IANA name; asked again and again, for a laptop travels
    callable_check: CallableCheck | None = None
    credentials: Callable[[], object] = lambda: None  # differs when somebody has logged in to Claude
    mask: Callable[[str], str] = str  # takes secrets out of what leaves the machine
    hold: Callable[[], None] = lambda: None  # keeps the vault ours; raises LockHeld, LedgerUnavailable
    pulse: Heartbeat | None = None
    draining: Draining | None = None  # of who serves for long
    start_tasks: bool = True  # `on_start` and `on_change` count
    eve: timedelta = timedelta(0)  # so long before its time a start begins, and the engine waits for the time
    gathers: bool = False  # what the engine tells within some milliseconds is dealt with in one pass
    only_requests: bool = False  # a command runs one task: what else is due is the daemon's
    status_note: bool = False  # whether one is kept
    grace_s: float = 10.0  # from TERM to KILL
