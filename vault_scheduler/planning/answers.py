"""What is wrong with an `answer` that has not been taken. Pure."""

from __future__ import annotations

from vault_scheduler.task import Problem, Severity

UNASKED = "no run has asked anything"


def answer_problem(path: str, line: int, why: str) -> Problem:
    """A warning about the `answer` of a task's note: nothing is asked, or (`why`) it waits."""
    fix = "Remove the answer, or write it once `question` asks something." if why == UNASKED else "It stays as it is."
    return Problem(path=path, line=line, key="answer", message=why, fix=fix, severity=Severity.WARNING)
