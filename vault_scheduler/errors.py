"""Every exception of the project: fields, an exit code, and one sentence that says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar


def internal(error: Exception) -> str:
    """A fault of ours in one line, with the place in the code for whoever reads the report."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})" if trace else ""
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}{where}"


class VaultSchedError(Exception):
    """Something went wrong that the person can act on; the message says how."""

    exit_code: ClassVar[int] = 2
    retryable: bool = True  # False where trying again cannot help


def why(error: Exception) -> str:
    """What people are told of work that failed."""
    expected = isinstance(error, VaultSchedError | OSError)
    return str(error) if expected else f"internal error: {internal(error)}; please report it"


class BadValue(VaultSchedError):
    """A value that a key cannot take: what is wrong (`message`) and what to write instead (`fix`)."""

    retryable = False

    def __init__(self, message: str, fix: str = "") -> None:
        self.message = message
        self.fix = fix
        super().__init__(f"{message}. {fix}" if fix else message)


class BadExpression(BadValue):
    """A cron expression that is refused (rule 1.1)."""

    exit_code = 1


class NoteRefused(VaultSchedError):
    """An edit of a note that cannot be shown to leave every other byte alone; nothing was written."""

    exit_code = 1

    def __init__(self, reason: str, line: int = 1) -> None:
        self.reason = reason
        self.line = line
        super().__init__(reason)


class NoteUnreadable(VaultSchedError):
    """A note that is there but cannot be read or written, or may not: its last good definition stays."""

    exit_code = 1

    def __init__(self, path: str, reason: str, fix: str = "Make the file readable, or remove it.") -> None:
        self.path = path
        self.reason = reason
        self.fix = fix
        super().__init__(path, reason, fix)

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class NoteTooBig(NoteUnreadable):
    """A note larger than any that people write; reading it would cost the memory of all others."""

    def __init__(self, path: str, limit: int) -> None:
        self.limit = limit
        super().__init__(path, f"it is larger than {limit // 2**20} MiB; move what is not the task elsewhere")


class NoteChanged(VaultSchedError):
    """The note changed between reading and replacing it; nothing was written."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(path)

    def __str__(self) -> str:
        return f"{self.path} changed while it was being written; try again"


class VaultNotFound(VaultSchedError):
    """No vault with a tasks folder was found; `named`: `start` was given, so nothing else was looked at."""

    def __init__(self, start: str, system_folder: str = "00_system", *, named: bool = False) -> None:
        self.start = start
        if named:
            where = f"{start} is no vault: it holds no {system_folder}/tasks/. Name another one"
        else:
            where = f"no vault at or above {start}: no folder holds {system_folder}/tasks/. Say which one"
        super().__init__(f"{where} with --vault PATH or VAULT_SCHED_VAULT, or make one with `vault-sched init PATH`")


class SettingsMissing(VaultSchedError):
    """The vault has no settings note, so the daemon does not start (rule 3.3)."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"there is no settings note at {path}. Make one with `vault-sched init`")


class TaskNotFound(VaultSchedError):
    """No task has this name."""

    def __init__(self, name: str, near: tuple[str, ...] = ()) -> None:
        self.name = name
        self.near = near
        hint = f" Did you mean {' or '.join(near)}?" if near else " `vault-sched list` shows all tasks."
        super().__init__(f"there is no task named {name!r}.{hint}")


class RunNotFound(VaultSchedError):
    """No run has this id."""

    def __init__(self, run: str) -> None:
        self.run = run
        super().__init__(f"there is no run {run!r}. `vault-sched history` shows the runs")


class LockHeld(VaultSchedError):
    """Another process holds the vault's lock on this machine."""

    def __init__(self, holder: str) -> None:
        self.holder = holder
        super().__init__(
            f"another vault-sched already serves this vault ({holder}). Stop it first, or leave it running"
        )


class LedgerTooNew(VaultSchedError):
    """The ledger was written by a newer version (rule 10)."""

    def __init__(self, path: str, version: str) -> None:
        self.path = path
        self.version = version
        super().__init__(f"the ledger {path} was written by vault-sched {version}; install that version or a newer one")


class LedgerUnavailable(VaultSchedError):
    """The ledger (or the file of approvals) cannot be read or written now: locked, disk full, gone."""

    exit_code = 1

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path} cannot be used now: {reason}")


class LedgerCorrupt(VaultSchedError):
    """The ledger is damaged; the next start of the daemon sets it aside and begins a new one."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path} is damaged ({reason}). Restart the daemon: it sets the file aside and begins anew")


class ConfigInvalid(VaultSchedError):
    """The machine's configuration cannot be used."""

    def __init__(self, path: str, line: int, key: str, message: str, fix: str) -> None:
        self.path, self.line, self.key, self.message, self.fix = path, line, key, message, fix
        where = f"{path}:{line}" if line else path
        super().__init__(f"{where}: {key}: {message}. {fix}" if key else f"{where}: {message}. {fix}")


class BadUsage(VaultSchedError):
    """A command that cannot mean anything as it was given, or that may not be given here."""


class Refused(VaultSchedError):
    """A request that the rules do not allow: paused vault, held task, other host."""

    exit_code = 1
