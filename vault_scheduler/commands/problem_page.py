"""Problems of notes, told to people and to editors: `file:line: key: message. fix`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault_scheduler.commands.columns import plural
from vault_scheduler.commands.styled import Style, joined, styled
from vault_scheduler.task import Problem

if TYPE_CHECKING:
    from vault_scheduler.commands.checking import Checked


def check_page(checked: Checked) -> list[str]:
    """`check`: problems, each on one line."""
    lines = [f"fixed {path}" for path in checked.fixed]
    lines += [f"{path}: never scheduled: {why}" for path, why in checked.skipped.items()]
    return [*lines, *(problem_line(problem) for problem in checked.problems)]


def problem_line(problem: Problem, indent: str = "") -> str:
    """`file:line: key: message. fix`, warnings marked."""
    subject = f"{problem.key}: " if problem.key else ""
    said = f"{subject}{problem.message}."
    told = styled(said, Style.BAD) if problem.is_error else joined([styled("warning: ", Style.CARE), said])
    cure = f" {problem.fix}" if problem.fix else ""
    return joined([indent, f"{problem.path}:{problem.line}: ", told, cure], hang=len(indent) + 4)


def check_sum(checked: Checked) -> str:
    """The last line of `check`."""
    count = plural(checked.notes, "task")
    if not checked.problems:
        return styled(f"{count}, no problems", Style.GOOD)
    errors = sum(problem.is_error for problem in checked.problems)
    counts = ((errors, "problem"), (len(checked.problems) - errors, "warning"))
    told = ", ".join(plural(number, what) for number, what in counts if number)
    return styled(f"{told} in {count}", Style.BAD if errors else Style.CARE)
