"""The output of a process: pumped without blocking, masked, kept whole on disk up to a cap, its edges in memory."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import errno
import logging
import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path

from vault_scheduler.executors.base import StreamMasker
from vault_scheduler.platform.exchange import sync_folder
from vault_scheduler.platform.limits import room_to_spare

OUTPUT_CAP = 64 * 1024 * 1024  # bytes of a full-output file
EDGE = 4096  # bytes of the head, and of the tail, that are kept in memory
_CHUNK = 64 * 1024
_ASK_AGAIN = 1 << 20  # bytes: others write to the same disk
_CHUNKS_PER_TURN = 4  # a process that never stops printing must not starve the event loop

log = logging.getLogger(__name__)


class Capture:
    """Takes a stream and keeps a bounded part of it, however long it is.

    The file is created (0600) with the first byte. A disk that has no room to spare loses the rest of the file, not the
    run: what a run prints never takes the room that the ledger needs.
    """

    def __init__(self, path: Path, masker: StreamMasker, *, cap: int = OUTPUT_CAP, edge: int = EDGE) -> None:
        self.total_bytes = 0
        self.was_fed = False  # whether anything was printed at all
        self._path = path
        self._masker = masker
        self._cap = cap
        self._edge = edge
        self._head = bytearray()
        self._tail = b""
        self._file: FileIO | None = None
        self._written = 0
        self._allowed = 0  # bytes until the disk is asked again
        self.lost = ""  # why the file is not whole, beside its cap

    def feed(self, data: bytes) -> None:
        """The next piece of output."""
        self.was_fed = True
        self._keep(self._masker.feed(data))

    def finish(self) -> None:
        """The end of the output: what the masker held back, and the file made durable (blocks on fsync)."""
        self._keep(self._masker.flush())
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._say_what_is_missing()
            self._attempt(self._close)

    def edges(self) -> tuple[str, str]:
        """Head and tail as text; the tail is empty if all of the output is in the head."""
        if self.total_bytes <= 2 * self._edge:
            return (bytes(self._head) + self._tail).decode("utf-8", "replace"), ""
        head = codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(self._head))
        return head, self._tail.lstrip(bytes(range(0x80, 0xC0))).decode("utf-8", "replace")

    def _keep(self, data: bytes) -> None:
        if not data:
            return
        self.total_bytes += len(data)
        room = self._edge - len(self._head)
        self._head += data[: max(0, room)]
        self._tail = (self._tail + data[max(0, room) :][-self._edge :])[-self._edge :]
        if not self.lost:
            self._attempt(lambda: self._write(data))

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            self.lost = (error.strerror or str(error)).lower()
            log.warning("the output file %s is incomplete: %s", self._path, self.lost)

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._written < self._cap:
            self._ask_for_room(len(data))
        if self._file is None:
            self._file = FileIO(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        part = data[: max(0, self._cap - self._written)]
        self._written += len(part)
        while part:
            part = part[self._file.write(part) or 0 :]

    def _ask_for_room(self, size: int) -> None:
        self._allowed -= size
        if self._allowed < 0:
            self._allowed = min(_ASK_AGAIN, room_to_spare(self._path.parent)) - size
            if self._allowed < 0:
                raise OSError(errno.ENOSPC, "the disk is nearly full")

    def _say_what_is_missing(self) -> None:
        assert self._file is not None
        if self.lost:
            self._file.write(b"\n[%s: the rest was dropped]\n" % self.lost.encode())
        elif self.total_bytes > self._cap:
            self._file.write(b"\n[more than %d bytes: the rest was dropped]\n" % self._cap)

    def _close(self) -> None:
        assert self._file is not None
        try:
            os.fsync(self._file.fileno())
        finally:
            self._file.close()
        for folder in self._path.parents[:2]:  # the run's own one is as new as the file
            sync_folder(folder)


class Pump:
    """Moves what arrives in a pipe into a capture, on the event loop, until the pipe's end or until stopped."""

    def __init__(self, read_end: int, capture: Capture) -> None:
        self._fd = read_end
        self._capture = capture
        self._loop = asyncio.get_running_loop()
        self.drained = asyncio.Event()
        os.set_blocking(read_end, False)
        self._loop.add_reader(read_end, self._pump)

    def stop(self) -> None:
        """Look no longer, even if somebody still holds the pipe."""
        if not self.drained.is_set():
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self.drained.set()

    def _pump(self) -> None:
        for _ in range(_CHUNKS_PER_TURN):
            try:
                data = os.read(self._fd, _CHUNK)
            except BlockingIOError:
                return
            if not data:
                return self.stop()
            self._capture.feed(data)
