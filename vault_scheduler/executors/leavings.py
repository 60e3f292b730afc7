"""What an attempt leaves behind: its full output, its result, its transcript; all of it without secrets."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from vault_scheduler.executors.base import Ended, Launch, Part, StreamMasker
from vault_scheduler.executors.capture import OUTPUT_CAP
from vault_scheduler.platform.exchange import sync_folder
from vault_scheduler.run import Outcome, Result

RESULT_LIMIT = 8 * 1024 * 1024  # bytes of the file that a process leaves its result in
_CHUNK = 1024 * 1024

log = logging.getLogger(__name__)


def output_path(runs_folder: Path, run: str, attempt: int) -> Path:
    """Where the full output of an attempt is kept; the file exists only if something was printed."""
    return runs_folder / run / f"output-{attempt}.txt"


def transcript_path(output: Path) -> Path:
    """Where the transcript of an attempt's Claude session is kept, beside its output."""
    return output.with_name(output.name.replace("output-", "transcript-", 1)).with_suffix(".jsonl")


def keep_gate_output(said: Path, output: Path, result: Result) -> None:
    """What the gate printed is the attempt's full output if it failed; a run that is skipped has none."""
    if result.outcome is not Outcome.SKIPPED:
        with contextlib.suppress(FileNotFoundError):
            said.replace(output)
            sync_folder(output.parent)


def keep_transcript(part: Part | None, masker: StreamMasker, output: Path) -> None:
    """A masked copy of what the attempt added to its session's transcript; without it the run is no other."""
    if part is None:
        return
    try:
        with part.path.open("rb") as file:
            file.seek(part.begin)
            with _private(transcript_path(output)) as copy:
                left = OUTPUT_CAP
                while left > 0 and (chunk := file.read(min(left, _CHUNK))):
                    left -= len(chunk)
                    copy.write(masker.feed(chunk))
                copy.write(masker.flush())
    except OSError as error:
        log.warning("the transcript %s could not be kept: %s", part.path, error.strerror)


def _private(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def with_result(ended: Ended, launch: Launch, folder: Path, masker: StreamMasker) -> Ended:
    """The end together with the result that the process left in its folder, if it was to leave one."""
    if launch.result_file is None:
        return ended
    left, problem = _read_result(folder / launch.result_file)
    return replace(ended, result=_mask_json(left, masker), result_problem=problem)


def _read_result(path: Path) -> tuple[dict[str, Any] | None, str]:
    """The object that a process left behind, and why it cannot be used although it is there."""
    try:
        with path.open("rb") as file:
            data = file.read(RESULT_LIMIT + 1)
        if len(data) > RESULT_LIMIT:
            return None, f"the result is larger than {RESULT_LIMIT // 1024 // 1024} MiB"
        left = json.loads(data)
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError) as error:
        return None, f"the result cannot be read: {error}"
    return (left, "") if isinstance(left, dict) else (None, "the result is not an object")


def _mask_json(value: Any, masker: StreamMasker) -> Any:
    """Every text in it masked, before anybody cuts it: half a secret cannot be found any more."""
    if isinstance(value, str):
        return masker.mask_text(value)
    if isinstance(value, list):
        return [_mask_json(item, masker) for item in value]
    if isinstance(value, dict):
        return {masker.mask_text(key): _mask_json(item, masker) for key, item in value.items()}
    return value


def masked_result(result: Result, masker: StreamMasker) -> Result:
    """The result once more without secrets: cleaning can bring together what escape sequences held apart."""
    return replace(
        result,
        reason=masker.mask_text(result.reason),
        text=masker.mask_text(result.text),
        denials=tuple(map(masker.mask_text, result.denials)),
        question=masker.mask_text(result.question),
        remarks=tuple(map(masker.mask_text, result.remarks)),
    )
