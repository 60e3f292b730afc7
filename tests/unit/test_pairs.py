"""Readers of `name=value` lists."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_scheduler.errors import BadValue
from vault_scheduler.parsing import pairs


def refused(reader: Callable[..., object], value: object) -> BadValue:
    with pytest.raises(BadValue) as caught:
        reader(value, "key")
    return caught.value


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (["A=1", "B=x y"], (("A", "1"), ("B", "x y"))),
        ("A=1", (("A", "1"),)),  # one text is a list of one
        (["URL=http://x/?a=b"], (("URL", "http://x/?a=b"),)),  # only the first = counts
        (["EMPTY="], (("EMPTY", ""),)),
        ({"A": 1, "B": True, "C": None}, (("A", "1"), ("B", "true"), ("C", ""))),
        ([{"A": "1"}, {"B": "2"}], (("A", "1"), ("B", "2"))),  # `- A: 1` items
        ([], ()),
    ],
)
def test_environment_is_read(value: object, found: tuple[tuple[str, str], ...]) -> None:
    """`NAME=value` items or a mapping."""
    assert pairs.environment(value) == found


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("A", "not `name=value`"),
        ("=1", "not `name=value`"),
        (["A=1", "A=2"], "set twice"),
        ([{"A": "1"}, {"A": "2"}], "set twice"),
        (["MY-VAR=1"], "cannot be the name"),
        (["VAULT_SCHED_RUN=x"], "set by the scheduler"),
        ({"A": [1]}, "not text"),
        ({"A": 3.10}, "not text"),  # would arrive as 3.1
        (["A=1", ["x"]], "quotes"),
    ],
)
def test_bad_environment_is_refused(value: object, reason: str) -> None:
    """Names that cannot be, or are ours, and values that would change are refused."""
    assert reason in refused(pairs.environment, value).message


def test_secrets_are_names() -> None:
    """Names only, each once."""
    assert pairs.secret_names(["TOKEN", "KEY", "TOKEN"]) == ("TOKEN", "KEY")
    assert pairs.secret_names("TOKEN") == ("TOKEN",)


@pytest.mark.parametrize(
    ("value", "cure"),
    [("A, B", "[A, B]"), ("A B", "[A, B]"), ("my-key", "[GITHUB_TOKEN]"), ("VAULT_SCHED_RUN", "another name")],
)
def test_bad_secret_names_are_refused(value: object, cure: str) -> None:
    """What cannot be the name of a variable is refused with what can."""
    assert cure in refused(pairs.secret_names, value).fix


def test_a_secret_in_the_note_is_refused_and_not_repeated() -> None:
    """A value does not belong into the note, and the problem does not spread it further."""
    error = refused(pairs.secret_names, ["TOKEN=hunter2-hunter2"])
    assert "`key: [TOKEN]`" in error.fix
    for value in ("TOKEN=hunter2-hunter2", "hunter2-hunter2", "TOKEN, hunter2-hunter2"):
        assert "hunter2" not in str(refused(pairs.secret_names, value))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (["days=30", "dry_run=true", "rate=0.5", "name=x"], {"days": 30, "dry_run": True, "rate": 0.5, "name": "x"}),
        (
            ['zip="01234"', "code=007", "none=null", "empty="],
            {"zip": "01234", "code": "007", "none": None, "empty": ""},
        ),
        ({"days": 30, "paths": ["a", "b"], "deep": {"x": 1}}, {"days": 30, "paths": ["a", "b"], "deep": {"x": 1}}),
        ({"days": "30"}, {"days": "30"}),  # in a mapping YAML has said already what is text
    ],
)
def test_arguments_are_read(value: object, found: dict[str, Any]) -> None:
    """A list's values mean what YAML would make of them; a mapping is taken as it is."""
    assert pairs.arguments(value) == found


@pytest.mark.parametrize("value", ["x", ["a=1", "a=2"], {"1a": 2}, {"a-b": 1}, {"a": float("nan")}, {"a": [{1: 2}]}])
def test_bad_arguments_are_refused(value: object) -> None:
    """What no function can take by name, and what JSON cannot carry."""
    assert refused(pairs.arguments, value).fix


@given(st.text(max_size=20))
def test_listed_argument_is_always_json(text: str) -> None:
    """Whatever stands behind the = can travel to another process."""
    json.dumps(pairs.plain_scalar(text), allow_nan=False)
