"""Rows of the ledger about talks with Claude: questions that nobody has answered yet, sessions that go on."""

from __future__ import annotations

import sqlite3

from vault_scheduler.ledger.rows import ANSWERS, Question, SessionRow
from vault_scheduler.ledger.sqlite_file import SqliteFile, certain, epoch
from vault_scheduler.ledger.transaction import Transaction
from vault_scheduler.run import Outcome, Run, TriggerKind

OWN_SESSION = "task: "
"""The session of `session: continue` is named so, with the task's id: it follows a rename."""


class ConversationTable:
    """The tables `questions` and `sessions`."""

    _file: SqliteFile

    async def questions(self) -> dict[str, Question]:
        """See `Store.questions`."""
        return {row["task"]: _question_of(row) for row in self._file.rows("SELECT * FROM questions")}

    async def close_question(self, task: str) -> None:
        """See `Store.close_question`."""
        with self._file.write(durable=False) as change:
            change.run("DELETE FROM questions WHERE task = ?", task)

    async def session(self, name: str) -> SessionRow | None:
        """See `Store.session`."""
        row = self._file.one("SELECT * FROM sessions WHERE name = ?", name)
        return None if row is None else _session_of(row)

    async def keep_session(self, row: SessionRow) -> None:
        """See `Store.keep_session`."""
        with self._file.write(durable=False) as change:
            change.upsert(
                "sessions",
                "name",
                {
                    "name": row.name,
                    "session": row.session,
                    "runs": row.runs,
                    "turns": row.turns,
                    "last_attempt": row.last_attempt,
                    "used_at": epoch(row.used_at),
                },
            )


def question_of(run: Run) -> Question | None:
    """What an ended run asks a person; None if it asks nothing."""
    result = run.result
    if result is None or not result.question or run.outcome is Outcome.SUCCESS or run.ended_at is None:
        return None
    return Question(
        task=run.task, run=run.id, session=result.session_id or "", text=result.question, asked_at=run.ended_at
    )


def ask(change: Transaction, run: Run) -> None:
    """Keep what the run asks, in the place of what its task asked before."""
    question = question_of(run)
    if question is not None:
        change.upsert(
            "questions",
            "task",
            {
                "task": question.task,
                "run": question.run,
                "session": question.session,
                "question": question.text,
                "asked_at": epoch(question.asked_at),
            },
        )


def answer(change: Transaction, run: Run) -> None:
    """The run that brings an answer is claimed: its question is open no more."""
    if run.trigger is TriggerKind.ANSWER:
        change.run("DELETE FROM questions WHERE run = ?", run.extra.get(ANSWERS, ""))


def rename_conversations(change: Transaction, old: str, new: str) -> None:
    """Question and session follow the task."""
    change.run("UPDATE OR REPLACE questions SET task = ? WHERE task = ?", new, old)
    change.run("UPDATE OR REPLACE sessions SET name = ? WHERE name = ?", OWN_SESSION + new, OWN_SESSION + old)


def _question_of(row: sqlite3.Row) -> Question:
    return Question(
        task=row["task"],
        run=row["run"],
        session=row["session"],
        text=row["question"],
        asked_at=certain(row["asked_at"]),
    )


def _session_of(row: sqlite3.Row) -> SessionRow:
    return SessionRow(
        name=row["name"],
        session=row["session"],
        runs=row["runs"],
        turns=row["turns"],
        last_attempt=row["last_attempt"],
        used_at=certain(row["used_at"]),
    )
