"""What a task note is when it is restored: what it last said, with the runs that have been written since. Pure."""

from __future__ import annotations

from vault_scheduler.notes.note import Document, Value, find_runs_heading, set_keys

_HOLDING_BACK = ("paused", "stopped", "done")


def restored(kept: bytes, now: bytes) -> bytes:
    """`kept` above its `## Runs`, and from there on what stands in `now`, if it has such a section.

    Nothing is set going by restoring: `run_now` comes back as false, `answer` empty, and a status by which the note as
    it is now holds the task back goes on doing so. Where that cannot be shown to leave the rest of `kept` as it was, it
    is `kept` as it is.
    """
    wanted = Document.parse(kept)
    text = _with_runs(wanted, Document.parse(now))
    found = Document.parse(text)
    same = found.mapping == wanted.mapping and found.definition_body == wanted.definition_body
    return _switched(text if same else kept, Document.parse(now))


def _with_runs(wanted: Document, now: Document) -> bytes:
    runs = find_runs_heading(now.body)
    if runs is None:
        return wanted.data
    own = find_runs_heading(wanted.body)
    head = wanted.data[: wanted.body_start + own.start] if own else _ended(wanted)
    return head + now.body[runs.start :]


def _ended(wanted: Document) -> bytes:
    """The text with an empty line at its end."""
    return wanted.data.rstrip(b" \t\r\n") + wanted.eol * 2


def _switched(text: bytes, now: Document) -> bytes:
    mapping = Document.parse(text).mapping
    changes: dict[str, Value] = {"run_now": False} if mapping.get("run_now") else {}
    if mapping.get("answer") is not None:
        changes["answer"] = None
    status = now.mapping.get("status")
    if isinstance(status, str) and status in _HOLDING_BACK:
        changes["status"] = status
    return set_keys(text, changes) if changes else text
