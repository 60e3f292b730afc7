"""What one tick is going to commit: claims, what does not start, rows of tasks, in one transaction."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from vault_scheduler.ledger.rows import Batch, Claim, TaskRow, Unstarted
from vault_scheduler.run import Run


@dataclass(slots=True, kw_only=True)
class Plans:
    """What one tick is going to commit in one transaction."""

    claims: list[Claim] = field(default_factory=list)
    unstarted: list[Unstarted] = field(default_factory=list)
    taken_back: list[Run] = field(default_factory=list)
    rows: dict[str, TaskRow] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)  # of definitions that the ledger does not know yet
    snapshots: dict[str, str] = field(default_factory=dict)
    meta: dict[str, str] = field(default_factory=dict)
    followed: list[str] = field(default_factory=list)
    _claimed: Counter[str] = field(default_factory=Counter)  # task → runs that are about to be claimed

    def claim(self, claim: Claim) -> None:
        """A run is to be claimed."""
        self.claims.append(claim)
        self._claimed[claim.run.task] += claim.run.outcome is None

    def batch(self) -> Batch:
        """As the ledger takes it."""
        return Batch(
            claims=tuple(self.claims),
            unstarted=tuple(self.unstarted),
            taken_back=tuple(self.taken_back),
            tasks=tuple(self.rows.values()),
            sources=dict(self.sources),
            snapshots=dict(self.snapshots),
            meta=dict(self.meta),
            followed=tuple(self.followed),
        )

    def clear(self) -> None:
        """All of it is in the ledger now."""
        for planned in (self.claims, self.unstarted, self.taken_back, self.rows):
            planned.clear()
        for facts in (self.sources, self.snapshots, self.meta, self.followed, self._claimed):
            facts.clear()

    def claims_of(self, task: str) -> bool:
        """Whether a run of the task is about to be claimed."""
        return self._claimed[task] > 0
