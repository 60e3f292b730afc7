"""Where we are: the vault, this machine's configuration, and the state folder that belongs to both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vault_scheduler.clock import Clock, SystemClock
from vault_scheduler.errors import NoteUnreadable, VaultNotFound
from vault_scheduler.machine.config import Machine, machine_timezone
from vault_scheduler.parsing.parsed import ParsedSettings
from vault_scheduler.platform.paths import config_folder, state_base, state_folder, vault_label
from vault_scheduler.settings import Settings
from vault_scheduler.task import Problem
from vault_scheduler.vault.vault import Vault, find_vault

VAULT_VARIABLE = "VAULT_SCHED_VAULT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Everything that a command or the daemon needs to know before it begins; opening it changes nothing.

    `settings` is the settings note as it stands, None if there is none. `state` need not exist: whoever writes there
    calls `make_state` first.
    """

    vault: Vault
    machine: Machine
    state: Path
    clock: Clock
    machine_timezone: str  # IANA
    settings: ParsedSettings | None

    @classmethod
    def open(
        cls,
        vault: Path | None,
        *,
        start: Path,
        environ: Mapping[str, str],
        machine: Machine | None = None,
        settings: SettingsReader | None = None,
    ) -> Place:
        """The vault that is named, else VAULT_SCHED_VAULT, else the one at or above `start`.

        `settings` reads the settings note; None: from its file. Raises VaultNotFound; ConfigInvalid, unless a
        `machine` is given.
        """
        machine = machine or Machine.load(config_folder())
        named = vault or (Path(environ[VAULT_VARIABLE]) if environ.get(VAULT_VARIABLE) else None)
        root = _named(start, named, machine) if named else find_vault(start, machine.system_folder)
        return cls.at(Vault(root, machine.system_folder), machine, environ, settings)

    @classmethod
    def at(
        cls, vault: Vault, machine: Machine, environ: Mapping[str, str], settings: SettingsReader | None = None
    ) -> Place:
        """The place of a vault that has been found already."""
        place = cls(
            vault=vault,
            machine=machine,
            state=state_base() / vault_label(vault.root),
            clock=SystemClock(),
            machine_timezone=machine_timezone(environ=environ),
            settings=None,
        )
        return replace(place, settings=settings(place) if settings else read_settings(vault, place.machine_timezone))

    @property
    def timezone(self) -> str:
        """The vault's IANA zone: the settings note's, else the machine's."""
        return self.settings_in_force.timezone or self.machine_timezone

    @property
    def runs_vault(self) -> bool:
        """Whether this machine is the one that runs the vault, or will be: nobody has said so yet."""
        return self.settings_in_force.host in (None, self.machine.host)

    @property
    def settings_in_force(self) -> Settings:
        """What the settings note says; the defaults where it says nothing or cannot be read."""
        return (self.settings.settings if self.settings else None) or Settings()

    @property
    def ledger_path(self) -> Path:
        """The ledger."""
        return self.state / "ledger.db"

    @property
    def approvals_path(self) -> Path:
        """Pins and spend."""
        return self.state / "approvals.db"

    @property
    def good_notes_path(self) -> Path:
        """The last good texts of task notes."""
        return self.state / "notes.db"

    @property
    def definitions_path(self) -> Path:
        """What task notes were read as."""
        return self.state / "definitions.db"

    @property
    def lock_path(self) -> Path:
        """The lock of whoever starts runs in this vault."""
        return self.state / "lock"

    @property
    def runs_folder(self) -> Path:
        """Full outputs, a folder for each run."""
        return self.state / "runs"

    @property
    def wake_path(self) -> Path:
        """Touched by commands, so that the daemon looks at its requests at once."""
        return self.state / "wake" / "request.md"

    def wake(self) -> None:
        """Let a daemon look now. One that has only just taken the lock may not have made the folder yet."""
        self.wake_path.parent.mkdir(parents=True, exist_ok=True)
        self.wake_path.touch()

    def make_state(self) -> Path:
        """Create the state folder, for this user's eyes only, and in it the one of outputs."""
        from vault_scheduler.platform.exchange import make_folder

        state = state_folder(self.vault.root)
        make_folder(self.runs_folder, 0o700)
        return state


SettingsReader = Callable[[Place], ParsedSettings | None]
"""Tells what the settings note says, of a place that does not know it yet."""


def _named(start: Path, named: Path, machine: Machine) -> Path:
    """A vault that was named is that folder or none: serving another one by mistake would be worse."""
    root = start / named.expanduser()
    if not (root / machine.system_folder / "tasks").is_dir():
        raise VaultNotFound(str(root), machine.system_folder, named=True)
    return root


def read_settings(vault: Vault, zone: str, *, source: str = "") -> ParsedSettings | None:
    """The settings note as it stands; None if there is none. A fault of ours in reading it is a problem of the note.

    With `source`, the settings that were good last as the ledger keeps them, what the daemon goes by: a line
    that holds the vault back and was merged away holds it back yet, and so do the settings of a note that is broken.
    """
    from vault_scheduler.planning.known import internal_problem
    from vault_scheduler.planning.settings_note import SettingsNote, settings_gone

    note = SettingsNote(vault.rel(vault.settings_path), zone, source)
    try:
        data = vault.read(note.path)
        if data is not None:
            note.take(data, SystemClock().now())
            note.settle()
        elif source:
            note.complain(settings_gone(note.path))
        else:
            return None
    except NoteUnreadable as error:
        note.complain(Problem(path=note.path, line=1, key="", message=error.reason, fix=error.fix))
    except Exception as error:
        note.complain(internal_problem(note.path, error))
    return ParsedSettings(settings=note.settings, problems=note.problems)
