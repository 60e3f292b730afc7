"""Figures: what a benchmark found, beside its target, the floor of this machine and peers."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number. `floor` and `peer` were measured in the same run, in the same unit."""

    group: str  # start-up, lateness, …: figures of one group stand together
    name: str
    value: float
    unit: str = "ms"  # ms · s · MB · /s · …
    target: float | None = None
    more_is_better: bool = False
    floor: float | None = None
    floor_is: str = ""  # what the machine was asked to do for it
    peer: float | None = None
    peer_is: str = ""
    why: str = ""  # why a target that is missed cannot be met

    @property
    def ratio(self) -> float | None:
        """How many times the floor it takes; for rates, how many times the figure fits into the floor."""
        if not self.floor or not self.value:
            return None
        return self.floor / self.value if self.more_is_better else self.value / self.floor

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.more_is_better else self.value <= self.target

    def line(self) -> str:
        """As the benchmark prints it."""
        parts = [f"{self.group} · {self.name}: {number(self.value)} {self.unit}"]
        if self.target is not None:
            sign, verdict = "≥" if self.more_is_better else "≤", "met" if self.is_met else "MISSED"
            parts.append(f"target {sign} {number(self.target)} ({verdict})")
        if self.floor is not None:
            parts.append(f"floor {number(self.floor)} ({self.floor_is}), ratio {number(self.ratio or 0.0)}")
        if self.peer is not None:
            parts.append(f"{self.peer_is} {number(self.peer)}")
        return " · ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How a figure grows with the number of tasks (or of something else), to be plotted."""

    group: str
    name: str
    unit: str
    points: tuple[tuple[float, float], ...]  # (number of tasks, value)
    over: str = "tasks"
    floor: tuple[tuple[float, float], ...] = ()

    def line(self) -> str:
        """As the benchmark prints it."""
        found = ", ".join(f"{number(at)}: {number(value)}" for at, value in self.points)
        return f"{self.group} · {self.name}, by number of {self.over}: {found} {self.unit}"


Finding = Figure | Growth


def number(value: float) -> str:
    """Three digits that matter: `0.042`, `2.31`, `18.2`, `1,240`."""
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.3g}"


def median(values: Iterable[float]) -> float:
    """The median."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float = 0.99) -> float:
    """The value below which `share` of the values lie (p99)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes, once."""
    begin = perf_counter()
    work()
    return perf_counter() - begin


def rounds(work: Callable[[], object], count: int = 5) -> list[float]:
    """Seconds of each of `count` rounds."""
    return [timed(work) for _ in range(count)]


def store(path: Path, findings: Sequence[Finding]) -> None:
    """Keep what a benchmark found, for the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"kind": type(found).__name__, **asdict(found)} for found in findings]
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")


def load(path: Path) -> list[Finding]:
    """What `store` kept."""
    return [_finding(row) for row in json.loads(path.read_text(encoding="utf-8"))]


def _finding(row: dict) -> Finding:
    if row.pop("kind") == "Figure":
        return Figure(**row)
    points = {name: tuple(map(tuple, row.pop(name))) for name in ("points", "floor")}
    return Growth(**row, **points)
