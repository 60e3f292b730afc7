"""Where this machine keeps what is not in the vault: state and configuration folders.

The XDG variables count on every operating system; without them the platform's own places are used.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import Path

APP = "vault-sched"


def config_folder() -> Path:
    """The folder of `config.toml` and `env`; not created here."""
    base = _xdg("XDG_CONFIG_HOME")
    if base:
        return base / APP
    import platformdirs

    return platformdirs.user_config_path(APP, appauthor=False)


def state_folder(vault_root: Path) -> Path:
    """This machine's folder for one vault: `<vault name>-<8 hex digits of its real path>`, created with mode 0700.

    The real path counts, so a vault reached through a symlink has the same ledger and the same lock.
    """
    from vault_scheduler.platform.exchange import make_folder

    folder = state_base() / vault_label(vault_root)
    make_folder(folder, 0o700)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)  # outputs and spend are nobody else's business, whatever the umask was
    return folder


def state_base() -> Path:
    """The folder that holds the state folders of all vaults; not created here."""
    base = _xdg("XDG_STATE_HOME")
    if base:
        return base / APP
    import platformdirs

    return platformdirs.user_state_path(APP, appauthor=False)


def vault_label(vault_root: Path) -> str:
    """`<vault name>-<8 hex digits>`: readable, and different for two vaults of the same name."""
    real = unicodedata.normalize("NFC", os.path.realpath(vault_root))
    digest = hashlib.sha256(real.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(real).name)
    return f"{name.lstrip('.')[:40] or 'vault'}-{digest}"


def _xdg(variable: str) -> Path | None:
    """The folder that an XDG variable names; a relative path is to be ignored, says the specification."""
    value = os.environ.get(variable, "")
    return Path(value) if Path(value).is_absolute() else None
