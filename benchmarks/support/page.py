"""docs/performance.md and its plots, from what the benchmarks found."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from support.chart import chart
from support.figures import Figure, Finding, Growth, load, number
from support.machine import described

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "performance.md"
IMAGES = ROOT / "docs" / "images"
HEAD = """# Performance

What the programs in `benchmarks/` measured in their last run together (`make bench`; each runs alone, too, and
`--full` makes it longer). Times are wall time. A *floor* is what this machine can do at best for the same work,
measured in the same run; the ratio says how far from it the figure is. Peers did the same in the same run, with the
same command, where a figure names one.
"""
TITLES = {
    "start-up": "Start-up",
    "edit": "An edit, or a run, among many tasks",
    "lateness": "Lateness of a start",
    "burst": "A burst",
    "sustained": "Runs per second",
    "idle": "Idle",
    "memory": "Memory",
    "commands": "Commands",
    "delivery": "Delivering a run",
    "planner": "Planner",
    "watching": "Watched files",
    "built-in": "Built-in tasks",
}


def write_page(folder: Path) -> None:
    """Write the page and its plots from the findings that are kept in `folder`; plots of former runs go."""
    for plot in IMAGES.glob("*-growth*.svg"):
        plot.unlink()
    findings = [found for path in sorted(folder.glob("*.json")) for found in load(path)]
    parts = [HEAD, f"Measured {datetime.now(UTC):%Y-%m-%d} on: {described()}.\n"]
    known = list(TITLES)
    groups = sorted(
        {found.group for found in findings}, key=lambda name: (name not in known, (*known, name).index(name))
    )
    parts += [_section(group, [found for found in findings if found.group == group]) for group in groups]
    PAGE.write_text("\n".join(parts), encoding="utf-8")


def _section(group: str, findings: list[Finding]) -> str:
    figures = [found for found in findings if isinstance(found, Figure)]
    lines = [f"## {TITLES.get(group, group.capitalize())}\n"]
    if figures:
        lines.append("| figure | target | measured | floor | × floor | peer |\n|---|---|---|---|---|---|")
        lines += [_row(figure) for figure in figures]
        lines += ["", *_floors(figures), *_reasons(figures)]
    return "\n".join(lines + _plots(group, [found for found in findings if isinstance(found, Growth)])).rstrip() + "\n"


def _row(figure: Figure) -> str:
    sign = "≥" if figure.more_is_better else "≤"
    target = f"{sign} {number(figure.target)} {figure.unit}" if figure.target is not None else ""
    missed = " (missed)" if figure.is_met is False else ""
    floor = f"{number(figure.floor)} {figure.unit}" if figure.floor is not None else ""
    ratio = number(figure.ratio) if figure.ratio is not None else ""
    peer = f"{figure.peer_is}: {number(figure.peer)} {figure.unit}" if figure.peer is not None else ""
    value = f"**{number(figure.value)} {figure.unit}".rstrip() + f"**{missed}"
    return f"| {figure.name} | {target} | {value} | {floor} | {ratio} | {peer} |"


def _floors(figures: list[Figure]) -> list[str]:
    told = dict.fromkeys(figure.floor_is for figure in figures if figure.floor_is)
    return [f"Floor: {'; '.join(told)}.\n"] if told else []


def _reasons(figures: list[Figure]) -> list[str]:
    return [
        f"*{figure.name.split(' (')[0]}*: {figure.why}.\n"
        for figure in figures
        if figure.is_met is False and figure.why
    ]


def _plots(group: str, lines: list[Growth]) -> list[str]:
    units: dict[tuple[str, str], list[Growth]] = {}
    for line in lines:
        units.setdefault((line.unit, line.over), []).append(line)
    found = []
    for place, ((unit, over), together) in enumerate(units.items(), 1):
        name = f"{group}-growth{f'-{place}' if len(units) > 1 else ''}.svg"
        IMAGES.mkdir(exist_ok=True)
        title = f"{TITLES.get(group, group)}, by number of {over}"
        (IMAGES / name).write_text(chart(title, together), encoding="utf-8")
        found.append(f"![{title}, in {unit}](images/{name})\n")
    return found
