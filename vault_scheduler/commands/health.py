"""What `doctor` finds: one sentence each, how much it matters, and the cure. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from vault_scheduler.commands.styled import Style, joined, styled
from vault_scheduler.text.harmless import plain_line

LONGEST = 400
"""Characters of a finding on its line."""


class Grade(StrEnum):
    """How much a finding matters. Only a fault makes `doctor` end with exit code 1."""

    FINE = "fine"
    NOTE = "note"  # worth knowing, nothing to do
    WARNING = "warning"  # it works, and may fail one day
    FAULT = "fault"  # something does not work


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was looked at, what was found, and what to do about it."""

    about: str  # vault · watching · settings · tasks · daemon · ledger · disk · service · clock · python · claude …
    grade: Grade
    text: str
    cure: str = ""


def fine(about: str, text: str) -> Finding:
    """Nothing to do."""
    return Finding(about=about, grade=Grade.FINE, text=text)


def note(about: str, text: str) -> Finding:
    """Worth knowing."""
    return Finding(about=about, grade=Grade.NOTE, text=text)


def warning(about: str, text: str, cure: str) -> Finding:
    """It works, and may fail one day."""
    return Finding(about=about, grade=Grade.WARNING, text=text, cure=cure)


def fault(about: str, text: str, cure: str) -> Finding:
    """Something does not work."""
    return Finding(about=about, grade=Grade.FAULT, text=text, cure=cure)


_STYLES = {Grade.FINE: Style.GOOD, Grade.NOTE: Style.FAINT, Grade.WARNING: Style.CARE, Grade.FAULT: Style.BAD}
SIGNS = {Grade.FINE: "✓", Grade.NOTE: "·", Grade.WARNING: "!", Grade.FAULT: "✗"}


def page(findings: Sequence[Finding]) -> list[str]:
    """The findings for people: what is wrong last, where the eye is, each with its cure on a line of its own."""
    order = list(SIGNS)
    wide = max((len(finding.about) for finding in findings), default=0)
    lines: list[str] = []
    for finding in sorted(findings, key=lambda found: order.index(found.grade)):
        lines.append(_line(finding, wide))
        if finding.cure:
            cure = f"{'':<{wide + 4}}→ {plain_line(finding.cure, LONGEST)}"
            lines.append(joined([cure], hang=wide + 6))
    return [*lines, "", _in_style(findings)]


def _line(finding: Finding, wide: int) -> str:
    sign, text = SIGNS[finding.grade], plain_line(finding.text, LONGEST)
    style = _STYLES[finding.grade]
    said = styled(text, style if finding.grade in (Grade.WARNING, Grade.FAULT) else None)
    return joined([styled(sign, style), f" {finding.about:<{wide}}  ", said], hang=wide + 4)


def _in_style(findings: Sequence[Finding]) -> str:
    worst = max((finding.grade for finding in findings), key=list(SIGNS).index, default=Grade.FINE)
    return styled(verdict(findings), _STYLES[worst] if worst is not Grade.NOTE else Style.GOOD)


def verdict(findings: Sequence[Finding]) -> str:
    """The last line."""
    faults = sum(finding.grade is Grade.FAULT for finding in findings)
    warnings = sum(finding.grade is Grade.WARNING for finding in findings)
    if not faults:
        return (
            "Nothing is broken." if not warnings else f"Nothing is broken; {_count(warnings, 'thing')} may be one day."
        )
    return f"{_count(faults, 'fault')} to mend."


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def size_words(size: int) -> str:
    """`340 kB`, `1.2 GB`: bytes in decimal units, as disks are sold."""
    amount, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            break
        amount /= 1000
    return f"{amount:.1f} {unit}" if amount < 10 and unit != "B" else f"{amount:.0f} {unit}"
