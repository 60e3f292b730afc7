"""The ledger's schema as an ordered list of migrations; `user_version` counts those applied.

A migration that was released is never edited: the next change is the next function. Times are REAL seconds since
1970, fire times INTEGER; `last_fire_time` equals `fire_time` except in a range row.
"""

from __future__ import annotations

from vault_scheduler.ledger.migrations import executing

_FIRST = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE tasks (
        task TEXT PRIMARY KEY, path TEXT NOT NULL, fingerprint TEXT NOT NULL, armed INTEGER NOT NULL,
        watermark REAL NOT NULL, latched INTEGER NOT NULL, invalid_since REAL, source TEXT NOT NULL,
        seen_definition TEXT NOT NULL
    ) WITHOUT ROWID""",
    "CREATE TABLE snapshots (hash TEXT PRIMARY KEY, definition TEXT NOT NULL)",
    """CREATE TABLE runs (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, key TEXT NOT NULL UNIQUE, task TEXT NOT NULL,
        path TEXT NOT NULL, trigger TEXT NOT NULL, fire_time INTEGER NOT NULL, last_fire_time INTEGER NOT NULL,
        count INTEGER NOT NULL, claimed_at REAL NOT NULL, owner TEXT NOT NULL, lease_until REAL,
        state TEXT NOT NULL, snapshot TEXT NOT NULL, waiting_for TEXT NOT NULL, not_before REAL,
        outcome TEXT, reason TEXT NOT NULL, started_at REAL, ended_at REAL, attempts INTEGER NOT NULL,
        reserved_usd REAL NOT NULL, result TEXT, extra TEXT NOT NULL
    )""",
    "CREATE INDEX runs_of_task ON runs (task, last_fire_time)",
    "CREATE INDEX runs_by_time ON runs (last_fire_time)",
    "CREATE INDEX runs_active ON runs (fire_time) WHERE state <> 'ended'",
    "CREATE INDEX runs_failed ON runs (last_fire_time) WHERE outcome IN ('failure', 'timeout', 'abandoned')",
    "CREATE INDEX runs_of_snapshot ON runs (snapshot)",
    "CREATE INDEX runs_ended ON runs (task, ended_at) WHERE state = 'ended'",
    """CREATE TABLE attempts (
        run TEXT NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL, started_at REAL NOT NULL, ended_at REAL,
        pid INTEGER, start_ticks INTEGER, boot_id TEXT, outcome TEXT, reason TEXT NOT NULL, exit_code INTEGER,
        cost_usd REAL, PRIMARY KEY (run, number)
    ) WITHOUT ROWID""",
    """CREATE TABLE deliveries (
        run TEXT NOT NULL, target TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0, not_before REAL,
        why TEXT NOT NULL DEFAULT '', done_at REAL, base_hash TEXT NOT NULL DEFAULT '',
        detail TEXT NOT NULL DEFAULT '', restored INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (run, target)
    ) WITHOUT ROWID""",
    "CREATE INDEX deliveries_pending ON deliveries (run) WHERE done_at IS NULL",
    "CREATE INDEX deliveries_done ON deliveries (done_at) WHERE done_at IS NOT NULL",
    "CREATE TABLE notes (path TEXT PRIMARY KEY, base_hash TEXT NOT NULL, written_at REAL NOT NULL) WITHOUT ROWID",
    """CREATE TABLE requests (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, verb TEXT NOT NULL, task TEXT NOT NULL,
        args TEXT NOT NULL, state TEXT NOT NULL, made_at REAL NOT NULL, claimed_at REAL, answered_at REAL,
        owner TEXT NOT NULL DEFAULT '', answer TEXT
    )""",
    "CREATE INDEX requests_open ON requests (seq) WHERE state <> 'answered'",
)


_SECOND = (
    # What is held or invalid counts as firing, too: its fire times end `blocked`.
    "ALTER TABLE tasks RENAME COLUMN armed TO fires",
    # How many runs of the task have started since it last was done (`max_runs`).
    "ALTER TABLE tasks ADD COLUMN started INTEGER NOT NULL DEFAULT 0",
    "UPDATE tasks SET started = (SELECT count(*) FROM runs WHERE runs.task = tasks.task AND attempts > 0 "
    "AND trigger NOT IN ('req', 'answer'))",
    # Runs that have ended and whose followers (tasks that come `after` them) have not been claimed yet.
    "CREATE TABLE unfollowed (run TEXT PRIMARY KEY) WITHOUT ROWID",
)


_THIRD = (
    # What runs asked a person, and nobody has answered yet: the newest one of each task.
    """CREATE TABLE questions (
        task TEXT PRIMARY KEY, run TEXT NOT NULL, session TEXT NOT NULL, question TEXT NOT NULL, asked_at REAL NOT NULL
    ) WITHOUT ROWID""",
    # The Claude sessions that further runs go on with, and how long they have grown.
    """CREATE TABLE sessions (
        name TEXT PRIMARY KEY, session TEXT NOT NULL, runs INTEGER NOT NULL, turns INTEGER NOT NULL,
        last_attempt TEXT NOT NULL, used_at REAL NOT NULL
    ) WITHOUT ROWID""",
    # Hash of the answer that was taken from the note, until it is seen without it.
    "ALTER TABLE tasks ADD COLUMN answered TEXT NOT NULL DEFAULT ''",
)


_FOURTH = (
    # What is wrong and has not ended: told once, and not at each repeat.
    """CREATE TABLE incidents (
        origin TEXT NOT NULL, subject TEXT NOT NULL, signature TEXT NOT NULL, topic TEXT NOT NULL, since REAL NOT NULL,
        count INTEGER NOT NULL, told_at REAL, acked_at REAL, run TEXT NOT NULL, run_count INTEGER NOT NULL,
        PRIMARY KEY (origin, subject, signature)
    ) WITHOUT ROWID""",
    # What receivers are to be told. No address stands here: those hold tokens.
    """CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY, receiver TEXT NOT NULL, subject TEXT NOT NULL, signature TEXT NOT NULL, topic TEXT,
        run TEXT NOT NULL, ping TEXT NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL, made_at REAL NOT NULL,
        not_before REAL, tries INTEGER NOT NULL DEFAULT 0, failing_since REAL, why TEXT NOT NULL DEFAULT '',
        done_at REAL
    )""",
    "CREATE INDEX outbox_waiting ON outbox (seq) WHERE done_at IS NULL",
    "CREATE INDEX outbox_subjects ON outbox (subject, made_at)",
    "CREATE INDEX deliveries_notices ON deliveries (run) WHERE done_at IS NULL AND target = 'notify'",
)


MIGRATIONS = tuple(executing(statements) for statements in (_FIRST, _SECOND, _THIRD, _FOURTH))
