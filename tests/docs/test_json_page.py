"""docs/json.md and docs/schemas are what the commands really print. Run this file to write them anew."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.docs.json_keys import PAGES, page, schema
from tests.process.full_vault import fill
from vault_scheduler.cli import cli
from vault_scheduler.commands.done_lines import event_line
from vault_scheduler.machine.place import Place
from vault_scheduler.planning.standing import State
from vault_scheduler.run import Outcome

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "json.md"
Ask = Callable[..., Any]


def files() -> dict[Path, str]:
    """All that is generated."""
    made = {DOCS / "schemas" / f"{name}.schema.json": schema(name) for name in PAGES}
    return {
        PAGE: page(),
        **{path: json.dumps(each, indent=2, ensure_ascii=False) + "\n" for path, each in made.items()},
    }


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Give a command in the vault in which everything occurs; what it prints as JSON, or as text."""
    fill(tmp_path.resolve())
    for name in ("VAULT_SCHED_RUN", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path.resolve() / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path.resolve() / "config"))
    monkeypatch.setenv("VAULT_SCHED_VAULT", str(tmp_path.resolve() / "vault"))

    def give(*arguments: str, is_json: bool = True) -> Any:
        with pytest.raises(SystemExit):
            cli([*arguments, *(["--json"] if is_json else [])], prog_name="vault-sched")
        out = capsys.readouterr().out
        return json.loads(out) if is_json else out

    give("approve", "briefing", "work/sync", "日本語のタスク", is_json=False)
    return give


def strict(name: str) -> Draft202012Validator:
    """The schema, with no key allowed that it does not tell of."""

    def closed(part: Any) -> Any:
        if isinstance(part, list):
            return [closed(each) for each in part]
        if not isinstance(part, dict):
            return part
        inner = {key: closed(value) for key, value in part.items()}
        return {**inner, "additionalProperties": False} if "properties" in part and "required" in part else inner

    found = closed(schema(name))
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found)


def test_the_page_and_the_schemas_are_current() -> None:
    """They are exactly what the table of keys generates, and no schema is left over."""
    assert {path.name for path in (DOCS / "schemas").iterdir()} == {path.name for path in files() if path != PAGE}
    for path, text in files().items():
        assert path.read_text(encoding="utf-8") == text, "run: python -m tests.docs.test_json_page"


def test_what_the_commands_print_is_what_the_schemas_say(ask: Ask) -> None:
    """In a vault with every state, problem, outcome, range, question and cost; no key is undocumented."""
    printed = {
        "list": ask("list"),
        "show": [ask("show", task) for task in ("briefing", "work/sync", "broken", "away")],
        "next-cron": [ask("next", "--cron", each, "--timezone", "UTC") for each in ("0 7 * * *", "H 7 * * *")],
        "next-task": [ask("next", "briefing"), ask("next", "over", "--until", "2d")],
        "next": ask("next"),
        "forecast": ask("forecast"),
        "history": ask("history"),
        "check": ask("check"),
        "status": ask("status"),
        "approve": ask("approve"),
        "ack": ask("ack"),
        "restore-list": ask("restore", "--list", "briefing"),
        "restore": ask("restore"),
        "doctor": ask("doctor"),
        "daemon-log": json.loads(_log_line()),
    }
    assert printed.keys() == PAGES.keys()
    for name, found in printed.items():
        several = found if isinstance(found, list) and PAGES[name].form == "object" else [found]
        for each in several:
            strict(name).validate(each)
    assert {row["state"] for row in printed["list"]} == set(State)
    assert {row["outcome"] for row in printed["history"]} == {*Outcome, None}
    assert max(row["count"] for row in printed["history"]) == 4
    assert {row["severity"] for row in printed["check"]} == {"error", "warning"}
    assert all(printed[name] for name in ("ack", "approve", "restore", "restore-list", "doctor"))
    status = printed["status"]
    assert all(status[key] for key in ("running", "waiting", "problems", "held", "questions", "cost_today_usd"))


def _log_line() -> str:
    place = Place.open(None, start=Path.cwd(), environ=os.environ)
    return event_line(place, "success", "briefing", "", as_json=True)


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
