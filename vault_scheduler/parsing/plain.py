"""Tasks as plain data and back: what a valid note was read as, so that it need not be read again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import UTC, datetime, time, timedelta
from enum import Enum
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from vault_scheduler.parsing.declared import Declared
from vault_scheduler.settings import Settings
from vault_scheduler.task import (
    Action,
    AfterOutcome,
    CatchUp,
    ClaudeAction,
    CommandAction,
    Overlap,
    Permissions,
    PythonAction,
    Status,
    Task,
    TaskType,
    Topic,
)
from vault_scheduler.triggers.schedule import (
    CronTrigger,
    IntervalTrigger,
    Schedule,
    Trigger,
    interval_anchor,
    load_zone,
    understood_trigger,
)

Plain = list[Any]
"""JSON: text, numbers, true, false, null, lists, and objects with text for keys."""

_NO_COMMAND: Final = CommandAction(command=None)
_ENUMS: Final = {kind.__name__: kind for kind in (AfterOutcome, CatchUp, Overlap, Permissions, Status, Topic)}
_ACTIONS: Final[dict[str, type[Action]]] = {kind.__name__: kind for kind in (CommandAction, PythonAction, ClaudeAction)}
_TYPES: Final = {str(kind): kind for kind in TaskType}
_APART: Final = frozenset(
    ["id", "path", "type", "schedule", "timezone", "body", "definition", "trigger_fingerprint", "declared"]
)
_USUAL: Final[dict[str, Any]] = {
    found.name: {} if found.default is MISSING else found.default for found in fields(Task) if found.name not in _APART
} | {"action": _NO_COMMAND}
_SETTINGS: Final = tuple(found.name for found in fields(Settings))
_CRON: Final = 2
"""So many parts has an expression; an interval has another number of them."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ALWAYS_ALIKE: Final = json.JSONEncoder(sort_keys=True, default=str)


def plain_of(task: Task) -> Plain | None:
    """What `task_of` makes the same task of again, with its source; None if time may make another one of the note.

    That is so where an instant was read from local times, which another version of the time zones may change, and where
    a function is named, which may be gone. Only for a task without problems.
    """
    triggers = [_plain_trigger(trigger, load_zone(task.timezone)) for trigger in task.schedule.triggers]
    has_instants = task.schedule.start or task.schedule.until or task.paused_until or None in triggers
    if has_instants or (isinstance(task.action, PythonAction) and task.action.call):
        return None
    others = {name: _tagged(value) for name in _USUAL if (value := getattr(task, name)) != _USUAL[name]}
    return [
        task.id,
        task.type,
        task.timezone,
        task.definition,
        task.trigger_fingerprint,
        task.declared.text if isinstance(task.declared, Declared) else json.dumps(dict(task.declared)),
        triggers,
        others,
    ]


def task_of(plain: Plain, path: str, source: Mapping[str, Any], times: Sequence[Sequence[int]] | None = None) -> Task:
    """The task again; `source` as `source_of` gave it for this note. Raises as bad data does.

    `times`: of each trigger [since, fire], as `CronTrigger.remember` takes them, in microseconds since 1970.
    """
    name, kind, zone, definition, trigger_fingerprint, declared, _, others = plain
    more = {name: _untagged(value) for name, value in others.items()}
    more.setdefault("action", _NO_COMMAND)
    return Task(
        id=name,
        path=path,
        type=_TYPES[kind],
        schedule=Schedule(triggers=_remembering(plain, times or ())),
        timezone=zone,
        body=normal_body(source["body"]),
        definition=definition,
        trigger_fingerprint=trigger_fingerprint,
        declared=Declared(declared),
        **more,
    )


def _remembering(plain: Plain, times: Sequence[Sequence[int]]) -> tuple[Trigger, ...]:
    """The triggers of a task; they know the fire times that are kept."""
    _, triggers = triggers_of(plain)
    for trigger, known in zip(triggers, times, strict=False):
        if isinstance(trigger, CronTrigger):
            since, fire = known
            trigger.remember(_EPOCH + timedelta(microseconds=since), _EPOCH + timedelta(microseconds=fire))
    return triggers


class KeptFires(Protocol):
    """What is known of the fire times of a task that is plain data."""

    @property
    def plain(self) -> list[list[int]]:
        """As `task_of` takes them."""

    def next_after(self, moment: datetime) -> tuple[bool, datetime | None]:
        """Whether the first fire time after a moment is known, and when it is; None: there is none."""


class PlainSchedule(Schedule):
    """A schedule whose triggers are made when more is asked than the fire time that is known."""

    __slots__ = ("_fires", "_plain")

    _plain: Plain
    _fires: KeptFires | None  # None once its bounds were replaced

    @classmethod
    def of(cls, plain: Plain, fires: KeptFires) -> PlainSchedule:
        """Of a task that is plain data."""
        schedule = cls.__new__(cls)
        for name, value in (("_plain", plain), ("_fires", fires), ("start", None), ("until", None)):
            object.__setattr__(schedule, name, value)
        return schedule

    def __getattr__(self, name: str) -> Any:
        """What was not made yet."""
        if name == "_fires":
            return None
        if name != "triggers" or self._fires is None:
            raise AttributeError(name)
        triggers = _remembering(self._plain, self._fires.plain)
        object.__setattr__(self, name, triggers)
        return triggers

    @property
    def zones(self) -> Sequence[ZoneInfo]:
        """As any schedule; the triggers of a task share its zone."""
        if self._fires is None:
            return super().zones
        return [load_zone(self._plain[2])] if any(len(trigger) == _CRON for trigger in self._plain[6]) else []

    def next_after(self, moment: datetime) -> datetime | None:
        """As any schedule."""
        is_known, fire = self._fires.next_after(moment) if self._fires is not None else (False, None)
        return fire if is_known else super().next_after(moment)


class PlainTask(Task):
    """A task as `task_of` makes it, but each property when it is asked for: of most tasks nobody asks for most.

    Only of plain data that this version made, of a zone that is there: what is wrong with them would be seen late.
    """

    __slots__ = ("_fires", "_plain", "_source")

    _plain: Plain
    _source: str  # JSON
    _fires: KeptFires

    @classmethod
    def of(cls, plain: Plain, path: str, source: str, fires: KeptFires) -> PlainTask:
        """As `task_of`; `source` is JSON. Raises as bad data does."""
        task, (name, _, zone, definition, _, _, _, others) = cls.__new__(cls), plain
        put = object.__setattr__
        put(task, "_plain", plain)
        put(task, "_source", source)
        put(task, "_fires", fires)
        put(task, "id", name)
        put(task, "path", path)
        put(task, "timezone", zone)
        put(task, "definition", definition)
        for name in _FIRST_ASKED:  # what tells how it stands
            if name not in others:
                put(task, name, _USUAL[name])
        return task

    def __getattr__(self, name: str) -> Any:
        """A property that was not asked for yet."""
        if name not in _FIELDS:
            raise AttributeError(name)
        value = self._made(name)
        object.__setattr__(self, name, value)
        return value

    def _made(self, name: str) -> Any:
        others = self._plain[7]
        if name in others:
            return _untagged(others[name])
        return _USUAL[name] if name in _USUAL else _MAKERS[name](self)


_FIRST_ASKED: Final = ("status", "paused_until", "after", "host")
_FIELDS: Final = frozenset(found.name for found in fields(Task))
_MAKERS: Final[dict[str, Callable[[PlainTask], Any]]] = {
    "type": lambda task: _TYPES[task._plain[1]],
    "schedule": lambda task: PlainSchedule.of(task._plain, task._fires),
    "trigger_fingerprint": lambda task: task._plain[4],
    "body": lambda task: normal_body(json.loads(task._source)["body"]),
    "declared": lambda task: Declared(task._plain[5]),
}


def triggers_of(plain: Plain) -> tuple[ZoneInfo, tuple[Trigger, ...]]:
    """The zone of a task that is plain data, and its triggers. Raises as bad data does."""
    zone = load_zone(plain[2])
    return zone, tuple(_trigger(trigger, zone) for trigger in plain[6])


def plain_settings(settings: Settings) -> Plain | None:
    """What `settings_of` makes the same settings of again; None for an instant, as with tasks."""
    if settings.paused_until is not None:
        return None
    return [{name: _tagged(getattr(settings, name)) for name in _SETTINGS}]


def settings_of(plain: Plain) -> Settings:
    """The settings again. Raises as bad data does."""
    return Settings(**{name: _untagged(value) for name, value in plain[0].items()})


def source_text(source: Mapping[str, Any]) -> str:
    """What `source_of` gave as text, always the same for the same."""
    return _ALWAYS_ALIKE.encode(source)


def normal_body(body: str) -> str:
    """Line ends and blank lines around the body are not part of what a task does; sync programs change them."""
    return body.replace("\r\n", "\n").strip("\n").rstrip()


def _plain_trigger(trigger: Trigger, zone: ZoneInfo) -> list[Any] | None:
    if isinstance(trigger, CronTrigger) and trigger.zone == zone and not trigger.warnings:
        return [trigger.expression, trigger.hash_id]
    if isinstance(trigger, IntervalTrigger) and trigger.anchor == interval_anchor(zone):
        return _parts(trigger.period)
    return None


def _trigger(plain: list[Any], zone: ZoneInfo) -> Trigger:
    if len(plain) == _CRON:
        return understood_trigger(plain[0], zone, plain[1])
    return IntervalTrigger(timedelta(*plain), interval_anchor(zone))


def _parts(length: timedelta) -> list[int]:
    return [length.days, length.seconds, length.microseconds]


def _tagged(value: Any) -> Any:
    """Plain data, in which an object of one member says of what kind a value is."""
    if isinstance(value, Enum):
        return {"enum": [type(value).__name__, value.value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, timedelta):
        return {"length": _parts(value)}
    if isinstance(value, time):
        return {"time": value.isoformat()}
    if isinstance(value, tuple):
        return {"tuple": [_tagged(item) for item in value]}
    if isinstance(value, list):
        return [_tagged(item) for item in value]
    if isinstance(value, Mapping):
        return {"mapping": {name: _tagged(item) for name, item in value.items()}}
    if type(value).__name__ in _ACTIONS:
        given = {found.name: _tagged(getattr(value, found.name)) for found in fields(value)}
        return {"action": [type(value).__name__, given]}
    raise TypeError(f"{type(value).__name__} is no plain data")


def _untagged(value: Any) -> Any:
    if not isinstance(value, (dict, list)):
        return value
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    ((tag, held),) = value.items()
    if tag == "enum":
        return _ENUMS[held[0]](held[1])
    if tag == "length":
        return timedelta(*held)
    if tag == "time":
        return time.fromisoformat(held)
    if tag == "tuple":
        return tuple([_untagged(item) for item in held])
    if tag == "mapping":
        return {name: _untagged(item) for name, item in held.items()}
    if tag == "action":
        return _ACTIONS[held[0]](**{name: _untagged(item) for name, item in held[1].items()})
    raise ValueError(tag)
