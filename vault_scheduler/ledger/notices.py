"""Rows of the ledger about telling people: open incidents, and the outbox of what is to be sent."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

from vault_scheduler.ledger.rows import NOTIFY, Decision
from vault_scheduler.ledger.run_rows import run_of
from vault_scheduler.ledger.sqlite_file import SqliteFile, certain, epoch, moment
from vault_scheduler.ledger.transaction import Transaction
from vault_scheduler.planning.incidents import Incident, Origin
from vault_scheduler.planning.mailing import Letter
from vault_scheduler.run import Run
from vault_scheduler.task import Topic

ACKNOWLEDGED = "acknowledged"
_OF_KEY = "origin = ? AND subject = ? AND signature = ?"
_DONE = "UPDATE outbox SET done_at = ?, why = ?, title = '', body = '' WHERE done_at IS NULL AND"


class NoticeTable:
    """The tables `incidents` and `outbox`, and the deliveries of target NOTIFY."""

    _file: SqliteFile

    async def pending_notices(self) -> list[Run]:
        """See `Store.pending_notices`."""
        # The word itself, for a partial index is only used for what stands in the statement.
        rows = self._file.rows(
            "SELECT r.* FROM deliveries d JOIN runs r ON r.id = d.run WHERE d.done_at IS NULL "
            f"AND d.target = '{NOTIFY}' ORDER BY r.ended_at, r.seq"
        )
        return [run_of(row) for row in rows]

    async def incidents(self, origin: Origin | None = None, subject: str | None = None) -> list[Incident]:
        """See `Store.incidents`."""
        rows = self._file.rows(
            "SELECT * FROM incidents WHERE (? IS NULL OR origin = ?) AND (? IS NULL OR subject = ?) ORDER BY since",
            origin,
            origin,
            subject,
            subject,
        )
        return [incident_of(row) for row in rows]

    async def decide(self, decision: Decision, at: datetime) -> None:
        """See `Store.decide`."""
        with self._file.write(durable=False) as change:
            for incident in decision.close:
                _close(change, incident, at)
            for incident in decision.keep:
                _keep(change, incident)
            for letter in decision.letters:
                change.insert("outbox", _letter_values(letter))
            if decision.run is not None:
                change.run(
                    "UPDATE deliveries SET done_at = ?, tries = tries + 1 WHERE run = ? AND target = ? "
                    "AND ? = (SELECT count FROM runs WHERE id = run)",
                    epoch(at),
                    decision.run.id,
                    NOTIFY,
                    decision.run.count,
                )

    async def told_since(self, subject: str, since: datetime) -> int:
        """See `Store.told_since`."""
        row = self._file.one(
            "SELECT count(DISTINCT run || topic) FROM outbox WHERE subject = ? AND made_at > ? AND topic IN (?, ?)",
            subject,
            epoch(since),
            Topic.FAILURE,
            Topic.RECOVERY,
        )
        return int(row[0]) if row is not None else 0

    async def acknowledge(self, tasks: Sequence[str] | None, at: datetime) -> list[Incident]:
        """See `Store.acknowledge`."""
        with self._file.write(durable=True) as change:
            chosen = [
                incident_of(row)
                for row in change.rows("SELECT * FROM incidents WHERE acked_at IS NULL ORDER BY since")
                if tasks is None or row["subject"] in tasks
            ]
            for incident in chosen:
                change.run(f"UPDATE incidents SET acked_at = ? WHERE {_OF_KEY}", epoch(at), *incident.key)
                change.run(
                    f"{_DONE} subject = ? AND signature = ?",
                    epoch(at),
                    ACKNOWLEDGED,
                    incident.subject,
                    incident.signature,
                )
        return chosen

    async def outbox(self) -> list[Letter]:
        """See `Store.outbox`."""
        return [letter_of(row) for row in self._file.rows("SELECT * FROM outbox WHERE done_at IS NULL ORDER BY seq")]

    async def try_letters(self, letters: Sequence[Letter], not_before: datetime) -> None:
        """See `Store.try_letters`."""
        with self._file.write(durable=False) as change:
            for letter in letters:
                change.run(
                    "UPDATE outbox SET tries = tries + 1, not_before = ? WHERE seq = ?", epoch(not_before), letter.seq
                )

    async def letters_failed(self, letters: Sequence[Letter], at: datetime, why: str) -> None:
        """See `Store.letters_failed`."""
        with self._file.write(durable=False) as change:
            for letter in letters:
                change.run(
                    "UPDATE outbox SET failing_since = coalesce(failing_since, ?), why = ? WHERE seq = ?",
                    epoch(at),
                    why,
                    letter.seq,
                )

    async def letters_done(self, letters: Sequence[Letter], at: datetime, why: str = "") -> None:
        """See `Store.letters_done`."""
        with self._file.write(durable=False) as change:
            for letter in letters:
                change.run(f"{_DONE} seq = ?", epoch(at), why, letter.seq)


def rename_notices(change: Transaction, old: str, new: str) -> None:
    """What is open about a task, and what is to be sent, follows its id."""
    change.run("UPDATE OR REPLACE incidents SET subject = ? WHERE subject = ? AND origin = ?", new, old, Origin.RUN)
    change.run("UPDATE outbox SET subject = ? WHERE subject = ?", new, old)


def trim_notices(change: Transaction, now: datetime, keep: timedelta) -> None:
    """What was sent, and what nobody has heard of for so long."""
    change.run("DELETE FROM outbox WHERE done_at < ?", epoch(now - timedelta(days=7)))
    change.run("DELETE FROM incidents WHERE coalesce(told_at, since) < ?", epoch(now - keep))


def _keep(change: Transaction, incident: Incident) -> None:
    change.insert(
        "incidents",
        {
            "origin": incident.origin,
            "subject": incident.subject,
            "signature": incident.signature,
            "topic": incident.topic,
            "since": epoch(incident.since),
            "count": incident.count,
            "told_at": epoch(incident.told_at),
            "acked_at": epoch(incident.acked_at),
            "run": incident.run,
            "run_count": incident.run_count,
        },
        # The acknowledgement is a person's: what was decided from an older look must not undo it.
        "ON CONFLICT(origin, subject, signature) DO UPDATE SET count = excluded.count, told_at = excluded.told_at, "
        "run = excluded.run, run_count = excluded.run_count",
    )


def _close(change: Transaction, incident: Incident, at: datetime) -> None:
    """It has ended; what stood and was gone before anybody was told need not be told."""
    change.run(f"DELETE FROM incidents WHERE {_OF_KEY}", *incident.key)
    if incident.origin is Origin.STANDING:
        change.run(
            f"{_DONE} tries = 0 AND subject = ? AND signature = ?",
            epoch(at),
            "it was gone before",
            incident.subject,
            incident.signature,
        )


def incident_of(row: sqlite3.Row) -> Incident:
    """The incident in a row of `incidents`."""
    return Incident(
        origin=Origin(row["origin"]),
        subject=row["subject"],
        signature=row["signature"],
        topic=Topic(row["topic"]),
        since=certain(row["since"]),
        count=row["count"],
        told_at=moment(row["told_at"]),
        acked_at=moment(row["acked_at"]),
        run=row["run"],
        run_count=row["run_count"],
    )


def _letter_values(letter: Letter) -> dict[str, object]:
    return {
        "receiver": letter.receiver,
        "subject": letter.subject,
        "signature": letter.signature,
        "topic": letter.topic,
        "run": letter.run,
        "ping": letter.ping,
        "title": letter.title,
        "body": letter.body,
        "made_at": epoch(letter.made_at),
        "not_before": epoch(letter.not_before),
    }


def letter_of(row: sqlite3.Row) -> Letter:
    """The letter in a row of `outbox`."""
    return Letter(
        receiver=row["receiver"],
        subject=row["subject"],
        signature=row["signature"],
        topic=Topic(row["topic"]) if row["topic"] else None,
        run=row["run"],
        ping=row["ping"],
        title=row["title"],
        body=row["body"],
        made_at=certain(row["made_at"]),
        not_before=moment(row["not_before"]),
        seq=row["seq"],
        tries=row["tries"],
        failing_since=moment(row["failing_since"]),
        why=row["why"],
    )
