"""The properties of one note: each read by one reader, every problem with its line, all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from vault_scheduler.errors import BadValue
from vault_scheduler.notes.note import Document
from vault_scheduler.notes.yaml_core import compose_mapping
from vault_scheduler.parsing.keys import ALIASES, FORBIDDING, KEYS, PROMPT, SETTINGS, TASK, Key
from vault_scheduler.parsing.look_alikes import Likeness, LookAlike, near
from vault_scheduler.parsing.values import is_unset, line, scalar
from vault_scheduler.task import Problem, Severity

T = TypeVar("T")
Reader = Callable[[object, str], T]

_JUDGED = 100  # keys that are not ours and are compared with ours: a note with more is not written by hand
_PLACES = {TASK: "a task note", SETTINGS: "the settings note"}


class Fields:
    """The set keys of a note by their right names, and the problems found while they are read.

    `where`: TASK or SETTINGS, the kind of note. `lines` gives the line in the file of a key as it is written there.
    """

    def __init__(self, mapping: Mapping[str, object], path: str, where: str, lines: Callable[[str], int]) -> None:
        self.problems: list[Problem] = []
        self.values: dict[str, Any] = {}
        self.look_alikes = 0
        self._path = path
        self._where = where
        self._lines = lines
        self._spelled: dict[str, str] = {}
        self._unset: dict[str, str] = {}
        others = [written for written, value in mapping.items() if not self._take(written, value)]
        for written in others[:_JUDGED]:
            self._judge_other(written, mapping[written])

    def _take(self, written: str, value: object) -> bool:
        """Note the value of a key of ours; False for a key that is not ours."""
        name = ALIASES.get(written, written)
        key = KEYS.get(name)
        if key is None:
            return is_unset(value)
        if is_unset(value):
            self._unset[name] = written
            return True
        if name in self.values:
            first = self._spelled[name]
            self._add(
                written, f"`{written}` and `{first}` are the same key", f"Remove one of the two; ours is `{name}`"
            )
            return True
        self._spelled[name] = written
        self._keep(key, value)
        return True

    def _keep(self, key: Key, value: object) -> None:
        if self._where not in key.where:
            self._misplaced(key)
        elif not key.supported:
            self.unsupported(key.name)
        self.values[key.name] = value

    def _misplaced(self, key: Key) -> None:
        if key.name in ("type", "id"):
            return  # many vaults give every note a type
        here, there = _PLACES[self._where], _PLACES[key.where[0]]
        self.warn(key.name, f"has no effect in {here}", f"Move it to {there}, or remove it")

    def _judge_other(self, written: str, value: object) -> None:
        alike = near(written)
        if alike is None or (alike.likeness is Likeness.SLIP and alike.name in self.values):
            return
        self.look_alikes += 1
        message = f"`{written}` is not a key that is read"
        if value is FORBIDDING.get(written.lower()):
            self._add(written, f"{message}, but it seems to forbid the task to run", "Write `status: paused`")
        else:
            self._add(written, message, self._right_name(alike, value), Severity.WARNING)

    def _right_name(self, alike: LookAlike, value: object) -> str:
        if alike.name == PROMPT:
            return "Write the prompt into the body of the note, below the properties"
        key = KEYS[alike.name]
        if not key.supported:
            return f"Ours is `{key.name}`, which this version does not support yet"
        if self._where not in key.where:
            return f"Ours is `{key.name}`, in {_PLACES[key.where[0]]}"
        if alike.likeness is Likeness.DIALECT or isinstance(value, (list, dict)):
            return f"Write `{key.name}` instead"
        return f"Write {line(key.name, value)}"

    def has(self, name: str) -> bool:
        """Whether the key is set, to a good value or not."""
        return name in self.values

    def read(self, name: str, reader: Reader[T]) -> T | None:
        """The value of a key; None if it is unset, or if it is bad: then the problem is noted."""
        if name not in self.values:
            return None
        value, written = self.values[name], self._spelled[name]
        if _is_damaged(value):
            self.error(name, "holds bytes that are no UTF-8 text", f"Type the value of `{written}` anew")
            return None
        try:
            return reader(value, written)
        except BadValue as error:
            found = _in_the_end(reader, value, written, error)
            self.error(name, found.message, found.fix)
            return None

    def error(self, name: str, message: str, fix: str) -> None:
        """Note what keeps the note from being used. `name` may be a key that is not there, or ""."""
        self._add(self._spelled.get(name, name), message, fix)

    def stands_empty(self, name: str) -> bool:
        """Whether the key stands in the note without a value."""
        return name in self._unset

    def missing(self, names: Iterable[str], message: str, what: str) -> None:
        """Note that none of these keys is set; one that stands there without a value is to be filled in.

        `what` is to be written, in the words behind "Write" or "Add".
        """
        empty = next((name for name in names if name in self._unset), None)
        if empty is None:
            self.error("", message, f"Add {what}")
            return
        self._spelled.setdefault(empty, self._unset[empty])
        self.error(empty, f"is empty, and {message}", f"Write {what}")

    def warn(self, name: str, message: str, fix: str) -> None:
        """Note what is odd, but does no harm."""
        self._add(self._spelled.get(name, name), message, fix, Severity.WARNING)

    def unsupported(self, name: str) -> None:
        """Note a key whose behaviour is not built yet: a cap or gate that is read but ignored would be a lie."""
        self.error(name, "is not supported by this version", f"Remove `{name}`, or wait for a newer version")

    def _add(self, written: str, message: str, fix: str, severity: Severity = Severity.ERROR) -> None:
        where = self._lines(written) if written else 1
        fix = fix if not fix or fix.endswith((".", "?", "!")) else f"{fix}."
        self.problems.append(
            Problem(path=self._path, line=max(1, where), key=written, message=message, fix=fix, severity=severity)
        )

    @property
    def failed(self) -> bool:
        """Whether there is a problem that is an error."""
        return any(problem.is_error for problem in self.problems)

    def sorted_problems(self) -> tuple[Problem, ...]:
        """All problems in the order of the lines."""
        return tuple(sorted(self.problems, key=lambda problem: problem.line))


def _in_the_end(reader: Reader[Any], value: object, written: str, error: BadValue) -> BadValue:
    """What remains to be said if the value is put in quotes: `type: "true"` is no better than `type: true`."""
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(value, (bool, float)):
        try:
            reader(scalar(value), written)
        except BadValue as again:
            return again
    return error


def _is_damaged(value: object) -> bool:
    """Whether there is the sign in it that bytes read as which are no UTF-8."""
    if isinstance(value, str):
        return "\ufffd" in value
    if isinstance(value, dict):
        return any(map(_is_damaged, (*value, *value.values())))
    return isinstance(value, list) and any(map(_is_damaged, value))


def key_lines(doc: Document) -> Callable[[str], int]:
    """The line in the file of each key of a note without a fault; looked up once, when the first problem is found."""
    found: dict[str, int] = {}

    def line_of(key: str) -> int:
        if not found:
            spans = compose_mapping(doc.block_text)
            found.update({name: entry.line + 2 for name, entry in spans.entries.items()} if spans else {})
        return found.get(key, 1)

    return line_of
