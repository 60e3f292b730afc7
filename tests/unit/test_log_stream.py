"""The daemon's log: each line in its order while somebody reads; when nobody does, lines are lost and counted."""

from __future__ import annotations

import fcntl
import logging
import os

from vault_scheduler.commands.log_stream import LogStream


def line(event: str, subject: str, message: str) -> str:
    return f"{event} {subject} {message}"


def test_lines_are_written_in_their_order() -> None:
    """All of them, also those that are told right before the end."""
    reader, writer = os.pipe()
    log = LogStream(writer, "utf-8", line)
    with log.flowing():
        for number in range(100):
            log.tell("started", "ä", str(number))
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as file:
        assert file.read().splitlines() == [f"started ä {number}" for number in range(100)]


def test_what_modules_report_is_a_line_of_the_log() -> None:
    """With the error that was met, in one line."""
    reader, writer = os.pipe()
    with LogStream(writer, "utf-8", line).flowing():
        try:
            raise ValueError("no such case")
        except ValueError:
            logging.getLogger("vault_scheduler.engine").exception("%s: not carried out", "r-1")
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as file:
        assert file.read().startswith("problem engine r-1: not carried out: ValueError: no such case (")


def test_lines_that_find_no_room_are_counted() -> None:
    """Nobody waits for a reader; how many lines were lost is told once there is room again."""
    reader, writer = os.pipe()
    size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"x" * size)
    log = LogStream(writer, "utf-8", line, kept=3)
    for number in range(10):
        log.tell("started", "a", str(number))
    with log.flowing():
        os.read(reader, size)
        told = b""
        while b" 2\n" not in told:
            told += os.read(reader, size)
        log.tell("started", "a", "last")
        while b"last" not in told:
            told += os.read(reader, size)
    os.close(writer)
    os.close(reader)
    assert told.decode().splitlines() == [
        *(f"started a {number}" for number in range(3)),
        "problem log 7 lines were lost: nobody read them",
        "started a last",
    ]
