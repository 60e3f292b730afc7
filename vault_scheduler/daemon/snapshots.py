"""The definitions that runs are claimed with, and what an attempt is given of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from vault_scheduler.executors.base import RunRequest, action_to_json
from vault_scheduler.ledger.store import CHANGED, PARENT, QUESTION, Store
from vault_scheduler.planning.planner import ON_TIME
from vault_scheduler.run import Run
from vault_scheduler.task import CatchUp, ClaudeAction, Policies, Task, TaskType

KEPT = 1000
"""So many snapshots are kept in memory."""


def snapshot_of(task: Task, policies: Policies) -> dict[str, Any]:
    """All that an attempt needs to know of its definition, as plain JSON values."""
    return {
        "task": task.id,
        "path": task.path,
        "type": task.type.value,
        "timezone": task.timezone,
        "action": action_to_json(task.action),
        "body": task.body,
        "cwd": policies.cwd,
        "env": dict(policies.env),
        "secrets": list(policies.secrets),
        "timeout_s": policies.timeout.total_seconds(),
        "retries": policies.retries,
        "retry_delay_s": policies.retry_delay.total_seconds(),
        "output": policies.output,
        "log": policies.log,
        "overlap": policies.overlap.value,
        "catch_up": policies.catch_up.value,
        "max_late_s": policies.max_late.total_seconds() if policies.max_late is not None else 0.0,
        "group": policies.group,
        "expect_file": task.expect_file or "",
        "expect_output": task.expect_output or "",
        "gate": list(task.gate) if isinstance(task.gate, tuple) else task.gate,
    }


def cap_of(task: Task) -> float:
    """What one run of the task may cost at most, in US dollars."""
    return task.action.max_usd if isinstance(task.action, ClaudeAction) else 0.0


def late_limit(snapshot: Mapping[str, Any]) -> timedelta | None:
    """How late a run may start that was claimed with this; None: however late."""
    catch_up = CatchUp(snapshot.get("catch_up", CatchUp.LATEST))
    if catch_up is CatchUp.ALL:
        return None
    late_s = 0.0 if catch_up is CatchUp.SKIP else snapshot.get("max_late_s", 12 * 3600)
    late = timedelta(seconds=late_s)
    return max(late, ON_TIME)


class Snapshots:
    """Reads snapshots from the ledger, and makes the requests for attempts of them."""

    def __init__(self, store: Store, *, vault: str, system_folder: str, named_files: Callable[[], list[str]]) -> None:
        self._store = store
        self._vault = vault
        self._system_folder = system_folder
        self._named_files = named_files
        self._kept: dict[str, dict[str, Any]] = {}
        self._made_of: dict[str, tuple[Task, Policies]] = {}

    def made(self, digest: str, task: Task, policies: Policies) -> None:
        """The snapshot of that hash was made of these."""
        if len(self._made_of) > KEPT:
            self._made_of.clear()
        self._made_of[digest] = task, policies

    def is_of(self, run: Run, task: Task, policies: Policies) -> bool:
        """Whether the run's snapshot was made of these very ones; False: perhaps it says the same nevertheless."""
        made = self._made_of.get(run.snapshot)
        return made is not None and made[0] is task and made[1] == policies

    async def of(self, run: Run) -> dict[str, Any]:
        """What the run was claimed with."""
        if run.snapshot not in self._kept:
            if len(self._kept) > KEPT:
                self._kept.clear()
            text = await self._store.snapshot(run.snapshot)
            assert text is not None, "a run is claimed together with its snapshot"
            self._kept[run.snapshot] = json.loads(text)
        return self._kept[run.snapshot]

    async def request(self, run: Run, *, max_usd: float | None, now: datetime) -> RunRequest:
        """What the engine is asked for the run's attempt that begins now. `max_usd`: what it may still spend."""
        snapshot = await self.of(run)
        return RunRequest(
            run=run.id,
            task=run.task,
            path=run.path,
            title=run.path.rsplit("/", 1)[-1].removesuffix(".md"),
            type=snapshot["type"],
            attempt=run.attempts,
            fire_time=run.fire_time.isoformat(),
            timezone=snapshot["timezone"],
            vault=self._vault,
            system_folder=self._system_folder,
            action=snapshot["action"],
            body=snapshot["body"],
            cwd=snapshot["cwd"],
            env=snapshot["env"],
            secrets=tuple(snapshot["secrets"]),
            timeout_s=snapshot["timeout_s"],
            max_usd=max_usd,
            gate=_exec_or_line(snapshot.get("gate")),
            expect_file=snapshot.get("expect_file", ""),
            expect_output=snapshot.get("expect_output", ""),
            changed=tuple(json.loads(run.extra.get(CHANGED, "[]"))),
            facts=await self._facts(run, snapshot, now),
        )

    async def _facts(self, run: Run, snapshot: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """What a Claude session is told about its run, and which files it must leave alone; others need nothing."""
        if snapshot["type"] != TaskType.CLAUDE:
            return {}
        last = await self._store.last_run_of(run.task, started=True)
        return {
            "late_s": max(0.0, (now - run.fire_time).total_seconds()),
            "last_outcome": last.outcome.value if last and last.outcome else "",
            "last_run": last.fire_time.isoformat() if last else "",
            "last_result": last.result.text[:500] if last and last.result else "",
            "named_files": self._named_files(),
            "question": run.extra.get(QUESTION, ""),
            **({QUESTION: run.extra[QUESTION]} if QUESTION in run.extra else {}),
            **await self._parent_facts(run),
        }

    async def _parent_facts(self, run: Run) -> dict[str, Any]:
        """How the run ended that this one comes after."""
        parent = await self._store.run(run.extra[PARENT]) if PARENT in run.extra else None
        if parent is None:
            return {}
        return {
            "parent": parent.task,
            "parent_outcome": parent.outcome.value if parent.outcome else "",
            "parent_result": parent.result.text[:2000] if parent.result else "",
        }


def _exec_or_line(command: Any) -> str | tuple[str, ...] | None:
    return tuple(command) if isinstance(command, list) else command
