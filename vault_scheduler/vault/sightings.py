"""Which reads of a note are believed (rule 3.4). Pure: the time is given, in seconds awake.

Editors truncate a note and then write it, so a read in between finds it empty or cut short, and such a read must
never look like a deleted or a disabled task.
"""

from __future__ import annotations

from dataclasses import dataclass

AGREE_S = 0.25  # two equal reads this far apart are believed
EMPTY_AGREES_S = 2.0  # a former task that is empty or has no frontmatter is believed only after this


@dataclass(frozen=True, slots=True)
class Believed:
    """The note's bytes, or None: it is gone; `since` the first of the equal reads."""

    data: bytes | None
    since: float


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Read the note again, not before `at` (seconds awake)."""

    at: float


@dataclass(frozen=True, slots=True)
class _Seen:
    data: bytes | None
    since: float


class Sightings:
    """The reads that are not believed yet."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def see(
        self, path: str, data: bytes | None, now: float, was_task: bool, *, settled: bool = False
    ) -> Believed | LookAgain:
        """Judge a read of `path`. `data` is None for a note that is gone from a vault that is there.

        `was_task`: the last believed read was a task. `settled`: the file's mtime is more than a few seconds old, so
        that no writer can be in the middle of it. Then one read is enough, unless it is a former task that
        lost its frontmatter; without this a start with 10,000 notes would read each of them twice.
        """
        wait = EMPTY_AGREES_S if was_task and data is not None and not has_frontmatter(data) else AGREE_S
        seen = self._seen.get(path)
        if seen is None or seen.data != data or now < seen.since:
            seen = self._seen[path] = _Seen(data, now)
        if now - seen.since >= wait or (settled and wait == AGREE_S and data is not None):
            del self._seen[path]
            return Believed(data, seen.since)
        return LookAgain(seen.since + wait)

    def forget(self, path: str) -> None:
        """Drop what was seen of a path."""
        self._seen.pop(path, None)


def has_frontmatter(data: bytes) -> bool:
    """Whether the bytes start with a fence that is closed; only a first look, the parser judges."""
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    return text.startswith(b"---\n") and b"\n---" in text[3:]
