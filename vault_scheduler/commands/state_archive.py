"""The archive of a vault's state: a zip file of known names, read as if a stranger had made it.

No name in it is a path that is written to as it stands: what `state export` would not write is refused, links too, and
nothing is unpacked that the disk has no room for.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from vault_scheduler.commands.progress import counted
from vault_scheduler.errors import LedgerTooNew, Refused
from vault_scheduler.platform.exchange import make_folder

FORMAT = 1
LEDGER, APPROVALS, GOOD_NOTES = "ledger.db", "approvals.db", "notes.db"
DATABASES = (LEDGER, APPROVALS, GOOD_NOTES)
_MANIFEST = "manifest.json"
_MANIFEST_LIMIT = 64 * 1024
_OTHER_FILE = re.compile(
    r"runs/r-[A-Za-z0-9-]{1,80}/(?:output-\d{1,6}\.txt|transcript-\d{1,6}\.jsonl)|builtin/[^/\\\0.][^/\\\0]{0,200}\.json"
)
_ROOM = 64 * 2**20
"""Bytes of the disk that unpacking leaves free."""
_DAMAGE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an archive says of itself; `made_at` is ISO 8601 with offset."""

    version: str  # of vault-sched
    host: str
    vault: str  # its name
    made_at: str
    outputs: bool  # whether full outputs are in it
    format: int = FORMAT


def kept_files(state: Path, *, outputs: bool) -> Iterator[tuple[str, Path]]:
    """The files besides the databases that go into an archive, each with its name there."""
    for pattern in ("runs/*/*", "builtin/*") if outputs else ("builtin/*",):
        for path in sorted(state.glob(pattern)):
            name = path.relative_to(state).as_posix()
            if _OTHER_FILE.fullmatch(name) and path.is_file() and not path.is_symlink():
                yield name, path


def write(target: Path, manifest: Manifest, files: Iterable[tuple[str, Path]]) -> int:
    """Write an archive for this user's eyes only, whole or not at all; how many files are in it. Raises OSError."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".vault-sched.", suffix=".part")
    count = 0
    try:
        with os.fdopen(handle, "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
                archive.writestr(_MANIFEST, json.dumps(asdict(manifest), indent=2))
                for inside, path in counted(files, "Packing files"):
                    with suppress(FileNotFoundError):  # too old by now, and removed
                        archive.write(path, inside)
                        count += 1
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return count


class Archive:
    """An archive that has been looked through: all of its names are ours, and each is there once."""

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        self._path = path
        self._file = file
        self._members = {info.filename: info for info in file.infolist()}
        self._check()
        self.manifest = self._read_manifest()

    def _check(self) -> None:
        if len(self._members) != len(self._file.infolist()):
            raise self._refusal("it holds a name twice")
        for name, info in self._members.items():
            kind = stat.S_IFMT(info.external_attr >> 16)
            known = name in (_MANIFEST, *DATABASES) or _OTHER_FILE.fullmatch(name)
            if not known or kind not in (0, stat.S_IFREG) or info.flag_bits & 1:
                raise self._refusal(f"it holds {name!r}, which no export writes")

    def _read_manifest(self) -> Manifest:
        info = self._members.get(_MANIFEST)
        if info is None or info.file_size > _MANIFEST_LIMIT or LEDGER not in self._members:
            raise self._refusal("its list of contents or its ledger is missing")
        told = json.loads(self._file.read(info))
        version = str(told.get("version", "(unknown version)")) if isinstance(told, dict) else ""
        if not isinstance(told, dict) or not isinstance(told.get("format"), int):
            raise self._refusal("its list of contents cannot be read")
        if told["format"] > FORMAT:
            raise LedgerTooNew(str(self._path), version)
        texts = {name: str(told.get(name, "")) for name in ("version", "host", "vault", "made_at")}
        return Manifest(**texts, outputs=bool(told.get("outputs")), format=told["format"])

    def _refusal(self, why: str) -> Refused:
        return Refused(f"{self._path} was not written by `vault-sched state export`, or is damaged: {why}")

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def unpack(self, folder: Path) -> int:
        """Write all files below an empty folder; how many besides the databases. Raises Refused, OSError."""
        size = sum(info.file_size for info in self._members.values())
        databases = sum(self._members[name].file_size for name in DATABASES if name in self._members)
        room = shutil.disk_usage(folder).free
        if size + databases + _ROOM > room:  # databases are poured into new ones
            raise Refused(f"{self._path} takes {size // 2**20} MiB, and the disk of {folder} has {room // 2**20} free")
        names = [name for name in self._members if name != _MANIFEST]
        with _told(self._path):
            for name in counted(names, "Unpacking files"):
                self._unpack_one(name, folder / name)
        return len([name for name in names if name not in DATABASES])

    def _unpack_one(self, name: str, target: Path) -> None:
        make_folder(target.parent, 0o700)
        handle = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file, self._file.open(self._members[name]) as source:
            shutil.copyfileobj(source, file, 2**20)  # a member never gives more than the size that was summed up
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """An archive to read. Raises Refused, LedgerTooNew, OSError."""
    with _told(path):
        file = zipfile.ZipFile(path)
    with file:
        with _told(path):
            archive = Archive(path, file)
        yield archive


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What is wrong with a zip file, in our words."""
    try:
        yield
    except _DAMAGE as error:
        raise Refused(f"{path} was not written by `vault-sched state export`, or is damaged: {error}") from None
