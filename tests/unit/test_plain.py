"""Tasks as plain data: what comes back is what was read."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest

from vault_scheduler.ledger.kept import Fires, micros
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.parser import ParseContext, parse_task, source_of
from vault_scheduler.parsing.plain import PlainTask, plain_of, source_text, task_of
from vault_scheduler.task import Status, Task

PATH = "00_system/tasks/folder/Ärger.md"
COMMAND = "type: command\ncommand: echo hello\n"
CLAUDE = "type: claude\nevery: 1h\n"

KEPT = {
    "cron": COMMAND + 'cron: "0 7 * * 1-5"',
    "several": COMMAND + 'cron: ["0 7 * * *", "H 3 * * MON"]\nevery: 15m\ntimezone: Asia/Tokyo',
    "alias": COMMAND + 'schedule: "@daily"\ntz: Europe/Berlin\ncron:\n',
    "list": 'type: command\ncommand: [echo, "a b", ""]\nevery: 90s',
    "block": "type: command\non_start: true",
    "reactions": COMMAND
    + 'after: ["[[Fetch mail]]", "[[b|c]]"]\nafter_outcome: any\non_change: "Inbox/**"\ndebounce: 2m',
    "policies": COMMAND
    + "every: 1h\ncwd: sub\nenv: [A=1, B=x=y]\nsecrets: [TOKEN]\ntimeout: 90s\nretries: 3\nretry_delay: 2m\n"
    + "overlap: queue\ncatch_up: all\nmax_late: 3h\npause_after: 2\ngroup: g\nlog: changes\nkeep_runs: 5\n"
    + "notify: [failure, success]\nnotify_to: [phone]\nping_url: https://hc.example/x\noutput: 'Note.md#Log'",
    "bounds": COMMAND + "every: 1h\nmax_runs: 4\nhost: laptop\nid: another",
    "switches": COMMAND + "every: 1h\nstatus: paused\nrun_now: true",
    "evidence": COMMAND + "every: 1h\ngate: 'test -s x'\nexpect_file: Out.md\nexpect_output: 'done$'",
    "gate list": COMMAND + "every: 1h\ngate: [test, -s, x]",
    "python": "type: python\nevery: 1h\nargs: {a: 1, b: [x, 2.5, true]}",
    "python with numbers for names": "type: python\nevery: 1h\nargs: {x: {2: d, true: e}}",
    "claude": CLAUDE
    + "permissions: full\nallowed_tools: [Bash]\ndisallowed_tools: [Write]\nmodel: m\nfallback_model: n\n"
    + "max_turns: 5\nmax_usd: 1\nmax_usd_day: 2.5\nsystem_prompt: p\nsession: continue\nmcp_config: m.json\n"
    + "skills: [a]\nadd_dirs: [/tmp]\nanswer: yes please",
    "written": COMMAND + 'every: 1h\nlast_run: 2026-11-20T07:00:00\nlast_status: success\ntags: [mine]\nnext_run: ""',
    "strange": COMMAND + 'every: 1h\ngroup: "ä \U0001f600 x"',
}
READ_EACH_TIME = {
    "at": COMMAND + "at: 2030-01-01T09:00",
    "start": COMMAND + "every: 1h\nstart: 2020-01-01",
    "until": COMMAND + "every: 1h\nuntil: 2030-01-01",
    "paused_until": COMMAND + "every: 1h\npaused_until: 2030-01-01",
    "call": "type: python\nevery: 1h\ncall: dashboard",
}
BODY = "Say \udcff it\r\n\n```python\nprint(1)\n```\n\n## Runs\n- a run\n"


def _read(text: str, context: ParseContext) -> tuple[Document, Task]:
    document = Document.parse(f"---\n{text}\n---\n{BODY}".encode("utf-8", "surrogateescape"))
    parsed = parse_task(document, PATH, context)
    assert parsed.task is not None, parsed.problems
    return document, parsed.task


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_what_comes_back_is_the_task_that_was_read(text: str) -> None:
    """Every field of it, the order of its properties, and its next fire times' rule."""
    context = ParseContext(default_timezone="America/New_York", settings_timezone="Europe/Berlin")
    document, task = _read(text, context)
    plain = plain_of(task)
    assert plain is not None
    again = task_of(json.loads(json.dumps(plain)), PATH, json.loads(source_text(source_of(document))))
    assert again == task
    assert repr(again) == repr(task)
    assert list(again.declared) == list(task.declared)


@pytest.mark.parametrize("text", READ_EACH_TIME.values(), ids=READ_EACH_TIME)
def test_what_time_may_change_is_read_each_time(text: str) -> None:
    """Instants made of local times rest on the time zones' rules, and a function may be gone tomorrow."""
    assert plain_of(_read(text, ParseContext())[1]) is None


NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)


def _quick(text: str, times: list[list[int]]) -> tuple[Task, PlainTask]:
    """The task as it was read, and as it is made of what is kept."""
    document, task = _read(text, ParseContext(default_timezone="America/New_York", settings_timezone="Europe/Berlin"))
    plain = json.loads(json.dumps(plain_of(task)))
    return task, PlainTask.of(plain, PATH, source_text(source_of(document)), Fires("", json.dumps(times)))


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_a_property_that_is_made_when_asked_for_is_the_one_that_was_read(text: str) -> None:
    """Asked for one by one, all at once by `replace`, and of its schedule what it rests on."""
    task, quick = _quick(text, [])
    for name in [found.name for found in fields(Task) if found.name != "schedule"]:
        assert getattr(quick, name) == getattr(task, name), name
        assert type(getattr(quick, name)) is type(getattr(task, name)), name
    assert quick.schedule.triggers == task.schedule.triggers
    assert list(quick.schedule.zones) == list(task.schedule.zones)
    assert (quick.reacts, quick.asks_for_shell) == (task.reacts, task.asks_for_shell)
    paused = replace(_quick(text, [])[1], status=Status.PAUSED)
    assert (paused.status, paused.action, paused.body) == (Status.PAUSED, task.action, task.body)
    assert not hasattr(quick, "nothing")


def test_a_schedule_goes_by_the_fire_times_that_are_kept_of_it() -> None:
    """As long as they are the next ones: here by what a forger has put there; behind them it reckons."""
    forged = NOW + timedelta(minutes=17)
    task, quick = _quick(COMMAND + 'cron: "0 * * * *"', [[micros(NOW - HOUR), micros(forged)]])
    assert quick.schedule.next_after(NOW) == forged
    assert quick.schedule.next_after(forged) == task.schedule.next_after(forged) == NOW + HOUR


def test_a_schedule_with_other_bounds_reckons_within_them() -> None:
    """What is left of it after a pause begins later than what is kept."""
    task, quick = _quick(COMMAND + 'cron: "0 * * * *"', [[micros(NOW), micros(NOW + HOUR)]])
    resumed = replace(quick.schedule, start=NOW + 5 * HOUR)
    assert resumed.next_after(NOW) == NOW + 5 * HOUR
    assert resumed.triggers == task.schedule.triggers
    assert list(resumed.zones) == list(task.schedule.zones)
