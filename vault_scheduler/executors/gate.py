"""The gate: a command that is asked before everything else of an attempt, and what its answer means (rule 5)."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import replace
from itertools import pairwise

from vault_scheduler.executors.base import (
    REASON_LIMIT,
    CannotStart,
    Ended,
    Launch,
    MachineEnvironment,
    RunRequest,
    ended_result,
    working_folder,
)
from vault_scheduler.executors.command import argv_of
from vault_scheduler.run import Outcome, Result
from vault_scheduler.text.harmless import clean, head_and_tail, plain_line

GATE_EDGE = 10_000  # bytes of the beginning, and of the end, of the gate's output that a prompt quotes
GATE_OUTPUT = "gate_output"
"""Key in `RunRequest.facts`: what the gate printed, for a prompt's preamble."""
EXIT_NO = 1
SAID_NO = "gate said no"

_TEXT_LIMIT = 8_000  # characters of the output that the result of a gate that failed carries
_PYTHON = re.compile(r"^Traceback \(most recent call last\):$")
_FRAME = re.compile(r"^\s+at \S.*[:(]")  # of JavaScript and Java, below the error
_SYSTEM_WORDS = tuple(f": {os.strerror(number)}" for number in errno.errorcode)


def gate_launch(request: RunRequest, machine: MachineEnvironment) -> Launch:
    """The gate's process. Raises CannotStart."""
    assert request.gate is not None
    try:
        cwd = working_folder(request)
        return Launch(argv=argv_of(request.gate, "gate", cwd, machine), cwd=cwd)
    except CannotStart as error:
        raise of_gate(error) from error


def of_gate(error: CannotStart) -> CannotStart:
    """The same, told as the gate's."""
    return CannotStart(f"gate: {error.reason}", retryable=error.retryable)


def refusal(request: RunRequest, ended: Ended) -> Result | None:
    """What the attempt ends with because of its gate; None: the gate says that it may go on."""
    result = ended_result(request, ended)
    result = replace(result, text=head_and_tail(result.text, _TEXT_LIMIT))
    match result.outcome:
        case Outcome.SUCCESS:
            return None
        case Outcome.CANCELLED | Outcome.ABANDONED:
            return result
        case Outcome.FAILURE if ended.exit_code == EXIT_NO:
            return Result(outcome=Outcome.SKIPPED, reason=_reason_of_no(ended.text))
    return replace(result, reason=f"gate: {result.reason}")


def _reason_of_no(text: str) -> str:
    """The same words each time, so that a gate that says no all day is told in one line.

    What it printed is mostly another text each time and is left out, unless it reads like an error: programs and
    uncaught exceptions end with 1, too, and a gate that is broken must not look like one that says no.
    """
    words = error_words(text)
    return f"{SAID_NO}: {plain_line(words, REASON_LIMIT)}" if words else SAID_NO


def error_words(text: str) -> str:
    """What an uncaught exception or the operating system said in an output; "" where there is nothing like it."""
    lines = [line for line in clean(text).split("\n") if line.strip()]
    for at in reversed(range(len(lines))):
        if _PYTHON.match(lines[at]):
            return next((line for line in lines[at + 1 :] if not line[0].isspace()), lines[-1])
    for above, line in pairwise(lines):
        if _FRAME.match(line):
            return above
    return lines[-1] if lines and lines[-1].endswith(_SYSTEM_WORDS) else ""
